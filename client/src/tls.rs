//! TLS 1.3, TLS_AES_256_GCM_SHA384, no tickets, hybrid post-quantum key exchange preferred; the client's key is any `Signer`.

use std::sync::Arc;

use exhibit_pki::{Certificate, Signer};

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

/// The client's side of the connection: trusts `roots` only, presents `identity`.
pub fn client_config(identity: &ClientIdentity, roots: &[Certificate]) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    todo!()
}
