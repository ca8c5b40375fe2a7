//! Who is a timestamping authority: certificates, keys and paths with one flaw each, and their limits.

use exhibit_pki::{
    ChainCertificate, ChainError, DigestAlgorithm, Signer, TimestampAuthority, TimestampRequest, TimestampTokenError,
    timestamp_token::{AuthorityError, Imprint, RequestRefusal, ResponseError, token_of_response},
};

use crate::{forge::*, judged, support::*};

#[test]
pub fn an_authority_has_its_own_key_and_a_certificate_for_it() {
    let city = City::new();
    let (signer, other) = (key(8), key(9));
    let good = authority_certificate(&city);
    let certificate = |forgery: &Forgery| chain(&forgery.sign(&city.issuing_key));
    let new = |certificate: &ChainCertificate, signer: &exhibit_pki::SoftwareSigner, accuracy_ms| {
        TimestampAuthority::new(certificate, &[], signer, accuracy_ms).err()
    };
    assert_eq!(new(&certificate(&good), &signer, 1), None);
    assert_eq!(new(&certificate(&good), &other, 1), Some(AuthorityError::Key));
    assert_eq!(new(&certificate(&good), &signer, 0), Some(AuthorityError::Accuracy));
    let client = good.replace(EXTENDED_USAGE, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")]));
    let reason = "timestamping is not the one purpose of its key";
    assert_eq!(new(&certificate(&client), &signer, 1), Some(AuthorityError::Certificate(reason)));
}

#[test]
pub fn keys_and_certificates_of_no_suite_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (name, options) in [
        ("P-521", "EC -pkeyopt ec_paramgen_curve:P-521"),
        ("secp256k1", "EC -pkeyopt ec_paramgen_curve:secp256k1"),
        ("RSA of 1024 bits", "RSA -pkeyopt rsa_keygen_bits:1024"),
        ("RSA of exponent 3", "RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3"),
        ("Ed25519", "ED25519"),
    ] {
        openssl(path, &format!("genpkey -algorithm {options} -out key")).unwrap();
        openssl(path, "req -x509 -new -key key -subj /CN=a -days 100 -out certificate").unwrap();
        let found = ChainCertificate::from_pem(&String::from_utf8(read(&folder, "certificate")).unwrap());
        assert_eq!(found.err().unwrap().0, "its key is not P-384, P-256 or RSA of 2048 bits", "{name}");
    }
}

/// The authorities above a timestamping authority, each with one flaw.
#[test]
pub fn an_authority_that_may_not_certify_does_not() {
    let city = City::new();
    let good = Forgery::authority(&city);
    let leaf = authority_certificate(&city);
    let root = chain(city.root.der());
    let verify = |issuing: &Forgery| {
        let issuing = chain(&issuing.sign(&city.root_key));
        let token = judged::read_token(&Token::good(&city).by(&leaf.sign(&city.issuing_key)).der()).unwrap();
        let imprint = Imprint::of(DigestAlgorithm::Sha384, MESSAGE);
        judged::verify_token(&token, &imprint, &[], &trust(std::slice::from_ref(&root), &[issuing])).err()
    };
    assert_eq!(verify(&good), None);
    assert_eq!(verify(&good.clone().with(EXTENDED_USAGE, false, tlv(0x30, &[&oid(TIME_STAMPING)]))), None);
    assert_eq!(verify(&good.clone().with(EXTENDED_USAGE, false, tlv(0x30, &[&oid("2.5.29.37.0")]))), None);
    let expired = Forgery { not_after: tlv(0x17, &[b"261119000000Z"]), ..good.clone() };
    for (name, error, issuing) in [
        ("no basic constraints", ChainError::NotAnIssuer, good.clone().without(BASIC_CONSTRAINTS)),
        ("not an authority", ChainError::NotAnIssuer, good.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[]))),
        ("key usage without issuing", ChainError::NotAnIssuer, good.clone().replace(KEY_USAGE, SIGNING_USAGE.to_vec())),
        (
            "extended key usage for TLS",
            ChainError::NotAnIssuer,
            good.clone().with(EXTENDED_USAGE, false, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")])),
        ),
        ("expired", ChainError::Validity, expired),
    ] {
        assert_eq!(verify(&issuing), Some(TimestampTokenError::Path(error)), "{name}");
    }
    // Below an authority that may only certify end entities stands another authority.
    let mut second = good
        .clone()
        .replace(SUBJECT_KEY, tlv(4, &[b"second"]))
        .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])]));
    (second.issuer, second.subject, second.public_key) =
        (city.issuing.subject_der().to_vec(), common_name("Second"), key(6).public_key().to_spki_der());
    let mut deep = leaf.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"second"])]));
    deep.issuer = common_name("Second");
    let token = Token::good(&city).by(&deep.sign(&key(6))).with(|t| t.signer = tlv(0x30, &[&common_name("Second"), &[2, 1, 77]]));
    let token = judged::read_token(&token.der()).unwrap();
    let others = [chain(city.issuing.der()), chain(&second.sign(&city.issuing_key))];
    let verified =
        judged::verify_token(&token, &Imprint::of(DigestAlgorithm::Sha384, MESSAGE), &[], &trust(std::slice::from_ref(&root), &others));
    assert_eq!(verified, Err(TimestampTokenError::Path(ChainError::NotAnIssuer)), "pathLen exceeded");
}

