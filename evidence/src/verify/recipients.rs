//! Recipients: each set that a camera obeyed was decided by the threshold of the custodians before it, from those that the anchor pins.
//!
//! Without pinned custodians nothing of this is judged: then the operator, with the authority, could have made some.

use std::collections::{HashMap, HashSet};

use exhibit_pki::Fingerprint;
use exhibit_tlog::Hash;

use super::Judgement;
use super::approvals::Approvals;
use super::entries::{Entries, Entry};
use crate::Body;
use crate::body::{Epoch, Recipients};
use crate::verdict::{Axis, FindingKind, Grade};

/// Judges the recipients that each epoch of the series obeyed, and gives who was custodian when; `None` where none are pinned.
pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries, approvals: &Approvals<'_>) -> Option<Custodians> {
    // Sets are of a camera, however its streams go on: `camera/102` of `camera/102/main`.
    let series = &judgement.manifest.question.series;
    let scope = series.match_indices('/').nth(1).map_or(series.as_str(), |(end, _)| &series[..end]);
    let sets = judgement.anchor.policy.custodians.is_some().then(|| Sets::decide(judgement, scope, entries, approvals));
    for entry in &entries.held {
        let statement = entry.statement();
        let Body::Epoch(epoch) = &statement.body else { continue };
        if statement.stream.series() == judgement.manifest.question.series {
            judge_epoch(judgement, entries, entry, epoch, sets.as_ref());
        }
    }
    sets.map(|sets| sets.custodians)
}

/// What is known of a set.
enum State {
    /// Not looked at yet.
    Waiting,
    /// In force from this entry on.
    Decided(u64),
    /// Not decided by those who had to.
    Refused(String),
    /// What it replaces is not in the bundle.
    Unknown,
}

/// The sets of a camera, by leaf hash.
struct Sets {
    by_leaf: HashMap<Hash, State>,
    custodians: Custodians,
}

/// Who the custodians are: of each set the entry from which on it is in force, rising. The pinned ones are from 0 on.
pub(super) struct Custodians(Vec<(u64, HashSet<Fingerprint>)>);

impl Custodians {
    /// Whether a certificate is a custodian's where an entry stands. Who was dismissed is none any more.
    pub fn hold(&self, index: u64, certificate: &Fingerprint) -> bool {
        let in_force = self.0.partition_point(|(from, _)| *from <= index);
        in_force.checked_sub(1).is_some_and(|last| self.0[last].1.contains(certificate))
    }
}

/// The set that is in force, and who decides on the next.
struct InForce {
    leaf: Option<Hash>,
    number: u64,
    from: u64,
    custodians: HashSet<Fingerprint>,
    threshold: u64,
}

/// A set of the camera, where it was stated first.
type Stated<'a> = (&'a Entry, &'a Recipients);

impl Sets {
    /// Follows the sets from the pinned custodians, in the order in which they were decided: of those that replace the same one, the first that
    /// enough custodians stand behind is the next in force, whichever was stated first.
    fn decide(judgement: &Judgement<'_>, scope: &str, entries: &Entries, approvals: &Approvals<'_>) -> Self {
        let pinned = judgement.anchor.policy.custodians.as_ref().expect("it is only asked where custodians are pinned");
        let custodians: HashSet<Fingerprint> = pinned.certificates.iter().map(|certificate| *certificate.fingerprint()).collect();
        let mut sets = Self { by_leaf: HashMap::new(), custodians: Custodians(vec![(0, custodians.clone())]) };
        let mut next = sets.stated(scope, entries);
        let mut current = InForce { leaf: None, number: 0, from: 0, custodians, threshold: pinned.threshold };
        // Each set replaces one, and so it is a candidate once.
        while let Some(candidates) = next.remove(&current.leaf) {
            let mut decided: Option<(u64, Stated<'_>)> = None;
            for candidate in candidates {
                match current.decides(candidate, approvals) {
                    Err(reason) => sets.refuse(candidate, reason),
                    Ok(from) if decided.is_some_and(|(earliest, _)| earliest <= from) => sets.refuse(candidate, ANOTHER.to_owned()),
                    Ok(from) => {
                        if let Some((_, later)) = decided.replace((from, candidate)) {
                            sets.refuse(later, ANOTHER.to_owned());
                        }
                    }
                }
            }
            let Some((from, (entry, set))) = decided else { break };
            sets.by_leaf.insert(entry.leaf, State::Decided(from));
            let custodians: HashSet<Fingerprint> = set.custodians.iter().copied().collect();
            sets.custodians.0.push((from, custodians.clone()));
            current = InForce { leaf: Some(entry.leaf), number: set.number, from, custodians, threshold: set.threshold };
        }
        // What nobody came to does not replace the set in force.
        for state in sets.by_leaf.values_mut().filter(|state| matches!(state, State::Waiting)) {
            *state = State::Refused(ANOTHER.to_owned());
        }
        sets
    }

    /// The sets of a camera, by what they replace, in the order of the log. None of them is decided yet.
    fn stated<'a>(&mut self, scope: &str, entries: &'a Entries) -> HashMap<Option<Hash>, Vec<Stated<'a>>> {
        let mut stated: HashMap<Option<Hash>, Vec<Stated<'_>>> = HashMap::new();
        for entry in &entries.held {
            let Body::Recipients(set) = &entry.statement().body else { continue };
            // Whoever keeps the log can repeat an entry: that decides nothing anew, and must not refuse what was decided.
            let repeated = self.by_leaf.contains_key(&entry.leaf);
            if set.scope != scope || repeated {
                continue;
            }
            let is_known = set.replaces.is_none_or(|replaced| matches!(self.by_leaf.get(&replaced), Some(State::Waiting)));
            let state = if is_known { State::Waiting } else { State::Unknown };
            if is_known {
                stated.entry(set.replaces).or_default().push((entry, set));
            }
            self.by_leaf.insert(entry.leaf, state);
        }
        stated
    }

    fn refuse(&mut self, (entry, _): Stated<'_>, reason: String) {
        self.by_leaf.insert(entry.leaf, State::Refused(reason));
    }
}

