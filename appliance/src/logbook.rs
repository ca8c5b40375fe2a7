//! What the appliance logs about its own security, on the ledger: lines are kept in a file beside it until a batch of them is stated as `log/v1`.
//!
//! It decides neither what is logged nor how. A line that is in the file outlives the process; whoever is root on the machine can change it there
//! until its batch is stated, and not afterwards.

use std::fmt::{Debug, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use exhibit_evidence::log_lines::LINE_BYTES_MAX;
use exhibit_pki::Timestamp;
use exhibit_program::logging::is_of_security;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::appliance::Appliance;
use crate::setup::{Folder, now};

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: Timestamp,
    /// One JSON object.
    pub text: String,
}

/// The lines that are not on the ledger yet.
#[derive(Default)]
pub struct Logbook {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// None until the appliance has a folder.
    file: Option<Spool>,
    /// The number of the first line, over all batches of the log.
    first: u64,
    lines: Vec<Line>,
    bytes: usize,
    /// Lines that were not kept since the last one that was.
    lost: u64,
    /// The time of the last line that was kept.
    newest: Option<Timestamp>,
    pace: Pace,
    strangers: Pace,
}

struct Spool {
    path: PathBuf,
    file: File,
}

/// Lines a second, over time: who is refused without end must not fill the disk. What is beyond is counted.
const LINES_PER_S_MAX: f64 = 50.0;
/// So much of it for lines about those who have shown no certificate.
const STRANGERS_SHARE: f64 = 0.2;
/// Two threads do not write lines further apart in another order than that of their times.
const EXCHANGED_MS_MAX: u64 = 1_000;
/// So many at once.
const LINES_AT_ONCE_MAX: f64 = 2_000.0;
/// So many are kept while none can be stated: a disk that is full, or a log that has ended.
const WAITING_LINES_MAX: usize = 65_536;
/// The same in bytes.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Of one line that are kept of each of its values.
const VALUE_CHARS_MAX: usize = 1024;
/// A batch is a statement, and is read whole by whoever verifies it.
pub const BATCH_LINES_MAX: usize = 4_096;
/// The same in bytes: with salts it is below what a statement of the appliance's own may need.
pub const BATCH_BYTES_MAX: usize = 512 << 10;
/// So often it is looked whether a batch is due.
const LOOK: Duration = Duration::from_secs(1);
/// In the state folder.
const FILE: &str = "log-lines";

/// A share of the lines that are kept.
#[derive(Default)]
struct Pace {
    used: f64,
    since: Option<Instant>,
}

impl Pace {
    fn takes(&mut self, now: Instant, share: f64) -> bool {
        let passed = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        (self.used, self.since) = ((self.used - passed.as_secs_f64() * LINES_PER_S_MAX * share).max(0.0), Some(now));
        let takes = self.used + 1.0 <= LINES_AT_ONCE_MAX * share;
        self.used += if takes { 1.0 } else { 0.0 };
        takes
    }
}

