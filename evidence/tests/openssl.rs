//! OpenSSL as the second judge of signed statements, both ways: it accepts what we sign, and we accept what it signs.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use common::{
    Pki,
    der::{ATTRIBUTES, Node, SIGNATURE, STATEMENT},
};
use exhibit_evidence::{SignedStatement, sign};
use exhibit_pki::{PublicKey, Signer, SignerError, signature::RustCrypto};
use p384::ecdsa::Signature;

mod common;

fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl is needed for this test: apt install openssl")
}

fn succeeds(folder: &Path, arguments: &[&str]) -> Output {
    let output = openssl(folder, arguments);
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A folder with authorities.pem, the root and the issuing authority, and with signer.pem, the camera's certificate. (OpenSSL 3.0 builds the
/// chain from the former alone, and looks for the signer in the latter alone.)
fn folder(pki: &Pki) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("authorities.pem"), pki.root.to_pem() + &pki.issuing.to_pem()).unwrap();
    fs::write(folder.path().join("signer.pem"), pki.camera().certificate.to_pem()).unwrap();
    folder
}

/// The command of docs/formats/signed-statement.md.
fn verify(folder: &Path, attime: &str) -> Output {
    let given = ["cms", "-verify", "-cades", "-binary", "-purpose", "any", "-inform", "DER", "-in", "entry.der"];
    let named = ["-CAfile", "authorities.pem", "-certfile", "signer.pem", "-out", "statement.json", "-attime", attime];
    openssl(folder, &[&given[..], &named[..]].concat())
}

#[test]
fn openssl_accepts_what_we_sign_and_gives_the_statement_back() {
    let pki = Pki::new();
    let camera = pki.camera();
    let folder = folder(&pki);
    for issued in [common::ISSUED, "2050-01-01T00:00:00.000Z"] {
        let mut statement = common::segment_statement();
        statement.issued = common::time(issued);
        let signed = sign(&statement, &camera.certificate, &camera.key).unwrap();
        fs::write(folder.path().join("entry.der"), signed.der()).unwrap();
        let output = verify(folder.path(), &statement.issued.unix_s().to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read(folder.path().join("statement.json")).unwrap(), statement.to_bytes(), "not byte for byte");
    }
}

#[test]
fn openssl_refuses_what_was_changed_so_its_yes_means_something() {
    let pki = Pki::new();
    let camera = pki.camera();
    let folder = folder(&pki);
    let statement = common::segment_statement();
    let signed = sign(&statement, &camera.certificate, &camera.key).unwrap();
    let attime = statement.issued.unix_s().to_string();
    let refused = |spoil: fn(&mut Node)| {
        let mut tree = Node::parse(signed.der());
        spoil(&mut tree);
        fs::write(folder.path().join("entry.der"), tree.to_der()).unwrap();
        !verify(folder.path(), &attime).status.success()
    };
    assert!(!refused(|_| {}), "the check can not see");
    assert!(refused(|tree| tree.at(STATEMENT).bytes[70] ^= 1), "a changed statement");
    assert!(refused(|tree| *tree.at(SIGNATURE).bytes.last_mut().unwrap() ^= 1), "a changed signature");
    fs::write(folder.path().join("entry.der"), signed.der()).unwrap();
    let before_its_validity = common::time("2025-01-01T00:00:00.000Z").unix_s().to_string();
    assert!(!verify(folder.path(), &before_its_validity).status.success(), "before the certificate's validity");
}

