//! The socket in the state folder by which an operator on the machine asks a running appliance for a backup.
//!
//! Whoever can open it can read the state anyway: its folder is the appliance's own. One JSON line is asked, one answered.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::backup::{Backup, back_up};
use crate::appliance::Appliance;
use crate::setup::Folder;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Back up into this new folder: an absolute path.
    backup: PathBuf,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Done(Backup),
    Failed(String),
}

/// Asks the appliance that runs in `folder`; `None` if none runs. Blocks until it is done.
pub fn ask_for_backup(folder: &Folder, to: &Path) -> std::io::Result<Option<Result<Backup, String>>> {
    let Ok(mut stream) = BlockingStream::connect(socket(folder)) else { return Ok(None) };
    let mut line = serde_json::to_string(&Request { backup: to.to_owned() })?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(Some(match serde_json::from_str(&answer)? {
        Reply::Done(backup) => Ok(backup),
        Reply::Failed(reason) => Err(reason),
    }))
}

/// Answers until `draining` says so. An appliance whose socket can not be made serves all the same.
pub fn serve(folder: Folder, appliance: Arc<Appliance>, mut draining: watch::Receiver<bool>) -> Option<tokio::task::JoinHandle<()>> {
    let path = socket(&folder);
    // The ledger's lock is ours: a socket that is there is an earlier process's.
    let _ = std::fs::remove_file(&path);
    let bound = UnixListener::bind(&path).and_then(|listener| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    let listener = match bound {
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
                        && let Err(error) = answer(stream, &folder, &appliance).await
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
async fn answer(stream: UnixStream, folder: &Folder, appliance: &Arc<Appliance>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(REQUEST_BYTES_MAX));
    tokio::time::timeout(REQUEST_MAX, reader.read_line(&mut line)).await??;
    let reply = match serde_json::from_str::<Request>(&line) {
        Err(error) => Reply::Failed(format!("not a request: {error}")),
        Ok(Request { backup }) if !backup.is_absolute() => Reply::Failed("the path is not absolute".to_owned()),
        Ok(Request { backup }) => {
            let (folder, appliance) = (folder.clone(), appliance.clone());
            let done = spawn_blocking(move || back_up(&folder, &appliance.ledger, &backup)).await;
            match done {
                Ok(Ok(backup)) => Reply::Done(backup),
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

const SOCKET: &str = "control.sock";
/// A path, and a little JSON.
const REQUEST_BYTES_MAX: u64 = 8 * 1024;
/// It is on the same machine.
const REQUEST_MAX: Duration = Duration::from_secs(5);
