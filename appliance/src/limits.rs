//! How long whoever connects is waited for, and how much of everything they may have.
//!
//! It measures nothing itself. What evidence may be (sizes of statements, attachments and segments) is of its formats, and not configured.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// For a TLS handshake, in seconds. It takes two round trips and 3 ms: who needs longer holds a place that another could have.
    pub handshake_s: u64,
    /// From the end of one answer to the end of the next request's head: a camera sends a segment every few seconds, and connects anew after a
    /// pause. It also bounds heads that drip in byte by byte.
    pub head_s: u64,
    /// Without a byte of a body: a mobile link pauses for seconds, not for this.
    pub body_idle_s: u64,
    /// For a whole body, whatever its length. For an answer, as long as it waits for its reader.
    pub body_s: u64,
    /// Slower than this a body may not be sent, or an answer read, in the mean, after the first `body_idle_s`.
    pub body_bytes_per_s: u64,
    /// Without a byte in either direction: a peer that is gone without saying so, or does not read what it asked for.
    pub idle_s: u64,
    /// A request line and headers: paths have at most 300 bytes, and our clients send six headers.
    pub head_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Connections in their handshake, for each listener: nobody knows yet who they are. Where there are too many the oldest makes room.
    pub handshakes: usize,
    /// The same of one network: an IPv4 address, or 64 bits of an IPv6 address. What begins with the same 48 bits has twice as many.
    pub network_handshakes: usize,
    /// Handshakes of one network that are begun in a second; it may save up a second's. Each takes 3 ms of a core. More wait for their turn.
    pub network_handshakes_per_s: u32,
    /// Connections of one network on the public listener. On the intake they are certificates' once they have shaken hands.
    pub network_connections: usize,
    /// Connections of one certificate. One more ends its oldest: a camera that lost its link does not wait for the end of what it lost.
    pub identity_connections: usize,
    /// Uploads under way of one certificate, out of `uploads_max`. An agent has one, or two after it lost a link.
    pub identity_uploads: usize,
    /// Answers under way that hold much memory or a file (ciphertext, entry bundles) of one certificate, or without one of one network.
    pub identity_downloads: usize,
    /// Requests a second of one certificate, and on the public listener of one network; it may save up a second's. More wait for their turn.
    pub requests_per_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_s: 10,
            head_s: 75,
            body_idle_s: 30,
            body_s: 600,
            body_bytes_per_s: 4096,
            idle_s: 90,
            head_bytes: 16 * 1024,
            headers: 32,
            handshakes: 512,
            network_handshakes: 128,
            network_handshakes_per_s: 50,
            network_connections: 128,
            identity_connections: 16,
            identity_uploads: 4,
            identity_downloads: 8,
            requests_per_s: 2000,
        }
    }
}

/// How long a body may take, in either direction.
#[derive(Clone, Copy, Debug)]
pub struct BodyPace {
    /// Without a byte.
    pub idle_max: Duration,
    /// All of it.
    pub time_max: Duration,
    /// At least so fast in the mean, but for `idle_max`.
    pub bytes_per_s: u64,
}

impl BodyPace {
    /// For a body of that length.
    pub fn time_for(&self, length: u64) -> Duration {
        self.time_max.min(self.idle_max + Duration::from_secs(length / self.bytes_per_s.max(1)))
    }
}

impl Limits {
    /// How long a body may take.
    pub fn body_pace(&self) -> BodyPace {
        let seconds = Duration::from_secs;
        BodyPace { idle_max: seconds(self.body_idle_s), time_max: seconds(self.body_s), bytes_per_s: self.body_bytes_per_s }
    }

    /// The first that can not be: nobody would be served, or the HTTP library would refuse it.
    pub fn wrong(&self) -> Option<(&'static str, usize)> {
        let time = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let ranges = [
            ("limits.handshake_s", time(self.handshake_s), 1, TIME_LIMIT_S),
            ("limits.head_s", time(self.head_s), 1, TIME_LIMIT_S),
            ("limits.body_idle_s", time(self.body_idle_s), 1, TIME_LIMIT_S),
            ("limits.body_s", time(self.body_s), 1, TIME_LIMIT_S),
            ("limits.body_bytes_per_s", time(self.body_bytes_per_s), 1, 1 << 30),
            ("limits.idle_s", time(self.idle_s), 1, TIME_LIMIT_S),
            ("limits.head_bytes", self.head_bytes, HEAD_BYTES_LEAST, HEAD_BYTES_LIMIT),
            ("limits.headers", self.headers, HEADERS_LEAST, HEADERS_LIMIT),
            ("limits.handshakes", self.handshakes, 1, CONNECTIONS_LIMIT),
            ("limits.network_handshakes", self.network_handshakes, 1, CONNECTIONS_LIMIT),
            ("limits.network_handshakes_per_s", self.network_handshakes_per_s as usize, 1, 1 << 30),
            ("limits.network_connections", self.network_connections, 1, CONNECTIONS_LIMIT),
            ("limits.identity_connections", self.identity_connections, 1, CONNECTIONS_LIMIT),
            ("limits.identity_uploads", self.identity_uploads, 1, CONNECTIONS_LIMIT),
            ("limits.identity_downloads", self.identity_downloads, 1, CONNECTIONS_LIMIT),
            ("limits.requests_per_s", self.requests_per_s as usize, 1, 1 << 30),
        ];
        ranges.into_iter().find(|(_, value, least, most)| value < least || value > most).map(|(name, _, _, most)| (name, most))
    }
}

/// A day: longer nobody waits on purpose.
pub const TIME_LIMIT_S: usize = 86_400;
/// Paths of ours have up to 300 bytes, and a client's headers as many.
const HEAD_BYTES_LEAST: usize = 1024;
/// The buffer of a connection.
const HEAD_BYTES_LIMIT: usize = 64 * 1024;
/// What our clients send.
const HEADERS_LEAST: usize = 8;
/// What hyper has by itself.
const HEADERS_LIMIT: usize = 100;
/// File descriptors are finite.
pub const CONNECTIONS_LIMIT: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_time_by_its_length() {
        let pace = Limits::default().body_pace();
        assert_eq!(pace.time_for(0).as_secs(), 30);
        assert_eq!(pace.time_for(40_960).as_secs(), 40);
        assert_eq!(pace.time_for(u64::MAX).as_secs(), 600, "a long body holds an upload for ever");
    }

    #[test]
    fn limits_that_serve_nobody_are_refused() {
        assert_eq!(Limits::default().wrong(), None);
        assert!(Limits { handshakes: 0, ..Limits::default() }.wrong().is_some());
        assert!(Limits { headers: 1, ..Limits::default() }.wrong().is_some());
        assert!(Limits { head_bytes: 1 << 20, ..Limits::default() }.wrong().is_some());
        assert!(Limits { body_bytes_per_s: 0, ..Limits::default() }.wrong().is_some());
    }
}
