//! How the appliance is, with reasons: what an operator, a load balancer and a monitoring system ask.
//!
//! It mends nothing and refuses nobody. What it says names no camera, person or address: anyone may ask.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::appliance::Appliance;
use crate::forecast::Forecast;
use crate::room::Disk;
use crate::witnessing::WitnessState;

/// Whether it does what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "HealthStatus")]
pub enum Status {
    /// It does.
    Ok,
    /// It does, and somebody has to see to something.
    Warning,
    /// Cameras keep what they send, or nothing that it says can be believed before somebody has looked.
    Failing,
}

impl Status {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failing => "failing",
        }
    }
}

/// Each thing that may be wrong: docs/operations.md has a row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A disk is full up to its reserve.
    DiskFull,
    /// A disk will be within days.
    DiskFilling,
    /// A disk takes nothing.
    DiskReadOnly,
    /// A disk can not be asked.
    DiskGone,
    /// The vault could not write.
    StorageFailing,
    /// A write hangs.
    WritesStalled,
    /// A witness or mirror has seen another log.
    LogContradicted,
    /// Receipts wait for witnesses.
    ReceiptsNotFinal,
    /// A witness or mirror does not answer.
    WitnessMissing,
    /// The log has ended.
    LogEnded,
    /// The appliance's certificate has ended, or soon does.
    CertificateEnds,
    /// Every place for uploads is taken.
    UploadsFull,
}

impl Code {
    /// All.
    pub const ALL: [Self; 12] = [
        Self::DiskFull,
        Self::DiskFilling,
        Self::DiskReadOnly,
        Self::DiskGone,
        Self::StorageFailing,
        Self::WritesStalled,
        Self::LogContradicted,
        Self::ReceiptsNotFinal,
        Self::WitnessMissing,
        Self::LogEnded,
        Self::CertificateEnds,
        Self::UploadsFull,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::DiskFull => ("disk-full", "make room on the disk or give it a larger one: cameras keep what they have and send it then"),
            Self::DiskFilling => ("disk-filling", "give the disk room before then, or let the log end and a successor go on elsewhere"),
            Self::DiskReadOnly => ("disk-read-only", "look in the kernel's log for the disk's errors, mend it, and mount it for writing"),
            Self::DiskGone => ("disk-gone", "see whether the disk is there and mounted"),
            Self::StorageFailing => ("storage-failing", "look in the kernel's log for the disk's errors: the disk may be dying"),
            Self::WritesStalled => {
                ("writes-stalled", "look in the kernel's log for the disk's errors; under systemd the process is started anew in a minute")
            }
            Self::LogContradicted => {
                ("log-contradicted", "stop, keep everything as it is, and follow \"A witness has seen another log\" in docs/operations.md")
            }
            Self::ReceiptsNotFinal => ("receipts-not-final", "see which witnesses do not answer (`exhibit-appliance status`) and why"),
            Self::WitnessMissing => ("witness-missing", "ask whoever runs it, and look at the network on the way to it"),
            Self::LogEnded => ("log-ended", "serve its successor: this log is for reading"),
            Self::CertificateEnds => {
                ("certificate-ends", "have appliance.csr signed again, put the certificate in appliance.pem, and reload (SIGHUP)")
            }
            Self::UploadsFull => ("uploads-full", "nothing if it passes; else raise uploads_max, or see who sends so slowly"),
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// What.
    pub code: Code,
    /// How bad it is.
    pub status: Status,
    /// With numbers, for people.
    pub detail: String,
    /// What to do.
    pub remedy: String,
}

/// How it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// As bad as the worst reason.
    pub status: Status,
    /// Entries on the log.
    pub size: u64,
    /// The worst first.
    pub reasons: Vec<Reason>,
}

impl Health {
    /// For those who have shown no certificate: what is wrong, without numbers.
    #[must_use]
    pub fn for_strangers(mut self) -> Self {
        self.reasons.iter_mut().for_each(|reason| reason.detail.clear());
        self
    }
}

/// What health needs to remember.
#[derive(Default)]
pub struct Vitals {
    memory: Mutex<Memory>,
    /// When the vault could not write the last time.
    storage_failed: Mutex<Option<Instant>>,
    /// Since when statements are being made durable.
    writes: Mutex<Writes>,
    /// How it was at the last look that was taken by itself.
    looked: Mutex<Option<Arc<Health>>>,
}

#[derive(Default)]
struct Writes {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

/// Something that is being made durable, until it is dropped.
pub struct Write<'a>(&'a Vitals, u64);

impl Drop for Write<'_> {
    fn drop(&mut self) {
        lock(&self.0.writes).since.remove(&self.1);
    }
}

#[derive(Default)]
struct Memory {
    forecasts: HashMap<&'static str, Forecast>,
    /// When the log had how many entries, of those that are not final: oldest first.
    unfinal: VecDeque<(u64, u64)>,
}

