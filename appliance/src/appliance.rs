//! The appliance in one value: ledger, vault, registry and chronicle, opened together and checked against each other.
//!
//! It knows no socket and no HTTP.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use exhibit_evidence::anchor::WitnessPolicy;
use exhibit_evidence::{Anchor, Body, body};
use exhibit_ledger::{Ledger, LedgerError};
use exhibit_pki::{SoftwareSigner, Timestamp};
use exhibit_tlog::VerifierKey;
use tokio::sync::watch;

use crate::chronicle::{Chronicle, ChronicleError, Clock};
use crate::config::{Config, UnwitnessedStart};
use crate::guard::Guard;
use crate::health::Vitals;
use crate::ingest::resume::{Staging, StagingLimits};
use crate::limits::BodyPace;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::predecessor::Predecessor;
use crate::registry::Registry;
use crate::room::Room;
use crate::setup::{Credentials, SetupError};
use crate::state_lock::LockedFolder;
use crate::tpm_note::{TpmNotes, key_of};
use crate::vault::{Vault, VaultError};
use crate::witnessing::Witnessing;
use crate::witnessing::known::{Heard, KnownSeal, ask_witnesses};

/// What ends the process: called with the reason, it logs it and does not come back.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Everything that requests work with.
pub struct Appliance {
    /// The log, its keys and roots.
    pub anchor: Anchor,
    /// The ledger.
    pub ledger: Ledger,
    /// Ciphertext and attachments.
    pub vault: Arc<dyn Vault>,
    /// What its disks have left.
    pub room: Arc<Room>,
    /// What the ledger says.
    pub registry: Registry,
    /// The appliance's own stream.
    pub chronicle: Chronicle,
    /// What has happened since the start, in numbers.
    pub metrics: Metrics,
    /// How it has been.
    pub vitals: Vitals,
    /// Who is banned, and who may be soon.
    pub guard: Guard,
    /// Who has seen the log.
    pub witnessing: Arc<Witnessing>,
    /// The logs that this one goes on for, as its genesis declares them, newest first.
    pub before: Vec<body::Predecessor>,
    /// The newest of them, with what can be read of it and of those before.
    pub predecessor: Option<Box<Predecessor>>,
    /// Checkpoints that the machine's TPM has signed too.
    pub tpm_notes: Arc<TpmNotes>,
    /// The TPM's key, if the log has one.
    pub tpm_key: Option<VerifierKey>,
    /// The clock.
    pub clock: Clock,
    /// Uploads that may go on at a time.
    pub uploads: Arc<Places>,
    /// Uploads that were cut off, or come in parts.
    pub staging: Arc<Staging>,
    /// How long their bodies may take.
    body_pace: RwLock<BodyPace>,
    /// Downloads that may go on at a time.
    pub downloads: Arc<Places>,
    /// Entry bundles that may be in memory at a time, on their way to whoever reads them.
    pub bundles: Arc<Places>,
    /// How many are told live what changes.
    pub subscribers: Arc<Places>,
    /// True once it takes nothing new: answers that have no end of their own end.
    pub ending: watch::Sender<bool>,
    /// Anyone may read entries and certificates, not only the log's hashes.
    pub public_entries: bool,
    /// Held from the last look at the rules to the append, by statements whose rules look beyond their own stream.
    pub turn: Mutex<()>,
    /// Nobody else works in the folder meanwhile.
    _folder: LockedFolder,
    /// The last that is dropped: whoever holds the other end of something in it learns that everything above is closed.
    fatal: Fatal,
}

impl Appliance {
    /// Opens what `create_log` began, and checks that ledger, anchor and certificate belong together. Blocks.
    pub fn open(folder: &LockedFolder, config: &Config, clock: Clock, fatal: Fatal) -> Result<(Self, Credentials), SetupError> {
        let anchor = folder.anchor()?;
        let credentials = folder.credentials(clock())?;
        let known = KnownSeal::all(&heard(folder, config, &anchor)?);
        let ledger = folder.ledger_within(&anchor.verifier.origin, config, known)?;
        let vault = folder.vault_of_log()?;
        let registry = Registry::new(ledger.clone(), credentials.roots.clone(), credentials.chain.clone());
        let genesis = registry.statement_at(0).map_err(|_| SetupError::OtherLog("it has no genesis"))?;
        let Body::Genesis(body) = &genesis.statement().body else {
            return Err(SetupError::OtherLog("its first entry is not a genesis"));
        };
        if genesis.leaf_hash() != anchor.log {
            return Err(SetupError::OtherLog("its genesis is not the one that anchor.json names"));
        }
        let roots = |certificates: &[exhibit_pki::Certificate]| -> Vec<_> { certificates.iter().map(|root| *root.fingerprint()).collect() };
        if body.roots != roots(&credentials.roots) || body.roots != roots(&anchor.roots) {
            return Err(SetupError::OtherLog("root.pem and anchor.json do not have the roots that genesis names"));
        }
        let known = registry.is_known(credentials.certificate.fingerprint());
        if !known.map_err(|_| SetupError::OtherLog("its rows can not be read"))? {
            return Err(SetupError::OtherLog("the appliance's certificate is not on it: its authority has to put it there first"));
        }
        let room = Arc::new(Room::new(folder.disks(), reserve_of(config)));
        let chronicle = Chronicle::new(
            genesis.statement().stream.clone(),
            anchor.log,
            credentials.certificate.clone(),
            Box::new(SoftwareSigner::from_pkcs8_pem(&credentials.key_pem)?),
            ledger.clone(),
            vault.clone(),
            clock.clone(),
        )
        .within(room.clone());
        let guard = Guard::open(config.bans.clone(), &ledger, vault.as_ref(), clock()).map_err(SetupError::Bans)?;
        let witnessing = Arc::new(folder.witnessing(config, &anchor, &ledger)?);
        let predecessor = body.predecessor.as_ref().map(|named| Predecessor::open(folder, named)).transpose()?.map(Box::new);
        let before = body.before().cloned().collect();
        let tpm_key = key_of(body, vault.as_ref());
        let appliance = Self {
            anchor,
            ledger,
            vault,
            room,
            registry,
            chronicle,
            metrics: Metrics::default(),
            vitals: Vitals::default(),
            guard,
            witnessing,
            before,
            predecessor,
            tpm_notes: Arc::default(),
            tpm_key,
            clock,
            uploads: Arc::new(Places::new(config.uploads_max, config.limits.identity_uploads)),
            staging: Arc::new(Staging::new(StagingLimits::of(config))),
            body_pace: RwLock::new(config.limits.body_pace()),
            downloads: Arc::new(Places::new(config.downloads_max, config.limits.identity_downloads)),
            bundles: Arc::new(Places::new(BUNDLES_MAX, config.limits.identity_downloads)),
            subscribers: Arc::new(Places::new(SUBSCRIBERS_MAX, SUBSCRIBERS_EACH)),
            ending: watch::Sender::new(false),
            public_entries: config.public_entries,
            turn: Mutex::new(()),
            _folder: folder.clone(),
            fatal,
        };
        Ok((appliance, credentials))
    }

