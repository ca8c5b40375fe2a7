//! What a log and a witness say to each other: the specification's forms, every answer of a witness, and hostile requests and answers
//! named by their defect.
#![allow(clippy::unwrap_used)]

use exhibit_tlog::witness::{FollowedLog, add_cosignatures, checkpoint_path, cosign, parse_conflict};
use exhibit_tlog::{
    AddCheckpoint, Checkpoint, CheckpointError, EMPTY_ROOT, Ed25519Cosigner, Ed25519NoteSigner, Hash, LogVerifier, MlDsa44NoteSigner, Note,
    NoteError, NoteSigner, ProofError, Refusal, Subtree, VerifierKey, leaf_hash, node_hash,
};
use zeroize::Zeroizing;

use judged::{assert_agrees_on, read_note, read_request};

mod judged;

const ORIGIN: &str = "exhibit.example/log";
const NOW_UNIX_S: u64 = 1_795_176_002;

/// The example of tlog-witness.
const EXAMPLE: &str = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

struct Log(Ed25519NoteSigner);

impl Log {
    fn new(seed: u8) -> Self {
        Self(Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([seed; 32])).unwrap())
    }

    fn verifier(&self) -> LogVerifier {
        LogVerifier { origin: ORIGIN.to_owned(), keys: vec![self.0.verifier_key().clone()] }
    }

    /// A request from `old_size` to the log's first `size` entries, of the three that it has.
    fn request(&self, old_size: u64, size: u64) -> AddCheckpoint {
        let [one, two, three] = leaves();
        let proof = match (old_size, size) {
            (1, 2) => vec![two],
            (1, 3) => vec![two, three],
            (2, 3) => vec![three],
            _ => vec![],
        };
        let checkpoint = checkpoint(size).sign(&[&self.0], NOW_UNIX_S).unwrap();
        assert_eq!(one, checkpoint_root(1));
        AddCheckpoint { old_size, proof, checkpoint }
    }
}

fn leaves() -> [Hash; 3] {
    [b"one".as_slice(), b"two", b"three"].map(leaf_hash)
}

fn checkpoint_root(size: u64) -> Hash {
    let [one, two, three] = leaves();
    match size {
        0 => EMPTY_ROOT,
        1 => one,
        2 => node_hash(&one, &two),
        _ => node_hash(&node_hash(&one, &two), &three),
    }
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size, root: checkpoint_root(size) }
}

#[test]
fn the_example_of_the_specification_is_read_and_written() {
    let request = read_request(EXAMPLE).unwrap();
    assert_eq!((request.old_size, request.proof.len()), (20_852_014, 4));
    assert_eq!(request.origin().unwrap(), "example.com/behind-the-sofa");
    assert_eq!(Checkpoint::parse_unverified(&request.checkpoint).unwrap().size, 20_852_163);
    assert_eq!(request.to_text(), EXAMPLE);
    let first = AddCheckpoint { old_size: 0, proof: vec![], ..request };
    assert_eq!(first.to_text().lines().next(), Some("old 0"));
    assert_eq!(AddCheckpoint::parse(&first.to_text()), Ok(first));
}

/// Every text that differs in one bit.
fn one_bit_off(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8).filter_map(move |bit| {
        let mut altered = text.as_bytes().to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        String::from_utf8(altered).ok()
    })
}

#[test]
fn whatever_is_read_is_written_as_it_was() {
    let (mut requests, mut notes) = (0, 0);
    for body in one_bit_off(EXAMPLE) {
        if let Ok(request) = read_request(&body) {
            assert_eq!(request.to_text(), body);
            requests += 1;
        }
    }
    let note = &EXAMPLE[EXAMPLE.find("\n\n").unwrap() + 2..];
    for altered in one_bit_off(note) {
        if let Ok(note) = read_note(&altered) {
            assert_eq!(note.to_string(), altered);
            notes += 1;
        }
    }
    assert!(requests > 1000 && notes > 1000, "{requests} requests and {notes} notes: too few to show anything");
}

