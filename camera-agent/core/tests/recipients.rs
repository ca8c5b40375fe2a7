//! Whose recipients a camera obeys: each hostile set is named by its defect.
#![allow(clippy::unwrap_used)]

#[path = "../../../client/tests/support/mod.rs"]
mod support;

use exhibit_camera_core::{
    obtain::{Obtain, ObtainError},
    recipients::{Accepted, Approval, Custodians, Obeyed, RecipientsError, Trust, judge_certificates, judge_succession},
};
use exhibit_client::Appliance;
use exhibit_evidence::{
    Body, Head, SignedStatement, VerifyError,
    body::{Approve, Recipients},
};
use exhibit_pki::{Certificate, KeyPurpose, PublicKey, Role, RustCrypto, Signer, SignerError, SoftwareSigner, Subject};
use exhibit_tlog::{EMPTY_ROOT, Hash};
use support::{FakeAppliance, Log, NEXT_ORIGIN, Party, Pki, signed, time};

const LOG: Hash = Hash([1; 32]);

struct Bench {
    pki: Pki,
    roots: Vec<Certificate>,
    intermediates: Vec<Certificate>,
    camera: Subject,
}

impl Bench {
    fn new() -> Self {
        let pki = Pki::new(10);
        let (roots, intermediates) = (vec![pki.root.clone()], vec![pki.issuing.clone()]);
        Self { pki, roots, intermediates, camera: Subject::parse("camera/102").unwrap() }
    }

    fn trust(&self) -> Trust<'_> {
        Trust { camera: &self.camera, roots: &self.roots, intermediates: &self.intermediates, verifier: &RustCrypto }
    }

    fn pinned(&self) -> Custodians {
        Custodians { fingerprints: vec![*self.pki.custodian().certificate.fingerprint()], threshold: 1 }
    }

    fn set(&self) -> Recipients {
        Recipients {
            scope: "camera/102".into(),
            number: 1,
            replaces: None,
            recipients: vec![*self.pki.custodian_wrapping().certificate.fingerprint()],
            custodians: vec![*self.pki.custodian().certificate.fingerprint()],
            threshold: 1,
            expires: time("2050-01-01T00:00:00.000Z"),
            attachments: vec![],
        }
    }

    fn judge(
        &self,
        custodians: &Custodians,
        in_force: Option<&Accepted>,
        by: &Party,
        set: Recipients,
    ) -> Result<Accepted, RecipientsError> {
        judge_succession(&self.trust(), custodians, in_force, &state(by, set), &by.certificate, &[])
    }

    fn in_force(&self) -> Accepted {
        self.judge(&self.pinned(), None, &self.pki.custodian(), self.set()).unwrap()
    }
}

fn state(by: &Party, set: Recipients) -> SignedStatement {
    let stream = format!("{}/20261102T000000Z", by.certificate.identity().unwrap().subject);
    signed(by, Hash([1; 32]), &stream, 0, Hash::default(), Head { size: 0, root: EMPTY_ROOT }, Body::Recipients(set))
}

#[test]
fn what_the_pinned_custodian_signed_is_obeyed() {
    let bench = Bench::new();
    let stated = state(&bench.pki.custodian(), bench.set());
    let accepted = judge_succession(&bench.trust(), &bench.pinned(), None, &stated, &bench.pki.custodian().certificate, &[]).unwrap();
    assert_eq!((accepted.number, accepted.leaf, &accepted.next), (1, stated.leaf_hash(), &bench.pinned()));
    let obeyed = judge_certificates(&bench.trust(), accepted, &stated, vec![bench.pki.custodian_wrapping().certificate], LOG).unwrap();
    assert_eq!(obeyed.certificates.len(), 1);
}

#[test]
fn signed_by_a_custodian_that_was_not_pinned() {
    let bench = Bench::new();
    let other = bench.pki.party("user/x1", Role::Custodian, KeyPurpose::Signing, 70);
    assert!(matches!(bench.judge(&bench.pinned(), None, &other, bench.set()), Err(RecipientsError::NotACustodian(_))));
}

