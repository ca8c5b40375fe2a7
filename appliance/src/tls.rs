//! TLS for both listeners: 1.3 only, TLS_AES_256_GCM_SHA384 only, no tickets, hybrid post-quantum key exchange preferred.
//!
//! It knows no roles and no ledger: it verifies that a client's chain leads to a root, and that the client has the key.

use std::sync::Arc;

use exhibit_program::tls::crypto_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};

use crate::setup::Credentials;

/// The two listeners' configurations.
pub struct TlsConfigs {
    /// Demands a client certificate whose chain leads to a root.
    pub intake: Arc<ServerConfig>,
    /// Asks for none.
    pub public: Arc<ServerConfig>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The private key.
    #[error("appliance.key is not a private key that TLS can use")]
    Key,
    /// The roots.
    #[error("the roots can not verify clients: {0}")]
    Roots(#[from] VerifierBuilderError),
    /// rustls.
    #[error("TLS can not be configured: {0}")]
    Tls(#[from] rustls::Error),
}

impl TlsConfigs {
    /// For an appliance.
    pub fn new(credentials: &Credentials) -> Result<Self, TlsError> {
        let provider = Arc::new(crypto_provider());
        let mut roots = RootCertStore::empty();
        for root in &credentials.roots {
            roots.add(CertificateDer::from(root.der().to_vec()))?;
        }
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
        let builder = || ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&version::TLS13]);
        let certificates = [std::slice::from_ref(&credentials.certificate), &credentials.chain].concat();
        let chain: Vec<_> = certificates.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
        let key = || PrivateKeyDer::from_pem_slice(credentials.key_pem.as_bytes()).map_err(|_| TlsError::Key);
        let intake = builder()?.with_client_cert_verifier(clients).with_single_cert(chain.clone(), key()?)?;
        let public = builder()?.with_no_client_auth().with_single_cert(chain, key()?)?;
        Ok(Self { intake: hardened(intake), public: hardened(public) })
    }
}

fn hardened(mut config: ServerConfig) -> Arc<ServerConfig> {
    // A resumed connection would not show its certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