const ANOTHER: &str = "it replaces another set than the one in force";

impl InForce {
    /// From which entry on a set that replaces this one could be in force, or why it can not.
    fn decides(&self, (entry, set): Stated<'_>, approvals: &Approvals<'_>) -> Result<u64, String> {
        if set.number <= self.number {
            return Err(format!("its number {} is not above {}", set.number, self.number));
        }
        // Who states a set decides on it, as whoever approves it does.
        if !self.custodians.contains(entry.signer().fingerprint()) {
            return Err("whoever signed it is not one of the custodians before it".to_owned());
        }
        let reached = approvals.reached(entry, &self.custodians, self.threshold);
        let reached = reached.ok_or_else(|| format!("fewer than {} of the custodians before it stand behind it", self.threshold))?;
        Ok(reached.max(self.from))
    }
}

fn judge_epoch(judgement: &mut Judgement<'_>, entries: &Entries, entry: &Entry, epoch: &Epoch, sets: Option<&Sets>) {
    let obeyed = entries.by_leaf(&epoch.recipients).and_then(|obeyed| match &obeyed.statement().body {
        Body::Recipients(set) if set.scope == entry.statement().stream.owner() && obeyed.index < entry.index => Some(set),
        _ => None,
    });
    let Some(set) = obeyed else {
        let sentence = "The recipients that the camera obeyed are not in the bundle, or not of this camera.";
        judgement.bad(Axis::Signature, FindingKind::Recipients, entry.place(), sentence);
        return;
    };
    if epoch.started > set.expires {
        let sentence = format!("The camera obeyed recipients number {} after they were to be renewed, at {}.", set.number, set.expires);
        judgement.find(Axis::Signature, Grade::NotDemanded, FindingKind::RecipientsStale, entry.place(), sentence);
    }
    if let Some(before) = number_before(entries, epoch)
        && set.number < before
    {
        let sentence = format!("The camera obeyed recipients number {} after it had obeyed number {before}: it was set back.", set.number);
        judgement.bad(Axis::Signature, FindingKind::RecipientsRollback, entry.place(), sentence);
    }
    let Some(sets) = sets else { return };
    match sets.by_leaf.get(&epoch.recipients) {
        Some(State::Decided(from)) if *from < entry.index => {}
        Some(State::Decided(_)) => {
            let sentence = format!("The camera obeyed recipients number {} before enough custodians stood behind them.", set.number);
            judgement.bad(Axis::Signature, FindingKind::RecipientsThreshold, entry.place(), sentence);
        }
        Some(State::Refused(reason)) => {
            let sentence = format!("The camera obeyed recipients number {} that its custodians did not decide: {reason}.", set.number);
            judgement.bad(Axis::Signature, FindingKind::RecipientsThreshold, entry.place(), sentence);
        }
        Some(State::Unknown | State::Waiting) | None => {
            let sentence = format!("What recipients number {} replace is not in the bundle: who decided on them is not shown.", set.number);
            judgement.find(Axis::Signature, Grade::Undecided, FindingKind::RecipientsUnknown, entry.place(), sentence);
        }
    }
}

/// The number of the set that the epoch before obeyed, as far as that is here.
fn number_before(entries: &Entries, epoch: &Epoch) -> Option<u64> {
    let previous = epoch.continues.previous.as_ref()?;
    let Body::Epoch(before) = &entries.at(previous.stream.as_str(), 0)?.statement().body else { return None };
    match &entries.by_leaf(&before.recipients)?.statement().body {
        Body::Recipients(set) => Some(set.number),
        _ => None,
    }
}
