//! From a request to an answer: route, permission, and the module that knows the answer.
//!
//! It holds no policy: the table is in `authorise`, the rules of sharing in `share`.

use std::sync::Arc;

use exhibit_evidence::exchange::{EntryRecord, Route, Terms};
use exhibit_evidence::{Body, StreamName};
use exhibit_ledger::LedgerError;
use exhibit_pki::{Certificate, Timestamp};
use exhibit_program::log_resource;
use exhibit_tlog::Hash;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::answer::{self, Answer, AnswerBody};
use super::authorise::{Caller, authorise, is_open_attachment, may_read_attachment};
use super::problem::{Kind, Refusal};
use super::range::{Range, single_range};
use super::server::{Listener, Peer};
use super::upload;
use crate::appliance::Appliance;
use crate::bans::Banned;
use crate::chronicle::ChronicleError;
use crate::ingest::{self, Received, payload_object, refuse_vault, rules};
use crate::places::Places;
use crate::predecessor::{self, Archive};
use crate::query::Query;
use crate::registry::RegistryError;
use crate::rows::AttachmentRow;
use crate::share::{self, Basis, Denial};
use crate::vault::{Object, Vault};

/// Answers one request of somebody.
pub async fn handle(appliance: Arc<Appliance>, listener: &Listener, who: &Banned, request: Request<Incoming>) -> Answer {
    let has_body = !request.body().is_end_stream();
    let is_upload = upload::is_upload(request.headers());
    let party: Arc<str> = who.party().into();
    let route = Route::parse(request.method().as_str(), request.uri().path(), request.uri().query());
    let appended = if let Ok(Route::UploadAppend(hash)) = &route { Some(*hash) } else { None };
    let answered = match (route, listener) {
        (Err(error), _) => Err(error.into()),
        (Ok(route), Listener::Public) if route.is_public() || (appliance.public_entries && route.is_of_entries()) => {
            read(appliance.clone(), None, party, route, request.headers().clone()).await
        }
        (Ok(_), Listener::Public) => Err(Refusal::not_found()),
        (Ok(route), Listener::Intake(Ok(peer))) => match permit(&appliance, peer, &route) {
            Err(refusal) => Err(refusal),
            Ok(()) => serve(appliance.clone(), peer.clone(), party, route, request).await,
        },
        (Ok(_), Listener::Intake(Err(reason))) => Err(Refusal::new(Kind::Certificate, reason.clone())),
    };
    answered.unwrap_or_else(|refusal| {
        tracing::info!(kind = ?refusal.kind, detail = ?refusal.detail, "refused");
        // What was not read of a body would be taken for the next request, and who is nobody of ours has nothing to ask.
        let mut answer = answer::refusal(&refusal, has_body || matches!(listener, Listener::Intake(Err(_))));
        if is_upload {
            let upload = refusal.upload.as_deref().copied().or(appended);
            let is_kept = match (listener, upload) {
                (Listener::Intake(Ok(peer)), Some(hash)) => peer.sender().is_ok_and(|sender| appliance.staging.is_kept(&sender, &hash)),
                _ => false,
            };
            upload::mark_refusal(&mut answer, &refusal, is_kept);
        }
        answer
    })
}

fn permit(appliance: &Appliance, peer: &Peer, route: &Route) -> Result<(), Refusal> {
    let certificate = &peer.certificate;
    let identity = certificate.identity().ok_or_else(|| Refusal::new(Kind::Certificate, "the certificate names nobody"))?;
    let path = match appliance.registry.certificate(certificate.fingerprint(), appliance.now())? {
        Some(Ok(known)) => known.path().to_vec(),
        _ => [std::slice::from_ref(certificate), &peer.chain].concat(),
    };
    let caller = Caller {
        subject: &identity.subject,
        is_revoked: appliance.registry.revoked(&path, appliance.now())?.is_some(),
        roles: certificate.roles(),
        on_ledger: appliance.registry.is_known(certificate.fingerprint())?,
        is_valid: certificate.is_valid_at(appliance.now()),
    };
    authorise(&caller, route)
}

