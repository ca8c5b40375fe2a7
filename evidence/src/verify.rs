//! Judges a bundle: entries under one checkpoint, signers by certificates on the ledger, chains without holes, content by commitments.
//!
//! It knows no folder, no clock and no network, and trusts nothing that came with the bundle: log, keys and roots come in the anchor.

mod approvals;
mod certificates;
mod chain;
mod copies;
mod coverage;
mod custody;
mod device;
mod entries;
mod expiry;
mod files;
mod heads;
mod payload;
mod ranges;
mod recipients;
mod revocation;
mod second;
mod time;
mod tpm_line;
mod witness;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use exhibit_pki::{Timestamp, Verifier};
use exhibit_tlog::{Checkpoint, Hash};

use crate::Anchor;
use crate::body::{Predecessor, Segment};
use crate::bundle::{BundleSource, CHECKPOINT, MANIFEST, MANIFEST_BYTES_MAX, Manifest, SMALL_FILE_BYTES_MAX, SourceError, attachment_path};
use crate::shown::printable;
use crate::verdict::{Axis, Basis, BasisAuthority, BasisPolicy, Counts, Finding, FindingKind, Grade, Place, SegmentTime, Verdict};

/// Why there is no verdict at all (exit code 2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotJudge {
    /// There is no manifest, or it is not one of ours.
    #[error("this is not a bundle that this version can judge: {}", printable(.0))]
    NotABundle(String),
    /// The bundle is of another log than the anchor.
    #[error("the bundle is of log {}, and the anchor of log {anchor}: ask the operator of the right log for its anchor", printable(bundle))]
    OtherLog {
        /// The log of the bundle.
        bundle: String,
        /// The log of the anchor.
        anchor: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Judges the bundle in `source` by `anchor`.
///
/// Memory: the statements, the names of the files, and one fragment. Of what is found, `FINDINGS_OF_A_KIND_MAX` of each kind are told.
pub fn verify(source: &dyn BundleSource, anchor: &Anchor, verifier: &dyn Verifier) -> Result<Verdict, CannotJudge> {
    let manifest_bytes =
        source.read(MANIFEST, MANIFEST_BYTES_MAX)?.ok_or_else(|| CannotJudge::NotABundle(format!("it holds no {MANIFEST}")))?;
    let manifest = Manifest::parse(&manifest_bytes).map_err(|reason| CannotJudge::NotABundle(format!("{MANIFEST}: {reason}")))?;
    let (from, to) = manifest.question.interval().map_err(|reason| CannotJudge::NotABundle(format!("{MANIFEST}: {reason}")))?;
    if manifest.log != anchor.log.to_string() {
        return Err(CannotJudge::OtherLog { bundle: manifest.log.clone(), anchor: anchor.log.to_string() });
    }
    let mut judgement = Judgement::new(source, anchor, verifier, &manifest, Interval { from, to });
    let Some(checkpoint) = judgement.checkpoint()? else {
        return Ok(judgement.conclude(None));
    };
    let entries = entries::judge(&mut judgement, &checkpoint)?;
    judgement.suites.extend(entries.all().map(|entry| entry.signer().public_key().suite().to_string()));
    let approvals = approvals::Approvals::new(&entries);
    let custodians = recipients::judge(&mut judgement, &entries, &approvals);
    witness::judge(&mut judgement, &checkpoint);
    tpm_line::judge(&mut judgement, &checkpoint);
    let readings = device::judge(&mut judgement, &entries)?;
    let times = time::judge(&mut judgement, &checkpoint, &entries, &readings)?;
    second::judge(&mut judgement, &entries, &approvals, custodians.as_ref(), &times);
    expiry::judge(&mut judgement, &entries, &times);
    revocation::judge(&mut judgement, &entries, &times)?;
    chain::judge(&mut judgement, &entries)?;
    payload::judge(&mut judgement, &entries)?;
    custody::judge(&mut judgement, &manifest_bytes, &entries);
    files::judge(&mut judgement, &entries)?;
    Ok(judgement.conclude(Some(&checkpoint.head)))
}

use entries::Proven;

/// The bundle's one checkpoint: verified, and verbatim as receipts must carry it.
struct BundleCheckpoint {
    note: String,
    head: Checkpoint,
}

/// A judgement under way: what it judges by, and what it has found.
struct Judgement<'a> {
    source: &'a dyn BundleSource,
    anchor: &'a Anchor,
    verifier: &'a dyn Verifier,
    manifest: &'a Manifest,
    interval: Interval,
    /// The logs before this one, once genesis is proven.
    before: Vec<Predecessor>,
    /// Files that are here, and that a statement, a disclosure or this format names.
    named: BTreeSet<String>,
    /// SHA-256 and length of files that were compared with what has them.
    hashed: HashMap<String, (Hash, u64)>,
    /// Attachments that were looked at, as their statements name them.
    judged: HashSet<(Hash, u64)>,
    suites: BTreeSet<String>,
    findings: Vec<Finding>,
    /// How many there were of each kind, told or not.
    found: BTreeMap<(Axis, FindingKind, Grade), usize>,
    counts: Counts,
    times: Vec<SegmentTime>,
}

