//! Parsers of `exhibit-pki`: certificates, requests, lists, tokens and names.

use std::sync::LazyLock;

use exhibit_evidence::anchor::{AnchorPolicy, TimestampAuthorityTrust};
use exhibit_pki::crl::ListedStatus;
use exhibit_pki::ocsp::{CertificateStatus, OcspStatus};
use exhibit_pki::timestamp_token::{Imprint, token_of_response};
use exhibit_pki::{
    BadSignature, Certificate, CertificateRequest, ChainCertificate, DigestAlgorithm, EndEntity, Identity, Issuance, IssuedCertificate,
    KeyPurpose, OcspRequest, OcspResponder, OcspResponse, PublicKey, RevocationList, Role, RustCrypto, Signer, SoftwareSigner, Subject,
    Timestamp, TimestampAuthority, TimestampRequest, TimestampToken, TimestampTrust, TrustDomain, ValidatedPath, Verifier,
    issue_end_entity, issue_issuing_ca, issue_root, validate_path,
};
use zeroize::Zeroizing;

use super::text;

/// Believes every signature, so that what stands behind a signature is reached by inputs that nobody signed.
pub struct Credulous;

impl Verifier for Credulous {
    fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

/// The authorities of the corpus: those of the tests of `exhibit-pki`.
pub struct City {
    /// Key 1.
    pub root: Certificate,
    /// Key 2.
    pub issuing: Certificate,
}

/// What the imprints of the corpus are of.
pub const MESSAGE: &[u8] = b"a checkpoint";

/// A key that is the same in every run.
pub fn key(number: u8) -> SoftwareSigner {
    SoftwareSigner::from_scalar(&Zeroizing::new([number; 48])).expect("the number is below n")
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("it is a moment")
}

fn issuance(serial: u8) -> Issuance {
    Issuance { not_before: at("2026-01-01T00:00:00.000Z"), not_after: at("2036-01-01T00:00:00.000Z"), serial: [serial; 16] }
}

/// Made once.
pub static CITY: LazyLock<City> = LazyLock::new(|| {
    let domain = TrustDomain::parse("city.example").expect("it is a domain");
    let root = issue_root("City root", &domain, &key(1), &issuance(1)).expect("a root is issued");
    let roles = [Role::Camera, Role::Custodian, Role::Investigator, Role::Auditor, Role::Appliance, Role::Authority];
    let issuing =
        issue_issuing_ca("City issuing", key(2).public_key(), &roles, &root, &key(1), &issuance(2)).expect("an authority is issued");
    City { root, issuing }
});

/// A certificate of the city: its holder has that key.
pub fn issue(subject: &str, role: Role, purpose: KeyPurpose, holder: u8) -> Certificate {
    let identity = Identity::parse(&format!("spiffe://city.example/{subject}")).expect("it is an identity");
    let holder_key = key(holder);
    let entity = EndEntity { identity: &identity, public_key: holder_key.public_key(), purpose, roles: &[role], server_names: &[] };
    issue_end_entity(&entity, &CITY.issuing, &key(2), &issuance(holder)).expect("a certificate is issued")
}

/// The camera of the corpus.
pub static CAMERA: LazyLock<Certificate> = LazyLock::new(|| issue("camera/102", Role::Camera, KeyPurpose::Signing, 3));

static CAMERA_PATH: LazyLock<ValidatedPath> = LazyLock::new(|| path(&CAMERA));
static ISSUING_PATH: LazyLock<ValidatedPath> = LazyLock::new(|| path(&CITY.issuing));

fn path(certificate: &Certificate) -> ValidatedPath {
    let (authorities, roots) = (std::slice::from_ref(&CITY.issuing), std::slice::from_ref(&CITY.root));
    validate_path(certificate, authorities, roots, at(NOON), &RustCrypto).expect("it leads to the root")
}

/// The leaf of a path, with who issued it.
fn issued(path: &ValidatedPath) -> IssuedCertificate<'_> {
    path.issued().next().expect("a path has a leaf and a root")
}

/// Certificates of our profiles, and their paths.
pub fn certificate(input: &[u8]) -> bool {
    let Ok(certificate) = Certificate::from_der(input) else { return false };
    assert_eq!(certificate.der(), input);
    assert_eq!(Certificate::from_pem(&certificate.to_pem()).as_ref(), Ok(&certificate));
    let (tbs, der) = (certificate.tbs_der(), certificate.der());
    assert!(der.windows(tbs.len()).any(|window| window == tbs) && tbs.first() == Some(&0x30), "what is signed is not a part of it");
    assert!(certificate.not_before() <= certificate.not_after());
    assert_eq!(certificate.identity().is_none(), certificate.purpose() == KeyPurpose::Authority, "an authority has no identity");
    let noon = at(NOON);
    let chain = std::slice::from_ref(&CITY.issuing);
    let roots = std::slice::from_ref(&CITY.root);
    let _ = validate_path(&certificate, chain, roots, noon, &Credulous);
    if let Ok(path) = validate_path(&certificate, chain, roots, noon, &RustCrypto) {
        // Nobody else has the issuing authority's key, and ECDSA is deterministic here: what has a path was issued for the corpus.
        assert_eq!(path.root(), CITY.root.fingerprint());
        assert!(certificate.is_valid_at(noon), "a path was found to what is not valid");
    }
    true
}

