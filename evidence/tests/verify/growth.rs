//! A bundle of eight times the size takes about eight times the time, whatever is in it: whoever makes one could else keep a court waiting.
//!
//! What is counted is the time that the processor gave this thread, so that a busy machine does not matter.

use std::collections::HashMap;
use std::convert::Infallible;

use exhibit_evidence::body::{
    Approve, Continues, Epoch, EpochReason, Gap, GapCause, Heartbeat, Recipients, Retention, Segment, SeqRange, StreamPosition,
    TimestampBody,
};
use exhibit_evidence::bundle::{DisclosedSegment, FileRecord, entry_path, receipt_path};
use exhibit_evidence::verdict::{FindingKind, Verdict};
use exhibit_evidence::verify::verify;
use exhibit_evidence::{Anchor, Body, Head, SignedStatement, Statement, sign};
use exhibit_pki::{BadSignature, PublicKey, Signer, SignerError, Timestamp, Verifier};
use exhibit_tlog::{Checkpoint, EMPTY_ROOT, Hash, HashReader, LogProof, MerkleFrontier, prove_inclusion};

use crate::common::{NOT_AFTER, stream, time};
use crate::synthetic::{Case, Files, Issuer, Log, ORIGIN, STARTED_MS, note_signer};

/// How much larger the second bundle is.
const TIMES: u64 = 8;
/// Rounds of the hostile statements in the first.
const ROUNDS: u64 = 150;

/// A key that signs at once, and a verifier that believes it: what a signature costs is no part of this.
struct Believed(PublicKey);

impl Signer for Believed {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn sign_digest(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        let one = [vec![0; 47], vec![1]].concat();
        Ok([one.as_slice(), &one].concat())
    }
}

struct BelievesAll;

impl Verifier for BelievesAll {
    fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

/// The hashes of the tree, as a log keeps them.
#[derive(Default)]
struct Kept(HashMap<(u8, u64), Hash>);

impl HashReader for Kept {
    type Error = Infallible;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.0[&(level, index)])
    }
}

#[test]
fn a_hostile_bundle_takes_time_in_proportion_to_its_size() {
    let (small, small_ns) = timed(ROUNDS);
    let (large, large_ns) = timed(ROUNDS * TIMES);
    // It was all looked at.
    for (verdict, rounds) in [(&small, ROUNDS), (&large, ROUNDS * TIMES)] {
        assert!(verdict.counts.entries > rounds * 10, "only {} entries", verdict.counts.entries);
        let of = |kind| verdict.findings.iter().filter(|finding| finding.kind == kind).count() as u64;
        for kind in [FindingKind::Uncovered, FindingKind::FileMissing, FindingKind::RecipientsThreshold] {
            // A thousand of a kind are told, and how many more there are.
            assert!(of(kind) >= (rounds - 1).min(1_001), "{kind:?}: {} of {rounds}", of(kind));
        }
    }
    let (Some(small_ns), Some(large_ns)) = (small_ns, large_ns) else { return };
    // What is quadratic is 64 times as much.
    assert!(large_ns < small_ns * TIMES * 3, "{TIMES} times the size took {} times the time", large_ns / small_ns.max(1));
}

/// The verdict on a bundle of so many rounds, and the time that it took this thread.
fn timed(rounds: u64) -> (Verdict, Option<u64>) {
    let (files, anchor) = hostile(rounds);
    let before = thread_ns();
    let verdict = verify(&files, &anchor, &BelievesAll).unwrap();
    (verdict, thread_ns().and_then(|after| Some(after - before?)))
}

/// The processor's time of this thread, where there is a Linux to say it.
fn thread_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// A recording with a great many statements beside it, of every kind that is compared with others.
fn hostile(rounds: u64) -> (Files, Anchor) {
    let mut case = Case::new();
    let log = &mut case.log;
    // Two have to decide, and one approves without end.
    let certificates = vec![log.custodian.party.certificate.clone(), log.investigator.party.certificate.clone()];
    let pinned = exhibit_evidence::anchor::PinnedCustodians { certificates, threshold: 2 };
    log.policy.custodians = Some(pinned);
    let note = log.checkpoint();
    let head = Head { size: log.entries.len() as u64, root: log.root() };
    let recipients = log.entries.iter().find(|entry| matches!(entry.statement().body, Body::Recipients(_))).unwrap();
    let (set, set_hash) = (recipients.leaf_hash(), recipients.statement_hash());
    let checkpoint = log.keep("checkpoint", note.as_bytes());
    begin_stream(&mut log.camera, "camera/102/main/20261120T130000Z");
    let main = log.camera.stream.clone();
    append(log, |log| &mut log.camera, epoch(set, None));
    for round in 0..rounds {
        let at_ms = STARTED_MS + 10_000 * round;
        append(log, |log| &mut log.camera, segment(at_ms));
        append(
            log,
            |log| &mut log.camera,
            Body::Gap(Gap { cause: GapCause::Mode, from: moment(at_ms), to: moment(at_ms + 1), attachments: vec![] }),
        );
        let heartbeat = Heartbeat { uptime_s: 1, unsent: 0, unsent_bytes: 0, last_segment: None, attachments: vec![] };
        append(log, |log| &mut log.camera, Body::Heartbeat(heartbeat));
        let last = StreamPosition { stream: main.clone(), seq: log.camera.next_seq - 1, leaf: log.camera.prev };
        let approve = Approve { entry: set, statement: set_hash, attachments: vec![] };
        append(log, |log| &mut log.custodian, Body::Approve(approve));
        let again = log.entries.iter().find(|entry| entry.leaf_hash() == set).unwrap().clone();
        log.entries.push(again);
        let set_by_nobody = Body::Recipients(refused(log, round));
        append(log, |log| &mut log.custodian, set_by_nobody);
        let obeyed = log.custodian.prev;
        let ranges = (0..4).map(|step| SeqRange { stream: main.clone(), first: round + step, last: round + step }).collect();
        append(log, |log| &mut log.appliance, Body::Retention(Retention { ranges, rule: "hostile".to_owned(), attachments: vec![] }));
        append(log, |log| &mut log.appliance, Body::Timestamp(TimestampBody { head, attachments: vec![checkpoint.clone()] }));
        let (camera, seq, prev) = (log.camera.stream.clone(), log.camera.next_seq, log.camera.prev);
        begin_stream(&mut log.camera, &format!("camera/102/main/{round}"));
        append(log, |log| &mut log.camera, epoch(obeyed, Some(last)));
        append(log, |log| &mut log.camera, segment(at_ms + 1));
        (log.camera.stream, log.camera.next_seq, log.camera.prev) = (camera, seq, prev);
    }
    case.manifest.question.from = moment(STARTED_MS).to_string();
    case.manifest.question.to = moment(STARTED_MS + 10_000 * rounds).to_string();
    for seq in 0..rounds * 3 {
        case.manifest.segments.push(DisclosedSegment { stream: main.as_str().to_owned(), seq });
        let sha256 = Hash::default().to_string();
        case.manifest.files.push(FileRecord { path: format!("working/{seq}.mp4"), sha256, length: 1 });
    }
    case.manifest.segments.sort_by(|one, other| (&one.stream, one.seq).cmp(&(&other.stream, other.seq)));
    case.manifest.entries = (0..case.log.entries.len() as u64).collect();
    let manifest = serde_json::to_vec(&case.manifest).unwrap();
    case.files.0.insert("manifest.json".to_owned(), manifest);
    prove(&mut case);
    let anchor = case.log.anchor();
    (case.files, anchor)
}

