//! Custody: who exported this bundle, and on what right: the exporter's statement names the manifest and the fetch before it.

use exhibit_tlog::{Hash, LogProof};
use sha2::{Digest, Sha256};

use super::entries::{Entries, Entry, proven_entry};
use super::{BundleCheckpoint, Judgement};
use crate::Body;
use crate::body::{Export, SeqRange};
use crate::bundle::{EXPORT_ENTRY, EXPORT_RECEIPT, Manifest, SMALL_FILE_BYTES_MAX, SourceError};
use crate::verdict::{Axis, FindingKind, Place};

pub(super) fn judge(
    judgement: &mut Judgement<'_>,
    manifest: &Manifest,
    manifest_bytes: &[u8],
    checkpoint: &BundleCheckpoint,
    entries: &mut Entries,
) -> Result<(), SourceError> {
    let Some(receipt) = judgement.required(Axis::Signature, EXPORT_RECEIPT, SMALL_FILE_BYTES_MAX)? else { return Ok(()) };
    let index = String::from_utf8(receipt).ok().and_then(|text| LogProof::parse(&text).ok()).map(|proof| proof.index);
    let Some(index) = index else {
        let sentence = "The receipt of the exporter's statement is not a receipt.";
        judgement.bad(Axis::Signature, FindingKind::Receipt, Place::file(EXPORT_RECEIPT), sentence);
        return Ok(());
    };
    let Some(entry) = proven_entry(judgement, index, EXPORT_ENTRY, EXPORT_RECEIPT, checkpoint)? else { return Ok(()) };
    if !entries.signature_holds(judgement, &entry) {
        return Ok(());
    }
    judgement.counts.entries += 1;
    let problem = match &entry.statement().body {
        Body::Export(export) => export_fits(export, &entry, manifest, manifest_bytes, entries).err(),
        _ => Some("it is a statement of another type".to_owned()),
    };
    if let Some(reason) = problem {
        let sentence = format!("The exporter's statement does not stand for this bundle: {reason}.");
        judgement.bad(Axis::Signature, FindingKind::Export, entry.place(), sentence);
    }
    Ok(())
}

fn export_fits(export: &Export, entry: &Entry, manifest: &Manifest, manifest_bytes: &[u8], entries: &Entries) -> Result<(), String> {
    if export.manifest != Hash(Sha256::digest(manifest_bytes).into()) {
        return Err("it names another manifest: the manifest was changed after the export".to_owned());
    }
    covers(&export.ranges, manifest).map_err(|segment| format!("it does not name {segment}"))?;
    let fetch_entry = entries.by_leaf(&export.fetch).ok_or("the fetch that it names is not in the bundle")?;
    let Body::Fetch(fetch) = &fetch_entry.statement().body else {
        return Err("what it names as its fetch is something else".to_owned());
    };
    if fetch_entry.statement().stream.owner() != entry.statement().stream.owner() {
        return Err("the fetch that it names was somebody else's".to_owned());
    }
    if fetch_entry.index >= entry.index {
        return Err("the fetch that it names came after it".to_owned());
    }
    covers(&fetch.ranges, manifest).map_err(|segment| format!("the fetch did not ask for {segment}"))?;
    let Some(grant) = &fetch.grant else { return Ok(()) };
    match entries.by_leaf(grant).map(|granted| &granted.statement().body) {
        Some(Body::Grant(grant)) if manifest.question.series.starts_with(&format!("{}/", grant.scope)) => Ok(()),
        Some(_) => Err("what the fetch names as its grant is none for this camera".to_owned()),
        None => Err("the grant that the fetch names is not in the bundle".to_owned()),
    }
}

/// Every disclosed segment lies in one of the ranges; else which does not.
fn covers(ranges: &[SeqRange], manifest: &Manifest) -> Result<(), String> {
    let within =
        |stream: &str, seq: u64| ranges.iter().any(|range| range.stream.as_str() == stream && (range.first..=range.last).contains(&seq));
    match manifest.segments.iter().find(|segment| !within(&segment.stream, segment.seq)) {
        Some(segment) => Err(format!("segment {} of {}", segment.seq, segment.stream)),
        None => Ok(()),
    }
}
