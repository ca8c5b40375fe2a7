//! One round: the newest checkpoint, its consistency with what was seen before, and every entry up to it.
//!
//! It prints nothing: findings come back, and progress is told to whoever wants it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use exhibit_client::WebError;
use exhibit_evidence::Anchor;
use exhibit_tlog::tile::{BundleId, TILE_WIDTH, TileId, decode_bundle};
use exhibit_tlog::{Checkpoint, Hash, root_of};
use serde_json::json;
use tokio::task::{JoinHandle, spawn_blocking};

use super::finding::{Finding, Kind};
use super::heads;
use super::judge::{Judge, Observation, Parsed, certificates_of, others_of, parse};
use super::lateness::{self, Pace, Patience};
use super::memory::Memory;
use super::proven::{ProvenTiles, Unproven, of_resource};
use super::source::{CERTIFICATE_BYTES_MAX, OTHER_BYTES_MAX, PARALLEL, Source};
use super::state::{OPEN_MAX, State};
use super::tree::Tree;
use super::withheld::Behind;
use crate::failure::Failure;

/// Entries of a bundle.
const WIDTH: u64 = TILE_WIDTH as u64;
/// Bundles between two saves of a long run: a crash repeats a few seconds of work.
const SAVE_BUNDLES: u64 = 64;
/// Findings that one round tells: a log with a million bad entries takes no memory for them.
const TOLD_MAX: usize = 10_000;

/// What a round was about.
pub struct Audit {
    /// What is trusted.
    pub anchor: Anchor,
    /// Where the log's tiles and entries come from.
    pub source: Arc<Source>,
    /// Where what stands beside a log comes from: attachments, and what witnesses have seen. The same, unless the log is read from a mirror.
    pub beside: Arc<Source>,
    /// What `timestamp` statements attach is to be had: by whoever is known to the log, and of a folder.
    pub judges_stamps: bool,
    /// Only its hashes are to be had.
    pub hashes_only: bool,
    /// How long what may take.
    pub patience: Patience,
}

/// What came of a round.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found in it; at most `TOLD_MAX` of entries.
    pub findings: Vec<Finding>,
    /// How many more there are, in `findings.jsonl`.
    pub more: u64,
    /// Why it did not come to its end, where that is no news of the log.
    pub unavailable: Option<String>,
    /// The signed size.
    pub size: u64,
    /// Entries that were judged in it.
    pub judged: u64,
    /// Entries behind something that is not there, which were looked at, and are judged again once it is.
    pub behind: u64,
    /// How many of them hang on what is not there.
    pub undecided: u64,
    /// Findings about the log as a whole, which are kept at the end.
    pub(super) of_log: Vec<Finding>,
}

