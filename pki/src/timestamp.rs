//! Moments in UTC with milliseconds, as statements write them (RFC 3339, exactly `2026-11-20T12:00:02.000Z`).

/// A moment: milliseconds since 1970-01-01T00:00:00Z, between the years 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// Why a text is not a moment in the one form that statements use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-11-20T12:00:02.000Z")]
pub struct TimestampError;

impl Timestamp {
    /// The moment `unix_ms` milliseconds after the epoch; `None` beyond the year 9999.
    pub fn from_unix_ms(unix_ms: u64) -> Option<Self> {
        todo!()
    }
    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.0
    }
    /// Whole seconds since the Unix epoch, rounded down.
    pub fn unix_s(self) -> u64 {
        self.0 / 1000
    }
    /// Parses exactly `YYYY-MM-DDTHH:MM:SS.mmmZ`; no other offset, no leap second, no other number of digits.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        todo!()
    }
    /// This moment plus `ms` milliseconds; `None` beyond the year 9999.
    pub fn checked_add_ms(self, ms: u64) -> Option<Self> {
        todo!()
    }
    /// `20261120T115958Z`: how generations of streams are named.
    pub fn compact(self) -> String {
        todo!()
    }
}
// impl Display (the RFC 3339 form), FromStr, serde is not used here.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
