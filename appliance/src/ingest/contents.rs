//! What stands in the few attachments that the appliance reads: certificates, and the terms of a grant.
//!
//! It does not know keys: wraps are opaque to the appliance. Hashes and lengths have been checked before.

use exhibit_evidence::{Body, Statement, exchange::Terms};
use exhibit_pki::{Certificate, KeyPurpose, PathError, Subject, Timestamp};

use super::judge::LedgerView;
use super::rules;
use crate::api::problem::{Kind, Refusal};
use crate::registry::RegistryError;

/// What was read.
#[derive(Debug, Default)]
pub struct Contents {
    /// A certificate that is introduced.
    pub certificate: Option<Certificate>,
    /// The authorities above it that come with it.
    pub issuers: Vec<Certificate>,
    /// The terms of a grant.
    pub terms: Option<Terms>,
}

/// Why contents are refused.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// Not what it should be.
    #[error("attachment {0} {1}")]
    Attachment(String, String),
    /// The certificate that is introduced has no path.
    #[error("the certificate that is introduced does not count: {0}")]
    Path(#[from] PathError),
    /// The ledger could not be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl From<ContentsError> for Refusal {
    fn from(error: ContentsError) -> Self {
        match error {
            ContentsError::Attachment(..) | ContentsError::Path(_) => Self::new(Kind::Attachment, error.to_string()),
            ContentsError::Registry(error) => error.into(),
        }
    }
}

/// True for attachments whose content `read` wants: they are kept in memory as they arrive.
pub fn is_read(statement: &Statement, name: &str) -> bool {
    match &statement.body {
        Body::Certificate(_) => true,
        Body::Grant(_) => name == "terms",
        _ => false,
    }
}

/// Reads what `is_read` names. `stored` are the attachments as stored, by name.
pub fn read(statement: &Statement, stored: &[(String, Vec<u8>)], view: &dyn LedgerView, now: Timestamp) -> Result<Contents, ContentsError> {
    match &statement.body {
        Body::Certificate(_) => read_certificates(stored, view, now),
        Body::Grant(grant) => {
            let attachment = grant.attachments.iter().find(|attachment| attachment.name == "terms");
            let bytes = stored.iter().find(|(name, _)| name == "terms").map(|(_, bytes)| bytes.as_slice());
            let (Some(attachment), Some(bytes)) = (attachment, bytes) else { return wrong("terms", "is missing") };
            let content =
                attachment.open(bytes).ok_or(ContentsError::Attachment("terms".to_owned(), "is not what was signed".to_owned()))?;
            let terms = Terms::parse(content, &grant.scope);
            let terms = terms.map_err(|error| ContentsError::Attachment("terms".to_owned(), error.to_string()))?;
            check_grantee(&terms, view, now)?;
            Ok(Contents { terms: Some(terms), ..Contents::default() })
        }
        _ => Ok(Contents::default()),
    }
}

fn wrong<T>(name: &str, what: impl Into<String>) -> Result<T, ContentsError> {
    Err(ContentsError::Attachment(name.to_owned(), what.into()))
}

fn read_certificates(stored: &[(String, Vec<u8>)], view: &dyn LedgerView, now: Timestamp) -> Result<Contents, ContentsError> {
    let mut certificate = None;
    let mut issuers = Vec::new();
    for (name, der) in stored {
        let parsed = Certificate::from_der(der).map_err(|error| ContentsError::Attachment(name.clone(), error.to_string()))?;
        match name.as_str() {
            "certificate" => certificate = Some(parsed),
            _ if parsed.purpose() == KeyPurpose::Authority => issuers.push(parsed),
            _ => return wrong(name, "is not the certificate of an authority"),
        }
    }
    let Some(certificate) = certificate else { return wrong("certificate", "is missing") };
    if certificate.identity().is_none() {
        return wrong("certificate", "is that of an authority, which is introduced as `issuer-…`");
    }
    // One that is made ahead of time is judged at its first moment.
    let path = view.validate(&certificate, &issuers, now.max(certificate.not_before()))??;
    let on_path = |issuer: &&Certificate| !path.certificates().iter().any(|above| above.fingerprint() == issuer.fingerprint());
    if issuers.iter().any(|issuer| on_path(&issuer)) {
        return wrong("issuer-…", "does not stand above the certificate");
    }
    Ok(Contents { certificate: Some(certificate), issuers, terms: None })
}

/// The grantee's certificate must be on the ledger, theirs, and for wrapping: else nobody could open the grant.
fn check_grantee(terms: &Terms, view: &dyn LedgerView, now: Timestamp) -> Result<(), ContentsError> {
    let Some(fingerprint) = exhibit_tlog::Hash::from_hex(&terms.grantee) else {
        return wrong("terms", "has a grantee that is no fingerprint");
    };
    let subject = Subject::parse(&terms.grantee_subject);
    let theirs = |certificate: &Certificate| {
        certificate.purpose() == KeyPurpose::Wrapping
            && subject.as_ref().is_ok_and(|subject| certificate.identity().is_some_and(|identity| identity.subject == *subject))
    };
    match rules::demand(&fingerprint.0, view, now, "the grantee", theirs) {
        Ok(_) => Ok(()),
        Err(rules::RuleError::Registry(error)) => Err(error.into()),
        Err(error) => wrong("terms", format!("is not for a grantee that is known: {error}")),
    }
}
