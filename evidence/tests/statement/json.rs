//! JSON as it is read: what two parsers could read differently is refused, whatever it says.

use exhibit_evidence::statement::STATEMENT_BYTES_MAX;

use crate::{assert_refused, good, of_type, refusal, spoil};

#[test]
pub fn bytes_that_two_parsers_could_read_differently_are_refused() {
    let good = good();
    let spoil = |from: &str, to: &str| spoil(&good, from, to);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "not strict JSON: EOF"),
        ("byte_order_mark", format!("\u{feff}{good}").into_bytes(), "not strict JSON: expected value at line 1 column 1"),
        ("not_utf8", [&good.as_bytes()[..good.len() - 1], b"\xff}"].concat(), "not strict JSON: not UTF-8"),
        (
            "overlong_utf8",
            spoil("video/mp4", "video@mp4").into_bytes().split(|byte| *byte == b'@').collect::<Vec<_>>().join(&b"\xc0\xaf"[..]),
            "not strict JSON: not UTF-8",
        ),
        ("utf16", good.encode_utf16().flat_map(u16::to_be_bytes).collect(), "not strict JSON: expected value"),
        ("not_an_object", b"[]".to_vec(), "not strict JSON: the outermost value is not an object"),
        ("two_values", format!("{good}{{}}").into_bytes(), "not strict JSON: trailing characters"),
        ("trailing_nul", format!("{good}\0").into_bytes(), "not strict JSON: trailing characters"),
        ("trailing_comma", spoil(r#""attachments":[]"#, r#""attachments":[],"#).into_bytes(), "not strict JSON: trailing comma"),
        ("comment", spoil(r#""seq":7"#, r#"/**/"seq":7"#).into_bytes(), "not strict JSON: key must be a string"),
        ("cut_short", good.as_bytes()[..good.len() - 1].to_vec(), "not strict JSON: EOF"),
        ("duplicate_member", spoil(r#""seq":7"#, r#""seq":7,"seq":7"#).into_bytes(), "not strict JSON: member \"seq\" stands twice"),
        (
            "duplicate_member_escaped",
            spoil(r#""seq":7"#, r#""seq":7,"se\u0071":7"#).into_bytes(),
            "not strict JSON: member \"seq\" stands twice",
        ),
        (
            "duplicate_member_nested",
            spoil(r#""slot":2"#, r#""slot":2,"slot":3"#).into_bytes(),
            "not strict JSON: member \"slot\" stands twice",
        ),
        (
            "duplicate_member_in_unknown_type",
            of_type("weather/v1", "appliance/a/1", r#"{"a":{"b":1,"b":1},"attachments":[]}"#).into_bytes(),
            "not strict JSON: member \"b\" stands twice",
        ),
    ];
    for (defect, statement, expected) in cases {
        assert_refused(defect, statement, expected);
    }
}

#[test]
pub fn numbers_that_are_no_integers_below_two_to_the_53_are_refused() {
    let good = good();
    let spoil = |from: &str, to: &str| spoil(&good, from, to);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("float", spoil(r#""seq":7"#, r#""seq":7.0"#).into_bytes(), "not strict JSON: a number is not an integer in 0..2^53"),
        ("exponent", spoil(r#""seq":7"#, r#""seq":7e0"#).into_bytes(), "not strict JSON: a number is not an integer in 0..2^53"),
        ("negative", spoil(r#""seq":7"#, r#""seq":-7"#).into_bytes(), "not strict JSON: a number is negative"),
        ("negative_zero", spoil(r#""seq":7"#, r#""seq":-0"#).into_bytes(), "not strict JSON: a number is not an integer in 0..2^53"),
        ("leading_zero", spoil(r#""seq":7"#, r#""seq":07"#).into_bytes(), "not strict JSON: invalid number"),
        ("plus_sign", spoil(r#""seq":7"#, r#""seq":+7"#).into_bytes(), "not strict JSON: expected value"),
        ("two_to_the_53", spoil(r#""seq":7"#, r#""seq":9007199254740992"#).into_bytes(), "not strict JSON: an integer is not below 2^53"),
        (
            "two_to_the_64",
            spoil(r#""seq":7"#, r#""seq":18446744073709551616"#).into_bytes(),
            "not strict JSON: a number is not an integer in 0..2^53",
        ),
        ("not_a_number", spoil(r#""seq":7"#, r#""seq":NaN"#).into_bytes(), "not strict JSON: expected value"),
        (
            "float_in_unknown_type",
            of_type("weather/v1", "appliance/a/1", r#"{"a":0.5,"attachments":[]}"#).into_bytes(),
            "not strict JSON: a number is not an integer in 0..2^53",
        ),
    ];
    for (defect, statement, expected) in cases {
        assert_refused(defect, statement, expected);
    }
    assert_eq!(refusal(spoil(r#""seq":7"#, r#""seq":9007199254740991"#)), "accepted", "2^53 - 1 is allowed");
}

#[test]
pub fn texts_that_two_parsers_could_read_differently_are_refused() {
    let good = good();
    let spoil = |from: &str, to: &str| spoil(&good, from, to);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "lone_surrogate",
            of_type("start/v1", "appliance/a/1", r#"{"version":"\ud800","enrolment":null,"attachments":[]}"#).into_bytes(),
            "not strict JSON: unexpected end of hex escape",
        ),
        (
            "lone_low_surrogate",
            of_type("start/v1", "appliance/a/1", r#"{"version":"\udc00","enrolment":null,"attachments":[]}"#).into_bytes(),
            "not strict JSON: lone leading surrogate",
        ),
        ("lone_surrogate_in_a_name", spoil(r#""seq""#, r#""\ud800x""#).into_bytes(), "not strict JSON: unexpected end of hex escape"),
        ("control_character", spoil("video/mp4", "video/\nmp4").into_bytes(), "not strict JSON: control character"),
        ("single_quotes", spoil(r#""video/mp4""#, "'video/mp4'").into_bytes(), "not strict JSON: expected value"),
    ];
    for (defect, statement, expected) in cases {
        assert_refused(defect, statement, expected);
    }
}

#[test]
pub fn statements_too_deep_or_too_long_are_refused() {
    let good = good();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        // Statement, body, and seven arrays in it: nine deep.
        (
            "too_deep",
            of_type("weather/v1", "appliance/a/1", r#"{"a":[[[[[[[]]]]]]],"attachments":[]}"#).into_bytes(),
            "not strict JSON: nested deeper than 8",
        ),
        ("very_deep", "[".repeat(STATEMENT_BYTES_MAX).into_bytes(), "not strict JSON: nested deeper than 8"),
        (
            "too_long",
            format!("{good}{}", " ".repeat(STATEMENT_BYTES_MAX + 1 - good.len())).into_bytes(),
            "the statement is longer than 48 KiB",
        ),
    ];
    for (defect, statement, expected) in cases {
        assert_refused(defect, statement, expected);
    }
    let largest = format!("{good}{}", " ".repeat(STATEMENT_BYTES_MAX - good.len()));
    assert_eq!(refusal(largest), "accepted", "48 KiB are allowed");
    assert_eq!(
        refusal(of_type("weather/v1", "appliance/a/1", r#"{"a":[[[[[[]]]]]],"attachments":[]}"#)),
        "accepted",
        "eight levels are allowed"
    );
}
