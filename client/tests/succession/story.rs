//! An honest succession, told as an appliance tells it, and what a test changes about it.

use crate::support::{self, Log, Party, Pki, signed};
use base64ct::{Base64, Encoding};
use exhibit_evidence::{
    Anchor, AttachmentRef, Body, Head,
    anchor::WitnessPolicy,
    body::{Approve, Genesis, Predecessor, Succession, SuccessionReason, Successor},
    exchange::SuccessorRecord,
    succession::{SuccessionError, SuccessorLog, Trusted, judge},
};
use exhibit_pki::{Fingerprint, KeyPurpose, Role, RustCrypto, Verifier};
use exhibit_tlog::{EMPTY_ROOT, Ed25519Cosigner, Hash, LogVerifier, NoteSigner, leaf_hash};
use zeroize::Zeroizing;

pub const NOTHING: Head = Head { size: 0, root: EMPTY_ROOT };
pub const CHRONICLE: &str = "appliance/1/log/20261101T000000Z";

/// What a test changes about an honest succession.
pub struct Change {
    /// The log that genesis says to go on for, and where that ended.
    pub predecessor: Box<dyn Fn(Predecessor) -> Predecessor>,
    pub genesis: Box<dyn Fn(&mut Genesis)>,
    pub successor: Box<dyn Fn(&mut Successor)>,
    pub signer: fn(&Pki) -> Party,
    pub succession_signer: fn(&Pki) -> Party,
    /// Comes behind the succession on the old log.
    pub goes_on: bool,
    pub is_planned: bool,
    pub approves: fn(&Pki) -> Vec<Party>,
    pub approved: Box<dyn Fn(&mut Approve)>,
    pub record: Box<dyn Fn(&mut SuccessorRecord)>,
    pub observed: Box<dyn Fn(Head) -> Head>,
    pub witnesses: bool,
    pub cosigns: bool,
    pub threshold: u64,
    /// What the keys of the new log are made from.
    pub seed: u8,
    /// The logs before the old one, as its own genesis declares them.
    pub declared: Vec<Predecessor>,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            predecessor: Box::new(|named| named),
            genesis: Box::new(|_| {}),
            successor: Box::new(|_| {}),
            signer: Pki::appliance,
            succession_signer: Pki::appliance,
            goes_on: false,
            is_planned: true,
            approves: |_| Vec::new(),
            approved: Box::new(|_| {}),
            record: Box::new(|_| {}),
            observed: Box::new(|observed| observed),
            witnesses: false,
            cosigns: false,
            threshold: 1,
            seed: 80,
            declared: Vec::new(),
        }
    }
}

pub fn custodian(pki: &Pki, number: u8) -> Party {
    pki.party(&format!("user/c{number}"), Role::Custodian, KeyPurpose::Signing, 100 + number)
}

/// Custodian 1 with another key and certificate.
pub fn first_again(pki: &Pki) -> Party {
    pki.party("user/c1", Role::Custodian, KeyPurpose::Signing, 110)
}

pub fn keys(log: &LogVerifier) -> Vec<String> {
    log.keys.iter().map(ToString::to_string).collect()
}

pub fn old_log() -> Log {
    let mut log = Log::new();
    log.entries.extend([b"genesis, as far as these tests care".to_vec(), b"more".to_vec()]);
    log
}

/// The genesis of a log that goes on for others itself.
pub fn began_after(pki: &Pki, before: &Predecessor, earlier: &[Predecessor]) -> Vec<u8> {
    let appliance = pki.appliance();
    let genesis = Genesis {
        origin: support::ORIGIN.into(),
        keys: keys(&Log::new().verifier()),
        roots: vec![*pki.root.fingerprint()],
        witness_policy: String::new(),
        predecessor: Some(before.clone()),
        earlier: earlier.to_vec(),
        attachments: vec![AttachmentRef::of("certificate", appliance.certificate.der(), false)],
    };
    let stream = "appliance/1/log/20251201T000000Z";
    signed(&appliance, Hash::default(), stream, 0, Hash::default(), NOTHING, Body::Genesis(genesis)).der().to_vec()
}

/// What an appliance says of its successor, and what whoever asked it trusts.
pub struct Story {
    pub record: SuccessorRecord,
    pub anchor: Anchor,
    pub observed: Head,
    pub custodians: Vec<Fingerprint>,
    pub threshold: u64,
}

pub fn judged(change: &Change) -> Result<SuccessorLog, SuccessionError> {
    offered(change, &RustCrypto, judge)
}

