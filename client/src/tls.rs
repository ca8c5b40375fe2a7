//! TLS 1.3, TLS_AES_256_GCM_SHA384, no tickets, hybrid post-quantum key exchange preferred; the client's key is any `Signer`.
//!
//! It does not know where the key is, nor what is said over the connection.

use std::sync::Arc;

use exhibit_pki::{Certificate, KeyPurpose, Signer, Suite};
use exhibit_program::tls::crypto_provider;
use rustls::{
    ClientConfig, RootCertStore, SignatureAlgorithm, SignatureScheme,
    client::Resumption,
    pki_types::CertificateDer,
    sign::{CertifiedKey, SingleCertAndKey},
};

/// Who a client is: its certificate, the CA certificates up to (not including) the root, and the key.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate.
    pub certificate: Certificate,
    /// Intermediates, leaf's issuer first.
    pub chain: Vec<Certificate>,
    /// The key, in a file, a TPM, a card.
    pub signer: Arc<dyn Signer>,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientIdentity").field("certificate", &self.certificate.common_name()).finish_non_exhaustive()
    }
}

/// The client's side of the connection: trusts `roots` only, presents `identity`.
pub fn client_config(identity: &ClientIdentity, roots: &[Certificate]) -> Result<Arc<ClientConfig>, rustls::Error> {
    config_trusting(Some(identity), trusted(roots)?)
}

/// The side of a client that presents nothing: for what anyone may have.
pub fn anonymous_config(roots: &[Certificate]) -> Result<Arc<ClientConfig>, rustls::Error> {
    config_trusting(None, trusted(roots)?)
}

/// The same with whatever roots: servers of other parties, which prove who they are by certificates that are none of ours.
pub fn config_trusting(identity: Option<&ClientIdentity>, trusted: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(trusted);
    let mut config = match identity {
        Some(identity) => {
            let key = CertifiedKey::new(presented_chain(identity), Arc::new(HandshakeKey::of(identity)?));
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every connection proves possession of the key anew: a stolen ticket is worth nothing where there are none.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Roots of the project's own kind, as a connection trusts them.
pub fn trusted(roots: &[Certificate]) -> Result<RootCertStore, rustls::Error> {
    let mut trusted = RootCertStore::empty();
    for root in roots {
        trusted.add(CertificateDer::from(root.der().to_vec()))?;
    }
    Ok(trusted)
}

fn presented_chain(identity: &ClientIdentity) -> Vec<CertificateDer<'static>> {
    std::iter::once(&identity.certificate)
        .chain(&identity.chain)
        .map(|certificate| CertificateDer::from(certificate.der().to_vec()))
        .collect()
}

/// A `Signer` as rustls wants to see it: it signs the handshake's transcript, domain-separated by TLS 1.3 itself.
struct HandshakeKey {
    signer: Arc<dyn Signer>,
    scheme: SignatureScheme,
}

impl HandshakeKey {
    fn of(identity: &ClientIdentity) -> Result<Self, rustls::Error> {
        if identity.certificate.purpose() != KeyPurpose::Signing {
            return Err(rustls::Error::General(
                "the certificate is not for signing: use the signing certificate, not the wrapping one".into(),
            ));
        }
        if identity.certificate.public_key() != identity.signer.public_key() {
            return Err(rustls::Error::General("the key is not the one in the certificate".into()));
        }
        let scheme = match identity.signer.public_key().suite() {
            Suite::EcdsaP384Sha384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Suite::EcdsaP256Sha256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            // TLS 1.3 wants RSASSA-PSS (RFC 8446 section 4.4.3), which our suite is not, and a `Signer` signs with its suite alone.
            Suite::RsaPkcs1Sha384 => {
                return Err(rustls::Error::General(
                    "an RSA key signs statements, but not TLS handshakes here: use a key on a curve".into(),
                ));
            }
        };
        Ok(Self { signer: Arc::clone(&identity.signer), scheme })
    }
}

impl std::fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeKey").finish_non_exhaustive()
    }
}

impl rustls::sign::SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let scheme = self.scheme;
        offered
            .contains(&scheme)
            .then(|| Box::new(HandshakeSigner { signer: Arc::clone(&self.signer), scheme }) as Box<dyn rustls::sign::Signer>)
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

struct HandshakeSigner {
    signer: Arc<dyn Signer>,
    scheme: SignatureScheme,
}

impl std::fmt::Debug for HandshakeSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeSigner").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl rustls::sign::Signer for HandshakeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signer.sign(message).map_err(|error| rustls::Error::General(error.to_string()))
    }
    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
