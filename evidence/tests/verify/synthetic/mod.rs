//! A log in memory with one camera's recording on it, and the bundle of that recording, to be spoilt by the tests.

mod files;
mod log;
mod recording;
mod strangers;

use std::cell::RefCell;

use exhibit_evidence::body::{AttachmentRef, Export, Fetch, Grant, Segment, SeqRange};
use exhibit_evidence::bundle::{
    DisclosedSegment, Disclosure, FileRecord, MANIFEST_TYPE, Manifest, Question, disclosure_path, entry_path, observed_proof_path,
    receipt_path, timestamp_proof_path,
};
use exhibit_evidence::verdict::{FindingKind, Verdict};
use exhibit_evidence::verify::{CannotJudge, verify};
use exhibit_evidence::{Anchor, Body, SignedStatement, sign};
use exhibit_pki::Timestamp;
use exhibit_tlog::{Checkpoint, Hash, LogProof, NoteSignature, leaf_hash, prove_inclusion, root_of};
use sha2::{Digest, Sha256};

use crate::common::remembered::Remembered;
use crate::common::stream;

pub use files::{Files, Oddity};
pub use log::{Issuer, Log, note_signer, other_note_key};
pub use recording::{Extra, ExtraAt, Recording, first_recipients};
pub use strangers::foreign_root;

use log::Leaves;
use recording::{begin_log, record, set_recipients};
use strangers::{foreign_camera, short_lived_camera};

pub const ORIGIN: &str = "city.example/log/1";
pub const CAMERA_STREAM: &str = "camera/102/main/20261120T115958Z";
/// Segments recorded, of two seconds each, from this moment on.
pub const SEGMENTS: u64 = 6;
pub const STARTED_MS: u64 = 1_795_176_000_000;
/// Those asked for and disclosed: 2 to 4.
pub const ASKED: std::ops::RangeInclusive<u64> = 2..=4;

/// The playable copy.
pub const WORKING_COPY: &str = "working/copy.mp4";

/// The log before, if there is one, and how many entries it has.
pub const PREDECESSOR: Hash = Hash([0xab; 32]);
/// The log before that, which ended one entry later.
pub const EARLIER: Hash = Hash([0xae; 32]);
pub const PREDECESSOR_SIZE: u64 = 10;

/// Half an hour before the recording.
const BEFORE_THE_EPOCH: &str = "2026-11-20T11:30:00.000Z";

thread_local! {
    /// The bundles that this thread has judged, each with its anchor.
    pub static JUDGED: RefCell<Vec<(Files, Anchor)>> = const { RefCell::new(Vec::new()) };
}

/// A recording on a log, and its bundle.
pub struct Case {
    pub log: Log,
    pub files: Files,
    pub manifest: Manifest,
    /// Index of the entry of each seq of the camera's stream.
    pub camera_index: Vec<u64>,
    pub fetch_index: u64,
}

impl Case {
    pub fn new() -> Self {
        Self::recorded(Recording::default())
    }