/// How long it is told that a write failed: cameras try again sooner.
const STORAGE_FAILED: Duration = Duration::from_secs(120);
/// A disk that is full in less is told: long enough for somebody to buy one.
const FILLING_S: u64 = 7 * 86_400;
/// In less it is an emergency for people, and still none for cameras.
const DAY_S: u64 = 86_400;
/// Receipts that wait for longer are told. Witnesses answer in seconds, and may start anew.
const UNFINAL_S: u64 = 300;
/// So long it is told before the certificate ends: an authority may be people.
pub const CERTIFICATE_S: u64 = 30 * 86_400;
/// So often the log's size is remembered at most.
const SAMPLE_S: u64 = 10;
/// A disk in order syncs in milliseconds, and one that is busy in seconds.
const STALLED: Duration = Duration::from_secs(60);
/// One look every ten seconds, for half a day; what waits longer waits as long as that.
const UNFINAL_MAX: usize = 4320;

impl Vitals {
    /// Looks, so that what changes over time is known.
    pub fn observe(&self, appliance: &Appliance) {
        let now_s = appliance.now().unix_s();
        let disks = appliance.room.disks();
        let mut memory = lock(&self.memory);
        for disk in disks {
            if let Some(free) = disk.free_bytes {
                memory.forecasts.entry(disk.name).or_default().observe(now_s, free);
            }
        }
        let status = appliance.witnessing.status(&appliance.ledger);
        memory.unfinal.retain(|(_, size)| *size > status.final_size);
        // However often somebody asks.
        let is_due = memory.unfinal.back().is_none_or(|(at, size)| *size < status.size && now_s.saturating_sub(*at) >= SAMPLE_S);
        if status.size > status.final_size && is_due {
            if memory.unfinal.len() == UNFINAL_MAX {
                // The oldest stays: it is since when they wait.
                memory.unfinal.remove(1);
            }
            memory.unfinal.push_back((now_s, status.size));
        }
    }

    /// How it is, as it is told to who does not ask each time.
    pub fn publish(&self, health: Arc<Health>) {
        *lock(&self.looked) = Some(health);
    }

    /// What was published last.
    pub fn published(&self) -> Option<Arc<Health>> {
        lock(&self.looked).clone()
    }

    /// The vault could not write.
    pub fn storage_failed(&self) {
        *lock(&self.storage_failed) = Some(Instant::now());
    }

    /// Something begins to be made durable.
    pub fn writing(&self) -> Write<'_> {
        let mut writes = lock(&self.writes);
        let number = writes.next;
        writes.next += 1;
        writes.since.insert(number, Instant::now());
        Write(self, number)
    }

    /// For how long the oldest write has been under way, where that is longer than any disk in order takes.
    pub fn stalled_for(&self, now: Instant) -> Option<Duration> {
        let oldest = lock(&self.writes).since.values().min().copied()?;
        Some(now.saturating_duration_since(oldest)).filter(|age| *age >= STALLED)
    }

    /// In how many seconds a disk will be full.
    pub fn full_in_s(&self, disk: &str, reserve_bytes: u64) -> Option<u64> {
        lock(&self.memory).forecasts.get(disk)?.seconds_until(reserve_bytes)
    }

    /// For how long the oldest receipt has been waiting for witnesses.
    pub fn unfinal_s(&self, now_s: u64) -> u64 {
        lock(&self.memory).unfinal.front().map_or(0, |(since, _)| now_s.saturating_sub(*since))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the appliance is now. Asks disks: blocks.
pub fn of(appliance: &Appliance) -> Health {
    appliance.vitals.observe(appliance);
    let now_s = appliance.now().unix_s();
    let mut reasons = Vec::new();
    let mut tell = |code: Code, status: Status, detail: String| {
        reasons.push(Reason { code, status, detail, remedy: code.remedy().to_owned() });
    };
    for disk in appliance.room.disks() {
        let full_in_s = appliance.vitals.full_in_s(disk.name, appliance.room.reserve_bytes());
        if let Some((code, status, detail)) = of_disk(&disk, appliance.room.reserve_bytes(), full_in_s) {
            tell(code, status, detail);
        }
    }
    if let Some(stalled) = appliance.vitals.stalled_for(Instant::now()) {
        tell(Code::WritesStalled, Status::Failing, format!("a write has not come back for {} seconds", stalled.as_secs()));
    }
    if lock(&appliance.vitals.storage_failed).is_some_and(|at| at.elapsed() < STORAGE_FAILED) {
        tell(Code::StorageFailing, Status::Failing, "the vault could not write in the last two minutes".to_owned());
    }
    witnesses(appliance, now_s, &mut tell);
    if appliance.ledger.is_ended().unwrap_or(false) {
        tell(Code::LogEnded, Status::Warning, "it takes nothing new".to_owned());
    }
    let left_s = appliance.certificate_ends().unix_s().saturating_sub(now_s);
    if left_s < CERTIFICATE_S {
        let (status, when) = if left_s == 0 { (Status::Failing, "has ended".to_owned()) } else { (Status::Warning, within(left_s)) };
        let when = if left_s == 0 { when } else { format!("ends {when}") };
        tell(Code::CertificateEnds, status, format!("the appliance's certificate {when}"));
    }
    if appliance.uploads.are_taken() {
        tell(Code::UploadsFull, Status::Warning, "every place for uploads is taken at this moment".to_owned());
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.status));
    let status = reasons.first().map_or(Status::Ok, |worst| worst.status);
    Health { status, size: appliance.ledger.size(), reasons }
}

