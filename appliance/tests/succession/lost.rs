//! A log of which nothing can be read any more: who stated something to it states it again, and evidence waits for that.

use std::fs;
use std::path::Path;

use exhibit_appliance::ended::EndedLog;
use exhibit_appliance::setup::{Folder, NewLog, SetupError, now};
use exhibit_appliance::vault::Object;
use exhibit_evidence::body::{Approve, CertificateBody, Recipients};
use exhibit_evidence::{Anchor, AttachmentRef, Body, SignedStatement, Statement, sign};
use exhibit_pki::{KeyPurpose, Role, Timestamp};
use exhibit_tlog::Hash;

use crate::common::*;
use crate::{certified, put_knowing, receipt_of, refusal, run, whole};

/// A statement as it was sent.
pub type Stated = (SignedStatement, Vec<Vec<u8>>);

/// What people and authorities keep of what they stated: everything but what the appliance and cameras did.
pub fn kept(world: &World, owner: &str) -> Vec<Stated> {
    let appliance = &world.running.appliance;
    let all = (0..world.size()).map(|index| appliance.registry.statement_at(index).unwrap());
    let own = all.filter(|signed| signed.statement().stream.owner() == owner);
    let stored = |named: &AttachmentRef| appliance.vault.read(Object::Attachment(named.sha256), named.length).unwrap().unwrap();
    own.map(|signed| (signed.clone(), signed.statement().body.attachments().iter().map(stored).collect())).collect()
}

pub struct Lost {
    pub running: Started,
    pub pki: Pki,
    pub next: Anchor,
    pub state: Folder,
}

impl Lost {
    /// Another log begins below `root`, with nothing of the one that ran but the note of its last head.
    pub async fn begin(root: &Path, running: Started, pki: Pki, ended: &Anchor) -> Self {
        Self::begin_with(root, running, pki, ended, |before| before).await
    }

    /// The same, with what somebody else has kept.
    pub async fn begin_with(root: &Path, running: Started, pki: Pki, ended: &Anchor, kept: impl FnOnce(EndedLog) -> EndedLog) -> Self {
        let note = running.appliance.ledger.checkpoint().unwrap().0;
        stop(running).await;
        fs::remove_dir_all(root.join("state")).unwrap();
        let state = certified(root, "new", &pki);
        let (chain_pem, root_pem) = (pki.issuing.to_pem(), pki.root.to_pem());
        let before = kept(exhibit_appliance::ended::predecessor(ended, &note).unwrap());
        let log =
            NewLog { origin: "city.example/log/new", chain_pem: &chain_pem, root_pem: &root_pem, predecessor: Some(before), now: now() };
        let next = state.lock().unwrap().create_log(&log).unwrap();
        Self { running: run(&state).await, pki, next, state }
    }

    pub async fn connect(&self, party: &Party) -> Connection {
        Connection::new(self.running.addresses.intake.port(), &self.pki.root, Some(party)).await.unwrap()
    }

    pub async fn put(&self, party: &Party, (signed, stored): &Stated) -> Answer {
        let stored: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
        put_knowing(&mut self.connect(party).await, &self.next.log, signed, &stored, &[]).await
    }

    #[track_caller]
    pub fn taken(&self, answer: &Answer, stated: &Stated) {
        receipt_of(answer, 201, &self.next, &stated.0);
    }
}

