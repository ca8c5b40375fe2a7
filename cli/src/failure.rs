//! Failures of a command: what failed and what to do, and the exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exhibit_client::{ClientError, IssuerError};
use exhibit_program::{EXIT_CANNOT, EXIT_NO, EXIT_USAGE};

use crate::screen::{print_json_result, tell};

/// Why a command did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The words of the call do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Evidence or an answer does not verify: a finding.
    #[error("{0}")]
    Untrustworthy(String),
    /// A file.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// read, write, create
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The appliance.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The chain of one's own statements.
    #[error(transparent)]
    Issuer(IssuerError),
    /// Anything else that stands in the way.
    #[error("{0}")]
    Cannot(String),
}

impl Failure {
    /// A file could not be used.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// A file is not what it should be.
    pub fn content(path: &Path, reason: impl ToString) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Says it on standard error (as JSON on standard output too, for machines) and gives the exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        tell(self);
        if json {
            // Where it can not be printed, the exit code still tells.
            let _ = print_json_result(serde_json::json!({ "error": self.to_string(), "exit": self.exit_code() }));
        }
        ExitCode::from(self.exit_code())
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Untrustworthy(_) | Self::Client(ClientError::Untrustworthy(_) | ClientError::OtherLog(_)) => EXIT_NO,
            _ => EXIT_CANNOT,
        }
    }
}

impl From<IssuerError> for Failure {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Client(error) => Self::Client(error),
            other => Self::Issuer(other),
        }
    }
}
