//! The signature of a statement: what is signed verifies, and every other encoding is refused, each with the error that it must give.

#![allow(clippy::unwrap_used)]

use common::{
    Party, Pki,
    der::{
        ATTRIBUTES, CONTENT_TYPE, DIGEST_ALGORITHMS, ENCAPSULATED, MESSAGE_DIGEST, Node, SIGNATURE, SIGNED_DATA, SIGNER, SIGNERS,
        SIGNING_CERTIFICATE, SIGNING_TIME, STATEMENT, value_of,
    },
};
use exhibit_evidence::{Body, SignedStatement, SignedStatementError, Statement, VerifyError, cms::ENTRY_BYTES_MAX, sign};
use exhibit_pki::{KeyPurpose, PublicKey, Role, Signer, SignerError, SoftwareSigner};
use p384::ecdsa::Signature;
use sha2::{Digest, Sha256, Sha384};

mod common;
#[path = "../../tests/independent/ask.rs"]
mod independent;
#[path = "common/judged.rs"]
mod judged;

fn signed() -> (Party, SignedStatement) {
    let camera = Pki::new().camera();
    let signed = sign(&common::segment_statement(), &camera.certificate, &camera.key).unwrap();
    (camera, signed)
}

fn refusal(der: &[u8]) -> String {
    match judged::parse(der) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string().replace("not the CMS encoding of a signed statement: ", ""),
    }
}

#[test]
fn what_is_signed_verifies_and_gives_the_statement_back() {
    let (camera, signed) = signed();
    let parsed = judged::parse(signed.der()).unwrap();
    assert_eq!(parsed, signed);
    assert_eq!(parsed.statement(), &common::segment_statement());
    assert_eq!(parsed.statement_bytes(), common::segment_statement().to_bytes());
    assert_eq!(parsed.statement_hash().0.as_slice(), Sha256::digest(parsed.statement_bytes()).as_slice());
    assert_eq!(parsed.leaf_hash().0.as_slice(), Sha256::digest([&[0], signed.der()].concat()).as_slice());
    assert_eq!(parsed.signer(), camera.certificate.fingerprint());
    let verified = judged::verify(&parsed, &camera.certificate).unwrap();
    assert_eq!(verified.statement(), &common::segment_statement());
    assert_eq!(verified.signed(), &signed);
}

#[test]
fn the_encoding_is_der_with_the_attributes_in_order() {
    let (_, signed) = signed();
    let mut tree = Node::parse(signed.der());
    assert_eq!(tree.to_der(), signed.der(), "lengths are not minimal");
    let attributes: Vec<_> = tree.at(ATTRIBUTES).children.iter().map(Node::to_der).collect();
    assert!(attributes.is_sorted(), "the attributes are not in the order of a SET OF");
    assert_eq!(attributes.len(), 4);
    assert_eq!(tree.at(&value_of(SIGNING_TIME)), &Node::new(0x17, b"261120120002Z"));
    assert_eq!(tree.at(&value_of(MESSAGE_DIGEST)).bytes, Sha384::digest(signed.statement_bytes()).as_slice());
}

#[test]
fn signing_time_changes_its_form_in_2050() {
    let camera = Pki::new().camera();
    let mut statement = common::segment_statement();
    for (issued, expected) in [
        ("2049-12-31T23:59:59.999Z", Node::new(0x17, b"491231235959Z")),
        ("2050-01-01T00:00:00.000Z", Node::new(0x18, b"20500101000000Z")),
        ("1999-12-31T23:59:59.999Z", Node::new(0x17, b"991231235959Z")),
    ] {
        statement.issued = common::time(issued);
        let signed = sign(&statement, &camera.certificate, &camera.key).unwrap();
        assert_eq!(Node::parse(signed.der()).at(&value_of(SIGNING_TIME)), &expected);
    }
}

/// Spoils the good encoding.
type Spoil = fn(&mut Node);

/// SEQUENCE { OID }, with NULL or without.
fn algorithm(oid: &[u8], parameters: bool) -> Node {
    let mut node = Node::new(0x30, &[]);
    node.children.push(Node::new(0x06, oid));
    if parameters {
        node.children.push(Node::new(0x05, &[]));
    }
    node
}

const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA_384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const ECDSA_WITH_SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ID_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

