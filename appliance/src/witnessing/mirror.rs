//! Feeds a mirror (C2SP tlog-mirror): uploads entries in packages, each with the proof that it is in the checkpoint that is to be cosigned, and
//! takes the mirror's cosignature for it.
//!
//! A mirror is believed nothing but its signatures: where it says that it is tells where to go on, for so long as that leads on.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use exhibit_ledger::LedgerError;
use exhibit_tlog::mirror::{ADD_ENTRIES_CONTENT_TYPE, EntryPackage, MirrorInfo, REQUEST_PACKAGES_MAX, UploadHeader};
use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;
use exhibit_tlog::tile::{BundleId, TILE_WIDTH, decode_bundle};
use exhibit_tlog::witness::add_cosignatures;
use exhibit_tlog::{Subtree, VerifierKey};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::WitnessState;
use super::ask::{Asker, BackOff, Outcome, Target, refused};
use super::collect::Witnessed;
use super::collect::{Targets, Whom, newest, stand};
use super::peer::{Answer, Post};

/// No package is begun in a request that is so long: what a slow link carries in time. The last one may have 16 MiB more.
const UPLOAD_BYTES: usize = 4 * 1024 * 1024;
/// How long a request may take: the longest one on a link of 1.5 Mbit/s.
const UPLOAD_MAX: Duration = Duration::from_secs(120);
/// So often in a row a mirror may say that it is elsewhere, or take little of what it was sent, or nothing that it had not had before.
const SETBACKS_MAX: usize = 4;
/// Entries of a full bundle.
const WIDTH: u64 = TILE_WIDTH as u64;

/// A mirror that is fed.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where it takes uploads: the submission prefix.
    pub url: String,
    /// Where its copies are read: the monitoring prefix.
    pub monitoring_url: String,
    /// Its keys.
    pub keys: Vec<VerifierKey>,
}

/// Feeds one mirror.
pub(super) struct Feeder {
    asker: Asker,
    number: usize,
    keys: Vec<VerifierKey>,
    newer: Arc<Notify>,
    /// The first entry that it does not have, as it has said last.
    next: Option<u64>,
    ticket: Vec<u8>,
}

impl Feeder {
    pub fn new(asker: Asker, number: usize, keys: Vec<VerifierKey>, newer: Arc<Notify>) -> Self {
        Self { asker, number, keys, newer, next: None, ticket: Vec::new() }
    }

    pub async fn feed(mut self, mut targets: Targets) {
        let mut back_off = BackOff::new();
        while let Some(target) = newest(&mut targets).await {
            let mut outcome = self.asker.ask(&target).await;
            // A witness that is a mirror too has answered with the witness's lines: they are for whoever asked the witness.
            if let Outcome::Cosigned(_) = outcome {
                self.asker.size = Some(target.head.size);
                outcome = self.fill(&target).await;
            }
            if let Outcome::Cosigned(lines) = outcome {
                outcome = self.deliver(&target, lines).await;
            }
            match outcome {
                Outcome::Failed(state, reason) => {
                    self.next = None;
                    self.stand(state, reason);
                    sleep(back_off.next()).await;
                    continue;
                }
                Outcome::Cosigned(_) => self.stand(WitnessState::Cosigned, String::new()),
                Outcome::Ahead => self.newer.notify_one(),
            }
            back_off.reset();
            if targets.changed().await.is_err() {
                return;
            }
        }
    }

