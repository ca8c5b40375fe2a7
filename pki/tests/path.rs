//! Paths from a leaf to a root: the good one, and those that must not be believed.
#![allow(clippy::unwrap_used)]

#[path = "support/judged.rs"]
mod judged;
mod support;

use exhibit_pki::{Certificate, KeyPurpose, PathError, Role, RustCrypto, Signer, TrustDomain, issue_root, validate_path};
use support::*;

fn judge(leaf: &Certificate, intermediates: &[Certificate], roots: &[Certificate], moment: &str) -> Result<(), PathError> {
    let path = judged::judge_path(leaf, intermediates, roots, at(moment))?;
    assert_eq!(path.leaf(), leaf);
    assert!(roots.iter().any(|root| root.fingerprint() == path.root()), "a path ended in no trusted root");
    Ok(())
}

fn parse(forgery: &Forgery, signer: u8) -> Certificate {
    Certificate::from_der(&forgery.sign(&key(signer))).unwrap()
}

#[test]
fn a_chain_to_a_trusted_root_is_believed() {
    let city = City::new();
    let camera = city.camera();
    let path = validate_path(&camera, city.chain(), city.roots(), at(NOON), &RustCrypto).unwrap();
    assert_eq!((path.root(), path.at()), (city.root.fingerprint(), at(NOON)));
    assert_eq!(path.certificates(), [camera.clone(), city.issuing.clone(), city.root.clone()]);
    // The order of what is offered, and more of it than is needed, change nothing.
    let offered = [city.root.clone(), camera.clone(), city.issuing.clone()];
    assert_eq!(judge(&camera, &offered, city.roots(), NOON), Ok(()));
    let appliance = city.issue("appliance/1", &[Role::Appliance], KeyPurpose::Signing, &["localhost", "127.0.0.1", "::1"], &key(4));
    assert_eq!(appliance.server_names(), ["localhost", "127.0.0.1", "::1"]);
    assert_eq!(judge(&appliance, city.chain(), city.roots(), NOON), Ok(()));
    let custodian = city.issue("user/8c1", &[Role::Custodian, Role::Investigator], KeyPurpose::Wrapping, &[], &key(5));
    assert_eq!(judge(&custodian, city.chain(), city.roots(), NOON), Ok(()));
}

/// Whoever looks at each certificate of a chain asks for the root's too.
#[test]
fn a_root_leads_to_itself() {
    let city = City::new();
    assert_eq!(judge(&city.root, &[], city.roots(), NOON), Ok(()));
    assert_eq!(judge(&city.root, city.chain(), &[], NOON), Err(PathError::NoPath), "a root that nobody trusts");
}

#[test]
fn validity_is_judged_to_the_second_at_both_ends() {
    let city = City::new();
    let judge_at = |moment| judge(&city.camera(), city.chain(), city.roots(), moment);
    assert_eq!(judge_at(FROM), Ok(()));
    assert_eq!(judge_at("2036-01-01T00:00:00.999Z"), Ok(()));
    for (flaw, moment) in [("expired", "2036-01-01T00:00:01.000Z"), ("not yet valid", "2025-12-31T23:59:59.999Z")] {
        assert!(matches!(judge_at(moment), Err(PathError::Validity { .. })), "{flaw}");
    }
}

#[test]
fn an_expired_issuer_ends_the_path() {
    let city = City::new();
    let mut short = Forgery::authority(&city);
    short.not_after = tlv(0x17, &[b"260601000000Z"]);
    let issuing = parse(&short, 1);
    let refusal = judge(&city.camera(), &[issuing], city.roots(), NOON);
    assert!(matches!(refusal, Err(PathError::Validity { ref common_name, .. }) if common_name == "City issuing"), "{refusal:?}");
}