#[test]
fn openssl_finds_the_parts_of_the_profile() {
    let pki = Pki::new();
    let camera = pki.camera();
    let folder = folder(&pki);
    let signed = sign(&common::segment_statement(), &camera.certificate, &camera.key).unwrap();
    fs::write(folder.path().join("entry.der"), signed.der()).unwrap();
    let output = succeeds(folder.path(), &["cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", "entry.der"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "d.subjectKeyIdentifier",
        "algorithm: sha384",
        "algorithm: ecdsa-with-SHA384",
        "object: contentType (1.2.840.113549.1.9.3)",
        "object: signingTime (1.2.840.113549.1.9.5)",
        "object: id-smime-aa-signingCertificateV2 (1.2.840.113549.1.9.16.2.47)",
        "object: messageDigest (1.2.840.113549.1.9.4)",
        "UTCTIME:Nov 20 12:00:02 2026 GMT",
        "2.25.1586047359.1.1",
        "unsignedAttrs:\n          <ABSENT>",
    ] {
        assert!(text.contains(expected), "openssl does not see {expected}:\n{text}");
    }
}

/// A key that openssl holds: what a token or card would be to us, given digests alone.
struct OpensslKey<'a> {
    folder: &'a Path,
    public_key: &'a PublicKey,
}

impl Signer for OpensslKey<'_> {
    fn public_key(&self) -> &PublicKey {
        self.public_key
    }
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        fs::write(self.folder.join("digest"), digest).unwrap();
        let output = succeeds(self.folder, &["pkeyutl", "-sign", "-inkey", "key.pem", "-in", "digest", "-pkeyopt", "digest:sha384"]);
        Ok(Signature::from_der(&output.stdout).unwrap().to_bytes().to_vec())
    }
}

#[test]
fn what_openssl_signs_verifies_here_however_high_its_s() {
    let pki = Pki::new();
    let camera = pki.camera();
    let folder = folder(&pki);
    fs::write(folder.path().join("key.pem"), camera.key.to_pkcs8_pem().as_bytes()).unwrap();
    let key = OpensslKey { folder: folder.path(), public_key: camera.key.public_key() };
    // Half of the signatures come with a high s: of sixteen there are some, but for one run in 65,000.
    for seq in 1..=16 {
        let mut statement = common::segment_statement();
        statement.seq = seq;
        let signed = sign(&statement, &camera.certificate, &key).unwrap();
        assert!(signed.verify(&camera.certificate, &RustCrypto).is_ok(), "what openssl signed does not verify");
    }
}

#[test]
fn the_signature_is_over_the_attributes_as_a_set() {
    let pki = Pki::new();
    let camera = pki.camera();
    let folder = folder(&pki);
    let signed = sign(&common::segment_statement(), &camera.certificate, &camera.key).unwrap();
    let mut tree = Node::parse(signed.der());
    tree.at(ATTRIBUTES).tag = 0x31;
    fs::write(folder.path().join("attributes"), tree.at(ATTRIBUTES).to_der()).unwrap();
    fs::write(folder.path().join("signature"), &tree.at(SIGNATURE).bytes).unwrap();
    succeeds(folder.path(), &["x509", "-in", "signer.pem", "-noout", "-pubkey", "-out", "public.pem"]);
    succeeds(folder.path(), &["dgst", "-sha384", "-verify", "public.pem", "-signature", "signature", "attributes"]);
}

#[test]
fn what_openssl_writes_by_itself_is_not_the_one_encoding() {
    let pki = Pki::new();
    let camera = pki.camera();
    let folder = folder(&pki);
    fs::write(folder.path().join("key.pem"), camera.key.to_pkcs8_pem().as_bytes()).unwrap();
    fs::write(folder.path().join("statement"), common::segment_statement().to_bytes()).unwrap();
    let common =
        ["cms", "-sign", "-cades", "-binary", "-nodetach", "-nocerts", "-nosmimecap", "-keyid", "-md", "sha384", "-outform", "DER"];
    let files = ["-econtent_type", "2.25.1586047359.1.1", "-signer", "signer.pem", "-inkey", "key.pem", "-in", "statement"];
    let output = succeeds(folder.path(), &[&common[..], &files[..]].concat());
    let error = SignedStatement::parse(&output.stdout).unwrap_err().to_string();
    assert!(error.contains("signing-time is not the statement's issued"), "{error}");
}