impl Logbook {
    /// From now on lines are kept in this folder, those of an earlier process before those that wait here. The ledger has those before `next`: what the
    /// file has of them is left out, and if it has less than the ledger, new lines go on where the ledger ends. What is left of the logs before, which have
    /// ended, goes on here.
    pub fn keep_in(&self, folder: &Folder, next: u64) -> io::Result<()> {
        let path = folder.path().join(FILE);
        let mut waiting = self.lock();
        if waiting.file.as_ref().is_some_and(|spool| spool.path == path) {
            return Ok(());
        }
        let (first, mut lines) = match fs::read(&path) {
            Ok(bytes) => parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (next, Vec::new()),
            Err(error) => return Err(error),
        };
        let stated = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX).min(lines.len());
        lines.drain(..stated);
        let first = first.max(next);
        let mut elsewhere: Vec<PathBuf> = waiting.file.take().map(|spool| spool.path).into_iter().collect();
        lines.append(&mut waiting.lines);
        if let Some(before) = folder.predecessor().map(|before| before.path().join(FILE)).filter(|file| !elsewhere.contains(file)) {
            // Without rights there, or without a file, nothing is taken.
            if let Ok(bytes) = fs::read(&before) {
                lines.splice(..0, parse(&bytes).1);
                elsewhere.push(before);
            }
        }
        (waiting.first, waiting.bytes, waiting.lines) = (first, lines.iter().map(|line| line.text.len()).sum(), lines);
        waiting.file = Some(Spool::write(path, first, &waiting.lines)?);
        // What lay in the folder of a log that has ended is here now. Where it can not be removed, it is here twice after the next start.
        elsewhere.iter().for_each(|file| drop(fs::remove_file(file)));
        Ok(())
    }

    /// Keeps a line. Those about strangers, who need no certificate to cause them, have a share of their own: no number of them keeps another out.
    pub fn add(&self, mut line: Line, is_of_stranger: bool) {
        let mut waiting = self.lock();
        let has_room = waiting.lines.len() < WAITING_LINES_MAX && waiting.bytes < WAITING_BYTES_MAX;
        let takes = match is_of_stranger {
            true => waiting.strangers.takes(Instant::now(), STRANGERS_SHARE),
            false => waiting.pace.takes(Instant::now(), 1.0),
        };
        if !takes || !has_room {
            waiting.lost += 1;
            return;
        }
        // Of two threads the later may have looked at the clock first. Only a clock that was set back makes times fall.
        let newest = waiting.newest.filter(|newest| newest.unix_ms().saturating_sub(line.at.unix_ms()) < EXCHANGED_MS_MAX);
        line.at = newest.map_or(line.at, |newest| line.at.max(newest));
        waiting.newest = Some(line.at);
        let lost = std::mem::take(&mut waiting.lost);
        if lost > 0 {
            let text =
                json!({ "at": line.at.to_string(), "level": "WARN", "message": "lines were not kept: there were too many", "lines": lost })
                    .to_string();
            waiting.push(Line { at: line.at, text });
        }
        waiting.push(line);
    }

    /// What a batch would have: the number of its first line, and lines in order. `None` where nothing is due: there is less than a batch, and the
    /// oldest is younger than `age`.
    fn due(&self, now: Timestamp, age: Duration) -> Option<(u64, Vec<Line>)> {
        let waiting = self.lock();
        // A line of a time that is still to come was written by a clock that was set back since: it waits for no other.
        let since_ms = now.unix_ms().checked_sub(waiting.lines.first()?.at.unix_ms()).unwrap_or(u64::MAX);
        let mut bytes = 0;
        let fits = |line: &&Line| {
            bytes += line.text.len();
            bytes <= BATCH_BYTES_MAX
        };
        let batch: Vec<Line> = waiting.lines.iter().take(BATCH_LINES_MAX).take_while(fits).cloned().collect();
        let is_full = batch.len() < waiting.lines.len() || batch.len() == BATCH_LINES_MAX;
        (is_full || u128::from(since_ms) >= age.as_millis()).then_some((waiting.first, batch))
    }

    /// Lines before this number are on the ledger.
    fn stated(&self, next: u64) -> io::Result<()> {
        let mut waiting = self.lock();
        let done = usize::try_from(next.saturating_sub(waiting.first)).unwrap_or(usize::MAX).min(waiting.lines.len());
        waiting.lines.drain(..done);
        (waiting.first, waiting.bytes) = (next, waiting.lines.iter().map(|line| line.text.len()).sum());
        let Some(path) = waiting.file.as_ref().map(|spool| spool.path.clone()) else { return Ok(()) };
        waiting.file = Some(Spool::write(path, next, &waiting.lines)?);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, line: Line) {
        if let Some(spool) = &mut self.file {
            // On a full disk it is in memory still, and in the file with the next batch.
            let _ = spool.file.write_all(written(&line).as_bytes());
        }
        self.bytes += line.text.len();
        self.lines.push(line);
    }
}

