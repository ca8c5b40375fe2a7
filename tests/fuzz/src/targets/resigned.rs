//! The bundle of the corpus with its statements changed and signed again: what a dishonest issuer, or all of them together, could make.
//!
//! Mutated bytes never get past a signature. Here every statement is signed, proven and listed anew after it was changed, so that what
//! judges chains, rights and content meets values that nobody honest would write.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use exhibit_evidence::bundle::{CHECKPOINT, EXPORT_ENTRY, EXPORT_RECEIPT, MANIFEST, entry_path, receipt_path};
use exhibit_evidence::verdict::Grade;
use exhibit_evidence::verify::verify;
use exhibit_evidence::{SignedStatement, Statement, sign};
use exhibit_pki::{Certificate, PublicKey, Signer, SignerError};
use exhibit_tlog::{Checkpoint, Ed25519NoteSigner, Hash, HashReader, LogProof, NoteSigner, prove_inclusion, root_of};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::bundle::{ANCHOR, Files, WHOLE, WHOLE_ANCHOR, assert_sound};
use super::pki::Credulous;

/// `[what: 1][which: 2][how: 1][number: 4]…`: changes to the statements and to the JSON files of the bundle of the corpus.
pub fn bundle_resigned(input: &[u8]) -> bool {
    let mut draft = Draft::of_corpus();
    for edit in input.as_chunks::<8>().0.iter().take(8) {
        draft.edit(edit);
    }
    let files = draft.publish();
    match verify(&files, &draft.anchor(), &Credulous) {
        Ok(verdict) => {
            assert_sound(&verdict);
            verdict.grade <= Grade::NotDemanded
        }
        Err(_) => false,
    }
}

/// A bundle before it is signed.
struct Draft {
    /// Entries in the order of the ledger, the export last: leaf hash of the corpus, and statement.
    entries: Vec<(Hash, Value)>,
    /// Manifest and disclosures.
    documents: BTreeMap<String, Value>,
    /// What is taken over as it is.
    others: Files,
    certificates: Vec<Certificate>,
    /// Leaf hash of the genesis as published.
    log: Cell<Hash>,
}

impl Draft {
    fn of_corpus() -> Self {
        let mut draft = Self {
            entries: Vec::new(),
            documents: BTreeMap::new(),
            others: Files::default(),
            certificates: Vec::new(),
            log: Cell::new(WHOLE_ANCHOR.log),
        };
        for (path, bytes) in &WHOLE.0 {
            if path.ends_with(".json") && path != ANCHOR {
                draft.documents.insert(path.clone(), serde_json::from_slice(bytes).expect("the corpus is sound"));
            } else if path.ends_with(".p7s") {
                // In the order of their names: entries by index, then the export.
                let signed = SignedStatement::parse(bytes).expect("the corpus is sound");
                let statement = serde_json::from_slice(signed.statement_bytes()).expect("a statement is JSON");
                draft.entries.push((signed.leaf_hash(), statement));
            } else if path.starts_with("attachments/") || path.starts_with("disclosed/") || path.starts_with("working/") {
                draft.certificates.extend(Certificate::from_der(bytes));
                draft.others.0.insert(path.clone(), bytes.clone());
            }
        }
        draft
    }

