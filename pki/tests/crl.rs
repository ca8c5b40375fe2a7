//! Revocation lists: openssl believes ours and judges as we do, we read its, and no list with a flaw is taken.
#![allow(clippy::unwrap_used)]

#[path = "support/judged.rs"]
mod judged;
mod support;

use std::fs;

use exhibit_pki::{
    BadSignature, Certificate, KeyPurpose, RevocationListError, Role, RustCrypto, Signer, VerifiedRevocationList,
    crl::{ListedStatus, MakeListError, NewRevocationList, Revocation, RevocationReason},
    make_revocation_list,
};
use support::*;

const YESTERDAY: &str = "2026-11-19T00:00:00.000Z";
const TOMORROW: &str = "2026-11-21T00:00:00.000Z";

fn revocation(serial: &[u8], reason: Option<RevocationReason>, invalid_since: Option<&str>) -> Revocation {
    Revocation { serial: serial.to_vec(), revoked: at("2026-11-18T12:00:00.000Z"), reason, invalid_since: invalid_since.map(at) }
}

fn new<'a>(revocations: &'a [Revocation]) -> NewRevocationList<'a> {
    NewRevocationList { number: 0x1ff, this_update: at(YESTERDAY), next_update: at(TOMORROW), revocations }
}

/// A list of the city's issuing authority without a flaw, of which each part can be replaced.
#[derive(Clone)]
struct List {
    version: Vec<u8>,
    algorithm: Vec<u8>,
    outer_algorithm: Vec<u8>,
    issuer: Vec<u8>,
    this_update: Vec<u8>,
    next_update: Vec<u8>,
    /// None: there are no entries.
    entries: Option<Vec<Vec<u8>>>,
    extensions: Vec<Vec<u8>>,
    key: u8,
}

fn time(text: &str) -> Vec<u8> {
    tlv(0x17, &[text.as_bytes()])
}

fn entry(serial: &[u8], extensions: &[&[u8]]) -> Vec<u8> {
    let extensions = if extensions.is_empty() { vec![] } else { tlv(0x30, extensions) };
    tlv(0x30, &[&tlv(2, &[serial]), &time("261118120000Z"), &extensions])
}

const NUMBER: &str = "2.5.29.20";
const REASON: &str = "2.5.29.21";
const INVALIDITY: &str = "2.5.29.24";

impl List {
    fn good(city: &City) -> Self {
        Self {
            version: vec![2, 1, 1],
            algorithm: ecdsa_with_sha384(),
            outer_algorithm: ecdsa_with_sha384(),
            issuer: city.issuing.subject_der().to_vec(),
            this_update: time("261119000000Z"),
            next_update: time("261121000000Z"),
            entries: Some(vec![entry(&[77], &[&extension(REASON, false, &[10, 1, 1])])]),
            extensions: vec![
                extension(AUTHORITY_KEY, false, &tlv(0x30, &[&tlv(0x80, &[city.issuing.subject_key_identifier()])])),
                extension(NUMBER, false, &[2, 1, 5]),
            ],
            key: 2,
        }
    }

    fn with(&self, change: impl Fn(&mut Self)) -> Self {
        let mut list = self.clone();
        change(&mut list);
        list
    }

    fn entries(&self, entries: &[Vec<u8>]) -> Self {
        self.with(|list| list.entries = Some(entries.to_vec()))
    }

