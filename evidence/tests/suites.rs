//! Statements in the suites beside P-384: what is signed verifies, here and for openssl, and what mixes suites is refused.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use common::{
    P256Key, Pki,
    der::{ATTRIBUTES, DIGEST_ALGORITHMS, Node, SIGNATURE, SIGNER, SIGNING_TIME, STATEMENT, value_of},
    token::{Token, openssl},
};
use exhibit_evidence::{SignedStatement, SignedStatementError, VerifyError, sign};
use exhibit_pki::{BadSignature, Certificate, KeyPurpose, PublicKey, Role, Signer, SignerError, Suite};
use sha2::{Digest, Sha256, Sha384, Sha512};

mod common;
#[path = "../../tests/independent/ask.rs"]
mod independent;
#[path = "common/judged.rs"]
mod judged;

const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA_384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA_512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
const ECDSA_WITH_SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_WITH_SHA_384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ECDSA_WITH_SHA_512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SHA_384_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const ML_DSA_65: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];
const SLH_DSA_SHA2_128S: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x14];

/// Positions of attributes in DER's order: that of the message digest depends on its length.
const MESSAGE_DIGEST_SHA_384: usize = 3;
const SIGNING_CERTIFICATE_SHA_384: usize = 2;
const MESSAGE_DIGEST_SHA_256: usize = 2;
const SIGNING_CERTIFICATE_SHA_256: usize = 3;

/// A camera whose TPM has P-256 only, and a person with an RSA card, each with what it signed.
struct Signed {
    certificate: Certificate,
    key: Box<dyn Signer>,
    statement: SignedStatement,
}

fn by_p256() -> Signed {
    let key = P256Key::new(3);
    let certificate = Pki::new().certify("camera/102", &[Role::Camera], KeyPurpose::Signing, 4, key.public_key());
    let statement = sign(&common::segment_statement(), &certificate, &key).unwrap();
    Signed { certificate, key: Box::new(key), statement }
}

fn by_rsa(folder: &Path) -> Signed {
    let key = Token::rsa_3072(folder);
    let certificate = Pki::new().certify("user/7f3a", &[Role::Custodian], KeyPurpose::Signing, 5, key.public_key());
    let statement = sign(&common::statement("user/7f3a/1", common::fetch()), &certificate, &key).unwrap();
    Signed { certificate, key: Box::new(key), statement }
}

fn algorithm(oid: &[u8], parameters: Option<Node>) -> Node {
    let mut node = Node::new(0x30, &[]);
    node.children.push(Node::new(0x06, oid));
    node.children.extend(parameters);
    node
}

fn null() -> Option<Node> {
    Some(Node::new(0x05, &[]))
}

impl Signed {
    fn spoilt(&self, spoil: impl FnOnce(&mut Node)) -> Vec<u8> {
        let mut tree = Node::parse(self.statement.der());
        spoil(&mut tree);
        tree.to_der()
    }

    /// The same, with all that is signed by the key again.
    fn spoilt_and_signed(&self, spoil: impl FnOnce(&mut Node)) -> Vec<u8> {
        self.spoilt(|tree| {
            spoil(tree);
            let mut attributes = tree.at(ATTRIBUTES).clone();
            attributes.tag = 0x31;
            tree.at(SIGNATURE).bytes = self.key.sign(&attributes.to_der()).unwrap();
        })
    }
}

#[track_caller]
fn assert_refused(defect: &str, der: &[u8], expected: &str) {
    let error = judged::parse(der).expect_err(defect).to_string();
    assert!(error.contains(expected), "{defect}: expected `{expected}`, got `{error}`");
}

