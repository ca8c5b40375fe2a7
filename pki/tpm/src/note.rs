//! `exhibit-tpm-note`: signs a log's notes with a key in a TPM, for a program that links no TPM stack.
//!
//! It does not know what it signs: a SHA-256 comes in, r and s go out. Whoever asks verifies them (docs/formats/log.md).

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use exhibit_program::{Documentation, EXIT_CANNOT, version};
use exhibit_tpm::{NoteKey, Tpm};

/// Signs a log's notes with a P-384 key that can not leave the TPM. `exhibit-appliance` calls it for a line on checkpoints.
///
/// Exit codes: 0 as asked, 2 it could not be done, 64 wrong use.
#[derive(Parser)]
#[command(name = "exhibit-tpm-note", version = version(), verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the key's point (SEC 1, uncompressed) in hexadecimal, and make the key if there is none.
    Key {
        #[command(flatten)]
        place: Place,
    },
    /// Sign the SHA-256 of a note's text: print r and s, 48 bytes each, in hexadecimal.
    Sign {
        #[command(flatten)]
        place: Place,
        /// The SHA-256, in hexadecimal.
        digest: String,
    },
    #[command(flatten)]
    Documentation(Documentation),
}

#[derive(clap::Args)]
struct Place {
    /// How the TPM is reached: device:/dev/tpmrm0, say.
    #[arg(long)]
    tcti: String,
    /// The key's persistent handle, such as 0x81010e00.
    #[arg(long, value_parser = handle)]
    handle: u32,
}

impl Place {
    fn key(&self) -> Result<NoteKey, exhibit_tpm::TpmError> {
        Tpm::connect(&self.tcti)?.note_key(self.handle)
    }
}

fn main() -> ExitCode {
    let arguments = match exhibit_program::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exhibit-tpm-note: {error}");
            ExitCode::from(EXIT_CANNOT)
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Key { place } => println!("{}", hex::encode(place.key()?.public_key().as_bytes())),
        Command::Sign { place, digest } => {
            let digest = hex::decode(digest)?.try_into().map_err(|_| "a SHA-256 has 64 hexadecimal digits")?;
            println!("{}", hex::encode(place.key()?.sign(&digest)?));
        }
        Command::Documentation(documentation) => documentation.print(Arguments::command())?,
    }
    Ok(())
}

fn handle(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").ok_or("it begins with 0x")?;
    u32::from_str_radix(digits, 16).map_err(|error| error.to_string())
}
