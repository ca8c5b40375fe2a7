//! What the server answers: the truth about its world, or the forgery that a test wants.

use std::{
    convert::Infallible,
    pin::Pin as StdPin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use exhibit_evidence::{
    Body, SignedStatement,
    exchange::{Admitted, EntryRecord, EntryRecords, Problem},
};
use exhibit_tlog::{Hash, leaf_hash};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, Incoming},
};

use super::{Log, Mischief, NEXT_ORIGIN, World};

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn whole(bytes: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(bytes.into()).boxed()
}

/// What an answer without end has in the end, so that a test of it does.
pub const ENDLESS_BYTES: u64 = 64 << 20;

/// Counts what was asked of it.
struct Endless {
    served: Arc<AtomicU64>,
}

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(self: StdPin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let served = self.served.fetch_add(1 << 16, Ordering::Relaxed);
        Poll::Ready((served < ENDLESS_BYTES).then(|| Ok(Frame::data(Bytes::from(vec![b'x'; 1 << 16])))))
    }
}

pub async fn answer(world: Arc<Mutex<World>>, served: Arc<AtomicU64>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let path = request.uri().path().to_owned();
    let mischief = {
        let mut world = world.lock().unwrap();
        let applies = request.method() == Method::PUT || world.mischief == Mischief::Unavailable || world.mischief == Mischief::Gibberish;
        match &mut world.mischief_left {
            Some(0) => Mischief::None,
            Some(left) if applies => {
                *left -= 1;
                world.mischief
            }
            _ => world.mischief,
        }
    };
    match mischief {
        Mischief::Unavailable => return Ok(problem(503, "overloaded", None)),
        Mischief::Gibberish => return Ok(Response::new(whole("<html>welcome to the hotel's network</html>"))),
        Mischief::Endless if request.method() == Method::GET => return Ok(Response::new(Endless { served }.boxed())),
        Mischief::AnotherRecord if path.starts_with("/v1/entries/") => {
            let record = world.lock().unwrap().log.record(2);
            return Ok(Response::new(whole(serde_json::to_vec(&record).unwrap())));
        }
        _ => {}
    }
    let upload_offset = world.lock().unwrap().upload_offset;
    if let Some(offset) = upload_offset {
        if request.method() == Method::HEAD {
            let mut world = world.lock().unwrap();
            if world.upload_unseen > 0 {
                world.upload_unseen -= 1;
                return Ok(problem(404, "not-found", None));
            }
            return Ok(Response::builder().status(204).header("upload-offset", offset).body(whole("")).unwrap());
        }
        if mischief == Mischief::SpoiltUpload && request.method() == Method::PATCH {
            world.lock().unwrap().upload_offset = None;
            return Ok(problem(422, "payload", None));
        }
        let announced = request.headers().get("content-length").map(|length| length.to_str().unwrap().parse().unwrap());
        world.lock().unwrap().announced.push(announced);
        let mut body = request.into_body();
        let _ = body.frame().await;
        world.lock().unwrap().cut_off += 1;
        return Err(std::io::Error::other("hanging up"));
    }
    if request.method() == Method::PUT {
        return put(&world, &path, request, mischief).await;
    }
    Ok(get(&world.lock().unwrap(), &path).unwrap_or_else(|| problem(404, "not-found", None)))
}

fn get(world: &World, path: &str) -> Option<Answer> {
    let json = |index: u64| Response::new(whole(serde_json::to_vec(&world.log.record(index)).unwrap()));
    if path == "/log/checkpoint" {
        return Some(Response::new(whole(world.log.checkpoint())));
    }
    if let Some(tile) = path.strip_prefix("/log/tile/") {
        return Some(Response::new(whole(world.log.tile(tile)?)));
    }
    if path == "/v1/successor" {
        return Some(Response::new(whole(serde_json::to_vec(world.successor.as_ref()?).unwrap())));
    }
    if path == "/v1/recipients/camera/102" && world.mischief == Mischief::ForeignRecipients {
        let mut foreign = Log::with_keys(90);
        foreign.entries.clone_from(&world.log.entries);
        return Some(Response::new(whole(serde_json::to_vec(&foreign.record(world.recipients?)).unwrap())));
    }
    if path == "/v1/recipients/camera/102" {
        return Some(json(world.recipients?));
    }
    if let Some(hex) = path.strip_prefix("/v1/certificates/") {
        return Some(json(*world.certificates.get(&Hash::from_hex(hex)?.0)?));
    }
    if let Some(hex) = path.strip_prefix("/v1/attachments/") {
        return Some(Response::new(whole(world.attachments.get(&Hash::from_hex(hex)?)?.clone())));
    }
    if let Some(hex) = path.strip_prefix("/v1/approvals/") {
        let entries = approvals(&world.log, &Hash::from_hex(hex)?);
        return Some(Response::new(whole(serde_json::to_vec(&EntryRecords { entries, next: None }).unwrap())));
    }
    if let Some(hex) = path.strip_prefix("/v1/entries/") {
        let leaf = Hash::from_hex(hex)?;
        let index = world.log.entries.iter().position(|entry| leaf_hash(entry) == leaf)?;
        return Some(json(index as u64));
    }
    None
}

/// Every `approve` of an entry.
fn approvals(log: &Log, approved: &Hash) -> Vec<EntryRecord> {
    let names_it = |entry: &Vec<u8>| {
        let signed = SignedStatement::parse(entry).ok();
        signed.is_some_and(|signed| matches!(&signed.statement().body, Body::Approve(body) if body.entry == *approved))
    };
    (0..log.size()).filter(|index| names_it(&log.entries[*index as usize])).map(|index| log.record(index)).collect()
}

