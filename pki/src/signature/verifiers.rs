//! The two verifiers: pure Rust, and aws-lc-rs where it must be fast. Both judge the form of a signature by the same strict parser first, so
//! that they can not differ over encodings.
//!
//! They do not know what was signed, nor whether a key is to be believed.

use p256::ecdsa::signature::Verifier as _;

use super::{BadSignature, PublicKey, Suite, Verifier, ecdsa, rsa::RsaKey};

/// The pure-Rust verifier (p384, p256, rsa).
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Verifier for RustCrypto {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match key.suite() {
            Suite::EcdsaP384Sha384 => {
                let signature = ecdsa::parse_p384(signature).ok_or(BadSignature)?;
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key.as_bytes()).map_err(|_| BadSignature)?;
                key.verify(message, &signature).map_err(|_| BadSignature)
            }
            Suite::EcdsaP256Sha256 => {
                let signature = ecdsa::parse_p256(signature).ok_or(BadSignature)?;
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key.as_bytes()).map_err(|_| BadSignature)?;
                key.verify(message, &signature).map_err(|_| BadSignature)
            }
            Suite::RsaPkcs1Sha384 => RsaKey::parse(key.as_bytes()).map_err(|_| BadSignature)?.verify_pkcs1_sha384(message, signature),
        }
    }
}

/// The fast verifier (aws-lc-rs).
#[cfg(feature = "aws-lc")]
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

#[cfg(feature = "aws-lc")]
impl Verifier for AwsLc {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_3072_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
        };
        let algorithm: &dyn VerificationAlgorithm = match key.suite() {
            Suite::EcdsaP384Sha384 => {
                ecdsa::parse_p384(signature).ok_or(BadSignature)?;
                &ECDSA_P384_SHA384_ASN1
            }
            Suite::EcdsaP256Sha256 => {
                ecdsa::parse_p256(signature).ok_or(BadSignature)?;
                &ECDSA_P256_SHA256_ASN1
            }
            Suite::RsaPkcs1Sha384 => &RSA_PKCS1_3072_8192_SHA384,
        };
        UnparsedPublicKey::new(algorithm, key.as_bytes()).verify(message, signature).map_err(|_| BadSignature)
    }
}
