//! An independent second opinion: the `openssl` program on what we make, and we on what it makes.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use exhibit_pki::{
    Certificate, CertificateRequest, KeyPurpose, PublicKey, RequestError, Role, RustCrypto, Signer, SoftwareSigner, build_request_pem,
    validate_path,
};
use support::*;
use tempfile::TempDir;

fn folder(city: &City) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "root.pem", city.root.to_pem());
    write(&folder, "issuing.pem", city.issuing.to_pem());
    folder
}

#[test]
fn openssl_believes_our_certificates() {
    let city = City::new();
    let folder = folder(&city);
    let both = [Role::Custodian, Role::Investigator];
    for (purpose, certificate) in [
        ("sslclient", city.camera()),
        ("sslclient", city.issue("user/8c1", &both, KeyPurpose::Signing, &[], &key(5))),
        ("any", city.issue("user/8c1", &both, KeyPurpose::Wrapping, &[], &key(6))),
        ("any", city.issue("authority/1", &[Role::Authority], KeyPurpose::Signing, &[], &key(7))),
        ("any", city.issue(&format!("user/{}", "a".repeat(64)), &both, KeyPurpose::Signing, &[], &key(5))),
        ("timestampsign", city.issue("authority/time", &[], KeyPurpose::Timestamping, &[], &key(8))),
        ("ocsphelper", city.issue("authority/ocsp", &[], KeyPurpose::OcspSigning, &[], &key(8))),
    ] {
        write(&folder, "leaf.pem", certificate.to_pem());
        let verify = "verify -x509_strict -attime 1795176000 -CAfile root.pem -untrusted issuing.pem -purpose";
        openssl(folder.path(), &format!("{verify} {purpose} leaf.pem")).unwrap();
    }
    let appliance = city.issue("appliance/1", &[Role::Appliance], KeyPurpose::Signing, &["localhost", "127.0.0.1", "::1"], &key(4));
    write(&folder, "leaf.pem", appliance.to_pem());
    for name in ["-verify_hostname localhost", "-verify_ip 127.0.0.1", "-verify_ip ::1"] {
        let verify = "verify -x509_strict -attime 1795176000 -CAfile root.pem -untrusted issuing.pem -purpose sslserver";
        openssl(folder.path(), &format!("{verify} {name} leaf.pem")).unwrap();
    }
}

#[test]
fn openssl_reads_in_our_certificates_what_we_mean() {
    let city = City::new();
    let folder = folder(&city);
    let camera = city.camera();
    write(&folder, "leaf.pem", camera.to_pem());
    let text = openssl(folder.path(), "x509 -in leaf.pem -noout -text -fingerprint -sha256").unwrap();
    let fingerprint: Vec<String> = camera.fingerprint().iter().map(|byte| format!("{byte:02X}")).collect();
    for line in [
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA384",
        "Issuer: CN = City issuing",
        "Subject: CN = camera/102",
        "Not Before: Jan  1 00:00:00 2026 GMT",
        "Not After : Jan  1 00:00:00 2036 GMT",
        "NIST CURVE: P-384",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
        "X509v3 Subject Alternative Name: \n                URI:spiffe://city.example/camera/102\n",
        "X509v3 Certificate Policies: \n                Policy: 2.25.1586047359.2.1\n",
        &fingerprint.join(":"),
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    let text = openssl(folder.path(), "x509 -in issuing.pem -noout -text").unwrap();
    assert!(text.contains("X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n"), "{text}");
    assert!(text.contains("X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n"), "{text}");
}

/// What openssl judges too (it knows neither roles nor trust domains) must be judged alike.
#[test]
fn openssl_refuses_the_paths_that_we_refuse() {
    let city = City::new();
    let folder = folder(&city);
    let camera = Forgery::camera(&city);
    let mut expired = camera.clone();
    expired.not_after = tlv(0x17, &[b"260601000000Z"]);
    let mut future = camera.clone();
    future.not_before = tlv(0x17, &[b"270601000000Z"]);
    let user = city.issue("user/8c1", &[Role::Investigator], KeyPurpose::Signing, &[], &key(5));
    let mut by_leaf = camera.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[user.subject_key_identifier()])]));
    by_leaf.issuer = user.subject_der().to_vec();
    let mut second = Forgery::authority(&city)
        .replace(SUBJECT_KEY, tlv(4, &[b"second"]))
        .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])]));
    (second.issuer, second.subject) = (city.issuing.subject_der().to_vec(), common_name("Second"));
    second.public_key = key(6).public_key().to_spki_der();
    let mut too_deep = camera.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"second"])]));
    too_deep.issuer = second.subject.clone();
    let parse = |forgery: &Forgery, signer| Certificate::from_der(&forgery.sign(&key(signer))).unwrap();
    let second = parse(&second, 2);
    for (name, good, leaf, chain) in [
        ("good", true, parse(&camera, 2), vec![city.issuing.clone()]),
        ("expired", false, parse(&expired, 2), vec![city.issuing.clone()]),
        ("not yet valid", false, parse(&future, 2), vec![city.issuing.clone()]),
        ("wrong issuer signature", false, parse(&camera, 9), vec![city.issuing.clone()]),
        ("issuer missing", false, parse(&camera, 2), vec![]),
        ("leaf used as issuer", false, parse(&by_leaf, 5), vec![user, city.issuing.clone()]),
        ("pathLen exceeded", false, parse(&too_deep, 6), vec![second, city.issuing.clone()]),
    ] {
        write(&folder, "leaf.pem", leaf.to_pem());
        write(&folder, "chain.pem", chain.iter().map(Certificate::to_pem).collect::<String>() + &city.root.to_pem());
        let verify = "verify -x509_strict -attime 1795176000 -CAfile root.pem -untrusted chain.pem leaf.pem";
        let theirs = openssl(folder.path(), verify);
        let ours = validate_path(&leaf, &chain, city.roots(), at(NOON), &RustCrypto);
        assert_eq!(theirs.is_ok(), good, "{name}: openssl says {theirs:?}");
        assert_eq!(ours.is_ok(), good, "{name}: we say {ours:?}");
    }
}

