//! What is written is read again as it was, for statements of every type.

#![allow(clippy::unwrap_used)]

use exhibit_evidence::{
    AttachmentRef, Body, Head, Statement, StreamName,
    body::{
        Access, Approve, Attestation, AttestationKind, Ban, BanKind, BanReason, CertificateBody, CertificateRevocation, Close, CloseReason,
        Config, Continues, Contradiction, DevicePolicy, Enrolment, Epoch, EpochReason, Erased, Erasure, ErasureReason, Event, EventKind,
        Export, Fetch, Gap, GapCause, Genesis, Grant, Group, Heartbeat, Hold, LogBatch, Login, Mode, Output, Predecessor,
        REVOCATION_REASONS, Recipients, Redaction, Release, Reopen, Request, Retention, Revoke, Segment, SeqRange, Source, SourceKind,
        Start, StreamPosition, Succession, SuccessionReason, Successor, TimestampBody,
    },
};
use exhibit_pki::{Identity, Timestamp};
use exhibit_tlog::{EMPTY_ROOT, Ed25519NoteSigner, Hash, NoteSigner};
use proptest::{collection::vec, prelude::*};
use zeroize::Zeroizing;

const INTEGER_MAX: u64 = (1 << 53) - 1;
/// 9999-12-31T23:59:59.999Z
const LAST_UNIX_MS: u64 = 253_402_300_799_999;

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..=LAST_UNIX_MS).prop_map(|unix_ms| Timestamp::from_unix_ms(unix_ms).unwrap())
}

fn stream(kind: &'static str) -> impl Strategy<Value = StreamName> {
    "/[a-z0-9-]{1,20}(/[a-z0-9TZ-]{1,16}){1,4}".prop_map(move |rest| StreamName::parse(&format!("{kind}{rest}")).unwrap())
}

/// Those demanded, and up to three others whose names can not meet them.
fn attachments(demanded: &'static [(&'static str, bool)]) -> impl Strategy<Value = Vec<AttachmentRef>> {
    let lengths = 32..=16 * 1024 * 1024u64;
    let others = vec((hash(), lengths.clone(), any::<bool>()), 0..=3);
    (others, vec((hash(), lengths), demanded.len())).prop_map(move |(others, known)| {
        let known = known.into_iter().zip(demanded).map(|((sha256, length), (name, erasable))| AttachmentRef {
            name: (*name).to_owned(),
            sha256,
            length,
            erasable: *erasable,
        });
        let others = others.into_iter().enumerate().map(|(number, (sha256, length, erasable))| AttachmentRef {
            name: format!("other-{number}"),
            sha256,
            length,
            erasable,
        });
        known.chain(others).collect()
    })
}

fn fingerprints(max: usize) -> impl Strategy<Value = Vec<[u8; 32]>> {
    proptest::collection::btree_set(any::<[u8; 32]>(), 1..=max).prop_map(|set| set.into_iter().collect())
}

fn ranges() -> impl Strategy<Value = Vec<SeqRange>> {
    let range = (stream("camera"), 0..=INTEGER_MAX, 0..=INTEGER_MAX);
    vec(range.prop_map(|(stream, one, other)| SeqRange { stream, first: one.min(other), last: one.max(other) }), 1..=20)
}

fn scope() -> impl Strategy<Value = String> {
    "camera/[a-z0-9]{1,20}"
}

fn epoch() -> impl Strategy<Value = Body> {
    use EpochReason::*;
    let reasons = prop::sample::select(vec![Start, Rotation, Backlog, StateLost, Contradiction, DeviceReplaced, Succession]);
    let previous = prop::option::of((stream("camera"), 0..=INTEGER_MAX, hash()));
    (hash(), time(), hash(), reasons, previous, attachments(&[("wraps", true)])).prop_map(
        |(commitment, started, recipients, reason, previous, attachments)| {
            let previous = previous.map(|(stream, seq, leaf)| StreamPosition { stream, seq, leaf });
            Body::Epoch(Epoch { commitment, started, recipients, continues: Continues { reason, previous }, attachments })
        },
    )
}

