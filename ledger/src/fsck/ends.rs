//! The rows that say where the ledger ends: the tree's size and peaks, and the entry that the log has ended with.
//!
//! The ledger may have grown beyond the checkpoint by a batch: what is there then is compared with itself.

use std::collections::BTreeSet;

use exhibit_tlog::root_at;

use super::{Damage, Run};
use crate::LedgerError;
use crate::store::TileReader;

impl Run<'_> {
    pub(super) fn check_ends(&self, damages: &mut BTreeSet<Damage>) {
        let mut found = |part, name, defect: String| {
            damages.insert(Damage::new(part, name, defect));
        };
        let size = match self.check_tree() {
            Ok(Ok(size)) => size,
            Ok(Err(defect)) => return found("tree", "edge", defect),
            Err(error) => return found("tree", "edge", error.to_string()),
        };
        match self.check_last(size) {
            Ok(None) => {}
            Ok(Some(defect)) => found("last", "entry", defect),
            Err(error) => found("last", "entry", error.to_string()),
        }
    }

    /// The size of the tree that is stored, or what is wrong with its row.
    fn check_tree(&self) -> Result<Result<u64, String>, LedgerError> {
        let (tree, head) = (self.store.tree()?, self.tiles.head());
        if tree.size() < head.size {
            return Ok(Err(format!("its row has {} entries, and {} were signed", tree.size(), head.size)));
        }
        // A damaged tile has a name of its own: without it there is nothing to compare with.
        let root = if tree.size() == head.size { Ok(head.root) } else { root_at(&TileReader::new(self.store), tree.size()) };
        if root.is_ok_and(|root| root != tree.root()) {
            return Ok(Err(format!("the peaks in its row are not those of the tree of {} entries", tree.size())));
        }
        let last = self.store.last_index()?;
        if last.is_some_and(|last| last >= tree.size()) {
            return Ok(Err(format!("its row has {} entries, and there is one behind them", tree.size())));
        }
        Ok(Ok(tree.size()))
    }

    /// What is wrong with the row of the last entry.
    fn check_last(&self, size: u64) -> Result<Option<String>, LedgerError> {
        let Some(newest) = size.checked_sub(1) else { return Ok(None) };
        let named = self.store.last()?;
        if named.is_some_and(|named| named != newest) {
            return Ok(named.map(|named| format!("it names entry {named}, and the newest is {newest}: a log ends with its last entry")));
        }
        // An entry that is missing or can not be read has a name of its own.
        let claim = self.store.entry(newest)?.and_then(|entry| self.fsck.owner.claim(&entry).ok());
        Ok(match (named, claim) {
            (Some(_), Some(claim)) if !claim.is_last => {
                Some(format!("it says that the log has ended with entry {newest}, which does not end it"))
            }
            (None, Some(claim)) if claim.is_last => Some(format!("it is missing, and entry {newest} ends the log")),
            _ => None,
        })
    }
}
