//! Keys in a TPM 2.0: the only user of tss-esapi.

use exhibit_pki::{PublicKey, Signer, SignerError};

/// A TPM, owned by one thread; handles to it are cheap to clone and may be used from anywhere.
#[derive(Clone)]
pub struct Tpm {}

/// A P-384 signing key (fixedTPM, fixedParent, made by the TPM, not restricted) that persists at a handle.
#[derive(Clone)]
pub struct DeviceKey {}

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
    /// The handle holds something else than our key.
    #[error("the key at {handle:#x} is not a signing key of this project: {reason}")]
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
        todo!()
    }
    /// The device key at a persistent handle (`0x8101_0102`, say), made if there is none.
    pub fn device_key(&self, handle: u32) -> Result<DeviceKey, TpmError> {
        todo!()
    }
}

impl Signer for DeviceKey {
    fn public_key(&self) -> &PublicKey {
        todo!()
    }
    fn sign_sha384(&self, digest: &[u8; 48]) -> Result<[u8; 96], SignerError> {
        todo!()
    }
}