/// What others write in more than one way is read, as far as it says one thing.
#[test]
pub fn certificates_are_read_as_others_write_them() {
    let city = City::new();
    let good = Forgery::authority(&city);
    let read = |forgery: &Forgery| judged::read_chain_certificate(&forgery.sign(&city.root_key));
    let of_key = |key: &[u8]| read(&Forgery { public_key: key.to_vec(), ..good.clone() });
    let issuer = |names: &[&[u8]]| {
        let key = tlv(0x80, &[city.root.subject_key_identifier()]);
        good.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&key, &tlv(0xa1, names), &tlv(0x82, &[city.root.serial()])]))
    };
    let (own, other) = (tlv(0xa4, &[city.root.subject_der()]), tlv(0xa4, &[&common_name("Other root")]));
    let constrained = |content: &[&[u8]]| good.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, content));
    let leaf = authority_certificate(&city).sign(&city.issuing_key);
    let root = [chain(city.root.der())];
    let leads = |issuing: &Forgery| {
        let token = judged::read_token(&Token::good(&city).by(&leaf).der()).unwrap();
        let imprint = Imprint::of(DigestAlgorithm::Sha384, MESSAGE);
        judged::verify_token(&token, &imprint, &[], &trust(&root, &[read(issuing).unwrap()])).is_ok()
    };
    for (what, issuing) in [
        ("GeneralizedTime before 2050", Forgery { not_after: tlv(0x18, &[b"20360101000000Z"]), ..good.clone() }),
        ("the first moment there is", Forgery { not_before: tlv(0x17, &[b"700101000000Z"]), ..good.clone() }),
        ("key usage with zeros at its end", good.clone().replace(KEY_USAGE, vec![3, 3, 0, 6, 0])),
        ("key usage with a bit that nobody defined", good.clone().replace(KEY_USAGE, vec![3, 3, 6, 6, 0x40])),
        ("no path length", constrained(&[&[1, 1, 0xff]])),
        ("a path length of 255", constrained(&[&[1, 1, 0xff], &[2, 2, 0, 0xff]])),
        ("the issuer by its name", issuer(&[&own])),
        ("the issuer by several names", issuer(&[&other, &tlv(0x82, &[b"city.example"]), &own])),
        ("the issuer by a name of another kind", issuer(&[&tlv(0x82, &[b"city.example"])])),
    ] {
        assert!(leads(&issuing), "{what}");
    }
    for (what, issuing) in [("the issuer by another's name", issuer(&[&other])), ("FALSE, written", constrained(&[&[1, 1, 0]]))] {
        assert!(!leads(&issuing), "{what}");
    }
    let rsa = |parameters: &[u8], exponent: &[u8]| {
        let number = [&[0, 0xc5][..], &[0xff; 255]].concat();
        let key = tlv(0x30, &[&tlv(2, &[&number]), &tlv(2, &[exponent])]);
        tlv(0x30, &[&tlv(0x30, &[&oid("1.2.840.113549.1.1.1"), parameters]), &tlv(3, &[&[0], &key])])
    };
    let point = city.issuing.public_key().to_spki_der();
    let on_curve = |point: &[u8]| tlv(0x30, &[&tlv(0x30, &[&oid("1.2.840.10045.2.1"), &oid("1.3.132.0.34")]), &tlv(3, &[&[0], point])]);
    let (x, y_is_odd) = (&point[point.len() - 96..point.len() - 48], point[point.len() - 1] & 1);
    for good in [rsa(&[5, 0], &[1, 0, 1]), rsa(&[5, 0], &[0, 0xff, 0xff, 0xff, 0xff]), on_curve(&point[point.len() - 97..])] {
        assert!(of_key(&good).is_ok());
    }
    for (flaw, key) in [
        ("a compressed point", on_curve(&[&[2 + y_is_odd][..], x].concat())),
        ("a compact point", on_curve(&[&[5][..], x].concat())),
        ("a hybrid point", on_curve(&[&[6 + y_is_odd][..], &point[point.len() - 96..]].concat())),
        ("an RSA key without NULL", rsa(&[], &[1, 0, 1])),
        ("an exponent of 33 bits", rsa(&[5, 0], &[1, 0, 0, 0, 1])),
    ] {
        assert_eq!(of_key(&key).err().map(|error| error.0), Some("its key is not P-384, P-256 or RSA of 2048 bits"), "{flaw}");
    }
    let (malformed, unique) = (Some("an extension is malformed"), Some("it has unique identifiers"));
    for (flaw, reason, forgery) in [
        ("a path length of 256", malformed, constrained(&[&[1, 1, 0xff], &[2, 2, 1, 0]])),
        ("a negative path length", malformed, constrained(&[&[1, 1, 0xff], &[2, 1, 0x80]])),
        ("true as 1", malformed, constrained(&[&[1, 1, 1]])),
        ("basic constraints and more", malformed, constrained(&[&[1, 1, 0xff], &[2, 1, 0], &[5, 0]])),
        ("a unique identifier of the issuer", unique, Forgery { after_key: tlv(0x81, &[&[0, 1]]), ..good.clone() }),
        ("a unique identifier of the subject", unique, Forgery { after_key: tlv(0x82, &[&[0, 1]]), ..good.clone() }),
        ("key usage whose unused bits are set", malformed, good.clone().replace(KEY_USAGE, vec![3, 2, 1, 7])),
        ("a defined bit among the unused", malformed, good.clone().replace(KEY_USAGE, vec![3, 2, 3, 7])),
        ("key usage of 17 bits", malformed, good.clone().replace(KEY_USAGE, vec![3, 4, 7, 6, 0, 0])),
        (
            "a moment of 1969",
            Some("it is not DER, or more than a certificate"),
            Forgery { not_before: tlv(0x17, &[b"691231235959Z"]), ..good.clone() },
        ),
        (
            "a moment of 1969 as GeneralizedTime",
            Some("it is not DER, or more than a certificate"),
            Forgery { not_before: tlv(0x18, &[b"19691231235959Z"]), ..good.clone() },
        ),
    ] {
        assert_eq!(read(&forgery).err().map(|error| error.0), reason, "{flaw}");
    }
}