fn begin_stream(issuer: &mut Issuer, name: &str) {
    (issuer.stream, issuer.next_seq, issuer.prev) = (stream(name), 0, Hash::default());
}

fn moment(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms).unwrap()
}

/// As `Log::append`, but that what was observed is always the same, and the signature costs nothing.
fn append(log: &mut Log, who: fn(&mut Log) -> &mut Issuer, body: Body) {
    let (id, count) = (log.id, log.entries.len() as u64);
    let observed = match &body {
        Body::Timestamp(body) => body.head,
        _ => Head { size: 0, root: EMPTY_ROOT },
    };
    let issuer = who(log);
    let issued = moment(STARTED_MS + count);
    let statement = Statement { log: id, stream: issuer.stream.clone(), seq: issuer.next_seq, prev: issuer.prev, issued, observed, body };
    let key = Believed(issuer.party.certificate.public_key().clone());
    let signed = sign(&statement, &issuer.party.certificate, &key).unwrap();
    (issuer.next_seq, issuer.prev) = (issuer.next_seq + 1, signed.leaf_hash());
    log.entries.push(signed);
}

fn epoch(recipients: Hash, previous: Option<StreamPosition>) -> Body {
    Body::Epoch(Epoch {
        commitment: Hash([7; 32]),
        started: moment(STARTED_MS),
        recipients,
        continues: Continues { reason: EpochReason::Backlog, previous },
        attachments: vec![exhibit_evidence::body::AttachmentRef::of("wraps", &[3; 40], true)],
    })
}

/// Half a second, so that a hole follows.
fn segment(start_ms: u64) -> Body {
    Body::Segment(Segment {
        slot: 0,
        salt: [9; 16],
        start: moment(start_ms),
        duration_ms: 500,
        media_type: "video/mp4".to_owned(),
        random_access: true,
        fragment_lengths: vec![17],
        ciphertext_root: Hash([1; 32]),
        commitment_root: Hash([2; 32]),
        attachments: vec![],
    })
}

/// A set that replaces the very first, which nobody decided.
fn refused(log: &Log, round: u64) -> Recipients {
    Recipients {
        scope: "camera/102".to_owned(),
        number: round + 2,
        replaces: None,
        recipients: vec![[5; 32]],
        custodians: vec![*log.custodian.party.certificate.fingerprint()],
        threshold: 1,
        expires: time(NOT_AFTER),
        attachments: vec![],
    }
}

/// Receipts for all, under a checkpoint of all.
fn prove(case: &mut Case) {
    let (mut kept, mut frontier) = (Kept::default(), MerkleFrontier::default());
    for entry in &case.log.entries {
        frontier.push(entry.leaf_hash(), |level, index, hash| {
            kept.0.insert((level, index), hash);
        });
    }
    let size = case.log.entries.len() as u64;
    let head = Checkpoint { origin: ORIGIN.to_owned(), size, root: frontier.root() };
    let checkpoint = head.sign(&[&note_signer()], STARTED_MS / 1_000).unwrap();
    let export = case.log.entries.iter().position(|entry| matches!(entry.statement().body, Body::Export(_))).unwrap() as u64;
    let receipt = |index: u64| {
        let path = prove_inclusion(&kept, index, size).unwrap();
        LogProof { index, path, checkpoint: checkpoint.clone() }.to_text().into_bytes()
    };
    for (index, entry) in (0..).zip(&case.log.entries) {
        let entry: &SignedStatement = entry;
        case.files.0.insert(entry_path(index), entry.der().to_vec());
        case.files.0.insert(receipt_path(index), receipt(index));
    }
    case.files.0.insert("export.tlog-proof".to_owned(), receipt(export));
    for (sha256, stored) in &case.log.attachments {
        case.files.0.insert(exhibit_evidence::bundle::attachment_path(sha256), stored.clone());
    }
    case.files.0.insert("checkpoint".to_owned(), checkpoint.into_bytes());
}
