//! Judges entries in the order of the log: form, chain, certificate, path, role, signature; and tells what an auditor wants to hear of.
//!
//! It has no file, no socket and no clock. That an entry is on the log was proven before.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use exhibit_evidence::body::Predecessor;
use exhibit_evidence::{Anchor, Body, Head, SignedStatement};
use exhibit_pki::{AwsLc, Certificate, PublicKey, Timestamp};
use exhibit_tlog::{Hash, leaf_hash};

use super::certificates::{Attached, Holder, attached, attaches_certificates, certificates_in, holder};
use super::finding::{Finding, Kind};
use super::memory::{Ended, Memory, Unled};
use super::second::Watched;
use super::withheld::Behind;

/// A head that an issuer says to have seen, or had stamped: the tree must have had that root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whose entry.
    pub index: u64,
    /// What it saw.
    pub head: Head,
    /// The checkpoint, where the entry attaches it: it is signed by the log, and so binds it.
    pub note: Option<String>,
}

/// An entry, parsed as far as it can be.
pub type Parsed = Result<SignedStatement, Defect>;

/// Why there is no statement.
#[derive(Clone, Debug)]
pub enum Defect {
    /// The entry is none.
    Form(String),
    /// The entry is not there.
    Withheld,
}

/// Parses the entries of a bundle, on all cores.
pub fn parse(entries: &[Option<Vec<u8>>]) -> Vec<Parsed> {
    in_parallel(entries, |entry| {
        let entry = entry.as_ref().ok_or(Defect::Withheld)?;
        SignedStatement::parse(entry).map_err(|error| Defect::Form(error.to_string()))
    })
}

/// The certificates that are needed to judge these entries, by hash.
pub fn certificates_of(parsed: &[Parsed]) -> Vec<Hash> {
    let bodies = parsed.iter().flatten().map(|signed| &signed.statement().body).filter(|body| attaches_certificates(body));
    bodies.flat_map(certificates_in).map(|attachment| attachment.sha256).collect()
}

/// What else they attach that is judged: the two statements of a contradiction, and with `stamps` the checkpoints and tokens of `timestamp` statements.
pub fn others_of(parsed: &[Parsed], stamps: bool) -> Vec<Hash> {
    let bodies = parsed.iter().flatten().map(|signed| &signed.statement().body);
    let judged = bodies.filter(|body| matches!(body, Body::Contradiction(_)) || (stamps && matches!(body, Body::Timestamp(_))));
    judged.flat_map(|body| body.attachments().iter().map(|attachment| attachment.sha256)).collect()
}

/// Judges a log's entries, one bundle after the other.
pub struct Judge {
    pub(super) anchor: Anchor,
    /// What is remembered of the entries so far.
    pub memory: Memory,
    /// What `timestamp` statements attach is to be had.
    pub(super) judges_stamps: bool,
    /// Where to look for second certificates.
    pub(super) watched: Watched,
    /// The keys that count, of those who were asked about: what is kept says as much, and slower.
    pub(super) counting: HashMap<Holder, HashSet<PublicKey>>,
    /// Something of the log is not there, and this is what comes behind it.
    pub behind: Option<Behind>,
}

/// Why an entry is not judged further.
enum Refused {
    Found(Finding),
    /// It hangs on what is not there.
    Undecided,
}

/// An entry whose form and certificate were judged, and whose signature is to be.
pub struct Candidate<'a> {
    /// Its place on the log.
    pub index: u64,
    /// Itself.
    pub signed: &'a SignedStatement,
    /// Whose signature it bears.
    pub certificate: Arc<Certificate>,
    /// What it introduces; its signature was judged at once, since entries after it hang on it.
    pub attached: Option<Attached>,
}

/// What an entry attaches, if it is one that attaches certificates; inside, `None` where that is not there.
fn attached_of(parsed: &Parsed, stored: &HashMap<Hash, Vec<u8>>) -> Option<Option<Result<Attached, String>>> {
    let body = parsed.as_ref().ok().map(|signed| &signed.statement().body);
    body.filter(|body| attaches_certificates(body)).map(|body| attached(body, stored))
}

impl Judge {
    /// At the beginning, or from what was kept.
    pub fn new(anchor: Anchor, memory: Memory, judges_stamps: bool) -> Self {
        let watched = Watched::of(&memory.seconds);
        Self { anchor, memory, judges_stamps, watched, counting: HashMap::new(), behind: None }
    }

