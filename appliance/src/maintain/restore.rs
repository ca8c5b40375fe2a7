//! An appliance made whole: its ledger rebuilt to the newest head that is known, from itself, backups and mirrors, and its vault filled again.
//! `repair` and `restore` are both this; they differ in whether there is a ledger that runs the risk of being behind.
//!
//! It never goes on from a head that something outside of the backup shows to be old, or that nothing outside shows to be the newest: then the
//! honest way on is a successor.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_evidence::Anchor;
use exhibit_evidence::anchor::WitnessPolicy;
use exhibit_ledger::fsck::Damage;
use exhibit_ledger::rebuild::{RebuildError, SignedTree, rebuild};
use exhibit_ledger::source::{LedgerFolder, TileFolder};
use exhibit_ledger::{HeadSeal, Options, SealError};
use exhibit_tlog::witness::checkpoint_path;
use exhibit_tlog::{CheckpointError, Hash};

use super::backup::{copy, link_predecessor};
use super::carry::CarryError;
use super::fsck::{ATTACHMENT, CheckOptions, PAYLOAD, check};
use super::objects::Objects;
use super::place::Place;
use super::replay::Replay;
use super::sources::{SignedHead, Sources};
use super::tile_url::TileUrl;
use super::{FileError, at, beside, remove_if_there, sync_folder};
use crate::config::Config;
use crate::setup::{Folder, LEDGER, PUBLIC_FILES, SetupError, VAULT};
use crate::state_lock::LockedFolder;
use crate::vault::VaultError;
use crate::witnessing::known::ask_witnesses;

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
    /// One log goes on for another.
    #[error("{0} goes on for this log already")]
    HasSuccessor(PathBuf),
    /// What goes on in a successor.
    #[error(transparent)]
    Carry(#[from] CarryError),
    /// A sealed head.
    #[error(
        "the sealed head: {0}. Where the seal itself is damaged, set it aside, and give a newest checkpoint of somebody else (--checkpoint)"
    )]
    Seal(SealError),
    /// A mirror without a head tells nothing.
    #[error("the mirror {name} has no checkpoint that verifies: {defect}. Give it with its checkpoint, or leave it out")]
    Mirror {
        /// Which.
        name: String,
        /// Why.
        defect: String,
    },
    /// None of the sources has a checkpoint that verifies.
    #[error("none of the sources has a checkpoint of this log that verifies")]
    NoCheckpoint,
    /// A head that was signed or sealed is newer, or entries were stored beyond it.
    #[error(
        "{known} entries are known to have been on the log, and the newest head that the sources have whole is of {newest}: the rest would be \
         lost and the log forked. Add a mirror that has them, or go on in a successor (--successor)"
    )]
    Behind {
        /// Entries that are known.
        known: u64,
        /// Entries of the newest head.
        newest: u64,
    },
    /// A head that was sealed, or that somebody else holds, is of another tree.
    #[error(
        "the sources have a tree whose first {0} entries are not those of a head that was sealed or is held elsewhere: the log was forked. \
         Keep everything for an investigation, and go on in a successor (--successor)"
    )]
    OtherTree(u64),
    /// A checkpoint that somebody else holds is not this log's.
    #[error("a checkpoint that was given does not verify: {0}")]
    Known(CheckpointError),
    /// Nothing tells how far the log had come.
    #[error(
        "nothing tells that the {0} entries of the newest head that was found are all: heads beyond it may have been signed, and going on \
         would fork the log. Add a mirror, the seal as it was at the log's last stop, or a witness's newest checkpoint (--checkpoint), or go on \
         in a successor (--successor)"
    )]
    Unbounded(u64),
}

/// Makes the appliance in `folder` whole. Each of `from` is a backup or a mirror, and the mirrors of the configuration are sources too; each of
/// `known` is a signed checkpoint that somebody else holds, which the result has to contain, as what witnesses and mirrors know.
///
/// Ended half-way, the same call goes on. Nothing is written but the public files before it is sure that it will not be refused.
pub fn restore(folder: &LockedFolder, from: &[Place], known: &[String], progress: &dyn Fn(u64, u64)) -> Result<Restored, RestoreError> {
    whole(folder, from, Gathered::of(folder, from, known)?, progress)
}

