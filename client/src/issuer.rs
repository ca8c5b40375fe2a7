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

use crate::stated::stated_path;
use crate::{Appliance, ClientError, ClientIdentity, Receipt};

/// The state file's name in the folder. Each log's chain has its own, so that nothing of one log is ever taken for another's.
fn state_file(log: &Hash) -> String {
    format!("state.{log}.json")
}

/// What was signed for a log and not yet answered: the intake prefix, verbatim.
fn pending_file(log: &Hash) -> String {
    format!("pending.{log}.statement")
}

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
    /// What was kept of what was stated is not ours.
    #[error("{path} is damaged ({reason}): what comes behind it can not be stated again")]
    Kept {
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
    /// The log that the chain is on, hex.
    log: String,
    stream: String,
    next_seq: u64,
    prev: String,
    observed_size: u64,
    observed_root: String,
}

impl Issuer {
    /// Opens the chain in `folder`, or begins one in `series` (`user/<id>`), named after `now`. Each log has a chain of its own.
    pub fn open(folder: &Path, series: &str, identity: ClientIdentity, log: Hash, now: Timestamp) -> Result<Self, IssuerError> {
        let lock_path = folder.join(LOCK_FILE);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(in_folder(&lock_path))?;
        lock.try_lock().map_err(|_| IssuerError::Busy(folder.to_owned()))?;
        let state = match read_state(folder, &log)? {
            Some(state) => state,
            None => State {
                log: log.to_string(),
                stream: new_stream(folder, &log, series, now)?,
                next_seq: 0,
                prev: Hash::default().to_string(),
                observed_size: 0,
                observed_root: EMPTY_ROOT.to_string(),
            },
        };
        Ok(Self { folder: folder.to_owned(), identity, log, state, _lock: lock })
    }

    /// The seq that the next statement will have.
    pub fn next_seq(&self) -> u64 {
        self.state.next_seq
    }

