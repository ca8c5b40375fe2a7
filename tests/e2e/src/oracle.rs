//! The oracle (DESIGN section 6): re-verifies everything that an appliance holds, and everything that it ever promised to a camera.
//!
//! It believes nobody: it rebuilds the tree from the entries, judges every signature anew, and opens every segment with the custodian's key.
//! It panics with the name of the harm that was done; what it returns are counts, so that a test can demand that there was something to judge.

mod log;
mod payloads;
mod receipts;

use std::collections::HashMap;
use std::path::Path;

use exhibit_client::Appliance;
use exhibit_evidence::{Body, Head, SignedStatement};
use exhibit_pki::{AwsLc, Certificate, Fingerprint, KeyPurpose, validate_path};
use exhibit_tlog::{EMPTY_ROOT, Hash};

use crate::{
    agent::{AgentCamera, Told},
    world::{Person, World},
};
use log::Log;

/// What was judged and found good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries of the log, each signed by whom it names.
    pub entries: u64,
    /// Chains without a hole.
    pub streams: u64,
    /// Segments whose ciphertext is there, hashes as signed, and decrypts.
    pub segments: u64,
    /// Fragments of them.
    pub fragments: u64,
    /// Bytes of their plaintext.
    pub bytes: u64,
    /// Receipts in the cameras' spools, each of an entry that is on the log exactly once, where the receipt says.
    pub receipts: u64,
    /// Statements in the cameras' spools that have no receipt yet.
    pub unsent: u64,
    /// `contradiction` entries.
    pub contradictions: u64,
}

/// Who states from a spool: a camera's agent, as a program of its own or within a load generator.
pub trait Spooling {
    /// The state folder, with the spool in it.
    fn state(&self) -> &Path;
    /// Everything that it has ever told to be on the ledger.
    fn told(&self, world: &World) -> Vec<Told>;
}

impl Spooling for AgentCamera {
    fn state(&self) -> &Path {
        self.state()
    }

    fn told(&self, world: &World) -> Vec<Told> {
        self.told(world)
    }
}

/// What is judged.
pub struct Case<'a> {
    /// The installation, whose appliance must be running.
    pub world: &'a World,
    /// Who may read the whole log.
    pub auditor: &'a Person,
    /// Who can open the cameras' evidence.
    pub custodian: &'a Person,
    /// Cameras, with their spools and what they have told.
    pub cameras: &'a [&'a dyn Spooling],
    /// What else was told to be on the ledger, by a verified receipt.
    pub told: &'a [Told],
    /// Heads that were verified along the way.
    pub remembered: &'a [Head],
}

/// An entry of the log whose signature was judged.
pub(crate) struct Entry {
    pub index: u64,
    pub signed: SignedStatement,
}

/// Judges everything; panics with the harm.
pub async fn judge(case: &Case<'_>) -> Report {
    let mut appliance = case.auditor.connect(case.world);
    let log = Log::fetch(&mut appliance).await;
    for head in case.remembered {
        assert_eq!(
            log.root_at(head.size),
            head.root,
            "the log of {} entries that was verified before is not a part of this one",
            head.size
        );
        let newest = Head { size: log.size(), root: log.root_at(log.size()) };
        appliance.extends(head, &newest).await.expect("the log proves that it extends what was verified before");
    }
    let entries = judge_entries(&mut appliance, case.world, &log).await;
    let mut report = Report { entries: log.size(), ..Report::default() };
    report.streams = judge_chains(&entries, &log);
    report.contradictions = entries.iter().filter(|entry| matches!(entry.signed.statement().body, Body::Contradiction(_))).count() as u64;
    for camera in case.cameras {
        receipts::judge(camera.state(), &case.world.anchor(), &log, &mut report);
        judge_told(&camera.told(case.world), &entries);
    }
    judge_told(case.told, &entries);
    payloads::judge(case, &entries, &mut report).await;
    report
}

