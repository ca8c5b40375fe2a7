//! Continuity: each stream of the series is a chain without holes, and each epoch follows the one before.
//!
//! It knows nothing of times; whether the interval is accounted for, `coverage` says.

use std::collections::BTreeMap;

use super::entries::{Entries, Entry, is_of_log_before};
use super::{Judgement, coverage};
use crate::body::{Contradiction, Epoch, EpochReason, StreamPosition};
use crate::bundle::SourceError;
use crate::verdict::{Axis, FindingKind, Grade};
use crate::{Body, SignedStatement};

/// The statements of one stream that the bundle holds, in order of seq.
pub(super) type Chain<'a> = Vec<&'a Entry>;

pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries) -> Result<(), SourceError> {
    let mut chains: BTreeMap<&str, Chain<'_>> = BTreeMap::new();
    for entry in entries.all() {
        chains.entry(entry.statement().stream.as_str()).or_default().push(entry);
    }
    for chain in chains.values_mut() {
        chain.sort_by_key(|entry| entry.statement().seq);
        judge_order(judgement, chain);
    }
    // Of other streams than those that were asked for, the bundle holds what bears on them.
    chains.retain(|_, chain| chain[0].statement().stream.series() == judgement.manifest.question.series);
    for chain in chains.values() {
        judge_holes(judgement, chain);
        judge_epoch(judgement, chain, &chains, entries);
    }
    coverage::judge(judgement, &chains);
    for entry in &entries.held {
        if let Body::Contradiction(body) = &entry.statement().body {
            judge_contradiction(judgement, entries, entry, body)?;
        }
    }
    report_unknown_types(judgement, &entries.held);
    Ok(())
}

/// One statement at each place, each after the one before it, and none after the last.
fn judge_order(judgement: &mut Judgement<'_>, chain: &Chain<'_>) {
    for pair in chain.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let (seq, next) = (before.statement().seq, after.statement().seq);
        // A log that succeeds another begins anew, and who has gone on to it does not go back.
        let of_one_log = after.statement().log == before.statement().log;
        // Newest first, behind this one.
        let age = |entry: &Entry| {
            let position = judgement.before.iter().position(|before| before.log == entry.statement().log);
            position.map_or(0, |position| position + 1)
        };
        if age(after) > age(before) {
            let sentence = "The issuer went back to a log before, within its own chain.";
            judgement.bad(Axis::Continuity, FindingKind::Observed, after.place(), sentence);
        } else if of_one_log && after.statement().observed.size < before.statement().observed.size {
            let sentence = "The log that the issuer says it observed shrank within its own chain.";
            judgement.bad(Axis::Continuity, FindingKind::Observed, after.place(), sentence);
        }
        if next == seq {
            judgement.bad(Axis::Continuity, FindingKind::ChainBroken, after.place(), "Two entries claim this place in the chain.");
        } else if next == seq + 1 && after.statement().prev != before.leaf {
            let sentence = "The statement does not follow the one before it in the bundle.";
            judgement.bad(Axis::Continuity, FindingKind::ChainBroken, after.place(), sentence);
        } else if matches!(before.statement().body, Body::Close(_)) {
            judgement.bad(
                Axis::Continuity,
                FindingKind::ChainBroken,
                after.place(),
                "The statement follows the one that closed its chain.",
            );
        }
    }
}

fn judge_holes(judgement: &mut Judgement<'_>, chain: &Chain<'_>) {
    for pair in chain.windows(2) {
        let (seq, next) = (pair[0].statement().seq, pair[1].statement().seq);
        // From the epoch's statement to the first one of the interval there may be a leap: what lies between was not asked for.
        if seq != 0 && next > seq + 1 {
            let sentence = format!("Statements {} to {} of the chain are not in the bundle.", seq + 1, next - 1);
            judgement.bad(Axis::Continuity, FindingKind::ChainHole, pair[1].place(), sentence);
        }
    }
}

