//! What an appliance is sent beside statements, and what a client is answered: requests' targets, terms, entries with receipts.

use exhibit_client::open_record;
use exhibit_evidence::StreamName;
use exhibit_evidence::bundle::entry_path;
use exhibit_evidence::exchange::{EntryRecord, Route, Terms};
use exhibit_evidence::keytree::SLOTS;
use exhibit_tlog::{Hash, leaf_hash};

use super::bundle::{WHOLE, WHOLE_ANCHOR};
use super::text;

/// The scope of the terms of the corpus.
const SCOPE: &str = "camera/102";

/// The target of a request, and what stands before it: `GET /v1/streams?prefix=camera`.
pub fn route(input: &[u8]) -> bool {
    let Some((method, target)) = text(input).and_then(|line| line.split_once(' ')) else { return false };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Ok(route) = Route::parse(method, path, query) else { return false };
    assert!(matches!(method, "GET" | "HEAD" | "PUT"), "an unknown method was let in");
    assert_eq!(matches!(route, Route::Put { .. }), method == "PUT", "a reader may write");
    let (written_path, written_query) = written(&route);
    assert_eq!(written_path, path, "a resource has two paths");
    assert_eq!(Route::parse(method, &written_path, Some(&written_query)).ok(), Some(route), "a route is not read as it was written");
    true
}

/// Path and query of a route, with everything that is in it.
fn written(route: &Route) -> (String, String) {
    let plain = |path: &str| (path.to_owned(), String::new());
    let hex = |bytes: &[u8; 32]| Hash(*bytes).to_string();
    match route {
        Route::Put { stream, seq, log } => {
            (format!("/v1/streams/{}/{seq}", stream.as_str()), member("log", &log.map(|log| log.to_string())))
        }
        Route::Entry { stream, seq } => plain(&format!("/v1/streams/{}/{seq}", stream.as_str())),
        Route::Streams { prefix, after } => ("/v1/streams".to_owned(), format!("prefix={}{}", percent(prefix), member("after", after))),
        Route::Stream { stream } => plain(&format!("/v1/streams/{}", stream.as_str())),
        Route::Entries { stream, first, last } => {
            (format!("/v1/streams/{}/entries", stream.as_str()), format!("first={first}&last={last}"))
        }
        Route::Segments { series, from, to, after } => {
            let after = after.as_ref().map(|(stream, seq): &(StreamName, u64)| format!("{}/{seq}", stream.as_str()));
            ("/v1/segments".to_owned(), format!("series={}&from={from}&to={to}{}", percent(series), member("after", &after)))
        }
        Route::EntryByLeaf(leaf) => plain(&format!("/v1/entries/{leaf}")),
        Route::Approvals(leaf) => plain(&format!("/v1/approvals/{leaf}")),
        Route::EntryByIndex(index) => plain(&format!("/v1/index/{index}")),
        Route::Certificate(fingerprint) => plain(&format!("/v1/certificates/{}", hex(fingerprint))),
        Route::Attachment(sha256) => plain(&format!("/v1/attachments/{sha256}")),
        Route::Recipients { scope } => plain(&format!("/v1/recipients/{scope}")),
        Route::Grants { after } => ("/v1/grants".to_owned(), member("after", after)),
        Route::Payload { stream, seq, fetch } => (format!("/v1/payloads/{}/{seq}", stream.as_str()), format!("fetch={fetch}")),
        Route::Checkpoint => plain("/log/checkpoint"),
        Route::Witnessed => plain("/log/witnessed"),
        Route::TpmSigned => plain("/log/tpm"),
        Route::Successor { log, size } => ("/v1/successor".to_owned(), format!("log={log}&size={size}")),
        Route::Witnesses => plain("/v1/witnesses"),
        Route::Tile(id) => plain(&format!("/log/tile/{}", id.path())),
        Route::Bundle(id) => plain(&format!("/log/tile/entries/{}", id.path())),
        Route::Version => plain("/v1/version"),
        Route::Health => plain("/healthz"),
    }
}

fn member(name: &str, value: &Option<String>) -> String {
    value.as_ref().map_or(String::new(), |value| format!("&{name}={}", percent(value)))
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The terms of a grant.
pub fn grant_terms(input: &[u8]) -> bool {
    let Ok(terms) = Terms::parse(input, SCOPE) else { return false };
    let written = serde_json::to_vec(&terms).expect("what was read can be written");
    assert_eq!(Terms::parse(&written, SCOPE).ok().as_ref(), Some(&terms), "terms read otherwise once they were written");
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(input).ok(),
        serde_json::from_slice(&written).ok(),
        "terms read otherwise to other readers"
    );
    assert!(terms.from <= terms.to, "terms end before they begin");
    for range in &terms.ranges {
        assert!(range.stream.starts_with("camera/102/"), "a grant leads out of its scope");
        assert!(range.first <= range.last && range.last < SLOTS, "a grant of slots that no epoch has");
    }
    true
}

/// An entry with its receipt, as an appliance answers: whatever is believed is an entry of the log of the corpus, where it is.
pub fn entry_record(input: &[u8]) -> bool {
    let Ok(record) = serde_json::from_slice::<EntryRecord>(input) else { return false };
    let Ok((signed, receipt)) = open_record(std::slice::from_ref(&*WHOLE_ANCHOR), &record) else { return false };
    assert_eq!(receipt.index, record.index);
    let entry = WHOLE.0.get(&entry_path(receipt.index)).expect("an entry was believed that the log has not");
    assert_eq!(leaf_hash(entry), signed.leaf_hash(), "another entry was believed than the log has there");
    true
}
