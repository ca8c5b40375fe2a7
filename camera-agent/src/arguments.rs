//! The command line: what can be asked, in words that `--help` explains.
//!
//! It opens nothing.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use exhibit_pki::Identity;
use exhibit_program::{Documentation, version};

use crate::{Config, Failure, Report, Source, enrol, run};

/// Where a packaged agent keeps its state.
const STATE_FOLDER: &str = "/var/lib/exhibit-camera-agent";

/// Records a camera: seals each segment, signs it with a key in the TPM, and uploads it to the appliance.
#[derive(Debug, Parser)]
#[command(name = "exhibit-camera-agent", version = version(), propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 as asked; 1 what the appliance says does not verify; 2 it could not be done; 64 wrong use.")]
pub struct Arguments {
    /// Print events as JSON on standard output, one object a line.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the camera's key in its TPM (once) and write a certificate request for the authority.
    Enrol {
        #[command(flatten)]
        common: Common,
        /// Who this camera is to be: spiffe://<domain>/camera/<id>.
        #[arg(long, value_parser = Identity::parse)]
        identity: Identity,
        /// Where the request goes; camera.csr in the state folder if not said.
        #[arg(long)]
        csr: Option<PathBuf>,
    },
    /// Install what the authority gave back, after checking that it fits the key, the pin and each other.
    Install {
        #[command(flatten)]
        common: Common,
        /// The camera's certificate (PEM).
        #[arg(long)]
        certificate: PathBuf,
        /// The issuing authorities, the certificate's own issuer first, without the root (PEM).
        #[arg(long)]
        chain: PathBuf,
        /// The log and the custodians that the camera is to trust (written by `exhibit pin`).
        #[arg(long)]
        pin: PathBuf,
    },
    /// Record until the source ends, or until SIGTERM or SIGINT.
    Run {
        #[command(flatten)]
        common: Common,
        /// Where pictures come from: rtsp://host/path (H.264), file:/path/to/clip, test: or test:<frames>. An address with a password
        /// belongs into agent.toml instead.
        #[arg(long)]
        source: Option<Source>,
        /// The appliance's intake, host:port.
        #[arg(long)]
        appliance: Option<String>,
        /// Play a file or the test picture as fast as this machine can, not as fast as it was filmed.
        #[arg(long)]
        no_live_speed: bool,
    },
    #[command(flatten)]
    Documentation(Documentation),
}

#[derive(Args, Debug)]
struct Common {
    /// The state folder: certificate, pin, spool. One agent at a time.
    #[arg(long, default_value = STATE_FOLDER)]
    state: PathBuf,
    /// The configuration; agent.toml in the state folder if not said.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How to reach the TPM, such as device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321.
    #[arg(long)]
    tcti: Option<String>,
    /// The persistent handle of the key in the TPM, such as 0x81010102.
    #[arg(long, value_parser = handle)]
    key_handle: Option<u32>,
}

impl Common {
    /// The configuration with what the flags override.
    fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::load(self.config.as_deref(), &self.state)?;
        config.tcti = self.tcti.clone().unwrap_or(config.tcti);
        config.key_handle = self.key_handle.unwrap_or(config.key_handle);
        Ok(config)
    }
}

impl Arguments {
    /// Does what is asked.
    pub async fn perform(self, report: Report) -> Result<(), Failure> {
        match self.command {
            Command::Enrol { common, identity, csr } => {
                let path = enrol::request(&common.config()?, &common.state, &identity, csr.as_deref())?;
                let text = format!("the key is in the TPM; have the authority certify {}", path.display());
                report.done(&serde_json::json!({"event": "requested", "csr": path, "identity": identity.to_string()}), &text);
                Ok(())
            }
            Command::Install { common, certificate, chain, pin } => {
                let enrolment = enrol::install(&common.config()?, &common.state, &certificate, &chain, &pin)?;
                let (camera, until) = (enrolment.camera.to_string(), enrolment.identity.certificate.not_after().to_string());
                let text = format!("{camera} is enrolled in {}; its certificate is valid until {until}", common.state.display());
                let custodians = enrolment.pin.custodians.len();
                report.done(&serde_json::json!({"event": "enrolled", "camera": camera, "until": until, "custodians": custodians}), &text);
                Ok(())
            }
            Command::Documentation(documentation) => documentation.print(Self::command()).map_err(|source| Failure::File {
                action: "print to",
                path: "standard output".into(),
                source,
            }),
            Command::Run { common, source, appliance, no_live_speed } => {
                let mut config = common.config()?;
                config.source = source.or(config.source);
                config.appliance = appliance.or(config.appliance);
                config.live_speed &= !no_live_speed;
                run::run(&config, Path::new(&common.state), report).await
            }
        }
    }
}

/// Hexadecimal after 0x, else decimal.
fn handle(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "not a handle: write it like 0x81010102".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn handles_are_read_in_both_bases() {
        assert_eq!(handle("0x81010102"), Ok(0x8101_0102));
        assert_eq!(handle("2164326658"), Ok(0x8101_0102));
        for wrong in ["81010102x", "0x", "0x181010102", "-1", ""] {
            handle(wrong).unwrap_err();
        }
    }
}
