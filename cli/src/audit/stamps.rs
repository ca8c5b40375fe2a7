//! Stamps: what `timestamp` statements attach has to be a checkpoint of this log, and what witnesses and timestamping authorities of the anchor
//! have said of it. What issuers have seen of that can not be older than it.

use std::collections::HashMap;

use exhibit_evidence::Body;
use exhibit_evidence::body::TimestampBody;
use exhibit_tlog::{Hash, WitnessError};

use super::finding::{Finding, Kind};
use super::judge::{Candidate, Judge, Observation};

/// How far a camera's clock may be behind what others say: what NTP holds, and the length of a segment, which is sealed after its last frame.
const CLAIM_TOLERANCE_MS: u64 = 11_000;

impl Judge {
    /// Judges what a `timestamp` statement attaches. Gives the head, whose root has to be compared.
    pub(super) fn stamp(
        &mut self,
        candidate: &Candidate<'_>,
        body: &TimestampBody,
        stored: &HashMap<Hash, Vec<u8>>,
        findings: &mut Vec<Finding>,
    ) -> Option<Observation> {
        let index = candidate.index;
        let mut tell = |kind: Kind, sentence: String| findings.push(Finding::of(kind, index, sentence));
        let mut given = HashMap::new();
        for attachment in &body.attachments {
            let Some(bytes) = stored.get(&attachment.sha256) else {
                tell(Kind::Missing, format!("Its attachment {} is not served.", attachment.name));
                continue;
            };
            match attachment.open(bytes) {
                Some(content) => drop(given.insert(&*attachment.name, content)),
                None => tell(Kind::Altered, format!("What is served as its attachment {} is not that.", attachment.name)),
            }
        }
        let note = match self.note(index, body, given.get("checkpoint")?) {
            Ok(note) => note.to_owned(),
            Err(reason) => {
                tell(Kind::Timestamp, format!("The checkpoint that it says was stamped does not count: {reason}."));
                return None;
            }
        };
        let text = note.split_once("\n\n").map_or("", |(text, _)| text).to_owned() + "\n";
        let mut stamped = Vec::new();
        if let Some(witnesses) = &self.anchor.policy.witnesses {
            match witnesses.policy().verify_of(&self.anchor.verifier, &note) {
                Ok(witnessed) => stamped.extend(witnessed.cosigners().iter().filter_map(|cosigner| cosigner.unix_s)),
                Err(WitnessError::Quorum(cosigners)) => stamped.extend(cosigners.iter().filter_map(|cosigner| cosigner.unix_s)),
                Err(error) => tell(Kind::Timestamp, format!("A line under its checkpoint is not the witness's that it names: {error}.")),
            }
        }
        let mut earliest: Vec<u64> = stamped.into_iter().map(|unix_s| unix_s.saturating_mul(1000)).collect();
        if !self.anchor.policy.timestamp_authorities.is_empty() {
            for (name, der) in given.iter().filter(|(name, _)| name.starts_with("token-")) {
                match self.anchor.policy.verify_token(der, &text) {
                    Ok((_, token)) => {
                        self.memory.rest.timestamp_ms = self.memory.rest.timestamp_ms.max(token.latest().unix_ms());
                        earliest.push(token.earliest().unix_ms());
                    }
                    // Of an authority that this anchor knows nothing of.
                    Err(error) if error.is_of_strangers() => {}
                    Err(error) => tell(Kind::Timestamp, format!("Its attachment {name} is no timestamp of its checkpoint: {error}.")),
                }
            }
        }
        if let Some(earliest) = earliest.into_iter().max() {
            self.keep_stamp(body.head.size, earliest);
        }
        Some(Observation { index, head: body.head, note: Some(note) })
    }

    /// The note is the log's, and of the head that the statement names, which was there before the statement.
    fn note<'n>(&self, index: u64, body: &TimestampBody, note: &'n [u8]) -> Result<&'n str, String> {
        let note = std::str::from_utf8(note).map_err(|_| "it is not text".to_owned())?;
        let checkpoint = self.anchor.verifier.verify(note).map_err(|error| error.to_string())?;
        if (checkpoint.size, checkpoint.root) != (body.head.size, body.head.root) {
            return Err("it is not the one that the statement names".to_owned());
        }
        if checkpoint.size > index {
            return Err("it covers what came after it".to_owned());
        }
        Ok(note)
    }

    /// Stamps are kept as steps that rise: one of a smaller tree that is no earlier than one of a larger says more.
    fn keep_stamp(&mut self, size: u64, earliest_ms: u64) {
        let key = format!("{size:016}");
        if self.stamped_before(size).is_some_and(|known| known >= earliest_ms) {
            return;
        }
        let covered: Vec<String> =
            self.memory.stamps.iter_from(&key).take_while(|(_, known)| **known <= earliest_ms).map(|(key, _)| key.to_owned()).collect();
        covered.iter().for_each(|covered| self.memory.stamps.remove(covered));
        self.memory.stamps.insert(&key, earliest_ms);
    }

    /// When a tree of at most so many entries was stamped, at the earliest.
    fn stamped_before(&self, size: u64) -> Option<u64> {
        self.memory.stamps.last_to(&format!("{size:016}")).map(|(_, earliest_ms)| *earliest_ms)
    }

    /// Whoever has seen what was stamped has signed after that, whatever the statement says; and with a certificate that was valid then.
    pub(super) fn is_older_than_seen(&self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) {
        let statement = candidate.signed.statement();
        if statement.log != self.anchor.log {
            return;
        }
        let Some(earliest_ms) = self.stamped_before(statement.observed.size.min(candidate.index)) else { return };
        let claimed_ms = statement.issued.unix_ms();
        if matches!(statement.body, Body::Segment(_)) && claimed_ms.saturating_add(CLAIM_TOLERANCE_MS) < earliest_ms {
            let late_s = (earliest_ms - claimed_ms) / 1000;
            let sentence =
                format!("The camera has seen what was stamped {late_s} seconds after it says to have sealed this: its clock is wrong.");
            findings.push(Finding::of(Kind::Time, candidate.index, sentence));
        }
        if let Some((expires_s, name)) = self.memory.certificates.expires(candidate.certificate.fingerprint())
            && expires_s < earliest_ms / 1000
        {
            let sentence = format!("It was signed after certificate \"{name}\" had expired, by what its issuer has seen.");
            findings.push(Finding::of(Kind::Time, candidate.index, sentence));
        }
    }
}
