//! Endorsement certificates and their chains to vendors' roots: those that swtpm_cert makes under vendors of every suite, and those with a flaw.
#![allow(clippy::unwrap_used)]

#[path = "support/judged.rs"]
mod judged;
mod support;

use std::{fs, path::Path, process::Command};

use exhibit_pki::{
    ChainCertificate, ChainError,
    attestation::{EndorsementCertificate, EndorsementChainError, EndorsementKey, PublicArea, VendorTrust, VerifiedEndorsement},
};
use support::*;

/// Runs a program in `folder`; its output if it says yes.
fn run(folder: &Path, program: &str, arguments: &str) -> Result<String, String> {
    let run = Command::new(program).args(arguments.split(' ')).current_dir(folder).output();
    let run = run.expect("openssl and swtpm_cert are needed for this test: apt-get install openssl swtpm-tools");
    let output = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.success() { Ok(output) } else { Err(output) }
}

fn openssl(folder: &Path, arguments: &str) -> Result<String, String> {
    run(folder, "openssl", arguments)
}

fn vector(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/vectors/attestation/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn chain(der: &[u8]) -> ChainCertificate {
    ChainCertificate::from_der(der).unwrap()
}

const EK_CERTIFICATE: &str = "2.23.133.8.1";
const MANUFACTURER: &str = "2.23.133.2.1";
const MODEL: &str = "2.23.133.2.2";
const VERSION: &str = "2.23.133.2.3";
const ENCIPHERMENT_USAGE: &[u8] = &[3, 2, 5, 0x20];

/// A directory name with these attributes, each in a part of its own.
fn directory(attributes: &[(&str, u8, &str)]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> =
        attributes.iter().map(|(kind, tag, text)| tlv(0x31, &[&tlv(0x30, &[&oid(kind), &tlv(*tag, &[text.as_bytes()])])])).collect();
    tlv(0xa4, &[&tlv(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())])
}

const DEVICE: [(&str, u8, &str); 3] = [(MANUFACTURER, 0x0c, "id:49465800"), (MODEL, 0x0c, "SLB 9670"), (VERSION, 0x0c, "id:072A")];

fn names(names: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, names)
}

/// The certificate of an endorsement key on P-384, by the city's issuing authority as a vendor, without a flaw.
fn endorsement(city: &City) -> Forgery {
    let mut forgery = Forgery::camera(city)
        .replace(EXTENDED_USAGE, tlv(0x30, &[&oid(EK_CERTIFICATE)]))
        .replace(KEY_USAGE, AGREEMENT_USAGE.to_vec())
        .replace(ALTERNATIVE_NAME, names(&[&directory(&DEVICE)]))
        .criticality(ALTERNATIVE_NAME, true)
        .without(POLICIES);
    forgery.subject = vec![0x30, 0];
    forgery
}

fn judge(city: &City, certificate: &[u8]) -> Result<VerifiedEndorsement, EndorsementChainError> {
    let (roots, certificates) = ([chain(city.root.der())], [chain(city.issuing.der())]);
    let padded = [certificate, &[0xff; 100]].concat();
    let trust = VendorTrust { roots: &roots, certificates: &certificates };
    judged::verify_endorsement(&padded, &trust, at(NOON))
}

