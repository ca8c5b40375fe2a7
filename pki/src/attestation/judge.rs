//! The judgement of attestations: which keys may attest, who signed, for which nonce, and what it was about.
//!
//! It keeps no state: that a nonce was fresh, a challenge opened and a clock reading the last one, is known by whoever asks.

use sha2::{Digest, Sha256};

use super::{
    attest::{Attest, AttestKind, Attested, ClockInfo},
    endorsement::EndorsementKey,
    pcr::PcrValues,
    public::{Attributes, Name, PublicArea},
    signature::EcdsaSignature,
    suite::{hash_of, signing_key},
    wire::{FormatError, HashAlgorithm},
};
use crate::{PublicKey, Suite, Verifier};

/// What is wrong with a key for its purpose; one for each thing that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyDefect {
    /// fixedTPM is not set.
    #[error("it could be duplicated to another TPM (fixedTPM is not set)")]
    NotFixedTpm,
    /// fixedParent is not set.
    #[error("it could be moved to another parent (fixedParent is not set)")]
    NotFixedParent,
    /// sensitiveDataOrigin is not set.
    #[error("it was not made by the TPM but brought into it (sensitiveDataOrigin is not set)")]
    NotMadeByTpm,
    /// Restricted is not set.
    #[error("it would work on anything that it is given (restricted is not set)")]
    NotRestricted,
    /// Restricted is set.
    #[error("it would refuse to sign statements (restricted is set)")]
    Restricted,
    /// Sign is not set.
    #[error("it can not sign")]
    CanNotSign,
    /// Sign is set.
    #[error("it can sign, and should only decrypt")]
    CanSign,
    /// Decrypt is not set.
    #[error("it can not decrypt")]
    CanNotDecrypt,
    /// Decrypt is set.
    #[error("it can decrypt, and should only sign")]
    CanDecrypt,
    /// It has no cipher for what is under it.
    #[error("it has no cipher for what is wrapped to it")]
    NoStorageCipher,
    /// It is bound to no suite, is named by another hash than its suite's, or is not on the curve.
    #[error("it is not a key of ECDSA P-384 with SHA-384, or P-256 with SHA-256, alone and by name")]
    Suite,
    /// Key, hash of the name and cipher are not those of one suite of endorsement keys.
    #[error("it is not an endorsement key on P-384 with SHA-384 and AES-256, or on P-256 or of RSA-2048 with SHA-256 and AES-128")]
    EndorsementSuite,
}

impl KeyDefect {
    /// What every key must have that only its TPM can use.
    pub(super) fn find_in_resident(public: &PublicArea) -> Result<(), Self> {
        for (attribute, defect) in [
            (Attributes::FIXED_TPM, Self::NotFixedTpm),
            (Attributes::FIXED_PARENT, Self::NotFixedParent),
            (Attributes::SENSITIVE_DATA_ORIGIN, Self::NotMadeByTpm),
        ] {
            if !public.attributes().contains(attribute) {
                return Err(defect);
            }
        }
        Ok(())
    }

    /// What a resident key must be that only signs; it gives the key.
    fn find_in_signer(public: &PublicArea) -> Result<PublicKey, Self> {
        Self::find_in_resident(public)?;
        if !public.attributes().contains(Attributes::SIGN) {
            return Err(Self::CanNotSign);
        }
        if public.attributes().contains(Attributes::DECRYPT) {
            return Err(Self::CanDecrypt);
        }
        signing_key(public).ok_or(Self::Suite)
    }
}

/// The qualifying data of an attestation: SHA-256 of a nonce and of what the attestation is for.
///
/// Hashed, because TPMs that know SHA-256 alone take no more than 34 bytes; the nonce has a fixed length, so that no two pairs meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QualifyingData([u8; 32]);

impl QualifyingData {
    /// For a nonce that the judging side drew for this one attestation, and the context it asks for, such as the hash of a request.
    pub fn new(nonce: &[u8; 32], context: &[u8]) -> Self {
        Self(Sha256::new().chain_update(nonce).chain_update(context).finalize().into())
    }

