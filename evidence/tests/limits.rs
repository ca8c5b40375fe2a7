//! The limits in numbers, as docs/formats/ has them: a test that is written with a constant's name goes along with whatever the constant says.

use exhibit_evidence::Head;
use exhibit_evidence::body::{
    ATTACHMENT_BYTES_MAX, EARLIER_LOGS_MAX, Genesis, LOGIN_LIFETIME_MAX_MS, Predecessor, SEGMENT_BYTES_MAX, SEGMENT_CIPHERTEXT_BYTES_MAX,
    WITNESS_POLICY_BYTES_MAX,
};
use exhibit_evidence::bundle::{
    DISCLOSURE_BYTES_MAX, FILES_MAX, FRAGMENT_BYTES_MAX, MANIFEST_BYTES_MAX, REVOCATION_LIST_BYTES_MAX, SMALL_FILE_BYTES_MAX,
};
use exhibit_evidence::envelope::CONTENT_BYTES_MAX;
use exhibit_evidence::keytree::SLOTS;
use exhibit_evidence::log_lines::LINE_BYTES_MAX;
use exhibit_evidence::statement::STATEMENT_BYTES_MAX;
use exhibit_tlog::Hash;

#[test]
fn statements_and_what_they_name() {
    assert_eq!(STATEMENT_BYTES_MAX, 49_152);
    assert_eq!(ATTACHMENT_BYTES_MAX, 16_777_216);
    assert_eq!(SEGMENT_BYTES_MAX, 8_388_608);
    assert_eq!(SEGMENT_CIPHERTEXT_BYTES_MAX, 8_392_704, "256 fragments have a tag of 16 bytes each");
    assert_eq!(WITNESS_POLICY_BYTES_MAX, 32_768);
    assert_eq!(LOGIN_LIFETIME_MAX_MS, 300_000);
    assert_eq!(LINE_BYTES_MAX, 16_384);
}

/// A log that has gone on for more than one genesis can name forgets the oldest.
#[test]
fn logs_that_a_genesis_declares() {
    assert_eq!(EARLIER_LOGS_MAX, 32);
    let before = |number: u8| Predecessor { log: Hash([number; 32]), head: Head { size: 1, root: Hash([number; 32]) } };
    let genesis = Genesis {
        origin: "city.example/log/34".to_owned(),
        keys: vec![],
        roots: vec![],
        witness_policy: String::new(),
        predecessor: Some(before(33)),
        earlier: (1..=32).rev().map(before).collect(),
        attachments: vec![],
    };
    assert_eq!(genesis.declared(), (2..=33).rev().map(before).collect::<Vec<_>>());
}

#[test]
fn bundles() {
    assert_eq!(MANIFEST_BYTES_MAX, 33_554_432);
    assert_eq!(DISCLOSURE_BYTES_MAX, 131_072);
    assert_eq!(FRAGMENT_BYTES_MAX, 8_388_608);
    assert_eq!(FILES_MAX, 8_388_608);
    assert_eq!(REVOCATION_LIST_BYTES_MAX, 8_388_608);
    assert_eq!(SMALL_FILE_BYTES_MAX, 1_048_576);
}

#[test]
fn keys_and_envelopes() {
    assert_eq!(SLOTS, 1_048_576);
    assert_eq!(CONTENT_BYTES_MAX, 8_388_608);
}