#[test]
fn malformed_requests_are_refused() {
    let hash_line = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    let with_hashes = |count: usize| EXAMPLE.replacen(hash_line, &hash_line.repeat(count - 3), 1);
    assert_eq!(read_request(&with_hashes(63)).map(|request| request.proof.len()), Ok(63));
    let refused = [
        ("empty", String::new()),
        ("no old size", EXAMPLE.replacen("old 20852014\n", "", 1)),
        ("old size without its word", EXAMPLE.replacen("old ", "", 1)),
        ("upper-case word", EXAMPLE.replacen("old", "Old", 1)),
        ("two spaces", EXAMPLE.replacen("old ", "old  ", 1)),
        ("old size with a leading zero", EXAMPLE.replacen("old 2", "old 02", 1)),
        ("negative old size", EXAMPLE.replacen("old 2", "old -2", 1)),
        ("old size beyond 64 bits", EXAMPLE.replacen("20852014", "18446744073709551616", 1)),
        ("space after the old size", EXAMPLE.replacen("20852014", "20852014 ", 1)),
        ("two old sizes", EXAMPLE.replacen("old 20852014\n", "old 20852014\nold 20852014\n", 1)),
        ("hash in hex", EXAMPLE.replacen(hash_line, &format!("{EMPTY_ROOT}\n"), 1)),
        ("short hash", EXAMPLE.replacen(hash_line, "PlRNCrwH\n", 1)),
        ("hash without padding", EXAMPLE.replacen("pkaw=", "pkaw", 1)),
        ("64 hashes", with_hashes(64)),
        ("no blank line", EXAMPLE.replacen("\n\n", "\n", 1)),
        ("carriage returns", EXAMPLE.replace('\n', "\r\n")),
        ("too large", format!("{EXAMPLE}{}", "— somebody AQIDBAU=\n".repeat(6000))),
    ];
    for (defect, body) in refused {
        let refusal = read_request(&body).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{defect}: {refusal}");
        assert_eq!(refusal.status(), 400, "{defect}");
    }
    let too_large = Refusal::Malformed("it is too large");
    for (length, is_too_large) in [(118_784, false), (118_785, true)] {
        assert_eq!(AddCheckpoint::parse(&"x".repeat(length)).unwrap_err() == too_large, is_too_large, "{length} bytes");
    }
    let checkpoint_defects = [
        ("no checkpoint", EXAMPLE[..EXAMPLE.find("\n\n").unwrap() + 2].to_owned()),
        ("two blank lines", EXAMPLE.replacen("\n\n", "\n\n\n", 1)),
        ("no signature", EXAMPLE[..EXAMPLE.find("— ").unwrap()].to_owned()),
        ("empty extension line", EXAMPLE.replacen("xq2I=\n", "xq2I=\n\nextension\n", 1)),
        ("surplus line", format!("{EXAMPLE}surplus\n")),
    ];
    for (defect, body) in checkpoint_defects {
        let refusal = read_request(&body).unwrap_err();
        assert!(matches!(refusal, Refusal::Checkpoint(_)), "{defect}: {refusal}");
        assert_eq!(refusal.status(), 400, "{defect}");
    }
    let empty_tree = EXAMPLE.replacen("\n20852163\n", "\n0\n", 1);
    let refusal = read_request(&empty_tree).unwrap_err();
    assert_eq!((&refusal, refusal.status()), (&Refusal::Checkpoint(CheckpointError::EmptyTree), 422), "empty tree with another root");
}

#[test]
fn a_tree_that_grows_is_cosigned() {
    let log = Log::new(1);
    for old in 0..=3 {
        for new in old..=3 {
            let judged = log.request(old, new).judge(&log.verifier().into(), (old > 0).then(|| checkpoint(old)).as_ref());
            assert_eq!(judged, Ok(checkpoint(new)), "{old} to {new}");
        }
    }
    assert_eq!(
        log.request(0, 3).judge(&log.verifier().into(), Some(&checkpoint(0))),
        Ok(checkpoint(3)),
        "the empty tree has been cosigned"
    );
}