const HOSTILE: &[(&str, Spoil, &str)] = &[
    // The outside.
    ("enveloped_data", |t| t.at(&[0]).bytes[8] = 3, "the content type is not id-signedData"),
    ("content_without_tag_0", |t| t.at(&[1]).tag = 0xa1, "content"),
    ("version_1", |t| t.at(SIGNED_DATA).children[0].bytes = vec![1], "the version of SignedData is not 3"),
    ("version_not_minimal", |t| t.at(SIGNED_DATA).children[0].bytes = vec![0, 3], "the version of SignedData is not 3"),
    (
        "sha_256_digest",
        |t| t.at(DIGEST_ALGORITHMS).children[0] = algorithm(SHA_256, false),
        "the digest algorithm is not that of the suite",
    ),
    (
        "digest_parameters_null",
        |t| t.at(DIGEST_ALGORITHMS).children[0] = algorithm(SHA_384, true),
        "the digest algorithm is not that of the suite",
    ),
    ("two_digest_algorithms", |t| t.at(DIGEST_ALGORITHMS).children.push(algorithm(SHA_256, false)), "there is more than one digest"),
    ("no_digest_algorithm", |t| t.at(DIGEST_ALGORITHMS).children.clear(), "there is no digest algorithm"),
    // The content.
    ("e_content_type_id_data", |t| t.at(ENCAPSULATED).children[0].bytes = ID_DATA.to_vec(), "eContentType is not that of a statement"),
    ("detached", |t| t.at(ENCAPSULATED).children.truncate(1), "the statement is not attached"),
    ("content_not_an_octet_string", |t| t.at(STATEMENT).tag = 0x0c, "eContent"),
    (
        "content_in_pieces",
        |t| {
            let whole = t.at(STATEMENT).clone();
            *t.at(STATEMENT) = Node { tag: 0x24, bytes: vec![], children: vec![whole] };
        },
        "eContent",
    ),
    ("two_contents", |t| t.at(ENCAPSULATED).children.push(Node::new(0xa0, &[4, 0])), "it differs from the one encoding"),
    ("a_bit_of_the_statement", |t| *t.at(STATEMENT).bytes.last_mut().unwrap() = b'x', "not strict JSON"),
    // What may not be there.
    ("extra_certificate", |t| t.at(SIGNED_DATA).children.insert(3, Node::new(0xa0, &[0x30, 0])), "there are certificates in it"),
    ("extra_revocation_list", |t| t.at(SIGNED_DATA).children.insert(3, Node::new(0xa1, &[0x30, 0])), "there are revocation lists in it"),
    ("after_the_signers", |t| t.at(SIGNED_DATA).children.push(Node::new(0x05, &[])), "there is something after the signers"),
    (
        "two_signers",
        |t| {
            let signer = t.at(SIGNER).clone();
            t.at(SIGNERS).children.push(signer);
        },
        "there is more than one signer",
    ),
    ("no_signer", |t| t.at(SIGNERS).children.clear(), "SignerInfo"),
    ("unsigned_attribute", |t| t.at(SIGNER).children.push(Node::new(0xa1, &[0x30, 0])), "there are unsigned attributes"),
    // The signer.
    (
        "issuer_and_serial_number",
        |t| {
            t.at(SIGNER).children[0].bytes = vec![1];
            t.at(SIGNER).children[1] = Node::new(0x30, &[0x30, 0, 2, 1, 1]);
        },
        "the signer is not named by subjectKeyIdentifier",
    ),
    ("signer_version_4", |t| t.at(SIGNER).children[0].bytes = vec![4], "the version of SignerInfo is not 3"),
    ("key_identifier_empty", |t| t.at(SIGNER).children[1].bytes.clear(), "the subjectKeyIdentifier is empty or too long"),
    ("key_identifier_too_long", |t| t.at(SIGNER).children[1].bytes = vec![1; 65], "the subjectKeyIdentifier is empty or too long"),
    (
        "signer_sha_256_digest",
        |t| t.at(SIGNER).children[2] = algorithm(SHA_256, false),
        "the signer's digest algorithm is not that of the suite",
    ),
    (
        "signer_digest_parameters_null",
        |t| t.at(SIGNER).children[2] = algorithm(SHA_384, true),
        "the signer's digest algorithm is not that of the suite",
    ),
    (
        "ecdsa_with_sha_256",
        |t| t.at(SIGNER).children[4] = algorithm(ECDSA_WITH_SHA_256, false),
        "the digest algorithm is not that of the suite",
    ),
    ("no_signed_attributes", |t| drop(t.at(SIGNER).children.remove(3)), "signedAttrs"),
    // The signed attributes.
    ("missing_content_type", |t| drop(t.at(ATTRIBUTES).children.remove(CONTENT_TYPE)), "the attribute content-type is missing"),
    ("content_type_id_data", |t| t.at(&value_of(CONTENT_TYPE)).bytes = ID_DATA.to_vec(), "the attribute content-type is not that of"),
    ("missing_message_digest", |t| drop(t.at(ATTRIBUTES).children.remove(MESSAGE_DIGEST)), "the attribute message-digest is missing"),
    (
        "message_digest_of_other_content",
        |t| t.at(&value_of(MESSAGE_DIGEST)).bytes = Sha384::digest(b"other").to_vec(),
        "the attribute message-digest is not that of the statement",
    ),
    (
        "message_digest_sha_256",
        |t| {
            let digest = Sha256::digest(&t.at(STATEMENT).bytes).to_vec();
            t.at(&value_of(MESSAGE_DIGEST)).bytes = digest;
        },
        "the attribute message-digest is not that of the statement",
    ),
    ("missing_signing_time", |t| drop(t.at(ATTRIBUTES).children.remove(SIGNING_TIME)), "the attribute signing-time is missing"),
    (
        "signing_time_differs",
        |t| t.at(&value_of(SIGNING_TIME)).bytes = b"261120120003Z".to_vec(),
        "the attribute signing-time is not the statement's issued",
    ),
    (
        "signing_time_generalized_before_2050",
        |t| *t.at(&value_of(SIGNING_TIME)) = Node::new(0x18, b"20261120120002Z"),
        "the attribute signing-time is not the statement's issued",
    ),
    (
        "signing_time_twice",
        |t| {
            let time = t.at(ATTRIBUTES).children[SIGNING_TIME].clone();
            t.at(ATTRIBUTES).children.insert(SIGNING_TIME, time);
        },
        "the attribute signing-time is missing, or there twice",
    ),
    (
        "signing_time_of_two_values",
        |t| {
            let time = t.at(&value_of(SIGNING_TIME)).clone();
            t.at(ATTRIBUTES).children[SIGNING_TIME].children[1].children.push(time);
        },
        "the attribute signing-time is not the statement's issued",
    ),
    (
        "missing_signing_certificate",
        |t| drop(t.at(ATTRIBUTES).children.remove(SIGNING_CERTIFICATE)),
        "the attribute signing-certificate-v2 is missing",
    ),
    (
        "two_ess_cert_ids",
        |t| {
            let mut path = value_of(SIGNING_CERTIFICATE);
            path.push(0);
            let identifier = t.at(&path).children[0].clone();
            t.at(&path).children.push(identifier);
        },
        "signing-certificate-v2 names more than one certificate",
    ),
    (
        "ess_cert_id_with_issuer_serial",
        |t| {
            let mut path = value_of(SIGNING_CERTIFICATE);
            path.extend([0, 0]);
            t.at(&path).children.push(Node::new(0x30, &[0x30, 0, 2, 1, 1]));
        },
        "ESSCertIDv2 says more than a hash",
    ),
    (
        "ess_cert_id_with_its_default_algorithm",
        |t| {
            let mut path = value_of(SIGNING_CERTIFICATE);
            path.extend([0, 0]);
            t.at(&path).children.insert(0, algorithm(SHA_256, false));
        },
        "certHash (of SHA-256, which is not written)",
    ),
    (
        "ess_cert_id_of_sha_1",
        |t| {
            let mut path = value_of(SIGNING_CERTIFICATE);
            path.extend([0, 0, 0]);
            t.at(&path).bytes.truncate(20);
        },
        "certHash is not 32 bytes",
    ),
    (
        "policies_in_signing_certificate",
        |t| t.at(&value_of(SIGNING_CERTIFICATE)).children.push(Node::new(0x30, &[])),
        "it differs from the one encoding",
    ),
    (
        "a_fifth_attribute",
        |t| {
            let mut attribute = algorithm(SHA_256, false);
            attribute.children.push(Node::new(0x31, &[5, 0]));
            t.at(ATTRIBUTES).children.push(attribute);
        },
        "it differs from the one encoding",
    ),
    ("attributes_out_of_order", |t| t.at(ATTRIBUTES).children.swap(0, 1), "it differs from the one encoding"),
    // Lengths.
    (
        "length_not_minimal",
        |t| {
            let version = t.at(SIGNER).children[0].clone().long_length();
            let rest: Vec<u8> = t.at(SIGNER).children[1..].iter().flat_map(Node::to_der).collect();
            *t.at(SIGNER) = Node::new(0x30, &[version.bytes, rest].concat());
        },
        "it differs from the one encoding",
    ),
    // The signature's own encoding.
    ("signature_empty", |t| t.at(SIGNATURE).bytes.clear(), "the signature is not DER of"),
    ("signature_with_trailing_byte", |t| t.at(SIGNATURE).bytes.push(0), "the signature is not DER of"),
    ("signature_of_two_raw_numbers", |t| t.at(SIGNATURE).bytes = vec![1; 96], "the signature is not DER of"),
    (
        "signature_integer_not_minimal",
        |t| {
            let mut value = Node::parse(&t.at(SIGNATURE).bytes);
            value.children[0].bytes.insert(0, 0);
            t.at(SIGNATURE).bytes = value.to_der();
        },
        "the signature is not DER of",
    ),
    (
        "r_zero",
        |t| {
            let mut value = Node::parse(&t.at(SIGNATURE).bytes);
            value.children[0].bytes = vec![0];
            t.at(SIGNATURE).bytes = value.to_der();
        },
        "the signature is not DER of",
    ),
    ("s_high", |t| t.at(SIGNATURE).bytes = with_the_other_s(&t.at(SIGNATURE).bytes.clone()), "the signature is not DER of"),
];

