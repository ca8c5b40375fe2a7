//! What is at a limit is taken and what is one beyond it is not, where nothing else is wrong with either.
#![allow(clippy::unwrap_used)]

mod support;

use exhibit_pki::{
    Certificate, CertificateError, CertificateRequest, ChainCertificate, ChainError, DigestAlgorithm, Identity, OcspRequest, PathError,
    RequestError, RevocationList, RevocationListError, RustCrypto, Signer, SoftwareSigner, TimestampAuthority, TimestampRequest,
    TimestampTokenError, TimestampTrust, TrustDomain,
    attestation::{EndorsementCertificate, EndorsementCertificateError},
    ocsp::{OcspResponse, OcspResponseError},
    timestamp_token::{Imprint, RequestRefusal, ResponseError, token_of_response},
    validate_path,
};
use support::*;

/// What `make` gives of just so many bytes of filling that it has `bytes`.
fn of_size(bytes: usize, make: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut filling = bytes - make(&[]).len();
    // Lengths take more bytes then, and a signature may be a byte longer or shorter: with another filling it is another.
    for attempt in 0..32 {
        let made = make(&vec![attempt; filling]);
        if made.len() == bytes {
            return made;
        }
        filling = filling + bytes - made.len();
    }
    panic!("there is nothing of {bytes} bytes");
}

fn filled(filling: &[u8]) -> Vec<u8> {
    extension("1.2.3", false, filling)
}

const KIB: usize = 1024;

#[test]
fn certificates_have_sixteen_kibibytes() {
    let city = City::new();
    let make = |filling: &[u8]| Forgery::camera(&city).with("1.2.3", false, filling.to_vec()).sign(&city.issuing_key);
    let (largest, larger) = (of_size(16 * KIB, make), of_size(16 * KIB + 1, make));
    assert!(Certificate::from_der(&largest).is_ok() && ChainCertificate::from_der(&largest).is_ok());
    assert_eq!(Certificate::from_der(&larger).err(), Some(CertificateError::Malformed));
    assert_eq!(ChainCertificate::from_der(&larger).err().map(|error| error.0), Some("it is too large"));
}

#[test]
fn certificates_have_serial_numbers_of_twenty_bytes_and_key_identifiers_of_sixty_four() {
    let city = City::new();
    let good = Forgery::camera(&city);
    let read = |forgery: Forgery| Certificate::from_der(&forgery.sign(&city.issuing_key)).err();
    let numbered = |bytes: usize| Forgery { serial: tlv(2, &[&vec![1; bytes]]), ..good.clone() };
    let serial = CertificateError::Profile("its serial number is not positive, or longer than 20 bytes");
    assert_eq!((read(numbered(20)), read(numbered(21))), (None, Some(serial)));
    let own = |bytes: usize| good.clone().replace(SUBJECT_KEY, tlv(4, &[&vec![1; bytes]]));
    let issuers = |bytes: usize| good.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[&vec![1; bytes]])]));
    let identifier = CertificateError::Profile("a key identifier is empty or too long");
    assert_eq!((read(own(64)), read(own(65))), (None, Some(identifier.clone())));
    assert_eq!((read(issuers(64)), read(issuers(65))), (None, Some(identifier)));
}

#[test]
fn a_certificate_may_be_valid_for_one_second() {
    let city = City::new();
    let second = tlv(0x17, &[b"261120120000Z"]);
    let brief = Forgery { not_before: second.clone(), not_after: second, ..Forgery::camera(&city) };
    let brief = Certificate::from_der(&brief.sign(&city.issuing_key)).unwrap();
    assert!(brief.is_valid_at(at("2026-11-20T12:00:00.999Z")) && !brief.is_valid_at(at("2026-11-20T12:00:01.000Z")));
}

