//! The commands of an operator: fsck, backup, repair, restore, seal, status, doctor.
//!
//! It reads arguments and prints; the work is in the library's `maintain`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Subcommand;
use exhibit_appliance::appliance::Appliance;
use exhibit_appliance::bans::Ban;
use exhibit_appliance::chronicle::Clock;
use exhibit_appliance::doctor::{Finding, examine};
use exhibit_appliance::guard::Guard;
use exhibit_appliance::health::Status as Level;
use exhibit_appliance::maintain::backup::{Backup, back_up};
use exhibit_appliance::maintain::by_itself;
use exhibit_appliance::maintain::control;
use exhibit_appliance::maintain::fsck::{ATTACHMENT, CheckOptions, PAYLOAD, check};
use exhibit_appliance::maintain::place::Place;
use exhibit_appliance::maintain::reseal;
use exhibit_appliance::maintain::restore::{Restored, restore};
use exhibit_appliance::maintain::succeed::{When, succeed};
use exhibit_appliance::maintain::successor::{Outcome, Succeeded, Successor, restore_or_succeed};
use exhibit_appliance::setup::{Folder, now};
use exhibit_evidence::body::SuccessionReason;
use exhibit_ledger::fsck::{Damage, Progress};
use exhibit_pki::Timestamp;
use exhibit_program::{EXIT_CANNOT, EXIT_NO};
use serde_json::json;

use crate::{Failure, print, read};

#[derive(Subcommand)]
pub enum Operate {
    /// Re-hash every entry, tile, chain, attachment and ciphertext, and name what is damaged. Changes nothing; may run beside `serve`.
    ///
    /// Exit codes: 0 nothing is damaged, 1 something is, 2 it could not be checked, or not to the end.
    Fsck {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
        /// Read at most so many MiB a second, so that a serving appliance is not slowed down.
        #[arg(long)]
        mib_per_s: Option<u64>,
        /// Threads that read and hash [default: one for each core].
        #[arg(long)]
        threads: Option<usize>,
        /// Keep in this file how far the check has come, and go on from there if it is there.
        #[arg(long)]
        progress_file: Option<PathBuf>,
    },
    /// Copy ledger and vault as of one moment into a new folder; through `serve` if it runs. Keys are not copied: keep them in a safe.
    Backup {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
        /// The new folder. On the same file system the copy is made of hard links: copy it on from there.
        folder: PathBuf,
    },
    /// Make a damaged ledger and vault whole again from themselves, backups and mirrors. What was there is set aside.
    ///
    /// Exit codes: 0 all is whole, 1 something is still damaged (it is named), 2 it could not be done.
    Repair {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
        /// A backup, or a mirror in the layout of C2SP tlog-tiles, as a folder or a URL (repeat for more). Mirrors in appliance.toml are asked
        /// without being named.
        #[arg(long)]
        from: Vec<Place>,
        /// A signed checkpoint of the log from somebody else: a witness, an auditor, a camera's receipt. The result must contain it (repeat
        /// for more).
        #[arg(long)]
        checkpoint: Vec<PathBuf>,
    },
    /// Put a lost appliance back from backups and mirrors, into a state folder that has its keys. See docs/operations.md.
    ///
    /// The witnesses and mirrors of appliance.toml are asked for the newest head that they know. Refuses where nothing outside of the backup tells
    /// the log's newest head, or the sources do not reach it: going on from an older one would fork the log. With --successor and --origin, a
    /// successor is opened then, whose genesis names the log and its last known head.
    /// Exit codes: 0 all is whole, or a successor was opened, 1 something is missing (it is named), 2 it could not be done.
    Restore {
        /// The folder that holds the appliance's keys, and will hold its state.
        #[arg(long)]
        state: PathBuf,
        /// A backup, or a mirror in the layout of C2SP tlog-tiles, as a folder or a URL (repeat for more). Mirrors in appliance.toml are asked
        /// without being named.
        #[arg(long)]
        from: Vec<Place>,
        /// A signed checkpoint of the log from somebody else: a witness, an auditor, a camera's receipt. What is restored must contain it
        /// (repeat for more).
        #[arg(long)]
        checkpoint: Vec<PathBuf>,
        /// The folder of a successor, that `init` made and that has a signed certificate: it goes on where this log can not.
        #[arg(long, requires = "origin")]
        successor: Option<PathBuf>,
        /// The successor's name: a schema-less URL like city.example/log/2
        #[arg(long, requires = "successor")]
        origin: Option<String>,
    },
    /// End the log, and begin its successor in another state folder: one that `init` made, with a signed certificate. Stop the appliance before;
    /// serve the new folder afterwards. The old one can still be served, for reading. Ended half-way, the same command goes on.
    ///
    /// With --entries or --days, only when the log has so many entries, or is so old: for a timer. Exit codes: 0 done or not due, 2 not done.
    Succeed {
        /// The folder of the log that ends.
        #[arg(long)]
        state: PathBuf,
        /// The folder of its successor.
        #[arg(long)]
        by: PathBuf,
        /// The successor's name: a schema-less URL like city.example/log/2
        #[arg(long)]
        origin: String,
        /// Only if the log has so many entries at least.
        #[arg(long)]
        entries: Option<u64>,
        /// Only if the log is so many days old.
        #[arg(long)]
        days: Option<u64>,
    },
    /// Print the name and the keys that the log's successor will have when it ends without a hand, as `witness.toml` wants them: the operators of its
    /// witnesses and mirrors have to follow both logs by that day. The keys are made if there are none yet. Run it as the user who serves.
    SuccessorKeys {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
    },
    /// Print how the running appliance is: log, disks, witnesses, what is wrong and what to do about it.
    /// Exit codes: 0 it serves (warnings are printed), 1 it does not run or is failing, 2 it could not be asked.
    Status {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
    },
    /// Look whether everything is as it should be for `serve`: files and their permissions, keys and certificates, disks, the kernel, whom it is to
    /// reach. Changes nothing; the appliance may be running.
    /// Exit codes: 0 nothing is wrong (warnings are printed), 1 something is, 2 it could not be looked at.
    Doctor {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
    },
    /// Who is banned after too many wrong attempts.
    #[command(subcommand)]
    Bans(Bans),
    /// Print the sealed head, below which `serve` refuses to start.
    Seal {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
        /// Seal the ledger's present head where none is sealed, on your word that it is the newest: when the seal was lost, or moves to
        /// another place. A seal that the ledger does not contain is never written over.
        #[arg(long)]
        accept_present_head: bool,
    },
}