/// All that a restore goes by.
pub(super) struct Gathered {
    config: Config,
    places: Places,
    seals: Vec<Arc<dyn HeadSeal>>,
    pub sources: Sources,
}

impl Gathered {
    pub fn of(folder: &LockedFolder, from: &[Place], known: &[String]) -> Result<Self, RestoreError> {
        bring_files(folder, from, &PUBLIC_FILES.map(PathBuf::from))?;
        let (anchor, config) = (folder.anchor()?, folder.config()?);
        bring_files(folder, from, &Folder::named_files(&config))?;
        let places = Places::of(&folder.ledger_path())?;
        let seals = folder.head_seals(&config, &anchor.verifier);
        // Nobody else goes on with the log meanwhile, not from a copy of the folder either.
        seals.iter().try_for_each(|seal| seal.claim()).map_err(RestoreError::Seal)?;
        let mut sources = Sources::new(anchor.verifier.clone());
        add_ledgers(&mut sources, folder, &config, &places, from)?;
        add_configured(&mut sources, folder, &config, &anchor)?;
        sources.add_seals(&seals)?;
        known.iter().try_for_each(|note| sources.add_held(note))?;
        Ok(Self { config, places, seals, sources })
    }
}

/// Makes it whole from what was gathered.
pub(super) fn whole(
    folder: &LockedFolder,
    from: &[Place],
    gathered: Gathered,
    progress: &dyn Fn(u64, u64),
) -> Result<Restored, RestoreError> {
    let target = gathered.sources.target(&gathered.sources.list())?;
    make(folder, from, gathered, target, true, progress)
}

/// Makes what is left of a log that does not go on: up to the newest head that the sources have whole. It is read, and nothing is sealed.
pub(super) fn what_is_left(
    folder: &LockedFolder,
    from: &[Place],
    gathered: Gathered,
    progress: &dyn Fn(u64, u64),
) -> Result<Restored, RestoreError> {
    let target = gathered.sources.newest_whole(&gathered.sources.list()).ok_or(RestoreError::NoCheckpoint)?;
    make(folder, from, gathered, target, false, progress)
}

fn make(
    folder: &LockedFolder,
    from: &[Place],
    gathered: Gathered,
    target: SignedHead,
    goes_on: bool,
    progress: &dyn Fn(u64, u64),
) -> Result<Restored, RestoreError> {
    let Gathered { config, places, seals, sources } = gathered;
    let listed = sources.list();
    let tree = SignedTree::prove(&target.head, &listed)?;
    // Where a tile is missing, so are the entries below it, which refuses next.
    for shown in sources.shown() {
        if tree.root_at(shown.size).is_some_and(|root| root != shown.root) {
            return Err(RestoreError::OtherTree(shown.size));
        }
    }
    let mut objects = Objects::new(folder.vault()?, folders(from).map(|source| source.join(VAULT)).filter(|vault| vault.is_dir()));
    tree.each_entry(0, |_, entry| objects.survey(entry))?;
    // All that can refuse has been asked. Objects come before their entries, and a ledger's rows are made of them.
    let mut outcome = Ok(());
    tree.each_entry(0, |_, entry| {
        if outcome.is_ok() {
            outcome = objects.fill(entry);
        }
    })?;
    outcome?;
    let mut replay = Replay::new(folder.vault_as_it_is(), folder.anchor()?.log, progress);
    let ledger = rebuild(&places.rebuilt, unsealed(folder, &config)?, &target.note, &listed, &mut replay)?;
    let (note, head) = ledger.checkpoint().ok_or(RestoreError::NoCheckpoint)?;
    drop((ledger, replay, tree));
    drop(listed);
    drop(sources);
    let set_aside = places.swap()?;
    for seal in seals.into_iter().filter(|_| goes_on) {
        seal.write(&head, &note).map_err(RestoreError::Seal)?;
    }
    objects.erase(&folder.vault_path())?;
    let left = mend_what_is_left(folder, &mut objects, &target)?;
    Ok(Restored { size: head.size, set_aside, objects: objects.taken.len() as u64, left })
}

