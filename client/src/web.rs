//! Static resources of a log over HTTP: from the appliance with a client certificate, or from anybody who serves them, with TLS or without.
//!
//! It verifies nothing that it gets: whoever asked has a signed root to judge it by. Nothing is followed to where it was moved.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use hyper::StatusCode;
use rustls::ClientConfig;

use crate::{
    ClientError,
    connection::{Connection, Question},
};

/// A refusal's words must fit too, or it would be told as an answer that is too long.
const REFUSAL_BYTES_MAX: u64 = 64 * 1024;

/// Why there is no resource, by what it says of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// The server says that there is none.
    #[error("it is not there")]
    Absent,
    /// The server could not be reached, took too long, refused, or sent elsewhere: no news about the log.
    #[error("{0}")]
    Unavailable(String),
    /// It came, and can not be what was asked for.
    #[error("{0}")]
    Unfit(String),
    /// Nothing was sent.
    #[error("{0}")]
    Local(String),
}

/// One keep-alive connection to a server of a log's resources. Not for concurrent use: one each.
pub struct Web {
    connection: Connection,
    prefix: String,
}

impl Web {
    /// `url` is `https://host[:port]/prefix` or `http://…`. `tls` is for the former. No answer is waited for longer than `answer_max`.
    pub fn new(url: &str, tls: Arc<ClientConfig>, answer_max: Duration) -> Result<Self, WebError> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (tls, port) = match scheme {
            "https" => (Some(tls), 443),
            "http" => (None, 80),
            _ => return Err(WebError::Local(format!("{url:?} is not an address: write https://host:port/prefix"))),
        };
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        let address = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let connection = Connection::new(&address, tls).map_err(|error| WebError::Local(error.to_string()))?.with_answer_max(answer_max);
        let prefix = prefix.trim_end_matches('/');
        Ok(Self { connection, prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") } })
    }

    /// A resource of at most `limit` bytes, by its path behind the prefix; `../` goes one step up, to what stands beside the log.
    pub async fn get(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, WebError> {
        let path = self.path(path);
        let answer = match self.connection.ask(&Question::GetPacked(&path), limit.max(REFUSAL_BYTES_MAX)).await {
            Ok(answer) => answer,
            // Too long, and nothing else: see `Connection::ask`.
            Err(ClientError::Protocol(reason)) => return Err(WebError::Unfit(reason)),
            Err(ClientError::Local(reason)) => return Err(WebError::Local(reason)),
            Err(error) => return Err(WebError::Unavailable(error.to_string())),
        };
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(WebError::Absent),
            status if status.is_redirection() => {
                return Err(WebError::Unavailable(format!("status {status}: where it was moved to is not followed")));
            }
            status => return Err(WebError::Unavailable(format!("status {status}"))),
        }
        let body = if answer.gzip { unpacked(&answer.body, limit)? } else { answer.body.into() };
        if body.len() as u64 > limit {
            return Err(WebError::Unfit(format!("it is longer than {limit} bytes")));
        }
        Ok(body)
    }
}

impl Web {
    fn path(&self, path: &str) -> String {
        match path.strip_prefix("../") {
            Some(path) => format!("{}/{path}", self.prefix.rsplit_once('/').map_or("", |(above, _)| above)),
            None => format!("{}/{path}", self.prefix),
        }
    }
}

/// At most one byte beyond the limit, whatever a few bytes would unfold to.
fn unpacked(packed: &[u8], limit: u64) -> Result<Vec<u8>, WebError> {
    let mut bytes = Vec::new();
    let read = GzDecoder::new(packed).take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| WebError::Unfit(format!("it is not gzip as it says: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_unfolds_is_bounded() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(packed.len() < 4096);
        assert_eq!(unpacked(&packed, 100).unwrap().len(), 101, "a bomb unfolded");
        assert_eq!(unpacked(&packed, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(unpacked(b"plain", 100), Err(WebError::Unfit(_))), "not gzip");
    }

    #[test]
    fn addresses_are_of_servers() {
        let tls = crate::anonymous_config(&[]).unwrap();
        let prefix =
            |url: &str| Web::new(url, tls.clone(), Duration::from_secs(1)).map(|web| (web.connection.address().to_owned(), web.prefix));
        assert_eq!(prefix("https://log.example/log/").unwrap(), ("log.example:443".to_owned(), "/log".to_owned()));
        assert_eq!(prefix("http://127.0.0.1:8080").unwrap(), ("127.0.0.1:8080".to_owned(), String::new()));
        assert_eq!(prefix("https://[::1]/a/b").unwrap(), ("[::1]:443".to_owned(), "/a/b".to_owned()));
        let path = |url: &str, path: &str| Web::new(url, tls.clone(), Duration::from_secs(1)).unwrap().path(path);
        assert_eq!(path("https://log.example/a/log", "tile/0/000"), "/a/log/tile/0/000");
        assert_eq!(path("https://log.example/a/log", "../v1/x"), "/a/v1/x");
        assert_eq!(path("https://log.example/log", "../v1/x"), "/v1/x");
        assert_eq!(path("https://log.example", "../v1/x"), "/v1/x");
        for url in ["log.example", "ftp://log.example/", "https://", "https:///log"] {
            assert!(matches!(prefix(url), Err(WebError::Local(_))), "{url}");
        }
    }
}