    pub fn recorded(how: Recording) -> Self {
        let mut log = Log::new();
        if how.foreign_certificate {
            log.camera.party = foreign_camera();
        }
        if let Some(expires_ms) = how.expires_ms {
            log.camera.party = short_lived_camera(&log.pki, expires_ms);
        }
        let name = how.stream.unwrap_or(CAMERA_STREAM);
        log.camera.stream = stream(name);
        begin_log(&mut log, how);
        how.before.inspect(|hook| hook(&mut log));
        let recipients = match how.recipients {
            Some(set) => {
                set(&mut log);
                let sets = |entry: &&SignedStatement| matches!(entry.statement().body, Body::Recipients(_));
                log.entries.iter().rfind(sets).unwrap().leaf_hash()
            }
            None => set_recipients(&mut log, if how.other_scope { "camera/103" } else { "camera/102" }),
        };
        let (camera_index, disclosures, mut files) = record(&mut log, recipients, how);
        how.after.inspect(|hook| hook(&mut log));
        if how.certificate_late {
            let certificate = log.camera.party.certificate.clone();
            log.certify(&certificate, &[]);
        }
        let disclosed: Vec<_> =
            disclosures.iter().map(|disclosure| DisclosedSegment { stream: name.to_owned(), seq: disclosure.seq }).collect();
        let grant = Grant {
            scope: "camera/102".to_owned(),
            attachments: vec![AttachmentRef::of("terms", &[1; 40], true), AttachmentRef::of("wraps", &[2; 40], true)],
        };
        let grant = log.draft(|log| &mut log.custodian, STARTED_MS + 60_000, Body::Grant(grant));
        let granted = sign(&grant, &log.custodian.party.certificate, &log.custodian.party.key).unwrap().leaf_hash();
        if !how.grant_late {
            log.append_as_drafted(|log| &mut log.custodian, &grant);
        }
        let ranges = vec![SeqRange {
            stream: stream(name),
            first: disclosed[0].seq,
            last: if how.fetch_less { disclosed[0].seq } else { disclosed[disclosed.len() - 1].seq },
        }];
        let fetch = Body::Fetch(Fetch { grant: Some(granted), ranges, attachments: vec![] });
        let fetch_index = if how.fetch_by_other {
            log.append(|log| &mut log.custodian, STARTED_MS + 61_000, fetch)
        } else {
            log.append(|log| &mut log.investigator, STARTED_MS + 61_000, fetch)
        };
        if how.grant_late {
            log.append_as_drafted(|log| &mut log.custodian, &grant);
        }
        assert!(log.entries.iter().any(|entry| entry.leaf_hash() == granted), "the fetch names no grant of the log");
        for disclosure in disclosures {
            files.0.insert(disclosure_path(name, disclosure.seq), serde_json::to_vec(&disclosure).unwrap());
        }
        let manifest = Manifest {
            type_name: MANIFEST_TYPE.to_owned(),
            log: log.id.to_string(),
            created: Timestamp::from_unix_ms(STARTED_MS + 62_000).unwrap().to_string(),
            software: "test".to_owned(),
            question: Question {
                series: stream(name).series().to_owned(),
                from: if how.epoch_hidden { BEFORE_THE_EPOCH.to_owned() } else { moment(*ASKED.start()) },
                to: moment(*ASKED.end() + 1),
            },
            entries: (0..log.entries.len() as u64)
                .filter(|index| how.epoch_hidden || how.between.is_some() || *index != camera_index[1])
                .collect(),
            segments: disclosed,
            files: vec![],
        };
        for (sha256, stored) in &log.attachments {
            files.0.insert(exhibit_evidence::bundle::attachment_path(sha256), stored.clone());
        }
        let mut case = Self { log, files, manifest, camera_index, fetch_index };
        case.make_copy();
        case.export();
        case
    }

    /// Discloses one segment less, with the copy that the others make.
    pub fn withhold(&mut self, seq: u64) {
        self.manifest.segments.retain(|segment| segment.seq != seq);
        self.make_copy();
        self.export();
    }

    /// Makes the playable copy of what is disclosed.
    fn make_copy(&mut self) {
        let made = |segment: &DisclosedSegment| {
            let disclosure = Disclosure::parse(&self.files.0[&disclosure_path(&segment.stream, segment.seq)]).unwrap();
            (segment_of(&self.log, segment).start, disclosure)
        };
        let disclosures: Vec<_> = self.manifest.segments.iter().map(made).collect();
        let copy = crate::media::working_copy(&disclosures, &self.files);
        self.manifest.files = vec![recorded(WORKING_COPY, &copy)];
        self.files.0.insert(WORKING_COPY.to_owned(), copy);
    }

    /// Signs the manifest as it stands and proves everything under a new checkpoint.
    pub fn export(&mut self) {
        let manifest = serde_json::to_vec(&self.manifest).unwrap();
        let seqs = || self.manifest.segments.iter().map(|segment| segment.seq);
        let (first, last) = (seqs().min().unwrap_or(0), seqs().max().unwrap_or(0));
        let name = self.manifest.segments.first().map_or(CAMERA_STREAM, |segment| &segment.stream);
        let ranges = vec![SeqRange { stream: stream(name), first, last }];
        let body = Export {
            fetch: self.log.leaf(self.fetch_index),
            ranges,
            manifest: Hash(Sha256::digest(&manifest).into()),
            attachments: vec![],
        };
        let index = self.log.append(|log| &mut log.investigator, STARTED_MS + 63_000, Body::Export(body));
        self.files.0.insert("manifest.json".to_owned(), manifest);
        self.prove(index);
    }

    /// Writes entries and receipts under a checkpoint of the log as it stands; the export is at `index`.
    pub fn prove(&mut self, index: u64) {
        let checkpoint = self.log.checkpoint();
        self.prove_under(index, &checkpoint);
    }

    /// The same for the last export, under a checkpoint with other lines.
    pub fn reprove(&mut self, checkpoint: &str) {
        self.prove_under(self.log.entries.len() as u64 - 1, checkpoint);
    }

    /// Has witnesses cosign the bundle's checkpoint.
    pub fn cosign(&mut self, witnesses: &[u8], unix_s: u64) {
        let mut checkpoint = self.log.checkpoint();
        let text = crate::authorities::note_text(&checkpoint);
        for number in witnesses {
            let witness = crate::authorities::witness(*number);
            checkpoint.push_str(&NoteSignature::sign(&text, &witness, unix_s).unwrap().to_string());
        }
        self.reprove(&checkpoint);
    }

