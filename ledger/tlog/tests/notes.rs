//! Signed notes, verifier keys, checkpoints and receipts: published vectors, vectors made by other programs, and hostile ones
//! named by their defect.
#![allow(clippy::unwrap_used)]

use base64ct::{Base64, Encoding};
use exhibit_tlog::{
    Checkpoint, CheckpointError, EMPTY_ROOT, Ed25519Cosigner, Ed25519NoteSigner, Hash, LogProof, LogProofError, LogVerifier,
    MlDsa44NoteSigner, Note, NoteAlgorithm, NoteError, NoteSignature, NoteSigner, ProofError, VerifierKey, leaf_hash,
    log_proof::LOG_PROOF_SIZE_BYTES_MAX, node_hash, note::NOTE_SIZE_BYTES_MAX,
};
use zeroize::Zeroizing;

use judged::{
    assert_agrees_on, checkpoint_judged, read_key, read_note, read_receipt, read_text, receipt_judged, verify_log, verify_note,
    verify_receipt,
};

mod judged;

const ORIGIN: &str = "exhibit.example/log";
const NOW_UNIX_S: u64 = 1_795_176_002;

/// The example of golang.org/x/mod/sumdb/note, with its private key (`PRIVATE+KEY+PeterNeumann+c74f20a3+…`).
const GO_SEED: &str = "YEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const GO_OTHER_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn go_key() -> VerifierKey {
    read_key(GO_KEY).unwrap()
}

struct Log {
    ed25519: Ed25519NoteSigner,
    ml_dsa_44: MlDsa44NoteSigner,
}

impl Log {
    fn new(seed: u8) -> Self {
        Self {
            ed25519: Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([seed; 32])).unwrap(),
            ml_dsa_44: MlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new([seed + 1; 32])).unwrap(),
        }
    }

    fn signers(&self) -> [&dyn NoteSigner; 2] {
        [&self.ed25519, &self.ml_dsa_44]
    }

    fn verifier(&self) -> LogVerifier {
        let keys = self.signers().map(|signer| signer.verifier_key().clone());
        LogVerifier { origin: ORIGIN.to_owned(), keys: keys.to_vec() }
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size: 4211, root: leaf_hash(b"root") }
}

#[test]
fn the_example_of_go_is_signed_and_verified_byte_for_byte() {
    let seed = Base64::decode_vec(&format!("A{GO_SEED}")).unwrap();
    assert_eq!(seed[0], 0x01, "an Ed25519 key");
    let signer = Ed25519NoteSigner::new("PeterNeumann", &Zeroizing::new(seed[1..].try_into().unwrap())).unwrap();
    assert_eq!(signer.verifier_key().to_string(), GO_KEY);
    assert_eq!(*signer.verifier_key(), go_key());
    let note = Note::sign(GO_TEXT, &[&signer], NOW_UNIX_S).unwrap();
    assert_eq!(note, format!("{GO_TEXT}\n{GO_LINE}"));
    let with_unknown_key = read_note(&format!("{GO_TEXT}\n{GO_OTHER_LINE}{GO_LINE}")).unwrap();
    assert_eq!(with_unknown_key.text(), GO_TEXT);
    assert_eq!(verify_note(&with_unknown_key, &[go_key()]), Ok(()));
}

#[test]
fn the_example_of_the_specification_verifies() {
    let key = read_key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    assert_eq!((key.name(), key.key_id(), key.algorithm()), ("example.com/foo", [0x53, 0x0d, 0x90, 0x3a], NoteAlgorithm::Ed25519));
    let note = "This is an example message.\n\n— example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(verify_note(&read_note(note).unwrap(), &[key]), Ok(()));
}

#[test]
fn the_key_of_the_go_checksum_database_is_read() {
    let text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let key = read_key(text).unwrap();
    assert_eq!((key.name(), key.key_id()), ("sum.golang.org", [0x03, 0x3d, 0xe0, 0xae]));
    assert_eq!(key.to_string(), text);
}

#[test]
fn key_ids_equal_those_of_another_program() {
    let mut seen = 0;
    for line in include_str!("vectors/notes.txt").lines().filter(|line| line.starts_with("key ")) {
        let [_, name, key_id, text] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let key = read_key(text).unwrap();
        assert_eq!((key.name(), hex::encode(key.key_id()).as_str()), (name, key_id));
        assert_eq!(key.to_string(), text);
        seen += 1;
    }
    assert_eq!(seen, 15, "the vectors are not whole");
}

