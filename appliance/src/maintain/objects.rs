//! The vault filled again: what entries name and the vault lacks, from the first vault that has it right.
//!
//! It takes nothing that no entry names, nothing unread, and nothing that was erased.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_evidence::segment::CiphertextChecker;
use exhibit_evidence::{Body, SignedStatement, body};
use exhibit_tlog::Hash;
use sha2::Sha256;

use super::fsck::{Checker, PIECE_BYTES};
use crate::ingest::payload_object;
use crate::vault::{LocalVault, Object, Vault, VaultError};

/// The vault that is filled, and those that it is filled from.
pub struct Objects {
    own: Arc<dyn Vault>,
    sources: Vec<(PathBuf, Arc<dyn Vault>)>,
    erased: HashSet<Hash>,
    /// Objects that were put in.
    pub taken: HashSet<Hash>,
}

/// An object as an entry names it.
struct Named {
    object: Object,
    hash: Hash,
    length: u64,
    /// Of a payload.
    segment: Option<body::Segment>,
}

impl Named {
    fn checker(&self) -> Checker {
        match &self.segment {
            Some(segment) => Checker::Ciphertext(Box::new(CiphertextChecker::new(segment))),
            None => Checker::Hash(Sha256::default(), self.hash),
        }
    }
}

impl Objects {
    /// `own` is opened for writing, each of `sources` as it is.
    pub fn new(own: Arc<dyn Vault>, sources: impl Iterator<Item = PathBuf>) -> Self {
        let sources = sources.map(|path| (path.clone(), LocalVault::as_it_is(&path))).collect();
        Self { own, sources, erased: HashSet::new(), taken: HashSet::new() }
    }

    /// Remembers what an entry says to be erased: all entries first, since an erasure stands behind what it erases.
    pub fn survey(&mut self, entry: &[u8]) {
        if let Ok(signed) = SignedStatement::parse(entry)
            && let Body::Erasure(erasure) = &signed.statement().body
        {
            self.erased.extend(erasure.erased.iter().map(|erased| erased.sha256));
        }
    }

    /// Fetches what an entry names and the vault lacks, and every attachment that is wrong: a ledger's rows are made of those.
    pub fn fill(&mut self, entry: &[u8]) -> Result<(), VaultError> {
        self.fetch(entry, |own, named| match named.object {
            Object::Attachment(_) => !is_right(own, named),
            Object::Payload(_) => !own.open(named.object).is_ok_and(|stored| stored.is_some_and(|stored| stored.length() == named.length)),
        })
    }

    /// Fetches those of the objects that are `wanted`.
    pub fn fill_wanted(&mut self, entry: &[u8], wanted: &HashSet<Hash>) -> Result<(), VaultError> {
        self.fetch(entry, |_, named| wanted.contains(&named.hash))
    }

    /// Removes what was erased, durably.
    pub fn erase(&self, vault: &Path) -> Result<(), VaultError> {
        self.erased.iter().try_for_each(|hash| LocalVault::remove(vault, Object::Attachment(*hash)))
    }

    fn fetch(&mut self, entry: &[u8], is_wanted: impl Fn(&dyn Vault, &Named) -> bool) -> Result<(), VaultError> {
        let Ok(signed) = SignedStatement::parse(entry) else { return Ok(()) };
        for named in named(&signed) {
            if self.erased.contains(&named.hash) || !is_wanted(&*self.own, &named) {
                continue;
            }
            for (path, source) in &self.sources {
                match copy(&**source, &*self.own, &named) {
                    Ok(true) => {
                        self.taken.insert(named.hash);
                        break;
                    }
                    Ok(false) => {}
                    // Another may have it; and what nobody has is named in the end.
                    Err(VaultError::Read(error)) => tracing::warn!(%error, vault = %path.display(), "an object can not be read"),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

fn named(signed: &SignedStatement) -> Vec<Named> {
    let body = &signed.statement().body;
    let attachments = body.attachments().iter().map(|attachment| Named {
        object: Object::Attachment(attachment.sha256),
        hash: attachment.sha256,
        length: attachment.length,
        segment: None,
    });
    let payload = match body {
        Body::Segment(segment) => Some(Named {
            object: payload_object(&signed.statement_hash()),
            hash: signed.statement_hash(),
            length: body.payload_length(),
            segment: Some(segment.clone()),
        }),
        _ => None,
    };
    attachments.chain(payload).collect()
}

fn is_right(vault: &dyn Vault, named: &Named) -> bool {
    each_piece(vault, named, |_| Ok(())).unwrap_or(false)
}

/// False where `from` does not have it right: nothing is left of it then.
fn copy(from: &dyn Vault, to: &dyn Vault, named: &Named) -> Result<bool, VaultError> {
    let mut staged = to.stage()?;
    let is_right = each_piece(from, named, |piece| staged.write(&[piece]))?;
    if is_right {
        staged.commit(named.object)?;
    }
    Ok(is_right)
}

/// Whether it is there, and hashes to what was signed.
fn each_piece(vault: &dyn Vault, named: &Named, mut take: impl FnMut(&[u8]) -> Result<(), VaultError>) -> Result<bool, VaultError> {
    let Some(stored) = vault.open(named.object)?.filter(|stored| stored.length() == named.length) else { return Ok(false) };
    let (mut checker, mut offset) = (named.checker(), 0);
    let mut piece = vec![0; PIECE_BYTES.min(named.length as usize)];
    while offset < named.length {
        let count = (named.length - offset).min(PIECE_BYTES as u64) as usize;
        stored.read_exact_at(&mut piece[..count], offset)?;
        checker.update(&piece[..count]);
        take(&piece[..count])?;
        offset += count as u64;
    }
    Ok(checker.finish())
}
