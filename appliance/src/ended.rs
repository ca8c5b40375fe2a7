//! A log that has ended, and what the folders of two logs say of each other: which one goes on for which, and where the other is.
//!
//! It does not end a log, nor begin one, and opens none.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use exhibit_evidence::{Anchor, Body, Head, SignedStatement, body::Predecessor};

use crate::setup::{ANCHOR, Folder, SetupError};

/// The anchor of the log that this one goes on for, and the signed note of its last checkpoint.
pub(crate) const PREDECESSOR_FILES: [&str; 2] = ["predecessor.json", "predecessor.checkpoint"];
/// Its genesis, where nothing else of it can be read and somebody has that: it declares the logs before.
pub(crate) const PREDECESSOR_GENESIS: &str = "predecessor.genesis";
/// A link to the state folder of that log, where it is still there.
pub(crate) const PREDECESSOR: &str = "predecessor";
/// A link to the state folder of the log that goes on for this one, once that is whole.
const SUCCESSOR: &str = "successor";

/// A log that another one goes on for.
#[derive(Clone, Debug)]
pub struct EndedLog {
    /// What the genesis of the other one says of it: which log, and its last head that is known.
    pub named: Predecessor,
    /// The logs before it, as its own genesis declares them: what was stated to them goes on too. None where that can not be read.
    pub earlier: Vec<Predecessor>,
    /// That genesis, as it was signed.
    pub genesis: Option<Vec<u8>>,
    /// Its name and keys, which no other log may have.
    pub anchor: Anchor,
    /// The signed note of that head, if anybody has it. A log that ends by plan has.
    pub note: Option<String>,
    /// Its state folder, if it can be read.
    pub state: Option<PathBuf>,
}

impl EndedLog {
    /// The same, with the state folder that it can be read from.
    pub fn with_state(self, state: &Path) -> Self {
        Self { state: Some(state.to_owned()), ..self }
    }

    /// The same, with what its genesis declares.
    pub fn with_genesis(self, genesis: &SignedStatement) -> Self {
        match &genesis.statement().body {
            Body::Genesis(body) if genesis.leaf_hash() == self.named.log => {
                Self { earlier: body.declared(), genesis: Some(genesis.der().to_vec()), ..self }
            }
            _ => self,
        }
    }

    /// The same, with its genesis as somebody has kept it: entry 0 of the log, that a bundle, a mirror or an auditor has.
    pub fn with_kept_genesis(self, der: &[u8]) -> Result<Self, SetupError> {
        let genesis =
            SignedStatement::parse(der).map_err(|_| SetupError::OtherLog("what is given as the predecessor's genesis is no statement"))?;
        let with = self.with_genesis(&genesis);
        if with.genesis.is_some() {
            Ok(with)
        } else {
            Err(SetupError::OtherLog("what is given as the predecessor's genesis is not entry 0 of that log"))
        }
    }

    /// Whether a note is a signed checkpoint of its last head.
    fn is_end(&self, note: &str) -> bool {
        let head = self.named.head;
        self.anchor.verifier.verify(note).is_ok_and(|signed| (signed.size, signed.root) == (head.size, head.root))
    }
}

/// The predecessor that an anchor and a signed checkpoint of its log describe.
pub fn predecessor(anchor: &Anchor, last_checkpoint: &str) -> Result<EndedLog, SetupError> {
    let head = anchor.verifier.verify(last_checkpoint).map_err(SetupError::Predecessor)?;
    let named = Predecessor { log: anchor.log, head: Head { size: head.size, root: head.root } };
    Ok(EndedLog { named, earlier: Vec::new(), genesis: None, anchor: anchor.clone(), note: Some(last_checkpoint.to_owned()), state: None })
}

impl Folder {
    /// The anchor of the log that this one goes on for.
    pub fn predecessor_anchor(&self) -> Result<Anchor, SetupError> {
        Ok(Anchor::parse(&self.read(PREDECESSOR_FILES[0])?)?)
    }

    /// The signed note of its last checkpoint, if it is there.
    pub fn predecessor_note(&self) -> Result<Option<String>, SetupError> {
        match self.read_text(PREDECESSOR_FILES[1]) {
            Err(SetupError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            note => note.map(Some),
        }
    }

    /// Its genesis, if it is there.
    pub fn predecessor_genesis(&self) -> Result<Option<Vec<u8>>, SetupError> {
        match self.read(PREDECESSOR_GENESIS) {
            Err(SetupError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            genesis => genesis.map(Some),
        }
    }

    /// The state folder of the log that this one goes on for, if it is named and there.
    pub fn predecessor(&self) -> Option<Self> {
        // Its files go by their own names, as for whoever serves it.
        fs::canonicalize(self.path().join(PREDECESSOR)).ok().map(|path| Self::new(&path))
    }

    /// The state folder of the log that goes on for this one, if one does.
    pub fn successor(&self) -> Option<Self> {
        let path = self.path().join(SUCCESSOR);
        path.join(ANCHOR).exists().then_some(Self::new(&path))
    }

    /// The state folder of the log that is stated to now: this one, or the last of those that go on for it.
    pub fn newest(&self) -> Self {
        let mut newest = self.clone();
        while let Some(next) = newest.successor() {
            newest = next;
        }
        newest
    }

    /// Names the state folder of the log that goes on for this one.
    pub fn link_successor(&self, new: &Self) -> Result<(), SetupError> {
        let link = self.path().join(SUCCESSOR);
        let failed = |source| SetupError::File { path: link.clone(), source };
        // One that lies within stays right when the whole is moved.
        let within = new.path().strip_prefix(self.path()).map(Path::to_owned);
        let target = within.or_else(|_| std::path::absolute(new.path())).map_err(failed)?;
        if fs::read_link(&link).ok().as_ref() != Some(&target) {
            std::os::unix::fs::symlink(&target, &link).map_err(failed)?;
        }
        File::open(self.path()).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// What an earlier attempt has written is the same, or of another log: then it is refused.
    pub(crate) fn write_predecessor(&self, before: &EndedLog) -> Result<(), SetupError> {
        let [anchor, note] = PREDECESSOR_FILES;
        let json = before.anchor.to_json();
        if fs::read(self.path().join(anchor)).ok().as_deref() != Some(json.as_bytes()) {
            self.write_new(anchor, json.as_bytes())?;
        }
        // Another note of the same head, with other cosignatures, does as well.
        if !fs::read_to_string(self.path().join(note)).is_ok_and(|kept| before.is_end(&kept)) {
            match &before.note {
                Some(text) => self.write_new(note, text.as_bytes())?,
                None => self.refuse_existing(&[note])?,
            }
        }
        if let Some(genesis) = &before.genesis
            && fs::read(self.path().join(PREDECESSOR_GENESIS)).ok().as_ref() != Some(genesis)
        {
            self.write_new(PREDECESSOR_GENESIS, genesis)?;
        }
        let (Some(state), link) = (&before.state, self.path().join(PREDECESSOR)) else { return Ok(()) };
        let failed = |source| SetupError::File { path: link.clone(), source };
        if fs::read_link(&link).ok().as_ref() != Some(state) {
            std::os::unix::fs::symlink(state, &link).map_err(failed)?;
        }
        File::open(self.path()).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}
