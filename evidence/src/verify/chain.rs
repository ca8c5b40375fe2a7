//! Continuity: each stream of the series is a chain without holes, each epoch follows the one before, and the interval is accounted for.

use std::collections::BTreeMap;

use super::entries::{Entries, Entry};
use super::{Interval, Judgement};
use crate::Body;
use crate::body::{EpochReason, Gap, StreamPosition};
use crate::verdict::{Axis, Finding, FindingKind, Grade, Place};

/// Uncovered time up to this is no hole: segments are timed in whole milliseconds by frames that come up to half a second apart (2 frames a
/// second is the slowest that surveillance cameras are set to), at both ends of a span.
const COVER_TOLERANCE_MS: u64 = 1_000;

/// A segment is at most this long (DESIGN section 3), and is sealed when its last frame has come.
const SEGMENT_MS_MAX: u64 = 10_000;

/// The statements of one stream that the bundle holds, in order of seq.
type Chain<'a> = Vec<&'a Entry>;

pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries) {
    let mut chains: BTreeMap<&str, Chain<'_>> = BTreeMap::new();
    let series = &judgement.manifest.question.series;
    for entry in entries.held.iter().filter(|entry| entry.statement().stream.series() == series) {
        chains.entry(entry.statement().stream.as_str()).or_default().push(entry);
    }
    for chain in chains.values_mut() {
        chain.sort_by_key(|entry| entry.statement().seq);
        judge_chain(judgement, chain);
    }
    for chain in chains.values() {
        judge_epoch(judgement, chain, &chains, entries);
    }
    judge_coverage(judgement, judgement.interval, &chains);
    report_unknown_types(judgement, &entries.held);
}

fn judge_chain(judgement: &mut Judgement<'_>, chain: &Chain<'_>) {
    for pair in chain.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let (seq, next) = (before.statement().seq, after.statement().seq);
        if after.statement().observed.size < before.statement().observed.size {
            let sentence = "The log that the issuer says it observed shrank within its own chain.";
            judgement.bad(Axis::Continuity, FindingKind::Observed, after.place(), sentence);
        }
        if next == seq {
            judgement.bad(Axis::Continuity, FindingKind::ChainBroken, after.place(), "Two entries claim this place in the chain.");
        } else if next == seq + 1 {
            if after.statement().prev != before.leaf {
                let sentence = "The statement does not follow the one before it in the bundle.";
                judgement.bad(Axis::Continuity, FindingKind::ChainBroken, after.place(), sentence);
            }
        } else if seq != 0 {
            // From the epoch's statement to the first one of the interval there may be a leap: what lies between was not asked for.
            let sentence = format!("Statements {} to {} of the chain are not in the bundle.", seq + 1, next - 1);
            judgement.bad(Axis::Continuity, FindingKind::ChainHole, after.place(), sentence);
        }
    }
}

/// The epoch statement is there, its recipients are shown, and what it continues is what the bundle has.
fn judge_epoch(judgement: &mut Judgement<'_>, chain: &Chain<'_>, chains: &BTreeMap<&str, Chain<'_>>, entries: &Entries) {
    let first = chain[0];
    let Body::Epoch(epoch) = &first.statement().body else {
        let sentence = "The statement that begins this epoch is not in the bundle.";
        judgement.bad(Axis::Continuity, FindingKind::ChainHole, first.place(), sentence);
        return;
    };
    let obeyed = entries.by_leaf(&epoch.recipients);
    let fits = obeyed.is_some_and(|entry| match &entry.statement().body {
        Body::Recipients(recipients) => recipients.scope == first.statement().stream.owner() && entry.index < first.index,
        _ => false,
    });
    if !fits {
        let sentence = "The recipients that the camera obeyed are not in the bundle, or not of this camera.";
        judgement.bad(Axis::Signature, FindingKind::Recipients, first.place(), sentence);
    }
    let Some(previous) = &epoch.continues.previous else { return };
    let Some(chain) = chains.get(previous.stream.as_str()) else { return };
    let held = chain.last().map_or(0, |last| last.statement().seq);
    if held < previous.seq {
        let sentence = format!("Statements {} to {} of the chain before this epoch are not in the bundle.", held + 1, previous.seq);
        judgement.bad(Axis::Continuity, FindingKind::ChainHole, chain[chain.len() - 1].place(), sentence);
    } else if entries.at(previous.stream.as_str(), previous.seq).is_some_and(|named| named.leaf != previous.leaf) {
        let sentence = "This epoch continues another statement than the one in the bundle.";
        judgement.bad(Axis::Continuity, FindingKind::ChainBroken, first.place(), sentence);
    }
}

/// What a span of the camera's time holds.
struct Span {
    from_ms: u64,
    to_ms: u64,
}

fn judge_coverage(judgement: &mut Judgement<'_>, interval: Interval, chains: &BTreeMap<&str, Chain<'_>>) {
    let statements = || chains.values().flatten().map(|entry| &entry.statement().body);
    let mut covered: Vec<Span> = statements()
        .filter_map(|body| match body {
            Body::Segment(segment) => {
                let from_ms = segment.start.unix_ms();
                Some(Span { from_ms, to_ms: from_ms.saturating_add(segment.duration_ms) })
            }
            _ => None,
        })
        .collect();
    covered.sort_by_key(|span| span.from_ms);
    let end_ms = interval.to.unix_ms();
    let mut now_ms = interval.from.unix_ms();
    let mut holes = Vec::new();
    for span in covered.iter().filter(|span| span.from_ms < end_ms) {
        if span.from_ms > now_ms + COVER_TOLERANCE_MS {
            holes.push(Span { from_ms: now_ms, to_ms: span.from_ms });
        }
        now_ms = now_ms.max(span.to_ms);
    }
    if end_ms > now_ms + COVER_TOLERANCE_MS {
        holes.push(Span { from_ms: now_ms, to_ms: end_ms });
    }
    for hole in holes {
        explain(judgement, &hole, chains);
    }
}

