//! Chains of certificates that openssl and we judge: flawless ones, made of parts that can be replaced, and what each of us says of one.

use std::{fs, path::Path, process::Command};

use exhibit_pki::{Certificate, Role, RustCrypto, Signer, validate_path};
use tempfile::TempDir;

use crate::support::*;

/// From the leaf to the root; the last is self-signed.
#[derive(Clone)]
pub struct Chain {
    pub levels: Vec<Forgery>,
    pub signers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Leaf,
    Authority,
    Root,
}

pub const CAMERA: &str = "2.25.1586047359.2.1";
pub const KEYS: [u8; 4] = [3, 2, 6, 5];
pub const ROOT_KEY: u8 = 1;

pub fn identifier(level: usize) -> Vec<u8> {
    format!("key of level {level}").into_bytes()
}

impl Chain {
    /// A camera below `authorities` below a root, without a flaw.
    pub fn good(city: &City, authorities: usize) -> Self {
        let names: Vec<Vec<u8>> = (0..=authorities + 1).map(|level| common_name(&format!("level {level}"))).collect();
        let mut levels = Vec::new();
        let key_of = |level: usize| if level > authorities { ROOT_KEY } else { KEYS[level] };
        for level in 0..=authorities + 1 {
            let base = if level == 0 { Forgery::camera(city) } else { Forgery::authority(city) };
            let issuer = (level + 1).min(authorities + 1);
            let mut forgery = base
                .replace(SUBJECT_KEY, tlv(4, &[&identifier(level)]))
                .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[&identifier(issuer)])]));
            if level > authorities {
                forgery = forgery.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]])).without(POLICIES);
            } else if level > 0 {
                forgery = forgery.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, u8::try_from(level - 1).unwrap()]]));
            }
            (forgery.subject, forgery.issuer) = (names[level].clone(), names[issuer].clone());
            forgery.public_key = key(key_of(level)).public_key().to_spki_der();
            levels.push(forgery);
        }
        let signers = (0..levels.len()).map(|level| key_of((level + 1).min(authorities + 1))).collect();
        Self { levels, signers }
    }

    pub fn level(&self, position: usize) -> Level {
        match position {
            0 => Level::Leaf,
            _ if position + 1 == self.levels.len() => Level::Root,
            _ => Level::Authority,
        }
    }

    pub fn der(&self) -> Vec<Vec<u8>> {
        self.levels.iter().zip(&self.signers).map(|(forgery, signer)| forgery.sign(&key(*signer))).collect()
    }
}

/// What we say of a chain from the leaf to the root.
pub fn ours(der: &[Vec<u8>]) -> Result<(), String> {
    let root = der.len() - 1;
    we_say(&der[0], &der[1..root], &der[root..])
}

/// What openssl says of it.
pub fn theirs(folder: &TempDir, der: &[Vec<u8>]) -> Result<(), String> {
    let root = der.len() - 1;
    openssl_says(folder, &der[0], &der[1..root], &der[root..])
}

/// What is not of our profiles is left out, as a bundle's reader would.
pub fn we_say(leaf: &[u8], others: &[Vec<u8>], roots: &[Vec<u8>]) -> Result<(), String> {
    let usable = |list: &[Vec<u8>]| list.iter().filter_map(|der| Certificate::from_der(der).ok()).collect::<Vec<_>>();
    let leaf = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let path = validate_path(&leaf, &usable(others), &usable(roots), at(NOON), &RustCrypto).map_err(|error| error.to_string())?;
    if path.leaf().has_role(Role::Camera) { Ok(()) } else { Err("it has not the role that was asked for".to_owned()) }
}

/// Asked for the camera's role along the chain.
pub fn openssl_says(folder: &TempDir, leaf: &[u8], others: &[Vec<u8>], roots: &[Vec<u8>]) -> Result<(), String> {
    let pem = |der: &[u8]| {
        let body: Vec<String> = base64(der).as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", body.join("\n"))
    };
    let write =
        |name: &str, list: &[Vec<u8>]| fs::write(folder.path().join(name), list.iter().map(|der| pem(der)).collect::<String>()).unwrap();
    write("leaf.pem", &[leaf.to_vec()]);
    write("roots.pem", roots);
    let mut arguments = format!("verify -x509_strict -attime 1795176000 -explicit_policy -policy {CAMERA} -CAfile roots.pem");
    if !others.is_empty() {
        write("others.pem", others);
        arguments.push_str(" -untrusted others.pem");
    }
    openssl(folder.path(), &format!("{arguments} leaf.pem"))
}

pub fn openssl(folder: &Path, arguments: &str) -> Result<(), String> {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let run = run.expect("the openssl program is needed for this test: apt-get install openssl");
    if run.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&run.stderr).into_owned()) }
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits = chunk.iter().chain([0, 0].iter()).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |position: usize| if position > chunk.len() { '=' } else { char::from(DIGITS[bits >> (18 - 6 * position) & 63]) };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}
