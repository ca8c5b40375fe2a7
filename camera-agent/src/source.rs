//! Where pictures come from, as it is written in the configuration.
//!
//! It opens nothing: whether the file or the camera is there shows when the pipeline starts.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// A source of video.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// `file:<path>`: any format that GStreamer decodes; it is encoded again.
    File(PathBuf),
    /// `test:` or `test:<frames>`: a moving test picture, without end or of so many frames.
    Test {
        /// How many frames; none means without end.
        frames: Option<u32>,
    },
    /// `rtsp://…` or `rtsps://…`: a camera that sends H.264, which is kept as it comes. It may hold a user name and a password.
    Rtsp(String),
}

/// It is not a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a source of video: write file:/path/to/clip.mp4, rtsp://host/path or test:")]
pub struct SourceError;

impl Source {
    /// A source that goes on whether or not we keep up, so that we must drop what we can not take.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Rtsp(_))
    }

    /// `text` without the user name and password that the source's address may hold: errors of libraries like to quote addresses.
    pub fn redact(&self, text: &str) -> String {
        match self {
            Self::Rtsp(address) => match user_info(address) {
                Some(secret) => text.replace(secret, "***"),
                None => text.to_owned(),
            },
            Self::File(_) | Self::Test { .. } => text.to_owned(),
        }
    }
}

/// What stands between `//` and `@` of an address.
fn user_info(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(user_info, _)| user_info).filter(|user_info| !user_info.is_empty())
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() { Err(SourceError) } else { Ok(Self::File(path.into())) };
        }
        if let Some(frames) = text.strip_prefix("test:") {
            let frames = if frames.is_empty() { None } else { Some(frames.parse().map_err(|_| SourceError)?) };
            return if frames == Some(0) { Err(SourceError) } else { Ok(Self::Test { frames }) };
        }
        match text.split_once("://") {
            Some(("rtsp" | "rtsps", rest)) if !rest.is_empty() => Ok(Self::Rtsp(text.to_owned())),
            _ => Err(SourceError),
        }
    }
}

impl fmt::Display for Source {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Test { frames: None } => f.write_str("test:"),
            Self::Test { frames: Some(frames) } => write!(f, "test:{frames}"),
            Self::Rtsp(address) => f.write_str(&self.redact(address)),
        }
    }
}

impl fmt::Debug for Source {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text is not quoted in the error: it may hold a password.
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sources_are_read_as_they_are_written() {
        for text in ["file:/clips/a b.avi", "test:", "test:40", "rtsp://camera.example/stream", "rtsps://camera.example:322/a?b=c"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        for text in ["", "file:", "/clips/a.avi", "test:0", "test:-1", "test:x", "rtsp://", "http://camera.example/", "rtsp:"] {
            assert_eq!(text.parse::<Source>(), Err(SourceError), "{text}");
        }
    }

    #[test]
    fn a_password_never_shows() {
        for (address, shown) in [
            ("rtsp://admin:s3cret@camera/1", "rtsp://***@camera/1"),
            ("rtsp://admin:p@ss@camera", "rtsp://***@camera"),
            ("rtsp://camera/1?token=@x", "rtsp://camera/1?token=@x"),
        ] {
            let source: Source = address.parse().unwrap();
            assert_eq!(source.to_string(), shown);
            assert_eq!(format!("{source:?}"), shown);
            assert_eq!(source.redact(&format!("could not open {address}.")), format!("could not open {shown}."));
        }
    }
}
