//! Uploads that can be gone on with (draft-ietf-httpbis-resumable-upload-11): what has come of each, by its sender and its statement's hash.
//!
//! It reads no socket and hashes nothing: whoever completes an upload reads again what was staged. What it knows ends with the process, as what
//! is staged does: nothing here was ever acknowledged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exhibit_evidence::StreamName;
use exhibit_tlog::Hash;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::api::problem::{Kind, Refusal};
use crate::config::Config;
use crate::vault::Staged;

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
    kept_bytes: u64,
    kept_uploads: usize,
    turns: u64,
}

struct Upload {
    creation: Arc<Creation>,
    until: Instant,
    state: State,
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

    /// How long an upload is kept.
    pub fn age_max(&self) -> Duration {
        self.limits.age_max
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
                let upload = known.find(sender, hash).ok_or_else(gone)?;
                let age_left = upload.until.saturating_duration_since(Instant::now());
                let progress = |received, is_done| Progress { creation: upload.creation.clone(), received, is_done, age_left };
                match &upload.state {
                    State::Kept { .. } | State::Done if age_left.is_zero() => return Err(gone()),
                    State::Kept { received, .. } => return Ok(progress(*received, false)),
                    State::Done => return Ok(progress(upload.creation.payload_length, true)),
                    State::Receiving { stop, .. } => stop.notify_one(),
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
        staging.sweep();
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

/// A request that sends an upload. Dropped without a word, it leaves nothing of the upload.
pub struct Receiving {
    staging: Arc<Staging>,
    sender: String,
    hash: Hash,
    turn: u64,
    stop: Arc<Notify>,
}

impl Receiving {
    /// Returns when another request of the same sender wants to go on with the upload.
    pub async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// Keeps what has come. The sender's oldest make room for it, but not those of others.
    pub fn keep(self, staged: Box<dyn Staged>, received: u64) -> Result<Progress, Refusal> {
        let StagingLimits { bytes_max, sender_bytes_max, uploads_max, .. } = self.staging.limits;
        let mut dropped = Vec::new();
        let mut known = self.staging.lock();
        if !known.find(&self.sender, &self.hash).is_some_and(|upload| self.is_ours(upload)) {
            // Begun anew or cancelled meanwhile.
            return Err(gone());
        }
        loop {
            let (uploads, bytes) = known.kept_of(&self.sender);
            if uploads <= SENDER_UPLOADS_MAX && bytes + received <= sender_bytes_max {
                break;
            }
            let Some(oldest) = known.oldest(&self.sender, &self.hash) else { break };
            dropped.extend(known.remove(&self.sender, &oldest));
        }
        if received > sender_bytes_max || known.kept_bytes + received > bytes_max || known.kept_uploads >= uploads_max {
            return Err(Refusal::new(Kind::Storage, "no more can be kept of what was cut off: send it whole, or try again later"));
        }
        known.kept_bytes += received;
        known.kept_uploads += 1;
        let upload = known.find_mut(&self.sender, &self.hash).expect("it was found under this lock");
        upload.state = State::Kept { staged, received };
        let age_left = upload.until.saturating_duration_since(Instant::now());
        Ok(Progress { creation: upload.creation.clone(), received, is_done: false, age_left })
    }

    /// The statement was admitted. A sender's newest is remembered, since it waits for that answer.
    pub fn done(self) {
        let mut known = self.staging.lock();
        let Some(uploads) = known.senders.get_mut(&self.sender) else { return };
        uploads.retain(|upload| !matches!(upload.state, State::Done));
        if let Some(upload) = uploads.iter_mut().find(|upload| self.is_ours(upload)) {
            upload.state = State::Done;
        }
    }

    fn is_ours(&self, upload: &Upload) -> bool {
        matches!(upload.state, State::Receiving { turn, .. } if turn == self.turn)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let mut known = self.staging.lock();
        if known.find(&self.sender, &self.hash).is_some_and(|upload| self.is_ours(upload)) {
            known.remove(&self.sender, &self.hash);
        }
        drop(known);
        self.staging.changed.notify_waiters();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::{Object, StoredObject, VaultError};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Something staged, counted while it is there.
    struct Counted(Arc<AtomicUsize>);

    impl Staged for Counted {
        fn write(&mut self, _: &[&[u8]]) -> Result<(), VaultError> {
            Ok(())
        }
        fn written(&self) -> Result<Box<dyn StoredObject>, VaultError> {
            Err(VaultError::Read(std::io::Error::other("nothing is there")))
        }
        fn commit(self: Box<Self>, _: Object) -> Result<(), VaultError> {
            Ok(())
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    struct Scene {
        staging: Arc<Staging>,
        files: Arc<AtomicUsize>,
    }

    const AGE_MAX: Duration = Duration::from_secs(100);

    impl Scene {
        fn new(bytes_max: u64, sender_bytes_max: u64, uploads_max: usize) -> Self {
            let limits = StagingLimits { bytes_max, sender_bytes_max, uploads_max, age_max: AGE_MAX };
            Self { staging: Arc::new(Staging::new(limits)), files: Arc::default() }
        }

        fn begin(&self, sender: &str, hash: u8) -> Receiving {
            let place = (StreamName::parse("camera/102/main/1a").unwrap(), 1);
            self.staging.begin(sender, Creation { hash: Hash([hash; 32]), entry: vec![0; 92], place, knows: None, payload_length: 1000 })
        }

        fn file(&self) -> Box<dyn Staged> {
            self.files.fetch_add(1, Ordering::Relaxed);
            Box::new(Counted(self.files.clone()))
        }

        fn keep(&self, sender: &str, hash: u8, received: u64) -> Result<Progress, Refusal> {
            self.begin(sender, hash).keep(self.file(), received)
        }

        async fn received(&self, sender: &str, hash: u8) -> Option<u64> {
            self.staging.settled(sender, &Hash([hash; 32])).await.ok().map(|progress| progress.received)
        }

        fn files(&self) -> usize {
            self.files.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn a_senders_oldest_makes_room_and_nobody_elses() {
        let scene = Scene::new(1000, 300, 100);
        scene.keep("camera/1", 9, 300).unwrap();
        for hash in 1..=3 {
            scene.keep("camera/2", hash, 150).unwrap();
        }
        assert_eq!(scene.received("camera/2", 1).await, None, "a sender has more than its share");
        assert_eq!((scene.received("camera/2", 2).await, scene.received("camera/2", 3).await), (Some(150), Some(150)));
        assert_eq!(scene.received("camera/1", 9).await, Some(300), "one sender took another's room");
        assert_eq!(scene.keep("camera/2", 4, 301).unwrap_err().kind, Kind::Storage);
        assert_eq!(scene.received("camera/2", 4).await, None);
        assert_eq!(scene.files(), 1, "a file is left, or one too few");
    }

    #[tokio::test]
    async fn a_sender_keeps_few_however_small() {
        let scene = Scene::new(1000, 300, 100);
        for hash in 0..50 {
            scene.keep("camera/1", hash, 0).unwrap();
        }
        assert_eq!(scene.files(), SENDER_UPLOADS_MAX);
    }

    #[tokio::test]
    async fn all_together_keep_no_more_than_there_is_room_for() {
        let scene = Scene::new(500, 300, 100);
        scene.keep("camera/1", 1, 300).unwrap();
        assert_eq!(scene.keep("camera/2", 2, 201).unwrap_err().kind, Kind::Storage, "bytes");
        scene.keep("camera/2", 3, 200).unwrap();
        // What goes on, or has ended, makes room.
        let (receiving, staged) = scene.staging.go_on("camera/1", &Hash([1; 32]), 300).unwrap();
        drop((receiving, staged));
        scene.keep("camera/3", 4, 300).unwrap();

        let few = Scene::new(500, 300, 2);
        few.keep("camera/1", 1, 0).unwrap();
        few.keep("camera/2", 2, 0).unwrap();
        assert_eq!(few.keep("camera/3", 3, 0).unwrap_err().kind, Kind::Storage, "files");
        few.staging.cancel("camera/1", &Hash([1; 32]));
        few.keep("camera/3", 3, 0).unwrap();
        assert_eq!(few.files(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_has_its_time_from_its_first_request_on() {
        let scene = Scene::new(1000, 300, 100);
        scene.keep("camera/1", 1, 10).unwrap();
        tokio::time::advance(AGE_MAX - Duration::from_secs(1)).await;
        let (receiving, staged) = scene.staging.go_on("camera/1", &Hash([1; 32]), 10).unwrap();
        receiving.keep(staged, 20).unwrap();
        assert_eq!(scene.received("camera/1", 1).await, Some(20));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(scene.received("camera/1", 1).await, None, "to go on gives more time");
        assert_eq!(scene.files(), 1);
        scene.staging.sweep();
        assert_eq!(scene.files(), 0, "what is too old is still there");
        scene.keep("camera/1", 2, 300).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_waits_for_the_end_of_what_is_under_way() {
        let scene = Scene::new(1000, 300, 100);
        let receiving = scene.begin("camera/1", 1);
        let hears = async {
            receiving.stopped().await;
            receiving.keep(scene.file(), 70).unwrap();
        };
        let (received, ()) = tokio::join!(scene.received("camera/1", 1), hears);
        assert_eq!(received, Some(70));

        // One that hears nothing is not waited for without end.
        let _deaf = scene.begin("camera/1", 2);
        let refused = scene.staging.settled("camera/1", &Hash([2; 32])).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Overloaded);
    }

    #[tokio::test]
    async fn of_two_that_go_on_one_does() {
        let scene = Scene::new(1000, 300, 100);
        scene.keep("camera/1", 1, 50).unwrap();
        let first = scene.staging.go_on("camera/1", &Hash([1; 32]), 50);
        assert!(scene.staging.go_on("camera/1", &Hash([1; 32]), 50).is_err(), "two went on with one upload");
        let (receiving, staged) = first.unwrap();
        receiving.keep(staged, 60).unwrap();
        assert!(scene.staging.go_on("camera/1", &Hash([1; 32]), 50).is_err(), "from where it is not any more");
    }

    #[tokio::test]
    async fn what_is_begun_anew_or_dropped_is_not_kept_by_who_began_before() {
        let scene = Scene::new(1000, 300, 100);
        let first = scene.begin("camera/1", 1);
        let second = scene.begin("camera/1", 1);
        first.stopped().await;
        assert!(first.keep(scene.file(), 10).is_err());
        second.keep(scene.file(), 20).unwrap();
        assert_eq!(scene.received("camera/1", 1).await, Some(20), "the first request overwrote the second");
        let third = scene.begin("camera/1", 1);
        assert!(scene.staging.cancel("camera/1", &Hash([1; 32])));
        assert!(third.keep(scene.file(), 30).is_err(), "what was cancelled is kept");
        assert_eq!((scene.received("camera/1", 1).await, scene.files()), (None, 0));
    }

    #[tokio::test]
    async fn the_newest_that_was_admitted_is_remembered() {
        let scene = Scene::new(1000, 300, 100);
        for hash in 1..=3 {
            scene.begin("camera/1", hash).done();
        }
        let newest = scene.staging.settled("camera/1", &Hash([3; 32])).await.unwrap();
        assert_eq!((newest.is_done, newest.offset()), (true, 1100));
        assert_eq!(scene.received("camera/1", 2).await, None, "each segment of a camera stays in memory");
        assert!(scene.staging.go_on("camera/1", &Hash([3; 32]), 1000).is_err(), "it was admitted, and goes on");
    }
}
