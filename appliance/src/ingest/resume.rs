//! Uploads that can be gone on with (draft-ietf-httpbis-resumable-upload-11): what has come of each, by its sender and its statement's hash.
//!
//! It reads no socket and hashes nothing: whoever completes an upload reads again what was staged. What it knows ends with the process, as what
//! is staged does: nothing here was ever acknowledged.

mod receiving;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exhibit_evidence::StreamName;
use exhibit_tlog::Hash;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use crate::api::problem::{Kind, Refusal};
use crate::config::Config;
use crate::vault::Staged;
pub use receiving::{Expected, Receiving};

/// Uploads that one sender may have under way and kept: an agent sends one at a time, of one of its streams after the other.
const SENDER_UPLOADS_MAX: usize = 4;
/// A sender that comes back waits so long for the end of what it has begun before: that is a synced write, on a disk that is busy.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// So often what is too old is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How much is kept of what was cut off, and how long.
#[derive(Clone, Copy, Debug)]
pub struct StagingLimits {
    /// Of all senders together.
    pub bytes_max: u64,
    /// Of one sender.
    pub sender_bytes_max: u64,
    /// How many, of all senders together.
    pub uploads_max: usize,
    /// From the first request of an upload on.
    pub age_max: Duration,
}

impl StagingLimits {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        let bytes = |mib: u64| mib.saturating_mul(1024 * 1024);
        Self {
            bytes_max: bytes(config.staging_mib),
            sender_bytes_max: bytes(config.staging_sender_mib),
            uploads_max: config.staging_uploads_max,
            age_max: Duration::from_secs(config.staging_s),
        }
    }
}

/// What an upload was begun with.
#[derive(Debug)]
pub struct Creation {
    /// The SHA-256 of the statement: the name of the upload.
    pub hash: Hash,
    /// The signed statement, which is judged anew with each request.
    pub entry: Vec<u8>,
    /// The place that it was put to.
    pub place: (StreamName, u64),
    /// The log that the sender said it knows.
    pub knows: Option<Hash>,
    /// What was signed.
    pub payload_length: u64,
}

impl Creation {
    /// What stands before the payload: two lengths and the statement.
    pub fn prefix_length(&self) -> u64 {
        8 + self.entry.len() as u64
    }

    /// Of the whole representation.
    pub fn length(&self) -> u64 {
        self.prefix_length() + self.payload_length
    }
}

/// How far an upload is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What it was begun with.
    pub creation: Arc<Creation>,
    /// Bytes of the payload that are there.
    pub received: u64,
    /// The statement was admitted.
    pub is_done: bool,
    /// What is left of its time.
    pub age_left: Duration,
}

impl Progress {
    /// As the draft counts: in the representation, which begins with the statement.
    pub fn offset(&self) -> u64 {
        self.creation.prefix_length() + self.received
    }
}

/// The uploads of all senders.
pub struct Staging {
    limits: StagingLimits,
    known: Mutex<Known>,
    /// An upload has ended, or waits for more.
    changed: Notify,
}

#[derive(Default)]
struct Known {
    /// By identity: nobody sees, or goes on with, what another has sent.
    senders: HashMap<String, Vec<Upload>>,
    /// Statements that have come and are being judged, by sender: what becomes of them is known in a moment.
    expected: HashMap<(String, Hash), usize>,
    kept_bytes: u64,
    kept_uploads: usize,
    turns: u64,
}

struct Upload {
    creation: Arc<Creation>,
    until: Instant,
    state: State,
}

impl Upload {
    fn age_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// How far it is; `None` if it is too old, or being sent.
    fn progress(&self) -> Option<Progress> {
        let (received, is_done) = match self.state {
            State::Receiving { .. } => return None,
            State::Kept { received, .. } => (received, false),
            State::Done => (self.creation.payload_length, true),
        };
        let age_left = self.age_left();
        (!age_left.is_zero()).then(|| Progress { creation: self.creation.clone(), received, is_done, age_left })
    }
}

enum State {
    /// A request is sending. The number tells it from a later one of the same upload.
    Receiving { turn: u64, stop: Arc<Notify> },
    /// Cut off, or a part that was sent as such.
    Kept { staged: Box<dyn Staged>, received: u64 },
    /// Admitted: whoever did not hear so is told, and sends nothing again.
    Done,
}

impl Staging {
    /// Nothing is kept yet.
    pub fn new(limits: StagingLimits) -> Self {
        Self { limits, known: Mutex::default(), changed: Notify::new() }
    }

