//! ECDSA note keys and cosignatures of both kinds: lines made by other programs, checkpoints of public logs, and hostile lines named
//! by their defect.
#![allow(clippy::unwrap_used)]

use base64ct::{Base64, Encoding};
use exhibit_tlog::{
    Checkpoint, Ed25519Cosigner, Ed25519NoteSigner, Hash, LogVerifier, MlDsa44NoteSigner, NoteAlgorithm, NoteError, NoteSignature,
    NoteSigner, Subtree, VerifierKey,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use judged::{assert_agrees_on, read_key, read_lines, read_note, signature_of, verify_log, verify_note, verify_subtree_line};

mod judged;

const ORIGIN: &str = "exhibit.example/log";
const NOW_UNIX_S: u64 = 1_795_176_002;

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size: 4211, root: Hash(Sha256::digest(ORIGIN).into()) }
}

fn seed(first: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(std::array::from_fn(|at| first + at as u8))
}

/// Checkpoints of the logs of Sigstore and of Pixel phones, from the tests of github.com/transparency-dev/formats.
#[test]
fn checkpoints_of_public_logs_verify() {
    let logs = [
        (
            "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/\
             4sueRoVj//QP22Ni4Qt9DPfkWLc=",
            "Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n— rekor.sigstore.dev \
             wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUCRdxwWBHHufk=\n",
        ),
        (
            "pixel6_transparency_log+91c16e30+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN+4x0Jk1yTwvLFI9A4NDdGZcX0aiWVdWM5XJVy0M4VWD3AvyW5Q\
             6Hs9A0mcDkpUoYgn+KKPNzFC0H3nN3q6JQ8=",
            "DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n— pixel6_transparency_log \
             kcFuMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe47dHWBoPwYdgBCepB06/+g5O1FmYjXl06owL4\n",
        ),
    ];
    for (key, note) in logs {
        let key = read_key(key).unwrap();
        assert_eq!(key.algorithm(), NoteAlgorithm::EcdsaP256);
        let altered = note.replacen("=\n\n", "=\nextension\n\n", 1);
        assert_eq!(verify_note(&read_note(note).unwrap(), std::slice::from_ref(&key)), Ok(()), "{key}");
        assert!(matches!(verify_note(&read_note(&altered).unwrap(), &[key]), Err(NoteError::Signature(_))));
    }
}

#[test]
fn ecdsa_lines_of_another_program_verify() {
    let vectors = [
        (NoteAlgorithm::EcdsaP256, include_str!("vectors/p256.vkey"), include_str!("vectors/p256.note")),
        (NoteAlgorithm::EcdsaP384, include_str!("vectors/p384.vkey"), include_str!("vectors/p384.note")),
    ];
    for (algorithm, text, note) in vectors {
        let key = read_key(text.trim_end()).unwrap();
        assert_eq!((key.algorithm(), key.to_string().as_str()), (algorithm, text.trim_end()));
        let info = &Base64::decode_vec(text.trim_end().splitn(3, '+').nth(2).unwrap()).unwrap()[1..];
        assert_eq!(VerifierKey::ecdsa(ORIGIN, info), Ok(key.clone()));
        assert_eq!(key.key_id(), Sha256::digest(info)[..4], "the id of an ECDSA key leaves its name out");

        let log = LogVerifier { origin: ORIGIN.to_owned(), keys: vec![key.clone()] };
        assert_eq!(verify_log(&log, note), Ok(checkpoint()));
        assert!(verify_log(&log, &note.replacen("4211", "4212", 1)).is_err(), "another size");
        let line = read_note(note).unwrap().signatures()[0].clone();
        let refused = |defect: &str, signature: Vec<u8>| {
            let altered = NoteSignature { signature, ..line.clone() };
            let note = format!("{}\n{altered}", checkpoint().to_text());
            assert!(matches!(verify_log(&log, &note), Err(error) if error.to_string().contains("does not verify")), "{defect}");
        };
        for (at, byte) in line.signature.iter().enumerate() {
            let mut altered = line.signature.clone();
            altered[at] = byte ^ 1;
            refused(&format!("{algorithm} byte {at} altered"), altered);
        }
        hostile_der(&line.signature).into_iter().for_each(|(defect, signature)| refused(defect, signature));
    }
}

