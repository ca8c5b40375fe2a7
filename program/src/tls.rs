//! What both sides of every connection of this project speak.
//!
//! It knows no certificate and no socket.

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// One suite, three groups, best first.
pub fn crypto_provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::SECP384R1, aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}
