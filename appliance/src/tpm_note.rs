//! A line on checkpoints by a key that can not leave the machine's TPM: whoever copies the note keys can not sign it.
//!
//! It stands beside the log and never in its way: at most one line a minute, by a program of its own (`exhibit-tpm-note`), which is not waited for
//! longer than `SIGN_MAX`. Nobody needs the line, and one that does not verify is shown to nobody.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use exhibit_evidence::body::Genesis;
use exhibit_ledger::Ledger;
use exhibit_tlog::{Checkpoint, Note, VerifierKey};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::appliance::Appliance;
use crate::vault::{Object, Vault};

/// `tpm_note` in `appliance.toml`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmNoteConfig {
    /// How libtss2 reaches the TPM: `device:/dev/tpmrm0`.
    pub tcti: String,
    /// The persistent handle of this log's note key: `0x81010e00`, say.
    pub handle: u32,
    /// The program that speaks to the TPM.
    #[serde(default = "program")]
    pub program: PathBuf,
}

/// Where packages and the image put it.
fn program() -> PathBuf {
    PathBuf::from("/usr/bin/exhibit-tpm-note")
}

/// The name of the attachment of genesis that holds the key.
pub const KEY_ATTACHMENT: &str = "tpm-key";
/// A discrete TPM takes 600 ms for a signature, and its cells and its patience are finite.
const INTERVAL: Duration = Duration::from_secs(60);
/// A TPM that runs its self-test first takes seconds; one that takes longer is broken.
const SIGN_MAX: Duration = Duration::from_secs(30);
/// How often a program that works is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// SubjectPublicKeyInfo of a point on P-384 (RFC 5480), but the point.
const SPKI_PREFIX: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62,
    0x00,
];
/// 04, x, y.
const POINT_BYTES: usize = 97;
/// r and s.
const SCALAR_BYTES: usize = 48;

impl TpmNoteConfig {
    /// The verifier key of a log of that name (docs/formats/log.md, type 02). The TPM makes the key if it has none.
    pub fn verifier_key(&self, origin: &str) -> Result<VerifierKey, String> {
        let point = self.ask("key", None)?;
        if point.len() != POINT_BYTES {
            return Err("the program printed something else than a point on P-384".to_owned());
        }
        let spki = [&SPKI_PREFIX, point.as_slice()].concat();
        let id = hex::encode(&Sha256::digest(&spki)[..4]);
        let key = format!("{origin}+{id}+{}", Base64::encode_string(&[&[2], spki.as_slice()].concat()));
        VerifierKey::parse(&key).map_err(|error| error.to_string())
    }

    /// A signed note with the TPM's line behind its others.
    fn sign(&self, note: &str, key: &VerifierKey) -> Result<String, String> {
        let text = Note::parse(note).map_err(|error| error.to_string())?.text().to_owned();
        let scalars = self.ask("sign", Some(hex::encode(Sha256::digest(&text))))?;
        let (r, s) =
            scalars.split_at_checked(SCALAR_BYTES).filter(|(_, s)| s.len() == SCALAR_BYTES).ok_or("the program printed no signature")?;
        let sequence = [integer(r), integer(s)].concat();
        let der = [&[0x30, u8::try_from(sequence.len()).map_err(|_| "a signature is short")?], sequence.as_slice()].concat();
        let name_and_id = key.to_string();
        let mut parts = name_and_id.split('+');
        let (name, id) = (parts.next().unwrap_or_default(), parts.next().and_then(|id| hex::decode(id).ok()).unwrap_or_default());
        let signed = format!("{note}\u{2014} {name} {}\n", Base64::encode_string(&[id, der].concat()));
        // A TPM that errs, or another one, has signed nothing that anybody is shown.
        let verified = Note::parse(&signed).and_then(|note| note.verify(std::slice::from_ref(key)));
        verified.map(|()| signed).map_err(|error| format!("its line does not verify: {error}"))
    }

    /// Runs the program, no longer than `SIGN_MAX`.
    fn ask(&self, command: &str, digest: Option<String>) -> Result<Vec<u8>, String> {
        let mut program = Command::new(&self.program);
        program.args([command, "--tcti", &self.tcti, "--handle", &format!("{:#010x}", self.handle)]).args(digest);
        // The TPM stack writes lines of its own.
        program.env("TSS2_LOG", "all+NONE").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error: std::io::Error| format!("{}: {error}", self.program.display());
        let mut child = program.spawn().map_err(failed)?;
        let until = Instant::now() + SIGN_MAX;
        while child.try_wait().map_err(failed)?.is_none() {
            if Instant::now() >= until {
                // What it would say later is not wanted any more.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer in {} s", SIGN_MAX.as_secs()));
            }
            std::thread::sleep(LOOK);
        }
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(said.trim().lines().last().unwrap_or("it said nothing").to_owned());
        }
        hex::decode(String::from_utf8_lossy(&output.stdout).trim())
            .map_err(|_| "the program printed something else than hexadecimal".to_owned())
    }
}

