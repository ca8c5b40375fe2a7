//! Time: between which moments each statement was sealed, and on whose word. The camera's clock is a claim, and held against that.
//!
//! Not before: what an issuer has observed can not be younger than the statement. Not after: a checkpoint covers nothing that came later.

mod bounds;
mod tpm;
mod words;

use std::collections::{BTreeMap, HashMap};

use exhibit_pki::Timestamp;
use exhibit_pki::attestation::VerifiedTime;
use exhibit_tlog::Hash;

use super::entries::{Entries, Entry, is_of_log_before};
use super::heads::{HeadState, Heads, PROOF_BYTES_MAX};
use super::{BundleCheckpoint, Judgement};
use crate::body::Segment;
use crate::bundle::{SourceError, observed_proof_path};
use crate::verdict::{Axis, FindingKind, Grade, Place, SegmentTime};
use crate::{Body, Head};

pub(super) use bounds::{Bounds, Side};
use bounds::{Steps, Tighter};

/// How far the camera's clock may be from the bounds: what NTP holds, and the length of a segment, which is sealed after its last frame.
const CLAIM_TOLERANCE_MS: u64 = 11_000;

/// The bounds of every entry, by its index.
pub(super) struct Times(HashMap<u64, Bounds>);

impl Times {
    /// Those of an entry.
    pub fn of(&self, entry: &Entry) -> &Bounds {
        &self.0[&entry.index]
    }
}

pub(super) fn judge(
    judgement: &mut Judgement<'_>,
    checkpoint: &BundleCheckpoint,
    entries: &Entries,
    readings: &HashMap<u64, VerifiedTime>,
) -> Result<Times, SourceError> {
    let heads = &mut Heads::new(Head { size: checkpoint.head.size, root: checkpoint.head.root });
    let mut before = judgement.before.iter().map(|before| (before.log, Heads::new(before.head))).collect();
    judge_proofs(judgement, entries, heads, &mut before)?;
    let mut words = words::of_checkpoint(judgement, checkpoint)?;
    words.extend(words::of_entries(judgement, entries, heads)?);
    let (rising, falling) = (Steps::rising(&words), Steps::falling(&words));
    let mut bounds = HashMap::new();
    judge_heads(judgement, entries, heads, &before);
    for entry in entries.all() {
        let observed = observed_size(judgement, entry, heads);
        let own = Bounds { not_before: rising.find(observed), not_after: falling.find(entry.index) };
        bounds.insert(entry.index, own);
    }
    for run in runs(entries) {
        carry(&run, &mut bounds);
        tpm::narrow(&run, readings, &mut bounds);
        carry(&run, &mut bounds);
    }
    let times = Times(bounds);
    judge_agreement(judgement, entries, &times);
    judge_segments(judgement, entries, &times, !words.is_empty());
    Ok(times)
}

/// The proofs beside entries that the head which each observed is of this log, or of one before it. One shows it for all that observed the
/// same.
fn judge_proofs(
    judgement: &mut Judgement<'_>,
    entries: &Entries,
    heads: &mut Heads,
    before: &mut HashMap<Hash, Heads>,
) -> Result<(), SourceError> {
    for entry in entries.all() {
        let of_its_log = before.get_mut(&entry.statement().log).unwrap_or(&mut *heads);
        let Some(proof) = judgement.optional(Axis::Signature, &observed_proof_path(entry.index), PROOF_BYTES_MAX)? else { continue };
        if let HeadState::Unproven(reason) = of_its_log.judge(entry.statement().observed, Some(&proof)) {
            let place = Place { file: Some(observed_proof_path(entry.index)), ..entry.place() };
            let sentence = format!("The proof that entry {} observed its log does not show it: {reason}.", entry.index);
            judgement.bad(Axis::Signature, FindingKind::Receipt, place, sentence);
        }
    }
    Ok(())
}

