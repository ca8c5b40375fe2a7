//! An appliance with something on its log, a backup of it and a mirror, for the tests of this folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use exhibit_appliance::chronicle::own_candidate;
use exhibit_appliance::maintain::control::ask_for_backup;
use exhibit_appliance::maintain::fsck::{CheckOptions, check};
use exhibit_appliance::maintain::place::Place;
use exhibit_appliance::maintain::restore::{RestoreError, Restored, restore};
use exhibit_appliance::setup::{Folder, now};
use exhibit_evidence::{Body, Head, SignedStatement, Statement, StreamName, body};
use exhibit_ledger::Ledger;
use exhibit_ledger::source::LedgerFolder;
use exhibit_pki::{SoftwareSigner, Timestamp};
use exhibit_tlog::tile::{BundleId, TileId, encode_bundle};
use exhibit_tlog::{Checkpoint, Ed25519NoteSigner, Hash, MlDsa44NoteSigner};
use zeroize::Zeroizing;

use crate::common::{Pki, World, segment, stop};

/// A world with two segments and a grant's worth of statements, backed up while it ran; then one segment more, and stopped.
pub struct Bench {
    pub world: World,
    pub payloads: Vec<Hash>,
}

impl Bench {
    pub async fn new() -> Self {
        let world = World::new().await;
        let (_, recipients) = world.set_recipients().await;
        revoke(&world).await;
        let mut camera = world.begin_epoch("20261120T115958Z", recipients).await;
        let mut payloads = Vec::new();
        let mut bench = Self { world, payloads: Vec::new() };
        for seq in 1..=3 {
            if seq == 3 {
                let folder = bench.folder();
                let to = bench.path("backup");
                let asked = tokio::task::spawn_blocking(move || ask_for_backup(&folder, &to)).await.unwrap();
                asked.unwrap().expect("the appliance runs").unwrap();
            }
            let (body, ciphertext) = segment(&camera.stream, seq, seq as u32, b"some video, as it were");
            let signed = camera.next(body);
            let mut connection = bench.world.connect(&bench.world.camera).await;
            let answer = connection.put(&signed, &[], &ciphertext).await;
            answer.admitted(201, &bench.world.anchor, &mut camera, &signed);
            payloads.push(signed.statement_hash());
        }
        bench.payloads = payloads;
        bench.mirror();
        bench
    }