#[test]
fn an_ml_dsa_44_line_equals_that_of_another_program() {
    let (key, note) = (include_str!("vectors/cosigned.vkey").trim_end(), include_str!("vectors/cosigned.note"));
    let seed: [u8; 32] = std::array::from_fn(|at| at as u8);
    let signer = MlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new(seed)).unwrap();
    assert_eq!(signer.verifier_key().to_string(), key);
    let log = LogVerifier { origin: ORIGIN.to_owned(), keys: vec![read_key(key).unwrap()] };
    let checkpoint = verify_log(&log, note).unwrap();
    assert_eq!(checkpoint, Checkpoint { origin: ORIGIN.to_owned(), size: 4211, root: Hash(sha256(ORIGIN.as_bytes())) });
    assert_eq!(checkpoint.sign(&[&signer], NOW_UNIX_S).unwrap(), note);
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

#[test]
fn verifier_keys_have_one_spelling() {
    assert!(read_key(GO_KEY).is_ok());
    for start in 0..GO_KEY.len() {
        for end in start..=GO_KEY.len() {
            if (start, end) != (0, GO_KEY.len()) {
                assert!(read_key(&GO_KEY[start..end]).is_err(), "a part of a key: {:?}", &GO_KEY[start..end]);
            }
        }
    }
    for at in 0..GO_KEY.len() {
        let mut altered = GO_KEY.as_bytes().to_vec();
        altered[at] += 1;
        assert!(read_key(std::str::from_utf8(&altered).unwrap()).is_err(), "byte {at} altered");
    }
    // The ids are those of the defective keys, so that nothing but the defect is left to find.
    let y = |first: u8, last_but_one: u8, last: u8| [&[1, first][..], &[0xff; 29], &[last_but_one, last]].concat();
    let named = |name: &str, type_and_key: &[u8]| {
        let id = sha256(&[name.as_bytes(), b"\n", type_and_key].concat());
        format!("{name}+{}+{}", hex::encode(&id[..4]), Base64::encode_string(type_and_key))
    };
    let sound = Base64::decode_vec(GO_KEY.splitn(3, '+').nth(2).unwrap()).unwrap();
    assert_eq!(named("PeterNeumann", &sound), GO_KEY);
    let refused = [
        ("no name", named("", &sound)),
        ("name with a space", named("Peter Neumann", &sound)),
        ("name with a no-break space", named("Peter\u{a0}Neumann", &sound)),
        ("name with a newline", named("Peter\nNeumann", &sound)),
        ("name with a control character", named("Peter\u{1}Neumann", &sound)),
        ("name too long to be cosigned", named(&"a".repeat(256), &sound)),
        ("upper-case id", GO_KEY.replace("c74f20a3", "C74F20A3")),
        ("id of another key", GO_KEY.replace("c74f20a3", "c74f20a4")),
        ("short id", GO_KEY.replace("c74f20a3", "c74f20")),
        ("base64 cut short", GO_KEY.replace("10TW", "10T")),
        ("base64 with needless padding", format!("{GO_KEY}=")),
        ("newline", format!("{GO_KEY}\n")),
        ("no key", named("PeterNeumann", &[])),
        ("type without a key", named("PeterNeumann", &[1])),
        ("unknown type", named("PeterNeumann", &[&[0x65], &sound[1..]].concat())),
        ("31 bytes", named("PeterNeumann", &sound[..32])),
        ("33 bytes", named("PeterNeumann", &[&sound[..], &[0]].concat())),
        ("point of small order", named("PeterNeumann", &[&[1, 1][..], &[0; 31]].concat())),
        ("point in another encoding", named("PeterNeumann", &y(0xf0, 0xff, 0x7f))),
        ("point in another encoding, with the other sign", named("PeterNeumann", &y(0xf0, 0xff, 0xff))),
        ("no point", named("PeterNeumann", &[&[1, 2][..], &[0; 31]].concat())),
        ("Ed25519 key as ML-DSA-44", named("PeterNeumann", &[&[6], &sound[1..]].concat())),
        ("ML-DSA-44 key cut short", named("PeterNeumann", &[&[6][..], &[0; 1311]].concat())),
        ("ML-DSA-44 key with a surplus byte", named("PeterNeumann", &[&[6][..], &[0; 1313]].concat())),
    ];
    for (defect, key) in refused {
        assert!(matches!(read_key(&key), Err(NoteError::Key(_))), "{defect}");
    }
    for (what, point) in [("the largest y", y(0xea, 0xff, 0x7f)), ("a large one", y(0xee, 0xff, 0x7b)), ("another", y(0xee, 0, 0x7f))] {
        assert!(read_key(&named("PeterNeumann", &point)).is_ok(), "{what} below 2^255 - 19 is refused");
    }
    let endless = named("PeterNeumann", &[1; 1 << 16]);
    assert_eq!(read_key(&endless), Err(NoteError::Key("it is too long")), "refused before it is decoded");
    assert_eq!(read_key(&"+".repeat(4096)), Err(NoteError::Key("it is not canonical base64")), "as long as is read");
}

