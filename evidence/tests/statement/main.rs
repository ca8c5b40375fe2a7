//! Statements: hostile ones, named by their defect, each with the error that it must give; and that what is written is read again.

#![allow(clippy::unwrap_used)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use exhibit_evidence::{Body, Statement, StatementError, statement::STATEMENT_BYTES_MAX};

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../tests/independent/ask.rs"]
mod independent;
mod json;
mod types;

/// A log's verifier key, and the same public key as that of a witness, and under a name that is not ASCII.
const LOG_KEY: &str = "a+08942d87+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const WITNESS_KEY: &str = "a+dfb1caf5+BIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const FOREIGN_KEY: &str = "é+260c9cd3+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const LOG: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const EMPTY_ROOT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A good `segment/v1`, which the cases spoil.
fn good() -> String {
    String::from_utf8(common::segment_statement().to_bytes()).unwrap()
}

/// A good statement of `type_name` in `stream`, with a body.
fn of_type(type_name: &str, stream: &str, body: &str) -> String {
    let start = r#"{"type":"segment/v1""#;
    let before_body = good().split(r#","body":"#).next().unwrap().to_owned();
    assert!(before_body.starts_with(start));
    before_body.replace(start, &format!(r#"{{"type":"{type_name}""#)).replace("camera/102/main/20261120T115958Z", stream)
        + &format!(r#","body":{body}}}"#)
}

/// Replaces the one place where `from` stands.
fn spoil(good: &str, from: &str, to: &str) -> String {
    assert_eq!(good.matches(from).count(), 1, "{from} stands once in the good statement");
    good.replacen(from, to, 1)
}

thread_local! {
    /// Everything that this test has judged, and whether it was accepted.
    static JUDGED: RefCell<Vec<(Vec<u8>, bool)>> = const { RefCell::new(Vec::new()) };
}

fn refusal(statement: impl AsRef<[u8]>) -> String {
    let judged = Statement::parse(statement.as_ref());
    JUDGED.with_borrow_mut(|all| all.push((statement.as_ref().to_vec(), judged.is_ok())));
    match judged {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The other tests of this file judge again, and the verifier in Python, which was written from docs/formats, judges what they judged.
#[test]
fn the_independent_verifier_agrees_on_every_statement() {
    the_good_statement_is_accepted();
    json::bytes_that_two_parsers_could_read_differently_are_refused();
    json::numbers_that_are_no_integers_below_two_to_the_53_are_refused();
    json::texts_that_two_parsers_could_read_differently_are_refused();
    json::statements_too_deep_or_too_long_are_refused();
    members_of_the_wrong_form_are_refused();
    attachments_of_the_wrong_form_are_refused();
    bodies_beyond_their_limits_are_refused();
    an_epoch_begins_a_stream();
    genesis_begins_a_log();
    genesis_names_the_logs_before_it();
    types::what_a_camera_states_of_itself();
    types::what_people_state();
    types::how_much_people_may_state();
    types::what_a_login_is();
    types::what_an_authority_states();
    types::what_an_appliance_states_of_its_log();
    types::what_an_appliance_states_of_its_start();
    types::what_an_appliance_states_of_single_dealings();
    types::every_body_tells_what_it_names();
    for line in include_str!("../vectors/statements.jsonl").lines() {
        refusal(line);
    }
    let judged = JUDGED.take();
    let accepted = judged.iter().filter(|(_, accepted)| *accepted).count();
    assert!(accepted > 80 && judged.len() - accepted > 200, "{accepted} of {} are good: vectors are missing", judged.len());
    let questions: Vec<_> =
        judged.iter().map(|(statement, accepted)| ("statement", vec![statement.clone()], independent::Answer::of(*accepted))).collect();
    independent::assert_agrees(&questions);
}

/// Compares from the start: where serde_json tells line and column, these are left out.
fn assert_refused(defect: &str, statement: impl AsRef<[u8]>, expected: &str) {
    let refusal = refusal(statement);
    assert!(refusal.starts_with(expected), "{defect}: expected `{expected}`, got `{refusal}`");
}

#[test]
fn the_good_statement_is_accepted() {
    let statement = Statement::parse(good().as_bytes()).unwrap();
    assert_eq!(statement, common::segment_statement());
    assert_eq!(statement.body.payload_length(), 40_016 + 12_016 + 11_016 + 9_016);
    let loose = spoil(&good(), r#"{"type":"segment/v1","#, "\n{ ").replacen(r#"},"body":"#, r#"}, "type" : "segment\/v1" , "body":"#, 1);
    assert_eq!(Statement::parse(loose.as_bytes()).unwrap(), statement, "order and white space are free");
}

#[test]
fn members_of_the_wrong_form_are_refused() {
    let good = good();
    let cases = [
        ("unknown_member", r#""seq":7"#, r#""seq":7,"note":1"#, r#""note" is unknown"#),
        ("unknown_member_is_quoted_safely", r#""seq":7"#, r#""seq":7,"\u001b[31m":1"#, r#""\u{1b}[31m" is unknown"#),
        ("unknown_member_of_body", r#""slot":2"#, r#""slot":2,"key":"00""#, r#"body."key" is unknown"#),
        ("unknown_member_of_observed", r#""size":4211"#, r#""size":4211,"x":1"#, r#"observed."x" is unknown"#),
        ("missing_member", r#""seq":7,"#, "", "seq is missing"),
        ("missing_body", r#","body""#, r#","bodi""#, "body is missing"),
        ("missing_member_of_body", r#""slot":2,"#, "", "body.slot is missing"),
        ("null_member", r#""seq":7"#, r#""seq":null"#, "seq is not an integer"),
        ("number_as_string", r#""seq":7"#, r#""seq":"7""#, "seq is not an integer"),
        ("string_as_number", r#""type":"segment/v1""#, r#""type":1"#, "type is not a string"),
        ("body_is_an_array", r#""body":{"#, r#""body":[{}],"b":{"#, "body is not an object"),
        ("type_without_version", "segment/v1", "segment", "type is not a name like segment/v1"),
        ("type_of_version_zero", "segment/v1", "segment/v0", "type is not a name like segment/v1"),
        ("type_too_long", "segment/v1", &format!("{}/v1", "a".repeat(62)), "type is not a name like segment/v1"),
        ("type_with_escape_sequence", "segment/v1", r"\u001b[31m/v1", "type is not a name like segment/v1"),
        ("upper_case_hex", r#""salt":"44"#, r#""salt":"4A"#, "body.salt is not 32 lower-case hex digits"),
        ("short_hash", LOG, "11", "log is not 64 lower-case hex digits"),
        ("long_hash", r#""prev":""#, r#""prev":"00"#, "prev is not 64 lower-case hex digits"),
        ("odd_hash", r#""prev":"2"#, r#""prev":""#, "prev is not 64 lower-case hex digits"),
        ("hash_with_prefix", r#""prev":"22"#, r#""prev":"0x"#, "prev is not 64 lower-case hex digits"),
        ("time_without_milliseconds", ":02.345Z", ":02Z", "issued is not a time like"),
        ("time_with_microseconds", ":02.345Z", ":02.345678Z", "issued is not a time like"),
        ("time_with_offset", ":02.345Z", ":02.345+00:00", "issued is not a time like"),
        ("time_in_lower_case", ":02.345Z", ":02.345z", "issued is not a time like"),
        ("february_30", "2026-11-20T12:00:02", "2026-02-30T12:00:02", "issued is not a time like"),
        ("leap_second", "2026-11-20T12:00:02", "2026-12-31T23:59:60", "issued is not a time like"),
        ("hour_24", "2026-11-20T12:00:02", "2026-11-20T24:00:02", "issued is not a time like"),
        ("year_of_five_digits", "2026-11-20T12:00:02", "12026-11-20T12:00:02", "issued is not a time like"),
        ("before_1970", "2026-11-20T12:00:02", "1969-11-20T12:00:02", "issued is not a time like"),
        ("stream_upper_case", "camera/102/main", "camera/102/Main", "stream is not a stream name"),
        ("stream_with_empty_component", "camera/102/main", "camera//main", "stream is not a stream name"),
        ("stream_of_two_components", "camera/102/main/20261120T115958Z", "camera/102", "stream is not a stream name"),
        ("stream_that_climbs", "camera/102/main", "camera/102/..", "stream is not a stream name"),
        ("segment_in_a_stream_of_a_user", "camera/102/main", "user/102/main", "stream is not of the kind that the type stands in"),
        ("seq_0_with_prev", r#""seq":7"#, r#""seq":0"#, "prev is zeros at seq 0 and only there"),
        ("prev_zeros_at_seq_7", &"2".repeat(64), &"0".repeat(64), "prev is zeros at seq 0 and only there"),
        ("observed_nothing_with_a_root", r#""size":4211"#, r#""size":0"#, "observed.root is the empty root at size 0 and only there"),
        ("observed_the_empty_root_at_4211", &"3".repeat(64), EMPTY_ROOT, "observed.root is the empty root at size 0 and only there"),
        ("log_zeros_outside_genesis", LOG, &"0".repeat(64), "log is zeros in genesis and only there"),
        ("slot_beyond_the_tree", r#""slot":2"#, r#""slot":1048576"#, "body.slot is not in 0..=1048575"),
        ("duration_of_more_than_ten_seconds", r#""duration_ms":2000"#, r#""duration_ms":10001"#, "body.duration_ms is not in 0..=10000"),
        ("media_type_html", "video/mp4", "text/html", "body.media_type is neither video/mp4 nor image/jpeg"),
        ("random_access_as_number", r#""random_access":true"#, r#""random_access":1"#, "body.random_access is not true or false"),
        ("no_fragments", "[40016,12016,11016,9016]", "[]", "body.fragment_lengths does not have 1 to 256 items"),
        ("fragment_of_a_tag_alone", "40016", "16", "body.fragment_lengths.0 is not in 17..="),
        ("fragment_of_2_to_the_32", "40016", "4294967296", "body.fragment_lengths.0 is not in 17..="),
        ("segment_of_more_than_8_mib", "[40016,12016,11016,9016]", "[8388608,33]", "body.fragment_lengths is a segment of more than 8 MiB"),
        ("fragment_lengths_as_number", "[40016,12016,11016,9016]", "72064", "body.fragment_lengths is not an array"),
        ("attachments_missing", r#","attachments":[]"#, "", "body.attachments is missing"),
    ];
    for (defect, from, to, expected) in cases {
        assert_refused(defect, spoil(&good, from, to), &format!("the statement's member {expected}"));
    }
    let many = format!("[{}]", vec!["17"; 257].join(","));
    let too_many = spoil(&good, "[40016,12016,11016,9016]", &many);
    assert_refused("257_fragments", too_many, "the statement's member body.fragment_lengths does not have 1 to 256 items");
    assert_eq!(refusal(spoil(&good, "[40016,12016,11016,9016]", "[8388608,32]")), "accepted", "8 MiB of plaintext are allowed");
}

#[test]
fn attachments_of_the_wrong_form_are_refused() {
    let with = |attachments: &str| spoil(&good(), r#""attachments":[]"#, &format!(r#""attachments":[{attachments}]"#));
    let attachment = |name: &str, length: &str, erasable: &str| {
        format!(r#"{{"name":"{name}","sha256":"{LOG}","length":{length},"erasable":{erasable}}}"#)
    };
    let fine = attachment("thumb-0", "100", "false");
    assert_eq!(refusal(with(&fine)), "accepted");
    assert_eq!(refusal(with(&attachment("salt-alone", "32", "true"))), "accepted", "an erasable attachment may be empty");
    let seventeen = (0..17).map(|number| attachment(&format!("a{number}"), "1", "false")).collect::<Vec<_>>().join(",");
    let cases = [
        ("named_twice", format!("{fine},{fine}"), "body.attachments names one twice"),
        ("seventeen", seventeen, "body.attachments does not have 0 to 16 items"),
        ("name_empty", attachment("", "100", "false"), "body.attachments.0.name is empty, too long"),
        ("name_too_long", attachment(&"a".repeat(33), "100", "false"), "body.attachments.0.name is empty, too long"),
        ("name_with_slash", attachment("../key", "100", "false"), "body.attachments.0.name is empty, too long"),
        ("longer_than_16_mib", attachment("a", "16777217", "false"), "body.attachments.0.length is not in 0..=16777216"),
        ("erasable_without_salt", attachment("a", "31", "true"), "body.attachments.0.length is too short for the salt"),
        ("erasable_as_string", attachment("a", "31", r#""no""#), "body.attachments.0.erasable is not true or false"),
        ("unknown_member", fine.replace('{', r#"{"url":"","#), r#"body.attachments.0."url" is unknown"#),
        ("not_an_object", "1".to_owned(), "body.attachments.0 is not an object"),
        ("purpose_not_erasable", attachment("purpose", "100", "false"), r#"body.attachments has "purpose", which must be erasable"#),
    ];
    for (defect, attachments, expected) in cases {
        assert_refused(defect, with(&attachments), &format!("the statement's member {expected}"));
    }
}

const CAMERA: &str = "camera/102/main/1";
const USER: &str = "user/7f3a/1";
const APPLIANCE: &str = "appliance/a1/log/1";
const AUTHORITY: &str = "authority/ca1/1";

/// `{"name":…}` of 100 bytes.
fn attachment(name: &str, erasable: bool) -> String {
    format!(r#"{{"name":"{name}","sha256":"{LOG}","length":100,"erasable":{erasable}}}"#)
}

#[test]
fn bodies_beyond_their_limits_are_refused() {
    let a = "a".repeat(64);
    let b = "b".repeat(64);
    let recipients = |recipients: &str, custodians: &str, number: &str, threshold: &str| {
        let body = format!(
            r#"{{"scope":"camera/102","number":{number},"replaces":null,"recipients":[{recipients}],"custodians":[{custodians}],
            "threshold":{threshold},"expires":"2027-01-01T00:00:00.000Z","attachments":[]}}"#
        );
        of_type("recipients/v1", USER, &body)
    };
    let one = format!(r#""{a}""#);
    let two = format!(r#""{a}","{b}""#);
    let twice = format!(r#""{a}","{a}""#);
    let many = (0..65).map(|number| format!(r#""{number:064}""#)).collect::<Vec<_>>().join(",");
    assert_eq!(refusal(recipients(&one, &two, "1", "2")), "accepted");
    let fetch = |ranges: &str| of_type("fetch/v1", USER, &format!(r#"{{"grant":null,"ranges":[{ranges}],"attachments":[]}}"#));
    let range = r#"{"stream":"camera/102/main/1","first":3,"last":3}"#;
    assert_eq!(refusal(fetch(range)), "accepted");
    let grant =
        |scope: &str, attachments: &str| of_type("grant/v1", USER, &format!(r#"{{"scope":"{scope}","attachments":[{attachments}]}}"#));
    let both = format!("{},{}", attachment("terms", true), attachment("wraps", true));
    assert_eq!(refusal(grant("camera/102", &both)), "accepted");
    let gap = |cause: &str, from: &str, to: &str| {
        of_type("gap/v1", CAMERA, &format!(r#"{{"cause":"{cause}","from":"{from}","to":"{to}","attachments":[]}}"#))
    };
    let (early, late) = ("2026-11-20T12:00:00.000Z", "2026-11-20T12:00:00.001Z");
    assert_eq!(refusal(gap("source-lost", early, late)), "accepted");
    let certificate = |attachments: &str| {
        of_type("certificate/v1", AUTHORITY, &format!(r#"{{"fingerprint":"{a}","replaces":null,"attachments":[{attachments}]}}"#))
    };
    assert_eq!(refusal(certificate(&attachment("certificate", false))), "accepted");
    let start = |version: &str| of_type("start/v1", APPLIANCE, &format!(r#"{{"version":"{version}","enrolment":null,"attachments":[]}}"#));
    let contradiction = |attachments: &str| {
        let body = format!(r#"{{"stream":"camera/102/main/1","seq":3,"attachments":[{attachments}]}}"#);
        of_type("contradiction/v1", APPLIANCE, &body)
    };
    let cases = [
        ("recipient_twice", recipients(&twice, &one, "1", "1"), "body.recipients names one twice"),
        ("custodian_twice", recipients(&one, &twice, "1", "1"), "body.custodians names one twice"),
        ("no_recipients", recipients("", &one, "1", "1"), "body.recipients does not have 1 to 64 items"),
        ("no_custodians", recipients(&one, "", "1", "1"), "body.custodians does not have 1 to 64 items"),
        ("sixty_five_recipients", recipients(&many, &one, "1", "1"), "body.recipients does not have 1 to 64 items"),
        ("sixty_five_custodians", recipients(&one, &many, "1", "1"), "body.custodians does not have 1 to 64 items"),
        ("threshold_zero", recipients(&one, &two, "1", "0"), "body.threshold is not in 1..=2"),
        ("threshold_beyond_the_custodians", recipients(&one, &two, "1", "3"), "body.threshold is not in 1..=2"),
        ("number_zero", recipients(&one, &one, "0", "1"), "body.number is not in 1..="),
        ("recipients_by_a_camera", recipients(&one, &one, "1", "1").replace(USER, CAMERA), "stream is not of the kind"),
        ("range_backwards", fetch(&range.replace(r#""last":3"#, r#""last":2"#)), "body.ranges.0.last is not in 3..="),
        ("range_with_unknown_member", fetch(&range.replace('{', r#"{"x":1,"#)), r#"body.ranges.0."x" is unknown"#),
        ("no_ranges", fetch(""), "body.ranges does not have 1 to 256 items"),
        ("two_hundred_fifty_seven_ranges", fetch(&vec![range; 257].join(",")), "body.ranges does not have 1 to 256 items"),
        ("scope_of_everything", grant("camera", &both), "body.scope is not a camera"),
        ("scope_of_a_user", grant("user/7f3a", &both), "body.scope is not a camera"),
        ("grant_without_terms", grant("camera/102", &attachment("wraps", true)), r#"body.attachments lacks "terms""#),
        ("grant_without_wraps", grant("camera/102", &attachment("terms", true)), r#"body.attachments lacks "wraps""#),
        (
            "grant_of_terms_for_ever",
            grant("camera/102", &both.replacen("true", "false", 1)),
            r#"body.attachments has "terms", which must be"#,
        ),
        ("gap_backwards", gap("power", late, early), "body.to is before from"),
        ("gap_of_unknown_cause", gap("aliens", early, late), "body.cause is none of the words"),
        ("erasable_certificate", certificate(&attachment("certificate", true)), r#"body.attachments has "certificate", which must not be"#),
        ("certificate_without_itself", certificate(""), r#"body.attachments lacks "certificate""#),
        ("version_with_escape_sequence", start(r"1\u001b[31m"), "body.version is empty, too long or has characters"),
        ("version_too_long", start(&"1".repeat(129)), "body.version is empty, too long or has characters"),
        ("contradiction_of_one", contradiction(&attachment("first", false)), r#"body.attachments lacks "second""#),
        ("unknown_type_without_attachments", of_type("weather/v1", APPLIANCE, r#"{"a":1}"#), "body.attachments is missing"),
        ("unknown_type_with_a_number_for_body", of_type("weather/v1", APPLIANCE, "1"), "body is not an object"),
    ];
    for (defect, statement, expected) in cases {
        assert_refused(defect, statement, &format!("the statement's member {expected}"));
    }
}

/// The first of its stream.
fn at_0(text: &str) -> String {
    text.replace(r#""seq":7"#, r#""seq":0"#).replace(&"2".repeat(64), &"0".repeat(64))
}

fn assert_members_refused(cases: &[(&str, String, &str)]) {
    for (defect, statement, expected) in cases {
        assert_refused(defect, statement.clone(), &format!("the statement's member {expected}"));
    }
}

#[test]
fn an_epoch_begins_a_stream() {
    let epoch = |continues: &str, attachments: &str| {
        let body = format!(
            r#"{{"commitment":"{LOG}","started":"2026-11-20T11:59:58.000Z","recipients":"{LOG}","continues":{continues},"attachments":[{attachments}]}}"#
        );
        of_type("epoch/v1", CAMERA, &body)
    };
    let at_0 = |text: String| at_0(&text);
    let first = r#"{"reason":"start","previous":null}"#;
    let wraps = attachment("wraps", true);
    assert_eq!(refusal(at_0(epoch(first, &wraps))), "accepted");
    let position_and_more = format!(r#"{{"reason":"start","previous":{{"stream":"{CAMERA}","seq":1,"leaf":"{LOG}","x":1}}}}"#);
    assert_members_refused(&[
        ("epoch_in_mid_stream", epoch(first, &wraps), "seq is 0 in an epoch"),
        ("epoch_without_wraps", at_0(epoch(first, "")), r#"body.attachments lacks "wraps""#),
        (
            "epoch_of_wraps_for_ever",
            at_0(epoch(first, &attachment("wraps", false))),
            r#"body.attachments has "wraps", which must be erasable"#,
        ),
        ("epoch_for_no_reason", at_0(epoch(r#"{"reason":"","previous":null}"#, &wraps)), "body.continues.reason is none of the words"),
        ("epoch_without_previous", at_0(epoch(r#"{"reason":"start"}"#, &wraps)), "body.continues.previous is missing"),
        ("epoch_continues_more", at_0(epoch(r#"{"reason":"start","previous":null,"x":1}"#, &wraps)), r#"body.continues."x" is unknown"#),
        ("epoch_continues_a_number", at_0(epoch(r#"{"reason":"start","previous":1}"#, &wraps)), "body.continues.previous is not an object"),
        ("epoch_after_more_than_a_position", at_0(epoch(&position_and_more, &wraps)), r#"body.continues.previous."x" is unknown"#),
    ]);
}

/// A genesis, with these keys and this predecessor, and perhaps earlier logs behind it.
fn genesis_with(keys: &str, predecessor: &str) -> String {
    let body = format!(
        r#"{{"origin":"exhibit.example/log","keys":[{keys}],"roots":["{LOG}"],"witness_policy":"","predecessor":{predecessor},
        "attachments":[{}]}}"#,
        attachment("certificate", false)
    );
    of_type("genesis/v1", APPLIANCE, &body).replacen(LOG, &"0".repeat(64), 1)
}

fn nothing_observed(text: &str) -> String {
    text.replace(r#""size":4211"#, r#""size":0"#).replace(&"3".repeat(64), EMPTY_ROOT)
}

#[test]
fn genesis_begins_a_log() {
    let zeros = "0".repeat(64);
    let (at_0, nothing_observed) = (|text: String| at_0(&text), |text: String| nothing_observed(&text));
    let genesis = genesis_with;
    let key = &format!("\"{LOG_KEY}\"");
    assert_eq!(refusal(at_0(nothing_observed(genesis(key, "null")))), "accepted");
    let genesis_without = |from: &str, to: &str| spoil(&at_0(nothing_observed(genesis(key, "null"))), from, to);
    let policy_of = |length: usize| genesis_without(r#""witness_policy":"""#, &format!(r#""witness_policy":"{}""#, "a".repeat(length)));
    assert_eq!(refusal(policy_of(32 * 1024)), "accepted", "32 KiB of a policy are allowed");
    let policy_too_long = policy_of(32 * 1024 + 1);
    let log_named = at_0(nothing_observed(genesis(key, "null"))).replacen(&zeros, LOG, 1);
    assert_members_refused(&[
        ("genesis_of_a_long_policy", policy_too_long, "body.witness_policy is too long"),
        ("genesis_of_an_origin_with_plus", genesis_without("exhibit.example/log", "a+b"), "body.origin is empty, too long"),
        ("genesis_in_mid_stream", nothing_observed(genesis(key, "null")), "seq and observed.size are 0 in genesis"),
        ("genesis_that_observed", at_0(genesis(key, "null")), "seq and observed.size are 0 in genesis"),
        ("genesis_of_a_log", log_named, "log is zeros in genesis"),
        (
            "genesis_of_a_key_with_a_space",
            at_0(nothing_observed(genesis(r#""a+00000000+AA AA""#, "null"))),
            "body.keys.0 is empty, too long or has",
        ),
        ("genesis_without_keys", at_0(nothing_observed(genesis("", "null"))), "body.keys does not have 1 to 8 items"),
        ("genesis_with_a_key_twice", at_0(nothing_observed(genesis(&format!("{key},{key}"), "null"))), "body.keys names one twice"),
        ("genesis_with_a_key_that_is_none", genesis_without(LOG_KEY, "k"), "body.keys.0 is not a verifier key"),
        ("genesis_with_a_key_of_another_id", genesis_without("a+", "b+"), "body.keys.0 is not a verifier key"),
        ("genesis_with_the_key_of_a_witness", genesis_without(LOG_KEY, WITNESS_KEY), "body.keys.0 is the key of a witness"),
        ("genesis_with_a_key_of_other_letters", genesis_without(LOG_KEY, FOREIGN_KEY), "body.keys.0 is empty, too long"),
    ]);
}

#[test]
fn genesis_names_the_logs_before_it() {
    let (at_0, nothing_observed) = (|text: String| at_0(&text), |text: String| nothing_observed(&text));
    let genesis = genesis_with;
    let key = &format!("\"{LOG_KEY}\"");
    let predecessor_and_more = format!(r#"{{"log":"{LOG}","size":1,"root":"{LOG}","x":1}}"#);
    let no_predecessor = format!(r#"{{"log":"{}","size":1,"root":"{LOG}"}}"#, "0".repeat(64));
    let empty_predecessor = format!(r#"{{"log":"{LOG}","size":0,"root":"{LOG}"}}"#);
    let before = |digit: &str| format!(r#"{{"log":"{}","size":1,"root":"{LOG}"}}"#, digit.repeat(64));
    let genesis_after = |first: &str, earlier: &[String]| {
        let more = format!(r#"{first},"earlier":[{}]"#, earlier.join(","));
        at_0(nothing_observed(genesis(key, &more)))
    };
    let one = before("e");
    assert_eq!(refusal(genesis_after(&one, &[before("a"), before("b")])), "accepted");
    let many: Vec<String> = (0xa0..0xc0).map(|byte| before("f").replacen(&"f".repeat(64), &format!("{byte:02x}").repeat(32), 1)).collect();
    assert_eq!(refusal(genesis_after(&one, &many)), "accepted", "32 earlier logs are allowed");
    assert_members_refused(&[
        (
            "genesis_after_more_than_a_log",
            at_0(nothing_observed(genesis(key, &predecessor_and_more))),
            r#"body.predecessor."x" is unknown"#,
        ),
        ("genesis_after_no_log", at_0(nothing_observed(genesis(key, &no_predecessor))), "body.predecessor.log is of no log"),
        ("genesis_after_no_earlier_logs", genesis_after(&one, &[]), "body.earlier does not have 1 to 32 items"),
        (
            "genesis_after_too_many_logs",
            genesis_after(&one, &[many.clone(), vec![before("a")]].concat()),
            "body.earlier does not have 1 to 32 items",
        ),
        ("genesis_after_earlier_logs_alone", genesis_after("null", &[before("a")]), "body.earlier stands without a predecessor"),
        ("genesis_after_one_earlier_log_twice", genesis_after(&one, &[before("a"), before("a")]), "body.earlier names one twice"),
        ("genesis_after_its_predecessor_twice", genesis_after(&one, std::slice::from_ref(&one)), "body.earlier names one twice"),
        ("genesis_after_an_earlier_log_that_is_none", genesis_after(&one, &[before("0")]), "body.earlier.0.log is of no log"),
        (
            "genesis_after_an_earlier_log_of_nothing",
            genesis_after(&one, &[before("a").replace(r#""size":1"#, r#""size":0"#)]),
            "body.earlier.0.size is not in 1..=",
        ),
        (
            "genesis_after_more_than_an_earlier_log",
            genesis_after(&one, &[before("a").replace(r#""size":1"#, r#""size":1,"x":1"#)]),
            r#"body.earlier.0."x" is unknown"#,
        ),
        ("genesis_after_nothing", at_0(nothing_observed(genesis(key, &empty_predecessor))), "body.predecessor.size is not in 1..="),
    ]);
}

#[test]
fn an_unknown_type_is_carried_whole() {
    let text = of_type("weather/v2", APPLIANCE, r#"{"degrees":21,"nested":[{"z":null,"a":true}],"attachments":[]}"#);
    let statement = Statement::parse(text.as_bytes()).unwrap();
    assert_eq!(statement.type_name(), "weather/v2");
    let Body::Unknown { body, .. } = &statement.body else { panic!("it is not known") };
    assert_eq!(body["degrees"], 21);
    assert_eq!(Statement::parse(&statement.to_bytes()).unwrap(), statement);
    // Another version of a type that is known is another type.
    let newer = Statement::parse(good().replace("segment/v1", "segment/v2").as_bytes()).unwrap();
    assert!(matches!(newer.body, Body::Unknown { .. }));
}

#[test]
fn errors_tell_of_what_kind_they_are() {
    assert_eq!(Statement::parse(&[b' '; STATEMENT_BYTES_MAX + 1]), Err(StatementError::TooLong));
    assert!(matches!(Statement::parse(b"{"), Err(StatementError::Json(_))));
    assert!(matches!(Statement::parse(b"{}"), Err(StatementError::Member(_))));
}

/// The tables of the pages name every type with its issuer, and the roles that verifiers demand.
#[test]
fn the_pages_list_every_type_with_its_issuer_and_roles() {
    let page = |text: &'static str| text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")).collect::<Vec<_>>();
    let issuers: BTreeMap<&str, &str> = page(include_str!("../../../docs/formats/statement.md"))
        .into_iter()
        .filter_map(|row| row.split_once("/v1` | "))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap()))
        .collect();
    let roles: BTreeMap<&str, BTreeSet<String>> = page(include_str!("../../../docs/formats/signed-statement.md"))
        .into_iter()
        .filter_map(|row| row.split_once("` | "))
        .flat_map(|(types, roles)| {
            let roles: BTreeSet<String> = roles.replace(" or ", ", ").split(", ").map(str::to_owned).collect();
            types.split("`, `").map(move |name| (name, roles.clone()))
        })
        .collect();
    let mut listed = BTreeSet::new();
    for line in include_str!("../vectors/statements.jsonl").lines() {
        let body = Statement::parse(line.as_bytes()).unwrap().body;
        let Some(demanded) = body.roles() else { continue };
        let name = body.type_name().strip_suffix("/v1").unwrap().to_owned();
        assert_eq!(issuers.get(name.as_str()).copied(), body.stream_kind(), "the page has another issuer of {name}");
        let demanded: BTreeSet<String> = demanded.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
        assert_eq!(roles.get(name.as_str()), Some(&demanded), "the page has other roles for {name}");
        listed.insert(format!("{name}/v1"));
    }
    assert_eq!(listed, Body::TYPES.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(issuers.len(), listed.len(), "the page lists a type that there is not");
}