    fn prove_under(&mut self, index: u64, checkpoint: &str) {
        for listed in &self.manifest.entries {
            let der = self.log.entries[usize::try_from(*listed).unwrap()].der().to_vec();
            self.files.0.insert(entry_path(*listed), der);
            self.files.0.insert(receipt_path(*listed), self.log.receipt(*listed, checkpoint).into_bytes());
        }
        self.files.0.insert("export.p7s".to_owned(), self.log.entries[usize::try_from(index).unwrap()].der().to_vec());
        self.files.0.insert("export.tlog-proof".to_owned(), self.log.receipt(index, checkpoint).into_bytes());
        self.files.0.insert("checkpoint".to_owned(), checkpoint.as_bytes().to_vec());
    }

    /// Puts other bytes in the place of an entry, and proves everything under a checkpoint of the log that has them.
    pub fn replace_entry(&mut self, index: u64, bytes: &[u8]) {
        let mut leaves = Leaves(self.log.entries.iter().map(SignedStatement::leaf_hash).collect());
        leaves.0[usize::try_from(index).unwrap()] = leaf_hash(bytes);
        let size = leaves.0.len() as u64;
        let head = Checkpoint { origin: ORIGIN.to_owned(), size, root: root_of(&leaves.0) };
        let checkpoint = head.sign(&[&note_signer()], STARTED_MS / 1_000).unwrap();
        let receipt = |index| {
            let path = prove_inclusion(&leaves, index, size).unwrap();
            LogProof { index, path, checkpoint: checkpoint.clone() }.to_text().into_bytes()
        };
        for listed in &self.manifest.entries {
            self.files.0.insert(receipt_path(*listed), receipt(*listed));
        }
        self.files.0.insert("export.tlog-proof".to_owned(), receipt(size - 1));
        self.files.0.insert("checkpoint".to_owned(), checkpoint.clone().into_bytes());
        self.files.0.insert(entry_path(index), bytes.to_vec());
    }

    /// Adds the proofs that what every entry of the bundle observed and had timestamped is of this log.
    pub fn prove_heads(&mut self) {
        for (index, entry) in (0..).zip(&self.log.entries) {
            let statement = entry.statement();
            let is_export = self.files.0.get("export.p7s").is_some_and(|export| export == entry.der());
            // What was observed of the log before this one is proven by another log.
            let is_of_own_log = statement.log == self.log.id;
            if (self.manifest.entries.contains(&index) || is_export) && statement.observed.size > 0 && is_of_own_log {
                self.files.0.insert(observed_proof_path(index), self.log.consistency(statement.observed.size));
            }
            if let Body::Timestamp(body) = &statement.body {
                self.files.0.insert(timestamp_proof_path(index), self.log.consistency(body.head.size));
            }
        }
    }

    pub fn judge(&self) -> Result<Verdict, CannotJudge> {
        let anchor = self.log.anchor();
        JUDGED.with_borrow_mut(|all| all.push((self.files.clone(), anchor.clone())));
        verify(&self.files, &anchor, &Remembered)
    }

    /// The kinds of the findings that are bad or undecided.
    pub fn faults(&self) -> Vec<FindingKind> {
        let verdict = self.judge().expect("the bundle can be judged");
        let faulty = verdict.findings.iter().filter(|finding| finding.grade > exhibit_evidence::verdict::Grade::NotDemanded);
        faulty.map(|finding| finding.kind).collect()
    }

    pub fn file(&mut self, path: &str) -> &mut Vec<u8> {
        self.files.0.get_mut(path).unwrap_or_else(|| panic!("the bundle holds {path}"))
    }
}

/// A file as the manifest records it.
pub fn recorded(path: &str, bytes: &[u8]) -> FileRecord {
    FileRecord { path: path.to_owned(), sha256: hex::encode(Sha256::digest(bytes)), length: bytes.len() as u64 }
}

/// The statement of a disclosed segment.
fn segment_of<'a>(log: &'a Log, disclosed: &DisclosedSegment) -> &'a Segment {
    let statements = log.entries.iter().map(SignedStatement::statement);
    let found = statements.filter(|statement| (statement.stream.as_str(), statement.seq) == (disclosed.stream.as_str(), disclosed.seq));
    let mut segments = found.filter_map(|statement| if let Body::Segment(segment) = &statement.body { Some(segment) } else { None });
    segments.next_back().unwrap()
}

/// When segment `seq` begins, by the camera's clock.
pub fn moment(seq: u64) -> String {
    Timestamp::from_unix_ms(segment_start_ms(seq)).unwrap().to_string()
}

fn segment_start_ms(seq: u64) -> u64 {
    STARTED_MS + (seq - 1) * 2_000
}
