//! A first run of `exhibit audit` over a large log of real signed statements, against verifying their signatures alone: how fast, in how much
//! memory, and what a run costs that finds nothing new.
//!
//! It makes the log once, in `EXHIBIT_AUDIT_LOG` or a temporary folder, of `EXHIBIT_AUDIT_ENTRIES` entries in `EXHIBIT_AUDIT_STREAMS` streams:
//!
//!     cargo bench -p exhibit-cli --bench audit
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/audit/site.rs"]
#[allow(dead_code)]
mod site;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Digest, SHA384};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use exhibit_evidence::body::{Continues, Epoch, EpochReason, Recipients, Segment};
use exhibit_evidence::{AttachmentRef, Body, Head, SignedStatement, Statement, StreamName, sign};
use exhibit_pki::{AwsLc, Certificate, PublicKey, Role, Signer, SignerError, Timestamp};
use exhibit_tlog::tile::{BundleId, TileId, encode_bundle, encode_tile};
use exhibit_tlog::{Hash, MerkleFrontier, leaf_hash, root_of};

use site::{Desk, Site, Writer, checkpoint};

/// Entries that are signed at a time, on all cores.
const CHUNK: usize = 4096;
/// Cameras; each has many streams, as one that begins an epoch a day has in months.
const CAMERAS: usize = 100;

/// A second's work for a core, or more.
const BASELINE_EACH: usize = 10_000;
/// The run that is ended in the middle; one over fewer entries has ended before.
const ENDED_AFTER: Duration = Duration::from_secs(20);
/// How often the memory of a run is looked at.
const SAMPLED_EACH: Duration = Duration::from_millis(5);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// P-384 by aws-lc.
struct Fast {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl Fast {
    fn of(writer: &Writer) -> Self {
        let public = writer.certificate.public_key().clone();
        let der = public.to_spki_der();
        let point = &der[der.len() - 97..];
        let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P384_SHA384_FIXED_SIGNING, &[writer.scalar; 48], point).unwrap();
        Self { pair, public }
    }
}

impl Signer for Fast {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let digest = Digest::import_less_safe(digest, &SHA384).map_err(|error| SignerError(error.to_string()))?;
        self.pair.sign_digest(&digest).map(|signature| signature.as_ref().to_vec()).map_err(|error| SignerError(error.to_string()))
    }
}

/// A log on disk, in the layout of tlog-tiles, that grows by whole bundles.
struct Mirror {
    folder: PathBuf,
    frontier: MerkleFrontier,
    pending: Vec<Vec<u8>>,
    /// By level: hashes of the tile at its edge, and its index.
    edges: Vec<(u64, Vec<Hash>)>,
}

impl Mirror {
    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn push(&mut self, entry: Vec<u8>) {
        let leaf = leaf_hash(&entry);
        self.frontier.push(leaf, |_, _, _| {});
        self.pending.push(entry);
        if self.pending.len() == 256 {
            self.bundle(256);
            self.pending.clear();
        }
        self.row(0, leaf);
    }

    fn bundle(&self, width: u16) {
        let entries: Vec<&[u8]> = self.pending.iter().map(Vec::as_slice).collect();
        let index = (self.frontier.size() - 1) / 256;
        self.write(&format!("tile/entries/{}", BundleId { index, width }.path()), &encode_bundle(&entries).unwrap());
    }

    fn row(&mut self, level: usize, hash: Hash) {
        if self.edges.len() == level {
            self.edges.push((0, Vec::new()));
        }
        self.edges[level].1.push(hash);
        if self.edges[level].1.len() == 256 {
            let (index, hashes) = std::mem::take(&mut self.edges[level]);
            self.edges[level].0 = index + 1;
            self.write(&format!("tile/{}", TileId { level: level as u8, index, width: 256 }.path()), &encode_tile(&hashes));
            self.row(level + 1, root_of(&hashes));
        }
    }

    fn head(&self) -> Head {
        Head { size: self.frontier.size(), root: self.frontier.root() }
    }

    /// Publishes what is there.
    fn publish(&self) {
        if !self.pending.is_empty() {
            self.bundle(self.pending.len() as u16);
        }
        for (level, (index, hashes)) in self.edges.iter().enumerate().filter(|(_, (_, hashes))| !hashes.is_empty()) {
            let id = TileId { level: level as u8, index: *index, width: hashes.len() as u16 };
            self.write(&format!("tile/{}", id.path()), &encode_tile(hashes));
        }
        self.write("checkpoint", checkpoint(self.head()).as_bytes());
    }
}