    fn der(&self) -> Vec<u8> {
        let slices = |parts: &[Vec<u8>]| tlv(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let entries = self.entries.as_deref().map_or(vec![], slices);
        let extensions = if self.extensions.is_empty() { vec![] } else { tlv(0xa0, &[&slices(&self.extensions)]) };
        let parts =
            [&self.version, &self.algorithm, &self.issuer, &self.this_update, &self.next_update, &entries, &extensions].map(Vec::as_slice);
        let tbs = tlv(0x30, &parts);
        let signature = key(self.key).sign(&tbs).unwrap();
        tlv(0x30, &[&tbs, &self.outer_algorithm, &tlv(3, &[&[0], &signature])])
    }
}

#[test]
fn openssl_verifies_and_reads_our_lists() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "issuing.pem", city.issuing.to_pem());
    let reasons = [
        (RevocationReason::KeyCompromise, "Key Compromise"),
        (RevocationReason::AuthorityCompromise, "CA Compromise"),
        (RevocationReason::AffiliationChanged, "Affiliation Changed"),
        (RevocationReason::Superseded, "Superseded"),
        (RevocationReason::CessationOfOperation, "Cessation Of Operation"),
        (RevocationReason::Hold, "Certificate Hold"),
        (RevocationReason::PrivilegeWithdrawn, "Privilege Withdrawn"),
        (RevocationReason::AttributeAuthorityCompromise, "AA Compromise"),
    ];
    let mut revocations: Vec<Revocation> =
        (0..).zip(reasons).map(|(serial, (reason, _))| revocation(&[0x50 + serial], Some(reason), None)).collect();
    revocations.insert(0, revocation(&[0x60], None, Some("2026-11-01T00:00:00.000Z")));
    let list = make_revocation_list(&new(&revocations), &city.issuing, &city.issuing_key).unwrap();
    write(&folder, "list", list.der());
    let text = openssl(folder.path(), "crl -inform DER -in list -CAfile issuing.pem -noout -text").unwrap();
    let invalid = "Invalidity Date: \n                Nov  1 00:00:00 2026 GMT";
    for line in [
        "verify OK",
        "Version 2 (0x1)",
        "Issuer: CN = City issuing",
        "Last Update: Nov 19 00:00:00 2026 GMT",
        "Next Update: Nov 21 00:00:00 2026 GMT",
        "X509v3 CRL Number: \n                511",
        "Serial Number: 60\n        Revocation Date: Nov 18 12:00:00 2026 GMT",
        invalid,
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    for (serial, (_, name)) in (0x50..).zip(reasons) {
        assert!(text.contains(&format!("Serial Number: {serial:X}\n        Revocation Date: Nov 18 12:00:00 2026 GMT\n        CRL entry extensions:\n            X509v3 CRL Reason Code: \n                {name}\n")), "{name}: {text}");
    }
    let read = judged::verify_list(judged::read_list(list.der()).unwrap(), &city.issuing).unwrap();
    assert_eq!((read.number(), read.this_update(), read.next_update(), read.der()), (0x1ff, at(YESTERDAY), at(TOMORROW), list.der()));
    revocations.rotate_left(1);
    assert_eq!(read.revocations().cloned().collect::<Vec<_>>(), revocations, "what was written is not what is read");
    let empty = make_revocation_list(&new(&[]), &city.issuing, &city.issuing_key).unwrap();
    write(&folder, "list", empty.der());
    let text = openssl(folder.path(), "crl -inform DER -in list -CAfile issuing.pem -noout -text").unwrap();
    assert!(text.contains("verify OK") && text.contains("No Revoked Certificates."), "{text}");
}

