//! The camera agent's program: reads the arguments, does one thing, and ends with the exit code that machines rely on: 0 as asked, 1 what
//! the appliance says does not verify, 2 it could not be done, 64 wrong use.

use std::process::ExitCode;

use exhibit_camera_agent::{Arguments, Report};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match exhibit_program::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    // tss-esapi tells of every context that it closes; its errors come to us as values.
    exhibit_program::logging::start("info,tss_esapi=off", None);
    let report = Report { json: arguments.json };
    match arguments.perform(report).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