    /// How long the body of an upload may take.
    pub fn body_pace(&self) -> BodyPace {
        *self.body_pace.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes by another configuration from now on, as far as that can be while it serves (`Config::fixed`).
    pub fn change(&self, config: &Config) {
        *self.body_pace.write().unwrap_or_else(PoisonError::into_inner) = config.limits.body_pace();
        self.uploads.change(config.limits.identity_uploads);
        self.downloads.change(config.limits.identity_downloads);
        self.bundles.change(config.limits.identity_downloads);
        self.room.keep(reserve_of(config));
        self.guard.change(&config.bans);
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// When its certificate ends.
    pub fn certificate_ends(&self) -> Timestamp {
        self.chronicle.certificate_ends()
    }

    /// Ends the process if the ledger's failure is one after which nothing can be promised any more.
    pub fn heed_ledger(&self, error: &LedgerError) {
        match error {
            LedgerError::Refused(_) | LedgerError::Overloaded => {}
            // A failed sync may succeed when it is asked again, without the data: nothing is tried again.
            _ => (self.fatal)(&error.to_string()),
        }
    }

    /// The same for the vault: a failed write is the sender's to repeat, a failed sync the end.
    pub fn heed_vault(&self, error: &VaultError) {
        match error {
            VaultError::Sync(_) => (self.fatal)(&error.to_string()),
            VaultError::Write(_) => self.vitals.storage_failed(),
            VaultError::Read(_) => {}
        }
    }

    /// The same for the chronicle.
    pub fn heed_chronicle(&self, error: &ChronicleError) {
        match error {
            ChronicleError::Ledger(error) => self.heed_ledger(error),
            ChronicleError::Vault(error) => self.heed_vault(error),
            ChronicleError::Signer(_)
            | ChronicleError::Row(_)
            | ChronicleError::NoRoom(_)
            | ChronicleError::Lines(_)
            | ChronicleError::Randomness(_) => {}
        }
    }
}

fn reserve_of(config: &Config) -> u64 {
    config.disk_reserve_mib.saturating_mul(1024 * 1024)
}

/// Of up to 16 MiB each, with the longest entries: a gigabyte, and 60 MiB with usual ones. An auditor reads one at a time.
const BUNDLES_MAX: usize = 64;

/// Each has a connection for as long as it likes, and takes a blocking thread for a moment each second: as many as there are spare ones must never hang in
/// a disk that does. People, and programs of theirs, are dozens.
pub const SUBSCRIBERS_MAX: usize = 32;
/// A person has some windows, or a program on some machines.
pub const SUBSCRIBERS_EACH: usize = 4;

/// What witnesses and mirrors know of the log, before anything is signed: an older disk, or a second copy, signs nothing.
fn heard(folder: &LockedFolder, config: &Config, anchor: &Anchor) -> Result<Vec<Heard>, SetupError> {
    let policy = folder.policy(config, anchor)?;
    let heard = ask_witnesses(folder, config, &anchor.verifier, policy.as_ref().map(WitnessPolicy::policy))?;
    let failed: Vec<String> = heard.iter().filter_map(|heard| Some(format!("{}: {}", heard.name, heard.failed.as_ref()?))).collect();
    for reason in &failed {
        tracing::warn!(?reason, "a witness or mirror does not tell what it knows of the log");
    }
    if !heard.is_empty() && failed.len() == heard.len() {
        if config.unwitnessed_start == UnwitnessedStart::Refuse {
            return Err(SetupError::Unwitnessed(failed.join("; ")));
        }
        tracing::warn!("nobody outside tells whether this ledger is the newest: it starts as unwitnessed_start allows");
    }
    Ok(heard)
}
