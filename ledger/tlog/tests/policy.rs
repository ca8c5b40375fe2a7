//! Witness policies: what is read, what is refused by the name of its defect, and which sets of witnesses are a quorum.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use exhibit_tlog::{
    Checkpoint, CheckpointError, Cosigner, Ed25519Cosigner, Ed25519NoteSigner, Hash, LogVerifier, MlDsa44NoteSigner, Note, NoteError,
    NoteSignature, NoteSigner, PolicyError, Subtree, WitnessError, policy::POLICY_SIZE_BYTES_MAX,
};
use proptest::prelude::*;
use zeroize::Zeroizing;

use judged::{Policy, assert_agrees_on};

mod judged;

const ORIGIN: &str = "exhibit.example/log";
const NOW_UNIX_S: u64 = 1_795_176_002;
const POLICY: &str = include_str!("vectors/witnessed.policy");
const NOTE: &str = include_str!("vectors/witnessed.note");

fn log() -> Ed25519NoteSigner {
    Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([1; 32])).unwrap()
}

fn witness(number: u8) -> Ed25519Cosigner {
    Ed25519Cosigner::new(&format!("witness.example/{number}"), &Zeroizing::new([number + 1; 32])).unwrap()
}

/// `witness w<number> <key>`.
fn witness_line(number: u8) -> String {
    format!("witness w{number} {}\n", witness(number).verifier_key())
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size: 4211, root: Hash([7; 32]) }
}

fn log_verifier() -> LogVerifier {
    LogVerifier { origin: ORIGIN.to_owned(), keys: vec![log().verifier_key().clone()] }
}

/// Signed by the log and cosigned by these witnesses, each `10 * number` seconds after the log.
fn cosigned(witnesses: &[u8]) -> String {
    let mut note = checkpoint().sign(&[&log()], NOW_UNIX_S).unwrap();
    for number in witnesses {
        let unix_s = NOW_UNIX_S + 10 * u64::from(*number);
        note.push_str(&NoteSignature::sign(&checkpoint().to_text(), &witness(*number), unix_s).unwrap().to_string());
    }
    note
}

fn cosigner(name: &str, unix_s: u64) -> Cosigner {
    Cosigner { witness: name.to_owned(), unix_s: Some(unix_s) }
}

#[test]
fn a_policy_and_a_checkpoint_of_another_program_are_verified() {
    let policy = Policy::parse(POLICY).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (2, 3));
    let witnessed = policy.verify(NOTE).unwrap();
    assert_eq!(witnessed.checkpoint().size, 4211);
    // The times are those in the program: one and three seconds after the log.
    let (first, second) = (cosigner("w1", NOW_UNIX_S + 1), cosigner("w2", NOW_UNIX_S + 3));
    assert_eq!(witnessed.cosigners(), [first.clone(), second.clone()]);
    assert_eq!((witnessed.earliest(), witnessed.latest()), (Some(&first), Some(&second)));
    assert_eq!(policy.verify_of(&policy.log(ORIGIN).unwrap(), NOTE), Ok(witnessed));

    let all = Policy::parse(&POLICY.replace("group two-of-three 2", "group two-of-three all")).unwrap();
    assert_eq!(all.verify(NOTE), Err(WitnessError::Quorum(vec![first, second])), "the third is away");
}

#[test]
fn no_byte_of_a_witnessed_checkpoint_can_be_altered() {
    let policy = Policy::parse(POLICY).unwrap();
    for at in 0..NOTE.len() {
        let mut altered = NOTE.as_bytes().to_vec();
        altered[at] ^= 1;
        if let Ok(altered) = String::from_utf8(altered) {
            // The verifier in Python takes its time for ML-DSA-44.
            let result = if at % 97 == 0 { policy.verify(&altered) } else { policy.inner.verify(&altered) };
            assert!(result.is_err(), "byte {at}");
        }
    }
}

