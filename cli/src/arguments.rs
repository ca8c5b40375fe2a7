//! The command line: what can be asked, in words that `--help` explains.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use exhibit_program::{Documentation, version};

use crate::commands;

/// Shares, fetches, exports and verifies video evidence.
#[derive(Parser)]
#[command(name = "exhibit", version = version(), propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 as asked; 1 the evidence or the check says no; 2 it could not be judged or done; 64 wrong use.")]
pub struct Arguments {
    /// Print results as JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked.
#[derive(Subcommand)]
pub enum Command {
    /// Make an identity (keys and certificate requests) on this machine, or show one.
    #[command(subcommand)]
    Identity(commands::identity::Command),
    /// Write what a camera pins at enrolment: the log, its keys, and the custodians who may name recipients.
    Pin(commands::pin::Command),
    /// Say who can open a camera's evidence from now on, and who may change that.
    #[command(subcommand)]
    Recipients(commands::recipients::Command),
    /// As a custodian, stand behind what another has stated, or behind a log that goes on for one that was lost.
    #[command(subcommand)]
    Approve(commands::approve::Command),
    /// After a disaster, put what you stated to the log that was lost on the one that goes on.
    Restate(commands::restate::Command),
    /// Grant an investigator a range of time, back-dated if need be.
    Share(commands::share::Command),
    /// List the streams that the appliance has.
    Streams(commands::streams::Command),
    /// Sign a request for segments, get their ciphertext, and open it here.
    Fetch(commands::fetch::Command),
    /// Make a bundle for court out of what was fetched.
    Export(commands::export::Command),
    /// Judge a bundle, offline.
    #[command(after_long_help = commands::verify::HELP)]
    Verify(commands::verify::Command),
    /// Follow a log from its tiles alone: everything on it, and that nothing is taken back.
    Audit(commands::audit::Command),
    /// What the appliance logged about its own security, as it stands on the ledger.
    Log(commands::log::Command),
    #[command(flatten)]
    Documentation(Documentation),
}

/// Whom to speak to, and as whom.
#[derive(Args, Clone)]
pub struct Connection {
    /// The appliance, as host:port.
    #[arg(long, env = "EXHIBIT_APPLIANCE")]
    pub appliance: String,
    /// The log's anchor file: got from the operator once, over a way that can be trusted.
    #[arg(long, env = "EXHIBIT_ANCHOR")]
    pub anchor: PathBuf,
    /// The folder of the identity to act as.
    #[arg(long, env = "EXHIBIT_IDENTITY")]
    pub identity: PathBuf,
}

/// Evidence of a log that has ended.
#[derive(Args, Clone)]
pub struct Earlier {
    /// The evidence lies in a log that has ended: its anchor. The appliance of --anchor, which goes on for it, serves it.
    #[arg(long)]
    pub of_log: Option<PathBuf>,
}

/// Name and version of this program, as bundles record it.
pub fn software() -> String {
    format!("exhibit {}", version())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
