//! The log that this one goes on for: where it ended, and what of it can still be read.
//!
//! Nothing is ever stated to it. What it lacks, after a disaster, is known to be lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use exhibit_evidence::exchange::{EntryRecord, SuccessorRecord};
use exhibit_evidence::{Anchor, Body, Head, SignedStatement, body};
use exhibit_ledger::{EntryPlace, Ledger, LedgerError};
use exhibit_pki::{Certificate, Fingerprint, Timestamp};
use exhibit_tlog::{Hash, LogProof};

use crate::appliance::Appliance;
use crate::ended::EndedLog;
use crate::registry::{Registry, RegistryError};
use crate::setup::{Folder, SetupError};
use crate::state_lock::LockedFolder;
use crate::vault::Vault;
use crate::witnessing::Witnessing;

/// A log that has ended, and the one before that.
pub struct Predecessor {
    /// Its name and keys.
    pub anchor: Anchor,
    /// Its last head, as our genesis names it.
    pub end: Head,
    /// The signed note of that; after a disaster, where anybody has it.
    note: Option<String>,
    /// Its genesis, where that was kept: whoever follows is shown which logs it declares.
    genesis: Option<Vec<u8>>,
    /// Its state, where that is there and can be opened.
    pub archive: Option<Archive>,
}

/// What can be read of it.
pub struct Archive {
    /// Which.
    pub log: Hash,
    /// Its name.
    pub origin: String,
    /// Its ledger.
    pub ledger: Ledger,
    /// Its rows.
    pub registry: Registry,
    /// Its ciphertext and attachments.
    pub vault: Arc<dyn Vault>,
    /// Who has seen its end.
    pub witnessing: Arc<Witnessing>,
    /// True if it ended by plan: then it has all that was ever stated to it.
    pub is_ended: bool,
    /// The log before it.
    pub before: Option<Box<Predecessor>>,
    /// Nobody else works in its folder meanwhile; whoever ends it just now has it.
    _folder: Option<LockedFolder>,
}

impl Predecessor {
    /// Opens what the folder of the successor has of it. A state that can not be opened is told, and done without.
    pub fn open(folder: &Folder, named: &body::Predecessor) -> Result<Self, SetupError> {
        let (anchor, end) = (folder.predecessor_anchor()?, named.head);
        let other = || SetupError::OtherLog("the files of its predecessor are not of the log that genesis names");
        if anchor.log != named.log {
            return Err(other());
        }
        let archive = match folder.predecessor() {
            None => None,
            Some(state) => match Archive::open(&state, &anchor, &end) {
                Ok(archive) => {
                    if !archive.has(&end) {
                        let (has, ended_at) = (archive.ledger.size(), end.size);
                        tracing::warn!(has, ended_at, "what is left of the log that this one goes on for is older than its end");
                    }
                    Some(archive)
                }
                Err(error) => {
                    tracing::warn!(%error, state = %state.path().display(), "the log that this one goes on for can not be read");
                    None
                }
            },
        };
        let note = folder.predecessor_note()?;
        if let Some(note) = &note {
            let head = anchor.verifier.verify(note).map_err(SetupError::Predecessor)?;
            if (head.size, head.root) != (end.size, end.root) {
                return Err(other());
            }
        } else if archive.as_ref().is_some_and(|archive| archive.is_ended) {
            return Err(SetupError::OtherLog("its predecessor has ended by plan, and the last checkpoint of that is missing"));
        }
        Ok(Self { anchor, end, note, genesis: folder.predecessor_genesis()?, archive })
    }

