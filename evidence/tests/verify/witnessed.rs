//! The axes of witnesses and time: whose word is in a bundle, what it bounds, and what it contradicts.

use exhibit_evidence::Body;
use exhibit_evidence::anchor::AnchorPolicy;
use exhibit_evidence::body::{Start, Succession, SuccessionReason, Successor};
use exhibit_evidence::bundle::checkpoint_token_path;
use exhibit_evidence::verdict::{Axis, FindingKind, Grade, Verdict};
use exhibit_tlog::{Note, NoteSignature, VerifierKey};
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256};

use crate::authorities::{ACCURACY_MS, believing_time, city_time, notary, note_text, stranger, witness, witness_policy};
use crate::synthetic::{Case, ORIGIN, Recording, STARTED_MS};

/// When the witnesses have seen the bundle's checkpoint.
const WITNESSED_S: u64 = STARTED_MS / 1_000 + 100;

/// Grade and kind of the worst finding on an axis.
pub fn worst(verdict: &Verdict, axis: Axis) -> (Grade, FindingKind) {
    let finding = verdict.on(axis).next().expect("every axis has a finding");
    (finding.grade, finding.kind)
}

/// A bundle whose checkpoint these witnesses have cosigned, under a policy of two of three.
fn witnessed_by(numbers: &[u8], demands: &[Axis]) -> Case {
    let mut case = Case::new();
    let log = case.log.anchor().verifier;
    case.log.policy = AnchorPolicy { witnesses: Some(witness_policy(2, &log)), demands: demands.to_vec(), ..AnchorPolicy::default() };
    case.cosign(numbers, WITNESSED_S);
    case.prove_heads();
    case
}

#[test]
fn as_many_witnesses_as_the_policy_asks_for_are_good() {
    for (numbers, expected) in [
        (&[1, 2][..], (Grade::Good, FindingKind::Holds)),
        (&[1, 2, 3], (Grade::Good, FindingKind::Holds)),
        (&[3], (Grade::Undecided, FindingKind::WitnessQuorum)),
        (&[], (Grade::Undecided, FindingKind::WitnessQuorum)),
    ] {
        let verdict = witnessed_by(numbers, &[Axis::Witness]).judge().unwrap();
        assert_eq!(worst(&verdict, Axis::Witness), expected, "{numbers:?}");
        assert_eq!(verdict.grade == Grade::Undecided, numbers.len() < 2, "a demand that is not met is undecided, never good");
    }
    let verdict = witnessed_by(&[3], &[]).judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Witness), (Grade::NotDemanded, FindingKind::WitnessQuorum), "what is not demanded is only told");
}

#[test]
fn a_quorum_of_none_does_not_meet_a_demand() {
    let mut case = Case::new();
    let log = case.log.anchor().verifier;
    case.log.policy = AnchorPolicy { witnesses: Some(witness_policy(0, &log)), demands: vec![Axis::Witness], ..AnchorPolicy::default() };
    case.prove_heads();
    assert_eq!(worst(&case.judge().unwrap(), Axis::Witness), (Grade::Undecided, FindingKind::NoEvidence));
    case.cosign(&[1], WITNESSED_S);
    assert_eq!(worst(&case.judge().unwrap(), Axis::Witness), (Grade::Good, FindingKind::Holds));
}

#[test]
fn the_witnesses_are_named_with_their_times() {
    let verdict = witnessed_by(&[1, 3], &[]).judge().unwrap();
    let sentence = &verdict.on(Axis::Witness).next().unwrap().sentence;
    for named in ["w1", "w3", "2026-11-20T12:01:40.000Z"] {
        assert!(sentence.contains(named), "{sentence} does not name {named}");
    }
    assert!(!sentence.contains("w2"), "a witness was named that has not signed");
    assert_eq!(verdict.basis.policy.witnesses, ["w1", "w2", "w3"]);
}

#[test]
fn a_line_in_the_name_of_a_witness_that_is_not_its_signature_is_bad() {
    let mut case = Case::new();
    let log = case.log.anchor().verifier;
    case.log.policy = AnchorPolicy { witnesses: Some(witness_policy(1, &log)), ..AnchorPolicy::default() };
    let checkpoint = case.log.checkpoint();
    let mut line = NoteSignature::sign(Note::parse(&checkpoint).unwrap().text(), &witness(1), WITNESSED_S).unwrap();
    *line.signature.last_mut().unwrap() ^= 1;
    case.reprove(&format!("{checkpoint}{line}"));
    let verdict = case.judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Witness), (Grade::Bad, FindingKind::Cosignature));
}

