//! openssl believes the tokens of our authority, and we believe those of its own.

use exhibit_pki::{
    ChainCertificate, ChainError, DigestAlgorithm, TimestampAuthority, TimestampRequest, TimestampToken, TimestampTokenError,
    oid::TIMESTAMP_POLICY,
    timestamp_token::{Imprint, Nonce, RequestRefusal, ResponseError, token_of_response},
};

use crate::{forge::*, judged, support::*};

#[test]
pub fn openssl_verifies_the_tokens_that_we_make_for_it() {
    let city = City::new();
    let folder = city_folder(&city);
    let (signer, certificate, others) = (key(8), chain(&read(&folder, "authority.der")), [chain(city.issuing.der())]);
    let authority = TimestampAuthority::new(&certificate, &others, &signer, 61_001).unwrap();
    let verify = "ts -verify -queryfile request -CAfile root.pem -attime 1795176000";
    for (query, untrusted) in [
        ("-sha384 -cert", ""),
        ("-sha256 -cert -no_nonce", ""),
        ("-sha512 -cert -tspolicy 2.25.1586047359.3.1", ""),
        ("-sha384", " -untrusted both.pem"),
    ] {
        openssl(folder.path(), &format!("ts -query -data message {query} -out request")).unwrap();
        let response = authority.respond(&read(&folder, "request"), at("2026-11-20T12:00:00.340Z"), [0x85; 16]).unwrap();
        write(&folder, "response", &response);
        openssl(folder.path(), &format!("{verify} -in response{untrusted}")).unwrap();
        let text = openssl(folder.path(), "ts -reply -in response -text").unwrap();
        for line in [
            "Status: Granted.",
            "Policy OID: 2.25.1586047359.3.1",
            "Time stamp: Nov 20 12:00:00.34 2026 GMT",
            "0x3D seconds, 0x01 millis",
            "Serial number: 0x85858585",
        ] {
            assert!(text.contains(line), "{query}: no {line:?} in {text}");
        }
        let request = TimestampRequest::from_der(&read(&folder, "request")).unwrap();
        assert_eq!((request.nonce.is_none(), request.with_certificates), (query.contains("-no_nonce"), query.contains("-cert")));
        let token = token_of_response(&response).unwrap();
        assert_eq!(token.imprint(), &request.imprint);
        let (roots, more) = ([chain(city.root.der())], [chain(city.issuing.der()), certificate.clone()]);
        let verified = token.verify(&request.imprint, request.nonce.as_ref(), &trust(&roots, &more)).unwrap();
        assert_eq!(
            (verified.earliest().to_string(), verified.latest().to_string()),
            ("2026-11-20T11:58:59.339Z".to_owned(), "2026-11-20T12:01:01.341Z".to_owned())
        );
        assert_eq!(
            (verified.authority(), verified.policy(), verified.serial()),
            (certificate.fingerprint(), TIMESTAMP_POLICY, &[0x85; 16][..])
        );
        assert_eq!(TimestampToken::from_der(token.der()), Ok(token));
    }
    write(&folder, "message", "another");
    openssl(folder.path(), "ts -query -data message -sha384 -cert -no_nonce -out request").unwrap();
    assert!(
        openssl(folder.path(), &format!("{verify} -in response -untrusted both.pem")).is_err(),
        "openssl verifies whatever it is given"
    );
}

fn request_of_ours() -> TimestampRequest {
    TimestampRequest {
        imprint: Imprint::of(DigestAlgorithm::Sha384, MESSAGE),
        policy: None,
        nonce: Nonce::new(&[0, 0x85, 1]),
        with_certificates: true,
    }
}

