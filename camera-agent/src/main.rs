//! The camera agent's program: reads the arguments, does one thing, and ends with the exit code that machines rely on: 0 as asked, 1 what
//! the appliance says does not verify, 2 it could not be done, 64 wrong use.

use std::{io::IsTerminal as _, process::ExitCode};

use exhibit_camera_agent::{Arguments, Report};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match exhibit_program::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    // tss-esapi tells of every context that it closes; its errors come to us as values.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,tss_esapi=off"));
    let for_people = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(for_people).with_writer(std::io::stderr).init();
    let report = Report { json: arguments.json };
    match arguments.perform(report).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