/// A key that were taken for another would sign in its name.
#[test]
fn keys_are_the_same_by_name_type_and_whole_key() {
    let (log, other) = (Log::new(1), Log::new(3));
    let ed25519 = |name: &str| Ed25519NoteSigner::new(name, &Zeroizing::new([1; 32])).unwrap().verifier_key().clone();
    let cosigner = Ed25519Cosigner::new(ORIGIN, &Zeroizing::new([1; 32])).unwrap();
    assert_eq!(&ed25519(ORIGIN), log.ed25519.verifier_key());
    for (difference, key) in [
        ("another key of the same name and type", other.ed25519.verifier_key()),
        ("the same key under another name", &ed25519("other.example/log")),
        ("the same key of another type", cosigner.verifier_key()),
        ("another type and key", log.ml_dsa_44.verifier_key()),
    ] {
        assert_ne!(log.ed25519.verifier_key(), key, "{difference}");
    }
    assert!(
        log.ed25519.verifier_key().has_key_of(cosigner.verifier_key())
            && !log.ed25519.verifier_key().has_key_of(other.ed25519.verifier_key())
    );
}

#[test]
fn malformed_notes_are_refused() {
    let signed = |lines: &str| format!("{GO_TEXT}\n{lines}");
    let line = |name: &str, bytes: &[u8]| format!("— {name} {}\n", Base64::encode_string(bytes));
    let refused = [
        ("empty", String::new()),
        ("text alone", GO_TEXT.to_owned()),
        ("no signature line", signed("")),
        ("only a newline for a signature", signed("\n")),
        ("no blank line", format!("{GO_TEXT}{GO_LINE}")),
        ("no text", GO_LINE.to_owned()),
        ("no text but a blank line", format!("\n{GO_LINE}")),
        ("no last newline", signed(GO_LINE.trim_end())),
        ("blank line after the signature", signed(&format!("{GO_LINE}\n"))),
        ("blank line between signatures", signed(&format!("{GO_LINE}\n— PeterNeumann\n"))),
        ("hyphen for the dash", signed(&GO_LINE.replace('—', "-"))),
        ("en dash", signed(&GO_LINE.replace('—', "–"))),
        ("two hyphens", signed(&GO_LINE.replace('—', "--"))),
        ("no space after the dash", signed(&GO_LINE.replace("— ", "—"))),
        ("space before the dash", signed(&format!(" {GO_LINE}"))),
        ("two spaces before the name", signed(&GO_LINE.replace("— ", "—  "))),
        ("empty name", signed(&GO_LINE.replace("PeterNeumann", ""))),
        ("two spaces after the name", signed(&GO_LINE.replace("Neumann ", "Neumann  "))),
        ("space at the end", signed(&GO_LINE.replace("=\n", "= \n"))),
        ("no signature after the name", signed("— PeterNeumann\n")),
        ("plus sign in the name", signed(&GO_LINE.replace("PeterNeumann", "Peter+Neumann"))),
        ("no-break space in the name", signed(&GO_LINE.replace("PeterNeumann", "Peter\u{a0}Neumann"))),
        ("carriage returns", signed(GO_LINE).replace('\n', "\r\n")),
        ("carriage return at the end", signed(&GO_LINE.replace('\n', "\r\n"))),
        ("tab in the text", signed(GO_LINE).replace("you ", "you\t")),
        ("zero byte in the text", signed(GO_LINE).replace("you ", "you\0")),
        ("escape sequence in the text", signed(GO_LINE).replace("you ", "you\u{1b}[2J")),
        ("bad base64", signed(&GO_LINE.replace("x08g", "x0*g"))),
        ("URL base64", signed(&GO_LINE.replace('/', "_"))),
        ("base64 without padding", signed(&GO_LINE.replace('=', ""))),
        ("base64 with unused bits set", signed(&GO_LINE.replace("nAM=", "nAN="))),
        ("key id alone", signed(&line("PeterNeumann", &[1, 2, 3, 4]))),
        ("three bytes", signed(&line("PeterNeumann", &[1, 2, 3]))),
        ("65 signature lines", signed(&line("somebody", &[1, 2, 3, 4, 5]).repeat(65))),
        ("too large", format!("{}\n\n{GO_LINE}", "a".repeat(112 * 1024))),
    ];
    for (defect, note) in refused {
        assert!(matches!(read_note(&note), Err(NoteError::Malformed(_))), "{defect}");
    }
    assert!(read_note(&signed(&line("somebody", &[1, 2, 3, 4, 5]).repeat(64))).is_ok(), "64 signature lines");
    // signed-note: at least sixteen signatures, of nearly five kilobytes each.
    assert!(read_note(&signed(&line("somebody", &[1; 4 + 4627 + 8]).repeat(16))).is_ok(), "16 lines of ML-DSA-87");
}

