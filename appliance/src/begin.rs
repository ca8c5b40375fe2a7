//! How a log begins: genesis as entry 0, and the anchor. Ended anywhere, the same call goes on from where it came to.
//!
//! It serves nothing, and writes over nothing: a ledger with more in it than this genesis is left alone.

use std::fs;

use exhibit_evidence::anchor::{AnchorPolicy, WitnessPolicy};
use exhibit_evidence::{Anchor, AttachmentRef, Body, Head, SignedStatement, Statement, StreamName, body};
use exhibit_ledger::Ledger;
use exhibit_pki::SoftwareSigner;
use exhibit_tlog::{EMPTY_ROOT, Hash, LogVerifier, VerifierKey};

use crate::chronicle::own_candidate;
use crate::config::Config;
use crate::ended::EndedLog;
use crate::setup::{ANCHOR, CHAIN, Credentials, LEDGER, NewLog, ROOT, SetupError};
use crate::state_lock::LockedFolder;
use crate::tpm_note::KEY_ATTACHMENT;
use crate::vault::Object;

/// All that a log begins with, made and checked.
struct Draft {
    config: Config,
    credentials: Credentials,
    verifier: LogVerifier,
    witnesses: Option<WitnessPolicy>,
    tpm_key: Option<VerifierKey>,
    genesis: SignedStatement,
}

impl LockedFolder {
    /// Begins a log: genesis as entry 0, and the anchor.
    pub fn create_log(&self, new: &NewLog<'_>) -> Result<Anchor, SetupError> {
        self.refuse_existing(&[ANCHOR])?;
        let Draft { config, credentials, verifier, witnesses, tpm_key, genesis } = self.draft(new)?;
        let der = credentials.certificate.der();
        self.vault()?.put(Object::Attachment(Hash(*credentials.certificate.fingerprint())), der)?;
        let ledger = Ledger::open(&self.ledger_path(), self.options(new.origin, &config)?)?;
        let log = match ledger.size() {
            0 => ledger.append(own_candidate(&genesis, None, Some(&credentials.certificate), Vec::new()))?.place.leaf,
            _ => self.begun(&ledger, &genesis)?,
        };
        let policy = AnchorPolicy { witnesses, tpm_key, ..AnchorPolicy::default() };
        let anchor = Anchor { log, verifier, roots: credentials.roots, policy };
        self.write_new(ANCHOR, anchor.to_json().as_bytes())?;
        Ok(anchor)
    }

    /// Begins the log that goes on for another. One that an earlier call has begun for the same log and its last head is gone on with.
    pub fn create_successor(&self, new: &NewLog<'_>, before: EndedLog) -> Result<Anchor, SetupError> {
        match self.anchor() {
            Ok(anchor) if self.predecessor_anchor().is_ok_and(|named| named.log == before.named.log) => {
                self.refuse_other_end(&anchor, &before)?;
                // What is carried over is read through the link, which a copy of the folder may lack.
                self.write_predecessor(&before)?;
                Ok(anchor)
            }
            _ => self.create_log(&NewLog { predecessor: Some(before), ..*new }),
        }
    }

    /// A genesis names one last head for ever: the files of another one beside it would keep its log from being served.
    fn refuse_other_end(&self, anchor: &Anchor, before: &EndedLog) -> Result<(), SetupError> {
        let ledger = Ledger::open(&self.ledger_path(), self.options(&anchor.verifier.origin, &self.config()?)?)?;
        let entry = ledger.entry(0)?;
        let genesis = entry.and_then(|entry| SignedStatement::parse(&entry).ok());
        match genesis.as_ref().map(|genesis| &genesis.statement().body) {
            Some(Body::Genesis(genesis)) if genesis.predecessor.as_ref() == Some(&before.named) => Ok(()),
            _ => Err(SetupError::OtherLog("its genesis names another last head of the log before")),
        }
    }

    /// Makes all of a log but its genesis: whatever would refuse it, seals included, does so now.
    pub fn prepare_log(&self, new: &NewLog<'_>) -> Result<(), SetupError> {
        self.refuse_existing(&[ANCHOR])?;
        let draft = self.draft(new)?;
        drop(self.vault()?);
        match Ledger::open(&self.ledger_path(), self.options(new.origin, &draft.config)?)?.size() {
            0 => Ok(()),
            _ => Err(SetupError::Exists(self.ledger_path())),
        }
    }