/// The epoch statement is there, and what it continues is what the bundle has.
fn judge_epoch(judgement: &mut Judgement<'_>, chain: &Chain<'_>, chains: &BTreeMap<&str, Chain<'_>>, entries: &Entries) {
    let first = chain[0];
    let Body::Epoch(epoch) = &first.statement().body else {
        let sentence = "The statement that begins this epoch is not in the bundle.";
        judgement.bad(Axis::Continuity, FindingKind::ChainHole, first.place(), sentence);
        return;
    };
    if epoch.continues.reason == EpochReason::DeviceReplaced {
        let sentence = "From this epoch on another device records in the camera's place.";
        judgement.find(Axis::Continuity, Grade::NotDemanded, FindingKind::DeviceReplaced, first.place(), sentence);
    }
    let Some(previous) = &epoch.continues.previous else { return };
    let Some(before) = chains.get(previous.stream.as_str()) else { return };
    let last = before[before.len() - 1];
    if last.statement().seq < previous.seq {
        judge_missing_end(judgement, last, epoch, previous);
    } else if entries.at(previous.stream.as_str(), previous.seq).is_some_and(|named| named.leaf != previous.leaf) {
        let sentence = "This epoch continues another statement than the one in the bundle.";
        judgement.bad(Axis::Continuity, FindingKind::ChainBroken, first.place(), sentence);
    }
}

/// A camera that goes on with live video after an outage has not sent all of the chain before yet; else that is left out.
fn judge_missing_end(judgement: &mut Judgement<'_>, last: &Entry, epoch: &Epoch, previous: &StreamPosition) {
    let missing = format!("Statements {} to {}", last.statement().seq + 1, previous.seq);
    if epoch.continues.reason == EpochReason::Backlog {
        let sentence =
            format!("{missing} of the chain before this epoch were still in the camera when it went on, and are not in the bundle.");
        judgement.find(Axis::Continuity, Grade::Undecided, FindingKind::NotYetReceived, last.place(), sentence);
    } else {
        let sentence = format!("{missing} of the chain before this epoch are not in the bundle.");
        judgement.bad(Axis::Continuity, FindingKind::ChainHole, last.place(), sentence);
    }
}

/// Two statements for one place, by its owner, are that owner's wrong. What is called so and is not is the wrong of whoever logged it.
fn judge_contradiction(judgement: &mut Judgement<'_>, entries: &Entries, entry: &Entry, body: &Contradiction) -> Result<(), SourceError> {
    let first = judgement.attachment(Axis::Continuity, entry, "first")?;
    let second = judgement.attachment(Axis::Continuity, entry, "second")?;
    let (Some(first), Some(second)) = (first, second) else { return Ok(()) };
    let place = format!("statement {} of {}", body.seq, body.stream.as_str());
    match contradict(judgement, entries, body, &first, &second) {
        Ok(()) => {
            let grade = if body.stream.series() == judgement.manifest.question.series { Grade::Bad } else { Grade::NotDemanded };
            let sentence = format!("Two different statements are signed as {place}: the key was copied, or its device set back.");
            judgement.find(Axis::Continuity, grade, FindingKind::Contradiction, entry.place(), sentence);
        }
        Err(reason) => {
            let sentence = format!("Entry {} says that there are two statements for {place}, and does not show it: {reason}.", entry.index);
            judgement.bad(Axis::Signature, FindingKind::ContradictionFalse, entry.place(), sentence);
        }
    }
    Ok(())
}

fn contradict(judgement: &Judgement<'_>, entries: &Entries, body: &Contradiction, first: &[u8], second: &[u8]) -> Result<(), String> {
    let parse = |der: &[u8]| -> Result<SignedStatement, String> {
        let signed = SignedStatement::parse(der).map_err(|error| error.to_string())?;
        let statement = signed.statement();
        if (&statement.stream, statement.seq) != (&body.stream, body.seq) {
            return Err("one is of another place".to_owned());
        }
        if statement.log != judgement.anchor.log && !is_of_log_before(judgement, statement) {
            return Err("one is of another log".to_owned());
        }
        let signer = entries.certificates.introduced(signed.signer()).ok_or("the certificate of one is not here")?;
        entries.certificates.leads_to_root(judgement, signer, statement.issued).map_err(|error| error.to_string())?;
        signed.verify(signer, judgement.verifier).map_err(|error| error.to_string())?;
        Ok(signed)
    };
    let (first, second) = (parse(first)?, parse(second)?);
    if first.statement().log != second.statement().log {
        return Err("they are of two logs".to_owned());
    }
    if first.statement_hash() == second.statement_hash() {
        return Err("both are the same statement".to_owned());
    }
    Ok(())
}

fn report_unknown_types(judgement: &mut Judgement<'_>, entries: &[Entry]) {
    for entry in entries {
        if let Body::Unknown { type_name, .. } = &entry.statement().body {
            let sentence = format!("Entry {} is of type {type_name}, which this version does not judge.", entry.index);
            judgement.find(Axis::Continuity, Grade::NotDemanded, FindingKind::NotJudged, entry.place(), sentence);
        }
    }
}