    /// How many uploads are kept that were cut off, and how many bytes of them have come.
    pub fn kept(&self) -> (usize, u64) {
        let known = self.lock();
        (known.kept_uploads, known.kept_bytes)
    }

    /// How long an upload is kept.
    pub fn age_max(&self) -> Duration {
        self.limits.age_max
    }

    /// A statement that has come and is not judged yet: whoever asks for its upload meanwhile waits, instead of being told that there is none.
    pub fn expect(self: &Arc<Self>, sender: &str, hash: Hash) -> Expected {
        let key = (sender.to_owned(), hash);
        *self.lock().expected.entry(key.clone()).or_default() += 1;
        Expected { staging: self.clone(), key }
    }

    /// Begins an upload. What was kept of an earlier one of the same statement is dropped, and who still sends it is stopped.
    pub fn begin(self: &Arc<Self>, sender: &str, creation: Creation) -> Receiving {
        let creation = Arc::new(creation);
        let mut known = self.lock();
        let dropped = known.remove(sender, &creation.hash);
        let until = Instant::now() + self.limits.age_max;
        let receiving = self.receiving(&mut known, sender, &creation.hash);
        let state = State::Receiving { turn: receiving.turn, stop: receiving.stop.clone() };
        known.senders.entry(sender.to_owned()).or_default().push(Upload { creation, until, state });
        drop(known);
        drop(dropped);
        receiving
    }

    /// How far an upload of this sender is. A request that still sends it is stopped first, as the draft recommends: its sender is here, so its
    /// connection is dead. What is told is what the next request may begin with.
    pub async fn settled(&self, sender: &str, hash: &Hash) -> Result<Progress, Refusal> {
        let end = Instant::now() + SETTLE_MAX;
        loop {
            let changed = self.changed.notified();
            {
                let known = self.lock();
                match known.find(sender, hash) {
                    None if known.expected.contains_key(&(sender.to_owned(), *hash)) => {}
                    None => return Err(gone()),
                    Some(Upload { state: State::Receiving { stop, .. }, .. }) => stop.notify_one(),
                    Some(upload) => return upload.progress().ok_or_else(gone),
                }
            }
            timeout_at(end, changed)
                .await
                .map_err(|_| Refusal::new(Kind::Overloaded, "an earlier request for this upload is being finished"))?;
        }
    }

    /// Goes on with what is kept, if it is still what was told: two that ask at once do not both go on.
    pub fn go_on(self: &Arc<Self>, sender: &str, hash: &Hash, received: u64) -> Result<(Receiving, Box<dyn Staged>), Refusal> {
        let mut known = self.lock();
        match &known.find(sender, hash).ok_or_else(gone)?.state {
            State::Kept { received: kept, .. } if *kept == received => {}
            _ => return Err(Refusal::new(Kind::Overloaded, "another request goes on with this upload")),
        }
        known.kept_bytes -= received;
        known.kept_uploads -= 1;
        let receiving = self.receiving(&mut known, sender, hash);
        let state = State::Receiving { turn: receiving.turn, stop: receiving.stop.clone() };
        let upload = known.find_mut(sender, hash).expect("it was found under this lock");
        let State::Kept { staged, .. } = std::mem::replace(&mut upload.state, state) else { unreachable!("it was kept under this lock") };
        Ok((receiving, staged))
    }

    /// True if it may be gone on with: something of it is kept, or being sent.
    pub fn is_kept(&self, sender: &str, hash: &Hash) -> bool {
        let known = self.lock();
        known.find(sender, hash).is_some_and(|upload| match upload.state {
            State::Receiving { .. } => true,
            State::Kept { .. } => !upload.age_left().is_zero(),
            State::Done => false,
        })
    }

    /// The statement is on the ledger, by whatever way: nothing has to be kept of it.
    pub fn was_admitted(&self, sender: &str, hash: &Hash) {
        let mut known = self.lock();
        let Some(Upload { state: State::Kept { received, .. }, .. }) = known.find(sender, hash) else { return };
        let received = *received;
        known.kept_bytes -= received;
        known.kept_uploads -= 1;
        let upload = known.find_mut(sender, hash).expect("it was found under this lock");
        let kept = std::mem::replace(&mut upload.state, State::Done);
        drop(known);
        drop(kept);
    }

