//! Keys and a little storage in a TPM 2.0: the only user of tss-esapi.
//!
//! Knows nothing of statements, certificates or files: it makes a key that can not leave the TPM, signs digests with it, and keeps bytes.
//!
//! libtss2 writes its own log lines to stderr; a program that wants to be the only voice sets `TSS2_LOG=all+NONE` before it starts.

mod owner;
#[cfg(any(test, feature = "test-support"))]
pub mod swtpm;

use std::{sync::mpsc, thread, time::Duration};

use exhibit_pki::{PublicKey, Signer, SignerError};

use owner::{Kind, Request};

/// A TPM that answers does so within milliseconds; a discrete one that runs its self-test first, within seconds.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The slowest command that we send is making a P-384 key, which takes a slow discrete TPM several seconds.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// A TPM, owned by one thread; handles to it are cheap to clone and may be used from anywhere. The thread ends with the last handle.
#[derive(Clone, Debug)]
pub struct Tpm {
    requests: mpsc::Sender<Request>,
}

/// A signing key (fixedTPM, fixedParent, made by the TPM, not restricted) that persists at a handle: on P-384, or on P-256 where the TPM has no
/// P-384.
#[derive(Clone, Debug)]
pub struct DeviceKey {
    requests: mpsc::Sender<Request>,
    handle: u32,
    public_key: PublicKey,
}

/// A P-384 key like a device's, whose signatures are over SHA-256: a log's note key of type 02 (docs/formats/log.md).
#[derive(Clone, Debug)]
pub struct NoteKey {
    requests: mpsc::Sender<Request>,
    handle: u32,
    public_key: PublicKey,
}

/// What failed, and whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// There is no TPM at that address.
    #[error("no TPM answers at {tcti}: {reason}")]
    Unreachable {
        /// The TCTI configuration.
        tcti: String,
        /// Why.
        reason: String,
    },
    /// It refused a command.
    #[error("the TPM refused {command}: {reason}")]
    Command {
        /// Which.
        command: &'static str,
        /// Why.
        reason: String,
    },
    /// It has no curve of our suites.
    #[error("the TPM has {0} among its elliptic curves, so that it can not hold the key: another TPM is needed")]
    Curve(&'static str),
    /// The handle holds something else than our key.
    #[error("what is at {handle:#x} is not of this project: {reason}")]
    NotOurs {
        /// Which.
        handle: u32,
        /// Why.
        reason: &'static str,
    },
}

impl Tpm {
    /// Connects; `tcti` is a TCTI configuration such as `device:/dev/tpmrm0` or `swtpm:host=127.0.0.1,port=2321`.
    pub fn connect(tcti: &str) -> Result<Self, TpmError> {
        let unreachable = |reason: String| TpmError::Unreachable { tcti: tcti.to_owned(), reason };
        let (requests, incoming) = mpsc::channel();
        let (connected, outcome) = mpsc::channel();
        let address = tcti.to_owned();
        thread::Builder::new()
            .name("tpm".into())
            .spawn(move || owner::run(&address, &connected, &incoming))
            .map_err(|error| unreachable(format!("its thread could not start: {error}")))?;
        match outcome.recv_timeout(CONNECT_MAX) {
            Ok(Ok(())) => Ok(Self { requests }),
            Ok(Err(reason)) => Err(unreachable(reason)),
            Err(_) => Err(unreachable(format!("no answer in {} s", CONNECT_MAX.as_secs()))),
        }
    }

    /// The device key at a persistent handle (`0x8101_0102`, say), made if there is none.
    ///
    /// A key that is there already is taken only if every attribute is as we would have made it. On P-384 with SHA-384; on P-256 with SHA-256 where
    /// the TPM has no P-384.
    pub fn device_key(&self, handle: u32) -> Result<DeviceKey, TpmError> {
        let public_key = self.key(handle, Kind::Device)?;
        Ok(DeviceKey { requests: self.requests.clone(), handle, public_key })
    }

    /// The same for a key that signs a log's notes. Neither is ever taken for the other.
    pub fn note_key(&self, handle: u32) -> Result<NoteKey, TpmError> {
        let public_key = self.key(handle, Kind::Note)?;
        Ok(NoteKey { requests: self.requests.clone(), handle, public_key })
    }

    fn key(&self, handle: u32, kind: Kind) -> Result<PublicKey, TpmError> {
        let (reply, answer) = mpsc::channel();
        ask(&self.requests, Request::Key { handle, kind, reply }, &answer)
            .map_err(|reason| TpmError::Command { command: "the signing key", reason })?
    }

    /// What was written at an index of non-volatile storage (`0x0150_0e00`, say); `None` if nothing ever was.
    pub fn nv_read(&self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        let (reply, answer) = mpsc::channel();
        ask(&self.requests, Request::NvRead { index, reply }, &answer)
            .map_err(|reason| TpmError::Command { command: "TPM2_NV_Read", reason })?
    }

    /// Replaces what is at an index of non-volatile storage, which is made if there is none; always the same number of bytes, at most 1,024.
    /// Its cells wear: not for more than a few writes an hour.
    pub fn nv_write(&self, index: u32, bytes: &[u8]) -> Result<(), TpmError> {
        let (reply, answer) = mpsc::channel();
        ask(&self.requests, Request::NvWrite { index, bytes: bytes.to_vec(), reply }, &answer)
            .map_err(|reason| TpmError::Command { command: "TPM2_NV_Write", reason })?
    }
}

impl DeviceKey {
    /// The persistent handle.
    pub fn handle(&self) -> u32 {
        self.handle
    }
}

impl NoteKey {
    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Signs the SHA-256 of a note's text: r and s, 48 bytes each.
    pub fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 96], TpmError> {
        let (reply, answer) = mpsc::channel();
        ask(&self.requests, Request::Sign { handle: self.handle, digest: digest.to_vec(), reply }, &answer)
            .map_err(|reason| TpmError::Command { command: "TPM2_Sign", reason })?
            .map(|signature| signature.try_into().expect("a note's key is on P-384"))
    }
}

impl Signer for DeviceKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        if digest.len() != self.public_key.suite().digest(&[]).len() {
            return Err(SignerError("a device key signs digests of its suite".to_owned()));
        }
        let (reply, answer) = mpsc::channel();
        ask(&self.requests, Request::Sign { handle: self.handle, digest: digest.to_vec(), reply }, &answer)
            .map_err(SignerError)?
            .map_err(|error| SignerError(error.to_string()))
    }
}

/// Sends a request to the owner thread and waits for its answer, a bounded time.
fn ask<T>(requests: &mpsc::Sender<Request>, request: Request, answer: &mpsc::Receiver<T>) -> Result<T, String> {
    requests.send(request).map_err(|_| "the thread that owns it has ended".to_owned())?;
    answer.recv_timeout(COMMAND_MAX).map_err(|_| format!("no answer in {} s; is it held by another program?", COMMAND_MAX.as_secs()))
}
