//! `exhibit-authority`: makes a city's certificate authority, and certifies cameras, people and appliances on its ledger.
//!
//! It does not serve anything and keeps no connection: each run does one thing and ends with an exit code that machines rely on.

mod arguments;
mod ca;
mod failure;
mod files;
mod judgement;
mod publish;
mod restate;
mod revoke;
mod revoked;
mod sign;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::CommandFactory;
use exhibit_pki::Timestamp;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match exhibit_program::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let json = arguments.json;
    match run(arguments).await {
        Ok(Some(report)) => {
            let text = if json { report.json.to_string() } else { report.text };
            match exhibit_program::print(&format!("{text}\n")) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => Failure::Cannot(format!("it is done, and can not be told: {error}")).report(false),
            }
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// What was done, for people and for machines.
pub struct Report {
    text: String,
    json: serde_json::Value,
}

/// What there is to report; nothing where the program has printed what was asked for.
async fn run(arguments: Arguments) -> Result<Option<Report>, Failure> {
    let now = now()?;
    match arguments.command {
        Command::Init(init) => ca::init(&init, now).map(Some),
        Command::Sign(sign) => sign::run(&sign, now).await.map(Some),
        Command::Revoke(revoke) => revoke::run(&revoke, now).await.map(Some),
        Command::Crl(crl) => revoke::renew(&crl, now).map(Some),
        Command::Restate(restate) => restate::run(&restate).await.map(Some),
        Command::Documentation(documentation) => {
            documentation.print(Arguments::command()).map_err(|error| Failure::Cannot(format!("cannot print: {error}")))?;
            Ok(None)
        }
    }
}

fn now() -> Result<Timestamp, Failure> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|elapsed| u64::try_from(elapsed.as_millis()).ok());
    since_epoch
        .and_then(Timestamp::from_unix_ms)
        .ok_or_else(|| Failure::Cannot("this machine's clock is not between 1970 and 9999: set it".to_owned()))
}
