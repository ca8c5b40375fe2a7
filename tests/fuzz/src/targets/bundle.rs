//! Whole bundles: one of the corpus with changes made to it, and whatever else claims to be one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use exhibit_evidence::Anchor;
use exhibit_evidence::bundle::{BundleSource, Disclosure, SourceError};
use exhibit_evidence::verdict::{FindingKind, Grade, Verdict};
use exhibit_evidence::verify::verify;
use exhibit_pki::RustCrypto;
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};

use super::pki::Credulous;

/// Files in memory, by path. Where a bundle is one input: for each file, its path's length (16 bits, big-endian), its path, its length
/// (32 bits, big-endian) and its bytes; the anchor is the file `anchor.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

/// Where the anchor is, which in a real bundle it never is.
pub const ANCHOR: &str = "anchor.json";

impl Files {
    /// What can be read of it; the rest is dropped.
    pub fn parse(mut input: &[u8]) -> Self {
        let mut files = BTreeMap::new();
        while let Some((path, bytes, rest)) = file(input) {
            files.insert(path.to_owned(), bytes.to_vec());
            input = rest;
        }
        Self(files)
    }

    /// The anchor, if there is one.
    pub fn anchor(&self) -> Option<Anchor> {
        Anchor::parse(self.0.get(ANCHOR)?).ok()
    }
}

fn file(input: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (length, rest) = input.split_first_chunk()?;
    let (path, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (length, rest) = rest.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((std::str::from_utf8(path).ok()?, bytes, rest))
}

impl BundleSource for Files {
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        match self.0.get(path) {
            Some(bytes) if bytes.len() as u64 > limit_bytes => Err(SourceError::TooLong { path: path.to_owned(), limit_bytes }),
            bytes => Ok(bytes.cloned()),
        }
    }

    fn hash(&self, path: &str, _limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError> {
        Ok(self.0.get(path).map(|bytes| (Hash(Sha256::digest(bytes).into()), bytes.len() as u64)))
    }

    fn list(&self, files_max: usize) -> Result<Vec<String>, SourceError> {
        if self.0.len() > files_max {
            return Err(SourceError::TooManyFiles { files_max });
        }
        Ok(self.0.keys().cloned().collect())
    }
}

/// The bundle of the corpus, untouched.
pub static WHOLE: LazyLock<Files> = LazyLock::new(|| Files::parse(include_bytes!("../../corpus/bundle/whole")));
/// Its anchor.
pub static WHOLE_ANCHOR: LazyLock<Anchor> = LazyLock::new(|| WHOLE.anchor().expect("the corpus has an anchor"));

/// The verdict on it.
static WHOLE_VERDICT: LazyLock<Verdict> =
    LazyLock::new(|| verify(&*WHOLE, &WHOLE_ANCHOR, &RustCrypto).expect("the bundle of the corpus is one"));

/// What every verdict keeps, whatever it is on.
pub fn assert_sound(verdict: &Verdict) {
    let worst = verdict.findings.iter().map(|finding| finding.grade).max();
    assert_eq!(Some(verdict.grade), worst, "the headline is not the worst finding");
    assert!(verdict.findings.iter().all(|finding| !finding.sentence.is_empty()), "a finding says nothing");
    let json = serde_json::to_vec(verdict).expect("a verdict can be written");
    assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
}

/// A bundle from its bytes, judged by the anchor in it, with signatures verified and with all of them believed.
pub fn bundle(input: &[u8]) -> bool {
    let files = Files::parse(input);
    let anchor = files.anchor().unwrap_or_else(|| WHOLE_ANCHOR.clone());
    if let Ok(verdict) = verify(&files, &anchor, &Credulous) {
        assert_sound(&verdict);
    }
    let Ok(verdict) = verify(&files, &anchor, &RustCrypto) else { return false };
    assert_sound(&verdict);
    verdict.grade <= Grade::NotDemanded
}

/// `[file: 1][at: 2][operation: 1]…`: changes to the bundle of the corpus. Not one of them that changes what it says goes unnoticed.
pub fn bundle_edited(input: &[u8]) -> bool {
    let mut files = WHOLE.clone();
    files.0.remove(ANCHOR);
    let untouched = files.clone();
    let names: Vec<String> = files.0.keys().cloned().collect();
    for [file, high, low, operation] in input.as_chunks::<4>().0.iter().take(16) {
        let name = &names[usize::from(*file) % names.len()];
        let at = usize::from(u16::from_be_bytes([*high, *low]));
        let other = files.0.get(&names[at % names.len()]).cloned();
        let Some(bytes) = files.0.get_mut(name) else { continue };
        let length = bytes.len();
        match operation {
            0 => drop(files.0.remove(name)),
            1 => bytes.truncate(at % (length + 1)),
            2 => bytes.insert(at % (length + 1), *low),
            3 => drop(other.map(|other| *bytes = other)),
            4 if length > 0 => drop(bytes.remove(at % length)),
            mask if length > 0 => bytes[at % length] ^= mask,
            _ => {}
        }
    }
    let (sealed, disclosed) = (sealed(&files) == sealed(&untouched), disclosed(&files) == disclosed(&untouched));
    match verify(&files, &WHOLE_ANCHOR, &RustCrypto) {
        Ok(verdict) => {
            assert_sound(&verdict);
            let faultless = verdict.grade <= Grade::NotDemanded;
            if sealed && disclosed {
                assert!(faultless, "a bundle that says the same has a fault");
            } else if faultless {
                assert!(sealed, "a change of what is hashed or signed went unnoticed");
                // What leaves a fragment out of a disclosure hides it and changes nothing; the verdict says so.
                assert!(withheld(&verdict) > withheld(&WHOLE_VERDICT), "a change of a disclosure went unnoticed");
            }
            faultless
        }
        Err(_) => {
            assert!(!(sealed && disclosed), "the bundle of the corpus could not be judged");
            false
        }
    }
}

/// The files that a hash or a signature binds whatever else is in the bundle.
fn sealed(files: &Files) -> BTreeMap<&String, &Vec<u8>> {
    files.0.iter().filter(|(path, _)| !path.starts_with(DISCLOSED)).collect()
}

/// What is disclosed: the bytes of the fragments, and what the disclosures say. Nothing binds how these are written, so spaces between the
/// words of their JSON are no change.
fn disclosed(files: &Files) -> BTreeMap<&String, Result<Disclosure, &Vec<u8>>> {
    let disclosed = files.0.iter().filter(|(path, _)| path.starts_with(DISCLOSED));
    disclosed.map(|(path, bytes)| (path, Disclosure::parse(bytes).map_err(|_| bytes))).collect()
}

fn withheld(verdict: &Verdict) -> usize {
    verdict.findings.iter().filter(|finding| finding.kind == FindingKind::Withheld).count()
}

const DISCLOSED: &str = "disclosed/";