/// A log's key as its TPM has it, for tests in a file.
pub struct LogTpm(SigningKey);

impl LogTpm {
    pub fn new(scalar: u8) -> Self {
        Self(SigningKey::from_slice(&[scalar; 48]).unwrap())
    }

    /// SubjectPublicKeyInfo of a point on P-384 (RFC 5480).
    pub fn key(&self) -> VerifierKey {
        let prefix = hex::decode("3076301006072a8648ce3d020106052b81040022036200").unwrap();
        let point = self.0.verifying_key().to_sec1_point(false);
        VerifierKey::ecdsa(ORIGIN, &[&prefix, point.as_bytes()].concat()).unwrap()
    }

    fn line(&self, checkpoint: &str) -> NoteSignature {
        let digest = Sha256::digest(note_text(checkpoint));
        let signature: Signature = self.0.sign_prehash(&digest).unwrap();
        NoteSignature { name: ORIGIN.to_owned(), key_id: self.key().key_id(), signature: signature.to_der().as_bytes().to_vec() }
    }
}

/// What is found of the TPM's line under this checkpoint, by an anchor that names the TPM's key.
fn tpm_finding(lines: &[NoteSignature]) -> Option<(Grade, FindingKind)> {
    let mut case = Case::new();
    case.log.policy = AnchorPolicy { tpm_key: Some(LogTpm::new(7).key()), ..AnchorPolicy::default() };
    let lines: String = lines.iter().map(ToString::to_string).collect();
    case.reprove(&format!("{}{lines}", case.log.checkpoint()));
    let verdict = case.judge().unwrap();
    let found = verdict.on(Axis::Signature).find(|finding| finding.sentence.contains("TPM"));
    found.map(|finding| (finding.grade, finding.kind))
}

#[test]
fn the_line_of_the_logs_tpm_is_told_and_a_false_one_is_bad() {
    let checkpoint = Case::new().log.checkpoint();
    let (ours, other) = (LogTpm::new(7).line(&checkpoint), LogTpm::new(8).line(&checkpoint));
    assert_eq!(tpm_finding(std::slice::from_ref(&ours)), Some((Grade::Good, FindingKind::Holds)));
    assert_eq!(tpm_finding(&[]), None, "nobody requires the line");
    assert_eq!(tpm_finding(std::slice::from_ref(&other)), None, "another's line says nothing, and spoils nothing");
    let bad = Some((Grade::Bad, FindingKind::TpmLine));
    let borrowed = NoteSignature { key_id: ours.key_id, ..other };
    assert_eq!(tpm_finding(&[borrowed]), bad, "another key's signature under the TPM's name");
    let of_another_head = LogTpm::new(7).line(&checkpoint.replacen('\n', "\n1", 1));
    assert_eq!(tpm_finding(&[of_another_head]), bad, "a line of another head");
    assert_eq!(tpm_finding(&[ours.clone(), ours]), bad, "the line stands twice");
}

/// A bundle of a log whose last entries are these, where `is_held` says whether they are in it. Nobody has stated its export there.
fn of_ended(behind: &[Body], is_held: bool) -> Case {
    let mut case = Case::new();
    for body in behind {
        let index = case.log.append(|log| &mut log.appliance, STARTED_MS + 70_000, body.clone());
        if is_held {
            case.manifest.entries.push(index);
        }
    }
    case.files.0.insert("manifest.json".to_owned(), serde_json::to_vec(&case.manifest).unwrap());
    let checkpoint = case.log.checkpoint();
    case.reprove(&checkpoint);
    case
}