async fn serve(
    appliance: Arc<Appliance>,
    peer: Arc<Peer>,
    party: Arc<str>,
    route: Route,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    match route {
        Route::Put { stream, seq, log } => {
            let (shared, is_upload) = (appliance.clone(), upload::is_upload(request.headers()));
            let put = ingest::put(appliance, upload::sending(peer, party, request)?, (stream, seq), log);
            let received = if is_upload { to_its_end(put).await? } else { put.await? };
            Ok(upload::received(&received, is_upload, true, &shared.staging))
        }
        Route::UploadAppend(hash) => {
            let (shared, offset) = (appliance.clone(), upload::append_offset(request.headers())?);
            let received = to_its_end(ingest::append(appliance, upload::sending(peer, party, request)?, hash, offset)).await?;
            Ok(upload::received(&received, true, false, &shared.staging))
        }
        Route::UploadState(hash) => {
            let progress = appliance.staging.settled(&peer.sender()?, &hash).await?;
            Ok(upload::state(&progress, &appliance.staging))
        }
        Route::UploadCancel(hash) => {
            if appliance.staging.cancel(&peer.sender()?, &hash) {
                Ok(upload::empty())
            } else {
                Err(Refusal::not_found())
            }
        }
        Route::UploadLimits { .. } => Ok(upload::limits(&appliance.staging)),
        route => read(appliance, Some(peer), party, route, request.headers().clone()).await,
    }
}

/// A task of its own: when the connection breaks, hyper drops what serves it, and what has come is to be kept.
async fn to_its_end(receiving: impl Future<Output = Result<Received, Refusal>> + Send + 'static) -> Result<Received, Refusal> {
    tokio::spawn(receiving).await.map_err(|_| Refusal::new(Kind::Internal, "the appliance failed: try again"))?
}

async fn read(
    appliance: Arc<Appliance>,
    peer: Option<Arc<Peer>>,
    party: Arc<str>,
    route: Route,
    headers: HeaderMap,
) -> Result<Answer, Refusal> {
    match (route, peer) {
        (Route::Payload { stream, seq, fetch }, Some(peer)) => {
            payload(appliance, (peer, &party), Wanted { log: None, stream, seq }, fetch, &headers).await
        }
        (Route::Before { log, route }, Some(peer)) if matches!(*route, Route::Payload { .. }) => {
            let Route::Payload { stream, seq, fetch } = *route else { return Err(Refusal::not_found()) };
            payload(appliance, (peer, &party), Wanted { log: Some(log), stream, seq }, fetch, &headers).await
        }
        (route, peer) => {
            // Reads of the ledger may wait for the disk.
            let read = spawn_blocking(move || read_blocking(&appliance, peer.as_deref(), &party, &route, &headers)).await;
            read.map_err(|_| Refusal::new(Kind::Internal, "the appliance failed: try again"))?
        }
    }
}

/// What is asked: this log, or one before it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    query: Query<'a>,
    vault: &'a dyn Vault,
    /// How many entry bundles are read at once, of whichever log.
    bundles: &'a Arc<Places>,
}

impl<'a> Asked<'a> {
    fn of(appliance: &'a Appliance) -> Self {
        let query = Query { ledger: &appliance.ledger, registry: &appliance.registry, witnessing: &appliance.witnessing };
        Self { query, vault: appliance.vault.as_ref(), bundles: &appliance.bundles }
    }

    fn of_before(appliance: &'a Appliance, archive: &'a Archive) -> Self {
        let query = Query { ledger: &archive.ledger, registry: &archive.registry, witnessing: &archive.witnessing };
        Self { query, vault: archive.vault.as_ref(), bundles: &appliance.bundles }
    }
}

fn read_blocking(appliance: &Appliance, peer: Option<&Peer>, party: &str, route: &Route, headers: &HeaderMap) -> Result<Answer, Refusal> {
    match route {
        Route::Before { log, route } => {
            let archive = predecessor::archives(appliance).find(|archive| archive.log == *log).ok_or_else(Refusal::not_found)?;
            read_log(Asked::of_before(appliance, archive), peer, party, route, headers)
        }
        Route::EntryByLeaf(leaf) => match Asked::of(appliance).query.record_of(leaf)? {
            // What is acknowledged stays so: its receipt is had from the log that gave it.
            None => found(first_of(appliance, |archive| archive.record_of(leaf))?),
            record => found(record),
        },
        Route::TpmSigned => {
            let note = appliance.tpm_notes.newest().ok_or_else(Refusal::not_found)?;
            Ok(logged(log_resource::answer(log_resource::Kind::Checkpoint, note.as_bytes().to_vec(), headers)))
        }
        Route::Successor { log, size, by } => found(predecessor::successor(appliance, log, *size, by)?),
        Route::Version => Ok(answer::json(
            StatusCode::OK,
            &json!({ "name": "exhibit-appliance", "version": exhibit_program::version(), "origin": appliance.anchor.verifier.origin,
                "log": appliance.anchor.log.to_string() }),
        )),
        Route::Health => Ok(answer::json(StatusCode::OK, &json!({ "status": "ok", "size": appliance.ledger.size() }))),
        route => read_log(Asked::of(appliance), peer, party, route, headers),
    }
}