/// Every head that was observed holds the log to what it was then, and genesis to the ends of the logs before it; one that nothing proves leaves
/// open that its issuer was shown another.
fn judge_heads(judgement: &mut Judgement<'_>, entries: &Entries, heads: &Heads, before: &HashMap<Hash, Heads>) {
    let (mut of, mut unknown) = (0, Vec::new());
    for entry in entries.all() {
        let observed = entry.statement().observed;
        let of_before = before.get(&entry.statement().log);
        // What lies beyond the end of a log before this one is known to be lost, and told as that.
        if observed.size == 0 || of_before.is_some_and(|before| before.end_before(observed)) {
            continue;
        }
        of += 1;
        match of_before.unwrap_or(heads).state(observed) {
            HeadState::Proven => {}
            HeadState::Refuted => {
                let which = if of_before.is_some() { "the one of that name which this one goes on for" } else { "this one" };
                let sentence = format!(
                    "Entry {} says that its issuer saw a log of {} entries, and that is not {which}: two logs were shown.",
                    entry.index, observed.size
                );
                judgement.bad(Axis::Witness, FindingKind::Fork, entry.place(), sentence);
            }
            HeadState::Unknown | HeadState::Unproven(_) => unknown.push(entry),
        }
    }
    if let Some(first) = unknown.first() {
        let sentence =
            format!("Of {of} statements that name the log as their issuers saw it, {} are not proven to name this one.", unknown.len());
        judgement.lacking(Axis::Witness, FindingKind::HeadUnproven, first.place(), sentence);
    }
}

/// How large the log was that the issuer has seen, as far as that is proven to be this log; 0 where it is not.
fn observed_size(judgement: &Judgement<'_>, entry: &Entry, heads: &Heads) -> u64 {
    let observed = entry.statement().observed;
    let comparable = observed.size <= entry.index && !is_of_log_before(judgement, entry.statement());
    if comparable && heads.state(observed) == HeadState::Proven { observed.size } else { 0 }
}

/// Statements of one stream that follow each other, by seq and by hash.
fn runs(entries: &Entries) -> Vec<Vec<&Entry>> {
    let mut chains: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.all() {
        chains.entry(entry.statement().stream.as_str()).or_default().push(entry);
    }
    let mut runs = Vec::new();
    for mut chain in chains.into_values() {
        chain.sort_by_key(|entry| entry.statement().seq);
        let follows = |one: &Entry, other: &Entry| other.statement().seq == one.statement().seq + 1 && other.statement().prev == one.leaf;
        runs.extend(chain.chunk_by(|one, other| follows(one, other)).map(<[_]>::to_vec));
    }
    runs
}

/// A statement holds the hash of the one before it: it is not older than that, and that is not younger than it.
fn carry(run: &[&Entry], bounds: &mut HashMap<u64, Bounds>) {
    let own = |bounds: &HashMap<u64, Bounds>, entry: &Entry| bounds[&entry.index].clone();
    for pair in run.windows(2) {
        let before = own(bounds, pair[0]);
        let after = bounds.entry(pair[1].index).or_default();
        after.not_before.tighten(Tighter::Later, &before.not_before);
    }
    for pair in run.windows(2).rev() {
        let after = own(bounds, pair[1]);
        let before = bounds.entry(pair[0].index).or_default();
        before.not_after.tighten(Tighter::Earlier, &after.not_after);
    }
}

/// Nobody's word may exclude another's.
fn judge_agreement(judgement: &mut Judgement<'_>, entries: &Entries, times: &Times) {
    for entry in entries.all() {
        let own = times.of(entry);
        let (Some(from), Some(to)) = (&own.not_before.any, &own.not_after.any) else { continue };
        if from.at > to.at {
            let sentence = format!(
                "By the word of {} the statement was sealed no earlier than {}, and by that of {} no later than {}: one of them is wrong.",
                from.by, from.at, to.by, to.at
            );
            judgement.bad(Axis::Time, FindingKind::TimeContradiction, entry.place(), sentence);
            return;
        }
    }
}

