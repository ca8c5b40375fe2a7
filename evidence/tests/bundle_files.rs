//! The JSON files of a bundle: what is not exactly one is refused. What both verifiers say of some of them is in `verify/limits.rs`.

#![allow(clippy::unwrap_used)]

use exhibit_evidence::bundle::{Disclosure, LISTED_MAX, Manifest, PATH_BYTES_MAX, RECORDS_MAX, checkpoint_token_path};

/// With `H` in place of a hash.
const MANIFEST: &str = r#"{"type":"exhibit-bundle/v1","log":"H","created":"2026-11-20T12:00:00.000Z","software":"s","question":{"series":"camera/1/main","from":"2026-11-20T12:00:00.000Z","to":"2026-11-20T12:01:00.000Z"},"entries":[0,1],"segments":[{"stream":"camera/1/main/a","seq":1},{"stream":"camera/1/main/a","seq":2}],"files":[{"path":"p/q","sha256":"H","length":1}]}"#;
const DISCLOSURE: &str = r#"{"type":"exhibit-disclosure/v1","stream":"camera/1/main/a","seq":1,"commitments":["H","H"],"fragments":[{"index":0,"key":"H"},{"index":1,"key":"H"}]}"#;

fn with_hashes(json: &str) -> String {
    json.replace("\"H\"", &format!("\"{}\"", "ab".repeat(32)))
}

#[track_caller]
fn assert_refused(defect: &str, parses: fn(&[u8]) -> bool, good: &str, from: &str, to: &str) {
    assert!(parses(with_hashes(good).as_bytes()), "the good one is good");
    assert!(good.contains(from), "{defect}: {from} stands in the good one");
    assert!(!parses(with_hashes(&good.replacen(from, to, 1)).as_bytes()), "{defect}: accepted");
}

fn is_manifest(json: &[u8]) -> bool {
    Manifest::parse(json).is_ok()
}

fn is_disclosure(json: &[u8]) -> bool {
    Disclosure::parse(json).is_ok()
}

