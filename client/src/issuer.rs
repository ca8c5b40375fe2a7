//! A chain of statements whose state is kept in a folder: how people's programs and the authority issue statements one after the other.
//!
//! A statement is signed once, synced, and only then sent; what was signed and not answered is sent again, the same bytes. Cameras have
//! their own, which spools (camera-agent/core).

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use exhibit_evidence::{Body, Head, SignedStatement, Statement, StreamName, exchange};
use exhibit_pki::{SignerError, Timestamp};
use exhibit_tlog::{EMPTY_ROOT, Hash};
use serde::{Deserialize, Serialize};

use crate::{Appliance, ClientError, ClientIdentity, Receipt};

/// The state file's name in the folder.
const STATE_FILE: &str = "state.json";
/// What was signed and not yet answered: the intake prefix, verbatim.
const PENDING_FILE: &str = "pending.statement";
/// Locked while a program issues, so that two never sign two statements for one place.
const LOCK_FILE: &str = "state.lock";

/// Issues statements in one stream.
pub struct Issuer {
    folder: PathBuf,
    identity: ClientIdentity,
    log: Hash,
    state: State,
    _lock: File,
}

/// Why a statement was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The folder.
    #[error("cannot keep the chain's state in {path}: {source}")]
    Folder {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// Another program is issuing with the same identity.
    #[error("another program is using {0}: let it finish, then try again")]
    Busy(PathBuf),
    /// The state is not ours.
    #[error("{path} is damaged ({reason}): move it away, and a new chain begins")]
    State {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The appliance.
    #[error(transparent)]
    Client(#[from] ClientError),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The log that the chain is on, hex. Absent in folders of older versions, which knew one log.
    #[serde(default)]
    log: Option<String>,
    stream: String,
    next_seq: u64,
    prev: String,
    observed_size: u64,
    observed_root: String,
}

impl Issuer {
    /// Opens the chain in `folder`, or begins one in `series` (`user/<id>`), named after `now`. Each log has a chain of its own: that of another is
    /// kept aside, and what was signed for it and not answered with it.
    pub fn open(folder: &Path, series: &str, identity: ClientIdentity, log: Hash, now: Timestamp) -> Result<Self, IssuerError> {
        let lock_path = folder.join(LOCK_FILE);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(in_folder(&lock_path))?;
        lock.try_lock().map_err(|_| IssuerError::Busy(folder.to_owned()))?;
        let name = log.to_string();
        let mut state = read_state(folder, STATE_FILE)?;
        if let Some(other) = state.as_ref().and_then(|state| state.log.clone()).filter(|other| *other != name) {
            // What is pending first: whoever is ended between the two begins again, and sends nothing to the wrong log.
            for file in [PENDING_FILE, STATE_FILE] {
                rename_synced(folder, file, &aside(file, &other))?;
            }
            for file in [PENDING_FILE, STATE_FILE] {
                rename_synced(folder, &aside(file, &name), file)?;
            }
            state = read_state(folder, STATE_FILE)?;
        }
        let begin = || State {
            log: Some(name.clone()),
            stream: format!("{series}/{}", now.compact()),
            next_seq: 0,
            prev: Hash::default().to_string(),
            observed_size: 0,
            observed_root: EMPTY_ROOT.to_string(),
        };
        let state = state.map_or_else(begin, |state| State { log: Some(name.clone()), ..state });
        Ok(Self { folder: folder.to_owned(), identity, log, state, _lock: lock })
    }

    /// The seq that the next statement will have.
    pub fn next_seq(&self) -> u64 {
        self.state.next_seq
    }

    /// The last head that this person has verified of a log whose chain is kept in `folder`; of size 0 if none.
    pub fn observed_of(folder: &Path, log: &Hash) -> Result<Head, IssuerError> {
        for file in [STATE_FILE.to_owned(), aside(STATE_FILE, &log.to_string())] {
            let Some(state) = read_state(folder, &file)?.filter(|state| state.log.as_ref() == Some(&log.to_string())) else { continue };
            let damaged = || IssuerError::State { path: folder.join(&file), reason: "a hash in it is malformed".to_owned() };
            return Ok(Head { size: state.observed_size, root: Hash::from_hex(&state.observed_root).ok_or_else(damaged)? });
        }
        Ok(Head { size: 0, root: EMPTY_ROOT })
    }

    /// Signs `body` as the next statement of the chain and puts it on the ledger with its attachments (stored bytes, in the order named).
    ///
    /// What an earlier call signed and could not deliver goes first. A refusal takes no place in the chain.
    pub async fn issue(
        &mut self,
        appliance: &mut Appliance,
        body: Body,
        attachments: &[&[u8]],
        now: Timestamp,
    ) -> Result<(SignedStatement, Receipt), IssuerError> {
        self.deliver_pending(appliance).await?;
        let statement = Statement {
            log: self.log,
            stream: self.stream()?,
            seq: self.state.next_seq,
            prev: self.hash(&self.state.prev)?,
            issued: now,
            observed: Head { size: self.state.observed_size, root: self.hash(&self.state.observed_root)? },
            body,
        };
        let signed = exhibit_evidence::sign(&statement, &self.identity.certificate, self.identity.signer.as_ref())?;
        write_synced(&self.folder, PENDING_FILE, &exchange::intake_prefix(signed.der(), attachments))?;
        let receipt = self.deliver(appliance, &signed, attachments).await?;
        Ok((signed, receipt))
    }

    /// Sends again what was signed and not answered. True if there was something.
    pub async fn deliver_pending(&mut self, appliance: &mut Appliance) -> Result<bool, IssuerError> {
        let path = self.folder.join(PENDING_FILE);
        let pending = match fs::read(&path) {
            Ok(pending) => pending,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(IssuerError::Folder { path, source }),
        };
        let damaged = |reason: &str| IssuerError::State { path: path.clone(), reason: reason.to_owned() };
        let (entry, rest) = exchange::split_intake_prefix(&pending).ok_or_else(|| damaged("it is cut short"))?;
        let signed = SignedStatement::parse(entry).map_err(|error| damaged(&error.to_string()))?;
        if signed.statement().seq < self.state.next_seq {
            // Answered before, and only the clean-up was cut off.
            self.remove_pending()?;
            return Ok(false);
        }
        let mut attachments = Vec::new();
        let mut rest = rest;
        for named in signed.statement().body.attachments() {
            let length = usize::try_from(named.length).map_err(|_| damaged("an attachment is too long"))?;
            let (attachment, after) = rest.split_at_checked(length).ok_or_else(|| damaged("an attachment is cut short"))?;
            attachments.push(attachment);
            rest = after;
        }
        self.deliver(appliance, &signed, &attachments).await?;
        Ok(true)
    }

    async fn deliver(
        &mut self,
        appliance: &mut Appliance,
        signed: &SignedStatement,
        attachments: &[&[u8]],
    ) -> Result<Receipt, IssuerError> {
        let receipt = match appliance.put(signed, attachments, None).await {
            Ok(receipt) => receipt,
            Err(ClientError::Refused(problem)) if problem.status < 500 => {
                self.remove_pending()?;
                return Err(ClientError::Refused(problem).into());
            }
            Err(error) => return Err(error.into()),
        };
        let head = &receipt.checkpoint;
        self.state.next_seq = signed.statement().seq + 1;
        self.state.prev = signed.leaf_hash().to_string();
        if head.size >= self.state.observed_size {
            self.state.observed_size = head.size;
            self.state.observed_root = head.root.to_string();
        }
        let json = serde_json::to_vec_pretty(&self.state).expect("the state is plain data");
        write_synced(&self.folder, STATE_FILE, &json)?;
        self.remove_pending()?;
        Ok(receipt)
    }

    fn stream(&self) -> Result<StreamName, IssuerError> {
        StreamName::parse(&self.state.stream).map_err(|error| self.damaged(error.to_string()))
    }

    fn hash(&self, hex: &str) -> Result<Hash, IssuerError> {
        Hash::from_hex(hex).ok_or_else(|| self.damaged("a hash in it is malformed".to_owned()))
    }

    fn damaged(&self, reason: String) -> IssuerError {
        IssuerError::State { path: self.folder.join(STATE_FILE), reason }
    }

    fn remove_pending(&self) -> Result<(), IssuerError> {
        let path = self.folder.join(PENDING_FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(IssuerError::Folder { path, source }),
            _ => Ok(()),
        }
    }
}

fn read_state(folder: &Path, name: &str) -> Result<Option<State>, IssuerError> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| IssuerError::State { path, reason: error.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IssuerError::Folder { path, source }),
    }
}

/// What a file of another log's chain is called meanwhile.
fn aside(file: &str, log: &str) -> String {
    format!("{file}.{log}")
}

/// Renames a file, if it is there.
fn rename_synced(folder: &Path, from: &str, to: &str) -> Result<(), IssuerError> {
    let path = folder.join(from);
    let renamed = match fs::rename(&path, folder.join(to)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed,
    };
    renamed.and_then(|()| File::open(folder)?.sync_all()).map_err(in_folder(&path))
}

/// Writes a file so that after a crash it is there whole or not at all: written aside, synced, renamed, the folder synced.
fn write_synced(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), IssuerError> {
    let path = folder.join(name);
    let aside = folder.join(format!("{name}.part"));
    let written = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(in_folder(&path))
}

fn in_folder(path: &Path) -> impl Fn(std::io::Error) -> IssuerError + '_ {
    |source| IssuerError::Folder { path: path.to_owned(), source }
}
