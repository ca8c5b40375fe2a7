//! Who may state what people and authorities state: by role, over real sockets; and what approvals and revocations change.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exhibit_appliance::setup::now;
use exhibit_evidence::body::{Approve, CertificateRevocation, DevicePolicy, Enrolment};
use exhibit_evidence::exchange::EntryRecords;
use exhibit_evidence::{AttachmentRef, Body, SignedStatement, Statement, body, sign};
use exhibit_pki::{KeyPurpose, Role, Timestamp};
use exhibit_tlog::Hash;

fn approval(of: &SignedStatement) -> Body {
    Body::Approve(Approve { entry: of.leaf_hash(), statement: of.statement_hash(), attachments: vec![] })
}

fn revocation(fingerprint: [u8; 32], since: Timestamp) -> Body {
    let reason = Some(exhibit_pki::crl::RevocationReason::KeyCompromise);
    Body::CertificateRevocation(CertificateRevocation { fingerprint, since, reason, attachments: vec![] })
}

fn enrolment(fingerprint: [u8; 32]) -> Body {
    Body::Enrolment(Enrolment { fingerprint, policy: DevicePolicy::Software, nonce: None, attachments: vec![] })
}

/// Sends it in a chain of their own; status and kind of the answer.
async fn states(world: &World, party: &Party, generation: &str, body: Body) -> (u16, String) {
    let subject = party.certificate.identity().unwrap().subject.to_string();
    let writer = Writer::new(party.clone(), &format!("{subject}/{generation}"), &world.anchor);
    let answer = world.connect(party).await.put(&writer.next(body), &[], &[]).await;
    (answer.status, if answer.status == 201 { String::new() } else { answer.kind() })
}

async fn states_of(world: &World, party: &Party, body: Body) -> (u16, String) {
    states(world, party, "20261121T115958Z", body).await
}

fn refused(status: u16, kind: &str) -> (u16, String) {
    (status, kind.to_owned())
}

const ADMITTED: (u16, String) = (201, String::new());