#[test]
fn the_forger_can_write_endorsement_certificates_without_a_flaw() {
    let city = City::new();
    let good = endorsement(&city);
    let verified = judge(&city, &good.sign(&city.issuing_key)).unwrap();
    assert_eq!((&verified.manufacturer(), verified.model(), verified.firmware()), (b"IFX\0", "SLB 9670", 0x072a));
    assert_eq!(verified.root(), city.root.fingerprint());
    let mut named = good.clone().criticality(ALTERNATIVE_NAME, false);
    named.subject = common_name("a TPM");
    let one_part: Vec<Vec<u8>> = DEVICE.iter().map(|(kind, tag, text)| tlv(0x30, &[&oid(kind), &tlv(*tag, &[text.as_bytes()])])).collect();
    let one_part = tlv(0xa4, &[&tlv(0x30, &[&tlv(0x31, &one_part.iter().map(Vec::as_slice).collect::<Vec<_>>())])]);
    for (name, forgery) in [
        ("a subject, and the names not critical", named),
        ("attributes in one part", good.clone().replace(ALTERNATIVE_NAME, names(&[&one_part]))),
        ("PrintableString", good.clone().replace(ALTERNATIVE_NAME, names(&[&directory(&DEVICE.map(|(k, _, t)| (k, 0x13, t)))]))),
        ("a URI beside the directory name", good.clone().replace(ALTERNATIVE_NAME, names(&[&tlv(0x86, &[b"a:b"]), &directory(&DEVICE)]))),
        ("a further purpose", good.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid("2.23.133.8.3"), &oid(EK_CERTIFICATE)]))),
    ] {
        assert!(judge(&city, &forgery.sign(&city.issuing_key)).is_ok(), "{name}");
    }
    // An endorsement certificate that is pinned itself, as whoever has no vendor may do.
    let pinned = good.criticality(ALTERNATIVE_NAME, false).sign(&city.issuing_key);
    let mut named = endorsement(&city).criticality(ALTERNATIVE_NAME, false);
    named.subject = common_name("a TPM");
    let named = named.sign(&key(9));
    let trust = VendorTrust { roots: &[chain(&named)], certificates: &[] };
    assert!(judged::verify_endorsement(&named, &trust, at(NOON)).is_ok());
    assert!(judged::verify_endorsement(&pinned, &trust, at(NOON)).is_err());
}

