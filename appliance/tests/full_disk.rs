//! A small disk of its own (tmpfs) that cameras fill: they are told to keep what they have, and reading, accesses, people and starts go on.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::small_disk::{fill, free, on_a_small_disk};
use common::*;
use exhibit_evidence::exchange::intake_prefix;
use exhibit_evidence::{AttachmentRef, Body, body};
use exhibit_tlog::Hash;

/// The database sets aside 70 MiB for its log.
const DISK_MIB: u64 = 256;
const RESERVE: &str = "disk_reserve_mib = 64\n";
const MIB: u64 = 1024 * 1024;

struct Bench {
    world: World,
    camera: Writer,
    custodian: Writer,
    fetches: Writer,
}

impl Bench {
    async fn segment(&mut self, length: usize) -> Answer {
        let (seq, slot) = (self.camera.seq, 2 * self.camera.seq as u32);
        let (body, payload) = segment(&self.camera.stream, seq, slot, &vec![seq as u8; length]);
        let signed = self.camera.next(body);
        let answer = self.world.connect(&self.world.camera).await.put(&signed, &[], &payload).await;
        if answer.status == 201 {
            answer.admitted(201, &self.world.anchor, &mut self.camera, &signed);
        }
        answer
    }

    async fn fetch(&mut self, seq: u64) -> (Answer, Hash) {
        let ranges = vec![body::SeqRange { stream: self.camera.stream.clone(), first: seq, last: seq }];
        let purpose = AttachmentRef::erasable_bytes(&[8; 32], b"case 17");
        let attachments = vec![AttachmentRef::of("purpose", &purpose, true)];
        let signed = self.fetches.next(Body::Fetch(body::Fetch { grant: None, ranges, attachments }));
        let answer = self.world.connect(&self.world.custodian).await.put(&signed, &[&purpose], &[]).await;
        if answer.status == 201 {
            answer.admitted(201, &self.world.anchor, &mut self.fetches, &signed);
        }
        (answer, signed.leaf_hash())
    }

    async fn payload(&self, seq: u64, fetch: Hash) -> Answer {
        let path = format!("/v1/payloads/{}/{seq}?fetch={fetch}", self.camera.stream);
        self.world.connect(&self.world.custodian).await.get(&path).await
    }

    fn assert_alive(&self) {
        assert_eq!(*self.world.fatal.lock().unwrap(), [""; 0], "a full disk ended the appliance");
    }
}

#[test]
fn a_disk_that_cameras_fill_can_still_be_read_and_started_on() {
    on_a_small_disk("a_disk_that_cameras_fill_can_still_be_read_and_started_on", DISK_MIB, on_the_small_disk());
}

async fn on_the_small_disk() {
    let world = World::with(RESERVE).await;
    let disk = world.folder.path().parent().unwrap().to_owned();
    assert!(free(&disk) < DISK_MIB * MIB, "this is not the small disk");
    let (custodian, recipients) = world.set_recipients().await;
    let camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let fetches = Writer::new(world.custodian.clone(), "user/k/20261121T115958Z", &world.anchor);
    let mut bench = Bench { world, camera, custodian, fetches };

    // Cameras, until there is no room for them.
    let others = disk.join("others");
    fill(&others, free(&disk).saturating_sub(80 * MIB));
    let mut taken = 0;
    let refused = loop {
        let answer = bench.segment(4 * MIB as usize).await;
        if answer.status != 201 {
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "a full disk takes everything");
    };
    assert_eq!((refused.status, refused.kind().as_str()), (507, "storage"));
    assert!(taken > 0 && free(&disk) >= 64 * MIB, "{} are left of the reserve", free(&disk));

    // People and accesses go on, before and after a start.
    let (stated, fetch) = bench.fetch(1).await;
    assert_eq!(stated.status, 201, "{stated:?}");
    let size = bench.world.size();
    assert_eq!(bench.payload(1, fetch).await.status, 200, "a full disk can not be read");
    assert_eq!(bench.world.size(), size + 1, "the access is not on the ledger");
    bench.assert_alive();
    bench.world = bench.world.restart().await;
    assert_eq!(bench.payload(1, fetch).await.status, 200);
    assert_eq!(bench.segment(4 * MIB as usize).await.status, 507);

    // Others take what was kept: nothing is put on the ledger any more, and what needs no entry is served.
    let before = bench.world.size();
    // While it is stopped: the database gives back what it had set aside for its log.
    bench.world = bench.world.restart_after(|_| fill(&disk.join("more"), free(&disk).saturating_sub(20 * MIB))).await;
    assert_eq!(bench.world.size(), before, "a start took of what is the database's");
    assert_eq!(bench.payload(1, fetch).await.status, 200, "what was granted and logged is not served");
    assert_eq!(bench.fetch(2).await.0.status, 507);
    let unlogged = bench.payload(2, fetch).await;
    assert_eq!((unlogged.status, unlogged.kind().as_str()), (507, "storage"), "a denial that is not on the ledger");
    assert_eq!(bench.world.size(), before);
    bench.assert_alive();

    // With room again all goes on where it was.
    std::fs::remove_file(disk.join("more")).unwrap();
    std::fs::remove_file(others).unwrap();
    assert_eq!(bench.segment(4 * MIB as usize).await.status, 201);
    assert_eq!(bench.payload(2, fetch).await.status, 403);
    let (stated, fetch) = bench.fetch(2).await;
    assert_eq!(stated.status, 201);
    assert_eq!(bench.payload(2, fetch).await.status, 200);
    let revoked = bench.custodian.next(Body::Recipients(bench.world.recipients(2, Some(bench.custodian.prev))));
    assert_eq!(bench.world.connect(&bench.world.custodian).await.put(&revoked, &[], &[]).await.status, 201);
    bench.assert_alive();
}

