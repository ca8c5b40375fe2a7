//! The files of a statement in the spool, by their names.
//!
//! It reads none of them.

/// The files of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Entry,
    Attachments,
    Payload,
    Durable,
    Receipt,
}

impl Part {
    pub const ALL: [Self; 5] = [Self::Entry, Self::Attachments, Self::Payload, Self::Durable, Self::Receipt];

    pub fn extension(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Attachments => "attachments",
            Self::Payload => "payload",
            Self::Durable => "durable",
            Self::Receipt => "receipt",
        }
    }
}

/// Which files of a statement are there: a bit each, since a week of video has a million files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PartSet(u8);

impl PartSet {
    pub fn insert(&mut self, part: Part) {
        self.0 |= 1 << part as u8;
    }
    pub fn has(self, part: Part) -> bool {
        self.0 & (1 << part as u8) != 0
    }
}

/// The seq and the part that a file's name says.
pub(super) fn part_of_file(name: &str) -> Option<(u64, Part)> {
    let (digits, extension) = name.split_once('.')?;
    let part = Part::ALL.into_iter().find(|part| part.extension() == extension)?;
    let strict = digits.len() == SEQ_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    strict.then(|| digits.parse().ok()).flatten().map(|seq| (seq, part))
}

/// Digits of seq in a file's name: a second each for three hundred years.
const SEQ_DIGITS: usize = 10;
