//! DER that was changed by its structure: whatever was done, the verifier in Python finds what ours does.
//!
//! `EXHIBIT_SEED=<number>` makes other changes, `EXHIBIT_ROUNDS=<number>` more. What ever disagreed is a vector of its own elsewhere.

use exhibit_pki::crl::{NewRevocationList, Revocation, RevocationReason};
use exhibit_pki::{ChainCertificate, DigestAlgorithm, make_revocation_list, timestamp_token::Imprint};

use crate::chance::{Random, seed_and_rounds};
use crate::forge::{MESSAGE, SHA_256, SIGNING_TIME, Token, attribute, authority_certificate, chain, sha256, signing_certificate, trust};
use crate::judged;
use crate::structure::changed;
use crate::support::*;

/// Changes of each value in a run of `make test`.
const ROUNDS: u64 = 150;
const SEED: u64 = 20_261_122;

/// What is changed, whole and in its parts.
struct Bases {
    city: City,
    list: Vec<u8>,
    plain: Token,
    /// With all that a token may have.
    full: Token,
    anchor: ChainCertificate,
    between: ChainCertificate,
}

impl Bases {
    fn new() -> Self {
        let city = City::new();
        let revocation = |serial, reason, invalid_since| Revocation { serial: vec![serial], revoked: at(FROM), reason, invalid_since };
        let revocations = [revocation(7, None, Some(at(FROM))), revocation(8, Some(RevocationReason::Superseded), None)];
        let list = NewRevocationList { number: 1, this_update: at(NOON), next_update: at(TO), revocations: &revocations };
        let list = make_revocation_list(&list, &city.issuing, &city.issuing_key).unwrap().der().to_vec();
        let plain = Token::good(&city);
        let full = full_token(&city, &plain);
        let (anchor, between) = (chain(city.root.der()), chain(city.issuing.der()));
        Self { list, plain, full, anchor, between, city }
    }

    /// Everything of one round, judged by ours and remembered.
    fn judge_changed(&self, random: &mut Random) {
        let city = &self.city;
        let camera = Forgery::camera(city).sign(&city.issuing_key);
        let _ = judged::read_certificate(&changed(&camera, random));
        let authority = authority_certificate(city).sign(&city.issuing_key);
        let _ = judged::read_chain_certificate(&changed(&authority, random));
        let _ = judged::read_list(&changed(&self.list, random));
        let token = if random.below(2) == 0 { &self.plain } else { &self.full };
        self.judge_token(&token.der_over(&changed(&token.info(), random)));
        self.judge_token(&changed(&token.der(), random));
        let number = random.below(token.attributes.len());
        let attribute = changed(&token.attributes[number], random);
        self.judge_token(&token.with(|token| token.attributes[number] = attribute.clone()).der());
    }

    fn judge_token(&self, der: &[u8]) {
        let Ok(token) = judged::read_token(der) else { return };
        let imprint = Imprint::of(DigestAlgorithm::Sha384, MESSAGE);
        let (anchors, between) = (std::slice::from_ref(&self.anchor), std::slice::from_ref(&self.between));
        let _ = judged::verify_token(&token, &imprint, &[], &trust(anchors, between));
    }
}

fn full_token(city: &City, plain: &Token) -> Token {
    let authority = authority_certificate(city).sign(&city.issuing_key);
    let directory_name = |name: &[u8]| tlv(0xa4, &[name]);
    let issuer_serial = tlv(0x30, &[&tlv(0x30, &[&directory_name(city.issuing.subject_der())]), &[2, 1, 77]]);
    let sha_256 = tlv(0x30, &[&oid(SHA_256), &[5, 0]]);
    plain.with(|token| {
        token.optional = [
            &tlv(0x30, &[&[2, 1, 1], &[0x80, 2, 0, 250], &[0x81, 1, 9]])[..],
            &[1, 1, 0xff, 2, 1, 99],
            &tlv(0xa0, &[&directory_name(&common_name("City time"))]),
            &tlv(0xa1, &[&tlv(0x30, &[&oid("1.2.3.4"), &tlv(4, &[&[5, 0]])])]),
        ]
        .concat();
        token.attributes[1] = signing_certificate(&[&sha_256, &tlv(4, &[&sha256(&authority)]), &issuer_serial]);
        token.attributes.push(attribute(SIGNING_TIME, &[&tlv(0x17, &[b"261120120000Z"])]));
    })
}

fn changes() {
    let (seed, rounds) = seed_and_rounds(SEED, ROUNDS);
    let bases = Bases::new();
    bases.judge_token(&bases.plain.der());
    bases.judge_token(&bases.full.der());
    rounds.for_each(|round| bases.judge_changed(&mut Random::of(seed, round)));
}

#[test]
fn both_verifiers_find_the_same_in_der_that_was_changed_by_its_structure() {
    judged::assert_agrees_on(&[changes], 6 * ROUNDS as usize);
}
