//! What people and authorities stated to a log goes on in its successor: their statements are put there again, the same bytes, so that
//! certificates, recipients and grants hold without a hand. Cameras send theirs themselves.
//!
//! It judges nothing: what it puts there was admitted by the log before. What that log had carried itself goes on as well, as long as genesis
//! declares the log that it was stated to.

use exhibit_evidence::{Body, SignedStatement};
use exhibit_ledger::LedgerError;
use exhibit_tlog::Hash;

use super::replay::contents;
use crate::appliance::Appliance;
use crate::ingest::finish::candidate;
use crate::predecessor::Archive;
use crate::registry::RegistryError;
use crate::vault::{Object, VaultError};

/// Who goes on stating in the successor, and is known there by what they stated before.
const CARRIED: [&str; 2] = ["authority/", "user/"];
/// Streams of one read.
const STREAMS_PAGE: usize = 256;

/// Why it was not carried over to the end. The same call goes on.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// One of the ledgers.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is on them.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// One of the vaults.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Puts what the log before has of people and authorities on the ledger of `appliance`, in the order of that log. Gives the number of entries that
/// are there now. Nothing, where the log before can not be read.
pub fn carry(appliance: &Appliance) -> Result<u64, CarryError> {
    let Some(predecessor) = &appliance.predecessor else { return Ok(0) };
    let Some(archive) = &predecessor.archive else { return Ok(0) };
    let mut carried = 0;
    for index in indices(archive)? {
        let entry = archive.ledger.entry(index)?.ok_or(RegistryError::Entry)?;
        let signed = SignedStatement::parse(&entry).map_err(|_| RegistryError::Entry)?;
        if appliance.before.iter().any(|before| before.log == signed.statement().log) {
            carry_one(appliance, archive, &signed)?;
            carried += 1;
        }
    }
    Ok(carried)
}

/// The entries of all who are carried, in the order of the log: a certificate comes before what it has signed.
fn indices(archive: &Archive) -> Result<Vec<u64>, CarryError> {
    let mut indices = Vec::new();
    for prefix in CARRIED {
        let mut after: Option<String> = None;
        loop {
            let heads = archive.ledger.heads(prefix, after.as_deref(), STREAMS_PAGE)?;
            let Some(last) = heads.last().map(|head| head.stream.clone()) else { break };
            for head in heads {
                for seq in 0..head.next_seq {
                    indices.extend(archive.ledger.place(&head.stream, seq)?.map(|place| place.index));
                }
            }
            after = Some(last);
        }
    }
    indices.sort_unstable();
    Ok(indices)
}

fn carry_one(appliance: &Appliance, archive: &Archive, signed: &SignedStatement) -> Result<(), CarryError> {
    let statement = signed.statement();
    if appliance.registry.place(&statement.stream, statement.seq)?.is_some() {
        return Ok(());
    }
    for attachment in statement.body.attachments() {
        let object = Object::Attachment(attachment.sha256);
        // One that was erased, or lost, is so here too.
        if let Some(stored) = archive.vault.read(object, attachment.length)?.filter(|stored| attachment.open(stored).is_some()) {
            appliance.vault.put(object, &stored)?;
        }
    }
    let contents = contents(appliance.vault.as_ref(), statement);
    appliance.ledger.append(candidate(&appliance.registry, signed, &contents, &appliance.anchor.log)?)?;
    if matches!(statement.body, Body::CertificateRevocation(_)) {
        appliance.registry.read_revocations_again();
    }
    Ok(())
}

/// Whether a statement on the log named `log` may be the first of its chain there behind its epoch: what lies between is on the log before.
pub fn may_leap(statement: &exhibit_evidence::Statement, log: &Hash) -> bool {
    statement.seq > 1 && statement.log != *log && statement.stream.kind() == "camera"
}