/// What every log answers.
fn read_log(asked: Asked<'_>, peer: Option<&Peer>, party: &str, route: &Route, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let Query { ledger, registry, witnessing } = asked.query;
    let query = &asked.query;
    let subject = peer.and_then(|peer| peer.certificate.identity()).map(|identity| &identity.subject);
    match route {
        Route::Streams { prefix, after } => Ok(answer::json(StatusCode::OK, &query.streams(prefix, after.as_deref())?)),
        Route::Stream { stream } => found(query.stream(stream)?),
        Route::Entry { stream, seq } => found(query.record_at(stream, *seq)?),
        Route::Entries { stream, first, last } => {
            registry.head(stream)?.ok_or_else(Refusal::not_found)?;
            Ok(answer::json(StatusCode::OK, &query.entries(stream, *first, *last)?))
        }
        Route::Segments { series, from, to, after } => {
            Ok(answer::json(StatusCode::OK, &query.segments(series, *from, *to, after.as_ref())?))
        }
        Route::EntryByLeaf(leaf) => found(query.record_of(leaf)?),
        Route::Approvals { leaf, by, after } => Ok(answer::json(StatusCode::OK, &query.approvals(leaf, by, after.as_ref())?)),
        Route::EntryByIndex(index) => found(query.record(*index)?),
        Route::Certificate(fingerprint) => found(introduction(query, fingerprint)?),
        Route::Attachment(sha256) => attachment(asked, peer, sha256),
        Route::Recipients { scope } => match registry.newest_recipients(&scope.to_string())? {
            Some(newest) => found(query.record_of(&newest.leaf)?),
            None => Err(Refusal::not_found()),
        },
        Route::Grants { after } => {
            let grants = query.grants(subject.ok_or_else(Refusal::not_found)?, after.as_deref())?;
            let grants = grants.ok_or_else(|| Refusal::new(Kind::Malformed, "after is not what a page before gave as next"))?;
            Ok(answer::json(StatusCode::OK, &grants))
        }
        Route::Checkpoint => {
            let note = witnessing.newest(ledger).ok_or_else(Refusal::not_found)?;
            Ok(logged(log_resource::answer(log_resource::Kind::Checkpoint, note.into_bytes(), headers)))
        }
        Route::Witnessed => {
            let witnessed = witnessing.witnessed().ok_or_else(Refusal::not_found)?;
            Ok(logged(log_resource::answer(log_resource::Kind::Checkpoint, witnessed.note.as_bytes().to_vec(), headers)))
        }
        Route::Witnesses => Ok(answer::json(StatusCode::OK, &witnessing.status(ledger))),
        Route::Tile(tile) => {
            let hashes = ledger.tile(*tile).map_err(RegistryError::from)?.ok_or_else(Refusal::not_found)?;
            Ok(logged(log_resource::answer(log_resource::Kind::Tile, hashes, headers)))
        }
        Route::Bundle(bundle) => {
            let place = asked.bundles.take(party).map_err(|full| Refusal::overloaded("entry bundles", full))?;
            let entries = ledger.bundle(*bundle).map_err(RegistryError::from)?.ok_or_else(Refusal::not_found)?;
            let answer = log_resource::answer(log_resource::Kind::Bundle { is_open: peer.is_none() }, entries, headers);
            Ok(answer.map(|bytes| AnswerBody::held(bytes.into(), place)))
        }
        // Answered before, or by others.
        Route::Put { .. }
        | Route::Payload { .. }
        | Route::UploadAppend(_)
        | Route::UploadState(_)
        | Route::UploadCancel(_)
        | Route::UploadLimits { .. }
        | Route::TpmSigned
        | Route::Successor { .. }
        | Route::Before { .. }
        | Route::Version
        | Route::Health => Err(Refusal::not_found()),
    }
}