/// Says of a span without segments why that is, if a statement does.
fn explain(judgement: &mut Judgement<'_>, hole: &Span, chains: &BTreeMap<&str, Chain<'_>>) {
    let text = |ms| exhibit_pki::Timestamp::from_unix_ms(ms).map(|time| time.to_string()).unwrap_or_default();
    let (from, to) = (text(hole.from_ms), text(hole.to_ms));
    let stated = chains.values().flatten().find_map(|entry| match &entry.statement().body {
        Body::Gap(gap) => gap_fills(gap, hole).then(|| format!("the camera states a gap there ({})", gap.cause.as_str())),
        _ => None,
    });
    let began = || chains.values().find_map(|chain| epoch_begins_after(chain, hole, chains));
    let (grade, kind, sentence) = if let Some(cause) = stated.or_else(began) {
        (Grade::NotDemanded, FindingKind::Gap, format!("Nothing was recorded from {from} to {to}: {cause}."))
    } else if chains.values().any(|chain| closes_before(chain, hole)) {
        let sentence = format!("The camera closed its chain before {from}; whether it began another before {to} is not shown here.");
        (Grade::Undecided, FindingKind::Uncovered, sentence)
    } else {
        let sentence = format!("No segment covers {from} to {to}, and no statement in the bundle says why.");
        (Grade::Undecided, FindingKind::Uncovered, sentence)
    };
    let place = Place { time: Some(from), ..Place::default() };
    judgement.findings.push(Finding::new(Axis::Continuity, grade, kind, sentence).at(place));
}

fn gap_fills(gap: &Gap, hole: &Span) -> bool {
    gap.from.unix_ms() <= hole.from_ms + COVER_TOLERANCE_MS && gap.to.unix_ms() + COVER_TOLERANCE_MS >= hole.to_ms
}

/// An epoch that began within the span accounts for it, if the bundle holds its chain from the very beginning, and of the chain that it
/// continues the end, whose last segment lies before the span: then nothing stood between.
fn epoch_begins_after(chain: &Chain<'_>, hole: &Span, chains: &BTreeMap<&str, Chain<'_>>) -> Option<String> {
    let Body::Epoch(epoch) = &chain.first()?.statement().body else { return None };
    let whole = chain.get(1).is_none_or(|second| second.statement().seq == 1);
    let began_ms = epoch.started.unix_ms();
    let within = began_ms + COVER_TOLERANCE_MS >= hole.from_ms && began_ms <= hole.to_ms + COVER_TOLERANCE_MS;
    if !whole || !within {
        return None;
    }
    match &epoch.continues.previous {
        Some(previous) => ends_before(chains.get(previous.stream.as_str())?, previous, hole)
            .then(|| format!("the camera began a new epoch then ({})", epoch.continues.reason.as_str())),
        None if epoch.continues.reason == EpochReason::Start => Some("the camera's first epoch began only then".to_owned()),
        None => None,
    }
}

/// From the statement that an epoch continues back to the last segment before it, all is here, and that segment ends before the span.
/// Without this, whoever exports could leave a whole epoch out and call the time of it a pause.
fn ends_before(chain: &Chain<'_>, previous: &StreamPosition, hole: &Span) -> bool {
    let mut expected = (previous.seq, previous.leaf);
    for entry in chain.iter().rev().skip_while(|entry| entry.statement().seq > previous.seq) {
        let statement = entry.statement();
        if (statement.seq, entry.leaf) != expected {
            return false;
        }
        match &statement.body {
            Body::Segment(segment) => {
                return segment.start.unix_ms().saturating_add(segment.duration_ms) <= hole.from_ms + COVER_TOLERANCE_MS;
            }
            Body::Epoch(epoch) => return epoch.started.unix_ms() <= hole.from_ms + COVER_TOLERANCE_MS,
            _ => expected = (statement.seq.saturating_sub(1), statement.prev),
        }
    }
    false
}

/// A `close` is issued after the last segment was sealed, up to a segment's length after its last frame.
fn closes_before(chain: &Chain<'_>, hole: &Span) -> bool {
    chain.last().is_some_and(|entry| {
        matches!(entry.statement().body, Body::Close(_)) && entry.statement().issued.unix_ms() <= hole.from_ms + SEGMENT_MS_MAX
    })
}

fn report_unknown_types(judgement: &mut Judgement<'_>, entries: &[Entry]) {
    for entry in entries {
        if let Body::Unknown { type_name, .. } = &entry.statement().body {
            let sentence = format!("Entry {} is of type {type_name}, which this version does not judge.", entry.index);
            let finding = Finding::new(Axis::Continuity, Grade::NotDemanded, FindingKind::NotJudged, sentence);
            judgement.findings.push(finding.at(entry.place()));
        }
    }
}
