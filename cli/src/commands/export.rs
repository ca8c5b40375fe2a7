//! `exhibit export`: a bundle for court out of what was fetched: proofs under one checkpoint, playable copies, and the exporter's signature.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use exhibit_evidence::body::{AttachmentRef, Export, SeqRange};
use exhibit_evidence::bundle::{self, BundleSource, Disclosure, FileRecord, MANIFEST, MANIFEST_TYPE, Manifest};
use exhibit_evidence::working_copy::WorkingCopies;
use exhibit_evidence::{Body, SignedStatement, StreamName};
use exhibit_pki::Timestamp;
use exhibit_pki::signature::AwsLc;
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use crate::arguments::{Connection, Earlier, software};
use crate::bundle_folder::{self, BundleFolder};
use crate::case_folder::Case;
use crate::commands::share::erasable;
use crate::commands::time_evidence::{Proofs, receipts_over};
use crate::commands::verify;
use crate::failure::Failure;
use crate::screen::{print_json_result, say_result, tell};
use crate::session::{Session, now};

/// What the bundle says of itself.
const README: &str = include_str!("../bundle_readme.md");
/// The statement that stands in it as an example.
const README_ENTRY: &str = "entries/<index>.p7s -certfile";
/// The fragment that does.
const README_FRAGMENT: &str = "J=<index> L=<last> FILE=<fragment> KEY=<key>";

/// What can be asked.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    earlier: Earlier,
    /// The folder that `exhibit fetch` made.
    #[arg(long)]
    case: PathBuf,
    /// The bundle's folder, to be made.
    #[arg(long)]
    out: PathBuf,
    /// Why; a case number, perhaps. It can be erased later.
    #[arg(long, default_value = "")]
    purpose: String,
}

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    let case = Case::read(&command.case)?;
    let mut session = Session::open_for(&command.connection, &command.earlier)?;
    if case.log != session.anchor.log.to_string() {
        return Err(Failure::content(&command.case, "the case is of another log than the anchor"));
    }
    let source = BundleFolder::open(&command.case)?;
    bundle_folder::create_empty(&command.out)?;
    copy_tree(&command.case.join("entries"), &command.out.join("entries"))?;
    copy_tree(&command.case.join("attachments"), &command.out.join("attachments"))?;
    copy_tree(&command.case.join("disclosed"), &command.out.join("disclosed"))?;
    let working = write_working_copies(&source, &case, &command.out)?;
    let mut files = working.clone();
    files.push(write_recorded(&command.out, "README.md", readme(&source, &case)?.as_bytes())?);
    let manifest = Manifest {
        type_name: MANIFEST_TYPE.to_owned(),
        log: case.log.clone(),
        created: now().to_string(),
        software: software(),
        question: case.question.clone(),
        entries: case.entries.clone(),
        segments: case.segments.clone(),
        files,
    };
    let manifest = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
    bundle_folder::write(&command.out, MANIFEST, &manifest)?;
    let export = issue_export(&mut session, &case, &manifest, &command.purpose).await?;
    if session.is_of_ended() {
        tell(format!(
            "the export is on the log that goes on, at index {}, and not in the bundle, which is of the log that has ended",
            export.1
        ));
    }
    prove(&mut session, &source, &case, &export, &command.out).await?;

    let anchor = command.earlier.of_log.as_ref().unwrap_or(&command.connection.anchor);
    let verdict = verify::judge(&command.out, anchor, &AwsLc)?;
    if json {
        let copies: Vec<_> = working.iter().map(|file| command.out.join(&file.path)).collect();
        print_json_result(serde_json::json!(
            { "bundle": command.out, "working_copies": copies, "grade": verdict.grade, "segments": case.segments.len() }
        ))?;
    } else {
        let mut lines = verify::table(&verdict, &command.out.display().to_string());
        lines.extend([String::new(), format!("The bundle is {}; it plays as:", command.out.display())]);
        lines.extend(working.iter().map(|file| format!("  {}", command.out.join(&file.path).display())));
        say_result(&lines)?;
    }
    Ok(verdict.grade.exit_code())
}