/// A positive INTEGER in DER.
fn integer(scalar: &[u8]) -> Vec<u8> {
    let first = scalar.iter().position(|byte| *byte != 0).unwrap_or(scalar.len() - 1);
    let digits = &scalar[first..];
    let sign: &[u8] = if digits[0] & 0x80 == 0 { &[] } else { &[0] };
    let length = u8::try_from(sign.len() + digits.len()).expect("at most 49 bytes");
    [&[0x02, length], sign, digits].concat()
}

/// The newest checkpoint that the TPM has signed too.
#[derive(Default)]
pub struct TpmNotes(Mutex<Option<(Checkpoint, Arc<str>)>>);

impl TpmNotes {
    /// It, with the log's lines and the TPM's.
    pub fn newest(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, note)| note.clone())
    }

    /// Signs checkpoints of a log with `key`, at most one a minute and each head once, until `draining` says so.
    pub fn start(
        self: &Arc<Self>,
        config: TpmNoteConfig,
        key: VerifierKey,
        appliance: Arc<Appliance>,
        mut draining: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let notes = self.clone();
        tokio::spawn(async move {
            let work = async {
                loop {
                    let (notes, config, key, appliance) = (notes.clone(), config.clone(), key.clone(), appliance.clone());
                    let signed = spawn_blocking(move || notes.sign_newest(&config, &key, &appliance.ledger)).await;
                    if let Ok(Err(reason)) = signed {
                        tracing::warn!(reason, "the TPM has not signed the checkpoint; nothing waits for it");
                    }
                    sleep(INTERVAL).await;
                }
            };
            tokio::select! {
                _ = draining.wait_for(|draining| *draining) => {}
                () = work => {}
            }
        })
    }

    /// Signs the newest checkpoint, unless that was signed before.
    fn sign_newest(&self, config: &TpmNoteConfig, key: &VerifierKey, ledger: &Ledger) -> Result<(), String> {
        let Some((note, head)) = ledger.checkpoint() else { return Ok(()) };
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|(signed, _)| *signed == head) {
            return Ok(());
        }
        let signed = config.sign(&note, key)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((head, signed.into()));
        Ok(())
    }
}

/// The key in the attachment of genesis.
pub fn key_of(genesis: &Genesis, vault: &dyn Vault) -> Option<VerifierKey> {
    let attachment = genesis.attachments.iter().find(|attachment| attachment.name == KEY_ATTACHMENT)?;
    let stored = vault.read(Object::Attachment(attachment.sha256), attachment.length).ok().flatten()?;
    VerifierKey::parse(str::from_utf8(attachment.open(&stored)?).ok()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// A program that answers like exhibit-tpm-note, in a shell.
    fn fake(folder: &Path, script: &str) -> TpmNoteConfig {
        let program = folder.join("tpm-note");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        TpmNoteConfig { tcti: "none".into(), handle: 0x8101_0e00, program }
    }

    #[test]
    fn integers_are_the_shortest() {
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0, 0x80, 1]), [2, 3, 0, 0x80, 1]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
    }

    /// P-384's base point is a key, and anybody's signature for it is not.
    #[test]
    fn a_tpm_that_lies_or_fails_has_signed_nothing() {
        const POINT: &str = "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7\
                             3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f";
        let folder = tempfile::tempdir().unwrap();
        let honest = fake(folder.path(), &format!("echo {}", POINT.replace(char::is_whitespace, "")));
        let key = honest.verifier_key("city.example/log/1").unwrap();
        assert!(key.to_string().starts_with("city.example/log/1+"));
        let note = "city.example/log/1\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} city.example/log/1 AAAAAAA=\n";
        for (script, expected) in [
            (format!("echo {}", "01".repeat(96)), "does not verify"),
            (format!("echo {}", "00".repeat(96)), "does not verify"),
            (format!("echo {}", "01".repeat(95)), "no signature"),
            ("echo nothing".to_owned(), "hexadecimal"),
            ("echo it is locked >&2; exit 2".to_owned(), "it is locked"),
        ] {
            let error = fake(folder.path(), &script).sign(note, &key).unwrap_err();
            assert!(error.contains(expected), "{script}: {error}");
        }
        assert!(fake(folder.path(), "echo 04").verifier_key("city.example/log/1").is_err());
    }
}