impl Spool {
    /// Beside, then under its name: a power cut leaves the old lines or the new.
    fn write(path: PathBuf, first: u64, lines: &[Line]) -> io::Result<Self> {
        let beside = path.with_extension("new");
        let mut text = format!("{first}\n");
        lines.iter().for_each(|line| text.push_str(&written(line)));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&beside, &path)?;
        Ok(Self { path, file })
    }
}

fn written(line: &Line) -> String {
    format!("{} {}\n", line.at.unix_ms(), line.text)
}

/// What a process has left. A line that it did not end is kept as far as it goes.
fn parse(bytes: &[u8]) -> (u64, Vec<Line>) {
    let text = String::from_utf8_lossy(bytes);
    let (first, lines) = text.split_once('\n').unwrap_or_default();
    let line = |line: &str| {
        let (at, text) = line.split_once(' ').unwrap_or(("", line));
        let at = at.parse().ok().and_then(Timestamp::from_unix_ms).unwrap_or_else(now);
        Line { at, text: cut(text, LINE_BYTES_MAX).to_owned() }
    };
    (first.parse().unwrap_or(0), lines.lines().map(line).collect())
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max.min(text.len()))]
}

/// Gives a logbook the events that matter for security.
pub struct Kept(pub Arc<Logbook>);

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !is_of_security(metadata) {
            return;
        }
        let at = now();
        let mut values = Values(Map::new());
        values.0.insert("at".into(), at.to_string().into());
        values.0.insert("level".into(), metadata.level().as_str().into());
        values.0.insert("target".into(), metadata.target().into());
        event.record(&mut values);
        // Who has shown none is known by an address only.
        let is_of_stranger = *metadata.level() > Level::WARN && values.0.contains_key("address");
        let text = Value::Object(values.0).to_string();
        self.0.add(Line { at, text: cut(&text, LINE_BYTES_MAX).to_owned() }, is_of_stranger);
    }
}

/// The values of an event. JSON writes what would end a line in another way.
struct Values(Map<String, Value>);

impl Values {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Values {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.chars().take(VALUE_CHARS_MAX).collect::<String>());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A string takes all that is written.
        let _ = write!(text, "{value:?}");
        // What is shown in quotes for the other log needs none here.
        self.record_str(field, &serde_json::from_str::<String>(&text).unwrap_or(text));
    }
}

/// States batches, until the appliance ends: then what is left.
pub async fn state_batches(appliance: Arc<Appliance>, logbook: Arc<Logbook>, age: Duration, mut drain: watch::Receiver<bool>) {
    loop {
        let ends = timeout(LOOK, drain.wait_for(|drain| *drain)).await.is_ok();
        let (appliance, logbook) = (appliance.clone(), logbook.clone());
        let age = if ends { Duration::ZERO } else { age };
        // It ends with whoever asked for it, or with the process.
        let _ = spawn_blocking(move || state_due(&appliance, &logbook, age)).await;
        if ends {
            return;
        }
    }
}