#[test]
fn whatever_else_is_refused_with_its_own_answer() {
    let log = Log::new(1);
    let (one, two, three) = (checkpoint(1), checkpoint(2), checkpoint(3));
    let forked = Checkpoint { root: leaf_hash(b"fork"), ..two.clone() };
    let judge = |request: AddCheckpoint, latest: Option<&Checkpoint>| request.judge(&log.verifier().into(), latest).unwrap_err();
    let signed = |checkpoint: &Checkpoint| checkpoint.sign(&[&log.0], NOW_UNIX_S).unwrap();
    let [_, leaf_two, _] = leaves();

    let stranger = Checkpoint { origin: "other.example/log".to_owned(), ..two.clone() };
    let mut spoiled = log.request(1, 2);
    spoiled.checkpoint = spoiled.checkpoint.replacen("\n2\n", "\n3\n", 1);
    let refusals = [
        (
            "of another log",
            404,
            Refusal::UnknownLog,
            judge(AddCheckpoint { checkpoint: signed(&stranger), ..log.request(1, 2) }, Some(&one)),
        ),
        ("the tree shrinks", 400, Refusal::Shrinks, judge(AddCheckpoint { old_size: 3, ..log.request(2, 2) }, Some(&three))),
        ("the log is behind", 409, Refusal::Conflict(2), judge(log.request(1, 3), Some(&two))),
        ("the log is ahead", 409, Refusal::Conflict(1), judge(log.request(2, 3), Some(&one))),
        ("the witness has seen nothing", 409, Refusal::Conflict(0), judge(log.request(1, 2), None)),
        ("an old checkpoint again", 409, Refusal::Conflict(3), judge(log.request(0, 2), Some(&three))),
        ("no proof", 422, Refusal::Proof(ProofError::Length), judge(AddCheckpoint { proof: vec![], ..log.request(1, 2) }, Some(&one))),
        (
            "a proof from nothing",
            422,
            Refusal::Proof(ProofError::Length),
            judge(AddCheckpoint { proof: vec![leaf_two], ..log.request(0, 2) }, None),
        ),
        (
            "a proof of something else",
            422,
            Refusal::Proof(ProofError::Root),
            judge(AddCheckpoint { proof: vec![EMPTY_ROOT], ..log.request(1, 2) }, Some(&one)),
        ),
        ("a fork of the same size", 422, Refusal::Proof(ProofError::Root), judge(log.request(2, 2), Some(&forked))),
        ("a fork of what was cosigned", 422, Refusal::Proof(ProofError::Root), judge(log.request(2, 3), Some(&forked))),
    ];
    for (defect, status, expected, refusal) in refusals {
        assert_eq!((&refusal, refusal.status()), (&expected, status), "{defect}");
        let is_size = parse_conflict(&refusal.body()).is_some();
        assert_eq!(is_size, status == 409, "{defect}");
        assert!(refusal.body().ends_with('\n'));
    }
    for (defect, refusal) in
        [("not by this log", judge(Log::new(9).request(1, 2), Some(&one))), ("another size than was signed", judge(spoiled, Some(&one)))]
    {
        assert!(matches!(refusal, Refusal::Untrusted(_)), "{defect}: {refusal}");
        assert_eq!(refusal.status(), 403, "{defect}");
    }
}