#[test]
fn the_form_of_the_specification_is_read() {
    let text = format!(
        "\n  \t# A comment, indented: é\n \t log  {}\thttps://log.example/ \n{}#\n{}{}group X any w1\ngroup\tY 1 w2 w3 \nquorum X\ngroup Z all X Y\n",
        log().verifier_key(),
        witness_line(1).trim_end().to_owned() + " https://witness.example/1\n",
        witness_line(2),
        witness_line(3),
    );
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.logs()[0].url.as_deref(), Some("https://log.example/"));
    assert_eq!(policy.witnesses()[0].url.as_deref(), Some("https://witness.example/1"));
    assert_eq!((policy.witnesses()[1].name.as_str(), policy.witnesses()[1].url.as_deref()), ("w2", None));
    assert!(policy.verify(&cosigned(&[1])).is_ok());
    assert_eq!(policy.verify(&cosigned(&[2])), Err(WitnessError::Quorum(vec![cosigner("w2", NOW_UNIX_S + 20)])));
    // Names are opaque: a Kelvin sign is no K.
    let kelvin = witness_line(1).replace("w1", "\u{212a}") + &witness_line(2).replace("w2", "K") + "quorum K\n";
    assert!(Policy::parse(&kelvin).unwrap().verify_of(&log_verifier(), &cosigned(&[2])).is_ok());
    let of_the_other = Policy::parse(&kelvin).unwrap().verify_of(&log_verifier(), &cosigned(&[1]));
    assert!(matches!(of_the_other, Err(WitnessError::Quorum(_))), "{of_the_other:?}");
}

#[test]
fn a_policy_without_logs_or_witnesses_is_one() {
    let nobody = Policy::parse("quorum none\n").unwrap();
    let witnessed = nobody.verify_of(&log_verifier(), &cosigned(&[])).unwrap();
    assert_eq!((witnessed.cosigners(), witnessed.earliest(), witnessed.latest()), (&[][..], None, None));
    assert_eq!(nobody.verify(&cosigned(&[])), Err(CheckpointError::Origin(ORIGIN.to_owned()).into()), "no log is known");
    let optional = Policy::parse(&(witness_line(1) + "quorum none\n")).unwrap();
    assert_eq!(optional.verify_of(&log_verifier(), &cosigned(&[])).unwrap().cosigners().len(), 0);
    assert_eq!(optional.verify_of(&log_verifier(), &cosigned(&[1])).unwrap().cosigners().len(), 1, "reported, though not needed");
}