#[test]
fn an_endorsement_certificate_with_a_flaw_is_refused() {
    use EndorsementChainError::{Path, Profile};
    let city = City::new();
    let good = endorsement(&city);
    let device = |attributes: &[(&str, u8, &str)]| good.clone().replace(ALTERNATIVE_NAME, names(&[&directory(attributes)]));
    let changed = |position: usize, tag: u8, text: &str| {
        let mut attributes = DEVICE;
        (attributes[position].1, attributes[position].2) = (tag, text);
        device(&attributes)
    };
    let twice = |position: usize| device(&[&DEVICE[..], &[DEVICE[position]]].concat());
    let without = |position: usize| {
        let mut attributes = DEVICE.to_vec();
        attributes.remove(position);
        device(&attributes)
    };
    let manufacturer = Profile("it does not say the TPM's manufacturer once, as id: and 8 digits");
    let model = Profile("it does not say the TPM's model once, in 1 to 64 printable characters");
    let version = Profile("it does not say the TPM's version once, as id: and 1 to 8 digits");
    let one_name = Profile("it does not have exactly one directory name in its subject alternative name");
    let constraints = Profile("its basicConstraints do not say that it is no authority");
    let usage = Profile("its key usage is not that of a key that only opens what is wrapped to it");
    let purpose = Profile("its extended key usage is not that of an endorsement certificate");
    let (mut expired, mut future, mut version_1, mut other_issuer) = (good.clone(), good.clone(), good.clone(), good.clone());
    expired.not_after = tlv(0x17, &[b"261120115959Z"]);
    future.not_before = tlv(0x17, &[b"261120120001Z"]);
    (version_1.version, version_1.extensions) = (vec![], vec![]);
    other_issuer.issuer = common_name("Other");
    let mut other_algorithm = good.clone();
    other_algorithm.outer_algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]);
    let long = "m".repeat(65);
    let names_malformed = Profile("its subject alternative name is malformed");
    let parts = DEVICE.map(|(kind, tag, text)| tlv(0x31, &[&tlv(0x30, &[&oid(kind), &tlv(tag, &[text.as_bytes()])])]));
    let empty_part = tlv(0xa4, &[&tlv(0x30, &[&parts.concat(), &[0x31, 0]])]);
    let cases: Vec<(&str, EndorsementChainError, Forgery)> = vec![
        ("version 1", Profile("it is not version 3, or names two algorithms"), version_1),
        ("two signature algorithms", Profile("it is not version 3, or names two algorithms"), other_algorithm),
        ("names that are cut off", names_malformed, good.clone().replace(ALTERNATIVE_NAME, tlv(0x30, &[&[0xa4, 2, 0x30]]))),
        (
            "a name of another kind that is no DER",
            names_malformed,
            good.clone().replace(ALTERNATIVE_NAME, names(&[&tlv(0xa0, &[&[6, 3, 0x2a, 0x80, 1]]), &directory(&DEVICE)])),
        ),
        ("a name with an empty part", names_malformed, good.clone().replace(ALTERNATIVE_NAME, names(&[&empty_part]))),
        ("no basic constraints", constraints, good.clone().without(BASIC_CONSTRAINTS)),
        ("an authority", constraints, good.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]]))),
        ("a path length", constraints, good.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[2, 1, 0]]))),
        ("no key usage", usage, good.clone().without(KEY_USAGE)),
        ("a key that signs", usage, good.clone().replace(KEY_USAGE, SIGNING_USAGE.to_vec())),
        ("a key that signs too", usage, good.clone().replace(KEY_USAGE, vec![3, 2, 3, 0x88])),
        ("the key usage of RSA", usage, good.clone().replace(KEY_USAGE, ENCIPHERMENT_USAGE.to_vec())),
        ("no extended key usage", purpose, good.clone().without(EXTENDED_USAGE)),
        ("a platform certificate", purpose, good.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid("2.23.133.8.2")]))),
        ("any purpose", purpose, good.clone().replace(EXTENDED_USAGE, tlv(0x30, &[&oid("2.5.29.37.0")]))),
        (
            "no subject, and names that are not critical",
            Profile("it has no subject, and its subject alternative name is not critical"),
            good.clone().criticality(ALTERNATIVE_NAME, false),
        ),
        ("no names", Profile("it has no subject alternative name"), {
            let mut forgery = good.clone().without(ALTERNATIVE_NAME);
            forgery.subject = common_name("a TPM");
            forgery
        }),
        ("names of no form", Profile("its subject alternative name is malformed"), good.clone().replace(ALTERNATIVE_NAME, vec![5, 0])),
        ("a URI alone", one_name, good.clone().replace(ALTERNATIVE_NAME, uris(&["spiffe://city.example/camera/102"]))),
        ("two TPMs", one_name, good.clone().replace(ALTERNATIVE_NAME, names(&[&directory(&DEVICE), &directory(&DEVICE)]))),
        ("no manufacturer", manufacturer, without(0)),
        ("two manufacturers", manufacturer, twice(0)),
        ("a manufacturer of 7 digits", manufacturer, changed(0, 0x0c, "id:4946580")),
        ("a manufacturer of 9 digits", manufacturer, changed(0, 0x0c, "id:494658000")),
        ("a manufacturer with a sign", manufacturer, changed(0, 0x0c, "id:+9465800")),
        ("a manufacturer without id:", manufacturer, changed(0, 0x0c, "49465800")),
        ("a manufacturer in other characters", manufacturer, changed(0, 0x1e, "id:49465800")),
        ("no model", model, without(1)),
        ("two models", model, twice(1)),
        ("an empty model", model, changed(1, 0x0c, "")),
        ("a model of 65 characters", model, changed(1, 0x0c, &long)),
        ("a model with a line end", model, changed(1, 0x0c, "SLB\n9670")),
        ("no version", version, without(2)),
        ("two versions", version, twice(2)),
        ("a version without digits", version, changed(2, 0x0c, "id:")),
        ("a version of 9 digits", version, changed(2, 0x0c, "id:000000001")),
        ("a version in words", version, changed(2, 0x0c, "id:1.2")),
        ("an unknown critical extension", Profile("it has an unknown critical extension"), good.clone().with("1.2.3", true, vec![5, 0])),
        ("an extension twice", Profile("it has an extension twice"), good.clone().with(KEY_USAGE, true, AGREEMENT_USAGE.to_vec())),
        ("expired", Path(ChainError::Validity), expired),
        ("not yet valid", Path(ChainError::Validity), future),
        ("another issuer", Path(ChainError::NoPath), other_issuer),
        ("another key of the issuer", Path(ChainError::NoPath), good.clone().replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"other"])]))),
    ];
    for (defect, error, forgery) in cases {
        assert_eq!(judge(&city, &forgery.sign(&city.issuing_key)).err(), Some(error), "{defect}");
    }
    let by_itself = judge(&city, &good.sign(&key(3)));
    assert_eq!(by_itself.err(), Some(Path(ChainError::Signature)), "signed by the endorsement key itself");
    let mut altered = good.sign(&city.issuing_key);
    let position = altered.windows(4).position(|window| window == b"9670").unwrap();
    altered[position] = b'8';
    assert_eq!(judge(&city, &altered).err(), Some(Path(ChainError::Signature)), "another model");
    let mut relaxed = good.clone();
    relaxed.extensions.clear();
    relaxed.after_key = tlv(0xa3, &[&tlv(0x30, &[&tlv(0x30, &[&oid("1.2.3"), &[1, 1, 0], &[4, 0]])])]);
    let malformed = Profile("it is not DER, or more than a certificate");
    assert_eq!(judge(&city, &relaxed.sign(&city.issuing_key)).err(), Some(malformed), "critical written out as false");
}