#[test]
fn trust_domains_have_two_hundred_and_fifty_five_characters() {
    let domain = |length: usize| format!("{}a", "a.".repeat(128)).split_at(length).0.to_owned();
    let (longest, longer) = (domain(255), format!("a{}", domain(255)));
    assert!(TrustDomain::parse(&longest).is_ok() && TrustDomain::parse(&longer).is_err());
    assert!(Identity::parse(&format!("spiffe://{longest}/user/1")).is_ok());
    let label = "a".repeat(63);
    assert!(TrustDomain::parse(&label).is_ok() && TrustDomain::parse(&format!("a{label}")).is_err());
}

fn name(level: u8) -> Vec<u8> {
    common_name(&format!("level {level}"))
}

fn identifier(level: u8) -> Vec<u8> {
    format!("key of level {level}").into_bytes()
}

/// As `forgery`, at a level of a chain: with that level's name and key, and certified by the level above.
fn at_level(forgery: Forgery, level: u8) -> Forgery {
    let issuer = level.saturating_sub(1);
    let mut forgery = forgery
        .replace(SUBJECT_KEY, tlv(4, &[&identifier(level)]))
        .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[&identifier(issuer)])]));
    (forgery.subject, forgery.issuer) = (name(level), name(issuer));
    forgery.public_key = key(level + 1).public_key().to_spki_der();
    forgery
}

fn authority(city: &City, level: u8) -> Forgery {
    at_level(Forgery::authority(city), level).replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]]))
}

/// Authorities below each other, the first of them the root, and `leaf` below the last.
fn deep(city: &City, authorities: u8, leaf: &Forgery) -> Vec<Vec<u8>> {
    let mut chain: Vec<Vec<u8>> = (0..authorities).map(|level| authority(city, level).sign(&key(level.max(1)))).collect();
    chain.push(at_level(leaf.clone(), authorities).sign(&key(authorities)));
    chain
}

/// Whether we find a way from a camera, the last of these, to the first, in a chain of ours.
fn our_path(chain: &[Vec<u8>]) -> Result<usize, PathError> {
    let chain: Vec<Certificate> = chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
    let (leaf, authorities) = chain.split_last().unwrap();
    validate_path(leaf, &authorities[1..], &authorities[..1], at(NOON), &RustCrypto).map(|path| path.certificates().len())
}

/// The same of a timestamping authority whose key is the last level's.
fn foreign_path(chain: &[Vec<u8>], level: u8) -> Result<(), TimestampTokenError> {
    let chain: Vec<ChainCertificate> = chain.iter().map(|der| ChainCertificate::from_der(der).unwrap()).collect();
    let (leaf, authorities) = chain.split_last().unwrap();
    let signer = key(level + 1);
    let authority = TimestampAuthority::new(leaf, &[], &signer, 1000).unwrap();
    let imprint = Imprint::of(DigestAlgorithm::Sha256, b"a checkpoint");
    let request = TimestampRequest { imprint: imprint.clone(), policy: None, nonce: None, with_certificates: true };
    let response = authority.respond(&request.to_der(), at(NOON), [1; 16]).unwrap();
    let trust = TimestampTrust { anchors: &authorities[..1], certificates: &authorities[1..], accuracy_unstated_ms: 0 };
    token_of_response(&response).unwrap().verify(&imprint, None, &trust).map(|_| ())
}