#[test]
fn the_last_blank_line_ends_the_text() {
    let signer = Ed25519NoteSigner::new("PeterNeumann", &Zeroizing::new([1; 32])).unwrap();
    for text in ["a\n\nb\n", "\n", "a\n\n", "a\n\n— PeterNeumann AAAA\n"] {
        let note = read_note(&Note::sign(text, &[&signer], 0).unwrap()).unwrap();
        assert_eq!(note.text(), text);
        assert_eq!(verify_note(&note, &[signer.verifier_key().clone()]), Ok(()));
    }
}

#[test]
fn what_no_verifier_could_read_is_not_signed() {
    let signer = Ed25519NoteSigner::new("PeterNeumann", &Zeroizing::new([1; 32])).unwrap();
    let signers: [&dyn NoteSigner; 1] = [&signer];
    assert!(Note::sign("text\n", &signers, 0).is_ok());
    for text in ["no newline", "text\n\n— PeterNeumann AAAAAAA=", "", "tab\t\n"] {
        let refused = Note::sign(text, &signers, 0);
        assert!(matches!(refused, Err(NoteError::Malformed(_))), "{text:?} was signed, or refused for something else: {refused:?}");
    }
    assert!(matches!(Note::sign("text\n", &[], 0), Err(NoteError::Malformed(_))), "no signer");
    assert!(Note::sign("text\n", &[&signer as &dyn NoteSigner; 65], 0).is_err(), "too many signers");
    assert!(Ed25519NoteSigner::new("two words", &Zeroizing::new([1; 32])).is_err());
    assert!(MlDsa44NoteSigner::new("", &Zeroizing::new([1; 32])).is_err());
}

