//! Calls over real TLS against a server that tells the truth or forges it.
#![allow(clippy::unwrap_used)]

mod support;

use std::{io::Write, sync::atomic::Ordering};

use exhibit_client::{Appliance, ClientError, Receipt};
use exhibit_evidence::{
    Body, Head, SignedStatement,
    body::{Gap, GapCause, Segment},
    keytree::KeyTree,
    segment::SegmentSealer,
};
use exhibit_tlog::{EMPTY_ROOT, Hash, leaf_hash};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion};
use support::{ENDLESS_BYTES, FakeAppliance, Mischief, Pki, server_config, signed, time};

const STREAM: &str = "camera/102/main/20261120T115958Z";
const NOTHING: Head = Head { size: 0, root: EMPTY_ROOT };

fn gap() -> Body {
    let moment = time("2026-11-20T12:00:00.000Z");
    Body::Gap(Gap { cause: GapCause::SourceLost, from: moment, to: moment, attachments: vec![] })
}

fn statement(fake: &FakeAppliance, seq: u64, observed: Head, body: Body) -> SignedStatement {
    let prev = if seq == 0 { Hash::default() } else { Hash([1; 32]) };
    signed(&fake.pki.camera(), fake.anchor().log, STREAM, seq, prev, observed, body)
}

