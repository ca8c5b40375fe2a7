//! Tells bans to a program of the operator's: one after the other, on a thread of its own, so that none of those that serve waits for it.
//!
//! It does not know why somebody is banned.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::bans::Ban;

/// So many wait to be told: of more, the log alone tells.
const WAITING_MAX: usize = 64;
/// A program that is told a ban has so long to take it.
const ALERT_MAX: Duration = Duration::from_secs(10);
/// So often it is looked whether it has ended.
const ALERT_LOOK: Duration = Duration::from_millis(50);

/// Bans on their way to a program. Its thread ends once this is dropped and all that waited were told.
pub struct Alerts {
    sender: SyncSender<Ban>,
    untold: Arc<AtomicU64>,
}

impl Alerts {
    /// With a program and its arguments; `None` if the system gives no thread, which the log says.
    pub fn start(command: Vec<String>) -> Option<Self> {
        let started = Self::started(command);
        started.inspect_err(|error| tracing::error!(%error, "nobody is told of bans")).ok().map(|(alerts, _)| alerts)
    }

    fn started(command: Vec<String>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, waiting) = sync_channel(WAITING_MAX);
        let untold = Arc::new(AtomicU64::new(0));
        let told = untold.clone();
        let worker = Builder::new().name("alerts".to_owned()).spawn(move || tell_all(&command, &waiting, &told))?;
        Ok((Self { sender, untold }, worker))
    }

    /// Tells one, after those that wait.
    pub fn tell(&self, ban: Ban) {
        if self.sender.try_send(ban).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn tell_all(command: &[String], waiting: &Receiver<Ban>, untold: &AtomicU64) {
    for ban in waiting {
        if let Err(error) = alert(command, &ban) {
            tracing::error!(%error, subject = ?ban.subject, "nobody was told of a ban");
        }
        let missed = untold.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tracing::error!(missed, "more bans than the alert program could take: nobody was told of these");
        }
    }
}

/// Runs a program with one line to read. It is ended if it takes too long.
fn alert(command: &[String], ban: &Ban) -> std::io::Result<()> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut line = serde_json::to_vec(ban)?;
    line.push(b'\n');
    // It may end without having read.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(&line));
    let end = Instant::now() + ALERT_MAX;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(std::io::Error::other(format!("{program} ended with {status}"))),
            None if Instant::now() >= end => {
                child.kill()?;
                child.wait()?;
                return Err(std::io::Error::other(format!("{program} took more than {} s", ALERT_MAX.as_secs())));
            }
            None => std::thread::sleep(ALERT_LOOK),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_takes_its_time_holds_nobody_up_and_is_run_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (word, told, running) = (folder.path().join("word"), folder.path().join("told"), folder.path().join("running"));
        // It waits for a word, and says so if another runs.
        let script = format!(
            "mkdir {running} || echo twice >> {told}; while [ -d {folder} ] && [ ! -e {word} ]; do sleep 0.01; done; cat >> {told}; rmdir {running}",
            running = running.display(),
            told = told.display(),
            folder = folder.path().display(),
            word = word.display(),
        );
        let (alerts, worker) = Alerts::started(vec!["/bin/sh".to_owned(), "-c".to_owned(), script]).unwrap();
        let ban = |number: usize| Ban {
            kind: "identity".to_owned(),
            subject: format!("camera/{number}"),
            reason: "malformed".to_owned(),
            until_ms: 1,
            leaf: None,
        };
        // None of these waits.
        (0..3 * WAITING_MAX).for_each(|number| alerts.tell(ban(number)));
        let untold = usize::try_from(alerts.untold.load(Ordering::Relaxed)).unwrap();
        assert!((2 * WAITING_MAX - 1..=2 * WAITING_MAX).contains(&untold), "{untold} of {} did not wait", 3 * WAITING_MAX);
        std::fs::write(&word, "").unwrap();
        drop(alerts);
        worker.join().unwrap();
        let told = std::fs::read_to_string(&told).unwrap();
        let subjects: Vec<_> = told.lines().map(|line| serde_json::from_str::<Ban>(line).expect("one ban a line").subject).collect();
        // The first, those that waited, and perhaps one for which there was a place when the first was taken.
        assert_eq!(subjects.len(), 3 * WAITING_MAX - untold);
        let expected: Vec<_> = (0..WAITING_MAX).map(|number| format!("camera/{number}")).collect();
        assert_eq!(subjects[..WAITING_MAX], expected);
    }
}