/// The segments of the interval: their bounds for the verdict, what is not bounded, and whether the camera's clock can be right.
fn judge_segments(judgement: &mut Judgement<'_>, entries: &Entries, times: &Times, heard: bool) {
    let mut tally = Tally::default();
    for entry in &entries.held {
        let statement = entry.statement();
        let Body::Segment(segment) = &statement.body else { continue };
        if statement.stream.series() != judgement.manifest.question.series || !judgement.interval.overlaps(segment) {
            continue;
        }
        let own = times.of(entry);
        tally.count(entry, segment, own);
        judgement.times.push(SegmentTime {
            stream: statement.stream.as_str().to_owned(),
            seq: statement.seq,
            claimed_start: segment.start.to_string(),
            claimed_sealed: statement.issued.to_string(),
            not_before: own.not_before.told(),
            not_after: own.not_after.told(),
        });
    }
    if heard && tally.segments > 0 {
        tally.tell(judgement);
    }
}

/// How many segments there are of each kind, and the first of it.
#[derive(Default)]
struct Tally<'a> {
    segments: usize,
    widest_ms: u64,
    /// A TPM's count stands behind a bound.
    counted: bool,
    unbounded: Option<(usize, &'a Entry)>,
    operator: Option<(usize, &'a Entry)>,
    contradicted: Option<(usize, &'a Entry, String)>,
}

impl<'a> Tally<'a> {
    fn count(&mut self, entry: &'a Entry, segment: &Segment, bounds: &Bounds) {
        self.segments += 1;
        match (&bounds.not_before, &bounds.not_after) {
            (from, to) if from.any.is_none() || to.any.is_none() => self.unbounded.get_or_insert((0, entry)).0 += 1,
            (from, to) => match (&from.independent, &to.independent) {
                (Some(from), Some(to)) => {
                    self.widest_ms = self.widest_ms.max(to.at.unix_ms().saturating_sub(from.at.unix_ms()));
                    self.counted |= from.tpm || to.tpm;
                }
                _ => self.operator.get_or_insert((0, entry)).0 += 1,
            },
        }
        if let Some(what) = contradiction(segment, entry.statement().issued, bounds) {
            self.contradicted.get_or_insert((0, entry, what)).0 += 1;
        }
    }

    fn tell(self, judgement: &mut Judgement<'_>) {
        let of = self.segments;
        if let Some((count, first)) = self.unbounded {
            let sentence = format!("Of {count} of {of} segments it is not shown both before and after when they were sealed.");
            judgement.lacking(Axis::Time, FindingKind::TimeUnbounded, first.place(), sentence);
        } else if let Some((count, first)) = self.operator {
            let sentence = format!("When {count} of {of} segments were sealed is shown on the operator's own word alone.");
            judgement.lacking(Axis::Time, FindingKind::TimeOperator, first.place(), sentence);
        } else {
            let counted = if self.counted { ", some by the count of the camera's TPM, which is one by the authority's word" } else { "" };
            let sentence = format!(
                "All {of} segments were sealed within bounds that others give, the widest of {} seconds{counted}.",
                self.widest_ms.div_ceil(1_000)
            );
            judgement.find(Axis::Time, Grade::Good, FindingKind::Holds, Place::default(), sentence);
        }
        if let Some((count, first, what)) = self.contradicted {
            let sentence = format!("The camera's clock can not have been right for {count} of {of} segments: {what}.");
            judgement.bad(Axis::Time, FindingKind::ClaimContradicted, first.place(), sentence);
        }
    }
}

/// What the camera's clock says that can not be.
fn contradiction(segment: &Segment, issued: Timestamp, bounds: &Bounds) -> Option<String> {
    let ended_ms = segment.start.unix_ms().saturating_add(segment.duration_ms);
    if let Some(to) = &bounds.not_after.any {
        let latest_ms = to.at.unix_ms().saturating_add(CLAIM_TOLERANCE_MS);
        if segment.start.unix_ms() > latest_ms || issued.unix_ms() > latest_ms {
            return Some(format!(
                "it says that the first began at {} and was sealed at {issued}, and {} had seen it by {}",
                segment.start, to.by, to.at
            ));
        }
    }
    let from = bounds.not_before.any.as_ref()?;
    let earliest_ms = from.at.unix_ms().saturating_sub(CLAIM_TOLERANCE_MS);
    let early = issued.unix_ms() < earliest_ms || ended_ms < earliest_ms;
    early.then(|| {
        format!("it says that the first ended by {issued}, and it was sealed no earlier than {}, by the word of {}", from.at, from.by)
    })
}