#[test]
fn signed_by_another_key_than_the_certificate_shown() {
    let bench = Bench::new();
    let other = bench.pki.party("user/c1", Role::Custodian, KeyPurpose::Signing, 70);
    let stated = state(&other, bench.set());
    let shown = bench.pki.custodian().certificate;
    let judged = judge_succession(&bench.trust(), &bench.pinned(), None, &stated, &shown, &[]);
    assert!(matches!(judged, Err(RecipientsError::NotACustodian(_))), "{judged:?}");
}

/// Claims one key and signs with another.
struct Forger {
    claimed: PublicKey,
    key: SoftwareSigner,
}

impl Signer for Forger {
    fn public_key(&self) -> &PublicKey {
        &self.claimed
    }
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.key.sign_digest(digest)
    }
}

#[test]
fn signed_by_another_key_in_the_name_of_the_custodian() {
    let bench = Bench::new();
    let custodian = bench.pki.custodian().certificate;
    let forger = Forger { claimed: custodian.public_key().clone(), key: support::key(99) };
    let statement = state(&bench.pki.custodian(), bench.set()).statement().clone();
    let stated = exhibit_evidence::sign(&statement, &custodian, &forger).unwrap();
    let judged = judge_succession(&bench.trust(), &bench.pinned(), None, &stated, &custodian, &[]);
    assert!(matches!(judged, Err(RecipientsError::Signature(VerifyError::Signature(_)))), "{judged:?}");
}

#[test]
fn pinned_but_without_the_role_of_a_custodian() {
    let bench = Bench::new();
    let investigator = bench.pki.party("user/i1", Role::Investigator, KeyPurpose::Signing, 70);
    let custodians = Custodians { fingerprints: vec![*investigator.certificate.fingerprint()], threshold: 1 };
    assert!(matches!(bench.judge(&custodians, None, &investigator, bench.set()), Err(RecipientsError::Signature(_))));
}

#[test]
fn signed_by_a_custodian_of_another_root() {
    let bench = Bench::new();
    let foreign = Pki::new(100).custodian();
    let custodians = Custodians { fingerprints: vec![*foreign.certificate.fingerprint()], threshold: 1 };
    assert!(matches!(bench.judge(&custodians, None, &foreign, bench.set()), Err(RecipientsError::Path { .. })));
}

#[test]
fn for_another_camera() {
    let bench = Bench::new();
    for scope in ["camera/103", "camera/10", "camera/1020"] {
        let set = Recipients { scope: scope.into(), ..bench.set() };
        let judged = bench.judge(&bench.pinned(), None, &bench.pki.custodian(), set);
        assert!(matches!(judged, Err(RecipientsError::Scope(_))), "{scope} was obeyed");
    }
}

#[test]
fn number_not_above_the_one_in_force() {
    let bench = Bench::new();
    let in_force = Accepted { number: 5, ..bench.in_force() };
    for number in [1, 4, 5] {
        let set = Recipients { number, replaces: Some(in_force.leaf), ..bench.set() };
        let judged = bench.judge(&in_force.next, Some(&in_force), &bench.pki.custodian(), set);
        assert_eq!(judged, Err(RecipientsError::Number { accepted: 5, offered: number }));
    }
    let set = Recipients { number: 6, replaces: Some(in_force.leaf), ..bench.set() };
    assert_eq!(bench.judge(&in_force.next, Some(&in_force), &bench.pki.custodian(), set).unwrap().number, 6);
}

#[test]
fn replaces_another_set_than_the_one_in_force() {
    let bench = Bench::new();
    let in_force = bench.in_force();
    for replaces in [None, Some(Hash([9; 32]))] {
        let set = Recipients { number: 2, replaces, ..bench.set() };
        let judged = bench.judge(&in_force.next, Some(&in_force), &bench.pki.custodian(), set);
        assert_eq!(judged, Err(RecipientsError::Replaces(2)));
    }
}