    fn draft(&self, new: &NewLog<'_>) -> Result<Draft, SetupError> {
        let verifier = self.verifier(new.origin)?;
        if let Some(before) = &new.predecessor {
            refuse_same(&verifier, &before.anchor.verifier)?;
        }
        for (name, pem) in [(CHAIN, new.chain_pem), (ROOT, new.root_pem)] {
            self.certificates(name, pem)?;
        }
        for (name, pem) in [(CHAIN, new.chain_pem), (ROOT, new.root_pem)] {
            if fs::read(self.path().join(name)).ok().as_deref() != Some(pem.as_bytes()) {
                self.write_new(name, pem.as_bytes())?;
            }
        }
        if let Some(before) = &new.predecessor {
            self.write_predecessor(before)?;
        }
        let (credentials, config) = (self.credentials(new.now)?, self.config()?);
        let witnesses = self.witness_policy(&config, &verifier)?;
        let tpm_key = config.tpm_note.as_ref().map(|tpm| tpm.verifier_key(new.origin)).transpose().map_err(SetupError::TpmKey)?;
        let tpm_text = tpm_key.as_ref().map(ToString::to_string);
        let policy = witnesses.as_ref().map_or("", WitnessPolicy::text);
        let genesis = genesis(&credentials, &verifier, new, policy, tpm_text.as_deref())?;
        if let Some(key) = &tpm_text {
            self.vault()?.put(Object::Attachment(AttachmentRef::of(KEY_ATTACHMENT, key.as_bytes(), false).sha256), key.as_bytes())?;
        }
        Ok(Draft { config, credentials, verifier, witnesses, tpm_key, genesis })
    }

    /// The genesis that an earlier call has put on the ledger, if it is the same but for its time.
    fn begun(&self, ledger: &Ledger, genesis: &SignedStatement) -> Result<Hash, SetupError> {
        let exists = || SetupError::Exists(self.path().join(LEDGER));
        let entry = ledger.entry(0)?.filter(|_| ledger.size() == 1).ok_or_else(exists)?;
        let begun = SignedStatement::parse(&entry).map_err(|_| exists())?;
        if begun.statement().body == genesis.statement().body { Ok(begun.leaf_hash()) } else { Err(exists()) }
    }
}

/// A log whose successor has its origin or a key of it would have two trees.
pub fn refuse_same(new: &LogVerifier, before: &LogVerifier) -> Result<(), SetupError> {
    if new.origin == before.origin {
        return Err(SetupError::SameLog("origin"));
    }
    if new.keys.iter().any(|key| before.keys.iter().any(|old| old.has_key_of(key))) {
        return Err(SetupError::SameLog("keys"));
    }
    Ok(())
}

fn genesis(
    credentials: &Credentials,
    verifier: &LogVerifier,
    new: &NewLog<'_>,
    witness_policy: &str,
    tpm_key: Option<&str>,
) -> Result<SignedStatement, SetupError> {
    let certificate = &credentials.certificate;
    let subject = &certificate.identity().expect("credentials are those of an appliance").subject;
    let stream = StreamName::parse(&format!("{subject}/log/{}", new.now.compact()));
    let named = [("certificate", certificate.der())].into_iter().chain(tpm_key.map(|key| (KEY_ATTACHMENT, key.as_bytes())));
    let attachments = named.map(|(name, stored)| AttachmentRef::of(name, stored, false)).collect();
    let statement = Statement {
        log: Hash([0; 32]),
        stream: stream.map_err(|_| SetupError::OwnCertificate("has an id that no stream can bear".to_owned()))?,
        seq: 0,
        prev: Hash([0; 32]),
        issued: new.now,
        observed: Head { size: 0, root: EMPTY_ROOT },
        body: Body::Genesis(body::Genesis {
            origin: verifier.origin.clone(),
            keys: verifier.keys.iter().map(ToString::to_string).collect(),
            roots: credentials.roots.iter().map(|root| *root.fingerprint()).collect(),
            witness_policy: witness_policy.to_owned(),
            predecessor: new.predecessor.as_ref().map(|before| before.named.clone()),
            earlier: new.predecessor.as_ref().map(|before| before.earlier.clone()).unwrap_or_default(),
            attachments,
        }),
    };
    let signer = SoftwareSigner::from_pkcs8_pem(&credentials.key_pem)?;
    Ok(exhibit_evidence::sign(&statement, certificate, &signer)?)
}