/// Certificates one after the other, in PEM; one of another authority; a request.
pub fn certificates_pem(input: &[u8]) -> bool {
    let Some(input) = text(input) else { return false };
    let foreign = ChainCertificate::from_pem(input).is_ok();
    let request = CertificateRequest::from_pem(input, &RustCrypto).is_ok();
    assert!(!(foreign && request), "a certificate is a request");
    let Ok(certificates) = Certificate::all_from_pem(input) else { return foreign || request };
    let written: String = certificates.iter().map(Certificate::to_pem).collect();
    assert_eq!(Certificate::all_from_pem(&written).as_ref(), Ok(&certificates), "certificates read otherwise once they were written");
    true
}

/// Certificate requests.
pub fn request(input: &[u8]) -> bool {
    let believed = CertificateRequest::from_der(input, &Credulous);
    let verified = CertificateRequest::from_der(input, &RustCrypto);
    assert!(believed.is_ok() || verified.is_err(), "a request was refused although its signature was believed");
    if let Ok(request) = &believed {
        let key = request.public_key();
        assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()).as_ref(), Ok(key), "a key reads otherwise once it was written");
    }
    verified.is_ok()
}

/// Revocation lists. True where the authority has signed it.
pub fn revocation_list(input: &[u8]) -> bool {
    let Ok(list) = RevocationList::from_der(input) else { return false };
    assert_eq!(list.der(), input);
    let genuine = list.clone().verify(&CITY.issuing, &RustCrypto).is_ok();
    let Ok(list) = list.verify(&CITY.issuing, &Credulous) else { return genuine };
    assert!(list.this_update() <= list.next_update());
    for revocation in list.revocations() {
        assert!(revocation.revoked <= list.this_update(), "a revocation that is yet to come");
    }
    let status = list.status_at(issued(&CAMERA_PATH), list.this_update());
    let listed = list.revocations().any(|revocation| revocation.serial == CAMERA.serial());
    assert_eq!(matches!(status, ListedStatus::Revoked(_)), listed, "a revoked certificate is not told, or one that is not");
    genuine
}

/// Questions to a responder.
pub fn ocsp_request(input: &[u8]) -> bool {
    let Some(request) = OcspRequest::from_der(input) else { return false };
    // Extensions that nobody needs to know are dropped, so what is written may be shorter.
    let written = request.to_der();
    let again = OcspRequest::from_der(&written).expect("a question that was written is read");
    assert_eq!((again.ids(), again.nonce()), (request.ids(), request.nonce()), "a question reads otherwise once it was written");
    assert!(written.len() <= input.len(), "a question grew");
    // Whatever may be asked is answered, and by what the asker can read.
    let answer = responder().respond(input, &|_| CertificateStatus::Good, at(NOON), at(TOMORROW)).expect("a question is answered");
    let answer = OcspResponse::from_der(&answer).expect("an answer can be read");
    assert!(answer.verify(&CITY.issuing, request.nonce(), &RustCrypto).is_ok(), "an answer is not to the question");
    true
}

/// The authority's responder, whose key is number 8.
fn responder() -> OcspResponder<'static> {
    static SERVICE: LazyLock<(Certificate, SoftwareSigner)> =
        LazyLock::new(|| (service("authority/ocsp", KeyPurpose::OcspSigning), key(8)));
    OcspResponder::new(&SERVICE.0, &CITY.issuing, &SERVICE.1).expect("it is certified for that")
}

/// A certificate of a service of the authority, of key 8.
fn service(subject: &str, purpose: KeyPurpose) -> Certificate {
    let identity = Identity::parse(&format!("spiffe://city.example/{subject}")).expect("it is an identity");
    let holder_key = key(8);
    let entity = EndEntity { identity: &identity, public_key: holder_key.public_key(), purpose, roles: &[], server_names: &[] };
    issue_end_entity(&entity, &CITY.issuing, &key(2), &issuance(8)).expect("a certificate is issued")
}