#[test]
fn each_suite_signs_and_says_which_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (signed, suite) in [(by_p256(), Suite::EcdsaP256Sha256), (by_rsa(folder.path()), Suite::RsaPkcs1Sha384)] {
        let parsed = judged::parse(signed.statement.der()).unwrap();
        assert_eq!(parsed, signed.statement);
        assert_eq!(parsed.suite(), suite);
        assert!(judged::verify(&parsed, &signed.certificate).is_ok(), "{suite}");
        // What is spoilt in the other tests and nothing else would be accepted.
        let again = judged::parse(&signed.spoilt_and_signed(|_| {})).unwrap();
        assert!(judged::verify(&again, &signed.certificate).is_ok(), "{suite}");
    }
}

#[test]
fn no_byte_of_any_suite_can_be_changed_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for signed in [by_p256(), by_rsa(folder.path())] {
        let der = signed.statement.der();
        let accepted = |der: &[u8]| judged::parse(der).is_ok_and(|found| judged::verify(&found, &signed.certificate).is_ok());
        assert!(accepted(der));
        for position in 0..der.len() {
            let mut changed = der.to_vec();
            changed[position] ^= 1 << (position % 8);
            assert!(!accepted(&changed), "{}: a flipped bit in byte {position}", signed.statement.suite());
            assert!(!accepted(&der[..position]), "{}: cut to {position} bytes", signed.statement.suite());
        }
    }
}

#[test]
fn hostile_encodings_of_p256() {
    let signed = by_p256();
    let digest_of = |tree: &mut Node, digest: Vec<u8>| tree.at(&value_of(MESSAGE_DIGEST_SHA_256)).bytes = digest;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "sha_384_in_the_digest_algorithms",
            signed.spoilt(|t| t.at(DIGEST_ALGORITHMS).children[0] = algorithm(SHA_384, None)),
            "the digest algorithm is not that of the suite",
        ),
        (
            "sha_384_as_the_signers_digest",
            signed.spoilt(|t| t.at(SIGNER).children[2] = algorithm(SHA_384, None)),
            "the signer's digest algorithm is not that of the suite",
        ),
        (
            "message_digest_of_sha_384",
            signed.spoilt_and_signed(|t| {
                let digest = Sha384::digest(&t.at(STATEMENT).bytes).to_vec();
                digest_of(t, digest);
            }),
            "message-digest is not that of the statement",
        ),
        (
            "all_of_sha_384_but_the_key",
            signed.spoilt(|t| {
                t.at(DIGEST_ALGORITHMS).children[0] = algorithm(SHA_384, None);
                t.at(SIGNER).children[2] = algorithm(SHA_384, None);
                let digest = Sha384::digest(&t.at(STATEMENT).bytes).to_vec();
                digest_of(t, digest);
            }),
            "the digest algorithm is not that of the suite",
        ),
        (
            "ecdsa_with_sha_384_named",
            signed.spoilt(|t| t.at(SIGNER).children[4] = algorithm(ECDSA_WITH_SHA_384, None)),
            "the digest algorithm is not that of the suite",
        ),
        (
            "ecdsa_with_sha_512_named",
            signed.spoilt(|t| t.at(SIGNER).children[4] = algorithm(ECDSA_WITH_SHA_512, None)),
            "the signature algorithm is of no suite",
        ),
        (
            "signature_parameters_null",
            signed.spoilt(|t| t.at(SIGNER).children[4] = algorithm(ECDSA_WITH_SHA_256, null())),
            "the signature algorithm is of no suite",
        ),
        (
            "digest_parameters_null",
            signed.spoilt(|t| t.at(DIGEST_ALGORITHMS).children[0] = algorithm(SHA_256, null())),
            "the digest algorithm is not that of the suite",
        ),
        ("high_s", signed.spoilt(|t| t.at(SIGNATURE).bytes = with_the_other_s(&t.at(SIGNATURE).bytes.clone())), "0 < s <= n/2"),
        ("numbers_of_p384", signed.spoilt(|t| t.at(SIGNATURE).bytes = common::key(3).sign(b"x").unwrap()), "0 < s <= n/2"),
        ("raw_numbers", signed.spoilt(|t| t.at(SIGNATURE).bytes = vec![1; 64]), "0 < s <= n/2"),
        ("an_rsa_signature", signed.spoilt(|t| t.at(SIGNATURE).bytes = vec![1; 384]), "0 < s <= n/2"),
    ];
    for (defect, der, expected) in cases {
        assert_refused(defect, &der, expected);
    }
}

