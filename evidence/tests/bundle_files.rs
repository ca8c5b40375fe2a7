//! The JSON files of a bundle: what is not exactly one is refused.

#![allow(clippy::unwrap_used)]

use exhibit_evidence::bundle::{Disclosure, Manifest};

const MANIFEST: &str = r#"{"type":"exhibit-bundle/v1","log":"aa","created":"c","software":"s","question":{"series":"s","from":"f","to":"t"},"entries":[0,1],"segments":[{"stream":"a","seq":1},{"stream":"a","seq":2}],"files":[{"path":"p","sha256":"aa","length":1}]}"#;
const DISCLOSURE: &str = r#"{"type":"exhibit-disclosure/v1","stream":"a","seq":1,"commitments":["aa"],"fragments":[{"index":0,"key":"aa"},{"index":1,"key":"bb"}]}"#;

#[track_caller]
fn assert_refused(defect: &str, parses: fn(&[u8]) -> bool, good: &str, from: &str, to: &str) {
    assert!(parses(good.as_bytes()), "the good one is good");
    assert!(good.contains(from), "{from} stands in the good one");
    assert!(!parses(good.replacen(from, to, 1).as_bytes()), "{defect}: accepted");
}

#[test]
fn hostile_manifests_are_refused() {
    let parses = |json: &[u8]| Manifest::parse(json).is_ok();
    for (defect, from, to) in [
        ("another_type", "exhibit-bundle/v1", "exhibit-bundle/v2"),
        ("unknown_member", r#"{"type""#, r#"{"note":1,"type""#),
        ("unknown_member_of_a_segment", r#"{"stream""#, r#"{"note":1,"stream""#),
        ("doubled_member", r#"{"type""#, r#"{"log":"bb","type""#),
        ("missing_member", r#""log":"aa","#, ""),
        ("entries_fall", "[0,1]", "[1,0]"),
        ("entry_twice", "[0,1]", "[1,1]"),
        ("segments_fall", r#""seq":1"#, r#""seq":3"#),
        ("segment_twice", r#""seq":1"#, r#""seq":2"#),
        ("question_as_an_array", r#"{"series":"s","from":"f","to":"t"}"#, r#"["s","f","t"]"#),
        ("segment_as_an_array", r#"{"stream":"a","seq":1}"#, r#"["a",1]"#),
        ("file_as_an_array", r#"{"path":"p","sha256":"aa","length":1}"#, r#"["p","aa",1]"#),
        ("bytes_after_it", "}]}", "}]} x"),
    ] {
        assert_refused(defect, parses, MANIFEST, from, to);
    }
    let array = r#"["exhibit-bundle/v1","aa","c","s",{"series":"s","from":"f","to":"t"},[],[],[]]"#;
    assert!(!parses(array.as_bytes()), "a manifest as an array was accepted");
}

#[test]
fn hostile_disclosures_are_refused() {
    let parses = |json: &[u8]| Disclosure::parse(json).is_ok();
    for (defect, from, to) in [
        ("another_type", "exhibit-disclosure/v1", "exhibit-disclosure/v2"),
        ("unknown_member", r#"{"type""#, r#"{"note":1,"type""#),
        ("fragments_fall", r#""index":0"#, r#""index":2"#),
        ("fragment_twice", r#""index":0"#, r#""index":1"#),
        ("fragment_as_an_array", r#"{"index":0,"key":"aa"}"#, r#"[0,"aa"]"#),
        ("bytes_after_it", "}]}", "}]}{}"),
    ] {
        assert_refused(defect, parses, DISCLOSURE, from, to);
    }
    let array = r#"["exhibit-disclosure/v1","a",1,["aa"],[]]"#;
    assert!(!parses(array.as_bytes()), "a disclosure as an array was accepted");
}