struct Camera {
    writer: Writer,
    signer: Fast,
    recipients: Hash,
    epochs: usize,
}

impl Camera {
    /// The next statement of the camera: an epoch after so many segments, in a stream of its own.
    fn next(&mut self, log: Hash, observed: Head, segments: u64) -> (Statement, Certificate) {
        if self.writer.seq > segments {
            self.epochs += 1;
            let owner = self.writer.stream.rsplit_once('/').unwrap().0.to_owned();
            self.writer.stream = format!("{owner}/{}", self.epochs);
            (self.writer.seq, self.writer.prev) = (0, Hash([0; 32]));
        }
        let body = if self.writer.seq == 0 { epoch(self.recipients) } else { segment() };
        let stream = StreamName::parse(&self.writer.stream).unwrap();
        let (seq, prev) = (self.writer.seq, self.writer.prev);
        (Statement { log, stream, seq, prev, issued: site::now(), observed, body }, self.writer.certificate.clone())
    }
}

fn epoch(recipients: Hash) -> Body {
    Body::Epoch(Epoch {
        commitment: Hash([4; 32]),
        started: site::now(),
        recipients,
        continues: Continues { reason: EpochReason::Start, previous: None },
        attachments: vec![AttachmentRef::of("wraps", &[0; 48], true)],
    })
}

fn segment() -> Body {
    Body::Segment(Segment {
        slot: 0,
        salt: [0; 16],
        start: site::now(),
        duration_ms: 1000,
        media_type: "video/mp4".to_owned(),
        random_access: true,
        fragment_lengths: vec![100_000, 100_000],
        ciphertext_root: Hash([3; 32]),
        commitment_root: Hash([4; 32]),
        attachments: vec![],
    })
}

/// Genesis, the cameras with a set of recipients each, and as many segments as it takes.
fn make(folder: &Path, entries: usize, streams: usize) -> Site {
    let mut site = Site::new();
    let mut cameras = Vec::new();
    for number in 0..CAMERAS {
        // So many keys there are in these tests; certificates differ.
        let scalar = 60 + number as u8;
        let writer = site.member(&format!("camera/{number}"), Role::Camera, scalar, &format!("camera/{number}/main/0"));
        let set = Recipients {
            scope: format!("camera/{number}"),
            number: 1,
            replaces: None,
            recipients: vec![[9; 32]],
            custodians: vec![*site.custodian.certificate.fingerprint()],
            threshold: 1,
            expires: Timestamp::from_unix_ms(site::now().unix_ms() + 86_400_000).unwrap(),
            attachments: vec![],
        };
        let recipients = site.by_custodian(Body::Recipients(set));
        cameras.push(Camera { signer: Fast::of(&writer), writer, recipients, epochs: 0 });
    }
    let mut mirror = Mirror { folder: folder.to_owned(), frontier: MerkleFrontier::default(), pending: Vec::new(), edges: Vec::new() };
    site.entries.drain(..).for_each(|entry| mirror.push(entry));
    for (sha256, der) in &site.certificates {
        mirror.write(&format!("attachments/{sha256}"), der);
    }
    let segments = (entries / streams).saturating_sub(2).max(1) as u64;
    let mut made = 0;
    while made < entries {
        let observed = mirror.head();
        // Statements of one camera hang on each other, so that each camera is one thread's.
        let rounds = (CHUNK / CAMERAS).min((entries - made).div_ceil(CAMERAS));
        let share = CAMERAS.div_ceil(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let signed: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = cameras
                .chunks_mut(share)
                .map(|cameras| {
                    scope.spawn(move || {
                        cameras.iter_mut().map(|camera| run(camera, site.log, observed, segments, rounds)).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for round in 0..rounds {
            signed.iter().for_each(|entries| mirror.push(entries[round].clone()));
        }
        made += rounds * CAMERAS;
    }
    mirror.publish();
    site
}

fn run(camera: &mut Camera, log: Hash, observed: Head, segments: u64, rounds: usize) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    for _ in 0..rounds {
        let (statement, certificate) = camera.next(log, observed, segments);
        let entry = sign(&statement, &certificate, &camera.signer).unwrap().der().to_vec();
        (camera.writer.seq, camera.writer.prev) = (camera.writer.seq + 1, leaf_hash(&entry));
        entries.push(entry);
    }
    entries
}

/// Waits for a run, which is ended by SIGTERM once `until` says so: how long it took, its peak of resident memory (MiB), and its last line.
fn watch(mut child: Child, until: impl Fn() -> bool) -> (Duration, u64, serde_json::Value) {
    let stdout = child.stdout.take().unwrap();
    let said = std::thread::spawn(|| last_line(stdout));
    let (begun, mut peak) = (Instant::now(), 0);
    let mut is_asked = false;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak_now = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(peak_now.unwrap_or(0) / 1024);
        if until() && !is_asked {
            is_asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success();
        }
        // Linux tells the peak of a process while it lives, and of one that ended nobody without unsafe code.
        std::thread::sleep(SAMPLED_EACH);
    }
    (begun.elapsed(), peak, said.join().unwrap())
}

/// How many signed statements this machine verifies in a second, on all its cores, where that is all that it does.
fn baseline() -> f64 {
    let site = Site::new();
    let entry = SignedStatement::parse(site.entries.last().unwrap()).unwrap();
    let certificate = &site.authority.certificate;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..BASELINE_EACH).for_each(|_| drop(entry.verify(certificate, &AwsLc).unwrap())));
        }
    });
    (threads * BASELINE_EACH) as f64 / begun.elapsed().as_secs_f64()
}