fn time_leaf(city: &City) -> Forgery {
    Forgery::camera(city).replace(EXTENDED_USAGE, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.8")])).criticality(EXTENDED_USAGE, true)
}

#[test]
fn a_path_has_six_certificates() {
    let city = City::new();
    let ours = |authorities| our_path(&deep(&city, authorities, &Forgery::camera(&city)));
    assert_eq!(ours(5), Ok(6));
    assert!(matches!(ours(6), Err(PathError::NotAnIssuer(_))), "below the fifth authority there are leaves alone");
    let foreign = |authorities| foreign_path(&deep(&city, authorities, &time_leaf(&city)), authorities);
    assert_eq!((foreign(5), foreign(6)), (Ok(()), Err(TimestampTokenError::Path(ChainError::NotAnIssuer))));
}

/// Before the certificate of the authority that will do stand others of its name: the first is of no authority, the others the root signed too.
#[test]
fn sixty_four_authorities_that_lead_to_a_root_are_found() {
    let city = City::new();
    let crowd = |count: u8, leaf: &Forgery| {
        let mut chain = deep(&city, 2, leaf);
        let mut others: Vec<Vec<u8>> = (0..count)
            .map(|number| {
                let mut other = authority(&city, 1);
                other.public_key = key(number + 100).public_key().to_spki_der();
                other.sign(&key(1))
            })
            .collect();
        let mut limited = authority(&city, 1).replace(KEY_USAGE, SIGNING_USAGE.to_vec()).replace(BASIC_CONSTRAINTS, tlv(0x30, &[]));
        limited = limited.replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/camera/102"]));
        limited = limited.with(EXTENDED_USAGE, false, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")]));
        others.insert(0, limited.sign(&key(1)));
        chain.splice(1..1, others);
        chain
    };
    // 63 that did not sign the leaf, and the one that did.
    let camera = Forgery::camera(&city);
    let refusal = PathError::Signature("level 2".to_owned());
    assert_eq!((our_path(&crowd(63, &camera)), our_path(&crowd(64, &camera))), (Ok(3), Err(refusal)));
    let foreign = |count| foreign_path(&crowd(count, &time_leaf(&city)), 2);
    assert_eq!((foreign(63), foreign(64)), (Ok(()), Err(TimestampTokenError::Path(ChainError::Signature))));
}

/// Who certified itself again is not gone through twice: there is a shorter path.
#[test]
fn the_shortest_path_is_the_one() {
    let city = City::new();
    let circle = |leaf: &Forgery| {
        let mut chain = deep(&city, 2, leaf);
        let mut again = authority(&city, 1).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[&identifier(1)])]));
        again.issuer = name(1);
        chain.insert(1, again.sign(&key(2)));
        chain
    };
    assert_eq!(our_path(&circle(&Forgery::camera(&city))), Ok(3));
    assert_eq!(foreign_path(&circle(&time_leaf(&city)), 2), Ok(()));
}

/// A request of one certificate, and then what is given.
fn ocsp_request(city: &City, extensions: &[Vec<u8>]) -> Vec<u8> {
    let hash = |bytes: &[u8]| tlv(4, &[&<sha2::Sha256 as sha2::Digest>::digest(bytes)]);
    let algorithm = tlv(0x30, &[&oid("2.16.840.1.101.3.4.2.1")]);
    let id = tlv(0x30, &[&algorithm, &hash(city.issuing.subject_der()), &hash(city.issuing.public_key().as_bytes()), &[2, 1, 7]]);
    let extensions = if extensions.is_empty() { vec![] } else { tlv(0xa2, &[&tlv(0x30, &[&extensions.concat()])]) };
    tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, &[&id])]), &extensions])])
}

