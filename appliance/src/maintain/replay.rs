//! Entries turned into candidates again, with the same index rows as when they came: for a ledger that is rebuilt.
//!
//! It judges nothing: what is replayed hashes to what the log has signed, so it was judged when it was admitted.

use std::collections::HashSet;
use std::sync::Arc;

use exhibit_evidence::exchange::Terms;
use exhibit_evidence::{Body, SignedStatement, Statement};
use exhibit_ledger::rebuild::Describe;
use exhibit_ledger::{Candidate, Ledger};
use exhibit_pki::{Certificate, KeyPurpose};
use exhibit_tlog::Hash;

use crate::ingest::contents::Contents;
use crate::ingest::finish::candidate;
use crate::registry::Registry;
use crate::rows;
use crate::vault::{Object, Vault};

/// Replays a log.
pub struct Replay<'a> {
    vault: Arc<dyn Vault>,
    log: Hash,
    registry: Option<Registry>,
    progress: &'a dyn Fn(u64, u64),
}

impl<'a> Replay<'a> {
    /// Of the log named `log`; `vault` has the attachments.
    pub fn new(vault: Arc<dyn Vault>, log: Hash, progress: &'a dyn Fn(u64, u64)) -> Self {
        Self { vault, log, registry: None, progress }
    }
}

/// What of the attachments the rows are made of. One that is missing or erased leaves its rows out, as fsck will say.
pub(crate) fn contents(vault: &dyn Vault, statement: &Statement) -> Contents {
    let stored = |name: &str| {
        let attachment = statement.body.attachment(name)?;
        let bytes = vault.read(Object::Attachment(attachment.sha256), attachment.length).ok().flatten()?;
        (exhibit_evidence::AttachmentRef::of(name, &bytes, attachment.erasable).sha256 == attachment.sha256).then_some((attachment, bytes))
    };
    let certificate = |name: &str| stored(name).and_then(|(_, der)| Certificate::from_der(&der).ok());
    match &statement.body {
        Body::Genesis(_) => Contents { certificate: certificate("certificate"), ..Contents::default() },
        Body::Certificate(body) => {
            let issuers = body.attachments.iter().filter(|attachment| attachment.name != "certificate");
            let issuers = issuers.filter_map(|attachment| certificate(&attachment.name));
            let issuers = issuers.filter(|issuer| issuer.purpose() == KeyPurpose::Authority).collect();
            Contents { certificate: certificate("certificate"), issuers, terms: None }
        }
        Body::Grant(body) => {
            let terms = stored("terms").and_then(|(attachment, bytes)| Terms::parse(attachment.open(&bytes)?, &body.scope).ok());
            Contents { terms, ..Contents::default() }
        }
        _ => Contents::default(),
    }
}

impl Describe for Replay<'_> {
    fn describe(&mut self, ledger: &Ledger, _: u64, entries: &[Vec<u8>]) -> Result<Vec<Candidate>, String> {
        self.registry.get_or_insert_with(|| Registry::new(ledger.clone(), Vec::new(), Vec::new()));
        let registry = self.registry.as_ref().expect("it was made just now");
        let (mut candidates, mut streams) = (Vec::new(), HashSet::new());
        for entry in entries {
            let signed = SignedStatement::parse(entry).map_err(|error| error.to_string())?;
            let statement = signed.statement();
            // The rows of these hang on rows of others: on those of their own stream, of certificates that came before, and of earlier words on them.
            let looks_beyond = matches!(
                statement.body,
                Body::Certificate(_) | Body::CertificateRevocation(_) | Body::Recipients(_) | Body::Approve(_) | Body::Genesis(_)
            );
            if !candidates.is_empty() && (looks_beyond || streams.contains(&statement.stream)) {
                break;
            }
            let mut candidate =
                candidate(registry, &signed, &contents(self.vault.as_ref(), statement), &self.log).map_err(|error| error.to_string())?;
            if let Body::Contradiction(body) = &statement.body {
                candidate.annotations.push((rows::contradiction_key(&body.stream, body.seq), Vec::new()));
            }
            streams.insert(statement.stream.clone());
            candidates.push(candidate);
            if looks_beyond {
                break;
            }
        }
        Ok(candidates)
    }

    fn progress(&mut self, entries: u64, entries_total: u64) {
        (self.progress)(entries, entries_total);
    }
}
