//! Whether everything is as it should be for `serve`, looked at from outside: `exhibit-appliance doctor`.
//!
//! It changes nothing, and may look while the appliance runs. Each finding says what to do.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use exhibit_evidence::Anchor;
use exhibit_evidence::anchor::WitnessPolicy;
use exhibit_pki::Timestamp;
use exhibit_program::confine::has_landlock;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::config::{Config, UnwitnessedStart, Wish};
use crate::health::{CERTIFICATE_S, Status};
use crate::maintain::control;
use crate::room::{Disk, Room};
use crate::setup::Folder;
use crate::witnessing::known::ask_witnesses;

/// What was looked at, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub check: &'static str,
    /// How it is.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

impl Finding {
    /// A line, and one below it with what to do.
    pub fn text(&self) -> String {
        let remedy = if self.remedy.is_empty() { String::new() } else { format!("\n{:10}{}", "", self.remedy) };
        format!("{:<9} {}: {}{remedy}", self.status.as_str(), self.check, self.detail)
    }
}

fn good(check: &'static str, detail: impl Into<String>) -> Finding {
    Finding { check, status: Status::Ok, detail: detail.into(), remedy: String::new() }
}

fn warning(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { check, status: Status::Warning, detail: detail.into(), remedy: remedy.into() }
}

fn bad(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { check, status: Status::Failing, detail: detail.into(), remedy: remedy.into() }
}

/// Looks at everything. Blocks, and waits for those whom the appliance is to reach.
pub fn examine(folder: &Folder, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![state_folder(folder.path())];
    let config = match folder.config() {
        Ok(config) => config,
        Err(error) => {
            findings.push(bad("configuration", error.to_string(), "mend appliance.toml: `init` writes a sample into a new folder"));
            return findings;
        }
    };
    findings.push(good("configuration", "appliance.toml is understood"));
    findings.extend(keys(folder));
    findings.push(certificate(folder, now));
    let is_running = match control::ask_for_status(folder) {
        Ok(Some(Ok(status))) => {
            findings.push(good("process", format!("an appliance serves this folder, as process {}", status.pid)));
            true
        }
        Ok(None) => {
            findings.push(good("process", "none serves this folder now"));
            false
        }
        Ok(Some(Err(reason))) => {
            findings.push(warning("process", format!("one serves this folder, and does not say how it is: {reason}"), "look in its log"));
            true
        }
        Err(error) => {
            findings.push(warning(
                "process",
                format!("whether one serves this folder can not be asked: {error}"),
                "run this as the user who serves",
            ));
            true
        }
    };
    findings.extend(log(folder, &config));
    findings.extend(disks(folder, &config));
    findings.push(open_files(&config));
    findings.push(kernel(&config));
    findings.extend(swap());
    findings.push(clock());
    findings.extend(programs(&config));
    if !is_running {
        findings.extend(addresses(&config));
    }
    if let Ok(anchor) = folder.anchor() {
        findings.extend(others(folder, &config, &anchor));
    }
    findings
}

fn state_folder(path: &Path) -> Finding {
    const CHECK: &str = "state folder";
    match fs::metadata(path) {
        Err(error) => bad(CHECK, format!("{}: {error}", path.display()), "give the folder that `init` made"),
        Ok(metadata) if metadata.permissions().mode() & OTHERS != 0 => {
            let detail = format!("{} is open to others than its owner (mode {:o})", path.display(), metadata.permissions().mode() & 0o7777);
            bad(CHECK, detail, format!("chmod 700 {}", path.display()))
        }
        Ok(metadata) => good(CHECK, format!("{}, of user {}", path.display(), metadata.uid())),
    }
}

/// Read, written or entered by others.
const OTHERS: u32 = 0o077;

fn keys(folder: &Folder) -> Vec<Finding> {
    const CHECK: &str = "keys";
    let owner = fs::metadata(folder.path()).map(|metadata| metadata.uid()).ok();
    let found: Vec<_> = folder.secret_files().into_iter().filter_map(|path| secret(CHECK, &path, owner)).collect();
    if found.is_empty() { vec![good(CHECK, "they are there, and nobody else's to read")] } else { found }
}

