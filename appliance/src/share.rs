//! Whether ciphertext may be had with a `fetch` statement: a pure decision over statements that were verified when they were admitted.
//!
//! It reads no file and no clock, and knows no keys: views and expiry are the appliance's policy, ciphertext alone opens nothing.

use exhibit_evidence::{Body, Statement, StreamName, exchange::Terms};
use exhibit_pki::{Certificate, KeyPurpose, Subject, Timestamp};

/// What a decision is made of.
pub struct Request<'a> {
    /// Who asks.
    pub caller: &'a Subject,
    /// What for.
    pub segment: &'a Statement,
    /// The `fetch` that is named.
    pub fetch: &'a Statement,
    /// What the fetch rests on.
    pub basis: Basis<'a>,
    /// The appliance's clock.
    pub now: Timestamp,
}

/// What a fetch rests on.
pub enum Basis<'a> {
    /// The grant that it names, and its terms; `None` if they were erased or lost.
    Grant {
        /// The statement.
        grant: &'a Statement,
        /// Its terms.
        terms: Option<&'a Terms>,
    },
    /// It names none: the wrapping certificates of those to whom the epoch itself was wrapped.
    Recipients(&'a [Certificate]),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Another's, or not a fetch at all. Nothing is logged then, since it would be logged against somebody else.
    #[error("the fetch is not a fetch statement of yours")]
    NotYourFetch,
    /// Not in the fetch's ranges.
    #[error("the fetch does not name this segment")]
    NotFetched,
    /// The fetch names something else than a grant.
    #[error("the fetch rests on something that is not a grant")]
    NotAGrant,
    /// The terms are gone.
    #[error("the terms of the grant are not there any more")]
    TermsGone,
    /// Granted to somebody else.
    #[error("the grant is to somebody else")]
    OtherGrantee,
    /// Past its end.
    #[error("the grant has expired: ask for another")]
    Expired,
    /// Not in the granted slots.
    #[error("the grant does not cover this segment")]
    OutsideGrant,
    /// Neither grant nor recipient.
    #[error("without a grant, only recipients of the epoch may fetch")]
    NotARecipient,
}

/// Decides.
pub fn decide(request: &Request<'_>) -> Result<(), Denial> {
    let Body::Fetch(fetch) = &request.fetch.body else { return Err(Denial::NotYourFetch) };
    if request.fetch.stream.owner() != request.caller.to_string() {
        return Err(Denial::NotYourFetch);
    }
    let place = (&request.segment.stream, request.segment.seq);
    if !fetch.ranges.iter().any(|range| range.stream == *place.0 && (range.first..=range.last).contains(&place.1)) {
        return Err(Denial::NotFetched);
    }
    match &request.basis {
        Basis::Grant { grant, terms } => decide_grant(request, grant, *terms),
        Basis::Recipients(recipients) => {
            let theirs = |certificate: &Certificate| {
                certificate.purpose() == KeyPurpose::Wrapping
                    && certificate.identity().is_some_and(|identity| identity.subject == *request.caller)
            };
            // A fetch with a grant is judged by the grant, whoever else its issuer may be.
            if fetch.grant.is_none() && recipients.iter().any(theirs) { Ok(()) } else { Err(Denial::NotARecipient) }
        }
    }
}