fn segment() -> impl Strategy<Value = Body> {
    let media = prop::sample::select(vec!["video/mp4", "image/jpeg"]);
    let first = (0..1u32 << 20, any::<[u8; 16]>(), time(), 0..=10_000u64, media, any::<bool>());
    let second = (vec(17..=32_000u32, 1..=256), hash(), hash(), attachments(&[]));
    (first, second).prop_map(|((slot, salt, start, duration_ms, media, random_access), (fragment_lengths, one, other, attachments))| {
        Body::Segment(Segment {
            slot,
            salt,
            start,
            duration_ms,
            media_type: media.to_owned(),
            random_access,
            fragment_lengths,
            ciphertext_root: one,
            commitment_root: other,
            attachments,
        })
    })
}

fn gap() -> impl Strategy<Value = Body> {
    let causes = prop::sample::select(vec![GapCause::EvictedOffline, GapCause::SourceLost, GapCause::Power, GapCause::Mode]);
    (causes, time(), time(), attachments(&[]))
        .prop_map(|(cause, one, other, attachments)| Body::Gap(Gap { cause, from: one.min(other), to: one.max(other), attachments }))
}

fn close() -> impl Strategy<Value = Body> {
    let reasons = prop::sample::select(vec![CloseReason::Stop, CloseReason::Rotation, CloseReason::EndOfSource]);
    (reasons, attachments(&[])).prop_map(|(reason, attachments)| Body::Close(Close { reason, attachments }))
}

fn recipients() -> impl Strategy<Value = Body> {
    let sets = (fingerprints(64), fingerprints(64), any::<prop::sample::Index>());
    (scope(), 1..=INTEGER_MAX, prop::option::of(hash()), sets, time(), attachments(&[])).prop_map(
        |(scope, number, replaces, (recipients, custodians, threshold), expires, attachments)| {
            let threshold = threshold.index(custodians.len()) as u64 + 1;
            Body::Recipients(Recipients { scope, number, replaces, recipients, custodians, threshold, expires, attachments })
        },
    )
}

fn grant() -> impl Strategy<Value = Body> {
    (scope(), attachments(&[("terms", true), ("wraps", true)])).prop_map(|(scope, attachments)| Body::Grant(Grant { scope, attachments }))
}

fn fetch() -> impl Strategy<Value = Body> {
    (prop::option::of(hash()), ranges(), attachments(&[("purpose", true)]))
        .prop_map(|(grant, ranges, attachments)| Body::Fetch(Fetch { grant, ranges, attachments }))
}

fn export() -> impl Strategy<Value = Body> {
    (hash(), ranges(), hash(), attachments(&[]))
        .prop_map(|(fetch, ranges, manifest, attachments)| Body::Export(Export { fetch, ranges, manifest, attachments }))
}

fn certificate() -> impl Strategy<Value = Body> {
    (any::<[u8; 32]>(), prop::option::of(any::<[u8; 32]>()), attachments(&[("certificate", false)]))
        .prop_map(|(fingerprint, replaces, attachments)| Body::Certificate(CertificateBody { fingerprint, replaces, attachments }))
}

/// Verifier keys of a log's notes, by names and seeds.
fn log_keys() -> impl Strategy<Value = Vec<String>> {
    let key = |(name, seed): (String, [u8; 32])| Ed25519NoteSigner::new(&name, &Zeroizing::new(seed)).unwrap().verifier_key().to_string();
    proptest::collection::btree_set(("[!-*,-~]{1,255}", any::<[u8; 32]>()).prop_map(key), 1..=8).prop_map(|keys| keys.into_iter().collect())
}

fn genesis() -> impl Strategy<Value = Body> {
    let logs = proptest::collection::btree_map(hash().prop_map(|hash| hash.0), (1..=INTEGER_MAX, hash()), 0..=33);
    let texts = ("[!-*,-~]{1,255}", "\\PC{0,200}");
    (texts, log_keys(), fingerprints(16), logs, attachments(&[("certificate", false)])).prop_map(
        |((origin, witness_policy), keys, roots, logs, attachments)| {
            let mut logs = logs.into_iter().map(|(log, (size, root))| Predecessor { log: Hash(log), head: Head { size, root } });
            let (predecessor, earlier) = (logs.next(), logs.collect());
            Body::Genesis(Genesis { origin, keys, roots, witness_policy, predecessor, earlier, attachments })
        },
    )
}

fn text(pattern: &'static str) -> impl Strategy<Value = String> {
    pattern.prop_map(|text: String| text)
}

