//! Judges entries in the order of the log: form, chain, certificate, path, role, signature; and tells what an auditor wants to hear of.
//!
//! It has no file, no socket and no clock. That an entry is on the log was proven before.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::thread;

use exhibit_evidence::{Anchor, Body, Head, SignedStatement};
use exhibit_pki::{AwsLc, Certificate, Timestamp};
use exhibit_tlog::{Hash, leaf_hash};
use serde::{Deserialize, Serialize};

use super::certificates::{Attached, Certificates, attached, attaches_certificates};
use super::finding::{Finding, Kind};

/// What is remembered of the entries so far, beside the certificates: a few bytes for each stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The end of each stream.
    pub streams: BTreeMap<String, End>,
    /// Fingerprint of what was revoked, and since when (unix ms).
    pub revoked: BTreeMap<String, u64>,
    /// Second certificates that no custodian has approved yet.
    pub unapproved: Vec<Unapproved>,
    /// The appliance's first entries, which come before the authorities that its certificate leads to.
    pub unled: Vec<Unled>,
    /// Index of the entry that ended the log and names its successor.
    pub ended: Option<u64>,
    /// The log before this one, by its id in hex.
    pub predecessor: Option<String>,
    /// The newest time that any issuer claims (unix ms).
    pub issued_ms: u64,
    /// The newest time of a `timestamp` statement (unix ms); 0 if there is none.
    pub timestamp_ms: u64,
}

/// The end of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Seq of the next statement.
    pub next_seq: u64,
    /// Leaf hash of the last one, in hex.
    pub leaf: String,
    /// Size of the newest head that its issuer has observed.
    pub observed: u64,
    /// When the last one was issued (unix ms).
    pub issued_ms: u64,
    /// Nothing may follow.
    pub closed: bool,
}

/// An entry of the log's founder whose path could not be judged yet, since no authority was on the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unled {
    /// Which.
    pub index: u64,
    /// When it was issued (unix ms).
    pub issued_ms: u64,
}

/// A second certificate that waits for a custodian's word.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unapproved {
    /// Leaf hash of its introduction, in hex.
    pub leaf: String,
    /// What to say if nobody approves.
    pub finding: Finding,
    /// It was said.
    pub told: bool,
}

/// A head that an issuer says to have seen: the tree must have had that root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whose entry.
    pub index: u64,
    /// What it saw.
    pub head: Head,
}

/// An entry, parsed as far as it can be.
pub type Parsed = Result<SignedStatement, String>;

/// Parses the entries of a bundle, on all cores.
pub fn parse(entries: &[Vec<u8>]) -> Vec<Parsed> {
    in_parallel(entries, |entry| SignedStatement::parse(entry).map_err(|error| error.to_string()))
}

/// The attachments that are needed to judge these entries, by hash.
pub fn wanted(parsed: &[Parsed]) -> Vec<Hash> {
    let bodies = parsed.iter().flatten().map(|signed| &signed.statement().body).filter(|body| attaches_certificates(body));
    bodies.flat_map(|body| body.attachments().iter().map(|attachment| attachment.sha256)).collect()
}

/// Judges a log's entries, one bundle after the other.
pub struct Judge {
    anchor: Anchor,
    /// Certificates on the log so far.
    pub certificates: Certificates,
    /// What else is remembered.
    pub memory: Memory,
}

/// An entry whose form and certificate were judged, and whose signature is to be.
struct Candidate<'a> {
    index: u64,
    signed: &'a SignedStatement,
    certificate: Certificate,
    /// What it introduces; its signature was judged at once, since entries after it hang on it.
    attached: Option<Attached>,
}

impl Judge {
    /// At the beginning, or from what was kept.
    pub fn new(anchor: Anchor, certificates: Certificates, memory: Memory) -> Self {
        Self { anchor, certificates, memory }
    }

