//! The end of an upload: attachments and payload made durable, then the entry, then the receipt.
//!
//! It runs on one blocking thread from end to end, so that a sender who goes away leaves nothing half-done.

use std::sync::PoisonError;
use std::time::Instant;

use exhibit_evidence::{Body, SignedStatement, Statement, VerifiedStatement, exchange::Admitted};
use exhibit_ledger::{Admission, Candidate, EntryPlace, LedgerError, Refusal as LedgerRefusal};
use exhibit_tlog::{Checkpoint, Hash, LogProof};

use super::contents::{self, Contents};
use super::{Answered, contradict, logs, recipients, refuse_vault, rules};
use crate::api::problem::{Kind, Refusal};
use crate::appliance::Appliance;
use crate::maintain::carry::may_leap;
use crate::predecessor::Archive;
use crate::registry::{Registry, RegistryError};
use crate::rows::{BLOCK_ENTRIES, Indexed};
use crate::vault::{Object, Staged};

/// A statement whose attachments and payload have come as signed.
pub struct Complete {
    /// The statement.
    pub verified: Box<VerifiedStatement>,
    /// Its attachments.
    pub attachments: Vec<(Box<dyn Staged>, Object)>,
    /// Those that are read, as stored.
    pub read: Vec<(String, Vec<u8>)>,
    /// The ciphertext of a segment.
    pub payload: Option<(Box<dyn Staged>, Object)>,
}

impl Complete {
    /// Makes it durable and gives it its place. Blocks.
    pub fn finish(self, appliance: &Appliance) -> Result<Answered, Refusal> {
        let statement = self.verified.statement();
        let now = appliance.now();
        let again = logs(appliance).again(statement, now);
        let contents = contents::read(statement, &self.read, &appliance.registry, again.unwrap_or(now))?;
        let _write = appliance.vitals.writing();
        let began = Instant::now();
        // Before the ledger knows of it, all of it is on disk.
        for (staged, object) in self.attachments.into_iter().chain(self.payload) {
            staged.commit(object).map_err(refuse_vault(appliance))?;
        }
        let objects = began.elapsed();
        // What these demand may have changed since they were judged, in another stream.
        let looks_beyond =
            matches!(statement.body, Body::Recipients(_) | Body::Approve(_) | Body::Certificate(_) | Body::CertificateRevocation(_));
        let _turn = looks_beyond.then(|| appliance.turn.lock().unwrap_or_else(PoisonError::into_inner));
        if looks_beyond {
            let before = appliance.registry.stream(&statement.stream)?;
            rules::check(&self.verified, before.as_ref(), &appliance.registry, &appliance.anchor.log, again, appliance.now())?;
        }
        if let Body::CertificateRevocation(body) = &statement.body
            && appliance.chronicle.signs_with(&body.fingerprint)
        {
            let detail =
                "it revokes the certificate that this log's appliance signs with: renew that first, or end the log by a succession";
            return Err(Refusal::new(Kind::Rule, detail));
        }
        let candidate = candidate(&appliance.registry, self.verified.signed(), &contents, &appliance.anchor.log)?;
        let began = Instant::now();
        let admission = appliance.ledger.append(candidate).map_err(|error| refuse(appliance, &self.verified, error))?;
        let Admission { place, new, .. } = admission;
        if matches!(statement.body, Body::CertificateRevocation(_)) {
            appliance.registry.read_revocations_again();
        }
        if new {
            appliance.metrics.admitted(&statement.body, objects, began.elapsed());
        }
        // Once for each start of a camera.
        if let (Body::Epoch(_), Some(ahead_s)) = (&statement.body, rules::clock_ahead(statement, now)) {
            tracing::warn!(stream = %statement.stream, ahead_s, "a camera's clock is ahead of the appliance's: set it, or the appliance's");
        }
        tracing::info!(index = place.index, stream = %statement.stream, seq = statement.seq, kind = statement.type_name(), new, "admitted");
        let (admitted, is_final) = admitted(appliance, &place, statement)?;
        Ok(Answered { admitted, new, is_final })
    }
}

