//! Key packages: their one encoding, what is refused, and the way of a root from a camera to a recipient.

#![allow(clippy::unwrap_used)]

use exhibit_evidence::StreamName;
use exhibit_evidence::envelope::{CONTENT_BYTES_MAX, EnvelopeError, KeyPackage, STREAMS_MAX, StreamKeys};
use exhibit_evidence::keytree::{KeyTree, NODES_MAX, Node, NodeKey, SLOTS};
use exhibit_pki::{KeyPurpose, Role};
use exhibit_tlog::Hash;
use proptest::prelude::*;
use zeroize::Zeroizing;

mod common;
#[path = "../../tests/independent/ask.rs"]
mod independent;
use common::Pki;
use independent::{assert_agrees_on, judged};

/// As `KeyPackage::parse`; the verifier in Python is asked, too.
fn parse(json: &[u8]) -> Result<KeyPackage, EnvelopeError> {
    judged("key-package", &[json], KeyPackage::parse(json))
}

const STREAM: &str = "camera/102/main/20261120T115958Z";

fn package(streams: Vec<(&str, Vec<Node>)>) -> KeyPackage {
    let named = |(name, nodes): (&str, Vec<Node>)| StreamKeys { stream: StreamName::parse(name).unwrap(), nodes };
    KeyPackage { log: Hash([0xaa; 32]), streams: streams.into_iter().map(named).collect() }
}

fn node(depth: u8, index: u32) -> Node {
    Node { depth, index, key: NodeKey::new(&[0x0b; 32]) }
}