fn decide_grant(request: &Request<'_>, grant: &Statement, terms: Option<&Terms>) -> Result<(), Denial> {
    let Body::Grant(body) = &grant.body else { return Err(Denial::NotAGrant) };
    let terms = terms.ok_or(Denial::TermsGone)?;
    if terms.grantee_subject != request.caller.to_string() {
        return Err(Denial::OtherGrantee);
    }
    // A time that can not be read has passed.
    if !Timestamp::parse(&terms.expires).is_ok_and(|expires| request.now < expires) {
        return Err(Denial::Expired);
    }
    let Body::Segment(segment) = &request.segment.body else { return Err(Denial::OutsideGrant) };
    let covers = |stream: &StreamName| {
        terms.ranges.iter().any(|range| range.stream == stream.as_str() && (range.first..=range.last).contains(&segment.slot))
    };
    let stream = &request.segment.stream;
    if body.scope == stream.owner() && covers(stream) { Ok(()) } else { Err(Denial::OutsideGrant) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use exhibit_evidence::{
        Head,
        body::{self, AttachmentRef, SeqRange},
        exchange::{SlotRange, terms::TERMS_TYPE},
    };
    use exhibit_tlog::{EMPTY_ROOT, Hash};

    const STREAM: &str = "camera/102/main/20261120T115958Z";

    fn statement(stream: &str, body: Body) -> Statement {
        Statement {
            log: Hash([1; 32]),
            stream: StreamName::parse(stream).unwrap(),
            seq: 7,
            prev: Hash([2; 32]),
            issued: Timestamp::parse("2026-11-20T12:00:02.000Z").unwrap(),
            observed: Head { size: 0, root: EMPTY_ROOT },
            body,
        }
    }

    fn segment(slot: u32) -> Statement {
        statement(
            STREAM,
            Body::Segment(body::Segment {
                slot,
                salt: [0; 16],
                start: Timestamp::parse("2026-11-20T12:00:00.000Z").unwrap(),
                duration_ms: 2000,
                media_type: "video/mp4".to_owned(),
                random_access: true,
                fragment_lengths: vec![100],
                ciphertext_root: Hash([3; 32]),
                commitment_root: Hash([4; 32]),
                attachments: vec![],
            }),
        )
    }

    fn fetch(by: &str, grant: Option<Hash>, first: u64, last: u64) -> Statement {
        let ranges = vec![SeqRange { stream: StreamName::parse(STREAM).unwrap(), first, last }];
        statement(&format!("{by}/a"), Body::Fetch(body::Fetch { grant, ranges, attachments: vec![] }))
    }

    fn grant(scope: &str) -> Statement {
        let attachments = vec![AttachmentRef::of("terms", &[0; 40], true), AttachmentRef::of("wraps", &[0; 40], true)];
        statement("user/k/a", Body::Grant(body::Grant { scope: scope.to_owned(), attachments }))
    }

    fn terms() -> Terms {
        Terms {
            type_name: TERMS_TYPE.to_owned(),
            grantee: "00".repeat(32),
            grantee_subject: "user/i".to_owned(),
            from: "2026-11-20T12:00:00.000Z".to_owned(),
            to: "2026-11-20T13:00:00.000Z".to_owned(),
            ranges: vec![SlotRange { stream: STREAM.to_owned(), first: 10, last: 20 }],
            expires: "2026-12-20T12:00:00.000Z".to_owned(),
            purpose: String::new(),
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-21T12:00:00.000Z").unwrap()
    }

    #[test]
    fn a_grant_covers_its_grantee_its_slots_and_its_time_only() {
        let decide_with = |caller: &str, fetch: &Statement, slot: u32, grant: &Statement, terms: Option<&Terms>, now: Timestamp| {
            let basis = Basis::Grant { grant, terms };
            decide(&Request { caller: &Subject::parse(caller).unwrap(), segment: &segment(slot), fetch, basis, now })
        };
        let own = fetch("user/i", Some(Hash([9; 32])), 5, 9);
        let good = grant("camera/102");
        let terms = terms();
        for slot in [10, 15, 20] {
            assert_eq!(decide_with("user/i", &own, slot, &good, Some(&terms), now()), Ok(()));
        }
        for slot in [9, 21] {
            assert_eq!(decide_with("user/i", &own, slot, &good, Some(&terms), now()), Err(Denial::OutsideGrant), "slot {slot}");
        }
        let past = Timestamp::parse("2026-12-20T12:00:00.000Z").unwrap();
        assert_eq!(decide_with("user/i", &own, 15, &good, Some(&terms), past), Err(Denial::Expired));
        let mut odd = terms.clone();
        odd.expires = "never".to_owned();
        assert_eq!(decide_with("user/i", &own, 15, &good, Some(&odd), now()), Err(Denial::Expired), "an unreadable end never came");

        // Another investigator, with a fetch of their own that names the same grant.
        let others = fetch("user/j", Some(Hash([9; 32])), 5, 9);
        assert_eq!(decide_with("user/j", &others, 15, &good, Some(&terms), now()), Err(Denial::OtherGrantee));
        // Somebody else's fetch.
        assert_eq!(decide_with("user/j", &own, 15, &good, Some(&terms), now()), Err(Denial::NotYourFetch));
        let prefix = fetch("user/i2", Some(Hash([9; 32])), 5, 9);
        assert_eq!(decide_with("user/i", &prefix, 15, &good, Some(&terms), now()), Err(Denial::NotYourFetch));
        assert_eq!(decide_with("user/k", &good, 15, &good, Some(&terms), now()), Err(Denial::NotYourFetch), "a grant used as a fetch");

        for (first, last) in [(0, 6), (8, 9)] {
            let narrow = fetch("user/i", Some(Hash([9; 32])), first, last);
            assert_eq!(decide_with("user/i", &narrow, 15, &good, Some(&terms), now()), Err(Denial::NotFetched));
        }
        assert_eq!(decide_with("user/i", &own, 15, &grant("camera/103"), Some(&terms), now()), Err(Denial::OutsideGrant));
        assert_eq!(decide_with("user/i", &own, 15, &own, Some(&terms), now()), Err(Denial::NotAGrant));
        assert_eq!(decide_with("user/i", &own, 15, &good, None, now()), Err(Denial::TermsGone));
        let mut elsewhere = terms.clone();
        elsewhere.ranges[0].stream = "camera/102/main/20261121T115958Z".to_owned();
        assert_eq!(decide_with("user/i", &own, 15, &good, Some(&elsewhere), now()), Err(Denial::OutsideGrant), "another epoch");
    }

    #[test]
    fn without_a_grant_only_recipients_fetch() {
        let caller = Subject::parse("user/i").unwrap();
        let own = fetch("user/i", None, 5, 9);
        let segment = segment(15);
        let denied = decide(&Request { caller: &caller, segment: &segment, fetch: &own, basis: Basis::Recipients(&[]), now: now() });
        assert_eq!(denied, Err(Denial::NotARecipient));
        // The happy path needs certificates: see tests/.
    }
}
