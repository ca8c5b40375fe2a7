//! C2SP tlog-policy: which logs and witnesses are known, and which of the witnesses have to have cosigned a checkpoint.
//!
//! It does not know what time it is, and reaches nobody: URLs are kept for who does.

use std::collections::BTreeMap;

use crate::decimal::parse_decimal;
use crate::{Checkpoint, CheckpointError, LogVerifier, Note, NoteError, VerifierKey};

/// The largest policy: every log and witness with an ML-DSA-44 key and a long URL.
pub const POLICY_SIZE_BYTES_MAX: usize = 512 * 1024;

/// The most logs, the most witnesses and the most groups: twice the 32 that tlog-policy asks for, and as many as a note has lines.
pub const POLICY_LINES_MAX: usize = 64;

/// A parsed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// `None` is `quorum none`: the log's word suffices.
    quorum: Option<Member>,
}

/// A `log` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    /// One of the log's keys; its name is the log's origin.
    pub key: VerifierKey,
    /// Where the log is reached.
    pub url: Option<String>,
}

/// A `witness` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// What the policy calls it.
    pub name: String,
    /// Its key, an Ed25519 cosignature or ML-DSA-44 key.
    pub key: VerifierKey,
    /// Where the witness is reached: its submission prefix.
    pub url: Option<String>,
}

/// Has witnessed when at least `threshold` of its members have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

/// Indices into the policy's witnesses and groups. A group's members come before it, so groups are never circular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// Why a policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// As a whole.
    #[error("not a witness policy: {0}")]
    Malformed(&'static str),
    /// One of its lines.
    #[error("line {line} of the witness policy: {defect}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        defect: &'static str,
    },
    /// The key in one of its lines.
    #[error("line {line} of the witness policy: {error}")]
    Key {
        /// Counted from 1.
        line: usize,
        /// What is wrong with the key.
        error: NoteError,
    },
}

/// A checkpoint that its log has signed and that witnesses have cosigned as a policy demands. Nothing else makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessedCheckpoint {
    checkpoint: Checkpoint,
    cosigners: Vec<Cosigner>,
}

/// A witness of the policy whose cosignature has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigner {
    /// What the policy calls it.
    pub witness: String,
    /// When it says that this was the largest tree it had seen (POSIX seconds). `None` when it says nothing about that.
    pub unix_s: Option<u64>,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// The checkpoint, or a signature on it by its log or a known witness.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A witness signs with one of the log's own keys.
    #[error("the witness {0:?} is the log itself")]
    OwnWitness(String),
    /// Not the witnesses that have to.
    #[error("{} of the policy's witnesses have cosigned, which is not the quorum", .0.len())]
    Quorum(Vec<Cosigner>),
}

impl Policy {
    /// Parses, by the rules of tlog-policy and the limits above. Stricter: all of it is UTF-8.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_SIZE_BYTES_MAX {
            return Err(PolicyError::Malformed("it is too large"));
        }
        let lines = text.strip_suffix('\n').ok_or(PolicyError::Malformed("it does not end in a newline"))?;
        let mut draft = Draft::default();
        for (line, text) in (1..).zip(lines.split('\n')) {
            draft.read(text).map_err(|defect| match defect {
                Defect::Line(defect) => PolicyError::Line { line, defect },
                Defect::Key(error) => PolicyError::Key { line, error },
            })?;
        }
        let quorum = draft.quorum.ok_or(PolicyError::Malformed("it has no quorum line"))?;
        Ok(Self { logs: draft.logs, witnesses: draft.witnesses, groups: draft.groups, quorum })
    }

    /// The logs, one for each key.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// The log of that origin, if the policy lists it. Stricter than tlog-policy: where a log has several keys, all are required.
    pub fn log(&self, origin: &str) -> Option<LogVerifier> {
        let keys: Vec<_> = self.logs.iter().map(|log| &log.key).filter(|key| key.name() == origin).cloned().collect();
        (!keys.is_empty()).then(|| LogVerifier { origin: origin.to_owned(), keys })
    }

    /// Verifies a signed checkpoint of one of the policy's logs.
    pub fn verify(&self, note: &str) -> Result<WitnessedCheckpoint, WitnessError> {
        let origin = Checkpoint::parse_unverified(note)?.origin;
        let log = self.log(&origin).ok_or(CheckpointError::Origin(origin))?;
        self.verify_of(&log, note)
    }

    /// Verifies a signed checkpoint of a log that is known from elsewhere; the policy's own logs are not asked.
    pub fn verify_of(&self, log: &LogVerifier, note: &str) -> Result<WitnessedCheckpoint, WitnessError> {
        // A line can not be the log's word and somebody else's.
        if let Some(witness) = self.witnesses.iter().find(|witness| log.keys.iter().any(|key| key.has_key_of(&witness.key))) {
            return Err(WitnessError::OwnWitness(witness.name.clone()));
        }
        let checkpoint = log.verify(note)?;
        let note = Note::parse(note).map_err(CheckpointError::from)?;
        let mut cosigners = Vec::new();
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            let line = note.signature_of(&witness.key).map_err(CheckpointError::from)?;
            cosigned.push(line.is_some());
            if let Some(line) = line {
                cosigners.push(Cosigner { witness: witness.name.clone(), unix_s: witness.key.signed_unix_s(&line.signature) });
            }
        }
        if self.is_quorum(&cosigned) { Ok(WitnessedCheckpoint { checkpoint, cosigners }) } else { Err(WitnessError::Quorum(cosigners)) }
    }

    /// Whether these are enough, `cosigned` having one answer for each witness.
    fn is_quorum(&self, cosigned: &[bool]) -> bool {
        let Some(quorum) = self.quorum else { return true };
        let mut witnessed = Vec::with_capacity(self.groups.len());
        let holds = |member: &Member, witnessed: &[bool]| match *member {
            Member::Witness(index) => cosigned[index],
            Member::Group(index) => witnessed[index],
        };
        for group in &self.groups {
            witnessed.push(group.members.iter().filter(|member| holds(member, &witnessed)).count() >= group.threshold);
        }
        holds(&quorum, &witnessed)
    }
}

