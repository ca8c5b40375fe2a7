//! What the program says: lines for people, and JSON for programs. It is the only place that prints.
//!
//! Names out of a bundle and answers of an appliance are strangers' text, so every line is made safe to show here, whatever it is made of.

use std::fmt::Display;
use std::io::{BufRead, IsTerminal, Read};

use exhibit_evidence::shown::{printable, printable_json};

use crate::failure::Failure;

/// A line on standard output.
pub fn say(line: impl Display) {
    told(write(&format!("{}\n", printable(&line.to_string()))));
}

/// A line on standard error, for what goes on and what went wrong.
pub fn tell(line: impl Display) {
    exhibit_program::tell(&format!("exhibit: {}\n", printable(&line.to_string())));
}

/// JSON on standard output.
pub fn print_json(value: impl Display) {
    told(write(&format!("{}\n", printable_json(&value.to_string()))));
}

/// A result in lines, whole before any of it is printed. That a reader has seen enough (`| head`) is no failure; that it can not be written is.
pub fn say_result(lines: &[String]) -> Result<(), Failure> {
    write(&lines.iter().map(|line| format!("{}\n", printable(line))).collect::<String>())
}

/// The same in JSON.
pub fn print_json_result(value: impl Display) -> Result<(), Failure> {
    write(&format!("{}\n", printable_json(&value.to_string())))
}

/// Asks before something is signed that can not be taken back, unless `yes` was said beforehand; where nobody can be asked, it has to be.
pub fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Usage("nothing was signed: nobody can be asked here. Read what is shown, and say --yes".to_owned()));
    }
    tell(format!("{question} Type yes to sign:"));
    let mut answer = String::new();
    let read = stdin.lock().take(ANSWER_BYTES_MAX).read_line(&mut answer);
    read.map_err(|error| Failure::Cannot(format!("nothing was signed: the answer can not be read: {error}")))?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::Cannot("nothing was signed".to_owned())) }
}

/// Whoever types more has answered something else.
const ANSWER_BYTES_MAX: u64 = 64;

/// What is said beside a result is done by then: that it can not be written is said, where that can.
fn told(written: Result<(), Failure>) {
    if let Err(failure) = written {
        tell(failure);
    }
}

fn write(text: &str) -> Result<(), Failure> {
    exhibit_program::print(text).map_err(|error| Failure::Cannot(format!("the result can not be written: {error}")))
}