/// Two of three custodians decide.
struct Council {
    bench: Bench,
    custodians: Custodians,
    set: SignedStatement,
}

impl Council {
    fn new() -> Self {
        let bench = Bench::new();
        let third = bench.pki.party("user/c3", Role::Custodian, KeyPurpose::Signing, 72);
        let members = [bench.pki.custodian(), Self::second(&bench), third];
        let fingerprints = members.iter().map(|member| *member.certificate.fingerprint()).collect::<Vec<_>>();
        let set = state(&bench.pki.custodian(), Recipients { threshold: 2, custodians: fingerprints.clone(), ..bench.set() });
        Self { bench, custodians: Custodians { fingerprints, threshold: 2 }, set }
    }

    fn second(bench: &Bench) -> Party {
        bench.pki.party("user/c2", Role::Custodian, KeyPurpose::Signing, 71)
    }

    fn approval(&self, by: &Party, change: impl FnOnce(&mut Approve)) -> Approval {
        let mut body = Approve { entry: self.set.leaf_hash(), statement: self.set.statement_hash(), attachments: vec![] };
        change(&mut body);
        let stream = format!("{}/20261103T000000Z", by.certificate.identity().unwrap().subject);
        let observed = Head { size: 0, root: EMPTY_ROOT };
        let signed = signed(by, Hash([1; 32]), &stream, 0, Hash::default(), observed, Body::Approve(body));
        Approval { signed, signer: by.certificate.clone() }
    }

    fn judge(&self, approvals: &[Approval]) -> Result<Accepted, RecipientsError> {
        let first = self.bench.pki.custodian().certificate;
        judge_succession(&self.bench.trust(), &self.custodians, None, &self.set, &first, approvals)
    }
}

#[test]
fn as_many_custodians_as_the_threshold_demands_decide() {
    let council = Council::new();
    let second = Council::second(&council.bench);
    let accepted = council.judge(&[council.approval(&second, |_| {})]).unwrap();
    assert_eq!((accepted.number, accepted.next), (1, council.custodians.clone()));
    let lacks = RecipientsError::NotApproved { number: 1, given: 1, threshold: 2 };
    assert!(lacks.to_string().contains("exhibit approve entry"));
    let pki = &council.bench.pki;
    let again = pki.party("user/c1", Role::Custodian, KeyPurpose::Signing, 80);
    let with_two_certificates = Council {
        custodians: Custodians {
            fingerprints: [council.custodians.fingerprints.clone(), vec![*again.certificate.fingerprint()]].concat(),
            threshold: 2,
        },
        ..Council::new()
    };
    assert_eq!(with_two_certificates.judge(&[council.approval(&again, |_| {})]), Err(lacks.clone()), "one person was two custodians");
    let mut forged = council.approval(&second, |_| {});
    forged.signed = {
        let forger = Forger { claimed: second.certificate.public_key().clone(), key: support::key(99) };
        exhibit_evidence::sign(forged.signed.statement(), &second.certificate, &forger).unwrap()
    };
    let cases = [
        ("nobody", vec![]),
        ("the signer again", vec![council.approval(&pki.custodian(), |_| {})]),
        ("a custodian of others", vec![council.approval(&pki.party("user/x1", Role::Custodian, KeyPurpose::Signing, 75), |_| {})]),
        ("an approval of something else", vec![council.approval(&second, |body| body.entry = Hash([9; 32]))]),
        ("an approval of what was not read", vec![council.approval(&second, |body| body.statement = Hash([9; 32]))]),
        ("a forged approval", vec![forged]),
    ];
    for (name, approvals) in cases {
        assert_eq!(council.judge(&approvals), Err(lacks.clone()), "{name} counted");
    }
}