/// What is wrong with a file that nobody else may read.
fn secret(check: &'static str, path: &Path, owner: Option<u32>) -> Option<Finding> {
    let name = path.display();
    match fs::metadata(path) {
        Err(error) => Some(bad(check, format!("{name}: {error}"), "put it back from where keys are kept: they are in no backup")),
        Ok(metadata) if metadata.permissions().mode() & OTHERS != 0 => {
            let remedy =
                format!("chmod 600 {name}; if others had access to the machine, revoke the certificate and begin a log with new keys");
            Some(bad(check, format!("{name} can be read by others"), remedy))
        }
        Ok(metadata) if owner.is_some_and(|owner| owner != metadata.uid()) => {
            Some(bad(check, format!("{name} is another user's than the folder"), format!("chown it to user {}", owner.unwrap_or_default())))
        }
        Ok(_) => None,
    }
}

fn certificate(folder: &Folder, now: Timestamp) -> Finding {
    const CHECK: &str = "certificate";
    const RENEW: &str = "have appliance.csr signed by the authority, put the certificate in appliance.pem, and reload (SIGHUP) what runs";
    match folder.credentials(now) {
        Err(error) => bad(CHECK, error.to_string(), RENEW),
        Ok(credentials) => {
            let ends = credentials.certificate.not_after();
            let names = credentials.certificate.server_names().join(", ");
            let detail = format!("is valid until {ends}, for {names}");
            if ends.unix_s().saturating_sub(now.unix_s()) < CERTIFICATE_S { warning(CHECK, detail, RENEW) } else { good(CHECK, detail) }
        }
    }
}

fn log(folder: &Folder, config: &Config) -> Vec<Finding> {
    const CHECK: &str = "log";
    let anchor = match folder.anchor() {
        Ok(anchor) => anchor,
        Err(error) => return vec![bad(CHECK, error.to_string(), "`create-log` begins one; a lost anchor.json is in every backup")],
    };
    let mut findings = Vec::new();
    findings.push(match folder.verifier(&anchor.verifier.origin) {
        Ok(verifier) if verifier == anchor.verifier => {
            good(CHECK, format!("{}, with the keys that anchor.json names", anchor.verifier.origin))
        }
        Ok(_) => bad(
            CHECK,
            "the note keys here are not those that anchor.json names",
            "put the right ones back: with others it would be another log",
        ),
        Err(error) => bad(CHECK, error.to_string(), "put the note keys back from where keys are kept"),
    });
    if !folder.ledger_path().exists() {
        findings.push(bad(CHECK, "there is no ledger", "put it back: `exhibit-appliance restore`"));
        return findings;
    }
    let seals: Vec<_> = folder.head_seals(config, &anchor.verifier).iter().map(|seal| seal.read()).collect();
    const SEAL: &str = "head seal";
    for seal in seals {
        findings.push(match seal {
            Ok(Some(head)) => good(SEAL, format!("{} entries are sealed", head.size)),
            Ok(None) => warning(SEAL, "nothing is sealed yet", "the first start seals"),
            Err(error) => {
                bad(SEAL, error.to_string(), "see \"seal\" in docs/operations.md: `serve` does not start over a seal that it can not read")
            }
        });
    }
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let beside = folder.path().join(&config.head_seal).parent().map(Path::to_owned).unwrap_or_default();
    if config.tpm_seal.is_none() && device(&beside) == device(&folder.ledger_path()) {
        let detail = "head.seal lies on the ledger's own disk: an older copy of that disk brings back both";
        findings.push(warning(SEAL, detail, "let head_seal name a file on another medium, or give tpm_seal"));
    }
    findings
}