/// What a statement becomes on the ledger of the log named `log`, with its index rows.
pub fn candidate(registry: &Registry, signed: &SignedStatement, contents: &Contents, log: &Hash) -> Result<Candidate, RegistryError> {
    let statement = signed.statement();
    let is_segment = matches!(statement.body, Body::Segment(_));
    // The first introduction counts, for ever: a later one must not move a certificate behind what it has signed.
    let certificate = match &contents.certificate {
        Some(certificate) if !registry.is_known(certificate.fingerprint())? => Some(certificate),
        _ => None,
    };
    let revoked = match &statement.body {
        Body::CertificateRevocation(body) => registry.revocation(&body.fingerprint)?,
        _ => None,
    };
    let approved_before = match &statement.body {
        Body::Approve(body) => registry.approval(&body.entry, signed.signer())?.is_some(),
        _ => false,
    };
    let takes_force = match &statement.body {
        Body::Recipients(body) => recipients::takes_force(statement, body, registry, log)?,
        _ => false,
    };
    let indexed = Indexed {
        statement,
        takes_force,
        signer: signed.signer(),
        revoked,
        approved_before,
        leaf: signed.leaf_hash(),
        stream: registry.stream(&statement.stream)?,
        block: if is_segment { registry.block(&statement.stream, statement.seq / BLOCK_ENTRIES)? } else { None },
        certificate,
        issuers: &contents.issuers,
        terms: contents.terms.as_ref(),
    };
    Ok(Candidate {
        stream: statement.stream.as_str().to_owned(),
        seq: statement.seq,
        prev: statement.prev,
        identity: signed.statement_hash(),
        entry: signed.der().to_vec(),
        annotations: indexed.rows(),
        is_last: matches!(statement.body, Body::Succession(_)),
        may_leap: may_leap(statement, log),
    })
}

/// Two uploads for one place may have been judged at the same time: the ledger has decided.
fn refuse(appliance: &Appliance, verified: &VerifiedStatement, error: LedgerError) -> Refusal {
    let detail = error.to_string();
    match error {
        LedgerError::Refused(LedgerRefusal::Contradiction { .. }) => {
            let statement = verified.statement();
            match appliance.registry.place(&statement.stream, statement.seq) {
                Ok(Some(first)) => contradict(appliance, &appliance.ledger, &first, verified.signed()),
                Ok(None) => RegistryError::Entry.into(),
                Err(error) => error.into(),
            }
        }
        LedgerError::Refused(LedgerRefusal::BrokenChain { expected_seq, expected_prev }) => {
            Refusal { expected: Some((expected_seq, expected_prev)), ..Refusal::new(Kind::Chain, detail) }
        }
        LedgerError::Refused(LedgerRefusal::Ended) => Refusal::new(Kind::Ended, detail),
        LedgerError::Refused(LedgerRefusal::Form(_)) => Refusal::new(Kind::Malformed, detail),
        LedgerError::Overloaded => Refusal::new(Kind::Overloaded, "the ledger is overloaded: try again in a moment"),
        error => {
            appliance.heed_ledger(&error);
            RegistryError::Ledger(error).into()
        }
    }
}

/// Receipt of the entry at `place`, the consistency proof from what `statement` observed, and whether that is final.
pub fn admitted(appliance: &Appliance, place: &EntryPlace, statement: &Statement) -> Result<(Admitted, bool), RegistryError> {
    let (receipt, is_final) = appliance.witnessing.receipt(&appliance.ledger, place.index)?.ok_or(RegistryError::Entry)?;
    if statement.log != appliance.anchor.log {
        // What it observed was of a log before: there is nothing to prove between that and this one.
        return Ok((Admitted { index: place.index, leaf: place.leaf.to_string(), receipt, consistency: Vec::new() }, is_final));
    }
    // The log may grow at any moment: the proof goes to the very checkpoint that is in the receipt.
    let proof = LogProof::parse(&receipt).map_err(|_| RegistryError::Entry)?;
    let checkpoint = Checkpoint::parse_unverified(&proof.checkpoint).map_err(|_| RegistryError::Entry)?;
    let consistency = appliance.ledger.consistency(statement.observed.size, checkpoint.size)?.ok_or(RegistryError::Entry)?;
    let consistency = consistency.iter().map(|hash| hash.to_base64()).collect();
    Ok((Admitted { index: place.index, leaf: place.leaf.to_string(), receipt, consistency }, is_final))
}

/// The same for an entry of a log before: its receipt there, and the proof from what `statement` observed of it.
pub fn admitted_before(archive: &Archive, place: &EntryPlace, statement: &Statement) -> Result<(Admitted, bool), RegistryError> {
    let (receipt, is_final) = archive.receipt(place.index)?.ok_or(RegistryError::Entry)?;
    if statement.log != archive.log {
        return Ok((Admitted { index: place.index, leaf: place.leaf.to_string(), receipt, consistency: Vec::new() }, is_final));
    }
    let consistency = archive.ledger.consistency(statement.observed.size, archive.ledger.size())?.ok_or(RegistryError::Entry)?;
    let consistency = consistency.iter().map(|hash| hash.to_base64()).collect();
    Ok((Admitted { index: place.index, leaf: place.leaf.to_string(), receipt, consistency }, is_final))
}
