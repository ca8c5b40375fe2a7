//! The state folder: `init` makes keys and a configuration, and `Folder` reads them back.
//!
//! It serves nothing, and never writes over a key.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_tlog::{Ed25519Cosigner, MlDsa44NoteSigner, NoteError, NoteSigner, VerifierKey};
use zeroize::Zeroizing;

use crate::config::{Config, ConfigError, sample};
use crate::disk::{Disk, LocalDisk};
use crate::mirror::{Checked, CopyError, Mirror, Watch, check};
use crate::store::{Store, StoreError};
use crate::witness::{Witness, WitnessError, origin_hash, own};

const CONFIG: &str = "witness.toml";
/// Seeds of the keys, hex.
const KEYS: [&str; 2] = ["witness-ed25519.key", "witness-ml-dsa-44.key"];
/// The same of the mirror.
const MIRROR_KEYS: [&str; 2] = ["mirror-ed25519.key", "mirror-ml-dsa-44.key"];
/// The copies.
const MIRROR: &str = "mirror";
/// What must not be forgotten.
const CHECKPOINTS: &str = "checkpoints";

/// Why the state folder could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file is there that would have to be written.
    #[error("{0} exists already: nothing is written over a key")]
    Exists(PathBuf),
    /// The configuration.
    #[error("{path}: {source}")]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// A key's seed.
    #[error("{0} is not a seed of 64 hexadecimal digits")]
    Seed(PathBuf),
    /// The name.
    #[error("the witness's name: {0}")]
    Name(#[from] NoteError),
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Entropy(getrandom::Error),
    /// What it keeps.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the mirror keeps.
    #[error(transparent)]
    Copy(CopyError),
    /// What it keeps, or its logs.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

/// A state folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A folder, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes keys and a sample configuration. Writes over nothing.
    pub fn init(&self, name: &str) -> Result<(), SetupError> {
        let seeds = [random()?, random()?, random()?, random()?];
        let names = KEYS.iter().chain(&MIRROR_KEYS);
        signers(&mirror_name(name), &[seeds[0].clone(), seeds[1].clone()])?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|source| SetupError::File { path: self.path.clone(), source })?;
        if let Some(path) = names.clone().chain([&CONFIG]).map(|name| self.path.join(name)).find(|path| path.exists()) {
            return Err(SetupError::Exists(path));
        }
        for (file, seed) in names.zip(&seeds) {
            let digits = Zeroizing::new(hex::encode(**seed));
            self.write_new(file, Zeroizing::new(format!("{}\n", &*digits)).as_bytes())?;
        }
        self.write_new(CONFIG, sample(name).as_bytes())
    }

    /// The configuration.
    pub fn config(&self) -> Result<Config, SetupError> {
        let path = self.path.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(|source| SetupError::File { path: path.clone(), source })?;
        Config::parse(&text).map_err(|source| SetupError::Config { path, source })
    }

    /// The keys, Ed25519 first.
    pub fn signers(&self, name: &str) -> Result<Vec<Arc<dyn NoteSigner>>, SetupError> {
        let [ed25519, ml_dsa] = KEYS.map(|file| self.seed(file));
        signers(name, &[ed25519?, ml_dsa?])
    }

    /// The mirror's keys, Ed25519 first: another cosigner, with another name.
    pub fn mirror_signers(&self, name: &str) -> Result<Vec<Arc<dyn NoteSigner>>, SetupError> {
        let [ed25519, ml_dsa] = MIRROR_KEYS.map(|file| self.seed(file));
        signers(&mirror_name(name), &[ed25519?, ml_dsa?])
    }

    /// The mirror of a witness's logs, with its copies.
    pub fn mirror(&self, config: &Config, witness: &Witness) -> Result<Mirror, SetupError> {
        Ok(Mirror::open(self.mirror_signers(&config.name)?, witness, &self.path.join(MIRROR), Arc::new(LocalDisk))?)
    }

    /// The copy of a log that the mirror keeps, re-hashed below the newest checkpoint that it has cosigned. `None` if it has none yet, or is filling it.
    pub fn check(&self, config: &Config, origin: &str, watch: &mut dyn Watch) -> Result<Option<Checked>, SetupError> {
        let (folder, hash) = (self.path.join(MIRROR), origin_hash(origin));
        let keys: Vec<VerifierKey> = self.mirror_signers(&config.name)?.iter().map(|signer| signer.verifier_key().clone()).collect();
        // The mirror may be running: what it puts in place of this meanwhile is another tree's, and this one's is not changed.
        let note = match fs::read_to_string(folder.join(&hash)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            note => note.map_err(|source| SetupError::File { path: folder.join(&hash), source })?,
        };
        let head = own(&keys, origin, note)?.checkpoint;
        let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
        check(&folder, &hash, &head, &disk, watch).map_err(SetupError::Copy)
    }

    /// The witness, with what it has cosigned. One process at a time.
    pub fn witness(&self, config: &Config) -> Result<Witness, SetupError> {
        let logs = config.verifiers().map_err(|source| SetupError::Config { path: self.path.join(CONFIG), source })?;
        let store = Store::open(&self.path.join(CHECKPOINTS), Arc::new(LocalDisk))?;
        Ok(Witness::open(self.signers(&config.name)?, logs, store)?)
    }

    fn seed(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, SetupError> {
        let path = self.path.join(name);
        let text = Zeroizing::new(fs::read(&path).map_err(|source| SetupError::File { path: path.clone(), source })?);
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), seed.as_mut_slice()).map_err(|_| SetupError::Seed(path))?;
        Ok(seed)
    }

    /// Writes a file that is not there yet, readable by nobody else, durable.
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), SetupError> {
        let path = self.path.join(name);
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            File::open(&self.path)?.sync_all()
        };
        written().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => SetupError::Exists(path.clone()),
            _ => SetupError::File { path: path.clone(), source },
        })
    }
}

fn signers(name: &str, [ed25519, ml_dsa]: &[Zeroizing<[u8; 32]>; 2]) -> Result<Vec<Arc<dyn NoteSigner>>, SetupError> {
    Ok(vec![Arc::new(Ed25519Cosigner::new(name, ed25519)?), Arc::new(MlDsa44NoteSigner::new(name, ml_dsa)?)])
}

fn mirror_name(name: &str) -> String {
    format!("{name}/mirror")
}

fn random() -> Result<Zeroizing<[u8; 32]>, SetupError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(SetupError::Entropy)?;
    Ok(bytes)
}
