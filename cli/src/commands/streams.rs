//! `exhibit streams`: which chains the appliance has.

use clap::Args;
use exhibit_evidence::exchange;
use exhibit_program::EXIT_OK;

use crate::arguments::Connection;
use crate::failure::Failure;
use crate::screen::{print_json_result, say_result};
use crate::session::Session;

/// What can be asked.
#[derive(Args)]
pub struct Command {
    #[command(flatten)]
    connection: Connection,
    /// Only names that begin so.
    #[arg(long, default_value = "camera/")]
    prefix: String,
}

/// Runs it.
pub async fn run(command: Command, json: bool) -> Result<u8, Failure> {
    let mut session = Session::open(&command.connection)?;
    let records = exchange::StreamRecords { streams: session.streams(&command.prefix).await? };
    if json {
        print_json_result(serde_json::to_string(&records).expect("records are plain data"))?;
        return Ok(EXIT_OK);
    }
    let mut lines = vec![format!("{:<44} {:>8}  {:<24}  {:<24}", "STREAM", "ENTRIES", "FIRST", "LAST")];
    lines.extend(
        records
            .streams
            .iter()
            .map(|record| format!("{:<44} {:>8}  {:<24}  {:<24}", record.stream, record.next_seq, record.first_issued, record.last_issued)),
    );
    say_result(&lines)?;
    Ok(EXIT_OK)
}
