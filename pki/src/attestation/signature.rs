//! Signatures as a TPM writes them (TPMT_SIGNATURE).
//!
//! It verifies nothing: r and s leave it as the DER that every verifier reads.

use der::{Encode, Sequence, asn1::UintRef};

use super::wire::{ALGORITHM_ECDSA, FormatError, HashAlgorithm, Reader};

/// An ECDSA signature, its numbers not yet checked against any curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcdsaSignature {
    hash: HashAlgorithm,
    r: Vec<u8>,
    s: Vec<u8>,
}

/// `ECDSA-Sig-Value` (RFC 3279 section 2.2.3).
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl EcdsaSignature {
    /// Parses a TPMT_SIGNATURE with TPM_ALG_ECDSA: exactly its bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        reader.expect_u16(ALGORITHM_ECDSA, "sigAlg")?;
        let hash = reader.hash("hash")?;
        let r = reader.sized("signatureR", 1..=SCALAR_BYTES_MAX)?.to_vec();
        let s = reader.sized("signatureS", 1..=SCALAR_BYTES_MAX)?.to_vec();
        reader.finish()?;
        Ok(Self { hash, r, s })
    }

    /// The hash that was signed.
    pub fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// The DER `ECDSA-Sig-Value`; s is as the TPM gave it, high or low.
    pub fn to_der(&self) -> Vec<u8> {
        let number = "at most 48 bytes are a number that DER can hold";
        EcdsaSigValue { r: UintRef::new(&self.r).expect(number), s: UintRef::new(&self.s).expect(number) }.to_der().expect(number)
    }
}

/// A scalar of P-384, the largest curve that is understood.
const SCALAR_BYTES_MAX: usize = 48;
