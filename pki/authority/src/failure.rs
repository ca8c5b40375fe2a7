//! Failures of a command: what failed and what to do, and the exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exhibit_client::{ClientError, IssuerError};
use exhibit_pki::{IssueError, RequestError, SignerError};
use exhibit_program::{EXIT_CANNOT, EXIT_NO};

/// Why a command did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request itself.
    #[error("the request in {path} is refused: {source}")]
    Request {
        /// Which.
        path: PathBuf,
        /// Why.
        source: RequestError,
    },
    /// What is asked for is not certified.
    #[error("refused: {0}")]
    Refused(String),
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
    /// Nothing is ever overwritten here.
    #[error("{0} exists already, and nothing is overwritten: choose another name, or move it away")]
    Exists(PathBuf),
    /// A key of the authority.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The appliance.
    #[error("the certificate is not on the ledger, and was not written: {0}. Run the same command again to finish it")]
    Client(#[from] ClientError),
    /// The authority's own chain of statements.
    #[error("the certificate was not written: {0}")]
    Issuer(IssuerError),
    /// Anything else that stands in the way.
    #[error("{0}")]
    Cannot(String),
}

impl Failure {
    /// A file could not be used.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => Self::Exists(path),
            _ => Self::File { action, path, source },
        }
    }

    /// A file is not what it should be.
    pub fn content(path: &Path, reason: impl ToString) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Says it on standard error (as JSON on standard output too, for machines) and gives the exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        exhibit_program::tell(&format!("exhibit-authority: {self}\n"));
        if json {
            // Where it can not be printed, the exit code still tells.
            let _ = exhibit_program::print(&format!("{}\n", serde_json::json!({ "error": self.to_string(), "exit": self.exit_code() })));
        }
        ExitCode::from(self.exit_code())
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Request { .. } | Self::Refused(_) => EXIT_NO,
            _ => EXIT_CANNOT,
        }
    }
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Refused(reason) => Self::Refused(reason.to_owned()),
            IssueError::Signer(error) => Self::Signer(error),
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
