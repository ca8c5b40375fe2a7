//! Reading the TPM's marshalled structures: big-endian numbers and sized buffers, with every bound checked (TPM 2.0 Library, part 2).
//!
//! It does not know what the structures mean.

use std::ops::RangeInclusive;

use sha2::{Digest, Sha256, Sha384, Sha512};

/// Why bytes are not the TPM structure that they were said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end too early.
    #[error("it ends within {field}")]
    Truncated {
        /// What was being read, by its name in the specification.
        field: &'static str,
    },
    /// There is something after the end.
    #[error("{count} bytes follow its end")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A buffer is shorter or longer than what it holds can be.
    #[error("{field} has {length} bytes")]
    Length {
        /// Which, by its name in the specification.
        field: &'static str,
        /// How long it says it is.
        length: usize,
    },
    /// A value outside the closed list that is understood here.
    #[error("{field} is {value:#x}, which is not supported")]
    Unsupported {
        /// Which, by its name in the specification.
        field: &'static str,
        /// The value.
        value: u32,
    },
    /// It does not begin with TPM_GENERATED: anybody may have written it and had it signed as a digest.
    #[error("it was not made by a TPM: its magic is {magic:#010x}")]
    NotGeneratedByTpm {
        /// What it begins with.
        magic: u32,
    },
}

/// A hash that is believed: SHA-1 is left out on purpose, in names, schemes and PCR banks alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// TPM_ALG_SHA256.
    Sha256,
    /// TPM_ALG_SHA384.
    Sha384,
    /// TPM_ALG_SHA512.
    Sha512,
}

impl HashAlgorithm {
    /// TPM_ALG_ID.
    pub fn id(self) -> u16 {
        match self {
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// The length of a digest.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `message`.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    pub(super) fn from_id(id: u16, field: &'static str) -> Result<Self, FormatError> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.id() == id)
            .ok_or(FormatError::Unsupported { field, value: id.into() })
    }
}

/// What a TPM2B holds: a 16-bit length, exactly that many bytes, and nothing after them.
pub fn from_tpm2b(bytes: &[u8]) -> Result<&[u8], FormatError> {
    let mut reader = Reader::new(bytes);
    let content = reader.sized("TPM2B", 0..=usize::from(u16::MAX))?;
    reader.finish()?;
    Ok(content)
}

/// `bytes` as a TPM2B.
pub(super) fn to_tpm2b(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("no structure written here is near 64 KiB");
    [&length.to_be_bytes(), bytes].concat()
}

/// What is left of a structure that is being read.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(FormatError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, FormatError> {
        self.array(field).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, FormatError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, FormatError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, FormatError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// TPMI_YES_NO: 0 or 1 and nothing else.
    pub(super) fn yes_no(&mut self, field: &'static str) -> Result<bool, FormatError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(FormatError::Unsupported { field, value: other.into() }),
        }
    }

    pub(super) fn hash(&mut self, field: &'static str) -> Result<HashAlgorithm, FormatError> {
        HashAlgorithm::from_id(self.u16(field)?, field)
    }

    /// A field that must have this one value.
    pub(super) fn expect_u16(&mut self, expected: u16, field: &'static str) -> Result<(), FormatError> {
        let value = self.u16(field)?;
        if value == expected { Ok(()) } else { Err(FormatError::Unsupported { field, value: value.into() }) }
    }

    /// A TPM2B within a structure: a 16-bit length within `lengths`, and that many bytes.
    pub(super) fn sized(&mut self, field: &'static str, lengths: RangeInclusive<usize>) -> Result<&'a [u8], FormatError> {
        let length = usize::from(self.u16(field)?);
        if !lengths.contains(&length) {
            return Err(FormatError::Length { field, length });
        }
        self.take(length, field)
    }

    /// The end, which must be here.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(FormatError::TrailingBytes { count }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], FormatError> {
        Ok(self.take(N, field)?.try_into().expect("take gave as many bytes as were asked for"))
    }
}

/// TPM_ALG_NULL.
pub(super) const ALGORITHM_NULL: u16 = 0x0010;
/// TPM_ALG_ECDSA.
pub(super) const ALGORITHM_ECDSA: u16 = 0x0018;
/// The longest digest, SHA-512's: what TPM2B_DIGEST may hold.
pub(super) const DIGEST_BYTES_MAX: usize = 64;