#[test]
fn openssl_verifies_our_requests() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "request.pem", build_request_pem(&identity("camera/102"), &key(3)).unwrap());
    let text = openssl(folder.path(), "req -in request.pem -verify -noout -text").unwrap();
    for line in ["verify OK", "Subject: CN = camera/102", "URI:spiffe://city.example/camera/102"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

#[test]
fn we_judge_the_requests_of_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    openssl(folder.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out key.pem").unwrap();
    let request = |options: &str| {
        openssl(folder.path(), &format!("req -new -key key.pem -sha384 -out request.pem {options}")).unwrap();
        CertificateRequest::from_pem(&read("request.pem"), &RustCrypto)
    };
    let plain = request("-subj /CN=a").unwrap();
    assert_eq!((plain.common_name(), plain.identity(), plain.server_names()), (Some("a"), None, &[][..]));
    let named = request("-subj /CN=a -addext subjectAltName=URI:spiffe://city.example/user/8c1,DNS:localhost,IP:127.0.0.1").unwrap();
    assert_eq!(
        (named.identity(), named.server_names()),
        (Some(&identity("user/8c1")), &["localhost".to_owned(), "127.0.0.1".to_owned()][..])
    );
    let foreign = request("-subj /CN=a -addext subjectAltName=URI:https://city.example/");
    assert_eq!(foreign.unwrap_err(), RequestError::Identity);
    let two = request("-subj /CN=a -addext subjectAltName=URI:spiffe://city.example/user/a,URI:spiffe://city.example/user/b");
    assert_eq!(two.unwrap_err(), RequestError::Identity);
    let mail = request("-subj /CN=a -addext subjectAltName=email:a@city.example");
    assert_eq!(mail.unwrap_err(), RequestError::Identity);
    openssl(folder.path(), "req -new -key key.pem -sha256 -subj /CN=a -out request.pem").unwrap();
    assert_eq!(CertificateRequest::from_pem(&read("request.pem"), &RustCrypto).unwrap_err(), RequestError::Signature);
    openssl(folder.path(), "req -new -newkey rsa:2048 -nodes -keyout rsa.pem -sha384 -subj /CN=a -out request.pem").unwrap();
    let refused = CertificateRequest::from_pem(&read("request.pem"), &RustCrypto).unwrap_err();
    assert!(matches!(refused, RequestError::Key(_)), "{refused}");
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "request.pem", build_request_pem(&identity("camera/102"), &key(3)).unwrap());
    openssl(folder.path(), "req -in request.pem -outform DER -out request.der").unwrap();
    let good = fs::read(folder.path().join("request.der")).unwrap();
    assert_eq!(CertificateRequest::from_der(&good, &RustCrypto).unwrap().identity(), Some(&identity("camera/102")));
    let refusal = |der: &[u8]| CertificateRequest::from_der(der, &RustCrypto).unwrap_err();
    // Somebody else's key in the place of the one that signed: it would be certified without ever having been held.
    let theirs = key(9).public_key().to_spki_der();
    let position = good.windows(theirs.len()).position(|window| window == key(3).public_key().to_spki_der()).unwrap();
    let mut exchanged = good.clone();
    exchanged[position..position + theirs.len()].copy_from_slice(&theirs);
    assert_eq!(refusal(&exchanged), RequestError::Signature);
    let mut renamed = good.clone();
    let position = good.windows(4).rposition(|window| window == b"/102").unwrap();
    renamed[position + 1] = b'2';
    assert_eq!(refusal(&renamed), RequestError::Signature);
    assert_eq!(refusal(&[&good[..], &[0]].concat()), RequestError::Malformed);
    assert_eq!(refusal(&good[..good.len() - 1]), RequestError::Malformed);
    assert_eq!(refusal(&[]), RequestError::Malformed);
    assert_eq!(refusal(&vec![0x30; 1 << 20]), RequestError::Malformed);
}

#[test]
fn keys_and_secrets_are_the_same_for_openssl() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "ours.pem", key(1).to_pkcs8_pem().as_bytes());
    openssl(folder.path(), "pkey -in ours.pem -check -noout").unwrap();
    openssl(folder.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out theirs.pem").unwrap();
    openssl(folder.path(), "pkey -in theirs.pem -pubout -out theirs.pub.pem").unwrap();
    openssl(folder.path(), "pkey -in theirs.pem -pubout -outform DER -out theirs.pub.der").unwrap();
    let theirs = SoftwareSigner::from_pkcs8_pem(&fs::read_to_string(folder.path().join("theirs.pem")).unwrap()).unwrap();
    let public = fs::read(folder.path().join("theirs.pub.der")).unwrap();
    assert_eq!(PublicKey::from_spki_der(&public).as_ref(), Ok(theirs.public_key()));
    openssl(folder.path(), "pkeyutl -derive -inkey ours.pem -peerkey theirs.pub.pem -out secret").unwrap();
    let secret = fs::read(folder.path().join("secret")).unwrap();
    assert_eq!(key(1).agree(theirs.public_key().as_bytes()).unwrap().as_slice(), secret);
    write(&folder, "message", "the same for all");
    write(&folder, "signature", theirs.sign(b"the same for all").unwrap());
    openssl(folder.path(), "dgst -sha384 -verify theirs.pub.pem -signature signature message").unwrap();
}