    /// The same, hashed elsewhere.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// What the TPM's command is given.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Why an attestation is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The signature is not one that TPMs write.
    #[error("the attestation's signature is malformed: {0}")]
    SignatureFormat(FormatError),
    /// It is with another hash than the key's.
    #[error("the attestation is not signed with the hash of its key's suite")]
    SignatureHash,
    /// It was not signed by the attestation key, or altered since.
    #[error("the attestation was not signed by the attestation key")]
    BadSignature,
    /// What was signed is not an attestation.
    #[error("what the attestation key signed is malformed: {0}")]
    Format(#[from] FormatError),
    /// The signer names itself as another key, or in another place.
    #[error("the attestation names another signer than the attestation key under the endorsement key")]
    OtherSigner,
    /// It answers another question, or an old one.
    #[error("the attestation is not for this nonce and this context")]
    OtherQualifyingData,
    /// It is about something else.
    #[error("the attestation is {found}, not {expected}")]
    OtherKind {
        /// What was asked for.
        expected: AttestKind,
        /// What came.
        found: AttestKind,
    },
    /// The certified key is another.
    #[error("the attestation is about another key")]
    OtherName,
    /// The certified key is the one, but will not do.
    #[error("the certified key will not do: {0}")]
    Key(#[from] KeyDefect),
    /// The quote is over other registers.
    #[error("the quote is over other PCRs")]
    OtherPcrs,
    /// The registers have other values.
    #[error("the quote is over other values of the PCRs")]
    OtherPcrValues,
}

/// A key that signs only what its TPM says: restricted, and fast in the TPM under an endorsement key.
///
/// That it is there at all is shown when the TPM opens a [`super::Challenge`] made for its name; until then its attributes are a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationKey {
    public: PublicArea,
    key: PublicKey,
    qualified_name: Name,
}

/// A signing key that a TPM holds and made: not restricted, never to leave it, and of one of the suites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedKey {
    key: PublicKey,
    name: Name,
}

/// A quote whose registers have the values that were expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedQuote {
    clock: ClockInfo,
    firmware_version: u64,
}

/// A reading of a TPM's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTime {
    signer: Name,
    time_ms: u64,
    clock: ClockInfo,
    firmware_version: u64,
}

/// Why two clock readings say nothing about the time between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// They are of different TPMs.
    #[error("the readings are signed by different keys")]
    OtherSigner,
    /// The TPM was reset, restarted or resumed between them.
    #[error("the TPM was reset or restarted between the readings")]
    Restarted,
    /// The later is earlier.
    #[error("the reading that should be later is earlier")]
    Backwards,
}

impl AttestationKey {
    /// Checks the attributes and the suite, and computes the name that the key must sign with, under the endorsement key.
    pub fn from_public(public: PublicArea, parent: &EndorsementKey) -> Result<Self, KeyDefect> {
        let key = KeyDefect::find_in_signer(&public)?;
        if !public.attributes().contains(Attributes::RESTRICTED) {
            return Err(KeyDefect::NotRestricted);
        }
        let qualified_name = public.qualified_name_under(&parent.qualified_name());
        Ok(Self { public, key, qualified_name })
    }

    /// Its name: what a challenge is made for.
    pub fn name(&self) -> Name {
        self.public.name()
    }

    /// Of what suite it is, and so all that it signs.
    pub fn suite(&self) -> Suite {
        self.key.suite()
    }

    fn hash(&self) -> HashAlgorithm {
        hash_of(self.suite())
    }

    /// Judges a TPM2_Certify of `certified`: its answer as TPMS_ATTEST and TPMT_SIGNATURE, without the lengths of their TPM2Bs.
    pub fn verify_certify(
        &self,
        verifier: &dyn Verifier,
        attest: &[u8],
        signature: &[u8],
        expected: &QualifyingData,
        certified: &PublicArea,
    ) -> Result<CertifiedKey, AttestError> {
        let attest = self.verify(verifier, attest, signature, expected)?;
        // Where the key is (its qualified name) is its device's affair: fixedTPM holds wherever that is.
        let Attested::Certify { name, .. } = &attest.attested else {
            return Err(AttestError::OtherKind { expected: AttestKind::Certify, found: attest.kind() });
        };
        if *name != certified.name() {
            return Err(AttestError::OtherName);
        }
        let key = KeyDefect::find_in_signer(certified)?;
        if certified.attributes().contains(Attributes::RESTRICTED) {
            return Err(KeyDefect::Restricted.into());
        }
        Ok(CertifiedKey { key, name: name.clone() })
    }