/// Whether a stranger speaks is judged before what is said.
#[test]
pub fn what_a_stranger_says_of_1970_is_a_strangers_word() {
    let city = City::new();
    let token = Token::good(&city).with(|t| t.moment = tlv(0x18, &[b"19700101000000Z"]));
    let leaf = Forgery { not_before: tlv(0x17, &[b"700101000000Z"]), ..authority_certificate(&city) }.sign(&city.issuing_key);
    let token = judged::read_token(&token.by(&leaf).der()).unwrap();
    let imprint = Imprint::of(DigestAlgorithm::Sha384, MESSAGE);
    let judge = |anchor: &[u8]| judged::verify_token(&token, &imprint, &[], &trust(&[chain(anchor)], &[])).err();
    assert_eq!(judge(city.root.der()), Some(TimestampTokenError::Path(ChainError::NoPath)));
    assert_eq!(judge(&leaf), Some(TimestampTokenError::Profile("its time is out of range")));
}

/// Without a flaw but for their size or the encoding of a part, so that only the one check refuses them.
#[test]
pub fn limits_hold_where_nothing_else_is_wrong() {
    let city = City::new();
    let good = Token::good(&city);
    let certificate = authority_certificate(&city);
    let padded = good.with(|t| t.certificates = tlv(0xa0, &[&certificate.sign(&city.issuing_key), &tlv(4, &[&vec![0; 64 * 1024]])]));
    assert_eq!(judge(&city, &padded.der()), Err(TimestampTokenError::Malformed), "a token of more than 64 KiB");
    let of = |bytes: usize| {
        let filled =
            |filling: usize| good.with(|t| t.certificates = tlv(0xa0, &[&t.certificates[4..], &tlv(4, &[&vec![0; filling]])])).der();
        // Certificates are not signed, so that the rest has the same length.
        filled(60_000 + bytes - filled(60_000).len())
    };
    assert_eq!((of(65_536).len(), judge(&city, &of(65_536)).is_ok()), (65_536, true));
    assert_eq!(judge(&city, &of(65_537)), Err(TimestampTokenError::Malformed), "a token of a byte more than 64 KiB");
    let talkative = tlv(0x30, &[&tlv(0x30, &[&[2, 1, 2], &tlv(0x30, &[&tlv(0x0c, &[&vec![b'a'; 70_000]])])])]);
    assert_eq!(token_of_response(&talkative), Err(ResponseError::Malformed), "a response of more than 68 KiB");
    let imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384)]), &tlv(4, &[&sha384(MESSAGE)])]);
    let extension = tlv(0xa0, &[&tlv(0x30, &[&oid("1.2.3"), &tlv(4, &[&[0; 5000]])])]);
    let request = tlv(0x30, &[&[2, 1, 1], &imprint, &extension]);
    assert_eq!(TimestampRequest::from_der(&request), Err(RequestRefusal::Format), "a request of more than 4 KiB");
    let parse = |forgery: &Forgery| judged::read_chain_certificate(&forgery.sign(&city.issuing_key)).err().map(|error| error.0);
    let large = certificate.clone().with("1.2.3", false, vec![0; 17_000]);
    assert_eq!(parse(&large), Some("it is too large"), "a certificate of more than 16 KiB");
    let names = tlv(0x30, &[&tlv(0x82, &[b"city.example"])]);
    for (critical, refusal) in [(false, None), (true, Some("it has an unknown critical extension"))] {
        assert_eq!(parse(&certificate.clone().without(ALTERNATIVE_NAME).with(ALTERNATIVE_NAME, critical, names.clone())), refusal);
    }
    // Refused where they are not critical too: what is recognised must be processed.
    for kind in ["2.5.29.30", "2.5.29.33", "2.5.29.36", "2.5.29.54"] {
        let refusal = parse(&certificate.clone().with(kind, false, vec![0x30, 0]));
        assert_eq!(refusal, Some("it constrains names or policies, which is not supported"), "{kind}");
    }
    let many: Vec<String> = (0..28).map(|number| format!("1.2.3.{number}")).collect();
    let crowded = |count| many.iter().take(count).fold(certificate.clone(), |found, kind| found.with(kind, false, vec![5, 0]));
    assert_eq!(parse(&crowded(32 - certificate.extensions.len())), None);
    assert_eq!(parse(&crowded(33 - certificate.extensions.len())), Some("it has too many extensions"));
    let mut written_out = certificate.clone();
    written_out.extensions.clear();
    written_out.after_key = tlv(0xa3, &[&tlv(0x30, &[&tlv(0x30, &[&oid("1.2.3"), &[1, 1, 0], &[4, 0]])])]);
    assert_eq!(parse(&written_out), Some("it is not DER, or more than a certificate"), "critical written out as false");
    let with_parameters = good.with(|t| t.imprint = tlv(0x30, &[&tlv(0x30, &[&oid(SHA_384), &[2, 1, 1]]), &tlv(4, &[&sha384(MESSAGE)])]));
    let reason = "its imprint is not SHA-256, SHA-384 or SHA-512";
    assert_eq!(judge(&city, &with_parameters.der()), Err(TimestampTokenError::Profile(reason)), "a hash with parameters");
}

/// Of certificates that all bear one name there are more paths than anybody could try.
#[test]
pub fn a_maze_of_certificates_is_left_early() {
    let city = City::new();
    let maze: Vec<ChainCertificate> = (1..=60)
        .map(|serial| {
            let mut authority = with_serial(&with_issuer(&Forgery::authority(&city), "Maze"), serial);
            authority = authority.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]])).without(AUTHORITY_KEY);
            authority.subject = common_name("Maze");
            chain(&authority.sign(&city.issuing_key))
        })
        .collect();
    let leaf = with_issuer(&authority_certificate(&city), "Maze").sign(&city.issuing_key);
    let token = Token::good(&city).by(&leaf).with(|t| t.signer = tlv(0x30, &[&common_name("Maze"), &[2, 1, 77]]));
    let token = judged::read_token(&token.der()).unwrap();
    let verified =
        judged::verify_token(&token, &Imprint::of(DigestAlgorithm::Sha384, MESSAGE), &[], &trust(&[chain(city.root.der())], &maze));
    assert_eq!(verified, Err(TimestampTokenError::Path(ChainError::NoPath)));
}
