//! The command line: what can be asked, in words that `--help` explains. It knows nothing of how it is done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use exhibit_evidence::body::REVOCATION_REASONS;
use exhibit_pki::crl::RevocationReason;
use exhibit_pki::{Identity, KeyPurpose, Role, Timestamp, TimestampError, TrustDomain};
use exhibit_program::{Documentation, version};

/// The certificate authority of an Exhibit installation.
#[derive(Parser)]
#[command(name = "exhibit-authority", version = version(), propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 as asked; 1 the request is refused; 2 it could not be done; 64 wrong use.")]
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
    /// Make a root, an issuing authority and its own signer of statements, with their keys, in a new folder.
    Init(Init),
    /// Certify the key of a request, and put the certificate on the ledger.
    Sign(Box<Sign>),
    /// Revoke a certificate: on the ledger, and on the list (CRL) that others read.
    Revoke(Revoke),
    /// Make a new list of revoked certificates, before the last one is too old to be believed.
    Crl(Crl),
    /// After a disaster, put the certificates that were on a log that was lost on the one that goes on.
    Restate(Restate),
    #[command(flatten)]
    Documentation(Documentation),
}

/// States on the ledger since when a certificate is not to be believed, with a new list of all that are revoked; the appliance serves nobody with it
/// from then on, and whoever verifies evidence judges what it signed by others' word of when. The list is written only when the receipt has been
/// verified. There is no way back: who comes back gets a new certificate. If that is cut short, the same command finishes it.
#[derive(Args)]
pub struct Revoke {
    /// The authority's folder.
    #[arg(long)]
    pub dir: PathBuf,
    /// The certificate (PEM); a copy of each is in issued/ of the authority's folder, by its fingerprint.
    #[arg(long)]
    pub certificate: PathBuf,
    /// Why: key-compromise (stolen, or may be), cessation-of-operation, superseded, affiliation-changed, privilege-withdrawn, unspecified, …
    #[arg(long, value_parser = reason)]
    pub reason: Reason,
    /// Since when its key is not to be believed, such as 2026-11-20T12:00:00Z: when it was last surely in the right hands. Without it, from now on.
    #[arg(long, value_parser = moment)]
    pub since: Option<Timestamp>,
    /// For how many days the list is believed.
    #[arg(long, default_value_t = LIST_DAYS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(LIST_DAYS_MAX)))]
    pub days: u32,
    /// Where to write the list (DER) besides issuing.crl in the authority's folder. What is there is replaced.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// The appliance that serves the log, as host:port.
    #[arg(long)]
    pub appliance: String,
    /// The log's anchor file.
    #[arg(long)]
    pub anchor: PathBuf,
}

