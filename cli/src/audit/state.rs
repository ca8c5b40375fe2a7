//! What an audit keeps between runs, in a folder: the last signed checkpoint that was verified, the tree so far, the ends of streams and
//! what else entries said, and every finding. A crash leaves the state of before or after a step, never one between.
//!
//! It is the auditor's own memory: whoever can write it can make the auditor forget.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use exhibit_evidence::Anchor;
use exhibit_tlog::Hash;
use exhibit_tlog::tile::TILE_WIDTH;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Kind};
use super::memory::{Memory, Rest};
use super::tree::Tree;
use crate::failure::Failure;

/// Entries of a bundle.
const WIDTH: u64 = TILE_WIDTH as u64;
const STATE: &str = "state.json";
const BUNDLES: &str = "bundles";
const LEAVES: &str = "leaves";
/// What is remembered: `memory-<number>.jsonl`, which grows by what changes and is written anew, with the next number, when it has too much of old.
const MEMORY: &str = "memory";
const FINDINGS: &str = "findings.jsonl";
const LOCK: &str = "lock";
const STATE_TYPE: &str = "exhibit-audit/v4";
/// The file of what is remembered is written anew when it has this many times the lines that are needed, and so many more.
const OUTDATED_MAX: u64 = 3;
/// See above: small files are left alone.
const OUTDATED_LINES_MIN: u64 = 10_000;
/// Open alarms that are kept to be told again; all are in `findings.jsonl`.
pub const OPEN_MAX: usize = 1000;
/// Signed checkpoints that are kept beside the one that is proven. A log that signs more without showing their trees is told at each.
const SEEN_MAX: usize = 16;

/// A checkpoint that the log has signed, and whose tree was not proven yet: the log is held to it all the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Verbatim.
    pub note: String,
    /// It was got elsewhere than where tiles and entries come from, which may be behind.
    pub elsewhere: bool,
}

/// What was judged, and how far.
pub struct State {
    folder: PathBuf,
    _lock: File,
    /// Judged so far.
    pub tree: Tree,
    /// What entries said.
    pub memory: Memory,
    /// The newest checkpoint whose tree was proven, verbatim; it may be ahead of what is judged.
    pub checkpoint: Option<String>,
    /// Others that the log has signed; oldest first.
    pub seen: Vec<Seen>,
    /// When the log was seen to grow last (unix ms).
    pub grown_ms: u64,
    /// Alarms that nobody has acknowledged.
    pub open: Vec<Finding>,
    /// Kinds that this auditor wants to see beside those that every auditor must.
    pub alarms: Vec<Kind>,
    log: String,
    hashes_only: bool,
    bundles_kept: usize,
    journal: Journal,
}

/// How much of which file counts; what lies behind was written before a crash.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    number: u64,
    bytes: u64,
    lines: u64,
}

impl Journal {
    fn name(&self) -> String {
        format!("{MEMORY}-{}.jsonl", self.number)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(rename = "type")]
    type_name: String,
    log: String,
    hashes_only: bool,
    checkpoint: Option<String>,
    seen: Vec<Seen>,
    size: u64,
    grown_ms: u64,
    journal: Journal,
    rest: Rest,
    open: Vec<Finding>,
}

