//! What an appliance is sent beside statements, and what a client is answered: requests' targets, terms, entries with receipts, successors.

use exhibit_client::open_record;
use exhibit_evidence::bundle::entry_path;
use exhibit_evidence::exchange::route::allowed;
use exhibit_evidence::exchange::{EntryRecord, Route, SuccessorRecord, Target, Terms, by_query};
use exhibit_evidence::keytree::SLOTS;
use exhibit_evidence::succession::{Grounds, Trusted, judge, statement_of};
use exhibit_evidence::{Anchor, Head, StreamName};
use exhibit_tlog::{Hash, leaf_hash};

use super::bundle::{WHOLE, WHOLE_ANCHOR};
use super::pki::Credulous;
use super::text;

/// The scope of the terms of the corpus.
const SCOPE: &str = "camera/102";

/// The target of a request, and what stands before it: `GET /v1/streams?prefix=camera`.
pub fn route(input: &[u8]) -> bool {
    let Some((method, target)) = text(input).and_then(|line| line.split_once(' ')) else { return false };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Ok(Target { operation, route }) = Target::parse(method, path, query) else { return false };
    assert!(operation.answers(method) && allowed(path, |_| true).contains(&method), "a method is answered that Allow does not name");
    let writes = matches!(route, Route::Put { .. } | Route::UploadAppend(_) | Route::UploadCancel(_));
    assert_eq!(writes, matches!(method, "PUT" | "PATCH" | "DELETE"), "a reader may write");
    assert!(writes || matches!(method, "GET" | "HEAD" | "OPTIONS"), "an unknown method was let in");
    let (written_path, written_query) = written(&route);
    // What uploads may be is the same for every place of a stream.
    let plain = |path: &str| path.replace("%2F", "/").replace("%2f", "/");
    assert!(plain(&written_path) == plain(path) || matches!(route, Route::UploadLimits { .. }), "a resource has two paths");
    let read = Target::parse(method, &written_path, Some(&written_query)).ok().map(|target| target.route);
    assert_eq!(read, Some(route), "a route is not read as it was written");
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
        Route::UploadLimits { stream } => plain(&format!("/v1/streams/{}/0", stream.as_str())),
        Route::UploadState(hash) | Route::UploadAppend(hash) | Route::UploadCancel(hash) => plain(&format!("/v1/uploads/{hash}")),
        Route::Entry { stream, seq } => plain(&format!("/v1/streams/{}/{seq}", stream.as_str())),
        Route::Streams { prefix, after } => ("/v1/streams".to_owned(), format!("prefix={}{}", percent(prefix), member("after", after))),
        Route::Stream { stream } => plain(&format!("/v1/streams/{}", stream.as_str().replace('/', "%2F"))),
        Route::Entries { stream, first, last } => {
            (format!("/v1/streams/{}/entries", stream.as_str()), format!("first={first}&last={last}"))
        }
        Route::Segments { series, from, to, after } => {
            let after = after.as_ref().map(|(stream, seq): &(StreamName, u64)| format!("{}/{seq}", stream.as_str()));
            ("/v1/segments".to_owned(), format!("series={}&from={from}&to={to}{}", percent(series), member("after", &after)))
        }
        Route::EntryByLeaf(leaf) => plain(&format!("/v1/entries/{leaf}")),
        Route::Approvals { leaf, by, after } => {
            (format!("/v1/approvals/{leaf}"), format!("{}{}", by_query(by), member("after", &after.as_ref().map(hex))))
        }
        Route::EntryByIndex(index) => plain(&format!("/v1/index/{index}")),
        Route::Certificate(fingerprint) => plain(&format!("/v1/certificates/{}", hex(fingerprint))),
        Route::Attachment(sha256) => plain(&format!("/v1/attachments/{sha256}")),
        Route::Recipients { scope } => plain(&format!("/v1/recipients/{scope}")),
        Route::Grants { after } => ("/v1/grants".to_owned(), member("after", after)),
        Route::Payload { stream, seq, fetch } => (format!("/v1/payloads/{}/{seq}", stream.as_str()), format!("fetch={fetch}")),
        Route::Checkpoint => plain("/log/checkpoint"),
        Route::Witnessed => plain("/log/witnessed"),
        Route::TpmSigned => plain("/log/tpm"),
        Route::Successor { log, size, by } => {
            let by = if by.is_empty() { String::new() } else { format!("&{}", by_query(by)) };
            ("/v1/successor".to_owned(), format!("log={log}&size={size}{by}"))
        }
        Route::Witnesses => plain("/v1/witnesses"),
        Route::Tile(id) => plain(&format!("/log/tile/{}", id.path())),
        Route::Bundle(id) => plain(&format!("/log/tile/entries/{}", id.path())),
        Route::Before { log, route } => {
            let (path, query) = written(route);
            (format!("/v1/logs/{log}{path}"), query)
        }
        Route::Events { after } => ("/v1/events".to_owned(), after.map_or_else(String::new, |after| format!("after={after}"))),
        Route::Version => plain("/v1/version"),
        Route::Description => plain("/v1/openapi.json"),
        Route::Docs => plain("/v1/docs"),
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

/// What an appliance says of the log that follows. The lines before it are what is trusted: the head that was observed and a threshold, the
/// custodians, the anchor. Signatures are believed.
pub fn successor(input: &[u8]) -> bool {
    let mut lines = text(input).unwrap_or_default().splitn(4, '\n');
    let (Some(head), Some(custodians), Some(anchor), Some(record)) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
        return false;
    };
    let [size, root, threshold] = head.split(' ').collect::<Vec<_>>()[..] else { return false };
    let (Ok(size), Some(root), Ok(threshold)) = (size.parse(), Hash::from_hex(root), threshold.parse()) else { return false };
    let custodians: Vec<_> = custodians.split(' ').filter_map(Hash::from_hex).map(|hash| hash.0).collect();
    let (Ok(anchor), Ok(record)) = (Anchor::parse(anchor.as_bytes()), serde_json::from_str::<SuccessorRecord>(record)) else {
        return false;
    };
    let observed = Head { size, root };
    let trusted = Trusted { anchor: &anchor, observed, custodians: &custodians, threshold, intermediates: &[], verifier: &Credulous };
    let Ok(next) = judge(&record, &trusted) else { return false };
    assert_eq!(next.anchor.roots, anchor.roots, "a successor brought roots of its own");
    assert!(next.anchor.log != anchor.log && next.anchor.verifier.origin != anchor.verifier.origin, "a log succeeds itself");
    let old = &anchor.verifier.keys;
    assert!(
        !next.anchor.verifier.keys.iter().any(|key| old.iter().any(|old| old.has_key_of(key))),
        "a successor has a key of the log before"
    );
    let witnesses = |anchor: &Anchor| anchor.policy.witnesses.as_ref().map(|policy| policy.text().to_owned());
    assert_eq!(witnesses(&next.anchor), witnesses(&anchor), "a successor chose its witnesses");
    assert_eq!(next.lost, size.saturating_sub(next.end.size));
    match next.grounds {
        Grounds::Plan => assert!(record.succession.is_some() && next.lost == 0, "a log that did not end by plan was left"),
        Grounds::Approval => {
            let approvals = record.approvals.iter().filter(|approval| statement_of(approval, "an approval").is_ok()).count();
            assert!(approvals as u64 >= threshold.max(1), "too few custodians moved somebody to another log");
        }
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