    /// What shows that `successor` goes on for this log, for somebody who has observed `size` entries of it, with the approvals by some if they are
    /// named.
    fn record(&self, successor: &Following<'_>, size: u64, by: &[Fingerprint]) -> Result<SuccessorRecord, RegistryError> {
        let genesis = successor.registry.statement_at(0)?;
        let mut signers = vec![(*genesis.signer(), genesis.statement().issued)];
        let mut record = SuccessorRecord {
            last_checkpoint: self.note.clone(),
            consistency: None,
            succession: None,
            ended_genesis: self.genesis.as_deref().map(Base64::encode_string),
            genesis: EntryRecord {
                index: 0,
                entry: Base64::encode_string(genesis.der()),
                receipt: successor.ledger.receipt(0)?.ok_or(RegistryError::Entry)?,
                is_final: false,
            },
            certificates: Vec::new(),
            approvals: Vec::new(),
        };
        // Who counts is known to whoever asks: those that others state crowd nobody out.
        let approvals = match by {
            [] => successor.registry.approvals(&genesis.leaf_hash(), None)?,
            by => successor.registry.approvals_by(&genesis.leaf_hash(), by)?,
        };
        for (_, leaf) in approvals {
            let approval = successor.registry.statement(&leaf)?.ok_or(RegistryError::Entry)?;
            signers.push((*approval.signer(), approval.statement().issued));
            record.approvals.push(Base64::encode_string(approval.der()));
        }
        if let Some(archive) = &self.archive {
            // What is left of a log after a disaster may have less than the end that its successor names.
            let witnessed = archive.witnessed_end().filter(|_| archive.has(&self.end));
            record.last_checkpoint = witnessed.or_else(|| self.note.clone());
            record.ended_genesis = Some(Base64::encode_string(archive.registry.statement_at(0)?.der()));
            let proof = archive.ledger.consistency(size, self.end.size)?;
            record.consistency = proof.map(|proof| proof.iter().map(|hash| hash.to_base64()).collect());
            if archive.is_ended {
                let last = archive.record(self.end.size - 1)?.ok_or(RegistryError::Entry)?;
                let succession = archive.registry.statement_at(self.end.size - 1)?;
                signers.push((*succession.signer(), succession.statement().issued));
                record.succession = Some(last);
            }
        }
        let mut given = BTreeSet::new();
        for registry in [Some(successor.registry), self.archive.as_ref().map(|archive| &archive.registry)].into_iter().flatten() {
            for (signer, issued) in &signers {
                // At that time: what has expired since has signed all the same.
                let path = path(registry, signer, *issued)?;
                let new = path.iter().filter(|certificate| given.insert(*certificate.fingerprint()));
                record.certificates.extend(new.map(|certificate| Base64::encode_string(certificate.der())));
            }
        }
        Ok(record)
    }
}

impl Archive {
    /// Opens a state. After a disaster it may be older than the end that the successor names; then what it has is read, and the rest is lost.
    pub fn open(folder: &Folder, anchor: &Anchor, end: &Head) -> Result<Self, SetupError> {
        let config = folder.config()?;
        let ledger = folder.ended_ledger(&anchor.verifier)?;
        if ledger.root_at(end.size)?.is_some_and(|root| root != end.root) {
            return Err(SetupError::OtherLog("it has another tree than the last head that its successor names"));
        }
        // A receipt is under its newest head, and cameras know its end by genesis.
        if ledger.size() > end.size {
            return Err(SetupError::OtherLog("it has entries beyond the last head that its successor names: name its newest checkpoint"));
        }
        let (chain, roots) = folder.authorities()?;
        let registry = Registry::new(ledger.clone(), roots, chain);
        let damaged = |_| SetupError::OtherLog("its genesis can not be read");
        let genesis = registry.statement_at(0).map_err(damaged)?;
        if genesis.leaf_hash() != anchor.log {
            return Err(SetupError::OtherLog("its genesis is not the one that its anchor names"));
        }
        let before = match &genesis.statement().body {
            Body::Genesis(body::Genesis { predecessor: Some(named), .. }) => Some(Box::new(Predecessor::open(folder, named)?)),
            _ => None,
        };
        let witnessing = Arc::new(folder.witnessing(&config, anchor, &ledger)?);
        let is_ended = ledger.is_ended()? && ledger.size() == end.size;
        Ok(Self {
            log: anchor.log,
            origin: anchor.verifier.origin.clone(),
            registry,
            vault: folder.vault_as_it_is(),
            _folder: folder.lock().ok(),
            witnessing,
            is_ended,
            before,
            ledger,
        })
    }

