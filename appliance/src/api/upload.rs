//! The header fields of resumable uploads (draft-ietf-httpbis-resumable-upload-11): read strictly, and written.
//!
//! It does not know what is uploaded. No 104 is sent: hyper has no interim responses, and who put a statement knows the name of its upload.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};

use super::answer::{self, Answer, AnswerBody};
use super::problem::{Kind, Refusal};
use super::server::Peer;
use crate::ingest::resume::{Progress, Staging};
use crate::ingest::{Received, Sending};

const COMPLETE: &str = "upload-complete";
const OFFSET: &str = "upload-offset";
const LENGTH: &str = "upload-length";
const LIMIT: &str = "upload-limit";
const ACCEPT_PATCH: &str = "accept-patch";
const PARTIAL_UPLOAD: &str = "application/partial-upload";

/// A request that brings a statement, or more of one.
pub fn sending(peer: Arc<Peer>, party: Arc<str>, request: Request<Incoming>) -> Result<Sending, Refusal> {
    let headers = request.headers();
    let malformed = |detail: &str| Refusal::new(Kind::Malformed, detail);
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(malformed("a transfer encoding is not accepted: send Content-Length"));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::new(Kind::Coding, "a content encoding is not accepted: send what was signed"));
    }
    // A body's length must be known before it is judged whether it is the one that was signed.
    let length = headers.get(CONTENT_LENGTH).ok_or_else(|| malformed("Content-Length is missing"))?;
    let length = length.to_str().ok().and_then(|length| length.parse().ok()).ok_or_else(|| malformed("Content-Length is not a number"))?;
    let (completes, upload_length) = (boolean(headers, COMPLETE), integer(headers, LENGTH));
    Ok(Sending { peer, party, body: request.into_body(), length, completes, upload_length })
}

/// Where a request to append begins. What the draft demands of it must be there.
pub fn append_offset(headers: &HeaderMap) -> Result<u64, Refusal> {
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != PARTIAL_UPLOAD) {
        return Err(Refusal::new(Kind::Coding, format!("what is appended has Content-Type {PARTIAL_UPLOAD}")));
    }
    if boolean(headers, COMPLETE).is_none() {
        return Err(Refusal::new(Kind::Malformed, "Upload-Complete is missing: ?1 if this is all that is still to come, ?0 if not"));
    }
    integer(headers, OFFSET).ok_or_else(|| Refusal::new(Kind::Malformed, "Upload-Offset is missing: HEAD tells it"))
}

/// True for requests that wish to be resumable.
pub fn is_upload(headers: &HeaderMap) -> bool {
    boolean(headers, COMPLETE).is_some()
}

/// Adds to a refusal what the sender of an upload does about it: it may be gone on with if something is kept of it, and not otherwise.
pub fn mark_refusal(answer: &mut Answer, refusal: &Refusal, is_kept: bool) {
    set(answer, COMPLETE, if is_kept { "?0" } else { "?1" });
    if let Some((expected, _)) = refusal.upload_offset {
        set(answer, OFFSET, &expected.to_string());
    }
}

/// The answer to a request that brought something.
pub fn received(received: &Received, is_upload: bool, is_creation: bool, staging: &Staging) -> Answer {
    match received {
        Received::Admitted(answered) => {
            let status = match (answered.is_final, answered.new) {
                (true, true) => StatusCode::CREATED,
                (true, false) => StatusCode::OK,
                // Durable, and the final receipt is to be collected.
                (false, _) => StatusCode::ACCEPTED,
            };
            let mut answer = answer::json(status, &answered.admitted);
            if is_upload {
                set(&mut answer, COMPLETE, "?1");
            }
            answer
        }
        Received::Kept(progress) => {
            let mut answer = state(progress, staging);
            if is_creation {
                *answer.status_mut() = StatusCode::CREATED;
                let location = format!("/v1/uploads/{}", progress.creation.hash);
                answer.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).expect("a hash is a header's value"));
            }
            answer
        }
    }
}

/// How far an upload is.
pub fn state(progress: &Progress, staging: &Staging) -> Answer {
    let mut answer = limits(staging);
    set(&mut answer, COMPLETE, if progress.is_done { "?1" } else { "?0" });
    set(&mut answer, OFFSET, &progress.offset().to_string());
    set(&mut answer, LENGTH, &progress.creation.length().to_string());
    set(&mut answer, LIMIT, &format!("max-age={}", progress.age_left.as_secs()));
    answer
}

/// What uploads may be, before one is begun.
pub fn limits(staging: &Staging) -> Answer {
    let mut answer = empty();
    set(&mut answer, LIMIT, &format!("max-age={}", staging.age_max().as_secs()));
    answer.headers_mut().insert(ACCEPT_PATCH, HeaderValue::from_static(PARTIAL_UPLOAD));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// 204
pub fn empty() -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(None));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn set(answer: &mut Answer, name: &'static str, value: &str) {
    answer.headers_mut().insert(name, HeaderValue::from_str(value).expect("digits and question marks are a header's value"));
}

/// The only value of a field: one that is there twice is none (RFC 9651 section 4.2, an Item).
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// Other values than the draft's are ignored, as it demands.
fn boolean(headers: &HeaderMap, name: &str) -> Option<bool> {
    match single(headers, name)? {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    }
}

/// Integers of structured fields have at most 15 digits.
fn integer(headers: &HeaderMap, name: &str) -> Option<u64> {
    let digits = single(headers, name)?;
    let is_integer = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_integer { digits.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn fields_are_what_the_draft_has_or_nothing() {
        assert_eq!(boolean(&headers(&[(COMPLETE, "?1")]), COMPLETE), Some(true));
        assert_eq!(boolean(&headers(&[(COMPLETE, "?0")]), COMPLETE), Some(false));
        for value in ["1", "true", "?2", "?1, ?1", ""] {
            assert_eq!(boolean(&headers(&[(COMPLETE, value)]), COMPLETE), None, "{value:?}");
        }
        assert_eq!(boolean(&headers(&[(COMPLETE, "?1"), (COMPLETE, "?1")]), COMPLETE), None, "twice");
        assert_eq!(integer(&headers(&[(OFFSET, "0")]), OFFSET), Some(0));
        assert_eq!(integer(&headers(&[(OFFSET, "999999999999999")]), OFFSET), Some(999_999_999_999_999));
        for value in ["-1", "+1", "1.0", "0x1", "1000000000000000", "", "1, 1", "1;a"] {
            assert_eq!(integer(&headers(&[(OFFSET, value)]), OFFSET), None, "{value:?}");
        }
    }

    #[test]
    fn an_append_says_where_and_whether_it_is_all() {
        let good = [("content-type", PARTIAL_UPLOAD), (COMPLETE, "?1"), (OFFSET, "7")];
        assert_eq!(append_offset(&headers(&good)).unwrap(), 7);
        for (missing, kind) in [(0, Kind::Coding), (1, Kind::Malformed), (2, Kind::Malformed)] {
            let mut fields = good.to_vec();
            let (name, _) = fields.remove(missing);
            assert_eq!(append_offset(&headers(&fields)).unwrap_err().kind, kind, "{name}");
        }
        let other = [("content-type", "application/octet-stream"), good[1], good[2]];
        assert_eq!(append_offset(&headers(&other)).unwrap_err().kind, Kind::Coding);
    }
}
