//! `exhibit`: what custodians, investigators and courts use. Reads the arguments, runs one command, and ends with the exit code that
//! machines rely on: 0 as asked, 1 the evidence says no, 2 it could not be judged or done, 64 wrong use.

mod arguments;
mod audit;
mod bundle_folder;
mod case_folder;
mod commands;
mod evidence_access;
mod failure;
mod log_reader;
mod screen;
mod session;

use std::process::ExitCode;

use clap::CommandFactory;
use exhibit_program::EXIT_OK;

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
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(json),
    }
}

async fn run(arguments: Arguments) -> Result<u8, Failure> {
    let json = arguments.json;
    match arguments.command {
        Command::Identity(command) => commands::identity::run(command, json),
        Command::Pin(command) => commands::pin::run(&command, json),
        Command::Recipients(command) => commands::recipients::run(command, json).await,
        Command::Approve(command) => commands::approve::run(command, json).await,
        Command::Restate(command) => commands::restate::run(command, json).await,
        Command::Share(command) => commands::share::run(command, json).await,
        Command::Streams(command) => commands::streams::run(command, json).await,
        Command::Fetch(command) => commands::fetch::run(command, json).await,
        Command::Export(command) => commands::export::run(command, json).await,
        Command::Log(command) => commands::log::run(command, json).await,
        Command::Audit(command) => commands::audit::run(command, json).await,
        Command::Verify(command) => commands::verify::run(&command, json),
        Command::Documentation(documentation) => {
            documentation.print(Arguments::command()).map_err(|error| Failure::Cannot(format!("cannot print: {error}")))?;
            Ok(EXIT_OK)
        }
    }
}