/// What a list says of a certificate must be what openssl says.
#[test]
fn openssl_judges_certificates_by_our_lists_as_we_do() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "root.pem", city.root.to_pem());
    write(&folder, "issuing.pem", city.issuing.to_pem());
    let camera = city.camera();
    write(&folder, "leaf.pem", camera.to_pem());
    let good = List::good(&city);
    let listed = good.entries(&[entry(camera.serial(), &[])]);
    let hold = good.entries(&[entry(camera.serial(), &[&extension(REASON, false, &[10, 1, 6])])]);
    let critical = |kind: &'static str, value: &[u8]| {
        let value = value.to_vec();
        good.with(|list| list.extensions.push(extension(kind, true, &value)))
    };
    let serial = camera.serial();
    let at_entry = |entries: &[Vec<u8>], this_update: &str| {
        let mut list = good.entries(entries);
        list.this_update = time(this_update);
        list
    };
    let dated = |moment: &[u8]| entry(serial, &[&extension(INVALIDITY, false, &tlv(0x18, &[moment]))]);
    let sha256 = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]);
    const CLOSED: &str = "our profile is closed: what has another form is no list here";
    const WITHOUT_END: &str = "a list that does not say when the next one comes would be current for ever";
    const CHANGES: &str = "a list of changes does not say what was revoked before it, and openssl takes it for a whole one";
    const LAST_SECOND: &str = "RFC 5280 section 5.1.2.5: the next list is out by nextUpdate, so that this one holds until then";
    let cases: Vec<(&str, bool, bool, &str, List)> = vec![
        ("another listed", true, true, "", good.clone()),
        ("nobody listed", true, true, "", good.with(|list| list.entries = None)),
        ("listed", false, false, "", listed),
        ("listed after another", false, false, "", good.entries(&[entry(&[77], &[]), entry(serial, &[])])),
        ("listed twice", false, false, "", good.entries(&[entry(serial, &[]), entry(serial, &[])])),
        ("on hold", false, false, "", hold),
        ("listed without a reason, and since when", false, false, "", good.entries(&[dated(b"20261101000000Z")])),
        ("listed as compromised", false, false, "", good.entries(&[entry(serial, &[&extension(REASON, false, &[10, 1, 1])])])),
        ("taken back", false, true, CLOSED, good.entries(&[entry(serial, &[&extension(REASON, false, &[10, 1, 8])])])),
        ("listed on a day after the list", false, false, "", at_entry(&[entry(serial, &[])], "261117000000Z")),
        ("its serial number with a zero before it", false, false, "", good.entries(&[entry(&[&[0], serial].concat(), &[])])),
        ("its serial number cut short", true, true, "", good.entries(&[entry(&serial[1..], &[])])),
        ("expired list", false, false, "", good.with(|list| list.next_update = time("261120115959Z"))),
        ("the second after the last of the list", true, true, "", good.with(|list| list.next_update = time("261120120001Z"))),
        ("last second of the list", true, false, LAST_SECOND, good.with(|list| list.next_update = time("261120120000Z"))),
        ("first second of the list", true, true, "", good.with(|list| list.this_update = time("261120120000Z"))),
        ("list of the future", false, false, "", good.with(|list| list.this_update = time("261120120001Z"))),
        ("list without an end", false, true, WITHOUT_END, good.with(|list| list.next_update.clear())),
        ("list until 2050", true, true, "", good.with(|list| list.next_update = tlv(0x18, &[b"20500101000000Z"]))),
        ("GeneralizedTime before 2050", false, true, CLOSED, good.with(|list| list.next_update = tlv(0x18, &[b"20261121000000Z"]))),
        ("signature of another key", false, false, "", good.with(|list| list.key = 9)),
        ("list of another authority", false, false, "", good.with(|list| list.issuer = common_name("Other"))),
        (
            "list by another key of the authority",
            false,
            false,
            "",
            good.with(|list| list.extensions[0] = extension(AUTHORITY_KEY, false, &tlv(0x30, &[&tlv(0x80, &[b"another"])]))),
        ),
        ("no authority key identifier", false, true, CLOSED, good.with(|list| drop(list.extensions.remove(0)))),
        ("no number", false, true, CLOSED, good.with(|list| drop(list.extensions.remove(1)))),
        ("version 1", false, true, CLOSED, good.with(|list| (list.version, list.extensions) = (vec![], vec![]))),
        ("another hash", false, false, "", good.with(|list| (list.algorithm, list.outer_algorithm) = (sha256.clone(), sha256.clone()))),
        ("another hash outside", false, false, "", good.with(|list| list.outer_algorithm = sha256.clone())),
        ("unknown critical extension", false, false, "", critical("1.2.3", &[5, 0])),
        ("list of changes", false, true, CHANGES, critical("2.5.29.27", &[2, 1, 1])),
        ("list of users alone", false, true, CLOSED, critical("2.5.29.28", &[0x30, 3, 0x81, 1, 0xff])),
        ("list of authorities alone", false, false, "", critical("2.5.29.28", &[0x30, 3, 0x82, 1, 0xff])),
        ("critical extension of an entry", false, false, "", good.entries(&[entry(&[77], &[&extension("1.2.3", true, &[5, 0])])])),
    ];
    for (name, accepted, accepted_by_openssl, why, list) in cases {
        write(&folder, "list.der", list.der());
        // What openssl can not even read stays what it was, so that nothing of the last one is judged.
        let _ = fs::remove_file(folder.path().join("list.pem"));
        let _ = openssl(folder.path(), "crl -inform DER -in list.der -out list.pem");
        let verify = "verify -x509_strict -crl_check -attime 1795176000 -CAfile root.pem -untrusted issuing.pem -CRLfile list.pem leaf.pem";
        let theirs = openssl(folder.path(), verify);
        let ours = judged::read_list(&list.der()).and_then(|list| judged::verify_list(list, &city.issuing));
        let ours = ours.is_ok_and(|list| judged::is_good_by_list(&list, &city.issuing, &city.path(&camera), at(NOON)));
        assert_eq!(ours, accepted, "{name}");
        assert_eq!(theirs.is_ok(), accepted_by_openssl, "{name}: openssl says {theirs:?}");
        assert_eq!(accepted == accepted_by_openssl, why.is_empty(), "{name}: {why}");
    }
}