fn of_disk(disk: &Disk, reserve_bytes: u64, full_in_s: Option<u64>) -> Option<(Code, Status, String)> {
    let Disk { name, free_bytes, is_read_only, takes_segments, .. } = disk;
    let Some(free) = free_bytes else {
        return Some((Code::DiskGone, Status::Failing, format!("the disk of the {name} does not answer")));
    };
    if *is_read_only {
        return Some((Code::DiskReadOnly, Status::Failing, format!("the disk of the {name} can only be read")));
    }
    let (free_mib, reserve_mib) = (free / MIB, reserve_bytes / MIB);
    if !takes_segments {
        let detail = format!("the disk of the {name} has {free_mib} MiB left, and {reserve_mib} MiB are kept for the ledger");
        return Some((Code::DiskFull, Status::Failing, detail));
    }
    let full_in_s = full_in_s.filter(|seconds| *seconds < FILLING_S)?;
    let detail = format!("the disk of the {name} has {free_mib} MiB left, and at the present pace is full {}", within(full_in_s));
    Some((Code::DiskFilling, Status::Warning, detail))
}

fn witnesses(appliance: &Appliance, now_s: u64, tell: &mut impl FnMut(Code, Status, String)) {
    let status = appliance.witnessing.status(&appliance.ledger);
    if status.contradicted {
        tell(Code::LogContradicted, Status::Failing, "a witness or mirror has cosigned a log that this one does not extend".to_owned());
    }
    let unfinal_s = appliance.vitals.unfinal_s(now_s);
    if unfinal_s >= UNFINAL_S {
        let entries = status.size.saturating_sub(status.final_size);
        let detail = format!("{entries} entries wait for witnesses, the oldest for {} minutes", unfinal_s / 60);
        tell(Code::ReceiptsNotFinal, Status::Warning, detail);
    }
    let missing = |state: WitnessState| matches!(state, WitnessState::Unreachable | WitnessState::Refuses);
    for standing in status.witnesses.iter().chain(&status.mirrors) {
        if missing(standing.state) && now_s.saturating_sub(standing.since_unix_s) >= UNFINAL_S {
            let minutes = now_s.saturating_sub(standing.since_unix_s) / 60;
            let detail = format!("{} has not cosigned for {minutes} minutes", standing.names.join(", "));
            tell(Code::WitnessMissing, Status::Warning, detail);
        }
    }
}

fn within(seconds: u64) -> String {
    match seconds {
        0..3600 => format!("in {} minutes", seconds / 60),
        3600..DAY_S => format!("in {} hours", seconds / 3600),
        _ => format!("in {} days", seconds / DAY_S),
    }
}

const MIB: u64 = 1024 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn disk(free_mib: u64) -> Disk {
        Disk { name: "vault", free_bytes: Some(free_mib * MIB), total_bytes: 1 << 40, is_read_only: false, takes_segments: free_mib > 108 }
    }

    #[test]
    fn a_disk_is_told_before_it_is_full() {
        let told = |disk: Disk, full_in_s| of_disk(&disk, 100 * MIB, full_in_s).map(|(code, status, _)| (code, status));
        assert_eq!(told(disk(1000), None), None);
        assert_eq!(told(disk(1000), Some(FILLING_S)), None, "who looks a week ahead is told too often");
        assert_eq!(told(disk(1000), Some(FILLING_S - 1)), Some((Code::DiskFilling, Status::Warning)));
        assert_eq!(told(disk(108), Some(0)), Some((Code::DiskFull, Status::Failing)));
        assert_eq!(told(Disk { is_read_only: true, ..disk(1000) }, None), Some((Code::DiskReadOnly, Status::Failing)));
        assert_eq!(told(Disk { free_bytes: None, ..disk(0) }, None), Some((Code::DiskGone, Status::Failing)));
    }

    #[test]
    fn a_write_that_hangs_is_told_until_it_comes_back() {
        let vitals = Vitals::default();
        let (first, second) = (vitals.writing(), vitals.writing());
        let later = Instant::now() + STALLED + Duration::from_secs(5);
        assert_eq!(vitals.stalled_for(Instant::now()), None);
        assert!(vitals.stalled_for(later).is_some_and(|stalled| stalled >= STALLED));
        drop(first);
        assert!(vitals.stalled_for(later).is_some(), "one of two came back");
        drop(second);
        assert_eq!(vitals.stalled_for(later), None);
    }

    #[test]
    fn every_code_is_written_as_it_is_serialised() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(!code.remedy().is_empty());
        }
        for status in [Status::Ok, Status::Warning, Status::Failing] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert!(Status::Failing > Status::Warning && Status::Warning > Status::Ok);
    }
}
