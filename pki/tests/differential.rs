//! Chains with defects, each alone and then at random together: openssl and we say the same, but for the differences that are listed here.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use exhibit_pki::{Certificate, Role, RustCrypto, Signer, validate_path};
use support::*;
use tempfile::TempDir;

/// From the leaf to the root; the last is self-signed.
#[derive(Clone)]
struct Chain {
    levels: Vec<Forgery>,
    signers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Leaf,
    Authority,
    Root,
}

use Level::{Authority, Leaf, Root};

/// Something wrong with a certificate of a chain, or something that only looks wrong.
struct Defect {
    name: &'static str,
    at: &'static [Level],
    apply: fn(&mut Chain, usize),
    difference: Difference,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Difference {
    None,
    /// openssl accepts the chain. The reason why we do not.
    WeRefuse(&'static str),
    /// openssl refuses the chain. The reason why we do not.
    WeAccept(&'static str),
}

use Difference::{None as Same, WeAccept, WeRefuse};

const CAMERA: &str = "2.25.1586047359.2.1";
const KEYS: [u8; 4] = [3, 2, 6, 5];
const ROOT_KEY: u8 = 1;

fn identifier(level: usize) -> Vec<u8> {
    format!("key of level {level}").into_bytes()
}

impl Chain {
    /// A camera below `authorities` below a root, without a flaw.
    fn good(city: &City, authorities: usize) -> Self {
        let names: Vec<Vec<u8>> = (0..=authorities + 1).map(|level| common_name(&format!("level {level}"))).collect();
        let mut levels = Vec::new();
        let key_of = |level: usize| if level > authorities { ROOT_KEY } else { KEYS[level] };
        for level in 0..=authorities + 1 {
            let base = if level == 0 { Forgery::camera(city) } else { Forgery::authority(city) };
            let issuer = (level + 1).min(authorities + 1);
            let mut forgery = base
                .replace(SUBJECT_KEY, tlv(4, &[&identifier(level)]))
                .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[&identifier(issuer)])]));
            if level > authorities {
                forgery = forgery.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]])).without(POLICIES);
            } else if level > 0 {
                forgery = forgery.replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, u8::try_from(level - 1).unwrap()]]));
            }
            (forgery.subject, forgery.issuer) = (names[level].clone(), names[issuer].clone());
            forgery.public_key = key(key_of(level)).public_key().to_spki_der();
            levels.push(forgery);
        }
        let signers = (0..levels.len()).map(|level| key_of((level + 1).min(authorities + 1))).collect();
        Self { levels, signers }
    }

    fn level(&self, position: usize) -> Level {
        match position {
            0 => Leaf,
            _ if position + 1 == self.levels.len() => Root,
            _ => Authority,
        }
    }

    fn der(&self) -> Vec<Vec<u8>> {
        self.levels.iter().zip(&self.signers).map(|(forgery, signer)| forgery.sign(&key(*signer))).collect()
    }
}

fn change(chain: &mut Chain, level: usize, change: impl Fn(Forgery) -> Forgery) {
    chain.levels[level] = change(chain.levels[level].clone());
}

const EVERYWHERE: &[Level] = &[Leaf, Authority, Root];
const BELOW: &[Level] = &[Leaf, Authority];

const PROFILE: Difference = WeRefuse("our profiles are closed: what has another form is nobody's certificate here");
const IDENTITY: Difference = WeRefuse("identities and trust domains are ours");
const SUITE: Difference = WeRefuse("suites are closed, and cameras have keys on curves");
const CONSTRAINTS: Difference = WeRefuse("what constrains names or policies is refused, since it is not processed");
const ROLES: Difference = WeRefuse("anyPolicy gives no role: an authority says which roles it may give");

const DEFECTS: &[Defect] = &[
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
];

/// What we say of a chain; what is not of our profiles is left out of it, as a bundle's reader would.
fn ours(der: &[Vec<u8>]) -> Result<(), String> {
    let parse = |der: &Vec<u8>| Certificate::from_der(der);
    let leaf = parse(&der[0]).map_err(|error| error.to_string())?;
    let chain: Vec<Certificate> = der[1..der.len() - 1].iter().filter_map(|der| parse(der).ok()).collect();
    let roots: Vec<Certificate> = der.last().into_iter().filter_map(|der| parse(der).ok()).collect();
    let path = validate_path(&leaf, &chain, &roots, at(NOON), &RustCrypto).map_err(|error| error.to_string())?;
    if path.leaf().has_role(Role::Camera) { Ok(()) } else { Err("it has not the role that was asked for".to_owned()) }
}