fn json(streams: &str) -> String {
    format!(r#"{{"type":"exhibit-keys/v1","log":"{}","streams":{streams}}}"#, "aa".repeat(32))
}

fn root_json() -> String {
    json(&format!(r#"[{{"stream":"{STREAM}","nodes":[{{"depth":0,"index":0,"key":"{}"}}]}}]"#, "0b".repeat(32)))
}

#[track_caller]
fn assert_refused(json: impl AsRef<[u8]>, because: &str) {
    let Err(EnvelopeError::Package(reason)) = parse(json.as_ref()) else { panic!("accepted, in spite of: {because}") };
    assert!(reason.contains(because), "refused because {reason:?}, and not: {because}");
}

#[test]
fn keys_for_another_log_stream_or_epoch_are_refused() {
    let stream = |name: &str| StreamName::parse(name).unwrap();
    let opened = |log: [u8; 32], name: &str| package(vec![(STREAM, vec![node(0, 0)])]).into_tree(&Hash(log), &stream(name)).map(drop);
    assert_eq!(opened([0xaa; 32], STREAM), Ok(()));
    assert_eq!(opened([0xab; 32], STREAM), Err(EnvelopeError::Package("they are for another log")));
    for other in ["camera/103/main/20261120T115958Z", "camera/102/main/20261120T115959Z", "camera/102/events/20261120T115958Z"] {
        assert_eq!(opened([0xaa; 32], other), Err(EnvelopeError::Package("they are not for this stream and epoch")), "{other}");
    }
}

#[test]
fn the_encoding_is_the_documented_one() {
    let package = package(vec![(STREAM, vec![node(0, 0)])]);
    assert_eq!(std::str::from_utf8(&package.to_bytes()).unwrap(), root_json());
    let parsed = parse(root_json().as_bytes()).unwrap();
    assert_eq!(parsed.log, package.log);
    assert_eq!(parsed.streams[0].stream.as_str(), STREAM);
    assert_eq!(parsed.streams[0].nodes[0].key, NodeKey::new(&[0x0b; 32]));
}

#[test]
fn a_grant_opens_its_range_and_no_more() {
    let root = KeyTree::from_root(Zeroizing::new([1; 32]));
    let bytes = package(vec![(STREAM, root.cover(3600, 7199).unwrap()), ("camera/102/events/e", root.cover(0, 0).unwrap())]).to_bytes();
    let parsed = parse(&bytes).unwrap();
    let tree = KeyTree::from_nodes(parsed.streams[0].nodes.clone()).unwrap();
    assert!(tree.slot_key(3600).is_some() && tree.slot_key(7199).is_some());
    assert!(tree.slot_key(3599).is_none() && tree.slot_key(7200).is_none());
    assert_eq!(tree.cover(5000, 5000).unwrap()[0].key, root.cover(5000, 5000).unwrap()[0].key);
    assert_eq!(*parsed.to_bytes(), *bytes);
}

#[test]
fn the_largest_package_fits_an_envelope() {
    let nodes: Vec<Node> = (0..NODES_MAX as u32).map(|index| node(20, SLOTS - NODES_MAX as u32 + index)).collect();
    let names: Vec<String> = (0..STREAMS_MAX).map(|number| format!("camera/{}/main/{number:04}", "x".repeat(128 - 17))).collect();
    let bytes = package(names.iter().map(|name| (name.as_str(), nodes.clone())).collect()).to_bytes();
    assert!(bytes.len() <= CONTENT_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(parse(&bytes).unwrap().streams.len(), STREAMS_MAX);
}

#[test]
fn streams_none_too_many_or_twice() {
    assert_refused(json("[]"), "1 to 1024 streams");
    let names: Vec<String> = (0..=STREAMS_MAX).map(|number| format!("camera/1/main/{number}")).collect();
    assert_refused(&*package(names.iter().map(|name| (name.as_str(), vec![node(0, 0)])).collect()).to_bytes(), "1 to 1024 streams");
    let twice = package(vec![(STREAM, vec![node(0, 0)]), ("camera/102/events/e", vec![node(0, 0)]), (STREAM, vec![node(0, 0)])]);
    assert_refused(&*twice.to_bytes(), "a stream twice");
    assert_refused(root_json().replace("camera/102", "camera//102"), "not a stream");
}

#[test]
fn nodes_none_too_many_overlapping_or_out_of_range() {
    let with = |nodes: Vec<Node>| package(vec![(STREAM, nodes)]).to_bytes();
    assert_refused(&*with(vec![]), "1 to 72 nodes");
    assert_refused(&*with((0..=NODES_MAX as u32).map(|index| node(20, index)).collect()), "1 to 72 nodes");
    assert_refused(&*with(vec![node(0, 0), node(20, 7)]), "overlap");
    assert_refused(&*with(vec![node(20, 7), node(20, 6)]), "out of order");
    assert_refused(&*with(vec![node(21, 0)]), "out of range");
    assert_refused(&*with(vec![node(1, 2)]), "out of range");
}

/// Who holds many nodes can cover a range with more than a package takes.
#[test]
fn what_nobody_could_read_is_not_sealed() {
    let pki = Pki::new();
    let grantee = [pki.party("user/7f3a", &[Role::Investigator], KeyPurpose::Wrapping, 6).certificate];
    let held: Vec<Node> = (0..NODES_MAX as u32).map(|number| node(19, 4 * number)).collect();
    let draw = &mut |bytes: &mut [u8]| bytes.iter_mut().zip(1..).for_each(|(byte, number)| *byte = number);
    let mut seal = |nodes: Vec<Node>| package(vec![(STREAM, nodes)]).seal(&grantee, draw);
    assert!(seal(held.clone()).is_ok());
    let one_more = [held, vec![node(20, SLOTS - 1)]].concat();
    assert_eq!(seal(one_more), Err(EnvelopeError::Package("a stream does not have 1 to 72 nodes")));
    assert_eq!(seal(vec![]), Err(EnvelopeError::Package("a stream does not have 1 to 72 nodes")));
    assert_eq!(seal(vec![node(20, 7), node(20, 6)]), Err(EnvelopeError::Package("nodes overlap, or are out of order or out of range")));
}

#[test]
fn key_or_log_in_other_digits() {
    assert_refused(root_json().replace(r#""key":"0b"#, r#""key":"0B"#), "one form");
    assert_refused(root_json().replace(r#""key":"0b"#, r#""key":"0g"#), "hex digits");
    assert_refused(root_json().replace(r#""key":"0b"#, r#""key":""#), "hex digits");
    assert_refused(root_json().replace(r#""key":"0b"#, r#""key":"0b0b"#), "hex digits");
    assert_refused(root_json().replace(r#""log":"aa"#, r#""log":"AA"#), "log");
}

#[test]
fn json_with_members_unknown_doubled_or_missing() {
    let not_json = "not the JSON";
    assert_refused(root_json().replace(r#""depth":0"#, r#""depth":0,"note":"x""#), not_json);
    assert_refused(root_json().replace(r#""depth":0"#, r#""depth":0,"depth":0"#), not_json);
    assert_refused(root_json().replace(r#""depth":0,"#, ""), not_json);
    assert_refused(root_json().replace(r#"{"type""#, r#"{"more":[],"type""#), not_json);
    assert_refused(root_json().replace("keys/v1", "keys/v2"), "type is unknown");
}

#[test]
fn json_that_others_might_read_in_another_way() {
    let (not_json, one_form) = ("not the JSON", "one form");
    assert_refused(root_json().replace(',', ", "), one_form);
    assert_refused(format!("{}\n", root_json()), one_form);
    assert_refused(root_json().replace(r#""depth":0,"index":0"#, r#""index":0,"depth":0"#), one_form);
    let array = format!(r#"[0,0,"{}"]"#, "0b".repeat(32));
    let object = format!(r#"{{"depth":0,"index":0,"key":"{}"}}"#, "0b".repeat(32));
    assert_refused(root_json().replace(&object, &array), one_form);
    assert_refused(root_json().replace("camera/102", r"camera\/102"), not_json);
    assert_refused(root_json().replace("\"depth\"", r#""\u0064epth""#), one_form);
    assert_refused(root_json().replace(r#""depth":0"#, r#""depth":0.0"#), not_json);
    assert_refused(root_json().replace(r#""depth":0"#, r#""depth":-0"#), not_json);
    assert_refused(root_json().replace(r#""index":0"#, r#""index":4294967296"#), not_json);
    assert_refused(format!("\u{feff}{}", root_json()), not_json);
    assert_refused(format!("{}{}", root_json(), root_json()), not_json);
    assert_refused(root_json().replace("102", "\u{0}"), not_json);
    assert_refused([root_json().as_bytes(), &[0xff]].concat(), not_json);
}

#[test]
fn a_package_too_long_or_too_deep() {
    assert_refused(vec![b' '; CONTENT_BYTES_MAX + 1], "too long");
    assert_refused("[".repeat(1_000_000), "not the JSON");
}

#[test]
fn messages_and_debug_output_show_no_key() {
    let package = package(vec![(STREAM, vec![node(0, 0)])]);
    let text = format!("{package:?}");
    assert!(text.contains(STREAM) && !text.contains("0b0b") && !text.contains("11, 11"), "{text}");
    let error = parse(root_json().replace(r#""key":"0b"#, r#""key":7,"x":"0b"#).as_bytes()).unwrap_err();
    assert!(!error.to_string().contains("0b"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic_and_whatever_is_taken_is_the_one_encoding(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = root_json().into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(package) = parse(&bytes) {
            prop_assert_eq!(&*package.to_bytes(), &bytes);
        }
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 9] = [
        the_encoding_is_the_documented_one,
        a_grant_opens_its_range_and_no_more,
        the_largest_package_fits_an_envelope,
        streams_none_too_many_or_twice,
        nodes_none_too_many_overlapping_or_out_of_range,
        key_or_log_in_other_digits,
        json_with_members_unknown_doubled_or_missing,
        json_that_others_might_read_in_another_way,
        messages_and_debug_output_show_no_key,
    ];
    assert_agrees_on(&tests, 30);
}
