//! The socket in the state folder by which an operator on the machine asks a running appliance for a backup, for whom it has banned, and how it is.
//!
//! Whoever can open it can read the state anyway: its folder is the appliance's own. One JSON line is asked, one answered.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::backup::{Backup, BackupError, begin, hand_over};
use super::remove_if_there;
use crate::appliance::Appliance;
use crate::bans::Ban;
use crate::guard::Guard;
use crate::serve::Addresses;
use crate::setup::Folder;
use crate::status::{self, Status};

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Request {
    /// Back up all but the vault into this new folder in the state: an absolute path.
    Backup(PathBuf),
    /// Who is banned.
    Bans,
    /// Lift the ban of this identity or network.
    Lift(String),
    /// How it is.
    Status,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Done(Backup),
    Bans(Vec<Ban>),
    /// False if there was none.
    Lifted(bool),
    Status(Box<Status>),
    Failed(String),
}

/// Asks the appliance that runs in `folder`; `None` if none runs. Blocks until it is done. It can write nowhere but in its state: there it makes the
/// copy of its ledger, and whoever asked takes that where it belongs, and the vault.
pub fn ask_for_backup(folder: &Folder, to: &Path) -> std::io::Result<Option<Result<Backup, BackupError>>> {
    if to.exists() {
        return Ok(Some(Err(BackupError::Exists(to.display().to_string()))));
    }
    let (lock, made) = (folder.path().join(BACKUP_LOCK), folder.path().join(BACKUP));
    // Two at a time would take each other's away; freed with the process.
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(NO_LINK).open(lock)?;
    lock.lock()?;
    if let Err(error) = remove_if_there(&made) {
        return Ok(Some(Err(error.into())));
    }
    Ok(ask(folder, &Request::Backup(made.clone()))?.map(|reply| match reply {
        Reply::Done(backup) => hand_over(folder, &made, to).map(|objects| Backup { objects, ..backup }),
        reply => Err(BackupError::Refused(reply.failure())),
    }))
}

/// Whom the appliance has banned that runs in `folder`; `None` if none runs.
pub fn ask_for_bans(folder: &Folder) -> std::io::Result<Option<Result<Vec<Ban>, String>>> {
    Ok(ask(folder, &Request::Bans)?.map(|reply| match reply {
        Reply::Bans(bans) => Ok(bans),
        reply => Err(reply.failure()),
    }))
}

/// Has it lift the ban of an identity or network: false if there was none.
pub fn ask_to_lift(folder: &Folder, subject: &str) -> std::io::Result<Option<Result<bool, String>>> {
    Ok(ask(folder, &Request::Lift(subject.to_owned()))?.map(|reply| match reply {
        Reply::Lifted(lifted) => Ok(lifted),
        reply => Err(reply.failure()),
    }))
}

/// How the appliance is that runs in `folder`; `None` if none runs.
pub fn ask_for_status(folder: &Folder) -> std::io::Result<Option<Result<Status, String>>> {
    Ok(ask(folder, &Request::Status)?.map(|reply| match reply {
        Reply::Status(status) => Ok(*status),
        reply => Err(reply.failure()),
    }))
}

fn ask(folder: &Folder, request: &Request) -> std::io::Result<Option<Reply>> {
    let Ok(mut stream) = BlockingStream::connect(socket(folder)) else { return Ok(None) };
    if matches!(request, Request::Status) {
        stream.set_read_timeout(Some(STATUS_MAX))?;
    }
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(Some(serde_json::from_str(&answer)?))
}

impl Reply {
    fn failure(self) -> String {
        match self {
            Self::Failed(reason) => reason,
            Self::Done(_) | Self::Bans(_) | Self::Lifted(_) | Self::Status(_) => {
                "the appliance answered something else than it was asked".to_owned()
            }
        }
    }
}

/// Answers until `draining` says so. The socket is the user's own, as all that `serve` makes (its umask). An appliance whose socket can not be made serves all the same.
pub fn serve(
    folder: Folder,
    appliance: Arc<Appliance>,
    addresses: Addresses,
    mut draining: watch::Receiver<bool>,
) -> Option<tokio::task::JoinHandle<()>> {
    let since = Instant::now();
    let path = socket(&folder);
    // The ledger's lock is ours: a socket that is there is an earlier process's.
    let _ = std::fs::remove_file(&path);
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no socket for backups: back up while the appliance is stopped");
            return None;
        }
    };
    Some(tokio::spawn(async move {
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted
                        && let Err(error) = answer(stream, &folder, &appliance, (addresses, since)).await
                    {
                        tracing::warn!(%error, "an operator's request was not answered");
                    }
                }
                _ = draining.changed() => break,
            }
        }
        let _ = std::fs::remove_file(&path);
    }))
}

/// One at a time: two backups at once would only slow each other.
async fn answer(
    stream: UnixStream,
    folder: &Folder,
    appliance: &Arc<Appliance>,
    (addresses, since): (Addresses, Instant),
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(REQUEST_BYTES_MAX));
    tokio::time::timeout(REQUEST_MAX, reader.read_line(&mut line)).await??;
    let reply = match serde_json::from_str::<Request>(&line) {
        Err(error) => Reply::Failed(format!("not a request: {error}")),
        Ok(Request::Bans) => Reply::Bans(appliance.guard.list(appliance.now())),
        Ok(Request::Status) => {
            let appliance = appliance.clone();
            let status = spawn_blocking(move || status::of(&appliance, addresses.named(), since.elapsed().as_secs()));
            status
                .await
                .map_or_else(|_| Reply::Failed("it ended otherwise than it should".to_owned()), |status| Reply::Status(Box::new(status)))
        }
        Ok(Request::Lift(subject)) => {
            let appliance = appliance.clone();
            match spawn_blocking(move || Guard::lift(&appliance, &subject)).await {
                Ok(Ok(lifted)) => Reply::Lifted(lifted),
                Ok(Err(error)) => Reply::Failed(error.to_string()),
                Err(_) => Reply::Failed("it ended otherwise than it should".to_owned()),
            }
        }
        Ok(Request::Backup(backup)) if !backup.is_absolute() => Reply::Failed("the path is not absolute".to_owned()),
        Ok(Request::Backup(backup)) => {
            let (folder, appliance) = (folder.clone(), appliance.clone());
            let done = spawn_blocking(move || begin(&folder, &appliance.ledger, &backup)).await;
            match done {
                // Whoever asked copies the vault.
                Ok(Ok(size)) => Reply::Done(Backup { size, objects: 0 }),
                Ok(Err(error)) => Reply::Failed(error.to_string()),
                Err(_) => Reply::Failed("the backup ended otherwise than it should".to_owned()),
            }
        }
    };
    let mut line = serde_json::to_string(&reply)?;
    line.push('\n');
    writer.write_all(line.as_bytes()).await
}

fn socket(folder: &Folder) -> PathBuf {
    folder.path().join(SOCKET)
}

/// Disks are asked, and one of them may hang.
const STATUS_MAX: Duration = Duration::from_secs(20);
const SOCKET: &str = "control.sock";
/// Where a backup is until it is taken away.
const BACKUP: &str = "backup-under-way";
const BACKUP_LOCK: &str = "backup.lock";
/// Whoever asks may be root, and the folder is the appliance's.
const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();
/// A path, and a little JSON.
const REQUEST_BYTES_MAX: u64 = 8 * 1024;
/// It is on the same machine.
const REQUEST_MAX: Duration = Duration::from_secs(5);