    /// Judges the entries from index `first` on. Gives what was found, and the heads whose roots have to be compared.
    pub fn judge(&mut self, first: u64, parsed: &[Parsed], stored: &HashMap<Hash, Vec<u8>>) -> (Vec<Finding>, Vec<Observation>) {
        let mut findings = Vec::new();
        let mut candidates = Vec::new();
        let mut attachments = Vec::new();
        for parsed in parsed {
            let body = parsed.as_ref().ok().map(|signed| &signed.statement().body).filter(|body| attaches_certificates(body));
            let attached = body.map(|body| attached(body, stored));
            // Authorities first: the log's founder leads to one that comes after it. A path is proven, wherever its parts come from.
            if let Some(Ok(attached)) = &attached {
                self.certificates.know_issuers(&attached.issuers);
            }
            attachments.push(attached);
        }
        for (index, (parsed, attached)) in (first..).zip(parsed.iter().zip(attachments)) {
            match self.candidate(index, parsed, attached) {
                Ok(candidate) => candidates.push(candidate),
                Err(finding) => findings.push(finding),
            }
        }
        let verified = in_parallel(&candidates, |candidate| {
            let is_judged = candidate.attached.is_some();
            if is_judged { Ok(()) } else { candidate.signed.verify(&candidate.certificate, &AwsLc).map(drop) }
        });
        let mut observations = Vec::new();
        for (candidate, verified) in candidates.into_iter().zip(verified) {
            if let Err(error) = verified {
                // It takes no place in its stream: see DESIGN "What does not verify is a finding against whoever logged it".
                findings.push(Finding::of(Kind::Signature, candidate.index, format!("The entry is not its signer's: {error}.")));
                continue;
            }
            // What introduced its signer may just have turned out to be none.
            if !self.certificates.is_introduced(candidate.certificate.fingerprint()) {
                let sentence = "The certificate that signed the entry was not on the log before it.";
                findings.push(Finding::of(Kind::Signature, candidate.index, sentence));
                continue;
            }
            // By the revocations below it, which may stand in the same bundle.
            if self.is_revoked(candidate.certificate.fingerprint(), candidate.signed.statement().issued) {
                let sentence = "The certificate that signed the entry was revoked before.";
                findings.push(Finding::of(Kind::Signature, candidate.index, sentence));
                self.certificates.withdraw(candidate.index);
                continue;
            }
            if let Some(ended) = self.memory.ended {
                let sentence =
                    format!("The entry comes after the end of the log, which is entry {ended}: its successor knows nothing of it.");
                findings.push(Finding::of(Kind::Chain, candidate.index, sentence));
            }
            self.chain(&candidate, &mut findings);
            observations.extend(self.observation(&candidate, &mut findings));
            self.tell(&candidate, &mut findings);
        }
        self.lead(&mut findings);
        findings.sort_by_key(|finding| finding.index);
        (findings, observations)
    }

