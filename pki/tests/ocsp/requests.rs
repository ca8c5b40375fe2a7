//! Requests with a flaw, and what our responder answers to those without.

use exhibit_pki::{
    Certificate, EndEntity, Identity, KeyPurpose, OcspRequest, OcspResponder, OcspResponse, Role, issue_end_entity,
    ocsp::{CertificateId, CertificateStatus, MakeResponseError, OcspNonce, OcspRefusal, OcspResponseError, OcspStatus},
};

use crate::{forge::*, judged, support::*};

#[test]
pub fn a_request_with_a_flaw_is_not_understood() {
    let city = City::new();
    let camera_id = id(&city.issuing, city.camera().serial());
    let request = |list: &[&[u8]], before: &[u8], after: &[u8], signature: &[u8]| {
        tlv(0x30, &[&tlv(0x30, &[before, &tlv(0x30, list), after]), signature])
    };
    let single = |id: &[u8], extensions: &[u8]| tlv(0x30, &[id, extensions]);
    let one = single(&camera_id, &[]);
    let extensions = |list: &[&[u8]]| tlv(0xa2, &[&tlv(0x30, list)]);
    let good = request(&[&one], &[], &extensions(&[&extension(NONCE, false, &[4, 3, 9, 9, 9])]), &[]);
    let parsed = judged::read_ocsp_request(&good).unwrap();
    assert_eq!((parsed.ids()[0].serial(), parsed.nonce()), (city.camera().serial(), Some(&nonce())));
    assert!(parsed.ids()[0].is_of(&city.issuing) && !parsed.ids()[0].is_of(&city.root));
    assert_eq!(parsed.to_der(), good, "another request was written than was read");
    assert_eq!(OcspRequest::new(vec![CertificateId::new(&city.issuing, city.camera().serial()).unwrap()], Some(nonce())), Some(parsed));
    let sixteen: Vec<Vec<u8>> = (1..=17).map(|n| single(&id(&city.issuing, &[n]), &[])).collect();
    let sixteen: Vec<&[u8]> = sixteen.iter().map(Vec::as_slice).collect();
    assert!(judged::read_ocsp_request(&request(&sixteen[..16], &[], &[], &[])).is_some());
    let other_half = |name: usize, key: usize| {
        tlv(0x30, &[&tlv(0x30, &[&oid(SHA_256)]), &tlv(4, &[&vec![1; name]]), &tlv(4, &[&vec![1; key]]), &[2, 1, 7]])
    };
    // The name of one authority with the key of another names nobody's certificate.
    let hash = |bytes: &[u8]| tlv(4, &[&sha256(bytes)]);
    for (name, key) in [(&city.issuing, &city.root), (&city.root, &city.issuing)] {
        let algorithm = tlv(0x30, &[&oid(SHA_256)]);
        let id = tlv(0x30, &[&algorithm, &hash(name.subject_der()), &hash(key.public_key().as_bytes()), &[2, 1, 7]]);
        let parsed = OcspRequest::from_der(&request(&[&single(&id, &[])], &[], &[], &[])).unwrap();
        assert!(!parsed.ids()[0].is_of(&city.issuing) && !parsed.ids()[0].is_of(&city.root));
    }
    let ids = |count: u8| (1..=count).map(|serial| CertificateId::new(&city.issuing, &[serial]).unwrap()).collect::<Vec<_>>();
    assert!(OcspRequest::new(ids(16), None).is_some() && OcspRequest::new(ids(17), None).is_none());
    let critical_nonce = request(&[&one], &[], &extensions(&[&extension(NONCE, true, &[4, 3, 9, 9, 9])]), &[]);
    assert!(judged::read_ocsp_request(&critical_nonce).is_some(), "a nonce is known, critical or not");
    for (defect, bytes) in [
        ("nothing", vec![]),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("a byte too many", [&good[..], &[0]].concat()),
        ("9 KiB", request(&[&one], &[], &extensions(&[&extension("1.2.3", false, &vec![0; 9000])]), &[])),
        ("version 1 written out", request(&[&one], &tlv(0xa0, &[&[2, 1, 0]]), &[], &[])),
        ("version 2", request(&[&one], &tlv(0xa0, &[&[2, 1, 1]]), &[], &[])),
        ("a requestor's name", request(&[&one], &tlv(0xa1, &[&tlv(0x82, &[b"a"])]), &[], &[])),
        ("a signature", request(&[&one], &[], &[], &tlv(0xa0, &[&tlv(0x30, &[])]))),
        ("no certificate", request(&[], &[], &[], &[])),
        ("17 certificates", request(&sixteen, &[], &[], &[])),
        ("a certificate twice", request(&[&one, &one], &[], &[], &[])),
        (
            "SHA-1",
            request(
                &[&single(&tlv(0x30, &[&tlv(0x30, &[&oid(SHA_1)]), &tlv(4, &[&[1; 20]]), &tlv(4, &[&[1; 20]]), &[2, 1, 7]]), &[])],
                &[],
                &[],
                &[],
            ),
        ),
        ("a name's hash too short", request(&[&single(&other_half(31, 32), &[])], &[], &[], &[])),
        ("a key's hash too short", request(&[&single(&other_half(32, 31), &[])], &[], &[], &[])),
        ("a negative serial number", request(&[&single(&id(&city.issuing, &[0x80]), &[])], &[], &[], &[])),
        ("a serial number with a byte too many", request(&[&single(&id(&city.issuing, &[0, 1]), &[])], &[], &[], &[])),
        ("extensions that are none", request(&[&one], &[], &extensions(&[]), &[])),
        ("extensions of one certificate that are none", request(&[&single(&camera_id, &tlv(0xa0, &[&[0x30, 0]]))], &[], &[], &[])),
        ("a nonce of 129 bytes", request(&[&one], &[], &extensions(&[&extension(NONCE, false, &tlv(4, &[&[1; 129]]))]), &[])),
        ("an empty nonce", request(&[&one], &[], &extensions(&[&extension(NONCE, false, &[4, 0])]), &[])),
        ("a critical extension", request(&[&one], &[], &extensions(&[&extension("1.2.3", true, &[5, 0])]), &[])),
        (
            "a critical extension of one certificate",
            request(&[&single(&camera_id, &tlv(0xa0, &[&tlv(0x30, &[&extension("1.2.3", true, &[5, 0])])]))], &[], &[], &[]),
        ),
        (
            "two nonces",
            request(&[&one], &[], &extensions(&[&extension(NONCE, false, &[4, 1, 9]), &extension(NONCE, false, &[4, 1, 8])]), &[]),
        ),
    ] {
        assert_eq!(judged::read_ocsp_request(&bytes), None, "{defect}");
    }
    assert!(OcspNonce::new(&[1; 128]).is_some() && OcspNonce::new(&[1; 129]).is_none() && OcspNonce::new(&[]).is_none());
    assert!(CertificateId::new(&city.issuing, &[0x80]).is_none() && CertificateId::new(&city.issuing, &[]).is_none());
}

