//! How servers log: a line of text for each event on standard error, which nobody outside can break into two, or colour.
//!
//! It keeps nothing. Whoever wants what matters for security kept gives a layer of its own, which RUST_LOG does not reach.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// The target of events that tell who tried what he may not, and what was decided about whom: an operator may not silence them.
pub const SECURITY: &str = "security";

/// What is logged where nobody says otherwise.
pub const USUAL: &str = "info";

/// From now on events are logged: what RUST_LOG says, or else `usual` ([`USUAL`], say). `kept` sees all, whatever RUST_LOG says.
pub fn start(usual: &str, kept: Option<Box<dyn Layer<Registry> + Send + Sync>>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let text = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(OneLineEach).with_filter(filter);
    tracing_subscriber::registry().with(kept).with(text).init();
}

/// Whether an event matters for security: it says so, or it is a warning or an error of a program of ours.
pub fn is_of_security(event: &Metadata<'_>) -> bool {
    let is_ours = event.target().starts_with("exhibit");
    event.target() == SECURITY || (is_ours && *event.level() <= Level::WARN)
}

/// Standard error, where an event is one line.
struct OneLineEach;

impl<'a> MakeWriter<'a> for OneLineEach {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for OneLineEach {
    /// An event comes whole, with the line feed that ends it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(one_line(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// What would end the line, move the cursor, or turn the direction of the text is written as it would be in a program.
fn one_line(event: &str) -> String {
    let mut line: String = event.strip_suffix('\n').unwrap_or(event).chars().map(|letter| Shown(letter).to_string()).collect();
    line.push('\n');
    line
}

struct Shown(char);

impl std::fmt::Display for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            // Line and paragraph separators, and marks of direction, isolates included (UAX #9).
            letter @ ('\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}') => {
                write!(formatter, "{}", letter.escape_unicode())
            }
            letter if letter.is_control() => write!(formatter, "{}", letter.escape_default()),
            letter => write!(formatter, "{letter}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let cases = [
            ("refused detail=\"no\"\n", "refused detail=\"no\"\n"),
            ("refused a\nINFO forged\n", "refused a\\nINFO forged\n"),
            ("a\r\x1b[2Kb\t\0\n", "a\\r\\u{1b}[2Kb\\t\\u{0}\n"),
            ("a\u{85}\u{2028}\u{202e}b", "a\\u{85}\\u{2028}\\u{202e}b\n"),
            ("größer 摄像机\n", "größer 摄像机\n"),
        ];
        for (event, line) in cases {
            assert_eq!(one_line(event), line);
        }
    }
}