/// Signs the export and puts it on the ledger before the bundle is whole: nobody exports without a trace.
async fn issue_export(session: &mut Session, case: &Case, manifest: &[u8], purpose: &str) -> Result<(SignedStatement, u64), Failure> {
    let damaged = |what: &str| Failure::Cannot(format!("case.json is damaged: {what}; fetch again"));
    let mut ranges: Vec<SeqRange> = Vec::new();
    for segment in &case.segments {
        let stream = StreamName::parse(&segment.stream).map_err(|error| damaged(&error.to_string()))?;
        match ranges.last_mut() {
            Some(range) if range.stream == stream && range.last + 1 == segment.seq => range.last = segment.seq,
            _ => ranges.push(SeqRange { stream, first: segment.seq, last: segment.seq }),
        }
    }
    let stored = if purpose.is_empty() { vec![] } else { vec![erasable(purpose.as_bytes())] };
    let body = Export {
        fetch: Hash::from_hex(&case.fetch).ok_or_else(|| damaged("the fetch is not a hash"))?,
        ranges,
        manifest: Hash(Sha256::digest(manifest).into()),
        attachments: stored.iter().map(|stored| AttachmentRef::of("purpose", stored, true)).collect(),
    };
    let stored: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
    let (signed, receipt) = session.issue(Body::Export(body), &stored).await?;
    Ok((signed, receipt.index))
}

/// Writes the checkpoint and a receipt of every entry under it, the exporter's own included.
async fn prove(
    session: &mut Session,
    source: &BundleFolder,
    case: &Case,
    export: &(SignedStatement, u64),
    out: &Path,
) -> Result<(), Failure> {
    // Of a log that has ended all is under its last checkpoint; who exports from it says so on the log that goes on.
    let newest = if session.is_of_ended() { case.entries.last().copied().unwrap_or(0) } else { export.1 };
    let mut proofs = Proofs::new(receipts_over(session, newest).await?, &entry_of(source, 0)?);
    bundle_folder::write(out, bundle::CHECKPOINT, proofs.receipts.checkpoint().as_bytes())?;
    for index in &case.entries {
        let signed = entry_of(source, *index)?;
        let receipt = proofs.receipts.of(&mut session.appliance, *index, &signed.leaf_hash()).await?;
        bundle_folder::write(out, &bundle::receipt_path(*index), receipt.as_bytes())?;
        for (path, proof) in proofs.of(session, *index, &signed).await? {
            bundle_folder::write(out, &path, proof.as_bytes())?;
        }
    }
    if session.is_of_ended() {
        return Ok(());
    }
    let (signed, index) = export;
    let receipt = proofs.receipts.of(&mut session.appliance, *index, &signed.leaf_hash()).await?;
    for (path, proof) in proofs.of(session, *index, signed).await? {
        bundle_folder::write(out, &path, proof.as_bytes())?;
    }
    bundle_folder::write(out, bundle::EXPORT_ENTRY, signed.der())?;
    bundle_folder::write(out, bundle::EXPORT_RECEIPT, receipt.as_bytes())
}

