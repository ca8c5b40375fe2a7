//! An appliance made whole: its ledger rebuilt to the newest head that is known, from itself, backups and mirrors, and its vault filled again.
//! `repair` and `restore` are both this; they differ in whether there is a ledger that runs the risk of being behind.
//!
//! It never goes on from a head that something outside of the backup shows to be old, or that nothing outside shows to be the newest.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_evidence::segment::CiphertextChecker;
use exhibit_evidence::{Anchor, Body, SignedStatement};
use exhibit_ledger::fsck::Damage;
use exhibit_ledger::rebuild::{RebuildError, rebuild};
use exhibit_ledger::source::{LedgerFolder, Source, TileFolder, newest_checkpoint};
use exhibit_ledger::{HeadSeal, LedgerError, Options, SealError, SealedHead};
use exhibit_tlog::tile::{BundleId, TILE_WIDTH};
use exhibit_tlog::{CheckpointError, Hash};
use sha2::{Digest, Sha256};

use super::backup::{copy, copy_objects};
use super::fsck::{ATTACHMENT, CheckOptions, PAYLOAD, check};
use super::replay::Replay;
use super::{FileError, at, beside, sync_folder};
use crate::config::Config;
use crate::setup::{Folder, LEDGER, PUBLIC_FILES, SetupError, VAULT};
use crate::vault::{LocalVault, Object, Vault, VaultError};

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Entries of the ledger.
    pub size: u64,
    /// Where the ledger that was there is kept, for an investigation.
    pub set_aside: Option<PathBuf>,
    /// Objects that were put back.
    pub objects: u64,
    /// Damage that is left: what no source had right.
    pub left: Vec<Damage>,
}

/// Why nothing was made whole. The ledger that is there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The state folder.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The rebuild.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// None of the sources has a checkpoint that verifies.
    #[error("none of the sources has a checkpoint of this log that verifies")]
    NoCheckpoint,
    /// A head that was sealed, or that somebody else holds, is newer.
    #[error(
        "a head of {known} entries is known, and the newest of all sources has {newest}: the rest would be lost and the log forked. Add a \
         mirror that has them, or go on in a successor (create-log --predecessor)"
    )]
    Behind {
        /// Entries of the head that is known.
        known: u64,
        /// Entries of the newest head.
        newest: u64,
    },
    /// A head that was sealed, or that somebody else holds, is of another tree.
    #[error(
        "the sources have a tree whose first {0} entries are not those of a head that was sealed or is held elsewhere: the log was forked. \
         Keep everything for an investigation, and go on in a successor (create-log --predecessor)"
    )]
    OtherTree(u64),
    /// A checkpoint that somebody else holds is not this log's.
    #[error("a checkpoint that was given does not verify: {0}")]
    Known(CheckpointError),
    /// Nothing tells how far the log had come.
    #[error(
        "nothing outside of the backup tells that it has the log's newest head: heads beyond it may have been signed, and going on would fork \
         the log. Add a mirror, the sealed head or a witness's checkpoint, or go on in a successor (create-log --predecessor)"
    )]
    Unbounded,
}