/// What openssl says, asked for the camera's role along the chain.
fn theirs(folder: &TempDir, der: &[Vec<u8>]) -> Result<(), String> {
    let pem = |der: &[u8]| {
        let body: Vec<String> = base64(der).as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", body.join("\n"))
    };
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("leaf.pem", pem(&der[0]));
    write("root.pem", pem(der.last().unwrap()));
    let others: String = der[1..der.len() - 1].iter().map(|der| pem(der)).collect();
    let mut arguments = format!("verify -x509_strict -attime 1795176000 -explicit_policy -policy {CAMERA} -CAfile root.pem");
    if !others.is_empty() {
        write("others.pem", others);
        arguments.push_str(" -untrusted others.pem");
    }
    openssl(folder.path(), &format!("{arguments} leaf.pem"))
}

fn openssl(folder: &Path, arguments: &str) -> Result<(), String> {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let run = run.expect("the openssl program is needed for this test: apt-get install openssl");
    if run.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&run.stderr).into_owned()) }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits = chunk.iter().chain([0, 0].iter()).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |position: usize| if position > chunk.len() { '=' } else { char::from(DIGITS[bits >> (18 - 6 * position) & 63]) };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}

/// Compares the two verdicts, and gives the differences that were met.
fn compare<'a>(folder: &TempDir, chain: &Chain, defects: &[&'a Defect], context: &str) -> (bool, Option<&'a str>) {
    let der = chain.der();
    let (ours, theirs) = (ours(&der), theirs(folder, &der));
    if ours.is_ok() == theirs.is_ok() {
        return (ours.is_ok(), None);
    }
    let allowed = defects.iter().find(|defect| match defect.difference {
        Same => false,
        WeRefuse(_) => ours.is_err(),
        WeAccept(_) => ours.is_ok(),
    });
    let allowed = allowed.unwrap_or_else(|| panic!("{context}: we say {ours:?}, openssl {theirs:?}"));
    (ours.is_ok(), Some(allowed.name))
}

#[test]
fn each_defect_alone_is_judged_as_openssl_does() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    for authorities in 0..=3 {
        let (ours, difference) = compare(&folder, &Chain::good(&city, authorities), &[], "a good chain");
        // Without an authority there is nobody to assert a role, and a root may do so alone.
        assert!(ours && difference.is_none(), "{authorities} authorities");
    }
    let mut met = BTreeSet::new();
    for defect in DEFECTS {
        for level in 0..4 {
            let mut chain = Chain::good(&city, 2);
            if !defect.at.contains(&chain.level(level)) {
                continue;
            }
            (defect.apply)(&mut chain, level);
            met.extend(compare(&folder, &chain, &[defect], &format!("{} at level {level}", defect.name)).1);
        }
    }
    let listed: BTreeSet<&str> = DEFECTS.iter().filter(|defect| defect.difference != Same).map(|defect| defect.name).collect();
    assert_eq!(met, listed, "a difference is listed that there is not");
}

#[test]
fn defects_together_are_judged_as_openssl_does() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    // xorshift64*, so that every run makes the same chains.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below
    };
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES {
        let mut chain = Chain::good(&city, draw(4));
        let mut defects = Vec::new();
        for _ in 0..draw(4) {
            let (defect, level) = (&DEFECTS[draw(DEFECTS.len())], draw(chain.levels.len()));
            // One for each certificate, so that none is applied to what another has taken away.
            if defect.at.contains(&chain.level(level)) && defects.iter().all(|(_, at): &(&Defect, usize)| *at != level) {
                (defect.apply)(&mut chain, level);
                defects.push((defect, level));
            }
        }
        let names: Vec<String> = defects.iter().map(|(defect, level)| format!("{} at level {level}", defect.name)).collect();
        let applied: Vec<&Defect> = defects.iter().map(|(defect, _)| *defect).collect();
        let (ours, _) = compare(&folder, &chain, &applied, &format!("case {case}: {}", names.join(", ")));
        if ours { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted > CASES / 5 && refused > CASES / 5, "{accepted} accepted and {refused} refused: one verdict would do for all");
}

/// Each starts a program.
const CASES: usize = 200;
