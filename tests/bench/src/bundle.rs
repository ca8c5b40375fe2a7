//! A bundle with real signatures and generated content, as large as one likes.
//!
//! It knows nothing of how it is judged. The usual parties stand on its log: an appliance, an authority, a camera, two people.

use std::fs;
use std::path::{Path, PathBuf};

use exhibit_evidence::anchor::AnchorPolicy;
use exhibit_evidence::body::{
    AttachmentRef, CertificateBody, Close, CloseReason, Continues, Epoch, EpochReason, Export, Fetch, Genesis, Recipients, Segment,
    SeqRange,
};
use exhibit_evidence::bundle::{
    self, DISCLOSURE_TYPE, DisclosedFragment, DisclosedSegment, Disclosure, FileRecord, MANIFEST_TYPE, Manifest, Question, disclosure_path,
    entry_path, fragment_path, receipt_path,
};
use exhibit_evidence::keytree::KeyTree;
use exhibit_evidence::segment::{SegmentOpener, SegmentSealer};
use exhibit_evidence::working_copy::WorkingCopies;
use exhibit_evidence::{Anchor, Body, Head, SignedStatement, Statement, StreamName, sign};
use exhibit_pki::issue::{EndEntity, Issuance, issue_end_entity, issue_issuing_ca, issue_root};
use exhibit_pki::{Certificate, Identity, KeyPurpose, Role, Signer, SoftwareSigner, Timestamp, TrustDomain};
use exhibit_tlog::{
    Checkpoint, EMPTY_ROOT, Ed25519NoteSigner, Hash, HashReader, LogProof, LogVerifier, MlDsa44NoteSigner, NoteSigner, prove_inclusion,
    root_of,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Failure;
use crate::noise::Noise;

/// Bytes of a segment.
pub const SEGMENT_BYTES: u64 = 1 << 20;
/// Fragments of a segment: half a second each of two seconds at 4 Mbit/s.
const FRAGMENTS: u32 = 4;
const FRAGMENT_BYTES: usize = 256 << 10;
const SEGMENT_MS: u64 = 2_000;

const ORIGIN: &str = "bench.example/log/1";
const SERIES: &str = "camera/102/main";
const CAMERA: &str = "camera/102/main/20261120T120000Z";
const STARTED_MS: u64 = 1_795_176_000_000;

/// A bundle in a folder.
pub struct Bundle {
    pub folder: PathBuf,
    pub anchor: PathBuf,
    /// Every fragment's plaintext, and all of them in one: the working copy.
    pub fragments: Vec<PathBuf>,
    pub copy: PathBuf,
}

/// One who signs, and where the chain stands.
struct Issuer {
    certificate: Certificate,
    key: SoftwareSigner,
    stream: StreamName,
    seq: u64,
    prev: Hash,
}

struct Authority {
    root: Certificate,
    issuing: Certificate,
    key: SoftwareSigner,
}

/// The log as it grows, and the bundle's folder.
struct Log {
    folder: PathBuf,
    id: Hash,
    leaves: Vec<Hash>,
    entries: Vec<SignedStatement>,
}

impl Bundle {
    /// Makes one of so many segments in a folder that is empty.
    pub fn make(place: &Path, segments: u64) -> Result<Self, Failure> {
        let authority = Authority::new()?;
        let folder = place.join("bundle");
        let mut log = Log { folder: folder.clone(), id: Hash::default(), leaves: Vec::new(), entries: Vec::new() };
        let mut appliance = authority.issuer("appliance/1", Role::Appliance, 11, "appliance/1/log/20261120T110000Z")?;
        let mut registry = authority.issuer("authority/1", Role::Authority, 12, "authority/1/20261120T110000Z")?;
        let mut camera = authority.issuer("camera/102", Role::Camera, 13, CAMERA)?;
        let mut custodian = authority.issuer("user/aa", Role::Custodian, 14, "user/aa/20261120T110000Z")?;

        let note_keys = note_signers()?;
        let genesis = Genesis {
            origin: ORIGIN.to_owned(),
            keys: note_keys.iter().map(|signer| signer.verifier_key().to_string()).collect(),
            roots: vec![*authority.root.fingerprint()],
            witness_policy: String::new(),
            predecessor: None,
            earlier: Vec::new(),
            attachments: vec![log.keep("certificate", appliance.certificate.der())?],
        };
        log.append(&mut appliance, STARTED_MS - 20_000, Body::Genesis(genesis))?;
        log.id = log.leaves[0];
        let own = registry.certificate.clone();
        log.certify(&mut registry, &own, &[&authority.issuing, &authority.root])?;
        for certificate in [&camera.certificate, &custodian.certificate] {
            log.certify(&mut registry, certificate, &[])?;
        }
        let recipients = log.set_recipients(&mut custodian)?;
        let fragments = log.record(&mut camera, recipients, segments)?;
        let copy = log.export(&mut custodian, segments, &fragments, &note_keys)?;
        let verifier =
            LogVerifier { origin: ORIGIN.to_owned(), keys: note_keys.iter().map(|signer| signer.verifier_key().clone()).collect() };
        let anchor = Anchor { log: log.id, verifier, roots: vec![authority.root], policy: AnchorPolicy::default() };
        fs::write(place.join("anchor.json"), anchor.to_json())?;
        Ok(Self { folder, anchor: place.join("anchor.json"), fragments, copy })
    }
}

impl Authority {
    fn new() -> Result<Self, Failure> {
        let (root_key, key) = (key(1)?, key(2)?);
        let domain = TrustDomain::parse("bench.example")?;
        let root = issue_root("Bench Root", &domain, &root_key, &issuance(1)?)?;
        let roles = [Role::Camera, Role::Custodian, Role::Appliance, Role::Authority];
        let issuing = issue_issuing_ca("Bench Issuing", key.public_key(), &roles, &root, &root_key, &issuance(2)?)?;
        Ok(Self { root, issuing, key })
    }

    fn issuer(&self, subject: &str, role: Role, number: u8, stream: &str) -> Result<Issuer, Failure> {
        let own = key(number)?;
        let identity = Identity::parse(&format!("spiffe://bench.example/{subject}"))?;
        let entity = EndEntity {
            identity: &identity,
            public_key: own.public_key(),
            purpose: KeyPurpose::Signing,
            roles: &[role],
            server_names: &[],
        };
        let certificate = issue_end_entity(&entity, &self.issuing, &self.key, &issuance(number)?)?;
        Ok(Issuer { certificate, key: own, stream: StreamName::parse(stream)?, seq: 0, prev: Hash::default() })
    }
}

impl Log {
    fn append(&mut self, issuer: &mut Issuer, issued_ms: u64, body: Body) -> Result<Hash, Failure> {
        let root = if self.leaves.is_empty() { EMPTY_ROOT } else { root_of(&self.leaves) };
        let statement = Statement {
            log: self.id,
            stream: issuer.stream.clone(),
            seq: issuer.seq,
            prev: issuer.prev,
            issued: time(issued_ms)?,
            observed: Head { size: self.leaves.len() as u64, root },
            body,
        };
        let signed = sign(&statement, &issuer.certificate, &issuer.key)?;
        issuer.seq += 1;
        issuer.prev = signed.leaf_hash();
        self.leaves.push(signed.leaf_hash());
        self.entries.push(signed);
        Ok(issuer.prev)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let file = self.folder.join(path);
        fs::create_dir_all(file.parent().ok_or("a file lies in a folder")?)?;
        fs::write(&file, bytes)?;
        Ok(file)
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<AttachmentRef, Failure> {
        let named = AttachmentRef::of(name, bytes, false);
        self.write(&bundle::attachment_path(&named.sha256), bytes)?;
        Ok(named)
    }

    fn certify(&mut self, registry: &mut Issuer, certificate: &Certificate, issuers: &[&Certificate]) -> Result<(), Failure> {
        let mut attachments = vec![self.keep("certificate", certificate.der())?];
        for (number, issuer) in issuers.iter().enumerate() {
            attachments.push(self.keep(&format!("issuer-{number}"), issuer.der())?);
        }
        let body = CertificateBody { fingerprint: *certificate.fingerprint(), replaces: None, attachments };
        self.append(registry, STARTED_MS - 10_000, Body::Certificate(body)).map(drop)
    }

    fn set_recipients(&mut self, custodian: &mut Issuer) -> Result<Hash, Failure> {
        let set = Recipients {
            scope: "camera/102".to_owned(),
            number: 1,
            replaces: None,
            recipients: vec![[5; 32]],
            custodians: vec![*custodian.certificate.fingerprint()],
            threshold: 1,
            expires: Timestamp::parse(NOT_AFTER)?,
            attachments: vec![],
        };
        self.append(custodian, STARTED_MS - 5_000, Body::Recipients(set))
    }

    /// Records an epoch of so many segments, writes what is disclosed of them, and gives the fragments' files.
    fn record(&mut self, camera: &mut Issuer, recipients: Hash, segments: u64) -> Result<Vec<PathBuf>, Failure> {
        let name = camera.stream.clone();
        let tree = KeyTree::from_root(Zeroizing::new([31; 32]));
        let epoch = Epoch {
            commitment: tree.commitment(&name).ok_or("the root has a commitment")?,
            started: time(STARTED_MS)?,
            recipients,
            continues: Continues { reason: EpochReason::Start, previous: None },
            attachments: vec![AttachmentRef::of("wraps", &[3; 40], true)],
        };
        self.append(camera, STARTED_MS, Body::Epoch(epoch))?;
        let mut files = Vec::new();
        let mut noise = Noise(1);
        for number in 0..segments {
            let (seq, slot) = (camera.seq, u32::try_from(number * SEGMENT_MS / 1000)?);
            let slot_key = || tree.slot_key(slot).ok_or("the tree has a key for every second");
            let plaintexts: Vec<Vec<u8>> = (0..FRAGMENTS).map(|index| media(&mut noise, number, index)).collect::<Result<_, _>>()?;
            let mut sealer = SegmentSealer::new(&name, seq, slot_key()?, [9; 16]);
            let sealed: Vec<_> = (1..).zip(&plaintexts).map(|(count, bytes)| sealer.seal(bytes, count == FRAGMENTS)).collect();
            let stated = sealer.finish();
            let start_ms = STARTED_MS + number * SEGMENT_MS;
            let segment = Segment {
                slot,
                salt: [9; 16],
                start: time(start_ms)?,
                duration_ms: SEGMENT_MS,
                media_type: "video/mp4".to_owned(),
                random_access: true,
                fragment_lengths: stated.fragment_lengths,
                ciphertext_root: stated.ciphertext_root,
                commitment_root: stated.commitment_root,
                attachments: vec![],
            };
            files.extend(self.disclose(&SegmentOpener::new(&name, seq, &segment, slot_key()?), seq, &sealed)?);
            self.append(camera, start_ms + SEGMENT_MS + 100, Body::Segment(segment))?;
        }
        self.append(
            camera,
            STARTED_MS + segments * SEGMENT_MS + 200,
            Body::Close(Close { reason: CloseReason::Stop, attachments: vec![] }),
        )?;
        Ok(files)
    }

    fn disclose(&self, opener: &SegmentOpener, seq: u64, sealed: &[Vec<u8>]) -> Result<Vec<PathBuf>, Failure> {
        let (mut commitments, mut fragments, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for (index, ciphertext) in (0u32..).zip(sealed) {
            let opened = opener.open(index, ciphertext).map_err(|_| "what was sealed opens")?;
            files.push(self.write(&fragment_path(CAMERA, seq, index), &opened.plaintext)?);
            commitments.push(opened.commitment.to_string());
            fragments.push(DisclosedFragment { index, key: hex::encode(*opened.key.0) });
        }
        let disclosure = Disclosure { type_name: DISCLOSURE_TYPE.to_owned(), stream: CAMERA.to_owned(), seq, commitments, fragments };
        self.write(&disclosure_path(CAMERA, seq), &serde_json::to_vec(&disclosure)?)?;
        Ok(files)
    }

    /// Asks for everything, exports it, proves it under a checkpoint, and gives the working copy.
    fn export(&mut self, who: &mut Issuer, segments: u64, fragments: &[PathBuf], keys: &[Box<dyn NoteSigner>]) -> Result<PathBuf, Failure> {
        let ended_ms = STARTED_MS + segments * SEGMENT_MS;
        let ranges = vec![SeqRange { stream: StreamName::parse(CAMERA)?, first: 1, last: segments }];
        let fetch = self.append(who, ended_ms + 1_000, Body::Fetch(Fetch { grant: None, ranges: ranges.clone(), attachments: vec![] }))?;
        let (mut copies, mut copy) = (WorkingCopies::default(), Vec::new());
        for (number, files) in (0u64..).zip(fragments.chunks(FRAGMENTS as usize)) {
            copy.extend(copies.first_fragment(CAMERA, time(STARTED_MS + number * SEGMENT_MS)?, &fs::read(&files[0])?)?.bytes);
            for file in &files[1..] {
                copy.extend(copies.next_fragment(&fs::read(file)?)?.bytes);
            }
        }
        let copy_name = "working/camera-102-main-01.mp4";
        let copy_file = self.write(copy_name, &copy)?;
        let manifest = Manifest {
            type_name: MANIFEST_TYPE.to_owned(),
            log: self.id.to_string(),
            created: time(ended_ms + 2_000)?.to_string(),
            software: "exhibit-bench".to_owned(),
            question: Question { series: SERIES.to_owned(), from: time(STARTED_MS)?.to_string(), to: time(ended_ms)?.to_string() },
            entries: (0..self.entries.len() as u64).collect(),
            segments: (1..=segments).map(|seq| DisclosedSegment { stream: CAMERA.to_owned(), seq }).collect(),
            files: vec![FileRecord { path: copy_name.to_owned(), sha256: hex::encode(Sha256::digest(&copy)), length: copy.len() as u64 }],
        };
        let manifest = serde_json::to_vec_pretty(&manifest)?;
        self.write(bundle::MANIFEST, &manifest)?;
        let export = Export { fetch, ranges, manifest: Hash(Sha256::digest(&manifest).into()), attachments: vec![] };
        self.append(who, ended_ms + 3_000, Body::Export(export))?;
        self.prove(keys)?;
        Ok(copy_file)
    }

    /// Writes every entry with its receipt under a checkpoint; the last is the exporter's.
    fn prove(&self, keys: &[Box<dyn NoteSigner>]) -> Result<(), Failure> {
        let head = Checkpoint { origin: ORIGIN.to_owned(), size: self.leaves.len() as u64, root: root_of(&self.leaves) };
        let signers: Vec<&dyn NoteSigner> = keys.iter().map(AsRef::as_ref).collect();
        let checkpoint = head.sign(&signers, STARTED_MS / 1000)?;
        self.write(bundle::CHECKPOINT, checkpoint.as_bytes())?;
        for (index, entry) in (0..).zip(&self.entries) {
            let path = prove_inclusion(self, index, head.size)?;
            let receipt = LogProof { index, path, checkpoint: checkpoint.clone() }.to_text();
            let is_export = index + 1 == head.size;
            let (entry_file, receipt_file) = if is_export {
                (bundle::EXPORT_ENTRY.to_owned(), bundle::EXPORT_RECEIPT.to_owned())
            } else {
                (entry_path(index), receipt_path(index))
            };
            self.write(&entry_file, entry.der())?;
            self.write(&receipt_file, receipt.as_bytes())?;
        }
        Ok(())
    }
}

impl HashReader for Log {
    type Error = std::convert::Infallible;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let first = usize::try_from(index << level).expect("the log is in memory");
        Ok(root_of(&self.leaves[first..first + (1 << level)]))
    }
}

fn time(unix_ms: u64) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_unix_ms(unix_ms).ok_or("a time of this century can be written")?)
}