#[test]
fn a_list_says_what_it_knows_of_a_certificate_at_a_moment() {
    let city = City::new();
    let camera = city.camera();
    let revoked = [revocation(camera.serial(), Some(RevocationReason::KeyCompromise), None)];
    let list = |revocations: &[Revocation]| {
        make_revocation_list(&new(revocations), &city.issuing, &city.issuing_key).unwrap().verify(&city.issuing, &RustCrypto).unwrap()
    };
    let (without, with) = (list(&[]), list(&revoked));
    let path = city.path(&camera);
    let last = "2026-11-21T00:00:00.999Z";
    for (moment, status) in [
        (YESTERDAY, ListedStatus::NotRevoked),
        (last, ListedStatus::NotRevoked),
        ("2026-11-18T23:59:59.999Z", ListedStatus::NotCurrent),
        ("2026-11-21T00:00:01.000Z", ListedStatus::NotCurrent),
    ] {
        assert_eq!(without.status_at(issued(&path), at(moment)), status, "{moment}");
        assert_eq!(judged::is_good_by_list(&without, &city.issuing, &path, at(moment)), status == ListedStatus::NotRevoked);
        let status = with.status_at(issued(&path), at(moment));
        assert_eq!(status, ListedStatus::Revoked(&revoked[0]), "{moment}: an old list was forgotten");
        assert!(!judged::is_good_by_list(&with, &city.issuing, &path, at(moment)));
    }
    let authority = city.path(&city.issuing);
    assert_eq!(with.status_at(issued(&authority), at(NOON)), ListedStatus::OtherIssuer, "a list judges the certificates of others");
}

/// Name, key identifier and trust domain are what somebody wrote into a certificate. A list clears and revokes what its own key has signed.
#[test]
fn a_list_says_nothing_of_the_certificates_of_namesakes() {
    let city = City::new();
    let revoked = [revocation(city.camera().serial(), None, None)];
    let folder = tempfile::tempdir().unwrap();
    for (revocations, name) in [(&[][..], "clean"), (&revoked, "revoking")] {
        let list = make_revocation_list(&new(revocations), &city.issuing, &city.issuing_key).unwrap();
        write(&folder, &format!("{name}.der"), list.der());
        openssl(folder.path(), &format!("crl -inform DER -in {name}.der -out {name}.pem")).unwrap();
        let list = judged::verify_list(list, &city.issuing).unwrap();
        for namesake in Namesake::all(&city) {
            let (other, path) = (namesake.other, namesake.path());
            let same = other == "certificate";
            let status = list.status_at(issued(&path), at(NOON));
            assert_eq!(
                status == ListedStatus::OtherIssuer,
                !same,
                "a {name} list judges the certificates of an authority of another {other}"
            );
            assert_eq!(judged::is_good_by_list(&list, &city.issuing, &path, at(NOON)), same && name == "clean", "{other}");
            for (file, certificate) in [("root", &namesake.root), ("authority", &namesake.authority), ("camera", &namesake.camera)] {
                write(&folder, &format!("{file}.pem"), certificate.to_pem());
            }
            write(&folder, "both.pem", namesake.authority.to_pem() + &city.issuing.to_pem());
            let verify = |options: &str, untrusted: &str| {
                let files = format!("-CAfile root.pem -untrusted {untrusted}.pem -CRLfile {name}.pem camera.pem");
                openssl(folder.path(), &format!("verify -x509_strict {options} -attime 1795176000 {files}"))
            };
            let (theirs, revoked) =
                (verify("-crl_check", "authority"), |said: &Result<_, String>| said.as_ref().is_err_and(|said| said.contains("revoked")));
            // It does not know of trust domains.
            let known = same || other == "trust domain";
            assert_eq!((theirs.is_ok(), revoked(&theirs)), (known && name == "clean", known && name == "revoking"), "{other}: {theirs:?}");
            // RFC 5280 lets an authority sign lists with another key than its certificates, if both lead to one root. Asked for that, openssl takes the
            // list of the old key for the certificates of the new one; we demand a list of each.
            let extended = verify("-crl_check -extended_crl", "both");
            let known = known || other.contains("key identifier");
            assert_eq!(
                (extended.is_ok(), revoked(&extended)),
                (known && name == "clean", known && name == "revoking"),
                "{other}: {extended:?}"
            );
        }
    }
}