    /// Judges a TPM2_Quote over exactly the registers in `values`, in their order, with exactly these values.
    pub fn verify_quote(
        &self,
        verifier: &dyn Verifier,
        attest: &[u8],
        signature: &[u8],
        expected: &QualifyingData,
        values: &PcrValues,
    ) -> Result<VerifiedQuote, AttestError> {
        let attest = self.verify(verifier, attest, signature, expected)?;
        let Attested::Quote { selection, digest } = &attest.attested else {
            return Err(AttestError::OtherKind { expected: AttestKind::Quote, found: attest.kind() });
        };
        if *selection != values.selection() {
            return Err(AttestError::OtherPcrs);
        }
        if *digest != values.digest(self.hash()) {
            return Err(AttestError::OtherPcrValues);
        }
        Ok(VerifiedQuote { clock: attest.clock, firmware_version: attest.firmware_version })
    }

    /// Judges a TPM2_GetTime.
    pub fn verify_time(
        &self,
        verifier: &dyn Verifier,
        attest: &[u8],
        signature: &[u8],
        expected: &QualifyingData,
    ) -> Result<VerifiedTime, AttestError> {
        let attest = self.verify(verifier, attest, signature, expected)?;
        let Attested::Time { time_ms, clock, firmware_version } = attest.attested else {
            return Err(AttestError::OtherKind { expected: AttestKind::Time, found: attest.kind() });
        };
        Ok(VerifiedTime { signer: attest.qualified_signer, time_ms, clock, firmware_version })
    }

    /// What holds for every attestation. The signature comes first: nothing unsigned is parsed.
    fn verify(&self, verifier: &dyn Verifier, attest: &[u8], signature: &[u8], expected: &QualifyingData) -> Result<Attest, AttestError> {
        let signature = EcdsaSignature::from_bytes(signature).map_err(AttestError::SignatureFormat)?;
        if signature.hash() != self.hash() {
            return Err(AttestError::SignatureHash);
        }
        verifier.verify(&self.key, attest, &signature.to_der()).map_err(|_| AttestError::BadSignature)?;
        let attest = Attest::from_bytes(attest)?;
        if attest.qualified_signer != self.qualified_name {
            return Err(AttestError::OtherSigner);
        }
        if attest.extra_data != expected.0 {
            return Err(AttestError::OtherQualifyingData);
        }
        Ok(attest)
    }
}

impl CertifiedKey {
    /// The key: what a request for a device certificate must be for.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }
}

impl VerifiedQuote {
    /// The clock when it was made.
    pub fn clock(&self) -> ClockInfo {
        self.clock
    }

    /// The TPM's firmware, in its vendor's own numbering.
    pub fn firmware_version(&self) -> u64 {
        self.firmware_version
    }
}

impl VerifiedTime {
    /// Milliseconds since power came on.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The clock, with the counts of resets and restarts.
    pub fn clock(&self) -> ClockInfo {
        self.clock
    }

    /// The TPM's firmware, in its vendor's own numbering.
    pub fn firmware_version(&self) -> u64 {
        self.firmware_version
    }

    /// Milliseconds from `earlier` to this one by the TPM's own count, if it ran through without a reset or restart.
    pub fn elapsed_ms_since(&self, earlier: &Self) -> Result<u64, ClockError> {
        if self.signer != earlier.signer {
            return Err(ClockError::OtherSigner);
        }
        let counts = |clock: ClockInfo| (clock.reset_count, clock.restart_count);
        if counts(self.clock) != counts(earlier.clock) {
            return Err(ClockError::Restarted);
        }
        self.time_ms.checked_sub(earlier.time_ms).ok_or(ClockError::Backwards)
    }
}
