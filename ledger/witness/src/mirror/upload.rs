//! The body of `add-entries` (C2SP tlog-mirror), read as it comes: a header, and packages of entries with their proofs.
//!
//! It verifies nothing, and holds one package at a time.

use std::io::{self, Read};

use exhibit_tlog::Hash;
use exhibit_tlog::proof::PROOF_HASHES_MAX;
use exhibit_tlog::tile::TILE_WIDTH;

/// What stands before the packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The log.
    pub origin: String,
    /// The first entry.
    pub start: u64,
    /// The size of the checkpoint that the entries are proven in.
    pub end: u64,
}

/// Entries up to the end of their bundle or of the upload, and the proof that they are in the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The entries.
    pub entries: Vec<Vec<u8>>,
    /// The subtree consistency proof.
    pub proof: Vec<Hash>,
}

impl Header {
    /// Reads it. The ticket is passed over: this mirror gives none that says anything.
    pub fn read(body: &mut dyn Read) -> io::Result<Self> {
        let mut origin = vec![0; usize::from(number_16(body)?)];
        body.read_exact(&mut origin)?;
        let origin = String::from_utf8(origin).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let (start, end) = (number_64(body)?, number_64(body)?);
        let mut ticket = vec![0; usize::from(number_16(body)?)];
        body.read_exact(&mut ticket)?;
        Ok(Self { origin, start, end })
    }
}

impl Package {
    /// Where the package that begins at `start` ends.
    pub fn end(start: u64, upload_end: u64) -> u64 {
        let width = u64::from(TILE_WIDTH);
        (start - start % width).saturating_add(width).min(upload_end)
    }

    /// Reads the package that begins at `start`.
    pub fn read(body: &mut dyn Read, start: u64, upload_end: u64) -> io::Result<Self> {
        let mut entries = Vec::new();
        for _ in start..Self::end(start, upload_end) {
            let mut entry = vec![0; usize::from(number_16(body)?)];
            body.read_exact(&mut entry)?;
            entries.push(entry);
        }
        let mut count = [0];
        body.read_exact(&mut count)?;
        if usize::from(count[0]) > PROOF_HASHES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut proof = Vec::new();
        for _ in 0..count[0] {
            let mut hash = [0; 32];
            body.read_exact(&mut hash)?;
            proof.push(Hash(hash));
        }
        Ok(Self { entries, proof })
    }
}

fn number_16(body: &mut dyn Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    body.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}

fn number_64(body: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    body.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}
