//! Structured mutations by a seeded generator: what a smoke run on stable makes of the corpus.
//!
//! It knows bytes, digits and DER lengths, and no format in particular.

// Every change has one type, so that they stand in one list.
#![allow(clippy::ptr_arg)]

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next_u64() % end as u64) as usize }
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// No mutation makes an input longer than this: past it, what matters is that a limit is there, and one long input shows that.
pub const INPUT_BYTES_MAX: usize = 160 * 1024;

/// Changes `input` in one to four places; `others` of the same corpus lend parts.
pub fn mutate(input: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        let change = *random.pick(CHANGES);
        change(&mut bytes, others, random);
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

type Change = fn(&mut Vec<u8>, &[Vec<u8>], &mut Random);

const CHANGES: &[Change] =
    &[flip_bit, set_byte, set_byte, remove, repeat, insert, copy_within, cut, splice, change_number, change_length, grow];

fn flip_bit(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len());
    let bit = random.below(8);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

fn set_byte(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len());
    let value = *random.pick(TELLING_BYTES);
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}

fn remove(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let range = range(bytes.len(), 32, random);
    bytes.drain(range);
}

fn repeat(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let range = range(bytes.len(), 64, random);
    let part = bytes[range.clone()].to_vec();
    bytes.splice(range.end..range.end, part);
}

fn insert(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let part = random.pick(TELLING_STRINGS).as_bytes().to_vec();
    bytes.splice(at..at, part);
}

fn copy_within(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let range = range(bytes.len(), 64, random);
    let to = random.below(bytes.len() - range.len() + 1);
    bytes.copy_within(range, to);
}

fn cut(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let length = random.below(bytes.len() + 1);
    bytes.truncate(length);
}

/// The head of this and the tail of another.
fn splice(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    if others.is_empty() {
        return;
    }
    let other = random.pick(others);
    let (head, tail) = (random.below(bytes.len() + 1), random.below(other.len() + 1));
    bytes.truncate(head);
    bytes.extend_from_slice(&other[tail..]);
}

/// One of the decimal numbers in a text becomes another.
fn change_number(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let starts: Vec<usize> = (0..bytes.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1))).collect();
    if starts.is_empty() {
        return;
    }
    let start = *random.pick(&starts);
    let end = (start..bytes.len()).find(|at| !is_digit(*at)).unwrap_or(bytes.len());
    let number = random.pick(TELLING_NUMBERS).as_bytes().to_vec();
    bytes.splice(start..end, number);
}

/// What may be a length in DER or in one of the binary formats becomes a little or a lot larger or smaller.
fn change_length(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    let lengths: Vec<usize> =
        (1..bytes.len()).filter(|at| matches!(bytes[*at - 1], 0x02..=0x06 | 0x0c | 0x13 | 0x30 | 0x31 | 0x80..=0xa3 | 0)).collect();
    if lengths.is_empty() {
        return;
    }
    let at = *random.pick(&lengths);
    bytes[at] = match random.below(6) {
        0 => bytes[at].wrapping_add(1),
        1 => bytes[at].wrapping_sub(1),
        2 => 0x80,
        3 => 0x84,
        4 => 0xff,
        _ => 0,
    };
}

/// A part again and again, up to the longest input: what is more than linear, or not limited, shows here.
fn grow(bytes: &mut Vec<u8>, _: &[Vec<u8>], random: &mut Random) {
    // Rarely, since it is dear.
    if random.below(16) != 0 {
        return;
    }
    let range = range(bytes.len(), 256, random);
    if range.is_empty() {
        return;
    }
    let times = (INPUT_BYTES_MAX.saturating_sub(bytes.len())) / range.len();
    let part = bytes[range.clone()].repeat(times);
    bytes.splice(range.end..range.end, part);
}

/// A part of `0..length` of at most `longest`.
fn range(length: usize, longest: usize, random: &mut Random) -> std::ops::Range<usize> {
    let start = random.below(length + 1);
    let end = start + random.below((length - start).min(longest) + 1);
    start..end
}

/// Bytes that mean something to some parser: ends of ranges, tags of DER, marks of JSON and of the C2SP formats.
const TELLING_BYTES: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x17, 0x18, 0x20, 0x22, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x39,
    0x3a, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0x81, 0x82, 0xa0, 0xa1, 0xa3, 0xe2, 0xfe, 0xff,
];
/// Strings that mean something to some parser.
const TELLING_STRINGS: &[&str] = &[
    "\n",
    "\n\n",
    " ",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    ",",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{2014} ",
    "0",
    "-1",
    "1e3",
    "x",
    "..",
    "/",
    "//",
    "+",
    "=",
    "\r\n",
    "\t",
    ".p/",
    "x001/",
];
/// Numbers at the ends of ranges.
const TELLING_NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "255",
    "256",
    "257",
    "65535",
    "65536",
    "1048575",
    "1048576",
    "4294967295",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "00",
    "01",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_inputs_again_and_they_differ() {
        let corpus = vec![b"{\"seq\":7}".to_vec(), vec![0x30, 0x03, 0x02, 0x01, 0x05]];
        let inputs = |seed| {
            let mut random = Random::new(seed);
            (0..200).map(|_| mutate(&corpus[0], &corpus, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let distinct: std::collections::BTreeSet<_> = inputs(1).into_iter().collect();
        assert!(distinct.len() > 150, "the mutations do little: {} of 200 differ", distinct.len());
    }

    #[test]
    fn no_input_is_too_short_or_grows_without_end() {
        let mut random = Random::new(3);
        for start in [vec![], vec![0], vec![7; INPUT_BYTES_MAX]] {
            for _ in 0..2000 {
                assert!(mutate(&start, std::slice::from_ref(&start), &mut random).len() <= INPUT_BYTES_MAX);
            }
        }
    }
}
