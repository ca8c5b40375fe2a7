//! The structures of RFC 3161 and the moments in them, as DER. It does not know what they are worth.

use const_oid::ObjectIdentifier;
use der::{
    Any, Sequence, Tag, Tagged,
    asn1::{BitString, OctetString, Uint},
};
use x509_cert::{ext::Extension, spki::AlgorithmIdentifierOwned};

use super::Precise;
use crate::Timestamp;

/// `MessageImprint` (section 2.4.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct MessageImprint {
    pub hash_algorithm: AlgorithmIdentifierOwned,
    pub hashed_message: OctetString,
}

/// `TimeStampReq` (section 2.4.1).
#[derive(Sequence)]
pub(super) struct TimeStampReq {
    pub version: u8,
    pub message_imprint: MessageImprint,
    pub req_policy: Option<ObjectIdentifier>,
    pub nonce: Option<Uint>,
    #[asn1(default = "no")]
    pub cert_req: bool,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub extensions: Option<Vec<Extension>>,
}

/// `TimeStampResp` (section 2.4.2).
#[derive(Sequence)]
pub(super) struct TimeStampResp {
    pub status: PkiStatusInfo,
    pub time_stamp_token: Option<Any>,
}

/// `PKIStatusInfo` (section 2.4.2).
#[derive(Sequence)]
pub(super) struct PkiStatusInfo {
    pub status: u8,
    pub status_string: Option<Vec<String>>,
    pub fail_info: Option<BitString>,
}

/// `TSTInfo` (section 2.4.2).
#[derive(Sequence)]
pub(super) struct TstInfo {
    pub version: u8,
    pub policy: ObjectIdentifier,
    pub message_imprint: MessageImprint,
    pub serial_number: Uint,
    /// A GeneralizedTime that may have a fraction of a second, which `der` does not read.
    pub gen_time: Any,
    pub accuracy: Option<Accuracy>,
    #[asn1(default = "no")]
    pub ordering: bool,
    pub nonce: Option<Uint>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    /// A GeneralName.
    pub tsa: Option<Any>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub extensions: Option<Vec<Extension>>,
}

/// `Accuracy` (section 2.4.2).
#[derive(Clone, Copy, Sequence)]
pub(super) struct Accuracy {
    pub seconds: Option<u32>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub micros: Option<u16>,
}

impl Accuracy {
    /// In microseconds; `None` if a part is not between 1 and 999, or nothing is stated.
    pub fn micros(self) -> Option<u64> {
        let part = |part: Option<u16>| part.is_none_or(|part| (1..=999).contains(&part)).then_some(u64::from(part.unwrap_or(0)));
        let stated = self.seconds.is_some() || self.millis.is_some() || self.micros.is_some();
        let seconds = stated.then_some(u64::from(self.seconds.unwrap_or(0)))?;
        Some(seconds * 1_000_000 + part(self.millis)? * 1000 + part(self.micros)?)
    }

    pub fn from_ms(ms: u32) -> Self {
        let millis = u16::try_from(ms % 1000).expect("it is below 1000");
        Self { seconds: (ms >= 1000).then_some(ms / 1000), millis: (millis > 0).then_some(millis), micros: None }
    }
}

/// `YYYYMMDDhhmmss[.f]Z` with 1 to 6 digits f, the last of which is not 0: DER's one form of a moment, no finer than microseconds.
pub(super) fn read_gen_time(value: &Any) -> Option<Precise> {
    let text = std::str::from_utf8(value.value()).ok().filter(|_| value.tag() == Tag::GeneralizedTime)?;
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_at_checked(WHOLE_DIGITS)?;
    let fraction = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => "",
        Some(digits) if (1..=6).contains(&digits.len()) && !digits.ends_with('0') => digits,
        _ => return None,
    };
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |first: usize, last: usize| &whole[first..last];
    let (date, time) = ((part(0, 4), part(4, 6), part(6, 8)), (part(8, 10), part(10, 12), part(12, 14)));
    let form = format!("{}-{}-{}T{}:{}:{}.000Z", date.0, date.1, date.2, time.0, time.1, time.2);
    let seconds = Timestamp::parse(&form).ok()?.unix_s();
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    Some(Precise(seconds * 1_000_000 + micros))
}