/// (r, n - s): as valid as (r, s) to ECDSA.
fn with_the_other_s(signature: &[u8]) -> Vec<u8> {
    let signature = Signature::from_der(signature).unwrap();
    Signature::from_scalars(*signature.r(), -*signature.s()).unwrap().to_der().as_bytes().to_vec()
}

#[test]
fn every_other_encoding_is_refused() {
    let (_, signed) = signed();
    let good = Node::parse(signed.der());
    for (defect, spoil, expected) in HOSTILE {
        let mut tree = good.clone();
        spoil(&mut tree);
        let refusal = refusal(&tree.to_der());
        assert!(refusal.starts_with(expected), "{defect}: expected `{expected}`, got `{refusal}`");
    }
}

#[test]
fn bytes_that_are_no_der_are_refused() {
    let (_, signed) = signed();
    let good = signed.der();
    // ContentInfo's length, two octets of it, becomes indefinite, as BER allows, and ends in two zeros.
    assert_eq!(good[..2], [0x30, 0x82]);
    let indefinite = [&[0x30, 0x80], &good[4..], &[0, 0]].concat();
    let three_octets = [&[0x30, 0x83, 0], &good[2..]].concat();
    let too_long = [good, &vec![0; ENTRY_BYTES_MAX + 1 - good.len()]].concat();
    let cases: [(&str, &[u8], &str); 9] = [
        ("empty", &[], "ContentInfo"),
        ("a_tag", &[0x30], "ContentInfo"),
        ("indefinite_length", &indefinite, "a length is indefinite"),
        ("length_of_three_octets", &three_octets, "ContentInfo"),
        ("length_of_127_octets", &[0x30, 0xff, 1], "ContentInfo"),
        ("longer_than_it_is", &good[..good.len() - 1], "ContentInfo"),
        ("trailing_bytes", &[good, &[0]].concat(), "there are bytes after the ContentInfo"),
        ("pem", b"-----BEGIN CMS-----", "ContentInfo"),
        ("too_long", &too_long, "the signed statement is longer than 65,535 bytes"),
    ];
    for (defect, der, expected) in cases {
        let refusal = refusal(der);
        assert!(refusal.starts_with(expected), "{defect}: expected `{expected}`, got `{refusal}`");
    }
    assert_eq!(judged::parse(&too_long), Err(SignedStatementError::TooLong));
    let longest = judged::parse(&too_long[..ENTRY_BYTES_MAX]);
    assert!(matches!(longest, Err(SignedStatementError::Encoding(_))), "it is read, and found to be none: {longest:?}");
}