    /// Judges the entries from index `first` on. Gives what was found, and the heads whose roots have to be compared.
    pub fn judge(&mut self, first: u64, parsed: &[Parsed], stored: &HashMap<Hash, Vec<u8>>) -> (Vec<Finding>, Vec<Observation>) {
        let mut findings = Vec::new();
        let mut candidates = Vec::new();
        let mut lacking = Vec::new();
        let attachments: Vec<_> = parsed.iter().map(|parsed| attached_of(parsed, stored)).collect();
        // Authorities first: the log's founder leads to one that comes after it. A path is proven, wherever its parts come from.
        for attached in attachments.iter().flatten().flatten().flatten() {
            self.memory.certificates.know_issuers(&attached.issuers);
        }
        for (index, (parsed, attached)) in (first..).zip(parsed.iter().zip(attachments)) {
            if let Err(Defect::Withheld) = parsed {
                lacking.push(index);
                continue;
            }
            match self.candidate(index, parsed, attached) {
                Ok(candidate) => candidates.push(candidate),
                Err(Refused::Found(finding)) => findings.push(finding),
                Err(Refused::Undecided) => {
                    self.behind.get_or_insert_default().undecided += 1;
                    // It takes no place in its stream, whichever that is.
                    lacking.push(index);
                }
            }
        }
        let mut lacking = lacking.into_iter().peekable();
        let verified = in_parallel(&candidates, |candidate| {
            let is_judged = candidate.attached.is_some();
            if is_judged { Ok(()) } else { candidate.signed.verify(&candidate.certificate, &AwsLc).map(drop) }
        });
        let mut observations = Vec::new();
        for (candidate, verified) in candidates.into_iter().zip(verified) {
            while let (Some(behind), Some(_)) = (&mut self.behind, lacking.next_if(|index| *index < candidate.index)) {
                behind.lacks_entry();
            }
            if let Err(error) = verified {
                // It takes no place in its stream: see DESIGN "What does not verify is a finding against whoever logged it".
                findings.push(Finding::of(Kind::Signature, candidate.index, format!("The entry is not its signer's: {error}.")));
                continue;
            }
            // What introduced its signer may just have turned out to be none.
            if !self.memory.certificates.is_introduced(candidate.certificate.fingerprint()) {
                if let Some(behind) = self.behind.as_mut().filter(|behind| behind.is_before(candidate.index)) {
                    behind.undecided += 1;
                    behind.lacks_entry();
                    continue;
                }
                let sentence = "The certificate that signed the entry was not on the log before it.";
                findings.push(Finding::of(Kind::Signature, candidate.index, sentence));
                continue;
            }
            // By the revocations below it, which may stand in the same bundle.
            if self.is_revoked(candidate.certificate.fingerprint(), candidate.signed.statement().issued) {
                let sentence = "The certificate that signed the entry was revoked before.";
                findings.push(Finding::of(Kind::Signature, candidate.index, sentence));
                if let Some(own) = candidate.attached.as_ref().and_then(|attached| attached.own.as_ref()) {
                    self.memory.certificates.withdraw(candidate.index, own);
                    self.counting.remove(&holder(own));
                }
                continue;
            }
            findings.extend(self.beyond_the_end(candidate.index));
            let from = findings.len();
            self.chain(&candidate, &mut findings);
            observations.extend(self.observation(&candidate, &mut findings));
            self.is_older_than_seen(&candidate, &mut findings);
            self.signed_by(&candidate, &mut findings);
            self.rights(&candidate, &mut findings);
            observations.extend(self.tell(&candidate, stored, &mut findings));
            if let Some(behind) = self.behind.as_mut().filter(|behind| behind.is_before(candidate.index)) {
                behind.decide(&mut findings, from);
            }
        }
        if let Some(behind) = self.behind.as_mut().filter(|_| lacking.peek().is_some()) {
            behind.lacks_entry();
        }
        self.lead(&mut findings);
        findings.sort_by_key(|finding| finding.index);
        (findings, observations)
    }

    /// Whoever writes behind the end writes into a log that nobody goes on with.
    fn beyond_the_end(&self, index: u64) -> Option<Finding> {
        let ended = self.memory.rest.ended?;
        let sentence = format!("The entry comes after the end of the log, which is entry {ended}: its successor knows nothing of it.");
        Some(Finding::of(Kind::Chain, index, sentence))
    }