    /// Form, log, certificate and path of an entry.
    fn candidate<'a>(
        &mut self,
        index: u64,
        parsed: &'a Parsed,
        attached: Option<Result<Attached, String>>,
    ) -> Result<Candidate<'a>, Finding> {
        let entry = |sentence: String| Finding::of(Kind::Entry, index, sentence);
        let signature = |sentence: String| Finding::of(Kind::Signature, index, sentence);
        let signed = parsed.as_ref().map_err(|error| entry(format!("The entry is not a signed statement: {error}.")))?;
        let statement = signed.statement();
        let leaf = signed.leaf_hash();
        let fits = match &statement.body {
            Body::Genesis(_) => index == 0 && leaf == self.anchor.log,
            _ => index > 0 && (statement.log == self.anchor.log || self.memory.predecessor == Some(statement.log.to_string())),
        };
        if !fits {
            return Err(entry("The entry is of another log than the anchor's.".to_owned()));
        }
        let attached =
            attached.transpose().map_err(|reason| signature(format!("What the entry introduces can not be judged: {reason}.")))?;
        let own = attached.as_ref().and_then(|attached| attached.own.as_ref());
        let certificate = self.certificates.signer(index, signed, own);
        let certificate =
            certificate.ok_or_else(|| signature("The certificate that signed the entry was not on the log before it.".to_owned()))?;
        if let Err(error) = self.certificates.check_path(&certificate, &self.anchor, statement.issued, &AwsLc) {
            let is_founder = index == 0 || self.certificates.founder().is_some_and(|founder| founder == &certificate);
            if !is_founder || self.certificates.has_issuers() {
                return Err(signature(format!("The certificate that signed the entry does not count: {error}.")));
            }
            self.memory.unled.push(Unled { index, issued_ms: statement.issued.unix_ms() });
        }
        if let Some(attached) = &attached {
            signed.verify(&certificate, &AwsLc).map_err(|error| signature(format!("The entry is not its signer's: {error}.")))?;
            if let Some(own) = &attached.own {
                self.certificates.introduce(index, own.clone());
            }
        }
        Ok(Candidate { index, signed, certificate, attached })
    }

    /// Judges the founder's path for the entries that came before any authority.
    fn lead(&mut self, findings: &mut Vec<Finding>) {
        if !self.certificates.has_issuers() {
            return;
        }
        for Unled { index, issued_ms } in std::mem::take(&mut self.memory.unled) {
            let founder = self.certificates.founder().cloned();
            let led = founder.zip(Timestamp::from_unix_ms(issued_ms)).ok_or_else(|| "it is not known any more".to_owned());
            let led = led.and_then(|(founder, at)| self.certificates.check_path(&founder, &self.anchor, at, &AwsLc));
            if let Err(reason) = led {
                let sentence = format!("The certificate that signed the entry does not count: {reason}.");
                findings.push(Finding::of(Kind::Signature, index, sentence));
            }
        }
    }

    /// A stream has no hole, no fork, and nothing after its end.
    fn chain(&mut self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) {
        let statement = candidate.signed.statement();
        let stream = statement.stream.as_str();
        let mut chain = |sentence: String| findings.push(Finding::of(Kind::Chain, candidate.index, sentence));
        let beginning = End { next_seq: 0, leaf: Hash::default().to_string(), observed: 0, issued_ms: 0, closed: false };
        let before = self.memory.streams.get(stream).unwrap_or(&beginning);
        // Events come in streams of their own, which have no epoch.
        let has_epoch = statement.stream.kind() == "camera" && !statement.stream.series().ends_with("/events");
        if has_epoch && matches!(statement.body, Body::Epoch(_)) != (statement.seq == 0) {
            chain(format!("{stream} does not begin with its epoch, or begins twice."));
        }
        if before.closed {
            chain(format!("{stream} goes on after its close."));
        }
        match statement.seq.cmp(&before.next_seq) {
            std::cmp::Ordering::Less => chain(format!("Statement {} of {stream} is on the log twice.", statement.seq)),
            std::cmp::Ordering::Greater => {
                chain(format!("{stream} has a hole: statement {} comes where {} belongs.", statement.seq, before.next_seq));
            }
            std::cmp::Ordering::Equal if statement.prev.to_string() != before.leaf => {
                chain(format!("Statement {} of {stream} does not follow the one before it.", statement.seq));
            }
            std::cmp::Ordering::Equal => {}
        }
        if statement.seq < before.next_seq {
            // The chain goes on from where it was.
            return;
        }
        let end = End {
            next_seq: statement.seq + 1,
            leaf: candidate.signed.leaf_hash().to_string(),
            observed: before.observed.max(statement.observed.size),
            issued_ms: statement.issued.unix_ms(),
            closed: matches!(statement.body, Body::Close(_)),
        };
        if statement.observed.size < before.observed {
            findings.push(Finding::of(Kind::Observed, candidate.index, format!("What the issuer of {stream} has observed has shrunk.")));
        }
        self.memory.streams.insert(stream.to_owned(), end);
        self.memory.issued_ms = self.memory.issued_ms.max(statement.issued.unix_ms());
    }

    /// What the issuer has seen. Nobody sees what comes after.
    fn observation(&self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) -> Option<Observation> {
        let statement = candidate.signed.statement();
        let head = statement.observed;
        if statement.log != self.anchor.log || head.size == 0 {
            // Of the log before this one, or of none yet.
            return None;
        }
        if head.size > candidate.index {
            let sentence = format!("The issuer says that it has seen a log of {} entries, which came after it.", head.size);
            findings.push(Finding::of(Kind::Observed, candidate.index, sentence));
            return None;
        }
        Some(Observation { index: candidate.index, head })
    }

    /// What is told of an entry that holds.
    fn tell(&mut self, candidate: &Candidate<'_>, findings: &mut Vec<Finding>) {
        let (index, statement) = (candidate.index, candidate.signed.statement());
        let by = statement.stream.owner();
        let mut tell = |kind: Kind, sentence: String| findings.push(Finding::of(kind, index, sentence));
        match &statement.body {
            Body::Genesis(genesis) => {
                self.memory.predecessor = genesis.predecessor.as_ref().map(|predecessor| predecessor.log.to_string());
            }
            Body::Contradiction(body) => {
                tell(Kind::Contradiction, format!("There are two statements for place {} of {}, both signed.", body.seq, body.stream));
            }
            Body::Ban(body) => {
                let what = if body.lifts.is_some() { "lifted a ban" } else { "banned somebody" };
                tell(Kind::Ban, format!("{by} {what}."));
            }
            Body::Erasure(body) => tell(Kind::Erasure, format!("{by} erased {} attachments.", body.erased.len())),
            Body::Access(body) if !body.granted => tell(Kind::Refusal, format!("{by} refused what fetch {} asked for.", body.fetch)),
            Body::Reopen(body) => tell(Kind::Reopening, format!("{by} had the recovery recipient open evidence of {}.", body.scope)),
            Body::Succession(body) => {
                tell(Kind::Succession, format!("The log ends here: {} follows.", body.successor.origin));
                self.memory.ended.get_or_insert(index);
            }
            Body::Timestamp(_) => self.memory.timestamp_ms = self.memory.timestamp_ms.max(statement.issued.unix_ms()),
            Body::CertificateRevocation(body) => {
                let fingerprint = hex::encode(body.fingerprint);
                tell(Kind::Revocation, format!("Certificate {fingerprint} is revoked since {}.", body.since));
                let since = self.memory.revoked.entry(fingerprint).or_insert(u64::MAX);
                *since = (*since).min(body.since.unix_ms());
            }
            Body::Approve(body) => {
                let approved = body.entry.to_string();
                self.memory.unapproved.retain(|waiting| waiting.leaf != approved);
            }
            Body::Certificate(body) => {
                if let Some(own) = candidate.attached.as_ref().and_then(|attached| attached.own.clone()) {
                    self.second_certificate(candidate, &own, body.replaces, findings);
                }
            }
            Body::Unknown { type_name, .. } => tell(Kind::UnknownType, format!("The entry is of type {type_name}, which is not judged.")),
            _ => {}
        }
    }

    /// A second live certificate of somebody needs a custodian's word: else an authority could make a second camera 102.
    fn second_certificate(
        &mut self,
        candidate: &Candidate<'_>,
        own: &Certificate,
        replaces: Option<[u8; 32]>,
        findings: &mut Vec<Finding>,
    ) {
        let at = candidate.signed.statement().issued;
        let mut others = self.certificates.others(own, candidate.index, at);
        others.retain(|other| !self.is_revoked(other, at));
        let who = own.identity().map_or_else(|| own.common_name().to_owned(), ToString::to_string);
        if let Some(replaced) = replaces {
            let sentence = format!("{who} got a certificate that replaces {}.", hex::encode(replaced));
            findings.push(Finding::of(Kind::Replacement, candidate.index, sentence));
            others.retain(|other| *other != replaced);
        }
        if let Some(other) = others.first() {
            let sentence = format!("{who} has a second certificate beside {}, and no custodian has approved it.", hex::encode(other));
            let finding = Finding::of(Kind::SecondCertificate, candidate.index, sentence);
            self.memory.unapproved.push(Unapproved { leaf: candidate.signed.leaf_hash().to_string(), finding, told: false });
        }
    }

    fn is_revoked(&self, fingerprint: &[u8; 32], at: Timestamp) -> bool {
        self.memory.revoked.get(&hex::encode(fingerprint)).is_some_and(|since| *since <= at.unix_ms())
    }

    /// Second certificates that are still not approved at the end of what was published: told once.
    pub fn unapproved(&mut self) -> Vec<Finding> {
        let waiting = self.memory.unapproved.iter_mut().filter(|waiting| !waiting.told);
        waiting
            .map(|waiting| {
                waiting.told = true;
                waiting.finding.clone()
            })
            .collect()
    }
}

/// The leaf hashes of entries, on all cores.
pub fn leaves(entries: &[Vec<u8>]) -> Vec<Hash> {
    in_parallel(entries, |entry| leaf_hash(entry))
}

/// Does the same to each, on all cores.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(cores).max(SHARE_MIN);
    if items.len() <= share {
        return items.iter().map(work).collect();
    }
    thread::scope(|scope| {
        let threads: Vec<_> = items.chunks(share).map(|chunk| scope.spawn(|| chunk.iter().map(&work).collect::<Vec<R>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("judging does not panic")).collect()
    })
}

/// Below this a thread costs more than it does: 16 signatures take 4 ms.
const SHARE_MIN: usize = 16;