fn word<T: Copy + std::fmt::Debug>(words: &'static [(&'static str, T)]) -> impl Strategy<Value = T> {
    (0..words.len()).prop_map(|index| words[index].1)
}

fn forwards() -> impl Strategy<Value = (Timestamp, Timestamp)> {
    (time(), time()).prop_map(|(one, other)| (one.min(other), one.max(other)))
}

fn of_the_camera_itself() -> impl Strategy<Value = Body> {
    let numbers = (0..=INTEGER_MAX, 0..=INTEGER_MAX, 0..=INTEGER_MAX);
    let heartbeat =
        (numbers, prop::option::of(time()), attachments(&[])).prop_map(|((uptime_s, unsent, unsent_bytes), last_segment, attachments)| {
            Body::Heartbeat(Heartbeat { uptime_s, unsent, unsent_bytes, last_segment, attachments })
        });
    let source = (word(SourceKind::WORDS), text("[ -?A-~]{1,255}")).prop_map(|(kind, description)| Source { kind, description });
    let config = (word(Mode::WORDS), source, text("(video/mp4|image/jpeg)"), text("[ -~]{1,128}"), attachments(&[])).prop_map(
        |(mode, source, media_type, version, attachments)| Body::Config(Config { mode, source, media_type, version, attachments }),
    );
    let event = (word(EventKind::WORDS), forwards(), any::<bool>(), text("[ -~]{0,512}"), attachments(&[])).prop_map(
        |(kind, (one, other), turned, detail, attachments)| {
            let jump = kind == EventKind::ClockJump;
            let (from, to) = if jump && turned { (other, one) } else { (one, other) };
            Body::Event(Event { kind, from, to: (jump || turned).then_some(to), detail, attachments })
        },
    );
    let attestation = (word(AttestationKind::WORDS), hash(), attachments(QUOTE)).prop_map(|(kind, enrolment, mut attachments)| {
        attachments.retain(|attachment| kind == AttestationKind::Quote || attachment.name != "values");
        Body::Attestation(Attestation { kind, enrolment, attachments })
    });
    prop_oneof![heartbeat, config, event, attestation]
}

fn of_people() -> impl Strategy<Value = Body> {
    const BOTH: &[(&str, bool)] = &[("wraps", true), ("purpose", true)];
    let group = (scope(), text("[a-z0-9-]{1,64}"), 1..=INTEGER_MAX, prop::option::of(hash()), fingerprints(64), attachments(&[])).prop_map(
        |(scope, name, number, replaces, members, attachments)| Body::Group(Group { scope, name, number, replaces, members, attachments }),
    );
    let request = (scope(), attachments(&[("terms", true), ("purpose", true)]))
        .prop_map(|(scope, attachments)| Body::Request(Request { scope, attachments }));
    let revoke = (hash(), attachments(&[])).prop_map(|(grant, attachments)| Body::Revoke(Revoke { grant, attachments }));
    let approve = (hash(), hash(), attachments(&[]))
        .prop_map(|(entry, statement, attachments)| Body::Approve(Approve { entry, statement, attachments }));
    let output = (hash(), 1..=INTEGER_MAX, text("(video/mp4|image/jpeg)")).prop_map(|(sha256, length, media_type)| Output {
        sha256,
        length,
        media_type,
    });
    let redaction = (hash(), ranges(), output, attachments(&[("mask", true)]))
        .prop_map(|(fetch, ranges, output, attachments)| Body::Redaction(Redaction { fetch, ranges, output, attachments }));
    let reopen = (ranges(), any::<[u8; 32]>(), attachments(BOTH)).prop_map(|(ranges, recipient, attachments)| {
        let ranges = vec![ranges[0].clone()];
        Body::Reopen(Reopen { scope: ranges[0].stream.owner().to_owned(), ranges, recipient, attachments })
    });
    let hold = (text("camera/[a-z0-9-]{1,20}(/[a-z0-9TZ-]{1,16}){1,3}"), forwards(), attachments(&[("purpose", true)]))
        .prop_map(|(series, (from, to), attachments)| Body::Hold(Hold { series, from, to, attachments }));
    let release = (hash(), attachments(&[])).prop_map(|(hold, attachments)| Body::Release(Release { hold, attachments }));
    let login = (text("[a-z0-9]{1,20}(\\.[a-z0-9]{1,9}){0,3}"), any::<[u8; 32]>(), prop::option::of(hash()), attachments(&[])).prop_map(
        |(domain, nonce, exporter, attachments)| {
            let audience = Identity::parse(&format!("spiffe://{domain}/appliance/a-1")).unwrap();
            Body::Login(Login { audience, nonce, exporter, expires: Timestamp::from_unix_ms(1).unwrap(), attachments })
        },
    );
    prop_oneof![group, request, revoke, approve, redaction, reopen, hold, release, login]
}