impl State {
    /// Opens a folder, or makes one. One audit at a time has it.
    pub fn open(folder: &Path, anchor: &Anchor, hashes_only: bool) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
        let lock_path = folder.join(LOCK);
        let lock = File::create(&lock_path).map_err(Failure::file("create", &lock_path))?;
        lock.try_lock().map_err(|_| Failure::Cannot(format!("another audit is at work in {}: wait for its end", folder.display())))?;
        let mut state = Self {
            folder: folder.to_owned(),
            _lock: lock,
            tree: Tree::default(),
            memory: Memory::default(),
            checkpoint: None,
            seen: Vec::new(),
            grown_ms: 0,
            open: Vec::new(),
            alarms: Vec::new(),
            log: anchor.log.to_string(),
            hashes_only,
            bundles_kept: 0,
            journal: Journal::default(),
        };
        let path = folder.join(STATE);
        match fs::read(&path) {
            Ok(json) => state.restore(&path, &json)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::file("read", &path)(error)),
        }
        Ok(state)
    }

    /// What this auditor must see.
    pub fn is_alarm(&self, kind: Kind) -> bool {
        kind.is_alarm() || self.alarms.contains(&kind)
    }

    fn restore(&mut self, path: &Path, json: &[u8]) -> Result<(), Failure> {
        let damaged =
            |reason: String| Failure::content(path, format!("{reason}: move the folder away, and a new audit begins at the first entry"));
        let stored: Stored = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if stored.type_name != STATE_TYPE {
            return Err(damaged(format!("it is not of type {STATE_TYPE}")));
        }
        if stored.log != self.log {
            return Err(Failure::content(path, "it is of another log than the anchor: give each log a folder of its own"));
        }
        if stored.hashes_only != self.hashes_only {
            return Err(Failure::content(path, "it was begun with the other choice of --hashes-only: give this audit a folder of its own"));
        }
        let full = usize::try_from(stored.size / WIDTH).map_err(|error| damaged(error.to_string()))?;
        let bundles = self.read_hashes(BUNDLES, 0, full)?;
        let open = self.read_hashes(LEAVES, full as u64 * WIDTH, usize::try_from(stored.size % WIDTH).expect("below 256"))?;
        self.tree = Tree::restore(&bundles, open).expect("fewer leaves than a bundle has");
        self.recall(&stored.journal)?;
        self.memory.rest = stored.rest;
        self.bundles_kept = full;
        (self.checkpoint, self.seen, self.grown_ms) = (stored.checkpoint, stored.seen, stored.grown_ms);
        (self.journal, self.open) = (stored.journal, stored.open);
        Ok(())
    }

    /// Takes back what is remembered.
    fn recall(&mut self, journal: &Journal) -> Result<(), Failure> {
        let path = self.folder.join(journal.name());
        let damaged = |reason: String| Failure::content(&path, format!("{reason}: move the folder away, and a new audit begins"));
        let file = if journal.bytes == 0 { None } else { Some(File::open(&path).map_err(Failure::file("read", &path))?) };
        let mut lines = 0;
        for line in file.into_iter().flat_map(|file| BufReader::new(file.take(journal.bytes)).lines()) {
            self.memory.read(&line.map_err(Failure::file("read", &path))?).map_err(damaged)?;
            lines += 1;
        }
        if lines != journal.lines {
            return Err(damaged("it is shorter than the state says".to_owned()));
        }
        self.memory.certificates.restore().map_err(damaged)
    }

    /// Writes what changed, or everything where too much of the file is outdated. Gives what counts from now on.
    fn note_down(&mut self) -> Result<Journal, Failure> {
        let (text, count) = self.memory.lines(false);
        let before = &self.journal;
        if before.lines + count <= OUTDATED_MAX * self.memory.len() + OUTDATED_LINES_MIN {
            self.append(&before.name(), text.as_bytes(), Some(before.bytes))?;
            return Ok(Journal { number: before.number, bytes: before.bytes + text.len() as u64, lines: before.lines + count });
        }
        let (text, lines) = self.memory.lines(true);
        let journal = Journal { number: before.number + 1, bytes: text.len() as u64, lines };
        write_synced(&self.folder, &journal.name(), text.as_bytes())?;
        Ok(journal)
    }

    /// Nothing was ever seen of the log.
    pub fn is_new(&self) -> bool {
        self.checkpoint.is_none() && self.seen.is_empty()
    }

    /// What a checkpoint was kept for has come about.
    pub fn unsee(&mut self, note: &str) {
        self.seen.retain(|seen| seen.note != note);
    }

    /// So many hashes of a file from one on. What lies behind those that the state counts was written and not counted before a crash.
    fn read_hashes(&self, name: &str, first: u64, count: usize) -> Result<Vec<Hash>, Failure> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let path = self.folder.join(name);
        let read = || -> std::io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(first * 32))?;
            file.take(count as u64 * 32).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(Failure::file("read", &path))?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() != count || !rest.is_empty() {
            return Err(Failure::content(&path, "it is shorter than the state says: move the folder away, and a new audit begins"));
        }
        Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
    }

    /// The root that the judged log had at a size, which is not beyond it.
    pub fn root_at(&self, size: u64) -> Result<Hash, Failure> {
        let read = |first: u64, count: usize| self.read_hashes(LEAVES, first, count);
        let other = || {
            let reason = "its hashes are not those that were judged: move the folder away, and a new audit begins at the first entry";
            Failure::content(&self.folder.join(LEAVES), reason)
        };
        self.tree.root_at(size, &read, &other)
    }

    /// Holds the log to a checkpoint that it has signed, whatever comes of its tree. What is known is not kept twice.
    pub fn see(&mut self, note: &str, elsewhere: bool) {
        let text = |note: &str| note.split_once("\n\n").map(|(text, _)| text.to_owned());
        if self.seen.iter().map(|seen| &seen.note).chain(&self.checkpoint).any(|known| text(known) == text(note)) {
            return;
        }
        // The first ones bind, and the newest: a log that floods the list is not let go by that.
        self.seen.truncate(SEEN_MAX - 1);
        self.seen.push(Seen { note: note.to_owned(), elsewhere });
    }

    /// Keeps findings first, then what was judged: after a crash something may be told twice, and nothing is lost.
    pub fn save(&mut self, findings: &[Finding]) -> Result<(), Failure> {
        let mut lines = String::new();
        for finding in findings {
            // Of the log as a whole one of a kind is open, in its newest words; what only goes on is not told again.
            let same = |open: &Finding| open.kind == finding.kind && open.index == finding.index;
            let known = finding.index.is_none() && self.open.iter().any(same);
            if self.is_alarm(finding.kind) {
                self.open.retain(|open| finding.index.is_some() || !same(open));
                if self.open.len() < OPEN_MAX && !self.open.contains(finding) {
                    self.open.push(finding.clone());
                }
            }
            if !known && finding.kind != Kind::Silent {
                lines.push_str(&format!("{}\n", json(finding)));
            }
        }
        self.append(FINDINGS, lines.as_bytes(), None)?;
        let new = self.tree.bundles_from(self.bundles_kept);
        let kept = self.tree.size() - self.tree.unsaved().len() as u64;
        self.append(LEAVES, &bytes_of(self.tree.unsaved()), Some(kept * 32))?;
        self.append(BUNDLES, &bytes_of(new), Some(self.bundles_kept as u64 * 32))?;
        let bundles_kept = self.bundles_kept + new.len();
        let journal = self.note_down()?;
        let stored = Stored {
            type_name: STATE_TYPE.to_owned(),
            log: self.log.clone(),
            hashes_only: self.hashes_only,
            checkpoint: self.checkpoint.clone(),
            seen: self.seen.clone(),
            size: self.tree.size(),
            grown_ms: self.grown_ms,
            journal,
            rest: self.memory.rest.clone(),
            open: self.open.clone(),
        };
        write_synced(&self.folder, STATE, json(&stored).as_bytes())?;
        self.bundles_kept = bundles_kept;
        let outdated = std::mem::replace(&mut self.journal, stored.journal);
        if outdated.number != self.journal.number && outdated.bytes > 0 {
            let path = self.folder.join(outdated.name());
            fs::remove_file(&path).map_err(Failure::file("remove", &path))?;
        }
        self.tree.saved();
        Ok(())
    }

    /// Keeps two signed checkpoints that can not both be of one log, with what shows it.
    pub fn keep_proof(&self, earlier: &str, later: &str, proof: &serde_json::Value) -> Result<PathBuf, Failure> {
        let name = hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(format!("{earlier}{later}"))[..8]);
        let folder = self.folder.join(format!("proof-{name}"));
        fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
        write_synced(&folder, "earlier.checkpoint", earlier.as_bytes())?;
        write_synced(&folder, "later.checkpoint", later.as_bytes())?;
        write_synced(&folder, "proof.json", json(proof).as_bytes())?;
        sync_folder(&self.folder)?;
        Ok(folder)
    }

    /// Appends, or writes from a place on, and syncs.
    fn append(&self, name: &str, bytes: &[u8], from: Option<u64>) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(name);
        let written = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path)?;
            if let Some(from) = from {
                file.set_len(from)?;
            }
            file.seek(SeekFrom::End(0))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        written().map_err(Failure::file("write", &path))
    }
}

fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is kept is plain data")
}

/// Writes a file so that after a crash it is there whole or as it was: written aside, synced, renamed, the folder synced.
fn write_synced(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (path, aside) = (folder.join(name), folder.join(format!("{name}.new")));
    let written = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, &path)
    };
    written().map_err(Failure::file("write", &path))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), Failure> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Failure::file("write", folder))
}