/// What is no secret and not there yet.
fn bring_files(folder: &LockedFolder, from: &[Place], names: &[PathBuf]) -> Result<(), FileError> {
    for source in folders(from) {
        for name in names {
            let (there, here) = (source.join(name), folder.path().join(name));
            if there.exists() && !here.exists() {
                copy(&there, &here)?;
            }
        }
        link_predecessor(&Folder::new(source), folder.path())?;
    }
    sync_folder(folder.path())
}

fn folders(from: &[Place]) -> impl Iterator<Item = &PathBuf> {
    from.iter().filter_map(|place| if let Place::Folder(path) = place { Some(path) } else { None })
}

/// The mirrors of the configuration, and what its witnesses and mirrors know.
fn add_configured(sources: &mut Sources, folder: &LockedFolder, config: &Config, anchor: &Anchor) -> Result<(), RestoreError> {
    let copy = checkpoint_path(&anchor.verifier.origin);
    let copy = copy.strip_suffix("/checkpoint").expect("that is its name");
    let roots = folder.server_roots(config);
    for mirror in folder.mirrors(config) {
        let url = format!("{}/{copy}", mirror.monitoring_url.trim_end_matches('/'));
        match TileUrl::open(&url, &roots) {
            Ok(mirror) => sources.add_configured(Box::new(mirror)),
            Err(reason) => tracing::warn!(url, ?reason, "a mirror that is configured can not be read"),
        }
    }
    let has_file = config.witness_policy.as_ref().is_some_and(|name| folder.path().join(name).exists());
    // Where the policy's file is lost, the anchor has it.
    let policy = match has_file {
        true => folder.witness_policy(config, &anchor.verifier)?,
        false => anchor.policy.witnesses.clone(),
    };
    sources.add_heard(ask_witnesses(folder, config, &anchor.verifier, policy.as_ref().map(WitnessPolicy::policy))?);
    Ok(())
}

fn add_ledgers(sources: &mut Sources, folder: &LockedFolder, config: &Config, places: &Places, from: &[Place]) -> Result<(), RestoreError> {
    if let Some(own) = &places.own {
        sources.add_own(own, unsealed(folder, config)?);
    }
    if let Some(earlier) = &places.earlier {
        sources.add_copy(earlier, unsealed(folder, config)?);
    }
    for place in from {
        match place {
            Place::Folder(path) if path.join(LEDGER).is_dir() => sources.add_copy(&path.join(LEDGER), unsealed(folder, config)?),
            Place::Folder(path) if path.join("tile").is_dir() => sources.add_mirror(Box::new(TileFolder::new(path)))?,
            Place::Folder(path) => return Err(SetupError::NoSource(path.clone()).into()),
            Place::Url(url) => {
                let mirror = TileUrl::open(url, &folder.server_roots(config));
                let mirror = mirror.map_err(|defect| RestoreError::Mirror { name: url.clone(), defect })?;
                sources.add_mirror(Box::new(mirror))?;
            }
        }
    }
    Ok(())
}

/// The log's options. Sealed is only what has taken its place.
fn unsealed(folder: &LockedFolder, config: &Config) -> Result<Options, SetupError> {
    Ok(Options { seals: Vec::new(), ..folder.options(&folder.anchor()?.verifier.origin, config)? })
}

/// Where ledgers are while one is made whole.
struct Places {
    /// Where it belongs.
    ledger: PathBuf,
    /// The one that is there, or that an earlier attempt had set aside when it ended.
    own: Option<PathBuf>,
    /// What an earlier attempt had rebuilt when it ended: a source like others.
    earlier: Option<PathBuf>,
    /// Where the new one is made.
    rebuilt: PathBuf,
}