/// Every entry parses, is of this log, and is signed by a certificate that was on the ledger below it and leads to a root.
async fn judge_entries(appliance: &mut Appliance, world: &World, log: &Log) -> Vec<Entry> {
    let anchor = world.anchor();
    let entries: Vec<Entry> = (0..)
        .zip(&log.entries)
        .map(|(index, der)| {
            let signed =
                SignedStatement::parse(der).unwrap_or_else(|error| panic!("entry {index} was accepted, and is malformed: {error}"));
            Entry { index, signed }
        })
        .collect();
    let mut introduced: Vec<Vec<Certificate>> = Vec::new();
    for entry in &entries {
        introduced.push(certificates_of(appliance, &entry.signed).await);
    }
    let issuers: Vec<Certificate> =
        introduced.iter().flatten().filter(|certificate| certificate.purpose() == KeyPurpose::Authority).cloned().collect();
    let mut known: HashMap<Fingerprint, Certificate> = HashMap::new();
    for (entry, own) in entries.iter().zip(introduced) {
        let (index, statement) = (entry.index, entry.signed.statement());
        let expected = if index == 0 { Hash::default() } else { anchor.log };
        assert_eq!(statement.log, expected, "entry {index} is of another log");
        // Two may introduce themselves: the appliance in genesis, the authority at the start of its stream.
        let itself = index == 0 || (statement.seq == 0 && matches!(statement.body, Body::Certificate(_)));
        let signer = entry.signed.signer();
        let certificate = known.get(signer).or_else(|| own.iter().find(|own| itself && own.fingerprint() == signer));
        let certificate = certificate.unwrap_or_else(|| panic!("entry {index} was accepted from a certificate that was not on the ledger"));
        validate_path(certificate, &issuers, &anchor.roots, statement.issued, &AwsLc)
            .unwrap_or_else(|error| panic!("entry {index} was accepted from a certificate that does not count: {error}"));
        entry.signed.verify(certificate, &AwsLc).unwrap_or_else(|error| panic!("entry {index} is not its signer's: {error}"));
        known.extend(own.into_iter().map(|certificate| (*certificate.fingerprint(), certificate)));
    }
    assert_eq!(entries[0].signed.leaf_hash(), anchor.log, "the log does not begin with the genesis of the anchor");
    entries
}

/// The certificates that an entry puts on the ledger.
async fn certificates_of(appliance: &mut Appliance, signed: &SignedStatement) -> Vec<Certificate> {
    let body = &signed.statement().body;
    let mut certificates = Vec::new();
    if matches!(body, Body::Certificate(_) | Body::Genesis(_)) {
        for attachment in body.attachments() {
            let stored = appliance.attachment(attachment).await.expect("an attachment of an entry was lost");
            certificates.push(Certificate::from_der(&stored).expect("what was put on the ledger as a certificate is one"));
        }
    }
    certificates
}

/// What anybody was told to be on the ledger is there. That it is there once follows from its chain.
fn judge_told(told: &[Told], entries: &[Entry]) {
    for told in told {
        let found = usize::try_from(told.index).ok().and_then(|index| entries.get(index)).map(|entry| entry.signed.statement());
        let there = found.is_some_and(|statement| statement.stream.as_str() == told.stream && statement.seq == told.seq);
        assert!(there, "{} {} was told to be on the ledger at index {}, and is not", told.stream, told.seq, told.index);
    }
}

/// Every chain begins at 0, has no hole, no fork and nothing after its end; and nobody has observed a log that is not this one.
fn judge_chains(entries: &[Entry], log: &Log) -> u64 {
    struct End {
        next_seq: u64,
        prev: Hash,
        observed: u64,
        closed: bool,
    }
    let mut ends: HashMap<&str, End> = HashMap::new();
    for Entry { index, signed } in entries {
        let statement = signed.statement();
        let stream = statement.stream.as_str();
        let end = ends.entry(stream).or_insert(End { next_seq: 0, prev: Hash::default(), observed: 0, closed: false });
        assert!(statement.seq >= end.next_seq, "entry {index}: statement {} of {stream} is on the ledger twice", statement.seq);
        assert_eq!(statement.seq, end.next_seq, "entry {index}: the chain of {stream} has a hole");
        assert_eq!(statement.prev, end.prev, "entry {index}: the chain of {stream} forked at {}", statement.seq);
        assert!(!end.closed, "entry {index}: {stream} goes on after its close");
        let observed = &statement.observed;
        assert!(observed.size <= *index, "entry {index} has observed a log that came after it");
        assert!(observed.size >= end.observed, "entry {index}: what {stream} observed has shrunk");
        let root = if observed.size == 0 { EMPTY_ROOT } else { log.root_at(observed.size) };
        assert_eq!(observed.root, root, "entry {index} has observed another log of {} entries: the log was forked", observed.size);
        if statement.stream.kind() == "camera" {
            let begins = matches!(statement.body, Body::Epoch(_));
            assert_eq!(begins, statement.seq == 0, "entry {index}: {stream} does not begin with its epoch, or begins twice");
        }
        *end = End {
            next_seq: statement.seq + 1,
            prev: signed.leaf_hash(),
            observed: observed.size,
            closed: matches!(statement.body, Body::Close(_)),
        };
    }
    ends.len() as u64
}