    /// Form, log, certificate and path of an entry.
    fn candidate<'a>(
        &mut self,
        index: u64,
        parsed: &'a Parsed,
        attached: Option<Option<Result<Attached, String>>>,
    ) -> Result<Candidate<'a>, Refused> {
        let entry = |sentence: String| Refused::Found(Finding::of(Kind::Entry, index, sentence));
        let signature = |sentence: String| Refused::Found(Finding::of(Kind::Signature, index, sentence));
        let is_behind = self.behind.as_ref().is_some_and(|behind| behind.is_before(index));
        // What is not there may have made it right.
        let unless_behind = |sentence: String| if is_behind { Refused::Undecided } else { signature(sentence) };
        let signed = match parsed {
            Ok(signed) => signed,
            Err(Defect::Form(error)) => return Err(entry(format!("The entry is not a signed statement: {error}."))),
            Err(Defect::Withheld) => return Err(Refused::Undecided),
        };
        let statement = signed.statement();
        let leaf = signed.leaf_hash();
        // What follows in the same bundle may be of a log before.
        if let (0, Body::Genesis(genesis)) = (index, &statement.body)
            && leaf == self.anchor.log
        {
            let ended =
                |before: &Predecessor| Ended { log: before.log.to_string(), size: before.head.size, root: before.head.root.to_string() };
            self.memory.rest.before = genesis.before().map(ended).collect();
        }
        let fits = match &statement.body {
            Body::Genesis(_) => index == 0 && leaf == self.anchor.log,
            _ => index > 0 && (statement.log == self.anchor.log || self.memory.rest.ended(&statement.log).is_some()),
        };
        if !fits {
            // Without genesis nobody knows which logs were before.
            if is_behind && index > 0 && self.memory.certificates.founder().is_none() {
                return Err(Refused::Undecided);
            }
            return Err(entry("The entry is of another log than the anchor's.".to_owned()));
        }
        let attached = attached.map(|attached| attached.ok_or(Refused::Undecided)).transpose()?;
        let attached =
            attached.transpose().map_err(|reason| signature(format!("What the entry introduces can not be judged: {reason}.")))?;
        let own = attached.as_ref().and_then(|attached| attached.own.as_ref());
        let certificate = self.memory.certificates.signer(index, signed, own);
        let certificate =
            certificate.ok_or_else(|| unless_behind("The certificate that signed the entry was not on the log before it.".to_owned()))?;
        if let Err(error) = self.memory.certificates.check_path(&certificate, &self.anchor, statement.issued, &AwsLc) {
            let is_founder = index == 0 || self.memory.certificates.founder().is_some_and(|founder| founder == certificate);
            if !is_founder || self.memory.certificates.has_issuers() {
                return Err(unless_behind(format!("The certificate that signed the entry does not count: {error}.")));
            }
            self.memory.rest.unled.push(Unled { index, issued_ms: statement.issued.unix_ms() });
        }
        if let Some(attached) = &attached {
            signed.verify(&certificate, &AwsLc).map_err(|error| signature(format!("The entry is not its signer's: {error}.")))?;
            if let Some(own) = &attached.own {
                self.memory.certificates.introduce(index, own);
            }
        }
        Ok(Candidate { index, signed, certificate, attached })
    }

    /// Judges the founder's path for the entries that came before any authority.
    fn lead(&mut self, findings: &mut Vec<Finding>) {
        // An authority that is not there may be the one that the founder leads to.
        if !self.memory.certificates.has_issuers() || self.behind.is_some() {
            return;
        }
        for Unled { index, issued_ms } in std::mem::take(&mut self.memory.rest.unled) {
            let founder = self.memory.certificates.founder();
            let led = founder.zip(Timestamp::from_unix_ms(issued_ms)).ok_or_else(|| "it is not known any more".to_owned());
            let led = led.and_then(|(founder, at)| self.memory.certificates.check_path(&founder, &self.anchor, at, &AwsLc));
            if let Err(reason) = led {
                let sentence = format!("The certificate that signed the entry does not count: {reason}.");
                findings.push(Finding::of(Kind::Signature, index, sentence));
            }
        }
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
