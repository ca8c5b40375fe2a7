//! Witnessing: others cosign the log's checkpoints (C2SP tlog-witness), and a receipt is final once enough of them have. Mirrors (tlog-mirror) do
//! so once they have a copy of every entry.
//!
//! It stands beside the intake and never in its way. What it holds is no secret and can be collected again.

mod ask;
pub mod collect;
pub mod known;
pub mod mirror;
pub(crate) mod peer;
pub mod stamp;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use exhibit_ledger::{Ledger, LedgerError};
use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;
use exhibit_tlog::witness::add_cosignatures;
use exhibit_tlog::{Checkpoint, LogProof, LogVerifier, NoteError, Policy, VerifierKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use mirror::Mirror;

/// A checkpoint with the cosignatures that were collected for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The note: the log's lines, and those of witnesses.
    pub note: String,
    /// Its head.
    pub head: Checkpoint,
}

/// What is known of the witnesses and of what they have cosigned.
pub struct Witnessing {
    log: LogVerifier,
    policy: Option<Policy>,
    mirrors: Vec<Mirror>,
    /// Where witnesses show what they have cosigned, by their URLs, where that is not the same.
    monitoring: BTreeMap<String, String>,
    /// False where the policy demands no cosignature, or there is none: then every receipt is final.
    is_gated: bool,
    file: PathBuf,
    keeping: Mutex<()>,
    state: watch::Sender<State>,
    /// Size of the newest checkpoint that satisfies the policy.
    final_size: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// What is being collected for.
    collecting: Option<Arc<Cosigned>>,
    /// The newest that satisfies the policy.
    witnessed: Option<Arc<Cosigned>>,
    standings: Vec<Standing>,
    mirrors: Vec<Standing>,
}

/// How it stands with one witness or mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// What the policy calls a witness: a name for each of its keys. Of a mirror, the name in its keys.
    pub names: Vec<String>,
    /// Where it is asked; `null` for a witness that the policy gives no address.
    pub url: Option<String>,
    /// The size of the last checkpoint that it has cosigned for us.
    pub size: Option<u64>,
    /// What it has said last.
    pub state: WitnessState,
    /// Why, for people.
    pub detail: String,
    /// Since when it has been in this state, seconds since the Unix epoch.
    pub since_unix_s: u64,
}

/// What a witness or mirror has said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessState {
    /// Nothing yet.
    Unasked,
    /// It has cosigned.
    Cosigned,
    /// A mirror that does not have all entries yet, and takes them.
    Filling,
    /// It can not be reached, or can not answer now.
    Unreachable,
    /// It does not follow this log, or not with these keys.
    Refuses,
    /// It has cosigned a tree that ours does not extend: an older disk was brought back, or the log was forked.
    Contradicts,
}

impl WitnessState {
    /// In a word or two, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unasked => "not asked yet",
            Self::Cosigned => "cosigns",
            Self::Filling => "is being filled",
            Self::Unreachable => "can not be reached",
            Self::Refuses => "refuses",
            Self::Contradicts => "CONTRADICTS this log",
        }
    }
}

/// The whole of it, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WitnessesStatus")]
pub struct Status {
    /// True where receipts wait for witnesses.
    pub is_gated: bool,
    /// Entries on the log.
    pub size: u64,
    /// Entries whose receipts are final.
    pub final_size: u64,
    /// True if a witness has seen another log than this one: nothing of it can be trusted before that is explained.
    pub contradicted: bool,
    /// Each witness.
    pub witnesses: Vec<Standing>,
    /// Each mirror.
    pub mirrors: Vec<Standing>,
}

impl Witnessing {
    /// Goes on from what was collected before. `file` keeps the newest checkpoint that satisfies the policy.
    pub fn open(policy: Option<Policy>, mirrors: Vec<Mirror>, log: LogVerifier, ledger: &Ledger, file: PathBuf) -> Self {
        let is_gated = match (&policy, ledger.checkpoint()) {
            (Some(policy), Some((note, _))) => policy.verify_of(&log, &note).is_err(),
            (policy, _) => policy.is_some(),
        };
        let mut state = State { mirrors: mirrors.iter().map(mirror_standing).collect(), ..State::default() };
        if let Some(policy) = &policy {
            state.witnessed = read_kept(policy, &log, ledger, &file).map(Arc::new);
            state.standings = standings(policy, &mirrors);
        }
        let size = state.witnessed.as_ref().map_or(0, |witnessed| witnessed.head.size);
        Self {
            log,
            policy,
            mirrors,
            monitoring: BTreeMap::new(),
            is_gated,
            file,
            keeping: Mutex::default(),
            state: watch::Sender::new(state),
            final_size: watch::Sender::new(size),
        }
    }