/// The vendor's own certificates, each with one flaw, above an endorsement certificate without one.
#[test]
fn a_vendor_that_may_not_certify_tpms_does_not() {
    use EndorsementChainError::Path;
    let city = City::new();
    let vendor = Forgery::authority(&city);
    let leaf = endorsement(&city).sign(&city.issuing_key);
    let root = [chain(city.root.der())];
    let judge = |vendor: &Forgery, signer: &exhibit_pki::SoftwareSigner| {
        let certificates = [chain(&vendor.sign(signer))];
        let trust = VendorTrust { roots: &root, certificates: &certificates };
        judged::verify_endorsement(&leaf, &trust, at(NOON)).err()
    };
    let purpose = |purpose: &str| vendor.clone().with(EXTENDED_USAGE, false, tlv(0x30, &[&oid(purpose)]));
    for good in [vendor.clone(), purpose(EK_CERTIFICATE), purpose("2.5.29.37.0")] {
        assert_eq!(judge(&good, &city.root_key), None);
    }
    let expired = Forgery { not_after: tlv(0x17, &[b"261119000000Z"]), ..vendor.clone() };
    for (defect, error, vendor) in [
        ("for timestamps", ChainError::NotAnIssuer, purpose("1.3.6.1.5.5.7.3.8")),
        ("no authority", ChainError::NotAnIssuer, vendor.clone().replace(BASIC_CONSTRAINTS, tlv(0x30, &[]))),
        ("a key usage without certificates", ChainError::NotAnIssuer, vendor.clone().replace(KEY_USAGE, SIGNING_USAGE.to_vec())),
        ("expired", ChainError::Validity, expired),
    ] {
        assert_eq!(judge(&vendor, &city.root_key), Some(Path(error)), "{defect}");
    }
    assert_eq!(judge(&vendor, &key(9)), Some(Path(ChainError::Signature)), "signed by another root");
    let trust = VendorTrust { roots: &[], certificates: &[root[0].clone(), chain(city.issuing.der())] };
    let nobody = judged::verify_endorsement(&leaf, &trust, at(NOON)).err();
    assert_eq!(nobody, Some(Path(ChainError::NoPath)), "believed without a pinned root");
}

