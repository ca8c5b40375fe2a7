//! What a response says of a certificate, at a moment.

use exhibit_pki::ocsp::OcspStatus;

use crate::{forge::*, judged, support::*};

#[test]
pub fn a_response_is_asked_at_a_moment() {
    let city = City::new();
    let path = city.path(&city.camera());
    let good = judge(&city, &Response::good(&city).der()).unwrap();
    assert_eq!(good.produced(), at(NOON));
    for (moment, status) in [
        (NOON, OcspStatus::Good),
        ("2026-11-21T12:00:00.999Z", OcspStatus::Good),
        ("2026-11-20T11:59:59.999Z", OcspStatus::NotCurrent),
        ("2026-11-21T12:00:01.000Z", OcspStatus::NotCurrent),
    ] {
        assert_eq!(good.status_at(issued(&path), at(moment)), status, "{moment}");
        assert_eq!(judged::is_good_by_ocsp(&good, &city.issuing, &path, at(moment)), status == OcspStatus::Good);
    }
    let revoked = Response::good(&city).answer(|a| a.status = tlv(0xa1, &[&time("20261118120000Z")]));
    let revoked = judge(&city, &revoked.der()).unwrap();
    for moment in [FROM, NOON, TO] {
        assert!(
            matches!(revoked.status_at(issued(&path), at(moment)), OcspStatus::Revoked(_)),
            "{moment}: an old revocation was forgotten"
        );
    }
}

/// Name, key identifier and trust domain are what somebody wrote into a certificate. A responder speaks of what the key that named it has signed.
#[test]
pub fn a_response_says_nothing_of_the_certificates_of_namesakes() {
    let city = City::new();
    let good = Response::good(&city);
    let revoked = good.answer(|a| a.status = tlv(0xa1, &[&time("20261118120000Z")]));
    for (name, response) in [("good", good), ("revoked", revoked)] {
        let verified = judge(&city, &response.der()).unwrap();
        for namesake in Namesake::all(&city) {
            let (other, path) = (namesake.other, namesake.path());
            let same = other == "certificate";
            let status = verified.status_at(issued(&path), at(NOON));
            assert_eq!(status == OcspStatus::NotAnswered, !same, "{name} is said of the certificate of an authority of another {other}");
            assert_eq!(judged::is_good_by_ocsp(&verified, &city.issuing, &path, at(NOON)), same && name == "good", "{other}");
        }
    }
}

/// A key that was stolen from a responder whose certificate has ended dates what it says back; and says it for as short as it must.
#[test]
pub fn good_ends_with_the_certificate_of_the_responder() {
    let city = City::new();
    let path = city.path(&city.camera());
    let mut responder = responder_forgery(&city);
    responder.not_after = tlv(0x17, &[b"261120180000Z"]);
    let response = |status: &[u8]| {
        let status = status.to_vec();
        let response = Response::good(&city).with(|r| r.certificates = vec![responder.sign(&city.issuing_key)]);
        judge(&city, &response.answer(|a| a.status = status.clone()).der()).unwrap()
    };
    let (good, revoked) = (response(GOOD), response(&tlv(0xa1, &[&time("20261118120000Z")])));
    for (moment, status) in [("2026-11-20T18:00:00.999Z", OcspStatus::Good), ("2026-11-20T18:00:01.000Z", OcspStatus::NotCurrent)] {
        assert_eq!(good.status_at(issued(&path), at(moment)), status, "{moment}");
        assert_eq!(judged::is_good_by_ocsp(&good, &city.issuing, &path, at(moment)), status == OcspStatus::Good);
        assert!(matches!(revoked.status_at(issued(&path), at(moment)), OcspStatus::Revoked(_)), "{moment}: a revocation was forgotten");
    }
}

/// The moments of a revocation may all be one.
#[test]
pub fn a_revocation_may_be_of_the_second_in_which_it_is_told() {
    let city = City::new();
    let noon = time("20261120120000Z");
    let response = Response::good(&city).answer(|a| {
        a.status = tlv(0xa1, &[&noon]);
        a.extensions = vec![extension(INVALIDITY, false, &noon)];
    });
    let verified = judge(&city, &response.der()).unwrap();
    let path = city.path(&city.camera());
    let OcspStatus::Revoked(found) = verified.status_at(issued(&path), at(NOON)) else { panic!("the revocation is not told") };
    assert_eq!((found.revoked, found.invalid_since), (at(NOON), Some(at(NOON))));
}
