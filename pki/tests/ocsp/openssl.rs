//! openssl asks and answers, and judges the same responses.

use exhibit_pki::{
    OcspRequest, OcspResponder, OcspResponse, RustCrypto,
    crl::RevocationReason,
    ocsp::{CertificateId, CertificateStatus, OcspResponseError, OcspStatus},
};
use tempfile::TempDir;

use crate::{forge::*, judged, support::*};

/// The city's authorities, a camera and the responder, as files for openssl.
pub fn city_folder(city: &City) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "root.pem", city.root.to_pem());
    write(&folder, "issuing.pem", city.issuing.to_pem());
    write(&folder, "camera.pem", city.camera().to_pem());
    write(&folder, "responder.pem", responder(city).to_pem());
    write(&folder, "responder.key", key(8).to_pkcs8_pem().as_bytes());
    folder
}

/// openssl's verdict on a response about the camera at noon. The times of the answer it compares with its own clock, generously.
pub const VERIFY: &str = "ocsp -issuer issuing.pem -sha256 -cert camera.pem -no_nonce -validity_period 3000000000 -CAfile root.pem -attime 1795176000 -respin response";

#[test]
pub fn openssl_asks_and_believes_our_responder() {
    let city = City::new();
    let folder = city_folder(&city);
    let (signer, certificate) = (key(8), responder(&city));
    let responder = OcspResponder::new(&certificate, &city.issuing, &signer).unwrap();
    for options in ["-sha256", "-sha384 -no_nonce", "-sha512"] {
        openssl(folder.path(), &format!("ocsp -issuer issuing.pem {options} -cert camera.pem -reqout request")).unwrap();
        let request = judged::read_ocsp_request(&read(&folder, "request")).unwrap();
        assert_eq!(request.nonce().is_none(), options.contains("-no_nonce"));
        for (status, line) in [
            (CertificateStatus::Good, "camera.pem: good"),
            (CertificateStatus::Revoked(revocation(&[])), "camera.pem: revoked"),
            (CertificateStatus::Unknown, "camera.pem: unknown"),
        ] {
            let response = responder.respond(&read(&folder, "request"), &|_| status.clone(), at(NOON), at(TOMORROW)).unwrap();
            write(&folder, "response", &response);
            let with_nonce = "ocsp -reqin request -issuer issuing.pem -CAfile root.pem -attime 1795176000 -respin response";
            assert!(openssl(folder.path(), with_nonce).unwrap().contains("Response verify OK"), "{options}");
            let text = openssl(folder.path(), &VERIFY.replace("-sha256", options.trim_end_matches(" -no_nonce"))).unwrap();
            assert!(text.contains("Response verify OK") && text.contains(line), "{options}: no {line:?} in {text}");
            if line.ends_with("revoked") {
                for line in ["Reason: keyCompromise", "Revocation Time: Nov 18 12:00:00 2026 GMT", "This Update: Nov 20 12:00:00 2026 GMT"]
                {
                    assert!(text.contains(line), "no {line:?} in {text}");
                }
            }
        }
    }
    openssl(folder.path(), "ocsp -issuer issuing.pem -cert camera.pem -reqout request").unwrap();
    assert_eq!(judged::read_ocsp_request(&read(&folder, "request")), None, "openssl's default, SHA-1, was understood");
    let refusal = responder.respond(&read(&folder, "request"), &|_| CertificateStatus::Good, at(NOON), at(TOMORROW)).unwrap();
    write(&folder, "response", refusal);
    let text = openssl(folder.path(), "ocsp -respin response -noverify").unwrap_or_else(|text| text);
    assert!(text.contains("malformedrequest"), "{text}");
    let ours = OcspRequest::new(vec![CertificateId::new(&city.issuing, city.camera().serial()).unwrap()], Some(nonce())).unwrap();
    write(&folder, "request", ours.to_der());
    let text = openssl(folder.path(), "ocsp -reqin request -req_text").unwrap();
    for line in ["Hash Algorithm: sha256", "Serial Number: 03030303030303030303030303030303", "OCSP Nonce", "0403090909"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

#[test]
pub fn we_believe_the_responder_of_openssl() {
    let city = City::new();
    let folder = city_folder(&city);
    let serial = hex::encode_upper(city.camera().serial());
    for (entry, revoked) in
        [("V\t360101000000Z\t", false), ("R\t360101000000Z\t261118120000Z,keyCompromise", true), ("R\t360101000000Z\t261118120000Z", true)]
    {
        write(&folder, "index", format!("{entry}\t{serial}\tunknown\t/CN=camera\n"));
        write(&folder, "index.attr", "unique_subject = no\n");
        openssl(folder.path(), "ocsp -issuer issuing.pem -sha256 -cert camera.pem -reqout request").unwrap();
        let respond = "ocsp -index index -CA issuing.pem -rsigner responder.pem -rkey responder.key -rmd sha384 -reqin request";
        openssl(folder.path(), &format!("{respond} -ndays 1 -respout response")).unwrap();
        let request = judged::read_ocsp_request(&read(&folder, "request")).unwrap();
        let response = OcspResponse::from_der(&read(&folder, "response")).unwrap();
        let verified = response.verify(&city.issuing, request.nonce(), &RustCrypto).unwrap();
        match verified.status_at(issued(&city.path(&city.camera())), verified.produced()) {
            OcspStatus::Good => assert!(!revoked),
            OcspStatus::Revoked(found) => {
                assert!(revoked);
                assert_eq!(found.revoked, at("2026-11-18T12:00:00.000Z"));
                assert_eq!(found.reason, entry.contains("keyCompromise").then_some(RevocationReason::KeyCompromise));
            }
            other => panic!("{other:?}"),
        }
        // By key, which is SHA-1; with SHA-256; without a time for the next.
        openssl(folder.path(), &format!("{respond} -ndays 1 -resp_key_id -respout response")).unwrap();
        let by_key = OcspResponse::from_der(&read(&folder, "response")).unwrap_err();
        assert_eq!(by_key, OcspResponseError::Profile("it names its responder by a SHA-1 hash"));
        openssl(folder.path(), &format!("{respond} -respout response")).unwrap();
        let open = OcspResponse::from_der(&read(&folder, "response")).unwrap_err();
        assert_eq!(open, OcspResponseError::Profile("it does not say when the next one comes"));
    }
}

/// Both judge the same responses. Where they differ, the reason is written down here.
#[test]
pub fn openssl_judges_responses_as_we_do() {
    let city = City::new();
    let folder = city_folder(&city);
    let good = Response::good(&city);
    let camera = city.camera();
    let by = |forgery: &Forgery, signer: &exhibit_pki::SoftwareSigner| good.with(|r| r.certificates = vec![forgery.sign(signer)]);
    let responder = responder_forgery(&city);
    let mut expired = responder.clone();
    expired.not_after = tlv(0x17, &[b"261120115959Z"]);
    let by_authority = good.with(|r| {
        (r.responder, r.key) = (tlv(0xa1, &[city.issuing.subject_der()]), 2);
        r.certificates = vec![city.issuing.der().to_vec()];
    });
    let by_camera = good.with(|r| {
        (r.responder, r.key) = (tlv(0xa1, &[camera.subject_der()]), 3);
        r.certificates = vec![camera.der().to_vec()];
    });
    const THEY_ALLOW_WHAT_KEY_USAGE_FORBIDS: &str =
        "openssl lets an authority sign responses whose keyUsage has only certificates and lists";
    const NO_NOCHECK_NEEDED: &str = "openssl does not ask whether a responder was revoked";
    const NO_ROLE_FORBIDDEN: &str = "openssl knows no roles and no identities of ours";
    for (name, response, ours, theirs, why) in [
        ("good", good.clone(), true, true, ""),
        ("signed by another key", good.with(|r| r.key = 9), false, false, ""),
        ("no certificate", good.with(|r| r.certificates.clear()), false, false, ""),
        ("signed by a camera", by_camera, false, false, ""),
        ("a responder that signed itself", by(&responder, &key(8)), false, false, ""),
        ("a responder of the root", by(&responder, &city.root_key), false, false, ""),
        ("an expired responder", by(&expired, &city.issuing_key), false, false, ""),
        (
            "a responder for TLS",
            by(&responder.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")])), &city.issuing_key),
            false,
            false,
            "",
        ),
        ("another hash in the algorithm", good.with(|r| r.algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")])), false, false, ""),
        ("signed by the authority", by_authority, false, true, THEY_ALLOW_WHAT_KEY_USAGE_FORBIDS),
        ("a responder without nocheck", by(&responder.clone().without(NO_CHECK), &city.issuing_key), false, true, NO_NOCHECK_NEEDED),
        (
            "a responder with a role",
            by(&responder.clone().with(POLICIES, false, policies(&["2.25.1586047359.2.7"])), &city.issuing_key),
            false,
            true,
            NO_ROLE_FORBIDDEN,
        ),
    ] {
        write(&folder, "response", response.der());
        let text = openssl(folder.path(), VERIFY).unwrap_or_else(|text| text);
        let verified = judge(&city, &response.der());
        assert_eq!(verified.is_ok(), ours, "{name}: we say {verified:?}");
        assert_eq!(text.contains("Response verify OK"), theirs, "{name}: openssl says {text}");
        assert_eq!(ours == theirs, why.is_empty(), "{name}: {why}");
        assert!(theirs || !ours, "{name}: we believe what openssl does not");
    }
}
