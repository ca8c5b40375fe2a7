//! When the newest head is written outside of the ledger's folder, while the ledger runs. Each seal has a thread of its own: a TPM may take a
//! second, and nobody who appends waits for it.
//!
//! It does not know what seals are, and start has compared them before (recover).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::checkpoint::Published;
use crate::{HeadSeal, LedgerError};

/// The seals of a running ledger.
pub(crate) struct Sealing {
    seals: Vec<TimedSeal>,
}

struct TimedSeal {
    interval_s: u64,
    next_s: Option<u64>,
    /// Taken at the end.
    heads: Option<SyncSender<Arc<Published>>>,
    thread: Option<JoinHandle<()>>,
}

impl Sealing {
    /// `sealed_size` is what start has sealed.
    pub fn new(seals: Vec<Arc<dyn HeadSeal>>, sealed_size: u64) -> Result<Self, LedgerError> {
        let seals = seals.into_iter().map(|seal| TimedSeal::start(seal, sealed_size)).collect::<Result<_, _>>()?;
        Ok(Self { seals })
    }

    /// Seals what is due, without waiting for it. The first interval begins with the first batch. A clock that was set back seals early.
    pub fn offer(&mut self, now_s: u64, published: impl Fn() -> Option<Arc<Published>>) {
        for seal in &mut self.seals {
            let next_s = *seal.next_s.get_or_insert(now_s.saturating_add(seal.interval_s));
            let is_due = now_s >= next_s || next_s - now_s > seal.interval_s;
            // While the one before is still being written, it stays due.
            if is_due
                && let (Some(heads), Some(published)) = (&seal.heads, published())
                && heads.try_send(published).is_ok()
            {
                seal.next_s = Some(now_s.saturating_add(seal.interval_s));
            }
        }
    }

    /// Seals the last head everywhere, and waits for it.
    pub fn finish(self, published: Option<Arc<Published>>) {
        for seal in &self.seals {
            if let (Some(heads), Some(published)) = (&seal.heads, &published) {
                // A thread that is gone has said so.
                let _ = heads.send(published.clone());
            }
        }
    }
}

impl TimedSeal {
    fn start(seal: Arc<dyn HeadSeal>, sealed_size: u64) -> Result<Self, LedgerError> {
        let interval_s = seal.interval_s();
        let (heads, receiver) = sync_channel(1);
        let thread = std::thread::Builder::new().name("ledger-seal".into()).spawn(move || write_all(&*seal, &receiver, sealed_size));
        let thread = thread.map_err(|error| LedgerError::Stopped(format!("the thread of a seal could not be started: {error}")))?;
        Ok(Self { interval_s, next_s: None, heads: Some(heads), thread: Some(thread) })
    }
}

impl Drop for TimedSeal {
    fn drop(&mut self) {
        drop(self.heads.take());
        if let Some(thread) = self.thread.take() {
            // A panic in a seal takes nothing from what is durable.
            let _ = thread.join();
        }
    }
}

/// A seal that can not be written now takes nothing from what is durable: what is sealed is merely older. What is sealed already is not
/// written again: the cells of a TPM wear.
fn write_all(seal: &dyn HeadSeal, heads: &Receiver<Arc<Published>>, mut sealed_size: u64) {
    for published in heads {
        if published.head.size == sealed_size {
            continue;
        }
        match seal.write(&published.head, &published.note) {
            Ok(()) => sealed_size = published.head.size,
            Err(error) => {
                tracing::error!(%error, "the head could not be sealed: until it is, a rollback to an older copy would go unnoticed");
            }
        }
    }
}