#[derive(Subcommand)]
pub enum Bans {
    /// Print the bans in force: of identities, and of networks of whose connections nobody has shown a certificate.
    List {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
    },
    /// Lift a ban before its time, and state that on the ledger. Exit code 1 if there is none.
    Lift {
        /// The folder that holds the appliance's state.
        #[arg(long)]
        state: PathBuf,
        /// Whose, as `bans list` prints it: camera/102#<fingerprint>, or 192.0.2.7/32
        subject: String,
    },
}

/// Runs one of the commands.
pub fn operate(command: Operate, json: bool) -> Result<ExitCode, Failure> {
    match command {
        Operate::Fsck { state, mib_per_s, threads, progress_file } => {
            let bytes_per_s = mib_per_s.map(|mib| mib.saturating_mul(1024 * 1024));
            let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
            let stop = ended_by_signals()?;
            let options = CheckOptions { threads, bytes_per_s, state_file: progress_file, progress: &tell, stop: &stop };
            let report = check(&Folder::new(&state), &options)?;
            let whole =
                if report.damages.is_empty() { "nothing is damaged".to_owned() } else { format!("{} damaged", report.damages.len()) };
            let ended = if report.is_complete { "" } else { ". It was not checked to the end" };
            let text = format!("{}{} of {} entries checked: {whole}{ended}", lines(&report.damages), report.entries, report.head.size);
            let line = json!({
                "event": "checked", "size": report.head.size, "root": report.head.root.to_string(), "entries": report.entries,
                "complete": report.is_complete, "damages": damages_json(&report.damages),
            });
            print(json, &line, &text)?;
            Ok(match (report.damages.is_empty(), report.is_complete) {
                (false, _) => ExitCode::from(EXIT_NO),
                (true, false) => ExitCode::from(EXIT_CANNOT),
                (true, true) => ExitCode::SUCCESS,
            })
        }
        Operate::Backup { state, folder } => {
            let Backup { size, objects } = backup(&Folder::new(&state), &std::path::absolute(&folder)?)?;
            let line = json!({ "event": "backed-up", "folder": folder, "size": size, "objects": objects });
            print(json, &line, &format!("{size} entries and {objects} objects are in {}", folder.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Operate::Repair { state, from, checkpoint } => make_whole(&state, &from, &checkpoint, None, json),
        Operate::Restore { state, from, checkpoint, successor, origin } => {
            let successor = successor.as_deref().zip(origin.as_deref());
            make_whole(&state, &from, &checkpoint, successor, json)
        }
        Operate::Succeed { state, by, origin, entries, days } => {
            let when = if entries.or(days).is_some() { When::Due { entries, days } } else { When::Now(SuccessionReason::Other) };
            match succeed(&Folder::new(&state).lock()?, &Folder::new(&by).lock()?, &origin, when, &(Arc::new(now) as Clock))? {
                Some(anchor) => print(json, &serde_json::from_str(&anchor.to_json())?, anchor.to_json().trim_end())?,
                None => print(json, &json!({ "event": "not-due" }), "the log is not due for a successor")?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Operate::SuccessorKeys { state } => {
            let folder = Folder::new(&state).newest();
            if by_itself::when(&folder.config()?).is_none() {
                return Err("appliance.toml has neither succession_entries nor succession_days: the log ends by hand, by the keys of the state that `init` made".into());
            }
            let next = by_itself::foretell(&folder)?;
            let line = json!({ "event": "successor-keys", "origin": next.origin, "keys": next.keys });
            // As witness.toml wants it.
            print(json, &line, &format!("[[log]]\norigin = {:?}\nkeys = {:?}", next.origin, next.keys))?;
            Ok(ExitCode::SUCCESS)
        }
        Operate::Status { state } => status(&Folder::new(&state).newest(), json),
        Operate::Doctor { state } => doctor(&Folder::new(&state).newest(), json),
        Operate::Bans(Bans::List { state }) => list_bans(&Folder::new(&state).newest(), json),
        Operate::Bans(Bans::Lift { state, subject }) => lift_ban(&Folder::new(&state).newest(), &subject, json),
        Operate::Seal { state, accept_present_head } => seal(&Folder::new(&state), accept_present_head, json),
    }
}

/// An appliance that does not run is opened for this.
fn opened(folder: &Folder) -> Result<Appliance, Failure> {
    Ok(Appliance::open(&folder.lock()?, &folder.config()?, Arc::new(now), Arc::new(|_: &str| {}))?.0)
}

fn status(folder: &Folder, json: bool) -> Result<ExitCode, Failure> {
    let Some(status) = control::ask_for_status(folder)? else {
        let text = format!("no appliance runs in {}: `exhibit-appliance doctor` tells what is in its way", folder.path().display());
        print(json, &json!({ "event": "status", "running": false }), &text)?;
        return Ok(ExitCode::from(EXIT_NO));
    };
    let status = status?;
    print(json, &json!({ "event": "status", "running": true, "status": status }), status.text().trim_end())?;
    Ok(if status.health.status == Level::Failing { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS })
}

fn doctor(folder: &Folder, json: bool) -> Result<ExitCode, Failure> {
    let findings = examine(folder, now());
    let line = json!({ "event": "examined", "findings": findings });
    let told: Vec<_> = findings.iter().map(Finding::text).collect();
    print(json, &line, &told.join("\n"))?;
    let is_bad = findings.iter().any(|finding| finding.status == Level::Failing);
    Ok(if is_bad { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS })
}

fn list_bans(folder: &Folder, json: bool) -> Result<ExitCode, Failure> {
    let bans = match control::ask_for_bans(folder)? {
        Some(bans) => bans?,
        None => opened(folder)?.guard.list(now()),
    };
    let until = |ban: &Ban| Timestamp::from_unix_ms(ban.until_ms).map_or("it is lifted".to_owned(), |until| until.to_string());
    let lines: Vec<_> = bans.iter().map(|ban| format!("{} {} until {} ({})", ban.kind, ban.subject, until(ban), ban.reason)).collect();
    let text = if lines.is_empty() { "nobody is banned".to_owned() } else { lines.join("\n") };
    print(json, &json!({ "event": "bans", "bans": bans }), &text)?;
    Ok(ExitCode::SUCCESS)
}

fn lift_ban(folder: &Folder, subject: &str, json: bool) -> Result<ExitCode, Failure> {
    let lifted = match control::ask_to_lift(folder, subject)? {
        Some(lifted) => lifted?,
        None => Guard::lift(&opened(folder)?, subject)?,
    };
    let text = if lifted { format!("the ban of {subject} is lifted") } else { format!("{subject} is not banned") };
    print(json, &json!({ "event": "lifted", "subject": subject, "lifted": lifted }), &text)?;
    Ok(if lifted { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

/// By whoever has the ledger open, or by ourselves.
fn backup(folder: &Folder, to: &Path) -> Result<Backup, Failure> {
    match control::ask_for_backup(folder, to)? {
        Some(done) => Ok(done?),
        None => {
            let folder = folder.lock()?;
            let ledger = folder.ledger(&folder.anchor()?.verifier.origin, &folder.config()?)?;
            Ok(back_up(&folder, &ledger, to)?)
        }
    }
}

fn make_whole(
    state: &Path,
    from: &[Place],
    checkpoints: &[PathBuf],
    successor: Option<(&Path, &str)>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let folder = Folder::new(state).lock()?;
    let progress = |entries, entries_total| tell(Progress { entries, entries_total, places: 0, bytes: 0 });
    let known = checkpoints.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let Some((new, origin)) = successor else { return restored(&restore(&folder, from, &known, &progress)?, json) };
    let successor = Successor { folder: &Folder::new(new).lock()?, origin, now: now() };
    match restore_or_succeed(&folder, from, &known, &successor, &progress)? {
        Outcome::Restored(done) => restored(&done, json),
        Outcome::Succeeded(done) => {
            let Succeeded { anchor, last, reason, left } = *done;
            let line = json!({
                "event": "succeeded", "reason": reason.to_string(), "predecessor_size": last.size, "predecessor_root": last.root.to_string(),
                "anchor": serde_json::from_str::<serde_json::Value>(&anchor.to_json())?,
                "left": left.as_ref().map(|left| json!({ "size": left.restored.size, "carried": left.carried,
                    "damages": damages_json(&left.restored.left) })),
            });
            let left = left.map_or_else(
                || "Nothing of it can be read, and nobody is carried over.".to_owned(),
                |left| {
                    let (size, carried, damaged) = (left.restored.size, left.carried, lines(&left.restored.left));
                    format!("{damaged}{size} entries of it can be read; {carried} of people and authorities go on.")
                },
            );
            let named = format!("Its successor names it and its last head that is known, of {} entries. {left}", last.size);
            print(json, &line, &format!("The log does not go on: {reason}\n{named}\n{}", anchor.to_json().trim_end()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn restored(done: &Restored, json: bool) -> Result<ExitCode, Failure> {
    let aside = done.set_aside.as_ref().map(|path| format!("\nWhat was there is in {}", path.display())).unwrap_or_default();
    let left = if done.left.is_empty() { "nothing is damaged".to_owned() } else { format!("{} damaged", done.left.len()) };
    let beside = match done.left.iter().filter(|damage| [ATTACHMENT, PAYLOAD].contains(&&*damage.part)).count() {
        0 => String::new(),
        count => format!("\n{count} of these lie beside the ledger: mirrors do not hold them, give a backup that does (--from)"),
    };
    let text = format!("{}{} entries, {} objects put back: {left}{beside}{aside}", lines(&done.left), done.size, done.objects);
    let line = json!({
        "event": "restored", "size": done.size, "objects": done.objects, "set_aside": done.set_aside, "damages": damages_json(&done.left),
    });
    print(json, &line, &text)?;
    Ok(if done.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

fn seal(folder: &Folder, accept_present_head: bool, json: bool) -> Result<ExitCode, Failure> {
    if accept_present_head {
        reseal::accept_present_head(&folder.lock()?)?;
    }
    let (anchor, config) = (folder.anchor()?, folder.config()?);
    let mut sealed = Vec::new();
    for seal in &folder.head_seals(&config, &anchor.verifier) {
        sealed.extend(seal.read()?);
    }
    let head = sealed.into_iter().max_by_key(|head| head.size).ok_or("nothing is sealed")?;
    let line = json!({ "event": "sealed", "size": head.size, "root": head.root.to_string() });
    print(json, &line, &format!("{} entries, root {}", head.size, head.root))?;
    Ok(ExitCode::SUCCESS)
}

fn lines(damages: &[Damage]) -> String {
    damages.iter().map(|damage| format!("damaged: {} {}: {}\n", damage.part, damage.name, damage.defect)).collect()
}

fn damages_json(damages: &[Damage]) -> serde_json::Value {
    damages.iter().map(|damage| json!({ "part": damage.part, "name": damage.name, "defect": damage.defect })).collect()
}

/// For people who watch, each second; a journal gets a line a minute.
fn tell(progress: Progress) {
    static TOLD: Mutex<Option<Instant>> = Mutex::new(None);
    let Progress { entries, entries_total, places, .. } = progress;
    let text =
        if places == 0 { format!("{entries} of {entries_total} entries") } else { format!("{places} of {entries_total} places in chains") };
    if std::io::stderr().is_terminal() {
        eprint!("\r{text:50}");
        if entries_total == if places == 0 { entries } else { places } {
            eprintln!();
        }
        return;
    }
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let began = told.get_or_insert_with(Instant::now);
    if began.elapsed() >= TELL_EVERY {
        *began = Instant::now();
        eprintln!("{text}");
    }
}

/// How often whoever reads a journal is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Sets what it gives when SIGTERM or SIGINT comes: what was done so far is kept then.
fn ended_by_signals() -> Result<Arc<AtomicBool>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let told = stop.clone();
    // It ends with the process.
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        told.store(true, Ordering::Relaxed);
    })?;
    Ok(stop)
}
