//! Why the program did not do as asked: what failed, what to do, and the exit code.
//!
//! It holds no secrets: every message may be shown to anybody who may see the camera's logs.

use std::{io, path::PathBuf};

use exhibit_camera_core::AgentError;
use exhibit_pki::{PathError, SignerError};
use exhibit_program::{EXIT_CANNOT, EXIT_USAGE};
use exhibit_tpm::TpmError;

use crate::PipelineError;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something is missing on the command line and in the configuration.
    #[error("{0}")]
    Usage(&'static str),
    /// A file or folder.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// read, write, create
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The camera has no certificate or no pin yet.
    #[error("{0} is not there: enrol this camera first (exhibit-camera-agent enrol, then install)")]
    NotEnrolled(PathBuf),
    /// The certificate, the key and the pin do not belong together.
    #[error("nothing was installed: {0}")]
    Misfit(String),
    /// The certificate's path.
    #[error("nothing was installed: {0} (the chain must lead to a root that the pin names, and this machine's clock must be right)")]
    Path(#[from] PathError),
    /// Another pin is installed.
    #[error("{0} is there already and pins another log or other custodians. If they were changed on purpose, remove that file first")]
    PinnedAlready(PathBuf),
    /// The TPM.
    #[error(transparent)]
    Tpm(#[from] TpmError),
    /// The key in it.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The pipeline.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The agent's core.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The system refuses something that it never refuses.
    #[error("{0}")]
    System(String),
}

impl Failure {
    /// A file could not be used.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// 1 if what the appliance says does not verify, 64 for wrong use, 2 if it could not be done.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Agent(error) => error.exit_code(),
            _ => EXIT_CANNOT,
        }
    }
}