    /// With the monitoring prefixes of witnesses, by their URLs in the policy.
    #[must_use]
    pub fn monitored_at(self, monitoring: BTreeMap<String, String>) -> Self {
        Self { monitoring, ..self }
    }

    /// The receipt of the entry at `index`, and whether it is final: then under a checkpoint that satisfies the policy, else under the newest.
    pub fn receipt(&self, ledger: &Ledger, index: u64) -> Result<Option<(String, bool)>, LedgerError> {
        if !self.is_gated {
            return Ok(ledger.receipt(index)?.map(|receipt| (receipt, true)));
        }
        if let Some(witnessed) = self.witnessed().filter(|witnessed| index < witnessed.head.size)
            && let Some(path) = ledger.inclusion(index, witnessed.head.size)?
        {
            return Ok(Some((LogProof { index, path, checkpoint: witnessed.note.clone() }.to_text(), true)));
        }
        Ok(ledger.receipt(index)?.map(|receipt| (receipt, false)))
    }

    /// The newest checkpoint that satisfies the policy.
    pub fn witnessed(&self) -> Option<Arc<Cosigned>> {
        self.state.borrow().witnessed.clone()
    }

    /// The newest checkpoint, with the cosignatures that it has by now.
    pub fn newest(&self, ledger: &Ledger) -> Option<String> {
        let (note, head) = ledger.checkpoint()?;
        let state = self.state.borrow();
        let known = state.collecting.iter().chain(&state.witnessed).find(|cosigned| cosigned.head == head);
        Some(known.map_or_else(|| note.as_ref().to_owned(), |cosigned| cosigned.note.clone()))
    }

    /// Told of each growth of what is final.
    pub fn final_size(&self) -> watch::Receiver<u64> {
        self.final_size.subscribe()
    }

    /// How it stands.
    pub fn status(&self, ledger: &Ledger) -> Status {
        let size = ledger.size();
        let state = self.state.borrow();
        let witnessed = state.witnessed.as_ref().map_or(0, |witnessed| witnessed.head.size);
        Status {
            is_gated: self.is_gated,
            size,
            final_size: if self.is_gated { witnessed } else { size },
            contradicted: state.standings.iter().chain(&state.mirrors).any(|standing| standing.state == WitnessState::Contradicts),
            witnesses: state.standings.clone(),
            mirrors: state.mirrors.clone(),
        }
    }

    /// Waits until it stands so; looks again when a witness or mirror has answered.
    pub async fn until(&self, ledger: &Ledger, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut changes = self.state.subscribe();
        loop {
            // Before the look, so that what changes meanwhile is looked at again.
            changes.mark_unchanged();
            let status = self.status(ledger);
            if wanted(&status) {
                return status;
            }
            changes.changed().await.expect("the sender is in self");
        }
    }

    /// From now on cosignatures are collected for this checkpoint.
    fn begin(&self, note: &str, head: &Checkpoint) {
        self.state.send_if_modified(|state| {
            let is_new = state.collecting.as_ref().is_none_or(|collecting| collecting.head != *head);
            if is_new {
                state.collecting = Some(Arc::new(Cosigned { note: note.to_owned(), head: head.clone() }));
            }
            is_new
        });
    }

    /// Takes a witness's answer on a checkpoint, each line verified. One that came too late for anything is passed over.
    fn deliver(&self, head: &Checkpoint, lines: &str, keys: &[VerifierKey]) -> Result<(), NoteError> {
        let mut delivered = Ok(false);
        self.state.send_if_modified(|state| {
            delivered = self.take(state, head, lines, keys);
            delivered.is_ok()
        });
        if delivered? {
            // Another answer may have come in between, with more.
            self.final_size.send_if_modified(|size| std::mem::replace(size, head.size.max(*size)) < head.size);
            self.keep();
        }
        Ok(())
    }