    fn edit(&mut self, edit: &[u8; 8]) {
        let [what, high, low, how, number @ ..] = *edit;
        let (which, number) = (usize::from(u16::from_be_bytes([high, low])), u32::from_be_bytes(number));
        match what {
            // The order of the entries, and which there are. The genesis stays, and so does the export.
            0..=15 if self.entries.len() > 2 => {
                let at = 1 + which % (self.entries.len() - 2);
                match how % 3 {
                    0 => drop(self.entries.remove(at)),
                    1 => {
                        let again = self.entries[at].clone();
                        self.entries.insert(at, again);
                    }
                    _ => {
                        let other = 1 + number as usize % (self.entries.len() - 2);
                        self.entries.swap(at, other);
                    }
                }
            }
            16..=79 => {
                let count = self.documents.len();
                let donors: Vec<Value> = self.documents.values().cloned().collect();
                if let Some(document) = self.documents.values_mut().nth(usize::from(what) % count) {
                    change(document, which, how, number, &donors);
                }
            }
            _ => {
                let at = usize::from(what) % self.entries.len();
                let donors: Vec<Value> = self.entries.iter().map(|(_, statement)| statement.clone()).collect();
                let mut changed = self.entries[at].1.clone();
                change(&mut changed, which, how, number, &donors);
                // What nobody could read would be found at once, and teach nothing.
                if Statement::parse(&serde_json::to_vec(&changed).expect("a value can be written")).is_ok() {
                    self.entries[at].1 = changed;
                }
            }
        }
    }

    /// Signs, logs and proves everything as it stands; what names a statement, the manifest or the log's key names the
    /// new one.
    fn publish(&self) -> Files {
        let mut files = self.others.clone();
        let key = (WHOLE_ANCHOR.verifier.keys[0].to_string(), note_signer().verifier_key().to_string());
        let mut renamed = vec![key];
        let mut published: Vec<SignedStatement> = Vec::new();
        let mut leaves: Vec<Hash> = Vec::new();
        let mut append = |(old, statement): &(Hash, Value), renamed: &mut Vec<(String, String)>| {
            let signed = self.sign(statement, renamed, &leaves);
            renamed.push((old.to_string(), signed.leaf_hash().to_string()));
            leaves.push(signed.leaf_hash());
            published.push(signed);
        };
        let (export, entries) = self.entries.split_last().expect("the export stays");
        entries.iter().for_each(|entry| append(entry, &mut renamed));
        for (path, document) in &self.documents {
            let mut document = document.clone();
            if path == MANIFEST {
                document["entries"] = (0..entries.len() as u64).collect();
            }
            let json = rename(document.to_string(), &renamed);
            files.0.insert(path.clone(), json.into_bytes());
        }
        let hash = |files: &Files| Hash(Sha256::digest(&files.0[MANIFEST]).into()).to_string();
        renamed.push((hash(&WHOLE), hash(&files)));
        append(export, &mut renamed);
        self.log.set(leaves[0]);
        let signer = note_signer();
        let head = Checkpoint { origin: WHOLE_ANCHOR.verifier.origin.clone(), size: leaves.len() as u64, root: root_of(&leaves) };
        let checkpoint = head.sign(&[&signer], 1_795_176_002).expect("a head is signed");
        for (index, signed) in (0..).zip(&published) {
            let path = prove_inclusion(&Tree(&leaves), index, head.size).expect("reading memory does not fail");
            let receipt = LogProof { index, path, checkpoint: checkpoint.clone() }.to_text();
            let is_export = index + 1 == head.size;
            let (entry, proof) =
                if is_export { (EXPORT_ENTRY.to_owned(), EXPORT_RECEIPT.to_owned()) } else { (entry_path(index), receipt_path(index)) };
            files.0.insert(entry, signed.der().to_vec());
            files.0.insert(proof, receipt.into_bytes());
        }
        files.0.insert(CHECKPOINT.to_owned(), checkpoint.into_bytes());
        files
    }

    fn sign(&self, statement: &Value, renamed: &[(String, String)], before: &[Hash]) -> SignedStatement {
        let json = rename(statement.to_string(), renamed);
        let mut statement = Statement::parse(json.as_bytes()).expect("renaming hashes changes no form");
        // What was observed is put right where it can be: else every case would end in that one finding.
        if statement.observed.size != 0 {
            statement.observed.size = before.len() as u64;
            statement.observed.root = root_of(before);
        }
        let owns =
            |certificate: &&Certificate| certificate.identity().is_some_and(|identity| identity.owns_stream(statement.stream.as_str()));
        let certificate = self.certificates.iter().find(owns).unwrap_or(&self.certificates[0]);
        let signer = Scribbler(certificate.public_key().clone());
        match sign(&statement, certificate, &signer) {
            Ok(signed) => signed,
            // A statement that no longer fits what was put right, as one that observes something before there is anything.
            Err(_) => SignedStatement::parse(&WHOLE.0[&entry_path(0)]).expect("the corpus is sound"),
        }
    }

