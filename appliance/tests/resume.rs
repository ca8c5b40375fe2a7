//! Uploads that are cut off, or come in parts: what is kept, for whom, and that nothing of it is believed.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use exhibit_evidence::body::CertificateRevocation;
use exhibit_evidence::exchange::{Problem, intake_prefix};
use exhibit_evidence::{Body, SignedStatement};
use exhibit_pki::{KeyPurpose, Role};

/// A camera stream that has begun, and a segment that was not sent yet.
struct Scene {
    world: World,
    camera: Writer,
    signed: SignedStatement,
    /// The whole representation: what a PUT brings.
    whole: Vec<u8>,
    /// What stands before the payload.
    prefix: usize,
}

impl Scene {
    async fn new() -> Self {
        Self::with("").await
    }

    async fn with(more: &str) -> Self {
        let world = World::with(more).await;
        let (_, recipients) = world.set_recipients().await;
        let camera = world.begin_epoch("20261120T115958Z", recipients).await;
        let (body, payload) = segment(&camera.stream, 1, 2, &[1; 1_000_000]);
        let signed = camera.next(body);
        let prefix = intake_prefix(signed.der(), &[]);
        let whole = [prefix.clone(), payload].concat();
        Self { world, camera, signed, prefix: prefix.len(), whole }
    }

    fn upload(&self) -> String {
        format!("/v1/uploads/{}", self.signed.statement_hash())
    }

    async fn connect(&self) -> Connection {
        self.world.connect(&self.world.camera).await
    }

    /// PUT of the first bytes, as a part.
    async fn begin(&self, connection: &mut Connection, bytes: usize) -> Answer {
        let headers = format!("Upload-Complete: ?0\r\nContent-Length: {bytes}\r\n");
        connection.put_raw(&path_of(&self.signed), &headers, &self.whole[..bytes]).await
    }

    /// PATCH from there to there.
    async fn append(&self, connection: &mut Connection, from: usize, to: usize, complete: &str) -> Answer {
        let headers = format!(
            "Upload-Complete: {complete}\r\nUpload-Offset: {from}\r\nContent-Type: application/partial-upload\r\nContent-Length: {}\r\n",
            to - from
        );
        patch(connection, &self.upload(), &headers, &self.whole[from..to]).await
    }

    /// What HEAD says: the offset, and whether it is complete.
    async fn state(&self, connection: &mut Connection) -> (usize, String) {
        let answer = connection.head(&self.upload()).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.headers["upload-length"], self.whole.len().to_string());
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.headers["upload-limit"].starts_with("max-age="), "{answer:?}");
        (answer.headers["upload-offset"].parse().unwrap(), answer.headers["upload-complete"].clone())
    }

    async fn demand_gone(&self, connection: &mut Connection) {
        assert_eq!(connection.head(&self.upload()).await.status, 404, "an upload was kept");
    }

    fn staged_files(&self) -> Vec<std::path::PathBuf> {
        let staging = self.world.folder.path().join("state/vault/staging");
        std::fs::read_dir(staging).unwrap().map(|file| file.unwrap().path()).collect()
    }
}