fn logged(answer: Response<Vec<u8>>) -> Answer {
    answer.map(|bytes| AnswerBody::Whole(Some(bytes.into())))
}

fn found(record: Option<impl serde::Serialize>) -> Result<Answer, Refusal> {
    record.map(|record| answer::json(StatusCode::OK, &record)).ok_or_else(Refusal::not_found)
}

/// What the newest of the logs before has of something.
fn first_of<T>(appliance: &Appliance, find: impl Fn(&Archive) -> Result<Option<T>, LedgerError>) -> Result<Option<T>, RegistryError> {
    for archive in predecessor::archives(appliance) {
        if let Some(found) = find(archive)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn introduction(query: &Query<'_>, fingerprint: &[u8; 32]) -> Result<Option<EntryRecord>, RegistryError> {
    query.registry.introduction(fingerprint)?.map_or(Ok(None), |leaf| query.record_of(&leaf))
}

fn attachment(asked: Asked<'_>, peer: Option<&Peer>, sha256: &Hash) -> Result<Answer, Refusal> {
    let identity = peer.map(|peer| peer.certificate.identity().ok_or_else(Refusal::not_found)).transpose()?;
    let roles = peer.map_or(&[][..], |peer| peer.certificate.roles());
    let caller = identity.map(|identity| Caller { subject: &identity.subject, roles, on_ledger: true, is_revoked: false, is_valid: true });
    let may_read = |row: &AttachmentRow| caller.as_ref().map_or_else(|| is_open_attachment(row), |caller| may_read_attachment(caller, row));
    let mut after = Vec::new();
    let mut is_named = false;
    loop {
        let page = asked.query.registry.attachment(sha256, &after)?;
        let Some((last, _)) = page.last() else { break };
        is_named = true;
        after = [last.as_slice(), &[0]].concat();
        if let Some((_, row)) = page.iter().find(|(_, row)| may_read(row)) {
            let stored = asked.vault.read(Object::Attachment(*sha256), row.length)?;
            // Named on the ledger and gone: the verifier tells lost from erased.
            let stored = stored.ok_or_else(|| Refusal::new(Kind::NotFound, "the attachment is not there any more"))?;
            return Ok(answer::bytes(StatusCode::OK, "application/octet-stream", stored));
        }
    }
    if is_named { Err(Refusal::new(Kind::Forbidden, "this attachment is for others")) } else { Err(Refusal::not_found()) }
}

async fn payload(
    appliance: Arc<Appliance>,
    (peer, party): (Arc<Peer>, &str),
    wanted: Wanted,
    fetch: Hash,
    headers: &HeaderMap,
) -> Result<Answer, Refusal> {
    let place = appliance.downloads.take(party).map_err(|full| Refusal::overloaded("downloads", full))?;
    let opened = spawn_blocking(move || open_payload(&appliance, &peer, &wanted, &fetch)).await;
    let object = opened.map_err(|_| Refusal::new(Kind::Internal, "the appliance failed: try again"))??;
    let length = object.length();
    let range = headers.get(RANGE).map(|range| range.to_str().unwrap_or_default());
    let (status, first, count) = match range.map(|range| single_range(range, length)) {
        None | Some(Range::Ignored) => (StatusCode::OK, 0, length),
        Some(Range::Part { first, last }) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Some(Range::Outside) => return Err(Refusal::new(Kind::Range, format!("the payload has {length} bytes"))),
    };
    let mut answer = answer::bytes(status, "application/octet-stream", Vec::new());
    *answer.body_mut() = AnswerBody::of_object(object.into(), first, count, place);
    let headers = answer.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{length}", first + count - 1);
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("digits are a header's value"));
    }
    Ok(answer)
}

/// A segment's place.
struct Wanted {
    /// The log before that has it; ours if there is none.
    log: Option<Hash>,
    stream: StreamName,
    seq: u64,
}