#[test]
fn known_keys_must_have_signed_rightly_and_once() {
    let key = go_key();
    let known = std::slice::from_ref(&key);
    let other = Ed25519NoteSigner::new("PeterNeumann", &Zeroizing::new([1; 32])).unwrap();
    let verify = |note: String, keys: &[VerifierKey]| verify_note(&read_note(&note).unwrap(), keys);
    let sound = format!("{GO_TEXT}\n{GO_LINE}");

    assert_eq!(verify(sound.clone(), known), Ok(()));
    assert!(matches!(verify(sound.clone(), &[]), Err(NoteError::Missing(_))), "no key to trust");
    let both = [key.clone(), other.verifier_key().clone()];
    assert!(matches!(verify(sound.clone(), &both), Err(NoteError::Missing(_))), "one of two required keys");
    let renamed = sound.replace("— PeterNeumann", "— PeterNeumanm");
    assert!(matches!(verify(renamed, known), Err(NoteError::Missing(_))), "the id under another name");
    let other_id = sound.replace("x08go/", "y08go/");
    assert!(matches!(verify(other_id, known), Err(NoteError::Missing(_))), "the name with another id");

    let altered = sound.replace("answer", "question");
    assert!(matches!(verify(altered, known), Err(NoteError::Signature(_))), "another text");
    let altered = sound.replace("x08go/ZJ", "x08go/ZK");
    assert!(matches!(verify(altered, known), Err(NoteError::Signature(_))), "an altered signature");
    let cut = format!("{GO_TEXT}\n— PeterNeumann {}\n", Base64::encode_string(&[&key.key_id()[..], &[1; 63]].concat()));
    assert!(matches!(verify(cut, known), Err(NoteError::Signature(_))), "a signature of 63 bytes");

    let twice = format!("{sound}{GO_LINE}");
    assert!(matches!(verify(twice, known), Err(NoteError::Malformed(_))), "a known key twice");
    let good_then_bad = format!("{sound}{}", GO_LINE.replace("x08go/ZJ", "x08go/ZK"));
    assert!(verify(good_then_bad, known).is_err(), "a known key, right and wrong");
    let unknown_twice = format!("{sound}{GO_OTHER_LINE}{GO_OTHER_LINE}");
    assert_eq!(verify(unknown_twice, known), Ok(()), "lines of unknown keys are ignored, whatever they are");
}

#[test]
fn ml_dsa_44_signs_checkpoints_only() {
    let log = Log::new(1);
    let text = checkpoint().to_text();
    assert!(Note::sign(&text, &[&log.ml_dsa_44], NOW_UNIX_S).is_ok());
    assert!(matches!(Note::sign(GO_TEXT, &[&log.ml_dsa_44], NOW_UNIX_S), Err(NoteError::Malformed(_))), "any text");
    assert!(matches!(Note::sign(&text, &[&log.ml_dsa_44], 1 << 63), Err(NoteError::Malformed(_))), "a time beyond the specification");

    // The message leaves extension lines out, as tlog-cosignature has it: anyone can add one below a sound signature. So nobody reads a
    // checkpoint of our logs that has any.
    let key = log.ml_dsa_44.verifier_key().clone();
    let note = Note::sign(&text, &[&log.ml_dsa_44], NOW_UNIX_S).unwrap();
    let smuggled = note.replacen("\n\n", "\nextension\n\n", 1);
    assert_eq!(verify_note(&read_note(&smuggled).unwrap(), std::slice::from_ref(&key)), Ok(()));
    let by_one_key = LogVerifier { keys: vec![key], ..log.verifier() };
    assert!(verify_log(&by_one_key, &note).is_ok());
    assert!(matches!(verify_log(&by_one_key, &smuggled), Err(CheckpointError::Malformed(_))), "what nobody has signed is read");
    let empty = note.replacen("\n\n", "\n\nextension\n\n", 1);
    assert!(read_note(&empty).is_ok_and(|empty| verify_note(&empty, &by_one_key.keys).is_err()), "an empty extension line");
}

#[test]
fn a_checkpoint_is_verified_by_both_keys() {
    let log = Log::new(1);
    let note = checkpoint().sign(&log.signers(), NOW_UNIX_S).unwrap();
    assert_eq!(verify_log(&log.verifier(), &note), Ok(checkpoint()));
    assert_eq!(Checkpoint::parse_unverified(&note), Ok(checkpoint()));
    let parsed = read_note(&note).unwrap();
    let ml_dsa_44 = &parsed.signatures()[1];
    assert_eq!(ml_dsa_44.signature[..8], NOW_UNIX_S.to_be_bytes(), "the line carries its time");
    assert_eq!(ml_dsa_44.signature.len(), 8 + 2420);

    for (missing, signer) in [("ML-DSA-44", log.signers()[0]), ("Ed25519", log.signers()[1])] {
        let half = checkpoint().sign(&[signer], NOW_UNIX_S).unwrap();
        let refused = verify_log(&log.verifier(), &half).unwrap_err().to_string();
        assert!(refused.contains(missing), "{refused}");
    }
    let stranger = checkpoint().sign(&Log::new(3).signers(), NOW_UNIX_S).unwrap();
    assert!(matches!(verify_log(&log.verifier(), &stranger), Err(CheckpointError::Note(NoteError::Missing(_)))), "another log's keys");
    let keyless = LogVerifier { keys: Vec::new(), ..log.verifier() };
    assert!(matches!(verify_log(&keyless, &note), Err(CheckpointError::Note(_))), "no key to trust");
    let other = LogVerifier { origin: "other.example/log".to_owned(), ..log.verifier() };
    assert_eq!(verify_log(&other, &note), Err(CheckpointError::Origin(ORIGIN.to_owned())));
}