#[test]
fn malformed_policies_are_refused() {
    let log_line = format!("log {}\n", log().verifier_key());
    let (w1, w2, w3) = (witness_line(1), witness_line(2), witness_line(3));
    let same_key = Ed25519Cosigner::new("witness.example/other", &Zeroizing::new([2; 32])).unwrap();
    let same_log = Ed25519NoteSigner::new("exhibit.example/other", &Zeroizing::new([1; 32])).unwrap();
    let lines = [
        ("unknown word", "it is no log, witness, group or quorum line", "logs\n".to_owned()),
        ("upper-case word", "it is no log, witness, group or quorum line", log_line.replace("log ", "Log ")),
        ("no-break space", "it is no log, witness, group or quorum line", "quorum\u{a0}none\n".to_owned()),
        ("log without a key", "it is no log, witness, group or quorum line", "log\n".to_owned()),
        ("log with two URLs", "it is no log, witness, group or quorum line", log_line.trim_end().to_owned() + " a b\n"),
        ("witness without a key", "it is no log, witness, group or quorum line", "witness w1\n".to_owned()),
        ("witness with two URLs", "it is no log, witness, group or quorum line", w1.trim_end().to_owned() + " a b\n"),
        ("comment after a line", "it is no log, witness, group or quorum line", w1.trim_end().to_owned() + " # a comment\n"),
        ("quorum of nothing", "it is no log, witness, group or quorum line", "quorum\n".to_owned()),
        ("quorum of two", "it is no log, witness, group or quorum line", format!("{w1}{w2}quorum w1 w2\n")),
        ("group without a threshold", "it is no log, witness, group or quorum line", "group G\n".to_owned()),
        ("carriage return", "it has a control character", "quorum none\r\n".to_owned()),
        ("escape sequence in a comment", "it has a control character", "# \u{1b}[2J\n".to_owned()),
        ("delete character", "it has a control character", "# \u{7f}\n".to_owned()),
        ("zero byte", "it has a control character", "# \0\n".to_owned()),
        ("log with a cosignature key", "its key is a witness's", format!("log {}\n", witness(1).verifier_key())),
        ("witness with a log's key", "its key makes no cosignatures", format!("witness w1 {}\n", log().verifier_key())),
        ("log twice", "another log line has the same key", log_line.repeat(2)),
        ("log twice, renamed", "another log line has the same key", format!("{log_line}log {}\n", same_log.verifier_key())),
        ("witness twice", "another witness has the same key", format!("{w1}{}", w1.replace("w1", "w2"))),
        ("witness twice, renamed", "another witness has the same key", format!("{w1}witness w2 {}\n", same_key.verifier_key())),
        ("two witnesses of one name", "its name is taken", format!("{w1}{}", w2.replace("w2", "w1"))),
        ("group with the name of a witness", "its name is taken", format!("{w1}{w2}group w1 any w2\n")),
        ("group with the name of a group", "its name is taken", format!("{w1}{w2}group G any w1\ngroup G any w2\n")),
        ("witness none", "its name is taken", w1.replace("w1", "none")),
        ("group none", "its name is taken", format!("{w1}group none any w1\n")),
        ("no member", "its threshold is not from 1 to the number of its members", "group G all\n".to_owned()),
        ("any of no member", "its threshold is not from 1 to the number of its members", "group G any\n".to_owned()),
        ("none of two", "its threshold is not from 1 to the number of its members", format!("{w1}{w2}group G 0 w1 w2\n")),
        ("three of two", "its threshold is not from 1 to the number of its members", format!("{w1}{w2}group G 3 w1 w2\n")),
        ("threshold in words", "its threshold is not any, all or a number", format!("{w1}group G one w1\n")),
        ("threshold with a sign", "its threshold is not any, all or a number", format!("{w1}group G +1 w1\n")),
        ("threshold with a leading zero", "its threshold is not any, all or a number", format!("{w1}group G 01 w1\n")),
        ("threshold beyond 64 bits", "its threshold is not any, all or a number", format!("{w1}group G 18446744073709551617 w1\n")),
        ("member defined later", "no line before it defines a member", format!("{w1}group G any w1 w2\n{w2}")),
        ("group in itself", "no line before it defines a member", format!("{w1}group G any w1 G\n")),
        ("none as a member", "no line before it defines a member", format!("{w1}group G any w1 none\n")),
        ("member of two groups", "a member is in a group already", format!("{w1}{w2}{w3}group G any w1 w2\ngroup H all w2 w3\n")),
        ("member twice", "a member is in a group already", format!("{w1}group G 2 w1 w1\n")),
        ("group in two groups", "a member is in a group already", format!("{w1}group G any w1\ngroup H any G\ngroup I any G\n")),
        ("unknown quorum", "no line before it defines the quorum's name", "quorum w1\n".to_owned()),
        ("quorum defined later", "no line before it defines the quorum's name", format!("quorum w1\n{w1}")),
        ("two quorums", "another line has defined the quorum", format!("{w1}quorum w1\nquorum none\n")),
        ("65 groups", "there are too many of its kind", w1.clone() + &chain(65)),
        ("65 witnesses", "there are too many of its kind", (1..=65).map(witness_line).collect()),
        ("65 logs", "there are too many of its kind", (1..=65).map(log_line_of).collect()),
    ];
    for (name, expected, text) in lines {
        let number = text.lines().count();
        // Where what is missing comes later, the defect is in the line before.
        let text = text + "quorum none\n";
        match Policy::parse(&text) {
            Err(PolicyError::Line { line, defect }) => {
                assert_eq!(defect, expected, "{name}");
                let at = if name.ends_with("defined later") { number - 1 } else { number };
                assert_eq!(line, at, "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let key = Policy::parse(&format!("quorum none\n{}", log_line.replace('A', "B")));
    assert!(matches!(key, Err(PolicyError::Key { line: 2, error: NoteError::Key(_) })), "altered key of a log");
    let key = Policy::parse(&format!("{}quorum none\n", w1.replace("+", "-")));
    assert!(matches!(key, Err(PolicyError::Key { line: 1, error: NoteError::Key(_) })), "altered key of a witness");
    let whole = [
        ("empty", String::new()),
        ("no quorum", format!("{log_line}{w1}")),
        ("quorum in a comment", "# quorum none\n".to_owned()),
        ("no last newline", "quorum none".to_owned()),
        ("too large", format!("quorum none\n#{}\n", "a".repeat(512 * 1024))),
    ];
    for (defect, text) in whole {
        assert!(matches!(Policy::parse(&text), Err(PolicyError::Malformed(_))), "{defect}");
    }
}

fn log_line_of(number: u8) -> String {
    format!("log {}\n", Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([number; 32])).unwrap().verifier_key())
}

/// Groups in one another, the innermost with w1.
fn chain(count: usize) -> String {
    (1..=count)
        .map(|number| format!("group {number} any {}\n", if number == 1 { "w1".to_owned() } else { (number - 1).to_string() }))
        .collect()
}

#[test]
fn as_many_are_read_as_the_limits_say() {
    let all: String = (1..=64).map(log_line_of).chain((1..=64).map(|number| witness_line(number + 64))).collect();
    let policy = Policy::parse(&(all + &chain(64).replace("w1", "w65") + "quorum 64\n")).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (64, 64));
    assert!(matches!(policy.verify_of(&log_verifier(), &cosigned(&[66])), Err(WitnessError::Quorum(_))));
    assert!(
        Policy::parse(&(witness_line(65) + &chain(64).replace("w1", "w65") + "quorum 64\n"))
            .unwrap()
            .verify_of(&log_verifier(), &cosigned(&[65]))
            .is_ok()
    );
    let of_bytes = |bytes: usize| format!("quorum none\n#{}\n", "x".repeat(bytes - "quorum none\n#\n".len()));
    assert!(Policy::parse(&of_bytes(POLICY_SIZE_BYTES_MAX)).is_ok());
    assert_eq!(Policy::parse(&of_bytes(POLICY_SIZE_BYTES_MAX + 1)), Err(PolicyError::Malformed("it is too large")));
}

#[test]
fn every_key_that_the_policy_lists_for_a_log_is_required() {
    let ml_dsa_44 = MlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new([9; 32])).unwrap();
    let policy = format!("log {}\nlog {}\nquorum none\n", log().verifier_key(), ml_dsa_44.verifier_key());
    let policy = Policy::parse(&policy).unwrap();
    let (both, half) = ([&log() as &dyn NoteSigner, &ml_dsa_44], [&log() as &dyn NoteSigner]);
    assert!(policy.verify(&checkpoint().sign(&both, NOW_UNIX_S).unwrap()).is_ok());
    let refused = policy.verify(&checkpoint().sign(&half, NOW_UNIX_S).unwrap());
    assert!(matches!(refused, Err(WitnessError::Checkpoint(CheckpointError::Note(NoteError::Missing(_))))));
    // Another log's keys are not asked.
    let elsewhere = Ed25519NoteSigner::new("other.example/log", &Zeroizing::new([8; 32])).unwrap();
    let policy = Policy::parse(&format!("log {}\nlog {}\nquorum none\n", log().verifier_key(), elsewhere.verifier_key())).unwrap();
    let other = Checkpoint { origin: "other.example/log".to_owned(), ..checkpoint() };
    assert!(policy.verify(&cosigned(&[])).is_ok());
    assert!(policy.verify(&other.sign(&[&elsewhere], NOW_UNIX_S).unwrap()).is_ok());
    let under_another = policy.verify(&other.sign(&[&log()], NOW_UNIX_S).unwrap());
    assert!(matches!(under_another, Err(WitnessError::Checkpoint(CheckpointError::Note(NoteError::Missing(_))))), "{under_another:?}");
    assert_eq!(policy.log("third.example/log"), None);
}

#[test]
fn a_log_is_not_its_own_witness() {
    // With ML-DSA-44 a log's own line is a cosignature: were it counted, no witness would be needed.
    let log = MlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new([9; 32])).unwrap();
    let key = log.verifier_key();
    let note = checkpoint().sign(&[&log], NOW_UNIX_S).unwrap();
    let policy = Policy::parse(&format!("log {key}\nwitness w {key}\nquorum w\n")).unwrap();
    assert_eq!(policy.verify(&note), Err(WitnessError::OwnWitness("w".to_owned())));
    let policy = Policy::parse(&format!("witness w {key}\nquorum w\n")).unwrap();
    let known = LogVerifier { origin: ORIGIN.to_owned(), keys: vec![key.clone()] };
    assert_eq!(policy.verify_of(&known, &note), Err(WitnessError::OwnWitness("w".to_owned())));
}