pub(super) fn write_gen_time(at: Timestamp) -> der::Result<Any> {
    let mut text = at.compact().replace(['T', 'Z'], "");
    let ms = at.unix_ms() % 1000;
    if ms > 0 {
        text.push('.');
        text.push_str(format!("{ms:03}").trim_end_matches('0'));
    }
    text.push('Z');
    Any::new(Tag::GeneralizedTime, text.as_bytes())
}

fn no() -> bool {
    false
}

/// `YYYYMMDDhhmmss`.
const WHOLE_DIGITS: usize = 14;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u64> {
        read_gen_time(&Any::new(Tag::GeneralizedTime, text.as_bytes()).unwrap()).map(|moment| moment.0)
    }

    #[test]
    fn moments_are_read_to_the_microsecond() {
        let noon = 1_795_176_000_000_000;
        for (text, micros) in [
            ("20261120120000Z", noon),
            ("20261120120000.5Z", noon + 500_000),
            ("20261120120000.000001Z", noon + 1),
            ("20261120120000.345Z", noon + 345_000),
        ] {
            assert_eq!(read(text), Some(micros), "{text}");
        }
        for (unix_ms, text) in [(1_795_176_000_000, "20261120120000Z"), (1_795_176_000_340, "20261120120000.34Z")] {
            let written = write_gen_time(Timestamp::from_unix_ms(unix_ms).unwrap()).unwrap();
            assert_eq!((written.tag(), written.value()), (Tag::GeneralizedTime, text.as_bytes()));
        }
    }

    #[test]
    fn a_moment_has_one_form() {
        for text in [
            "",
            "Z",
            "20261120120000",
            "202611201200Z",
            "20261120120000.Z",
            "20261120120000.50Z",
            "20261120120000.0Z",
            "20261120120000.1234567Z",
            "20261120120000,5Z",
            "20261120120000+0100",
            "20261120120060Z",
            "20261320120000Z",
            "20260229120000Z",
            "2026112012000aZ",
            "20261120120000.-1Z",
            "20261120120000.5aZ",
            "20261120120000.+5Z",
            "2026112012000\u{e9}Z",
            "20261120120000.\u{e9}Z",
            "+0261120120000Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read_gen_time(&Any::new(Tag::UtcTime, &b"20261120120000Z"[..]).unwrap()), None, "a UTCTime was taken");
    }

    #[test]
    fn accuracies_add_up() {
        let accuracy = |seconds, millis, micros| Accuracy { seconds, millis, micros }.micros();
        assert_eq!(accuracy(Some(1), Some(2), Some(3)), Some(1_002_003));
        assert_eq!(accuracy(Some(0), None, None), Some(0));
        assert_eq!(accuracy(None, Some(999), None), Some(999_000));
        assert_eq!(accuracy(None, None, Some(5)), Some(5));
        assert_eq!(accuracy(None, None, None), None);
        assert_eq!(accuracy(None, Some(0), None), None);
        assert_eq!(accuracy(None, Some(1000), None), None);
        assert_eq!(accuracy(Some(1), None, Some(1000)), None);
        let parts = |ms| (Accuracy::from_ms(ms).seconds, Accuracy::from_ms(ms).millis);
        assert_eq!((parts(999), parts(1000), parts(1001)), ((None, Some(999)), (Some(1), None), (Some(1), Some(1))));
        for ms in [1, 999, 1000, 61_001] {
            assert_eq!(Accuracy::from_ms(ms).micros(), Some(u64::from(ms) * 1000));
        }
    }
}