/// The same, asked otherwise.
pub fn offered<T>(change: &Change, verifier: &dyn Verifier, ask: impl Fn(&SuccessorRecord, &Trusted<'_>) -> T) -> T {
    let Story { record, anchor, observed, custodians, threshold } = told(change);
    ask(&record, &Trusted { anchor: &anchor, observed, custodians: &custodians, threshold, intermediates: &[], verifier })
}

/// An old log that ends, and a new one that begins.
pub fn told(change: &Change) -> Story {
    let pki = Pki::new(10);
    let (mut old, mut new) = (old_log(), Log::named("city.example/log/2", change.seed));
    if let [before, earlier @ ..] = &*change.declared {
        old.entries[0] = began_after(&pki, before, earlier);
    }
    let old_id = leaf_hash(&old.entries[0]);
    let observed = (change.observed)(old.head());
    let mut successor = Successor { origin: "city.example/log/2".into(), keys: keys(&new.verifier()) };
    (change.successor)(&mut successor);
    let body = Body::Succession(Succession { successor, reason: SuccessionReason::Year, attachments: Vec::new() });
    let ends = signed(&(change.succession_signer)(&pki), old_id, CHRONICLE, 1, Hash([1; 32]), NOTHING, body);
    old.entries.push(ends.der().to_vec());
    if change.goes_on {
        old.entries.push(b"and more".to_vec());
    }
    let witness = Ed25519Cosigner::new("witness.example/w1", &Zeroizing::new([9; 32])).unwrap();
    let policy = format!("witness w1 {}\nquorum w1\n", witness.verifier_key());
    let mut last_checkpoint = old.checkpoint();
    if change.cosigns {
        let text = last_checkpoint.split_inclusive('\n').take(3).collect::<String>();
        let cosigned = exhibit_tlog::Note::sign(&text, &[&witness], 1_790_000_001).unwrap();
        last_checkpoint.push_str(cosigned.split_once("\n\n").unwrap().1);
    }

    let appliance = (change.signer)(&pki);
    let mut genesis = Genesis {
        origin: "city.example/log/2".into(),
        keys: keys(&new.verifier()),
        roots: vec![*pki.root.fingerprint()],
        witness_policy: if change.witnesses { policy.clone() } else { String::new() },
        predecessor: Some((change.predecessor)(Predecessor { log: old_id, head: old.head() })),
        earlier: Vec::new(),
        attachments: vec![AttachmentRef::of("certificate", appliance.certificate.der(), false)],
    };
    (change.genesis)(&mut genesis);
    let genesis =
        signed(&appliance, Hash::default(), "appliance/1/log/20261201T000000Z", 0, Hash::default(), NOTHING, Body::Genesis(genesis));
    new.entries.push(genesis.der().to_vec());

    let approval = |party: &Party| {
        let mut body = Approve { entry: genesis.leaf_hash(), statement: genesis.statement_hash(), attachments: Vec::new() };
        (change.approved)(&mut body);
        let stream = format!("{}/20261201T000000Z", party.certificate.identity().unwrap().subject);
        signed(party, genesis.leaf_hash(), &stream, 0, Hash::default(), NOTHING, Body::Approve(body))
    };
    let parties = (change.approves)(&pki);
    let signers = parties.iter().chain([&appliance]).map(|party| &party.certificate);
    let mut record = SuccessorRecord {
        consistency: Some(old.consistency(observed.size)),
        succession: change.is_planned.then(|| old.record(old.size() - 1 - u64::from(change.goes_on))),
        ended_genesis: Some(Base64::encode_string(&old.entries[0])),
        genesis: new.record(0),
        certificates: signers.chain([&pki.issuing]).map(|certificate| Base64::encode_string(certificate.der())).collect(),
        approvals: parties.iter().map(|party| Base64::encode_string(approval(party).der())).collect(),
        last_checkpoint: Some(last_checkpoint),
    };
    (change.record)(&mut record);

    let mut anchor = Anchor { log: old_id, verifier: old.verifier(), roots: vec![pki.root.clone()], policy: Default::default() };
    if change.witnesses {
        anchor.policy.witnesses = Some(WitnessPolicy::parse(&policy, &anchor.verifier).unwrap());
    }
    let custodians = [custodian(&pki, 1), custodian(&pki, 2), first_again(&pki)];
    let custodians: Vec<Fingerprint> = custodians.iter().map(|custodian| *custodian.certificate.fingerprint()).collect();
    Story { record, anchor, observed, custodians, threshold: change.threshold }
}