/// A run as cron has it, over a log that nobody stamps any more.
fn auditing(desk: &Desk, log: &Path) -> Command {
    let mut command = desk.command(log.to_str().unwrap(), &["--late-s", "99999999", "--silent-s", "99999999"]);
    command.stdout(Stdio::piped());
    command
}

/// The line that a run ends with.
fn last_line(stdout: impl Read) -> serde_json::Value {
    let last = BufReader::new(stdout).lines().last().unwrap().unwrap();
    serde_json::from_str(&last).unwrap()
}

fn say(what: &str, took: Duration, peak_mib: u64) {
    eprintln!("audit: {what} in {:.2} s, {peak_mib} MiB", took.as_secs_f64());
}

fn main() {
    let (entries, streams) = (number("EXHIBIT_AUDIT_ENTRIES", 300_000), number("EXHIBIT_AUDIT_STREAMS", 50_000));
    let temporary = tempfile::tempdir().unwrap();
    let log = std::env::var_os("EXHIBIT_AUDIT_LOG").map_or(temporary.path().to_owned(), PathBuf::from);
    let anchor = log.join("anchor.json");
    if !anchor.exists() {
        let begun = Instant::now();
        let site = make(&log, entries, streams);
        fs::write(&anchor, site.anchor().to_json()).unwrap();
        eprintln!("audit: a log was made in {:.0} s", begun.elapsed().as_secs_f64());
    }
    let desk = Desk::new(&Site::new());
    fs::copy(&anchor, desk.path("anchor.json")).unwrap();
    let (took, peak_mib, last) = watch(auditing(&desk, &log).spawn().unwrap(), || false);
    assert_eq!(last["outcome"], "sound", "{last}");
    say("a first run", took, peak_mib);
    let rate = last["size"].as_f64().unwrap() / took.as_secs_f64();
    for file in fs::read_dir(desk.path("state")).unwrap().map(Result::unwrap) {
        eprintln!("audit: {} has {} bytes", file.file_name().display(), file.metadata().unwrap().len());
    }
    let (took, peak_mib, last) = watch(auditing(&desk, &log).spawn().unwrap(), || false);
    assert_eq!(last["new"], 0, "{last}");
    say("nothing new", took, peak_mib);
    // Ended in the middle, and begun again.
    fs::remove_dir_all(desk.path("state")).unwrap();
    let begun = Instant::now();
    let (took, peak_mib, _) = watch(auditing(&desk, &log).spawn().unwrap(), || begun.elapsed() > ENDED_AFTER);
    say("ended by SIGTERM", took, peak_mib);
    let (took, peak_mib, last) = watch(auditing(&desk, &log).spawn().unwrap(), || false);
    assert_eq!(last["outcome"], "sound", "{last}");
    say(&format!("the {} that were left of {}", last["new"], last["size"]), took, peak_mib);
    let baseline = baseline();
    let baseline_of = "signed statements verified alone, on all cores (1/s)";
    println!(
        "{}",
        serde_json::json!({
            "bench": "audit", "value": rate.round(), "unit": "entries/s", "baseline": baseline_of,
            "baseline_value": baseline.round(), "ratio": (rate / baseline * 1000.0).round() / 1000.0,
        })
    );
}
