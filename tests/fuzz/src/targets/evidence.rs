//! Parsers of `exhibit-evidence`: statements, their signatures, envelopes, packages, anchors, and what is exchanged beside statements.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use exhibit_evidence::bundle::{Disclosure, Manifest};
use exhibit_evidence::envelope::{self, EnvelopeError, KeyPackage, UnwrappingKey};
use exhibit_evidence::exchange::{
    Admitted, EntryRecords, Problem, StreamRecords, Terms, intake_prefix as write_intake_prefix, split_intake_prefix,
};
use exhibit_evidence::log_lines::{self, LogLine};
use exhibit_evidence::{Anchor, Pin, SignedStatement, Statement, StreamName};
use exhibit_pki::{Certificate, KeyPurpose, Role, RustCrypto, SoftwareSigner};
use exhibit_tlog::{Hash, leaf_hash, root_of};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::pki::{CAMERA, issue, key};
use super::text;

/// Statements.
pub fn statement(input: &[u8]) -> bool {
    let Ok(statement) = Statement::parse(input) else { return false };
    let written = statement.to_bytes();
    let again = Statement::parse(&written).expect("what was accepted can be written and read");
    assert_eq!(again, statement, "a statement reads otherwise once it was written");
    assert_eq!(again.to_bytes(), written, "a statement has two canonical forms");
    // A reader that is not strict, as a court's would be, sees the same.
    let lenient: serde_json::Value = serde_json::from_slice(input).expect("what the strict reader accepts is JSON");
    assert_eq!(lenient["type"], statement.type_name());
    assert_eq!(lenient["seq"], statement.seq);
    assert_eq!(lenient["stream"], statement.stream.as_str());
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).ok(), Some(lenient), "a lenient reader reads another statement");
    true
}

/// Signed statements.
pub fn signed_statement(input: &[u8]) -> bool {
    let Ok(signed) = SignedStatement::parse(input) else { return false };
    assert_eq!(signed.der(), input);
    assert_eq!(signed.leaf_hash(), leaf_hash(input));
    let position = input.windows(signed.statement_bytes().len()).position(|window| window == signed.statement_bytes());
    assert!(position.is_some(), "the statement is not a part of what was signed");
    assert_eq!(Statement::parse(signed.statement_bytes()).as_ref(), Ok(signed.statement()));
    let _ = signed.verify(&CAMERA, &RustCrypto);
    true
}

/// The certificate to which the envelopes of the corpus are sealed, and its key.
pub const RECIPIENT: u8 = 10;
/// What is in them.
pub const CONTENT: &[u8] = b"what is wrapped";

/// A recipient of envelopes.
pub fn recipient(number: u8) -> Certificate {
    issue(&format!("user/u{number}"), Role::Custodian, KeyPurpose::Wrapping, number)
}

/// Agrees on zeros with everybody: whom an envelope opens to that was sealed to nobody.
struct Zeros;

impl UnwrappingKey for Zeros {
    fn agree(&self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        Ok(Zeroizing::new(vec![0; 48]))
    }
}

/// Envelopes.
pub fn envelope(input: &[u8]) -> bool {
    static HOLDER: LazyLock<(Certificate, SoftwareSigner)> = LazyLock::new(|| (recipient(RECIPIENT), key(RECIPIENT)));
    let (certificate, holder) = &*HOLDER;
    let Ok(count) = envelope::recipient_count(input) else {
        assert!(envelope::open(input, certificate, holder).is_err(), "what is no envelope was opened");
        return false;
    };
    assert!((1..=envelope::RECIPIENTS_MAX).contains(&count));
    let addressed = envelope::is_addressed_to(input, certificate).expect("an envelope has recipients");
    assert!(envelope::open(input, certificate, &Zeros).is_err(), "an envelope opens without a private key");
    if let Ok(content) = envelope::open(input, certificate, holder) {
        assert!(addressed, "an envelope opens to whom it is not addressed");
        assert_eq!(*content, CONTENT, "an envelope was changed and still opens");
    }
    addressed
}

