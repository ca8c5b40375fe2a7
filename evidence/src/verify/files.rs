//! Files: those of the manifest and of statements hash as these say, and those that nothing names are told.

use exhibit_tlog::Hash;

use super::Judgement;
use super::entries::{Entries, Entry};
use crate::body::{ATTACHMENT_BYTES_MAX, AttachmentRef};
use crate::bundle::{FILES_MAX, FileRecord, README, REVOCATION_FOLDER, SourceError, WORKING_FOLDER, attachment_path};
use crate::verdict::{Axis, FindingKind, Grade, Place};

/// Working copies are at most this long: a day of video at 40 Mbit/s.
const WORKING_COPY_BYTES_MAX: u64 = 512 << 30;

pub(super) fn judge(judgement: &mut Judgement<'_>, entries: &Entries) -> Result<(), SourceError> {
    for entry in entries.all() {
        for attachment in entry.statement().body.attachments() {
            judge_attachment(judgement, entry, attachment)?;
        }
    }
    for file in &judgement.manifest.files {
        judge_file(judgement, file)?;
        let judged = [WORKING_FOLDER, REVOCATION_FOLDER].iter().any(|folder| file.path.starts_with(folder));
        if judgement.named.insert(file.path.clone()) && !judged && file.path != README {
            let sentence = format!("The file {} is the exporter's own: nothing of it is compared with what the camera sealed.", file.path);
            judgement.find(Axis::Payload, Grade::NotDemanded, FindingKind::ExporterFile, Place::file(&file.path), sentence);
        }
    }
    match judgement.source.list(FILES_MAX) {
        Ok(paths) => {
            // Whatever a name stands for that is listed again, nothing names it: one file was hashed.
            let again = |position: usize| position > 0 && paths[position - 1] == paths[position];
            for (position, path) in paths.iter().enumerate() {
                if again(position) || !judgement.named.contains(path) {
                    unlisted(judgement, path);
                }
            }
        }
        Err(error @ SourceError::TooManyFiles { .. }) => {
            let sentence = format!("What lies in the folder that nothing names was not looked for: {error}.");
            judgement.bad(Axis::Payload, FindingKind::FileUnlisted, Place::default(), sentence);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What no axis reads need not be here. What is here is what its statement names: somebody may open it beside a verdict that is good.
fn judge_attachment(judgement: &mut Judgement<'_>, entry: &Entry, attachment: &AttachmentRef) -> Result<(), SourceError> {
    let path = attachment_path(&attachment.sha256);
    if judgement.judged.insert((attachment.sha256, attachment.length)) {
        match hash(judgement, &path, ATTACHMENT_BYTES_MAX)? {
            Hashed::Not => return Ok(()),
            Hashed::Whole(found) if found == (attachment.sha256, attachment.length) => {}
            Hashed::Whole(_) | Hashed::TooLong => {
                let place = Place { index: Some(entry.index), ..Place::file(&path) };
                let sentence = format!("The file {path} is not what entry {} names.", entry.index);
                judgement.bad(Axis::Signature, FindingKind::FileAltered, place, sentence);
            }
        }
        judgement.named.insert(path);
    }
    Ok(())
}

fn judge_file(judgement: &mut Judgement<'_>, file: &FileRecord) -> Result<(), SourceError> {
    let found = match judgement.hashed.get(&file.path) {
        Some(hashed) => Hashed::Whole(*hashed),
        None => hash(judgement, &file.path, WORKING_COPY_BYTES_MAX)?,
    };
    match found {
        Hashed::Not => {
            let sentence = format!("The file {} is missing from the bundle.", file.path);
            judgement.bad(Axis::Payload, FindingKind::FileMissing, Place::file(&file.path), sentence);
        }
        Hashed::Whole((sha256, length)) if sha256.to_string() == file.sha256 && length == file.length => {}
        Hashed::Whole(_) | Hashed::TooLong => {
            let sentence = format!("The file {} is not the one that the exporter's manifest names: it was changed since.", file.path);
            judgement.bad(Axis::Payload, FindingKind::FileAltered, Place::file(&file.path), sentence);
        }
    }
    Ok(())
}

/// What is known of a file.
enum Hashed {
    Whole((Hash, u64)),
    TooLong,
    Not,
}

fn hash(judgement: &Judgement<'_>, path: &str, limit_bytes: u64) -> Result<Hashed, SourceError> {
    match judgement.source.hash(path, limit_bytes) {
        Ok(found) => Ok(found.map_or(Hashed::Not, Hashed::Whole)),
        Err(SourceError::TooLong { .. }) => Ok(Hashed::TooLong),
        Err(error) => Err(error),
    }
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
