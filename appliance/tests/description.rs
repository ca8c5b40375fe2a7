//! The API described by itself: what is served is what is committed and what the specification allows, and each refusal is explained where it says.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;
use std::process::Command;

use common::*;
use exhibit_appliance::api::description::document_text;
use exhibit_appliance::api::problem::Kind;
use exhibit_evidence::exchange::OPERATIONS;
use serde_json::Value;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/openapi.json");

#[test]
fn what_is_committed_is_what_is_made() {
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == document_text(),
        "cargo test -p exhibit-appliance --test description -- --ignored writes it anew; read what changed"
    );
}

#[test]
#[ignore = "writes docs/formats/openapi.json"]
fn write_the_document() {
    std::fs::write(COMMITTED, document_text()).unwrap();
}

#[test]
fn the_document_is_openapi_3_1() {
    let Some(tools) = tools::api_tools() else { return };
    let validate = |path: &Path| Command::new(tools.join("openapi-spec-validator")).args(["--schema", "3.1.0"]).arg(path).output().unwrap();
    let output = validate(Path::new(COMMITTED));
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The validator sees what it is there to see.
    let folder = tempfile::tempdir().unwrap();
    let spoilt = folder.path().join("spoilt.json");
    std::fs::write(&spoilt, document_text().replacen("\"in\": \"path\"", "\"in\": \"nowhere\"", 1)).unwrap();
    assert!(!validate(&spoilt).status.success());
}

#[test]
fn every_operation_every_kind_and_every_limit_is_in_it() {
    let document: Value = serde_json::from_str(document_text()).unwrap();
    for operation in OPERATIONS {
        let described = &document["paths"][operation.path][operation.method.to_lowercase()];
        assert_eq!(described["operationId"], operation.id, "{operation:?}");
        assert!(!operation.head || document["paths"][operation.path]["head"].is_object(), "{operation:?}");
        let before = &document["paths"][format!("/v1/logs/{{log}}{}", operation.path)][operation.method.to_lowercase()];
        assert_eq!(before.is_object(), operation.before, "{operation:?}");
    }
    let types = document["components"]["schemas"]["ProblemDetails"]["properties"]["type"]["enum"].as_array().unwrap();
    let answered = document["components"]["responses"].to_string();
    for kind in Kind::ALL {
        assert!(types.contains(&kind.uri().into()), "{kind:?}");
        // Of no operation, since it is the answer where there is none.
        assert!(*kind == Kind::Method || answered.contains(&format!("\"{}\"", kind.uri())), "{kind:?} is no operation's");
    }
    assert_eq!(document["components"]["schemas"]["Limits"]["properties"]["headers"]["default"], 32);
    assert_eq!(document["components"]["schemas"]["EntryRecords"]["properties"]["entries"]["maxItems"], 64);
}

/// docs/formats/api.md says for each kind what status it has.
#[test]
fn every_kind_is_in_the_page_of_the_format() {
    let page = include_str!("../../docs/formats/api.md");
    let refusals = &page[page.find("\n## Refusals").unwrap()..];
    for kind in Kind::ALL {
        if !kind.uri().starts_with("https:") {
            let row = refusals.lines().find(|line| line.starts_with(&format!("| {} |", kind.status())));
            assert!(row.is_some_and(|row| row.contains(&format!("`{}`", kind.name()))), "{kind:?}: {row:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_served_to_anyone_and_known_again() {
    let world = World::new().await;
    let mut anyone = Connection::new(world.running.addresses.public.port(), &world.pki.root, None).await.unwrap();
    let served = anyone.get("/v1/openapi.json").await;
    assert_eq!((served.status, String::from_utf8(served.body).unwrap().as_str()), (200, document_text()));
    assert_eq!(served.headers["content-type"], "application/json");
    for path in ["/v1/openapi.json", "/v1/docs"] {
        let etag = anyone.get(path).await.headers["etag"].clone();
        let again = anyone.get_with(path, &format!("If-None-Match: {etag}\r\n")).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.headers["etag"], etag);
        assert_eq!(anyone.get_with(path, "If-None-Match: \"other\"\r\n").await.status, 200, "{path}");
        assert_eq!(anyone.head(path).await.headers["etag"], etag);
    }
    let docs = anyone.get("/v1/docs").await;
    let policy = &docs.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(docs.headers["x-content-type-options"], "nosniff");
}

/// Each refusal leads to where it is explained, and says itself what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_to_do_and_where_it_is_explained() {
    let world = World::new().await;
    let mut anyone = Connection::new(world.running.addresses.public.port(), &world.pki.root, None).await.unwrap();
    let docs = String::from_utf8(anyone.get("/v1/docs").await.body).unwrap();
    let mut camera = world.connect(&world.camera).await;
    for (path, kind) in [("/v1/nothing", Kind::NotFound), ("/v1/streams", Kind::Malformed), ("/v1/grants", Kind::Forbidden)] {
        let refused = camera.get(path).await;
        let problem: Value = refused.json();
        assert_eq!((problem["type"].as_str(), problem["remedy"].as_str()), (Some(kind.uri().as_str()), Some(kind.words().remedy)));
        let link = &refused.headers["link"];
        let (page, anchor) = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"help\"")).unwrap().split_once('#').unwrap();
        assert_eq!(page, "/v1/docs");
        assert!(docs.contains(&format!("<section id=\"{anchor}\">")) && docs.contains(kind.words().cause), "{link}");
    }
}
