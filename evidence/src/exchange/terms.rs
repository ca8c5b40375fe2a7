//! The terms of a grant (docs/formats/api.md): to whom, what, until when. They stand in the attachment `terms` and not on the ledger.
//!
//! It does not know whether the grantee has a certificate.

use exhibit_pki::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StreamName;
use crate::body::RANGES_MAX;
use crate::keytree::SLOTS;

/// The `type` of terms.
pub const TERMS_TYPE: &str = "exhibit-terms/v1";

/// The terms of a grant: the `terms` attachment, JSON, strict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// `exhibit-terms/v1`
    #[serde(rename = "type")]
    pub type_name: String,
    /// Fingerprint of the grantee's wrapping certificate, hex.
    pub grantee: String,
    /// The grantee's identity: `user/<id>`.
    pub grantee_subject: String,
    /// What was asked for, by the cameras' clocks.
    pub from: String,
    /// To.
    pub to: String,
    /// What was granted: slots per stream, inclusive.
    pub ranges: Vec<SlotRange>,
    /// Until when the appliance serves it.
    pub expires: String,
    /// Why; a case number, perhaps.
    pub purpose: String,
}

/// A run of slots of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRange {
    /// The stream.
    pub stream: String,
    /// First slot.
    pub first: u32,
    /// Last slot, inclusive.
    pub last: u32,
}

/// Why bytes are no terms of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Not the JSON of terms.
    #[error("is not the JSON of terms")]
    Json,
    /// Another `type`.
    #[error("is not of type {TERMS_TYPE}")]
    Type,
    /// A time that is not RFC 3339 with milliseconds.
    #[error("has a time that is none")]
    Time,
    /// `to` is before `from`.
    #[error("ends before it begins")]
    Order,
    /// No range, or more than a fetch may name.
    #[error("does not have 1 to {RANGES_MAX} ranges")]
    Ranges,
    /// A stream that is not of the scope.
    #[error("has a range outside its scope")]
    Scope,
    /// Slots that end before they begin, or that no epoch has.
    #[error("has a range of slots that is none")]
    Slots,
}

impl Terms {
    /// Parses strictly. `scope` is the grant's: whose streams its ranges may be of.
    pub fn parse(content: &[u8], scope: &str) -> Result<Self, TermsError> {
        let terms: Self = serde_json::from_slice(content).map_err(|_| TermsError::Json)?;
        // serde takes a list of a structure's values for the structure: other readers do not.
        let value: serde_json::Value = serde_json::from_slice(content).map_err(|_| TermsError::Json)?;
        if serde_json::to_value(&terms).map_err(|_| TermsError::Json)? != value {
            return Err(TermsError::Json);
        }
        if terms.type_name != TERMS_TYPE {
            return Err(TermsError::Type);
        }
        let [Ok(from), Ok(to), Ok(_)] = [&terms.from, &terms.to, &terms.expires].map(|time| Timestamp::parse(time)) else {
            return Err(TermsError::Time);
        };
        if to < from {
            return Err(TermsError::Order);
        }
        if terms.ranges.is_empty() || terms.ranges.len() > RANGES_MAX {
            return Err(TermsError::Ranges);
        }
        for range in &terms.ranges {
            if !StreamName::parse(&range.stream).is_ok_and(|stream| stream.owner() == scope) {
                return Err(TermsError::Scope);
            }
            if range.first > range.last || range.last >= SLOTS {
                return Err(TermsError::Slots);
            }
        }
        Ok(terms)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn good() -> Terms {
        Terms {
            type_name: TERMS_TYPE.to_owned(),
            grantee: "7".repeat(64),
            grantee_subject: "user/bb".to_owned(),
            from: "2026-11-20T12:00:00.000Z".to_owned(),
            to: "2026-11-20T12:00:00.000Z".to_owned(),
            ranges: vec![SlotRange { stream: "camera/102/main/a".to_owned(), first: SLOTS - 1, last: SLOTS - 1 }; RANGES_MAX],
            expires: "2026-12-20T12:00:00.000Z".to_owned(),
            purpose: "case 7".to_owned(),
        }
    }

    fn parse(terms: &Terms) -> Result<Terms, TermsError> {
        Terms::parse(&serde_json::to_vec(terms).unwrap(), "camera/102")
    }

    #[test]
    fn terms_at_their_limits_are_read() {
        assert_eq!(parse(&good()), Ok(good()));
    }

    #[test]
    fn hostile_terms_are_refused() {
        type Change = fn(&mut Terms);
        let cases: [(&str, Change, TermsError); 12] = [
            ("another type", |terms| terms.type_name = "exhibit-terms/v2".to_owned(), TermsError::Type),
            ("a beginning that is no time", |terms| terms.from = "noon".to_owned(), TermsError::Time),
            ("an end that is no time", |terms| terms.to = "noon".to_owned(), TermsError::Time),
            ("an expiry that is no time", |terms| terms.expires = "never".to_owned(), TermsError::Time),
            ("an end before the beginning", |terms| terms.to = "2026-11-20T11:59:59.999Z".to_owned(), TermsError::Order),
            ("no ranges", |terms| terms.ranges.clear(), TermsError::Ranges),
            ("one range more than a fetch may name", |terms| terms.ranges.push(terms.ranges[0].clone()), TermsError::Ranges),
            ("another camera's stream", |terms| terms.ranges[0].stream = "camera/103/main/a".to_owned(), TermsError::Scope),
            ("a camera whose name goes on", |terms| terms.ranges[0].stream = "camera/1023/main/a".to_owned(), TermsError::Scope),
            ("a stream that is none", |terms| terms.ranges[0].stream = "camera/102/main/A".to_owned(), TermsError::Scope),
            ("slots that end before they begin", |terms| terms.ranges[0].last = SLOTS - 2, TermsError::Slots),
            ("slots beyond the epoch", |terms| terms.ranges[0].last = SLOTS, TermsError::Slots),
        ];
        for (defect, change, error) in cases {
            let mut terms = good();
            change(&mut terms);
            assert_eq!(parse(&terms), Err(error), "{defect}");
        }
    }

    #[test]
    fn only_the_json_of_terms_is_read() {
        let json = serde_json::to_string(&good()).unwrap();
        let with = |from: &str, to: &str| json.replacen(from, to, 1);
        for (defect, text) in [
            ("nothing", String::new()),
            ("a list", format!("[{json}]")),
            ("a list of its values", {
                let good: serde_json::Value = serde_json::from_str(&json).unwrap();
                let names = ["type", "grantee", "grantee_subject", "from", "to", "ranges", "expires", "purpose"];
                serde_json::to_string(&names.map(|name| good[name].clone())).unwrap()
            }),
            (
                "a range as a list",
                with(
                    &format!("{{\"stream\":\"camera/102/main/a\",\"first\":{0},\"last\":{0}}}", SLOTS - 1),
                    &format!("[\"camera/102/main/a\",{0},{0}]", SLOTS - 1),
                ),
            ),
            ("bytes behind it", format!("{json}x")),
            ("an unknown member", with("{", "{\"view\":1,")),
            ("a member twice", with("{", "{\"purpose\":\"case 8\",")),
            ("a member is missing", with(",\"purpose\":\"case 7\"", "")),
            ("an unknown member in a range", with("{\"stream\"", "{\"view\":1,\"stream\"")),
            ("a slot below zero", with(&format!("\"first\":{}", SLOTS - 1), "\"first\":-1")),
        ] {
            assert_ne!(text, json);
            assert_eq!(Terms::parse(text.as_bytes(), "camera/102"), Err(TermsError::Json), "{defect}");
        }
    }
}