impl Places {
    fn of(ledger: &Path) -> Result<Self, FileError> {
        let (rebuilt, earlier) = (beside(ledger, REBUILT), beside(ledger, EARLIER));
        if rebuilt.exists() {
            // The one with more in it is kept.
            let size = |ledger: &Path| LedgerFolder::open(ledger).and_then(|ledger| ledger.size()).unwrap_or(0);
            if earlier.exists() && size(&rebuilt) <= size(&earlier) {
                remove_if_there(&rebuilt)?;
            } else {
                remove_if_there(&earlier)?;
                rename(&rebuilt, &earlier)?;
            }
        }
        let newest_aside = numbers_aside(ledger).max().map(|number| aside(ledger, number));
        let own = if ledger.exists() { Some(ledger.to_owned()) } else { newest_aside };
        let earlier = Some(earlier).filter(|earlier| earlier.exists());
        Ok(Self { ledger: ledger.to_owned(), own, earlier, rebuilt })
    }

    /// The rebuilt ledger takes the place of the one that is there, which is kept.
    fn swap(self) -> Result<Option<PathBuf>, FileError> {
        let mut set_aside = self.own;
        if self.ledger.exists() {
            let aside = aside(&self.ledger, numbers_aside(&self.ledger).max().map_or(1, |number| number.saturating_add(1)));
            rename(&self.ledger, &aside)?;
            set_aside = Some(aside);
        }
        rename(&self.rebuilt, &self.ledger)?;
        self.earlier.map_or(Ok(()), |earlier| remove_if_there(&earlier))?;
        Ok(set_aside)
    }
}

/// Whether a repair or restore of a ledger that is not there has ended half-way.
pub(crate) fn is_half_way(ledger: &Path) -> bool {
    numbers_aside(ledger).next().is_some() || [REBUILT, EARLIER].iter().any(|suffix| beside(ledger, suffix).exists())
}

/// The numbers of the ledgers that were set aside.
fn numbers_aside(ledger: &Path) -> impl Iterator<Item = u32> {
    let prefix = format!("{LEDGER}{SET_ASIDE}");
    let names = fs::read_dir(ledger.parent().expect("ledgers lie in the state folder")).into_iter().flatten().flatten();
    names.filter_map(move |name| name.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
}

fn aside(ledger: &Path, number: u32) -> PathBuf {
    beside(ledger, &format!("{SET_ASIDE}{number}"))
}

/// Durable when it returns.
fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(at(from))?;
    sync_folder(to.parent().expect("ledgers lie in the state folder"))
}

/// Checks all, and puts back each damaged object that a source has right. Gives the damage that is left.
fn mend_what_is_left(folder: &LockedFolder, objects: &mut Objects, target: &SignedHead) -> Result<Vec<Damage>, RestoreError> {
    let mut left = damages(folder)?;
    let is_object = |damage: &Damage| [ATTACHMENT, PAYLOAD].contains(&&*damage.part);
    let damaged: HashSet<Hash> = left.iter().filter(|damage| is_object(damage)).filter_map(|damage| Hash::from_hex(&damage.name)).collect();
    if damaged.is_empty() {
        return Ok(left);
    }
    let ledger = LedgerFolder::open(&folder.ledger_path()).map_err(SetupError::from)?;
    let ledgers: [&dyn exhibit_ledger::source::Source; 1] = [&ledger];
    let before = objects.taken.clone();
    let mut outcome = Ok(());
    SignedTree::prove(&target.head, &ledgers)?.each_entry(0, |_, entry| {
        if outcome.is_ok() {
            outcome = objects.fill_wanted(entry, &damaged);
        }
    })?;
    outcome?;
    // What was fetched was hashed on its way.
    left.retain(|damage| {
        !is_object(damage) || !Hash::from_hex(&damage.name).is_some_and(|hash| objects.taken.contains(&hash) && !before.contains(&hash))
    });
    Ok(left)
}

fn damages(folder: &LockedFolder) -> Result<Vec<Damage>, SetupError> {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let options = CheckOptions { threads, bytes_per_s: None, state_file: None, progress: &|_| {}, stop: &stop };
    Ok(check(folder, &options)?.damages)
}

/// Beside the ledger: what is being rebuilt, what an ended attempt had rebuilt, and ledgers that were replaced.
const REBUILT: &str = ".rebuilt";
const EARLIER: &str = ".earlier-attempt";
const SET_ASIDE: &str = ".damaged-";