fn read_and_verify(list: &[u8], issuer: &Certificate) -> Result<VerifiedRevocationList, RevocationListError> {
    judged::verify_list(judged::read_list(list)?, issuer)
}

fn assert_refused<const N: usize>(city: &City, cases: [(&str, RevocationListError, List); N]) {
    for (name, error, list) in cases {
        assert_eq!(read_and_verify(&list.der(), &city.issuing).err(), Some(error), "{name}");
    }
}

#[test]
fn a_list_with_a_flaw_in_its_fields_is_refused() {
    use RevocationListError::{Malformed, Profile};
    let city = City::new();
    let good = List::good(&city);
    assert!(read_and_verify(&good.der(), &city.issuing).is_ok());
    let sha256 = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]);
    let with_null = tlv(0x30, &[&oid("1.2.840.10045.4.3.3"), &[5, 0]]);
    let not_sha384 = Profile("it is not signed with ECDSA and SHA-384");
    let early = Profile("a time until 2049 is written as GeneralizedTime");
    let generalized = |text: &str| tlv(0x18, &[text.as_bytes()]);
    let cases = [
        ("version 1", Profile("it is not version 2"), good.with(|l| l.version = vec![2, 1, 0])),
        ("version 3", Profile("it is not version 2"), good.with(|l| l.version = vec![2, 1, 2])),
        ("no version", Malformed, good.with(|l| l.version.clear())),
        (
            "issuer's name with an empty part",
            Profile("a part of its issuer's name is empty"),
            good.with(|l| l.issuer = tlv(0x30, &[&[0x31, 0]])),
        ),
        (
            "issuer's name with a truth of BER",
            Malformed,
            good.with(|l| l.issuer = tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&oid("2.5.4.99"), &[1, 1, 1]])])])),
        ),
        ("SHA-256", not_sha384, good.with(|l| (l.algorithm, l.outer_algorithm) = (sha256.clone(), sha256.clone()))),
        ("another algorithm inside", not_sha384, good.with(|l| l.algorithm = sha256.clone())),
        ("another algorithm outside", not_sha384, good.with(|l| l.outer_algorithm = sha256.clone())),
        ("algorithm with parameters", not_sha384, good.with(|l| (l.algorithm, l.outer_algorithm) = (with_null.clone(), with_null.clone()))),
        ("no next update", Profile("it does not say when the next one comes"), good.with(|l| l.next_update.clear())),
        ("next update before this one", Profile("the next one comes before it"), good.with(|l| l.next_update = time("261118235959Z"))),
        ("this update as GeneralizedTime", early, good.with(|l| l.this_update = generalized("20261119000000Z"))),
        ("next update as GeneralizedTime", early, good.with(|l| l.next_update = generalized("20261121000000Z"))),
    ];
    assert_refused(&city, cases);
}