#[test]
fn no_byte_of_a_checkpoint_can_be_altered() {
    let log = Log::new(1);
    let verifier = log.verifier();
    let note = checkpoint().sign(&log.signers(), NOW_UNIX_S).unwrap();
    for at in 0..note.len() {
        let mut altered = note.clone().into_bytes();
        altered[at] ^= 1;
        if let Ok(altered) = String::from_utf8(altered) {
            let result = verifier.verify(&altered);
            // The verifier in Python takes its time for ML-DSA-44.
            let result = if at % 41 == 0 { checkpoint_judged(&verifier, &altered, result) } else { result };
            assert!(result.is_err(), "byte {at}");
        }
    }
}

#[test]
fn malformed_checkpoints_are_refused() {
    let text = checkpoint().to_text();
    let root = checkpoint().root.to_base64();
    assert_eq!(read_text(&text), Ok(checkpoint()));
    let empty = Checkpoint { origin: ORIGIN.to_owned(), size: 0, root: EMPTY_ROOT };
    assert_eq!(read_text(&empty.to_text()), Ok(empty));
    let refused = [
        ("empty", String::new()),
        ("one line", "\n".to_owned()),
        ("no root", format!("{ORIGIN}\n4211\n")),
        ("no last newline", text.trim_end().to_owned()),
        ("extension line", format!("{text}extension\n")),
        ("blank line at the end", format!("{text}\n")),
        ("no origin", text.replace(ORIGIN, "")),
        ("origin too long to be cosigned", text.replace(ORIGIN, &"o".repeat(256))),
        ("control character in the origin", text.replace(ORIGIN, "a\u{7f}")),
        ("leading zero", text.replace("4211", "04211")),
        ("sign", text.replace("4211", "+4211")),
        ("negative size", text.replace("4211", "-1")),
        ("hexadecimal size", text.replace("4211", "0x1073")),
        ("size beyond 64 bits", text.replace("4211", "18446744073709551616")),
        ("space after the size", text.replace("4211", "4211 ")),
        ("root in hex", text.replace(&root, &checkpoint().root.to_string())),
        ("root without padding", text.replace('=', "")),
        ("root of 31 bytes", text.replace(&root, &Base64::encode_string(&[1; 31]))),
        ("carriage returns", text.replace('\n', "\r\n")),
    ];
    for (defect, text) in refused {
        assert!(matches!(read_text(&text), Err(CheckpointError::Malformed(_))), "{defect}");
    }
    assert_eq!(read_text(&text.replace("4211", "0")), Err(CheckpointError::EmptyTree), "empty tree with another root");
    let log = Log::new(1);
    let forked = Checkpoint { origin: format!("{ORIGIN}\n1"), ..checkpoint() };
    assert!(forked.sign(&[&log.ed25519], NOW_UNIX_S).is_err(), "an origin that is two lines");
}

/// A log of three entries, with the receipt of the second.
fn receipt(log: &Log) -> (Hash, LogProof) {
    let leaves = [b"one".as_slice(), b"two", b"three"].map(leaf_hash);
    let root = node_hash(&node_hash(&leaves[0], &leaves[1]), &leaves[2]);
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 3, root };
    let checkpoint = checkpoint.sign(&log.signers(), NOW_UNIX_S).unwrap();
    (leaves[1], LogProof { index: 1, path: vec![leaves[0], leaves[2]], checkpoint })
}