impl<'a> Judgement<'a> {
    fn new(
        source: &'a dyn BundleSource,
        anchor: &'a Anchor,
        verifier: &'a dyn Verifier,
        manifest: &'a Manifest,
        interval: Interval,
    ) -> Self {
        Self {
            source,
            anchor,
            verifier,
            manifest,
            interval,
            before: Vec::new(),
            named: BTreeSet::from([MANIFEST.to_owned()]),
            hashed: HashMap::new(),
            suites: BTreeSet::new(),
            findings: Vec::new(),
            found: BTreeMap::new(),
            judged: HashSet::new(),
            counts: Counts::default(),
            times: Vec::new(),
        }
    }

    fn find(&mut self, axis: Axis, grade: Grade, kind: FindingKind, place: Place, sentence: impl Into<String>) {
        let found = self.found.entry((axis, kind, grade)).or_default();
        *found += 1;
        if *found <= FINDINGS_OF_A_KIND_MAX {
            self.findings.push(Finding::new(axis, grade, kind, sentence).at(place));
        }
    }

    /// Something that is not shown: undecided where the anchor demands it, else only told.
    fn lacking(&mut self, axis: Axis, kind: FindingKind, place: Place, sentence: impl Into<String>) {
        let policy = &self.anchor.policy;
        let demanded = policy.demands.contains(&axis) || (axis == Axis::Device && policy.device.is_some());
        let grade = if demanded { Grade::Undecided } else { Grade::NotDemanded };
        self.find(axis, grade, kind, place, sentence);
    }

    fn bad(&mut self, axis: Axis, kind: FindingKind, place: Place, sentence: impl Into<String>) {
        self.find(axis, Grade::Bad, kind, place, sentence);
    }

    /// A file that need not be there. One that is longer than anything of its kind is altered, and not read.
    fn optional(&mut self, axis: Axis, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let read = self.read(axis, path, limit_bytes)?;
        Ok(if let Held::Whole(bytes) = read { Some(bytes) } else { None })
    }

    /// A file that has to be there.
    fn required(&mut self, axis: Axis, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        match self.read(axis, path, limit_bytes)? {
            Held::Whole(bytes) => return Ok(Some(bytes)),
            Held::Not => {
                self.bad(axis, FindingKind::FileMissing, Place::file(path), format!("The file {path} is missing from the bundle."))
            }
            Held::TooLong => {}
        }
        Ok(None)
    }

