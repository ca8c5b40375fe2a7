//! The program as people and scripts see it: files, exit codes, JSON.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use exhibit_pki::{Certificate, Identity, KeyPurpose, Role, RustCrypto, SoftwareSigner, Timestamp, build_request_pem, validate_path};
use tempfile::TempDir;
use zeroize::Zeroizing;

fn run(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_exhibit-authority")).args(arguments.split_whitespace()).current_dir(folder).output().unwrap()
}

fn code(folder: &Path, arguments: &str) -> i32 {
    run(folder, arguments).status.code().unwrap()
}

fn ok(folder: &Path, arguments: &str) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with an authority in `ca`, and requests of a camera, a user and an appliance.
fn city() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    ok(folder.path(), "init --dir ca --domain city.example");
    for (number, subject) in [(3, "camera/102"), (4, "user/8c1"), (5, "appliance/1")] {
        let key = SoftwareSigner::from_scalar(&Zeroizing::new([number; 48])).unwrap();
        let identity = Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap();
        let name = subject.split_once('/').unwrap().0;
        fs::write(folder.path().join(format!("{name}.csr")), build_request_pem(&identity, &key).unwrap()).unwrap();
    }
    folder
}

fn certificate(folder: &Path, name: &str) -> Certificate {
    Certificate::from_pem(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn now() -> Timestamp {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_ms(u64::try_from(elapsed.as_millis()).unwrap()).unwrap()
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("the openssl program is needed for this test: apt-get install openssl");
    assert!(output.status.success(), "{arguments}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn init_makes_an_authority_whose_keys_are_its_owners_alone() {
    let folder = city();
    let ca = folder.path().join("ca");
    assert_eq!(fs::metadata(&ca).unwrap().permissions().mode() & 0o777, 0o700);
    for name in ["root.key", "issuing.key", "authority.key"] {
        assert_eq!(fs::metadata(ca.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let (root, issuing, authority) = (certificate(&ca, "root.pem"), certificate(&ca, "issuing.pem"), certificate(&ca, "authority.pem"));
    assert_eq!(certificate(&ca, "chain.pem"), issuing);
    assert_eq!(authority.identity().unwrap().to_string(), "spiffe://city.example/authority/1");
    assert_eq!(authority.roles(), [Role::Authority]);
    validate_path(&authority, &[issuing], &[root], now(), &RustCrypto).unwrap();
    openssl(&ca, "verify -x509_strict -CAfile root.pem -untrusted issuing.pem authority.pem");
    assert!(!folder.path().join("ca.part").exists());
}

#[test]
fn two_authorities_share_no_key() {
    let (one, two) = (city(), city());
    let key = |folder: &TempDir, name: &str| certificate(&folder.path().join("ca"), name).public_key().clone();
    let keys: std::collections::HashSet<_> =
        [&one, &two].into_iter().flat_map(|folder| ["root.pem", "issuing.pem", "authority.pem"].map(|name| key(folder, name))).collect();
    assert_eq!(keys.len(), 6, "a key was drawn twice");
}

#[test]
fn init_overwrites_nothing() {
    let folder = city();
    let key = fs::read(folder.path().join("ca/root.key")).unwrap();
    assert_eq!(code(folder.path(), "init --dir ca --domain city.example"), 2);
    assert_eq!(fs::read(folder.path().join("ca/root.key")).unwrap(), key, "a root key was overwritten");
    fs::create_dir(folder.path().join("mine")).unwrap();
    fs::write(folder.path().join("mine/letter"), "dear").unwrap();
    assert_eq!(code(folder.path(), "init --dir mine --domain city.example"), 2);
    assert_eq!(fs::read_dir(folder.path().join("mine")).unwrap().count(), 1);
    fs::create_dir(folder.path().join("empty")).unwrap();
    ok(folder.path(), "init --dir empty --domain city.example");
    ok(folder.path(), "init --dir below/ --domain city.example");
}

#[test]
fn sign_certifies_what_was_asked_for() {
    let folder = city();
    let folder = folder.path();
    let ca = folder.join("ca");
    let json = ok(folder, "--json sign --dir ca --csr camera.csr --role camera --out camera.pem");
    let camera = certificate(folder, "camera.pem");
    assert_eq!((camera.purpose(), camera.roles()), (KeyPurpose::Signing, &[Role::Camera][..]));
    for part in [&hex::encode(camera.fingerprint()), "\"index\":null", "\"identity\":\"spiffe://city.example/camera/102\""] {
        assert!(json.contains(part), "no {part} in {json}");
    }
    ok(folder, "sign --dir ca --csr user.csr --role investigator --role custodian --purpose wrapping --out user.pem");
    let user = certificate(folder, "user.pem");
    assert_eq!((user.purpose(), user.roles()), (KeyPurpose::Wrapping, &[Role::Custodian, Role::Investigator][..]));
    ok(folder, "sign --dir ca --csr appliance.csr --role appliance --server-name localhost --server-name 127.0.0.1 --out appliance.pem");
    let appliance = certificate(folder, "appliance.pem");
    assert_eq!(appliance.server_names(), ["localhost", "127.0.0.1"]);
    let days = (appliance.not_after().unix_s() - appliance.not_before().unix_s()) / 86400;
    assert_eq!(days, 397);
    assert!(appliance.not_before() < now());
    let (root, issuing) = (certificate(&ca, "root.pem"), certificate(&ca, "issuing.pem"));
    for (name, leaf) in [("camera", &camera), ("user", &user), ("appliance", &appliance)] {
        validate_path(leaf, std::slice::from_ref(&issuing), std::slice::from_ref(&root), now(), &RustCrypto).unwrap();
        openssl(folder, &format!("verify -x509_strict -CAfile ca/root.pem -untrusted ca/chain.pem {name}.pem"));
        let copy = ca.join("issued").join(format!("{}.pem", hex::encode(leaf.fingerprint())));
        assert_eq!(fs::read_to_string(copy).unwrap(), leaf.to_pem(), "the authority kept no copy");
    }
}

#[test]
fn validity_can_be_asked_for() {
    let folder = city();
    let folder = folder.path();
    let expired = "--not-before 2020-01-01T00:00:00Z --not-after 2020-02-01T00:00:00.000Z";
    ok(folder, &format!("sign --dir ca --csr camera.csr --role camera --out expired.pem {expired}"));
    let camera = certificate(folder, "expired.pem");
    assert_eq!(camera.not_before().to_string(), "2020-01-01T00:00:00.000Z");
    assert_eq!(camera.not_after().to_string(), "2020-02-01T00:00:00.000Z");
    ok(folder, "sign --dir ca --csr camera.csr --role camera --out short.pem --days 2");
    let short = certificate(folder, "short.pem");
    assert_eq!(short.not_after().unix_s() - short.not_before().unix_s(), 2 * 86400);
    ok(folder, "sign --dir ca --csr camera.csr --role camera --out long.pem --days 3650");
    assert!(certificate(folder, "long.pem").not_after() <= certificate(folder, "ca/issuing.pem").not_after());
}

#[test]
fn what_is_refused_ends_with_1_and_leaves_nothing() {
    let folder = city();
    let folder = folder.path();
    let sign = |options: &str| code(folder, &format!("sign --dir ca --out out.pem {options}"));
    assert_eq!(sign("--csr camera.csr --role custodian"), 1, "a camera as a custodian");
    assert_eq!(sign("--csr user.csr --role camera"), 1, "a user as a camera");
    assert_eq!(sign("--csr camera.csr --role camera --identity spiffe://city.example/camera/103"), 1, "another camera");
    assert_eq!(sign("--csr camera.csr --role camera --identity spiffe://town.example/camera/102"), 1, "another town");
    assert_eq!(sign("--csr camera.csr --role camera --purpose wrapping"), 1);
    assert_eq!(sign("--csr camera.csr --role camera --server-name localhost"), 1);
    assert_eq!(sign("--csr appliance.csr --role appliance --server-name *.city.example"), 1);
    assert_eq!(sign("--csr camera.csr --role camera --not-before 2030-01-01T00:00:00Z --not-after 2029-01-01T00:00:00Z"), 1);
    assert_eq!(sign("--csr ca/root.pem --role camera"), 1, "a certificate as a request");
    let changed = fs::read_to_string(folder.join("camera.csr")).unwrap().replacen('A', "B", 1);
    fs::write(folder.join("changed.csr"), changed).unwrap();
    assert_eq!(sign("--csr changed.csr --role camera"), 1);
    let town = SoftwareSigner::from_scalar(&Zeroizing::new([6; 48])).unwrap();
    let identity = Identity::parse("spiffe://town.example/camera/102").unwrap();
    fs::write(folder.join("town.csr"), build_request_pem(&identity, &town).unwrap()).unwrap();
    assert_eq!(sign("--csr town.csr --role camera"), 1, "a camera of another town");
    assert!(!folder.join("out.pem").exists());
    assert_eq!(fs::read_dir(folder.join("ca/issued")).unwrap().count(), 0, "what was refused was issued");
}

#[test]
fn what_cannot_be_done_ends_with_2_and_leaves_nothing() {
    let folder = city();
    let folder = folder.path();
    let sign = "sign --dir ca --csr camera.csr --role camera";
    assert_eq!(code(folder, &format!("{sign} --out no/such/folder/camera.pem")), 2);
    assert_eq!(code(folder, "sign --dir nowhere --csr camera.csr --role camera --out camera.pem"), 2);
    assert_eq!(code(folder, "sign --dir ca --csr nothing.csr --role camera --out camera.pem"), 2);
    fs::write(folder.join("anchor.json"), "{}").unwrap();
    assert_eq!(code(folder, &format!("{sign} --appliance localhost:1 --anchor anchor.json --out camera.pem")), 2);
    assert!(!folder.join("camera.pem").exists());
    assert_eq!(fs::read_dir(folder.join("ca/issued")).unwrap().count(), 0, "a certificate was issued that could not be delivered");
    fs::write(folder.join("camera.pem"), "precious").unwrap();
    assert_eq!(code(folder, &format!("{sign} --out camera.pem")), 2);
    assert_eq!(fs::read_to_string(folder.join("camera.pem")).unwrap(), "precious");
    fs::copy(folder.join("ca/root.key"), folder.join("ca/issuing.key")).unwrap();
    let output = run(folder, &format!("{sign} --out other.pem"));
    assert_eq!(output.status.code(), Some(2), "another key than the issuing authority's was used");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("PRIVATE KEY"));
}

#[test]
fn wrong_use_ends_with_64_and_help_with_0() {
    let folder = city();
    let folder = folder.path();
    for arguments in [
        "",
        "sing",
        "init --dir x",
        "init --dir x --domain City.Example",
        "sign --dir ca --csr camera.csr --out camera.pem",
        "sign --dir ca --csr camera.csr --role boss --out camera.pem",
        "sign --dir ca --csr camera.csr --role camera --out camera.pem --identity camera/102",
        "sign --dir ca --csr camera.csr --role camera --out camera.pem --appliance localhost:1",
        "sign --dir ca --csr camera.csr --role camera --out camera.pem --anchor anchor.json",
        "sign --dir ca --csr camera.csr --role camera --out camera.pem --days 0",
        "sign --dir ca --csr camera.csr --role camera --out camera.pem --days 3651",
        "sign --dir ca --csr camera.csr --role camera --out camera.pem --days 3 --not-after 2030-01-01T00:00:00Z",
        "sign --dir ca --csr camera.csr --role camera --out camera.pem --not-after 2030-01-01",
    ] {
        assert_eq!(code(folder, arguments), 64, "{arguments:?}");
    }
    assert!(!folder.join("camera.pem").exists());
    for arguments in ["--help", "sign --help", "init --help", "--version"] {
        assert!(!ok(folder, arguments).is_empty());
    }
}