/// (r, n - s).
fn with_the_other_s(signature: &[u8]) -> Vec<u8> {
    let signature = p256::ecdsa::Signature::from_der(signature).unwrap();
    p256::ecdsa::Signature::from_scalars(*signature.r(), -*signature.s()).unwrap().to_der().as_bytes().to_vec()
}

#[test]
fn hostile_encodings_of_rsa() {
    let folder = tempfile::tempdir().unwrap();
    let signed = by_rsa(folder.path());
    let named = |oid: &'static [u8], parameters: Option<Node>| signed.spoilt(|t| t.at(SIGNER).children[4] = algorithm(oid, parameters));
    let good = signed.spoilt(|_| {});
    let signature = Node::parse(&good).at(SIGNATURE).bytes.clone();
    let no_suite = "the signature algorithm is of no suite";
    let length = "the signature is not as long as an RSA key";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("signature_parameters_absent", named(RSA_ENCRYPTION, None), no_suite),
        ("signature_parameters_of_something", named(RSA_ENCRYPTION, Some(Node::new(0x04, &[5, 0]))), no_suite),
        ("sha_384_with_rsa_named", named(SHA_384_WITH_RSA, null()), no_suite),
        ("pss_named", named(RSASSA_PSS, Some(Node::new(0x30, &[]))), no_suite),
        (
            "digest_parameters_null",
            signed.spoilt(|t| t.at(SIGNER).children[2] = algorithm(SHA_384, null())),
            "the signer's digest algorithm is not that of the suite",
        ),
        (
            "sha_256_in_the_digest_algorithms",
            signed.spoilt(|t| t.at(DIGEST_ALGORITHMS).children[0] = algorithm(SHA_256, None)),
            "the digest algorithm is not that of the suite",
        ),
        (
            "sha_256_throughout",
            signed.spoilt_and_signed(|t| {
                t.at(DIGEST_ALGORITHMS).children[0] = algorithm(SHA_256, None);
                t.at(SIGNER).children[2] = algorithm(SHA_256, None);
                let digest = Sha256::digest(&t.at(STATEMENT).bytes).to_vec();
                t.at(&value_of(MESSAGE_DIGEST_SHA_384)).bytes = digest;
            }),
            "the digest algorithm is not that of the suite",
        ),
        ("signature_of_2048_bits", signed.spoilt(|t| t.at(SIGNATURE).bytes.truncate(256)), length),
        ("signature_short_of_one_byte", signed.spoilt(|t| t.at(SIGNATURE).bytes.truncate(383)), length),
        ("signature_of_8192_bits", signed.spoilt(|t| t.at(SIGNATURE).bytes.resize(1024, 0)), length),
        ("signature_empty", signed.spoilt(|t| t.at(SIGNATURE).bytes.clear()), length),
    ];
    for (defect, der, expected) in cases {
        assert_refused(defect, &der, expected);
    }
    // Well-formed, and not by this key: longer than its modulus, though not than every card's.
    for (defect, bytes) in [
        ("leading_zero", [&[0], signature.as_slice()].concat()),
        ("trailing_zero", [signature.as_slice(), &[0]].concat()),
        ("zero", vec![0; 384]),
        ("above_n", vec![0xff; 384]),
    ] {
        let found = judged::parse(&signed.spoilt(|t| t.at(SIGNATURE).bytes = bytes)).unwrap();
        let refused = judged::verify(&found, &signed.certificate).map(drop);
        assert_eq!(refused, Err(VerifyError::Signature(BadSignature)), "{defect}");
    }
}

