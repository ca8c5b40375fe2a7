//! What an audit keeps between runs, in a folder: the last signed checkpoint that was verified, the tree so far, the ends of streams, the
//! certificates, and every finding. A crash leaves the state of before or after a step, never one between.
//!
//! It is the auditor's own memory: whoever can write it can make the auditor forget.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use exhibit_evidence::Anchor;
use exhibit_pki::Certificate;
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

use super::certificates::Certificates;
use super::finding::{Finding, Kind};
use super::judge::Memory;
use super::tree::Tree;
use crate::failure::Failure;

const STATE: &str = "state.json";
const BUNDLES: &str = "bundles";
const CERTIFICATES: &str = "certificates";
const FINDINGS: &str = "findings.jsonl";
const LOCK: &str = "lock";
const STATE_TYPE: &str = "exhibit-audit/v1";
/// Open alarms that are kept to be told again; all are in `findings.jsonl`.
pub const OPEN_MAX: usize = 1000;

/// What was judged, and how far.
pub struct State {
    folder: PathBuf,
    _lock: File,
    /// Judged so far.
    pub tree: Tree,
    /// What entries said.
    pub memory: Memory,
    /// Certificates on the log.
    pub certificates: Certificates,
    /// The newest checkpoint that was verified, verbatim; it may be ahead of what is judged.
    pub checkpoint: Option<String>,
    /// When the log was seen to grow last (unix ms).
    pub grown_ms: u64,
    /// Alarms that nobody has acknowledged.
    pub open: Vec<Finding>,
    /// Kinds that this auditor wants to see beside those that every auditor must.
    pub alarms: Vec<Kind>,
    log: String,
    hashes_only: bool,
    bundles_kept: usize,
    certificates_kept: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(rename = "type")]
    type_name: String,
    log: String,
    hashes_only: bool,
    checkpoint: Option<String>,
    bundles: usize,
    leaves: Vec<String>,
    grown_ms: u64,
    introduced: Vec<(u64, String)>,
    issuers: Vec<String>,
    memory: Memory,
    open: Vec<Finding>,
}

impl State {
    /// Opens a folder, or makes one. One audit at a time has it.
    pub fn open(folder: &Path, anchor: &Anchor, hashes_only: bool) -> Result<Self, Failure> {
        fs::create_dir_all(folder.join(CERTIFICATES)).map_err(Failure::file("create", folder))?;
        let lock_path = folder.join(LOCK);
        let lock = File::create(&lock_path).map_err(Failure::file("create", &lock_path))?;
        lock.try_lock().map_err(|_| Failure::Cannot(format!("another audit is at work in {}: wait for its end", folder.display())))?;
        let mut state = Self {
            folder: folder.to_owned(),
            _lock: lock,
            tree: Tree::default(),
            memory: Memory::default(),
            certificates: Certificates::default(),
            checkpoint: None,
            grown_ms: 0,
            open: Vec::new(),
            alarms: Vec::new(),
            log: anchor.log.to_string(),
            hashes_only,
            bundles_kept: 0,
            certificates_kept: 0,
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
        let bundles = self.read_bundles(stored.bundles)?;
        let leaves = stored.leaves.iter().map(|leaf| Hash::from_hex(leaf)).collect::<Option<Vec<_>>>();
        let tree = leaves.and_then(|leaves| Tree::restore(&bundles, leaves));
        self.tree = tree.ok_or_else(|| damaged("its hashes are malformed".to_owned()))?;
        let mut known = HashMap::new();
        for name in stored.introduced.iter().map(|(_, name)| name).chain(&stored.issuers) {
            known.insert(name.clone(), self.read_certificate(name)?);
        }
        for (index, name) in &stored.introduced {
            self.certificates.introduce(*index, known[name].clone());
        }
        let issuers: Vec<Certificate> = stored.issuers.iter().map(|name| known[name].clone()).collect();
        self.certificates.know_issuers(&issuers);
        self.bundles_kept = stored.bundles;
        self.certificates_kept = stored.introduced.len() + stored.issuers.len();
        (self.checkpoint, self.grown_ms, self.memory, self.open) = (stored.checkpoint, stored.grown_ms, stored.memory, stored.open);
        Ok(())
    }

    /// The roots of full bundles: as many as the state counts. What lies behind them was written and not counted before a crash.
    fn read_bundles(&self, count: usize) -> Result<Vec<Hash>, Failure> {
        let path = self.folder.join(BUNDLES);
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(Failure::file("read", &path))?;
        file.take(count as u64 * 32).read_to_end(&mut bytes).map_err(Failure::file("read", &path))?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() != count || !rest.is_empty() {
            return Err(Failure::content(&path, "it is shorter than the state says: move the folder away, and a new audit begins"));
        }
        Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
    }

    fn read_certificate(&self, name: &str) -> Result<Certificate, Failure> {
        let path = self.folder.join(CERTIFICATES).join(name);
        let der = fs::read(&path).map_err(Failure::file("read", &path))?;
        let certificate = Certificate::from_der(&der).map_err(|error| Failure::content(&path, error))?;
        if hex::encode(certificate.fingerprint()) != name {
            return Err(Failure::content(&path, "it is another certificate than its name says"));
        }
        Ok(certificate)
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
        let (introduced, issuers) = self.certificates.all();
        if introduced.len() + issuers.len() > self.certificates_kept {
            for certificate in introduced.iter().map(|(_, certificate)| *certificate).chain(issuers.iter().copied()) {
                let name = hex::encode(certificate.fingerprint());
                let folder = self.folder.join(CERTIFICATES);
                if !folder.join(&name).exists() {
                    write_synced(&folder, &name, certificate.der())?;
                }
            }
        }
        let new = self.tree.bundles_from(self.bundles_kept);
        let bytes: Vec<u8> = new.iter().flat_map(|root| root.0).collect();
        self.append(BUNDLES, &bytes, Some(self.bundles_kept as u64 * 32))?;
        let name = |certificate: &Certificate| hex::encode(certificate.fingerprint());
        let stored = Stored {
            type_name: STATE_TYPE.to_owned(),
            log: self.log.clone(),
            hashes_only: self.hashes_only,
            checkpoint: self.checkpoint.clone(),
            bundles: self.bundles_kept + new.len(),
            leaves: self.tree.open().iter().map(ToString::to_string).collect(),
            grown_ms: self.grown_ms,
            introduced: introduced.iter().map(|(index, certificate)| (*index, name(certificate))).collect(),
            issuers: issuers.iter().map(|certificate| name(certificate)).collect(),
            memory: self.memory.clone(),
            open: self.open.clone(),
        };
        write_synced(&self.folder, STATE, json(&stored).as_bytes())?;
        self.bundles_kept = stored.bundles;
        self.certificates_kept = stored.introduced.len() + stored.issuers.len();
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
            std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        written().map_err(Failure::file("write", &path))
    }
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
