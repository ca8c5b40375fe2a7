//! Live changes as server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): the newest checkpoint, what is final, and how
//! the appliance is.
//!
//! It tells states and keeps no list: the newest covers all before it, for whoever reads slowly or comes back. It tells nothing that the caller could
//! not ask for, and decides nothing about who may.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use exhibit_evidence::exchange::{Route, Target};
use exhibit_tlog::Checkpoint;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::answer::{Answer, AnswerBody};
use super::handle::permit;
use super::problem::{Kind, Refusal};
use super::server::Peer;
use crate::appliance::Appliance;
use crate::bans::Banned;
use crate::health::Health;
use crate::places::Place;

/// How often it is looked what has changed: so many checkpoints are told at most, however many batches there are.
const LOOK: Duration = Duration::from_secs(1);
/// What is silent for longer is said to be alive: well below `idle_s`, and what proxies and home routers take for dead.
const ALIVE: Duration = Duration::from_secs(15);
/// Then the caller asks anew: nobody has a place for ever.
const STREAM_MAX: Duration = Duration::from_secs(60 * 60);
/// A comment, which clients pass over.
const ALIVE_LINE: &str = ": alive\n\n";
/// The `id` of the last event that a client was told.
const LAST_EVENT_ID: &str = "last-event-id";

/// How it stands at a moment.
#[derive(Clone, Default)]
struct Standing {
    checkpoint: Option<Checkpoint>,
    /// Size of the newest checkpoint that satisfies the witness policy; 0 if there is none.
    final_size: u64,
    health: Option<Arc<Health>>,
}

/// What somebody was told.
#[derive(Default)]
struct Told {
    /// The checkpoint's size.
    size: Option<u64>,
    final_size: u64,
    health: String,
}

/// Whoever is told, and by which right.
struct Subscriber {
    appliance: Arc<Appliance>,
    peer: Arc<Peer>,
    who: Banned,
    target: Target,
    /// Held by a look that hangs in a disk too.
    _place: Place,
}