    /// Uploads until the mirror has all entries of the target, which it has accepted as pending.
    async fn fill(&mut self, target: &Target) -> Outcome {
        let mut end = target.head.size;
        // An upload of nothing asks where to begin.
        let mut start = self.next.unwrap_or(end).min(end);
        let (mut furthest, mut setbacks) = (0, 0);
        loop {
            let (body, sent) = match self.request(start, end).await {
                Ok(request) => request,
                Err(reason) => return Outcome::Failed(WitnessState::Unreachable, reason),
            };
            let post = Post {
                is_gzip: true,
                wait_max: UPLOAD_MAX,
                ..Post::new("/add-entries", ADD_ENTRIES_CONTENT_TYPE, body, NOTE_SIZE_BYTES_MAX)
            };
            let Answer { status, body } = match self.asker.peer.post(post).await {
                Err(reason) => return Outcome::Failed(WitnessState::Unreachable, reason),
                Ok(answer) => answer,
            };
            let text = String::from_utf8_lossy(&body).into_owned();
            let info = match status {
                200 => {
                    self.next = Some(end);
                    // What was cosigned on the way to the target is of no use: the newest is asked for.
                    return if end == target.head.size { Outcome::Cosigned(text) } else { Outcome::Ahead };
                }
                202 | 409 => MirrorInfo::parse(&text),
                status => return refused(status, &text),
            };
            let Some(info) = info else { return Outcome::Failed(WitnessState::Refuses, format!("{status} without saying where it is")) };
            if info.size > self.asker.appliance.ledger.size() {
                return self.asker.beyond(info.size).await;
            }
            let next = info.next.min(info.size);
            // What it takes of a request may be less, but not so little that sending is most of the work.
            let took_enough = status == 202 && next > furthest && next.saturating_sub(start) >= (sent - start) / 4;
            setbacks = if took_enough { 0 } else { setbacks + 1 };
            furthest = furthest.max(next);
            if setbacks > SETBACKS_MAX {
                return Outcome::Failed(WitnessState::Refuses, format!("it takes nothing, and says that it has {} entries", info.next));
            }
            (start, end, self.next, self.ticket) = (next, info.size, Some(next), info.ticket);
            self.stand(WitnessState::Filling, format!("it has {next} of {end} entries"));
        }
    }

    async fn request(&self, start: u64, end: u64) -> Result<(Bytes, u64), String> {
        let (appliance, ticket) = (self.asker.appliance.clone(), self.ticket.clone());
        let made = spawn_blocking(move || upload(&appliance, start, end, ticket)).await;
        made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// A cosignature that does not verify is none, also where it came too late for anything.
    async fn deliver(&self, target: &Arc<Target>, lines: String) -> Outcome {
        let (appliance, target, keys) = (self.asker.appliance.clone(), target.clone(), self.keys.clone());
        let delivered = spawn_blocking(move || {
            add_cosignatures(&target.note, &lines, &keys)?;
            appliance.witnessing.deliver(&target.head, &lines, &keys).map(|()| lines)
        });
        let reason = match delivered.await {
            Ok(Ok(lines)) => return Outcome::Cosigned(lines),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Outcome::Failed(WitnessState::Refuses, format!("its answer is not its cosignature: {reason}"))
    }

    fn stand(&self, state: WitnessState, detail: String) {
        let size = (state == WitnessState::Cosigned).then_some(self.asker.size).flatten();
        stand(&self.asker.appliance, Whom::Mirror(self.number), size, state, detail);
    }
}

/// The compressed body, with packages from `start` on, and where they end.
fn upload(appliance: &Witnessed, start: u64, end: u64, ticket: Vec<u8>) -> Result<(Bytes, u64), LedgerError> {
    let header = UploadHeader { origin: appliance.origin.clone(), start, end, ticket };
    let header = header.to_bytes().ok_or_else(|| LedgerError::Damaged("the log's name is too long for an upload".to_owned()))?;
    let mut body = GzEncoder::new(Vec::new(), Compression::fast());
    let mut length = 0;
    let mut put = |bytes: &[u8]| {
        length += bytes.len();
        body.write_all(bytes).expect("a vector takes what is written");
        length
    };
    put(&header);
    let mut from = start;
    for _ in 0..REQUEST_PACKAGES_MAX {
        if from == end {
            break;
        }
        let length = put(&package(appliance, from, end)?);
        from = EntryPackage::end(from, end);
        if length > UPLOAD_BYTES {
            break;
        }
    }
    Ok((body.finish().expect("a vector takes what is written").into(), from))
}

/// The entries from `from` on to the end of their bundle, and the proof that the bundle up to there is in the tree of `end`.
fn package(appliance: &Witnessed, from: u64, end: u64) -> Result<Vec<u8>, LedgerError> {
    let to = EntryPackage::end(from, end);
    let first = from - from % WIDTH;
    let missing = || LedgerError::Damaged(format!("entries {from} to {to} can not be read"));
    let width = (to - first) as u16;
    let bundle = appliance.ledger.bundle(BundleId { index: first / WIDTH, width })?.ok_or_else(missing)?;
    let entries = decode_bundle(&bundle, width).map_err(|_| missing())?;
    let subtree = Subtree::new(first, to).ok_or_else(missing)?;
    let proof = appliance.ledger.subtree(subtree, end)?.ok_or_else(missing)?;
    EntryPackage::encode(&entries[(from - first) as usize..], &proof).map_err(|_| missing())
}
