//! What lists and records say beside their content: where the next page is, and by what they are known again.
//!
//! It does not know what is answered.

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LINK};
use hyper::{StatusCode, Uri};
use serde::Serialize;

use exhibit_program::log_resource::{etag, is_known};

use super::answer::{self, Answer, AnswerBody};

/// Where the next page begins.
#[derive(Clone)]
struct Next(String);

/// A page, and where the next begins.
pub fn page(records: &impl Serialize, next: Option<&String>) -> Answer {
    let mut answer = answer::json(StatusCode::OK, records);
    if let Some(next) = next {
        answer.extensions_mut().insert(Next(next.clone()));
    }
    answer
}

/// Adds what a client goes on with: `Link` (RFC 8288) to the next page of what was asked for, and a validator. What the client has already is not sent
/// again.
pub fn with_links(mut answer: Answer, asked: &Uri, request: &HeaderMap) -> Answer {
    if let Some(Next(next)) = answer.extensions_mut().remove::<Next>() {
        let others = asked.query().unwrap_or_default().split('&').filter(|member| !member.is_empty() && !member.starts_with("after="));
        let query: Vec<String> = others.map(str::to_owned).chain([format!("after={next}")]).collect();
        let link = format!("<{}?{}>; rel=\"next\"", asked.path(), query.join("&"));
        if let Ok(link) = HeaderValue::from_str(&link) {
            answer.headers_mut().append(LINK, link);
        }
    }
    validated(answer, request)
}

fn validated(mut answer: Answer, request: &HeaderMap) -> Answer {
    let AnswerBody::Whole(Some(bytes)) = answer.body() else { return answer };
    if answer.status() != StatusCode::OK || answer.headers().contains_key(ETAG) {
        return answer;
    }
    let etag = etag(bytes, false);
    if is_known(request, &etag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        *answer.body_mut() = AnswerBody::Whole(None);
        answer.headers_mut().remove(CONTENT_TYPE);
    }
    answer.headers_mut().insert(ETAG, HeaderValue::from_str(&etag).expect("quotes and hex digits are a header's value"));
    // Who may have it is judged each time, and by whom it was asked.
    answer.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    answer
}