fn note_signers() -> Result<Vec<Box<dyn NoteSigner>>, Failure> {
    let seed = |byte: u8| Zeroizing::new([byte; 32]);
    Ok(vec![Box::new(Ed25519NoteSigner::new(ORIGIN, &seed(21))?), Box::new(MlDsa44NoteSigner::new(ORIGIN, &seed(22))?)])
}

fn key(number: u8) -> Result<SoftwareSigner, Failure> {
    Ok(SoftwareSigner::from_scalar(&Zeroizing::new([number; 48]))?)
}

fn issuance(serial: u8) -> Result<Issuance, Failure> {
    Ok(Issuance {
        not_before: Timestamp::parse("2026-01-01T00:00:00.000Z")?,
        not_after: Timestamp::parse(NOT_AFTER)?,
        serial: [serial; 16],
    })
}

const NOT_AFTER: &str = "2056-01-01T00:00:00.000Z";

/// A fragment as CMAF has it, as far as a working copy needs that, with noise for samples: `FRAGMENT_BYTES` in all.
fn media(noise: &mut Noise, segment: u64, index: u32) -> Result<Vec<u8>, Failure> {
    let decode_time = segment * SEGMENT_MS + u64::from(index) * SEGMENT_MS / u64::from(FRAGMENTS);
    let mut media = Vec::with_capacity(FRAGMENT_BYTES);
    if index == 0 {
        let mdhd = mp4_box(b"mdhd", &[&[0; 12][..], &1_000u32.to_be_bytes(), &[0; 8]].concat())?;
        media.extend(mp4_box(b"ftyp", b"cmfc")?);
        media.extend(mp4_box(b"moov", &mp4_box(b"trak", &mp4_box(b"mdia", &mdhd)?)?)?);
    }
    let tfdt = mp4_box(b"tfdt", &[&[1, 0, 0, 0][..], &decode_time.to_be_bytes()].concat())?;
    media.extend(mp4_box(b"moof", &[mp4_box(b"mfhd", &[0; 8])?, mp4_box(b"traf", &tfdt)?].concat())?);
    let samples = FRAGMENT_BYTES - media.len() - 8;
    media.extend(mp4_box(b"mdat", &noise.bytes(samples))?);
    Ok(media)
}

fn mp4_box(kind: &[u8; 4], content: &[u8]) -> Result<Vec<u8>, Failure> {
    Ok([&u32::try_from(content.len() + 8)?.to_be_bytes()[..], kind, content].concat())
}
