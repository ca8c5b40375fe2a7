//! Puts what witnesses and timestamping authorities say of a checkpoint on the ledger, as `timestamp` statements: time bounds stand on them.
//!
//! At most once in an interval, and only if the log has grown by more than the statement before: it does not feed itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use exhibit_evidence::Head;
use exhibit_pki::ChainCertificate;
use exhibit_pki::foreign::DigestAlgorithm;
use exhibit_pki::timestamp_token::{Imprint, Nonce, TimestampRequest, TimestampTrust, token_of_response};
use exhibit_tlog::{Checkpoint, Note};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::Cosigned;
use super::peer::{Peer, Post};
use crate::appliance::Appliance;

/// How far the clock of an authority is believed that does not state its accuracy: ETSI EN 319 421 has it within a second of UTC.
const ACCURACY_UNSTATED_MS: u64 = 1_000;
/// A token has at most 64 KiB, and a response little more.
const RESPONSE_BYTES_MAX: usize = 80 * 1024;
/// How soon something new is looked for where no witness says so.
const LOOK: Duration = Duration::from_secs(1);

/// A timestamping authority that is asked.
#[derive(Clone, Debug)]
pub struct TimestampSource {
    /// Where.
    pub url: String,
    /// Its own certificate, or a root that leads to it.
    pub certificate: ChainCertificate,
}

/// What the last statement covered, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamped {
    size: u64,
    index: u64,
}

/// Whether a checkpoint of `size` entries has any that the last statement does not cover, beside that statement itself.
fn is_due(last: Option<Stamped>, size: u64) -> bool {
    let Some(Stamped { size: covered, index }) = last else { return size > 0 };
    let own = u64::from(index < size);
    size.saturating_sub(covered) > own
}

/// Stamps until `draining` says so. Nothing is begun where nobody is asked.
pub fn start(
    appliance: &Arc<Appliance>,
    sources: Vec<TimestampSource>,
    roots: &Path,
    interval: Duration,
    draining: &watch::Receiver<bool>,
) -> Option<JoinHandle<()>> {
    if !appliance.witnessing.is_gated && sources.is_empty() {
        return None;
    }
    // A log that has ended takes no statement any more. What can not be read is told by whoever needs it.
    if appliance.ledger.is_ended().unwrap_or(false) {
        return None;
    }
    let (appliance, roots, mut draining) = (appliance.clone(), roots.to_owned(), draining.clone());
    Some(tokio::spawn(async move {
        tokio::select! {
            _ = draining.wait_for(|draining| *draining) => {}
            () = stamp(appliance, sources, roots, interval) => {}
        }
    }))
}

async fn stamp(appliance: Arc<Appliance>, sources: Vec<TimestampSource>, roots: PathBuf, interval: Duration) {
    let mut last = None;
    loop {
        let Some(newest) = newest(&appliance).filter(|newest| is_due(last, newest.head.size)) else {
            sleep(LOOK).await;
            continue;
        };
        let tokens = tokens(&sources, &roots, &newest.note).await;
        if appliance.witnessing.is_gated || !tokens.is_empty() {
            let size = newest.head.size;
            // Where it failed, it is tried again; a ledger that is broken has ended the process.
            if let Some(index) = put(&appliance, newest, tokens).await {
                last = Some(Stamped { size, index });
            }
        }
        sleep(interval.max(LOOK)).await;
    }
}

/// What there is to say something of: what witnesses have seen, or the newest where there are none.
fn newest(appliance: &Appliance) -> Option<Cosigned> {
    if appliance.witnessing.is_gated {
        return appliance.witnessing.witnessed().map(|witnessed| Cosigned::clone(&witnessed));
    }
    let (note, head) = appliance.ledger.checkpoint()?;
    Some(Cosigned { note: note.as_ref().to_owned(), head })
}

/// Puts it on the ledger; `None` if that failed.
async fn put(appliance: &Arc<Appliance>, newest: Cosigned, tokens: Vec<Vec<u8>>) -> Option<u64> {
    let shared = appliance.clone();
    let stated = spawn_blocking(move || {
        let Cosigned { note, head: Checkpoint { size, root, .. } } = newest;
        let stated = shared.chronicle.timestamp(Head { size, root }, note.as_bytes(), &tokens);
        stated.map(|admission| admission.place.index).inspect_err(|error| shared.heed_chronicle(error))
    });
    match stated.await {
        Ok(Ok(index)) => Some(index),
        Ok(Err(error)) => {
            tracing::error!(%error, "a timestamp could not be put on the ledger");
            None
        }
        Err(_) => None,
    }
}

/// Asks every authority; a token that does not verify is none.
async fn tokens(sources: &[TimestampSource], roots: &Path, note: &str) -> Vec<Vec<u8>> {
    let mut tokens = Vec::new();
    let Ok(text) = Note::parse(note).map(|note| note.text().to_owned()) else { return tokens };
    for source in sources {
        match token(source, roots, &text).await {
            Ok(token) => tokens.push(token),
            Err(reason) => tracing::warn!(url = ?source.url, ?reason, "there is no timestamp token"),
        }
    }
    tokens
}

async fn token(source: &TimestampSource, roots: &Path, text: &str) -> Result<Vec<u8>, String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| error.to_string())?;
    let nonce = Nonce::new(&random).ok_or("the system draws zeros")?;
    let imprint = Imprint::of(DigestAlgorithm::Sha256, text.as_bytes());
    let request = TimestampRequest { imprint, policy: None, nonce: Some(nonce.clone()), with_certificates: true };
    let asked = Peer::new(&source.url, roots)?;
    let answer = { asked }.post(Post::new("", "application/timestamp-query", request.to_der(), RESPONSE_BYTES_MAX)).await?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let token = token_of_response(&answer.body).map_err(|error| error.to_string())?;
    let anchors = std::slice::from_ref(&source.certificate);
    let trust = TimestampTrust { anchors, certificates: &[], accuracy_unstated_ms: ACCURACY_UNSTATED_MS };
    token.verify(&request.imprint, Some(&nonce), &trust).map_err(|error| error.to_string())?;
    Ok(token.der().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_no_reason_for_the_next() {
        let stamped = |size, index| Some(Stamped { size, index });
        assert!(is_due(None, 1) && !is_due(None, 0));
        assert!(!is_due(stamped(10, 10), 10), "nothing has come");
        assert!(!is_due(stamped(10, 10), 11), "only the statement itself has come: the log would feed itself");
        assert!(is_due(stamped(10, 10), 12), "an entry behind the statement");
        assert!(is_due(stamped(10, 11), 11), "an entry before the statement");
        assert!(is_due(stamped(10, 11), 12), "an entry before the statement, and the statement");
        assert!(!is_due(stamped(10, 10), 9), "the log does not shrink");
    }
}