#[test]
fn what_is_no_cosignature_of_this_checkpoint_does_not_count() {
    let policy = Policy::parse(&(witness_line(1) + &witness_line(2) + "quorum w1\n")).unwrap();
    let verify = |note: &str| policy.verify_of(&log_verifier(), note);
    assert!(verify(&cosigned(&[1])).is_ok());
    assert_eq!(verify(&cosigned(&[2])), Err(WitnessError::Quorum(vec![cosigner("w2", NOW_UNIX_S + 20)])), "another witness");
    assert_eq!(verify(&cosigned(&[])), Err(WitnessError::Quorum(vec![])), "the log alone");
    assert_eq!(verify(&cosigned(&[3])), Err(WitnessError::Quorum(vec![])), "a stranger");

    let other = Checkpoint { size: 4212, ..checkpoint() };
    let line = NoteSignature::sign(&other.to_text(), &witness(1), NOW_UNIX_S).unwrap();
    let spoiled = |note: String| matches!(verify(&note), Err(WitnessError::Checkpoint(CheckpointError::Note(NoteError::Signature(_)))));
    assert!(spoiled(cosigned(&[]) + &line.to_string()), "cosignature of another checkpoint");
    let sound = Note::parse(&cosigned(&[1])).unwrap().signatures()[1].clone();
    let mut later = sound.clone();
    later.signature[7] ^= 1;
    assert!(spoiled(cosigned(&[]) + &later.to_string()), "cosignature with another time");
    assert!(spoiled(cosigned(&[1, 2]).replacen(&sound.to_string(), "", 1) + &later.to_string()), "a bad line beside a good one");
    let plain = Ed25519NoteSigner::new("witness.example/1", &Zeroizing::new([2; 32])).unwrap();
    let signed = NoteSignature { signature: plain.sign(&checkpoint().to_text(), 0).unwrap(), ..sound.clone() };
    assert!(spoiled(cosigned(&[]) + &signed.to_string()), "the witness's signature as a log");
    let twice = verify(&(cosigned(&[1]) + &sound.to_string()));
    assert!(matches!(twice, Err(WitnessError::Checkpoint(CheckpointError::Note(NoteError::Malformed(_))))), "a witness twice");
    let unsigned = cosigned(&[1]).replacen(&Note::parse(&cosigned(&[])).unwrap().signatures()[0].to_string(), "", 1);
    assert!(matches!(verify(&unsigned), Err(WitnessError::Checkpoint(CheckpointError::Note(NoteError::Missing(_))))), "not by the log");
    let other_log = LogVerifier { origin: "other.example/log".to_owned(), ..log_verifier() };
    let of_another = policy.verify_of(&other_log, &cosigned(&[1]));
    assert_eq!(of_another, Err(WitnessError::Checkpoint(CheckpointError::Origin(ORIGIN.to_owned()))), "another log");
}