#[test]
fn another_statement_than_recipients() {
    let bench = Bench::new();
    let moment = time("2026-11-20T12:00:00.000Z");
    let gap = exhibit_evidence::body::Gap { cause: exhibit_evidence::body::GapCause::Mode, from: moment, to: moment, attachments: vec![] };
    let camera = bench.pki.camera();
    let stream = "camera/102/main/20261102T000000Z";
    let stated = signed(&camera, Hash([1; 32]), stream, 0, Hash::default(), Head { size: 0, root: EMPTY_ROOT }, Body::Gap(gap));
    let judged = judge_succession(&bench.trust(), &bench.pinned(), None, &stated, &camera.certificate, &[]);
    assert_eq!(judged, Err(RecipientsError::Type("gap/v1".into())));
}

#[test]
fn wrapping_certificates_that_are_not_those_named_not_for_wrapping_or_of_another_root() {
    let bench = Bench::new();
    let judge = |named: &[&Certificate], given: &[&Certificate]| -> Result<Obeyed, RecipientsError> {
        let recipients = named.iter().map(|certificate| *certificate.fingerprint()).collect();
        let stated = state(&bench.pki.custodian(), Recipients { recipients, ..bench.set() });
        let accepted = judge_succession(&bench.trust(), &bench.pinned(), None, &stated, &bench.pki.custodian().certificate, &[])?;
        judge_certificates(&bench.trust(), accepted, &stated, given.iter().map(|certificate| (*certificate).clone()).collect(), LOG)
    };
    let ours = bench.pki.custodian_wrapping().certificate;
    let intruder = bench.pki.party("user/x1", Role::Custodian, KeyPurpose::Wrapping, 70).certificate;
    let signing = bench.pki.custodian().certificate;
    let foreign = Pki::new(100).custodian_wrapping().certificate;
    assert!(judge(&[&ours, &intruder], &[&ours, &intruder]).is_ok());
    assert_eq!(judge(&[&ours], &[&intruder]), Err(RecipientsError::Certificates));
    assert_eq!(judge(&[&ours], &[&ours, &intruder]), Err(RecipientsError::Certificates), "an intruder was added");
    assert_eq!(judge(&[&ours, &intruder], &[&ours]), Err(RecipientsError::Certificates), "a recipient was left out");
    assert!(matches!(judge(&[&signing], &[&signing]), Err(RecipientsError::NotForWrapping(_))));
    assert!(matches!(judge(&[&foreign], &[&foreign]), Err(RecipientsError::Path { .. })));
}

#[test]
fn certificates_of_another_set() {
    let bench = Bench::new();
    let stated = state(&bench.pki.custodian(), bench.set());
    let accepted = Accepted { leaf: Hash([9; 32]), ..bench.in_force() };
    let judged = judge_certificates(&bench.trust(), accepted, &stated, vec![bench.pki.custodian_wrapping().certificate], LOG);
    assert_eq!(judged, Err(RecipientsError::Certificates));
}

/// A camera and what it asks.
struct Asking {
    fake: FakeAppliance,
    folder: tempfile::TempDir,
    pin: exhibit_evidence::Pin,
    camera: Subject,
    intermediates: Vec<Certificate>,
}

impl Asking {
    async fn new() -> Self {
        let fake = FakeAppliance::start().await;
        fake.introduce(&fake.pki.custodian_wrapping().certificate, 0);
        let (pin, intermediates) = (fake.pin(), vec![fake.pki.issuing.clone()]);
        Self { fake, folder: tempfile::tempdir().unwrap(), pin, camera: Subject::parse("camera/102").unwrap(), intermediates }
    }

    fn obtain(&self) -> Obtain<'_> {
        Obtain {
            pin: &self.pin,
            anchors: std::slice::from_ref(&self.pin.anchor),
            camera: &self.camera,
            intermediates: &self.intermediates,
            verifier: &RustCrypto,
        }
    }

    async fn newest(&self, in_force: Option<&Obeyed>) -> Result<Option<Obeyed>, ObtainError> {
        let identity = self.fake.pki.identity(&self.fake.pki.camera());
        let mut appliance = Appliance::new(&self.fake.address, &identity, &self.pin.anchor).unwrap();
        self.obtain().newest(&mut appliance, in_force, &self.folder.path().join("recipients.json")).await
    }

    fn kept(&self, number_min: u64) -> Result<Option<Obeyed>, ObtainError> {
        self.obtain().kept(&self.folder.path().join("recipients.json"), number_min)
    }
}