#[test]
fn who_exports_from_a_log_that_has_ended_states_it_elsewhere() {
    let successor = Successor { origin: "city.example/log/2".to_owned(), keys: vec![crate::synthetic::other_note_key().to_string()] };
    let end = Body::Succession(Succession { successor, reason: SuccessionReason::Size, attachments: vec![] });
    let more = Body::Start(Start { version: "1".to_owned(), enrolment: None, attachments: vec![] });
    let elsewhere = (Grade::NotDemanded, FindingKind::ExportElsewhere);
    let unknown = (Grade::Undecided, FindingKind::ExportElsewhere);
    let missing = (Grade::Bad, FindingKind::FileMissing);
    let files = ["export.p7s", "export.tlog-proof"];
    for (what, behind, is_held, expected) in [
        ("ended", std::slice::from_ref(&end), true, elsewhere),
        ("ended, and it is not shown", std::slice::from_ref(&end), false, unknown),
        ("not ended, or lost", std::slice::from_ref(&more), true, unknown),
        ("said to have ended, and goes on", &[end.clone(), more.clone()], false, unknown),
    ] {
        let mut case = of_ended(behind, is_held);
        files.iter().for_each(|file| drop(case.files.0.remove(*file)));
        assert_eq!(worst(&case.judge().unwrap(), Axis::Signature), expected, "{what}");
    }
    for file in files {
        let mut case = of_ended(std::slice::from_ref(&end), true);
        case.files.0.remove(file);
        assert_eq!(worst(&case.judge().unwrap(), Axis::Signature), missing, "only {file} is missing");
    }
}

#[test]
fn without_a_policy_no_witness_is_demanded() {
    let mut case = Case::new();
    case.prove_heads();
    assert_eq!(worst(&case.judge().unwrap(), Axis::Witness), (Grade::NotDemanded, FindingKind::NoEvidence));
}

/// The sentence on heads that are not shown to be of the log, if there is one.
fn unproven(case: &Case) -> Option<(Grade, String)> {
    let verdict = case.judge().unwrap();
    let mut told = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::HeadUnproven);
    let found = told.next().map(|finding| (finding.grade, finding.sentence.clone()));
    assert!(told.next().is_none(), "it is told once, with the number");
    found
}

#[test]
fn heads_that_nothing_shows_to_be_of_the_log_are_counted() {
    let mut case = witnessed_by(&[1, 2], &[Axis::Witness]);
    assert_eq!(unproven(&case), None);
    let proofs: Vec<String> = case.files.0.keys().filter(|path| path.ends_with(".observed")).cloned().collect();
    case.files.0.remove(&proofs[0]);
    case.files.0.remove(&proofs[4]);
    let (grade, sentence) = unproven(&case).expect("a fork that these proofs would show is passed over");
    assert_eq!(grade, Grade::Undecided, "who demands witnesses does not know that all saw one log");
    assert!(sentence.contains(&format!("Of {} statements", proofs.len())) && sentence.contains(" 2 are"), "{sentence}");
    case.log.policy.demands.clear();
    assert_eq!(unproven(&case).unwrap().0, Grade::NotDemanded);
}

#[test]
fn a_cosignature_bounds_every_segment_from_above() {
    let verdict = witnessed_by(&[1, 2], &[]).judge().unwrap();
    assert_eq!(verdict.times.len(), 3, "three segments were asked for");
    for time in &verdict.times {
        assert_eq!(time.not_after[0].time, "2026-11-20T12:01:40.999Z", "a whole second is told to its end");
        assert_eq!((time.not_after[0].by.as_str(), time.not_after[0].independent), ("witness w1", true));
        assert!(time.not_before.is_empty(), "nothing says before when they were not sealed");
    }
    assert_eq!(worst(&verdict, Axis::Time), (Grade::NotDemanded, FindingKind::TimeUnbounded));
}

/// A bundle with a token over the text of its checkpoint, or of another.
fn with_token(token: impl Fn(&str) -> Vec<u8>) -> Case {
    let mut case = Case::new();
    case.log.policy = believing_time();
    let text = note_text(&String::from_utf8(case.file("checkpoint").clone()).unwrap());
    case.files.0.insert(checkpoint_token_path(0), token(&text));
    case
}

#[test]
fn a_token_beside_the_checkpoint_bounds_on_the_word_of_whom_the_anchor_names() {
    let at_ms = STARTED_MS + 100_000;
    for (authority, name, independent) in [(notary(), "Notary", true), (city_time(), "City", false)] {
        let verdict = with_token(|text| authority.token(text, at_ms)).judge().unwrap();
        let bound = &verdict.times[0].not_after[0];
        assert_eq!((bound.by.as_str(), bound.independent), (format!("timestamping authority {name}").as_str(), independent));
        let latest = exhibit_pki::Timestamp::from_unix_ms(at_ms + u64::from(ACCURACY_MS)).unwrap();
        assert_eq!(bound.time, latest.to_string(), "the accuracy of the clock belongs to the bound");
    }
}