#[test]
fn a_cosignature_without_a_time_counts_but_bounds_nothing() {
    let witness = MlDsa44NoteSigner::new("witness.example/m", &Zeroizing::new([5; 32])).unwrap();
    let policy = witness_line(1) + &format!("witness m {}\ngroup G all w1 m\nquorum G\n", witness.verifier_key());
    let policy = Policy::parse(&policy).unwrap();
    // What sign-subtree answers for the whole tree is a cosignature of the checkpoint.
    let line = witness.sign_subtree(ORIGIN, Subtree::new(0, 4211).unwrap(), &checkpoint().root).unwrap();
    let witnessed = policy.verify_of(&log_verifier(), &(cosigned(&[1]) + &line.to_string())).unwrap();
    let first = cosigner("w1", NOW_UNIX_S + 10);
    assert_eq!(witnessed.cosigners(), [first.clone(), Cosigner { witness: "m".to_owned(), unix_s: None }]);
    assert_eq!((witnessed.earliest(), witnessed.latest()), (Some(&first), Some(&first)), "1970 is no bound");
}

/// The definition, word for word and upside down: by recursion from the quorum.
fn has_witnessed(groups: &[(usize, Vec<String>)], name: &str, cosigned: &BTreeSet<u8>) -> bool {
    match name.strip_prefix('g') {
        Some(index) => {
            let (threshold, members) = &groups[index.parse::<usize>().unwrap()];
            members.iter().filter(|member| has_witnessed(groups, member, cosigned)).count() >= *threshold
        }
        None => cosigned.contains(&name[1..].parse().unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Groups take members from those that are free, so that any forest comes about.
    #[test]
    fn quorums_are_those_of_the_definition(
        shape in prop::collection::vec((1..4_usize, 0..100_usize, prop::bool::ANY), 1..6),
        cosigned_by in prop::collection::btree_set(1..9_u8, 0..9),
    ) {
        let mut text: String = (1..9).map(witness_line).collect();
        let mut free: Vec<String> = (1..9).map(|number| format!("w{number}")).collect();
        let mut groups = Vec::new();
        for (count, choice, from_end) in shape {
            let members: Vec<String> = (0..count.min(free.len()))
                .map(|_| if from_end { free.pop().unwrap() } else { free.remove(0) })
                .collect();
            let threshold = 1 + choice % members.len();
            let word = match threshold {
                1 if choice % 2 == 0 => "any".to_owned(),
                all if all == members.len() && choice % 3 == 0 => "all".to_owned(),
                number => number.to_string(),
            };
            let name = format!("g{}", groups.len());
            text += &format!("group {name} {word} {}\n", members.join(" "));
            groups.push((threshold, members));
            free.push(name);
        }
        let quorum = format!("g{}", groups.len() - 1);
        let policy = Policy::parse(&format!("{text}quorum {quorum}\n")).unwrap();
        let witnesses: Vec<u8> = cosigned_by.iter().copied().collect();
        let result = policy.verify_of(&log_verifier(), &cosigned(&witnesses));
        prop_assert_eq!(result.is_ok(), has_witnessed(&groups, &quorum, &cosigned_by), "{}", text);
        let cosigners = result.map(|witnessed| witnessed.cosigners().to_vec()).or_else(|error| match error {
            WitnessError::Quorum(cosigners) => Ok(cosigners),
            error => Err(error),
        });
        let expected: Vec<Cosigner> =
            witnesses.iter().map(|number| cosigner(&format!("w{number}"), NOW_UNIX_S + 10 * u64::from(*number))).collect();
        prop_assert_eq!(cosigners, Ok(expected));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "((log|witness|group|quorum|any|all|none|w[0-9]|[0-9]|[ \t\n#+é])[ \n]?){0,40}") {
        let _ = Policy::parse(&text);
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 10] = [
        a_policy_and_a_checkpoint_of_another_program_are_verified,
        no_byte_of_a_witnessed_checkpoint_can_be_altered,
        the_form_of_the_specification_is_read,
        a_policy_without_logs_or_witnesses_is_one,
        malformed_policies_are_refused,
        as_many_are_read_as_the_limits_say,
        every_key_that_the_policy_lists_for_a_log_is_required,
        a_log_is_not_its_own_witness,
        what_is_no_cosignature_of_this_checkpoint_does_not_count,
        a_cosignature_without_a_time_counts_but_bounds_nothing,
    ];
    assert_agrees_on(&tests, 150);
}