fn disks(folder: &Folder, config: &Config) -> Vec<Finding> {
    const CHECK: &str = "disk";
    // Before there is a log, what will lie there.
    let folders = if folder.ledger_path().exists() { folder.disks() } else { vec![("state", folder.path().to_owned())] };
    let room = Room::new(folders.clone(), 0);
    let reserve_mib = config.disk_reserve_mib;
    let look = |(disk, (name, path)): (Disk, &(&str, PathBuf))| {
        let Some(free) = disk.free_bytes else {
            return bad(CHECK, format!("the disk of the {name} does not answer"), "see whether it is mounted");
        };
        let (free_mib, kind) = (free / MIB, kind_of(path));
        if disk.is_read_only {
            return bad(
                CHECK,
                format!("the disk of the {name} can only be read"),
                "look in the kernel's log, mend it, and mount it for writing",
            );
        }
        if free_mib <= reserve_mib {
            let detail = format!("the disk of the {name} has {free_mib} MiB left, of which {reserve_mib} are kept");
            return bad(CHECK, detail, "make room: cameras are refused until then");
        }
        match kind {
            Some((kind, why)) => warning(CHECK, format!("the {name} lies on {kind}: {why}"), "put it on a local disk"),
            None => good(CHECK, format!("the disk of the {name} has {free_mib} MiB left")),
        }
    };
    room.disks().into_iter().zip(&folders).map(look).collect()
}

const MIB: u64 = 1024 * 1024;

/// File systems that do not keep what they have acknowledged, by the numbers of statfs(2).
fn kind_of(path: &Path) -> Option<(&'static str, &'static str)> {
    const VOLATILE: &str = "a power cut takes it all away";
    const REMOTE: &str = "what it calls synced, another machine may still have in memory";
    match rustix::fs::statfs(path).ok()?.f_type as u64 & 0xffff_ffff {
        0x0102_1994 => Some(("tmpfs", VOLATILE)),
        0x8584_58f6 => Some(("ramfs", VOLATILE)),
        0x6969 => Some(("NFS", REMOTE)),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some(("SMB", REMOTE)),
        0x794c_7630 => Some(("overlayfs", "it is a container's own, and goes with it")),
        _ => None,
    }
}

fn open_files(config: &Config) -> Finding {
    const CHECK: &str = "open files";
    // Two listeners; an upload and a download have a file each, and so has each upload that is kept.
    let needed = 2 * config.connections_max + config.uploads_max + config.downloads_max + config.staging_uploads_max + OTHER_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < needed as u64 => {
            let detail = format!("this user may open {most} files, and the limits of appliance.toml can need {needed}");
            warning(CHECK, detail, "raise LimitNOFILE in the unit (or `ulimit -n`), or lower connections_max")
        }
        _ => good(CHECK, format!("up to {needed} can be needed, and may be opened")),
    }
}

/// The database's, and what the system takes.
const OTHER_FILES: usize = 1024;

fn kernel(config: &Config) -> Finding {
    const CHECK: &str = "confinement";
    match (has_landlock(), config.confinement) {
        (true, _) => good(CHECK, "the kernel has Landlock"),
        (false, wish) => {
            let finding = if wish == Wish::Required { bad } else { warning };
            finding(
                CHECK,
                "this kernel has no Landlock",
                "boot one that has it enabled (lsm=landlock,…): until then its user alone keeps it from others' files",
            )
        }
    }
}

fn swap() -> Option<Finding> {
    let swaps = fs::read_to_string("/proc/swaps").ok()?;
    let devices: Vec<_> = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let is_open = |device: &&str| !device.contains("zram") && !device.contains("dm-");
    let open: Vec<_> = devices.into_iter().filter(is_open).collect();
    let detail = format!("{} may take memory that holds keys", open.join(", "));
    (!open.is_empty()).then(|| warning("swap", detail, "turn it off, or encrypt it with a key that goes with each start"))
}

fn clock() -> Finding {
    const CHECK: &str = "clock";
    const REMEDY: &str = "run chrony or systemd-timesyncd: the time in receipts is this machine's word";
    let asked = std::process::Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    match asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).as_deref() {
        Ok("yes") => good(CHECK, "is synchronised"),
        Ok("no") => warning(CHECK, "is not synchronised", REMEDY),
        _ => warning(CHECK, "whether it is synchronised can not be asked here", REMEDY),
    }
}

