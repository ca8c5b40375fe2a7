//! The spool: signed statements with their ciphertext on disk, from when they are made until the ledger has them (docs/formats/spool.md).
//!
//! It does not know what is in a payload, how it is sent, or when to send it.

mod parts;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use exhibit_evidence::{SignedStatement, StreamName, body::StreamPosition};
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

use crate::storage::{self, Step};
use parts::{Part, PartSet, part_of_file};

/// An entry is below 64 KiB.
const ENTRY_BYTES_MAX: u64 = 65_535;
/// All attachments of a statement.
const ATTACHMENTS_BYTES_MAX: u64 = 64 << 20;
/// The head file is one line.
const HEAD_BYTES_MAX: u64 = 4096;

/// How far a statement has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemState {
    /// Signed and synced; the ledger may or may not have it.
    Unsent,
    /// On the ledger, and a receipt is synced; witnesses have not seen it yet. Its ciphertext is here, unless there was no room.
    Durable,
    /// Its final receipt is synced, and its ciphertext has been let go.
    Final,
}

/// A statement with what is sent along with it.
#[derive(Debug)]
pub struct SpooledStatement {
    /// The statement.
    pub signed: SignedStatement,
    /// Its attachments, in the order named.
    pub attachments: Vec<Vec<u8>>,
    /// Its payload, if it has one.
    pub payload: Option<PathBuf>,
}

/// Why the spool cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk is full, or the limit is reached: nothing was kept of what was offered.
    #[error("the spool is full")]
    Full,
    /// A write or sync failed: what is on disk is not certain any more, so the process must end. The next start looks at what is there.
    #[error("the spool cannot be written at {path}: {source}")]
    Storage {
        /// Where.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Another agent has it.
    #[error("another agent is using the spool in {0}")]
    Busy(PathBuf),
    /// There is a statement at that position, or a hole before it.
    #[error("position {seq} of {stream} is not the next one: it was stated already, or the one before is missing")]
    NotNext {
        /// The stream.
        stream: String,
        /// The position.
        seq: u64,
    },
    /// Something is missing or is not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The spool's folder, opened by one agent.
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    kept_items_max: usize,
    streams: BTreeMap<StreamName, BTreeMap<u64, Item>>,
    payload_bytes: u64,
    /// Those of them that are durable: they are let go where there is no room for others.
    durable_bytes: u64,
    head: HeadFile,
    newest: Option<StreamPosition>,
    findings: Vec<String>,
    _lock: File,
    /// For tests: so many statements more until the disk is full.
    #[cfg(test)]
    pub(crate) room: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    state: ItemState,
    payload_bytes: u64,
}

/// Which stream is the newest, and what came before it. Written before the newest stream's first statement, so that a crash between leaves
/// the position before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadFile {
    newest: Option<String>,
    before: Option<Position>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    stream: String,
    seq: u64,
    leaf: String,
}