/// Forms of a sound signature, `30 length 02 length r 02 length s`, that are not its DER encoding, and impossible numbers.
fn hostile_der(sound: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let r_end = 4 + sound[3] as usize;
    let (r, s) = (&sound[2..r_end], &sound[r_end..]);
    let sequence = |parts: &[&[u8]]| {
        let content = parts.concat();
        [&[0x30, content.len() as u8], &content[..]].concat()
    };
    assert_eq!(sequence(&[r, s]), sound);
    let padded = |integer: &[u8]| [&[2, integer[1] + 1, 0], &integer[2..]].concat();
    let size = if sound.len() > 80 { 48 } else { 32 };
    let fixed = |integer: &[u8]| [vec![0; size], integer[2..].to_vec()].concat().split_off(integer.len() - 2);
    vec![
        ("one byte", vec![0x30]),
        ("cut short", sound[..sound.len() - 1].to_vec()),
        ("surplus byte", [sound, &[0]].concat()),
        ("surplus byte inside", sequence(&[r, s, &[0]])),
        ("surplus number", sequence(&[r, s, &[2, 1, 1]])),
        ("no s", sequence(&[r])),
        ("r and s exchanged", sequence(&[s, r])),
        ("r padded", sequence(&[&padded(r), s])),
        ("s padded", sequence(&[r, &padded(s)])),
        ("length in BER", [&[0x30, 0x81], &sound[1..]].concat()),
        ("indefinite length", [&[0x30, 0x80], &sound[2..], &[0, 0]].concat()),
        ("set for a sequence", [&[0x31], &sound[1..]].concat()),
        ("r is zero", sequence(&[&[2, 1, 0], s])),
        ("s is zero", sequence(&[r, &[2, 1, 0]])),
        ("s is negative", sequence(&[r, &[2, 1, 0x80]])),
        ("s is too large", sequence(&[r, &[&[2, size as u8 + 1, 0][..], &vec![0xff; size]].concat()])),
        ("fixed length, as in JOSE", [fixed(r), fixed(s)].concat()),
    ]
}

#[test]
fn ecdsa_keys_have_one_encoding() {
    let text = include_str!("vectors/p384.vkey").trim_end();
    let info = Base64::decode_vec(text.splitn(3, '+').nth(2).unwrap()).unwrap().split_off(1);
    let p256 = Base64::decode_vec(include_str!("vectors/p256.vkey").trim_end().splitn(3, '+').nth(2).unwrap()).unwrap().split_off(1);
    assert!(VerifierKey::ecdsa(ORIGIN, &info).is_ok() && VerifierKey::ecdsa(ORIGIN, &p256).is_ok());
    let with = |at: usize, byte: u8| {
        let mut altered = info.clone();
        altered[at] = byte;
        altered
    };
    let compressed = [&hex::decode("3046301006072a8648ce3d020106052b81040022033200").unwrap()[..], &[2], &info[24..72]].concat();
    let refused = [
        ("empty", vec![]),
        ("a point without its curve", info[23..].to_vec()),
        ("cut short", info[..119].to_vec()),
        ("surplus byte", [&info[..], &[0]].concat()),
        ("compressed point", compressed),
        ("compressed point with the lengths of an uncompressed one", [&info[..23], &[2], &info[24..72]].concat()),
        ("compressed point on P-256 with the lengths of an uncompressed one", [&p256[..26], &[2], &p256[27..59]].concat()),
        ("compressed point's mark on an uncompressed one", with(23, 2)),
        ("hybrid point", with(23, 6)),
        ("point at infinity", with(23, 0)),
        ("no point of the curve", with(119, info[119] ^ 1)),
        ("P-384 point on P-256", [&p256[..26], &info[23..]].concat()),
        ("P-521", with(19, 0x23)),
        ("Ed25519 algorithm", with(6, 0x2b)),
        ("unused bits in the bit string", with(22, 1)),
    ];
    for (defect, info) in refused {
        assert!(matches!(VerifierKey::ecdsa(ORIGIN, &info), Err(NoteError::Key(_))), "{defect}");
    }
    assert!(read_key(&text.replace(&text[20..28], "00000000")).is_err(), "id of another key");
    assert!(VerifierKey::ecdsa("two words", &info).is_err(), "name with a space");
}