#[test]
fn requests_and_lists_have_their_sizes() {
    let city = City::new();
    let asked = |filling: &[u8]| ocsp_request(&city, &[filled(filling)]);
    assert!(OcspRequest::from_der(&of_size(8 * KIB, asked)).is_some());
    assert!(OcspRequest::from_der(&of_size(8 * KIB + 1, asked)).is_none());
    let kinds = |count: usize| (0..count).map(|arc| extension(&format!("1.2.3.{arc}"), false, &[5, 0])).collect::<Vec<_>>();
    assert!(OcspRequest::from_der(&ocsp_request(&city, &kinds(16))).is_some());
    assert!(OcspRequest::from_der(&ocsp_request(&city, &kinds(17))).is_none());
    // Below its limit a request has an extension too many; beyond it nobody looks.
    let imprint = tlv(0x30, &[&tlv(0x30, &[&oid("2.16.840.1.101.3.4.2.1")]), &tlv(4, &[&[7; 32]])]);
    let stamped = |filling: &[u8]| tlv(0x30, &[&[2, 1, 1], &imprint, &tlv(0xa0, &[&filled(filling)])]);
    assert_eq!(TimestampRequest::from_der(&of_size(4 * KIB, stamped)).err(), Some(RequestRefusal::Extension));
    assert_eq!(TimestampRequest::from_der(&of_size(4 * KIB + 1, stamped)).err(), Some(RequestRefusal::Format));
    let certified = |filling: &[u8]| certificate_request(&filled(filling));
    assert!(CertificateRequest::from_der(&of_size(16 * KIB, certified), &RustCrypto).is_ok());
    assert_eq!(CertificateRequest::from_der(&of_size(16 * KIB + 1, certified), &RustCrypto).err(), Some(RequestError::Malformed));
    let crowded = |count: usize| CertificateRequest::from_der(&certificate_request(&kinds(count).concat()), &RustCrypto).err();
    assert_eq!((crowded(32), crowded(33)), (None, Some(RequestError::Extension("too many extensions"))));
    let listed = |filling: &[u8]| list(&city, &[], &[filled(filling)]);
    assert!(RevocationList::from_der(&of_size(8 * KIB * KIB, listed)).is_ok());
    assert_eq!(RevocationList::from_der(&of_size(8 * KIB * KIB + 1, listed)), Err(RevocationListError::Malformed));
    let crowded = |count: usize| RevocationList::from_der(&list(&city, &[], &kinds(count))).err();
    assert_eq!((crowded(14), crowded(15)), (None, Some(RevocationListError::Profile("it has too many extensions"))));
}

fn certificate_request(extensions: &[u8]) -> Vec<u8> {
    let attribute = tlv(0x30, &[&oid("1.2.840.113549.1.9.14"), &tlv(0x31, &[&tlv(0x30, &[extensions])])]);
    let info = tlv(0x30, &[&[2, 1, 0], &common_name("camera/102"), &key(3).public_key().to_spki_der(), &tlv(0xa0, &[&attribute])]);
    tlv(0x30, &[&info, &ecdsa_with_sha384(), &tlv(3, &[&[0], &key(3).sign(&info).unwrap()])])
}

/// A list of the issuing authority, with number 5 and these entries and further extensions.
fn list(city: &City, entries: &[Vec<u8>], more: &[Vec<u8>]) -> Vec<u8> {
    let identifier = tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])]);
    let number = if more.is_empty() { tlv(2, &[&[0x7f; 16]]) } else { vec![2, 1, 5] };
    let extensions = [extension(AUTHORITY_KEY, false, &identifier), extension("2.5.29.20", false, &number), more.concat()].concat();
    let entries = if entries.is_empty() { vec![] } else { tlv(0x30, &[&entries.concat()]) };
    let tbs = tlv(
        0x30,
        &[
            &[2, 1, 1],
            &ecdsa_with_sha384(),
            city.issuing.subject_der(),
            &tlv(0x17, &[b"261120120000Z"]),
            &tlv(0x17, &[b"261120120000Z"]),
            &entries,
            &tlv(0xa0, &[&tlv(0x30, &[&extensions])]),
        ],
    );
    tlv(0x30, &[&tbs, &ecdsa_with_sha384(), &tlv(3, &[&[0], &city.issuing_key.sign(&tbs).unwrap()])])
}

#[test]
fn a_list_may_hold_for_a_second_and_say_what_was_revoked_in_it() {
    let city = City::new();
    let revoked = |moment: &[u8]| tlv(0x30, &[&tlv(2, &[&[1; 20]]), &tlv(0x17, &[moment])]);
    let read = RevocationList::from_der(&list(&city, &[revoked(b"261120120000Z")], &[])).unwrap();
    let read = read.verify(&city.issuing, &RustCrypto).unwrap();
    assert_eq!((read.this_update(), read.next_update(), read.number()), (at(NOON), at(NOON), u128::from_be_bytes([0x7f; 16])));
    assert_eq!(read.revocations().map(|revocation| revocation.revoked).collect::<Vec<_>>(), [at(NOON)]);
    let later = RevocationList::from_der(&list(&city, &[revoked(b"261120120001Z")], &[])).err();
    assert_eq!(later, Some(RevocationListError::Profile("a revocation is later than the list")));
}