#[test]
fn no_byte_can_be_changed_or_left_out() {
    let (camera, signed) = signed();
    let accepted = |der: &[u8]| judged::parse(der).is_ok_and(|signed| judged::verify(&signed, &camera.certificate).is_ok());
    assert!(accepted(signed.der()));
    for position in 0..signed.der().len() {
        let mut der = signed.der().to_vec();
        der[position] ^= 1 << (position % 8);
        assert!(!accepted(&der), "a flipped bit in byte {position} went unnoticed");
        assert!(!accepted(&signed.der()[..position]), "an entry cut to {position} bytes was accepted");
    }
}

/// Another statement in the same signature, with all that follows from it set right.
fn with_statement(signed: &SignedStatement, statement: &Statement) -> Vec<u8> {
    let mut tree = Node::parse(signed.der());
    tree.at(STATEMENT).bytes = statement.to_bytes();
    tree.at(&value_of(MESSAGE_DIGEST)).bytes = Sha384::digest(statement.to_bytes()).to_vec();
    tree.to_der()
}

#[test]
fn a_signature_of_something_else_does_not_verify() {
    let (camera, signed) = signed();
    let mut other = common::segment_statement();
    other.seq = 8;
    let forged = judged::parse(&with_statement(&signed, &other)).unwrap();
    assert!(matches!(judged::verify(&forged, &camera.certificate), Err(VerifyError::Signature(_))), "a forged seq was accepted");

    let mut tree = Node::parse(signed.der());
    *tree.at(SIGNATURE).bytes.last_mut().unwrap() ^= 1;
    let flipped = judged::parse(&tree.to_der()).unwrap();
    assert!(matches!(judged::verify(&flipped, &camera.certificate), Err(VerifyError::Signature(_))));

    // Signed over the attributes with their tag in the message ([0]) instead of the tag that is signed (SET OF).
    let mut tree = Node::parse(signed.der());
    let attributes = tree.at(ATTRIBUTES).to_der();
    tree.at(SIGNATURE).bytes = camera.key.sign(&attributes).unwrap();
    let wrong_tag = judged::parse(&tree.to_der()).unwrap();
    assert!(matches!(judged::verify(&wrong_tag, &camera.certificate), Err(VerifyError::Signature(_))));
}