/// What the appliance starts has to be there.
fn programs(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "programs";
    let alert = config.bans.alert.iter().filter_map(|alert| alert.first()).map(PathBuf::from);
    let tpms = config
        .tpm_seal
        .iter()
        .map(|seal| (&seal.program, &seal.tcti))
        .chain(config.tpm_note.iter().map(|note| (&note.program, &note.tcti)));
    let devices: Vec<_> = tpms.clone().filter_map(|(_, tcti)| tcti.strip_prefix("device:").map(PathBuf::from)).collect();
    let is_program =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
    let missing = alert.chain(tpms.map(|(program, _)| program.clone())).filter(|path| !is_program(path));
    let no_program =
        |path: PathBuf| bad(CHECK, format!("{} is no program", path.display()), "install it, or name another in appliance.toml");
    let no_device = |path: PathBuf| {
        bad("TPM", format!("{} is not there", path.display()), "enable the TPM in the firmware, or take it out of appliance.toml")
    };
    missing.map(no_program).chain(devices.into_iter().filter(|device| !device.exists()).map(no_device)).collect()
}

fn addresses(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "addresses";
    let wanted: Vec<SocketAddr> = [config.intake, config.public].into_iter().chain(config.monitoring).collect();
    let failed = wanted.iter().filter_map(|address| {
        let error = TcpListener::bind(address).err()?;
        Some(bad(CHECK, format!("{address}: {error}"), "see who listens there (`ss -ltnp`), or name another in appliance.toml"))
    });
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() { vec![good(CHECK, "are free to listen on")] } else { failed }
}

/// Witnesses, mirrors and timestamping authorities.
fn others(folder: &Folder, config: &Config, anchor: &Anchor) -> Vec<Finding> {
    const CHECK: &str = "witnesses";
    let mut findings = Vec::new();
    let policy = match folder.policy(config, anchor) {
        Ok(policy) => policy,
        Err(error) => return vec![bad(CHECK, error.to_string(), "mend witness_policy: only the URLs may differ from the anchor's")],
    };
    match ask_witnesses(folder, config, &anchor.verifier, policy.as_ref().map(WitnessPolicy::policy)) {
        Err(error) => {
            findings.push(bad(CHECK, error.to_string(), "see docs/operations.md: somebody outside knows more of the log than is here"))
        }
        Ok(heard) if heard.is_empty() => {
            let detail = "nobody outside watches this log: whoever has its keys and its disk could rewrite it";
            findings.push(warning(CHECK, detail, "begin logs with a witness policy (docs/operations.md)"));
        }
        Ok(heard) => {
            let is_alone = heard.iter().all(|heard| heard.failed.is_some());
            let finding = if is_alone && config.unwitnessed_start == UnwitnessedStart::Refuse { bad } else { warning };
            findings.extend(heard.iter().map(|heard| match &heard.failed {
                None => good(CHECK, format!("{} answers", heard.name)),
                Some(reason) => {
                    finding(CHECK, format!("{}: {reason}", heard.name), "ask whoever runs it, and look at the network".to_owned())
                }
            }));
        }
    }
    const AUTHORITIES: &str = "timestamps";
    if let Err(error) = folder.timestamp_sources(config) {
        findings.push(bad(AUTHORITIES, error.to_string(), "put the authority's certificate where appliance.toml names it"));
    }
    findings.extend(config.timestamp_authorities.iter().map(|authority| match reaches(&authority.url) {
        Ok(()) => good(AUTHORITIES, format!("{} can be reached", authority.url)),
        Err(reason) => warning(
            AUTHORITIES,
            format!("{}: {reason}", authority.url),
            "look at the network; without tokens time rests on witnesses alone",
        ),
    }));
    findings
}

/// A connection, no more.
fn reaches(url: &str) -> Result<(), String> {
    let url: hyper::Uri = url.parse().map_err(|_| "is no URL".to_owned())?;
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    let address = addresses.next().ok_or("has no address")?;
    TcpStream::connect_timeout(&address, REACH_MAX).map(drop).map_err(|error| error.to_string())
}

/// Whoever is to be asked once a minute answers sooner.
const REACH_MAX: Duration = Duration::from_secs(5);
