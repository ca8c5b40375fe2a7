//! Who may ask for what: every row of the table of routes by every kind of caller, over real sockets. What is expected is written out by hand.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;

use common::*;
use exhibit_evidence::Body;
use exhibit_evidence::exchange::{OPERATIONS, Target};
use exhibit_pki::{KeyPurpose, Role};

/// Whoever asks, by the letter that stands for it:
///
/// | letter | caller |
/// |---|---|
/// | c | the camera whose stream is asked for |
/// | o | another camera |
/// | g | a user with the role of a camera, and with nothing else |
/// | k, i, a | custodian, investigator, auditor |
/// | d | admin |
/// | p | another appliance |
/// | y | the authority |
/// | u | the same camera with a certificate that nobody has introduced |
/// | z | an authority that nobody has introduced |
/// | r | a custodian, investigator and auditor whose certificate is revoked |
/// | b | a custodian, investigator and auditor who is banned |
/// | n | whoever has no certificate, on the public listener |
const CALLERS: &str = "cogkiadpyuzrbn";

/// What is asked for, the status for those who may, and who may. Everybody else is refused as `refusal` says.
const MATRIX: &[(&str, &str, &str, u16, &str)] = &[
    // A PUT with no length is malformed, once it is judged who asks.
    ("putStatement", "PUT", "/v1/streams/camera/102/main/1a/0", 400, "c"),
    ("putStatement", "PUT", "/v1/streams/authority/2/1a/0", 400, "z"),
    ("putStatement", "PUT", "/v1/streams/user/d/1a/0", 400, "d"),
    ("putStatement", "PUT", "/v1/streams/user/g/1a/0", 400, "g"),
    ("getUploadLimits", "OPTIONS", "/v1/streams/camera/102/main/1a/0", 204, "c"),
    ("getUpload", "GET", "/v1/uploads/{zeros}", 404, "cogkiadpy"),
    ("getUpload", "HEAD", "/v1/uploads/{zeros}", 404, "cogkiadpy"),
    ("appendToUpload", "PATCH", "/v1/uploads/{zeros}", 415, "cogkiadpy"),
    ("cancelUpload", "DELETE", "/v1/uploads/{zeros}", 404, "cogkiadpy"),
    ("listStreams", "GET", "/v1/streams?prefix=camera/102/", 200, "ckiay"),
    ("listStreams", "GET", "/v1/streams?prefix=camera/102", 200, "kiay"),
    ("listStreams", "GET", "/v1/streams?prefix=", 200, "kiay"),
    ("listStreams", "GET", "/v1/streams?prefix=user/d/", 200, "kiady"),
    ("listStreams", "GET", "/v1/streams?prefix=authority/2/", 200, "kiayz"),
    ("getStream", "GET", "/v1/streams/camera/102/main/1a", 200, "ckiay"),
    ("getStream", "GET", "/v1/streams/authority/2/1a", 404, "kiayz"),
    ("getEntry", "GET", "/v1/streams/camera/102/main/1a/0", 200, "ckiay"),
    ("getEntry", "GET", "/v1/streams/authority/2/1a/0", 404, "kiayz"),
    ("listEntries", "GET", "/v1/streams/camera/102/main/1a/entries", 200, "ckiay"),
    ("listEntries", "GET", "/v1/streams/authority/2/1a/entries", 404, "kiayz"),
    ("listSegments", "GET", "/v1/segments?series=camera/102/main&from=2026-11-20T12:00:00.000Z&to=2026-11-20T12:00:10.000Z", 200, "kia"),
    ("getEntryByLeaf", "GET", "/v1/entries/{leaf}", 200, "cogkiay"),
    ("listApprovals", "GET", "/v1/approvals/{leaf}", 200, "cogkiay"),
    ("getEntryByIndex", "GET", "/v1/index/0", 200, "kia"),
    ("getCertificate", "GET", "/v1/certificates/{fingerprint}", 200, "cogkiadpy"),
    ("getAttachment", "GET", "/v1/attachments/{wraps}", 200, "ki"),
    ("getAttachment", "GET", "/v1/attachments/{fingerprint}", 200, "cogkiadpy"),
    ("getRecipients", "GET", "/v1/recipients/camera/102", 200, "cka"),
    ("getRecipients", "GET", "/v1/recipients/user/g", 404, "gka"),
    ("listGrants", "GET", "/v1/grants", 200, "ki"),
    // Nobody has stated such a fetch: who has the role is told that it is none of theirs, by the rules of sharing.
    ("getPayload", "GET", "/v1/payloads/camera/102/main/1a/0?fetch={zeros}", 403, "ki"),
    ("getWitnesses", "GET", "/v1/witnesses", 200, "cogkiadpy"),
    ("getEvents", "GET", "/v1/events", 200, "kiad"),
    ("getSuccessor", "GET", "/v1/successor?log={zeros}", 404, "cogkiadpyuz"),
    ("getVersion", "GET", "/v1/version", 200, "cogkiadpyz"),
    ("getCheckpoint", "GET", "/log/checkpoint", 200, "cogkiadpyzn"),
    ("getCheckpoint", "HEAD", "/log/checkpoint", 200, "cogkiadpyzn"),
    ("getWitnessedCheckpoint", "GET", "/log/witnessed", 404, "cogkiadpyzn"),
    ("getTpmCheckpoint", "GET", "/log/tpm", 404, "cogkiadpyzn"),
    ("getEntryBundle", "GET", "/log/tile/entries/000.p/1", 200, "ka"),
    ("getEntryBundle", "HEAD", "/log/tile/entries/000.p/1", 200, "ka"),
    ("getTile", "GET", "/log/tile/0/000.p/1", 200, "cogkiadpyzn"),
    ("getDescription", "GET", "/v1/openapi.json", 200, "cogkiadpyzn"),
    ("getDocs", "GET", "/v1/docs", 200, "cogkiadpyzn"),
    ("getHealth", "GET", "/healthz", 200, "cogkiadpyzn"),
    // There is no log before: who may ask is told so.
    ("getCheckpoint", "GET", "/v1/logs/{zeros}/log/checkpoint", 404, "cogkiadpy"),
    ("getTile", "GET", "/v1/logs/{zeros}/log/tile/0/000.p/1", 404, "cogkiadpy"),
    ("getEntryBundle", "GET", "/v1/logs/{zeros}/log/tile/entries/000.p/1", 404, "ka"),
    ("getRecipients", "GET", "/v1/logs/{zeros}/v1/recipients/camera/102", 404, "cka"),
    ("listStreams", "GET", "/v1/logs/{zeros}/v1/streams?prefix=camera/102/", 404, "ckiay"),
    ("getPayload", "GET", "/v1/logs/{zeros}/v1/payloads/camera/102/main/1a/0?fetch={zeros}", 404, "ki"),
    ("getAttachment", "GET", "/v1/logs/{zeros}/v1/attachments/{wraps}", 404, "cogkiadpy"),
];

