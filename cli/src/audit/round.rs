//! One round: the newest checkpoint, its consistency with what was seen before, and every entry up to it.
//!
//! It prints nothing: findings come back, and progress is told to whoever wants it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use exhibit_client::WebError;
use exhibit_evidence::Anchor;
use exhibit_tlog::tile::{BundleId, TILE_WIDTH, TileId, decode_bundle};
use exhibit_tlog::{Checkpoint, CheckpointError, Hash, WitnessError, prove_consistency, root_at, root_of, verify_consistency};
use serde_json::json;
use tokio::task::{JoinHandle, spawn_blocking};

use super::finding::{Finding, Kind};
use super::judge::{Judge, Observation, Parsed, parse, wanted};
use super::lateness::{self, Pace, Patience};
use super::proven::{ProvenTiles, Unproven, of_resource};
use super::source::{PARALLEL, Source};
use super::state::State;
use crate::failure::Failure;

/// Entries of a bundle.
const WIDTH: u64 = TILE_WIDTH as u64;
/// Bundles between two saves of a long run: a crash repeats a few seconds of work.
const SAVE_BUNDLES_MIN: u64 = 64;
/// Findings that one round tells: a log with a million bad entries takes no memory for them.
const TOLD_MAX: usize = 10_000;
/// The state has a line for each stream, so that with many of them saving takes longer and is done less often.
const STREAMS_PER_SAVED_BUNDLE: u64 = 64;

/// What a round was about.
pub struct Audit {
    /// What is trusted.
    pub anchor: Anchor,
    /// Where the log is.
    pub source: Arc<Source>,
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
    /// Findings about the log as a whole, which are kept at the end.
    of_log: Vec<Finding>,
}