#[tokio::test]
async fn sets_that_were_missed_are_followed_from_custodian_to_custodian() {
    let asking = Asking::new().await;
    let (first, second) = (asking.fake.pki.custodian(), asking.fake.pki.party("user/c2", Role::Custodian, KeyPurpose::Signing, 71));
    asking.fake.introduce(&second.certificate, 1);
    let one = asking.fake.recipients(&first, |_| {});
    let in_force = asking.newest(None).await.unwrap().unwrap();
    assert_eq!(asking.newest(Some(&in_force)).await.unwrap(), None);
    let two = asking.fake.recipients(&first, |set| {
        (set.number, set.replaces) = (2, Some(one));
        set.custodians = vec![*second.certificate.fingerprint()];
    });
    asking.fake.recipients(&second, |set| {
        (set.number, set.replaces) = (3, Some(two));
        set.custodians = vec![*second.certificate.fingerprint()];
    });
    for known in [Some(&in_force), None] {
        let obeyed = asking.newest(known).await.unwrap().unwrap();
        assert_eq!((obeyed.accepted.number, &obeyed.accepted.next.fingerprints), (3, &vec![*second.certificate.fingerprint()]));
    }
    assert_eq!(asking.kept(3).unwrap().unwrap().accepted.number, 3);
    assert!(matches!(asking.kept(4), Err(ObtainError::Kept(_))), "older recipients were put back");
}

/// Once the log that goes on has the set too, epochs that obey it are stated there, and a restart knows it.
#[tokio::test]
async fn a_set_that_the_log_which_goes_on_has_too_is_obeyed_there() {
    let asking = Asking::new().await;
    asking.fake.recipients(&asking.fake.pki.custodian(), |_| {});
    let obeyed = asking.newest(None).await.unwrap().unwrap();
    assert_eq!(obeyed.on, asking.pin.anchor.log);
    {
        let mut world = asking.fake.world();
        let mut next = Log::named(NEXT_ORIGIN, 80);
        next.entries.clone_from(&world.log.entries);
        next.entries[0] = b"another genesis".to_vec();
        world.log = next;
    }
    let next = asking.fake.anchor();
    let anchors = [next.clone(), asking.pin.anchor.clone()];
    let obtain = Obtain { anchors: &anchors, ..asking.obtain() };
    let mut appliance =
        Appliance::new(&asking.fake.address, &asking.fake.pki.identity(&asking.fake.pki.camera()), &asking.pin.anchor).unwrap();
    appliance.go_on(&next);
    let keep = asking.folder.path().join("recipients.json");
    let moved = obtain.newest(&mut appliance, Some(&obeyed), &keep).await.unwrap().unwrap();
    assert_eq!(moved, Obeyed { on: next.log, ..obeyed });
    assert_eq!(obtain.newest(&mut appliance, Some(&moved), &keep).await.unwrap(), None);
    assert_eq!(obtain.kept(&keep, 1).unwrap(), Some(moved), "a restart takes the log before");
}

#[tokio::test]
async fn a_custodian_who_was_removed_in_a_set_that_was_missed_has_no_say() {
    let asking = Asking::new().await;
    let (first, second) = (asking.fake.pki.custodian(), asking.fake.pki.party("user/c2", Role::Custodian, KeyPurpose::Signing, 71));
    asking.fake.introduce(&second.certificate, 1);
    let one = asking.fake.recipients(&first, |_| {});
    let in_force = asking.newest(None).await.unwrap().unwrap();
    let two = asking.fake.recipients(&first, |set| {
        (set.number, set.replaces) = (2, Some(one));
        set.custodians = vec![*second.certificate.fingerprint()];
    });
    asking.fake.recipients(&first, |set| (set.number, set.replaces) = (3, Some(two)));
    let refused = asking.newest(Some(&in_force)).await;
    assert!(matches!(refused, Err(ObtainError::Judged(RecipientsError::NotACustodian(_)))), "{refused:?}");
    assert_eq!(asking.kept(1).unwrap().unwrap(), in_force, "what was refused was kept");
}

