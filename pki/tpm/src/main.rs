//! `exhibit-tpm-seal`: reads and writes a few bytes in a TPM's non-volatile storage, for a program that links no TPM stack.
//!
//! It does not know what they mean; the appliance does (docs/formats/ledger.md).

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use exhibit_program::{Documentation, EXIT_CANNOT, EXIT_NO, version};
use exhibit_tpm::Tpm;

/// Reads and writes a few bytes in a TPM's non-volatile storage. `exhibit-appliance` calls it to keep the ledger's newest head there.
///
/// Exit codes: 0 as asked, 1 nothing was ever written there, 2 it could not be done, 64 wrong use.
#[derive(Parser)]
#[command(name = "exhibit-tpm-seal", version = version(), verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print what is at the index, in hexadecimal.
    Read {
        #[command(flatten)]
        place: Place,
    },
    /// Write it in one command, and make the index if there is none.
    Write {
        #[command(flatten)]
        place: Place,
        /// The bytes, in hexadecimal.
        bytes: String,
    },
    #[command(flatten)]
    Documentation(Documentation),
}

#[derive(clap::Args)]
struct Place {
    /// How the TPM is reached: device:/dev/tpmrm0, say.
    #[arg(long)]
    tcti: String,
    /// The index, such as 0x01500e00.
    #[arg(long, value_parser = index)]
    index: u32,
}

fn main() -> ExitCode {
    let arguments = match exhibit_program::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("exhibit-tpm-seal: {error}");
            ExitCode::from(EXIT_CANNOT)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Read { place } => match Tpm::connect(&place.tcti)?.nv_read(place.index)? {
            Some(bytes) => println!("{}", hex::encode(bytes)),
            None => return Ok(ExitCode::from(EXIT_NO)),
        },
        Command::Write { place, bytes } => Tpm::connect(&place.tcti)?.nv_write(place.index, &hex::decode(bytes)?)?,
        Command::Documentation(documentation) => documentation.print(Arguments::command())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn index(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").ok_or("it begins with 0x")?;
    u32::from_str_radix(digits, 16).map_err(|error| error.to_string())
}