/// An ML-DSA-44 line is over origin, size and root: behind those, anybody could write lines of their own into a checkpoint that the log has signed.
#[test]
fn nobody_adds_extension_lines_to_what_a_log_has_signed() {
    let (log, by_subtree) = (Log::new(7), MlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new([8; 32])).unwrap());
    let keys = vec![log.0.verifier_key().clone(), by_subtree.verifier_key().clone()];
    let (text, line) = (checkpoint(2).to_text(), "a line of a stranger\n");
    let both = Note::sign(&text, &[&log.0, &by_subtree], NOW_UNIX_S).unwrap();
    let one = Note::sign(&text, &[&by_subtree], NOW_UNIX_S).unwrap();
    let extended = |note: &str| note.replacen(&text, &format!("{text}{line}"), 1);
    let all_signed = Note::sign(&format!("{text}{line}"), &[&log.0, &by_subtree], NOW_UNIX_S).unwrap();
    let by_ed25519 = Note::sign(&format!("{text}{line}"), &[&log.0], NOW_UNIX_S).unwrap();
    let subtree_alone = vec![by_subtree.verifier_key().clone()];
    for (what, keys, takes_any_key, note, expected) in [
        ("as the log signed it", &keys, false, both.clone(), true),
        ("as one key signed it", &keys, true, one.clone(), true),
        ("with lines that the log signed", &keys, false, all_signed.clone(), true),
        ("with lines that one key of the log signed", &keys, true, by_ed25519, true),
        ("with a stranger's line, under both keys", &keys, false, extended(&both), false),
        ("with a stranger's line, where any key is enough", &keys, true, extended(&one), false),
        ("with a stranger's line, where no key signs any", &subtree_alone, false, extended(&one), false),
        ("where no key signs any, and without", &subtree_alone, false, one, true),
    ] {
        let followed = FollowedLog { origin: ORIGIN.to_owned(), keys: keys.clone(), takes_any_key };
        assert_eq!(followed.verify(&note).is_ok(), expected, "{what}");
    }
}

#[test]
fn the_size_in_a_conflict_has_one_spelling() {
    assert_eq!(Refusal::Conflict(20_852_014).body(), "20852014\n");
    assert_eq!(parse_conflict("20852014\n"), Some(20_852_014));
    assert_eq!(parse_conflict("0\n"), Some(0));
    for refused in ["", "\n", "1", "01\n", "+1\n", "1\n\n", "1 \n", "1\r\n", "18446744073709551616\n", "not a size\n"] {
        assert_eq!(parse_conflict(refused), None, "{refused:?}");
    }
}

struct Witness {
    ed25519: Ed25519Cosigner,
    ml_dsa_44: MlDsa44NoteSigner,
}

impl Witness {
    fn new(seed: u8) -> Self {
        let seed = Zeroizing::new([seed; 32]);
        Self {
            ed25519: Ed25519Cosigner::new("witness.example/w", &seed).unwrap(),
            ml_dsa_44: MlDsa44NoteSigner::new("witness.example/w", &seed).unwrap(),
        }
    }

    fn signers(&self) -> [&dyn NoteSigner; 2] {
        [&self.ed25519, &self.ml_dsa_44]
    }

    fn keys(&self) -> Vec<VerifierKey> {
        self.signers().map(|signer| signer.verifier_key().clone()).to_vec()
    }
}

#[test]
fn an_answer_is_added_to_the_checkpoint() {
    let (log, witness) = (Log::new(1), Witness::new(2));
    let signed = checkpoint(3).sign(&[&log.0], NOW_UNIX_S).unwrap();
    let answer = cosign(&checkpoint(3), &witness.signers(), NOW_UNIX_S + 1).unwrap();
    let cosigned = add_cosignatures(&signed, &answer, &witness.keys()).unwrap();
    assert_eq!(cosigned, format!("{signed}{answer}"));
    let note = Note::parse(&cosigned).unwrap();
    for key in witness.keys() {
        assert!(note.signature_of(&key).unwrap().is_some(), "{key:?}");
    }
    assert_eq!(log.verifier().verify(&cosigned), Ok(checkpoint(3)));

    let again = cosign(&checkpoint(3), &witness.signers(), NOW_UNIX_S + 9).unwrap();
    let cosigned = add_cosignatures(&cosigned, &again, &witness.keys()).unwrap();
    assert_eq!(cosigned, format!("{signed}{again}"), "in place of the earlier ones");

    let half = add_cosignatures(&signed, &answer, &witness.keys()[..1]).unwrap();
    assert_eq!(Note::parse(&half).unwrap().signatures().len(), 2, "lines of unknown keys are dropped");
}

