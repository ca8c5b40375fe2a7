//! Where an appliance is made whole from: a folder, or the URL of a mirror.
//!
//! It reads nothing.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A backup or a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A backup (it has `ledger/`) or a mirror (it has `tile/`).
    Folder(PathBuf),
    /// A mirror: `checkpoint` and `tile/` lie below.
    Url(String),
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_url = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        Ok(if is_url { Self::Url(text.to_owned()) } else { Self::Folder(text.into()) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}