#[test]
fn an_expired_root_ends_the_path() {
    let city = City::new();
    let mut short = Forgery::authority(&city).without(AUTHORITY_KEY).without(POLICIES);
    (short.subject, short.public_key) = (city.root.subject_der().to_vec(), key(1).public_key().to_spki_der());
    short.not_after = tlv(0x17, &[b"260601000000Z"]);
    let short =
        short.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]])).replace(SUBJECT_KEY, tlv(4, &[city.root.subject_key_identifier()]));
    let refusal = judge(&city.camera(), city.chain(), &[parse(&short, 1)], NOON);
    assert!(matches!(refusal, Err(PathError::Validity { ref common_name, .. }) if common_name == "City root"), "{refusal:?}");
}

#[test]
fn a_wrong_issuer_signature_is_refused() {
    let city = City::new();
    let forged = parse(&Forgery::camera(&city), 9);
    let refusal = judge(&forged, city.chain(), city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::Signature("camera/102".to_owned())));
    let forged = parse(&Forgery::authority(&city), 9);
    let refusal = judge(&city.camera(), &[forged], city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::Signature("City issuing".to_owned())));
}

#[test]
fn a_changed_certificate_is_refused() {
    let city = City::new();
    let good = city.camera();
    let position = good.der().windows(3).rposition(|window| window == b"102").unwrap();
    let mut der = good.der().to_vec();
    der[position] = b'2';
    let changed = Certificate::from_der(&der).unwrap();
    assert_ne!(changed.identity(), good.identity());
    let refusal = judge(&changed, city.chain(), city.roots(), NOON);
    assert!(matches!(refusal, Err(PathError::Signature(_))), "{refusal:?}");
}

#[test]
fn a_root_of_the_same_name_with_another_key_is_not_the_root() {
    let city = City::new();
    let domain = TrustDomain::parse(DOMAIN).unwrap();
    let impostor = issue_root("City root", &domain, &key(9), &issuance(9)).unwrap();
    let camera = city.camera();
    assert_eq!(judge(&camera, city.chain(), std::slice::from_ref(&impostor), NOON), Err(PathError::NoPath));
    assert_eq!(judge(&camera, &[city.issuing.clone(), city.root.clone()], &[impostor], NOON), Err(PathError::NoPath));
    assert_eq!(judge(&camera, &[city.issuing.clone(), city.root.clone()], &[], NOON), Err(PathError::NoPath));
    assert_eq!(judge(&camera, &[], city.roots(), NOON), Err(PathError::NoPath));
}

#[test]
fn a_leaf_used_as_issuer_is_refused() {
    let city = City::new();
    let user = city.issue("user/8c1", &[Role::Investigator], KeyPurpose::Signing, &[], &key(5));
    let mut forgery = Forgery::camera(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[user.subject_key_identifier()])]));
    forgery.issuer = user.subject_der().to_vec();
    let refusal = judge(&parse(&forgery, 5), &[user.clone(), city.issuing.clone()], city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::NotAnIssuer("user/8c1".to_owned())));
    // Not even if somebody were to trust the leaf itself.
    let refusal = judge(&parse(&forgery, 5), &[], &[user], NOON);
    assert_eq!(refusal, Err(PathError::NotAnIssuer("user/8c1".to_owned())));
}

#[test]
fn a_path_length_exceeded_is_refused() {
    let city = City::new();
    // The issuing authority (pathLen 0) makes an authority of its own, which makes a camera.
    let mut second = Forgery::authority(&city)
        .replace(SUBJECT_KEY, tlv(4, &[b"second"]))
        .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])]));
    (second.issuer, second.subject) = (city.issuing.subject_der().to_vec(), common_name("Second"));
    second.public_key = key(6).public_key().to_spki_der();
    let mut camera = Forgery::camera(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"second"])]));
    camera.issuer = second.subject.clone();
    let chain = [parse(&second, 2), city.issuing.clone()];
    let refusal = judge(&parse(&camera, 6), &chain, city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::NotAnIssuer("City issuing".to_owned())));
    // The same chain is good where the length allows it: the limit is what refused it.
    let long = Forgery::authority(&city).replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, 1]]));
    let chain = [parse(&second, 2), parse(&long, 1)];
    assert_eq!(judge(&parse(&camera, 6), &chain, city.roots(), NOON), Ok(()));
}