async fn put(world: &Mutex<World>, path: &str, request: Request<Incoming>, mischief: Mischief) -> Result<Answer, std::io::Error> {
    match mischief {
        Mischief::RefuseEarly => return Ok(problem(413, "too-large", None)),
        Mischief::Rate => return Ok(problem(429, "rate", None)),
        Mischief::Forbid => return Ok(problem(403, "certificate", None)),
        _ => {}
    }
    // Of a statement for the log before, whoever sends it says that it knows this one: nothing is proven between the two.
    let is_of_log_before = request.uri().query().is_some_and(|query| query.starts_with("log="));
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let length = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let entry = body[4..4 + length(0)].to_vec();
    let attachments_at = 8 + entry.len();
    let payload_at = attachments_at + length(attachments_at - 4);
    let signed = SignedStatement::parse(&entry).unwrap();
    let statement = signed.statement();
    let place = (statement.stream.as_str().to_owned(), statement.seq);
    assert_eq!(path, format!("/v1/streams/{}/{}", place.0, place.1));
    let mut world = world.lock().unwrap();
    world.puts.push(place.clone());
    match mischief {
        Mischief::Contradict if statement.seq > 0 => return Ok(problem(409, "contradiction", None)),
        Mischief::ClaimsToBeAhead => return Ok(problem(409, "chain", Some(statement.seq + 1))),
        _ => {}
    }
    let goes_on = world.log.verifier().origin == NEXT_ORIGIN;
    if goes_on && !is_of_log_before && statement.log != leaf_hash(&world.log.entries[0]) {
        return Ok(problem(410, "ended", None));
    }
    let known = world.positions.get(&place).copied();
    if let Some(index) = known
        && world.log.entries[usize::try_from(index).unwrap()] != entry
    {
        return Ok(problem(409, "contradiction", None));
    }
    let index = known.unwrap_or(world.log.size());
    if mischief == Mischief::ForksBehind {
        for (behind, entry) in world.log.entries.iter_mut().enumerate().skip(usize::try_from(statement.observed.size).unwrap()) {
            *entry = format!("another history of entry {behind}").into_bytes();
        }
    }
    if known.is_none() {
        // The chain of a log before may leap, from its first statement.
        let before = if is_of_log_before { (statement.seq > 0).then_some(0) } else { statement.seq.checked_sub(1) };
        let before = before.map(|before| (place.0.clone(), before));
        if before.is_some_and(|before| !world.positions.contains_key(&before)) {
            return Ok(problem(409, "chain", Some(0)));
        }
        world.log.entries.push(entry.clone());
        world.positions.insert(place.clone(), index);
        world.payloads.insert(place, body[payload_at..].to_vec());
        let mut at = attachments_at;
        for attachment in statement.body.attachments() {
            let end = at + usize::try_from(attachment.length).unwrap();
            world.attachments.insert(attachment.sha256, body[at..end].to_vec());
            at = end;
        }
    }
    if mischief == Mischief::TakeAndHangUp {
        return Err(std::io::Error::other("hanging up"));
    }
    let mut admitted = admitted(&mut world, &signed, index, mischief);
    if is_of_log_before {
        admitted.consistency.clear();
    }
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok(Response::builder().status(status).body(whole(serde_json::to_vec(&admitted).unwrap())).unwrap())
}

/// The answer, forged as wanted.
fn admitted(world: &mut World, signed: &SignedStatement, index: u64, mischief: Mischief) -> Admitted {
    let observed = signed.statement().observed.size;
    if mischief == Mischief::ForkedLog {
        // Another history of the same length, which has this entry, signed with the log's own keys.
        world.log.entries[0] = b"another genesis".to_vec();
    }
    let mut receipt = world.log.receipt(index);
    let mut consistency = world.log.consistency(observed);
    let mut leaf = signed.leaf_hash();
    let mut named = index;
    match mischief {
        Mischief::ReceiptOfAnotherEntry => {
            receipt = world.log.receipt(0);
            named = 0;
            leaf = leaf_hash(&world.log.entries[0]);
        }
        Mischief::PathOfAnotherEntry => receipt.path = world.log.receipt(0).path,
        Mischief::WrongIndex => named += 1,
        Mischief::LeafOfAnotherEntry => leaf = leaf_hash(&world.log.entries[0]),
        Mischief::OneSignatureOnly => {
            world.log.signs_with_both = false;
            receipt.checkpoint = world.log.checkpoint();
            world.log.signs_with_both = true;
        }
        Mischief::ForeignKeys | Mischief::AnotherLog => {
            let is_named = mischief == Mischief::AnotherLog;
            let mut foreign = if is_named { Log::named(NEXT_ORIGIN, 80) } else { Log::with_keys(90) };
            foreign.entries.clone_from(&world.log.entries);
            receipt = foreign.receipt(index);
        }
        Mischief::SurplusConsistencyHash => consistency.push(Hash([1; 32]).to_base64()),
        _ => {}
    }
    Admitted { index: named, leaf: leaf.to_string(), receipt: receipt.to_text(), consistency }
}

fn problem(status: u16, kind: &str, expected_seq: Option<u64>) -> Answer {
    let problem = Problem {
        kind: format!("tag:exhibit,2026:{kind}"),
        title: format!("refused: {kind}"),
        status,
        detail: "as the test wants it".into(),
        expected_seq,
        expected_prev: None,
    };
    Response::builder().status(status).body(whole(serde_json::to_vec(&problem).unwrap())).unwrap()
}