fn of_the_authority() -> impl Strategy<Value = Body> {
    const EVIDENCE: &[(&str, bool)] = &[
        ("ek-public", false),
        ("ak-public", false),
        ("certify", false),
        ("certify-signature", false),
        ("key-public", false),
        ("ek-certificate", false),
        ("ek-issuer-0", false),
    ];
    let revocation = (any::<[u8; 32]>(), time(), word(&REVOCATION_REASONS), attachments(&[("crl", false)])).prop_map(
        |(fingerprint, since, reason, attachments)| {
            Body::CertificateRevocation(CertificateRevocation { fingerprint, since, reason, attachments })
        },
    );
    let enrolment = (any::<[u8; 32]>(), word(DevicePolicy::WORDS), any::<[u8; 32]>(), attachments(EVIDENCE)).prop_map(
        |(fingerprint, policy, nonce, mut attachments)| {
            attachments.retain(|attachment| match policy {
                DevicePolicy::Attested => true,
                DevicePolicy::AllowListed => attachment.name != "ek-certificate",
                DevicePolicy::Software => false,
            });
            Body::Enrolment(Enrolment { fingerprint, policy, nonce: (policy != DevicePolicy::Software).then_some(nonce), attachments })
        },
    );
    prop_oneof![revocation, enrolment]
}

/// Of a quote, beside the ledger.
const QUOTE: &[(&str, bool)] = &[("attest", false), ("signature", false), ("values", false)];

fn of_the_appliance() -> impl Strategy<Value = Body> {
    let start = (text("[ -~]{1,128}"), prop::option::of(hash()), attachments(QUOTE)).prop_map(|(version, enrolment, mut attachments)| {
        attachments.retain(|attachment| enrolment.is_some() || !QUOTE.iter().any(|(name, _)| *name == attachment.name));
        Body::Start(Start { version, enrolment, attachments })
    });
    let access = (hash(), any::<bool>(), attachments(&[]))
        .prop_map(|(fetch, granted, attachments)| Body::Access(Access { fetch, granted, attachments }));
    let contradiction = (stream("user"), 0..=INTEGER_MAX, attachments(&[("first", false), ("second", false)]))
        .prop_map(|(stream, seq, attachments)| Body::Contradiction(Contradiction { stream, seq, attachments }));
    let succession = (text("[!-*,-~]{1,255}"), log_keys(), word(SuccessionReason::WORDS), attachments(&[])).prop_map(
        |(origin, keys, reason, attachments)| Body::Succession(Succession { successor: Successor { origin, keys }, reason, attachments }),
    );
    let batch = (0..=INTEGER_MAX, 0..=INTEGER_MAX, 1..=65_536u64, hash(), forwards(), attachments(&[("lines", true)])).prop_map(
        |(number, first, count, root, (from, to), attachments)| Body::Log(LogBatch { number, first, count, root, from, to, attachments }),
    );
    let ban = (word(BanKind::WORDS), word(BanReason::WORDS), any::<bool>(), prop::option::of(hash()), attachments(&[("subject", true)]))
        .prop_map(|(kind, reason, ends, lifts, mut attachments)| {
            attachments.retain(|attachment| lifts.is_none() || attachment.name != "subject");
            let until = (ends && lifts.is_none()).then_some(Timestamp::MAX);
            Body::Ban(Ban { kind, reason, until, lifts, attachments })
        });
    let retention = (ranges(), text("[a-z0-9-]{1,64}"), attachments(&[]))
        .prop_map(|(ranges, rule, attachments)| Body::Retention(Retention { ranges, rule, attachments }));
    let erased = vec((hash(), text("[a-z0-9-]{1,32}"), hash()).prop_map(|(entry, name, sha256)| Erased { entry, name, sha256 }), 1..=100);
    let erasure = (erased, word(ErasureReason::WORDS), hash(), attachments(&[]))
        .prop_map(|(erased, reason, order, attachments)| Body::Erasure(Erasure { erased, reason, order: Some(order), attachments }));
    let timestamp = (1..INTEGER_MAX, hash(), attachments(&[("checkpoint", false), ("token-0", false), ("token-1", false)]))
        .prop_map(|(size, root, attachments)| Body::Timestamp(TimestampBody { head: Head { size, root }, attachments }));
    prop_oneof![start, access, contradiction, succession, batch, ban, retention, erasure, timestamp]
}

