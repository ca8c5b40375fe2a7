//! Recipients, grants and fetches over real sockets: who gets ciphertext, and what is on the ledger about it afterwards.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::atomic::Ordering;

use base64ct::Encoding;
use common::*;
use exhibit_evidence::exchange::{EntryRecords, StreamRecords, Terms};
use exhibit_evidence::{AttachmentRef, Body, SignedStatement, body};
use exhibit_pki::{KeyPurpose, Role, Timestamp};
use exhibit_tlog::Hash;

/// Five segments of camera 102, whose slots are twice their seq, and what is needed to share them.
struct Shared {
    world: World,
    camera: Writer,
    custodian: Writer,
    payloads: Vec<Vec<u8>>,
}

impl Shared {
    async fn new() -> Self {
        let world = World::new().await;
        let (custodian, recipients) = world.set_recipients().await;
        let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
        let mut connection = world.connect(&world.camera).await;
        let mut payloads = vec![Vec::new()];
        for seq in 1..=5 {
            let (body, payload) = segment(&camera.stream, seq, 2 * seq as u32, &vec![seq as u8; 300_000]);
            let signed = camera.next(body);
            connection.put(&signed, &[], &payload).await.admitted(201, &world.anchor, &mut camera, &signed);
            payloads.push(payload);
        }
        Self { world, camera, custodian, payloads }
    }

    /// A grant of slots 4 to 8, which are segments 2 to 4.
    async fn grant(&mut self, expires: Timestamp) -> Hash {
        let terms = terms(&self.world.investigator_wrapping, &self.camera.stream, 4, 8, expires);
        let (body, stored) = grant(&terms);
        let signed = self.custodian.next(body);
        let mut connection = self.world.connect(&self.world.custodian).await;
        let answer = connection.put(&signed, &[&stored[0], &stored[1]], &[]).await;
        answer.admitted(201, &self.world.anchor, &mut self.custodian, &signed);
        signed.leaf_hash()
    }

    async fn fetch(&self, writer: &mut Writer, grant: Option<Hash>, first: u64, last: u64) -> Hash {
        let ranges = vec![body::SeqRange { stream: self.camera.stream.clone(), first, last }];
        let purpose = AttachmentRef::erasable_bytes(&[8; 32], b"case 17");
        let attachments = vec![AttachmentRef::of("purpose", &purpose, true)];
        let signed = writer.next(Body::Fetch(body::Fetch { grant, ranges, attachments }));
        let mut connection = self.world.connect(&writer.party).await;
        connection.put(&signed, &[&purpose], &[]).await.admitted(201, &self.world.anchor, writer, &signed);
        signed.leaf_hash()
    }

    async fn payload(&self, party: &Party, seq: u64, fetch: Hash) -> Answer {
        self.world.connect(party).await.get(&format!("/v1/payloads/{}/{seq}?fetch={fetch}", self.camera.stream)).await
    }

    /// Every `access` on the ledger: which fetch, and whether it was granted.
    async fn accesses(&self) -> Vec<(Hash, bool)> {
        let mut auditor = self.world.connect(&self.world.auditor).await;
        let mut accesses = Vec::new();
        for index in 0..self.world.size() {
            let (_, signed) = auditor.record(&format!("/v1/index/{index}")).await;
            if let Body::Access(access) = &signed.statement().body {
                accesses.push((access.fetch, access.granted));
            }
        }
        accesses
    }
}

