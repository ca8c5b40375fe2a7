//! Whether something is late: nothing false was said, and nothing was said for longer than it may take.
//!
//! Time is an argument.

use super::finding::{Finding, Kind};
use super::memory::{End, Memory};

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From one new entry to the next, and from one cosignature or timestamp to the next where the anchor names who gives them.
    pub late_ms: u64,
    /// From one statement of a camera's running stream to the next.
    pub silent_ms: u64,
}

/// What is known of the log's pace.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Now, by this machine's clock.
    pub now_ms: u64,
    /// When it was seen to grow last, by the same clock; at first, the newest time that an issuer claims.
    pub grown_ms: u64,
    /// The newest cosignature, where the anchor names witnesses.
    pub witnessed_ms: Option<u64>,
    /// Timestamps are expected, since the anchor names who gives them.
    pub expects_timestamps: bool,
}

/// What is late.
pub fn judge(pace: &Pace, memory: &Memory, patience: &Patience) -> Vec<Finding> {
    let mut findings = Vec::new();
    if memory.rest.ended.is_some() {
        // Its successor is what grows now.
        return findings;
    }
    let mut late = |since_ms: u64, what: &str| {
        let for_ms = pace.now_ms.saturating_sub(since_ms);
        if for_ms > patience.late_ms {
            findings.push(Finding::new(Kind::Late, format!("{what} for {}.", duration(for_ms))));
        }
    };
    late(pace.grown_ms, "The log has not grown");
    if let Some(witnessed_ms) = pace.witnessed_ms {
        late(witnessed_ms, "No witness has cosigned the log");
    }
    if pace.expects_timestamps && memory.rest.timestamp_ms > 0 {
        late(memory.rest.timestamp_ms, "No timestamp was put on the log");
    }
    findings.extend(silent(pace.now_ms, memory, patience.silent_ms));
    findings
}

/// Cameras whose newest stream of a series has not ended, and of which nothing came.
fn silent(now_ms: u64, memory: &Memory, silent_ms: u64) -> Vec<Finding> {
    let cameras = memory.streams.iter_from("camera/").take_while(|(name, _)| name.starts_with("camera/"));
    let mut newest: std::collections::BTreeMap<&str, &End> = std::collections::BTreeMap::new();
    for (name, end) in cameras {
        let series = name.rsplit_once('/').map_or(name, |(series, _)| series);
        let known = newest.entry(series).or_insert(end);
        if end.issued_ms >= known.issued_ms {
            *known = end;
        }
    }
    // Events come when something happens.
    let running = newest.into_iter().filter(|(series, end)| !end.closed && !series.ends_with("/events"));
    let silent = running.filter(|(_, end)| now_ms.saturating_sub(end.issued_ms) > silent_ms);
    silent
        .map(|(series, end)| Finding::new(Kind::Silent, format!("Nothing came of {series} for {}.", duration(now_ms - end.issued_ms))))
        .collect()
}

/// In the largest unit of which there are two at least, so that the sentence is the same from one run to the next where that is possible.
fn duration(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Rest;
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const PATIENCE: Patience = Patience { late_ms: 24 * HOUR_MS, silent_ms: HOUR_MS };

    fn memory(streams: &[(&str, u64, bool)]) -> Memory {
        let end = |issued_ms: u64, closed: bool| End { next_seq: 1, leaf: "".into(), observed: 0, age: 0, issued_ms, closed, obeyed: 0 };
        let mut memory = Memory::default();
        streams.iter().for_each(|(name, issued_ms, closed)| memory.streams.insert(name, end(*issued_ms, *closed)));
        memory
    }

    fn kinds(pace: &Pace, memory: &Memory) -> Vec<Kind> {
        judge(pace, memory, &PATIENCE).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_log_is_late_when_nothing_came_for_too_long() {
        let pace = Pace { now_ms: 100 * HOUR_MS, grown_ms: 76 * HOUR_MS, witnessed_ms: None, expects_timestamps: false };
        assert_eq!(kinds(&pace, &Memory::default()), []);
        assert_eq!(kinds(&Pace { grown_ms: pace.grown_ms - 1, ..pace }, &Memory::default()), [Kind::Late]);
        assert_eq!(kinds(&Pace { witnessed_ms: Some(75 * HOUR_MS), ..pace }, &Memory::default()), [Kind::Late], "an old cosignature");
        let stamped = Memory { rest: Rest { timestamp_ms: 75 * HOUR_MS, ..Rest::default() }, ..Memory::default() };
        assert_eq!(kinds(&pace, &stamped), [], "nobody expects timestamps");
        assert_eq!(kinds(&Pace { expects_timestamps: true, ..pace }, &stamped), [Kind::Late], "an old timestamp");
        let ended = Memory { rest: Rest { ended: Some(9), ..Rest::default() }, ..Memory::default() };
        assert_eq!(kinds(&Pace { grown_ms: 0, ..pace }, &ended), [], "a log that has ended is waited for");
        assert_eq!(kinds(&Pace { now_ms: 0, ..pace }, &Memory::default()), [], "a clock behind is not lateness");
    }

    #[test]
    fn a_camera_is_silent_unless_it_has_ended_or_goes_on_elsewhere() {
        let pace = Pace { now_ms: 10 * HOUR_MS, grown_ms: 10 * HOUR_MS, witnessed_ms: None, expects_timestamps: false };
        let (old, new) = (8 * HOUR_MS, 10 * HOUR_MS);
        assert_eq!(kinds(&pace, &memory(&[("camera/1/main/a", old, false)])), [Kind::Silent]);
        assert_eq!(kinds(&pace, &memory(&[("camera/1/main/a", old, true)])), [], "it ended");
        assert_eq!(kinds(&pace, &memory(&[("camera/1/main/a", old, false), ("camera/1/main/b", new, false)])), [], "a new epoch began");
        assert_eq!(kinds(&pace, &memory(&[("camera/1/main/a", old, false), ("camera/2/main/a", new, false)])), [Kind::Silent]);
        assert_eq!(
            kinds(&pace, &memory(&[("camera/1/events/a", old, false), ("user/1/a", old, false)])),
            [],
            "people and events come when they come"
        );
    }
}
