//! Who gets ciphertext, and what becomes of ciphertext that was damaged where it lies.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use exhibit_client::{Appliance, Issuer};
use exhibit_e2e::{
    agent::Told,
    oracle::{self, Case, Report},
    site::{FRAGMENTS, Site, refusal},
    world::{Person, World, now},
};
use exhibit_evidence::{
    Body, Head, SignedStatement,
    body::{Fetch, SeqRange},
    exchange::EntryRecord,
};
use exhibit_tlog::Hash;

/// Four segments, ten seconds apart: seq 1 to 4 in slots 0, 10, 20, 30.
async fn record_four(site: &mut Site) -> Vec<SignedStatement> {
    let mut recorded = Vec::new();
    for slot in [0, 10, 20, 30] {
        recorded.push(site.camera.record(&mut site.link, slot, &FRAGMENTS).await);
    }
    recorded
}

/// Somebody who signs fetches.
struct Requester {
    person: Person,
    issuer: Issuer,
    link: Appliance,
}

impl Requester {
    fn new(world: &World, name: &str, role: &str) -> Self {
        let person = world.person(name, role);
        let issuer = Issuer::open(&person.folder, &person.subject, person.identity(), world.anchor().log, now()).unwrap();
        let link = person.connect(world);
        Self { person, issuer, link }
    }

    /// Puts a `fetch` of some segments of the site's camera on the ledger.
    async fn fetch(&mut self, site: &Site, grant: Option<Hash>, first: u64, last: u64) -> Hash {
        let ranges = vec![SeqRange { stream: site.camera.stream.clone(), first, last }];
        let body = Body::Fetch(Fetch { grant, ranges, attachments: vec![] });
        self.issuer.issue(&mut self.link, body, &[], now()).await.unwrap().0.leaf_hash()
    }

    /// Asks for the ciphertext of a segment on the strength of a fetch.
    async fn payload(&mut self, site: &Site, seq: u64, fetch: &Hash) -> Result<Vec<u8>, exhibit_client::ClientError> {
        self.link.get_bytes(&format!("/v1/payloads/{}/{seq}?fetch={fetch}", site.camera.stream), 1 << 20).await
    }
}

/// Has the custodian grant slots 10 to 21 (seq 2 and 3) to somebody.
fn share(site: &Site, to: &Person, more: &[&str]) -> Hash {
    let at = |second: u64| site.camera.started.checked_add_ms(second * 1_000).unwrap().to_string();
    let grantee = to.path("wrapping.pem");
    let words = ["share", "--scope", "camera/102", "--from", &at(10), "--to", &at(22), "--grantee", &grantee];
    Hash::from_hex(&site.world.exhibit(&site.custodian, &[&words[..], more].concat()).expect(0).text("grant")).unwrap()
}