fn in_a_month() -> Timestamp {
    exhibit_appliance::setup::now().checked_add_ms(30 * DAY_MS).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_investigator_gets_what_was_granted_and_it_is_on_the_ledger_first() {
    let mut shared = Shared::new().await;
    let grant = shared.grant(in_a_month()).await;
    let mut investigator = Writer::new(shared.world.investigator.clone(), "user/i/20261120T115958Z", &shared.world.anchor);
    let fetch = shared.fetch(&mut investigator, Some(grant), 1, 5).await;
    assert_eq!(shared.accesses().await, [], "an access before anything was asked for");
    for seq in 2..=4 {
        let answer = shared.payload(&shared.world.investigator, seq, fetch).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == shared.payloads[seq as usize], "other bytes were served than were stored");
    }
    assert_eq!(shared.accesses().await, [(fetch, true)], "one access for each fetch");

    // A part of a payload.
    let mut connection = shared.world.connect(&shared.world.investigator).await;
    let path = format!("/v1/payloads/{}/2?fetch={fetch}", shared.camera.stream);
    let part = connection.get_with(&path, "Range: bytes=100-299\r\n").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &shared.payloads[2][100..300]));
    assert_eq!(part.headers["content-range"], format!("bytes 100-299/{}", shared.payloads[2].len()));
    assert_eq!(connection.get_with(&path, "Range: bytes=9999999-\r\n").await.kind(), "range");

    // The grant is found by its grantee and its issuer, and its attachments are theirs.
    for party in [&shared.world.investigator, &shared.world.custodian] {
        let mut connection = shared.world.connect(party).await;
        let grants: EntryRecords = connection.get("/v1/grants").await.json();
        assert_eq!((grants.entries.len(), grants.next), (1, None));
        let (_, signed) = connection.record(&format!("/v1/entries/{grant}")).await;
        for attachment in signed.statement().body.attachments() {
            let stored = connection.get(&format!("/v1/attachments/{}", attachment.sha256)).await;
            assert!(attachment.open(&stored.body).is_some(), "{} is not whole", attachment.name);
        }
    }
    let mut auditor = shared.world.connect(&shared.world.auditor).await;
    let (_, signed) = auditor.record(&format!("/v1/entries/{grant}")).await;
    for attachment in signed.statement().body.attachments() {
        assert_eq!(auditor.get(&format!("/v1/attachments/{}", attachment.sha256)).await.kind(), "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_granted_is_refused_and_the_attempt_is_on_the_ledger() {
    let mut shared = Shared::new().await;
    let grant = shared.grant(in_a_month()).await;
    let mut expected = Vec::new();
    let mut investigator = Writer::new(shared.world.investigator.clone(), "user/i/20261120T115958Z", &shared.world.anchor);

    // Segments outside the grant; once refused, however often.
    let fetch = shared.fetch(&mut investigator, Some(grant), 1, 5).await;
    for seq in [1, 5, 1] {
        assert_eq!(shared.payload(&shared.world.investigator, seq, fetch).await.kind(), "forbidden", "segment {seq} is outside the grant");
    }
    expected.push((fetch, false));
    // Without a grant, and not a recipient.
    let fetch = shared.fetch(&mut investigator, None, 1, 5).await;
    assert_eq!(shared.payload(&shared.world.investigator, 2, fetch).await.kind(), "forbidden");
    expected.push((fetch, false));
    // A segment that the fetch does not name.
    let fetch = shared.fetch(&mut investigator, Some(grant), 2, 2).await;
    assert_eq!(shared.payload(&shared.world.investigator, 3, fetch).await.kind(), "forbidden");
    expected.push((fetch, false));

    // A grant to another: a second investigator names it.
    let other = shared.world.pki.party("user/j", &[Role::Investigator], KeyPurpose::Signing);
    shared.world.introduce(&other.certificate).await;
    let mut others = Writer::new(other.clone(), "user/j/20261120T115958Z", &shared.world.anchor);
    let stolen = shared.fetch(&mut others, Some(grant), 2, 4).await;
    assert_eq!(shared.payload(&other, 2, stolen).await.kind(), "forbidden");
    expected.push((stolen, false));
    // Another's fetch: nothing is logged against its issuer.
    assert_eq!(shared.payload(&other, 2, fetch).await.kind(), "forbidden");
    assert_eq!(shared.payload(&other, 2, Hash([1; 32])).await.kind(), "forbidden", "a fetch that is none");
    assert_eq!(shared.payload(&other, 2, grant).await.kind(), "forbidden", "a grant instead of a fetch");

    assert_eq!(shared.accesses().await, expected);
    // Roles without any access.
    let fetch = expected[0].0;
    for party in [&shared.world.auditor, &shared.world.camera] {
        assert_eq!(shared.payload(party, 2, fetch).await.kind(), "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_has_expired_opens_nothing() {
    let mut shared = Shared::new().await;
    let grant = shared.grant(in_a_month()).await;
    let mut investigator = Writer::new(shared.world.investigator.clone(), "user/i/20261120T115958Z", &shared.world.anchor);
    let fetch = shared.fetch(&mut investigator, Some(grant), 2, 4).await;
    assert_eq!(shared.payload(&shared.world.investigator, 2, fetch).await.status, 200);
    shared.world.ahead_ms.store(31 * DAY_MS, Ordering::Relaxed);
    assert_eq!(shared.payload(&shared.world.investigator, 2, fetch).await.kind(), "forbidden");
    assert_eq!(shared.accesses().await, [(fetch, true), (fetch, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn accesses_at_once_are_each_logged_once() {
    let shared = Shared::new().await;
    let mut custodian = Writer::new(shared.world.custodian.clone(), "user/k/20261121T115958Z", &shared.world.anchor);
    let mut fetches = Vec::new();
    for _ in 0..4 {
        fetches.push(shared.fetch(&mut custodian, None, 1, 5).await);
    }
    let mut gets = tokio::task::JoinSet::new();
    for fetch in fetches.iter().flat_map(|fetch| [*fetch; 2]) {
        let mut connection = shared.world.connect(&shared.world.custodian).await;
        let path = format!("/v1/payloads/{}/1?fetch={fetch}", shared.camera.stream);
        gets.spawn(async move { connection.get(&path).await.status });
    }
    assert_eq!(gets.join_all().await, [200; 8]);
    let mut logged = shared.accesses().await;
    let mut expected: Vec<_> = fetches.into_iter().map(|fetch| (fetch, true)).collect();
    logged.sort_unstable();
    expected.sort_unstable();
    assert_eq!(logged, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_fetches_without_a_grant() {
    let shared = Shared::new().await;
    let mut custodian = Writer::new(shared.world.custodian.clone(), "user/k/20261121T115958Z", &shared.world.anchor);
    let fetch = shared.fetch(&mut custodian, None, 1, 5).await;
    let answer = shared.payload(&shared.world.custodian, 5, fetch).await;
    assert!(answer.status == 200 && answer.body == shared.payloads[5]);
    // The epoch is a place without ciphertext.
    assert_eq!(shared.payload(&shared.world.custodian, 0, fetch).await.status, 404);
    assert_eq!(shared.payload(&shared.world.custodian, 6, fetch).await.status, 404);
    // What was exported must have been fetched.
    let range = |first, last| body::SeqRange { stream: shared.camera.stream.clone(), first, last };
    let export = |fetch, ranges| Body::Export(body::Export { fetch, ranges, manifest: Hash([1; 32]), attachments: vec![] });
    for (defect, body) in
        [("beyond the fetch", export(fetch, vec![range(1, 6)])), ("of no fetch", export(Hash([9; 32]), vec![range(1, 5)]))]
    {
        let answer = shared.world.connect(&shared.world.custodian).await.put(&custodian.next(body), &[], &[]).await;
        assert_eq!(answer.kind(), "rule", "{defect}");
    }
    let signed = custodian.next(export(fetch, vec![range(2, 3), range(5, 5)]));
    let mut connection = shared.world.connect(&shared.world.custodian).await;
    connection.put(&signed, &[], &[]).await.admitted(201, &shared.world.anchor, &mut custodian, &signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_nobody_could_use_are_refused() {
    let shared = Shared::new().await;
    let good = || terms(&shared.world.investigator_wrapping, &shared.camera.stream, 4, 8, in_a_month());
    let with = |change: &dyn Fn(&mut Terms)| {
        let mut terms = good();
        change(&mut terms);
        terms
    };
    let cases = [
        ("another type", with(&|terms| terms.type_name = "exhibit-terms/v2".to_owned())),
        ("another camera's stream", with(&|terms| terms.ranges[0].stream = "camera/103/main/20261120T115958Z".to_owned())),
        ("slots that end before they begin", with(&|terms| terms.ranges[0].last = 3)),
        ("slots beyond the epoch", with(&|terms| terms.ranges[0].last = 1 << 20)),
        ("no ranges", with(&|terms| terms.ranges.clear())),
        ("no end", with(&|terms| terms.expires = "never".to_owned())),
        ("an end before the beginning", with(&|terms| terms.to = "2026-11-20T11:00:00.000Z".to_owned())),
        ("a grantee who is not on the ledger", with(&|terms| terms.grantee = "00".repeat(32))),
        ("a signing certificate", with(&|terms| terms.grantee = hex::encode(shared.world.investigator.certificate.fingerprint()))),
        ("another's certificate", with(&|terms| terms.grantee_subject = "user/k".to_owned())),
    ];
    let size = shared.world.size();
    for (defect, terms) in cases {
        let (body, stored) = grant(&terms);
        let signed = shared.custodian.next(body);
        let answer = shared.world.connect(&shared.world.custodian).await.put(&signed, &[&stored[0], &stored[1]], &[]).await;
        assert_eq!((answer.status, answer.kind().as_str()), (422, "attachment"), "{defect}");
    }
    assert_eq!(shared.world.size(), size);
    // An investigator may not grant, whatever the terms.
    let writer = Writer::new(shared.world.investigator.clone(), "user/i/20261120T115958Z", &shared.world.anchor);
    let (body, stored) = grant(&good());
    let answer = shared.world.connect(&shared.world.investigator).await.put(&writer.next(body), &[&stored[0], &stored[1]], &[]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (403, "role"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_follow_each_other() {
    let mut world = World::new().await;
    let mut connection = world.connect(&world.camera).await;
    assert_eq!(connection.get("/v1/recipients/camera/102").await.status, 404);
    let (mut custodian, first) = world.set_recipients().await;
    let (_, newest) = connection.record("/v1/recipients/camera/102").await;
    assert_eq!(newest.leaf_hash(), first);

    let stranger = world.pki.party("user/s", &[Role::Custodian], KeyPurpose::Signing);
    world.introduce(&stranger.certificate).await;
    let unknown = world.pki.party("user/u", &[Role::Custodian], KeyPurpose::Wrapping);
    let strangers = Writer::new(stranger.clone(), "user/s/20261120T115958Z", &world.anchor);
    // Known, and followed to a root once, before it expires.
    let brief = world.pki.party_for("user/b", &[Role::Custodian], KeyPurpose::Wrapping, 0, 10);
    world.introduce(&brief.certificate).await;
    let appliance = &world.running.appliance;
    appliance.registry.certificate(brief.certificate.fingerprint(), appliance.now()).unwrap().unwrap().unwrap();
    world.ahead_ms.store(11 * DAY_MS, Ordering::Relaxed);
    let good = world.recipients(2, Some(first));
    let with = |change: &dyn Fn(&mut body::Recipients)| {
        let mut recipients = good.clone();
        change(&mut recipients);
        Body::Recipients(recipients)
    };
    let own = *world.custodian.certificate.fingerprint();
    let cases: Vec<(&str, &Writer, Body)> = vec![
        ("by a custodian who is not named", &strangers, with(&|_| {})),
        ("the same number again", &custodian, with(&|body| body.number = 1)),
        ("replacing nothing", &custodian, with(&|body| body.replaces = None)),
        ("replacing another", &custodian, with(&|body| body.replaces = Some(Hash([1; 32])))),
        ("a recipient who is not on the ledger", &custodian, with(&|body| body.recipients = vec![*unknown.certificate.fingerprint()])),
        ("a recipient whose certificate is for signing", &custodian, with(&|body| body.recipients = vec![own])),
        ("a custodian without the role", &custodian, with(&|body| body.custodians = vec![*world.investigator.certificate.fingerprint()])),
        ("a recipient whose certificate has expired", &custodian, with(&|body| body.recipients = vec![*brief.certificate.fingerprint()])),
        ("the first of a scope, replacing", &custodian, with(&|body| body.scope = "camera/103".to_owned())),
    ];
    for (defect, writer, body) in cases {
        let answer = world.connect(&writer.party).await.put(&writer.next(body), &[], &[]).await;
        assert_eq!((answer.status, answer.kind().as_str()), (422, "rule"), "{defect}");
    }
    let signed = custodian.next(Body::Recipients(good.clone()));
    let mut connection = world.connect(&world.custodian).await;
    connection.put(&signed, &[], &[]).await.admitted(201, &world.anchor, &mut custodian, &signed);
    let (_, newest) = connection.record("/v1/recipients/camera/102").await;
    assert_eq!(newest, signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_entries_and_segments_are_found() {
    let shared = Shared::new().await;
    // A second epoch, much longer, and a stream of another series whose name begins with this one's.
    let recipients = shared.world.running.appliance.registry.newest_recipients("camera/102").unwrap().unwrap().leaf;
    let mut second = shared.world.begin_epoch("20261121T115958Z", recipients).await;
    let mut connection = shared.world.connect(&shared.world.camera).await;
    for seq in 1..=200 {
        let (body, payload) = segment(&second.stream, seq, 1000 + 2 * seq as u32, b"frames");
        let signed = second.next(body);
        connection.put(&signed, &[], &payload).await.admitted(201, &shared.world.anchor, &mut second, &signed);
    }
    let mut connection = shared.world.connect(&shared.world.investigator).await;
    let streams: StreamRecords = connection.get("/v1/streams?prefix=camera/102/").await.json();
    let names: Vec<_> = streams.streams.iter().map(|stream| (stream.stream.as_str(), stream.next_seq)).collect();
    assert_eq!(names, [(shared.camera.stream.as_str(), 6), (second.stream.as_str(), 201)]);
    let after: StreamRecords = connection.get(&format!("/v1/streams?prefix=camera/102/&after={}", shared.camera.stream)).await.json();
    assert_eq!(after.streams.len(), 1);

    // Slots are seconds after 11:59:58, each segment lasts 2 s and touches its neighbours: 12:00:04 is the end of slot 4.
    let places = async |connection: &mut Connection, from: &str, to: &str| {
        let mut places = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/segments?series={SERIES}&from=2026-11-20T{from}&to=2026-11-20T{to}{after}");
            let page: EntryRecords = connection.get(&path).await.json();
            assert!(page.entries.len() <= 64);
            places.extend(page.entries.iter().map(|record| {
                let signed = SignedStatement::parse(&base64ct::Base64::decode_vec(&record.entry).unwrap()).unwrap();
                (signed.statement().stream.generation().to_owned(), signed.statement().seq)
            }));
            let Some(next) = page.next else { return places };
            after = format!("&after={next}");
        }
    };
    let first = |seqs: std::ops::RangeInclusive<u64>| seqs.map(|seq| ("20261120T115958Z".to_owned(), seq));
    let found = places(&mut connection, "12:00:03.000Z", "12:00:05.000Z").await;
    assert_eq!(found, first(2..=3).collect::<Vec<_>>());
    assert_eq!(places(&mut connection, "11:00:00.000Z", "11:59:59.999Z").await, []);
    let all = places(&mut connection, "00:00:00.000Z", "23:59:59.999Z").await;
    let mut expected: Vec<_> = first(1..=5).collect();
    expected.extend((1..=200).map(|seq| ("20261121T115958Z".to_owned(), seq)));
    assert_eq!(all, expected, "a segment was lost or counted twice between pages");
    // Slot 1100 and its neighbours, in the middle of the second epoch.
    let found = places(&mut connection, "12:18:19.000Z", "12:18:19.500Z").await;
    assert_eq!(found, [("20261121T115958Z".to_owned(), 50)]);

    let page: EntryRecords = connection.get(&format!("/v1/streams/{}/entries?first=10&last=500", second.stream)).await.json();
    assert_eq!((page.entries.len(), page.next.as_deref()), (64, Some("73")));
    let page: EntryRecords = connection.get(&format!("/v1/streams/{}/entries?first=10&last=500&after=190", second.stream)).await.json();
    assert_eq!((page.entries.len(), page.next), (10, None));
    let page: EntryRecords = connection.get(&format!("/v1/streams/{}/entries?first=3&last=3", second.stream)).await.json();
    assert_eq!((page.entries.len(), page.next), (1, None));
}

/// A download goes on where it was cut off, unless it is of something else (RFC 9110 section 13.1.5).
#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_only_with_the_same_ciphertext() {
    let mut shared = Shared::new().await;
    let grant = shared.grant(in_a_month()).await;
    let mut investigator = Writer::new(shared.world.investigator.clone(), "user/i/20261120T115958Z", &shared.world.anchor);
    let fetch = shared.fetch(&mut investigator, Some(grant), 2, 4).await;
    let mut connection = shared.world.connect(&shared.world.investigator).await;
    let path = |seq: u64| format!("/v1/payloads/{}/{seq}?fetch={fetch}", shared.camera.stream);
    let (second, third) = (connection.get(&path(2)).await, connection.get(&path(3)).await);
    let etag = &second.headers["etag"];
    assert_ne!(etag, &third.headers["etag"]);
    assert_eq!(second.headers["cache-control"], "no-store");
    let rest = connection.get_with(&path(2), &format!("Range: bytes=1000-\r\nIf-Range: {etag}\r\n")).await;
    assert_eq!((rest.status, &rest.body[..], &rest.headers["etag"]), (206, &second.body[1000..], etag));
    for other in [third.headers["etag"].as_str(), &format!("W/{etag}"), "Sun, 22 Nov 2026 10:00:00 GMT"] {
        let whole = connection.get_with(&path(2), &format!("Range: bytes=1000-\r\nIf-Range: {other}\r\n")).await;
        assert_eq!((whole.status, &whole.body), (200, &second.body), "{other}");
    }
    // An access that a cache answered would not be on the ledger.
    assert_eq!(connection.get_with(&path(2), &format!("If-None-Match: {etag}\r\n")).await.status, 200);
}

/// What a client follows, and what it need not ask for twice.
#[tokio::test(flavor = "multi_thread")]
async fn lists_lead_to_their_next_page_and_are_known_again() {
    let mut shared = Shared::new().await;
    let mut camera = shared.world.connect(&shared.world.camera).await;
    for seq in 6..=130 {
        let (body, payload) = segment(&shared.camera.stream, seq, 2 * seq as u32, b"some plaintext");
        let signed = shared.camera.next(body);
        camera.put(&signed, &[], &payload).await.admitted(201, &shared.world.anchor, &mut shared.camera, &signed);
    }
    let first = format!("/v1/streams/{}/entries?first=1", shared.camera.stream);
    let (mut path, mut indices, mut pages) = (first.clone(), Vec::new(), 0);
    loop {
        let answer = camera.get(&path).await;
        let page: EntryRecords = answer.json();
        indices.extend(page.entries.iter().map(|entry| entry.index));
        pages += 1;
        let Some(link) = answer.headers.get("link") else { break };
        path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap().to_owned();
        assert!(path.contains("first=1&after="), "{path}");
    }
    assert_eq!((pages, indices.len()), (3, 130));
    assert!(indices.is_sorted(), "a page was given twice");

    let stream = format!("/v1/streams/{}", shared.camera.stream);
    for (path, changes) in [(&stream, true), (&first, true), (&"/v1/version".to_owned(), false)] {
        let had = camera.get(path).await;
        let etag = &had.headers["etag"];
        assert_eq!(had.headers["cache-control"], "private, no-cache");
        let again = camera.get_with(path, &format!("If-None-Match: {etag}\r\n")).await;
        assert_eq!((again.status, again.body.len(), &again.headers["etag"]), (304, 0, etag), "{path}");
        let seq = shared.camera.seq;
        let (body, payload) = segment(&shared.camera.stream, seq, 2 * seq as u32, b"more");
        let signed = shared.camera.next(body);
        camera.put(&signed, &[], &payload).await.admitted(201, &shared.world.anchor, &mut shared.camera, &signed);
        let status = camera.get_with(path, &format!("If-None-Match: {etag}\r\n")).await.status;
        assert_eq!(status, if changes { 200 } else { 304 }, "{path}");
    }
    let mut auditor = shared.world.connect(&shared.world.auditor).await;
    let digest = hex::encode(shared.world.camera.certificate.fingerprint());
    let certificate = auditor.get(&format!("/v1/attachments/{digest}")).await;
    assert_eq!(certificate.headers["cache-control"], "private, max-age=31536000, immutable");
}