/// A segment, and its ciphertext in a file.
fn segment(bytes: usize) -> (Body, tempfile::NamedTempFile) {
    let stream = exhibit_evidence::StreamName::parse(STREAM).unwrap();
    let key = KeyTree::from_root(zeroize::Zeroizing::new([1; 32])).slot_key(0).unwrap();
    let mut sealer = SegmentSealer::new(&stream, 0, key, [2; 16]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let plaintext = vec![7; bytes];
    let mut fragments = plaintext.chunks(1_000_000).peekable();
    while let Some(fragment) = fragments.next() {
        file.write_all(&sealer.seal(fragment, fragments.peek().is_none())).unwrap();
    }
    let sealed = sealer.finish();
    let body = Body::Segment(Segment {
        slot: 0,
        salt: [2; 16],
        start: time("2026-11-20T12:00:00.000Z"),
        duration_ms: 2000,
        media_type: "video/mp4".into(),
        random_access: true,
        fragment_lengths: sealed.fragment_lengths,
        ciphertext_root: sealed.ciphertext_root,
        commitment_root: sealed.commitment_root,
        attachments: vec![],
    });
    (body, file)
}

fn client(fake: &FakeAppliance) -> Appliance {
    Appliance::new(&fake.address, &fake.pki.identity(&fake.pki.camera()), &fake.anchor()).unwrap()
}

fn refused(result: Result<Receipt, ClientError>) -> (u16, String) {
    match result {
        Err(ClientError::Refused(problem)) => (problem.status, problem.kind),
        other => panic!("not a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_statement_with_its_payload_gets_a_receipt_that_verifies() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    let (body, file) = segment(3_000_000);
    let signed = statement(&fake, 0, fake.head(), body);
    let receipt = client.put(&signed, &[], Some(file.path())).await.unwrap();
    assert_eq!((receipt.index, receipt.checkpoint.size), (1, 2));
    let sent = std::fs::read(file.path()).unwrap();
    assert!(fake.world().payloads[&(STREAM.to_owned(), 0)] == sent, "the payload arrived altered");

    let again = client.put(&signed, &[], Some(file.path())).await.unwrap();
    assert_eq!((again.index, fake.world().log.size()), (1, 2), "the same statement was logged twice");
    assert_eq!(fake.world().connections, 1, "the connection was not kept");
}

#[tokio::test]
async fn the_connection_is_tls_1_3_with_the_one_suite_and_hybrid_keys() {
    let fake = FakeAppliance::start().await;
    client(&fake).checkpoint(None).await.unwrap();
    let negotiated = fake.world().negotiated.clone();
    assert_eq!(negotiated, [(ProtocolVersion::TLSv1_3, CipherSuite::TLS13_AES_256_GCM_SHA384, NamedGroup::X25519MLKEM768)]);
}

#[tokio::test]
async fn forged_receipts_are_untrustworthy() {
    for mischief in [
        Mischief::ReceiptOfAnotherEntry,
        Mischief::PathOfAnotherEntry,
        Mischief::WrongIndex,
        Mischief::LeafOfAnotherEntry,
        Mischief::OneSignatureOnly,
        Mischief::ForeignKeys,
        Mischief::ForkedLog,
        Mischief::SurplusConsistencyHash,
    ] {
        let fake = FakeAppliance::start().await;
        let observed = fake.head();
        fake.append(&fake.pki.camera(), "camera/102/main/20261119T115958Z", 0, gap());
        fake.misbehave(mischief);
        let result = client(&fake).put(&statement(&fake, 0, observed, gap()), &[], None).await;
        assert!(matches!(result, Err(ClientError::Untrustworthy(_))), "{mischief:?} was accepted: {result:?}");
    }
}

#[tokio::test]
async fn an_early_refusal_is_told_with_its_reason_and_not_as_a_broken_pipe() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    let (body, file) = segment(8_000_000);
    let signed = statement(&fake, 0, NOTHING, body);
    for _ in 0..5 {
        fake.misbehave(Mischief::RefuseEarly);
        let result = client.put(&signed, &[], Some(file.path())).await;
        assert_eq!(refused(result), (413, "tag:exhibit,2026:too-large".to_owned()));
    }
    fake.misbehave(Mischief::None);
    client.put(&signed, &[], Some(file.path())).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_broke_is_made_again() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    let signed = statement(&fake, 0, NOTHING, gap());
    fake.misbehave(Mischief::TakeAndHangUp);
    assert!(matches!(client.put(&signed, &[], None).await, Err(ClientError::Unreachable { .. })));
    fake.misbehave(Mischief::None);
    assert_eq!(client.put(&signed, &[], None).await.unwrap().index, 1, "the statement was logged twice");
    // A kept connection that hangs up says nothing about the server: one fresh attempt is made at once.
    fake.misbehave_times(Mischief::TakeAndHangUp, 1);
    client.put(&statement(&fake, 1, NOTHING, gap()), &[], None).await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_names_the_address() {
    let fake = FakeAppliance::start().await;
    let (anchor, identity) = (fake.anchor(), fake.pki.identity(&fake.pki.camera()));
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = Appliance::new(&unused, &identity, &anchor).unwrap().checkpoint(None).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { address, .. } if *address == unused), "{error}");
}

#[tokio::test]
async fn a_server_under_another_root_is_not_spoken_to() {
    let other = Pki::new(100);
    let fake = FakeAppliance::start_with(Some(server_config(&other, &other.appliance()))).await;
    let result = client(&fake).checkpoint(None).await;
    assert!(matches!(result, Err(ClientError::Unreachable { .. })), "{result:?}");
}

#[tokio::test]
async fn a_server_of_another_name_is_not_spoken_to() {
    let pki = Pki::new(10);
    let fake = FakeAppliance::start_with(Some(server_config(&pki, &pki.camera()))).await;
    let result = client(&fake).checkpoint(None).await;
    assert!(matches!(result, Err(ClientError::Unreachable { .. })), "{result:?}");
}

#[tokio::test]
async fn a_key_or_certificate_that_cannot_shake_hands_is_found_before() {
    let fake = FakeAppliance::start().await;
    let mut identity = fake.pki.identity(&fake.pki.camera());
    identity.signer = fake.pki.custodian().key;
    assert!(matches!(Appliance::new(&fake.address, &identity, &fake.anchor()), Err(ClientError::Local(_))));
    let wrapping = fake.pki.identity(&fake.pki.custodian_wrapping());
    assert!(matches!(Appliance::new(&fake.address, &wrapping, &fake.anchor()), Err(ClientError::Local(_))));
    let camera = fake.pki.identity(&fake.pki.camera());
    assert!(matches!(Appliance::new("no-port", &camera, &fake.anchor()), Err(ClientError::Local(_))));
}

#[tokio::test]
async fn a_checkpoint_must_extend_what_was_observed() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    let mut heads = vec![fake.head()];
    for filler in 0..600_u32 {
        fake.world().log.entries.push(filler.to_be_bytes().to_vec());
        if filler % 97 == 0 || (250..260).contains(&filler) {
            heads.push(fake.head());
        }
    }
    for head in &heads {
        assert_eq!(client.checkpoint(Some(head)).await.unwrap().size, 601, "from {}", head.size);
    }
    let mut forked = heads[3];
    forked.root = Hash([9; 32]);
    assert!(matches!(client.checkpoint(Some(&forked)).await, Err(ClientError::Untrustworthy(_))), "a fork was not noticed");
    let ahead = Head { size: 602, root: Hash([9; 32]) };
    assert!(matches!(client.checkpoint(Some(&ahead)).await, Err(ClientError::Untrustworthy(_))), "a shrunken log was not noticed");
}

