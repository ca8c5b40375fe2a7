//! The state folder: `init` makes keys and a request, and `Folder` reads back all that lies in it.
//!
//! It serves nothing, and never writes over a key.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_evidence::anchor::{WitnessPolicy, check_roots};
use exhibit_evidence::{Anchor, AnchorError};
use exhibit_ledger::{AwsLcMlDsa44NoteSigner, HeadSeal, Ledger, LedgerError, Options, SealedFile};
use exhibit_pki::{
    AwsLc, Certificate, CertificateError, ChainCertificate, Identity, KeyPurpose, PathError, Role, Signer, SignerError, SoftwareSigner,
    Subject, Timestamp, build_request_pem, validate_path,
};
use exhibit_tlog::{CheckpointError, Ed25519NoteSigner, LogVerifier, NoteError, NoteSigner};
use zeroize::Zeroizing;

use crate::config::{Config, ConfigError, MirrorConfig, SAMPLE, TimestampAuthorityConfig};
use crate::ended::{EndedLog, PREDECESSOR_FILES, PREDECESSOR_GENESIS};
use crate::maintain::restore::is_half_way;
use crate::registry::RegistryError;
use crate::tpm_seal::TpmSeal;
use crate::vault::{LocalVault, Vault, VaultError};
use crate::witnessing::{Witnessing, mirror::Mirror, stamp::TimestampSource};

const KEY: &str = "appliance.key";
const REQUEST: &str = "appliance.csr";
const CERTIFICATE: &str = "appliance.pem";
const CONFIG: &str = "appliance.toml";
/// The certificates of authorities between the root and the appliance.
pub(crate) const CHAIN: &str = "chain.pem";
/// The trusted roots.
pub(crate) const ROOT: &str = "root.pem";
/// What everybody else trusts.
pub(crate) const ANCHOR: &str = "anchor.json";
/// The ledger's folder.
pub const LEDGER: &str = "ledger";
/// The vault's.
pub const VAULT: &str = "vault";
/// The certificates above the appliance's, which a successor shares.
pub const SIGNERS_FILES: [&str; 2] = [CHAIN, ROOT];
/// The newest checkpoint that satisfies the witness policy.
const WITNESSED: &str = "witnessed";
/// What is no secret, and needed to go on.
pub const PUBLIC_FILES: [&str; 9] =
    [ANCHOR, CERTIFICATE, CHAIN, ROOT, REQUEST, CONFIG, PREDECESSOR_FILES[0], PREDECESSOR_FILES[1], PREDECESSOR_GENESIS];
/// A P-384 scalar is above n, or 0, with a chance of 2^-190: a second failure is not chance.
const KEY_DRAWS_MAX: usize = 2;