    /// What was signed for other logs and not delivered: which log, and of what type. A log that has ended takes nothing more: it is stated anew, or lost.
    pub fn undelivered(&self) -> Result<Vec<(Hash, String)>, IssuerError> {
        let mut undelivered = Vec::new();
        for file in fs::read_dir(&self.folder).map_err(in_folder(&self.folder))? {
            let path = file.map_err(in_folder(&self.folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let log = name.strip_prefix("pending.").and_then(|name| name.strip_suffix(".statement")).and_then(Hash::from_hex);
            let Some(log) = log.filter(|log| *log != self.log) else { continue };
            let pending = fs::read(&path).map_err(in_folder(&path))?;
            let signed = exchange::split_intake_prefix(&pending).and_then(|(entry, _)| SignedStatement::parse(entry).ok());
            undelivered.push((log, signed.map_or_else(|| "damaged".to_owned(), |signed| signed.statement().type_name().to_owned())));
        }
        undelivered.sort_unstable();
        Ok(undelivered)
    }

    /// The last head that this person has verified of a log whose chain is kept in `folder`; of size 0 if none.
    pub fn observed_of(folder: &Path, log: &Hash) -> Result<Head, IssuerError> {
        let Some(state) = read_state(folder, log)? else { return Ok(Head { size: 0, root: EMPTY_ROOT }) };
        let damaged = || IssuerError::State { path: folder.join(state_file(log)), reason: "a hash in it is malformed".to_owned() };
        Ok(Head { size: state.observed_size, root: Hash::from_hex(&state.observed_root).ok_or_else(damaged)? })
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
        write_synced(&self.folder, &pending_file(&self.log), &exchange::intake_prefix(signed.der(), attachments))?;
        let receipt = self.deliver(appliance, &signed, attachments).await?;
        Ok((signed, receipt))
    }

    /// Sends again what was signed and not answered, and gives it once it is on the ledger.
    pub async fn deliver_pending(&mut self, appliance: &mut Appliance) -> Result<Option<SignedStatement>, IssuerError> {
        let path = self.folder.join(pending_file(&self.log));
        let pending = match fs::read(&path) {
            Ok(pending) => pending,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IssuerError::Folder { path, source }),
        };
        let damaged = |reason: &str| IssuerError::State { path: path.clone(), reason: reason.to_owned() };
        let (entry, rest) = exchange::split_intake_prefix(&pending).ok_or_else(|| damaged("it is cut short"))?;
        let signed = SignedStatement::parse(entry).map_err(|error| damaged(&error.to_string()))?;
        if signed.statement().seq < self.state.next_seq {
            // Answered before, and only the clean-up was cut off.
            self.keep_stated(&signed)?;
            return Ok(Some(signed));
        }
        let attachments = attachments_of(&signed, rest).ok_or_else(|| damaged("an attachment is cut short"))?;
        self.deliver(appliance, &signed, &attachments).await?;
        Ok(Some(signed))
    }

    async fn deliver(
        &mut self,
        appliance: &mut Appliance,
        signed: &SignedStatement,
        attachments: &[&[u8]],
    ) -> Result<Receipt, IssuerError> {
        let receipt = match appliance.put(signed, attachments, None).await {
            Ok(receipt) => receipt,
            Err(ClientError::Refused(problem)) if is_of_the_statement(&problem) => {
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
        write_synced(&self.folder, &state_file(&self.log), &json)?;
        self.keep_stated(signed)?;
        Ok(receipt)
    }

    /// What was answered is not pending any more, and is kept: the log may be lost.
    fn keep_stated(&self, signed: &SignedStatement) -> Result<(), IssuerError> {
        let (pending, stated) = (self.folder.join(pending_file(&self.log)), stated_path(&self.folder, signed.statement()));
        let folder = stated.parent().expect("it lies in a folder of its log");
        let moved = || -> std::io::Result<()> {
            fs::create_dir_all(folder)?;
            fs::rename(&pending, &stated)?;
            File::open(folder)?.sync_all()?;
            File::open(&self.folder)?.sync_all()
        };
        moved().map_err(in_folder(&stated))
    }

    fn stream(&self) -> Result<StreamName, IssuerError> {
        StreamName::parse(&self.state.stream).map_err(|error| self.damaged(error.to_string()))
    }

    fn hash(&self, hex: &str) -> Result<Hash, IssuerError> {
        Hash::from_hex(hex).ok_or_else(|| self.damaged("a hash in it is malformed".to_owned()))
    }

    fn damaged(&self, reason: String) -> IssuerError {
        IssuerError::State { path: self.folder.join(state_file(&self.log)), reason }
    }

    fn remove_pending(&self) -> Result<(), IssuerError> {
        let path = self.folder.join(pending_file(&self.log));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(IssuerError::Folder { path, source }),
            _ => Ok(()),
        }
    }
}

/// The attachments behind the entry in an intake prefix; `None` if they are not all there.
pub(crate) fn attachments_of<'a>(signed: &SignedStatement, mut rest: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let mut attachments = Vec::new();
    for named in signed.statement().body.attachments() {
        let (attachment, after) = rest.split_at_checked(usize::try_from(named.length).ok()?)?;
        attachments.push(attachment);
        rest = after;
    }
    Some(attachments)
}

/// Whether a refusal is the statement's, which can be forgotten then. A time-out, a rate or a ban say nothing about it: it may be on the ledger already,
/// and another in its place would contradict it.
pub fn is_of_the_statement(problem: &exchange::Problem) -> bool {
    problem.status < SERVER_FAILED && ![TIMED_OUT, TOO_MANY].contains(&problem.status)
}

/// HTTP: from here on it is the server's fault.
const SERVER_FAILED: u16 = 500;
/// HTTP: the request took too long.
const TIMED_OUT: u16 = 408;
/// HTTP: too many requests, or whoever asks is banned.
const TOO_MANY: u16 = 429;

/// The name of the chain to a log that has answered nothing yet: that of what was signed for it, or one that no chain of this folder has, since what
/// was stated to a log that was lost is stated again, under its own name, to the one that goes on.
fn new_stream(folder: &Path, log: &Hash, series: &str, now: Timestamp) -> Result<String, IssuerError> {
    if let Some(stream) = stream_of(&folder.join(pending_file(log))) {
        return Ok(stream);
    }
    let mut taken = Vec::new();
    for file in fs::read_dir(folder).map_err(in_folder(folder))? {
        taken.extend(stream_of(&file.map_err(in_folder(folder))?.path()));
    }
    let mut at = now;
    loop {
        let stream = format!("{series}/{}", at.compact());
        if !taken.contains(&stream) {
            return Ok(stream);
        }
        at = at.checked_add_ms(1000).unwrap_or(Timestamp::MAX);
    }
}

/// Of a state, or of a statement that waits. What can not be read is told when its own log is stated to.
fn stream_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let bytes = || fs::read(path).ok();
    if name.starts_with("state.") {
        return Some(serde_json::from_slice::<State>(&bytes()?).ok()?.stream);
    }
    if name.starts_with("pending.") {
        let pending = bytes()?;
        let (entry, _) = exchange::split_intake_prefix(&pending)?;
        return Some(SignedStatement::parse(entry).ok()?.statement().stream.as_str().to_owned());
    }
    None
}

fn read_state(folder: &Path, log: &Hash) -> Result<Option<State>, IssuerError> {
    let path = folder.join(state_file(log));
    let json = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IssuerError::Folder { path, source }),
        Ok(json) => json,
    };
    match serde_json::from_slice::<State>(&json) {
        Ok(state) if state.log == log.to_string() => Ok(Some(state)),
        Ok(_) => Err(IssuerError::State { path, reason: "it is of another log".to_owned() }),
        Err(error) => Err(IssuerError::State { path, reason: error.to_string() }),
    }
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

pub(crate) fn in_folder(path: &Path) -> impl Fn(std::io::Error) -> IssuerError + '_ {
    |source| IssuerError::Folder { path: path.to_owned(), source }
}