    /// Whether it has all up to a head.
    pub fn has(&self, end: &Head) -> bool {
        self.ledger.size() >= end.size
    }

    /// The last checkpoint with its cosignatures, if its witnesses have seen it.
    fn witnessed_end(&self) -> Option<String> {
        self.witnessing.witnessed().filter(|witnessed| witnessed.head.size == self.ledger.size()).map(|witnessed| witnessed.note.clone())
    }

    /// The receipt of an entry under the last checkpoint, and whether that is final.
    pub fn receipt(&self, index: u64) -> Result<Option<(String, bool)>, LedgerError> {
        let Some(receipt) = self.ledger.receipt(index)? else { return Ok(None) };
        let Ok(proof) = LogProof::parse(&receipt) else { return Ok(None) };
        let is_gated = self.witnessing.status(&self.ledger).is_gated;
        Ok(Some(match self.witnessed_end() {
            Some(checkpoint) => (LogProof { checkpoint, ..proof }.to_text(), true),
            None => (receipt, !is_gated),
        }))
    }

    /// The entry at an index.
    pub fn record(&self, index: u64) -> Result<Option<EntryRecord>, LedgerError> {
        let Some(entry) = self.ledger.entry(index)? else { return Ok(None) };
        let receipt = self.receipt(index)?;
        Ok(receipt.map(|(receipt, is_final)| EntryRecord { index, entry: Base64::encode_string(&entry), receipt, is_final }))
    }

    /// The entry with a leaf hash.
    pub fn record_of(&self, leaf: &Hash) -> Result<Option<EntryRecord>, LedgerError> {
        self.ledger.index_of(leaf)?.map_or(Ok(None), |index| self.record(index))
    }

    /// The signed statement at a place.
    pub fn statement_at(&self, place: &EntryPlace) -> Result<SignedStatement, RegistryError> {
        self.registry.statement_at(place.index)
    }
}

/// A log that has ended, with its state: that has to be the log's, and to have the end that is named, unless an older one is accepted.
pub fn with_state(ended: EndedLog, state: &Path, accepts_older: bool) -> Result<EndedLog, SetupError> {
    let end = ended.named.head;
    let archive = Archive::open(&Folder::new(state), &ended.anchor, &end)?;
    if !archive.has(&end) && !accepts_older {
        return Err(SetupError::OlderState { has: archive.ledger.size(), named: end.size });
    }
    let genesis = archive.registry.statement_at(0).map_err(|_| SetupError::OtherLog("its genesis can not be read"))?;
    Ok(ended.with_genesis(&genesis).with_state(state))
}

/// A log as far as it shows that it goes on for another.
struct Following<'a> {
    ledger: &'a Ledger,
    registry: &'a Registry,
}

/// What shows that a log goes on for the one named `log`; `None` if none of ours does.
pub fn successor(appliance: &Appliance, log: &Hash, size: u64, by: &[Fingerprint]) -> Result<Option<SuccessorRecord>, RegistryError> {
    let mut following = Following { ledger: &appliance.ledger, registry: &appliance.registry };
    let mut before = appliance.predecessor.as_deref();
    while let Some(predecessor) = before {
        if predecessor.anchor.log == *log {
            return predecessor.record(&following, size, by).map(Some);
        }
        let Some(archive) = &predecessor.archive else { break };
        following = Following { ledger: &archive.ledger, registry: &archive.registry };
        before = archive.before.as_deref();
    }
    Ok(None)
}

/// All logs before ours that can be read, newest first.
pub fn archives(appliance: &Appliance) -> impl Iterator<Item = &Archive> {
    fn archive(before: Option<&Predecessor>) -> Option<&Archive> {
        before?.archive.as_ref()
    }
    std::iter::successors(archive(appliance.predecessor.as_deref()), |newer| archive(newer.before.as_deref()))
}

fn path(registry: &Registry, signer: &Fingerprint, at: Timestamp) -> Result<Vec<Certificate>, RegistryError> {
    Ok(match registry.certificate(signer, at)? {
        Some(Ok(known)) => known.path().to_vec(),
        _ => Vec::new(),
    })
}
