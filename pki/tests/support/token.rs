//! What a card or a token is to us: a key that openssl holds, which is given digests alone.
#![allow(clippy::unwrap_used, dead_code)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use exhibit_pki::{PublicKey, Signer, SignerError, Suite};

/// A key in a folder.
pub struct Token {
    folder: PathBuf,
    /// The private key's file in the folder.
    pub file: String,
    public_key: PublicKey,
}

impl Token {
    pub fn p256(folder: &Path) -> Self {
        Self::new(folder, "p256.key.pem", include_str!("../vectors/suites/p256.key.pem"))
    }
    pub fn rsa_3072(folder: &Path) -> Self {
        Self::new(folder, "rsa-3072.key.pem", include_str!("../vectors/suites/rsa-3072.key.pem"))
    }
    pub fn rsa_4096(folder: &Path) -> Self {
        Self::new(folder, "rsa-4096.key.pem", include_str!("../vectors/suites/rsa-4096.key.pem"))
    }
    pub fn new(folder: &Path, file: &str, pem: &str) -> Self {
        fs::write(folder.join(file), pem).unwrap();
        openssl(folder, &format!("pkey -in {file} -pubout -outform DER -out public.der")).unwrap();
        let public_key = PublicKey::from_spki_der(&fs::read(folder.join("public.der")).unwrap()).unwrap();
        Self { folder: folder.to_owned(), file: file.to_owned(), public_key }
    }
}

impl Signer for Token {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        fs::write(self.folder.join("digest"), digest).unwrap();
        let hash = if digest.len() == 32 { "sha256" } else { "sha384" };
        let arguments = format!("pkeyutl -sign -inkey {} -in digest -out signature -pkeyopt digest:{hash}", self.file);
        openssl(&self.folder, &arguments).map_err(SignerError)?;
        let signature = fs::read(self.folder.join("signature")).unwrap();
        Ok(match self.public_key.suite() {
            Suite::RsaPkcs1Sha384 => signature,
            Suite::EcdsaP256Sha256 => numbers(&signature, 32),
            Suite::EcdsaP384Sha384 => numbers(&signature, 48),
        })
    }
}

/// Runs openssl in a folder; an error is what it said.
pub fn openssl(folder: &Path, arguments: &str) -> Result<(), String> {
    let output = Command::new("openssl").current_dir(folder).args(arguments.split_whitespace()).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// `r || s` of a DER signature shorter than 128 bytes.
fn numbers(der: &[u8], number_bytes: usize) -> Vec<u8> {
    let mut raw = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        raw.resize(raw.len() + number_bytes - number.len(), 0);
        raw.extend(number);
        rest = after;
    }
    raw
}
