//! Going by a changed configuration and a renewed certificate without dropping anybody: SIGHUP asks for it.
//!
//! All of it is read and judged before anything changes: what is wrong leaves the appliance as it was.

use std::sync::Arc;

use exhibit_pki::{Certificate, SoftwareSigner};
use exhibit_program::logging::SECURITY;

use crate::api::server::Rules;
use crate::appliance::Appliance;
use crate::config::Config;
use crate::registry::RegistryError;
use crate::setup::{Folder, SetupError};
use crate::tls::{TlsConfigs, TlsError};

/// Why it goes on as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The state folder.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate.
    #[error("the certificate in appliance.pem is not on the ledger yet: its authority has to put it there first")]
    Unknown,
    /// What it leads to.
    #[error("root.pem does not have the roots that the log began with: those are its own for ever")]
    Roots,
    /// It counts for nothing.
    #[error("the certificate in appliance.pem, or one above it, is revoked")]
    Revoked,
    /// Whose it is.
    #[error("the certificate in appliance.pem is another appliance's: a state folder is one appliance's for ever")]
    Another,
    /// The ledger.
    #[error("the ledger does not tell whether it has the certificate: {0}")]
    Registry(#[from] RegistryError),
}

/// What came of it.
#[derive(Debug)]
pub struct Reloaded {
    /// What counts from now on.
    pub config: Config,
    /// Members that have changed, and count from the next start on.
    pub fixed: Vec<&'static str>,
}

/// Reads the folder anew. `before` is what was read the last time. Blocks.
pub fn reload(folder: &Folder, before: &Config, appliance: &Arc<Appliance>, rules: &[Arc<Rules>; 2]) -> Result<Reloaded, ReloadError> {
    let config = folder.config()?;
    let credentials = folder.credentials(appliance.now())?;
    if credentials.certificate.identity().map(|identity| &identity.subject) != appliance.chronicle.subject().as_ref() {
        return Err(ReloadError::Another);
    }
    if !appliance.registry.is_known(credentials.certificate.fingerprint())? {
        return Err(ReloadError::Unknown);
    }
    if credentials.roots.iter().map(Certificate::der).ne(appliance.anchor.roots.iter().map(Certificate::der)) {
        return Err(ReloadError::Roots);
    }
    let path = [std::slice::from_ref(&credentials.certificate), &credentials.chain].concat();
    if appliance.registry.revoked(&path, appliance.now())?.is_some() {
        return Err(ReloadError::Revoked);
    }
    let tls = TlsConfigs::new(&credentials)?;
    let signer = SoftwareSigner::from_pkcs8_pem(&credentials.key_pem).map_err(SetupError::from)?;
    // From here on nothing fails.
    let fixed = before.fixed(&config);
    for (rules, tls) in rules.iter().zip([tls.intake, tls.public]) {
        rules.change(tls, &config.limits);
    }
    appliance.change(&config);
    appliance.chronicle.sign_with(credentials.certificate, Box::new(signer));
    tracing::info!(target: SECURITY, "the configuration and the certificate were read anew");
    if !fixed.is_empty() {
        tracing::warn!(members = fixed.join(", "), "these have changed, and count from the next start on");
    }
    Ok(Reloaded { config, fixed })
}