impl Spool {
    /// Opens it, and removes what a crash left incomplete: none of that was ever sent.
    pub fn open(folder: &Path, bytes_max: u64, kept_items_max: usize) -> Result<Self, SpoolError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let lock_path = folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|_| SpoolError::Busy(folder.to_owned()))?;
        let (head, finding) = read_head(folder)?;
        let mut spool = Self {
            folder: folder.to_owned(),
            bytes_max,
            kept_items_max,
            streams: BTreeMap::new(),
            payload_bytes: 0,
            durable_bytes: 0,
            head,
            newest: None,
            findings: finding.into_iter().collect(),
            _lock: lock,
            #[cfg(test)]
            room: None,
        };
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let name = entry.map_err(at(folder))?.file_name();
            if let Some(stream) = name.to_str().and_then(stream_of_folder) {
                spool.open_stream(stream)?;
            }
        }
        spool.newest = match spool.find_newest() {
            // A damaged card must not keep a camera from recording: the next epoch names what is still known.
            Err(SpoolError::Damaged { path, reason }) => {
                spool.findings.push(format!("{} is damaged: {reason}", path.display()));
                None
            }
            other => other?,
        };
        Ok(spool)
    }

    /// Puts a statement with attachments and payload on disk. When this returns it is synced and may leave; if it fails it must not.
    pub fn append(&mut self, signed: &SignedStatement, attachments: &[&[u8]], payload: Option<&[u8]>) -> Result<(), SpoolError> {
        let statement = signed.statement();
        let (stream, seq) = (&statement.stream, statement.seq);
        let next = self.streams.get(stream).and_then(|items| items.last_key_value()).map_or(0, |(last, _)| last + 1);
        if seq != next {
            return Err(SpoolError::NotNext { stream: stream.as_str().to_owned(), seq });
        }
        #[cfg(test)]
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(1).ok_or(SpoolError::Full)?;
        }
        let payload_bytes = payload.map_or(0, |payload| payload.len() as u64);
        if payload_bytes > 0 && !self.has_room_for(payload_bytes) {
            return Err(SpoolError::Full);
        }
        if seq == 0 {
            self.begin_stream(stream)?;
        }
        self.make_room_for(payload_bytes, self.bytes_max)?;
        if let Err(error) = self.write(signed, attachments, payload) {
            // What the ledger has makes room on a full disk too.
            if !matches!(error, SpoolError::Full) || self.durable_bytes == 0 {
                return Err(error);
            }
            let needed = payload_bytes.saturating_add(ENTRY_BYTES_MAX);
            self.make_room_for(needed, self.payload_bytes)?;
            self.write(signed, attachments, payload)?;
        }
        self.streams.entry(stream.clone()).or_default().insert(seq, Item { state: ItemState::Unsent, payload_bytes });
        self.payload_bytes += payload_bytes;
        self.newest = Some(StreamPosition { stream: stream.clone(), seq, leaf: signed.leaf_hash() });
        Ok(())
    }

    /// Everything that is unsent, stream by stream in order of seq.
    pub fn unsent(&self) -> impl Iterator<Item = (&StreamName, u64)> {
        let items = self.streams.iter().flat_map(|(stream, items)| items.iter().map(move |(seq, item)| (stream, *seq, item)));
        items.filter(|(_, _, item)| item.state == ItemState::Unsent).map(|(stream, seq, _)| (stream, seq))
    }

    /// How far a statement has come, if it is kept.
    pub fn state_of(&self, stream: &StreamName, seq: u64) -> Option<ItemState> {
        Some(self.streams.get(stream)?.get(&seq)?.state)
    }

    /// Reads a statement and finds what is sent with it.
    pub fn load(&self, stream: &StreamName, seq: u64) -> Result<SpooledStatement, SpoolError> {
        let signed = self.read_entry(stream, seq)?;
        let attachments = self.read_attachments(&signed)?;
        let path = self.path(stream, seq, Part::Payload);
        let length = signed.statement().body.payload_length();
        let found = file_length(&path)?.unwrap_or(0);
        if found != length {
            return Err(SpoolError::Damaged { path, reason: format!("it has {found} bytes, its statement says {length}") });
        }
        Ok(SpooledStatement { signed, attachments, payload: (length > 0).then_some(path) })
    }

    /// Everything that is on the ledger and whose final receipt is to be collected.
    pub fn durable(&self) -> impl Iterator<Item = (&StreamName, u64)> {
        let items = self.streams.iter().flat_map(|(stream, items)| items.iter().map(move |(seq, item)| (stream, *seq, item)));
        items.filter(|(_, _, item)| item.state == ItemState::Durable).map(|(stream, seq, _)| (stream, seq))
    }

    /// Keeps the verified receipt of a statement that waits for witnesses, synced. Its ciphertext stays.
    pub fn keep_durable(&mut self, stream: &StreamName, seq: u64, receipt: &str) -> Result<(), SpoolError> {
        if self.state_of(stream, seq) != Some(ItemState::Unsent) {
            return Err(SpoolError::NotNext { stream: stream.as_str().to_owned(), seq });
        }
        let path = self.path(stream, seq, Part::Durable);
        match storage::replace(&path, receipt.as_bytes()) {
            // The ledger has what is let go, and the receipt can be asked for again.
            Err(error) if is_full(&error) => {
                self.remove_payload(stream, seq)?;
                storage::replace(&path, receipt.as_bytes()).map_err(at(&path))?;
            }
            other => other.map_err(at(&path))?,
        }
        if let Some(item) = self.streams.get_mut(stream).and_then(|items| items.get_mut(&seq)) {
            item.state = ItemState::Durable;
            self.durable_bytes += item.payload_bytes;
        }
        Ok(())
    }

    /// Keeps the verified final receipt of a statement, synced, and only then lets its ciphertext and attachments go.
    pub fn acknowledge(&mut self, stream: &StreamName, seq: u64, receipt: &str) -> Result<(), SpoolError> {
        if self.state_of(stream, seq).is_none() {
            return Err(SpoolError::NotNext { stream: stream.as_str().to_owned(), seq });
        }
        let path = self.path(stream, seq, Part::Receipt);
        match storage::replace(&path, receipt.as_bytes()) {
            // Without room for a receipt nothing would ever be let go. The receipt was verified, and can be asked for again.
            Err(error) if is_full(&error) => {
                self.let_go(stream, seq)?;
                storage::replace(&path, receipt.as_bytes()).map_err(at(&path))?;
            }
            other => other.map_err(at(&path))?,
        }
        self.let_go(stream, seq)?;
        self.prune()
    }

    /// The last statement of the newest stream: what the next epoch continues.
    pub fn newest_position(&self) -> Option<&StreamPosition> {
        self.newest.as_ref()
    }

    /// What was found damaged when it was opened.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// The statement alone.
    pub fn entry(&self, stream: &StreamName, seq: u64) -> Result<SignedStatement, SpoolError> {
        self.read_entry(stream, seq)
    }

    /// True if a stream of that name is or was the newest, or has anything here.
    pub fn has_stream(&self, stream: &StreamName) -> bool {
        self.streams.contains_key(stream) || self.head.newest.as_deref() == Some(stream.as_str())
    }

    /// True if a payload of that length fits below the limit, once the ciphertext that the ledger has is let go.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        (self.payload_bytes - self.durable_bytes).saturating_add(bytes) <= self.bytes_max
    }

    /// Bytes of ciphertext that wait.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    fn begin_stream(&mut self, stream: &StreamName) -> Result<(), SpoolError> {
        let before = self.newest.as_ref().map(|position| Position {
            stream: position.stream.as_str().to_owned(),
            seq: position.seq,
            leaf: position.leaf.to_string(),
        });
        let head = HeadFile { newest: Some(stream.as_str().to_owned()), before };
        let path = self.folder.join("head");
        let json = serde_json::to_vec(&head).expect("the head is plain data");
        for step in storage::replace_steps(&path, &json) {
            step.perform().map_err(|error| match is_full(&error) && matches!(step, Step::Write(..)) {
                // The head is as it was.
                true => SpoolError::Full,
                false => SpoolError::Storage { path: path.clone(), source: error },
            })?;
        }
        self.head = head;
        let folder = self.folder_of(stream);
        fs::create_dir_all(&folder).map_err(|error| match is_full(&error) {
            // Its name is taken, and the next attempt has another.
            true => SpoolError::Full,
            false => at(&folder)(error),
        })?;
        Step::SyncFolder(self.folder.clone()).perform().map_err(at(&self.folder))
    }

    /// Payload and attachments first; the entry takes its name last, and its presence makes the statement complete.
    fn append_steps(&self, signed: &SignedStatement, attachments: &[&[u8]], payload: Option<&[u8]>) -> Vec<Step> {
        let (stream, seq) = (&signed.statement().stream, signed.statement().seq);
        let mut steps = Vec::new();
        if let Some(payload) = payload {
            steps.push(Step::Write(self.path(stream, seq, Part::Payload), payload.to_vec()));
        }
        if !attachments.is_empty() {
            steps.push(Step::Write(self.path(stream, seq, Part::Attachments), attachments.concat()));
        }
        steps.extend(storage::replace_steps(&self.path(stream, seq, Part::Entry), signed.der()));
        steps
    }

    fn write(&self, signed: &SignedStatement, attachments: &[&[u8]], payload: Option<&[u8]>) -> Result<(), SpoolError> {
        for step in self.append_steps(signed, attachments, payload) {
            let statement = signed.statement();
            step.perform().map_err(|error| self.give_up(&statement.stream, statement.seq, &step, error))?;
        }
        Ok(())
    }

    /// Lets ciphertext go that the ledger has, oldest first, until so many bytes more are within the limit: there is no other room.
    fn make_room_for(&mut self, bytes: u64, bytes_max: u64) -> Result<(), SpoolError> {
        while self.payload_bytes.saturating_add(bytes) > bytes_max {
            let mut items = self.streams.iter().flat_map(|(stream, items)| items.iter().map(move |(seq, item)| (stream, *seq, item)));
            let oldest = items.find(|(_, _, item)| item.state == ItemState::Durable && item.payload_bytes > 0);
            let Some((stream, seq)) = oldest.map(|(stream, seq, _)| (stream.clone(), seq)) else { break };
            self.remove_payload(&stream, seq)?;
        }
        Ok(())
    }

    /// Removes what is sent beside a statement, and counts it no more.
    fn remove_payload(&mut self, stream: &StreamName, seq: u64) -> Result<(), SpoolError> {
        self.remove_parts(stream, seq, let_go_of(seq))?;
        if let Some(item) = self.streams.get_mut(stream).and_then(|items| items.get_mut(&seq)) {
            let bytes = std::mem::take(&mut item.payload_bytes);
            self.payload_bytes -= bytes;
            if item.state == ItemState::Durable {
                self.durable_bytes -= bytes;
            }
        }
        Ok(())
    }

    /// A full disk is said to be full, and its remains are removed; anything else is the end of certainty.
    fn give_up(&self, stream: &StreamName, seq: u64, step: &Step, error: io::Error) -> SpoolError {
        if !(is_full(&error) && matches!(step, Step::Write(..))) {
            return SpoolError::Storage { path: step.path().to_owned(), source: error };
        }
        let entry = self.path(stream, seq, Part::Entry);
        let remains = [self.path(stream, seq, Part::Payload), self.path(stream, seq, Part::Attachments), storage::aside(&entry)];
        match remains.iter().find_map(|path| storage::remove_if_there(path).err().map(|source| (path, source))) {
            Some((path, source)) => SpoolError::Storage { path: path.clone(), source },
            None => SpoolError::Full,
        }
    }

    fn open_stream(&mut self, stream: StreamName) -> Result<(), SpoolError> {
        let folder = self.folder_of(&stream);
        let mut found: BTreeMap<u64, PartSet> = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let name = entry.map_err(at(&folder))?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some((seq, part)) = part_of_file(name) {
                found.entry(seq).or_default().insert(part);
            } else if name.ends_with(".part") {
                let path = folder.join(name);
                storage::remove_if_there(&path).map_err(at(&path))?;
            }
        }
        let mut items = BTreeMap::new();
        for (seq, parts) in found {
            if let Some(item) = self.open_item(&stream, seq, parts)? {
                items.insert(seq, item);
            }
        }
        // Every entry before the last was synced before the last was begun: only the last can be incomplete.
        if let Some((&last, item)) = items.last_key_value()
            && item.state == ItemState::Unsent
            && let Err(SpoolError::Damaged { .. }) = self.load(&stream, last)
        {
            self.remove(&stream, last)?;
            items.remove(&last);
        }
        self.payload_bytes += items.values().map(|item| item.payload_bytes).sum::<u64>();
        let durable = items.values().filter(|item| item.state == ItemState::Durable);
        self.durable_bytes += durable.map(|item| item.payload_bytes).sum::<u64>();
        if !items.is_empty() {
            self.streams.insert(stream, items);
        }
        Ok(())
    }

    fn open_item(&self, stream: &StreamName, seq: u64, parts: PartSet) -> Result<Option<Item>, SpoolError> {
        if !parts.has(Part::Entry) {
            self.remove(stream, seq)?;
            return Ok(None);
        }
        if parts.has(Part::Receipt) {
            if let_go_of(seq).iter().chain([&Part::Durable]).any(|part| parts.has(*part)) {
                self.remove_parts(stream, seq, let_go_of(seq))?;
                self.remove_parts(stream, seq, &[Part::Durable])?;
            }
            return Ok(Some(Item { state: ItemState::Final, payload_bytes: 0 }));
        }
        let payload = parts.has(Part::Payload).then(|| self.path(stream, seq, Part::Payload));
        let payload_bytes = payload.map_or(Ok(None), |path| file_length(&path))?.unwrap_or(0);
        let state = if parts.has(Part::Durable) { ItemState::Durable } else { ItemState::Unsent };
        Ok(Some(Item { state, payload_bytes }))
    }

    fn find_newest(&self) -> Result<Option<StreamPosition>, SpoolError> {
        let newest = self.head.newest.as_deref().and_then(|name| StreamName::parse(name).ok());
        if let Some((stream, (&seq, _))) = newest.as_ref().and_then(|stream| Some((stream, self.streams.get(stream)?.last_key_value()?))) {
            let leaf = self.read_entry(stream, seq)?.leaf_hash();
            return Ok(Some(StreamPosition { stream: stream.clone(), seq, leaf }));
        }
        let Some(before) = &self.head.before else { return Ok(None) };
        let damaged = || SpoolError::Damaged { path: self.folder.join("head"), reason: "it names no position".into() };
        Ok(Some(StreamPosition {
            stream: StreamName::parse(&before.stream).map_err(|_| damaged())?,
            seq: before.seq,
            leaf: Hash::from_hex(&before.leaf).ok_or_else(damaged)?,
        }))
    }

    fn let_go(&mut self, stream: &StreamName, seq: u64) -> Result<(), SpoolError> {
        self.remove_payload(stream, seq)?;
        self.remove_parts(stream, seq, &[Part::Durable])?;
        if let Some(item) = self.streams.get_mut(stream).and_then(|items| items.get_mut(&seq)) {
            item.state = ItemState::Final;
        }
        Ok(())
    }

    /// Removes the oldest final statements beyond the number kept; never the end of the newest stream, which the next epoch continues.
    fn prune(&mut self) -> Result<(), SpoolError> {
        let kept: usize = self.streams.values().map(BTreeMap::len).sum();
        for _ in self.kept_items_max..kept {
            let end = self.newest.as_ref().map(|position| (&position.stream, position.seq));
            let oldest = self.streams.iter().find_map(|(stream, items)| {
                let (seq, item) = items.first_key_value()?;
                (item.state == ItemState::Final && end != Some((stream, *seq))).then(|| (stream.clone(), *seq))
            });
            let Some((stream, seq)) = oldest else { break };
            self.remove(&stream, seq)?;
            if let Some(items) = self.streams.get_mut(&stream) {
                items.remove(&seq);
                if items.is_empty() {
                    self.streams.remove(&stream);
                    let folder = self.folder_of(&stream);
                    fs::remove_dir(&folder).map_err(at(&folder))?;
                }
            }
        }
        Ok(())
    }

    /// The entry goes first: what is left without an entry is removed by the next `open`.
    fn remove(&self, stream: &StreamName, seq: u64) -> Result<(), SpoolError> {
        self.remove_parts(stream, seq, &Part::ALL)
    }

    fn remove_parts(&self, stream: &StreamName, seq: u64, parts: &[Part]) -> Result<(), SpoolError> {
        parts.iter().try_for_each(|part| {
            let path = self.path(stream, seq, *part);
            storage::remove_if_there(&path).map_err(at(&path))
        })
    }

    fn read_entry(&self, stream: &StreamName, seq: u64) -> Result<SignedStatement, SpoolError> {
        let path = self.path(stream, seq, Part::Entry);
        let damaged = |reason: String| SpoolError::Damaged { path: path.clone(), reason };
        let der = read_part(&path, ENTRY_BYTES_MAX)?;
        let signed = SignedStatement::parse(&der).map_err(|error| damaged(error.to_string()))?;
        if signed.statement().stream != *stream || signed.statement().seq != seq {
            return Err(damaged("it is the statement of another place".into()));
        }
        Ok(signed)
    }

    fn read_attachments(&self, signed: &SignedStatement) -> Result<Vec<Vec<u8>>, SpoolError> {
        let statement = signed.statement();
        let named = statement.body.attachments();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let path = self.path(&statement.stream, statement.seq, Part::Attachments);
        let bytes = read_part(&path, ATTACHMENTS_BYTES_MAX)?;
        let damaged =
            |name: &str| SpoolError::Damaged { path: path.clone(), reason: format!("attachment {name} is not what its statement says") };
        let mut rest = bytes.as_slice();
        let mut attachments = Vec::with_capacity(named.len());
        for attachment in named {
            let length = usize::try_from(attachment.length).map_err(|_| damaged(&attachment.name))?;
            let (stored, after) = rest.split_at_checked(length).ok_or_else(|| damaged(&attachment.name))?;
            attachment.open(stored).ok_or_else(|| damaged(&attachment.name))?;
            attachments.push(stored.to_vec());
            rest = after;
        }
        if rest.is_empty() { Ok(attachments) } else { Err(damaged("end")) }
    }

    fn folder_of(&self, stream: &StreamName) -> PathBuf {
        self.folder.join(stream.as_str().replace('/', "~"))
    }

    fn path(&self, stream: &StreamName, seq: u64, part: Part) -> PathBuf {
        self.folder_of(stream).join(format!("{seq:010}.{}", part.extension()))
    }
}