#[test]
fn a_suite_that_there_is_room_for_is_told_apart_from_nonsense() {
    let signed = by_p256();
    let later = signed.spoilt(|t| {
        t.at(DIGEST_ALGORITHMS).children[0] = algorithm(SHA_512, None);
        t.at(SIGNER).children[2] = algorithm(SHA_512, None);
        let digest = Sha512::digest(&t.at(STATEMENT).bytes).to_vec();
        t.at(&value_of(MESSAGE_DIGEST_SHA_256)).bytes = digest;
        t.at(SIGNER).children[4] = algorithm(ML_DSA_65, None);
        t.at(SIGNATURE).bytes = vec![7; 3309];
    });
    assert_eq!(judged::parse(&later), Err(SignedStatementError::UnknownSuite("ML-DSA-65")));
    let other = signed.spoilt(|t| t.at(SIGNER).children[4] = algorithm(SLH_DSA_SHA2_128S, None));
    assert_refused("slh_dsa", &other, "the signature algorithm is of no suite");
}

/// A key that claims to be another.
struct Claims<'a>(&'a PublicKey, &'a dyn Signer);

impl Signer for Claims<'_> {
    fn public_key(&self) -> &PublicKey {
        self.0
    }
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.1.sign_digest(digest)
    }
}

/// The certificate's hash says which key it is; a statement in another suite's form is refused before any signature is tried.
#[test]
fn algorithm_confusion() {
    let (p384, p256) = (Pki::new().camera(), by_p256());
    for (certificate, other) in [(&p384.certificate, &p256.certificate), (&p256.certificate, &p384.certificate)] {
        let (suite, other_suite) = (certificate.public_key().suite(), other.public_key().suite());
        // Signed in the suite of the one key, and naming the certificate of the other.
        let key: &dyn Signer = if suite == Suite::EcdsaP384Sha384 { &p384.key } else { p256.key.as_ref() };
        let signed = sign(&common::segment_statement(), certificate, key).unwrap();
        let mut tree = Node::parse(signed.der());
        let position = if suite == Suite::EcdsaP256Sha256 { SIGNING_CERTIFICATE_SHA_256 } else { SIGNING_CERTIFICATE_SHA_384 };
        let mut hash = value_of(position);
        hash.extend([0, 0, 0]);
        tree.at(&hash).bytes = other.fingerprint().to_vec();
        tree.at(SIGNER).children[1].bytes = other.subject_key_identifier().to_vec();
        let confused = judged::parse(&tree.to_der()).unwrap();
        let refused = judged::verify(&confused, other).map(drop);
        assert_eq!(refused, Err(VerifyError::WrongSuite { signature: suite, certificate: other_suite }));
    }
    // A key of another suite in the name of the certificate's: its numbers are of another length.
    let claims = Claims(p384.certificate.public_key(), p256.key.as_ref());
    assert!(sign(&common::segment_statement(), &p384.certificate, &claims).is_err());
}

#[test]
fn another_persons_key_of_the_same_suite_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let (card, other) = (Token::rsa_3072(folder.path()), Token::rsa_4096(folder.path()));
    let certificate = Pki::new().certify("user/7f3a", &[Role::Custodian], KeyPurpose::Signing, 5, card.public_key());
    let statement = common::statement("user/7f3a/1", common::fetch());
    let forged = sign(&statement, &certificate, &Claims(card.public_key(), &other));
    assert!(forged.unwrap_err().to_string().contains("not a signature of its suite"));

    let p256 = P256Key::new(3);
    let certificate = Pki::new().certify("camera/102", &[Role::Camera], KeyPurpose::Signing, 4, p256.public_key());
    let forged = sign(&common::segment_statement(), &certificate, &Claims(p256.public_key(), &P256Key::new(9))).unwrap();
    assert_eq!(judged::verify(&forged, &certificate).map(drop), Err(VerifyError::Signature(BadSignature)));
}

fn write_authorities(folder: &Path, certificate: &Certificate) {
    let pki = Pki::new();
    fs::write(folder.join("authorities.pem"), pki.root.to_pem() + &pki.issuing.to_pem()).unwrap();
    fs::write(folder.join("signer.pem"), certificate.to_pem()).unwrap();
}

