//! Signed statements and envelopes that were changed by their structure: whatever was done, the verifier in Python finds what ours does.
//!
//! `EXHIBIT_SEED=<number>` makes other changes, `EXHIBIT_ROUNDS=<number>` more. What ever disagreed is a vector of its own elsewhere.
#![allow(clippy::unwrap_used)]

use chance::{Random, seed_and_rounds};
use exhibit_evidence::{SignedStatement, envelope};
use exhibit_pki::{Certificate, SoftwareSigner};
use independent::{assert_agrees_on, judged};
use structure::changed;

#[path = "../../tests/independent/chance.rs"]
mod chance;
#[path = "../../tests/independent/ask.rs"]
mod independent;
#[path = "../../tests/independent/structure.rs"]
mod structure;

/// Changes of each value in a run of `make test`.
const ROUNDS: u64 = 150;
const SEED: u64 = 20_261_122;

/// What the examples of the pages are: one of each suite.
const STATEMENTS: [&str; 3] = [
    include_str!("vectors/signed-statement/entry.hex"),
    include_str!("vectors/signed-statement-p256/entry.hex"),
    include_str!("vectors/signed-statement-rsa/entry.hex"),
];
const ENVELOPE: &[u8] = include_bytes!("vectors/envelope.der");

fn parse(der: &[u8]) -> bool {
    judged("signed-statement", &[der], SignedStatement::parse(der)).is_ok()
}

fn open(der: &[u8]) -> bool {
    let certificate = Certificate::from_pem(include_str!("vectors/envelope.certificate.pem")).unwrap();
    let pem = include_str!("vectors/envelope.key.pem");
    let key = SoftwareSigner::from_pkcs8_pem(pem).unwrap();
    judged("envelope-opens", &[der, certificate.der(), pem.as_bytes()], envelope::open(der, &certificate, &key)).is_ok()
}

fn changes() {
    let (seed, rounds) = seed_and_rounds(SEED, ROUNDS);
    let statements = STATEMENTS.map(|text| hex::decode(text.split_whitespace().collect::<String>()).unwrap());
    assert!(statements.iter().all(|statement| parse(statement)) && open(ENVELOPE));
    for round in rounds {
        let mut random = Random::of(seed, round);
        for statement in &statements {
            parse(&changed(statement, &mut random));
        }
        open(&changed(ENVELOPE, &mut random));
    }
}

#[test]
fn both_verifiers_find_the_same_in_der_that_was_changed_by_its_structure() {
    assert_agrees_on(&[changes], 4 * ROUNDS as usize);
}