fn unknown() -> impl Strategy<Value = Body> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (0..=INTEGER_MAX).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    // Statement, body and member stand around it: five of the eight levels are left.
    let value = leaf.prop_recursive(5, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    });
    (value, hash()).prop_map(|(value, sha256)| {
        let attachments = vec![AttachmentRef { name: "a".to_owned(), sha256, length: 5, erasable: false }];
        let reference = serde_json::json!({"name": "a", "sha256": sha256.to_string(), "length": 5, "erasable": false});
        Body::Unknown {
            type_name: "weather/v12".to_owned(),
            attachments,
            body: serde_json::json!({"what": value, "attachments": [reference]}),
        }
    })
}

fn body() -> impl Strategy<Value = Body> {
    let people = prop_oneof![recipients(), grant(), fetch(), export(), of_people()];
    let machines = prop_oneof![epoch(), segment(), gap(), close(), of_the_camera_itself()];
    prop_oneof![people, machines, certificate(), of_the_authority(), genesis(), of_the_appliance(), unknown()]
}

fn statement() -> impl Strategy<Value = Statement> {
    let first = (hash(), 0..=INTEGER_MAX, hash(), 0..LAST_UNIX_MS - 300_000, 0..=INTEGER_MAX, hash());
    (body(), first, "[a-z0-9-]{1,20}", "[a-z0-9TZ-]{1,16}").prop_map(
        |(mut body, (log, seq, prev, issued_ms, size, root), id, generation)| {
            let genesis = matches!(body, Body::Genesis(_));
            let seq = if matches!(body, Body::Genesis(_) | Body::Epoch(_) | Body::Login(_)) { 0 } else { seq };
            let size = match &body {
                Body::Genesis(_) => 0,
                Body::Attestation(_) => size.max(1),
                Body::Timestamp(timestamp) => size.max(timestamp.head.size + 1).min(INTEGER_MAX),
                _ => size,
            };
            let place = match &mut body {
                Body::Event(_) => format!("{id}/events/{generation}"),
                Body::Login(login) => {
                    login.expires = Timestamp::from_unix_ms(issued_ms + 1 + size % 300_000).unwrap();
                    format!("{id}/login/{}", Login::generation(&login.nonce))
                }
                _ => format!("{id}/{generation}/{generation}"),
            };
            Statement {
                log: if genesis { Hash([0; 32]) } else { log },
                stream: StreamName::parse(&format!("{}/{place}", body.stream_kind().unwrap_or("camera"))).unwrap(),
                seq,
                prev: if seq == 0 { Hash([0; 32]) } else { prev },
                issued: Timestamp::from_unix_ms(issued_ms).unwrap(),
                observed: Head { size, root: if size == 0 { EMPTY_ROOT } else { root } },
                body,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_again(statement in statement()) {
        let bytes = statement.to_bytes();
        prop_assert_eq!(Statement::parse(&bytes), Ok(statement));
    }

    #[test]
    fn hostile_bytes_are_refused_without_a_panic(statement in statement(), position: prop::sample::Index, byte: u8) {
        let mut bytes = statement.to_bytes();
        let position = position.index(bytes.len());
        // The same digit of an escape in another case, and another white space, mean the same: the bytes are hashed as they came.
        let meant = byte == bytes[position] || bytes.contains(&b'\\');
        bytes[position] = byte;
        if let Ok(other) = Statement::parse(&bytes) {
            prop_assert!(meant || other != statement, "a statement with another byte reads the same");
            prop_assert_eq!(Statement::parse(&other.to_bytes()), Ok(other));
        }
        prop_assert!(Statement::parse(&bytes[..position]).is_err(), "a statement that was cut short was accepted");
    }
}