/// Makes the playable copies and says what they are.
fn write_working_copies(source: &BundleFolder, case: &Case, out: &Path) -> Result<Vec<FileRecord>, Failure> {
    let (mut copies, mut files) = (WorkingCopies::default(), Vec::<Vec<u8>>::new());
    let starts = segment_starts(source, case)?;
    for segment in &case.segments {
        let disclosure = read(source, &bundle::disclosure_path(&segment.stream, segment.seq), bundle::DISCLOSURE_BYTES_MAX)?;
        let disclosure = Disclosure::parse(&disclosure).map_err(Failure::Cannot)?;
        let start = starts.get(&(segment.stream.clone(), segment.seq));
        let start = start.ok_or_else(|| Failure::Cannot(format!("the case has no statement for segment {}; fetch again", segment.seq)))?;
        for fragment in &disclosure.fragments {
            let path = bundle::fragment_path(&segment.stream, segment.seq, fragment.index);
            let media = read(source, &path, bundle::FRAGMENT_BYTES_MAX)?;
            let piece = match fragment.index {
                0 => copies.first_fragment(&segment.stream, *start, &media),
                _ => copies.next_fragment(&media),
            };
            let piece = piece.map_err(|error| Failure::Cannot(format!("{path}: {error}")))?;
            if piece.begins_file {
                files.push(Vec::new());
            }
            files.last_mut().expect("the first fragment begins a file").extend(piece.bytes);
        }
    }
    let name = case.question.series.replace('/', "-");
    let named = files.into_iter().enumerate().map(|(number, file)| {
        let path = format!("working/{name}-{:02}.mp4", number + 1);
        write_recorded(out, &path, &file)
    });
    named.collect()
}

/// The README, whose examples are of this very bundle: the statement and the first fragment of its first segment.
fn readme(source: &BundleFolder, case: &Case) -> Result<String, Failure> {
    let Some(segment) = case.segments.first() else { return Ok(README.to_owned()) };
    let disclosure = read(source, &bundle::disclosure_path(&segment.stream, segment.seq), bundle::DISCLOSURE_BYTES_MAX)?;
    let disclosure = Disclosure::parse(&disclosure).map_err(Failure::Cannot)?;
    let mut text = README.to_owned();
    for index in &case.entries {
        let signed = entry_of(source, *index)?;
        if signed.statement().stream.as_str() == segment.stream && signed.statement().seq == segment.seq {
            text = text.replace(README_ENTRY, &format!("{} -certfile", bundle::entry_path(*index)));
        }
    }
    if let Some(fragment) = disclosure.fragments.first() {
        let last = u8::from(fragment.index as usize + 1 == disclosure.commitments.len());
        let file = bundle::fragment_path(&segment.stream, segment.seq, fragment.index);
        text = text.replace(README_FRAGMENT, &format!("J={:08x} L={last:02x} FILE={file} KEY={}", fragment.index, fragment.key));
    }
    Ok(text)
}

/// When each segment began, by its statement.
fn segment_starts(source: &BundleFolder, case: &Case) -> Result<HashMap<(String, u64), Timestamp>, Failure> {
    let mut starts = HashMap::new();
    for index in &case.entries {
        let signed = entry_of(source, *index)?;
        let statement = signed.statement();
        if let Body::Segment(segment) = &statement.body {
            starts.insert((statement.stream.as_str().to_owned(), statement.seq), segment.start);
        }
    }
    Ok(starts)
}

fn entry_of(source: &BundleFolder, index: u64) -> Result<SignedStatement, Failure> {
    let entry = read(source, &bundle::entry_path(index), bundle::SMALL_FILE_BYTES_MAX)?;
    SignedStatement::parse(&entry).map_err(|error| Failure::Cannot(format!("entry {index} of the case: {error}")))
}

fn read(source: &BundleFolder, path: &str, limit_bytes: u64) -> Result<Vec<u8>, Failure> {
    let bytes = source.read(path, limit_bytes).map_err(|error| Failure::Cannot(error.to_string()))?;
    bytes.ok_or_else(|| Failure::Cannot(format!("the case has lost {path}; fetch again")))
}

fn write_recorded(out: &Path, path: &str, bytes: &[u8]) -> Result<FileRecord, Failure> {
    bundle_folder::write(out, path, bytes)?;
    Ok(FileRecord { path: path.to_owned(), sha256: hex::encode(Sha256::digest(bytes)), length: bytes.len() as u64 })
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(Failure::file("create", to))?;
    for entry in fs::read_dir(from).map_err(Failure::file("read", from))? {
        let entry = entry.map_err(Failure::file("read", from))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(Failure::file("write", &target))?;
        }
    }
    Ok(())
}