#[tokio::test]
async fn entries_and_attachments_are_what_was_asked_for() {
    let fake = FakeAppliance::start().await;
    let wrapping = fake.pki.custodian_wrapping().certificate;
    fake.introduce(&wrapping, 0);
    let mut client = client(&fake);
    let leaf = leaf_hash(&fake.world().log.entries[1]);
    let (signed, receipt) = client.entry(&leaf).await.unwrap();
    assert_eq!((signed.leaf_hash(), receipt.index), (leaf, 1));
    let attachment = signed.statement().body.attachment("certificate").unwrap().clone();
    assert_eq!(client.attachment(&attachment).await.unwrap(), wrapping.der());
    let mut altered = wrapping.der().to_vec();
    altered[100] ^= 1;
    fake.world().attachments.insert(attachment.sha256, altered);
    assert!(matches!(client.attachment(&attachment).await, Err(ClientError::Untrustworthy(_))));
}

#[tokio::test]
async fn another_entry_than_was_asked_for_is_untrustworthy() {
    let fake = FakeAppliance::start().await;
    fake.introduce(&fake.pki.custodian_wrapping().certificate, 0);
    fake.introduce(&fake.pki.camera().certificate, 1);
    let leaf = leaf_hash(&fake.world().log.entries[1]);
    fake.misbehave(Mischief::AnotherRecord);
    assert!(matches!(client(&fake).entry(&leaf).await, Err(ClientError::Untrustworthy(_))));
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_a_refusal() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    fake.misbehave_times(Mischief::ClaimsToBeAhead, 1);
    let signed = statement(&fake, 0, NOTHING, gap());
    assert_eq!(refused(client.put(&signed, &[], None).await).0, 409);
    client.put(&signed, &[], None).await.unwrap();
    assert_eq!(fake.world().connections, 2, "what is left of a refused body was taken for a request");
}

#[tokio::test]
async fn answers_without_sense_or_end_are_refused() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    fake.misbehave(Mischief::Gibberish);
    let result = client.put(&statement(&fake, 0, NOTHING, gap()), &[], None).await;
    assert!(matches!(result, Err(ClientError::Protocol(_))), "{result:?}");
    fake.misbehave(Mischief::Endless);
    let result = client.get_bytes("/log/checkpoint", 1000).await;
    assert!(matches!(result, Err(ClientError::Protocol(_))), "{result:?}");
    let served = fake.served.load(Ordering::Relaxed);
    assert!(served < ENDLESS_BYTES / 2, "{served} bytes of an answer without end were read");
    fake.misbehave(Mischief::Unavailable);
    assert_eq!(refused(client.put(&statement(&fake, 0, NOTHING, gap()), &[], None).await).0, 503);
}