#[tokio::test(flavor = "multi_thread")]
async fn each_type_by_each_role() {
    let mut world = World::new().await;
    let admin = world.pki.party("user/d", &[Role::Admin], KeyPurpose::Signing);
    let second = world.pki.party("authority/2", &[Role::Authority], KeyPurpose::Signing);
    for party in [&admin, &second] {
        world.introduce(&party.certificate.clone()).await;
    }
    let (_, recipients) = world.set_recipients().await;
    let (_, set) = world.connect(&world.custodian).await.record(&format!("/v1/entries/{recipients}")).await;
    let camera = *world.camera.certificate.fingerprint();
    let elsewhere = [7; 32];
    let now = exhibit_appliance::setup::now();
    // A statement of people's in the stream of an authority, or the other way round, has not the form of one.
    let people = [&world.custodian, &world.investigator, &world.auditor, &admin];
    for (party, expected) in people.into_iter().zip([ADMITTED, refused(403, "role"), refused(403, "role"), refused(403, "role")]) {
        assert_eq!(
            states(&world, party, "20261121T115958Z", approval(&set)).await,
            expected,
            "approve by {}",
            party.certificate.common_name()
        );
    }
    let unlawful = world.pki.party("authority/3", &[Role::Admin], KeyPurpose::Signing);
    world.introduce(&unlawful.certificate).await;
    for (party, expected) in [(&second, ADMITTED), (&unlawful, refused(403, "role"))] {
        let name = party.certificate.common_name();
        assert_eq!(states(&world, party, "20261121T115958Z", enrolment(camera)).await, expected, "enrolment by {name}");
        assert_eq!(states(&world, party, "20261121T115959Z", revocation(elsewhere, now)).await, expected, "revocation by {name}");
    }
    stop(world.running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_is_on_the_ledger_and_was_read() {
    let world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let (_, set) = world.connect(&world.custodian).await.record(&format!("/v1/entries/{recipients}")).await;
    let approve = |entry, statement| Body::Approve(Approve { entry, statement, attachments: vec![] });
    let missing = states_of(&world, &world.custodian, approve(Hash([5; 32]), set.statement_hash())).await;
    assert_eq!(missing, refused(422, "rule"), "an approval of what is not on the ledger");
    let unread = states_of(&world, &world.custodian, approve(recipients, Hash([5; 32]))).await;
    assert_eq!(unread, refused(422, "rule"), "an approval of what was not read");
    let mut camera = world.connect(&world.camera).await;
    let path = format!("/v1/approvals/{recipients}");
    assert_eq!(camera.get(&path).await.json::<EntryRecords>().entries.len(), 0);
    // One of each custodian, however often they say it: nobody's approvals crowd out another's.
    let mut writer = Writer::new(world.custodian.clone(), "user/k/20261121T115958Z", &world.anchor);
    let mut stated = Vec::new();
    for _ in 0..2 {
        let signed = writer.next(approval(&set));
        world.connect(&world.custodian).await.put(&signed, &[], &[]).await.admitted(201, &world.anchor, &mut writer, &signed);
        stated.push(signed.leaf_hash());
    }
    let records: EntryRecords = camera.get(&path).await.json();
    assert_eq!(records.entries.len(), 1);
    let entry = <base64ct::Base64 as base64ct::Encoding>::decode_vec(&records.entries[0].entry).unwrap();
    assert_eq!(exhibit_tlog::leaf_hash(&entry), stated[0], "saying it again moved the moment at which it was decided");
    stop(world.running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_too_few_custodians_stand_behind_replaces_nothing() {
    let mut world = World::new().await;
    let others = ["user/k2", "user/k3"].map(|subject| world.pki.party(subject, &[Role::Custodian], KeyPurpose::Signing));
    for other in &others {
        world.introduce(&other.certificate).await;
    }
    let custodians = [&world.custodian, &others[0], &others[1]].map(|party| *party.certificate.fingerprint()).to_vec();
    let set = |number, replaces| {
        let before = world.recipients(number, replaces);
        Body::Recipients(body::Recipients { custodians: custodians.clone(), threshold: 2, ..before })
    };
    let put = async |writer: &mut Writer, body: Body| {
        let signed = writer.next(body);
        let answer = world.connect(&writer.party).await.put(&signed, &[], &[]).await;
        match answer.status {
            201 => {
                answer.admitted(201, &world.anchor, writer, &signed);
                Ok(signed)
            }
            status => Err(refusal(status, &answer)),
        }
    };
    let mut first = Writer::new(world.custodian.clone(), "user/k/20261121T115958Z", &world.anchor);
    let mut second = Writer::new(others[0].clone(), "user/k2/20261121T115958Z", &world.anchor);
    let mut third = Writer::new(others[1].clone(), "user/k3/20261121T115958Z", &world.anchor);
    let one = put(&mut first, set(1, None)).await.unwrap();
    let alone = put(&mut first, set(2, Some(one.leaf_hash()))).await.unwrap();
    let behind_it = put(&mut second, set(3, Some(alone.leaf_hash()))).await;
    assert_eq!(behind_it.err(), Some(refused(422, "rule")), "a set that one of two decided was replaced");
    assert_eq!(put(&mut second, set(1, Some(one.leaf_hash()))).await.err(), Some(refused(422, "rule")), "a number twice");
    put(&mut first, set((1 << 53) - 1, Some(one.leaf_hash()))).await.unwrap();
    // Whoever waits with the last of all numbers bars nobody.
    let three = put(&mut second, set(3, Some(one.leaf_hash()))).await.unwrap();
    assert_eq!(put(&mut third, approval(&alone)).await.err(), Some(refused(422, "rule")), "an older set could come in force unseen");
    put(&mut third, approval(&three)).await.unwrap();
    let back = put(&mut first, set(4, Some(one.leaf_hash()))).await;
    assert_eq!(back.err(), Some(refused(422, "rule")), "a set that was decided was passed over");
    put(&mut first, set(4, Some(three.leaf_hash()))).await.unwrap();
    stop(world.running).await;
}

/// The set in force was decided by somebody whose certificate has expired since, and nobody remembers its path.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_expired_has_decided_all_the_same() {
    let mut world = World::new().await;
    let brief = world.pki.party_for("user/k2", &[Role::Custodian], KeyPurpose::Signing, 0, 10);
    world.introduce(&brief.certificate).await;
    let of = |party: &Party, number, replaces| {
        let before = world.recipients(number, replaces);
        Body::Recipients(body::Recipients { custodians: vec![*party.certificate.fingerprint()], ..before })
    };
    let mut first = Writer::new(brief.clone(), "user/k2/20261121T115958Z", &world.anchor);
    let mut before = None;
    for (number, successor) in [(1, &brief), (2, &world.custodian)] {
        let signed = first.next(of(successor, number, before));
        world.connect(&brief).await.put(&signed, &[], &[]).await.admitted(201, &world.anchor, &mut first, &signed);
        before = Some(signed.leaf_hash());
    }
    let third = Writer::new(world.custodian.clone(), "user/k/20261121T115958Z", &world.anchor).next(of(&world.custodian, 3, before));
    world.ahead_ms.store(11 * DAY_MS, std::sync::atomic::Ordering::Relaxed);
    let world = world.restart().await;
    let answer = world.connect(&world.custodian).await.put(&third, &[], &[]).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    stop(world.running).await;
}

/// One person with two certificates is one, also where two have to decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_a_number_of_people() {
    let mut world = World::new().await;
    let again = world.pki.party("user/k", &[Role::Custodian], KeyPurpose::Signing);
    let other = world.pki.party("user/k2", &[Role::Custodian], KeyPurpose::Signing);
    for party in [&again, &other] {
        world.introduce(&party.certificate).await;
    }
    for (second, expected) in [(&again, refused(422, "rule")), (&other, ADMITTED)] {
        let custodians = [&world.custodian, second].map(|party| *party.certificate.fingerprint()).to_vec();
        let set = body::Recipients { custodians, threshold: 2, ..world.recipients(1, None) };
        assert_eq!(states_of(&world, &world.custodian, Body::Recipients(set)).await, expected);
    }
    stop(world.running).await;
}

/// What nobody could ever give back.
#[tokio::test(flavor = "multi_thread")]
async fn roots_and_the_appliance_are_not_revoked() {
    let world = World::new().await;
    let now = exhibit_appliance::setup::now();
    let genesis = world.running.appliance.registry.statement_at(0).unwrap();
    for (what, fingerprint) in [("a root", *world.pki.root.fingerprint()), ("the appliance", *genesis.signer())] {
        assert_eq!(states_of(&world, &world.authority.party, revocation(fingerprint, now)).await, refused(422, "rule"), "{what}");
    }
    assert_eq!(world.connect(&world.camera).await.get("/v1/version").await.status, 200);
    stop(world.running).await;
}

fn refusal(status: u16, answer: &Answer) -> (u16, String) {
    (status, answer.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_states_nothing_more_and_the_earliest_word_counts() {
    let mut world = World::new().await;
    let other = world.pki.party("camera/103", &[Role::Camera], KeyPurpose::Signing);
    world.introduce(&other.certificate).await;
    let (_, recipients) = world.set_recipients().await;
    let camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let now = exhibit_appliance::setup::now();
    let mut authority = world.authority.clone();
    let later = Timestamp::from_unix_ms(now.unix_ms() + 3_600_000).unwrap();
    let fingerprint = *world.camera.certificate.fingerprint();
    for (since, status) in [(later, 200), (now, 403), (later, 403)] {
        let signed = authority.next(revocation(fingerprint, since));
        world.connect(&authority.party).await.put(&signed, &[], &[]).await.admitted(201, &world.anchor, &mut authority, &signed);
        assert_eq!(world.connect(&world.camera).await.get("/v1/version").await.status, status, "revoked since {since}");
    }
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let answer = world.connect(&world.camera).await.put(&camera.next(body), &[], &payload).await;
    assert_eq!((answer.status, answer.kind()), (403, "certificate".to_owned()), "a revoked camera went on");
    assert_eq!(world.connect(&world.camera).await.get("/v1/version").await.kind(), "certificate", "a revoked camera reads on");
    assert_eq!(world.connect(&other).await.get("/v1/version").await.status, 200, "another camera was revoked with it");
    // It stays so when the appliance has forgotten what it held in memory.
    let world = world.restart().await;
    assert_eq!(world.connect(&world.camera).await.get("/v1/version").await.kind(), "certificate");
    stop(world.running).await;
}

/// Signed before, sent by a new certificate of the same camera: what it is worth, the verdict says. Signed after: nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_before_a_revocation_may_still_come() {
    let mut world = World::new().await;
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let renewed = world.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing);
    world.introduce(&renewed.certificate).await;
    let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1000]);
    let spooled = camera.next(body);
    let since = Timestamp::from_unix_ms(spooled.statement().issued.unix_ms() + 1).unwrap();
    let mut authority = world.authority.clone();
    let signed = authority.next(revocation(*world.camera.certificate.fingerprint(), since));
    world.connect(&authority.party).await.put(&signed, &[], &[]).await.admitted(201, &world.anchor, &mut authority, &signed);
    world.connect(&renewed).await.put(&spooled, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &spooled);
    let (body, payload) = segment(&camera.stream, 2, 4, &[2; 1000]);
    let mut statement = camera.statement(body);
    statement.issued = Timestamp::from_unix_ms(since.unix_ms() + 5).unwrap();
    let forged = exhibit_evidence::sign(&statement, &world.camera.certificate, &world.camera.signer).unwrap();
    let answer = world.connect(&renewed).await.put(&forged, &[], &payload).await;
    assert_eq!((answer.status, answer.kind()), (403, "certificate".to_owned()), "a stolen key went on by a new certificate");
    stop(world.running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_an_enrolment_is_of_a_device_that_is_known() {
    let world = World::new().await;
    let mut authority = world.authority.clone();
    let mut state = async |body: Body, stored: &[&[u8]]| {
        let signed = authority.next(body);
        let answer = world.connect(&authority.party).await.put(&signed, stored, &[]).await;
        if answer.status == 201 {
            answer.admitted(201, &world.anchor, &mut authority, &signed);
        }
        answer.status
    };
    assert_eq!(state(enrolment([9; 32]), &[]).await, 422, "evidence of nobody");
    assert_eq!(state(enrolment(*world.custodian.certificate.fingerprint()), &[]).await, 422, "evidence of a person");
    let names = ["ek-public", "ak-public", "certify", "certify-signature", "key-public"];
    let stored = names.map(|name| name.as_bytes().to_vec());
    let attachments = names.iter().zip(&stored).map(|(name, stored)| AttachmentRef::of(name, stored, false)).collect();
    let fingerprint = *world.camera.certificate.fingerprint();
    let listed = Enrolment { fingerprint, policy: DevicePolicy::AllowListed, nonce: Some([1; 32]), attachments };
    assert_eq!(state(Body::Enrolment(listed), &stored.each_ref().map(Vec::as_slice)).await, 201);
    let path = format!("/v1/attachments/{}", AttachmentRef::of("ek-public", b"ek-public", false).sha256);
    assert_eq!(world.connect(&world.custodian).await.get(&path).await.status, 200, "who makes bundles has no evidence of devices");
    assert_eq!(world.connect(&world.camera).await.get(&path).await.kind(), "forbidden");
    stop(world.running).await;
}

/// However many others have the role and approve, whoever counts is there.
#[tokio::test(flavor = "multi_thread")]
async fn approvals_by_others_crowd_nobody_out() {
    let mut world = World::new().await;
    let (_, set) = world.set_recipients().await;
    let statement = world.running.appliance.registry.statement(&set).unwrap().unwrap().statement_hash();
    let approval = || Body::Approve(Approve { entry: set, statement, attachments: vec![] });
    let mut highest = None;
    for number in 0..66 {
        let other = world.pki.party(&format!("user/o{number}"), &[Role::Custodian], exhibit_pki::KeyPurpose::Signing);
        world.introduce(&other.certificate).await;
        let mut writer = Writer::new(other.clone(), &format!("user/o{number}/20261120T115958Z"), &world.anchor);
        let signed = writer.next(approval());
        world.connect(&other).await.put(&signed, &[], &[]).await.admitted(201, &world.anchor, &mut writer, &signed);
        highest = highest.max(Some(*other.certificate.fingerprint()));
    }
    let mut connection = world.connect(&world.custodian).await;
    let path = format!("/v1/approvals/{set}");
    let first: EntryRecords = connection.get(&path).await.json();
    assert_eq!(first.entries.len(), 64);
    let rest: EntryRecords = connection.get(&format!("{path}?after={}", first.next.as_ref().unwrap())).await.json();
    assert_eq!((rest.entries.len(), &rest.next), (2, &None), "not all can be had");
    let named: EntryRecords = connection.get(&format!("{path}?by={}", Hash(highest.unwrap()))).await.json();
    assert_eq!((named.entries.len(), named.next), (1, None));
    assert_eq!(named.entries[0].index, rest.entries[1].index, "the one that is asked for");
    let nobody: EntryRecords = connection.get(&format!("{path}?by={}", Hash([1; 32]))).await.json();
    assert_eq!(nobody.entries.len(), 0);
    stop(world.running).await;
}

/// Who lists by time would see it as the newest until that time has come. A camera can not sign again what it has recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_far_ahead_is_told_to_people_and_costs_no_camera_anything() {
    let world = World::new().await;
    let mut writer = Writer::new(world.custodian.clone(), "user/k/20261120T115958Z", &world.anchor);
    let dated = |writer: &Writer, body: Body, minutes: u64| {
        let issued = now().checked_add_ms(minutes * 60_000).unwrap();
        sign(&Statement { issued, ..writer.statement(body) }, &writer.party.certificate, &writer.party.signer).unwrap()
    };
    let ahead = world.connect(&world.custodian).await.put(&dated(&writer, Body::Recipients(world.recipients(1, None)), 6), &[], &[]).await;
    assert_eq!((ahead.status, ahead.kind()), refused(422, "rule"));
    assert!(String::from_utf8_lossy(&ahead.body).contains("set the clock"), "{ahead:?}");
    let near = dated(&writer, Body::Recipients(world.recipients(1, None)), 4);
    world.connect(&world.custodian).await.put(&near, &[], &[]).await.admitted(201, &world.anchor, &mut writer, &near);

    let mut camera = Writer::new(world.camera.clone(), "camera/102/main/20261120T115958Z", &world.anchor);
    let (body, wraps) = common::epoch(&camera.stream, near.leaf_hash());
    let epoch = dated(&camera, body, 24 * 60);
    world.connect(&world.camera).await.put(&epoch, &[&wraps], &[]).await.admitted(201, &world.anchor, &mut camera, &epoch);
}
