//! The log as static resources (C2SP tlog-tiles): how long they may be kept, by what they are known again, in which encoding they are sent.
//!
//! It does not know who may have them.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The newest checkpoint: it changes with every batch, so a cache asks each time; the answer is 304 while nothing changed.
    Checkpoint,
    /// Hashes. Those of a width never change, and do not compress.
    Tile,
    /// Entries. Those of a width never change.
    Bundle {
        /// Anyone may have it, so that a cache may give it to anyone.
        is_open: bool,
    },
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Checkpoint => "text/plain; charset=utf-8",
            Self::Tile | Self::Bundle { .. } => "application/octet-stream",
        }
    }

    /// A year is what RFC 9111 calls for ever.
    fn cache_control(self) -> &'static str {
        match self {
            Self::Checkpoint => "no-cache",
            Self::Tile | Self::Bundle { is_open: true } => "public, max-age=31536000, immutable",
            Self::Bundle { is_open: false } => "private, max-age=31536000, immutable",
        }
    }
}

/// The answer to a request with these headers. Compressing takes milliseconds: call it from a blocking thread.
pub fn answer(kind: Kind, bytes: Vec<u8>, request: &HeaderMap) -> Response<Vec<u8>> {
    let compresses = matches!(kind, Kind::Bundle { .. });
    let gzip = compresses && accepts_gzip(request);
    let etag = etag(&bytes, gzip);
    let mut answer = Response::new(Vec::new());
    if is_known(request, &etag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *answer.body_mut() = if gzip { compressed(&bytes) } else { bytes };
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind.content_type()));
        if gzip {
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kind.cache_control()));
    headers.insert(ETAG, HeaderValue::from_str(&etag).expect("quotes and hex digits are a header's value"));
    if compresses {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    answer
}

/// A strong validator names one representation (RFC 9110 section 8.8.1), so the encoding is a part of it.
pub fn etag(bytes: &[u8], gzip: bool) -> String {
    let digest = hex::encode(&Sha256::digest(bytes)[..ETAG_BYTES]);
    format!("\"{digest}{}\"", if gzip { "-gzip" } else { "" })
}

/// Nobody gains by a collision: a cache would keep what the same log has served under the same name.
const ETAG_BYTES: usize = 16;

/// If-None-Match (RFC 9110 section 13.1.2): compared weakly.
pub fn is_known(request: &HeaderMap, etag: &str) -> bool {
    let mut named = members(request, IF_NONE_MATCH);
    named.any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == etag)
}

/// Accept-Encoding (RFC 9110 section 12.5.3), as far as it names gzip itself: a client that says nothing gets what was signed.
fn accepts_gzip(request: &HeaderMap) -> bool {
    members(request, ACCEPT_ENCODING).any(|member| {
        let mut parts = member.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        // `q=0`, `q=0.000`: not acceptable. Anything else that is not understood does not forbid it.
        let is_refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.trim().parse::<f32>() == Ok(0.0))
        });
        is_gzip && !is_refused
    })
}

/// The members of a header that is a list.
fn members(request: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    request.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// The same bytes give the same bytes: no time is in the header. Fast, since statements compress to a third at any level.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(headers: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn gzip_is_given_to_whom_asks_for_it() {
        let accepted = ["gzip", "GZIP", "identity, gzip", "br;q=1.0, gzip;q=0.2", "gzip; q=1"];
        let refused = ["", "identity", "br", "*", "gzip;q=0", "gzip;q=0.000", "gzip; q=0", "xgzip", "gzip2"];
        for value in accepted {
            assert!(accepts_gzip(&request(&[(ACCEPT_ENCODING, value)])), "{value}");
        }
        for value in refused {
            assert!(!accepts_gzip(&request(&[(ACCEPT_ENCODING, value)])), "{value}");
        }
        assert!(accepts_gzip(&request(&[(ACCEPT_ENCODING, "br"), (ACCEPT_ENCODING, "gzip")])), "a second line of the header");
        assert!(!accepts_gzip(&HeaderMap::new()), "a client that does not ask gets the plain bytes");
    }

    #[test]
    fn only_entries_are_compressed() {
        let asks = request(&[(ACCEPT_ENCODING, "gzip")]);
        for (kind, encoding) in [(Kind::Checkpoint, None), (Kind::Tile, None), (Kind::Bundle { is_open: true }, Some("gzip"))] {
            let answer = answer(kind, vec![7; 1000], &asks);
            assert_eq!(answer.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap()), encoding, "{kind:?}");
            assert_eq!(answer.headers().contains_key(VARY), encoding.is_some(), "{kind:?}: a cache must tell the encodings apart");
        }
        let plain = answer(Kind::Bundle { is_open: true }, vec![7; 1000], &HeaderMap::new());
        assert!(plain.headers().contains_key(VARY), "the plain one was cached for those who ask for gzip");
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let known = |value: &str| is_known(&request(&[(IF_NONE_MATCH, value)]), "\"ab\"");
        for value in ["\"ab\"", "W/\"ab\"", "\"cd\", \"ab\"", "*"] {
            assert!(known(value), "{value}");
        }
        for value in ["\"cd\"", "ab", "\"ab-gzip\"", ""] {
            assert!(!known(value), "{value}");
        }
        let first = answer(Kind::Tile, vec![7; 32], &HeaderMap::new());
        let etag = first.headers()[ETAG].to_str().unwrap().to_owned();
        let again = answer(Kind::Tile, vec![7; 32], &request(&[(IF_NONE_MATCH, &etag)]));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()[ETAG], etag.as_str());
        assert!(again.headers().contains_key(CACHE_CONTROL), "a cache would forget how long it may keep it");
        let other = answer(Kind::Tile, vec![8; 32], &request(&[(IF_NONE_MATCH, &etag)]));
        assert_eq!(other.status(), StatusCode::OK, "other bytes were taken for the known ones");
    }

    #[test]
    fn each_encoding_has_a_validator_of_its_own() {
        let kind = Kind::Bundle { is_open: true };
        let (plain, gzip) = (answer(kind, vec![7; 9], &HeaderMap::new()), answer(kind, vec![7; 9], &request(&[(ACCEPT_ENCODING, "gzip")])));
        assert_ne!(plain.headers()[ETAG], gzip.headers()[ETAG], "two representations under one strong validator");
    }

    #[test]
    fn a_shared_cache_keeps_only_what_is_open() {
        let cache = |kind| answer(kind, vec![1], &HeaderMap::new()).headers()[CACHE_CONTROL].to_str().unwrap().to_owned();
        assert_eq!(cache(Kind::Checkpoint), "no-cache");
        assert!(cache(Kind::Tile).starts_with("public") && cache(Kind::Bundle { is_open: true }).starts_with("public"));
        assert!(cache(Kind::Bundle { is_open: false }).starts_with("private"), "entries that tell of investigations");
    }
}