#[test]
fn answers_that_are_no_cosignature_add_nothing() {
    let (log, witness, stranger) = (Log::new(1), Witness::new(2), Witness::new(3));
    let signed = checkpoint(3).sign(&[&log.0], NOW_UNIX_S).unwrap();
    let answer = cosign(&checkpoint(3), &witness.signers(), NOW_UNIX_S).unwrap();
    let add = |answer: &str| add_cosignatures(&signed, answer, &witness.keys());
    let of_stranger = cosign(&checkpoint(3), &stranger.signers(), NOW_UNIX_S).unwrap();
    assert!(matches!(add(&of_stranger), Err(NoteError::Missing(_))), "a stranger's");
    let of_log = Note::parse(&signed).unwrap().signatures()[0].to_string();
    assert!(matches!(add(&of_log), Err(NoteError::Missing(_))), "the log's own line sent back");
    let as_witness = add_cosignatures(&signed, &of_log, &[log.0.verifier_key().clone()]);
    assert!(matches!(as_witness, Err(NoteError::Signature(_))), "the log's key taken for a witness's: its signature holds no time");
    let of_other = cosign(&checkpoint(2), &witness.signers(), NOW_UNIX_S).unwrap();
    assert!(matches!(add(&of_other), Err(NoteError::Signature(_))), "of another checkpoint");
    assert!(matches!(add(&format!("{answer}{of_other}")), Err(NoteError::Signature(_))), "one good and one bad");
    let timeless = witness.ml_dsa_44.sign_subtree(ORIGIN, Subtree::new(0, 3).unwrap(), &checkpoint(3).root).unwrap();
    assert!(matches!(add(&timeless.to_string()), Err(NoteError::Signature(_))), "without a time");
    for (defect, answer) in [("empty", ""), ("a page", "<html>\n"), ("a note", &*signed), ("no newline", answer.trim_end())] {
        assert!(matches!(add(answer), Err(NoteError::Malformed(_))), "{defect}");
    }
    assert!(matches!(add_cosignatures("no note", &answer, &witness.keys()), Err(NoteError::Malformed(_))), "no checkpoint");
    let full = format!("{signed}{}", "— somebody AQIDBAU=\n".repeat(63));
    assert!(matches!(add_cosignatures(&full, &answer, &witness.keys()), Err(NoteError::Malformed(_))), "more lines than anybody reads");
}

#[test]
fn a_witness_signs_as_a_witness_and_says_when() {
    let (log, witness) = (Log::new(1), Witness::new(2));
    assert!(matches!(cosign(&checkpoint(3), &witness.signers(), 0), Err(NoteError::Malformed(_))), "no time");
    assert!(matches!(cosign(&checkpoint(3), &[&log.0], NOW_UNIX_S), Err(NoteError::Key(_))), "a log's key");
    let two_lines = Checkpoint { origin: "a\nb".to_owned(), ..checkpoint(3) };
    assert!(matches!(cosign(&two_lines, &witness.signers(), NOW_UNIX_S), Err(NoteError::Malformed(_))), "no checkpoint");
}

#[test]
fn the_latest_checkpoint_is_served_by_the_hash_of_its_origin() {
    // printf %s exhibit.example/log | sha256sum
    assert_eq!(checkpoint_path(ORIGIN), "b6add2fe1d3b1e1d6670f36dc992dcbbc65319fe39e8e69cf481857346e6be0f/checkpoint");
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 3] =
        [the_example_of_the_specification_is_read_and_written, whatever_is_read_is_written_as_it_was, malformed_requests_are_refused];
    assert_agrees_on(&tests, 4000);
}