#[test]
fn a_receipt_proves_its_entry_and_no_other() {
    let log = Log::new(1);
    let (leaf, proof) = receipt(&log);
    let text = proof.to_text();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 1\n"));
    assert_eq!(read_receipt(&text), Ok(proof.clone()));
    assert_eq!(verify_receipt(&proof, &leaf, &log.verifier()).map(|checkpoint| checkpoint.size), Ok(3));

    let refused = |proof: &LogProof, leaf: &Hash| verify_receipt(proof, leaf, &log.verifier()).unwrap_err();
    assert_eq!(refused(&proof, &leaf_hash(b"three")), LogProofError::Proof(ProofError::Root), "another entry");
    assert_eq!(refused(&LogProof { index: 0, ..proof.clone() }, &leaf), LogProofError::Proof(ProofError::Root), "another index");
    assert_eq!(refused(&LogProof { index: 3, ..proof.clone() }, &leaf), LogProofError::Proof(ProofError::OutOfRange), "no index");
    let mut short = proof.clone();
    short.path.pop();
    assert_eq!(refused(&short, &leaf), LogProofError::Proof(ProofError::Length), "a hash too few");
    let (_, stranger) = receipt(&Log::new(3));
    assert!(matches!(refused(&stranger, &leaf), LogProofError::Checkpoint(_)), "another log's keys");

    let with_extra = text.replace("index 1\n", "extra c2VjcmV0\nindex 1\n");
    assert_eq!(read_receipt(&with_extra), Ok(proof), "extra data is dropped");
}

#[test]
fn no_byte_of_a_receipt_can_be_altered() {
    let log = Log::new(1);
    let verifier = log.verifier();
    let (leaf, proof) = receipt(&log);
    let text = proof.to_text();
    for at in 0..text.len() {
        let mut altered = text.clone().into_bytes();
        altered[at] ^= 1;
        if let Ok(altered) = String::from_utf8(altered) {
            let result = LogProof::parse(&altered).and_then(|proof| proof.verify(&leaf, &verifier));
            let result = if at % 41 == 0 { receipt_judged(&altered, &leaf, &verifier, result) } else { result };
            assert!(result.is_err(), "byte {at}");
        }
    }
}

#[test]
fn malformed_receipts_are_refused() {
    let (leaf, proof) = receipt(&Log::new(1));
    let text = proof.to_text();
    let hash_line = format!("{}\n", leaf.to_base64());
    let with_hashes = |count: usize| text.replace("index 1\n", &format!("index 1\n{}", hash_line.repeat(count)));
    assert!(read_receipt(&with_hashes(61)).is_ok(), "63 hashes");
    let refused = [
        ("empty", String::new()),
        ("no header", text.replacen("c2sp.org/tlog-proof@v1\n", "", 1)),
        ("another version", text.replacen("@v1", "@v2", 1)),
        ("space after the header", text.replacen("@v1", "@v1 ", 1)),
        ("no index", text.replacen("index 1\n", "", 1)),
        ("index with a leading zero", text.replacen("index 1", "index 01", 1)),
        ("negative index", text.replacen("index 1", "index -1", 1)),
        ("index beyond 64 bits", text.replacen("index 1", "index 18446744073709551616", 1)),
        ("two index lines", text.replacen("index 1\n", "index 1\nindex 1\n", 1)),
        ("extra after the index", text.replacen("index 1\n", "index 1\nextra c2VjcmV0\n", 1)),
        ("two extra lines", text.replacen("index 1\n", "extra c2VjcmV0\nextra c2VjcmV0\nindex 1\n", 1)),
        ("empty extra", text.replacen("index 1\n", "extra \nindex 1\n", 1)),
        ("extra without base64", text.replacen("index 1\n", "extra *\nindex 1\n", 1)),
        ("unknown line", text.replacen("index 1\n", "note c2VjcmV0\nindex 1\n", 1)),
        ("hash in hex", text.replacen("index 1\n", &format!("index 1\n{leaf}\n"), 1)),
        ("short hash", text.replacen("index 1\n", "index 1\nc2VjcmV0\n", 1)),
        ("64 hashes", with_hashes(62)),
        ("no blank line", text.replacen("\n\n", "\n", 1)),
        ("carriage returns", text.replace('\n', "\r\n")),
        ("too large", text.replacen("index 1\n", &format!("extra {}\nindex 1\n", "A".repeat(128 * 1024)), 1)),
    ];
    for (defect, text) in refused {
        assert!(matches!(read_receipt(&text), Err(LogProofError::Malformed(_))), "{defect}");
    }
    let checkpoint_defects = [
        ("no checkpoint", text[..text.find("\n\n").unwrap() + 2].to_owned()),
        ("two blank lines before the checkpoint", text.replacen("\n\n", "\n\n\n", 1)),
        ("something after the checkpoint", format!("{text}surplus\n")),
    ];
    for (defect, text) in checkpoint_defects {
        assert!(matches!(read_receipt(&text), Err(LogProofError::Checkpoint(_))), "{defect}");
    }
}

