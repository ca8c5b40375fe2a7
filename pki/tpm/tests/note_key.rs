//! A log's note key in a real software TPM, openssl as the second verifier.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use exhibit_tpm::{Tpm, TpmError, swtpm::Swtpm};

const HANDLE: &str = "0x81010e00";
/// SubjectPublicKeyInfo of a point on P-384, but the point.
const SPKI_PREFIX: &str = "3076301006072a8648ce3d020106052b81040022036200";

fn integer(scalar: &[u8]) -> Vec<u8> {
    let first = scalar.iter().position(|byte| *byte != 0).unwrap();
    let sign: &[u8] = if scalar[first] & 0x80 == 0 { &[] } else { &[0] };
    [&[2, (sign.len() + scalar.len() - first) as u8], sign, &scalar[first..]].concat()
}

/// Whether openssl takes r and s for a signature of the text.
fn openssl_verifies(folder: &Path, point: &[u8], scalars: &[u8], text: &str) -> bool {
    let path = |name: &str| folder.join(name);
    let sequence = [integer(&scalars[..48]), integer(&scalars[48..])].concat();
    fs::write(path("key.der"), [hex::decode(SPKI_PREFIX).unwrap().as_slice(), point].concat()).unwrap();
    fs::write(path("signature.der"), [&[0x30, sequence.len() as u8], sequence.as_slice()].concat()).unwrap();
    fs::write(path("text"), text).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-keyform", "DER", "-verify"]).arg(path("key.der")).arg("-signature").arg(path("signature.der"));
    openssl.arg(path("text")).output().unwrap().status.success()
}

#[test]
fn what_the_program_signs_verifies_by_openssl_after_a_restart_of_the_tpm_too() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = |text: &str| {
        fs::write(folder.path().join("hashed"), text).unwrap();
        let output = Command::new("openssl").args(["dgst", "-sha256", "-r"]).arg(folder.path().join("hashed")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    let state = folder.path().join("tpm");
    fs::create_dir(&state).unwrap();
    let text = "city.example/log/1\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let mut points = Vec::new();
    for _ in 0..2 {
        let swtpm = Swtpm::start(&state).unwrap();
        let ask = |words: &[&str]| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_exhibit-tpm-note"));
            let output =
                program.args(words).args(["--tcti", &swtpm.tcti(), "--handle", HANDLE]).env("TSS2_LOG", "all+NONE").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            hex::decode(String::from_utf8(output.stdout).unwrap().trim()).unwrap()
        };
        let (point, scalars) = (ask(&["key"]), ask(&["sign", &sha256(text)]));
        assert!(openssl_verifies(folder.path(), &point, &scalars, text));
        assert!(!openssl_verifies(folder.path(), &point, &scalars, "another text\n"));
        points.push(point);
        // Neither kind of key is taken for the other.
        let tpm = Tpm::connect(&swtpm.tcti()).unwrap();
        assert!(matches!(tpm.device_key(0x8101_0e00), Err(TpmError::NotOurs { .. })), "a note key became a device's");
        tpm.device_key(0x8101_0102).unwrap();
        assert!(matches!(tpm.note_key(0x8101_0102), Err(TpmError::NotOurs { .. })), "a device's key signs notes");
    }
    assert_eq!(points[0], points[1], "the key did not persist");
}

#[test]
fn what_is_no_digest_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_exhibit-tpm-note"))
        .args(["sign", "--tcti", "swtpm:host=127.0.0.1,port=1", "--handle", HANDLE, "00"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("64 hexadecimal digits"));
}