    pub fn folder(&self) -> Folder {
        Folder::new(&self.path("state"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.world.folder.path().join(name)
    }

    /// What a mirror would hold, from the running ledger.
    pub fn mirror(&self) {
        let ledger = &self.world.running.appliance.ledger;
        let (note, head) = ledger.checkpoint().unwrap();
        let write = |name: String, bytes: &[u8]| {
            let path = self.path("mirror").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let width = u16::try_from(head.size).expect("one tile");
        let entries: Vec<Vec<u8>> = (0..head.size).map(|index| ledger.entry(index).unwrap().unwrap()).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        write(format!("tile/entries/{}", BundleId { index: 0, width }.path()), &encode_bundle(&entries).unwrap());
        let tile = TileId { level: 0, index: 0, width };
        write(format!("tile/{}", tile.path()), &ledger.tile(tile).unwrap().unwrap());
        write("checkpoint".into(), note.as_bytes());
    }

    /// States an erasure, as the appliance will once it erases.
    pub fn erase(&self, entry: Hash, name: &str, sha256: Hash) {
        let appliance = &self.world.running.appliance;
        let signed = own_statement(&self.folder(), &appliance.ledger, erasure(entry, name, sha256));
        let before = appliance.registry.stream(&signed.statement().stream).unwrap();
        appliance.ledger.append(own_candidate(&signed, before, None, vec![])).unwrap();
    }

    pub async fn stop(self) -> Stopped {
        stop(self.world.running).await;
        Stopped { pki: self.world.pki, folder: self.world.folder, payloads: self.payloads }
    }
}

/// Two words on one certificate, of which the earlier counts, whichever comes last.
async fn revoke(world: &World) {
    let mut authority = world.authority.clone();
    for since in ["2026-11-20T12:00:00.000Z", "2027-11-20T12:00:00.000Z"] {
        let since = Timestamp::parse(since).unwrap();
        let body = body::CertificateRevocation { fingerprint: [7; 32], since, reason: None, attachments: vec![] };
        let signed = authority.next(Body::CertificateRevocation(body));
        let answer = world.connect(&authority.party).await.put(&signed, &[], &[]).await;
        answer.admitted(201, &world.anchor, &mut authority, &signed);
    }
}

pub struct Stopped {
    pub pki: Pki,
    pub folder: tempfile::TempDir,
    pub payloads: Vec<Hash>,
}

impl Stopped {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn restore(&self, from: &[&str]) -> Result<Restored, RestoreError> {
        self.restore_knowing(from, &[])
    }

    pub fn restore_knowing(&self, from: &[&str], known: &[String]) -> Result<Restored, RestoreError> {
        let from: Vec<Place> = from.iter().map(|name| Place::Folder(self.path(name))).collect();
        restore(&Folder::new(&self.path("state")).lock()?, &from, known, &|_, _| {})
    }

    pub fn payload(&self, number: usize) -> PathBuf {
        let hash = self.payloads[number].to_string();
        self.path("state/vault/payloads").join(&hash[..2]).join(hash)
    }

    /// All rows of the appliance's indexes, for comparison.
    pub fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let folder = Folder::new(&self.path("state"));
        let ledger = folder.ledger(&folder.anchor().unwrap().verifier.origin, &folder.config().unwrap()).unwrap();
        ledger.annotations(b"", b"", 100_000).unwrap()
    }

    /// A checkpoint by the log's own keys.
    pub fn sign(&self, size: u64, root: Hash) -> String {
        let seed = |name: &str| {
            let mut seed = Zeroizing::new([0; 32]);
            hex::decode_to_slice(fs::read_to_string(self.path("state").join(name)).unwrap().trim(), seed.as_mut_slice()).unwrap();
            seed
        };
        let origin = "city.example/log/1";
        let ed25519 = Ed25519NoteSigner::new(origin, &seed("note-ed25519.key")).unwrap();
        let ml_dsa = MlDsa44NoteSigner::new(origin, &seed("note-ml-dsa-44.key")).unwrap();
        Checkpoint { origin: origin.to_owned(), size, root }.sign(&[&ed25519, &ml_dsa], 1_795_132_800).unwrap()
    }

    /// A next statement of the appliance, which is not on the ledger.
    pub fn own_statement(&self, ledger: &Ledger) -> SignedStatement {
        own_statement(&Folder::new(&self.path("state")), ledger, erasure(Hash([1; 32]), "nothing", Hash([2; 32])))
    }

    pub fn size(&self) -> u64 {
        LedgerFolder::open(&self.path("state/ledger")).unwrap().size().unwrap()
    }
}

pub fn found(state: &Path) -> Vec<(String, String)> {
    let stop = AtomicBool::new(false);
    let options = CheckOptions { threads: 2, bytes_per_s: None, state_file: None, progress: &|_| {}, stop: &stop };
    let report = check(&Folder::new(state), &options).unwrap();
    assert!(report.is_complete);
    report.damages.into_iter().map(|damage| (damage.part, damage.name)).collect()
}

fn erasure(entry: Hash, name: &str, sha256: Hash) -> Body {
    let erased = vec![body::Erased { entry, name: name.to_owned(), sha256 }];
    Body::Erasure(body::Erasure { erased, reason: body::ErasureReason::Policy, order: None, attachments: vec![] })
}

fn own_statement(folder: &Folder, ledger: &Ledger, body: Body) -> SignedStatement {
    let credentials = folder.credentials(now()).unwrap();
    let end = ledger.heads("appliance/", None, 1).unwrap().remove(0);
    let (_, head) = ledger.checkpoint().unwrap();
    let statement = Statement {
        log: folder.anchor().unwrap().log,
        stream: StreamName::parse(&end.stream).unwrap(),
        seq: end.next_seq,
        prev: end.leaf,
        issued: now(),
        observed: Head { size: head.size, root: head.root },
        body,
    };
    let signer = SoftwareSigner::from_pkcs8_pem(&credentials.key_pem).unwrap();
    exhibit_evidence::sign(&statement, &credentials.certificate, &signer).unwrap()
}