/// What the appliance put on its ledger about serving, at an index.
async fn access_at(auditor: &mut Requester, index: u64) -> (Hash, bool) {
    let record: EntryRecord = auditor.link.get_json(&format!("/v1/index/{index}")).await.unwrap();
    let (entry, _) = auditor.link.open_record(&record).unwrap();
    match &entry.statement().body {
        Body::Access(access) => (access.fetch, access.granted),
        other => panic!("entry {index} is {}, and nothing says who was served", other.type_name()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ciphertext_is_had_by_right_only_and_every_attempt_is_on_the_ledger() {
    let mut site = Site::start().await;
    record_four(&mut site).await;
    let mut investigator = Requester::new(&site.world, "investigator", "investigator");
    let mut other = Requester::new(&site.world, "other", "investigator");
    let mut auditor = Requester::new(&site.world, "auditor", "auditor");
    let grant = share(&site, &investigator.person, &[]);
    let expired = share(&site, &investigator.person, &["--expires", &now().to_string()]);

    // What is granted is served, and said once, before the first byte.
    let fetch = investigator.fetch(&site, Some(grant), 2, 3).await;
    let before = site.size().await;
    for seq in [2, 3, 2] {
        let ciphertext = investigator.payload(&site, seq, &fetch).await.unwrap();
        assert_eq!(ciphertext.len(), 5_000 + 3_000 + 100 + 3 * 16);
    }
    assert_eq!(site.size().await, before + 1, "serving is stated once for each fetch");
    assert_eq!(access_at(&mut auditor, before).await, (fetch, true));

    // Each refused, and the refusal is on the ledger once, however often it is asked.
    let cases = [
        ("no grant", investigator.fetch(&site, None, 2, 3).await, 2),
        ("an expired grant", investigator.fetch(&site, Some(expired), 2, 3).await, 2),
        ("a segment outside the grant", investigator.fetch(&site, Some(grant), 1, 4).await, 4),
        ("a segment before the grant", investigator.fetch(&site, Some(grant), 1, 1).await, 1),
        ("a segment outside the fetch", investigator.fetch(&site, Some(grant), 2, 2).await, 3),
    ];
    for (what, fetch, seq) in cases {
        let before = site.size().await;
        for _ in 0..2 {
            let problem = refusal(investigator.payload(&site, seq, &fetch).await);
            site.demand(what, &problem, "forbidden", 403);
        }
        assert_eq!(site.size().await, before + 1, "{what}: a refusal is stated once");
        assert_eq!(access_at(&mut auditor, before).await, (fetch, false), "{what}");
    }
    let others = other.fetch(&site, Some(grant), 2, 3).await;
    let before = site.size().await;
    let problem = refusal(other.payload(&site, 2, &others).await);
    site.demand("a grant to somebody else", &problem, "forbidden", 403);
    assert_eq!(site.size().await, before + 1);

    // A fetch that is not the asker's own is refused, and says nothing against its issuer.
    let before = site.size().await;
    let problem = refusal(other.payload(&site, 2, &fetch).await);
    site.demand("somebody else's fetch", &problem, "forbidden", 403);
    let problem = refusal(other.payload(&site, 2, &grant).await);
    site.demand("a grant in a fetch's place", &problem, "forbidden", 403);
    let problem = refusal(other.link.get_bytes(&format!("/v1/payloads/{}/2", site.camera.stream), 1 << 20).await);
    assert!((400..500).contains(&problem.status), "no fetch: {problem:?}");
    // The keys of a grant are its grantee's.
    let (entry, _) = investigator.link.entry(&grant).await.unwrap();
    let wraps = entry.statement().body.attachment("wraps").unwrap().clone();
    investigator.link.attachment(&wraps).await.unwrap();
    let problem = refusal(other.link.attachment(&wraps).await);
    site.demand("the keys of somebody else's grant", &problem, "forbidden", 403);
    site.demand_unchanged("what nobody has a right to", before).await;

    // A fetch on a grant that is not on the ledger takes no place there.
    let ranges = vec![SeqRange { stream: site.camera.stream.clone(), first: 2, last: 2 }];
    let body = Body::Fetch(Fetch { grant: Some(Hash([3; 32])), ranges, attachments: vec![] });
    let issued = other.issuer.issue(&mut other.link, body, &[], now()).await;
    assert!(issued.is_err(), "a fetch rests on a grant that nobody gave");
    site.demand_unchanged("a fetch without its grant", before).await;
    // Auditors see everything but evidence.
    let ranges = vec![SeqRange { stream: site.camera.stream.clone(), first: 2, last: 2 }];
    let body = Body::Fetch(Fetch { grant: None, ranges, attachments: vec![] });
    assert!(auditor.issuer.issue(&mut auditor.link, body, &[], now()).await.is_err(), "an auditor fetched");
    site.demand_unchanged("an auditor's fetch", before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_changed_at_rest_is_found_and_named() {
    let mut site = Site::start().await;
    let recorded = record_four(&mut site).await;
    let auditor = site.world.person("auditor", "auditor");
    let good = judge(&site, &auditor).unwrap();
    let expected =
        Report { segments: 4, fragments: 12, bytes: 4 * 8_100, entries: good.entries, streams: good.streams, ..Report::default() };
    assert_eq!(good, expected, "the oracle has judged something else than was recorded");

    // The second fragment of segment 3.
    let (path, whole) = vault_file(&site, &recorded[2]);
    let mut damaged = whole.clone();
    damaged[5_016 + 1_500] ^= 0x40;
    fs::write(&path, &damaged).unwrap();
    let at = |second: u64| site.camera.started.checked_add_ms(second * 1_000).unwrap().to_string();
    let fetch = |out: &str| {
        let out = site.world.folder().join(out);
        let words = ["fetch", "--series", "camera/102/main", "--from", &at(0), "--to", &at(40), "--out", out.to_str().unwrap()];
        site.world.exhibit(&site.custodian, &words)
    };
    let found = fetch("case-damaged").expect(1);
    let named: Vec<String> = found.json()["damaged"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    assert_eq!(named.len(), 1, "one fragment was damaged: {named:?}");
    // 2 s in three fragments: the second begins after 666 ms.
    let second = site.camera.started.checked_add_ms(20_000 + 666).unwrap().to_string();
    for words in ["segment 3", "fragment 1", &second, site.camera.stream.as_str()] {
        assert!(named[0].contains(words), "the finding does not name {words}: {named:?}");
    }
    assert_eq!(found.json()["segments"], 3, "the other segments are kept");
    assert!(found.stderr.contains("fragment 1"), "people are told too: {}", found.stderr);
    assert!(judge(&site, &auditor).unwrap_err().contains("was changed"), "the oracle does not see a changed byte");

    // Shorter, and gone: told apart from changed, and never passed over.
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_ne!(fetch("case-short").code, Some(0));
    judge(&site, &auditor).unwrap_err();
    fs::remove_file(&path).unwrap();
    assert_ne!(fetch("case-gone").code, Some(0));
    assert!(judge(&site, &auditor).unwrap_err().contains("is lost"), "the oracle does not see a lost payload");

    fs::write(&path, &whole).unwrap();
    assert_eq!(fetch("case-good").expect(0).json()["segments"], 4);
    assert_eq!(judge(&site, &auditor).unwrap().segments, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oracle_sees_a_log_that_lost_or_changed_what_it_promised() {
    let mut site = Site::start().await;
    let recorded = record_four(&mut site).await;
    let auditor = site.world.person("auditor", "auditor");
    let (stream, seq) = (site.camera.stream.to_string(), recorded[1].statement().seq);
    let head = site.camera.observed;
    // The second of the four, which are the last of the log.
    let told = Told { stream, seq, index: head.size - 3 };
    judge_with(&site, &auditor, std::slice::from_ref(&told), &[head]).unwrap();

    let elsewhere = Told { index: told.index + 1, ..told.clone() };
    assert!(judge_with(&site, &auditor, &[elsewhere], &[]).unwrap_err().contains("told to be on the ledger"));
    let lost = Told { index: 1_000_000, ..told };
    assert!(judge_with(&site, &auditor, &[lost], &[]).unwrap_err().contains("told to be on the ledger"));
    let forked = Head { root: Hash([5; 32]), ..head };
    assert!(judge_with(&site, &auditor, &[], &[forked]).unwrap_err().contains("not a part of this one"));
    let truncated = Head { size: 1_000_000, ..head };
    assert!(judge_with(&site, &auditor, &[], &[truncated]).unwrap_err().contains("entries were lost"));
}

/// The oracle's report, or the harm that it names.
fn judge(site: &Site, auditor: &Person) -> Result<Report, String> {
    judge_with(site, auditor, &[], &[])
}

fn judge_with(site: &Site, auditor: &Person, told: &[Told], remembered: &[Head]) -> Result<Report, String> {
    let case = Case { world: &site.world, auditor, custodian: &site.custodian, cameras: &[], told, remembered };
    let judge = || tokio::runtime::Handle::current().block_on(oracle::judge(&case));
    catch_unwind(AssertUnwindSafe(|| tokio::task::block_in_place(judge))).map_err(|harm| match harm.downcast::<String>() {
        Ok(harm) => *harm,
        Err(other) => other.downcast::<&str>().map_or_else(|_| "a harm without a name".to_owned(), |harm| (*harm).to_owned()),
    })
}

/// Where the appliance keeps the ciphertext of a segment: the only file with these bytes.
fn vault_file(site: &Site, segment: &SignedStatement) -> (PathBuf, Vec<u8>) {
    let Body::Segment(stated) = &segment.statement().body else { panic!("a segment was recorded") };
    let mut waiting = vec![site.world.state().join("vault")];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let mut checker = exhibit_evidence::segment::CiphertextChecker::new(stated);
            checker.update(&bytes);
            if checker.finish().is_ok() {
                return (path, bytes);
            }
        }
    }
    panic!("the vault does not have the ciphertext of segment {}", segment.statement().seq)
}