#[test]
fn tokens_that_do_not_count_are_told_as_what_they_are() {
    let at_ms = STARTED_MS + 100_000;
    let judged = |case: Case| worst(&case.judge().unwrap(), Axis::Time);
    let bad = (Grade::Bad, FindingKind::Timestamp);
    assert_eq!(judged(with_token(|_| notary().token("another text", at_ms))), bad, "a token over something else");
    assert_eq!(judged(with_token(|_| b"no token".to_vec())), bad, "no token");
    assert_eq!(
        judged(with_token(|text| {
            let mut token = notary().token(text, at_ms);
            *token.last_mut().unwrap() ^= 1;
            token
        })),
        bad,
        "a token whose signature does not verify"
    );
    let bare = judged(with_token(|text| notary().token_without_certificates(text, at_ms)));
    assert_eq!(bare, judged(with_token(|text| notary().token(text, at_ms))), "the anchor has the certificate that the token leaves out");
    let spoilt = with_token(|text| {
        let mut token = notary().token_without_certificates(text, at_ms);
        *token.last_mut().unwrap() ^= 1;
        token
    });
    assert_eq!(judged(spoilt), bad, "that the next authority does not know it made it a stranger's");
    let foreign = with_token(|text| stranger().token(text, at_ms));
    assert_eq!(judged(foreign), (Grade::NotDemanded, FindingKind::Timestamp), "an authority that the anchor does not name");
}

/// Whoever has the bundle can put one there.
#[test]
fn a_strangers_token_meets_no_demand() {
    let mut case = with_token(|text| stranger().token(text, STARTED_MS + 100_000));
    case.log.policy.demands = vec![Axis::Time];
    let verdict = case.judge().unwrap();
    assert_eq!(worst(&verdict, Axis::Time), (Grade::Undecided, FindingKind::NoEvidence));
    assert_eq!(verdict.grade, Grade::Undecided, "a demand was switched off");
}

#[test]
fn a_clock_that_is_ahead_of_others_is_contradicted() {
    let mut case = with_token(|text| notary().token(text, STARTED_MS - 60_000));
    assert_eq!(worst(&case.judge().unwrap(), Axis::Time), (Grade::Bad, FindingKind::ClaimContradicted));
    case.log.policy.timestamp_authorities.clear();
    assert_ne!(worst(&case.judge().unwrap(), Axis::Time).0, Grade::Bad, "an authority that the anchor does not name contradicts nobody");
}

#[test]
fn an_axis_that_is_demanded_without_evidence_is_undecided() {
    for axis in [Axis::Time, Axis::Revocation, Axis::Device] {
        let mut case = Case::recorded(Recording::default());
        case.log.policy = AnchorPolicy { demands: vec![axis], ..believing_time() };
        let verdict = case.judge().unwrap();
        assert_eq!(worst(&verdict, axis), (Grade::Undecided, FindingKind::NoEvidence));
        assert_eq!((verdict.grade, &verdict.basis.demands[..]), (Grade::Undecided, &[axis][..]), "a demand was passed over");
    }
}

/// For the verifier in Python, which judges the same bundles.
pub const TESTS: &[fn()] = &[
    as_many_witnesses_as_the_policy_asks_for_are_good,
    a_quorum_of_none_does_not_meet_a_demand,
    the_witnesses_are_named_with_their_times,
    a_line_in_the_name_of_a_witness_that_is_not_its_signature_is_bad,
    the_line_of_the_logs_tpm_is_told_and_a_false_one_is_bad,
    who_exports_from_a_log_that_has_ended_states_it_elsewhere,
    without_a_policy_no_witness_is_demanded,
    a_cosignature_bounds_every_segment_from_above,
    a_token_beside_the_checkpoint_bounds_on_the_word_of_whom_the_anchor_names,
    tokens_that_do_not_count_are_told_as_what_they_are,
    a_strangers_token_meets_no_demand,
    a_clock_that_is_ahead_of_others_is_contradicted,
    an_axis_that_is_demanded_without_evidence_is_undecided,
];