#[tokio::test]
async fn an_upload_that_gets_no_further_is_given_up() {
    let fake = FakeAppliance::start().await;
    let (body, file) = segment(1_000_000);
    let signed = statement(&fake, 0, fake.head(), body);
    let prefix = 8 + signed.der().len() as u64;
    let whole = prefix + std::fs::metadata(file.path()).unwrap().len();
    for (offset, tried) in [(prefix, 2), (whole, 2)] {
        fake.world().upload_offset = Some(offset);
        fake.world().cut_off = 0;
        let result = client(&fake).put(&signed, &[], Some(file.path())).await;
        assert!(matches!(result, Err(ClientError::Unreachable { .. })), "{result:?}");
        assert_eq!(fake.world().cut_off, tried, "at {offset}: it was sent again and again");
        // Also of what has nothing left to send: without a length it would be refused.
        assert_eq!(fake.world().announced.last(), Some(&Some(whole - offset)));
    }
    for offset in [0, prefix - 1, whole + 1, u64::MAX] {
        fake.world().upload_offset = Some(offset);
        let result = client(&fake).put(&signed, &[], Some(file.path())).await;
        assert!(matches!(result, Err(ClientError::Protocol(_))), "{offset} of {whole} bytes: {result:?}");
    }
}

/// A link that breaks is noticed on its other side when what was under way has arrived there and was judged.
#[tokio::test]
async fn an_upload_whose_end_is_seen_late_goes_on() {
    let fake = FakeAppliance::start().await;
    let (body, file) = segment(1_000_000);
    let signed = statement(&fake, 0, fake.head(), body);
    let prefix = 8 + signed.der().len() as u64;
    let whole = prefix + std::fs::metadata(file.path()).unwrap().len();
    let kept = prefix + 1000;
    fake.world().upload_offset = Some(kept);
    fake.world().upload_unseen = 2;
    let result = client(&fake).put(&signed, &[], Some(file.path())).await;
    assert!(matches!(result, Err(ClientError::Unreachable { .. })), "{result:?}");
    assert_eq!(fake.world().announced, [Some(whole), Some(whole - kept)], "it was given up, or sent again");
}

#[tokio::test]
async fn an_upload_that_was_not_kept_is_sent_whole() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    let (body, file) = segment(1_000_000);
    let signed = statement(&fake, 0, fake.head(), body);
    fake.world().upload_offset = Some(8 + signed.der().len() as u64);
    assert!(matches!(client.put(&signed, &[], Some(file.path())).await, Err(ClientError::Unreachable { .. })));
    fake.world().upload_offset = None;
    client.put(&signed, &[], Some(file.path())).await.unwrap();
    let sent = std::fs::read(file.path()).unwrap();
    assert!(fake.world().payloads[&(STREAM.to_owned(), 0)] == sent, "the payload arrived altered");
}

/// The camera's bytes are in order, and its stream must not be given up for what the appliance's disk did to the first half of them.
#[tokio::test]
async fn an_upload_that_was_spoilt_on_the_other_side_is_sent_whole() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    let (body, file) = segment(1_000_000);
    let signed = statement(&fake, 0, fake.head(), body);
    fake.world().upload_offset = Some(8 + signed.der().len() as u64 + 1000);
    assert!(matches!(client.put(&signed, &[], Some(file.path())).await, Err(ClientError::Unreachable { .. })));
    fake.misbehave(Mischief::SpoiltUpload);
    client.put(&signed, &[], Some(file.path())).await.unwrap();
    let sent = std::fs::read(file.path()).unwrap();
    assert!(fake.world().payloads[&(STREAM.to_owned(), 0)] == sent, "the payload arrived altered");
}

#[tokio::test]
async fn what_is_not_as_the_statement_says_is_not_sent() {
    let fake = FakeAppliance::start().await;
    let mut client = client(&fake);
    let (body, file) = segment(1000);
    let signed = statement(&fake, 0, NOTHING, body);
    file.as_file().set_len(999).unwrap();
    assert!(matches!(client.put(&signed, &[], Some(file.path())).await, Err(ClientError::Local(_))));
    assert!(matches!(client.put(&signed, &[], None).await, Err(ClientError::Local(_))));
    assert!(matches!(client.put(&statement(&fake, 0, NOTHING, gap()), &[b"surplus"], None).await, Err(ClientError::Local(_))));
    assert!(fake.world().puts.is_empty());
}