/// A responder's answers. True where the responder of the corpus has signed it.
pub fn ocsp_response(input: &[u8]) -> bool {
    let Ok(response) = OcspResponse::from_der(input) else { return false };
    assert_eq!(response.der(), input);
    let verified = response.clone().verify(&CITY.issuing, None, &RustCrypto).ok();
    let believed = response.verify(&CITY.issuing, None, &Credulous).ok();
    assert!(believed.is_some() || verified.is_none(), "a response was refused although its signatures were believed");
    for response in believed.iter().chain(&verified) {
        let status = response.status_at(issued(&ISSUING_PATH), response.produced());
        assert!(matches!(status, OcspStatus::NotAnswered), "a responder speaks of a certificate that its authority never issued");
    }
    verified.is_some_and(|verified| !matches!(verified.status_at(issued(&CAMERA_PATH), verified.produced()), OcspStatus::NotAnswered))
}

fn trust() -> TimestampTrust<'static> {
    static ANCHORS: LazyLock<Vec<ChainCertificate>> =
        LazyLock::new(|| vec![ChainCertificate::from_der(CITY.root.der()).expect("a root of ours is a chain certificate")]);
    static OTHERS: LazyLock<Vec<ChainCertificate>> =
        LazyLock::new(|| vec![ChainCertificate::from_der(CITY.issuing.der()).expect("an authority of ours is one too")]);
    TimestampTrust { anchors: &ANCHORS, certificates: &OTHERS, accuracy_unstated_ms: 1000 }
}

fn judge_token(token: &TimestampToken) -> bool {
    let other = Imprint::of(DigestAlgorithm::Sha384, b"what no token of the corpus is over");
    assert!(token.verify(&other, None, &trust()).is_err(), "a token proves what it is not over");
    let of_message = Imprint::of(token.imprint().algorithm(), MESSAGE);
    let Ok(verified) = token.verify(&of_message, None, &trust()) else { return false };
    assert!(verified.earliest() <= verified.latest());
    true
}

/// True where the token verifies: that takes a signature.
pub fn timestamp_token(input: &[u8]) -> bool {
    let Ok(token) = TimestampToken::from_der(input) else { return false };
    assert_eq!(token.der(), input);
    static POLICY: LazyLock<AnchorPolicy> = LazyLock::new(|| {
        let certificate = trust().anchors[0].clone();
        let authority = TimestampAuthorityTrust { name: "City".to_owned(), independent: true, certificate };
        AnchorPolicy { timestamp_authorities: vec![authority], ..AnchorPolicy::default() }
    });
    let believed = POLICY.verify_token(input, std::str::from_utf8(MESSAGE).expect("it is text")).is_ok();
    let verified = judge_token(&token);
    assert!(verified || !believed, "an anchor believes a token that does not verify");
    verified
}

/// Requests to a timestamping authority, and its responses.
pub fn timestamp_exchange(input: &[u8]) -> bool {
    if let Ok(token) = token_of_response(input) {
        judge_token(&token);
        return true;
    }
    let Ok(request) = TimestampRequest::from_der(input) else { return false };
    assert_eq!(request.to_der(), input, "a request is not written as it was read");
    // Whatever may be asked is answered, with a token or with a reason.
    static SERVICE: LazyLock<(ChainCertificate, SoftwareSigner)> = LazyLock::new(|| {
        let certificate = service("authority/time", KeyPurpose::Timestamping);
        (ChainCertificate::from_der(certificate.der()).expect("it is a certificate"), key(8))
    });
    let authority = TimestampAuthority::new(&SERVICE.0, &[], &SERVICE.1, 250).expect("it is certified for that");
    let answer = authority.respond(input, at(NOON), [7; 16]).expect("a question is answered");
    if let Ok(token) = token_of_response(&answer) {
        assert_eq!(token.imprint(), &request.imprint, "a token is over something else");
    }
    true
}

const NOON: &str = "2026-11-20T12:00:00.000Z";
const TOMORROW: &str = "2026-11-21T12:00:00.000Z";

/// Certificates of other people's timestamping authorities.
pub fn chain_certificate(input: &[u8]) -> bool {
    let Ok(certificate) = ChainCertificate::from_der(input) else { return false };
    assert_eq!(certificate.der(), input);
    true
}

/// Identities, subjects, trust domains and moments.
pub fn names(input: &[u8]) -> bool {
    let Some(input) = text(input) else { return false };
    let identity = Identity::parse(input);
    if let Ok(identity) = &identity {
        assert_eq!(identity.to_string(), input, "an identity has two spellings");
        let _ = identity.owns_stream(input);
    }
    let subject = Subject::parse(input);
    if let Ok(subject) = &subject {
        assert_eq!(subject.to_string(), input, "a subject has two spellings");
    }
    let domain = TrustDomain::parse(input);
    if let Ok(domain) = &domain {
        assert_eq!(domain.as_str(), input);
    }
    let moment = Timestamp::parse(input);
    if let Ok(moment) = moment {
        assert_eq!(moment.to_string(), input, "a moment has two spellings");
        assert_eq!(Timestamp::from_unix_ms(moment.unix_ms()), Some(moment));
    }
    identity.is_ok() || subject.is_ok() || domain.is_ok() || moment.is_ok()
}