#[test]
fn a_role_that_the_authority_does_not_assert_is_refused() {
    let city = City::new();
    let admin = Forgery::camera(&city).replace(POLICIES, policies(&["2.25.1586047359.2.1", "2.25.1586047359.2.5"]));
    let refusal = judge(&parse(&admin, 2), city.chain(), city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::RoleNotAllowed(Role::Admin)));
    let any = Forgery::authority(&city).replace(POLICIES, policies(&["2.5.29.32.0"]));
    let refusal = judge(&city.camera(), &[parse(&any, 1)], city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::RoleNotAllowed(Role::Camera)), "anyPolicy gave a role");
}

/// Two authorities above a camera; each is asked for its policies alone.
#[test]
fn a_role_is_asserted_along_the_whole_chain() {
    let city = City::new();
    let camera = "2.25.1586047359.2.1";
    let upper = |asserted: Vec<u8>| {
        Forgery::authority(&city).replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, 1]])).replace(POLICIES, asserted)
    };
    let lower = |asserted: Vec<u8>| {
        let mut forgery = Forgery::authority(&city)
            .replace(SUBJECT_KEY, tlv(4, &[b"second"]))
            .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])]))
            .replace(POLICIES, asserted);
        (forgery.issuer, forgery.subject) = (city.issuing.subject_der().to_vec(), common_name("Second"));
        forgery.public_key = key(6).public_key().to_spki_der();
        forgery
    };
    let mut leaf = Forgery::camera(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"second"])]));
    leaf.issuer = common_name("Second");
    let leaf = parse(&leaf, 6);
    let judged = |upper: &Forgery, lower: &Forgery| judge(&leaf, &[parse(lower, 2), parse(upper, 1)], city.roots(), NOON);
    let asserts = || policies(&[camera]);
    let missing = Err(PathError::RoleNotAllowed(Role::Camera));
    assert_eq!(judged(&upper(asserts()), &lower(asserts())), Ok(()));
    for (name, others) in [
        ("anyPolicy", policies(&["2.5.29.32.0"])),
        ("another role", policies(&["2.25.1586047359.2.2"])),
        ("the arc of the roles", policies(&["2.25.1586047359.2"])),
        ("an arc below the role", policies(&["2.25.1586047359.2.1.1"])),
        ("the role as a qualifier", tlv(0x30, &[&tlv(0x30, &[&oid("1.2.3.4"), &tlv(0x30, &[&tlv(0x30, &[&oid(camera), &[5, 0]])])])])),
    ] {
        assert_eq!(judged(&upper(others.clone()), &lower(asserts())), missing, "{name} above");
        assert_eq!(judged(&upper(asserts()), &lower(others)), missing, "{name} below");
    }
    assert_eq!(judged(&upper(asserts()).without(POLICIES), &lower(asserts())), missing, "no policies above");
    assert_eq!(judged(&upper(asserts()), &lower(asserts()).without(POLICIES)), missing, "no policies below");
    // What the root asserts gives nothing to those below it.
    let root = Forgery::authority(&city).replace(SUBJECT_KEY, tlv(4, &[city.root.subject_key_identifier()])).without(AUTHORITY_KEY);
    let mut root = root.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]]));
    (root.subject, root.public_key) = (city.root.subject_der().to_vec(), key(1).public_key().to_spki_der());
    let root = parse(&root, 1);
    assert!(root.has_role(Role::Camera));
    let chain = [parse(&lower(asserts()), 2), parse(&upper(policies(&["1.2.3"])), 1)];
    assert_eq!(judge(&leaf, &chain, &[root], NOON), missing);
}

/// An authority that was certified anew with the same key, for more: neither certificate stands in the other's way.
#[test]
fn of_two_certificates_of_an_authority_the_one_that_will_do_is_taken() {
    let city = City::new();
    let narrow = parse(&Forgery::authority(&city).replace(POLICIES, policies(&["2.25.1586047359.2.3"])), 1);
    let mut expired = Forgery::authority(&city);
    expired.not_after = tlv(0x17, &[b"260601000000Z"]);
    let expired = parse(&expired, 1);
    for chain in [[narrow.clone(), city.issuing.clone()], [city.issuing.clone(), narrow.clone()], [expired, city.issuing.clone()]] {
        assert_eq!(judge(&city.camera(), &chain, city.roots(), NOON), Ok(()));
    }
    assert_eq!(judge(&city.camera(), &[narrow], city.roots(), NOON), Err(PathError::RoleNotAllowed(Role::Camera)));
}

