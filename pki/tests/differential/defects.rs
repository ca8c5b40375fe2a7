//! What may be wrong with a certificate of a chain, or only looks so; and where openssl and we differ about it, with the reason.

use std::fs;

use exhibit_pki::Signer;

use crate::{
    chain::{CAMERA, Chain, KEYS, Level, identifier},
    support::*,
};
use Difference::{None as Same, WeAccept, WeRefuse};
use Level::{Authority, Leaf, Root};

/// Something wrong with a certificate of a chain, or something that only looks wrong.
pub struct Defect {
    pub name: &'static str,
    pub at: &'static [Level],
    pub apply: fn(&mut Chain, usize),
    pub difference: Difference,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    None,
    /// openssl accepts the chain. The reason why we do not.
    WeRefuse(&'static str),
    /// openssl refuses the chain. The reason why we do not.
    WeAccept(&'static str),
}

const EVERYWHERE: &[Level] = &[Leaf, Authority, Root];
const BELOW: &[Level] = &[Leaf, Authority];

const PROFILE: Difference = WeRefuse("our profiles are closed: what has another form is nobody's certificate here");
const DER: Difference = WeRefuse("the values of extensions are DER: no default is written, no zero bit ends a list of bits");
const IDENTITY: Difference = WeRefuse("identities and trust domains are ours");
const SUITE: Difference = WeRefuse("suites are closed, and cameras have keys on curves");
const CONSTRAINTS: Difference = WeRefuse("what constrains names or policies is refused, since it is not processed");
const NAMES: Difference = WeRefuse("names are compared byte for byte: an authority writes its own in one way (RFC 5280 section 4.1.2.6)");
const LENGTH: Difference = WeRefuse("an authority that certifies itself again is counted too: there are none in our hierarchy");
const TIMES: Difference = WeRefuse("a moment has one form in DER, and RFC 5280 section 4.1.2.5 says which");
const ROLES: Difference = WeRefuse("anyPolicy gives no role: an authority says which roles it may give");

pub const DEFECTS: &[Defect] = &[
    Defect { name: "expired", at: EVERYWHERE, apply: |c, l| c.levels[l].not_after = tlv(0x17, &[b"261120115959Z"]), difference: Same },
    Defect {
        name: "not yet valid",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_before = tlv(0x17, &[b"261120120001Z"]),
        difference: Same,
    },
    Defect {
        name: "first second of validity",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_before = tlv(0x17, &[b"261120120000Z"]),
        difference: Same,
    },
    Defect {
        name: "last second of validity",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x17, &[b"261120120000Z"]),
        difference: WeAccept("RFC 5280 section 4.1.2.5: the period is through notAfter, inclusive"),
    },
    Defect { name: "signed by another key", at: EVERYWHERE, apply: |c, l| c.signers[l] = 9, difference: Same },
    Defect { name: "issued by another name", at: BELOW, apply: |c, l| c.levels[l].issuer = common_name("Other"), difference: Same },
    Defect { name: "another subject", at: &[Authority, Root], apply: |c, l| c.levels[l].subject = common_name("Other"), difference: Same },
    Defect {
        name: "another authority key identifier",
        at: BELOW,
        apply: |c, l| change(c, l, |f| f.replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[b"other"])]))),
        difference: Same,
    },
    Defect { name: "no authority key identifier", at: BELOW, apply: |c, l| change(c, l, |f| f.without(AUTHORITY_KEY)), difference: Same },
    Defect {
        name: "another subject key identifier",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(SUBJECT_KEY, tlv(4, &[b"other"]))),
        difference: Same,
    },
    Defect {
        name: "no subject key identifier",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.without(SUBJECT_KEY)),
        difference: PROFILE,
    },
    Defect {
        name: "basicConstraints missing",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.without(BASIC_CONSTRAINTS)),
        difference: Same,
    },
    Defect {
        name: "basicConstraints of no authority",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[]))),
        difference: Same,
    },
    Defect {
        name: "basicConstraints of an authority",
        at: &[Leaf],
        apply: |c, l| change(c, l, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]]))),
        difference: PROFILE,
    },
    Defect {
        name: "basicConstraints not critical",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.criticality(BASIC_CONSTRAINTS, false)),
        difference: PROFILE,
    },
    Defect {
        name: "a path length of 0",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, 0]]))),
        difference: Same,
    },
    Defect {
        name: "a path length of 5",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, 5]]))),
        difference: Same,
    },
    Defect { name: "key usage missing", at: EVERYWHERE, apply: |c, l| change(c, l, |f| f.without(KEY_USAGE)), difference: PROFILE },
    Defect {
        name: "key usage without certificates",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(KEY_USAGE, vec![3, 2, 1, 0x02])),
        difference: Same,
    },
    Defect {
        name: "key usage of certificates alone",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(KEY_USAGE, vec![3, 2, 2, 0x04])),
        difference: Same,
    },
    Defect {
        name: "key usage of everything",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.replace(KEY_USAGE, vec![3, 2, 1, 0xfe])),
        difference: PROFILE,
    },
    Defect {
        name: "key usage not critical",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.criticality(KEY_USAGE, false)),
        difference: PROFILE,
    },
    Defect {
        name: "key usage twice",
        at: EVERYWHERE,
        apply: |c, l| {
            let usage = c.levels[l].extensions.iter().find(|found| found.0 == KEY_USAGE).map(|found| found.2.clone());
            change(c, l, |f| f.with(KEY_USAGE, true, usage.clone().unwrap_or_else(|| SIGNING_USAGE.to_vec())));
        },
        difference: Same,
    },
    Defect { name: "no policies", at: BELOW, apply: |c, l| change(c, l, |f| f.without(POLICIES)), difference: Same },
    Defect {
        name: "another role",
        at: BELOW,
        apply: |c, l| change(c, l, |f| f.replace(POLICIES, policies(&["2.25.1586047359.2.2"]))),
        difference: Same,
    },
    Defect {
        name: "a further policy",
        at: BELOW,
        apply: |c, l| change(c, l, |f| f.replace(POLICIES, policies(&["1.2.3.4", CAMERA]))),
        difference: Same,
    },
    Defect {
        name: "anyPolicy",
        at: BELOW,
        apply: |c, l| change(c, l, |f| f.replace(POLICIES, policies(&["2.5.29.32.0"]))),
        difference: ROLES,
    },
    Defect {
        name: "a policy twice",
        at: BELOW,
        apply: |c, l| change(c, l, |f| f.replace(POLICIES, policies(&[CAMERA, CAMERA]))),
        difference: Same,
    },
    Defect { name: "policies critical", at: BELOW, apply: |c, l| change(c, l, |f| f.criticality(POLICIES, true)), difference: PROFILE },
    Defect {
        name: "policies that must be explicit",
        at: &[Authority],
        apply: |c, l| change(c, l, |f| f.with("2.5.29.36", true, tlv(0x30, &[&[0x80, 1, 0]]))),
        difference: CONSTRAINTS,
    },
    Defect {
        name: "a policy mapped to another",
        at: &[Authority],
        apply: |c, l| change(c, l, |f| f.with("2.5.29.33", false, tlv(0x30, &[&tlv(0x30, &[&oid("1.2.3"), &oid("1.2.4")])]))),
        difference: CONSTRAINTS,
    },
    Defect {
        name: "names constrained",
        at: &[Authority],
        apply: |c, l| {
            change(c, l, |f| f.with("2.5.29.30", true, tlv(0x30, &[&tlv(0xa0, &[&tlv(0x30, &[&tlv(0x82, &[b"city.example"])])])])))
        },
        difference: CONSTRAINTS,
    },
    Defect {
        name: "an unknown critical extension",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.with("1.2.3", true, vec![5, 0])),
        difference: Same,
    },
    Defect {
        name: "an unknown extension",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.with("1.2.3", false, vec![5, 0])),
        difference: Same,
    },
    Defect {
        name: "an extended key usage",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.with(EXTENDED_USAGE, false, tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.2")]))),
        difference: PROFILE,
    },
    Defect { name: "no extended key usage", at: &[Leaf], apply: |c, l| change(c, l, |f| f.without(EXTENDED_USAGE)), difference: PROFILE },
    Defect {
        name: "another trust domain",
        at: EVERYWHERE,
        apply: |c, l| {
            let uri = if l == 0 { "spiffe://town.example/camera/102" } else { "spiffe://town.example" };
            change(c, l, |f| f.replace(ALTERNATIVE_NAME, uris(&[uri])));
        },
        difference: IDENTITY,
    },
    Defect { name: "no identity", at: EVERYWHERE, apply: |c, l| change(c, l, |f| f.without(ALTERNATIVE_NAME)), difference: IDENTITY },
    Defect {
        name: "two algorithms",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].outer_algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]),
        difference: Same,
    },
    Defect {
        name: "a key on P-256",
        at: &[Leaf],
        apply: |c, l| {
            c.levels[l].public_key = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5").unwrap();
        },
        difference: Same,
    },
    Defect {
        name: "an RSA key",
        at: &[Leaf],
        apply: |c, l| {
            let public = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/attestation/ek-rsa-public.bin")).unwrap();
            let numbers = tlv(0x30, &[&tlv(2, &[&[0], &public[58..]]), &[2, 3, 1, 0, 1]]);
            c.levels[l].public_key = tlv(0x30, &[&tlv(0x30, &[&oid("1.2.840.113549.1.1.1"), &[5, 0]]), &tlv(3, &[&[0], &numbers])]);
        },
        difference: SUITE,
    },
    Defect { name: "serial number zero", at: EVERYWHERE, apply: |c, l| c.levels[l].serial = vec![2, 1, 0], difference: PROFILE },
    Defect { name: "serial number negative", at: EVERYWHERE, apply: |c, l| c.levels[l].serial = vec![2, 1, 0x80], difference: PROFILE },
    Defect { name: "a unique identifier", at: EVERYWHERE, apply: |c, l| c.levels[l].after_key = vec![0x82, 2, 0, 1], difference: PROFILE },
    Defect { name: "an empty subject", at: EVERYWHERE, apply: |c, l| c.levels[l].subject = vec![0x30, 0], difference: Same },
    Defect {
        name: "GeneralizedTime before 2050",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x18, &[b"20360101000000Z"]),
        difference: PROFILE,
    },
    Defect {
        name: "GeneralizedTime of 2050",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x18, &[b"20500101000000Z"]),
        difference: Same,
    },
    Defect {
        name: "the last moment of all",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x18, &[b"99991231235959Z"]),
        difference: Same,
    },
    Defect {
        name: "UTCTime of 2049",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x17, &[b"491231235959Z"]),
        difference: Same,
    },
    Defect {
        name: "UTCTime of 1950",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x17, &[b"500101000000Z"]),
        difference: Same,
    },
    Defect {
        name: "from 1950 on, which is before all our moments",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_before = tlv(0x17, &[b"500101000000Z"]),
        difference: TIMES,
    },
    Defect {
        name: "a time without seconds",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x17, &[b"3601010000Z"]),
        difference: Same,
    },
    Defect {
        name: "a time of another zone",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x17, &[b"360101000000+0100"]),
        difference: Same,
    },
    Defect {
        name: "a time with a fraction",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x18, &[b"20510101000000.5Z"]),
        difference: Same,
    },
    Defect {
        name: "a time that there is not",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x17, &[b"360230000000Z"]),
        difference: Same,
    },
    Defect {
        name: "a time that is text",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].not_after = tlv(0x0c, &[b"360101000000Z"]),
        difference: Same,
    },
    Defect {
        name: "ends before it begins",
        at: EVERYWHERE,
        apply: |c, l| {
            c.levels[l].not_before = tlv(0x17, &[b"270101000000Z"]);
            c.levels[l].not_after = tlv(0x17, &[b"260101000000Z"]);
        },
        difference: Same,
    },
    Defect {
        name: "an issuer in another kind of text",
        at: BELOW,
        apply: |c, l| c.levels[l].issuer = respelled(&c.levels[l].issuer, |text| (0x13, text)),
        difference: NAMES,
    },
    Defect {
        name: "an issuer in capital letters",
        at: BELOW,
        apply: |c, l| c.levels[l].issuer = respelled(&c.levels[l].issuer, |text| (0x0c, text.to_ascii_uppercase())),
        difference: NAMES,
    },
    Defect {
        name: "an issuer with a further part",
        at: BELOW,
        apply: |c, l| {
            let organisation = tlv(0x31, &[&tlv(0x30, &[&oid("2.5.4.10"), &tlv(0x0c, &[b"City"])])]);
            c.levels[l].issuer = tlv(0x30, &[&organisation, &c.levels[l].issuer[2..]]);
        },
        difference: Same,
    },
    Defect {
        name: "an authority key identifier with the issuer's serial number",
        at: BELOW,
        apply: |c, l| identify(c, l, &[2, 1, 77][1..]),
        difference: PROFILE,
    },
    Defect {
        name: "an authority key identifier with another serial number",
        at: BELOW,
        apply: |c, l| identify(c, l, &[2, 1, 78][1..]),
        difference: Same,
    },
    Defect {
        name: "an authority key identifier without a key",
        at: BELOW,
        apply: |c, l| change(c, l, |f| f.replace(AUTHORITY_KEY, tlv(0x30, &[]))),
        difference: Same,
    },
    Defect {
        name: "an empty subject key identifier",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.replace(SUBJECT_KEY, tlv(4, &[]))),
        difference: PROFILE,
    },
    Defect {
        name: "key identifiers critical",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.criticality(SUBJECT_KEY, true)),
        difference: Same,
    },
    Defect {
        name: "basicConstraints written out as false",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0]]))),
        difference: DER,
    },
    Defect {
        name: "a path length without an authority",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[2, 1, 0]]))),
        difference: Same,
    },
    Defect {
        name: "a path length below zero",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, 0xff]]))),
        difference: Same,
    },
    Defect {
        name: "a path length of 300",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 2, 1, 0x2c]]))),
        difference: PROFILE,
    },
    Defect {
        name: "an authority certified by itself again",
        at: &[Authority],
        apply: |c, l| {
            c.levels[l].subject = c.levels[l].issuer.clone();
            c.levels[l - 1].issuer = c.levels[l].issuer.clone();
        },
        difference: Same,
    },
    Defect {
        name: "an authority certified by itself again below a path length of 0",
        at: &[Authority],
        apply: |c, l| {
            c.levels[l].subject = c.levels[l].issuer.clone();
            c.levels[l - 1].issuer = c.levels[l].issuer.clone();
            let length = u8::try_from(l - 1).unwrap();
            change(c, l + 1, |f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, length]])));
        },
        difference: LENGTH,
    },
    Defect {
        name: "a leaf that certifies itself",
        at: &[Leaf],
        apply: |c, l| {
            c.levels[l].issuer = c.levels[l].subject.clone();
            change(c, l, |f| f.replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[&identifier(l)])])));
            c.signers[l] = KEYS[l];
        },
        difference: Same,
    },
    Defect {
        name: "key usage for nothing",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.replace(KEY_USAGE, vec![3, 1, 0])),
        difference: Same,
    },
    Defect {
        name: "key usage with trailing zeros",
        at: &[Authority, Root],
        apply: |c, l| change(c, l, |f| f.replace(KEY_USAGE, vec![3, 3, 7, 0x06, 0])),
        difference: DER,
    },
    Defect {
        name: "extended key usage critical",
        at: &[Leaf],
        apply: |c, l| change(c, l, |f| f.criticality(EXTENDED_USAGE, true)),
        difference: Same,
    },
    Defect {
        name: "anyPolicy beside the role",
        at: BELOW,
        apply: |c, l| change(c, l, |f| f.replace(POLICIES, policies(&["2.5.29.32.0", CAMERA]))),
        difference: Same,
    },
    Defect {
        name: "anyPolicy inhibited",
        at: &[Authority],
        apply: |c, l| change(c, l, |f| f.with("2.5.29.54", true, vec![2, 1, 0])),
        difference: CONSTRAINTS,
    },
    Defect {
        name: "a policy with a qualifier",
        at: BELOW,
        apply: |c, l| {
            let practice = tlv(0x30, &[&oid("1.3.6.1.5.5.7.2.1"), &tlv(0x16, &[b"https://city.example/"])]);
            let policy = tlv(0x30, &[&oid(CAMERA), &tlv(0x30, &[&practice])]);
            change(c, l, |f| f.replace(POLICIES, tlv(0x30, &[&policy])));
        },
        difference: Same,
    },
    Defect {
        name: "an empty list of policies",
        at: BELOW,
        apply: |c, l| change(c, l, |f| f.replace(POLICIES, tlv(0x30, &[]))),
        difference: Same,
    },
    Defect { name: "policies of no form", at: BELOW, apply: |c, l| change(c, l, |f| f.replace(POLICIES, vec![5, 0])), difference: Same },
    Defect {
        name: "names of no form",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.replace(ALTERNATIVE_NAME, vec![5, 0])),
        difference: Same,
    },
    Defect {
        name: "an unknown extension twice",
        at: EVERYWHERE,
        apply: |c, l| change(c, l, |f| f.with("1.2.3", false, vec![5, 0]).with("1.2.3", false, vec![5, 0])),
        difference: PROFILE,
    },
    Defect { name: "version 2", at: EVERYWHERE, apply: |c, l| c.levels[l].version = tlv(0xa0, &[&[2, 1, 1]]), difference: Same },
    Defect {
        name: "a serial number of 20 bytes",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].serial = tlv(2, &[&[1; 20]]),
        difference: Same,
    },
    Defect {
        name: "a serial number of 21 bytes",
        at: EVERYWHERE,
        apply: |c, l| c.levels[l].serial = tlv(2, &[&[1; 21]]),
        difference: PROFILE,
    },
    Defect {
        name: "an algorithm of another hash, twice",
        at: EVERYWHERE,
        apply: |c, l| {
            c.levels[l].algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]);
            c.levels[l].outer_algorithm = c.levels[l].algorithm.clone();
        },
        difference: SUITE,
    },
    Defect {
        name: "an algorithm with NULL",
        at: EVERYWHERE,
        apply: |c, l| {
            c.levels[l].algorithm = tlv(0x30, &[&oid("1.2.840.10045.4.3.3"), &[5, 0]]);
            c.levels[l].outer_algorithm = c.levels[l].algorithm.clone();
        },
        difference: PROFILE,
    },
    Defect {
        name: "a compressed point",
        at: &[Leaf],
        apply: |c, l| {
            let point = key(KEYS[l]).public_key().as_bytes().to_vec();
            let compressed = [&[2 + (point[96] & 1)], &point[1..49]].concat();
            let algorithm = tlv(0x30, &[&oid("1.2.840.10045.2.1"), &oid("1.3.132.0.34")]);
            c.levels[l].public_key = tlv(0x30, &[&algorithm, &tlv(3, &[&[0], &compressed])]);
        },
        difference: SUITE,
    },
    Defect {
        name: "a point that is not on the curve",
        at: EVERYWHERE,
        apply: |c, l| *c.levels[l].public_key.last_mut().unwrap() ^= 1,
        difference: Same,
    },
    Defect {
        name: "a key of another curve's name",
        at: &[Authority, Root],
        apply: |c, l| {
            let position = c.levels[l].public_key.windows(5).position(|window| window == [0x2b, 0x81, 4, 0, 0x22]).unwrap();
            c.levels[l].public_key[position + 4] = 0x0a;
        },
        difference: Same,
    },
];

fn change(chain: &mut Chain, level: usize, change: impl Fn(Forgery) -> Forgery) {
    chain.levels[level] = change(chain.levels[level].clone());
}

/// A name of one common name, in another spelling.
fn respelled(name: &[u8], spell: fn(Vec<u8>) -> (u8, Vec<u8>)) -> Vec<u8> {
    let text = name.iter().position(|byte| *byte == 0x0c).map(|position| name[position + 2..].to_vec());
    let Some(text) = text else { return name.to_vec() };
    let (tag, text) = spell(text);
    tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&oid("2.5.4.3"), &tlv(tag, &[&text])])])])
}

/// With an authority key identifier of all three parts, the issuer's key, the name of its issuer, and a serial number.
fn identify(chain: &mut Chain, level: usize, serial: &[u8]) {
    let issuer = (level + 1).min(chain.levels.len() - 1);
    let name = tlv(0xa1, &[&tlv(0xa4, &[&chain.levels[issuer].issuer])]);
    let value = tlv(0x30, &[&tlv(0x80, &[&identifier(issuer)]), &name, &[0x82], serial]);
    change(chain, level, |forgery| forgery.replace(AUTHORITY_KEY, value.clone()));
}
