//! Moments in UTC with milliseconds, as statements write them (RFC 3339, exactly `2026-11-20T12:00:02.000Z`).
//!
//! It knows no clock: whoever has one makes a `Timestamp` of it.

use std::time::Duration;

use der::DateTime;

/// A moment: milliseconds since 1970-01-01T00:00:00Z, between the years 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// Why a text is not a moment in the one form that statements use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-11-20T12:00:02.000Z")]
pub struct TimestampError;

impl Timestamp {
    /// The last moment that can be written: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The moment `unix_ms` milliseconds after the epoch; `None` beyond the year 9999.
    pub fn from_unix_ms(unix_ms: u64) -> Option<Self> {
        (unix_ms <= Self::MAX.0).then_some(Self(unix_ms))
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
        let bytes: &[u8; FORM.len()] = text.as_bytes().try_into().map_err(|_| TimestampError)?;
        let fits = bytes.iter().zip(FORM).all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form });
        if !fits {
            return Err(TimestampError);
        }
        let number = |first: usize, digits: usize| {
            bytes[first..first + digits].iter().fold(0_u16, |value, digit| value * 10 + u16::from(digit - b'0'))
        };
        let two = |first: usize| u8::try_from(number(first, 2)).expect("two digits are below 100");
        let seconds =
            DateTime::new(number(0, 4), two(5), two(8), two(11), two(14), two(17)).map_err(|_| TimestampError)?.unix_duration().as_secs();
        Ok(Self(seconds * 1000 + u64::from(number(20, 3))))
    }

    /// This moment plus `ms` milliseconds; `None` beyond the year 9999.
    pub fn checked_add_ms(self, ms: u64) -> Option<Self> {
        self.0.checked_add(ms).and_then(Self::from_unix_ms)
    }

    /// `20261120T115958Z`: how generations of streams are named.
    pub fn compact(self) -> String {
        let date = self.date_time();
        format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", date.year(), date.month(), date.day(), date.hour(), date.minutes(), date.seconds())
    }

    /// The calendar date and time of day, without the milliseconds.
    pub(crate) fn date_time(self) -> DateTime {
        DateTime::from_unix_duration(Duration::from_secs(self.unix_s())).expect("a Timestamp is never beyond the year 9999")
    }

    /// The moment that a certificate writes.
    pub(crate) fn from_date_time(date_time: DateTime) -> Self {
        Self(date_time.unix_duration().as_secs() * 1000)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let date = self.date_time();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            date.month(),
            date.day(),
            date.hour(),
            date.minutes(),
            date.seconds(),
            self.0 % 1000
        )
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        Self::parse(text)
    }
}

/// Where the text form has digits (0), and what else it has where.
const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_and_read() {
        for (unix_ms, text, compact) in [
            (0, "1970-01-01T00:00:00.000Z", "19700101T000000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z", "20000229T000000Z"),
            (1_795_175_998_999, "2026-11-20T11:59:58.999Z", "20261120T115958Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z", "21000301T000000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z", "99991231T235959Z"),
        ] {
            let moment = Timestamp::from_unix_ms(unix_ms).unwrap();
            assert_eq!(moment.to_string(), text);
            assert_eq!(moment.compact(), compact);
            assert_eq!(Timestamp::parse(text), Ok(moment), "{text} was read as another moment");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2026-11-20T12:00:02Z",
            "2026-11-20T12:00:02.00Z",
            "2026-11-20T12:00:02.0000Z",
            "2026-11-20T12:00:02.000+00:00",
            "2026-11-20T12:00:02.000z",
            "2026-11-20t12:00:02.000Z",
            "2026-11-20 12:00:02.000Z",
            "2026-11-20T12:00:02,000Z",
            "2026-11-20T12:00:60.000Z",
            "2026-11-20T24:00:00.000Z",
            "2026-02-29T12:00:02.000Z",
            "2100-02-29T12:00:02.000Z",
            "2026-04-31T12:00:02.000Z",
            "2026-00-01T12:00:02.000Z",
            "2026-13-01T12:00:02.000Z",
            "1969-12-31T23:59:59.999Z",
            "+026-11-20T12:00:02.000Z",
            "2026-11-2\u{0661}12:00:02.000Z",
            " 2026-11-20T12:00:02.000Z",
            "2026-11-20T12:00:02.000Z\n",
        ] {
            assert_eq!(Timestamp::parse(text), Err(TimestampError), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_beyond_the_year_9999() {
        assert_eq!(Timestamp::from_unix_ms(Timestamp::MAX.unix_ms() + 1), None);
        assert_eq!(Timestamp::MAX.checked_add_ms(1), None);
        assert_eq!(Timestamp::MAX.checked_add_ms(u64::MAX), None);
        assert_eq!(Timestamp::from_unix_ms(1).and_then(|moment| moment.checked_add_ms(1)), Timestamp::from_unix_ms(2));
    }
}
