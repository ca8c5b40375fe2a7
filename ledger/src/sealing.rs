//! When the newest head is written outside of the ledger's folder, while the ledger runs. Each seal has a thread of its own: a TPM may take a
//! second, and nobody who appends waits for it.
//!
//! It does not know what seals are, and start has compared them before (recover).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::checkpoint::Published;
use crate::{HeadSeal, LedgerError};

/// The seals of a running ledger.
pub(crate) struct Sealing {
    seals: Vec<TimedSeal>,
}

struct TimedSeal {
    interval_s: u64,
    next_s: u64,
    /// What is sealed. The seal's thread says so.
    sealed_size: Arc<AtomicU64>,
    /// Taken at the end.
    heads: Option<SyncSender<Arc<Published>>>,
    thread: Option<JoinHandle<()>>,
}

impl Sealing {
    /// `sealed_size` is what start has sealed, at `now_s`.
    pub fn new(seals: Vec<Arc<dyn HeadSeal>>, sealed_size: u64, now_s: u64) -> Result<Self, LedgerError> {
        let seals = seals.into_iter().map(|seal| TimedSeal::start(seal, sealed_size, now_s)).collect::<Result<_, _>>()?;
        Ok(Self { seals })
    }

    /// Seals what is due, without waiting for it. The first interval begins with the start. A clock that was set back seals early.
    pub fn offer(&mut self, now_s: u64, published: Option<&Arc<Published>>) {
        let Some(published) = published else { return };
        for seal in self.seals.iter_mut().filter(|seal| seal.is_behind(published)) {
            let is_due = now_s >= seal.next_s || seal.next_s - now_s > seal.interval_s;
            // While the one before is still being written, it stays due.
            if is_due
                && let Some(heads) = &seal.heads
                && heads.try_send(published.clone()).is_ok()
            {
                seal.next_s = now_s.saturating_add(seal.interval_s);
            }
        }
    }

    /// How soon to offer again though no entry comes: a log that falls quiet is sealed all the same. `None` where all is sealed.
    pub fn look_after(&self, published: Option<&Arc<Published>>) -> Option<Duration> {
        let published = published?;
        self.seals.iter().any(|seal| seal.next_s < u64::MAX && seal.is_behind(published)).then_some(LOOK)
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
    fn start(seal: Arc<dyn HeadSeal>, sealed_size: u64, now_s: u64) -> Result<Self, LedgerError> {
        let interval_s = seal.interval_s();
        let (heads, receiver) = sync_channel(1);
        let sealed_size = Arc::new(AtomicU64::new(sealed_size));
        let sealed = sealed_size.clone();
        let thread = std::thread::Builder::new().name("ledger-seal".into()).spawn(move || write_all(&*seal, &receiver, &sealed));
        let thread = thread.map_err(|error| LedgerError::Stopped(format!("the thread of a seal could not be started: {error}")))?;
        let next_s = now_s.saturating_add(interval_s);
        Ok(Self { interval_s, next_s, sealed_size, heads: Some(heads), thread: Some(thread) })
    }

    fn is_behind(&self, published: &Published) -> bool {
        self.sealed_size.load(Ordering::Relaxed) < published.head.size
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
fn write_all(seal: &dyn HeadSeal, heads: &Receiver<Arc<Published>>, sealed_size: &AtomicU64) {
    for published in heads {
        if published.head.size == sealed_size.load(Ordering::Relaxed) {
            continue;
        }
        match seal.write(&published.head, &published.note) {
            Ok(()) => sealed_size.store(published.head.size, Ordering::Relaxed),
            Err(error) => {
                tracing::error!(%error, "the head could not be sealed: until it is, a rollback to an older copy would go unnoticed");
            }
        }
    }
}

/// How often a quiet log looks at the clock, while there is something to seal: the least interval of a seal is sixty times as long.
const LOOK: Duration = Duration::from_secs(1);
