//! TPM 2.0 attestation: what a TPM says of its keys, its PCRs and its clock, read by bytes and judged (docs/formats/attestation.md).
//!
//! It talks to no TPM and draws no nonce: bytes and expectations come in, and what comes out holds because it was checked.
//!
//! An enrolment goes: [`EndorsementCertificate::from_nv`], [`EndorsementKey::from_public`], [`AttestationKey::from_public`], a challenge
//! that only this TPM can open ([`EndorsementKey::challenge`]), and then [`AttestationKey::verify_certify`] for the key that a device
//! certificate is to be issued for. Whether a vendor stands behind the endorsement certificate is asked of
//! [`EndorsementCertificate::verify`], with the roots that whoever judges has pinned.

mod attest;
mod challenge;
mod endorsement;
mod judge;
mod pcr;
mod public;
mod signature;
mod suite;
mod vendor;
mod wire;

pub use attest::{Attest, AttestKind, Attested, ClockInfo};
pub use challenge::{CHALLENGE_RANDOM_BYTES, Challenge, ChallengeError};
pub use endorsement::{EndorsementCertificate, EndorsementCertificateError, EndorsementKey, EndorsementKeyError};
pub use judge::{AttestError, AttestationKey, CertifiedKey, ClockError, KeyDefect, QualifyingData, VerifiedQuote, VerifiedTime};
pub use pcr::{PcrSelection, PcrValues, PcrValuesError};
pub use public::{Attributes, Curve, KeyParameters, Name, PublicArea};
pub use signature::EcdsaSignature;
pub use suite::EndorsementSuite;
pub use vendor::{EndorsementChainError, VendorTrust, VerifiedEndorsement};
pub use wire::{FormatError, HashAlgorithm, from_tpm2b};
