//! What somebody has stated to a log, kept as it was sent. After a disaster that left nothing of the log to read, nobody else has it; the log that goes
//! on takes it from them, in the order of their chain.
//!
//! It signs nothing, and judges no log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use exhibit_evidence::{Anchor, Body, SignedStatement, Statement, exchange};
use exhibit_tlog::Hash;

use crate::issuer::{attachments_of, in_folder};
use crate::{Appliance, ClientError, ClientIdentity, IssuerError};

/// `stated.<log>/<generation>.<seq>.statement`, in the order of their names: the chain of one generation, then that of the next.
pub(crate) fn stated_path(folder: &Path, statement: &Statement) -> PathBuf {
    let generation = statement.stream.as_str().rsplit('/').next().unwrap_or_default();
    folder.join(stated_folder(&statement.log)).join(format!("{generation}.{:016x}{SUFFIX}", statement.seq))
}

fn stated_folder(log: &Hash) -> String {
    format!("stated.{log}")
}

const SUFFIX: &str = ".statement";

/// What became of it.
#[derive(Debug, Default)]
pub struct Restated {
    /// Statements that are on the log that goes on, now or since before.
    pub there: u64,
    /// The first that is not, and why: what comes behind it in its chain can not be there before it.
    pub refused: Option<(String, exchange::Problem)>,
    /// The first that was not sent, and the leaf hash of what it approves, which is not there: below that it would approve nothing, for ever.
    pub waits: Option<(String, Hash)>,
}

/// Sends what is kept in `folder` of what was stated to the lost log of `ended` to the log of `next`, which goes on for it. It stops where one is
/// refused, or approves what is not there and nobody has said to be `lost`; the same call goes on from there.
pub async fn restate(
    folder: &Path,
    address: &str,
    identity: &ClientIdentity,
    [ended, next]: [&Anchor; 2],
    lost: &[Hash],
) -> Result<Restated, IssuerError> {
    let mut appliance = Appliance::new(address, identity, ended)?;
    appliance.go_on(next);
    let mut restated = Restated::default();
    for path in kept(folder, &ended.log)? {
        let damaged = |reason: &str| IssuerError::Kept { path: path.clone(), reason: reason.to_owned() };
        let bytes = fs::read(&path).map_err(in_folder(&path))?;
        let (entry, rest) = exchange::split_intake_prefix(&bytes).ok_or_else(|| damaged("it is cut short"))?;
        let signed = SignedStatement::parse(entry).map_err(|error| damaged(&error.to_string()))?;
        if signed.statement().log != ended.log {
            return Err(damaged("it is of another log"));
        }
        let attachments = attachments_of(&signed, rest).ok_or_else(|| damaged("an attachment is cut short"))?;
        let place = format!("{}/{}", signed.statement().stream, signed.statement().seq);
        if let Body::Approve(approve) = &signed.statement().body
            && !lost.contains(&approve.entry)
            && !is_there(&mut appliance, &approve.entry).await?
            && !is_there(&mut appliance, &signed.leaf_hash()).await?
        {
            restated.waits = Some((place, approve.entry));
            break;
        }
        match appliance.put(&signed, &attachments, None).await {
            Ok(_) => restated.there += 1,
            Err(ClientError::Refused(problem)) if problem.status < 500 => {
                restated.refused = Some((place, *problem));
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(restated)
}

async fn is_there(appliance: &mut Appliance, leaf: &Hash) -> Result<bool, ClientError> {
    match appliance.entry(leaf).await {
        Ok(_) => Ok(true),
        Err(ClientError::Refused(problem)) if problem.status == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// In the order in which they were stated.
fn kept(folder: &Path, log: &Hash) -> Result<Vec<PathBuf>, IssuerError> {
    let folder = folder.join(stated_folder(log));
    let files = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(in_folder(&folder))?,
    };
    let paths = files.map(|file| file.map(|file| file.path())).collect::<Result<Vec<_>, _>>().map_err(in_folder(&folder))?;
    let mut kept: Vec<PathBuf> = paths.into_iter().filter(|path| path.to_string_lossy().ends_with(SUFFIX)).collect();
    kept.sort_unstable();
    Ok(kept)
}
