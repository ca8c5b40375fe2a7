//! Content: every disclosed fragment against the commitment that the camera signed, one at a time.

use std::collections::HashSet;

use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;
use zeroize::Zeroizing;

use super::Judgement;
use super::copies::Copies;
use super::entries::Entries;
use super::ranges::Ranges;
use crate::Body;
use crate::body::Segment;
use crate::bundle::{
    DISCLOSURE_BYTES_MAX, DisclosedFragment, DisclosedSegment, Disclosure, FRAGMENT_BYTES_MAX, SourceError, disclosure_path, fragment_path,
};
use crate::segment::{CommitmentKey, TAG_BYTES, commitment, commitment_root};
use crate::verdict::{Axis, FindingKind, Grade, Place};

pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries) -> Result<(), SourceError> {
    let named: HashSet<(&str, u64)> = judgement.manifest.segments.iter().map(|named| (named.stream.as_str(), named.seq)).collect();
    let deleted = Ranges::new(entries.held.iter().flat_map(|entry| match &entry.statement().body {
        Body::Retention(body) => body.ranges.as_slice(),
        _ => &[],
    }));
    for entry in &entries.held {
        let statement = entry.statement();
        let Body::Segment(segment) = &statement.body else { continue };
        if statement.stream.series() != judgement.manifest.question.series {
            continue;
        }
        judgement.counts.segments += 1;
        if judgement.interval.overlaps(segment) && !named.contains(&(statement.stream.as_str(), statement.seq)) {
            let (kind, sentence) = if deleted.hold(statement.stream.as_str(), statement.seq) {
                (FindingKind::Erased, "The segment is proven to have existed, and its content was deleted by a rule of the operator's.")
            } else {
                (FindingKind::Withheld, "The segment is proven to exist, and its content is withheld.")
            };
            judgement.find(Axis::Payload, Grade::NotDemanded, kind, entry.place(), sentence);
        }
    }
    let asked_for = AskedFor::new(judgement, entries);
    let mut copies = Copies::new(judgement);
    for named in &judgement.manifest.segments {
        judge_segment(judgement, named, entries, &asked_for, &mut copies)?;
    }
    copies.judge(judgement);
    Ok(())
}

/// The segments of the series that overlap the interval, and the lead-in that they need to be decoded.
struct AskedFor<'a>(HashSet<(&'a str, u64)>);

impl<'a> AskedFor<'a> {
    fn new(judgement: &Judgement<'_>, entries: &'a Entries) -> Self {
        let mut segments: Vec<(&str, u64, &Segment)> = Vec::new();
        for entry in &entries.held {
            let statement = entry.statement();
            if let Body::Segment(segment) = &statement.body
                && statement.stream.series() == judgement.manifest.question.series
            {
                segments.push((statement.stream.as_str(), statement.seq, segment));
            }
        }
        segments.sort_by_key(|(stream, seq, _)| (*stream, *seq));
        let mut asked_for = HashSet::new();
        // The stream of the segment after, if that was asked for and can not be decoded alone.
        let mut needs: Option<&str> = None;
        for (stream, seq, segment) in segments.into_iter().rev() {
            let is = judgement.interval.overlaps(segment) || needs == Some(stream);
            needs = (is && !segment.random_access).then_some(stream);
            if is {
                asked_for.insert((stream, seq));
            }
        }
        Self(asked_for)
    }
}

fn judge_segment(
    judgement: &mut Judgement<'_>,
    named: &DisclosedSegment,
    entries: &Entries,
    asked_for: &AskedFor<'_>,
    copies: &mut Copies<'_>,
) -> Result<(), SourceError> {
    let place = Place::position(&named.stream, named.seq);
    let found = entries.at(&named.stream, named.seq);
    let Some(Body::Segment(segment)) = found.map(|entry| &entry.statement().body) else {
        let sentence =
            format!("Segment {} of {} is disclosed, and no proven statement of the camera stands for it.", named.seq, named.stream);
        judgement.bad(Axis::Payload, FindingKind::Commitments, place, sentence);
        copies.lack("a disclosed segment is not proven");
        return Ok(());
    };
    if !asked_for.0.contains(&(named.stream.as_str(), named.seq)) {
        let sentence = format!(
            "Segment {} of {} is disclosed, and is not of the camera or the interval asked for: nothing but its content is judged.",
            named.seq, named.stream
        );
        let of_series = found.is_some_and(|entry| entry.statement().stream.series() == judgement.manifest.question.series);
        let grade = if of_series { Grade::Undecided } else { Grade::Bad };
        judgement.find(Axis::Payload, grade, FindingKind::NotAskedFor, place.clone(), sentence);
    }
    let path = disclosure_path(&named.stream, named.seq);
    let Some(json) = judgement.required(Axis::Payload, &path, DISCLOSURE_BYTES_MAX)? else {
        copies.lack("a disclosure is missing");
        return Ok(());
    };
    let (disclosure, commitments) = match parse_disclosure(&json, named, segment) {
        Ok(parsed) => parsed,
        Err(reason) => {
            let sentence = format!("The commitments of segment {} do not match what the camera signed: {reason}.", named.seq);
            judgement.bad(Axis::Payload, FindingKind::Commitments, Place { file: Some(path), ..place }, sentence);
            copies.lack("the commitments of a segment are not the camera's");
            return Ok(());
        }
    };
    if disclosure.fragments.len() < commitments.len() {
        copies.lack("not all fragments of a segment are disclosed");
    }
    for fragment in &disclosure.fragments {
        match judge_fragment(judgement, named, segment, &commitments, fragment)? {
            Some(plaintext) => copies.add(&named.stream, segment, fragment.index, &plaintext),
            None => copies.lack("a disclosed fragment is not what the camera sealed"),
        }
    }
    tell_withheld(judgement, named, segment, &disclosure);
    Ok(())
}

