//! Files: those of the manifest hash as it says, and those that nothing names are told.

use super::Judgement;
use super::entries::Entries;
use crate::bundle::{FILES_MAX, FileRecord, README, REVOCATION_FOLDER, SourceError, WORKING_FOLDER, attachment_path};
use crate::verdict::{Axis, FindingKind, Grade, Place};

/// Working copies are at most this long: a day of video at 40 Mbit/s.
const WORKING_COPY_BYTES_MAX: u64 = 512 << 30;

pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries) -> Result<(), SourceError> {
    for attachment in entries.all().flat_map(|entry| entry.statement().body.attachments()) {
        judgement.named.insert(attachment_path(&attachment.sha256));
    }
    for file in &judgement.manifest.files {
        judge_file(judgement, file)?;
        let judged = [WORKING_FOLDER, REVOCATION_FOLDER].iter().any(|folder| file.path.starts_with(folder));
        if judgement.named.insert(file.path.clone()) && !judged && file.path != README {
            let sentence = format!("The file {} is the exporter's own: nothing of it is compared with what the camera sealed.", file.path);
            judgement.find(Axis::Payload, Grade::NotDemanded, FindingKind::ExporterFile, Place::file(&file.path), sentence);
        }
    }
    for path in judgement.source.list(FILES_MAX)? {
        if !judgement.named.contains(&path) {
            unlisted(judgement, &path);
        }
    }
    Ok(())
}

fn judge_file(judgement: &mut Judgement<'_>, file: &FileRecord) -> Result<(), SourceError> {
    let found = match judgement.hashed.get(&file.path) {
        Some(hashed) => Some(*hashed),
        None => judgement.source.hash(&file.path, WORKING_COPY_BYTES_MAX)?,
    };
    match found {
        None => {
            let sentence = format!("The file {} is missing from the bundle.", file.path);
            judgement.bad(Axis::Payload, FindingKind::FileMissing, Place::file(&file.path), sentence);
        }
        Some((sha256, length)) if sha256.to_string() != file.sha256 || length != file.length => {
            let sentence = format!("The file {} is not the one that the exporter's manifest names: it was changed since.", file.path);
            judgement.bad(Axis::Payload, FindingKind::FileAltered, Place::file(&file.path), sentence);
        }
        Some(_) => {}
    }
    Ok(())
}

/// Whoever browses a folder leaves files in it, so most are only told. Among the playable copies it would be taken for one of them.
fn unlisted(judgement: &mut Judgement<'_>, path: &str) {
    let (grade, sentence) = if path.starts_with(WORKING_FOLDER) {
        (Grade::Bad, format!("The file {path} lies among the playable copies, and the exporter's manifest does not name it."))
    } else {
        (Grade::NotDemanded, format!("The file {path} is no part of the bundle: nobody vouches for it."))
    };
    judgement.find(Axis::Payload, grade, FindingKind::FileUnlisted, Place::file(path), sentence);
}
