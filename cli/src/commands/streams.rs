//! `exhibit streams`: which chains the appliance has.

use clap::Args;
use exhibit_evidence::exchange;
use exhibit_program::EXIT_OK;

use crate::arguments::Connection;
use crate::failure::Failure;
use crate::session::Session;
use crate::tell::tell;

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
        tell(&(serde_json::to_string(&records).expect("records are plain data") + "\n"))?;
        return Ok(EXIT_OK);
    }
    let mut text = format!("{:<44} {:>8}  {:<24}  {:<24}\n", "STREAM", "ENTRIES", "FIRST", "LAST");
    text.extend(
        records.streams.iter().map(|record| {
            format!("{:<44} {:>8}  {:<24}  {:<24}\n", record.stream, record.next_seq, record.first_issued, record.last_issued)
        }),
    );
    tell(&text)?;
    Ok(EXIT_OK)
}
