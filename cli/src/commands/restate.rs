//! `exhibit restate`: what somebody stated to a log that was lost, for the one that goes on.

use std::path::PathBuf;

use clap::Args;
use exhibit_client::stated::restate;
use exhibit_program::EXIT_OK;
use exhibit_tlog::Hash;

use crate::arguments::Connection;
use crate::failure::Failure;
use crate::screen::{print_json, say};
use crate::session::{read_anchor, read_identity};

/// Puts all that this identity stated to a log that was lost on the log that goes on for it: the same statements, from what is kept in the
/// identity's folder. Where one is refused it stops and says why; the same command goes on. A log that has them is left as it is.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    connection: Connection,
    /// The anchor of the log that was lost.
    #[arg(long)]
    of_log: PathBuf,
    /// Leaf hash of an entry that you have approved, and that nobody can state again: the approval is stated all the same, and approves nothing.
    #[arg(long, value_name = "LEAF")]
    lost: Vec<String>,
}

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    let Connection { appliance, anchor, identity: folder } = &command.connection;
    let (next, ended) = (read_anchor(anchor)?, read_anchor(&command.of_log)?);
    if next.log == ended.log {
        return Err(Failure::Usage("--of-log names the log of --anchor: nothing is to be stated again".to_owned()));
    }
    let lost = command.lost.iter().map(|leaf| Hash::from_hex(leaf)).collect::<Option<Vec<_>>>();
    let lost = lost.ok_or_else(|| Failure::Usage("--lost takes a leaf hash, 64 hex digits".to_owned()))?;
    let restated = restate(folder, appliance, &read_identity(folder)?, [&ended, &next], &lost).await?;
    if let Some((place, leaf)) = restated.waits {
        return Err(Failure::Cannot(format!(
            "{} statements are there, and {place} approves {leaf}, which is not: whoever stated that restates it first. If nobody can, say so: --lost {leaf}",
            restated.there
        )));
    }
    if let Some((place, problem)) = restated.refused {
        return Err(Failure::Cannot(format!(
            "{} statements are there, and {place} is refused ({}): {}. Where it needs what others stated, have them restate theirs first",
            restated.there, problem.kind, problem.detail
        )));
    }
    if json {
        print_json(serde_json::json!({ "log": ended.log.to_string(), "restated": restated.there }));
    } else if restated.there == 0 {
        say(format!("Nothing is kept here that was stated to log {}.", ended.log));
    } else {
        say(format!("All {} statements to log {} are on the log that goes on.", restated.there, ended.log));
    }
    Ok(EXIT_OK)
}