/// Why a round ends early.
enum Stop {
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
        let note = self.source.checkpoint().await.map_err(|error| Stop::from(of_resource("the checkpoint", error)))?;
        let head = self.anchor.verifier.verify(&note).map_err(|error| Stop::Finding(unsigned(&error)))?;
        outcome.size = head.size;
        let witnessed_ms = self.witnesses(&note, outcome);
        let before = self.known_checkpoint(state)?;
        if let Some((earlier_note, earlier)) = &before
            && let Some(stop) = self.went_back(state, (earlier_note, earlier), (&note, &head)).await?
        {
            return Err(stop);
        }
        let mut tiles = ProvenTiles::new(&self.source, &head).await?;
        if let Some((earlier_note, earlier)) = &before {
            self.extends(state, &mut tiles, (earlier_note, earlier), (&note, &head)).await?;
        }
        // From here on the log is held to this checkpoint, however far its entries are judged.
        if before.is_none_or(|(_, earlier)| earlier.size < head.size) {
            state.grown_ms = now_ms;
        }
        state.checkpoint = Some(note);
        let is_first = state.tree.size() == 0;
        state.save(&[])?;
        self.entries(state, &mut tiles, &head, outcome, progress).await?;
        if is_first && state.memory.issued_ms > 0 {
            // What came before the first run came when it says, and not now.
            state.grown_ms = state.memory.issued_ms.min(now_ms);
        }
        let pace = Pace {
            now_ms,
            grown_ms: state.grown_ms,
            witnessed_ms,
            expects_timestamps: !self.anchor.policy.timestamp_authorities.is_empty(),
        };
        outcome.of_log.extend(lateness::judge(&pace, &state.memory, &self.patience));
        Ok(())
    }

    /// The checkpoint that was verified before, if there is one.
    fn known_checkpoint(&self, state: &State) -> Result<Option<(String, Checkpoint)>, Failure> {
        let Some(note) = &state.checkpoint else { return Ok(None) };
        let head = self.anchor.verifier.verify(note);
        let head =
            head.map_err(|error| Failure::Cannot(format!("the checkpoint in the state folder does not verify any more: {error}")))?;
        Ok(Some((note.clone(), head)))
    }

    /// Whether as many witnesses as the anchor demands have seen the checkpoint, and when the last of them did (unix ms).
    fn witnesses(&self, note: &str, outcome: &mut Outcome) -> Option<u64> {
        let witnesses = self.anchor.policy.witnesses.as_ref()?;
        let (cosigners, problem) = match witnesses.policy().verify_of(&self.anchor.verifier, note) {
            Ok(witnessed) => (witnessed.cosigners().to_vec(), None),
            Err(WitnessError::Quorum(cosigners)) => {
                let problem =
                    format!("Only {} witnesses of the anchor's policy have seen the checkpoint, and it asks for more.", cosigners.len());
                (cosigners, Some(problem))
            }
            Err(error) => (Vec::new(), Some(format!("A line of a witness under the checkpoint does not hold: {error}."))),
        };
        outcome.of_log.extend(problem.map(|problem| Finding::new(Kind::Witness, problem)));
        cosigners.iter().filter_map(|cosigner| cosigner.unix_s).max().map(|unix_s| unix_s.saturating_mul(1000))
    }

    /// A checkpoint that is not beyond the one before: the same, an older one of the same log, or a fork.
    async fn went_back(
        &self,
        state: &mut State,
        (earlier_note, earlier): (&str, &Checkpoint),
        (note, head): (&str, &Checkpoint),
    ) -> Result<Option<Stop>, Stop> {
        if head.size > earlier.size || (head.size == earlier.size && head.root == earlier.root) {
            return Ok(None);
        }
        let known = if head.size <= state.tree.size() { Some(self.root_at(state, head.size).await?) } else { None };
        let is_fork = head.size == earlier.size || known.is_some_and(|root| root != head.root);
        let proof = json!({
            "type": "exhibit-audit-proof/v1",
            "kind": if is_fork { "forked" } else { "rewound" },
            "earlier": { "size": earlier.size, "root": earlier.root.to_string() },
            "later": { "size": head.size, "root": head.root.to_string() },
            "earlier_root_at_later_size": known.map(|root| root.to_string()),
        });
        let folder = state.keep_proof(earlier_note, note, &proof)?;
        let kept = format!("Both signed checkpoints are in {}.", folder.display());
        Ok(Some(Stop::Finding(if is_fork {
            Finding::new(
                Kind::Forked,
                format!("The log has signed two trees of {} entries, or of one a part that is none. {kept}", head.size),
            )
        } else {
            Finding::new(Kind::Rewound, format!("The log shows {} entries, and has shown {}. {kept}", head.size, earlier.size))
        })))
    }

    /// The newer tree has to extend the one before. All hashes are of tiles that the newer root covers, so what does not fit is the log's doing.
    async fn extends(
        &self,
        state: &State,
        tiles: &mut ProvenTiles<'_>,
        (earlier_note, earlier): (&str, &Checkpoint),
        (note, head): (&str, &Checkpoint),
    ) -> Result<(), Stop> {
        if earlier.size == head.size || earlier.size == 0 {
            return Ok(());
        }
        let path = tiles.compute(|reader| prove_consistency(reader, earlier.size, head.size)).await?;
        if verify_consistency(earlier.size, &earlier.root, head.size, &head.root, &path).is_ok() {
            return Ok(());
        }
        let other = tiles.compute(|reader| root_at(reader, earlier.size)).await?;
        let proof = json!({
            "type": "exhibit-audit-proof/v1",
            "kind": "forked",
            "earlier": { "size": earlier.size, "root": earlier.root.to_string() },
            "later": { "size": head.size, "root": head.root.to_string() },
            "later_root_at_earlier_size": other.to_string(),
            "consistency": path.iter().map(Hash::to_base64).collect::<Vec<_>>(),
        });
        let folder = state.keep_proof(earlier_note, note, &proof)?;
        let sentence = format!(
            "The log of {} entries does not extend that of {}, which was signed before. Both signed checkpoints are in {}.",
            head.size,
            earlier.size,
            folder.display()
        );
        Err(Stop::Finding(Finding::new(Kind::Forked, sentence)))
    }

    /// Every entry that was not judged yet, in the order of the log.
    async fn entries(
        &self,
        state: &mut State,
        tiles: &mut ProvenTiles<'_>,
        head: &Checkpoint,
        outcome: &mut Outcome,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Stop> {
        let bundles = head.size.div_ceil(WIDTH);
        let mut next = state.tree.size() / WIDTH;
        let mut under_way: VecDeque<JoinHandle<Got>> = VecDeque::new();
        let mut judge = Judge::new(self.anchor.clone(), std::mem::take(&mut state.certificates), std::mem::take(&mut state.memory));
        let mut unsaved = Vec::new();
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
            outcome.judged += state.tree.size() - already;
            if let Err(stop) = judged.1 {
                stopped = Err(stop);
                break;
            }
            bundle += 1;
            progress(state.tree.size(), head.size);
            let interval = SAVE_BUNDLES_MIN.max(judge.memory.streams.len() as u64 / STREAMS_PER_SAVED_BUNDLE);
            if bundle - saved >= interval && bundle < bundles {
                keep(state, &mut judge, &mut unsaved, outcome)?;
                saved = bundle;
            }
        }
        under_way.iter().for_each(JoinHandle::abort);
        if stopped.is_ok() {
            unsaved.extend(judge.unapproved());
            if state.tree.root() != head.root {
                // Every new leaf was proven under the new root, so what differs was there before.
                let sentence = format!("The log of {} entries does not extend what was judged before.", head.size);
                stopped = Err(Stop::Finding(Finding::new(Kind::Forked, sentence)));
            }
        }
        keep(state, &mut judge, &mut unsaved, outcome)?;
        (state.certificates, state.memory) = (judge.certificates, judge.memory);
        stopped
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

    /// Proves and judges a bundle. The judge comes back whatever comes of it.
    async fn bundle(
        &self,
        state: &mut State,
        tiles: &mut ProvenTiles<'_>,
        bundle: u64,
        got: Got,
        judge: Judge,
        findings: &mut Vec<Finding>,
    ) -> (Judge, Result<(), Stop>) {
        let proven = match self.prove(tiles, bundle, got, findings).await {
            Ok(proven) => proven,
            Err(stop) => return (judge, Err(stop)),
        };
        let (leaves, entries) = proven;
        let known = usize::try_from(state.tree.size() % WIDTH).expect("below 256");
        if leaves[..known] != *state.tree.open() {
            let sentence = format!("The first entries of bundle {bundle} are others than they were.");
            return (judge, Err(Stop::Finding(Finding::new(Kind::Forked, sentence))));
        }
        let first = state.tree.size();
        let new: Vec<Vec<u8>> = entries.into_iter().skip(known).collect();
        let parsed = spawn_blocking(move || parse(&new)).await.expect("parsing does not panic");
        let stored = match self.certificates(&parsed).await {
            Ok(stored) => stored,
            Err(stop) => return (judge, Err(stop)),
        };
        let mut judge = judge;
        let (judge, (found, observations)) = spawn_blocking(move || {
            let judged = judge.judge(first, &parsed, &stored);
            (judge, judged)
        })
        .await
        .expect("judging does not panic");
        findings.extend(found);
        leaves[known..].iter().for_each(|leaf| state.tree.push(*leaf));
        for observation in observations {
            match self.observed(state, &observation).await {
                Ok(None) => {}
                Ok(Some(finding)) => findings.push(finding),
                Err(stop) => return (judge, Err(stop)),
            }
        }
        (judge, Ok(()))
    }

    /// The leaves of a bundle as the signed root has them, and entries that hash to them.
    async fn prove(
        &self,
        tiles: &mut ProvenTiles<'_>,
        bundle: u64,
        got: Got,
        findings: &mut Vec<Finding>,
    ) -> Result<(Vec<Hash>, Vec<Vec<u8>>), Stop> {
        let what = format!("entry bundle {bundle}");
        let given = match got.tile {
            None => None,
            Some(tile) => Some(tile.map_err(|error| Stop::from(of_resource(&format!("tile 0 of bundle {bundle}"), error)))?),
        };
        let is_full = given.is_some();
        let leaves = tiles.leaves(bundle, given).await;
        if self.hashes_only {
            return Ok((leaves?, Vec::new()));
        }
        let (bytes, width) = got.entries.map_err(|error| Stop::from(of_resource(&what, error)))?;
        let entries = decode_bundle(&bytes, width).map_err(|error| altered(format!("What is served as {what} is not that: {error}.")))?;
        let entries: Vec<Vec<u8>> = entries.into_iter().map(<[u8]>::to_vec).collect();
        let (mut entries, hashes) = spawn_blocking(move || {
            let hashes = super::judge::leaves(&entries);
            (entries, hashes)
        })
        .await
        .expect("hashing does not panic");
        let leaves = match leaves {
            Ok(leaves) => leaves,
            // The tile is wrong. The entries may still be those that were signed: then that is all that is wrong.
            Err(Unproven::Finding(finding)) if is_full && finding.kind == Kind::Altered => {
                if root_of(&hashes) != tiles.bundle_root(bundle).await? {
                    return Err(Stop::Finding(finding));
                }
                findings.push(finding);
                hashes.clone()
            }
            Err(unproven) => return Err(unproven.into()),
        };
        entries.truncate(leaves.len());
        match (bundle * WIDTH..).zip(hashes.iter().zip(&leaves)).find(|(_, (hash, leaf))| hash != leaf) {
            Some((index, _)) => {
                let finding = Finding::of(Kind::Altered, index, "The entry that is served is not the one that the log signed.");
                Err(Stop::Finding(finding))
            }
            None => Ok((leaves, entries)),
        }
    }

    /// The certificates that entries attach. One that is not served is the entry's finding; a server that does not answer ends the round.
    async fn certificates(&self, parsed: &[Parsed]) -> Result<HashMap<Hash, Vec<u8>>, Stop> {
        let mut stored = HashMap::new();
        for sha256 in wanted(parsed) {
            if stored.contains_key(&sha256) {
                continue;
            }
            match self.source.certificate(&sha256).await {
                Ok(bytes) => {
                    stored.insert(sha256, bytes);
                }
                // Not passed over: without it nothing that it signed can be judged, and it may be served again tomorrow.
                Err(error) => return Err(Stop::from(of_resource(&format!("certificate {sha256}"), error))),
            }
        }
        Ok(stored)
    }

    /// What an issuer has seen has to be a part of this log.
    async fn observed(&self, state: &mut State, observation: &Observation) -> Result<Option<Finding>, Stop> {
        let root = self.root_at(state, observation.head.size).await?;
        let sentence = || {
            let size = observation.head.size;
            format!("The issuer has seen a log of {size} entries that is not this one: two logs were shown.")
        };
        Ok((root != observation.head.root).then(|| Finding::of(Kind::Observed, observation.index, sentence())))
    }

    /// The root at an earlier size, with the leaves that it takes, which are got once more and compared to what was judged.
    async fn root_at(&self, state: &mut State, size: u64) -> Result<Hash, Stop> {
        loop {
            match state.tree.root_at(size) {
                Ok(root) => return Ok(root),
                Err(missing) => {
                    let id = TileId { level: 0, index: missing.0, width: TILE_WIDTH };
                    let leaves =
                        self.source.tile(id).await.map_err(|error| Stop::from(of_resource(&format!("tile {}", id.path()), error)))?;
                    if !state.tree.remember(missing.0, leaves) {
                        return Err(altered(format!("Tile {} is not the one that was judged.", id.path())));
                    }
                }
            }
        }
    }
}

/// Puts what was judged on disk, and the findings with it.
fn keep(state: &mut State, judge: &mut Judge, unsaved: &mut Vec<Finding>, outcome: &mut Outcome) -> Result<(), Failure> {
    std::mem::swap(&mut state.certificates, &mut judge.certificates);
    std::mem::swap(&mut state.memory, &mut judge.memory);
    let saved = state.save(unsaved);
    std::mem::swap(&mut state.certificates, &mut judge.certificates);
    std::mem::swap(&mut state.memory, &mut judge.memory);
    let room = TOLD_MAX.saturating_sub(outcome.findings.len());
    outcome.more += unsaved.len().saturating_sub(room) as u64;
    outcome.findings.extend(unsaved.drain(..).take(room));
    saved
}

fn altered(sentence: String) -> Stop {
    Stop::Finding(Finding::new(Kind::Altered, sentence))
}

fn unsigned(error: &CheckpointError) -> Finding {
    Finding::new(Kind::Unsigned, format!("What is served as the checkpoint is not signed by the log of the anchor: {error}."))
}