#[test]
fn a_tpm_has_four_kibibytes_for_a_certificate() {
    let certificate = include_bytes!("vectors/attestation/ek-p384-certificate.bin");
    let padded = |bytes: usize| [&certificate[..], &vec![0xff; bytes - certificate.len()]].concat();
    assert!(EndorsementCertificate::from_nv(&padded(4096)).is_ok());
    assert_eq!(EndorsementCertificate::from_nv(&padded(4097)).err(), Some(EndorsementCertificateError::TooLong(4097)));
}

#[test]
fn responses_have_sixty_four_kibibytes() {
    let city = City::new();
    let responder = city.issue("authority/ocsp", &[], exhibit_pki::KeyPurpose::OcspSigning, &[], &key(8));
    let make = |filling: &[u8]| {
        let asked = ocsp_request(&city, &[]);
        // SEQUENCE { SEQUENCE { SEQUENCE { SEQUENCE { id } } } }, each with one byte of length.
        let id = &asked[8..];
        let answer = tlv(0x30, &[id, &[0x80, 0], &tlv(0x18, &[b"20261120120000Z"]), &tlv(0xa0, &[&tlv(0x18, &[b"20261121120000Z"])])]);
        let name = tlv(0xa1, &[responder.subject_der()]);
        let extensions = tlv(0xa1, &[&tlv(0x30, &[&filled(filling)])]);
        let data = tlv(0x30, &[&name, &tlv(0x18, &[b"20261120120000Z"]), &tlv(0x30, &[&answer]), &extensions]);
        let signature = tlv(3, &[&[0], &key(8).sign(&data).unwrap()]);
        let basic = tlv(0x30, &[&data, &ecdsa_with_sha384(), &signature, &tlv(0xa0, &[&tlv(0x30, &[responder.der()])])]);
        tlv(0x30, &[&[10, 1, 0], &tlv(0xa0, &[&tlv(0x30, &[&oid("1.3.6.1.5.5.7.48.1.1"), &tlv(4, &[&basic])])])])
    };
    let largest = OcspResponse::from_der(&of_size(64 * KIB, make)).unwrap();
    assert!(largest.verify(&city.issuing, None, &RustCrypto).is_ok());
    assert_eq!(OcspResponse::from_der(&of_size(64 * KIB + 1, make)).err(), Some(OcspResponseError::Malformed));
}

#[test]
fn responses_of_timestamping_authorities_have_sixty_eight_kibibytes() {
    // SEQUENCE { SEQUENCE { 2, SEQUENCE { words } } }: refused, and why.
    let make = |filling: &[u8]| {
        let words = vec![b'a'; filling.len()];
        tlv(0x30, &[&tlv(0x30, &[&[2, 1, 2], &tlv(0x30, &[&tlv(0x0c, &[&words])])])])
    };
    let (largest, larger) = (of_size(68 * KIB, make), of_size(68 * KIB + 1, make));
    assert_eq!(token_of_response(&largest).err(), Some(ResponseError::Refused(2)));
    assert_eq!(token_of_response(&larger).err(), Some(ResponseError::Malformed));
}

/// Of what is no key four times in a row, nobody waits for a fifth.
#[test]
fn keys_are_drawn_four_times_at_most() {
    for (failures, is_drawn) in [(0, true), (3, true), (4, false)] {
        let mut draws = 0;
        let drawn = SoftwareSigner::draw(|bytes| {
            draws += 1;
            bytes.fill(if draws > failures { 1 } else { 0 });
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(drawn) = drawn;
        assert_eq!((drawn.is_ok(), draws), (is_drawn, (failures + 1).min(4)), "{failures}");
    }
    assert_eq!(SoftwareSigner::draw(|_| Err("no randomness")).err(), Some("no randomness"));
}
