//! The whole appliance checked: the ledger by itself, then for every entry its attachments and its ciphertext in the vault.
//!
//! It changes nothing, and may run beside `serve`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use exhibit_evidence::segment::CiphertextChecker;
use exhibit_evidence::{AttachmentRef, Body, SignedStatement};
use exhibit_ledger::fsck::{Claim, Damage, Fsck, Look, Owner, Progress, Report};
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use super::carry::may_leap;
use crate::ingest::payload_object;
use crate::setup::{Folder, SetupError};
use crate::vault::{Object, Vault, VaultError};

/// How the check runs.
pub struct CheckOptions<'a> {
    /// Threads that read and hash.
    pub threads: usize,
    /// At most so many bytes a second.
    pub bytes_per_s: Option<u64>,
    /// Keeps how far it has come.
    pub state_file: Option<PathBuf>,
    /// Is told how far it has come.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Ends it early.
    pub stop: &'a AtomicBool,
}

/// Checks the state folder's ledger and vault.
pub fn check(folder: &Folder, options: &CheckOptions<'_>) -> Result<Report, SetupError> {
    let anchor = folder.anchor()?;
    let owner = Statements { vault: folder.vault_as_it_is(), log: anchor.log, erased: Mutex::default() };
    let fsck = Fsck {
        log: anchor.verifier,
        owner: &owner,
        threads: options.threads,
        bytes_per_s: options.bytes_per_s,
        state_file: options.state_file.clone(),
        progress: options.progress,
        stop: options.stop,
    };
    let mut report = fsck.run(&folder.ledger_path())?;
    let erased = owner.erased.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.damages.retain(|damage| damage.part != MISSING_ERASABLE || !erased.contains(&damage.name));
    for damage in report.damages.iter_mut().filter(|damage| damage.part == MISSING_ERASABLE) {
        damage.part = ATTACHMENT.to_owned();
    }
    report.damages.sort();
    Ok(report)
}

/// Reads entries as statements, and looks for what they name.
struct Statements {
    vault: Arc<dyn Vault>,
    log: Hash,
    /// SHA-256 of what an `erasure` names, hex.
    erased: Mutex<HashSet<String>>,
}

impl Owner for Statements {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        let signed = SignedStatement::parse(entry).map_err(|error| error.to_string())?;
        let statement = signed.statement();
        Ok(Claim {
            stream: statement.stream.to_string(),
            seq: statement.seq,
            prev: statement.prev,
            identity: signed.statement_hash(),
            is_last: matches!(statement.body, Body::Succession(_)),
            may_leap: may_leap(statement, &self.log),
        })
    }

    fn inspect(&self, index: u64, entry: &[u8], look: &Look<'_>, damages: &mut Vec<Damage>) {
        let Ok(signed) = SignedStatement::parse(entry) else { return };
        let body = &signed.statement().body;
        for attachment in body.attachments() {
            self.check_attachment(index, attachment, look, damages);
        }
        match body {
            Body::Segment(segment) => {
                let checker = Checker::Ciphertext(Box::new(CiphertextChecker::new(segment)));
                let hash = signed.statement_hash();
                if let Err(defect) = self.read(payload_object(&hash), body.payload_length(), checker, look) {
                    damages.push(Damage::new(PAYLOAD, hash, format_args!("of entry {index}, {}: {defect}", signed.statement().stream)));
                }
            }
            Body::Erasure(erasure) => {
                // A check that goes on has to know of it, too.
                look.again();
                let mut erased = self.erased.lock().unwrap_or_else(PoisonError::into_inner);
                erased.extend(erasure.erased.iter().map(|erased| erased.sha256.to_string()));
            }
            _ => {}
        }
    }
}

impl Statements {
    fn check_attachment(&self, index: u64, attachment: &AttachmentRef, look: &Look<'_>, damages: &mut Vec<Damage>) {
        let checker = Checker::Hash(Sha256::new(), attachment.sha256);
        if let Err(defect) = self.read(Object::Attachment(attachment.sha256), attachment.length, checker, look) {
            let part = if attachment.erasable && defect == GONE { MISSING_ERASABLE } else { ATTACHMENT };
            damages.push(Damage::new(part, attachment.sha256, format_args!("{:?} of entry {index}: {defect}", attachment.name)));
        }
    }

    /// In pieces, so that memory does not grow with objects, and each in its time.
    fn read(&self, object: Object, length: u64, mut checker: Checker, look: &Look<'_>) -> Result<(), String> {
        let unreadable = |error: VaultError| error.to_string();
        let stored = self.vault.open(object).map_err(unreadable)?.ok_or(GONE)?;
        if stored.length() != length {
            return Err(format!("it has {} bytes and {length} were signed", stored.length()));
        }
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(length).unwrap_or(PIECE_BYTES))];
        let mut offset = 0;
        while offset < length {
            let count = (length - offset).min(PIECE_BYTES as u64) as usize;
            stored.read_exact_at(&mut piece[..count], offset).map_err(unreadable)?;
            checker.update(&piece[..count]);
            offset += count as u64;
            if !look.read(count as u64) {
                // Whoever has ended the check does not want to know.
                return Ok(());
            }
        }
        if checker.finish() { Ok(()) } else { Err("it does not hash to what was signed".to_owned()) }
    }
}

/// Hashes an object as it is read.
pub(super) enum Checker {
    Hash(Sha256, Hash),
    Ciphertext(Box<CiphertextChecker>),
}

impl Checker {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Hash(hasher, _) => hasher.update(bytes),
            Self::Ciphertext(checker) => checker.update(bytes),
        }
    }

    /// Whether it was what was signed.
    pub(super) fn finish(self) -> bool {
        match self {
            Self::Hash(hasher, expected) => hasher.finalize().as_slice() == expected.0,
            Self::Ciphertext(checker) => checker.finish().is_ok(),
        }
    }
}

/// The part of a damage that is an attachment's.
pub const ATTACHMENT: &str = "attachment";
/// The part of a damage that is a segment's ciphertext.
pub const PAYLOAD: &str = "payload";
/// Until all erasures are known, which may stand later in the log.
const MISSING_ERASABLE: &str = "erasable attachment";
const GONE: &str = "it is missing";
/// So much of an object is in memory at a time.
pub(super) const PIECE_BYTES: usize = 1024 * 1024;