    fn read(&mut self, axis: Axis, path: &str, limit_bytes: u64) -> Result<Held, SourceError> {
        let held = match self.source.read(path, limit_bytes) {
            Ok(Some(bytes)) => Held::Whole(bytes),
            Ok(None) => return Ok(Held::Not),
            Err(SourceError::TooLong { .. }) => {
                let sentence = format!("The file {path} is longer than the {limit_bytes} bytes that one of its kind has at most.");
                self.bad(axis, FindingKind::FileAltered, Place::file(path), sentence);
                Held::TooLong
            }
            Err(error) => return Err(error),
        };
        self.named.insert(path.to_owned());
        Ok(held)
    }

    /// What a statement has attached under a name, if it is here and what the statement says. What is wrong becomes a finding.
    fn attachment(&mut self, axis: Axis, entry: &Proven, name: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(attachment) = entry.statement().body.attachment(name) else { return Ok(None) };
        let path = attachment_path(&attachment.sha256);
        self.judged.insert((attachment.sha256, attachment.length));
        if attachment.length > JUDGED_ATTACHMENT_BYTES_MAX {
            let sentence = format!("The attachment {name} of entry {} is longer than anything of its kind.", entry.index);
            self.bad(axis, FindingKind::FileAltered, entry.place(), sentence);
            self.named.insert(path);
            return Ok(None);
        }
        let Some(stored) = self.required(axis, &path, JUDGED_ATTACHMENT_BYTES_MAX)? else { return Ok(None) };
        let content = attachment.open(&stored).map(<[u8]>::to_vec);
        if content.is_none() {
            let place = Place { index: Some(entry.index), ..Place::file(&path) };
            self.bad(axis, FindingKind::FileAltered, place, format!("The file {path} is not what entry {} names.", entry.index));
        }
        Ok(content)
    }

    fn checkpoint(&mut self) -> Result<Option<BundleCheckpoint>, SourceError> {
        let Some(bytes) = self.required(Axis::Signature, CHECKPOINT, SMALL_FILE_BYTES_MAX)? else { return Ok(None) };
        let verified = String::from_utf8(bytes).map_err(|_| "it is not text".to_owned()).and_then(|note| {
            let head = self.anchor.verifier.verify(&note).map_err(|error| error.to_string())?;
            Ok(BundleCheckpoint { note, head })
        });
        match verified {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(reason) => {
                let sentence = format!("The checkpoint is not signed by the log of the anchor: {reason}.");
                self.bad(Axis::Signature, FindingKind::Receipt, Place::file(CHECKPOINT), sentence);
                Ok(None)
            }
        }
    }

    /// Adds what the bundle has no evidence on, and what holds, so that every axis speaks.
    fn conclude(mut self, head: Option<&Checkpoint>) -> Verdict {
        for ((axis, kind, grade), found) in std::mem::take(&mut self.found) {
            if let Some(more) = found.checked_sub(FINDINGS_OF_A_KIND_MAX).filter(|more| *more > 0) {
                let sentence = format!("The same was found {more} times more; the first {FINDINGS_OF_A_KIND_MAX} are told.");
                self.findings.push(Finding::new(axis, grade, kind, sentence));
            }
        }
        for (axis, sentence) in NO_EVIDENCE {
            if !self.findings.iter().any(|finding| finding.axis == *axis && finding.speaks()) {
                self.lacking(*axis, FindingKind::NoEvidence, Place::default(), *sentence);
            }
        }
        let payload = match self.counts.fragments {
            0 => (Grade::NotDemanded, FindingKind::NoEvidence, "No content is disclosed that was judged.".to_owned()),
            count => (Grade::Good, FindingKind::Holds, format!("All {count} disclosed fragments are what the camera sealed.")),
        };
        let good = |sentence: String| (Grade::Good, FindingKind::Holds, sentence);
        let holds = [
            (Axis::Signature, good(format!("All {} entries are on the ledger and signed by whom they name.", self.counts.entries))),
            (Axis::Continuity, good("The chain has no hole, and the interval asked for is accounted for.".to_owned())),
            (Axis::Payload, payload),
        ];
        for (axis, (grade, kind, sentence)) in holds {
            if head.is_some() && !self.findings.iter().any(|finding| finding.axis == axis && finding.grade > Grade::NotDemanded) {
                self.findings.push(Finding::new(axis, grade, kind, sentence));
            } else if !self.findings.iter().any(|finding| finding.axis == axis) {
                let sentence = "It could not be judged, since the entries could not be proven.";
                self.findings.push(Finding::new(axis, Grade::Undecided, FindingKind::NoEvidence, sentence));
            }
        }
        let basis = self.basis(head);
        Verdict::new(self.findings, basis, self.counts).with_times(self.times)
    }

