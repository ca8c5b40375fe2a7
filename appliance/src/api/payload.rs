//! Ciphertext: who gets it is decided and put on the ledger, and only then is it opened. In ranges, as it is asked for.
//!
//! It holds no policy: the rules of sharing are in `share`.

use std::sync::Arc;

use exhibit_evidence::exchange::Terms;
use exhibit_evidence::{Body, StreamName};
use exhibit_pki::{Certificate, Timestamp};
use exhibit_tlog::Hash;
use hyper::StatusCode;
use hyper::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use tokio::task::spawn_blocking;

use super::answer::{self, Answer, AnswerBody};
use super::handle::Asked;
use super::problem::{Kind, Refusal};
use super::range::{Range, single_range};
use super::server::Peer;
use crate::appliance::Appliance;
use crate::chronicle::ChronicleError;
use crate::ingest::{payload_object, refuse_vault, rules};
use crate::predecessor;
use crate::registry::RegistryError;
use crate::share::{self, Basis, Denial};
use crate::vault::Object;

/// A segment's place.
pub(super) struct Wanted {
    /// The log before that has it; ours if there is none.
    pub log: Option<Hash>,
    /// Its stream.
    pub stream: StreamName,
    /// Its seq.
    pub seq: u64,
}

/// Answers with ciphertext.
pub(super) async fn payload(
    appliance: Arc<Appliance>,
    (peer, party): (Arc<Peer>, &str),
    wanted: Wanted,
    fetch: Hash,
    headers: &HeaderMap,
) -> Result<Answer, Refusal> {
    let place = appliance.downloads.take(party).map_err(|full| Refusal::overloaded("downloads", full))?;
    let opened = spawn_blocking(move || open_payload(&appliance, &peer, &wanted, &fetch)).await;
    let (object, statement) = opened.map_err(|_| Refusal::new(Kind::Internal, "the appliance failed: try again"))??;
    let length = object.length();
    // The statement signs each byte.
    let etag = HeaderValue::from_str(&format!("\"{statement}\"")).expect("a hash is a header's value");
    // RFC 9110 section 13.1.5: whoever has a part of something else gets the whole.
    let has_other = headers.get(IF_RANGE).is_some_and(|had| had != etag);
    let range = headers.get(RANGE).filter(|_| !has_other).map(|range| range.to_str().unwrap_or_default());
    let (status, first, count) = match range.map(|range| single_range(range, length)) {
        None | Some(Range::Ignored) => (StatusCode::OK, 0, length),
        Some(Range::Part { first, last }) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Some(Range::Outside) => return Err(Refusal::new(Kind::Range, format!("the payload has {length} bytes"))),
    };
    let mut answer = answer::bytes(status, "application/octet-stream", Vec::new());
    *answer.body_mut() = AnswerBody::of_object(object.into(), first, count, place);
    let headers = answer.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(ETAG, etag);
    // Each access is on the ledger: none is a cache's.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{length}", first + count - 1);
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("digits are a header's value"));
    }
    Ok(answer)
}

/// Decides, puts on the ledger what was decided, and only then opens the ciphertext. Blocks.
fn open_payload(
    appliance: &Appliance,
    peer: &Peer,
    wanted: &Wanted,
    fetch_leaf: &Hash,
) -> Result<(Box<dyn crate::vault::StoredObject>, Hash), Refusal> {
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
    let object = object.ok_or_else(|| Refusal::new(Kind::NotFound, "the ciphertext is not there any more"))?;
    Ok((object, segment.statement_hash()))
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