#[test]
fn another_certificate_than_the_one_named_is_refused() {
    let (camera, signed) = signed();
    let pki = Pki::new();
    // The same key and identity in another certificate: only the hash tells them apart.
    let wrapping = pki.party("camera/102", &[Role::Camera], KeyPurpose::Wrapping, 3).certificate;
    assert_eq!(wrapping.subject_key_identifier(), camera.certificate.subject_key_identifier());
    assert!(matches!(judged::verify(&signed, &wrapping), Err(VerifyError::WrongCertificate)));

    let mut tree = Node::parse(signed.der());
    let mut hash = value_of(SIGNING_CERTIFICATE);
    hash.extend([0, 0, 0]);
    tree.at(&hash).bytes = wrapping.fingerprint().to_vec();
    let hash_of_another = judged::parse(&tree.to_der()).unwrap();
    assert!(matches!(judged::verify(&hash_of_another, &camera.certificate), Err(VerifyError::WrongCertificate)));

    let mut tree = Node::parse(signed.der());
    tree.at(SIGNER).children[1].bytes[0] ^= 1;
    let other_key_identifier = judged::parse(&tree.to_der()).unwrap();
    assert!(matches!(judged::verify(&other_key_identifier, &camera.certificate), Err(VerifyError::WrongCertificate)));
    // Of as many octets as one may have.
    tree.at(SIGNER).children[1].bytes = vec![1; 64];
    let longest_key_identifier = judged::parse(&tree.to_der()).unwrap();
    assert!(matches!(judged::verify(&longest_key_identifier, &camera.certificate), Err(VerifyError::WrongCertificate)));
}

#[test]
fn a_certificate_that_is_not_for_signing_is_refused() {
    let wrapping = Pki::new().party("user/7f3a", &[Role::Custodian], KeyPurpose::Wrapping, 4);
    let signed = sign(&common::statement("user/7f3a/1", common::fetch()), &wrapping.certificate, &wrapping.key).unwrap();
    assert!(matches!(judged::verify(&signed, &wrapping.certificate), Err(VerifyError::NotForSigning)));

    // An authority's certificate, which a signature could name as well.
    let pki = Pki::new();
    let (_, signed) = crate::signed();
    let mut tree = Node::parse(signed.der());
    let mut hash = value_of(SIGNING_CERTIFICATE);
    hash.extend([0, 0, 0]);
    tree.at(&hash).bytes = pki.issuing.fingerprint().to_vec();
    tree.at(SIGNER).children[1].bytes = pki.issuing.subject_key_identifier().to_vec();
    let by_an_authority = judged::parse(&tree.to_der()).unwrap();
    assert_eq!(judged::verify(&by_an_authority, &pki.issuing).map(drop), Err(VerifyError::NotForSigning));
}

