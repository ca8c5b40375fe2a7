//! Asks every witness and mirror for the newest checkpoint of the log that it knows: what start and restore compare the ledger with.
//!
//! It decides nothing, and believes signatures alone: a checkpoint counts if the log's own keys have signed it, and is somebody's word if one of
//! theirs has.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exhibit_ledger::{HeadSeal, SealError, SealedHead};
use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;
use exhibit_tlog::witness::checkpoint_path;
use exhibit_tlog::{Checkpoint, LogVerifier, Note, Policy, VerifierKey};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::mirror::Mirror;
use super::peer::Peer;
use crate::config::Config;
use crate::setup::{Folder, SetupError};

/// Each is asked at once, and a start waits so long at most: who is up answers in two round trips.
const ASK_MAX: Duration = Duration::from_secs(5);

/// Somebody who may know the log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Knower {
    /// What people call it.
    pub name: String,
    /// Its monitoring prefix.
    pub monitoring_url: String,
    /// Its keys, one of which has signed what it shows.
    pub keys: Vec<VerifierKey>,
}

/// What somebody has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who.
    pub name: String,
    /// What it shows, if the log has signed that.
    pub known: Option<Known>,
    /// Why that is not its word: no answer, or not by its keys.
    pub failed: Option<String>,
}

/// A checkpoint that the log has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The note.
    pub note: String,
    /// Its head.
    pub head: Checkpoint,
}

/// What each witness and mirror knows of the log. Blocks for a few seconds at most.
pub fn ask_witnesses(folder: &Folder, config: &Config, log: &LogVerifier, policy: Option<&Policy>) -> Result<Vec<Heard>, SetupError> {
    let mirrors = folder.mirrors(config);
    let mut knowers: Vec<Knower> = Vec::new();
    for witness in policy.into_iter().flat_map(Policy::witnesses) {
        let is_mirror = mirrors.iter().any(|mirror| mirror.keys.contains(&witness.key));
        let Some(url) = witness.url.as_ref().filter(|_| !is_mirror) else { continue };
        let monitoring_url = config.witness_monitoring.get(url).unwrap_or(url).clone();
        match knowers.iter_mut().find(|knower| knower.monitoring_url == monitoring_url) {
            Some(knower) => knower.keys.push(witness.key.clone()),
            None => knowers.push(Knower { name: format!("the witness {}", witness.name), monitoring_url, keys: vec![witness.key.clone()] }),
        }
    }
    let urls: Vec<&String> = policy.into_iter().flat_map(Policy::witnesses).filter_map(|witness| witness.url.as_ref()).collect();
    if let Some(url) = config.witness_monitoring.keys().find(|url| !urls.contains(url)) {
        return Err(SetupError::Monitoring(url.clone()));
    }
    knowers.extend(mirrors.into_iter().map(|Mirror { url, monitoring_url, keys }| Knower {
        name: format!("the mirror {url}"),
        monitoring_url,
        keys,
    }));
    // Who has cosigned, and says that it knows nothing of the log, is asked at the wrong address, or has lost its state: it tells nothing.
    let witnessed = std::fs::read_to_string(folder.witnessed_path()).ok().and_then(|note| Note::parse(&note).ok());
    let has_cosigned = |keys: &[VerifierKey]| {
        let line = |key| witnessed.as_ref().and_then(|note| note.signature_of(key).ok().flatten());
        keys.iter().any(|key| line(key).is_some())
    };
    let asked: Vec<bool> = knowers.iter().map(|knower| has_cosigned(&knower.keys)).collect();
    let mut heard = ask_all(knowers, log, &folder.server_roots(config));
    for (heard, has_cosigned) in heard.iter_mut().zip(asked) {
        if has_cosigned && (&heard.known, &heard.failed) == (&None, &None) {
            let reason = "it says that it knows nothing of the log, which it has cosigned: see witness_monitoring and monitoring_url";
            heard.failed = Some(reason.to_owned());
        }
    }
    Ok(heard)
}

