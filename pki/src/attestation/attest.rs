//! What a TPM signs about itself (TPMS_ATTEST): that it holds a key, what its PCRs are, what its clock says.
//!
//! It believes nothing: these are bytes with a shape until `judge` has verified who signed them.

use super::{
    pcr::PcrSelection,
    public::Name,
    wire::{DIGEST_BYTES_MAX, FormatError, Reader},
};

/// TPMS_CLOCK_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds that the TPM was powered in all its life, as far as it kept count.
    pub clock_ms: u64,
    /// How often it was reset.
    pub reset_count: u32,
    /// How often it was restarted or resumed since the last reset.
    pub restart_count: u32,
    /// False if a power cut may have set the clock back and it has not caught up yet.
    pub safe: bool,
}

/// What an attestation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttestKind {
    /// TPM2_Certify.
    Certify,
    /// TPM2_Quote.
    Quote,
    /// TPM2_GetTime.
    Time,
}

impl std::fmt::Display for AttestKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Certify => "a certification of a key",
            Self::Quote => "a quote of PCRs",
            Self::Time => "a reading of the clock",
        })
    }
}

/// What is attested (TPMU_ATTEST).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attested {
    /// TPMS_CERTIFY_INFO: a key of this name is in the TPM.
    Certify {
        /// Its name.
        name: Name,
        /// The same with the place where it is.
        qualified_name: Name,
    },
    /// TPMS_QUOTE_INFO: the PCRs of this selection hash to this.
    Quote {
        /// Which PCRs of which banks.
        selection: PcrSelection,
        /// The digest over their values.
        digest: Vec<u8>,
    },
    /// TPMS_TIME_ATTEST_INFO.
    Time {
        /// Milliseconds since power came on.
        time_ms: u64,
        /// The clock. Unlike the one beside the signer it is never disguised.
        clock: ClockInfo,
        /// The TPM's firmware, in its vendor's own numbering.
        firmware_version: u64,
    },
}

/// An attestation, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// The signing key and the place where it is.
    pub qualified_signer: Name,
    /// The qualifying data that the command was given.
    pub extra_data: Vec<u8>,
    /// The clock. A TPM disguises its counts unless the signer is of the endorsement or platform hierarchy.
    pub clock: ClockInfo,
    /// The firmware, disguised likewise.
    pub firmware_version: u64,
    /// What it says.
    pub attested: Attested,
}

impl Attest {
    /// Parses a TPMS_ATTEST: exactly its bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.u32("magic")?;
        if magic != GENERATED_VALUE {
            return Err(FormatError::NotGeneratedByTpm { magic });
        }
        let kind = match reader.u16("type")? {
            TYPE_CERTIFY => AttestKind::Certify,
            TYPE_QUOTE => AttestKind::Quote,
            TYPE_TIME => AttestKind::Time,
            other => return Err(FormatError::Unsupported { field: "type", value: other.into() }),
        };
        let qualified_signer = read_name(&mut reader, "qualifiedSigner")?;
        let extra_data = reader.sized("extraData", 0..=EXTRA_DATA_BYTES_MAX)?.to_vec();
        let clock = read_clock(&mut reader)?;
        let firmware_version = reader.u64("firmwareVersion")?;
        let attested = match kind {
            AttestKind::Certify => Attested::Certify {
                name: read_name(&mut reader, "attested.certify.name")?,
                qualified_name: read_name(&mut reader, "attested.certify.qualifiedName")?,
            },
            AttestKind::Quote => Attested::Quote {
                selection: PcrSelection::read(&mut reader)?,
                digest: reader.sized("attested.quote.pcrDigest", 0..=DIGEST_BYTES_MAX)?.to_vec(),
            },
            AttestKind::Time => Attested::Time {
                time_ms: reader.u64("attested.time.time.time")?,
                clock: read_clock(&mut reader)?,
                firmware_version: reader.u64("attested.time.firmwareVersion")?,
            },
        };
        reader.finish()?;
        Ok(Self { qualified_signer, extra_data, clock, firmware_version, attested })
    }

    /// What it is about.
    pub fn kind(&self) -> AttestKind {
        match self.attested {
            Attested::Certify { .. } => AttestKind::Certify,
            Attested::Quote { .. } => AttestKind::Quote,
            Attested::Time { .. } => AttestKind::Time,
        }
    }
}

fn read_name(reader: &mut Reader<'_>, field: &'static str) -> Result<Name, FormatError> {
    Name::from_bytes(reader.sized(field, 0..=NAME_BYTES_MAX)?)
}

fn read_clock(reader: &mut Reader<'_>) -> Result<ClockInfo, FormatError> {
    Ok(ClockInfo {
        clock_ms: reader.u64("clock")?,
        reset_count: reader.u32("resetCount")?,
        restart_count: reader.u32("restartCount")?,
        safe: reader.yes_no("safe")?,
    })
}

/// TPM_GENERATED_VALUE, with which a restricted key signs nothing that came from outside.
const GENERATED_VALUE: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_CERTIFY.
const TYPE_CERTIFY: u16 = 0x8017;
/// TPM_ST_ATTEST_QUOTE.
const TYPE_QUOTE: u16 = 0x8018;
/// TPM_ST_ATTEST_TIME.
const TYPE_TIME: u16 = 0x8019;
/// An algorithm and the longest digest (TPMT_HA).
const NAME_BYTES_MAX: usize = 2 + DIGEST_BYTES_MAX;
/// TPM2B_DATA holds no more than a TPMT_HA either.
const EXTRA_DATA_BYTES_MAX: usize = NAME_BYTES_MAX;