    fn anchor(&self) -> exhibit_evidence::Anchor {
        let mut anchor = WHOLE_ANCHOR.clone();
        anchor.verifier.keys = vec![note_signer().verifier_key().clone()];
        anchor.log = self.log.get();
        anchor
    }
}

/// The JSON with hashes that have changed in the place of those that they were.
fn rename(json: String, renamed: &[(String, String)]) -> String {
    renamed.iter().fold(json, |json, (old, new)| json.replace(old, new))
}

/// "Signs" with two small numbers, which the credulous verifier believes.
struct Scribbler(PublicKey);

impl Signer for Scribbler {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn sign_digest(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut signature = vec![0; self.0.suite().digest(b"").len() * 2];
        let last = signature.len() - 1;
        (signature[last / 2], signature[last]) = (1, 1);
        Ok(signature)
    }
}

struct Tree<'a>(&'a [Hash]);

impl HashReader for Tree<'_> {
    type Error = Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let first = (index << level) as usize;
        Ok(root_of(&self.0[first..first + (1 << level)]))
    }
}

fn note_signer() -> Ed25519NoteSigner {
    Ed25519NoteSigner::new(&WHOLE_ANCHOR.verifier.origin, &Zeroizing::new([9; 32])).expect("an origin is a name")
}

/// Changes the value at the `which`th place of a document; `donors` lend values of the same place, and strings.
fn change(document: &mut Value, which: usize, how: u8, number: u32, donors: &[Value]) {
    let mut places = Vec::new();
    collect_places(document, String::new(), &mut places);
    let place = places[which % places.len()].clone();
    let donor = &donors[number as usize % donors.len()];
    let Some(value) = document.pointer_mut(&place) else { return };
    match (how % 8, &mut *value) {
        (0, Value::Number(_)) => *value = TELLING_NUMBERS[number as usize % TELLING_NUMBERS.len()].into(),
        (1, Value::Number(old)) => *value = old.as_u64().unwrap_or(0).wrapping_add(1).into(),
        (2, Value::Number(old)) => *value = old.as_u64().unwrap_or(0).wrapping_sub(1).into(),
        (3, Value::Array(items)) if !items.is_empty() => drop(items.remove(number as usize % items.len())),
        (4, Value::Array(items)) if !items.is_empty() => items.push(items[number as usize % items.len()].clone()),
        (5, Value::Array(items)) => items.reverse(),
        (0..=2, Value::String(text)) if text.ends_with('Z') => {
            if let Ok(time) = exhibit_pki::Timestamp::parse(text) {
                let moved = if how.is_multiple_of(2) {
                    time.unix_ms().checked_add(number.into())
                } else {
                    time.unix_ms().checked_sub(number.into())
                };
                let moved = moved.and_then(exhibit_pki::Timestamp::from_unix_ms).unwrap_or(time);
                *value = moved.to_string().into();
            }
        }
        (3, Value::Bool(flag)) => *flag = !*flag,
        (6, _) => *value = Value::Null,
        _ => {
            if let Some(lent) = donor.pointer(&place) {
                *value = lent.clone();
            }
        }
    }
}

fn collect_places(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                collect_places(member, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        Value::Array(items) => {
            places.push(at.clone());
            for (index, item) in items.iter().enumerate() {
                collect_places(item, format!("{at}/{index}"), places);
            }
        }
        _ => places.push(at),
    }
}

/// Ends of ranges.
const TELLING_NUMBERS: &[u64] = &[0, 1, 2, 16, 255, 256, 65_535, 600_000, 1_048_575, 1_048_576, (1 << 32) - 1, 1 << 32, (1 << 53) - 1];