#[test]
pub fn our_responder_answers_what_it_was_asked() {
    let city = City::new();
    let (signer, other) = (key(8), key(9));
    let certificate = responder(&city);
    let responder = OcspResponder::new(&certificate, &city.issuing, &signer).unwrap();
    assert!(matches!(OcspResponder::new(&certificate, &city.issuing, &other), Err(MakeResponseError::Key)));
    assert!(matches!(OcspResponder::new(&certificate, &city.root, &signer), Err(MakeResponseError::Certificate)));
    assert!(matches!(OcspResponder::new(&city.camera(), &city.issuing, &key(3)), Err(MakeResponseError::Certificate)));
    // Each half of who certified it, alone.
    let mut renamed = responder_forgery(&city);
    renamed.issuer = common_name("Other");
    let rekeyed = responder_forgery(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"other"])]));
    for forgery in [renamed, rekeyed] {
        let certificate = Certificate::from_der(&forgery.sign(&city.issuing_key)).unwrap();
        assert!(matches!(OcspResponder::new(&certificate, &city.issuing, &signer), Err(MakeResponseError::Certificate)));
    }
    let camera = city.camera();
    let user = city.issue("user/8c1", &[Role::Investigator], KeyPurpose::Signing, &[], &key(5));
    let user = reissued(&city, &user, 4);
    let ids = [(&city.issuing, camera.serial()), (&city.issuing, user.serial()), (&city.issuing, &[9][..]), (&city.root, &[5][..])];
    let ids = ids.map(|(issuer, serial)| CertificateId::new(issuer, serial).unwrap()).to_vec();
    let request = OcspRequest::new(ids, Some(nonce())).unwrap();
    let status = |serial: &[u8]| match serial {
        serial if serial == camera.serial() => CertificateStatus::Good,
        serial if serial == user.serial() => CertificateStatus::Revoked(revocation(&[])),
        [9] => CertificateStatus::Unknown,
        _ => panic!("asked about {serial:?}, which is not the authority's"),
    };
    let respond = |request: &[u8], moment: &str, next: &str| responder.respond(request, &status, at(moment), at(next));
    let verified = judge(&city, &respond(&request.to_der(), NOON, TOMORROW).unwrap()).unwrap();
    assert_eq!(verified.status_at(issued(&city.path(&camera)), at(NOON)), OcspStatus::Good);
    assert_eq!(verified.status_at(issued(&city.path(&user)), at(NOON)), OcspStatus::Revoked(&revocation(user.serial())));
    assert_eq!(verified.status_at(issued(&city.path(&city.issuing)), at(NOON)), OcspStatus::NotAnswered);
    let refusal = |bytes: Vec<u8>| OcspResponse::from_der(&bytes).unwrap_err();
    let malformed = respond(b"a request", NOON, TOMORROW).unwrap();
    assert_eq!(refusal(malformed), OcspResponseError::Refused(OcspRefusal::MalformedRequest));
    let late = respond(&request.to_der(), "2036-01-01T00:00:01.000Z", "2036-01-02T00:00:00.000Z").unwrap();
    assert_eq!(refusal(late), OcspResponseError::Refused(OcspRefusal::TryLater), "the certificate had expired");
    let backwards = respond(&request.to_der(), TOMORROW, NOON).unwrap_err();
    assert!(matches!(backwards, MakeResponseError::Refused(OcspResponseError::Profile("the next one comes before it"))));
    let early = respond(&request.to_der(), "2026-11-18T11:59:59.000Z", TOMORROW).unwrap_err();
    assert!(matches!(early, MakeResponseError::Refused(OcspResponseError::Profile("a revocation is later than the answer"))));
}

/// With another serial number.
pub fn reissued(city: &City, certificate: &Certificate, serial: u8) -> Certificate {
    let identity: &Identity = certificate.identity().unwrap();
    let entity = EndEntity {
        identity,
        public_key: certificate.public_key(),
        purpose: certificate.purpose(),
        roles: certificate.roles(),
        server_names: &[],
    };
    issue_end_entity(&entity, &city.issuing, &city.issuing_key, &issuance(serial)).unwrap()
}