/// Begins to tell a peer that may be told.
pub fn tell(appliance: &Arc<Appliance>, peer: &Arc<Peer>, who: &Banned, target: Target, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let Route::Events { after } = target.route else { return Err(Refusal::not_found()) };
    let told = Told { size: last_id(headers)?.or(after), ..Told::default() };
    let place = appliance.subscribers.take(&who.party()).map_err(|full| Refusal::overloaded("event streams", full))?;
    let subscriber = Arc::new(Subscriber { appliance: appliance.clone(), peer: peer.clone(), who: who.clone(), target, _place: place });
    let ending = appliance.ending.subscribe();
    // One waits while another is sent.
    let (events, body) = mpsc::channel(1);
    tokio::spawn(async move {
        let look = || {
            let subscriber = subscriber.clone();
            // The ledger and its rows are read.
            async move { spawn_blocking(move || subscriber.look()).await.ok().flatten() }
        };
        send(events, look, told, ending).await;
    });
    let mut answer = Response::new(AnswerBody::Events(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// What a client that connects again says that it was told last.
fn last_id(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut given = headers.get_all(LAST_EVENT_ID).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let number = first.to_str().ok().and_then(|text| text.parse::<u64>().ok().filter(|number| number.to_string() == text));
    match (number, given.next()) {
        (Some(number), None) => Ok(Some(number)),
        _ => Err(Refusal::new(Kind::Malformed, "Last-Event-ID is not the id of an event")),
    }
}

impl Subscriber {
    /// How it stands; nothing for who may not be told any more. Blocks.
    fn look(&self) -> Option<Standing> {
        let Self { appliance, peer, who, target, .. } = self;
        if appliance.guard.until(who, appliance.now()).is_some() || permit(appliance, peer, target).is_err() {
            return None;
        }
        // In this order: what is final is never beyond the checkpoint that is told with it.
        let final_size = appliance.witnessing.witnessed().map_or(0, |witnessed| witnessed.head.size);
        let checkpoint = appliance.ledger.checkpoint().map(|(_, head)| head);
        Some(Standing { checkpoint, final_size, health: appliance.vitals.published() })
    }
}

/// Sends what changes until it is enough.
async fn send<F: Future<Output = Option<Standing>>>(
    events: mpsc::Sender<Bytes>,
    look: impl Fn() -> F,
    mut told: Told,
    mut ending: watch::Receiver<bool>,
) {
    let began = Instant::now();
    let mut last = began;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Looked at once there is a place for what is found: nothing old waits for whoever does not read.
        let next = async {
            looks.tick().await;
            let place = events.reserve().await.ok()?;
            Some((place, look().await?))
        };
        let (place, standing) = tokio::select! {
            _ = ending.wait_for(|ending| *ending) => return,
            () = sleep_until(began + STREAM_MAX) => return,
            () = events.closed() => return,
            next = next => match next {
                Some(next) => next,
                None => return,
            },
        };
        let mut text = told.changes(&standing);
        if text.is_empty() && last.elapsed() >= ALIVE {
            ALIVE_LINE.clone_into(&mut text);
        }
        if !text.is_empty() {
            last = Instant::now();
            place.send(Bytes::from(text));
        }
    }
}

impl Told {
    /// What has changed since it was told last, as events.
    fn changes(&mut self, standing: &Standing) -> String {
        let mut text = String::new();
        // Another size, and not only a larger one: whoever knows a larger one speaks of another log, or of one that this one was before it lost its end.
        if let Some(head) = standing.checkpoint.as_ref().filter(|head| self.size != Some(head.size)) {
            let data = json!({ "origin": head.origin, "size": head.size, "root": head.root.to_string() });
            text.push_str(&format!("event: checkpoint\nid: {}\ndata: {data}\n\n", head.size));
            self.size = Some(head.size);
        }
        if standing.final_size > self.final_size {
            self.final_size = standing.final_size;
            text.push_str(&format!("event: final\ndata: {}\n\n", json!({ "size": self.final_size })));
        }
        if let Some(data) = standing.health.as_deref().map(health_data).filter(|data| *data != self.health) {
            text.push_str(&format!("event: health\ndata: {data}\n\n"));
            self.health = data;
        }
        text
    }
}

/// Without details, whose numbers change all the time: `/healthz` has them.
fn health_data(health: &Health) -> String {
    let mut reasons: Vec<_> = health.reasons.iter().map(|reason| json!({ "code": reason.code, "status": reason.status })).collect();
    // Several witnesses that are missing are one reason each.
    reasons.dedup();
    json!({ "status": health.status, "reasons": reasons }).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::AsyncWriteExt;
    use tokio::time::{sleep, timeout};

    use super::super::watched::{Activity, Watched};
    use super::*;
    use crate::health::{Code, Reason, Status};
    use crate::limits::Limits;

    fn head(size: u64) -> Checkpoint {
        Checkpoint { origin: "city.example/log/1".to_owned(), size, root: exhibit_tlog::EMPTY_ROOT }
    }

    fn at(size: u64) -> Standing {
        Standing { checkpoint: Some(head(size)), ..Standing::default() }
    }

    fn ids(text: &str) -> Vec<u64> {
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect()
    }

    /// A subscriber of a log that grows as `grown` says.
    fn subscribed(grown: impl Fn() -> Option<Standing> + Send + Sync + 'static) -> (mpsc::Receiver<Bytes>, watch::Sender<bool>) {
        let (events, body) = mpsc::channel(1);
        let (end, ending) = watch::channel(false);
        tokio::spawn(send(events, move || std::future::ready(grown()), Told::default(), ending));
        (body, end)
    }

    async fn next(body: &mut mpsc::Receiver<Bytes>) -> Option<String> {
        body.recv().await.map(|event| String::from_utf8(event.to_vec()).unwrap())
    }

    #[test]
    fn what_has_not_changed_is_not_told_again() {
        let mut told = Told { size: Some(7), ..Told::default() };
        let reason = |code, detail: &str| Reason { code, status: Status::Warning, detail: detail.to_owned(), remedy: String::new() };
        let health = |reasons: Vec<Reason>| Some(Arc::new(Health { status: Status::Warning, size: 9, reasons }));
        assert_eq!(told.changes(&at(7)), "");
        let standing = Standing { final_size: 8, health: health(vec![reason(Code::WitnessMissing, "5 minutes")]), ..at(9) };
        let root = exhibit_tlog::EMPTY_ROOT;
        assert_eq!(
            told.changes(&standing),
            format!(
                "event: checkpoint\nid: 9\ndata: {{\"origin\":\"city.example/log/1\",\"root\":\"{root}\",\"size\":9}}\n\n\
                 event: final\ndata: {{\"size\":8}}\n\n\
                 event: health\ndata: {{\"reasons\":[{{\"code\":\"witness-missing\",\"status\":\"warning\"}}],\"status\":\"warning\"}}\n\n"
            )
        );
        assert_eq!(told.changes(&standing), "");
        let two = vec![reason(Code::WitnessMissing, "6 minutes"), reason(Code::WitnessMissing, "7 minutes")];
        assert_eq!(told.changes(&Standing { health: health(two), ..standing.clone() }), "", "a number in a detail is no change");
        let other = Standing { health: health(vec![reason(Code::DiskFilling, "")]), ..standing };
        assert!(told.changes(&other).starts_with("event: health\n"));
        // A log that lost its end, or another one at the same address.
        assert_eq!(ids(&told.changes(&at(3))), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_is_alive_and_ends_after_an_hour() {
        let began = Instant::now();
        let (mut body, _end) = subscribed(|| Some(at(7)));
        assert_eq!(ids(&next(&mut body).await.unwrap()), [7]);
        let mut comments = 0;
        while let Some(comment) = next(&mut body).await {
            assert_eq!(comment, ALIVE_LINE);
            comments += 1;
        }
        assert_eq!(began.elapsed(), STREAM_MAX);
        assert!((235..=240).contains(&comments), "{comments}");
    }

    #[tokio::test(start_paused = true)]
    async fn however_fast_a_log_grows_the_newest_is_told_once_a_second_and_none_is_kept() {
        let began = Instant::now();
        let (mut body, _end) = subscribed(move || Some(at(began.elapsed().as_millis() as u64)));
        for second in 0..10 {
            assert_eq!(ids(&next(&mut body).await.unwrap()), [second * 1000]);
        }
        // Whoever reads again after a while is told what had just been looked at when they ceased, and then the newest.
        sleep(Duration::from_secs(500)).await;
        let waited = ids(&next(&mut body).await.unwrap())[0];
        assert!((10_000..=11_000).contains(&waited), "{waited}");
        assert!(ids(&next(&mut body).await.unwrap())[0] >= 509_000, "what was missed is told one by one");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_at_once_when_the_appliance_does_and_when_the_right_does() {
        let began = Instant::now();
        let (mut body, end) = subscribed(|| Some(at(7)));
        next(&mut body).await.unwrap();
        end.send_replace(true);
        assert_eq!(next(&mut body).await, None);
        assert_eq!(began.elapsed(), Duration::ZERO, "a drain waits for it");
        let may = Arc::new(Mutex::new(true));
        let asked = may.clone();
        let (mut body, _end) = subscribed(move || asked.lock().unwrap().then(|| at(7)));
        next(&mut body).await.unwrap();
        *may.lock().unwrap() = false;
        assert_eq!(next(&mut body).await, None);
        assert!(began.elapsed() <= LOOK);
    }

    /// What ends a connection, of a stream to a reader that takes what comes, or nothing.
    async fn ended(reads: bool) -> Option<&'static str> {
        let began = Instant::now();
        let (mut body, _end) = subscribed(move || Some(at(began.elapsed().as_secs() / 100)));
        let (mut near, far) = tokio::io::duplex(256);
        let activity = Activity::new();
        let mut watched = Watched::new(far, activity.clone());
        let limits = Limits::default();
        activity.answers();
        let sending = async {
            while let Some(event) = body.recv().await {
                watched.write_all(&event).await.unwrap();
            }
        };
        let reading = async {
            if reads {
                tokio::io::copy(&mut near, &mut tokio::io::sink()).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let ended = async {
            tokio::select! {
                () = activity.ceased(Duration::from_secs(limits.idle_s)) => "silent",
                () = activity.lagged(limits.body_pace()) => "too slow",
                () = sending => "its hour is over",
                () = reading => "never",
            }
        };
        timeout(STREAM_MAX * 2, ended).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_of_answers_ends_who_does_not_read_and_nobody_else() {
        assert_eq!(ended(true).await, Some("its hour is over"));
        assert_eq!(ended(false).await, Some("too slow"));
    }

    #[test]
    fn an_id_is_a_number_as_it_was_told() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(LAST_EVENT_ID, HeaderValue::from_str(value).unwrap());
            }
            last_id(&headers).map_err(|refusal| refusal.kind)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["0"]), Ok(Some(0)));
        assert_eq!(of(&["18446744073709551615"]), Ok(Some(u64::MAX)));
        for hostile in [&["18446744073709551616"][..], &["07"], &["+7"], &["-7"], &["7 8"], &["x"], &[""], &["7", "7"], &["0x7"]] {
            assert_eq!(of(hostile), Err(Kind::Malformed), "{hostile:?}");
        }
    }
}
