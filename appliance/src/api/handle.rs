//! From a request to an answer: route, permission, and the module that knows the answer.
//!
//! It holds no policy: the table is in `authorise`, the rules of sharing in `share`.

use std::sync::Arc;

use exhibit_evidence::exchange::route::{Open, allowed};
use exhibit_evidence::exchange::{EntryRecord, EntryRecords, Route, RouteError, Target, VersionRecord};
use exhibit_ledger::LedgerError;
use exhibit_program::log_resource;
use exhibit_tlog::Hash;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::task::spawn_blocking;

use super::answer::{self, Answer, AnswerBody};
use super::authorise::{Caller, authorise, is_open_attachment, may_read_attachment};
use super::conditional::{page, with_links};
use super::description;
use super::events;
use super::payload::{Wanted, payload};
use super::problem::{Kind, Refusal};
use super::server::{Listener, Peer};
use super::upload;
use crate::appliance::Appliance;
use crate::bans::Banned;
use crate::health;
use crate::ingest::{self, Received};
use crate::places::Places;
use crate::predecessor::{self, Archive};
use crate::query::{PAGE_STREAMS, Query};
use crate::registry::RegistryError;
use crate::rows::AttachmentRow;
use crate::vault::{Object, Vault};

/// Answers one request of somebody.
pub async fn handle(appliance: Arc<Appliance>, listener: &Listener, who: &Banned, request: Request<Incoming>) -> Answer {
    let has_body = !request.body().is_end_stream();
    let is_upload = upload::is_upload(request.headers());
    let party: Arc<str> = who.party().into();
    let target = Target::parse(request.method().as_str(), request.uri().path(), request.uri().query());
    let appended = if let Ok(Target { route: Route::UploadAppend(hash), .. }) = &target { Some(*hash) } else { None };
    let answered = match (target, listener) {
        (Err(RouteError::Method), _) => return other_methods(&appliance, listener, &request),
        (Err(error), _) => Err(error.into()),
        (Ok(target), Listener::Public) if is_shown(&appliance, listener, target.open()) => {
            let (asked, headers) = (request.uri(), request.headers());
            read(appliance.clone(), None, party, target.route, headers.clone()).await.map(|answer| with_links(answer, asked, headers))
        }
        (Ok(_), Listener::Public) => Err(Refusal::not_found()),
        (Ok(target), Listener::Intake(Ok(peer))) => match permit(&appliance, peer, &target) {
            Err(refusal) => Err(refusal),
            Ok(()) if matches!(target.route, Route::Events { .. }) => events::tell(&appliance, peer, who, target, request.headers()),
            Ok(()) => serve(appliance.clone(), peer.clone(), party, target.route, request).await,
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

/// Whether a listener serves what is this open.
fn is_shown(appliance: &Appliance, listener: &Listener, open: Open) -> bool {
    match (listener, open) {
        (Listener::Intake(_), _) | (Listener::Public, Open::Everyone) => true,
        (Listener::Public, Open::Entries) => appliance.public_entries,
        (Listener::Public, Open::Closed) => false,
    }
}

/// A path that is known, asked with another method than its own; OPTIONS asks which these are.
fn other_methods(appliance: &Appliance, listener: &Listener, request: &Request<Incoming>) -> Answer {
    let has_body = !request.body().is_end_stream();
    let methods = allowed(request.uri().path(), |open| is_shown(appliance, listener, open));
    if methods.is_empty() {
        return answer::refusal(&Refusal::not_found(), has_body);
    }
    let mut answer = if request.method() == Method::OPTIONS && !has_body {
        upload::empty()
    } else {
        answer::refusal(&Refusal::from(RouteError::Method), has_body)
    };
    answer.headers_mut().insert(ALLOW, allow(&methods));
    answer
}

fn allow(methods: &[&str]) -> HeaderValue {
    HeaderValue::from_str(&methods.join(", ")).expect("methods are a header's value")
}

/// Whether a peer may ask for it now.
pub(super) fn permit(appliance: &Appliance, peer: &Peer, target: &Target) -> Result<(), Refusal> {
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
    authorise(&caller, target)
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
        Route::UploadLimits { .. } => {
            let mut answer = upload::limits(&appliance.staging);
            answer.headers_mut().insert(ALLOW, allow(&allowed(request.uri().path(), |_| true)));
            Ok(answer)
        }
        route => {
            let (asked, headers) = (request.uri(), request.headers());
            read(appliance, Some(peer), party, route, headers.clone()).await.map(|answer| with_links(answer, asked, headers))
        }
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
pub(super) struct Asked<'a> {
    pub query: Query<'a>,
    pub vault: &'a dyn Vault,
    /// How many entry bundles are read at once, of whichever log.
    bundles: &'a Arc<Places>,
}

impl<'a> Asked<'a> {
    pub fn of(appliance: &'a Appliance) -> Self {
        let query = Query { ledger: &appliance.ledger, registry: &appliance.registry, witnessing: &appliance.witnessing };
        Self { query, vault: appliance.vault.as_ref(), bundles: &appliance.bundles }
    }

    pub fn of_before(appliance: &'a Appliance, archive: &'a Archive) -> Self {
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
        Route::Version => found(Some(VersionRecord {
            name: "exhibit-appliance".to_owned(),
            version: exhibit_program::version().to_owned(),
            origin: appliance.anchor.verifier.origin.clone(),
            log: appliance.anchor.log.to_string(),
        })),
        Route::Description => Ok(description::document(headers)),
        Route::Docs => Ok(description::page(headers)),
        Route::Health => {
            let health = health::of(appliance);
            let health = if peer.is_some() { health } else { health.for_strangers() };
            let status = if health.status == health::Status::Failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            Ok(answer::json(status, &health))
        }
        route => read_log(Asked::of(appliance), peer, party, route, headers),
    }
}

/// What every log answers.
fn read_log(asked: Asked<'_>, peer: Option<&Peer>, party: &str, route: &Route, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let Query { ledger, registry, witnessing } = asked.query;
    let query = &asked.query;
    let subject = peer.and_then(|peer| peer.certificate.identity()).map(|identity| &identity.subject);
    match route {
        Route::Streams { prefix, after } => {
            let streams = query.streams(prefix, after.as_deref())?;
            // A page that is full may be the last one: the next is empty then.
            let next = streams.streams.last().filter(|_| streams.streams.len() == PAGE_STREAMS).map(|last| &last.stream);
            Ok(page(&streams, next))
        }
        Route::Stream { stream } => found(query.stream(stream)?),
        Route::Entry { stream, seq } => found(query.record_at(stream, *seq)?),
        Route::Entries { stream, first, last } => {
            registry.head(stream)?.ok_or_else(Refusal::not_found)?;
            Ok(page_of(&query.entries(stream, *first, *last)?))
        }
        Route::Segments { series, from, to, after } => Ok(page_of(&query.segments(series, *from, *to, after.as_ref())?)),
        Route::EntryByLeaf(leaf) => found(query.record_of(leaf)?),
        Route::Approvals { leaf, by, after } => Ok(page_of(&query.approvals(leaf, by, after.as_ref())?)),
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
            Ok(page_of(&grants))
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
        | Route::Events { .. }
        | Route::Version
        | Route::Description
        | Route::Docs
        | Route::Health => Err(Refusal::not_found()),
    }
}

fn logged(answer: Response<Vec<u8>>) -> Answer {
    answer.map(|bytes| AnswerBody::Whole(Some(bytes.into())))
}

fn page_of(entries: &EntryRecords) -> Answer {
    page(entries, entries.next.as_ref())
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
            let mut answer = answer::bytes(StatusCode::OK, "application/octet-stream", stored);
            // Its name is its hash. It may be erased: no cache of others keeps it.
            answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
            return Ok(answer);
        }
    }
    if is_named { Err(Refusal::new(Kind::Forbidden, "this attachment is for others")) } else { Err(Refusal::not_found()) }
}