/// States what is due. Blocks.
pub fn state_due(appliance: &Appliance, logbook: &Logbook, age: Duration) {
    while let Some((first, lines)) = logbook.due(appliance.now(), age) {
        let stated = appliance.chronicle.log_lines(first, &lines);
        let kept = match stated {
            Ok(next) => logbook.stated(next),
            Err(error) => {
                appliance.heed_chronicle(&error);
                // Not a line of the logbook: while none can be stated, it would only fill it.
                tracing::info!(%error, "log lines could not be put on the ledger: they wait");
                return;
            }
        };
        if let Err(error) = kept {
            tracing::info!(%error, "the file of log lines could not be written: lines that are on the ledger may be stated again");
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(at_ms: u64, text: &str) -> Line {
        Line { at: Timestamp::from_unix_ms(at_ms).unwrap(), text: text.to_owned() }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms).unwrap()
    }

    #[test]
    fn lines_outlive_the_process_and_are_stated_once() {
        let folder = tempfile::tempdir().unwrap();
        let state = Folder::new(folder.path());
        let before = Logbook::default();
        before.add(line(1000, "before there was a folder"), false);
        before.keep_in(&state, 0).unwrap();
        before.add(line(2000, "second"), false);
        drop(before);

        let after = Logbook::default();
        after.add(line(3000, "third"), false);
        after.keep_in(&state, 0).unwrap();
        let (first, lines) = after.due(at(61_000), Duration::from_secs(60)).unwrap();
        assert_eq!((first, lines.len()), (0, 3));
        assert_eq!(lines[1], line(2000, "second"));
        after.stated(2).unwrap();
        drop(after);

        let last = Logbook::default();
        last.keep_in(&state, 2).unwrap();
        assert_eq!(last.due(at(61_000), Duration::ZERO).unwrap(), (2, vec![line(3000, "third")]), "stated twice, or lost");
    }

    #[test]
    fn a_line_that_was_cut_off_is_kept_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "7\n1000 whole\n2000 {\"message\":\"cut").unwrap();
        let logbook = Logbook::default();
        logbook.keep_in(&Folder::new(folder.path()), 7).unwrap();
        logbook.add(line(3000, "after"), false);
        let (first, lines) = logbook.due(at(3000), Duration::ZERO).unwrap();
        assert_eq!((first, lines), (7, vec![line(1000, "whole"), line(2000, "{\"message\":\"cut"), line(3000, "after")]));
    }

    #[test]
    fn what_the_ledger_has_is_left_out_and_its_numbers_are_not_taken_again() {
        for (file, next, first, kept) in [
            ("3\n1000 a\n1000 b\n1000 c\n", 5, 5, vec!["c"]),
            ("3\n1000 a\n1000 b\n", 3, 3, vec!["a", "b"]),
            // It was there before the ledger was put back to an older copy.
            ("8\n1000 a\n", 5, 8, vec!["a"]),
            ("0\n1000 a\n", 5, 5, vec![]),
            ("no number\n1000 a\n", 5, 5, vec![]),
            ("", 5, 5, vec![]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            if !file.is_empty() {
                fs::write(folder.path().join(FILE), file).unwrap();
            }
            let logbook = Logbook::default();
            logbook.keep_in(&Folder::new(folder.path()), next).unwrap();
            logbook.add(line(1000, "new"), false);
            let expected: Vec<Line> = kept.into_iter().chain(["new"]).map(|text| line(1000, text)).collect();
            assert_eq!(logbook.due(at(1000), Duration::ZERO).unwrap(), (first, expected), "{file:?}");
        }
    }

    #[test]
    fn lines_go_on_with_the_log_that_goes_on() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let logbook = Logbook::default();
        logbook.keep_in(&Folder::new(old.path()), 0).unwrap();
        logbook.add(line(1000, "a"), false);
        logbook.stated(1).unwrap();
        logbook.add(line(2000, "after the end"), false);
        logbook.keep_in(&Folder::new(new.path()), 0).unwrap();
        assert_eq!(logbook.due(at(2000), Duration::ZERO).unwrap(), (0, vec![line(2000, "after the end")]));
        assert!(!old.path().join(FILE).exists(), "it would be stated again");
    }

    #[test]
    fn a_batch_is_due_when_it_is_old_or_full_and_no_larger_than_it_may_be() {
        let logbook = Logbook::default();
        logbook.add(line(1000, "a"), false);
        assert_eq!(logbook.due(at(1999), Duration::from_secs(1)), None, "each line is a statement");
        assert!(logbook.due(at(2000), Duration::from_secs(1)).is_some());
        for _ in 0..40 {
            logbook.add(line(1000, &"x".repeat(LINE_BYTES_MAX)), false);
        }
        let (_, lines) = logbook.due(at(1000), Duration::from_secs(1)).expect("it is full");
        assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= BATCH_BYTES_MAX);
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let logbook = Logbook::default();
        for _ in 0..10_000 {
            logbook.add(line(1000, "again"), false);
        }
        let kept = logbook.lock().lines.len();
        assert!((2_000..3_000).contains(&kept), "{kept} lines of a flood are kept");
        logbook.lock().pace = Pace::default();
        logbook.add(line(2000, "later"), false);
        let waiting = logbook.lock();
        let [.., told, later] = waiting.lines.as_slice() else { unreachable!("there are many") };
        assert_eq!(*later, line(2000, "later"));
        let told: Value = serde_json::from_str(&told.text).unwrap();
        assert_eq!(told["lines"], 10_000 - kept, "what was not kept is not told");
    }

    #[test]
    fn strangers_keep_nobody_elses_lines_out() {
        let logbook = Logbook::default();
        for _ in 0..10_000 {
            logbook.add(line(1000, "a handshake was refused"), true);
        }
        let strangers = logbook.lock().lines.len();
        assert!((400..600).contains(&strangers), "{strangers} lines of strangers");
        logbook.add(line(1000, "banned"), false);
        assert_eq!(logbook.lock().lines.last(), Some(&line(1000, "banned")));
    }

    #[test]
    fn times_fall_only_with_the_clock() {
        let logbook = Logbook::default();
        for (at_ms, kept_ms) in [(5_000, 5_000), (4_999, 5_000), (5_001, 5_001), (4_100, 5_001), (1_000, 1_000)] {
            logbook.add(line(at_ms, "a"), false);
            assert_eq!(logbook.lock().lines.last(), Some(&line(kept_ms, "a")), "{at_ms}");
        }
        // The clock was set back: what was written before does not wait until it is that time again.
        assert!(logbook.due(at(1_000), Duration::from_secs(60)).is_some());
    }

    #[test]
    fn what_a_log_that_ended_has_left_is_stated_in_the_next() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(old.path().join(FILE), "9\n1000 at the end\n").unwrap();
        std::os::unix::fs::symlink(old.path(), new.path().join("predecessor")).unwrap();
        let logbook = Logbook::default();
        logbook.keep_in(&Folder::new(new.path()), 0).unwrap();
        logbook.add(line(2000, "new"), false);
        assert_eq!(logbook.due(at(2000), Duration::ZERO).unwrap(), (0, vec![line(1000, "at the end"), line(2000, "new")]));
        assert!(!old.path().join(FILE).exists(), "it would be stated again");
    }

    #[test]
    fn an_event_is_a_line_of_json_that_ends_where_it_ends() {
        use tracing_subscriber::layer::SubscriberExt;
        let logbook = Arc::new(Logbook::default());
        let subscriber = tracing_subscriber::registry().with(Kept(logbook.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("no matter of security");
            tracing::info!(target: exhibit_program::logging::SECURITY, detail = "a\nb", quoted = ?"c\"d", count = 3_u64, folder = "x".repeat(5000), "refused");
            tracing::warn!(target: "hyper", "of another's making");
            tracing::warn!("ours");
        });
        let waiting = logbook.lock();
        assert_eq!(waiting.lines.len(), 2, "{:?}", waiting.lines);
        assert!(!waiting.lines[0].text.contains('\n'));
        let event: Value = serde_json::from_str(&waiting.lines[0].text).unwrap();
        assert_eq!(event["quoted"], "c\"d");
        assert_eq!((&event["detail"], &event["count"], &event["message"]), (&json!("a\nb"), &json!(3), &json!("refused")));
        assert_eq!(event["folder"].as_str().unwrap().len(), VALUE_CHARS_MAX);
    }
}
