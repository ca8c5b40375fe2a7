//! What a running appliance tells its operator about itself: `exhibit-appliance status`.
//!
//! It is read over the socket in the state folder, and mends nothing.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::appliance::Appliance;
use crate::health::{self, Health};
use crate::witnessing;

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Seconds since it listens.
    pub up_s: u64,
    /// Where it listens, by what for.
    pub listens: Vec<(String, SocketAddr)>,
    /// The log's name.
    pub origin: String,
    /// The leaf hash of its genesis, hex.
    pub log: String,
    /// Whether it has ended.
    pub is_ended: bool,
    /// Logs before this one that can be read here.
    pub logs_before: usize,
    /// What is wrong.
    pub health: Health,
    /// Each disk.
    pub disks: Vec<DiskStatus>,
    /// Who has seen the log.
    pub witnessing: witnessing::Status,
    /// Uploads at this moment.
    pub uploads: usize,
    /// Uploads that were cut off and are kept, and the bytes that have come of them.
    pub staged: (usize, u64),
    /// Bans in force.
    pub bans: usize,
    /// When the appliance's certificate ends.
    pub certificate_ends: String,
}

/// A disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiskStatus {
    /// `vault` or `ledger`
    pub name: String,
    /// What it has left; `None` where it can not be asked.
    pub free_bytes: Option<u64>,
    /// All of it.
    pub total_bytes: u64,
    /// Seconds until it is full up to its reserve, if it fills.
    pub full_in_s: Option<u64>,
}

/// Of an appliance that serves. Asks disks: blocks.
pub fn of(appliance: &Appliance, listens: Vec<(String, SocketAddr)>, up_s: u64) -> Status {
    let reserve = appliance.room.reserve_bytes();
    let disk = |disk: crate::room::Disk| DiskStatus {
        full_in_s: appliance.vitals.full_in_s(disk.name, reserve),
        name: disk.name.to_owned(),
        free_bytes: disk.free_bytes,
        total_bytes: disk.total_bytes,
    };
    Status {
        version: exhibit_program::version().to_owned(),
        pid: std::process::id(),
        up_s,
        listens,
        origin: appliance.anchor.verifier.origin.clone(),
        log: appliance.anchor.log.to_string(),
        is_ended: appliance.ledger.is_ended().unwrap_or(false),
        logs_before: crate::predecessor::archives(appliance).count(),
        health: health::of(appliance),
        disks: appliance.room.disks().into_iter().map(disk).collect(),
        witnessing: appliance.witnessing.status(&appliance.ledger),
        uploads: appliance.uploads.taken(),
        staged: appliance.staging.kept(),
        bans: appliance.guard.list(appliance.now()).len(),
        certificate_ends: appliance.certificate_ends().to_string(),
    }
}

impl Status {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.health.status.as_str(), self.origin);
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<13} {value}");
        };
        line("log", self.log.clone());
        let state = if self.is_ended { ", ended" } else { "" };
        line("entries", format!("{}, {} of them final{state}", self.witnessing.size, self.witnessing.final_size));
        line("serves", format!("for {}, as process {}, version {}", duration(self.up_s), self.pid, self.version));
        for (name, address) in &self.listens {
            line(name, address.to_string());
        }
        for disk in &self.disks {
            let left = disk
                .free_bytes
                .map_or("does not answer".to_owned(), |free| format!("{} of {} MiB left", free / MIB, disk.total_bytes / MIB));
            let full = disk.full_in_s.map(|seconds| format!(", full in {} at this pace", duration(seconds))).unwrap_or_default();
            line(&format!("disk {}", disk.name), format!("{left}{full}"));
        }
        for standing in &self.witnessing.witnesses {
            line("witness", self.standing(standing));
        }
        for standing in &self.witnessing.mirrors {
            line("mirror", self.standing(standing));
        }
        line("uploads", format!("{} now; {} cut off and kept ({} MiB)", self.uploads, self.staged.0, self.staged.1 / MIB));
        line("bans", self.bans.to_string());
        line("certificate", format!("ends {}", self.certificate_ends));
        for reason in &self.health.reasons {
            let _ = writeln!(text, "{}: {}\n  {}", reason.status.as_str(), reason.detail, reason.remedy);
        }
        text
    }

    fn standing(&self, standing: &witnessing::Standing) -> String {
        let behind = standing
            .size
            .map_or("nothing cosigned yet".to_owned(), |size| format!("{} entries behind", self.witnessing.size.saturating_sub(size)));
        let detail = if standing.detail.is_empty() { String::new() } else { format!(" ({})", standing.detail) };
        format!("{}: {}, {behind}{detail}", standing.names.join(", "), standing.state.as_str())
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

const MIB: u64 = 1024 * 1024;
