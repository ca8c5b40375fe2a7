//! What every program of the project has: version with commit, exit codes that machines rely on, completions, a manual page.
//!
//! It does not know what any program does. With the feature `log-resource` it has the form in which programs serve a log,
//! with `tls` what they speak, with `logging` how servers log, with `confine` what they give up before they serve, with `service-manager` what they tell who started them.

#[cfg(feature = "confine")]
pub mod confine;
#[cfg(feature = "log-resource")]
pub mod log_resource;
#[cfg(feature = "logging")]
pub mod logging;
#[cfg(feature = "service-manager")]
pub mod service_manager;
#[cfg(feature = "tls")]
pub mod tls;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Command, Parser, Subcommand};

/// As asked.
pub const EXIT_OK: u8 = 0;
/// The evidence, or the check, says no.
pub const EXIT_NO: u8 = 1;
/// It could not be judged or done.
pub const EXIT_CANNOT: u8 = 2;
/// Wrong use.
pub const EXIT_USAGE: u8 = 64;

/// Version and commit: `0.1.0 (1a2b3c4)`. The commit is what EXHIBIT_COMMIT said at build time, which the Makefile sets.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> =
        LazyLock::new(|| format!("{} ({})", env!("CARGO_PKG_VERSION"), option_env!("EXHIBIT_COMMIT").unwrap_or("commit not recorded")));
    &VERSION
}

/// The words of the call, or the exit code if they were wrong, or asked only for help or the version; which has then been printed.
pub fn arguments<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        // Where it can not be printed, the exit code still tells.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { EXIT_OK })
    })
}

/// Prints a result to standard output. Whoever reads it may have enough before its end (`| head`): what was found out holds all the same.
pub fn print(text: &str) -> io::Result<()> {
    enough(io::stdout().lock(), text)
}

/// Says something on standard error. Nothing hangs on whether it is read.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn enough(mut out: impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Subcommands that print a program's own documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Documentation {
    /// Print a completion script for a shell.
    Completions {
        /// bash, zsh, fish, …
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    Manual,
}

impl Documentation {
    /// Prints it for `program` to standard output.
    pub fn print(self, program: Command) -> io::Result<()> {
        self.write(program, &mut io::stdout().lock())
    }

    fn write(self, mut program: Command, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Completions { shell } => {
                // clap_complete writes to memory here, since it panics where a pipe is closed.
                let (name, mut script) = (program.get_name().to_owned(), Vec::new());
                clap_complete::generate(shell, &mut program, name, &mut script);
                out.write_all(&script)
            }
            Self::Manual => clap_mangen::Man::new(program).render(&mut &mut *out),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::{Arg, Command};

    use super::*;

    fn written(documentation: Documentation) -> String {
        let program = Command::new("exhibit-example").about("An example").arg(Arg::new("anchor").long("anchor").help("The anchor file"));
        let mut out = Vec::new();
        documentation.write(program, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Writes fail with this.
    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_has_enough_is_no_failure_and_a_full_disk_is_one() {
        enough(Closed(io::ErrorKind::BrokenPipe), "a verdict").unwrap();
        assert!(enough(Closed(io::ErrorKind::StorageFull), "a verdict").is_err(), "a verdict was lost in silence");
        let mut out = Vec::new();
        enough(&mut out, "a verdict").unwrap();
        assert_eq!(out, b"a verdict");
    }

    #[test]
    fn both_speak_of_the_program_and_its_options() {
        let script = written(Documentation::Completions { shell: clap_complete::Shell::Bash });
        assert!(script.contains("exhibit-example") && script.contains("--anchor"), "{script}");
        let page = written(Documentation::Manual);
        assert!(page.contains(".TH exhibit-example") && page.contains("The anchor file"), "{page}");
    }
}