    /// The same with the state in hand; true if there is a newer checkpoint that satisfies the policy, or one with more cosignatures.
    fn take(&self, state: &mut State, head: &Checkpoint, lines: &str, keys: &[VerifierKey]) -> Result<bool, NoteError> {
        let known = state.collecting.iter().chain(&state.witnessed).find(|cosigned| cosigned.head == *head).cloned();
        let Some(known) = known else { return Ok(false) };
        let cosigned = Arc::new(Cosigned { note: add_cosignatures(&known.note, lines, keys)?, head: head.clone() });
        if state.collecting.as_ref().is_some_and(|collecting| collecting.head == *head) {
            state.collecting = Some(cosigned.clone());
        }
        let is_newest = state.witnessed.as_ref().is_none_or(|witnessed| witnessed.head.size <= head.size);
        let satisfies = |policy: &Policy| policy.verify_of(&self.log, &cosigned.note).is_ok();
        if !is_newest || !self.policy.as_ref().is_some_and(satisfies) {
            return Ok(false);
        }
        state.witnessed = Some(cosigned);
        Ok(true)
    }

    /// Not synced: what is lost is collected again, and what is torn does not verify.
    fn keep(&self) {
        // One after the other, and each the newest.
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(witnessed) = self.witnessed() else { return };
        let aside = self.file.with_extension("part");
        let kept = std::fs::write(&aside, &witnessed.note).and_then(|()| std::fs::rename(&aside, &self.file));
        if let Err(error) = kept {
            tracing::warn!(%error, file = %self.file.display(), "the witnessed checkpoint could not be kept");
        }
    }

    /// Evidence: the log has signed it, and this ledger does not fit it. Beside what is witnessed.
    fn keep_contradicting(&self, note: &str) {
        let path = self.file.with_file_name(CONTRADICTING);
        // The first is evidence enough.
        if path.exists() {
            return;
        }
        // Whole or not at all: a torn one would be taken for evidence.
        let aside = path.with_extension("part");
        let written = std::fs::File::create(&aside).and_then(|mut file| file.write_all(note.as_bytes()).and_then(|()| file.sync_all()));
        match written.and_then(|()| std::fs::rename(&aside, &path)) {
            Ok(()) => {
                tracing::error!(path = %path.display(), "a checkpoint that the log has signed, and that contradicts this ledger, is kept")
            }
            Err(error) => tracing::error!(%error, path = %path.display(), "a checkpoint that contradicts this ledger could not be kept"),
        }
    }
}

/// What convicts the log, in the state folder.
const CONTRADICTING: &str = "contradicting-checkpoint";

/// Witnesses by address: one that signs with several keys has a line for each, and is asked once. What mirrors sign comes from feeding them.
fn standings(policy: &Policy, mirrors: &[Mirror]) -> Vec<Standing> {
    let mut standings: Vec<Standing> = Vec::new();
    let is_mirror = |key: &VerifierKey| mirrors.iter().any(|mirror| mirror.keys.contains(key));
    for witness in policy.witnesses().iter().filter(|witness| !is_mirror(&witness.key)) {
        let known = standings.iter_mut().find(|standing| standing.url.is_some() && standing.url == witness.url);
        match known {
            Some(standing) => standing.names.push(witness.name.clone()),
            None => standings.push(Standing {
                detail: if witness.url.is_some() { String::new() } else { "the policy does not say where it is reached".to_owned() },
                ..unasked(witness.name.clone(), witness.url.clone())
            }),
        }
    }
    standings
}

fn mirror_standing(mirror: &Mirror) -> Standing {
    unasked(mirror.keys.first().map_or_else(String::new, |key| key.name().to_owned()), Some(mirror.url.clone()))
}

fn unasked(name: String, url: Option<String>) -> Standing {
    Standing { names: vec![name], url, size: None, state: WitnessState::Unasked, detail: String::new(), since_unix_s: 0 }
}

/// What was kept, if it is of this log as it is and satisfies the policy as it is.
fn read_kept(policy: &Policy, log: &LogVerifier, ledger: &Ledger, file: &Path) -> Option<Cosigned> {
    let length = std::fs::metadata(file).ok()?.len();
    let note = (length <= NOTE_SIZE_BYTES_MAX as u64).then(|| std::fs::read_to_string(file).ok()).flatten()?;
    let head = policy.verify_of(log, &note).ok()?.checkpoint().clone();
    let is_ours = ledger.root_at(head.size).ok().flatten() == Some(head.root);
    is_ours.then_some(Cosigned { note, head })
}