    /// Drops the oldest of what is kept, whoever's it is, but for the upload that is given; false if there is none.
    pub fn give_up_oldest(&self, but: Option<(&str, &Hash)>) -> bool {
        let mut known = self.lock();
        let all = known.senders.iter().flat_map(|(sender, uploads)| uploads.iter().map(move |upload| (sender, upload)));
        let kept = all.filter(|(sender, upload)| {
            matches!(upload.state, State::Kept { received: 1.., .. }) && but != Some((sender.as_str(), &upload.creation.hash))
        });
        let oldest = kept.min_by_key(|(_, upload)| upload.until).map(|(sender, upload)| (sender.clone(), upload.creation.hash));
        let dropped = oldest.and_then(|(sender, hash)| known.remove(&sender, &hash));
        drop(known);
        // The file is removed before anybody looks how much room there is.
        dropped.is_some()
    }

    /// Drops an upload of this sender; false if there is none.
    pub fn cancel(&self, sender: &str, hash: &Hash) -> bool {
        let dropped = self.lock().remove(sender, hash);
        self.changed.notify_waiters();
        dropped.is_some()
    }

    /// Drops what is too old.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut dropped = Vec::new();
        let mut known = self.lock();
        let old: Vec<_> = known
            .senders
            .iter()
            .flat_map(|(sender, uploads)| uploads.iter().map(move |upload| (sender, upload)))
            .filter(|(_, upload)| upload.until <= now && !matches!(upload.state, State::Receiving { .. }))
            .map(|(sender, upload)| (sender.clone(), upload.creation.hash))
            .collect();
        for (sender, hash) in old {
            dropped.extend(known.remove(&sender, &hash));
        }
        drop(known);
        // Files are removed without holding anybody up.
        drop(dropped);
    }

    fn receiving(self: &Arc<Self>, known: &mut Known, sender: &str, hash: &Hash) -> Receiving {
        known.turns += 1;
        Receiving { staging: self.clone(), sender: sender.to_owned(), hash: *hash, turn: known.turns, stop: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops what is too old, until the appliance ends.
pub async fn sweep(staging: Arc<Staging>, mut drain: watch::Receiver<bool>) {
    while timeout(SWEEP_INTERVAL, drain.wait_for(|drain| *drain)).await.is_err() {
        let staging = staging.clone();
        // Files are removed.
        let _ = spawn_blocking(move || staging.sweep()).await;
    }
}

/// Ended, too old, somebody else's or never there: that is not told apart.
fn gone() -> Refusal {
    Refusal::new(Kind::NotFound, "no such upload is kept: put the statement again")
}

impl Known {
    fn find(&self, sender: &str, hash: &Hash) -> Option<&Upload> {
        self.senders.get(sender)?.iter().find(|upload| upload.creation.hash == *hash)
    }

    fn find_mut(&mut self, sender: &str, hash: &Hash) -> Option<&mut Upload> {
        self.senders.get_mut(sender)?.iter_mut().find(|upload| upload.creation.hash == *hash)
    }

    /// Takes an upload out. Whoever still sends it is stopped, and keeps nothing.
    fn remove(&mut self, sender: &str, hash: &Hash) -> Option<Upload> {
        let uploads = self.senders.get_mut(sender)?;
        let position = uploads.iter().position(|upload| upload.creation.hash == *hash)?;
        let upload = uploads.remove(position);
        if uploads.is_empty() {
            self.senders.remove(sender);
        }
        match &upload.state {
            State::Kept { received, .. } => {
                self.kept_bytes -= received;
                self.kept_uploads -= 1;
            }
            State::Receiving { stop, .. } => stop.notify_one(),
            State::Done => {}
        }
        Some(upload)
    }

    /// The oldest of a sender's uploads that nobody sends.
    fn oldest(&self, sender: &str, but: &Hash) -> Option<Hash> {
        let idle = |upload: &&Upload| upload.creation.hash != *but && !matches!(upload.state, State::Receiving { .. });
        self.senders.get(sender)?.iter().filter(idle).min_by_key(|upload| upload.until).map(|upload| upload.creation.hash)
    }

    fn kept_of(&self, sender: &str) -> (usize, u64) {
        let uploads = self.senders.get(sender).map_or(&[][..], Vec::as_slice);
        let bytes = |upload: &Upload| if let State::Kept { received, .. } = upload.state { received } else { 0 };
        (uploads.len(), uploads.iter().map(bytes).sum())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
