//! Going on in the log that follows the one that was pinned: what was judged to be its successor is kept, and what the old log did not get
//! is sent to the new one.
//!
//! It does not judge: `exhibit_evidence::succession` does. Nothing but that moves a camera to another log.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use exhibit_client::{Appliance, ClientError};
use exhibit_evidence::{
    Anchor, Head, StreamName,
    succession::{Grounds, SuccessionError, SuccessorLog, Trusted, judge},
};
use exhibit_pki::RustCrypto;
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

use crate::{
    AgentError, AgentEvent,
    recipients::{Accepted, Custodians},
    recorder::Shared,
    spool::{ItemState, Spool},
    state::StateError,
    storage,
};

/// A log a year, and an anchor of a few KiB with each.
const LOGS_BYTES_MAX: u64 = 16 << 20;

/// The logs that a camera has gone on in, after the one that it pinned.
pub(crate) struct Logs {
    path: PathBuf,
    pinned: Anchor,
    /// Oldest first.
    successors: Vec<Successor>,
}

struct Successor {
    anchor: Anchor,
    /// Where the log before it ended.
    end: Head,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsFile {
    #[serde(rename = "type")]
    type_name: String,
    successors: Vec<SuccessorEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SuccessorEntry {
    anchor: String,
    end_size: u64,
    end_root: String,
}

const TYPE: &str = "exhibit-camera-logs/v1";

impl Logs {
    /// Reads them, or begins with the one that is pinned.
    pub(crate) fn open(path: &Path, pinned: &Anchor) -> Result<Self, StateError> {
        let damaged = || StateError::Damaged(path.to_owned());
        let storage = |source| StateError::Storage { path: path.to_owned(), source };
        let mut logs = Self { path: path.to_owned(), pinned: pinned.clone(), successors: Vec::new() };
        let Some(bytes) = storage::read_bounded(path, LOGS_BYTES_MAX).map_err(storage)? else { return Ok(logs) };
        let file: LogsFile = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        if file.type_name != TYPE {
            return Err(damaged());
        }
        for SuccessorEntry { anchor, end_size, end_root } in file.successors {
            let anchor = Anchor::parse(anchor.as_bytes()).map_err(|_| damaged())?;
            let end = Head { size: end_size, root: Hash::from_hex(&end_root).ok_or_else(damaged)? };
            logs.successors.push(Successor { anchor, end });
        }
        Ok(logs)
    }

    /// The log that is stated to.
    pub(crate) fn current(&self) -> &Anchor {
        self.successors.last().map_or(&self.pinned, |successor| &successor.anchor)
    }

    /// All after the pinned one, oldest first.
    pub(crate) fn successors(&self) -> impl Iterator<Item = &Anchor> {
        self.successors.iter().map(|successor| &successor.anchor)
    }

    /// All of them, newest first.
    pub(crate) fn anchors(&self) -> Vec<Anchor> {
        self.successors.iter().rev().map(|successor| &successor.anchor).chain([&self.pinned]).cloned().collect()
    }

    /// Where a log ended that another goes on for.
    pub(crate) fn end_of(&self, log: &Hash) -> Option<Head> {
        let before = std::iter::once(&self.pinned).chain(self.successors());
        before.zip(&self.successors).find(|(anchor, _)| anchor.log == *log).map(|(_, successor)| successor.end)
    }

    /// Goes on in another one, which was judged. Synced when this returns.
    fn push(&mut self, next: &SuccessorLog) -> Result<(), StateError> {
        let next = Successor { anchor: next.anchor.clone(), end: next.end };
        let entry = |Successor { anchor, end }: &Successor| SuccessorEntry {
            anchor: anchor.to_json(),
            end_size: end.size,
            end_root: end.root.to_string(),
        };
        let file = LogsFile { type_name: TYPE.to_owned(), successors: self.successors.iter().chain([&next]).map(entry).collect() };
        let json = serde_json::to_vec_pretty(&file).expect("anchors are plain data");
        storage::replace(&self.path, &json).map_err(|source| StateError::Storage { path: self.path.clone(), source })?;
        self.successors.push(next);
        Ok(())
    }
}

/// Why another log that is said to go on is not believed, or not yet.
pub(crate) struct NotBelieved {
    /// What a person has to look at.
    pub(crate) text: String,
    /// It waits for nothing but the custodians: then so does this camera.
    pub(crate) waits_for_custodians: bool,
}

/// Asks whether another log goes on for this one, and goes on in it if that is shown.
pub(crate) async fn go_on(
    shared: &Shared,
    appliance: &mut Appliance,
    in_force: Option<&Accepted>,
) -> Result<Result<bool, NotBelieved>, AgentError> {
    let (anchor, observed) = (shared.logs().current().clone(), shared.state().observed());
    let custodians = in_force.map_or_else(|| Custodians::pinned(&shared.config.pin), |accepted| accepted.next.clone());
    let record = match appliance.successor_of(&anchor.log, observed.size, &custodians.fingerprints).await {
        Ok(Some(record)) => record,
        // The link's faults are told by whoever needed it.
        Ok(None) | Err(ClientError::Unreachable { .. } | ClientError::Refused(_)) => return Ok(Ok(false)),
        Err(error) => return Ok(Err(NotBelieved { text: error.to_string(), waits_for_custodians: false })),
    };
    let trusted = Trusted {
        anchor: &anchor,
        observed,
        custodians: &custodians.fingerprints,
        threshold: custodians.threshold,
        intermediates: &shared.config.identity.chain,
        verifier: &RustCrypto,
    };
    let next = match judge(&record, &trusted) {
        Ok(next) => next,
        Err(error @ SuccessionError::NotApproved { .. }) => {
            let text = format!("another log is said to go on for this one: {error}. The others state it by `exhibit approve genesis`");
            return Ok(Err(NotBelieved { text, waits_for_custodians: true }));
        }
        Err(error) => {
            let text = format!("another log is said to go on for this one, and that is not believed: {error}");
            return Ok(Err(NotBelieved { text, waits_for_custodians: false }));
        }
    };
    // In this order: a state of the log before is none of this one.
    shared.logs().push(&next)?;
    match shared.state().go_on(next.anchor.log).map_err(AgentError::from) {
        Err(error) if error.is_full_disk() => {}
        moved => moved?,
    }
    appliance.go_on(&next.anchor);
    shared.tell(AgentEvent::WentOn {
        origin: next.anchor.verifier.origin.clone(),
        is_planned: next.grounds == Grounds::Plan,
        lost: next.lost,
    });
    if !next.same_witnesses {
        let text = "the log that goes on names other witnesses than this camera has pinned: receipts are final by the pinned ones alone"
            .to_owned();
        shared.tell(AgentEvent::Finding { stream: None, text });
    }
    Ok(Ok(true))
}

/// What was stated to logs that have ended and has no final receipt, stream by stream, in order: it is sent to the log that goes on. Each
/// stream's epoch goes first, again if need be, since a log knows a chain by its beginning; that of the `live` one also where nothing of it is
/// left, since its last segment is still to come.
pub(crate) fn left_over(spool: &Spool, current: &Hash, live: Option<&StreamName>) -> Vec<(StreamName, u64)> {
    let pending: BTreeSet<(StreamName, u64)> = spool.unsent().chain(spool.durable()).map(|(stream, seq)| (stream.clone(), seq)).collect();
    let streams: BTreeSet<&StreamName> = pending.iter().map(|(stream, _)| stream).chain(live).collect();
    let mut left = Vec::new();
    for stream in streams {
        let of_stream = || pending.iter().filter(|(of, _)| of == stream);
        // One stream is stated to one log. What can not be read is found damaged where it is sent.
        let first = of_stream().map(|(_, seq)| *seq).chain([0]).find_map(|seq| spool.entry(stream, seq).ok());
        if first.is_none_or(|signed| signed.statement().log == *current) {
            continue;
        }
        if spool.state_of(stream, 0) == Some(ItemState::Final) {
            left.push((stream.clone(), 0));
        }
        left.extend(of_stream().cloned());
    }
    left
}

/// Whether the newest epoch was stated to another log than the one that the next is stated to.
pub(crate) fn has_moved(shared: &Shared, next: &Hash) -> bool {
    let spool = shared.spool();
    let newest = spool.newest_position().and_then(|position| spool.entry(&position.stream, position.seq).ok());
    newest.is_some_and(|signed| signed.statement().log != *next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spool::tests::filled;

    /// A log knows a chain by its epoch, and refuses the last segment and the close of one that it does not know.
    #[test]
    fn the_epoch_of_the_live_stream_goes_along_where_nothing_else_of_it_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (mut spool, chain) = filled(folder.path(), 2);
        let (ended, next) = (spool.entry(chain.stream(), 0).unwrap().statement().log, Hash([9; 32]));
        for seq in 0..3 {
            spool.acknowledge(chain.stream(), seq, "a receipt").unwrap();
        }
        let live = chain.stream().clone();
        assert_eq!(left_over(&spool, &next, Some(&live)), [(live.clone(), 0)]);
        assert_eq!(left_over(&spool, &next, None), [], "a stream of an earlier run, all of which the log has");
        assert_eq!(left_over(&spool, &ended, Some(&live)), [], "no log has ended");
    }
}