/// Vendors of each suite by openssl, endorsement certificates by swtpm_cert for the recorded keys; openssl is asked too.
#[test]
fn chains_of_every_suite_are_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(&folder, "a", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n");
    let hex = |bytes: &[u8]| hex::encode(bytes);
    let (rsa, ecc) = (vector("ek-rsa-public.bin"), vector("ek-p384-public.bin"));
    let keys = [
        ("ek-rsa-public.bin", format!("--modulus {} --exponent 65537", hex(&rsa[58..]))),
        ("ek-p384-public.bin", format!("--ecc-x {} --ecc-y {} --ecc-curveid secp384r1", hex(&ecc[72..120]), hex(&ecc[122..]))),
    ];
    for (suite, options, signing) in [
        ("P-384", "EC -pkeyopt ec_paramgen_curve:P-384", "-sha384"),
        ("P-256", "EC -pkeyopt ec_paramgen_curve:P-256", "-sha256"),
        ("RSA", "RSA -pkeyopt rsa_keygen_bits:2048", "-sha256"),
        ("RSA with PSS", "RSA -pkeyopt rsa_keygen_bits:3072", "-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"),
    ] {
        for name in ["root", "vendor"] {
            openssl(path, &format!("genpkey -algorithm {options} -out {name}.key")).unwrap();
            openssl(path, &format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr")).unwrap();
        }
        openssl(path, &format!("x509 -req -in root.csr -signkey root.key -days 3000 -extfile a -out root.pem {signing}")).unwrap();
        openssl(path, &format!("x509 -req -in vendor.csr -CA root.pem -CAkey root.key -days 3000 -extfile a -out vendor.pem {signing}"))
            .unwrap();
        let pem = |name: &str| ChainCertificate::from_pem(&fs::read_to_string(path.join(name)).unwrap()).unwrap();
        let (roots, vendor) = ([pem("root.pem")], [pem("vendor.pem")]);
        for (public, parameters) in &keys {
            let device = "--tpm-manufacturer id:00001014 --tpm-model swtpm --tpm-version id:20191023";
            let specification = "--tpm-spec-family 2.0 --tpm-spec-level 0 --tpm-spec-revision 164";
            let make =
                format!("--tpm2 --decryption --signkey vendor.key --issuercert vendor.pem --days 3000 --serial 5 {device} {specification}");
            run(path, "swtpm_cert", &format!("{make} {parameters} --out-cert ek.der")).unwrap();
            let certificate = EndorsementCertificate::from_nv(&fs::read(path.join("ek.der")).unwrap()).unwrap();
            let verify = |roots: &[ChainCertificate], certificates: &[ChainCertificate], moment| {
                judged::verify_endorsement(certificate.der(), &VendorTrust { roots, certificates }, moment)
            };
            // The clock of the day is in them; two years on they are all valid.
            let moment = at(NOON).checked_add_ms(2 * 365 * 86_400_000).unwrap();
            let verified = verify(&roots, &vendor, moment).unwrap_or_else(|error| panic!("{suite} {public}: {error}"));
            assert_eq!((verified.manufacturer(), verified.model(), verified.firmware()), ([0, 0, 0x10, 0x14], "swtpm", 0x2019_1023));
            assert_eq!(verified.root(), roots[0].fingerprint());
            let area = PublicArea::from_bytes(&vector(public)).unwrap();
            assert!(EndorsementKey::from_public(area, &certificate).is_ok(), "{suite} {public}");
            openssl(path, "x509 -inform DER -in ek.der -out ek.pem").unwrap();
            for (name, arguments, at_s, believed) in [
                ("whole", "-CAfile root.pem -untrusted vendor.pem", moment.unix_s(), true),
                ("without the vendor", "-CAfile root.pem", moment.unix_s(), false),
                ("too early", "-CAfile root.pem -untrusted vendor.pem", 1_000_000_000, false),
            ] {
                let theirs = openssl(path, &format!("verify -attime {at_s} {arguments} ek.pem"));
                let certificates = if arguments.contains("-untrusted") { &vendor[..] } else { &[] };
                let ours = verify(&roots, certificates, exhibit_pki::Timestamp::from_unix_ms(at_s * 1000).unwrap());
                assert_eq!((ours.is_ok(), theirs.is_ok()), (believed, believed), "{suite}, {name}: {ours:?}, {theirs:?}");
            }
        }
    }
}

/// Certificates that are out in the world: what a vendor of millions of TPMs writes is read.
#[test]
fn the_certificates_of_a_vendor_are_read() {
    let (root, vendor) = (chain(&vector("infineon-root.der")), chain(&vector("infineon-manufacturing-003.der")));
    for (certificate, from, to) in
        [(&root, "2013-07-26T00:00:00.000Z", "2043-07-25T23:59:59.000Z"), (&vendor, "2014-11-24T15:37:16.000Z", "2034-11-24T15:37:16.000Z")]
    {
        assert!(certificate.is_valid_at(at(from)) && certificate.is_valid_at(at(to)));
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 4] = [
        the_forger_can_write_endorsement_certificates_without_a_flaw,
        an_endorsement_certificate_with_a_flaw_is_refused,
        a_vendor_that_may_not_certify_tpms_does_not,
        chains_of_every_suite_are_believed,
    ];
    judged::assert_agrees_on(&tests, 60);
}
