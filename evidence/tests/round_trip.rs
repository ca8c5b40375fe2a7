//! What is written is read again as it was, for statements of every type.

#![allow(clippy::unwrap_used)]

use exhibit_evidence::{
    AttachmentRef, Body, Head, Statement, StreamName,
    body::{
        Access, CertificateBody, Close, CloseReason, Continues, Contradiction, Epoch, EpochReason, Export, Fetch, Gap, GapCause, Genesis,
        Grant, Predecessor, Recipients, Segment, SeqRange, Start, StreamPosition,
    },
};
use exhibit_pki::Timestamp;
use exhibit_tlog::{EMPTY_ROOT, Hash};
use proptest::{collection::vec, prelude::*};

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

fn genesis() -> impl Strategy<Value = Body> {
    let keys = proptest::collection::btree_set("[!-~]{1,100}", 1..=8).prop_map(|keys| keys.into_iter().collect::<Vec<_>>());
    let predecessor = prop::option::of((hash(), 1..=INTEGER_MAX, hash()));
    let texts = ("[!-*,-~]{1,255}", "\\PC{0,200}");
    (texts, keys, fingerprints(16), predecessor, attachments(&[("certificate", false)])).prop_map(
        |((origin, witness_policy), keys, roots, predecessor, attachments)| {
            let predecessor = predecessor.map(|(log, size, root)| Predecessor { log, head: Head { size, root } });
            Body::Genesis(Genesis { origin, keys, roots, witness_policy, predecessor, attachments })
        },
    )
}

fn of_the_appliance() -> impl Strategy<Value = Body> {
    let start = ("[ -~]{1,128}", attachments(&[])).prop_map(|(version, attachments)| Body::Start(Start { version, attachments }));
    let access = (hash(), any::<bool>(), attachments(&[]))
        .prop_map(|(fetch, granted, attachments)| Body::Access(Access { fetch, granted, attachments }));
    let contradiction = (stream("user"), 0..=INTEGER_MAX, attachments(&[("first", false), ("second", false)]))
        .prop_map(|(stream, seq, attachments)| Body::Contradiction(Contradiction { stream, seq, attachments }));
    prop_oneof![start, access, contradiction]
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

fn statement() -> impl Strategy<Value = Statement> {
    let people = prop_oneof![recipients(), grant(), fetch(), export()];
    let machines = prop_oneof![epoch(), segment(), gap(), close(), certificate(), genesis(), of_the_appliance(), unknown()];
    prop_oneof![people, machines].prop_flat_map(|body| {
        let kind = body.stream_kind().unwrap_or("camera");
        let genesis = matches!(body, Body::Genesis(_));
        let first = genesis || matches!(body, Body::Epoch(_));
        let seq = if first { 0..=0 } else { 0..=INTEGER_MAX };
        let size = if genesis { 0..=0 } else { 0..=INTEGER_MAX };
        (hash(), stream(kind), seq, hash(), time(), size, hash()).prop_map(move |(log, stream, seq, prev, issued, size, root)| Statement {
            log: if genesis { Hash([0; 32]) } else { log },
            stream,
            seq,
            prev: if seq == 0 { Hash([0; 32]) } else { prev },
            issued,
            observed: Head { size, root: if size == 0 { EMPTY_ROOT } else { root } },
            body: body.clone(),
        })
    })
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
        bytes[position] = byte;
        if let Ok(other) = Statement::parse(&bytes) {
            prop_assert_eq!(Statement::parse(&other.to_bytes()), Ok(other));
        }
        prop_assert!(Statement::parse(&bytes[..position]).is_err(), "a statement that was cut short was accepted");
    }
}
