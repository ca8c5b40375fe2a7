//! The attachment `lines` of `log/v1`: an appliance's own log lines, salted one by one, so that one can be shown without telling the others.
//!
//! It does not know what a line says, nor when a batch is made.

use exhibit_tlog::{Hash, leaf_hash, merkle::root_of};

/// A batch has at most this many lines: a quarter of an hour of a busy appliance; its proofs have at most 16 hashes.
pub const LINES_MAX: usize = 65_536;
/// A line is at most this long; a longer one is cut by whoever writes it.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// What stands before each line: without it, a line that is guessed could be looked up in the tree.
pub const LINE_SALT_BYTES: usize = 32;

/// A line with its salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Fresh.
    pub salt: [u8; LINE_SALT_BYTES],
    /// UTF-8 without line feed.
    pub text: &'a str,
}

/// Why the content of an attachment is not a batch of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogLinesError {
    /// It ends within a line.
    #[error("the log lines end too early")]
    Truncated,
    /// A line is longer than `LINE_BYTES_MAX`.
    #[error("a log line is longer than 16 KiB")]
    LineTooLong,
    /// A line is not UTF-8, or is more than one line.
    #[error("a log line is not one line of UTF-8")]
    NotALine,
    /// None, or more than `LINES_MAX`.
    #[error("there are no log lines, or more than 65,536")]
    Count,
}

impl LogLine<'_> {
    /// Its leaf hash in the tree of the batch: RFC 6962, over `salt || line`.
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&[&self.salt, self.text.as_bytes()].concat())
    }
}

/// The content of the attachment: for each line `salt[32] || be32 length || line`. (The attachment is erasable: its own salt comes before.)
pub fn encode(lines: &[LogLine<'_>]) -> Result<Vec<u8>, LogLinesError> {
    let mut content = Vec::new();
    for line in lines {
        content.extend_from_slice(&line.salt);
        content.extend_from_slice(&u32::try_from(line.text.len()).map_err(|_| LogLinesError::LineTooLong)?.to_be_bytes());
        content.extend_from_slice(line.text.as_bytes());
    }
    decode(&content)?;
    Ok(content)
}

/// Takes the content of the attachment apart.
pub fn decode(content: &[u8]) -> Result<Vec<LogLine<'_>>, LogLinesError> {
    let mut lines = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        if lines.len() == LINES_MAX {
            return Err(LogLinesError::Count);
        }
        let (salt, after) = rest.split_first_chunk().ok_or(LogLinesError::Truncated)?;
        let (length, after) = after.split_first_chunk().ok_or(LogLinesError::Truncated)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LINE_BYTES_MAX {
            return Err(LogLinesError::LineTooLong);
        }
        let (line, after) = after.split_at_checked(length).ok_or(LogLinesError::Truncated)?;
        let text = std::str::from_utf8(line).map_err(|_| LogLinesError::NotALine)?;
        if text.contains('\n') {
            return Err(LogLinesError::NotALine);
        }
        lines.push(LogLine { salt: *salt, text });
        rest = after;
    }
    if lines.is_empty() { Err(LogLinesError::Count) } else { Ok(lines) }
}

/// The root that `log/v1` states.
pub fn root(lines: &[LogLine<'_>]) -> Hash {
    root_of(&lines.iter().map(LogLine::leaf_hash).collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use exhibit_tlog::verify_inclusion;

    use super::*;

    fn line(salt: u8, text: &str) -> LogLine<'_> {
        LogLine { salt: [salt; LINE_SALT_BYTES], text }
    }

    #[test]
    fn a_batch_comes_apart_as_it_was_put_together() {
        let lines = [line(1, "started"), line(2, ""), line(3, "größer")];
        let content = encode(&lines).unwrap();
        assert_eq!(content.len(), 3 * 36 + 7 + 8);
        assert_eq!(decode(&content).unwrap(), lines);
        let leaves: Vec<Hash> = lines.iter().map(LogLine::leaf_hash).collect();
        let pair = exhibit_tlog::node_hash(&leaves[0], &leaves[1]);
        assert_eq!(root(&lines), exhibit_tlog::node_hash(&pair, &leaves[2]));
        // The second line is shown with its salt and the path, and nothing of the others.
        verify_inclusion(&leaves[1], 1, 3, &[leaves[0], leaves[2]], &root(&lines)).unwrap();
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        let good = encode(&[line(1, "started")]).unwrap();
        let with_length = |length: u32| [&[0; 32][..], &length.to_be_bytes(), &vec![b'a'; length as usize]].concat();
        let cases: Vec<(&str, Vec<u8>, LogLinesError)> = vec![
            ("empty", vec![], LogLinesError::Count),
            ("cut_in_the_salt", good[..31].to_vec(), LogLinesError::Truncated),
            ("cut_in_the_length", good[..35].to_vec(), LogLinesError::Truncated),
            ("cut_in_the_line", good[..good.len() - 1].to_vec(), LogLinesError::Truncated),
            ("a_byte_more", [good.as_slice(), &[0]].concat(), LogLinesError::Truncated),
            ("a_line_too_long", with_length(16 * 1024 + 1), LogLinesError::LineTooLong),
            ("a_line_of_4_gib", [[0; 32].as_slice(), &[0xff; 4]].concat(), LogLinesError::LineTooLong),
            ("not_utf8", [[0; 32].as_slice(), &[0, 0, 0, 1, 0xff]].concat(), LogLinesError::NotALine),
            ("two_lines_in_one", [[0; 32].as_slice(), b"\0\0\0\x03a\nb"].concat(), LogLinesError::NotALine),
            ("a_line_more_than_65536", vec![0; 36 * (LINES_MAX + 1)], LogLinesError::Count),
        ];
        for (defect, content, expected) in cases {
            assert_eq!(decode(&content), Err(expected), "{defect}");
        }
        assert!(decode(&with_length(16 * 1024)).is_ok(), "a line of 16 KiB is allowed");
        assert_eq!(decode(&vec![0; 36 * LINES_MAX]).unwrap().len(), LINES_MAX, "65,536 lines are allowed");
        assert_eq!(encode(&[line(1, "a\nb")]), Err(LogLinesError::NotALine), "nothing is written that would not be read");
    }
}