#[test]
fn an_identity_of_another_trust_domain_is_refused() {
    let city = City::new();
    let stranger = Forgery::camera(&city).replace(ALTERNATIVE_NAME, uris(&["spiffe://town.example/camera/102"]));
    let refusal = judge(&parse(&stranger, 2), city.chain(), city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::TrustDomain("camera/102".to_owned())));
    let annexed = Forgery::authority(&city).replace(ALTERNATIVE_NAME, uris(&["spiffe://town.example"]));
    let refusal = judge(&parse(&stranger, 2), &[parse(&annexed, 1)], city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::TrustDomain("City issuing".to_owned())));
}

#[test]
fn authorities_that_certify_each_other_do_not_keep_the_verifier_busy() {
    let city = City::new();
    // Each names itself as its issuer, all by one name and key identifier: any order of them is a candidate.
    let circle: Vec<Certificate> = (0..40_u8)
        .map(|number| {
            let mut forgery = Forgery::authority(&city)
                .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])]))
                .replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]]));
            (forgery.issuer, forgery.serial) = (city.issuing.subject_der().to_vec(), vec![2, 1, number + 1]);
            parse(&forgery, 2)
        })
        .collect();
    let counting = Counting::default();
    let result = validate_path(&city.camera(), &circle, city.roots(), at(NOON), &counting);
    assert!(matches!(result, Err(PathError::NoPath)));
    assert_eq!(counting.signatures(), 0, "the root certified none of them");
    // Where it did certify one that may certify others, each is verified under each once, and the way up is found.
    let long = parse(&Forgery::authority(&city).replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]])), 1);
    let good = [&circle[..], &[long]].concat();
    assert!(validate_path(&city.camera(), &good, city.roots(), at(NOON), &counting).is_ok());
    assert_eq!(counting.signatures(), 1 + 40 * 40 + 41, "the issuing authority, the others under it and each other, the camera under all");
    // One that may not has certified nobody, whatever it signed.
    let counting = Counting::default();
    let short = [&circle[..], city.chain()].concat();
    assert!(validate_path(&city.camera(), &short, city.roots(), at(NOON), &counting).is_ok());
    assert_eq!(counting.signatures(), 2, "the issuing authority, and the camera under it");
}

/// Copies of an authority's certificate: its name and key are no secret, and nobody believed has signed them.
#[test]
fn no_order_and_no_number_of_useless_certificates_hides_a_path() {
    let city = City::new();
    let forged = |number: u8| {
        let mut forgery = Forgery::authority(&city);
        forgery.serial = vec![2, 1, number + 1];
        parse(&forgery, 9)
    };
    let mut offered: Vec<Certificate> = (0..100).map(forged).collect();
    offered.push(city.issuing.clone());
    for turn in [0, 50, 100] {
        let mut turned = offered.clone();
        turned.rotate_left(turn);
        assert_eq!(judge(&city.camera(), &turned, city.roots(), NOON), Ok(()), "{turn}");
    }
    let counting = Refusing::default();
    assert!(validate_path(&city.camera(), &offered, city.roots(), at(NOON), &counting).is_err());
    assert_eq!(counting.0.signatures(), 101, "one for each certificate, and none for the leaf");
}