/// Why a round ends early.
pub(super) enum Stop {
    Finding(Finding),
    Unavailable(String),
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Unproven> for Stop {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Finding(finding) => Self::Finding(finding),
            Unproven::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

/// A bundle as far as it is what was signed.
struct Shown {
    leaves: Vec<Hash>,
    /// In the order of the leaves; nothing where an entry is not there. Empty where only hashes are looked at.
    entries: Vec<Option<Vec<u8>>>,
    /// Why not all of it is there.
    lacking: Vec<Finding>,
}

/// What was judged before the bundle in which the first thing is not there: all that is kept of a round that met one.
struct Before {
    tree: Tree,
    memory: Memory,
    /// How much was found by then, or was found since and is kept.
    findings: usize,
    /// How much of that was found since.
    kept: usize,
}

/// What is not on disk yet.
#[derive(Default)]
struct Unsaved {
    findings: Vec<Finding>,
    /// Set where something was not there: nothing that was judged since is kept, but what was found.
    before: Option<Before>,
}

impl Unsaved {
    /// What is behind is looked at in every round until all is there: alarms are told once, as many as are kept open, and the rest when it is judged
    /// for good. `findings` is how many were looked at here already.
    fn bound(&mut self, state: &State, outcome: &mut Outcome) {
        let Some(before) = &mut self.before else { return };
        let again = self.findings.split_off(before.findings);
        for finding in again {
            let is_new = state.is_alarm(finding.kind) && !state.open.contains(&finding);
            if !is_new && finding.index.is_some() {
                continue;
            }
            if state.open.len() + before.kept < OPEN_MAX {
                before.kept += 1;
                self.findings.push(finding);
            } else {
                outcome.more += 1;
            }
        }
        before.findings = self.findings.len();
    }
}

/// What was got of a bundle.
struct Got {
    entries: Result<(Vec<u8>, u16), WebError>,
    tile: Option<Result<Vec<Hash>, WebError>>,
}

impl Audit {
    /// Runs a round. `progress` is told how many of how many entries are judged.
    pub async fn round(&self, state: &mut State, now_ms: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        let stopped = self.judge(state, now_ms, &mut outcome, progress).await;
        match stopped {
            Ok(()) => {}
            Err(Stop::Finding(finding)) => outcome.of_log.push(finding),
            Err(Stop::Unavailable(reason)) => outcome.unavailable = Some(reason),
            Err(Stop::Failure(failure)) => return Err(failure),
        }
        let of_log = std::mem::take(&mut outcome.of_log);
        state.save(&of_log)?;
        outcome.findings.extend(of_log);
        Ok(outcome)
    }

    async fn judge(&self, state: &mut State, now_ms: u64, outcome: &mut Outcome, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Stop> {
        let heads::Shown { newest, witnessed_ms } = self.shown(state, outcome).await?;
        let head = newest.head.clone();
        self.went_back(state, &newest)?;
        let before = self.proven(state)?;
        let mut tiles = ProvenTiles::new(&self.source, &head).await?;
        self.extends(state, &mut tiles, &newest, outcome).await?;
        // From here on the log is held to this checkpoint, however far its entries are judged.
        if before.is_none_or(|before| before.head.size < head.size) {
            state.grown_ms = now_ms;
        }
        let is_first = state.tree.size() == 0;
        state.save(&[])?;
        let behind = self.entries(state, &mut tiles, &head, outcome, progress).await?;
        let known = behind.as_ref().unwrap_or(&state.memory);
        if is_first && known.rest.issued_ms > 0 {
            // What came before the first run came when it says, and not now.
            state.grown_ms = known.rest.issued_ms.min(now_ms);
        }
        let pace = Pace {
            now_ms,
            grown_ms: state.grown_ms,
            witnessed_ms,
            expects_timestamps: !self.anchor.policy.timestamp_authorities.is_empty(),
        };
        outcome.of_log.extend(lateness::judge(&pace, known, &self.patience));
        Ok(())
    }

    /// True where tiles and entries come from somebody else than what stands beside the log.
    pub(super) fn is_mirror(&self) -> bool {
        !Arc::ptr_eq(&self.source, &self.beside)
    }

    /// Every entry that was not judged yet, in the order of the log. Gives what is known with all that is behind something that is not there, if
    /// anything is not: of that nothing is kept.
    async fn entries(
        &self,
        state: &mut State,
        tiles: &mut ProvenTiles<'_>,
        head: &Checkpoint,
        outcome: &mut Outcome,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Memory>, Stop> {
        let bundles = head.size.div_ceil(WIDTH);
        let mut next = state.tree.size() / WIDTH;
        let mut under_way: VecDeque<JoinHandle<Got>> = VecDeque::new();
        let mut judge = Judge::new(self.anchor.clone(), std::mem::take(&mut state.memory), self.judges_stamps);
        let mut unsaved = Unsaved::default();
        let mut stopped = Ok(());
        let (mut bundle, mut saved) = (next, next);
        while bundle < bundles && state.tree.size() < head.size {
            while next < bundles && under_way.len() < PARALLEL {
                under_way.push_back(self.begin(next, head.size));
                next += 1;
            }
            let got = under_way.pop_front().expect("at least this bundle is under way").await.expect("getting a bundle does not panic");
            let already = state.tree.size();
            let judged = self.bundle(state, tiles, bundle, got, judge, &mut unsaved).await;
            judge = judged.0;
            let new = state.tree.size() - already;
            if unsaved.before.is_none() {
                outcome.judged += new
            } else {
                outcome.behind += new
            }
            if let Err(stop) = judged.1 {
                stopped = Err(stop);
                break;
            }
            unsaved.bound(state, outcome);
            bundle += 1;
            progress(state.tree.size(), head.size);
            if bundle - saved >= SAVE_BUNDLES && bundle < bundles && unsaved.before.is_none() {
                keep(state, &mut judge, &mut unsaved.findings, outcome)?;
                saved = bundle;
            }
        }
        under_way.iter().for_each(JoinHandle::abort);
        if stopped.is_ok() && state.tree.root() != head.root {
            // Every new leaf was proven under the new root, so what differs was there before.
            let sentence = format!("The log of {} entries does not extend what was judged before.", head.size);
            stopped = Err(Stop::Finding(Finding::new(Kind::Forked, sentence)));
        }
        outcome.undecided = judge.behind.as_ref().map_or(0, |behind| behind.undecided);
        unsaved.bound(state, outcome);
        let behind = unsaved.before.map(|Before { tree, memory, .. }| {
            state.tree = tree;
            std::mem::replace(&mut judge.memory, memory)
        });
        keep(state, &mut judge, &mut unsaved.findings, outcome)?;
        state.memory = judge.memory;
        stopped.map(|()| behind)
    }

    fn begin(&self, bundle: u64, size: u64) -> JoinHandle<Got> {
        let width = u16::try_from((size - bundle * WIDTH).min(WIDTH)).expect("at most 256");
        let (source, hashes_only) = (self.source.clone(), self.hashes_only);
        tokio::spawn(async move {
            // The tile at the edge was got first of all.
            let tile =
                async { if width == TILE_WIDTH { Some(source.tile(TileId { level: 0, index: bundle, width }).await) } else { None } };
            if hashes_only {
                return Got { entries: Ok((Vec::new(), 0)), tile: tile.await };
            }
            let (entries, tile) = tokio::join!(source.bundle(BundleId { index: bundle, width }), tile);
            Got { entries, tile }
        })
    }

    /// Proves and judges a bundle. The judge comes back whatever comes of it. At the first thing that is not there, what was judged before it is set
    /// aside.
    async fn bundle(
        &self,
        state: &mut State,
        tiles: &mut ProvenTiles<'_>,
        bundle: u64,
        got: Got,
        judge: Judge,
        unsaved: &mut Unsaved,
    ) -> (Judge, Result<(), Stop>) {
        let Unsaved { findings, before } = unsaved;
        let Shown { leaves, entries, mut lacking } = match self.prove(tiles, bundle, got, findings).await {
            Ok(shown) => shown,
            Err(stop) => return (judge, Err(stop)),
        };
        let known = usize::try_from(state.tree.size() % WIDTH).expect("below 256");
        if leaves[..known] != *state.tree.open() {
            let sentence = format!("The first entries of bundle {bundle} are others than they were.");
            return (judge, Err(Stop::Finding(Finding::new(Kind::Forked, sentence))));
        }
        let first = state.tree.size();
        let new: Vec<Option<Vec<u8>>> = entries.into_iter().skip(known).collect();
        let parsed = spawn_blocking(move || parse(&new)).await.expect("parsing does not panic");
        let stored = match self.attached(&parsed, first == 0, &mut lacking).await {
            Ok(stored) => stored,
            Err(stop) => return (judge, Err(stop)),
        };
        let mut judge = judge;
        if !lacking.is_empty() && before.is_none() {
            *before = Some(Before { tree: state.tree.clone(), memory: judge.memory.clone(), findings: findings.len(), kept: 0 });
            // Of a bundle or a certificate nobody knows whose it is.
            let from = lacking.iter().map(|finding| finding.index.unwrap_or(first)).min().unwrap_or(first);
            judge.behind = Some(Behind::new(from));
        }
        findings.append(&mut lacking);
        let (judge, (found, observations)) = spawn_blocking(move || {
            let judged = judge.judge(first, &parsed, &stored);
            (judge, judged)
        })
        .await
        .expect("judging does not panic");
        findings.extend(found);
        leaves[known..].iter().for_each(|leaf| state.tree.push(*leaf));
        for observation in observations {
            match Self::observed(state, &observation) {
                Ok(found) => findings.extend(found),
                Err(failure) => return (judge, Err(failure.into())),
            }
        }
        (judge, Ok(()))
    }

    /// The leaves of a bundle as the signed root has them, and the entries that hash to them. What is wrong with no more than a tile goes to `findings`.
    async fn prove(&self, tiles: &mut ProvenTiles<'_>, bundle: u64, got: Got, findings: &mut Vec<Finding>) -> Result<Shown, Stop> {
        let what = format!("entry bundle {bundle}");
        let is_full = got.tile.is_some();
        let leaves = match got.tile.transpose() {
            Ok(given) => tiles.leaves(bundle, given).await,
            Err(error) => Err(of_resource(&format!("tile 0 of bundle {bundle}"), error)),
        };
        if self.hashes_only {
            return Ok(Shown { leaves: leaves?, entries: Vec::new(), lacking: Vec::new() });
        }
        let mut lacking = Vec::new();
        let entries = match got.entries {
            Ok((bytes, width)) => decode_bundle(&bytes, width)
                .map(|entries| entries.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>())
                .map_err(|error| Unproven::Finding(Finding::new(Kind::Altered, format!("What is served as {what} is not that: {error}.")))),
            Err(error) => Err(of_resource(&what, error)),
        };
        let entries = match entries {
            Ok(entries) => entries,
            // Nothing of it is there. What its hashes are is known all the same.
            Err(Unproven::Finding(finding)) => {
                lacking.push(finding);
                Vec::new()
            }
            Err(unavailable) => return Err(unavailable.into()),
        };
        let (entries, hashes) = spawn_blocking(move || {
            let hashes = super::judge::leaves(&entries);
            (entries, hashes)
        })
        .await
        .expect("hashing does not panic");
        let leaves = match leaves {
            Ok(leaves) => leaves,
            // The tile is wrong, or not there. The entries may still be those that were signed: then that is all that is wrong.
            Err(Unproven::Finding(finding)) if is_full && lacking.is_empty() => {
                if root_of(&hashes) != tiles.bundle_root(bundle).await? {
                    return Err(Stop::Finding(finding));
                }
                findings.push(finding);
                hashes.clone()
            }
            Err(unproven) => return Err(unproven.into()),
        };
        let mut shown = Vec::with_capacity(leaves.len());
        let mut given = entries.into_iter().zip(hashes);
        for (index, leaf) in (bundle * WIDTH..).zip(&leaves) {
            let entry = given.next();
            if entry.as_ref().is_some_and(|(_, hash)| hash != leaf) {
                lacking.push(Finding::of(Kind::Altered, index, "The entry that is served is not the one that the log signed."));
            }
            shown.push(entry.filter(|(_, hash)| hash == leaf).map(|(entry, _)| entry));
        }
        Ok(Shown { leaves, entries: shown, lacking })
    }

    /// What entries attach that is judged. A certificate that is not served is told in `lacking`: what it has signed can not be judged.
    async fn attached(&self, parsed: &[Parsed], is_first: bool, lacking: &mut Vec<Finding>) -> Result<HashMap<Hash, Vec<u8>>, Stop> {
        let mut stored = HashMap::new();
        // Genesis' own is the first of all: where not even that is, nothing is.
        for sha256 in certificates_of(parsed) {
            if stored.contains_key(&sha256) {
                continue;
            }
            match self.beside.attachment(&sha256, CERTIFICATE_BYTES_MAX).await {
                Ok(bytes) => {
                    stored.insert(sha256, bytes);
                }
                Err(WebError::Absent) if is_first && stored.is_empty() => {
                    let hint = "a mirror has none: name the log itself with --mirror-of";
                    return Err(Stop::Unavailable(format!("no certificate is served beside this log ({hint})")));
                }
                Err(error) => match of_resource(&format!("certificate {sha256}"), error) {
                    Unproven::Finding(finding) => lacking.push(finding),
                    unavailable => return Err(unavailable.into()),
                },
            }
        }
        for sha256 in others_of(parsed, self.judges_stamps) {
            match self.beside.attachment(&sha256, OTHER_BYTES_MAX).await {
                Ok(bytes) => drop(stored.insert(sha256, bytes)),
                // It is the entry's finding: nothing else hangs on it.
                Err(WebError::Absent | WebError::Unfit(_)) => {}
                Err(error) => return Err(of_resource(&format!("attachment {sha256}"), error).into()),
            }
        }
        Ok(stored)
    }

    /// What an issuer has seen has to be a part of this log.
    fn observed(state: &State, observation: &Observation) -> Result<Option<Finding>, Failure> {
        let root = state.root_at(observation.head.size)?;
        let Observation { index, head, note } = observation;
        if root == head.root {
            return Ok(None);
        }
        let Some((earlier, later)) = note.as_ref().zip(state.checkpoint.as_ref()) else {
            let sentence = format!("The issuer has seen a log of {} entries that is not this one: two logs were shown.", head.size);
            return Ok(Some(Finding::of(Kind::Observed, *index, sentence)));
        };
        let proof = json!({
            "type": "exhibit-audit-proof/v1",
            "kind": "forked",
            "earlier": { "size": head.size, "root": head.root.to_string() },
            "later_root_at_earlier_size": root.to_string(),
        });
        let folder = state.keep_proof(earlier, later, &proof)?;
        let sentence = format!(
            "The log has signed, and had stamped, a tree of {} entries that is not a part of it. Both signed checkpoints are in {}.",
            head.size,
            folder.display()
        );
        Ok(Some(Finding::of(Kind::Forked, *index, sentence)))
    }
}

/// Puts what was judged on disk, and the findings with it.
fn keep(state: &mut State, judge: &mut Judge, unsaved: &mut Vec<Finding>, outcome: &mut Outcome) -> Result<(), Failure> {
    std::mem::swap(&mut state.memory, &mut judge.memory);
    let saved = state.save(unsaved);
    std::mem::swap(&mut state.memory, &mut judge.memory);
    let room = TOLD_MAX.saturating_sub(outcome.findings.len());
    outcome.more += unsaved.len().saturating_sub(room) as u64;
    outcome.findings.extend(unsaved.drain(..).take(room));
    saved
}
