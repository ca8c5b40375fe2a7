//! Judges a bundle: entries under one checkpoint, signers by certificates on the ledger, chains without holes, content by commitments.
//!
//! It knows no folder, no clock and no network, and trusts nothing that came with the bundle: log, keys and roots come in the anchor.

mod chain;
mod custody;
mod entries;
mod payload;

use exhibit_pki::{Timestamp, Verifier};
use exhibit_tlog::Checkpoint;

use crate::Anchor;
use crate::bundle::{BundleSource, CHECKPOINT, FileRecord, MANIFEST, MANIFEST_BYTES_MAX, Manifest, SMALL_FILE_BYTES_MAX, SourceError};
use crate::verdict::{Axis, Basis, Counts, Finding, FindingKind, Grade, Place, Verdict};

/// Working copies are at most this long: a day of video at 40 Mbit/s.
const WORKING_COPY_BYTES_MAX: u64 = 512 << 30;

/// Why there is no verdict at all (exit code 2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotJudge {
    /// There is no manifest, or it is not one of ours.
    #[error("this is not a bundle that this version can judge: {0}")]
    NotABundle(String),
    /// The bundle is of another log than the anchor.
    #[error("the bundle is of log {bundle}, and the anchor of log {anchor}: ask the operator of the right log for its anchor")]
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
/// Memory: the statements, and one fragment.
pub fn verify(source: &dyn BundleSource, anchor: &Anchor, verifier: &dyn Verifier) -> Result<Verdict, CannotJudge> {
    let manifest_bytes =
        source.read(MANIFEST, MANIFEST_BYTES_MAX)?.ok_or_else(|| CannotJudge::NotABundle(format!("it holds no {MANIFEST}")))?;
    let manifest = Manifest::parse(&manifest_bytes).map_err(|reason| CannotJudge::NotABundle(format!("{MANIFEST}: {reason}")))?;
    let interval = question_interval(&manifest)?;
    if manifest.log != anchor.log.to_string() {
        return Err(CannotJudge::OtherLog { bundle: manifest.log.clone(), anchor: anchor.log.to_string() });
    }
    let mut judgement = Judgement { source, anchor, verifier, findings: Vec::new(), counts: Counts::default() };
    let Some(checkpoint) = judgement.checkpoint()? else {
        return Ok(judgement.conclude(None));
    };
    let mut entries = entries::judge(&mut judgement, &manifest, &checkpoint)?;
    chain::judge(&mut judgement, &manifest, interval, &entries.held);
    payload::judge(&mut judgement, &manifest, interval, &entries.held)?;
    custody::judge(&mut judgement, &manifest, &manifest_bytes, &checkpoint, &mut entries)?;
    for file in &manifest.files {
        judgement.judge_file(file)?;
    }
    Ok(judgement.conclude(Some(&checkpoint.head)))
}

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
    findings: Vec<Finding>,
    counts: Counts,
}

impl Judgement<'_> {
    fn bad(&mut self, axis: Axis, kind: FindingKind, place: Place, sentence: impl Into<String>) {
        self.findings.push(Finding::new(axis, Grade::Bad, kind, sentence).at(place));
    }

    /// A small file that has to be there.
    fn required(&mut self, axis: Axis, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let bytes = self.source.read(path, limit_bytes)?;
        if bytes.is_none() {
            self.bad(axis, FindingKind::FileMissing, Place::file(path), format!("The file {path} is missing from the bundle."));
        }
        Ok(bytes)
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

    fn judge_file(&mut self, file: &FileRecord) -> Result<(), SourceError> {
        match self.source.hash(&file.path, WORKING_COPY_BYTES_MAX)? {
            None => {
                let sentence = format!("The file {} is missing from the bundle.", file.path);
                self.bad(Axis::Payload, FindingKind::FileMissing, Place::file(&file.path), sentence);
            }
            Some((sha256, length)) if sha256.to_string() != file.sha256 || length != file.length => {
                let sentence = format!("The file {} is not the one that the exporter's manifest names: it was changed since.", file.path);
                self.bad(Axis::Payload, FindingKind::FileAltered, Place::file(&file.path), sentence);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Adds what the bundle has no evidence on, and what holds, so that every axis speaks.
    fn conclude(mut self, head: Option<&Checkpoint>) -> Verdict {
        for (axis, sentence) in NO_EVIDENCE {
            self.findings.push(Finding::new(*axis, Grade::NotDemanded, FindingKind::NoEvidence, *sentence));
        }
        let holds = [
            (Axis::Signature, format!("All {} entries are on the ledger and signed by whom they name.", self.counts.entries)),
            (Axis::Continuity, "The chain has no hole, and the interval asked for is accounted for.".to_owned()),
            (Axis::Payload, format!("All {} disclosed fragments are what the camera sealed.", self.counts.fragments)),
        ];
        for (axis, sentence) in holds {
            if head.is_some() && !self.findings.iter().any(|finding| finding.axis == axis && finding.grade > Grade::NotDemanded) {
                self.findings.push(Finding::new(axis, Grade::Good, FindingKind::Holds, sentence));
            } else if !self.findings.iter().any(|finding| finding.axis == axis) {
                let sentence = "It could not be judged, since the entries could not be proven.";
                self.findings.push(Finding::new(axis, Grade::Undecided, FindingKind::NoEvidence, sentence));
            }
        }
        let basis = Basis {
            log: self.anchor.log.to_string(),
            origin: self.anchor.verifier.origin.clone(),
            roots: self.anchor.roots.iter().map(|root| hex::encode(root.fingerprint())).collect(),
            demands: vec![],
            checkpoint_size: head.map_or(0, |head| head.size),
            checkpoint_root: head.map(|head| head.root.to_string()).unwrap_or_default(),
            suites: vec!["ECDSA P-384 with SHA-384".to_owned()],
        };
        Verdict::new(self.findings, basis, self.counts)
    }
}

/// Axes that this version has no evidence on; the policy of an anchor does not demand them yet.
const NO_EVIDENCE: &[(Axis, &str)] = &[
    (Axis::Witness, "No witness is demanded by the anchor: that the operator shows everybody the same log is not proven here."),
    (Axis::Time, "No trusted timestamp is in the bundle: times are the camera's own claim, the order is the ledger's."),
    (Axis::Revocation, "No revocation list is in the bundle: certificates were valid by their dates when they signed."),
    (Axis::Device, "No attestation is in the bundle: that the camera's key is inside a TPM is the authority's word."),
];

/// The interval asked for, by the camera's clock.
#[derive(Clone, Copy, Debug)]
struct Interval {
    from: Timestamp,
    to: Timestamp,
}

fn question_interval(manifest: &Manifest) -> Result<Interval, CannotJudge> {
    let parse = |text: &str| Timestamp::parse(text).map_err(|error| CannotJudge::NotABundle(format!("{MANIFEST}: {text:?} is {error}")));
    let interval = Interval { from: parse(&manifest.question.from)?, to: parse(&manifest.question.to)? };
    if interval.from > interval.to {
        return Err(CannotJudge::NotABundle(format!("{MANIFEST}: the interval asked for ends before it begins")));
    }
    Ok(interval)
}
