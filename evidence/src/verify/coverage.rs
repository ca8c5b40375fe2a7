//! Coverage: the interval asked for is filled by segments, or a statement says why not.
//!
//! Each reason is told apart: not recorded, lost, not received yet, a state that was lost, or nothing that anybody says.

use std::collections::{BTreeMap, HashMap};

use exhibit_pki::Timestamp;

use super::Judgement;
use super::chain::Chain;
use crate::Body;
use crate::body::{EpochReason, GapCause};
use crate::verdict::{Axis, FindingKind, Grade, Place};

/// Uncovered time up to this is no hole: segments are timed in whole milliseconds by frames that come up to half a second apart (2 frames a
/// second is the slowest that surveillance cameras are set to), at both ends of a span.
const COVER_TOLERANCE_MS: u64 = 1_000;

pub(super) fn judge(judgement: &mut Judgement<'_>, chains: &BTreeMap<&str, Chain<'_>>) {
    let reasons = Reasons::collect(chains);
    let holes = holes(judgement, chains);
    let recorded = chains.values().flatten().any(|entry| match &entry.statement().body {
        Body::Segment(segment) => judgement.interval.overlaps(segment),
        _ => false,
    });
    if !recorded && holes.is_empty() {
        // What is shorter than a tolerated gap is no hole: nothing would be accounted for, and the axis good.
        let sentence = "No segment of the camera lies in the interval asked for, and that is too short for a reason to be looked for.";
        judgement.find(Axis::Continuity, Grade::Undecided, FindingKind::Uncovered, Place::default(), sentence);
    }
    for hole in holes {
        let text = |ms| Timestamp::from_unix_ms(ms).map(|time| time.to_string()).unwrap_or_default();
        let (from, to) = (text(hole.from_ms), text(hole.to_ms));
        let (grade, kind, what) = reasons.explain(&hole);
        let place = Place { time: Some(from.clone()), ..Place::default() };
        judgement.find(Axis::Continuity, grade, kind, place, format!("No segment covers {from} to {to}: {what}."));
    }
}

/// A span of the camera's time.
struct Span {
    from_ms: u64,
    to_ms: u64,
}

/// The parts of the interval that no segment covers.
fn holes(judgement: &Judgement<'_>, chains: &BTreeMap<&str, Chain<'_>>) -> Vec<Span> {
    let mut covered: Vec<Span> = Vec::new();
    for entry in chains.values().flatten() {
        if let Body::Segment(segment) = &entry.statement().body {
            let from_ms = segment.start.unix_ms();
            covered.push(Span { from_ms, to_ms: from_ms.saturating_add(segment.duration_ms) });
        }
    }
    covered.sort_by_key(|span| span.from_ms);
    let end_ms = judgement.interval.to.unix_ms();
    let mut now_ms = judgement.interval.from.unix_ms();
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
    holes
}

/// What statements say of times without segments, so that each hole is looked up and not searched for.
struct Reasons {
    /// Rising by beginning; each with the end and cause of the gap that reaches furthest of those up to it.
    gaps: Vec<(u64, u64, GapCause)>,
    /// Epochs whose chain is here from the beginning, rising by beginning.
    epochs: Vec<Began>,
    /// The latest moment at which a camera said that statements had not been received.
    unsent_ms: Option<u64>,
}

/// An epoch that began.
struct Began {
    at_ms: u64,
    reason: EpochReason,
    /// When the last segment before it ended, if all between is here; `None` of the first epoch of all.
    after_ms: Option<Option<u64>>,
}

impl Reasons {
    fn collect(chains: &BTreeMap<&str, Chain<'_>>) -> Self {
        let ended: HashMap<(&str, u64), Ended> = chains.iter().flat_map(|(stream, chain)| ends(stream, chain)).collect();
        let (mut gaps, mut unsent_ms) = (Vec::new(), None);
        for entry in chains.values().flatten() {
            match &entry.statement().body {
                Body::Gap(gap) => gaps.push((gap.from.unix_ms(), gap.to.unix_ms(), gap.cause)),
                Body::Heartbeat(heartbeat) if heartbeat.unsent > 0 => unsent_ms = unsent_ms.max(Some(entry.statement().issued.unix_ms())),
                _ => {}
            }
        }
        gaps.sort_by_key(|(from_ms, _, _)| *from_ms);
        for position in 1..gaps.len() {
            let (_, furthest_ms, cause) = gaps[position - 1];
            if furthest_ms >= gaps[position].1 {
                gaps[position] = (gaps[position].0, furthest_ms, cause);
            }
        }
        let mut epochs: Vec<Began> = chains.values().filter_map(|chain| began(chain, &ended)).collect();
        epochs.sort_by_key(|began| began.at_ms);
        Self { gaps, epochs, unsent_ms }
    }