#[test]
pub fn openssl_reads_our_requests() {
    let folder = city_folder(&City::new());
    let good = request_of_ours();
    write(&folder, "request", good.to_der());
    let text = openssl(folder.path(), "ts -query -in request -text").unwrap();
    for line in ["Version: 1", "Hash Algorithm: sha384", "Nonce: 0x8501", "Certificate required: yes", "Policy OID: unspecified"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert_eq!(TimestampRequest::from_der(&good.to_der()), Ok(good.clone()));
    assert!(Nonce::new(&[0, 0]).is_none() && Nonce::new(&[1; 33]).is_none());
}

#[test]
pub fn openssl_reads_our_refusals() {
    let folder = city_folder(&City::new());
    let (signer, certificate) = (key(8), chain(&read(&folder, "authority.der")));
    let authority = TimestampAuthority::new(&certificate, &[], &signer, 1000).unwrap();
    let imprint = |algorithm: &str, digest: &[u8]| tlv(0x30, &[&tlv(0x30, &[&oid(algorithm)]), &tlv(4, &[digest])]);
    let request = |parts: &[&[u8]]| tlv(0x30, parts);
    let sha384 = imprint(SHA_384, &sha384(MESSAGE));
    let noon = at(NOON);
    for (name, bytes, moment, refusal, failure) in [
        (
            "SHA-1",
            request(&[&[2, 1, 1], &imprint("1.3.14.3.2.26", &[7; 20])]),
            noon,
            Some(RequestRefusal::Algorithm),
            "unrecognized or unsupported algorithm identifier",
        ),
        (
            "a digest too short",
            request(&[&[2, 1, 1], &imprint(SHA_384, &[7; 47])]),
            noon,
            Some(RequestRefusal::Algorithm),
            "unrecognized or unsupported algorithm identifier",
        ),
        ("version 2", request(&[&[2, 1, 2], &sha384]), noon, Some(RequestRefusal::Format), "the data submitted has the wrong format"),
        (
            "nonce of 33 bytes",
            request(&[&[2, 1, 1], &sha384, &tlv(2, &[&[1; 33]])]),
            noon,
            Some(RequestRefusal::Format),
            "the data submitted has the wrong format",
        ),
        (
            "certReq written out as false",
            request(&[&[2, 1, 1], &sha384, &[1, 1, 0]]),
            noon,
            Some(RequestRefusal::Format),
            "the data submitted has the wrong format",
        ),
        ("5 KiB", vec![0x30; 5 * 1024], noon, Some(RequestRefusal::Format), "the data submitted has the wrong format"),
        (
            "an extension",
            request(&[&[2, 1, 1], &sha384, &tlv(0xa0, &[&tlv(0x30, &[&oid("1.2.3"), &[4, 0]])])]),
            noon,
            Some(RequestRefusal::Extension),
            "the requested extension is not supported by the TSA",
        ),
        (
            "another policy",
            request(&[&[2, 1, 1], &sha384, &oid("1.2.3.4.2")]),
            noon,
            None,
            "the requested TSA policy is not supported by the TSA",
        ),
        (
            "after the certificate has expired",
            request_of_ours().to_der(),
            at("2036-01-01T00:00:01.000Z"),
            None,
            "the TSA's time source is not available",
        ),
    ] {
        assert_eq!(TimestampRequest::from_der(&bytes).err(), refusal, "{name}");
        let response = authority.respond(&bytes, moment, [1; 16]).unwrap();
        assert_eq!(token_of_response(&response), Err(ResponseError::Refused(2)), "{name}");
        write(&folder, "response", response);
        let text = openssl(folder.path(), "ts -reply -in response -text").unwrap();
        assert!(text.contains("Status: Rejected.") && text.contains(failure), "{name}: {text}");
    }
}

#[test]
pub fn a_response_that_contradicts_itself_is_malformed() {
    let folder = city_folder(&City::new());
    let (signer, certificate) = (key(8), chain(&read(&folder, "authority.der")));
    let authority = TimestampAuthority::new(&certificate, &[], &signer, 1000).unwrap();
    let granted = authority.respond(&request_of_ours().to_der(), at(NOON), [1; 16]).unwrap();
    assert!(token_of_response(&granted).is_ok());
    let token = token_of_response(&granted).unwrap().der().to_vec();
    for (name, response) in [
        ("granted without a token", tlv(0x30, &[&tlv(0x30, &[&[2, 1, 0]])])),
        ("refused with a token", tlv(0x30, &[&tlv(0x30, &[&[2, 1, 2]]), &token])),
        ("granted with a failure", tlv(0x30, &[&tlv(0x30, &[&[2, 1, 0], &[3, 2, 7, 0x80]]), &token])),
        ("a status that there is not", tlv(0x30, &[&tlv(0x30, &[&[2, 1, 7]])])),
    ] {
        assert_eq!(token_of_response(&response), Err(ResponseError::Malformed), "{name}");
    }
}

/// Other people's timestamping authorities: keys of each suite, certified by openssl and answering with it.
#[test]
pub fn we_verify_the_tokens_of_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(&folder, "message", MESSAGE);
    write(&folder, "serial", "01");
    write(
        &folder,
        "configuration",
        "[a]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n\
         [t]\nextendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n\
         [tsa]\ndefault_tsa=service\n[service]\nserial=serial\ndefault_policy=1.2.3.4.9\ndigests=sha256,sha384,sha512\n\
         accuracy=secs:1,millisecs:500,microsecs:100\nclock_precision_digits=6\ntsa_name=yes\ness_cert_id_chain=yes\ness_cert_id_alg=sha256\n\
         signer_cert=t.pem\nsigner_key=t.key\ncerts=a.pem\nsigner_digest=sha512\n",
    );
    let noon = |moment: &exhibit_pki::VerifiedTimestamp| moment.latest().unix_ms() - moment.earliest().unix_ms();
    for (suite, options, digest, signing) in [
        ("P-384", "EC -pkeyopt ec_paramgen_curve:P-384", "sha384", "-sha384"),
        ("P-256", "EC -pkeyopt ec_paramgen_curve:P-256", "sha256", "-sha256"),
        ("RSA", "RSA -pkeyopt rsa_keygen_bits:2048", "sha256", "-sha256"),
        ("RSA certified with SHA-384", "RSA -pkeyopt rsa_keygen_bits:2048", "sha384", "-sha384"),
        ("RSA certified with SHA-512", "RSA -pkeyopt rsa_keygen_bits:2048", "sha512", "-sha512"),
        (
            "RSA with PSS below",
            "RSA -pkeyopt rsa_keygen_bits:3072",
            "sha512",
            "-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
        ),
    ] {
        for name in ["a", "t"] {
            openssl(path, &format!("genpkey -algorithm {options} -out {name}.key")).unwrap();
            openssl(path, &format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr")).unwrap();
        }
        openssl(path, "x509 -req -in a.csr -signkey a.key -days 3000 -extfile configuration -extensions a -out a.pem").unwrap();
        openssl(
            path,
            &format!("x509 -req -in t.csr -CA a.pem -CAkey a.key -days 3000 -extfile configuration -extensions t -out t.pem {signing}"),
        )
        .unwrap();
        let pem = |name: &str| ChainCertificate::from_pem(&String::from_utf8(read(&folder, name)).unwrap()).unwrap();
        for query in [format!("-{digest} -cert"), format!("-{digest} -no_nonce")] {
            openssl(path, &format!("ts -query -data message {query} -out request")).unwrap();
            openssl(path, "ts -reply -config configuration -queryfile request -out response").unwrap();
            let request = TimestampRequest::from_der(&read(&folder, "request")).unwrap();
            let token = token_of_response(&read(&folder, "response")).unwrap();
            let (root, leaf) = ([pem("a.pem")], [pem("t.pem")]);
            let verified = token.verify(&request.imprint, request.nonce.as_ref(), &trust(&root, &leaf)).unwrap();
            assert!((3000..=3002).contains(&noon(&verified)), "{suite}: accuracy of {} ms", noon(&verified));
            assert_eq!(verified.policy(), POLICY);
            // The authority itself as the anchor.
            assert!(judged::verify_token(&token, &request.imprint, &[], &trust(&leaf, &[])).is_ok(), "{suite}");
            let nobody = judged::verify_token(&token, &request.imprint, &[], &trust(&[], &leaf));
            assert_eq!(nobody, Err(TimestampTokenError::Path(ChainError::NoPath)), "{suite}: believed without an anchor");
            let other = Imprint::of(request.imprint.algorithm(), b"another");
            assert_eq!(judged::verify_token(&token, &other, &[], &trust(&root, &leaf)), Err(TimestampTokenError::Imprint), "{suite}");
            let mut forged = token.der().to_vec();
            *forged.last_mut().unwrap() ^= 1;
            let forged = judged::read_token(&forged).unwrap();
            assert_eq!(
                judged::verify_token(&forged, &request.imprint, &[], &trust(&root, &leaf)),
                Err(TimestampTokenError::Signature),
                "{suite}"
            );
        }
    }
}

/// What openssl's own authority can not do: signatures of CMS with PSS and by key identifier.
#[test]
pub fn we_verify_tokens_with_pss() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    openssl(path, "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out t.key").unwrap();
    openssl(path, "rsa -in t.key -pubout -outform DER -out t.spki").unwrap();
    let mut certificate = authority_certificate(&city);
    certificate.public_key = read(&folder, "t.spki");
    let certificate = certificate.sign(&city.issuing_key);
    write(&folder, "t.der", &certificate);
    openssl(path, "x509 -inform DER -in t.der -out t.pem").unwrap();
    let imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384)]), &tlv(4, &[&sha384(MESSAGE)])]);
    write(
        &folder,
        "info",
        tlv(0x30, &[&[2, 1, 1], &oid("1.2.3.4.9"), &imprint, &[2, 1, 7], &tlv(0x18, &[b"20261120120000Z"]), &[2, 1, 99]]),
    );
    let sign = |digest: &str, options: &str| {
        let sign = "cms -sign -binary -nodetach -cades -nosmimecap";
        openssl(path, &format!("{sign} -in info -econtent_type {TST_INFO} -signer t.pem -inkey t.key -md {digest} -keyopt rsa_padding_mode:pss {options} -outform DER -out token")).unwrap();
        judge(&city, &read(&folder, "token"))
    };
    for digest in ["sha256", "sha384", "sha512"] {
        assert!(sign(digest, "-keyopt rsa_pss_saltlen:digest").is_ok(), "{digest}: {:?}", sign(digest, "-keyopt rsa_pss_saltlen:digest"));
    }
    let mut forged = read(&folder, "token");
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(judge(&city, &forged), Err(TimestampTokenError::Signature), "another signature");
    let no_suite = Err(TimestampTokenError::Profile("its signature is of no suite for tokens"));
    assert_eq!(sign("sha256", "-keyopt rsa_pss_saltlen:8"), no_suite, "a short salt");
    assert_eq!(sign("sha384", "-keyopt rsa_pss_saltlen:digest -keyopt rsa_mgf1_md:sha256"), no_suite, "another hash for the mask");
}