#[test]
fn hostile_manifests_are_refused() {
    for (defect, from, to) in [
        ("another_type", "exhibit-bundle/v1", "exhibit-bundle/v2"),
        ("unknown_member", r#"{"type""#, r#"{"note":1,"type""#),
        ("unknown_member_of_a_segment", r#"{"stream""#, r#"{"note":1,"stream""#),
        ("doubled_member", r#"{"type""#, r#"{"log":"H","type""#),
        ("doubled_member_of_a_segment", r#""seq":1"#, r#""seq":1,"seq":1"#),
        ("missing_member", r#""log":"H","#, ""),
        ("log_null", r#""log":"H""#, r#""log":null"#),
        ("log_too_short", r#""log":"H""#, r#""log":"aa""#),
        ("log_in_capitals", r#""log":"H""#, &format!("\"log\":\"{}\"", "AB".repeat(32))),
        ("created_no_time", r#""created":"2026-11-20T12:00:00.000Z""#, r#""created":"today""#),
        ("series_of_a_user", "camera/1/main\"", "user/1/main\""),
        ("series_without_an_id", "camera/1/main\"", "camera\""),
        ("series_of_a_camera_with_no_such_id", "camera/1/main\"", "camera/T/main\""),
        ("series_of_six_components", "camera/1/main\"", "camera/1/a/b/c/d\""),
        ("series_that_leads_out", "camera/1/main\"", "camera/../main\""),
        ("series_without_end", "camera/1/main\"", &format!("camera/1/{}\"", "a".repeat(118))),
        ("interval_of_no_times", r#""from":"2026-11-20T12:00:00.000Z""#, r#""from":"noon""#),
        ("interval_backwards", "12:01:00", "11:01:00"),
        ("entries_fall", "[0,1]", "[1,0]"),
        ("entry_twice", "[0,1]", "[1,1]"),
        ("entry_beyond_all_integers", "[0,1]", "[0,9007199254740992]"),
        ("entry_negative", "[0,1]", "[-0,1]"),
        ("entry_no_integer", "[0,1]", "[0,1.0]"),
        ("entry_with_an_exponent", "[0,1]", "[0,1e0]"),
        ("entry_with_a_leading_zero", "[0,1]", "[0,01]"),
        ("entry_as_text", "[0,1]", r#"[0,"1"]"#),
        ("segments_fall", r#""seq":1"#, r#""seq":3"#),
        ("segment_twice", r#""seq":1"#, r#""seq":2"#),
        ("segment_beyond_all_integers", r#""seq":2"#, r#""seq":9007199254740992"#),
        ("segment_of_no_stream", "camera/1/main/a", "camera/1"),
        ("question_as_an_array", r#"{"series":"camera/1/main","#, r#"["camera/1/main","#),
        ("segment_as_an_array", r#"{"stream":"camera/1/main/a","seq":1}"#, r#"["camera/1/main/a",1]"#),
        ("file_as_an_array", r#"{"path":"p/q","sha256":"H","length":1}"#, r#"["p/q","H",1]"#),
        ("file_with_no_hash", r#""sha256":"H""#, r#""sha256":"h""#),
        ("file_longer_than_all_integers", r#""length":1"#, r#""length":9007199254740992"#),
        ("path_empty", "p/q", ""),
        ("path_from_the_root", "p/q", "/q"),
        ("path_to_a_folder", "p/q", "p/"),
        ("path_with_an_empty_component", "p/q", "p//q"),
        ("path_of_nine_components", "p/q", "1/2/3/4/5/6/7/8/9"),
        ("path_to_itself", "p/q", "p/./q"),
        ("path_that_leads_out", "p/q", "p/../../q"),
        ("path_that_leads_out_on_other_machines", "p/q", r"p\\..\\q"),
        ("path_with_a_control_character", "p/q", r"p\u001b[2Jq"),
        ("path_with_half_a_character", "p/q", r"p\ud800q"),
        ("bytes_after_it", "}]}", "}]} x"),
        ("byte_order_mark", r#"{"type""#, "\u{feff}{\"type\""),
    ] {
        assert_refused(defect, is_manifest, MANIFEST, from, to);
    }
    for path in ["p", "p/q r", "p/...", "p/.q"] {
        assert!(is_manifest(with_hashes(&MANIFEST.replacen("p/q", path, 1)).as_bytes()), "a file may be named {path}");
    }
    let array = r#"["exhibit-bundle/v1","H","2026-11-20T12:00:00.000Z","s",{"series":"camera/1/main","from":"2026-11-20T12:00:00.000Z","to":"2026-11-20T12:01:00.000Z"},[],[],[]]"#;
    assert!(!is_manifest(with_hashes(array).as_bytes()), "a manifest as an array was accepted");
}

#[test]
fn a_token_over_the_checkpoint_has_the_name_of_the_page() {
    assert_eq!(checkpoint_token_path(7), "checkpoint.token-7");
}

#[test]
fn hostile_disclosures_are_refused() {
    for (defect, from, to) in [
        ("another_type", "exhibit-disclosure/v1", "exhibit-disclosure/v2"),
        ("unknown_member", r#"{"type""#, r#"{"note":1,"type""#),
        ("unknown_member_of_a_fragment", r#"{"index":0"#, r#"{"note":1,"index":0"#),
        ("doubled_member", r#""seq":1"#, r#""seq":1,"seq":1"#),
        ("stream_that_is_none", "camera/1/main/a", "camera/1/main/A"),
        ("seq_beyond_all_integers", r#""seq":1"#, r#""seq":9007199254740992"#),
        ("no_commitments", r#"["H","H"]"#, "[]"),
        ("commitment_that_is_no_hash", r#"["H","H"]"#, r#"["H","hh"]"#),
        ("key_that_is_no_key", r#""key":"H""#, r#""key":"aa""#),
        ("fragments_fall", r#""index":0"#, r#""index":2"#),
        ("fragment_twice", r#""index":0"#, r#""index":1"#),
        ("fragment_without_a_commitment", r#""index":1"#, r#""index":2"#),
        ("fragment_as_an_array", r#"{"index":0,"key":"H"}"#, r#"[0,"H"]"#),
        ("bytes_after_it", "}]}", "}]}{}"),
    ] {
        assert_refused(defect, is_disclosure, DISCLOSURE, from, to);
    }
    let array = r#"["exhibit-disclosure/v1","camera/1/main/a",1,["H"],[]]"#;
    assert!(!is_disclosure(with_hashes(array).as_bytes()), "a disclosure as an array was accepted");
}

#[test]
fn as_many_as_the_limits_and_no_more() {
    let rising = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
    let entries = |count| MANIFEST.replacen("[0,1]", &format!("[{}]", rising(count, &|index| index.to_string())), 1);
    let segments = |count| {
        let all = rising(count, &|seq| format!(r#"{{"stream":"camera/1/main/a","seq":{seq}}}"#));
        MANIFEST.replacen(r#"{"stream":"camera/1/main/a","seq":1},{"stream":"camera/1/main/a","seq":2}"#, &all, 1)
    };
    let files = |count| {
        let all = rising(count, &|number| format!(r#"{{"path":"p/{number}","sha256":"H","length":1}}"#));
        MANIFEST.replacen(r#"{"path":"p/q","sha256":"H","length":1}"#, &all, 1)
    };
    let commitments = |count| DISCLOSURE.replacen(r#""H","H""#, &rising(count, &|_| "\"H\"".to_owned()), 1);
    let path = |count: usize| MANIFEST.replacen("p/q", &"x".repeat(count), 1);
    for (what, parses, made, max) in [
        ("entries", is_manifest as fn(&[u8]) -> bool, &entries as &dyn Fn(usize) -> String, LISTED_MAX),
        ("segments", is_manifest, &segments, LISTED_MAX),
        ("files", is_manifest, &files, RECORDS_MAX),
        ("characters of a path", is_manifest, &path, PATH_BYTES_MAX),
        ("commitments", is_disclosure, &commitments, 256),
    ] {
        assert!(parses(with_hashes(&made(max)).as_bytes()), "{max} {what} are refused");
        assert!(!parses(with_hashes(&made(max + 1)).as_bytes()), "more than {max} {what} are accepted");
    }
}
