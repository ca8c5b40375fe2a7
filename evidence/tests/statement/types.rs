//! What each type refuses beyond the form of its members: golden lines, each spoiled in one place.

use exhibit_evidence::{Body, Statement};

use crate::{refusal, spoil};

/// What the golden lines are, by type and number.
fn golden(type_name: &str, number: usize) -> String {
    let lines = include_str!("../vectors/statements.jsonl").lines();
    let found: Vec<&str> = lines.filter(|line| line.contains(&format!(r#"{{"type":"{type_name}/v1""#))).collect();
    found[number].to_owned()
}

/// Defect, type, which golden line of it, what is spoiled, and the error that it must give.
type Case<'a> = (&'a str, &'a str, usize, &'a str, &'a str, &'a str);

fn assert_all_refused(cases: &[Case]) {
    for (defect, type_name, number, from, to, expected) in cases {
        let good = golden(type_name, *number);
        assert_eq!(refusal(&good), "accepted", "{defect}: the golden line is good");
        let refusal = refusal(spoil(&good, from, to));
        let expected = format!("the statement's member {expected}");
        assert!(refusal.starts_with(&expected), "{defect}: expected `{expected}`, got `{refusal}`");
    }
}

/// What must be accepted, so that a limit is where it is said to be.
fn assert_all_accepted(cases: &[(&str, &str, usize, &str, &str)]) {
    for (what, type_name, number, from, to) in cases {
        assert_eq!(refusal(spoil(&golden(type_name, *number), from, to)), "accepted", "{what}");
    }
}

const HASH_5: &str = "5555555555555555555555555555555555555555555555555555555555555555";
const HASH_7: &str = "7777777777777777777777777777777777777777777777777777777777777777";
const HASH_9: &str = "9999999999999999999999999999999999999999999999999999999999999999";
const HASH_A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const HASH_B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const HASH_D: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";

/// The quote is whole and of an enrolment's key, or there is none.
#[test]
pub(crate) fn what_an_appliance_states_of_its_start() {
    let attest = |named: &str| format!(r#"[{{"name":"{named}","sha256":"{HASH_9}","length":101,"erasable":false}}]"#);
    let (quoted, signature, values) = (attest("attest"), attest("signature"), attest("values"));
    assert_all_refused(&[
        ("start_without_enrolment", "start", 0, r#""enrolment":null,"#, "", "body.enrolment is missing"),
        ("start_of_no_device", "start", 1, HASH_7, "", "body.enrolment is not 64"),
        (
            "start_without_a_quote",
            "start",
            0,
            r#""enrolment":null"#,
            &format!(r#""enrolment":"{HASH_7}""#),
            r#"body.attachments lacks "attest""#,
        ),
        ("start_unsigned", "start", 1, r#""name":"signature""#, r#""name":"signed""#, r#"body.attachments lacks "signature""#),
        ("start_without_values", "start", 1, r#""name":"values""#, r#""name":"value""#, r#"body.attachments lacks "values""#),
        ("start_of_nothing", "start", 1, r#""name":"attest""#, r#""name":"quoted""#, r#"body.attachments lacks "attest""#),
        ("quote_of_nobody", "start", 0, "[]", &quoted, r#"body.attachments has "attest", and no enrolment"#),
        ("signature_of_nobody", "start", 0, "[]", &signature, r#"body.attachments has "signature", and no enrolment"#),
        ("values_of_nobody", "start", 0, "[]", &values, r#"body.attachments has "values", and no enrolment"#),
        ("start_by_a_camera", "start", 0, "appliance/a1", "camera/a1", "stream is not of the kind"),
    ]);
    assert_all_accepted(&[("other attachments", "start", 0, "[]", &attest("purposes"))]);
    let without_nonce =
        |number| golden("start", number).replace(r#""size":4211"#, r#""size":0"#).replace(&"3".repeat(64), crate::EMPTY_ROOT);
    assert!(refusal(without_nonce(1)).contains("observed.size is 0 in a start"), "a nonce that everybody knew was accepted");
    assert_eq!(refusal(without_nonce(0)), "accepted", "without a quote there is no nonce");
    for name in ["attest", "signature", "values"] {
        let erasable = erasable(&golden("start", 1), name, true);
        assert!(refusal(erasable).contains("must not be erasable"), "{name}");
    }
}

#[test]
pub(crate) fn what_a_camera_states_of_itself() {
    let description = r#""rtsp://192.0.2.7/stream1""#;
    assert_all_refused(&[
        ("heartbeat_without_uptime", "heartbeat", 0, r#""uptime_s":86400,"#, "", "body.uptime_s is missing"),
        ("heartbeat_of_half_a_statement", "heartbeat", 0, r#""unsent":3"#, r#""unsent":"3""#, "body.unsent is not an integer"),
        ("heartbeat_of_unsent_bytes_null", "heartbeat", 0, "1048576", "null", "body.unsent_bytes is not an integer"),
        (
            "heartbeat_of_a_last_segment_0",
            "heartbeat",
            1,
            r#""last_segment":null"#,
            r#""last_segment":0"#,
            "body.last_segment is not a string",
        ),
        ("heartbeat_by_a_user", "heartbeat", 0, "camera/102/main", "user/102/main", "stream is not of the kind"),
        ("config_of_unknown_mode", "config", 0, "continuous", "sometimes", "body.mode is none of the words"),
        ("config_of_unknown_source", "config", 0, r#""kind":"rtsp""#, r#""kind":"http""#, "body.source.kind is none of the words"),
        ("config_with_a_password", "config", 0, "rtsp://", "rtsp://admin:secret@", "body.source.description has a user name"),
        ("config_with_a_user", "config", 0, "rtsp://", "rtsp://admin@", "body.source.description has a user name"),
        (
            "config_with_a_password_without_scheme",
            "config",
            0,
            description,
            r#""admin:secret@camera""#,
            "body.source.description has a user name",
        ),
        ("config_with_an_escaped_password", "config", 0, description, r#""rtsp://a:b\u0040c/""#, "body.source.description has a user name"),
        ("config_without_description", "config", 0, description, r#""""#, "body.source.description is empty"),
        ("config_with_a_line_feed", "config", 0, "stream1", r"stream1\n", "body.source.description is empty, too long or has"),
        ("config_with_more_of_a_source", "config", 0, r#""kind":"rtsp""#, r#""kind":"rtsp","url":"""#, r#"body.source."url" is unknown"#),
        ("config_of_sound", "config", 0, "video/mp4", "audio/mp4", "body.media_type is neither"),
        ("config_of_no_version", "config", 0, "0.1.0 (c6411d7)", "", "body.version is empty"),
        (
            "config_of_no_source",
            "config",
            0,
            r#"{"kind":"rtsp","description":"rtsp://192.0.2.7/stream1"}"#,
            "null",
            "body.source is not an object",
        ),
        ("event_in_the_main_stream", "event", 0, "/events/", "/main/", "stream is not of the series"),
        ("event_deeper_down", "event", 0, "/events/", "/events/a/", "stream is not of the series"),
        ("event_above", "event", 0, "camera/102/events/2", "camera/102/2", "stream is not of the series"),
        ("event_of_unknown_kind", "event", 0, "tamper", "ufo", "body.kind is none of the words"),
        ("event_backwards", "event", 0, r#""to":null"#, r#""to":"2026-11-20T11:59:58.999Z""#, "body.to is before from"),
        ("event_with_escape_sequence", "event", 0, "case opened", r"\u001b[31m", "body.detail is too long or has characters"),
        ("event_that_is_not_ascii", "event", 0, "case opened", "Gehäuse", "body.detail is too long or has characters"),
        ("clock_jump_without_end", "event", 1, r#""2026-11-20T11:59:30.000Z""#, "null", "body.to is null, and a jump"),
        ("attestation_of_unknown_kind", "attestation", 0, "quote", "word", "body.kind is none of the words"),
        ("quote_without_values", "attestation", 1, r#""kind":"time""#, r#""kind":"quote""#, r#"body.attachments lacks "values""#),
        ("time_with_values", "attestation", 0, r#""kind":"quote""#, r#""kind":"time""#, r#"body.attachments has "values", which a clock"#),
        ("attestation_unsigned", "attestation", 0, r#""name":"signature""#, r#""name":"signed""#, r#"body.attachments lacks "signature""#),
        ("attestation_of_nothing", "attestation", 0, r#""name":"attest""#, r#""name":"quoted""#, r#"body.attachments lacks "attest""#),
        ("attestation_of_no_device", "attestation", 0, HASH_7, "", "body.enrolment is not 64"),
    ]);
    let without_nonce = golden("attestation", 0).replace(r#""size":4211"#, r#""size":0"#).replace(&"3".repeat(64), crate::EMPTY_ROOT);
    assert!(refusal(without_nonce).contains("observed.size is 0 in an attestation"), "a nonce that everybody knew was accepted");
    for name in ["attest", "signature", "values"] {
        let erasable = erasable(&golden("attestation", 0), name, true);
        let expected = format!("the statement's member body.attachments has \"{name}\", which must not be erasable");
        assert_eq!(refusal(erasable), expected, "what a TPM said could be erased");
    }
    for (length, accepted) in [(255, true), (256, false)] {
        let long = spoil(&golden("config", 0), "rtsp://192.0.2.7/stream1", &"a".repeat(length));
        assert_eq!(refusal(long) == "accepted", accepted, "a description of {length} characters");
    }
    for (length, accepted) in [(512, true), (513, false)] {
        let long = spoil(&golden("event", 0), "case opened", &"a".repeat(length));
        assert_eq!(refusal(long) == "accepted", accepted, "a detail of {length} characters");
    }
    assert_all_accepted(&[
        ("an event of a moment", "event", 0, r#""to":null"#, r#""to":"2026-11-20T11:59:59.000Z""#),
        ("a clock that jumped ahead", "event", 1, "11:59:30.000Z", "12:30:00.000Z"),
    ]);
}

/// The same statement, with `erasable` of the attachment turned.
fn erasable(good: &str, name: &str, to: bool) -> String {
    let at = good.find(&format!(r#"{{"name":"{name}""#)).expect("the attachment is there");
    let (before, after) = good.split_at(at);
    before.to_owned() + &after.replacen(&format!(r#""erasable":{}"#, !to), &format!(r#""erasable":{to}"#), 1)
}

#[test]
pub(crate) fn what_people_state() {
    let range = r#"{"stream":"camera/102/main/20261120T115958Z","first":1,"last":5}"#;
    let (hash_7, hash_a) = (format!("\"{HASH_7}\""), format!("\"{HASH_A}\""));
    assert_all_refused(&[
        ("group_without_name", "group", 0, "squad-7", "", "body.name is empty"),
        ("group_in_capitals", "group", 0, "squad-7", "Squad", "body.name is empty, too long or has"),
        ("group_number_zero", "group", 0, r#""number":2"#, r#""number":0"#, "body.number is not in 1..="),
        ("group_of_a_member_twice", "group", 0, HASH_B, HASH_A, "body.members names one twice"),
        ("group_of_everything", "group", 0, r#""scope":"camera/102""#, r#""scope":"camera""#, "body.scope is not a camera"),
        ("request_of_a_person", "request", 0, r#""scope":"camera/102""#, r#""scope":"user/7f3a""#, "body.scope is not a camera"),
        ("request_without_terms", "request", 0, r#""name":"terms""#, r#""name":"term""#, r#"body.attachments lacks "terms""#),
        ("request_without_purpose", "request", 0, r#""name":"purpose""#, r#""name":"why""#, r#"body.attachments lacks "purpose""#),
        ("revoke_of_nothing", "revoke", 0, &hash_7, "null", "body.grant is not a string"),
        ("approve_of_a_statement_alone", "approve", 0, r#""entry""#, r#""entri""#, "body.entry is missing"),
        ("approve_unread", "approve", 0, r#""statement""#, r#""statements""#, "body.statement is missing"),
        ("redaction_of_nothing", "redaction", 0, range, "", "body.ranges does not have 1 to 256 items"),
        ("redaction_into_nothing", "redaction", 0, "72000", "0", "body.output.length is not in 1..="),
        (
            "redaction_into_html",
            "redaction",
            0,
            r#""media_type":"video/mp4""#,
            r#""media_type":"text/html""#,
            "body.output.media_type is neither",
        ),
        ("redaction_into_more", "redaction", 0, r#""output":{"#, r#""output":{"path":"","#, r#"body.output."path" is unknown"#),
        ("redaction_into_another_digest", "redaction", 0, HASH_9, "00", "body.output.sha256 is not 64"),
        (
            "reopen_of_another_camera",
            "reopen",
            0,
            r#""stream":"camera/102/main/20261120T115958Z","first""#,
            r#""stream":"camera/103/main/1","first""#,
            "body.ranges has a stream outside",
        ),
        (
            "reopen_of_a_camera_that_begins_alike",
            "reopen",
            0,
            r#""stream":"camera/102/main/20261120T115958Z","first""#,
            r#""stream":"camera/1020/main/1","first""#,
            "body.ranges has a stream outside",
        ),
        ("reopen_for_nobody", "reopen", 0, &hash_a, "null", "body.recipient is not a string"),
        ("reopen_without_wraps", "reopen", 0, r#""name":"wraps""#, r#""name":"wrap""#, r#"body.attachments lacks "wraps""#),
        ("reopen_without_purpose", "reopen", 0, r#""name":"purpose""#, r#""name":"why""#, r#"body.attachments lacks "purpose""#),
        (
            "hold_of_a_camera",
            "hold",
            0,
            r#""series":"camera/102/main""#,
            r#""series":"camera/102""#,
            "body.series is not a series of a camera",
        ),
        ("hold_of_a_person", "hold", 0, r#""series":"camera"#, r#""series":"user"#, "body.series is not a series of a camera"),
        ("hold_of_a_prefix", "hold", 0, r#"/main","#, r#"/","#, "body.series is not a series of a camera"),
        ("hold_of_a_series_too_deep", "hold", 0, r#"/main","#, r#"/main/a/b/c","#, "body.series is not a series of a camera"),
        (
            "hold_of_a_camera_with_capitals",
            "hold",
            0,
            r#""series":"camera/102/"#,
            r#""series":"camera/10T/"#,
            "body.series is not a series",
        ),
        ("hold_backwards", "hold", 0, "11:00:00.000Z", "13:00:00.001Z", "body.to is before from"),
        ("hold_for_no_purpose", "hold", 0, r#""name":"purpose""#, r#""name":"why""#, r#"body.attachments lacks "purpose""#),
        ("release_of_nothing", "release", 0, &hash_7, "null", "body.hold is not a string"),
    ]);
}

#[test]
pub(crate) fn how_much_people_may_state() {
    for (type_name, name) in [("request", "terms"), ("request", "purpose"), ("reopen", "wraps"), ("reopen", "purpose"), ("hold", "purpose")]
    {
        assert_must_be_erasable(type_name, name);
    }
    for (type_name, name) in [("revoke", "purpose"), ("redaction", "mask")] {
        assert_must_be_erasable(type_name, name);
    }
    assert_all_accepted(&[
        ("a group that is the first", "group", 0, &format!("\"{HASH_7}\""), "null"),
        ("a hold of one moment", "hold", 0, "13:00:00.000Z", "11:00:00.000Z"),
        ("a hold of a deeper series", "hold", 0, r#"/main","#, r#"/main/a/b","#),
        ("a redaction whose mask is not kept", "redaction", 0, r#""name":"mask""#, r#""name":"other""#),
    ]);
    for (length, accepted) in [(64, true), (65, false)] {
        let long = spoil(&golden("group", 0), "squad-7", &"a".repeat(length));
        assert_eq!(refusal(long) == "accepted", accepted, "a group's name of {length} characters");
        let members = (0..length).map(|number| format!(r#""{number:064}""#)).collect::<Vec<_>>().join(",");
        let large = spoil(&golden("group", 0), &format!(r#""{HASH_A}","{HASH_B}""#), &members);
        assert_eq!(refusal(large) == "accepted", accepted, "a group of {length} members");
    }
}

fn assert_must_be_erasable(type_name: &str, name: &str) {
    let expected = format!("the statement's member body.attachments has \"{name}\", which must be erasable");
    assert_eq!(refusal(erasable(&golden(type_name, 0), name, false)), expected, "{type_name} could keep {name} for ever");
}

#[test]
pub(crate) fn what_a_login_is() {
    let nonce = "c".repeat(64);
    let (exporter, stream) = (format!("\"{HASH_D}\""), format!("login/{}", "c".repeat(32)));
    let other_stream = format!("login/{}", "d".repeat(32));
    let upper_case = format!("login/{}", "C".repeat(32));
    assert_all_refused(&[
        ("login_of_another_nonce", "login", 0, &nonce, &"d".repeat(64), "stream does not end in the first 16 bytes"),
        ("login_in_the_stream_of_another", "login", 0, &stream, &other_stream, "stream does not end in the first 16 bytes"),
        ("login_in_the_middle_of_a_stream", "login", 0, r#"7f3a/login/"#, r#"7f3a/"#, "stream is not of the series"),
        ("login_in_capitals", "login", 0, &stream, &upper_case, "stream is not a stream name"),
        ("login_in_a_series_below", "login", 0, "/login/", "/login/a/", "stream is not of the series"),
        ("login_of_a_camera", "login", 0, "user/7f3a", "camera/7f3a", "stream is not of the kind"),
        ("login_to_a_person", "login", 0, "/appliance/a1", "/user/a1", "body.audience is not an appliance"),
        ("login_to_a_web_site", "login", 0, "spiffe://", "https://", "body.audience is not an appliance"),
        ("login_to_an_address_with_port", "login", 0, "city.example", "city.example:443", "body.audience is not an appliance"),
        ("login_without_nonce", "login", 0, &nonce, "", "body.nonce is not 64"),
        ("login_of_half_an_exporter", "login", 0, HASH_D, &"d".repeat(32), "body.exporter is not 64"),
        ("login_that_has_expired", "login", 0, "12:02:02.345Z", "12:00:02.344Z", "body.expires is not after issued"),
        ("login_of_no_duration", "login", 0, "12:02:02.345Z", "12:00:02.345Z", "body.expires is not after issued"),
        ("login_of_more_than_five_minutes", "login", 0, "12:02:02.345Z", "12:05:02.346Z", "body.expires is not after issued"),
        ("login_for_ever", "login", 0, r#""2026-11-20T12:02:02.345Z""#, "null", "body.expires is not a string"),
    ]);
    assert_all_accepted(&[
        ("a login where nobody can tell the exporter", "login", 0, &exporter, "null"),
        ("a login of five minutes", "login", 0, "12:02:02.345Z", "12:05:02.345Z"),
    ]);
    let second = golden("login", 0).replace(r#""seq":0"#, r#""seq":1"#).replace(&"0".repeat(64), HASH_7);
    assert!(refusal(second).contains("seq is 0 in a login"), "a login followed a login");
    let among_logins = spoil(&golden("release", 0), "7f3a/", "7f3a/login/");
    assert!(refusal(among_logins).contains("stream is not of the series"), "another statement stood where logins stand");
    let same_word = spoil(&golden("heartbeat", 0), "/main/", "/login/");
    assert_eq!(refusal(same_word), "accepted", "a camera's series may be called login");
}

#[test]
pub(crate) fn what_an_authority_states() {
    assert_all_refused(&[
        (
            "revocation_for_a_reason_unknown",
            "certificate-revocation",
            0,
            "key-compromise",
            "keyCompromise",
            "body.reason is none of the words",
        ),
        (
            "revocation_that_is_taken_back",
            "certificate-revocation",
            0,
            "key-compromise",
            "remove-from-crl",
            "body.reason is none of the words",
        ),
        (
            "revocation_since_ever",
            "certificate-revocation",
            0,
            r#""since":"2026-11-18T00:00:00.000Z""#,
            r#""since":null"#,
            "body.since is not a string",
        ),
        ("revocation_by_an_appliance", "certificate-revocation", 0, "authority/ca1", "appliance/ca1", "stream is not of the kind"),
        ("revocation_of_nothing", "certificate-revocation", 0, HASH_B, "", "body.fingerprint is not 64"),
        ("enrolment_of_unknown_policy", "enrolment", 0, r#""attested""#, r#""trusted""#, "body.policy is none of the words"),
        ("enrolment_attested_without_nonce", "enrolment", 0, &format!("\"{}\"", "c".repeat(64)), "null", "body.nonce is null in an"),
        ("enrolment_of_software_with_a_nonce", "enrolment", 2, "null", &format!("\"{HASH_B}\""), "body.nonce is null in an"),
        (
            "enrolment_of_software_with_evidence",
            "enrolment",
            2,
            r#""attachments":[]"#,
            &format!(r#""attachments":[{{"name":"a","sha256":"{HASH_B}","length":1,"erasable":false}}]"#),
            "body.attachments is not empty",
        ),
        (
            "enrolment_attested_by_no_vendor",
            "enrolment",
            1,
            r#""allow-listed""#,
            r#""attested""#,
            r#"body.attachments lacks "ek-certificate""#,
        ),
        ("enrolment_of_a_second_issuer_alone", "enrolment", 0, "ek-issuer-0", "ek-issuer-1", r#"body.attachments lacks "ek-issuer-0""#),
        ("enrolment_of_an_issuer_00", "enrolment", 0, "ek-issuer-0", "ek-issuer-00", r#"body.attachments lacks "ek-issuer-0""#),
        ("enrolment_of_an_issuer_without_number", "enrolment", 0, "ek-issuer-0", "ek-issuer-", r#"body.attachments lacks "ek-issuer-0""#),
    ]);
    for number in [0, 1] {
        for name in ["ek-public", "ak-public", "certify", "certify-signature", "key-public"] {
            let without = spoil(&golden("enrolment", number), &format!(r#""name":"{name}""#), r#""name":"x""#);
            let expected = format!("the statement's member body.attachments lacks \"{name}\"");
            assert_eq!(refusal(without), expected, "an enrolment without {name} was accepted");
            let erasable = erasable(&golden("enrolment", number), name, true);
            assert!(refusal(erasable).ends_with("which must not be erasable"), "{name} could be erased");
        }
    }
    for (type_name, name) in [("enrolment", "ek-certificate"), ("enrolment", "ek-issuer-0"), ("certificate-revocation", "crl")] {
        assert!(refusal(erasable(&golden(type_name, 0), name, true)).ends_with("which must not be erasable"), "{name} could be erased");
    }
    let second_issuer_alone = spoil(&golden("certificate", 0), "issuer-0", "issuer-2");
    assert!(refusal(second_issuer_alone).ends_with(r#"lacks "issuer-0""#), "a hole in the chain of issuers was accepted");
    for word in [
        "unspecified",
        "ca-compromise",
        "affiliation-changed",
        "superseded",
        "cessation-of-operation",
        "certificate-hold",
        "privilege-withdrawn",
        "aa-compromise",
    ] {
        assert_eq!(refusal(spoil(&golden("certificate-revocation", 0), "key-compromise", word)), "accepted", "{word}");
    }
}

#[test]
pub(crate) fn what_an_appliance_states_of_its_log() {
    let key = r#""exhibit.example/log-2027+a328bb42+AYE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU""#;
    assert_all_refused(&[
        ("succession_to_an_origin_with_plus", "succession", 0, r#""origin":"exhibit"#, r#""origin":"+exhibit"#, "body.successor.origin is"),
        ("succession_to_a_log_without_keys", "succession", 0, key, "", "body.successor.keys does not have 1 to 8 items"),
        ("succession_to_a_key_that_is_none", "succession", 0, key, r#""key""#, "body.successor.keys.0 is not a verifier key"),
        ("succession_to_a_key_twice", "succession", 0, key, &format!("{key},{key}"), "body.successor.keys names one twice"),
        ("succession_to_more", "succession", 0, r#""successor":{"#, r#""successor":{"url":"","#, r#"body.successor."url" is unknown"#),
        ("succession_for_no_reason", "succession", 0, r#""year""#, r#""whim""#, "body.reason is none of the words"),
        ("log_of_no_lines", "log", 0, r#""count":512"#, r#""count":0"#, "body.count is not in 1..=65536"),
        ("log_of_too_many_lines", "log", 0, r#""count":512"#, r#""count":65537"#, "body.count is not in 1..=65536"),
        ("log_backwards", "log", 0, "11:00:00.000Z", "12:00:00.000Z", "body.to is before from"),
        ("log_without_lines", "log", 0, r#""name":"lines""#, r#""name":"line""#, r#"body.attachments lacks "lines""#),
        ("log_without_number", "log", 0, r#""number":4,"#, "", "body.number is missing"),
        ("log_of_no_root", "log", 0, HASH_5, "", "body.root is not 64"),
        ("timestamp_of_nothing", "timestamp", 0, r#""size":4096"#, r#""size":0"#, "body.size is not in 1..="),
        (
            "timestamp_beyond_what_was_observed",
            "timestamp",
            0,
            r#""size":4096"#,
            r#""size":4212"#,
            "body.size and body.root are not of a head",
        ),
        ("timestamp_of_another_tree", "timestamp", 0, r#""size":4096"#, r#""size":4211"#, "body.size and body.root are not of a head"),
        (
            "timestamp_without_checkpoint",
            "timestamp",
            0,
            r#""name":"checkpoint""#,
            r#""name":"note""#,
            r#"body.attachments lacks "checkpoint""#,
        ),
        ("timestamp_without_its_first_token", "timestamp", 0, "token-0", "other", r#"body.attachments lacks "token-0""#),
        ("timestamp_of_a_token_with_a_sign", "timestamp", 0, "token-1", "token--1", r#"body.attachments lacks "token-1""#),
    ]);
    assert_must_be_erasable("log", "lines");
    for name in ["checkpoint", "token-0", "token-1"] {
        assert!(refusal(erasable(&golden("timestamp", 0), name, true)).ends_with("which must not be erasable"), "{name} could be erased");
    }
    let observed = golden("timestamp", 0).replace(r#""size":4096"#, r#""size":4211"#).replace(HASH_5, &"3".repeat(64));
    assert_eq!(refusal(observed), "accepted", "the observed head itself may be witnessed");
    assert_all_accepted(&[("a batch of 65,536 lines", "log", 0, r#""count":512"#, r#""count":65536"#)]);
}

/// Whatever a body names beside the ledger, it tells and writes again: of what it did not tell, nobody would ask whether it is there.
#[test]
pub(crate) fn every_body_tells_what_it_names() {
    let named = format!(r#""attachments":[{{"name":"note","sha256":"{HASH_7}","length":32,"erasable":true}}]"#);
    let mut optional = 0;
    for line in include_str!("../vectors/statements.jsonl").lines() {
        let with_one = line.replace(r#""attachments":[]"#, &named);
        assert_eq!(refusal(line), "accepted");
        for text in [line, &with_one] {
            let Ok(statement) = Statement::parse(text.as_bytes()) else { continue };
            assert_eq!(statement.body.attachments().len(), text.matches(r#""erasable":"#).count(), "{text}");
            // What is unknown is written in the order of its members' names.
            if !matches!(statement.body, Body::Unknown { .. }) {
                assert_eq!(String::from_utf8(statement.to_bytes()).as_deref(), Ok(text));
            }
            optional += usize::from(text != line);
        }
    }
    assert!(optional > 5, "only {optional} bodies may name more than they must");
}

#[test]
pub(crate) fn what_an_appliance_states_of_single_dealings() {
    let (hash_7, hash_9) = (format!("\"{HASH_7}\""), format!("\"{HASH_9}\""));
    let erased = golden("erasure", 0).split_once('[').unwrap().1.split_once(']').unwrap().0.to_owned();
    let ends = r#""until":"2026-11-20T13:00:00.000Z""#;
    assert_all_refused(&[
        ("ban_of_unknown_kind", "ban", 0, r#""network""#, r#""planet""#, "body.kind is none of the words"),
        ("ban_for_no_reason", "ban", 0, r#""rate""#, r#""""#, "body.reason is none of the words"),
        ("ban_of_nobody", "ban", 0, r#""name":"subject""#, r#""name":"who""#, r#"body.attachments lacks "subject""#),
        ("ban_that_has_ended", "ban", 0, ends, r#""until":"2026-11-20T12:00:02.345Z""#, "body.until is not after issued"),
        (
            "ban_that_is_lifted_and_names_somebody",
            "ban",
            0,
            r#""lifts":null"#,
            &format!(r#""lifts":{hash_7}"#),
            r#"body.attachments has "subject""#,
        ),
        ("ban_that_is_lifted_until", "ban", 1, r#""until":null"#, ends, "body.until is not null"),
        ("ban_that_neither_bans_nor_lifts", "ban", 1, &hash_7, "null", r#"body.attachments lacks "subject""#),
        (
            "retention_of_a_person",
            "retention",
            0,
            r#""stream":"camera/102/main/20261120T115958Z","first""#,
            r#""stream":"user/102/main/1","first""#,
            "body.ranges has a stream that is no camera's",
        ),
        ("retention_by_no_rule", "retention", 0, "thirty-days", "", "body.rule is empty"),
        ("retention_by_a_sentence", "retention", 0, "thirty-days", "thirty days", "body.rule is empty, too long or has"),
        ("erasure_of_nothing", "erasure", 0, &erased, "", "body.erased does not have 1 to 256 items"),
        ("erasure_of_one_twice", "erasure", 0, &erased, &format!("{erased},{erased}"), "body.erased names one twice"),
        (
            "erasure_of_one_twice_by_two_hashes",
            "erasure",
            0,
            &erased,
            &format!("{erased},{}", erased.replace('8', "9")),
            "body.erased names one twice",
        ),
        ("erasure_of_more", "erasure", 0, r#""erased":[{"#, r#""erased":[{"by":"","#, r#"body.erased.0."by" is unknown"#),
        ("erasure_of_a_path", "erasure", 0, r#""name":"terms""#, r#""name":"../terms""#, "body.erased.0.name is empty, too long or has"),
        ("erasure_for_no_reason", "erasure", 0, r#""court""#, r#""""#, "body.reason is none of the words"),
        ("erasure_by_a_court_without_order", "erasure", 0, &hash_9, "null", "body.order is null, and the reason is not policy"),
        (
            "erasure_on_request_without_order",
            "erasure",
            1,
            r#""policy""#,
            r#""request""#,
            "body.order is null, and the reason is not policy",
        ),
    ]);
    assert_must_be_erasable("ban", "subject");
    assert_all_accepted(&[
        ("a ban until it is lifted", "ban", 0, r#""2026-11-20T13:00:00.000Z""#, "null"),
        ("a policy that was approved", "erasure", 0, r#""court""#, r#""policy""#),
        ("two attachments of an entry", "erasure", 0, &erased, &format!("{erased},{}", erased.replace("terms", "wraps"))),
    ]);
    let many = |count: usize| {
        let all = (0..count).map(|number| erased.replace("terms", &format!("a{number}"))).collect::<Vec<_>>().join(",");
        refusal(spoil(&golden("erasure", 0), &erased, &all))
    };
    assert_eq!(many(256), "accepted");
    assert!(many(257).ends_with("body.erased does not have 1 to 256 items"), "257 attachments were erased at once");
}