    /// Says of a span without segments why that is, if a statement does.
    fn explain(&self, hole: &Span) -> (Grade, FindingKind, String) {
        if let Some(cause) = self.gap(hole) {
            let kind = match cause {
                GapCause::Mode => FindingKind::NotRecorded,
                GapCause::EvictedOffline => FindingKind::Lost,
                GapCause::SourceLost | GapCause::Power => FindingKind::Gap,
            };
            return (Grade::NotDemanded, kind, format!("the camera states a gap there ({})", cause.as_str()));
        }
        let first = self.epochs.partition_point(|began| began.at_ms + COVER_TOLERANCE_MS < hole.from_ms);
        let within = self.epochs[first..].iter().take_while(|began| began.at_ms <= hole.to_ms + COVER_TOLERANCE_MS);
        let mut lost = false;
        for began in within {
            // Nothing stood between: without this, whoever exports could leave a whole epoch out and call the time of it a pause.
            let follows = match began.after_ms {
                None => began.reason == EpochReason::Start,
                Some(after_ms) => after_ms.is_some_and(|after_ms| after_ms <= hole.from_ms + COVER_TOLERANCE_MS),
            };
            lost |= began.reason == EpochReason::StateLost;
            if follows && began.reason != EpochReason::StateLost {
                let what = format!("the camera began an epoch only then ({})", began.reason.as_str());
                return (Grade::NotDemanded, FindingKind::Gap, what);
            }
        }
        if lost {
            let what = "the camera lost its state, and what it had recorded before that is not known".to_owned();
            return (Grade::Undecided, FindingKind::StateLost, what);
        }
        if self.unsent_ms.is_some_and(|unsent_ms| unsent_ms >= hole.from_ms) {
            let what = "the camera said later that statements had not been received yet".to_owned();
            return (Grade::Undecided, FindingKind::NotYetReceived, what);
        }
        (Grade::Undecided, FindingKind::Uncovered, "and no statement in the bundle says why".to_owned())
    }

    /// The cause of the gap that fills a hole; of several, of the one that reaches furthest.
    fn gap(&self, hole: &Span) -> Option<GapCause> {
        let count = self.gaps.partition_point(|(from_ms, _, _)| *from_ms <= hole.from_ms + COVER_TOLERANCE_MS);
        let (_, to_ms, cause) = self.gaps[count.checked_sub(1)?];
        (to_ms + COVER_TOLERANCE_MS >= hole.to_ms).then_some(cause)
    }
}

/// When the last segment up to a statement ended, if all between is here, and the statement's leaf hash.
type Ended = (Option<u64>, exhibit_tlog::Hash);

/// Of each statement of a chain.
fn ends<'a>(stream: &'a str, chain: &Chain<'_>) -> Vec<((&'a str, u64), Ended)> {
    let mut ends: Vec<((&str, u64), Ended)> = Vec::new();
    for entry in chain {
        let statement = entry.statement();
        let before = ends.last().filter(|((_, seq), (_, leaf))| seq + 1 == statement.seq && *leaf == statement.prev);
        let ended_ms = match &statement.body {
            Body::Segment(segment) => Some(segment.start.unix_ms().saturating_add(segment.duration_ms)),
            Body::Epoch(epoch) => Some(epoch.started.unix_ms()),
            _ => before.and_then(|(_, (ended_ms, _))| *ended_ms),
        };
        ends.push(((stream, statement.seq), (ended_ms, entry.leaf)));
    }
    ends
}

