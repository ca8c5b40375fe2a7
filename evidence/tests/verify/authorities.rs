//! Those whose word counts beside the log's: witnesses and timestamping authorities, with fixed keys.

use exhibit_evidence::anchor::{AnchorPolicy, TimestampAuthorityTrust, WitnessPolicy};
use exhibit_pki::timestamp_token::{Imprint, token_of_response};
use exhibit_pki::{ChainCertificate, DigestAlgorithm, Signer, SoftwareSigner, Timestamp, TimestampAuthority, TimestampRequest};
use exhibit_tlog::{Ed25519Cosigner, LogVerifier, Note, NoteSigner};
use zeroize::Zeroizing;

use crate::common::der::Node;
use crate::common::key;

/// What the clock of our timestamping authorities may be off by.
pub const ACCURACY_MS: u32 = 500;

/// A timestamping authority that is its own root.
pub struct Tsa {
    pub certificate: ChainCertificate,
    key: SoftwareSigner,
}

impl Tsa {
    pub fn new(name: &str, scalar: u8) -> Self {
        let key = key(scalar);
        Self { certificate: ChainCertificate::from_der(&certificate(name, scalar, &key)).unwrap(), key }
    }

    /// A token over the text of a note, or over any other text.
    pub fn token(&self, text: &str, at_ms: u64) -> Vec<u8> {
        self.respond(text, at_ms, true)
    }

    /// The same for whoever has the authority's certificate.
    pub fn token_without_certificates(&self, text: &str, at_ms: u64) -> Vec<u8> {
        self.respond(text, at_ms, false)
    }

    fn respond(&self, text: &str, at_ms: u64, with_certificates: bool) -> Vec<u8> {
        let authority = TimestampAuthority::new(&self.certificate, &[], &self.key, ACCURACY_MS).unwrap();
        let imprint = Imprint::of(DigestAlgorithm::Sha256, text.as_bytes());
        let request = TimestampRequest { imprint, policy: None, nonce: None, with_certificates };
        let response = authority.respond(&request.to_der(), Timestamp::from_unix_ms(at_ms).unwrap(), [7; 16]).unwrap();
        token_of_response(&response).unwrap().der().to_vec()
    }

    pub fn trust(&self, name: &str, independent: bool) -> TimestampAuthorityTrust {
        TimestampAuthorityTrust { name: name.to_owned(), independent, certificate: self.certificate.clone() }
    }
}

/// Somebody else's authority.
pub fn notary() -> Tsa {
    Tsa::new("Notary time", 51)
}

/// The operator's own.
pub fn city_time() -> Tsa {
    Tsa::new("City time", 52)
}

/// Of nobody that an anchor names.
pub fn stranger() -> Tsa {
    Tsa::new("Stranger time", 53)
}

/// What a token is over.
pub fn note_text(note: &str) -> String {
    Note::parse(note).unwrap().text().to_owned()
}

/// Witness number `number`, from 1.
pub fn witness(number: u8) -> Ed25519Cosigner {
    Ed25519Cosigner::new(&format!("witness-{number}.example"), &Zeroizing::new([60 + number; 32])).unwrap()
}

/// `threshold` of three witnesses.
pub fn witness_policy(threshold: u8, log: &LogVerifier) -> WitnessPolicy {
    let line = |number: u8| format!("witness w{number} {}\n", witness(number).verifier_key());
    let quorum =
        if threshold == 0 { "quorum none\n".to_owned() } else { format!("group all-three {threshold} w1 w2 w3\nquorum all-three\n") };
    let text = format!("{}{}{}{quorum}", line(1), line(2), line(3));
    WitnessPolicy::parse(&text, log).unwrap()
}

/// The notary is believed, and the city's own.
pub fn believing_time() -> AnchorPolicy {
    AnchorPolicy {
        timestamp_authorities: vec![city_time().trust("City", false), notary().trust("Notary", true)],
        ..AnchorPolicy::default()
    }
}

/// A certificate that signs itself: version 3, P-384, timestamping as its one purpose.
fn certificate(name: &str, serial: u8, key: &SoftwareSigner) -> Vec<u8> {
    let of = |tag: u8, children: Vec<Node>| Node { tag, bytes: vec![], children };
    let oid = |bytes: &[u8]| Node::new(6, bytes);
    let time = |text: &str| Node::new(0x18, text.as_bytes());
    let ecdsa_with_sha384 = of(0x30, vec![oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3])]);
    let common_name = of(0x30, vec![oid(&[0x55, 4, 3]), Node::new(0x0c, name.as_bytes())]);
    let subject = of(0x30, vec![of(0x31, vec![common_name])]);
    let time_stamping = of(0x30, vec![oid(&[0x2b, 6, 1, 5, 5, 7, 3, 8])]);
    let usage = of(0x30, vec![oid(&[0x55, 0x1d, 0x25]), Node::new(1, &[0xff]), Node::new(4, &time_stamping.to_der())]);
    let to_be_signed = of(
        0x30,
        vec![
            of(0xa0, vec![Node::new(2, &[2])]),
            Node::new(2, &[serial]),
            ecdsa_with_sha384.clone(),
            subject.clone(),
            of(0x30, vec![Node::new(0x17, b"260101000000Z"), time("20560101000000Z")]),
            subject,
            Node::parse(&key.public_key().to_spki_der()),
            of(0xa3, vec![of(0x30, vec![usage])]),
        ],
    );
    let signature = key.sign(&to_be_signed.to_der()).unwrap();
    of(0x30, vec![to_be_signed, ecdsa_with_sha384, Node::new(3, &[&[0][..], &signature].concat())]).to_der()
}
