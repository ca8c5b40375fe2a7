//! Ranges of statements, asked often: a statement names up to 256, and a manifest a hundred thousand segments.

use std::collections::HashMap;

use crate::body::SeqRange;

/// Which seqs of which streams some ranges hold.
pub(super) struct Ranges<'a> {
    /// By stream: first and last, rising by first, with the largest last so far.
    by_stream: HashMap<&'a str, Vec<(u64, u64)>>,
}

impl<'a> Ranges<'a> {
    pub fn new(ranges: impl IntoIterator<Item = &'a SeqRange>) -> Self {
        let mut by_stream: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
        for range in ranges {
            by_stream.entry(range.stream.as_str()).or_default().push((range.first, range.last));
        }
        for ranges in by_stream.values_mut() {
            ranges.sort_unstable();
            let mut last_max = 0;
            for (_, last) in ranges.iter_mut() {
                last_max = last_max.max(*last);
                *last = last_max;
            }
        }
        Self { by_stream }
    }

    /// Whether one of them holds the statement.
    pub fn hold(&self, stream: &str, seq: u64) -> bool {
        let Some(ranges) = self.by_stream.get(stream) else { return false };
        let after = ranges.partition_point(|(first, _)| *first <= seq);
        after > 0 && ranges[after - 1].1 >= seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StreamName;

    #[test]
    fn a_range_holds_its_ends_and_no_more() {
        let stream = |name: &str| StreamName::parse(name).expect("a name");
        let range = |name: &str, first, last| SeqRange { stream: stream(name), first, last };
        let (one, other) = ("camera/1/main/1", "camera/2/main/1");
        let ranges = [range(one, 10, 12), range(one, 2, 30), range(one, 40, 40), range(other, 1, 1)];
        let ranges = Ranges::new(&ranges);
        for (name, seq, held) in [(one, 1, false), (one, 2, true), (one, 13, true), (one, 30, true), (one, 31, false), (one, 40, true)] {
            assert_eq!(ranges.hold(name, seq), held, "{name} {seq}");
        }
        assert!(ranges.hold(other, 1) && !ranges.hold(other, 2) && !ranges.hold("camera/3/main/1", 1));
    }
}