/// Makes the appliance in `folder` whole. Each of `from` is a backup (it has `ledger/`) or a mirror (it has `tile/`); each of `known` is a
/// signed checkpoint that somebody else holds, which the result has to contain.
pub fn restore(
    folder: &Folder,
    config: &Config,
    from: &[PathBuf],
    known: &[String],
    progress: &dyn Fn(u64, u64),
) -> Result<Restored, RestoreError> {
    for source in from {
        for name in PUBLIC_FILES {
            let (there, here) = (source.join(name), folder.path().join(name));
            if there.exists() && !here.exists() {
                copy(&there, &here)?;
            }
        }
    }
    let anchor = folder.anchor()?;
    let sources = Sources::open(&folder.ledger_path(), from)?;
    let listed = sources.list();
    let (note, head) = newest_checkpoint(&listed, &anchor.verifier).ok_or(RestoreError::NoCheckpoint)?;
    let seals = folder.head_seals(config, &anchor.verifier);
    let (sealed, held) = known_heads(&seals, &anchor, known)?;
    let is_bounded = !sealed.is_empty() || !sources.mirrors.is_empty() || held.iter().any(|held| held.size == head.size);
    let known = [sealed, held].concat();
    match known.iter().map(|known| known.size).max() {
        Some(known) if known > head.size => return Err(RestoreError::Behind { known, newest: head.size }),
        // What others hold is the newest only if it is the head that is restored: an older one tells nothing of what came behind it.
        _ if !is_bounded => return Err(RestoreError::Unbounded),
        _ => {}
    }
    let mut objects = 0;
    for source in from.iter().filter(|source| source.join(VAULT).is_dir()) {
        objects += copy_objects(&source.join(VAULT), &folder.vault_path())?;
    }
    let rebuilt = beside(&folder.ledger_path(), ".rebuilt");
    let mut replay = Replay::new(folder.vault_as_it_is(), progress);
    // Sealed is only what has taken its place.
    let options = Options { seals: Vec::new(), ..folder.options(&anchor.verifier.origin, config)? };
    let ledger = rebuild(&rebuilt, options, &note, &listed, &mut replay)?;
    let size = ledger.size();
    for known in known {
        if ledger.root_at(known.size).map_err(SetupError::from)? != Some(known.root) {
            return Err(RestoreError::OtherTree(known.size));
        }
    }
    drop((ledger, replay));
    drop(listed);
    drop(sources);
    let set_aside = swap(&folder.ledger_path(), &rebuilt)?;
    for seal in seals {
        seal.write(&head, &note).map_err(sealing_failed)?;
    }
    erase_again(folder)?;
    let mut left = damages(folder)?;
    let mended = mend_objects(folder, from, &left)?;
    if mended > 0 {
        objects += mended;
        left = damages(folder)?;
    }
    Ok(Restored { size, set_aside, objects, left })
}

/// Every head that something outside of the sources tells of: the sealed ones, and those that others hold.
fn known_heads(seals: &[Arc<dyn HeadSeal>], anchor: &Anchor, notes: &[String]) -> Result<(Vec<SealedHead>, Vec<SealedHead>), RestoreError> {
    let (mut sealed, mut held) = (Vec::new(), Vec::new());
    for seal in seals {
        sealed.extend(seal.read().map_err(sealing_failed)?);
    }
    for note in notes {
        let head = anchor.verifier.verify(note).map_err(RestoreError::Known)?;
        held.push(SealedHead { size: head.size, root: head.root });
    }
    Ok((sealed, held))
}

fn sealing_failed(error: SealError) -> RestoreError {
    SetupError::Ledger(LedgerError::from(error)).into()
}

/// All that entries can be had from.
struct Sources {
    ledgers: Vec<LedgerFolder>,
    mirrors: Vec<TileFolder>,
}

impl Sources {
    fn open(own: &Path, from: &[PathBuf]) -> Result<Self, SetupError> {
        let (mut ledgers, mut mirrors) = (Vec::new(), Vec::new());
        if own.exists() {
            // One that can not even be opened is no source, and no reason to give up.
            ledgers.extend(LedgerFolder::open(own).inspect_err(|error| tracing::warn!(%error, "the ledger that is there can not be read")));
        }
        for path in from {
            if path.join(LEDGER).is_dir() {
                ledgers.push(LedgerFolder::open(&path.join(LEDGER))?);
            } else if path.join("tile").is_dir() {
                mirrors.push(TileFolder::new(path));
            } else {
                return Err(SetupError::NoSource(path.clone()));
            }
        }
        Ok(Self { ledgers, mirrors })
    }

    fn list(&self) -> Vec<&dyn Source> {
        let ledgers = self.ledgers.iter().map(|ledger| ledger as &dyn Source);
        ledgers.chain(self.mirrors.iter().map(|mirror| mirror as &dyn Source)).collect()
    }
}

