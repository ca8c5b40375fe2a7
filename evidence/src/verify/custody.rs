//! Custody: who exported this bundle, and on what right: the exporter's statement names the manifest and the fetch before it.

use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use super::Judgement;
use super::entries::{Entries, Entry};
use super::ranges::Ranges;
use crate::Body;
use crate::body::{Export, SeqRange};
use crate::bundle::Manifest;
use crate::verdict::{Axis, FindingKind};

pub(super) fn judge(judgement: &mut Judgement<'_>, manifest_bytes: &[u8], entries: &Entries) {
    let Some(entry) = &entries.export else { return };
    let problem = match &entry.statement().body {
        Body::Export(export) => export_fits(export, entry, judgement.manifest, manifest_bytes, entries).err(),
        _ => Some("it is a statement of another type".to_owned()),
    };
    if let Some(reason) = problem {
        let sentence = format!("The exporter's statement does not stand for this bundle: {reason}.");
        judgement.bad(Axis::Signature, FindingKind::Export, entry.place(), sentence);
    }
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
    let granted = entries.by_leaf(grant).ok_or("the grant that the fetch names is not in the bundle")?;
    let is_of_camera = |scope: &str| format!("{}/", manifest.question.series).starts_with(&format!("{scope}/"));
    match &granted.statement().body {
        Body::Grant(_) if granted.index >= fetch_entry.index => Err("the grant that the fetch names came after it".to_owned()),
        Body::Grant(grant) if is_of_camera(&grant.scope) => Ok(()),
        _ => Err("what the fetch names as its grant is none for this camera".to_owned()),
    }
}

/// Every disclosed segment lies in one of the ranges; else which does not.
fn covers(ranges: &[SeqRange], manifest: &Manifest) -> Result<(), String> {
    let ranges = Ranges::new(ranges);
    match manifest.segments.iter().find(|segment| !ranges.hold(&segment.stream, segment.seq)) {
        Some(segment) => Err(format!("segment {} of {}", segment.seq, segment.stream)),
        None => Ok(()),
    }
}
