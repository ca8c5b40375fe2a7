//! The query of a request's target, read strictly: unknown members, and members that are there twice, are refused.
//!
//! It does not know what is asked for.

use exhibit_pki::{Fingerprint, Timestamp};
use exhibit_tlog::Hash;

use super::{RouteError, decimal, malformed};
use crate::body::CUSTODIANS_MAX;

/// The members of a query that have not been asked for.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, RouteError> {
        let mut members: Vec<(String, String)> = Vec::new();
        for member in text.split('&').filter(|member| !member.is_empty()) {
            let (name, value) = member.split_once('=').ok_or_else(|| malformed("a member of the query has no value"))?;
            let value = decode_percent(value).ok_or_else(|| malformed("a value in the query is not percent-encoded UTF-8"))?;
            if members.iter().any(|(known, _)| known == name) {
                return Err(malformed("a member of the query is there twice"));
            }
            members.push((name.to_owned(), value));
        }
        Ok(Self(members))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let position = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(position).1)
    }

    pub(super) fn required(&mut self, name: &str) -> Result<String, RouteError> {
        self.take(name).ok_or_else(|| malformed(&format!("the query lacks {name}")))
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, RouteError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        decimal(&text).map(Some).ok_or_else(|| malformed(&format!("{name} is not a number")))
    }

    /// A hash that may be there.
    pub(super) fn hash(&mut self, name: &str, what: &str) -> Result<Option<Hash>, RouteError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        Hash::from_hex(&text).map(Some).ok_or_else(|| malformed(&format!("{name} is not {what}")))
    }

    /// A time that must be there.
    pub(super) fn time(&mut self, name: &str) -> Result<Timestamp, RouteError> {
        Timestamp::parse(&self.required(name)?).map_err(|error| malformed(&format!("{name} is {error}")))
    }

    /// Fingerprints of custodians, as many as a set can name.
    pub(super) fn by(&mut self) -> Result<Vec<Fingerprint>, RouteError> {
        let Some(list) = self.take("by") else { return Ok(Vec::new()) };
        let fingerprints: Option<Vec<Fingerprint>> = list.split(',').map(|text| Some(Hash::from_hex(text)?.0)).collect();
        let fingerprints = fingerprints.ok_or_else(|| malformed("by is not a list of fingerprints"))?;
        if fingerprints.len() > CUSTODIANS_MAX {
            return Err(malformed("by names more than a set of recipients can"));
        }
        Ok(fingerprints)
    }

    pub(super) fn finish(self) -> Result<(), RouteError> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed("the query has a member that is not known here")) }
    }
}

fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok()?;
            bytes.extend_from_slice(&byte);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}
