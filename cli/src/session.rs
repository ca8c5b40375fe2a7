//! A person at work: an identity's folder, the anchor, the appliance, and the chain of the person's own statements.
//!
//! It knows no command.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use exhibit_client::{Appliance, ClientIdentity, Issuer, Receipt};
use exhibit_evidence::{Anchor, Body, Pin, SignedStatement};
use exhibit_pki::{Certificate, SoftwareSigner, Timestamp};

use crate::arguments::{Connection, Earlier};
use crate::failure::Failure;
use crate::screen::tell;

/// Files of an identity's folder.
pub const SIGNING_KEY: &str = "signing.key";
/// See above.
pub const SIGNING_CERTIFICATE: &str = "signing.pem";
/// See above.
pub const WRAPPING_KEY: &str = "wrapping.key";
/// See above.
pub const WRAPPING_CERTIFICATE: &str = "wrapping.pem";
/// The CA certificates between the person's and the root.
pub const CHAIN: &str = "chain.pem";

/// A session with the appliance.
pub struct Session {
    /// What is trusted.
    pub anchor: Anchor,
    /// Where evidence is read.
    pub appliance: Appliance,
    /// Where statements go, if that is another log than the one that is read.
    stated_to: Option<Appliance>,
    issuer: Issuer,
    identity: ClientIdentity,
}

impl Session {
    /// Reads identity and anchor and prepares the connection; nothing is sent yet.
    pub fn open(connection: &Connection) -> Result<Self, Failure> {
        let anchor = read_anchor(&connection.anchor)?;
        let folder = &connection.identity;
        let identity = read_identity(folder)?;
        let subject = identity.certificate.identity().map(|identity| identity.subject.to_string());
        let subject = subject.ok_or_else(|| Failure::content(&folder.join(SIGNING_CERTIFICATE), "the certificate names nobody"))?;
        let appliance = Appliance::new(&connection.appliance, &identity, &anchor)?;
        let issuer = Issuer::open(folder, &subject, identity.clone(), anchor.log, now())?;
        for (log, kind) in issuer.undelivered()? {
            tell(format!("a statement of type {kind} for log {log} was signed and not delivered: if that has ended, state it anew"));
        }
        Ok(Self { anchor, appliance, stated_to: None, issuer, identity })
    }

    /// The same for evidence of a log that has ended, if `earlier` names one: it is read through the appliance of the log that goes on, and what this
    /// person states goes there.
    pub fn open_for(connection: &Connection, earlier: &Earlier) -> Result<Self, Failure> {
        let session = Self::open(connection)?;
        let Some(path) = &earlier.of_log else { return Ok(session) };
        let anchor = read_anchor(path)?;
        if anchor.log == session.anchor.log {
            return Err(Failure::Usage("--of-log names the log of --anchor: leave it away".to_owned()));
        }
        let ended = Appliance::of_ended(&connection.appliance, &session.identity, &anchor)?;
        Ok(Self { anchor, stated_to: Some(session.appliance), appliance: ended, ..session })
    }

    /// True if what is read has ended, and what is stated goes to the log after it.
    pub fn is_of_ended(&self) -> bool {
        self.stated_to.is_some()
    }

    /// Where statements go.
    pub fn stated_to(&mut self) -> &mut Appliance {
        self.stated_to.as_mut().unwrap_or(&mut self.appliance)
    }

    /// Who this is: the certificate that signs.
    pub fn certificate(&self) -> &Certificate {
        &self.identity.certificate
    }

    /// The authorities above it.
    pub fn chain(&self) -> &[Certificate] {
        &self.identity.chain
    }

    /// Signs `body` and puts it on the ledger.
    pub async fn issue(&mut self, body: Body, attachments: &[&[u8]]) -> Result<(SignedStatement, Receipt), Failure> {
        let appliance = self.stated_to.as_mut().unwrap_or(&mut self.appliance);
        Ok(self.issuer.issue(appliance, body, attachments, now()).await?)
    }
}

/// The moment, by this machine's clock.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).ok().and_then(Timestamp::from_unix_ms).expect("the clock is before the year 10000")
}

/// Fills a slice with cryptographic randomness. Without it nothing can go on.
pub fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives randomness");
}

/// Reads what a person's folder has for TLS and statements.
pub fn read_identity(folder: &Path) -> Result<ClientIdentity, Failure> {
    Ok(ClientIdentity {
        certificate: read_certificate(&folder.join(SIGNING_CERTIFICATE))?,
        chain: read_certificates(&folder.join(CHAIN))?,
        signer: Arc::new(read_key(&folder.join(SIGNING_KEY))?),
    })
}

/// Reads an anchor file.
pub fn read_anchor(path: &Path) -> Result<Anchor, Failure> {
    Anchor::parse(&fs::read(path).map_err(Failure::file("read", path))?).map_err(|error| Failure::content(path, error))
}

/// Reads what a camera pins.
pub fn read_pin(path: &Path) -> Result<Pin, Failure> {
    Pin::parse(&fs::read(path).map_err(Failure::file("read", path))?).map_err(|error| Failure::content(path, error))
}

/// Refuses a threshold that so many custodians can not reach: a person counts once, with however many certificates.
pub fn check_threshold(threshold: u64, custodians: &[Certificate]) -> Result<(), Failure> {
    let people: BTreeSet<String> = custodians.iter().filter_map(Certificate::identity).map(ToString::to_string).collect();
    if threshold == 0 || threshold > people.len() as u64 {
        return Err(Failure::Usage(format!("--threshold must be 1 to {}, the number of different people", people.len())));
    }
    Ok(())
}

/// Reads one PEM certificate.
pub fn read_certificate(path: &Path) -> Result<Certificate, Failure> {
    let pem = fs::read_to_string(path).map_err(Failure::file("read", path))?;
    Certificate::from_pem(&pem).map_err(|error| Failure::content(path, error))
}

/// Reads PEM certificates.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let pem = fs::read_to_string(path).map_err(Failure::file("read", path))?;
    Certificate::all_from_pem(&pem).map_err(|error| Failure::content(path, error))
}

/// Reads a private key.
pub fn read_key(path: &Path) -> Result<SoftwareSigner, Failure> {
    let pem = zeroize::Zeroizing::new(fs::read_to_string(path).map_err(Failure::file("read", path))?);
    SoftwareSigner::from_pkcs8_pem(&pem).map_err(|error| Failure::content(path, error))
}
