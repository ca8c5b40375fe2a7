//! What the appliance must refuse, sent to the real one: each with the reason that it gives, and a ledger that did not grow by it.
#![allow(clippy::unwrap_used)]

use std::{process::Command, sync::Arc, time::Duration};

use exhibit_client::{Appliance, ClientError, ClientIdentity, Issuer, IssuerError};
use exhibit_e2e::{
    camera::{Impostor, SoftwareCamera},
    process::run,
    raw::{RawConnection, without_certificate},
    site::{FRAGMENTS, Site, refusal},
    world::{World, draw_key, now, read_certificate},
};
use exhibit_evidence::{
    Body, Head, StreamName,
    body::{Close, CloseReason, Recipients},
    exchange::{EntryRecord, intake_prefix},
    sign,
};
use exhibit_pki::{Identity, SoftwareSigner, build_request_pem};
use exhibit_tlog::Hash;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_is_what_was_signed_or_it_is_not_taken() {
    let mut site = Site::start().await;
    let (segment, ciphertext) = site.camera.segment(0, &FRAGMENTS);
    let signed = site.camera.sign(&site.camera.statement(Body::Segment(segment)));
    let before = site.size().await;

    // The same length, one bit other: in the first fragment and at the very end.
    for position in [17, ciphertext.len() - 1] {
        let mut changed = ciphertext.clone();
        changed[position] ^= 1;
        let problem = refusal(site.camera.send(&mut site.link, &signed, &[], &changed).await);
        site.demand("a changed byte", &problem, "payload", 422);
    }
    // Fragments in another order are the same bytes, and another payload.
    let swapped = [&ciphertext[5_016..8_032], &ciphertext[..5_016], &ciphertext[8_032..]].concat();
    let problem = refusal(site.camera.send(&mut site.link, &signed, &[], &swapped).await);
    site.demand("swapped fragments", &problem, "payload", 422);

    let config = exhibit_client::client_config(&site.camera.identity, &site.world.anchor().roots).unwrap();
    let path = format!("/v1/streams/{}/{}", site.camera.stream, site.camera.next_seq);
    let body = [intake_prefix(signed.der(), &[]), ciphertext.clone()].concat();
    let length = body.len() as u64;
    for (what, body) in [
        ("a longer body", [&body[..], b"x"].concat()),
        ("a shorter body", body[..body.len() - 1].to_vec()),
        ("no payload", body[..body.len() - ciphertext.len()].to_vec()),
    ] {
        let mut connection = RawConnection::open(site.world.address(), &config).await.unwrap();
        let answer = connection.put(&path, body.len() as u64, &body).await.unwrap();
        assert_eq!(answer.status, answer.problem().status, "{what}: the document says another status than the answer");
        site.demand(what, &answer.problem(), "payload", 422);
        assert!(answer.closes, "{what}: what follows on this connection has no meaning");
    }
    // A link that drops in mid-payload: nothing is answered, and nothing is kept.
    let mut connection = RawConnection::open(site.world.address(), &config).await.unwrap();
    connection.begin_put(&path, length, &body[..body.len() / 2]).await.unwrap();
    drop(connection);
    site.demand_unchanged("a changed, longer, shorter or broken payload", before).await;

    // What was refused has taken no place: the true payload still gets it.
    let receipt = site.camera.send(&mut site.link, &signed, &[], &ciphertext).await.unwrap();
    assert_eq!(receipt.index, before);
    assert_eq!(site.size().await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_is_what_was_signed_or_it_is_not_taken() {
    let mut site = Site::start().await;
    let mut camera = SoftwareCamera::with_identity(&site.world, "102", site.camera.identity.clone());
    camera.stream = StreamName::parse("camera/102/side/1").unwrap();
    let (body, wraps) = camera.epoch(site.recipients, &[site.custodian.wrapping().0]);
    let signed = camera.sign(&camera.statement(body));
    let before = site.size().await;
    let mut changed = wraps.clone();
    *changed.last_mut().unwrap() ^= 1;
    let problem = refusal(camera.send(&mut site.link, &signed, &[&changed], &[]).await);
    site.demand("changed wraps", &problem, "attachment", 422);
    site.demand_unchanged("changed wraps", before).await;
    camera.send(&mut site.link, &signed, &[&wraps], &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_its_signers_or_it_is_not_taken() {
    let mut site = Site::start().await;
    let stranger = SoftwareCamera::enrol(&site.world, "103");
    let mut strangers_link = stranger.connect(&site.world);
    let (segment, ciphertext) = site.camera.segment(0, &FRAGMENTS);
    let statement = site.camera.statement(Body::Segment(segment));
    let certificate = site.camera.identity.certificate.clone();
    let before = site.size().await;

    let forged = sign(&statement, &certificate, &Impostor::of(&certificate)).unwrap();
    let problem = refusal(site.camera.send(&mut site.link, &forged, &[], &ciphertext).await);
    site.demand("a wrong key", &problem, "signature", 422);

    let mut elsewhere = statement.clone();
    elsewhere.log = Hash([7; 32]);
    let elsewhere = site.camera.sign(&elsewhere);
    let problem = refusal(site.camera.send(&mut site.link, &elsewhere, &[], &ciphertext).await);
    site.demand("a statement for another log", &problem, "log", 422);

    let strangers = stranger.sign(&statement);
    let problem = refusal(site.camera.send(&mut strangers_link, &strangers, &[], &ciphertext).await);
    site.demand("another camera, in this one's stream", &problem, "not-owner", 403);
    let problem = refusal(site.camera.send(&mut site.link, &strangers, &[], &ciphertext).await);
    site.demand("another camera's signature over this one's connection", &problem, "not-owner", 403);
    let own = site.camera.sign(&statement);
    let problem = refusal(site.camera.send(&mut strangers_link, &own, &[], &ciphertext).await);
    site.demand("this camera's statement over another's connection", &problem, "not-owner", 403);

    let mut forked = statement.clone();
    forked.observed.root = Hash([9; 32]);
    let forked = site.camera.sign(&forked);
    let problem = refusal(site.camera.send(&mut site.link, &forked, &[], &ciphertext).await);
    site.demand("a head that is not of this log", &problem, "observed", 422);
    let mut ahead = statement.clone();
    ahead.observed = Head { size: before + 1_000, root: Hash([9; 32]) };
    let ahead = site.camera.sign(&ahead);
    let problem = refusal(site.camera.send(&mut site.link, &ahead, &[], &ciphertext).await);
    site.demand("a head that is not there yet", &problem, "observed", 422);

    site.demand_unchanged("a statement that is not its signer's", before).await;
    site.camera.send(&mut site.link, &own, &[], &ciphertext).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_counts_on_the_ledger_in_its_time_and_for_its_role() {
    let mut site = Site::start().await;
    // Its certificate counts while it is valid: what it signed then is on the ledger, and the appliance knows it.
    let ends = now().checked_add_ms(6_000).unwrap();
    let short = site.certified(&["--not-after", &ends.to_string()]);
    let (segment, ciphertext) = site.camera.segment(0, &FRAGMENTS);
    let first = sign(&site.camera.statement(Body::Segment(segment)), &short.certificate, short.signer.as_ref()).unwrap();
    let receipt = site.camera.send(&mut site.link, &first, &[], &ciphertext).await.unwrap();
    site.camera.took(&first, &receipt);
    let begins = now().checked_add_ms(3_600_000).unwrap().to_string();
    let early = site.certified(&["--not-before", &begins, "--days", "1"]);
    let unknown = site.unpublished();
    let (investigator, auditor) = (site.world.person("investigator", "investigator"), site.world.person("auditor", "auditor"));
    let before = site.size().await;

    // Each signs the next statement of camera 102, over a connection that is in order.
    let (segment, ciphertext) = site.camera.segment(0, &FRAGMENTS);
    let statement = site.camera.statement(Body::Segment(segment));
    let by = |identity: &ClientIdentity| sign(&statement, &identity.certificate, identity.signer.as_ref()).unwrap();
    let problem = refusal(site.camera.send(&mut site.link, &by(&unknown), &[], &ciphertext).await);
    site.demand("an unknown certificate", &problem, "certificate", 403);
    let problem = refusal(site.camera.send(&mut site.link, &by(&early), &[], &ciphertext).await);
    site.demand("a certificate before its time", &problem, "certificate", 403);

    // And as the certificate of the connection.
    let signed = site.camera.sign(&statement);
    let mut link = site.link_of(&unknown);
    let problem = refusal(site.camera.send(&mut link, &signed, &[], &ciphertext).await);
    site.demand("an unknown certificate's connection", &problem, "certificate", 403);
    let problem = refusal(link.get_json::<serde_json::Value>("/v1/streams?prefix=camera/").await);
    site.demand("an unknown certificate's question", &problem, "certificate", 403);
    let alert = broken(site.link_of(&early).checkpoint(None).await);
    assert!(alert.contains("CertificateExpired"), "not yet valid: {alert}");

    let chain: Vec<_> = [investigator, auditor].into_iter().map(|person| (site.issuer(&person), person.connect(&site.world))).collect();
    for (mut issuer, mut link) in chain {
        let body = Body::Recipients(Recipients {
            scope: "camera/104".to_owned(),
            number: 1,
            replaces: None,
            recipients: vec![*site.custodian.wrapping().0.fingerprint()],
            custodians: vec![*site.custodian.identity().certificate.fingerprint()],
            threshold: 1,
            expires: now().checked_add_ms(86_400_000).unwrap(),
            attachments: vec![],
        });
        let problem = issue_refused(issuer.issue(&mut link, body, &[], now()).await);
        site.demand("recipients by somebody who is no custodian", &problem, "role", 403);
    }

    // Time passes by itself: nothing else can make a certificate expire.
    let wait_ms = ends.unix_ms().saturating_sub(now().unix_ms()) + 1_000;
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    let problem = refusal(site.camera.send(&mut site.link, &by(&short), &[], &ciphertext).await);
    site.demand("an expired certificate", &problem, "certificate", 403);
    let alert = broken(site.link_of(&short).checkpoint(None).await);
    assert!(alert.contains("CertificateExpired"), "expired: {alert}");

    site.demand_unchanged("a certificate that does not count", before).await;
    site.camera.send(&mut site.link, &signed, &[], &ciphertext).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_expires_with_its_certificate() {
    let site = Site::start().await;
    let ends = now().checked_add_ms(3_000).unwrap();
    let short = site.certified(&["--not-after", &ends.to_string()]);
    let mut link = site.link_of(&short);
    link.get_json::<serde_json::Value>("/v1/version").await.unwrap();
    let wait_ms = ends.unix_ms().saturating_sub(now().unix_ms()) + 1_000;
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    // The connection was made in time and is kept alive.
    let problem = refusal(link.get_json::<serde_json::Value>("/v1/streams?prefix=camera/102/").await);
    site.demand("a connection that outlived its certificate", &problem, "certificate", 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_has_one_continuation() {
    let mut site = Site::start().await;
    let first = site.camera.record(&mut site.link, 10, &FRAGMENTS).await;
    let (segment, ciphertext) = site.camera.segment(20, &FRAGMENTS);
    let statement = site.camera.statement(Body::Segment(segment.clone()));
    let before = site.size().await;

    let mut broken_prev = statement.clone();
    broken_prev.prev = Hash([9; 32]);
    let mut hole = statement.clone();
    hole.seq += 1;
    for (what, wrong) in [("a broken prev", broken_prev), ("a hole", hole)] {
        let signed = site.camera.sign(&wrong);
        let problem = refusal(site.camera.send(&mut site.link, &signed, &[], &ciphertext).await);
        site.demand(what, &problem, "chain", 409);
        assert_eq!(problem.expected_seq, Some(site.camera.next_seq), "{what}: the refusal says what would fit");
        assert_eq!(problem.expected_prev, Some(site.camera.prev.to_string()), "{what}: the refusal says what would fit");
    }
    let (mut earlier, payload) = site.camera.segment(5, &FRAGMENTS);
    earlier.slot = 5;
    let signed = site.camera.sign(&site.camera.statement(Body::Segment(earlier)));
    let problem = refusal(site.camera.send(&mut site.link, &signed, &[], &payload).await);
    site.demand("a slot that falls", &problem, "rule", 422);
    site.demand_unchanged("a statement out of its chain", before).await;

    // The same statement again is the same: it gets the place that it has.
    let (segment_again, _) = site.camera.segment(30, &FRAGMENTS);
    let signed = site.camera.sign(&statement);
    let receipt = site.camera.send(&mut site.link, &signed, &[], &ciphertext).await.unwrap();
    let again = site.camera.send(&mut site.link, &signed, &[], &ciphertext).await.unwrap();
    assert_eq!(again.index, receipt.index, "the same statement stands twice");
    assert_eq!(site.size().await, before + 1, "the same statement was counted twice");

    // Another one for a place that is taken: refused, and both are kept against their issuer, once.
    let mut other = first.statement().clone();
    let Body::Segment(_) = other.body else { panic!("a segment was recorded") };
    other.body = Body::Segment(segment_again);
    let second = site.camera.sign(&other);
    for _ in 0..2 {
        let problem = refusal(site.camera.send(&mut site.link, &second, &[], &ciphertext).await);
        site.demand("one place twice", &problem, "contradiction", 409);
    }
    assert_eq!(site.size().await, before + 2, "a contradiction is one entry, however often it is repeated");
    let auditor = site.world.person("auditor", "auditor");
    let mut link = auditor.connect(&site.world);
    let record: EntryRecord = link.get_json(&format!("/v1/index/{}", before + 1)).await.unwrap();
    let (entry, _) = link.open_record(&record).unwrap();
    let Body::Contradiction(body) = &entry.statement().body else { panic!("{:?} is no contradiction", entry.statement()) };
    assert_eq!((&body.stream, body.seq), (&site.camera.stream, first.statement().seq));
    for (name, signed) in [("first", &first), ("second", &second)] {
        let attachment = entry.statement().body.attachment(name).unwrap();
        assert_eq!(link.attachment(attachment).await.unwrap(), signed.der(), "{name} is not the statement that was signed");
    }

    // After its end a chain does not go on, whatever follows.
    site.camera.took(&signed, &receipt);
    site.camera.state(&mut site.link, Body::Close(Close { reason: CloseReason::Stop, attachments: vec![] }), &[], &[]).await;
    let before = site.size().await;
    let (segment, ciphertext) = site.camera.segment(40, &FRAGMENTS);
    let signed = site.camera.sign(&site.camera.statement(Body::Segment(segment)));
    let problem = refusal(site.camera.send(&mut site.link, &signed, &[], &ciphertext).await);
    site.demand("a segment after the close", &problem, "rule", 422);
    // Nor does one begin without its epoch.
    let mut camera = SoftwareCamera::with_identity(&site.world, "102", site.camera.identity.clone());
    camera.stream = StreamName::parse("camera/102/side/1").unwrap();
    let (segment, ciphertext) = camera.segment(0, &FRAGMENTS);
    let signed = camera.sign(&camera.statement(Body::Segment(segment)));
    let problem = refusal(camera.send(&mut site.link, &signed, &[], &ciphertext).await);
    site.demand("a stream without an epoch", &problem, "rule", 422);
    site.demand_unchanged("a statement beyond the ends of a chain", before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_connects_without_a_certificate_of_this_city() {
    let site = Site::start().await;
    let roots = site.world.anchor().roots;
    let bare = without_certificate(&roots);
    // In TLS 1.3 a client believes that it is connected before its certificate is judged: the answer tells.
    let error = match RawConnection::open(site.world.address(), &bare).await {
        Ok(mut connection) => connection.get("/v1/version").await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("CertificateRequired"), "no certificate: {error}");
    // The public listener asks for none, and gives nothing but the log's heads and hashes.
    let get = async |path: &str| RawConnection::open(site.world.public_address(), &bare).await.unwrap().get(path).await.unwrap();
    assert_eq!(get("/log/checkpoint").await.status, 200);
    for path in ["/v1/streams?prefix=camera/", "/v1/index/0", "/log/tile/entries/000.p/1"] {
        let status = get(path).await.status;
        assert!(status == 403 || status == 404, "{path} is open to anybody: {status}");
    }

    // A certificate that says the right things, by an authority that is not this city's.
    let other = World::start();
    let camera = SoftwareCamera::enrol(&other, "102");
    let identity = ClientIdentity { chain: other.chain(), ..camera.identity };
    let alert = broken(site.link_of(&identity).checkpoint(None).await);
    assert!(alert.contains("DecryptError"), "another authority's certificate: {alert}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_1_3_with_one_suite() {
    let site = Site::start().await;
    let shake = |address: &str, words: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-brief", "-connect", address, "-CAfile"]).arg(site.world.pki().join("root.pem"));
        run(command.arg("-verify_return_error").args(words))
    };
    for address in [site.world.address(), site.world.public_address()] {
        // What is wanted works, or the refusals below would say nothing.
        let good = shake(address, &["-tls1_3"]);
        assert!(good.stderr.contains("TLSv1.3") && good.stderr.contains("TLS_AES_256_GCM_SHA384"), "{good:?}");
        let old = shake(address, &["-tls1_2"]);
        assert!(old.code != Some(0) && old.stderr.contains("protocol version"), "TLS 1.2 was spoken: {old:?}");
        let weak = shake(address, &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]);
        assert!(weak.code != Some(0) && weak.stderr.contains("handshake failure"), "another suite was spoken: {weak:?}");
        let group = shake(address, &["-tls1_3", "-groups", "P-256"]);
        assert!(group.code != Some(0) && group.stderr.contains("handshake failure"), "another group was spoken: {group:?}");
    }
}

/// What only this file's tests need of a site.
trait Certified {
    fn certified(&self, more: &[&str]) -> ClientIdentity;
    fn unpublished(&self) -> ClientIdentity;
    fn link_of(&self, identity: &ClientIdentity) -> Appliance;
    fn issuer(&self, person: &exhibit_e2e::world::Person) -> Issuer;
}

impl Certified for Site {
    /// Another key of camera 102, certified and on the ledger.
    fn certified(&self, more: &[&str]) -> ClientIdentity {
        let key = draw_key();
        let certificate = self.world.certify("camera/102", &key, &["camera"], more);
        ClientIdentity { certificate, chain: self.world.chain(), signer: Arc::new(key) }
    }

    /// Another key of camera 102, certified and not on the ledger.
    fn unpublished(&self) -> ClientIdentity {
        let key: SoftwareSigner = draw_key();
        let (csr, out) = (self.world.folder().join("unpublished.csr"), self.world.folder().join("unpublished.pem"));
        let identity = Identity::parse("spiffe://city.example/camera/102").unwrap();
        std::fs::write(&csr, build_request_pem(&identity, &key).unwrap()).unwrap();
        let (pki, csr, out) = (self.world.pki(), csr.as_path(), out.as_path());
        let words = ["sign", "--role", "camera", "--dir", pki.to_str().unwrap(), "--csr", csr.to_str().unwrap(), "--out"];
        self.world.authority(&words, &[out]).expect(0);
        ClientIdentity { certificate: read_certificate(out), chain: self.world.chain(), signer: Arc::new(key) }
    }

    fn link_of(&self, identity: &ClientIdentity) -> Appliance {
        Appliance::new(self.world.address(), identity, &self.world.anchor()).unwrap()
    }

    fn issuer(&self, person: &exhibit_e2e::world::Person) -> Issuer {
        Issuer::open(&person.folder, &person.subject, person.identity(), self.world.anchor().log, now()).unwrap()
    }
}

/// Why a connection broke.
#[track_caller]
fn broken<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Unreachable { source, .. }) => source.to_string(),
        other => panic!("the connection was not refused: {other:?}"),
    }
}

#[track_caller]
fn issue_refused<T: std::fmt::Debug>(result: Result<T, IssuerError>) -> exhibit_evidence::exchange::Problem {
    match result {
        Err(IssuerError::Client(error)) => refusal(Err::<T, _>(error)),
        Err(other) => panic!("it was not refused, but failed: {other}"),
        Ok(accepted) => panic!("it was accepted: {accepted:?}"),
    }
}
