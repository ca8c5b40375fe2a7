//! Authorities with several certificates: where there is a path, in whatever order they come, we find it, and openssl mostly does.

use exhibit_pki::Signer;

use crate::{
    chain::{openssl_says, we_say},
    support::*,
};

/// An authority of the city's trust domain that may give the role of a camera: its name, and its key's number.
type Party = (&'static str, u8);

const A: Party = ("Root A", 1);
const B: Party = ("Root B", 4);
const ISSUING: Party = ("Issuing", 2);

fn identifier(party: Party) -> Vec<u8> {
    format!("key of {}", party.0).into_bytes()
}

/// The certificate that `issuer` gives to `subject`.
fn certificate(city: &City, subject: Party, issuer: Party) -> Forgery {
    let mut forgery = Forgery::authority(city)
        .replace(SUBJECT_KEY, tlv(4, &[&identifier(subject)]))
        .replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[&identifier(issuer)])]))
        .replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff]]));
    (forgery.subject, forgery.issuer) = (common_name(subject.0), common_name(issuer.0));
    forgery.public_key = key(subject.1).public_key().to_spki_der();
    forgery
}

struct Case {
    name: &'static str,
    others: [Vec<u8>; 2],
    roots: Vec<Vec<u8>>,
    believed: bool,
    /// What openssl says of the others in this order, and in the reverse.
    theirs: [bool; 2],
    why: &'static str,
}

#[test]
fn a_path_is_found_in_whatever_order_the_certificates_come() {
    let city = City::new();
    let folder = tempfile::tempdir().unwrap();
    let make = |subject: Party, issuer: Party| certificate(&city, subject, issuer).sign(&key(issuer.1));
    let changed = |change: &dyn Fn(Forgery) -> Forgery| change(certificate(&city, ISSUING, A)).sign(&key(A.1));
    let root = |party: Party| certificate(&city, party, party).without(POLICIES).sign(&key(party.1));
    let (root_a, root_b, stranger) = (root(A), root(B), root(("Stranger", 5)));
    let (by_a, by_b, a_by_b, b_by_a) = (make(ISSUING, A), make(ISSUING, B), make(A, B), make(B, A));
    let mut leaf = Forgery::camera(&city).replace(AUTHORITY_KEY, tlv(0x30, &[&tlv(0x80, &[&identifier(ISSUING)])]));
    leaf.issuer = common_name(ISSUING.0);
    let leaf = leaf.sign(&key(ISSUING.1));
    let expired = changed(&|f| Forgery { not_after: tlv(0x17, &[b"261120115959Z"]), ..f });
    let no_authority = changed(&|f| f.replace(BASIC_CONSTRAINTS, tlv(0x30, &[])));
    let no_role = changed(&|f| f.without(POLICIES));
    let other_role = changed(&|f| f.replace(POLICIES, policies(&["2.25.1586047359.2.2"])));
    let constrained = changed(&|f| f.with("2.5.29.30", true, tlv(0x30, &[&tlv(0xa0, &[&tlv(0x30, &[&tlv(0x82, &[b"a.example"])])])])));
    let unsigned = certificate(&city, ISSUING, A).sign(&key(9));
    let short = certificate(&city, B, A).replace(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &[2, 1, 0]])).sign(&key(A.1));
    let either = [root_a.clone(), root_b.clone()];
    const FIRST: &str = "openssl takes the first certificate that fits by name, key identifier and time, and goes back for no other reason";
    let same = |name, others: [&Vec<u8>; 2], roots: &[Vec<u8>], believed| Case {
        name,
        others: others.map(Vec::clone),
        roots: roots.to_vec(),
        believed,
        theirs: [believed; 2],
        why: "",
    };
    let first = |name, others: [&Vec<u8>; 2]| Case { theirs: [false, true], why: FIRST, ..same(name, others, &either, true) };
    let cases = [
        Case { theirs: [true, false], why: FIRST, ..same("two roots, one believed", [&by_a, &by_b], &either[..1], true) },
        Case { theirs: [false, true], why: FIRST, ..same("two roots, the other believed", [&by_a, &by_b], &either[1..], true) },
        same("two roots, both believed", [&by_a, &by_b], &either, true),
        same("two roots, none believed", [&by_a, &by_b], std::slice::from_ref(&stranger), false),
        same("a root certified by another that is believed", [&by_b, &b_by_a], &either[..1], true),
        same("a root certified by another, and believed itself", [&by_b, &b_by_a], &either[1..], true),
        same("a root certified by another with a path length of 0", [&by_b, &short], &either[..1], false),
        same("roots that certify each other, and nobody else believes", [&a_by_b, &b_by_a], std::slice::from_ref(&stranger), false),
        same("a root that is not believed, sent along", [&by_a, &root_a], std::slice::from_ref(&stranger), false),
        same("an expired certificate beside a good one", [&expired, &by_b], &either, true),
        same("an expired certificate beside one to nowhere", [&expired, &by_b], &either[..1], false),
        first("one without the role beside a good one", [&no_role, &by_b]),
        first("one of another role beside a good one", [&other_role, &by_b]),
        same("one that constrains names beside a good one", [&constrained, &by_b], &either, true),
        first("one of no authority beside a good one", [&no_authority, &by_b]),
        first("one with another's signature beside a good one", [&unsigned, &by_b]),
        Case {
            theirs: [false, false],
            why: "an anchor is believed as it is given; openssl wants it to sign itself, unless -partial_chain says otherwise",
            ..same("an issuing authority as the anchor", [&by_b, &root_b], std::slice::from_ref(&by_a), true)
        },
    ];
    for case in cases {
        for (turn, theirs) in case.theirs.into_iter().enumerate() {
            let mut others = case.others.clone();
            others.rotate_left(turn);
            let ours = we_say(&leaf, &others, &case.roots);
            assert_eq!(ours.is_ok(), case.believed, "{}, {turn}: we say {ours:?}", case.name);
            let found = openssl_says(&folder, &leaf, &others, &case.roots);
            assert_eq!(found.is_ok(), theirs, "{}, {turn}: openssl says {found:?}", case.name);
        }
        let differ = case.theirs.iter().any(|theirs| *theirs != case.believed);
        assert_eq!(differ, !case.why.is_empty(), "{}: {}", case.name, case.why);
    }
}