fn dated(writer: &Writer, issued: Timestamp, body: Body) -> SignedStatement {
    sign(&Statement { issued, ..writer.statement(body) }, &writer.party.certificate, &writer.party.signer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_waits_for_the_recipients_that_were_lost_with_its_log() {
    let mut world = World::new().await;
    let (mut custodian, first) = world.set_recipients().await;
    let second = custodian.next(Body::Recipients(world.recipients(2, Some(first))));
    world.connect(&world.custodian).await.put(&second, &[], &[]).await.admitted(201, &world.anchor, &mut custodian, &second);
    let (of_authority, of_custodian) = (kept(&world, "authority/1"), kept(&world, "user/k"));
    assert_eq!((of_authority.len(), of_custodian.len()), (7, 2));
    let lost = Lost::begin(world.folder.path(), world.running, world.pki, &world.anchor).await;

    // An epoch that the lost log never had, under a set that it had.
    let mut camera = Writer::new(world.camera.clone(), "camera/102/main/20261120T115958Z", &world.anchor);
    let (body, wraps) = epoch(&camera.stream, second.leaf_hash());
    let begun = (camera.next(body), vec![wraps]);
    assert_eq!(refusal(&lost.put(&world.camera, &begun).await), (403, "certificate".into()));
    for stated in &of_authority {
        lost.taken(&lost.put(&world.authority.party, stated).await, stated);
    }
    let waits = (409, "recipients-lost".to_owned());
    assert_eq!(refusal(&lost.put(&world.camera, &begun).await), waits);
    assert_eq!(refusal(&lost.put(&world.custodian, &of_custodian[1]).await), (409, "chain".into()), "a person's chain leapt");
    lost.taken(&lost.put(&world.custodian, &of_custodian[0]).await, &of_custodian[0]);
    // The set before is stated again too, and is not stated in place of this one.
    assert_eq!(refusal(&lost.put(&world.camera, &begun).await), waits, "nobody could ever put the set below it any more");
    lost.taken(&lost.put(&world.custodian, &of_custodian[1]).await, &of_custodian[1]);
    lost.taken(&lost.put(&world.camera, &begun).await, &begun);
    // What was before it is lost.
    (camera.seq, camera.prev) = (5, Hash([7; 32]));
    let (body, payload) = segment(&camera.stream, 5, 6, &[3; 10_000]);
    let segment = camera.next(body);
    let answer = put_knowing(&mut lost.connect(&world.camera).await, &lost.next.log, &segment, &[], &payload).await;
    receipt_of(&answer, 201, &lost.next, &segment);

    // A set that nobody has any more is given up where another one is stated to this log.
    let stream = "camera/102/main/20261120T125958Z";
    let unknown = Writer::new(world.camera.clone(), stream, &world.anchor);
    let (body, wraps) = epoch(&unknown.stream, Hash([9; 32]));
    let begun = (unknown.next(body), vec![wraps]);
    assert_eq!(refusal(&lost.put(&world.camera, &begun).await), waits);
    let mut anew = Writer::new(world.custodian.clone(), "user/k/20261121T115958Z", &lost.next);
    let third = world_recipients(&world.custodian_wrapping, &world.custodian, 3, Some(second.leaf_hash()));
    let third = anew.next(Body::Recipients(third));
    lost.connect(&world.custodian).await.put(&third, &[], &[]).await.admitted(201, &lost.next, &mut anew, &third);
    lost.taken(&lost.put(&world.camera, &begun).await, &begun);
    // An epoch of this log obeys what is here, whatever else was stated.
    let own = Writer::new(world.camera.clone(), "camera/102/main/20261120T135958Z", &lost.next);
    let (body, wraps) = epoch(&own.stream, Hash([9; 32]));
    assert_eq!(refusal(&lost.put(&world.camera, &(own.next(body), vec![wraps])).await), (422, "rule".into()));

    world.authority.log = world.anchor.log;
    (world.authority.seq, world.authority.prev) = (7, of_authority[6].0.leaf_hash());
    what_has_expired_since(&lost, &world.authority, &world.custodian, &world.custodian_wrapping, &world.anchor).await;
    stop(lost.running).await;
    whole(&lost.state);
}

/// Files of another last head beside a genesis would keep its log from being served, for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_keeps_the_last_head_that_its_genesis_names() {
    let world = World::new().await;
    let first = world.running.appliance.ledger.checkpoint().unwrap().0;
    world.set_recipients().await;
    let second = world.running.appliance.ledger.checkpoint().unwrap().0;
    let root = world.folder.path().to_owned();
    stop(world.running).await;
    let new = certified(&root, "new", &world.pki);
    let ended = |note: &str| exhibit_appliance::ended::predecessor(&world.anchor, note).unwrap();
    let (chain_pem, root_pem) = (world.pki.issuing.to_pem(), world.pki.root.to_pem());
    let log = NewLog { origin: "city.example/log/2", chain_pem: &chain_pem, root_pem: &root_pem, predecessor: None, now: now() };
    let begin = |before: EndedLog| new.lock().unwrap().create_successor(&log, before);
    // Only a seal knew the head.
    let anchor = begin(EndedLog { note: None, ..ended(&first) }).unwrap();
    let refused = begin(ended(&second)).unwrap_err();
    assert!(matches!(&refused, SetupError::OtherLog(reason) if reason.contains("another last head")), "{refused}");
    assert_eq!(new.predecessor_note().unwrap(), None);
    assert_eq!(begin(ended(&first)).unwrap().log, anchor.log);
    stop(run(&new).await).await;
}

fn world_recipients(recipient: &Party, custodian: &Party, number: u64, replaces: Option<Hash>) -> Recipients {
    Recipients {
        scope: "camera/102".to_owned(),
        number,
        replaces,
        recipients: vec![*recipient.certificate.fingerprint()],
        custodians: vec![*custodian.certificate.fingerprint()],
        threshold: 1,
        expires: Timestamp::MAX,
        attachments: vec![],
    }
}

/// What was stated to the lost log is judged at its time: certificates have been renewed since. What is stated to this one, now.
async fn what_has_expired_since(lost: &Lost, authority: &Writer, custodian: &Party, wrapping: &Party, ended: &Anchor) {
    // Until a minute ago: the authorities above it are hardly older.
    let expired = lost.pki.party_for("user/k", &[Role::Custodian], KeyPurpose::Signing, 10, 10);
    let then = expired.certificate.not_after();
    let introduces = |party: &Party| {
        let attachments = vec![AttachmentRef::of("certificate", party.certificate.der(), false)];
        Body::Certificate(CertificateBody { fingerprint: *party.certificate.fingerprint(), replaces: None, attachments })
    };
    let der = || vec![expired.certificate.der().to_vec()];
    let introduced = (dated(authority, then, introduces(&expired)), der());
    lost.taken(&lost.put(&authority.party, &introduced).await, &introduced);
    let own = Writer::new(authority.party.clone(), "authority/1/20261121T115958Z", &lost.next);
    let now_introduced = (dated(&own, then, introduces(&expired)), der());
    assert_eq!(refusal(&lost.put(&authority.party, &now_introduced).await), (422, "attachment".into()));

    let mut writer = Writer::new(expired.clone(), "user/k/20251120T115958Z", ended);
    let set = Recipients { scope: "camera/103".to_owned(), ..world_recipients(wrapping, &expired, 4, None) };
    let old = (dated(&writer, then, Body::Recipients(set.clone())), vec![]);
    let late = (dated(&writer, now(), Body::Recipients(set.clone())), vec![]);
    assert_eq!(refusal(&lost.put(custodian, &late).await), (403, "certificate".into()), "signed after the certificate's end");
    lost.taken(&lost.put(custodian, &old).await, &old);
    let here = Writer::new(custodian.clone(), "user/k/20261122T115958Z", &lost.next);
    let named = Recipients { scope: "camera/104".to_owned(), replaces: None, ..set.clone() };
    assert_eq!(refusal(&lost.put(custodian, &(here.next(Body::Recipients(named)), vec![])).await), (422, "rule".into()));
    let behind = Recipients { scope: "camera/104".to_owned(), ..world_recipients(wrapping, custodian, 4, Some(Hash([8; 32]))) };
    assert_eq!(refusal(&lost.put(custodian, &(here.next(Body::Recipients(behind)), vec![])).await), (422, "rule".into()));

    // What it approves may be lost; what is there is what it names.
    let approve = |entry: Hash, statement: Hash| Body::Approve(Approve { entry, statement, attachments: vec![] });
    (writer.seq, writer.prev) = (1, old.0.leaf_hash());
    let other = (dated(&writer, then, approve(old.0.leaf_hash(), Hash([1; 32]))), vec![]);
    assert_eq!(refusal(&lost.put(custodian, &other).await), (422, "rule".into()));
    let lost_approval = (dated(&writer, then, approve(Hash([2; 32]), Hash([1; 32]))), vec![]);
    lost.taken(&lost.put(custodian, &lost_approval).await, &lost_approval);
    let here = (here.next(approve(Hash([2; 32]), Hash([1; 32]))), vec![]);
    assert_eq!(refusal(&lost.put(custodian, &here).await), (422, "rule".into()));
}