/// Why the state folder could not be made or read: each names the file, and what to do where that is not plain.
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
    #[error("{0} exists already: nothing is written over a key or a log")]
    Exists(PathBuf),
    /// The configuration.
    #[error("{path}: {source}")]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// A certificate.
    #[error("{path}: {source}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: CertificateError,
    },
    /// The roots are not those of one log.
    #[error("{path}: the roots {reason}; give those of the trust domain that the log is for")]
    Roots {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The appliance's certificate is not one to serve with.
    #[error("{CERTIFICATE} {0}")]
    OwnCertificate(String),
    /// Its path.
    #[error("{CERTIFICATE} has no path to {ROOT}: {0}")]
    Path(#[from] PathError),
    /// A key.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A note key's seed.
    #[error("{0} is not a seed of 64 hexadecimal digits")]
    Seed(PathBuf),
    /// Origin or note keys.
    #[error("the log's name or keys: {0}")]
    Note(#[from] NoteError),
    /// The anchor.
    #[error("{ANCHOR}: {0}")]
    Anchor(#[from] AnchorError),
    /// The witness policy.
    #[error("{path}: it {reason}")]
    WitnessPolicy {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A witness that is not in the policy.
    #[error("witness_monitoring names {0}, and the witness policy has no witness at that URL")]
    Monitoring(String),
    /// Nobody could be asked what they know of the log.
    #[error("no witness and no mirror could be asked what it knows of the log ({0}), and unwitnessed_start is \"refuse\"")]
    Unwitnessed(String),
    /// The identity is not that of an appliance.
    #[error("{0} is not the identity of an appliance (spiffe://<domain>/appliance/<id>)")]
    NotAnAppliance(Identity),
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Entropy(getrandom::Error),
    /// Who is banned.
    #[error("who is banned can not be read: {0}")]
    Bans(#[source] RegistryError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A vault that is not there.
    #[error(
        "{0} is empty or not there, and the log has begun: if it lies on a disk of its own, mount that disk; if it is lost, `exhibit-appliance repair` \
         puts back what backups have"
    )]
    NoVault(PathBuf),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The certificate of a timestamping authority.
    #[error("{path}: {reason}")]
    TimestampAuthority {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a backup nor a mirror.
    #[error("{0} is neither a backup (with ledger/) nor a mirror (with tile/)")]
    NoSource(PathBuf),
    /// The successor would be a second tree of its predecessor.
    #[error("the new log has the {0} of its predecessor. Give it an origin of its own, and a folder whose keys `init` has made")]
    SameLog(&'static str),
    /// The last checkpoint of a predecessor.
    #[error("the predecessor's last checkpoint: {0}")]
    Predecessor(CheckpointError),
    /// What is left of a predecessor is older than its last head that is named.
    #[error(
        "the state of the predecessor has {has} of the {named} entries that are named as its end. Restore it first, name a checkpoint that it has, or give \
         --accept-older-state: then what it has goes on, and the rest is known to be lost"
    )]
    OlderState {
        /// Entries that it has.
        has: u64,
        /// Entries that are named.
        named: u64,
    },
    /// Another program works in the folder.
    #[error("{0} is in use: another program serves it or works in it. Stop that first")]
    InUse(PathBuf),
    /// The TPM that is to sign checkpoints.
    #[error("the TPM of tpm_note gives no key: {0}")]
    TpmKey(String),
    /// What is on the ledger does not fit the folder.
    #[error("the ledger does not fit this folder: {0}")]
    OtherLog(&'static str),
}

/// A state folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// What a log begins with, beside what the folder holds.
pub struct NewLog<'a> {
    /// Its name.
    pub origin: &'a str,
    /// CA certificates between the appliance's and the root, PEM.
    pub chain_pem: &'a str,
    /// The trusted roots, PEM.
    pub root_pem: &'a str,
    /// The log that it goes on for.
    pub predecessor: Option<EndedLog>,
    /// Now.
    pub now: Timestamp,
}

/// The appliance's certificate, its key and the certificates around it.
pub struct Credentials {
    /// The certificate.
    pub certificate: Certificate,
    /// CA certificates above it, without the root.
    pub chain: Vec<Certificate>,
    /// The trusted roots.
    pub roots: Vec<Certificate>,
    /// The key, PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
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

    /// The ledger's folder.
    pub fn ledger_path(&self) -> PathBuf {
        self.path.join(LEDGER)
    }

    /// The vault's folder.
    pub fn vault_path(&self) -> PathBuf {
        self.path.join(VAULT)
    }

    /// Makes keys, a request for a certificate and a sample configuration. Gives back the request's path.
    pub fn init(&self, identity: &Identity) -> Result<PathBuf, SetupError> {
        if !matches!(identity.subject, Subject::Appliance(_)) {
            return Err(SetupError::NotAnAppliance(identity.clone()));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|source| SetupError::File { path: self.path.clone(), source })?;
        let mut wanted = vec![KEY, REQUEST];
        wanted.extend(Self::NOTE_KEYS);
        let _lock = self.lock()?;
        self.refuse_existing(&wanted)?;
        let signer = new_key()?;
        self.write_new(KEY, signer.to_pkcs8_pem().as_bytes())?;
        self.make_note_keys()?;
        let request = build_request_pem(identity, &signer)?;
        self.write_new(REQUEST, request.as_bytes())?;
        if !self.path.join(CONFIG).exists() {
            self.write_new(CONFIG, SAMPLE.as_bytes())?;
        }
        Ok(self.path.join(REQUEST))
    }

    /// The anchor that `create_log` wrote.
    pub fn anchor(&self) -> Result<Anchor, SetupError> {
        Ok(Anchor::parse(&self.read(ANCHOR)?)?)
    }

    /// What an appliance is known by in every log that it serves.
    pub const OWN_FILES: [&str; 5] = [KEY, REQUEST, CERTIFICATE, CHAIN, ROOT];

    /// The keys of a log's notes: seeds, hex.
    pub const NOTE_KEYS: [&str; 2] = ["note-ed25519.key", "note-ml-dsa-44.key"];

    /// The files that nobody else may read.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        std::iter::once(KEY).chain(Self::NOTE_KEYS).map(|name| self.path.join(name)).collect()
    }

    /// Makes the keys of a log's notes.
    pub fn make_note_keys(&self) -> Result<(), SetupError> {
        for name in Self::NOTE_KEYS {
            let seed = random::<32>()?;
            self.write_new(name, Zeroizing::new(format!("{}\n", &*Zeroizing::new(hex::encode(*seed)))).as_bytes())?;
        }
        Ok(())
    }

    /// The configuration as it is written.
    pub fn config_table(&self) -> Result<toml::Table, SetupError> {
        let path = self.path.join(CONFIG);
        self.read_text(CONFIG)?.parse().map_err(|error| SetupError::Config { path, source: ConfigError::Form(error) })
    }

    /// Writes the configuration of a state that has none.
    pub fn write_config(&self, text: &str) -> Result<(), SetupError> {
        self.write_new(CONFIG, text.as_bytes())
    }

    /// The certificates above the appliance's, and the roots.
    pub fn authorities(&self) -> Result<(Vec<Certificate>, Vec<Certificate>), SetupError> {
        let certificates = |name: &str| self.certificates(name, &self.read_text(name)?);
        Ok((certificates(CHAIN)?, certificates(ROOT)?))
    }

    /// The configuration.
    pub fn config(&self) -> Result<Config, SetupError> {
        let path = self.path.join(CONFIG);
        let text = self.read_text(CONFIG)?;
        Config::parse(&text).map_err(|source| SetupError::Config { path, source })
    }

    /// Certificate and key, checked against each other and the roots at `now`.
    pub fn credentials(&self, now: Timestamp) -> Result<Credentials, SetupError> {
        let mut own = self.certificates(CERTIFICATE, &self.read_text(CERTIFICATE)?)?;
        let (chain, roots) = self.authorities()?;
        // The authority may have put the chain behind the certificate.
        let certificate = own.swap_remove(0);
        let key_pem = Zeroizing::new(self.read_text(KEY)?);
        let wrong = |what: &str| Err(SetupError::OwnCertificate(what.to_owned()));
        if SoftwareSigner::from_pkcs8_pem(&key_pem)?.public_key() != certificate.public_key() {
            return wrong("is not for the key in appliance.key");
        }
        let of_appliance = certificate.identity().is_some_and(|identity| matches!(identity.subject, Subject::Appliance(_)));
        if !of_appliance || !certificate.has_role(Role::Appliance) || certificate.purpose() != KeyPurpose::Signing {
            return wrong("is not the signing certificate of an appliance");
        }
        if certificate.server_names().is_empty() {
            return wrong("names no server: have it signed with --server-name");
        }
        validate_path(&certificate, &chain, &roots, now, &AwsLc)?;
        Ok(Credentials { certificate, chain, roots, key_pem })
    }

    /// The certificates of a file, which for roots must be such as an anchor can have.
    pub(crate) fn certificates(&self, name: &str, pem: &str) -> Result<Vec<Certificate>, SetupError> {
        let path = self.path.join(name);
        let certificates = Certificate::all_from_pem(pem).map_err(|source| SetupError::Certificate { path: path.clone(), source })?;
        if name == ROOT {
            check_roots(&certificates).map_err(|reason| SetupError::Roots { path, reason })?;
        }
        Ok(certificates)
    }

    /// The witness policy that is configured.
    pub fn witness_policy(&self, config: &Config, log: &LogVerifier) -> Result<Option<WitnessPolicy>, SetupError> {
        let Some(name) = &config.witness_policy else { return Ok(None) };
        let path = self.path.join(name);
        let text = fs::read_to_string(&path).map_err(|source| SetupError::File { path: path.clone(), source })?;
        WitnessPolicy::parse(&text, log).map(Some).map_err(|reason| SetupError::WitnessPolicy { path, reason })
    }

    /// The policy that the log goes by: what the anchor demands makes receipts final, whatever is configured, since everybody else goes by the
    /// anchor. A configured policy may say where the witnesses are now.
    pub fn policy(&self, config: &Config, anchor: &Anchor) -> Result<Option<WitnessPolicy>, SetupError> {
        let configured = self.witness_policy(config, &anchor.verifier)?;
        match (&configured, &anchor.policy.witnesses) {
            (Some(configured), Some(demanded)) if without_urls(configured.text()) != without_urls(demanded.text()) => {
                let path = self.path.join(config.witness_policy.as_deref().unwrap_or(Path::new(CONFIG)));
                let reason = format!("is not the policy that {ANCHOR} demands: only the witnesses' URLs may differ");
                Err(SetupError::WitnessPolicy { path, reason })
            }
            (None, demanded) => Ok(demanded.clone()),
            _ => Ok(configured),
        }
    }

    /// The witnessing of a log, going on from what was collected before.
    pub fn witnessing(&self, config: &Config, anchor: &Anchor, ledger: &Ledger) -> Result<Witnessing, SetupError> {
        let policy = self.policy(config, anchor)?.map(|witnesses| witnesses.policy().clone());
        Ok(Witnessing::open(policy, self.mirrors(config), anchor.verifier.clone(), ledger, self.witnessed_path())
            .monitored_at(config.witness_monitoring.clone()))
    }

    /// The mirrors that are configured.
    pub fn mirrors(&self, config: &Config) -> Vec<Mirror> {
        let mirror = |mirror: &MirrorConfig| Mirror {
            url: mirror.url.clone(),
            monitoring_url: mirror.monitoring_url(),
            keys: mirror.verifier_keys().expect("a configuration that was parsed has keys"),
        };
        config.mirrors.iter().map(mirror).collect()
    }

    /// The timestamping authorities that are configured.
    pub fn timestamp_sources(&self, config: &Config) -> Result<Vec<TimestampSource>, SetupError> {
        let source = |authority: &TimestampAuthorityConfig| {
            let name = authority.certificate.to_string_lossy().into_owned();
            let wrong = |reason: String| SetupError::TimestampAuthority { path: self.path.join(&name), reason };
            let certificate = ChainCertificate::from_pem(&self.read_text(&name)?).map_err(|error| wrong(error.to_string()))?;
            Ok(TimestampSource { url: authority.url.clone(), certificate })
        };
        config.timestamp_authorities.iter().map(source).collect()
    }

    /// The files beside it that a configuration names, where they lie in the state folder: no secrets, and needed to go on.
    pub fn named_files(config: &Config) -> Vec<PathBuf> {
        let certificates = config.timestamp_authorities.iter().map(|authority| &authority.certificate);
        let named = config.witness_policy.iter().chain(certificates).chain([&config.server_roots]);
        named.filter(|path| path.file_name() == Some(path.as_os_str())).cloned().collect()
    }

    /// The certificates that servers of others must lead to.
    pub fn server_roots(&self, config: &Config) -> PathBuf {
        self.path.join(&config.server_roots)
    }

    /// The vault.
    pub fn vault(&self) -> Result<Arc<dyn Vault>, SetupError> {
        Ok(Arc::new(LocalVault::open(&self.path.join(VAULT))?))
    }

    /// The vault of a log that has begun, which is there: an empty folder where its disk should be mounted is none.
    pub fn vault_of_log(&self) -> Result<Arc<dyn Vault>, SetupError> {
        if !LocalVault::is_in(&self.vault_path()) {
            return Err(SetupError::NoVault(self.vault_path()));
        }
        self.vault()
    }

    /// What lies on disks that may be others than that of the state, with a folder on each that is there while the disk is.
    pub fn disks(&self) -> Vec<(&'static str, PathBuf)> {
        vec![(VAULT, LocalVault::on_its_disk(&self.vault_path())), (LEDGER, self.ledger_path())]
    }

    /// The vault for reading, also while it is in use.
    pub fn vault_as_it_is(&self) -> Arc<dyn Vault> {
        LocalVault::as_it_is(&self.vault_path())
    }

    /// The ledger that `create_log` began.
    pub fn ledger(&self, origin: &str, config: &Config) -> Result<Ledger, SetupError> {
        self.ledger_within(origin, config, Vec::new())
    }

    /// The same, if it contains what others know of it.
    pub fn ledger_within(&self, origin: &str, config: &Config, known: Vec<Arc<dyn HeadSeal>>) -> Result<Ledger, SetupError> {
        if !self.path.join(LEDGER).exists() {
            return Err(SetupError::OtherLog(if is_half_way(&self.ledger_path()) {
                "a repair or restore of it has ended half-way: give the same command again"
            } else {
                "there is none: run `exhibit-appliance create-log` first"
            }));
        }
        let mut options = self.options(origin, config)?;
        // What others know is compared before a seal of ours is written.
        options.seals.splice(..0, known);
        Ok(Ledger::open(&self.ledger_path(), options)?)
    }

    /// Where the newest checkpoint that satisfies the witness policy is kept.
    pub fn witnessed_path(&self) -> PathBuf {
        self.path.join(WITNESSED)
    }

    /// The ledger of a log that has ended, to be read. Its last head is known from elsewhere: no seal is asked, and no key is needed.
    pub fn ended_ledger(&self, log: &LogVerifier) -> Result<Ledger, SetupError> {
        Ok(Ledger::open_to_read(&self.ledger_path(), log)?)
    }

    /// What the ledger is opened with.
    pub fn options(&self, origin: &str, config: &Config) -> Result<Options, SetupError> {
        let signers = self.note_signers(origin)?;
        let keys = signers.iter().map(|signer| signer.verifier_key().clone()).collect();
        let seals = self.head_seals(config, &LogVerifier { origin: origin.to_owned(), keys });
        let clock = Arc::new(|| now().unix_s());
        let batch_entries_max = config.batch_entries_max;
        Ok(Options { origin: origin.to_owned(), signers, clock, batch_entries_max, seals })
    }

    /// What keeps the newest head outside of the ledger's folder.
    pub fn head_seals(&self, config: &Config, log: &LogVerifier) -> Vec<Arc<dyn HeadSeal>> {
        let mut seals: Vec<Arc<dyn HeadSeal>> = vec![Arc::new(SealedFile::new(&self.path.join(&config.head_seal), log.clone()))];
        if let Some(tpm) = &config.tpm_seal {
            seals.push(Arc::new(TpmSeal::new(tpm, log)));
        }
        seals
    }

    /// The public half of the note keys, for a log of that name.
    pub fn verifier(&self, origin: &str) -> Result<LogVerifier, SetupError> {
        let keys = self.note_signers(origin)?.iter().map(|signer| signer.verifier_key().clone()).collect();
        Ok(LogVerifier { origin: origin.to_owned(), keys })
    }

    pub(crate) fn note_signers(&self, origin: &str) -> Result<Vec<Arc<dyn NoteSigner>>, SetupError> {
        let [ed25519, ml_dsa] = Self::NOTE_KEYS.map(|name| self.seed(name));
        Ok(vec![Arc::new(Ed25519NoteSigner::new(origin, &ed25519?)?), Arc::new(AwsLcMlDsa44NoteSigner::new(origin, &ml_dsa?)?)])
    }

    fn seed(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, SetupError> {
        let text = Zeroizing::new(self.read(name)?);
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), seed.as_mut_slice()).map_err(|_| SetupError::Seed(self.path.join(name)))?;
        Ok(seed)
    }

    pub(crate) fn refuse_existing(&self, names: &[&str]) -> Result<(), SetupError> {
        match names.iter().map(|name| self.path.join(name)).find(|path| path.exists()) {
            Some(path) => Err(SetupError::Exists(path)),
            None => Ok(()),
        }
    }

    /// Writes a file that is not there yet, readable by nobody else, durable: beside, then under its name, so that a power cut leaves no part
    /// of it. One program at a time does so.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), SetupError> {
        let (path, beside) = (self.path.join(name), self.path.join(format!("{name}.new")));
        self.refuse_existing(&[name])?;
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(&self.path)?.sync_all()
        };
        written().map_err(|source| SetupError::File { path: path.clone(), source })
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, SetupError> {
        let path = self.path.join(name);
        fs::read(&path).map_err(|source| SetupError::File { path, source })
    }

    pub(crate) fn read_text(&self, name: &str) -> Result<String, SetupError> {
        let path = self.path.join(name);
        fs::read_to_string(&path).map_err(|source| SetupError::File { path, source })
    }
}

/// The lines of a policy, without comments and without where anybody is reached.
fn without_urls(policy: &str) -> Vec<Vec<&str>> {
    let lines = policy.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lines = lines.filter(|words| words.first().is_some_and(|first| !first.starts_with('#')));
    lines
        .map(|mut words| {
            let named = match words[0] {
                "log" => 2,
                "witness" => 3,
                _ => words.len(),
            };
            words.truncate(named);
            words
        })
        .collect()
}

fn new_key() -> Result<SoftwareSigner, SetupError> {
    let mut made = SoftwareSigner::from_scalar(&random()?);
    for _ in 1..KEY_DRAWS_MAX {
        if made.is_err() {
            made = SoftwareSigner::from_scalar(&random()?);
        }
    }
    Ok(made?)
}

fn random<const BYTES: usize>() -> Result<Zeroizing<[u8; BYTES]>, SetupError> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(SetupError::Entropy)?;
    Ok(bytes)
}

/// The machine's clock.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).unwrap_or(Timestamp::MAX)
}
