//! Requests' targets: each path of the API asks for what it says, who may ask it without a certificate, and where HEAD is answered.
#![allow(clippy::unwrap_used)]

use exhibit_evidence::StreamName;
use exhibit_evidence::exchange::route::{OPERATIONS, Open, Route, RouteError, Target, allowed};
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
        ("/v1/openapi.json".to_owned(), Route::Description, (true, false, true)),
        ("/v1/docs".to_owned(), Route::Docs, (true, false, true)),
        ("/log/checkpoint".to_owned(), Route::Checkpoint, (true, false, true)),
        ("/log/witnessed".to_owned(), Route::Witnessed, (true, false, true)),
        ("/log/tpm".to_owned(), Route::TpmSigned, (true, false, true)),
        ("/v1/witnesses".to_owned(), Route::Witnesses, NONE),
        ("/v1/events".to_owned(), Route::Events { after: None }, NONE),
        ("/v1/events?after=7".to_owned(), Route::Events { after: Some(7) }, NONE),
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
        (
            format!("/v1/logs/{digits}/log/checkpoint"),
            Route::Before { log: hash, route: Box::new(Route::Checkpoint) },
            (false, false, true),
        ),
        (format!("/v1/logs/{digits}/v1/attachments/{digits}"), Route::Before { log: hash, route: Box::new(Route::Attachment(hash)) }, NONE),
        (format!("/v1/payloads/{place}?fetch={digits}"), Route::Payload { stream: stream(), seq: 7, fetch: hash }, NONE),
    ]
}

fn parse(method: &str, target: &str) -> Result<Target, RouteError> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Target::parse(method, path, query)
}

#[test]
fn each_path_asks_for_what_it_says() {
    for (target, route, (public, of_entries, of_log)) in routes() {
        let asked = parse("GET", &target).unwrap();
        assert_eq!(asked.route, route, "{target}");
        assert_eq!((asked.open() == Open::Everyone, asked.open() == Open::Entries), (public, of_entries), "{target}");
        let head = if of_log { Ok(route) } else { Err(RouteError::Method) };
        assert_eq!(parse("HEAD", &target).map(|target| target.route), head, "{target}");
    }
}

/// Tiles tell hashes and are everybody's; bundles of entries tell of investigations.
#[test]
fn tiles_are_public_and_bundles_of_entries_are_not() {
    let tile = parse("GET", "/log/tile/0/000").unwrap();
    assert!(matches!(tile.route, Route::Tile(_)) && tile.operation.open == Open::Everyone);
    let bundle = parse("GET", "/log/tile/entries/000").unwrap();
    assert!(matches!(bundle.route, Route::Bundle(_)) && bundle.operation.open == Open::Entries);
    for target in ["/log/tile/0/000", "/log/tile/entries/000"] {
        assert_eq!(parse("HEAD", target).unwrap().route, parse("GET", target).unwrap().route);
    }
}

#[test]
fn allow_names_the_methods_of_a_path() {
    let digits = "0a".repeat(32);
    let cases = [
        ("/v1/streams/camera/102/main/1a/7".to_owned(), "GET OPTIONS PUT"),
        ("/v1/streams/camera/102/main/1a".to_owned(), "GET OPTIONS"),
        (format!("/v1/uploads/{digits}"), "DELETE GET HEAD OPTIONS PATCH"),
        ("/log/checkpoint".to_owned(), "GET HEAD OPTIONS"),
        (format!("/v1/logs/{digits}/v1/streams/camera/102/main/1a/7"), "GET OPTIONS"),
        (format!("/v1/logs/{digits}/v1/version"), ""),
        ("/v1/nothing".to_owned(), ""),
    ];
    for (path, methods) in cases {
        assert_eq!(allowed(&path, |_| true).join(" "), methods, "{path}");
        let expected = if methods.is_empty() { RouteError::NotFound } else { RouteError::Method };
        assert_eq!(parse("BREW", &path).unwrap_err(), expected, "{path}");
    }
    assert_eq!(allowed("/v1/version", |open| open == Open::Everyone), Vec::<&str>::new());
}

/// Whoever fills a template writes the slashes of a name as `%2F`: nothing else is decoded.
#[test]
fn slashes_of_a_name_may_be_encoded() {
    let plain = parse("GET", "/v1/streams/camera/102/main/1a/7").unwrap().route;
    assert_eq!(parse("GET", "/v1/streams/camera%2F102%2fmain%2F1a/7").unwrap().route, plain);
    let digits = parse("GET", "/v1/streams/camera%2F102%2Fmain%2F7").unwrap().route;
    assert_eq!(digits, Route::Stream { stream: StreamName::parse("camera/102/main/7").unwrap() }, "an encoded slash ends no component");
    for hostile in
        ["/v1/streams/camera%2F102%2F%2E%2E%2F1a", "/v1%2Fversion", "/v1/streams/camera%252F102%252Fmain%252F1a", "/v1/entries%2F00"]
    {
        assert_eq!(parse("GET", hostile).unwrap_err(), RouteError::NotFound, "{hostile}");
    }
}

#[test]
fn the_table_has_each_name_and_each_method_of_a_path_once() {
    for (index, operation) in OPERATIONS.iter().enumerate() {
        assert!(!operation.summary.is_empty() && operation.summary.ends_with('.'), "{operation:?}");
        for other in &OPERATIONS[..index] {
            assert_ne!(other.id, operation.id);
            assert!(other.path != operation.path || other.method != operation.method, "{operation:?} is never reached");
        }
    }
}
