//! What a request holds of an upload while it is judged and sent: dropped without a word, it leaves nothing.
//!
//! It reads no socket.

use std::sync::Arc;

use exhibit_tlog::Hash;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Progress, SENDER_UPLOADS_MAX, Staging, StagingLimits, State, Upload, gone};
use crate::api::problem::{Kind, Refusal};
use crate::vault::Staged;

/// A statement that is being judged. Dropped, it is known what became of it.
pub struct Expected {
    pub(super) staging: Arc<Staging>,
    pub(super) key: (String, Hash),
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut known = self.staging.lock();
        if let Some(count) = known.expected.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                known.expected.remove(&self.key);
            }
        }
        drop(known);
        self.staging.changed.notify_waiters();
    }
}

/// A request that sends an upload. Dropped without a word, it leaves nothing of the upload.
pub struct Receiving {
    pub(super) staging: Arc<Staging>,
    pub(super) sender: String,
    pub(super) hash: Hash,
    pub(super) turn: u64,
    pub(super) stop: Arc<Notify>,
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
        // Where nothing may be kept, a file without a byte is too much.
        if bytes_max == 0 || received > sender_bytes_max || known.kept_bytes + received > bytes_max || known.kept_uploads >= uploads_max {
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