/// What is not kept of a statement that the ledger has. Of an epoch's all is: a log that goes on after a disaster may have to be told of it
/// again, and nobody could open what was not sent without its wraps.
fn let_go_of(seq: u64) -> &'static [Part] {
    if seq == 0 { &[Part::Payload] } else { &[Part::Payload, Part::Attachments] }
}

/// The stream that a folder of the spool is for; nothing else lies in folders with a `~`.
fn stream_of_folder(name: &str) -> Option<StreamName> {
    name.contains('~').then(|| StreamName::parse(&name.replace('~', "/")).ok()).flatten()
}

/// The head, and a finding if it was damaged: then nothing is known of the newest stream.
fn read_head(folder: &Path) -> Result<(HeadFile, Option<String>), SpoolError> {
    let path = folder.join("head");
    let bytes = match read_part(&path, HEAD_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(SpoolError::Damaged { .. }) if !path.exists() => return Ok((HeadFile::default(), None)),
        Err(SpoolError::Damaged { path, reason }) => return Ok((HeadFile::default(), Some(format!("{}: {reason}", path.display())))),
        Err(error) => return Err(error),
    };
    Ok(match serde_json::from_slice(&bytes) {
        Ok(head) => (head, None),
        Err(error) => (HeadFile::default(), Some(format!("{} is damaged: {error}", path.display()))),
    })
}

/// A file that ought to be there.
fn read_part(path: &Path, limit: u64) -> Result<Vec<u8>, SpoolError> {
    match storage::read_bounded(path, limit) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(SpoolError::Damaged { path: path.to_owned(), reason: "it is missing".into() }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(SpoolError::Damaged { path: path.to_owned(), reason: error.to_string() })
        }
        Err(source) => Err(SpoolError::Storage { path: path.to_owned(), source }),
    }
}

fn file_length(path: &Path) -> Result<Option<u64>, SpoolError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SpoolError::Storage { path: path.to_owned(), source }),
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn at(path: &Path) -> impl Fn(io::Error) -> SpoolError + '_ {
    |source| SpoolError::Storage { path: path.to_owned(), source }
}

#[cfg(test)]
pub(crate) mod tests;
