//! Requests and responses that were changed by their structure: whatever was done, the verifier in Python finds what ours does.
//!
//! `EXHIBIT_SEED=<number>` makes other changes, `EXHIBIT_ROUNDS=<number>` more. What ever disagreed is a vector of its own elsewhere.

use exhibit_pki::ocsp::{CertificateId, OcspRequest};

use crate::chance::{Random, seed_and_rounds};
use crate::forge::*;
use crate::judged;
use crate::structure::changed;
use crate::support::*;

/// Changes of each value in a run of `make test`.
const ROUNDS: u64 = 150;
const SEED: u64 = 20_261_122;

fn changes() {
    let (seed, rounds) = seed_and_rounds(SEED, ROUNDS);
    let city = City::new();
    let ids = [7, 8].map(|serial| CertificateId::new(&city.issuing, &[serial]).unwrap());
    let request = OcspRequest::new(ids.to_vec(), Some(nonce())).unwrap().to_der();
    let good = Response::good(&city);
    let revoked = good.answer(|answer| {
        answer.status = tlv(0xa1, &[&time("20261118120000Z"), &tlv(0xa0, &[&[10, 1, 1]])]);
        answer.extensions = vec![extension(INVALIDITY, false, &time("20261101000000Z"))];
    });
    assert!(judged::read_ocsp_request(&request).is_some());
    for response in [&good, &revoked] {
        judge(&city, &response.der()).unwrap();
    }
    for round in rounds {
        let mut random = Random::of(seed, round);
        let _ = judged::read_ocsp_request(&changed(&request, &mut random));
        let response = if random.below(2) == 0 { &good } else { &revoked };
        let _ = judge(&city, &changed(&response.der(), &mut random));
        // What is signed was signed again.
        let answer = changed(&response.data(), &mut random);
        let _ = judge(&city, &response.der_over(&answer));
    }
}

#[test]
fn both_verifiers_find_the_same_in_der_that_was_changed_by_its_structure() {
    judged::assert_agrees_on(&[changes], 4 * ROUNDS as usize);
}