#[test]
fn streams_of_others_are_refused() {
    let camera = Pki::new().camera();
    for stream in ["camera/1021/main/1", "camera/10/main/1", "camera/103/main/1"] {
        let signed = sign(&common::statement(stream, common::gap()), &camera.certificate, &camera.key).unwrap();
        let refused = judged::verify(&signed, &camera.certificate).map(drop);
        let expected = VerifyError::NotOwner { identity: "spiffe://city.example/camera/102".to_owned(), stream: stream.to_owned() };
        assert_eq!(refused, Err(expected), "camera/102 wrote {stream}");
    }
}

#[test]
fn types_need_their_role() {
    let pki = Pki::new();
    let verify = |stream: &str, body: Body, role: Role| {
        let owner = stream.rsplit_once('/').unwrap().0;
        let party = pki.party(owner, &[role], KeyPurpose::Signing, 5);
        let signed = sign(&common::statement(stream, body), &party.certificate, &party.key).unwrap();
        judged::verify(&signed, &party.certificate).map(drop)
    };
    let user = "user/7f3a/1";
    let refused = |type_name: &str| Err(VerifyError::Role(type_name.to_owned()));
    for body in [common::recipients(), common::grant()] {
        let type_name = body.type_name().to_owned();
        assert_eq!(verify(user, body.clone(), Role::Custodian), Ok(()));
        assert_eq!(verify(user, body.clone(), Role::Investigator), refused(&type_name));
        assert_eq!(verify(user, body, Role::Admin), refused(&type_name));
    }
    for body in [common::fetch(), common::export()] {
        let type_name = body.type_name().to_owned();
        assert_eq!(verify(user, body.clone(), Role::Custodian), Ok(()));
        assert_eq!(verify(user, body.clone(), Role::Investigator), Ok(()));
        assert_eq!(verify(user, body, Role::Auditor), refused(&type_name));
    }
    // Roles of machines fit their own kind alone, so these can only be issued to the right one.
    assert_eq!(verify("camera/102/1", common::gap(), Role::Camera), Ok(()));
    assert_eq!(verify("authority/ca1/1", common::certificate(), Role::Authority), Ok(()));
    assert_eq!(verify("appliance/a1/1", common::access(), Role::Appliance), Ok(()));
    // What is not judged is everybody's.
    assert_eq!(verify(user, common::unknown(), Role::Auditor), Ok(()));
}

#[test]
fn nothing_is_signed_that_would_be_refused() {
    let pki = Pki::new();
    let camera = pki.camera();
    let refusal = |statement: &Statement, key: &dyn Signer| sign(statement, &camera.certificate, key).unwrap_err().to_string();

    let good = common::segment_statement();
    assert!(refusal(&good, &common::key(9)).contains("the key is not that of the certificate"));

    let mut beyond = common::segment();
    beyond.slot = 1 << 20;
    let beyond = common::statement("camera/102/main/1", Body::Segment(beyond));
    assert!(refusal(&beyond, &camera.key).contains("body.slot is not in 0..=1048575"));

    // A body of an unknown type that says other than what stands beside it.
    let mut forked = common::unknown();
    if let Body::Unknown { body, .. } = &mut forked {
        body["attachments"] = serde_json::json!([{"name":"a","sha256":"0".repeat(64),"length":1,"erasable":false}]);
    }
    assert!(refusal(&common::statement("camera/102/main/1", forked), &camera.key).contains("reads otherwise than it was written"));

    let high = HighS(common::key(3));
    assert!(refusal(&good, &high).contains("the key gave a signature that would be refused"));
}

/// A key whose s is always high.
struct HighS(SoftwareSigner);

impl Signer for HighS {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign_digest(digest)
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(with_the_other_s(&self.0.sign(message)?))
    }
}

/// The other tests judge again, and the verifier in Python judges what they judged.
#[test]
fn the_independent_verifier_agrees_on_every_encoding() {
    what_is_signed_verifies_and_gives_the_statement_back();
    signing_time_changes_its_form_in_2050();
    every_other_encoding_is_refused();
    bytes_that_are_no_der_are_refused();
    no_byte_can_be_changed_or_left_out();
    a_signature_of_something_else_does_not_verify();
    another_certificate_than_the_one_named_is_refused();
    a_certificate_that_is_not_for_signing_is_refused();
    streams_of_others_are_refused();
    types_need_their_role();
    judged::assert_independent_agrees();
}