#[test]
fn what_is_kept_of_uploads_makes_room_and_a_disk_that_fills_in_the_middle_keeps_nothing() {
    on_a_small_disk(
        "what_is_kept_of_uploads_makes_room_and_a_disk_that_fills_in_the_middle_keeps_nothing",
        DISK_MIB,
        parts_on_the_small_disk(),
    );
}

async fn parts_on_the_small_disk() {
    let world = World::with(RESERVE).await;
    let disk = world.folder.path().parent().unwrap().to_owned();
    let staging = world.folder.path().join("state/vault/staging");
    let staged = || std::fs::read_dir(&staging).unwrap().count();
    let (_, recipients) = world.set_recipients().await;
    let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
    let mut live = world.begin_epoch("20261121T115958Z", recipients).await;
    let (body, payload) = segment(&camera.stream, 1, 2, &vec![1; 7 << 20]);
    let signed = camera.next(body);
    let prefix = intake_prefix(signed.der(), &[]);
    let whole = [prefix.clone(), payload.clone()].concat();
    let upload = format!("/v1/uploads/{}", signed.statement_hash());
    let begin = async |bytes: usize| {
        let headers = format!("Upload-Complete: ?0\r\nContent-Length: {bytes}\r\n");
        let begun = world.connect(&world.camera).await.put_raw(&path_of(&signed), &headers, &whole[..bytes]).await;
        assert_eq!(begun.status, 201, "{begun:?}");
    };

    // Half of a segment is kept, and then a whole one comes for which there is no room but that.
    begin(prefix.len() + (6 << 20)).await;
    let others = disk.join("others");
    fill(&others, free(&disk).saturating_sub(67 * MIB));
    let (body, small) = segment(&live.stream, 1, 2, &vec![2; 4 << 20]);
    let whole_one = live.next(body);
    let answer = world.connect(&world.camera).await.put(&whole_one, &[], &small).await;
    answer.admitted(201, &world.anchor, &mut live, &whole_one);
    assert_eq!(world.connect(&world.camera).await.head(&upload).await.status, 404, "halves of segments hold the room");
    assert_eq!(staged(), 0, "a file is left");
    std::fs::remove_file(&others).unwrap();

    // The disk fills while more of an upload is being written.
    let middle = prefix.len() + (1 << 20);
    begin(middle).await;
    let size = world.size();
    let mut connection = world.connect(&world.camera).await;
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nHost: localhost\r\nUpload-Complete: ?1\r\nUpload-Offset: {middle}\r\nExpect: 100-continue\r\n\
         Content-Type: application/partial-upload\r\nContent-Length: {}\r\n\r\n",
        whole.len() - middle
    );
    connection.send(head.as_bytes()).await.unwrap();
    connection.expect_continue().await;
    fill(&others, free(&disk) - MIB / 4);
    // It may be answered before it has read everything.
    let _ = connection.send(&whole[middle..]).await;
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, answer.kind().as_str(), answer.headers["upload-complete"].as_str()), (507, "storage", "?1"));
    assert_eq!((world.size(), staged()), (size, 0), "what could not be written was admitted, or takes room");
    assert_eq!(world.connect(&world.camera).await.head(&upload).await.status, 404);
    std::fs::remove_file(&others).unwrap();
    assert_eq!(*world.fatal.lock().unwrap(), [""; 0], "a full disk ended the appliance");
    let answer = world.connect(&world.camera).await.put(&signed, &[], &payload).await;
    answer.admitted(201, &world.anchor, &mut camera, &signed);
}
