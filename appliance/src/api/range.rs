//! `Range` (RFC 9110 section 14.2): a single one, in bytes. What else is asked for is answered with the whole, as that section allows.
//!
//! It does not know what there is a part of.

/// What of something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From and to, both included.
    Part {
        /// From.
        first: u64,
        /// To.
        last: u64,
    },
    /// Not one that we serve: RFC 9110 section 14.2 allows to answer with the whole.
    Ignored,
    /// No byte of it is there.
    Outside,
}

/// Reads a `Range` of something that has `length` bytes.
pub fn single_range(header: &str, length: u64) -> Range {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else { return Range::Ignored };
    let number = |text: &str| -> Option<u64> { if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None } };
    match (first, last) {
        ("", suffix) => match number(suffix) {
            Some(0) => Range::Outside,
            Some(_) if length == 0 => Range::Outside,
            Some(count) => Range::Part { first: length.saturating_sub(count), last: length - 1 },
            None => Range::Ignored,
        },
        (first, last) => {
            let end = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match (number(first), end) {
                (Some(first), Some(last)) if first <= last && first < length => Range::Part { first, last: last.min(length - 1) },
                (Some(first), Some(last)) if first <= last => Range::Outside,
                _ => Range::Ignored,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_of_what_is_there() {
        let part = |first, last| Range::Part { first, last };
        let cases = [
            ("bytes=0-9", part(0, 9)),
            ("bytes=90-", part(90, 99)),
            ("bytes=90-1000", part(90, 99)),
            ("bytes=-10", part(90, 99)),
            ("bytes=-1000", part(0, 99)),
            ("bytes=100-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=9-0", Range::Ignored),
            ("bytes=0-1,5-6", Range::Ignored),
            ("bytes=+1-2", Range::Ignored),
            ("bytes=99999999999999999999-", Range::Ignored),
            ("bytes=a-b", Range::Ignored),
            ("lines=0-9", Range::Ignored),
        ];
        for (header, expected) in cases {
            assert_eq!(single_range(header, 100), expected, "{header}");
        }
        assert_eq!(single_range("bytes=-5", 0), Range::Outside);
        assert_eq!(single_range("bytes=0-", 0), Range::Outside);
    }
}