/// The epoch of a chain, if the bundle holds that from the very beginning.
fn began(chain: &Chain<'_>, ended: &HashMap<(&str, u64), Ended>) -> Option<Began> {
    let Body::Epoch(epoch) = &chain.first()?.statement().body else { return None };
    let whole = chain.get(1).is_none_or(|second| second.statement().seq == 1);
    let after_ms = epoch.continues.previous.as_ref().map(|previous| {
        let (ended_ms, leaf) = ended.get(&(previous.stream.as_str(), previous.seq))?;
        (*leaf == previous.leaf).then_some(*ended_ms)?
    });
    whole.then(|| Began { at_ms: epoch.started.unix_ms(), reason: epoch.continues.reason, after_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLE: Span = Span { from_ms: 10_000, to_ms: 20_000 };

    fn told(reasons: &Reasons) -> (Grade, FindingKind) {
        let (grade, kind, _) = reasons.explain(&HOLE);
        (grade, kind)
    }

    const UNCOVERED: (Grade, FindingKind) = (Grade::Undecided, FindingKind::Uncovered);

    #[test]
    fn a_gap_fills_what_it_reaches_but_for_a_second_at_each_end() {
        let of = |from_ms, to_ms| told(&Reasons { gaps: vec![(from_ms, to_ms, GapCause::Mode)], epochs: vec![], unsent_ms: None });
        let filled = (Grade::NotDemanded, FindingKind::NotRecorded);
        for (from_ms, to_ms, expected) in [
            (11_000, 19_000, filled),
            (11_001, 19_000, UNCOVERED),
            (11_000, 18_999, UNCOVERED),
            (0, u64::from(u32::MAX), filled),
            (0, 9_000, UNCOVERED),
        ] {
            assert_eq!(of(from_ms, to_ms), expected, "a gap from {from_ms} to {to_ms}");
        }
        let no_gap = Reasons { gaps: vec![], epochs: vec![], unsent_ms: None };
        assert_eq!(told(&no_gap), UNCOVERED);
    }

    #[test]
    fn an_epoch_explains_the_pause_before_it_where_nothing_stood_between() {
        let of =
            |at_ms, reason, after_ms| told(&Reasons { gaps: vec![], epochs: vec![Began { at_ms, reason, after_ms }], unsent_ms: None });
        let pause = (Grade::NotDemanded, FindingKind::Gap);
        for (at_ms, reason, after_ms, expected) in [
            (9_000, EpochReason::Start, None, pause),
            (8_999, EpochReason::Start, None, UNCOVERED),
            (21_000, EpochReason::Start, None, pause),
            (21_001, EpochReason::Start, None, UNCOVERED),
            (20_000, EpochReason::Rotation, None, UNCOVERED),
            (20_000, EpochReason::Rotation, Some(Some(11_000)), pause),
            (20_000, EpochReason::Rotation, Some(Some(11_001)), UNCOVERED),
            (20_000, EpochReason::Rotation, Some(None), UNCOVERED),
            (20_000, EpochReason::Start, Some(None), UNCOVERED),
            (20_000, EpochReason::StateLost, Some(Some(10_000)), (Grade::Undecided, FindingKind::StateLost)),
            (20_000, EpochReason::StateLost, None, (Grade::Undecided, FindingKind::StateLost)),
        ] {
            assert_eq!(of(at_ms, reason, after_ms), expected, "an epoch at {at_ms}, {reason:?}, after {after_ms:?}");
        }
        // Each that began within is looked at.
        let began = |at_ms, reason, after_ms| Began { at_ms, reason, after_ms };
        let lost = began(15_000, EpochReason::StateLost, None);
        let epochs = vec![began(5_000, EpochReason::Start, None), lost, began(20_000, EpochReason::Rotation, Some(Some(10_000)))];
        assert_eq!(told(&Reasons { gaps: vec![], epochs, unsent_ms: Some(30_000) }), pause);
    }

    #[test]
    fn what_was_not_received_is_what_the_camera_still_had_when_the_hole_began_or_later() {
        let of = |unsent_ms| told(&Reasons { gaps: vec![], epochs: vec![], unsent_ms: Some(unsent_ms) });
        assert_eq!(of(10_000), (Grade::Undecided, FindingKind::NotYetReceived));
        assert_eq!(of(9_999), UNCOVERED);
    }
}