#[test]
fn a_list_with_a_flaw_in_an_entry_is_refused() {
    use RevocationListError::{Malformed, Profile};
    let city = City::new();
    let good = List::good(&city);
    let reason = |value: &[u8]| good.entries(&[entry(&[77], &[&extension(REASON, false, value)])]);
    let unspecified = read_and_verify(&reason(&[10, 1, 0]).der(), &city.issuing).unwrap();
    assert!(unspecified.revocations().all(|revocation| revocation.reason.is_none()));
    let dated = |text: &[u8]| good.entries(&[entry(&[77], &[&extension(INVALIDITY, false, &tlv(0x18, &[text]))])]);
    assert!(read_and_verify(&dated(b"20261118120000Z").der(), &city.issuing).is_ok());
    let bad_serial = Profile("a serial number is not positive, or longer than 20 bytes");
    let cases = [
        ("entries that are none", Profile("it has an empty list where there should be none"), good.entries(&[])),
        (
            "entry with extensions that are none",
            Profile("it has an empty list where there should be none"),
            good.entries(&[tlv(0x30, &[&[2, 1, 77], &time("261118120000Z"), &[0x30, 0]])]),
        ),
        ("a certificate twice", Profile("it has a certificate twice"), good.entries(&[entry(&[77], &[]), entry(&[77], &[])])),
        ("serial number zero", bad_serial, good.entries(&[entry(&[0], &[])])),
        ("serial number negative", bad_serial, good.entries(&[entry(&[0x80], &[])])),
        ("serial number of 21 bytes", bad_serial, good.entries(&[entry(&[1; 21], &[])])),
        ("revoked after the list", Profile("a revocation is later than the list"), good.with(|l| l.this_update = time("261118115959Z"))),
        (
            "entry with a critical extension",
            Profile("an entry has a critical extension"),
            good.entries(&[entry(&[77], &[&extension("2.5.29.29", true, &[0x30, 0])])]),
        ),
        (
            "entry with a reason twice",
            Profile("it has an extension twice"),
            good.entries(&[entry(&[77], &[&extension(REASON, false, &[10, 1, 1]), &extension(REASON, false, &[10, 1, 6])])]),
        ),
        ("entry taken back", Profile("an entry takes something back, which only delta lists do"), reason(&[10, 1, 8])),
        ("reason 7", Malformed, reason(&[10, 1, 7])),
        ("reason 11", Malformed, reason(&[10, 1, 11])),
        ("reason that is a number", Malformed, reason(&[2, 1, 1])),
        ("invalid after it was revoked", Profile("an entry is invalid only after it was revoked"), dated(b"20261118120001Z")),
        ("invalidity with a fraction", Malformed, dated(b"20261118000000.5Z")),
    ];
    assert_refused(&city, cases);
}

#[test]
fn a_list_with_a_flaw_in_its_extensions_is_refused() {
    use RevocationListError::{Malformed, Profile};
    let city = City::new();
    let good = List::good(&city);
    let unknown = good.with(|l| l.extensions.push(extension("1.2.3", false, &[5, 0])));
    assert!(read_and_verify(&unknown.der(), &city.issuing).is_ok());
    let identified = |more: &[&[u8]]| {
        let key = tlv(0x80, &[city.issuing.subject_key_identifier()]);
        extension(AUTHORITY_KEY, false, &tlv(0x30, &[&key, &more.concat()]))
    };
    let cases = [
        ("no number", Profile("it has no number"), good.with(|l| drop(l.extensions.remove(1)))),
        (
            "number of 17 bytes",
            Profile("its number has more than 128 bits"),
            good.with(|l| l.extensions[1] = extension(NUMBER, false, &tlv(2, &[&[1; 17]]))),
        ),
        ("number negative", Malformed, good.with(|l| l.extensions[1] = extension(NUMBER, false, &[2, 1, 0x80]))),
        ("number twice", Profile("it has an extension twice"), good.with(|l| l.extensions.push(extension(NUMBER, false, &[2, 1, 6])))),
        (
            "17 extensions",
            Profile("it has too many extensions"),
            good.with(|l| l.extensions.extend((0..15).map(|arc| extension(&format!("1.2.3.{arc}"), false, &[5, 0])))),
        ),
        ("no authority key identifier", Profile("it has no authority key identifier"), good.with(|l| drop(l.extensions.remove(0)))),
        (
            "authority key identifier without a key",
            Profile("it has no authority key identifier"),
            good.with(|l| l.extensions[0] = extension(AUTHORITY_KEY, false, &[0x30, 0])),
        ),
        (
            "authority key identifier with a serial number",
            Profile("its authority key identifier has more than a key identifier"),
            good.with(|l| l.extensions[0] = identified(&[&tlv(0xa1, &[&tlv(0xa4, &[city.root.subject_der()])]), &[0x82, 1, 2]])),
        ),
        (
            "authority key identifier with a serial number alone",
            Profile("its authority key identifier has more than a key identifier"),
            good.with(|l| l.extensions[0] = identified(&[&[0x82, 1, 2]])),
        ),
        (
            "authority key identifier with an issuer",
            Profile("its authority key identifier has more than a key identifier"),
            good.with(|l| l.extensions[0] = identified(&[&tlv(0xa1, &[&tlv(0xa4, &[city.root.subject_der()])])])),
        ),
        ("no extensions", Profile("it has no authority key identifier"), good.with(|l| l.extensions.clear())),
        ("delta list", Profile("it has a critical extension"), good.with(|l| l.extensions.push(extension("2.5.29.27", true, &[2, 1, 1])))),
        (
            "list of a part",
            Profile("it has a critical extension"),
            good.with(|l| l.extensions.push(extension("2.5.29.28", true, &[0x30, 3, 0x81, 1, 0xff]))),
        ),
    ];
    assert_refused(&city, cases);
}