#[tokio::test]
async fn a_set_that_waits_for_custodians_bars_none_that_was_decided() {
    let mut asking = Asking::new().await;
    let (first, second) = (asking.fake.pki.custodian(), asking.fake.pki.party("user/c2", Role::Custodian, KeyPurpose::Signing, 71));
    asking.fake.introduce(&second.certificate, 1);
    asking.pin =
        exhibit_evidence::Pin { custodians: vec![first.certificate.clone(), second.certificate.clone()], threshold: 2, ..asking.pin };
    let both = vec![*first.certificate.fingerprint(), *second.certificate.fingerprint()];
    let waits = |result: Result<Option<Obeyed>, ObtainError>| match result {
        Err(ObtainError::Judged(RecipientsError::NotApproved { number, given: 1, threshold: 2 })) => number,
        other => panic!("{other:?}"),
    };
    let one = asking.fake.recipients(&first, |set| (set.threshold, set.custodians) = (2, both.clone()));
    assert_eq!(waits(asking.newest(None).await), 1);
    asking.fake.approve(&second, &one, |_| {});
    let in_force = asking.newest(None).await.unwrap().unwrap();
    assert_eq!((in_force.accepted.number, in_force.accepted.next.threshold), (1, 2));
    assert_eq!(asking.kept(1).unwrap().unwrap(), in_force);
    let two = asking.fake.recipients(&second, |set| {
        (set.number, set.replaces, set.threshold, set.custodians) = (2, Some(one), 2, both.clone());
    });
    assert_eq!(waits(asking.newest(Some(&in_force)).await), 2);
    assert_eq!(
        asking.newest(None).await.unwrap().unwrap().accepted.number,
        1,
        "a set that nobody has decided kept a camera from beginning"
    );
    asking.fake.approve(&first, &two, |_| {});
    assert_eq!(asking.newest(Some(&in_force)).await.unwrap().unwrap().accepted.number, 2);
}

#[tokio::test]
async fn a_wrapping_certificate_that_came_onto_the_ledger_after_the_recipients_does_not_count() {
    let asking = Asking::new().await;
    let late = asking.fake.pki.party("user/c1", Role::Custodian, KeyPurpose::Wrapping, 72).certificate;
    asking.fake.recipients(&asking.fake.pki.custodian(), |set| set.recipients = vec![*late.fingerprint()]);
    asking.fake.introduce(&late, 1);
    let refused = asking.newest(None).await;
    assert!(matches!(refused, Err(ObtainError::Certificate { .. })), "{refused:?}");
}

#[tokio::test]
async fn kept_recipients_that_were_altered_are_not_obeyed() {
    let asking = Asking::new().await;
    asking.fake.recipients(&asking.fake.pki.custodian(), |_| {});
    asking.newest(None).await.unwrap();
    let path = asking.folder.path().join("recipients.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    let intruder = asking.fake.pki.party("user/x1", Role::Custodian, KeyPurpose::Wrapping, 70).certificate;
    let mut json: serde_json::Value = serde_json::from_str(&kept).unwrap();
    json["certificates"] = serde_json::json!([intruder.to_pem()]);
    std::fs::write(&path, json.to_string()).unwrap();
    assert!(matches!(asking.kept(1), Err(ObtainError::Judged(RecipientsError::Certificates))));
    json["record"]["index"] = serde_json::json!(0);
    std::fs::write(&path, json.to_string()).unwrap();
    assert!(asking.kept(1).is_err());
    std::fs::write(&path, &kept).unwrap();
    assert!(asking.kept(1).unwrap().is_some());
}