/// What is one byte longer is refused in the lists above; what is exactly as long as is allowed is read.
#[test]
fn as_many_bytes_are_read_as_the_limits_say() {
    let note_of = |bytes: usize| format!("{}\n\n{GO_LINE}", "a".repeat(bytes - 2 - GO_LINE.len()));
    assert_eq!(note_of(NOTE_SIZE_BYTES_MAX).len(), NOTE_SIZE_BYTES_MAX);
    assert!(read_note(&note_of(NOTE_SIZE_BYTES_MAX)).is_ok());
    assert_eq!(read_note(&note_of(NOTE_SIZE_BYTES_MAX + 1)), Err(NoteError::Malformed("it is too large")));

    let line_of = |bytes: usize| {
        let room = bytes - "— n \n".len();
        format!("— {} {}\n", "n".repeat(1 + room % 4), "A".repeat(room - room % 4))
    };
    assert_eq!(line_of(NOTE_SIZE_BYTES_MAX).len(), NOTE_SIZE_BYTES_MAX);
    assert!(NoteSignature::parse_lines(&line_of(NOTE_SIZE_BYTES_MAX)).is_ok());
    assert_eq!(NoteSignature::parse_lines(&line_of(NOTE_SIZE_BYTES_MAX + 1)), Err(NoteError::Malformed("it is too large")));

    let receipt = receipt(&Log::new(1)).1.to_text();
    let receipt_of = |bytes: usize| {
        let room = bytes - receipt.len() - "extra \n".len() - "— n AQIDBAU=\n".len();
        // Base64 comes by fours; the name of an unknown signer takes the rest.
        let extra = format!("extra {}\nindex 1\n", "A".repeat(room - room % 4));
        receipt.replacen("index 1\n", &extra, 1) + &format!("— {} AQIDBAU=\n", "n".repeat(1 + room % 4))
    };
    assert_eq!(receipt_of(LOG_PROOF_SIZE_BYTES_MAX).len(), LOG_PROOF_SIZE_BYTES_MAX);
    assert!(read_receipt(&receipt_of(LOG_PROOF_SIZE_BYTES_MAX)).is_ok());
    assert_eq!(read_receipt(&receipt_of(LOG_PROOF_SIZE_BYTES_MAX + 1)), Err(LogProofError::Malformed("it is too large")));
}

#[test]
fn a_key_does_not_fill_a_log_with_its_bytes() {
    let log = Log::new(1);
    let shown = format!("{:?}", log.verifier());
    assert!(shown.len() < 400 && shown.contains("ML-DSA-44"), "{shown}");
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let names: [fn(); 14] = [
        the_example_of_go_is_signed_and_verified_byte_for_byte,
        the_example_of_the_specification_verifies,
        the_key_of_the_go_checksum_database_is_read,
        key_ids_equal_those_of_another_program,
        an_ml_dsa_44_line_equals_that_of_another_program,
        verifier_keys_have_one_spelling,
        malformed_notes_are_refused,
        the_last_blank_line_ends_the_text,
        known_keys_must_have_signed_rightly_and_once,
        ml_dsa_44_signs_checkpoints_only,
        a_checkpoint_is_verified_by_both_keys,
        no_byte_of_a_checkpoint_can_be_altered,
        malformed_checkpoints_are_refused,
        a_receipt_proves_its_entry_and_no_other,
    ];
    let receipts: [fn(); 2] = [no_byte_of_a_receipt_can_be_altered, malformed_receipts_are_refused];
    assert_agrees_on(&[&names[..], &receipts].concat(), 2_500);
}
