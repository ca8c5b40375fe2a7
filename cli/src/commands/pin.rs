//! `exhibit pin`: what a camera pins at enrolment. From then on nobody but these custodians can change who opens its evidence.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use exhibit_evidence::Pin;
use exhibit_pki::{KeyPurpose, Role};
use exhibit_program::EXIT_OK;

use crate::failure::Failure;
use crate::screen::{print_json, say};
use crate::session::{check_threshold, read_anchor, read_certificate};

/// What can be asked.
#[derive(Args)]
pub struct Command {
    /// The log's anchor file.
    #[arg(long, env = "EXHIBIT_ANCHOR")]
    anchor: PathBuf,
    /// A custodian's signing certificate (PEM); several times for several.
    #[arg(long, required = true)]
    custodian: Vec<PathBuf>,
    /// How many of them must sign the recipients.
    #[arg(long, default_value_t = 1)]
    threshold: u64,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
}

/// Runs it.
pub fn run(command: &Command, json: bool) -> Result<u8, Failure> {
    let mut custodians = Vec::new();
    for path in &command.custodian {
        let certificate = read_certificate(path)?;
        if certificate.purpose() != KeyPurpose::Signing || !certificate.has_role(Role::Custodian) {
            return Err(Failure::content(path, "this is not a custodian's signing certificate"));
        }
        custodians.push(certificate);
    }
    check_threshold(command.threshold, &custodians)?;
    let anchor = read_anchor(&command.anchor)?;
    // A camera would follow none of their sets: no path leads from another domain to the roots.
    for (path, custodian) in command.custodian.iter().zip(&custodians) {
        let (theirs, domain) = (custodian.trust_domain(), anchor.roots[0].trust_domain());
        if theirs != domain {
            return Err(Failure::content(path, format!("this is a custodian of {theirs}, and the log is of {domain}")));
        }
    }
    let pin = Pin { anchor, custodians, threshold: command.threshold };
    fs::write(&command.out, pin.to_json()).map_err(Failure::file("write", &command.out))?;
    if json {
        print_json(serde_json::json!({ "pin": command.out, "custodians": pin.custodians.len(), "threshold": pin.threshold }));
    } else {
        say(format!("Wrote {}: {} custodians, {} of whom must sign.", command.out.display(), pin.custodians.len(), pin.threshold));
    }
    Ok(EXIT_OK)
}