/// Decides, puts on the ledger what was decided, and only then opens the ciphertext. Blocks.
fn open_payload(
    appliance: &Appliance,
    peer: &Peer,
    wanted: &Wanted,
    fetch_leaf: &Hash,
) -> Result<Box<dyn crate::vault::StoredObject>, Refusal> {
    let Wanted { log, stream, seq } = wanted;
    let ours = Asked::of(appliance);
    let asked = match log {
        None => ours,
        Some(log) => {
            let archive = predecessor::archives(appliance).find(|archive| archive.log == *log);
            Asked::of_before(appliance, archive.ok_or_else(Refusal::not_found)?)
        }
    };
    // Who fetches now says so on our log, whichever has the evidence.
    let (registry, evidence) = (ours.query.registry, asked.query.registry);
    let caller = &peer.certificate.identity().ok_or_else(Refusal::not_found)?.subject;
    let not_yours = || Refusal::new(Kind::Forbidden, Denial::NotYourFetch.to_string());
    let fetch = registry.statement(fetch_leaf)?.ok_or_else(not_yours)?;
    let place = evidence.place(stream, *seq)?.ok_or_else(Refusal::not_found)?;
    let segment = evidence.statement_at(place.index)?;
    if !matches!(segment.statement().body, Body::Segment(_)) {
        return Err(Refusal::new(Kind::NotFound, "this entry has no payload"));
    }
    let Body::Fetch(fetch_body) = &fetch.statement().body else { return Err(not_yours()) };
    let grant = fetch_body.grant.map(|leaf| registry.statement(&leaf)?.ok_or(RegistryError::Entry)).transpose()?;
    let terms = match &grant {
        Some(grant) => terms_of(ours, grant.statement())?,
        None => None,
    };
    let recipients = if grant.is_none() { recipients_of(asked, stream, appliance.now())? } else { Vec::new() };
    let basis = match &grant {
        Some(grant) => Basis::Grant { grant: grant.statement(), terms: terms.as_ref() },
        None => Basis::Recipients(&recipients),
    };
    let request = share::Request { caller, segment: segment.statement(), fetch: fetch.statement(), basis, now: appliance.now() };
    let decided = share::decide(&request);
    if decided != Err(Denial::NotYourFetch) {
        // On the ledger before the first byte, or there is none.
        appliance.chronicle.access(fetch_leaf, decided.is_ok()).map_err(|error| {
            appliance.heed_chronicle(&error);
            tracing::error!(%error, "an access could not be put on the ledger");
            if matches!(error, ChronicleError::NoRoom(_)) {
                return Refusal::new(
                    Kind::Storage,
                    "there is no room to log this access, so nothing is served: the operator has to make some",
                );
            }
            Refusal::new(Kind::Internal, "the appliance could not log this access, so it serves nothing")
        })?;
    }
    decided.map_err(|denial| Refusal::new(Kind::Forbidden, denial.to_string()))?;
    let object = asked.vault.open(payload_object(&segment.statement_hash())).map_err(refuse_vault(appliance))?;
    object.ok_or_else(|| Refusal::new(Kind::NotFound, "the ciphertext is not there any more"))
}

/// The terms of a grant, as they were checked when it was admitted; `None` if they are gone or damaged.
fn terms_of(asked: Asked<'_>, grant: &exhibit_evidence::Statement) -> Result<Option<Terms>, Refusal> {
    let Body::Grant(body) = &grant.body else { return Ok(None) };
    let Some(attachment) = body.attachments.iter().find(|attachment| attachment.name == "terms") else { return Ok(None) };
    let stored = asked.vault.read(Object::Attachment(attachment.sha256), rules::TERMS_BYTES_MAX)?;
    let content = stored.as_deref().and_then(|stored| attachment.open(stored));
    Ok(content.and_then(|content| Terms::parse(content, &body.scope).ok()))
}

/// The wrapping certificates to which the epoch of a stream was wrapped, as far as they are valid now.
fn recipients_of(asked: Asked<'_>, stream: &StreamName, now: Timestamp) -> Result<Vec<Certificate>, Refusal> {
    let registry = asked.query.registry;
    let place = registry.place(stream, 0)?.ok_or_else(Refusal::not_found)?;
    let began = registry.statement_at(place.index)?;
    let Body::Epoch(epoch) = &began.statement().body else { return Ok(Vec::new()) };
    let Some(recipients) = registry.statement(&epoch.recipients)? else { return Ok(Vec::new()) };
    let Body::Recipients(body) = &recipients.statement().body else { return Ok(Vec::new()) };
    let mut certificates = Vec::new();
    for fingerprint in &body.recipients {
        if let Some(Ok(known)) = registry.certificate(fingerprint, now)? {
            certificates.push(known.certificate().clone());
        }
    }
    Ok(certificates)
}
