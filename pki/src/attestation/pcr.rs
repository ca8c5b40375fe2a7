//! Platform configuration registers: which ones a quote is over (TPML_PCR_SELECTION), and the digest of values that somebody claims.
//!
//! It does not know what any register measures.

use std::collections::BTreeMap;

use super::wire::{FormatError, HashAlgorithm, Reader};

/// Which registers of which banks, in the order in which they are hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrSelection(Vec<(HashAlgorithm, u32)>);

impl PcrSelection {
    /// The banks and, for each, its selected registers in rising order.
    pub fn banks(&self) -> impl Iterator<Item = (HashAlgorithm, Vec<u8>)> {
        self.0.iter().map(|(algorithm, bits)| (*algorithm, (0..PCR_COUNT).filter(|index| bits >> index & 1 == 1).collect()))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let count = reader.u32("pcrSelect.count")?;
        if count > BANKS_MAX {
            return Err(FormatError::Unsupported { field: "pcrSelect.count", value: count });
        }
        let mut banks: Vec<(HashAlgorithm, u32)> = Vec::new();
        for _ in 0..count {
            let algorithm = reader.hash("pcrSelect.hash")?;
            if banks.iter().any(|(before, _)| *before == algorithm) {
                return Err(FormatError::Unsupported { field: "pcrSelect.hash", value: algorithm.id().into() });
            }
            let size = reader.u8("pcrSelect.sizeofSelect")?;
            if size != SELECT_BYTES {
                return Err(FormatError::Length { field: "pcrSelect.sizeofSelect", length: size.into() });
            }
            // Register n is bit n mod 8 of byte n / 8: a little-endian number.
            let bits = reader.take(size.into(), "pcrSelect.pcrSelect")?;
            banks.push((algorithm, u32::from_le_bytes([bits[0], bits[1], bits[2], 0])));
        }
        Ok(Self(banks))
    }
}

/// Values of registers, as somebody claims them: what a quote is held against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcrValues(Vec<(HashAlgorithm, BTreeMap<u8, Vec<u8>>)>);

/// Why a value can not be that of a register.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PcrValuesError {
    /// There is no such register.
    #[error("there is no PCR {0}: they are 0 to 23")]
    NoSuchRegister(u8),
    /// The value has another length than its bank's digests.
    #[error("the value of PCR {0} does not have the length of its bank's digests")]
    Length(u8),
    /// The register was given before.
    #[error("PCR {0} is given twice")]
    Twice(u8),
}

impl PcrValues {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the value of a register. Banks are hashed in the order in which they are first named, as in the command's selection.
    pub fn add(&mut self, bank: HashAlgorithm, register: u8, value: &[u8]) -> Result<(), PcrValuesError> {
        if register >= PCR_COUNT {
            return Err(PcrValuesError::NoSuchRegister(register));
        }
        if value.len() != bank.digest_bytes() {
            return Err(PcrValuesError::Length(register));
        }
        let position = self.0.iter().position(|(algorithm, _)| *algorithm == bank).unwrap_or_else(|| {
            self.0.push((bank, BTreeMap::new()));
            self.0.len() - 1
        });
        match self.0[position].1.insert(register, value.to_vec()) {
            None => Ok(()),
            Some(before) => {
                self.0[position].1.insert(register, before);
                Err(PcrValuesError::Twice(register))
            }
        }
    }

    /// The selection that a quote over exactly these has.
    pub fn selection(&self) -> PcrSelection {
        let bits = |values: &BTreeMap<u8, Vec<u8>>| values.keys().fold(0, |bits, register| bits | 1 << register);
        PcrSelection(self.0.iter().map(|(algorithm, values)| (*algorithm, bits(values))).collect())
    }

    /// The digest that a quote over them has: of their concatenation, with the hash of the signing scheme (part 3, TPM2_Quote).
    pub fn digest(&self, hash: HashAlgorithm) -> Vec<u8> {
        hash.digest(&self.0.iter().flat_map(|(_, values)| values.values().flatten()).copied().collect::<Vec<u8>>())
    }
}

/// A PC client's TPM has 24 registers, and so has every TPM in use.
const PCR_COUNT: u8 = 24;
/// The bytes of a selection of 24 registers.
const SELECT_BYTES: u8 = 3;
/// Each bank once: there are as many as hashes that are understood.
const BANKS_MAX: u32 = 3;