/// What is open besides where the operator has opened entries.
const OPEN_ENTRIES: &[(&str, u16)] = &[
    ("/log/tile/entries/000.p/1", 200),
    ("/v1/attachments/{fingerprint}", 200),
    ("/v1/attachments/{wraps}", 403),
    ("/v1/index/0", 404),
    ("/v1/version", 404),
    ("/v1/logs/{zeros}/log/checkpoint", 404),
];

/// How those are refused who may not: the status and the kind.
fn refusal(caller: char, id: &str) -> (u16, &'static str) {
    match (caller, id) {
        ('n', _) => (404, "not-found"),
        ('b', _) => (429, "banned"),
        ('u' | 'z' | 'r', _) => (403, "certificate"),
        (_, "putStatement" | "getUploadLimits") => (403, "not-owner"),
        _ => (403, "forbidden"),
    }
}

/// Where attempts ban, this many do: more than those of anybody who is not to be banned.
const ATTEMPTS: usize = 150;

struct Scene {
    world: World,
    parties: Vec<(char, Option<Party>)>,
    names: [(&'static str, String); 4],
}

impl Scene {
    async fn new() -> Self {
        let mut world = World::with(&format!("[bans]\nattempts = {ATTEMPTS}\nslow_after = 100000\n")).await;
        let party = |subject: &str, roles: &[Role]| world.pki.party(subject, roles, KeyPurpose::Signing);
        let all = [Role::Custodian, Role::Investigator, Role::Auditor];
        let known = [
            ('o', party("camera/103", &[Role::Camera])),
            ('g', party("user/g", &[Role::Camera])),
            ('d', party("user/d", &[Role::Admin])),
            ('p', party("appliance/2", &[Role::Appliance])),
            ('r', party("user/r", &all)),
            ('b', party("user/b", &all)),
        ];
        let unknown = [('u', party("camera/102", &[Role::Camera])), ('z', party("authority/2", &[Role::Authority]))];
        for (_, party) in &known {
            world.introduce(&party.certificate).await;
        }
        let (_, recipients) = world.set_recipients().await;
        let camera = world.begin_epoch("1a", recipients).await;
        let (_, entry) = world.connect(&world.camera).await.record("/v1/streams/camera/102/main/1a/0").await;
        let Body::Epoch(epoch) = &entry.statement().body else { panic!("{entry:?}") };
        let names = [
            ("{zeros}", "0".repeat(64)),
            ("{leaf}", camera.prev.to_string()),
            ("{fingerprint}", hex::encode(world.camera.certificate.fingerprint())),
            ("{wraps}", epoch.attachments[0].sha256.to_string()),
        ];
        world.revoke(&known[4].1).await;
        let mut banned = world.connect(&known[5].1).await;
        for _ in 0..ATTEMPTS {
            assert_eq!(banned.get("/v1/streams?").await.status, 400);
        }
        let mut parties: Vec<(char, Option<Party>)> =
            known.into_iter().chain(unknown).map(|(letter, party)| (letter, Some(party))).collect();
        parties.extend([
            ('c', Some(world.camera.clone())),
            ('k', Some(world.custodian.clone())),
            ('i', Some(world.investigator.clone())),
            ('a', Some(world.auditor.clone())),
            ('y', Some(world.authority.party.clone())),
            ('n', None),
        ]);
        Self { world, parties, names }
    }

    fn target(&self, template: &str) -> String {
        self.names.iter().fold(template.to_owned(), |target, (name, value)| target.replace(name, value))
    }

    async fn connection(&self, party: Option<&Party>) -> Connection {
        let addresses = &self.world.running.addresses;
        let port = if party.is_some() { addresses.intake.port() } else { addresses.public.port() };
        Connection::new(port, &self.world.pki.root, party).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_by_every_caller() {
    let scene = Scene::new().await;
    let letters: BTreeSet<char> = scene.parties.iter().map(|(letter, _)| *letter).collect();
    assert_eq!(letters, CALLERS.chars().collect(), "a caller has no party, or a party no letter");
    let mut wrong = Vec::new();
    for (letter, party) in &scene.parties {
        let mut connection = scene.connection(party.as_ref()).await;
        for (id, method, template, status, allowed) in MATRIX {
            let target = scene.target(template);
            let answer = connection.ask(method, &target).await;
            if *id == "getEvents" && answer.status == 200 {
                // What comes on this connection now has no end.
                connection = scene.connection(party.as_ref()).await;
            }
            let found = (answer.status, if answer.body.is_empty() { String::new() } else { answer.problem_kind() });
            let expected = if allowed.contains(*letter) {
                (*status, None)
            } else {
                let (status, kind) = refusal(*letter, id);
                (status, Some(kind).filter(|_| *method != "HEAD"))
            };
            if found.0 != expected.0 || expected.1.is_some_and(|kind| kind != found.1) {
                wrong.push(format!("{method} {target} by {letter}: {found:?} instead of {expected:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_route_has_its_row() {
    let mut named = BTreeSet::new();
    for (id, method, template, ..) in MATRIX {
        let target =
            ["{zeros}", "{leaf}", "{fingerprint}", "{wraps}"].iter().fold((*template).to_owned(), |t, n| t.replace(n, &"0".repeat(64)));
        let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
        let parsed = Target::parse(method, path, query).map(|target| target.operation.id);
        assert_eq!(parsed, Ok(*id), "{method} {template}");
        named.insert(*id);
    }
    let known: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
    assert_eq!(named, known, "a route without a row: write down who may ask for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_open_where_the_operator_has_said_so_and_nothing_else_is() {
    let mut scene = Scene::new().await;
    scene.world = scene.world.restart_with("public_entries = true\n").await;
    let mut connection = scene.connection(None).await;
    for (template, status) in OPEN_ENTRIES {
        let target = scene.target(template);
        assert_eq!(connection.ask("GET", &target).await.status, *status, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_told_which_there_are() {
    let world = World::new().await;
    let upload = format!("/v1/uploads/{}", "0".repeat(64));
    let mut camera = world.connect(&world.camera).await;
    for (method, path, status, allow) in [
        ("DELETE", "/v1/streams/camera/102/main/1a/0", 405, "GET, OPTIONS, PUT"),
        ("POST", "/v1/version", 405, "GET, OPTIONS"),
        ("HEAD", "/v1/version", 405, "GET, OPTIONS"),
        ("TRACE", "/log/checkpoint", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/v1/version", 204, "GET, OPTIONS"),
        ("OPTIONS", &upload, 204, "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("OPTIONS", "/v1/streams/camera/102/main/1a/0", 204, "GET, OPTIONS, PUT"),
    ] {
        let answer = camera.ask(method, path).await;
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (status, allow), "{method} {path}: {answer:?}");
        assert!(answer.body.is_empty() || answer.kind() == "method", "{answer:?}");
    }
    assert_eq!(camera.ask("POST", "/v1/nothing").await.kind(), "not-found");
    // What the public listener does not serve it does not know.
    let mut anyone = Connection::new(world.running.addresses.public.port(), &world.pki.root, None).await.unwrap();
    assert_eq!(anyone.ask("POST", "/v1/version").await.kind(), "not-found");
    assert_eq!(anyone.ask("OPTIONS", "/v1/version").await.kind(), "not-found");
    assert_eq!(anyone.ask("POST", "/log/checkpoint").await.kind(), "method");
}