#[test]
fn openssl_accepts_what_each_suite_signs_and_gives_the_statement_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for signed in [by_p256(), by_rsa(path)] {
        write_authorities(path, &signed.certificate);
        let attime = signed.statement.statement().issued.unix_s();
        let verify = || {
            let given = "cms -verify -cades -binary -purpose any -inform DER -in entry.der -CAfile authorities.pem -certfile signer.pem";
            openssl(path, &format!("{given} -out statement.json -attime {attime}"))
        };
        fs::write(path.join("entry.der"), signed.statement.der()).unwrap();
        verify().unwrap();
        assert_eq!(fs::read(path.join("statement.json")).unwrap(), signed.statement.statement_bytes(), "not byte for byte");
        let changed = signed.spoilt(|tree| tree.at(STATEMENT).bytes[70] ^= 1);
        fs::write(path.join("entry.der"), changed).unwrap();
        assert!(verify().is_err(), "{}: openssl accepts a changed statement", signed.statement.suite());
    }
}

/// Of `openssl cms -sign` two attributes are other than ours: the signing time, which is the moment of signing and not that of the statement,
/// and the certificate, which it names by issuer and serial number too, and by a hash like that of the signature. With these put right, and signed again by openssl, its message is
/// ours byte for byte: each suite is what other people's tools write.
#[test]
fn what_openssl_signs_by_itself_is_our_form_but_for_two_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (signed, key, hash) in [(by_p256(), Token::p256(path), "sha256"), (by_rsa(path), Token::rsa_3072(path), "sha384")] {
        let suite = signed.statement.suite();
        let subject = signed.certificate.identity().unwrap().subject.to_string();
        let certificate = Pki::new().certify(&subject, signed.certificate.roles(), KeyPurpose::Signing, 6, key.public_key());
        write_authorities(path, &certificate);
        fs::write(path.join("statement"), signed.statement.statement_bytes()).unwrap();
        let how = "cms -sign -cades -binary -nodetach -nocerts -nosmimecap -keyid -outform DER -econtent_type 2.25.1586047359.1.1";
        openssl(path, &format!("{how} -md {hash} -signer signer.pem -inkey {} -in statement -out entry.der", key.file)).unwrap();
        let theirs = fs::read(path.join("entry.der")).unwrap();
        assert_refused("the time of openssl", &theirs, "signing-time is not the statement's issued");
        let mut tree = Node::parse(&theirs);
        *tree.at(&value_of(SIGNING_TIME)) = Node::parse(signed.statement.der()).at(&value_of(SIGNING_TIME)).clone();
        let attributes = &mut tree.at(ATTRIBUTES).children;
        let certificate_id = attributes.iter_mut().find(|attribute| attribute.children[0].bytes.ends_with(&[2, 47])).unwrap();
        certificate_id.at(&[1, 0, 0, 0]).children = vec![Node::new(0x04, certificate.fingerprint())];
        attributes.sort_by_key(Node::to_der);
        let mut attributes = tree.at(ATTRIBUTES).clone();
        attributes.tag = 0x31;
        tree.at(SIGNATURE).bytes = key.sign(&attributes.to_der()).unwrap();
        let entry = judged::parse(&tree.to_der()).unwrap_or_else(|error| panic!("{suite}: {error}"));
        assert_eq!(entry.suite(), suite);
        assert!(judged::verify(&entry, &certificate).is_ok(), "{suite}");
    }
}

/// The other tests judge again, and the verifier in Python judges what they judged.
#[test]
fn the_independent_verifier_agrees_on_every_suite() {
    each_suite_signs_and_says_which_it_is();
    no_byte_of_any_suite_can_be_changed_or_left_out();
    hostile_encodings_of_p256();
    hostile_encodings_of_rsa();
    a_suite_that_there_is_room_for_is_told_apart_from_nonsense();
    algorithm_confusion();
    another_persons_key_of_the_same_suite_does_not_verify();
    judged::assert_independent_agrees();
}