#[test]
fn cosigners_sign_as_another_program_does() {
    let note = read_note(include_str!("vectors/witnessed.note")).unwrap();
    let w1 = Ed25519Cosigner::new("witness.example/w1", &Zeroizing::new([2; 32])).unwrap();
    let w2 = MlDsa44NoteSigner::new("witness.example/w2", &seed(32)).unwrap();
    let text = checkpoint().to_text();
    assert_eq!(NoteSignature::sign(&text, &w1, NOW_UNIX_S + 1).unwrap(), note.signatures()[2]);
    assert_eq!(NoteSignature::sign(&text, &w2, NOW_UNIX_S + 3).unwrap(), note.signatures()[3]);
    assert_eq!(note.to_string(), include_str!("vectors/witnessed.note"), "a note is written as it was read");
    for signer in [&w1 as &dyn NoteSigner, &w2] {
        let key = signer.verifier_key();
        assert!(include_str!("vectors/witnessed.policy").contains(&key.to_string()), "{key:?}");
        assert!(note.signature_of(key).unwrap().is_some());
        assert!(key.algorithm().is_cosignature());
    }
    assert_eq!(w1.verifier_key().algorithm().type_byte(), 4);
}

#[test]
fn an_ed25519_cosignature_is_of_its_time_and_text() {
    let signer = Ed25519Cosigner::new("witness.example/w1", &Zeroizing::new([2; 32])).unwrap();
    let key = signer.verifier_key();
    let text = checkpoint().to_text();
    let line = NoteSignature::sign(&text, &signer, NOW_UNIX_S).unwrap();
    assert_eq!((line.signature.len(), &line.signature[..8]), (72, &NOW_UNIX_S.to_be_bytes()[..]));
    let signed = |text: &str, signature: Vec<u8>| {
        let line = NoteSignature { signature, ..line.clone() };
        signature_of(&format!("{text}\n{line}"), key).map(|line| line.is_some())
    };
    assert_eq!(signed(&text, line.signature.clone()), Ok(true));

    let plain = Ed25519NoteSigner::new("witness.example/w1", &Zeroizing::new([2; 32])).unwrap();
    let plain_signature = plain.sign(&text, 0).unwrap();
    let later = [&(NOW_UNIX_S + 1).to_be_bytes(), &line.signature[8..]].concat();
    let beyond = [&(1_u64 << 63).to_be_bytes(), &line.signature[8..]].concat();
    let refused = [
        ("another time", later),
        ("time beyond 2^63", beyond),
        ("no time", line.signature[8..].to_vec()),
        ("time alone", line.signature[..8].to_vec()),
        ("half a time", line.signature[..4].to_vec()),
        ("surplus byte", [&line.signature[..], &[0]].concat()),
        ("a log's signature by the same key", plain_signature.clone()),
        ("a log's signature with a time", [&NOW_UNIX_S.to_be_bytes(), &plain_signature[..]].concat()),
    ];
    for (defect, signature) in refused {
        assert!(matches!(signed(&text, signature), Err(NoteError::Signature(_))), "{defect}");
    }
    let other_size = text.replace("4211", "4212");
    assert!(matches!(signed(&other_size, line.signature.clone()), Err(NoteError::Signature(_))), "another text");
    assert_ne!(plain.verifier_key().key_id(), key.key_id(), "one key, two types");
    assert!(plain.verifier_key().has_key_of(key));

    // The time and the whole text are signed, what a log has put behind the root included.
    let extended = format!("{text}extension\n");
    let over_all = signer.sign(&extended, NOW_UNIX_S).unwrap();
    assert_eq!(signed(&extended, over_all.clone()), Ok(true));
    assert!(signed(&text, over_all).is_err() && signed(&extended, line.signature.clone()).is_err(), "extension lines are not signed");
    for (defect, text) in [("any text", "text\n".to_owned()), ("an empty extension line", format!("{text}\nextension\n"))] {
        assert!(matches!(signer.sign(&text, NOW_UNIX_S), Err(NoteError::Malformed(_))), "{defect}");
    }
    assert!(signer.sign(&text, 1 << 63).is_err(), "time beyond 2^63");
    assert!(Ed25519Cosigner::new("two words", &Zeroizing::new([2; 32])).is_err());
}

