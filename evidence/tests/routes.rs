//! Requests' targets: each path of the API asks for what it says, who may ask it without a certificate, and where HEAD is answered.
#![allow(clippy::unwrap_used)]

use exhibit_evidence::StreamName;
use exhibit_evidence::exchange::route::{Route, RouteError};
use exhibit_pki::{Subject, Timestamp};
use exhibit_tlog::Hash;

/// What is open to everyone, to those to whom entries are open, and static files of the log.
type Rights = (bool, bool, bool);

const NONE: Rights = (false, false, false);

fn routes() -> Vec<(String, Route, Rights)> {
    let digits = "0a".repeat(32);
    let hash = Hash([0x0a; 32]);
    let stream = || StreamName::parse("camera/102/main/20261120T115958Z").unwrap();
    let moment = |text| Timestamp::parse(text).unwrap();
    let place = "camera/102/main/20261120T115958Z/7";
    let interval = "from=2026-11-20T12:00:00.000Z&to=2026-11-20T12:00:10.000Z";
    let segments = |after| Route::Segments {
        series: "camera/102/main".to_owned(),
        from: moment("2026-11-20T12:00:00.000Z"),
        to: moment("2026-11-20T12:00:10.000Z"),
        after,
    };
    vec![
        ("/healthz".to_owned(), Route::Health, (true, false, true)),
        ("/v1/version".to_owned(), Route::Version, NONE),
        ("/log/checkpoint".to_owned(), Route::Checkpoint, (true, false, true)),
        ("/log/witnessed".to_owned(), Route::Witnessed, (true, false, true)),
        ("/log/tpm".to_owned(), Route::TpmSigned, (true, false, true)),
        ("/v1/witnesses".to_owned(), Route::Witnesses, NONE),
        (format!("/v1/successor?log={digits}"), Route::Successor { log: hash, size: 0, by: Vec::new() }, NONE),
        (format!("/v1/successor?log={digits}&size=9"), Route::Successor { log: hash, size: 9, by: Vec::new() }, NONE),
        ("/v1/streams?prefix=camera/".to_owned(), Route::Streams { prefix: "camera/".to_owned(), after: None }, NONE),
        (format!("/v1/segments?series=camera/102/main&{interval}"), segments(None), NONE),
        (format!("/v1/segments?series=camera/102/main&{interval}&after={place}"), segments(Some((stream(), 7))), NONE),
        ("/v1/grants".to_owned(), Route::Grants { after: None }, NONE),
        ("/v1/grants?after=x".to_owned(), Route::Grants { after: Some("x".to_owned()) }, NONE),
        (format!("/v1/entries/{digits}"), Route::EntryByLeaf(hash), NONE),
        (format!("/v1/approvals/{digits}"), Route::Approvals { leaf: hash, by: Vec::new(), after: None }, NONE),
        ("/v1/index/12".to_owned(), Route::EntryByIndex(12), NONE),
        (format!("/v1/certificates/{digits}"), Route::Certificate([0x0a; 32]), NONE),
        (format!("/v1/attachments/{digits}"), Route::Attachment(hash), (false, true, false)),
        ("/v1/recipients/camera/102".to_owned(), Route::Recipients { scope: Subject::parse("camera/102").unwrap() }, NONE),
        (format!("/v1/logs/{digits}/log/checkpoint"), Route::Before { log: hash, route: Box::new(Route::Checkpoint) }, NONE),
        (format!("/v1/logs/{digits}/v1/attachments/{digits}"), Route::Before { log: hash, route: Box::new(Route::Attachment(hash)) }, NONE),
        (format!("/v1/payloads/{place}?fetch={digits}"), Route::Payload { stream: stream(), seq: 7, fetch: hash }, NONE),
    ]
}

fn parse(method: &str, target: &str) -> Result<Route, RouteError> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Route::parse(method, path, query)
}

#[test]
fn each_path_asks_for_what_it_says() {
    for (target, route, (public, of_entries, of_log)) in routes() {
        assert_eq!(parse("GET", &target), Ok(route.clone()), "{target}");
        assert_eq!((route.is_public(), route.is_of_entries()), (public, of_entries), "{target}");
        let head = if of_log { Ok(route) } else { Err(RouteError::NotFound) };
        assert_eq!(parse("HEAD", &target), head, "{target}");
    }
}

/// Tiles tell hashes and are everybody's; bundles of entries tell of investigations.
#[test]
fn tiles_are_public_and_bundles_of_entries_are_not() {
    let tile = parse("GET", "/log/tile/0/000").unwrap();
    assert!(matches!(tile, Route::Tile(_)) && tile.is_public() && !tile.is_of_entries());
    let bundle = parse("GET", "/log/tile/entries/000").unwrap();
    assert!(matches!(bundle, Route::Bundle(_)) && !bundle.is_public() && bundle.is_of_entries());
    for target in ["/log/tile/0/000", "/log/tile/entries/000"] {
        assert_eq!(parse("HEAD", target), parse("GET", target));
    }
}