async fn patch(connection: &mut Connection, path: &str, headers: &str, body: &[u8]) -> Answer {
    connection.send(format!("PATCH {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()).await.unwrap();
    let _ = connection.send(body).await;
    connection.answer().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_comes_in_parts_after_its_statement() {
    let mut scene = Scene::new().await;
    let (size, end) = (scene.world.size(), scene.whole.len());
    let mut connection = scene.connect().await;
    let begun = scene.begin(&mut connection, scene.prefix).await;
    assert_eq!((begun.status, begun.headers["location"].as_str()), (201, scene.upload().as_str()));
    assert_eq!(begun.headers["upload-complete"], "?0");
    assert_eq!(scene.state(&mut connection).await, (scene.prefix, "?0".to_owned()));

    let middle = scene.prefix + 300_001;
    let part = scene.append(&mut connection, scene.prefix, middle, "?0").await;
    assert_eq!((part.status, part.headers["upload-offset"].clone()), (204, middle.to_string()));
    assert_eq!(part.headers["upload-complete"], "?0");
    assert_eq!(scene.world.size(), size, "a part was admitted");

    let answer = scene.append(&mut connection, middle, end, "?1").await;
    assert_eq!(answer.headers["upload-complete"], "?1");
    let admitted = answer.admitted(201, &scene.world.anchor, &mut scene.camera, &scene.signed);
    assert_eq!(scene.world.size(), size + 1);
    assert!(scene.staged_files().is_empty(), "a file is left");

    // Whoever did not hear the answer asks, and sends nothing again.
    assert_eq!(scene.state(&mut connection).await, (end, "?1".to_owned()));
    let again = scene.append(&mut connection, end, end, "?1").await;
    assert_eq!(again.headers["upload-complete"], "?1");
    assert_eq!(again.admitted(200, &scene.world.anchor, &mut scene.camera, &scene.signed).index, admitted.index);
    assert_eq!(scene.world.size(), size + 1, "it was admitted twice");
}

/// Ends in mid-body, and waits until that was noticed.
async fn cut(mut connection: Connection) {
    connection.end().await;
    // There may be an answer, or none.
    let _ = connection.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_goes_on_where_it_was() {
    let mut scene = Scene::new().await;
    let end = scene.whole.len();
    let mut connection = scene.connect().await;
    let head =
        format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nUpload-Complete: ?1\r\nContent-Length: {end}\r\n\r\n", path_of(&scene.signed));
    connection.send(head.as_bytes()).await.unwrap();
    connection.send(&scene.whole[..400_000]).await.unwrap();
    cut(connection).await;
    // Three times more, each time without a word.
    let mut offset = 0;
    for _ in 0..3 {
        let mut connection = scene.connect().await;
        let (now, _) = scene.state(&mut connection).await;
        assert!(now > offset, "nothing was kept: {now} after {offset}");
        offset = now;
        let more = 100_000;
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: localhost\r\nUpload-Complete: ?1\r\nUpload-Offset: {offset}\r\nContent-Type: application/partial-upload\r\n\
             Content-Length: {}\r\n\r\n",
            scene.upload(),
            end - offset
        );
        connection.send(head.as_bytes()).await.unwrap();
        connection.send(&scene.whole[offset..offset + more]).await.unwrap();
        cut(connection).await;
    }
    let mut connection = scene.connect().await;
    let (offset, _) = scene.state(&mut connection).await;
    assert!((600_000..=700_000).contains(&offset), "what came was dropped: {offset} are left of 700,000 bytes");
    let answer = scene.append(&mut connection, offset, end, "?1").await;
    answer.admitted(201, &scene.world.anchor, &mut scene.camera, &scene.signed);
    assert!(scene.staged_files().is_empty(), "a file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_takes_the_upload_from_its_dead_connection() {
    let mut scene = Scene::new().await;
    let end = scene.whole.len();
    let mut dead = scene.connect().await;
    let head =
        format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nUpload-Complete: ?1\r\nContent-Length: {end}\r\n\r\n", path_of(&scene.signed));
    dead.send(head.as_bytes()).await.unwrap();
    dead.send(&scene.whole[..500_000]).await.unwrap();
    // Its end is never heard. The statement has to be judged before there is an upload.
    let mut connection = scene.connect().await;
    let asked = std::time::Instant::now();
    while connection.head(&scene.upload()).await.status == 404 {
        assert!(asked.elapsed().as_secs() < 30, "there is no upload");
    }
    let (offset, _) = scene.state(&mut connection).await;
    assert!((scene.prefix..=500_000).contains(&offset));
    let answer = scene.append(&mut connection, offset, end, "?1").await;
    answer.admitted(201, &scene.world.anchor, &mut scene.camera, &scene.signed);
    let stopped = dead.answer().await.unwrap();
    assert_eq!((stopped.status, stopped.kind().as_str()), (408, "timed-out"), "two requests sent one upload");
    assert!(stopped.closes());
    assert_eq!(stopped.headers["upload-complete"], "?0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_only_as_it_is() {
    let scene = Scene::new().await;
    let (size, end, prefix) = (scene.world.size(), scene.whole.len(), scene.prefix);
    let mut connection = scene.connect().await;
    let middle = prefix + 1000;
    assert_eq!(scene.begin(&mut connection, middle).await.status, 201);

    for wrong in [middle - 1, middle + 1, 0] {
        let answer = scene.append(&mut connection, wrong, end, "?1").await;
        assert_eq!((answer.status, answer.headers["upload-offset"].clone()), (409, middle.to_string()), "offset {wrong}");
        assert_eq!(answer.headers["upload-complete"], "?0");
        let problem: serde_json::Value = answer.json();
        assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#mismatching-upload-offset");
        assert_eq!((problem["expected-offset"].as_u64(), problem["provided-offset"].as_u64()), (Some(middle as u64), Some(wrong as u64)));
        connection = scene.connect().await;
    }
    let good = format!("Upload-Offset: {middle}\r\nContent-Type: application/partial-upload\r\n");
    let rest = end - middle;
    let lengths = [
        ("less than is missing, as if all", format!("{good}Upload-Complete: ?1\r\nContent-Length: {}\r\n", rest - 1)),
        ("more than was signed", format!("{good}Upload-Complete: ?1\r\nContent-Length: {}\r\n", rest + 1)),
        ("more than was signed, in a part", format!("{good}Upload-Complete: ?0\r\nContent-Length: {}\r\n", rest + 1)),
        ("another Upload-Length", format!("{good}Upload-Complete: ?1\r\nContent-Length: {rest}\r\nUpload-Length: {}\r\n", end + 1)),
    ];
    for (defect, headers) in lengths {
        let answer = patch(&mut scene.connect().await, &scene.upload(), &headers, &[]).await;
        assert_eq!((answer.status, answer.headers["upload-complete"].as_str()), (400, "?0"), "{defect}");
        let problem: Problem = answer.json();
        assert_eq!(problem.kind, "https://iana.org/assignments/http-problem-types#inconsistent-upload-length", "{defect}");
    }
    let forms = [
        ("no Upload-Offset", 400, format!("Content-Type: application/partial-upload\r\nUpload-Complete: ?1\r\nContent-Length: {rest}\r\n")),
        ("no Upload-Complete", 400, format!("{good}Content-Length: {rest}\r\n")),
        ("another media type", 415, format!("Upload-Offset: {middle}\r\nUpload-Complete: ?1\r\nContent-Length: {rest}\r\n")),
        ("a content coding", 415, format!("{good}Upload-Complete: ?1\r\nContent-Encoding: gzip\r\nContent-Length: {rest}\r\n")),
        ("chunked", 400, format!("{good}Upload-Complete: ?1\r\nTransfer-Encoding: chunked\r\n")),
    ];
    for (defect, status, headers) in forms {
        let answer = patch(&mut scene.connect().await, &scene.upload(), &headers, &[]).await;
        assert_eq!(answer.status, status, "{defect}: {answer:?}");
    }
    // None of this has changed anything.
    assert_eq!(scene.state(&mut scene.connect().await).await, (middle, "?0".to_owned()));
    assert_eq!(scene.world.size(), size);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_sees_or_changes_an_upload() {
    let mut scene = Scene::new().await;
    let other = scene.world.pki.party("camera/103", &[Role::Camera], KeyPurpose::Signing);
    scene.world.introduce(&other.certificate).await;
    let end = scene.whole.len();
    let mut connection = scene.connect().await;
    assert_eq!(scene.begin(&mut connection, scene.prefix + 10).await.status, 201);
    for party in [&other, &scene.world.custodian, &scene.world.auditor] {
        let mut stranger = scene.world.connect(party).await;
        scene.demand_gone(&mut stranger).await;
        stranger.send(format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\n\r\n", scene.upload()).as_bytes()).await.unwrap();
        assert_eq!(stranger.answer().await.unwrap().status, 404);
        assert_eq!(scene.append(&mut stranger, scene.prefix + 10, end, "?1").await.status, 404);
    }
    let answer = scene.append(&mut connection, scene.prefix + 10, end, "?1").await;
    answer.admitted(201, &scene.world.anchor, &mut scene.camera, &scene.signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lay_on_the_disk_meanwhile_is_not_believed() {
    let mut scene = Scene::new().await;
    let (size, end, middle) = (scene.world.size(), scene.whole.len(), scene.prefix + 500_000);
    for defect in ["changed", "shorter", "longer"] {
        let mut connection = scene.connect().await;
        assert_eq!(scene.begin(&mut connection, middle).await.status, 201);
        let [file] = &scene.staged_files()[..] else { panic!("one upload has one file") };
        let mut bytes = std::fs::read(file).unwrap();
        match defect {
            "changed" => bytes[1234] ^= 1,
            "shorter" => bytes.truncate(499_999),
            // What is behind the part is written over, but for what is behind the whole.
            _ => bytes.resize(2_000_000, 0),
        }
        // The same file, as whoever has the disk would change it.
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).truncate(true).open(file).unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let answer = scene.append(&mut connection, middle, end, "?1").await;
        assert_eq!((answer.status, answer.kind().as_str()), (422, "payload"), "{defect}");
        assert_eq!(answer.headers["upload-complete"], "?1", "{defect}: to go on would not help");
        assert_eq!(scene.world.size(), size, "{defect}: what was not signed was admitted");
        scene.demand_gone(&mut scene.connect().await).await;
        assert!(scene.staged_files().is_empty(), "{defect}: a file is left");
    }
    let payload = scene.whole[scene.prefix..].to_vec();
    let answer = scene.connect().await.put(&scene.signed, &[], &payload).await;
    answer.admitted(201, &scene.world.anchor, &mut scene.camera, &scene.signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_otherwise_is_told_when_all_is_there() {
    let mut scene = Scene::new().await;
    let (size, end, middle) = (scene.world.size(), scene.whole.len(), scene.prefix + 500_000);
    scene.whole[scene.prefix + 700_000] ^= 1;
    let mut connection = scene.connect().await;
    assert_eq!(scene.begin(&mut connection, middle).await.status, 201);
    let answer = scene.append(&mut connection, middle, end, "?1").await;
    assert_eq!((answer.status, answer.kind().as_str()), (422, "payload"));
    assert_eq!(scene.world.size(), size);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_judged_again_when_it_goes_on() {
    let mut scene = Scene::new().await;
    let (end, middle) = (scene.whole.len(), scene.prefix + 10);
    let mut connection = scene.connect().await;
    assert_eq!(scene.begin(&mut connection, middle).await.status, 201);
    // Its place is taken meanwhile.
    let (body, payload) = segment(&scene.camera.stream, 1, 2, &[2; 1000]);
    let rival = scene.camera.next(body);
    let mut ahead = scene.camera.clone();
    scene.connect().await.put(&rival, &[], &payload).await.admitted(201, &scene.world.anchor, &mut ahead, &rival);
    let answer = scene.append(&mut connection, middle, end, "?1").await;
    assert_eq!((answer.status, answer.kind().as_str()), (409, "contradiction"));
    assert_eq!(answer.headers["upload-complete"], "?1");
    scene.demand_gone(&mut scene.connect().await).await;

    // Whoever may send no more does not end what was begun before.
    let (body, payload) = segment(&ahead.stream, 2, 4, &[3; 1000]);
    scene.signed = ahead.next(body);
    let prefix = intake_prefix(scene.signed.der(), &[]);
    (scene.prefix, scene.whole) = (prefix.len(), [prefix, payload].concat());
    let mut connection = scene.connect().await;
    assert_eq!(scene.begin(&mut connection, scene.prefix).await.status, 201);
    scene.world.ahead_ms.store(400 * DAY_MS, std::sync::atomic::Ordering::Relaxed);
    let answer = scene.append(&mut connection, scene.prefix, scene.whole.len(), "?1").await;
    assert_eq!((answer.status, answer.kind().as_str()), (403, "certificate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revoked_certificate_has_signed_does_not_go_on() {
    let mut scene = Scene::new().await;
    let (size, middle) = (scene.world.size(), scene.prefix + 10);
    // The same camera has another certificate by now, whose connection counts: what was signed by the other is judged by itself.
    let renewed = scene.world.pki.party("camera/102", &[Role::Camera], KeyPurpose::Signing);
    scene.world.introduce(&renewed.certificate).await;
    assert_eq!(scene.begin(&mut scene.connect().await, middle).await.status, 201);
    let since = scene.signed.statement().issued;
    let body =
        CertificateRevocation { fingerprint: *scene.world.camera.certificate.fingerprint(), since, reason: None, attachments: vec![] };
    let writer = Writer::new(scene.world.authority.party.clone(), "authority/1/20261121T115958Z", &scene.world.anchor);
    let revocation = writer.next(Body::CertificateRevocation(body));
    assert_eq!(scene.world.connect(&writer.party).await.put(&revocation, &[], &[]).await.status, 201);
    let mut connection = scene.world.connect(&renewed).await;
    let answer = scene.append(&mut connection, middle, scene.whole.len(), "?1").await;
    assert_eq!((answer.status, answer.kind().as_str(), answer.headers["upload-complete"].as_str()), (403, "certificate", "?1"));
    scene.demand_gone(&mut scene.world.connect(&renewed).await).await;
    assert_eq!(scene.world.size(), size + 2, "what a revoked certificate has signed was admitted");
    assert!(scene.staged_files().is_empty(), "a file is left");
}

/// `Upload-Complete` of a refusal says whether something is there to go on with.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_is_true_of_the_upload() {
    let mut scene = Scene::new().await;
    let (end, middle) = (scene.whole.len(), scene.prefix + 1000);
    assert_eq!(scene.begin(&mut scene.connect().await, middle).await.status, 201);
    let good = format!("Upload-Offset: {middle}\r\nContent-Type: application/partial-upload\r\nUpload-Complete: ?1\r\n");
    let kept = [
        (400, good.replace("Upload-Offset", "X")),
        (415, good.replace("application/partial-upload", "application/octet-stream")),
        (415, format!("{good}Content-Encoding: gzip\r\n")),
    ];
    for (status, headers) in kept {
        let headers = format!("{headers}Content-Length: {}\r\n", end - middle);
        let answer = patch(&mut scene.connect().await, &scene.upload(), &headers, &[]).await;
        assert_eq!((answer.status, answer.headers["upload-complete"].as_str()), (status, "?0"), "{headers}");
        assert_eq!(scene.state(&mut scene.connect().await).await.0, middle);
    }
    // While all places for uploads are taken, nothing is lost: neither to who goes on nor to who begins anew.
    let uploads = &scene.world.running.appliance.uploads;
    let places: Vec<_> = (0..).map_while(|number: u32| uploads.take(&number.to_string()).ok()).collect();
    let answer = scene.append(&mut scene.connect().await, middle, end, "?1").await;
    assert_eq!((answer.status, answer.headers["upload-complete"].as_str()), (503, "?0"));
    let answer = scene.begin(&mut scene.connect().await, middle).await;
    assert_eq!((answer.status, answer.headers["upload-complete"].as_str()), (503, "?0"));
    drop(places);
    // What is not there can not be gone on with.
    let nothing = format!("/v1/uploads/{}", "0".repeat(64));
    let headers = format!("{good}Content-Length: {}\r\n", end - middle);
    let answer = patch(&mut scene.connect().await, &nothing, &headers, &[]).await;
    assert_eq!((answer.status, answer.headers["upload-complete"].as_str()), (404, "?1"));
    let wrong = [&scene.whole[..scene.prefix - 5], &[0; 5]].concat();
    let headers = format!("Upload-Complete: ?1\r\nContent-Length: {}\r\n", wrong.len());
    let answer = scene.connect().await.put_raw(&path_of(&scene.signed), &headers, &wrong).await;
    assert!(answer.status >= 400 && answer.headers["upload-complete"] == "?0", "the upload of this statement is there: {answer:?}");
    let answer = scene.append(&mut scene.connect().await, middle, end, "?1").await;
    answer.admitted(201, &scene.world.anchor, &mut scene.camera, &scene.signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_whole_by_another_way_is_kept_no_longer() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.begin(&mut scene.connect().await, scene.prefix + 1000).await.status, 201);
    // A sender that does not wish to go on: this upload has no name.
    let payload = scene.whole[scene.prefix..].to_vec();
    scene.connect().await.put(&scene.signed, &[], &payload).await.admitted(201, &scene.world.anchor, &mut scene.camera, &scene.signed);
    let headers = format!("Upload-Complete: ?1\r\nContent-Length: {}\r\n", scene.whole.len());
    let again = scene.connect().await.put_raw(&path_of(&scene.signed), &headers, &scene.whole).await;
    assert_eq!((again.status, again.headers["upload-complete"].as_str()), (200, "?1"));
    assert_eq!(scene.state(&mut scene.connect().await).await, (scene.whole.len(), "?1".to_owned()));
    assert!(scene.staged_files().is_empty(), "a file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_dropped_when_its_sender_says_so_and_when_the_appliance_ends() {
    let mut scene = Scene::new().await;
    let mut connection = scene.connect().await;
    assert_eq!(scene.begin(&mut connection, scene.prefix + 10).await.status, 201);
    connection.send(format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\n\r\n", scene.upload()).as_bytes()).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 204);
    scene.demand_gone(&mut connection).await;
    assert!(scene.staged_files().is_empty(), "a file is left");

    assert_eq!(scene.begin(&mut connection, scene.prefix + 10).await.status, 201);
    drop(connection);
    scene.world = scene.world.restart().await;
    scene.demand_gone(&mut scene.connect().await).await;
    assert!(scene.staged_files().is_empty(), "a file is left");
    let payload = scene.whole[scene.prefix..].to_vec();
    let answer = scene.connect().await.put(&scene.signed, &[], &payload).await;
    answer.admitted(201, &scene.world.anchor, &mut scene.camera, &scene.signed);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wishes_to_keep_more_than_there_is_room_for_is_told() {
    let scene = Scene::with("staging_sender_mib = 0\n").await;
    let mut connection = scene.connect().await;
    let answer = scene.begin(&mut connection, scene.prefix + 10).await;
    assert_eq!((answer.status, answer.kind().as_str()), (507, "storage"));
    assert!(scene.staged_files().is_empty(), "a file is left");
    // Whole it is taken, as ever.
    let headers = format!("Upload-Complete: ?1\r\nContent-Length: {}\r\n", scene.whole.len());
    let answer = scene.connect().await.put_raw(&path_of(&scene.signed), &headers, &scene.whole).await;
    assert_eq!((answer.status, answer.headers["upload-complete"].as_str()), (201, "?1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_other_things_than_payloads_come_whole() {
    let scene = Scene::new().await;
    let close = scene
        .camera
        .next(Body::Close(exhibit_evidence::body::Close { reason: exhibit_evidence::body::CloseReason::Stop, attachments: vec![] }));
    let body = intake_prefix(close.der(), &[]);
    let headers = format!("Upload-Complete: ?0\r\nContent-Length: {}\r\n", body.len());
    let answer = scene.connect().await.put_raw(&path_of(&close), &headers, &body).await;
    assert_eq!((answer.status, answer.headers["upload-complete"].as_str()), (201, "?1"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_uploads_are_told_before() {
    let scene = Scene::with("staging_s = 1234\n").await;
    let mut connection = scene.connect().await;
    connection.send(format!("OPTIONS {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path_of(&scene.signed)).as_bytes()).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, answer.headers["upload-limit"].as_str()), (204, "max-age=1234"));
    assert_eq!(answer.headers["accept-patch"], "application/partial-upload");
}