/// Lists end, so that nobody can show an old one for ever: run this by a timer, and put the list where others fetch it.
#[derive(Args)]
pub struct Crl {
    /// The authority's folder.
    #[arg(long)]
    pub dir: PathBuf,
    /// For how many days the list is believed.
    #[arg(long, default_value_t = LIST_DAYS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(LIST_DAYS_MAX)))]
    pub days: u32,
    /// Where to write the list (DER) besides issuing.crl in the authority's folder. What is there is replaced.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// A word of RFC 5280; `None` is `unspecified`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub Option<RevocationReason>);

fn reason(word: &str) -> Result<Reason, String> {
    // What is on hold may come back, and nothing on a ledger does.
    let known = REVOCATION_REASONS.iter().filter(|(_, reason)| *reason != Some(RevocationReason::Hold)).find(|(known, _)| *known == word);
    known.map(|(_, reason)| Reason(*reason)).ok_or_else(|| {
        let words = REVOCATION_REASONS.iter().filter(|(_, reason)| *reason != Some(RevocationReason::Hold));
        let words: Vec<_> = words.map(|(word, _)| *word).collect();
        format!("it is one of {}", words.join(", "))
    })
}

/// Puts all that this authority stated to a log that was lost on the log that goes on for it: the same statements, from what is kept in its folder.
/// Where one is refused it stops and says why; the same command goes on.
#[derive(Args)]
pub struct Restate {
    /// The authority's folder.
    #[arg(long)]
    pub dir: PathBuf,
    /// The appliance that serves the log that goes on, as host:port.
    #[arg(long)]
    pub appliance: String,
    /// The anchor file of that log.
    #[arg(long)]
    pub anchor: PathBuf,
    /// The anchor file of the log that was lost.
    #[arg(long)]
    pub of_log: PathBuf,
}

/// Makes in the folder: root.pem root.key (take the key offline), issuing.pem issuing.key, authority.pem authority.key, and chain.pem, which
/// goes to everybody who gets a certificate. Keys are unencrypted PKCS#8, readable by their owner only.
#[derive(Args)]
pub struct Init {
    /// The folder to make. It must not exist, or be empty.
    #[arg(long)]
    pub dir: PathBuf,
    /// The trust domain, such as city.example: the first part of every identity.
    #[arg(long)]
    pub domain: TrustDomain,
}

/// Verifies the request, decides what to certify, and signs it with the issuing authority's key. With --appliance, the certificate is put on
/// the ledger first and written to --out only when the receipt has been verified: a certificate that is not on the ledger signs nothing that
/// counts. If that is cut short, the same command finishes it.
#[derive(Args)]
pub struct Sign {
    /// The authority's folder.
    #[arg(long)]
    pub dir: PathBuf,
    /// The certificate request (PKCS#10, PEM).
    #[arg(long)]
    pub csr: PathBuf,
    /// What the holder may do: camera for cameras; appliance for appliances; custodian, investigator, auditor or admin for users. May be
    /// given several times.
    #[arg(long = "role", required = true)]
    pub roles: Vec<Role>,
    /// Where to write the certificate. The file must not exist.
    #[arg(long)]
    pub out: PathBuf,
    /// What the key is for.
    #[arg(long, default_value = "signing")]
    pub purpose: Purpose,
    /// The identity to certify, such as spiffe://city.example/camera/102. Without it the one that the request asks for; if both are there,
    /// they must be equal.
    #[arg(long)]
    pub identity: Option<Identity>,
    /// A DNS name or IP address that TLS clients reach an appliance by. May be given several times.
    #[arg(long = "server-name")]
    pub server_names: Vec<String>,
    /// How many days the certificate is valid, from five minutes ago. The default is a year and a month for renewing it: long enough not to
    /// be a burden, short enough that a key which was lost without anybody noticing ends by itself.
    #[arg(long, default_value_t = DAYS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    pub days: u32,
    /// When validity begins instead, such as 2026-11-20T12:00:00Z.
    #[arg(long, value_parser = moment)]
    pub not_before: Option<Timestamp>,
    /// When validity ends instead.
    #[arg(long, value_parser = moment, conflicts_with = "days")]
    pub not_after: Option<Timestamp>,
    /// The appliance to put the certificate on the ledger of, as host:port. Left out only for the certificate of the first appliance itself,
    /// which the ledger's first entry carries.
    #[arg(long, requires = "anchor")]
    pub appliance: Option<String>,
    /// The certificate (PEM) in whose place this one comes, with another key, such as after a camera's board was changed. It has the same identity, and
    /// is for the same purpose. A custodian has to approve before the new key is used: the entry to approve is told. A renewal of the same key
    /// replaces nothing.
    #[arg(long, requires = "appliance")]
    pub replaces: Option<PathBuf>,
    /// The log's anchor file, as `exhibit-appliance create-log` made it.
    #[arg(long, requires = "appliance")]
    pub anchor: Option<PathBuf>,
}

/// What a key is for.
#[derive(Clone, Copy, ValueEnum)]
pub enum Purpose {
    /// Signs statements and connections.
    Signing,
    /// Receives wrapped keys; for users.
    Wrapping,
}

impl From<Purpose> for KeyPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Signing => Self::Signing,
            Purpose::Wrapping => Self::Wrapping,
        }
    }
}

/// RFC 3339 in UTC, with or without milliseconds.
fn moment(text: &str) -> Result<Timestamp, TimestampError> {
    Timestamp::parse(text).or_else(|error| match text.strip_suffix('Z') {
        Some(without) => Timestamp::parse(&format!("{without}.000Z")),
        None => Err(error),
    })
}

/// A week: a list is made anew each day, and a few failures are no emergency.
const LIST_DAYS_DEFAULT: u32 = 7;
/// Who shows an old list hides what was revoked since.
const LIST_DAYS_MAX: u32 = 90;
/// A year, and a month in which to renew.
const DAYS_DEFAULT: u32 = 397;
/// As long as the issuing authority's own.
const DAYS_MAX: u32 = 3650;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn moments_are_read_with_and_without_milliseconds() {
        assert_eq!(moment("2026-11-20T12:00:00Z").unwrap(), moment("2026-11-20T12:00:00.000Z").unwrap());
        assert!(moment("2026-11-20T12:00:00+00:00").is_err());
        assert!(moment("2026-11-20").is_err());
    }
}