    fn basis(&self, head: Option<&Checkpoint>) -> Basis {
        let policy = &self.anchor.policy;
        let fingerprints = |certificates: &[exhibit_pki::Certificate]| -> Vec<String> {
            certificates.iter().map(|certificate| hex::encode(certificate.fingerprint())).collect()
        };
        let witnesses = policy.witnesses.iter().flat_map(|witnesses| witnesses.policy().witnesses());
        let authorities = policy.timestamp_authorities.iter().map(|authority| BasisAuthority {
            name: authority.name.clone(),
            independent: authority.independent,
            certificate: hex::encode(authority.certificate.fingerprint()),
        });
        Basis {
            log: self.anchor.log.to_string(),
            origin: self.anchor.verifier.origin.clone(),
            roots: fingerprints(&self.anchor.roots),
            demands: policy.demands.clone(),
            policy: BasisPolicy {
                witnesses: witnesses.map(|witness| witness.name.clone()).collect(),
                timestamp_authorities: authorities.collect(),
                custodians: policy.custodians.as_ref().map(|pinned| fingerprints(&pinned.certificates)).unwrap_or_default(),
                threshold: policy.custodians.as_ref().map_or(0, |pinned| pinned.threshold),
                device: policy.device,
                endorsement_roots: policy.endorsement_roots.iter().map(|root| hex::encode(root.fingerprint())).collect(),
                tpm_key: policy.tpm_key.as_ref().map(ToString::to_string),
            },
            checkpoint_size: head.map_or(0, |head| head.size),
            checkpoint_root: head.map(|head| head.root.to_string()).unwrap_or_default(),
            checkpoint_suites: self.anchor.verifier.keys.iter().map(|key| key.algorithm().to_string()).collect(),
            suites: self.suites.iter().cloned().collect(),
        }
    }
}

/// A file that a bundle is asked for.
enum Held {
    Whole(Vec<u8>),
    TooLong,
    Not,
}

/// So many findings of one kind are told one by one: a manifest can name a million files that are not there, and a verdict is for people.
const FINDINGS_OF_A_KIND_MAX: usize = 1_000;

/// Attachments that are judged are at most this long: checkpoints are, and tokens, statements and what a TPM says are shorter. Any number of
/// entries may name the same ones, and each is read again.
const JUDGED_ATTACHMENT_BYTES_MAX: u64 = 128 << 10;

/// What is said of an axis that nothing in the bundle speaks to.
const NO_EVIDENCE: &[(Axis, &str)] = &[
    (Axis::Witness, "No witness that the anchor names was heard: that the operator shows everybody the same log is not proven here."),
    (Axis::Time, "No trusted timestamp bounds a segment of the interval: times are the camera's own claim, the order is the ledger's."),
    (Axis::Revocation, "No revocation list was judged: certificates were valid at the times that their statements claim."),
    (Axis::Device, "No enrolment of the camera was judged: where its key is, is the authority's word."),
];

/// The interval asked for, by the camera's clock.
#[derive(Clone, Copy, Debug)]
struct Interval {
    from: Timestamp,
    to: Timestamp,
}

impl Interval {
    /// Whether some of the segment lies within, by the camera's clock.
    fn overlaps(self, segment: &Segment) -> bool {
        segment.overlaps(self.from, self.to)
    }
}