/// A disclosure is bound to the segment, and not to its exporter: whoever has the bundle can leave fragments out, but not in silence.
fn tell_withheld(judgement: &mut Judgement<'_>, named: &DisclosedSegment, segment: &Segment, disclosure: &Disclosure) {
    let of = disclosure.commitments.len();
    let shown: HashSet<u32> = disclosure.fragments.iter().map(|fragment| fragment.index).collect();
    let Some(first) = (0u32..).take(of).find(|index| !shown.contains(index)) else { return };
    let time = fragment_time(segment, first);
    let sentence = format!(
        "Of segment {}, {} of {of} fragments are not disclosed, the first of them at {time} by the camera's clock: their content is withheld.",
        named.seq,
        of - shown.len()
    );
    let place = Place::fragment(&named.stream, named.seq, first, time);
    judgement.find(Axis::Payload, Grade::NotDemanded, FindingKind::Withheld, place, sentence);
}

/// Parses a disclosure and checks the root of its commitments against the signed one.
fn parse_disclosure(json: &[u8], named: &DisclosedSegment, segment: &Segment) -> Result<(Disclosure, Vec<Hash>), String> {
    let disclosure = Disclosure::parse(json)?;
    if disclosure.stream != named.stream || disclosure.seq != named.seq {
        return Err("they are of another segment".to_owned());
    }
    let commitments: Vec<Hash> = disclosure.commitments.iter().filter_map(|text| Hash::from_hex(text)).collect();
    if commitments.len() != segment.fragment_lengths.len() {
        return Err(format!("there are {}, and {} were signed", commitments.len(), segment.fragment_lengths.len()));
    }
    if commitment_root(&commitments) != segment.commitment_root {
        return Err("their root is another".to_owned());
    }
    Ok((disclosure, commitments))
}

/// The content of a fragment, for which there is a commitment, if it is what the camera sealed.
fn judge_fragment(
    judgement: &mut Judgement<'_>,
    named: &DisclosedSegment,
    segment: &Segment,
    commitments: &[Hash],
    fragment: &DisclosedFragment,
) -> Result<Option<Vec<u8>>, SourceError> {
    let path = fragment_path(&named.stream, named.seq, fragment.index);
    let time = fragment_time(segment, fragment.index);
    let place = Place { file: Some(path.clone()), ..Place::fragment(&named.stream, named.seq, fragment.index, time) };
    let expected = &commitments[fragment.index as usize];
    let Some(plaintext) = judgement.required(Axis::Payload, &path, FRAGMENT_BYTES_MAX)? else { return Ok(None) };
    let last = fragment.index as usize + 1 == commitments.len();
    let signed_length = segment.fragment_lengths[fragment.index as usize] as usize;
    let holds = plaintext.len() + TAG_BYTES == signed_length
        && parse_key(&fragment.key).is_some_and(|key| commitment(&key, fragment.index, last, &plaintext) == *expected);
    if holds {
        judgement.counts.fragments += 1;
        judgement.counts.bytes += plaintext.len() as u64;
    } else {
        let sentence = format!(
            "Fragment {} of segment {}, at {time} by the camera's clock, is not what the camera sealed: it was changed.",
            fragment.index, named.seq
        );
        judgement.bad(Axis::Payload, FindingKind::FragmentAltered, place, sentence);
    }
    Ok(holds.then_some(plaintext))
}

fn parse_key(text: &str) -> Option<CommitmentKey> {
    Hash::from_hex(text).map(|bytes| CommitmentKey(Zeroizing::new(bytes.0)))
}

/// Where in the camera's time a fragment begins. Fragments of a segment are cut at equal steps, so its share of the duration is the time.
fn fragment_time(segment: &Segment, index: u32) -> Timestamp {
    let count = segment.fragment_lengths.len().max(1) as u64;
    segment.start.checked_add_ms(segment.duration_ms * u64::from(index) / count).unwrap_or(segment.start)
}