/// A key that may certify no authority, stolen, has certified as many as there are places: the true ones beside it are found all the same.
#[test]
fn an_authority_without_room_below_it_takes_nobodys_place() {
    let city = City::new();
    let made = |number: u8| {
        let mut forgery = Forgery::authority(&city)
            .replace(SUBJECT_KEY, tlv(4, &[&[b's', number]]))
            .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])]));
        (forgery.issuer, forgery.serial) = (city.issuing.subject_der().to_vec(), vec![2, 1, number + 1]);
        parse(&forgery, 2)
    };
    let mut second = Forgery::authority(&city).replace(SUBJECT_KEY, tlv(4, &[b"second"]));
    (second.subject, second.public_key) = (common_name("Second"), key(6).public_key().to_spki_der());
    let mut camera = Forgery::camera(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"second"])]));
    camera.issuer = common_name("Second");
    let mut offered = vec![city.issuing.clone()];
    offered.extend((0..100).map(made));
    offered.push(parse(&second, 1));
    assert_eq!(judge(&parse(&camera, 6), &offered, city.roots(), NOON), Ok(()));
    // One that leads through it is refused for that, and not because it was not found.
    let mut below = Forgery::camera(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"s\x07"])]));
    below.issuer = city.issuing.subject_der().to_vec();
    let refusal = judge(&parse(&below, 2), &offered, city.roots(), NOON);
    assert_eq!(refusal, Err(PathError::NotAnIssuer("City issuing".to_owned())));
}

/// What costs nothing is judged before a signature.
#[test]
fn what_can_not_stand_on_the_path_costs_no_signature() {
    let city = City::new();
    let mut expired = Forgery::authority(&city);
    expired.not_after = tlv(0x17, &[b"260601000000Z"]);
    let annexed = Forgery::authority(&city).replace(ALTERNATIVE_NAME, uris(&["spiffe://town.example"]));
    let narrow = Forgery::authority(&city).replace(POLICIES, policies(&["2.25.1586047359.2.3"]));
    // A signature for the authority itself, unless its trust domain is another, and none for the leaf.
    for (name, forgery, signatures) in [("expired", expired, 1), ("annexed", annexed, 0), ("narrow", narrow, 1)] {
        let counting = Counting::default();
        assert!(validate_path(&city.camera(), &[parse(&forgery, 1)], city.roots(), at(NOON), &counting).is_err());
        assert_eq!(counting.signatures(), signatures, "{name}");
    }
    let counting = Counting::default();
    assert!(validate_path(&city.camera(), &[city.root.clone(), city.issuing.clone()], city.roots(), at(NOON), &counting).is_ok());
    assert_eq!(counting.signatures(), 2, "a root that is sent along is one certificate");
}

impl Counting {
    fn signatures(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Believes none, and counts.
#[derive(Default)]
struct Refusing(Counting);

impl exhibit_pki::Verifier for Refusing {
    fn verify(&self, key: &exhibit_pki::PublicKey, message: &[u8], signature: &[u8]) -> Result<(), exhibit_pki::BadSignature> {
        self.0.verify(key, message, signature).and(Err(exhibit_pki::BadSignature))
    }
}

/// Believes every signature, and counts.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicUsize);

impl exhibit_pki::Verifier for Counting {
    fn verify(&self, _: &exhibit_pki::PublicKey, _: &[u8], _: &[u8]) -> Result<(), exhibit_pki::BadSignature> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 16] = [
        an_authority_without_room_below_it_takes_nobodys_place,
        a_chain_to_a_trusted_root_is_believed,
        validity_is_judged_to_the_second_at_both_ends,
        an_expired_issuer_ends_the_path,
        an_expired_root_ends_the_path,
        a_wrong_issuer_signature_is_refused,
        a_changed_certificate_is_refused,
        a_root_of_the_same_name_with_another_key_is_not_the_root,
        a_leaf_used_as_issuer_is_refused,
        a_path_length_exceeded_is_refused,
        a_role_that_the_authority_does_not_assert_is_refused,
        a_role_is_asserted_along_the_whole_chain,
        of_two_certificates_of_an_authority_the_one_that_will_do_is_taken,
        an_identity_of_another_trust_domain_is_refused,
        authorities_that_certify_each_other_do_not_keep_the_verifier_busy,
        no_order_and_no_number_of_useless_certificates_hides_a_path,
    ];
    judged::assert_agrees_on(&tests, 40);
}