/// Asks all at once. Blocks, for a few seconds at most.
fn ask_all(knowers: Vec<Knower>, log: &LogVerifier, roots: &Path) -> Vec<Heard> {
    if knowers.is_empty() {
        return Vec::new();
    }
    // A thread of its own: whoever calls may be part of another runtime, where nothing may block.
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
            let heard = runtime.block_on(async {
                let mut asking = JoinSet::new();
                for (number, knower) in knowers.iter().cloned().enumerate() {
                    let (log, roots) = (log.clone(), roots.to_owned());
                    asking.spawn(async move {
                        let heard =
                            timeout(ASK_MAX, ask(&knower, &log, &roots)).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                        (number, heard.unwrap_or_else(|reason| Heard { name: knower.name, known: None, failed: Some(reason) }))
                    });
                }
                let mut heard = asking.join_all().await;
                heard.sort_by_key(|(number, _)| *number);
                heard.into_iter().map(|(_, heard)| heard).collect()
            });
            // The system's look-up of a name can not be ended, and is not waited for.
            runtime.shutdown_background();
            Ok::<_, String>(heard)
        });
        asking.join().unwrap_or_else(|_| Err("asking ended otherwise than it should".to_owned()))
    });
    let failed = |reason: String| {
        knowers.iter().map(|knower| Heard { name: knower.name.clone(), known: None, failed: Some(reason.clone()) }).collect()
    };
    asked.unwrap_or_else(failed)
}

async fn ask(knower: &Knower, log: &LogVerifier, roots: &Path) -> Result<Heard, String> {
    let heard = |known, failed: Option<&str>| Heard { name: knower.name.clone(), known, failed: failed.map(str::to_owned) };
    let Some(known) = shown(&mut Peer::new(&knower.monitoring_url, roots)?, log).await? else { return Ok(heard(None, None)) };
    let parsed = Note::parse(&known.note).map_err(|error| error.to_string())?;
    // Also what it has not signed itself is what the log has signed, and tells a fork.
    let is_its_word = knower.keys.iter().any(|key| parsed.verify(std::slice::from_ref(key)).is_ok());
    Ok(heard(Some(known), (!is_its_word).then_some("it has not signed what it shows")))
}

/// The checkpoint that somebody shows of a log, below their monitoring prefix; `None` if they know nothing of it.
pub(super) async fn shown(monitor: &mut Peer, log: &LogVerifier) -> Result<Option<Known>, String> {
    let answer = monitor.get(&format!("/{}", checkpoint_path(&log.origin)), NOTE_SIZE_BYTES_MAX).await?;
    match answer.status {
        200 => {}
        404 => return Ok(None),
        status => return Err(format!("it answers {status}")),
    }
    let note = String::from_utf8(answer.body.to_vec()).map_err(|_| "what it shows is no checkpoint".to_owned())?;
    let head = log.verify(&note).map_err(|error| format!("what it shows is not what the log has signed: {error}"))?;
    Ok(Some(Known { note, head }))
}

/// What somebody knows, for the ledger to compare with before it signs anything. Nothing of ours is kept there.
pub struct KnownSeal {
    /// Who knows it.
    pub name: String,
    /// What it knows.
    pub head: Checkpoint,
}

impl KnownSeal {
    /// Of those who know something.
    pub fn all(heard: &[Heard]) -> Vec<Arc<dyn HeadSeal>> {
        let known = heard.iter().filter_map(|heard| Some((heard.name.clone(), heard.known.as_ref()?.head.clone())));
        known.map(|(name, head)| Arc::new(Self { name, head }) as Arc<dyn HeadSeal>).collect()
    }
}

impl HeadSeal for KnownSeal {
    fn read(&self) -> Result<Option<SealedHead>, SealError> {
        Ok(Some(SealedHead { size: self.head.size, root: self.head.root }))
    }

    fn write(&self, _: &Checkpoint, _: &str) -> Result<(), SealError> {
        Ok(())
    }

    fn interval_s(&self) -> u64 {
        u64::MAX
    }

    fn holder(&self) -> Option<String> {
        Some(self.name.clone())
    }
}