impl WitnessedCheckpoint {
    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Every witness of the policy that has cosigned, in the policy's order.
    pub fn cosigners(&self) -> &[Cosigner] {
        &self.cosigners
    }

    /// The first to have cosigned: on its word, the tree existed by then. `None` when none says when.
    pub fn earliest(&self) -> Option<&Cosigner> {
        self.timed().min_by_key(|cosigner| cosigner.unix_s)
    }

    /// The last to have cosigned: on its word, what holds this cosignature is no older than that. `None` when none says when.
    pub fn latest(&self) -> Option<&Cosigner> {
        self.timed().max_by_key(|cosigner| cosigner.unix_s)
    }

    fn timed(&self) -> impl Iterator<Item = &Cosigner> {
        self.cosigners.iter().filter(|cosigner| cosigner.unix_s.is_some())
    }
}

/// What the lines so far have defined.
#[derive(Default)]
struct Draft {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// Witnesses and groups share their names.
    names: BTreeMap<String, Name>,
    /// The inner `None` is `quorum none`.
    quorum: Option<Option<Member>>,
}

struct Name {
    member: Member,
    is_in_group: bool,
}

enum Defect {
    Line(&'static str),
    Key(NoteError),
}

impl Draft {
    fn read(&mut self, line: &str) -> Result<(), Defect> {
        if line.contains(|character: char| character.is_ascii_control() && character != '\t') {
            return Err(Defect::Line("it has a control character"));
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words[..] {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] => self.log(key, None),
            ["log", key, url] => self.log(key, Some(url)),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, threshold, ref members @ ..] => self.group(name, threshold, members).map_err(Defect::Line),
            ["quorum", name] => self.quorum(name).map_err(Defect::Line),
            _ => Err(Defect::Line("it is no log, witness, group or quorum line")),
        }
    }

    fn log(&mut self, key: &str, url: Option<&str>) -> Result<(), Defect> {
        let key = VerifierKey::parse(key).map_err(Defect::Key)?;
        if !key.algorithm().is_log_signature() {
            return Err(Defect::Line("its key is a witness's"));
        }
        if self.logs.iter().any(|log| log.key.has_key_of(&key)) {
            return Err(Defect::Line("another log line has the same key"));
        }
        self.logs.push(PolicyLog { key, url: url.map(str::to_owned) });
        within_limit(self.logs.len()).map_err(Defect::Line)
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), Defect> {
        let key = VerifierKey::parse(key).map_err(Defect::Key)?;
        if !key.algorithm().is_cosignature() {
            return Err(Defect::Line("its key makes no cosignatures"));
        }
        if self.witnesses.iter().any(|witness| witness.key.has_key_of(&key)) {
            return Err(Defect::Line("another witness has the same key"));
        }
        self.define(name, Member::Witness(self.witnesses.len())).map_err(Defect::Line)?;
        self.witnesses.push(PolicyWitness { name: name.to_owned(), key, url: url.map(str::to_owned) });
        within_limit(self.witnesses.len()).map_err(Defect::Line)
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), &'static str> {
        let mut group = Group { threshold: 0, members: Vec::new() };
        for member in members {
            let name = self.names.get_mut(*member).ok_or("no line before it defines a member")?;
            if std::mem::replace(&mut name.is_in_group, true) {
                return Err("a member is in a group already");
            }
            group.members.push(name.member);
        }
        group.threshold = match threshold {
            "any" => 1,
            "all" => members.len(),
            number => parse_decimal(number).and_then(|number| number.try_into().ok()).ok_or("its threshold is not any, all or a number")?,
        };
        if !(1..=members.len()).contains(&group.threshold) {
            return Err("its threshold is not from 1 to the number of its members");
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(group);
        within_limit(self.groups.len())
    }

    fn quorum(&mut self, name: &str) -> Result<(), &'static str> {
        if self.quorum.is_some() {
            return Err("another line has defined the quorum");
        }
        self.quorum = Some(match name {
            NO_QUORUM => None,
            name => Some(self.names.get(name).ok_or("no line before it defines the quorum's name")?.member),
        });
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), &'static str> {
        if name == NO_QUORUM || self.names.insert(name.to_owned(), Name { member, is_in_group: false }).is_some() {
            return Err("its name is taken");
        }
        Ok(())
    }
}

fn within_limit(count: usize) -> Result<(), &'static str> {
    if count > POLICY_LINES_MAX { Err("there are too many of its kind") } else { Ok(()) }
}

/// The predefined name.
const NO_QUORUM: &str = "none";