/// Key packages.
pub fn key_package(input: &[u8]) -> bool {
    let Ok(package) = KeyPackage::parse(input) else { return false };
    assert_eq!(*package.to_bytes(), input, "a package is not written as it was read");
    let names: BTreeSet<&str> = package.streams.iter().map(|keys| keys.stream.as_str()).collect();
    assert_eq!(names.len(), package.streams.len(), "a stream stands twice in a package");
    true
}

/// Anchors and pins.
pub fn anchor(input: &[u8]) -> bool {
    if let Ok(anchor) = Anchor::parse(input) {
        assert_eq!(Anchor::parse(anchor.to_json().as_bytes()).as_ref(), Ok(&anchor), "an anchor reads otherwise once it was written");
        return true;
    }
    let Ok(pin) = Pin::parse(input) else { return false };
    assert_eq!(Pin::parse(pin.to_json().as_bytes()).as_ref(), Ok(&pin), "a pin reads otherwise once it was written");
    assert!((1..=pin.custodians.len() as u64).contains(&pin.threshold), "a threshold that is never or always met");
    true
}

fn reads_as_written<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(input: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(input) else { return false };
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written can be read"), value);
    true
}

/// What the appliance answers, and the terms of a grant.
pub fn exchange(input: &[u8]) -> bool {
    let readers = [
        reads_as_written::<Admitted>,
        reads_as_written::<EntryRecords>,
        reads_as_written::<StreamRecords>,
        reads_as_written::<Terms>,
        reads_as_written::<Problem>,
    ];
    readers.iter().filter(|reads| reads(input)).count() > 0
}

/// What comes before a payload.
pub fn intake_prefix(input: &[u8]) -> bool {
    let Some((entry, attachments)) = split_intake_prefix(input) else { return false };
    if entry.len() < 1 << 16 {
        assert_eq!(write_intake_prefix(entry, &[attachments]), input, "a prefix comes apart otherwise than it was put together");
    }
    true
}

/// Batches of an appliance's own log lines.
pub fn log_lines(input: &[u8]) -> bool {
    let Ok(lines) = log_lines::decode(input) else { return false };
    assert_eq!(log_lines::encode(&lines).as_deref(), Ok(input), "log lines are not written as they were read");
    let leaves: Vec<Hash> = lines.iter().map(LogLine::leaf_hash).collect();
    assert_eq!(log_lines::root(&lines), root_of(&leaves));
    true
}

/// Streams' names.
pub fn stream_name(input: &[u8]) -> bool {
    let Some(Ok(name)) = text(input).map(StreamName::parse) else { return false };
    assert_eq!(name.as_str().as_bytes(), input);
    assert_eq!(format!("{}/{}", name.series(), name.generation()), name.as_str());
    assert!(name.owner().starts_with(name.kind()) && name.series().starts_with(name.owner()));
    assert!(!name.as_str().split('/').any(|part| part.is_empty() || part.contains('.')), "a name leads out of its folder");
    true
}

fn lenient(json: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(json).ok()
}

/// The two JSON files of a bundle.
pub fn manifest(input: &[u8]) -> bool {
    if let Ok(manifest) = Manifest::parse(input) {
        let written = serde_json::to_vec(&manifest).expect("what was read can be written");
        assert_eq!(lenient(&written), lenient(input), "a manifest reads otherwise to other readers");
        assert_eq!(Manifest::parse(&written).as_ref(), Ok(&manifest));
        assert!(manifest.entries.windows(2).all(|pair| pair[0] < pair[1]));
        return true;
    }
    let Ok(disclosure) = Disclosure::parse(input) else { return false };
    let written = serde_json::to_vec(&disclosure).expect("what was read can be written");
    assert_eq!(lenient(&written), lenient(input), "a disclosure reads otherwise to other readers");
    assert_eq!(Disclosure::parse(&written).as_ref(), Ok(&disclosure));
    true
}
