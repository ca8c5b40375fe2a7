//! The API described by itself: the OpenAPI document, and a page for people. Both are made once, from the table of routes, the list of kinds and the
//! types of the answers.
//!
//! It does not know who asks.

mod document;
mod page;
mod responses;

use std::sync::LazyLock;

use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::{self, Answer, AnswerBody};
use exhibit_program::log_resource::{etag, is_known};

/// What is served, with its validator.
struct Resource {
    text: String,
    etag: String,
}

impl Resource {
    fn new(text: String) -> Self {
        let etag = etag(text.as_bytes(), false);
        Self { text, etag }
    }
}

static DOCUMENT: LazyLock<Resource> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&document::document()).expect("it is plain data");
    text.push('\n');
    Resource::new(text)
});

static PAGE: LazyLock<Resource> = LazyLock::new(|| Resource::new(page::page(&document::document())));

/// The document as it is served.
pub fn document_text() -> &'static str {
    &DOCUMENT.text
}

/// The answer with the document.
pub fn document(request: &HeaderMap) -> Answer {
    of_resource(&DOCUMENT, "application/json", request)
}

/// The answer with the page. It has a style sheet within it, which its policy names by its hash, and no script.
pub fn page(request: &HeaderMap) -> Answer {
    let mut answer = of_resource(&PAGE, "text/html; charset=utf-8", request);
    let policy = format!("default-src 'none'; style-src '{}'; frame-ancestors 'none'", page::style_source());
    let policy = HeaderValue::from_str(&policy).expect("a policy of a hash is a header's value");
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    answer
}

fn of_resource(resource: &'static Resource, content_type: &'static str, request: &HeaderMap) -> Answer {
    let mut answer = if is_known(request, &resource.etag) {
        let mut answer = Response::new(AnswerBody::Whole(None));
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        answer::bytes(StatusCode::OK, content_type, resource.text.as_str())
    };
    // It is another one with another version of the program.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.headers_mut().insert(ETAG, HeaderValue::from_str(&resource.etag).expect("quotes and hex digits are a header's value"));
    answer
}