#[test]
fn a_list_of_somebody_else_is_refused() {
    use RevocationListError::{NotAnIssuer, OtherIssuer, Signature};
    let city = City::new();
    let good = List::good(&city);
    let cases = [
        ("name of another authority", OtherIssuer, good.with(|l| l.issuer = common_name("Other"))),
        (
            "key identifier of another authority",
            OtherIssuer,
            good.with(|l| l.extensions[0] = extension(AUTHORITY_KEY, false, &tlv(0x30, &[&tlv(0x80, &[b"another"])]))),
        ),
        ("signature of another key", Signature(BadSignature), good.with(|l| l.key = 9)),
    ];
    assert_refused(&city, cases);
    let authority =
        |usage: &[u8]| Certificate::from_der(&Forgery::authority(&city).replace(KEY_USAGE, usage.to_vec()).sign(&city.root_key)).unwrap();
    assert!(read_and_verify(&good.der(), &authority(ISSUING_USAGE)).is_ok());
    assert_eq!(read_and_verify(&good.der(), &authority(&[3, 2, 2, 0x04])).err(), Some(NotAnIssuer), "an authority without cRLSign");
    let camera = city.camera();
    let by_camera = good.with(|l| {
        (l.issuer, l.key) = (camera.subject_der().to_vec(), 3);
        l.extensions[0] = extension(AUTHORITY_KEY, false, &tlv(0x30, &[&tlv(0x80, &[camera.subject_key_identifier()])]));
    });
    assert_eq!(read_and_verify(&by_camera.der(), &camera).err(), Some(NotAnIssuer), "a camera revokes");
}

#[test]
fn bytes_that_are_not_one_der_value_are_refused() {
    let city = City::new();
    let good = List::good(&city);
    let der = good.der();
    let huge = good.with(|l| l.extensions.push(extension("1.2.3", false, &vec![0; 8 * 1024 * 1024])));
    for (name, bytes) in [
        ("nothing", vec![]),
        ("cut off", der[..der.len() - 1].to_vec()),
        ("a byte too many", [&der[..], &[0]].concat()),
        ("length in too many bytes", [&[0x30, 0x83, 0], &der[2..]].concat()),
        ("critical written out as false", good.with(|l| l.extensions.push(tlv(0x30, &[&oid("1.2.3"), &[1, 1, 0], &[4, 0]]))).der()),
        ("more than 8 MiB", huge.der()),
    ] {
        assert_eq!(judged::read_list(&bytes), Err(RevocationListError::Malformed), "{name}");
    }
    // Whatever bit is changed: an error and no panic.
    for position in 0..der.len() {
        let mut bytes = der.clone();
        bytes[position] ^= 1;
        let read = judged::read_list(&bytes).and_then(|list| judged::verify_list(list, &city.issuing));
        assert!(read.is_err(), "byte {position}");
    }
}

