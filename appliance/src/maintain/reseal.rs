//! A seal begun anew, where the one before was lost or is to lie elsewhere: on the operator's word that the ledger is the newest.
//!
//! The word counts only where nothing is sealed. A seal that has a head has to be contained in the ledger, as at every start.

use std::sync::Arc;

use exhibit_ledger::{HeadSeal, Ledger, Options, SealError, SealedHead};
use exhibit_tlog::{Checkpoint, EMPTY_ROOT};

use crate::setup::SetupError;
use crate::state_lock::LockedFolder;

/// Seals the present head in every place that has none or an older one of it; refused like a start, and without a change, where any has
/// another.
pub fn accept_present_head(folder: &LockedFolder) -> Result<(), SetupError> {
    let (anchor, config) = (folder.anchor()?, folder.config()?);
    let options = folder.options(&anchor.verifier.origin, &config)?;
    let seals = options.seals.into_iter().map(|seal| Arc::new(Accepting(seal)) as Arc<dyn HeadSeal>).collect();
    drop(Ledger::open(&folder.ledger_path(), Options { seals, ..options })?);
    Ok(())
}

/// Where nothing is sealed, the empty head counts as sealed: every log has grown from it.
struct Accepting(Arc<dyn HeadSeal>);

impl HeadSeal for Accepting {
    fn read(&self) -> Result<Option<SealedHead>, SealError> {
        Ok(self.0.read()?.or(Some(SealedHead { size: 0, root: EMPTY_ROOT })))
    }

    fn write(&self, head: &Checkpoint, note: &str) -> Result<(), SealError> {
        self.0.write(head, note)
    }

    fn interval_s(&self) -> u64 {
        self.0.interval_s()
    }

    fn claim(&self) -> Result<(), SealError> {
        self.0.claim()
    }
}