#[test]
fn a_subtree_is_cosigned_as_another_program_does_and_no_other_verifies() {
    let signer = MlDsa44NoteSigner::new("witness.example/w2", &seed(32)).unwrap();
    let key = signer.verifier_key();
    let subtree = |start, end| Subtree::new(start, end).unwrap();
    let root = checkpoint().root;
    let line = signer.sign_subtree(ORIGIN, subtree(8, 13), &root).unwrap();
    assert_eq!(line.to_string(), include_str!("vectors/subtree.line"));
    assert_eq!(key.to_string(), include_str!("vectors/subtree.vkey").trim_end());
    assert_eq!(read_lines(include_str!("vectors/subtree.line")), Ok(vec![line.clone()]));
    assert_eq!(verify_subtree_line(key, ORIGIN, subtree(8, 13), &root, &line), Ok(()));

    let altered = |defect: &str, origin: &str, of: Subtree, root: &Hash, line: &NoteSignature| {
        assert!(matches!(verify_subtree_line(key, origin, of, root, line), Err(NoteError::Signature(_))), "{defect}");
    };
    altered("another log", "exhibit.example/other", subtree(8, 13), &root, &line);
    altered("another end", ORIGIN, subtree(8, 14), &root, &line);
    altered("another start", ORIGIN, subtree(0, 13), &root, &line);
    altered("another root", ORIGIN, subtree(8, 13), &Hash([0; 32]), &line);
    let timed = NoteSignature { signature: [&NOW_UNIX_S.to_be_bytes(), &line.signature[8..]].concat(), ..line.clone() };
    altered("a time", ORIGIN, subtree(8, 13), &root, &timed);
    altered("cut short", ORIGIN, subtree(8, 13), &root, &NoteSignature { signature: line.signature[..2427].to_vec(), ..line.clone() });
    // The line on a checkpoint is a sound signature of the same message, but for its time: it is no answer about a subtree.
    let of_checkpoint = NoteSignature::sign(&checkpoint().to_text(), &signer, NOW_UNIX_S).unwrap();
    altered("a cosignature of the checkpoint", ORIGIN, subtree(0, 4211), &root, &of_checkpoint);

    let renamed = NoteSignature { name: "witness.example/w1".to_owned(), ..line.clone() };
    assert!(matches!(verify_subtree_line(key, ORIGIN, subtree(8, 13), &root, &renamed), Err(NoteError::Missing(_))), "another name");
    let other_id = NoteSignature { key_id: [0; 4], ..line.clone() };
    assert!(matches!(verify_subtree_line(key, ORIGIN, subtree(8, 13), &root, &other_id), Err(NoteError::Missing(_))), "another key id");
    let ed25519 = Ed25519Cosigner::new("witness.example/w2", &Zeroizing::new([2; 32])).unwrap();
    let refused = ed25519.verifier_key().verify_subtree(ORIGIN, subtree(8, 13), &root, &line);
    assert!(matches!(refused, Err(NoteError::Key(_))), "Ed25519 cosigns no subtrees");
}

#[test]
fn a_line_that_stands_alone_is_read_as_strictly_as_one_in_a_note() {
    let sound = include_str!("vectors/subtree.line");
    let refused = [
        ("empty", String::new()),
        ("newline alone", "\n".to_owned()),
        ("no last newline", sound.trim_end().to_owned()),
        ("blank line", format!("{sound}\n")),
        ("blank line in front", format!("\n{sound}")),
        ("text", format!("text\n{sound}")),
        ("carriage return", sound.replace('\n', "\r\n")),
        ("control character in the name", sound.replace("witness", "wit\u{1}ness")),
        ("65 lines", "— somebody AQIDBAU=\n".repeat(65)),
        ("too large", format!("— somebody {}\n", "A".repeat(112 * 1024))),
    ];
    for (defect, lines) in refused {
        assert!(matches!(read_lines(&lines), Err(NoteError::Malformed(_))), "{defect}");
    }
    assert_eq!(read_lines(&"— somebody AQIDBAU=\n".repeat(64)).map(|lines| lines.len()), Ok(64));
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 7] = [
        checkpoints_of_public_logs_verify,
        ecdsa_lines_of_another_program_verify,
        ecdsa_keys_have_one_encoding,
        cosigners_sign_as_another_program_does,
        an_ed25519_cosignature_is_of_its_time_and_text,
        a_subtree_is_cosigned_as_another_program_does_and_no_other_verifies,
        a_line_that_stands_alone_is_read_as_strictly_as_one_in_a_note,
    ];
    assert_agrees_on(&tests, 200);
}