/// The rebuilt ledger takes the place of the one that is there, which is kept.
fn swap(ledger: &Path, rebuilt: &Path) -> Result<Option<PathBuf>, FileError> {
    let mut set_aside = None;
    if ledger.exists() {
        let free = (1..).map(|number: u32| beside(ledger, &format!(".damaged-{number}"))).find(|path| !path.exists());
        let aside = free.expect("some number is free");
        fs::rename(ledger, &aside).map_err(at(ledger))?;
        set_aside = Some(aside);
    }
    fs::rename(rebuilt, ledger).map_err(at(rebuilt))?;
    sync_folder(ledger.parent().expect("the ledger lies in the state folder"))?;
    Ok(set_aside)
}

fn damages(folder: &Folder) -> Result<Vec<Damage>, SetupError> {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let options = CheckOptions { threads, bytes_per_s: None, state_file: None, progress: &|_| {}, stop: &stop };
    Ok(check(folder, &options)?.damages)
}

/// Puts back each damaged object that a source's vault has right.
fn mend_objects(folder: &Folder, from: &[PathBuf], damages: &[Damage]) -> Result<u64, RestoreError> {
    let damaged =
        |part: &str| damages.iter().filter(|damage| damage.part == part).filter_map(|damage| Hash::from_hex(&damage.name)).collect();
    let (attachments, payloads): (HashSet<Hash>, HashSet<Hash>) = (damaged(ATTACHMENT), damaged(PAYLOAD));
    if attachments.is_empty() && payloads.is_empty() {
        return Ok(0);
    }
    let vaults: Vec<Arc<dyn Vault>> =
        from.iter().filter(|source| source.join(VAULT).is_dir()).map(|source| LocalVault::as_it_is(&source.join(VAULT))).collect();
    let own = folder.vault()?;
    let mut mended = 0;
    let mut mend = |object: Object, is_right: &dyn Fn(&[u8]) -> bool| -> Result<(), RestoreError> {
        for vault in &vaults {
            if let Some(bytes) = vault.read(object, OBJECT_BYTES_MAX)?.filter(|bytes| is_right(bytes)) {
                own.put(object, &bytes)?;
                mended += 1;
                break;
            }
        }
        Ok(())
    };
    for hash in attachments {
        mend(Object::Attachment(hash), &|bytes| Sha256::digest(bytes)[..] == hash.0)?;
    }
    let mut outcome = Ok(());
    each_statement(folder, |signed| {
        if let Body::Segment(segment) = &signed.statement().body
            && payloads.contains(&signed.statement_hash())
            && outcome.is_ok()
        {
            outcome = mend(Object::Payload(signed.statement_hash()), &|bytes| {
                let mut checker = CiphertextChecker::new(segment);
                checker.update(bytes);
                checker.finish().is_ok()
            });
        }
    })?;
    outcome.map(|()| mended)
}

/// What was erased since a backup was taken does not come back with it.
fn erase_again(folder: &Folder) -> Result<(), RestoreError> {
    let mut erased = Vec::new();
    each_statement(folder, |signed| {
        if let Body::Erasure(erasure) = &signed.statement().body {
            erased.extend(erasure.erased.iter().map(|erased| Object::Attachment(erased.sha256)));
        }
    })?;
    for object in erased {
        LocalVault::remove(&folder.vault_path(), object)?;
    }
    Ok(())
}

fn each_statement(folder: &Folder, mut visit: impl FnMut(&SignedStatement)) -> Result<(), RestoreError> {
    let ledger = LedgerFolder::open(&folder.ledger_path()).map_err(SetupError::from)?;
    let size = ledger.size().map_err(SetupError::from)?;
    for index in 0..size.div_ceil(u64::from(TILE_WIDTH)) {
        let width = (size - index * u64::from(TILE_WIDTH)).min(u64::from(TILE_WIDTH)) as u16;
        let entries = ledger.entries(BundleId { index, width }).into_iter().flatten();
        entries.filter_map(|entry| SignedStatement::parse(&entry).ok()).for_each(|signed| visit(&signed));
    }
    Ok(())
}

/// The largest ciphertext of a segment, with room.
const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;