#[test]
fn a_list_that_would_not_be_believed_is_not_made() {
    let city = City::new();
    let refusal = |list: &NewRevocationList<'_>, issuer: &Certificate, signer| match make_revocation_list(list, issuer, &key(signer)) {
        Err(MakeListError::Refused(error)) => Some(error),
        _ => None,
    };
    let good = [revocation(&[7], None, None)];
    assert_eq!(refusal(&new(&good), &city.issuing, 2), None);
    assert_eq!(refusal(&new(&good), &city.issuing, 9), Some(RevocationListError::OtherIssuer));
    assert_eq!(refusal(&new(&good), &city.camera(), 3), Some(RevocationListError::NotAnIssuer));
    let twice = [revocation(&[7], None, None), revocation(&[7], None, None)];
    assert_eq!(refusal(&new(&twice), &city.issuing, 2), Some(RevocationListError::Profile("it has a certificate twice")));
    let negative = [revocation(&[0x80], None, None)];
    assert_eq!(refusal(&new(&negative), &city.issuing, 2), Some(RevocationListError::Malformed), "another serial number was revoked");
    let late = NewRevocationList { this_update: at("2026-11-18T11:59:59.000Z"), ..new(&good) };
    assert_eq!(refusal(&late, &city.issuing, 2), Some(RevocationListError::Profile("a revocation is later than the list")));
    assert_eq!(refusal(&new(&[revocation(&[1; 21], None, None)]), &city.issuing, 2), Some(RevocationListError::Malformed));
    let wrapping = city.issue("user/8c1", &[Role::Investigator], KeyPurpose::Wrapping, &[], &key(6));
    assert_eq!(refusal(&new(&good), &wrapping, 6), Some(RevocationListError::NotAnIssuer));
}

#[test]
fn we_read_the_lists_of_openssl() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "issuing.pem", city.issuing.to_pem());
    write(&folder, "issuing.key", city.issuing_key.to_pkcs8_pem().as_bytes());
    write(&folder, "number", "0A01\n");
    write(
        &folder,
        "configuration",
        "[ca]\ndefault_ca=c\n[c]\ndatabase=index\ncrlnumber=number\ncertificate=issuing.pem\nprivate_key=issuing.key\ndefault_md=sha384\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n",
    );
    let line = |revoked: &str, serial: &str| format!("R\t360101000000Z\t{revoked}\t{serial}\tunknown\t/CN=a\n");
    let index =
        [line("261118120000Z,keyTime,20261101000000Z", "07"), line("261117120000Z,superseded", "0085"), line("261116120000Z", "1122")]
            .concat();
    write(&folder, "index", index);
    openssl(
        folder.path(),
        "ca -config configuration -gencrl -crl_lastupdate 20261119000000Z -crl_nextupdate 20261121000000Z -out list.pem",
    )
    .unwrap();
    openssl(folder.path(), "crl -in list.pem -outform DER -out list").unwrap();
    let list = judged::verify_list(judged::read_list(&fs::read(folder.path().join("list")).unwrap()).unwrap(), &city.issuing).unwrap();
    assert_eq!((list.number(), list.this_update(), list.next_update()), (0x0a01, at(YESTERDAY), at(TOMORROW)));
    let found: Vec<Revocation> = list.revocations().cloned().collect();
    let mut expected = [
        revocation(&[0, 0x85], Some(RevocationReason::Superseded), None),
        revocation(&[7], Some(RevocationReason::KeyCompromise), Some("2026-11-01T00:00:00.000Z")),
        revocation(&[0x11, 0x22], None, None),
    ];
    (expected[0].revoked, expected[2].revoked) = (at("2026-11-17T12:00:00.000Z"), at("2026-11-16T12:00:00.000Z"));
    assert_eq!(found, expected);
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 10] = [
        openssl_verifies_and_reads_our_lists,
        openssl_judges_certificates_by_our_lists_as_we_do,
        a_list_says_what_it_knows_of_a_certificate_at_a_moment,
        a_list_says_nothing_of_the_certificates_of_namesakes,
        a_list_with_a_flaw_in_its_fields_is_refused,
        a_list_with_a_flaw_in_an_entry_is_refused,
        a_list_with_a_flaw_in_its_extensions_is_refused,
        a_list_of_somebody_else_is_refused,
        bytes_that_are_not_one_der_value_are_refused,
        we_read_the_lists_of_openssl,
    ];
    judged::assert_agrees_on(&tests, 500);
}
