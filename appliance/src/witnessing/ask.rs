//! Asks one witness, or one mirror, to accept a checkpoint (`add-checkpoint`), from whatever size it is at.
//!
//! It does not decide when, nor what becomes of the answer.

use std::sync::Arc;
use std::time::Duration;

use exhibit_tlog::note::NOTE_SIZE_BYTES_MAX;
use exhibit_tlog::witness::parse_conflict;
use exhibit_tlog::{AddCheckpoint, Checkpoint};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::WitnessState;
use super::collect::Witnessed;
use super::known::{Known, shown};
use super::peer::{Answer, Peer, Post};

/// A conflict tells the size to ask from; a witness that others feed too may have moved once more.
const CONFLICTS_MAX: usize = 3;
/// The first wait after a failure; it doubles.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
/// Who is back is asked within a minute.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// What is asked for.
pub(super) struct Target {
    pub note: Arc<str>,
    pub head: Checkpoint,
    pub began: Instant,
}

/// What came of asking.
pub(super) enum Outcome {
    Cosigned(String),
    /// It has seen more than the target, and no more than there is.
    Ahead,
    Failed(WitnessState, String),
}

/// The way to one of them, and how far it is.
pub(super) struct Asker {
    pub appliance: Arc<Witnessed>,
    pub peer: Peer,
    /// Where it shows what it has cosigned, or why it is not asked.
    monitor: Result<Peer, String>,
    /// What it has accepted last, as far as we know.
    pub size: Option<u64>,
}

impl Asker {
    pub fn new(appliance: &Arc<Witnessed>, peer: Peer, monitor: Result<Peer, String>) -> Self {
        Self { appliance: appliance.clone(), peer, monitor, size: None }
    }

    pub async fn ask(&mut self, target: &Target) -> Outcome {
        let size = target.head.size;
        for _ in 0..CONFLICTS_MAX {
            let old_size = self.size.unwrap_or(0);
            if old_size > size {
                // We have asked it for more before; or somebody else has.
                if old_size <= self.appliance.ledger.size() {
                    return Outcome::Ahead;
                }
                self.size = None;
                return self.beyond(old_size).await;
            }
            let Some(proof) = self.consistency(old_size, size).await else {
                return Outcome::Failed(WitnessState::Unreachable, "the ledger gave no proof".to_owned());
            };
            let request = AddCheckpoint { old_size, proof, checkpoint: target.note.as_ref().to_owned() };
            let post = Post::new("/add-checkpoint", "text/plain; charset=utf-8", request.to_text(), NOTE_SIZE_BYTES_MAX);
            let Answer { status, body } = match self.peer.post(post).await {
                Err(reason) => return Outcome::Failed(WitnessState::Unreachable, reason),
                Ok(answer) => answer,
            };
            let text = String::from_utf8_lossy(&body).into_owned();
            match status {
                200 => return Outcome::Cosigned(text),
                409 => match parse_conflict(&text) {
                    Some(known) => self.size = Some(known),
                    None => return Outcome::Failed(WitnessState::Refuses, "409 without a size".to_owned()),
                },
                422 => {
                    let told = format!("the tree of {old_size} entries that it has cosigned is not what ours of {size} begins with");
                    self.size = None;
                    return self.accuse(told).await;
                }
                status => return refused(status, &text),
            }
        }
        Outcome::Failed(WitnessState::Unreachable, "it changes faster than it can be asked".to_owned())
    }

    /// It knows of more entries than there are.
    pub async fn beyond(&mut self, size: u64) -> Outcome {
        let told = format!("it has cosigned {size} entries, and there are only {}", self.appliance.ledger.size());
        self.accuse(told).await
    }

    /// It says that it has seen another log. That convicts this one only with what the log's own keys have signed: one witness of many, or whoever
    /// stands between, could stop the appliance by a word otherwise.
    async fn accuse(&mut self, told: String) -> Outcome {
        let log = &self.appliance.witnessing.log;
        let known = match &mut self.monitor {
            Ok(monitor) => shown(monitor, log).await,
            Err(reason) => Err(reason.clone()),
        };
        let unproven = |why: &str| Outcome::Failed(WitnessState::Refuses, format!("it says that {told}, and does not prove it: {why}"));
        let Known { note, head } = match known {
            Ok(Some(known)) => known,
            Ok(None) => return unproven("it shows no checkpoint of this log"),
            Err(reason) => return unproven(&reason),
        };
        let (appliance, size) = (self.appliance.clone(), head.size);
        let ours = spawn_blocking(move || appliance.ledger.root_at(size)).await.ok().and_then(Result::ok);
        match ours {
            Some(root) if root != Some(head.root) => {
                self.appliance.witnessing.keep_contradicting(&note);
                Outcome::Failed(WitnessState::Contradicts, format!("{told}; the log has signed what it shows, of {size} entries"))
            }
            Some(_) => unproven(&format!("what it shows, of {size} entries, is this log")),
            None => unproven("the ledger could not be read"),
        }
    }

    async fn consistency(&self, old: u64, new: u64) -> Option<Vec<exhibit_tlog::Hash>> {
        let appliance = self.appliance.clone();
        spawn_blocking(move || appliance.ledger.consistency(old, new)).await.ok()?.ok()?
    }
}

/// An answer that is none: what it refuses for good, and what it can not do now.
pub(super) fn refused(status: u16, text: &str) -> Outcome {
    // A stranger's words, for people.
    let words: String = text.chars().filter(|character| !character.is_control()).take(200).collect();
    let state = if matches!(status, 400 | 403 | 404 | 422) { WitnessState::Refuses } else { WitnessState::Unreachable };
    Outcome::Failed(state, format!("{status}: {words}"))
}

/// Waits that double, each shortened by chance: many logs that lost one witness do not all come back to it at once.
pub(super) struct BackOff(Duration);

impl BackOff {
    pub fn new() -> Self {
        Self(BACK_OFF_FIRST)
    }

    pub fn reset(&mut self) {
        self.0 = BACK_OFF_FIRST;
    }

    /// From half of the present wait to all of it.
    pub fn next(&mut self) -> Duration {
        let mut chance = [0];
        // Without randomness the wait is a whole one.
        let whole = getrandom::fill(&mut chance).map_or(u32::from(u8::MAX), |()| u32::from(chance[0]));
        let wait = self.0 / 2 + self.0 * whole / (2 * u32::from(u8::MAX));
        self.0 = (self.0 * 2).min(BACK_OFF_MAX);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute_and_are_not_the_same_for_everybody() {
        let mut back_off = BackOff::new();
        let mut whole = BACK_OFF_FIRST;
        for _ in 0..12 {
            let wait = back_off.next();
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
            whole = (whole * 2).min(BACK_OFF_MAX);
        }
        assert_eq!(whole, BACK_OFF_MAX);
        let waits: std::collections::HashSet<_> = (0..64).map(|_| BackOff(BACK_OFF_MAX).next()).collect();
        assert!(waits.len() > 8, "all wait for the same time");
        back_off.reset();
        assert!(back_off.next() <= BACK_OFF_FIRST);
    }
}
