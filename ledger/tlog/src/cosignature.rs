//! C2SP tlog-cosignature: the messages that cosigners sign, of checkpoints and of subtrees.
//!
//! It does not know who the cosigners are, nor whether a time is past.

use crate::{Checkpoint, Hash, NoteError, Subtree};

/// What an Ed25519 cosignature signs (type 0x04): the time and the whole text, which has to be a checkpoint's. Neither the
/// cosigner's name nor its key is in it, so that such a key must have one name.
pub(crate) fn ed25519_message(unix_s: u64, text: &str) -> Result<Vec<u8>, NoteError> {
    checkpoint_of(text)?;
    let unix_s = within_limit(unix_s)?;
    Ok(format!("cosignature/v1\ntime {unix_s}\n{text}").into_bytes())
}

/// What an ML-DSA-44 line signs (type 0x06): origin, size and root of the checkpoint in `text`, as the subtree from 0, not the text
/// itself: of extension lines it says nothing. A text that is no checkpoint is refused.
pub fn ml_dsa_44_message(cosigner: &str, unix_s: u64, text: &str) -> Result<Vec<u8>, NoteError> {
    let checkpoint = checkpoint_of(text)?;
    let unix_s = within_limit(unix_s)?;
    Ok(subtree_message(cosigner, unix_s, &checkpoint.origin, (0, checkpoint.size), &checkpoint.root))
}

/// What an ML-DSA-44 cosignature of a subtree signs: the same message, without a time, since a part says nothing of how large the
/// tree has become. Fails for an origin that no checkpoint could have.
pub(crate) fn ml_dsa_44_subtree_message(cosigner: &str, origin: &str, subtree: Subtree, root: &Hash) -> Result<Vec<u8>, NoteError> {
    let of_log = Checkpoint { origin: origin.to_owned(), size: subtree.end(), root: *root };
    checkpoint_of(&of_log.to_text())?;
    Ok(subtree_message(cosigner, NO_TIME, origin, (subtree.start(), subtree.end()), root))
}

/// The `cosigned_message` of the specification.
fn subtree_message(cosigner: &str, unix_s: u64, origin: &str, (start, end): (u64, u64), root: &Hash) -> Vec<u8> {
    let mut message = b"subtree/v1\n\0".to_vec();
    push_counted(&mut message, cosigner);
    message.extend_from_slice(&unix_s.to_be_bytes());
    push_counted(&mut message, origin);
    message.extend_from_slice(&start.to_be_bytes());
    message.extend_from_slice(&end.to_be_bytes());
    message.extend_from_slice(&root.0);
    message
}

fn checkpoint_of(text: &str) -> Result<Checkpoint, NoteError> {
    Checkpoint::from_text_of_any_log(text).map_err(|_| NoteError::Malformed("such a key cosigns checkpoints only"))
}

fn within_limit(unix_s: u64) -> Result<u64, NoteError> {
    if unix_s > COSIGNATURE_UNIX_S_MAX { Err(NoteError::Malformed("the time of a signature is beyond 2^63")) } else { Ok(unix_s) }
}

fn push_counted(message: &mut Vec<u8>, text: &str) {
    message.push(u8::try_from(text.len()).expect("names and origins of more than 255 bytes are refused when parsed"));
    message.extend_from_slice(text.as_bytes());
}

/// Stands in a cosignature whose cosigner does not say that the tree is the largest it has seen.
pub(crate) const NO_TIME: u64 = 0;

/// The last time that tlog-cosignature allows.
const COSIGNATURE_UNIX_S_MAX: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn signed_messages_equal_those_of_another_program() {
        let vectors = include_str!("../tests/vectors/notes.txt");
        let mut seen = (0, 0, 0);
        for line in vectors.lines() {
            let words = line.split(' ').collect::<Vec<_>>();
            let text = |origin: &str, size: &str, root: &str| {
                Checkpoint { origin: origin.to_owned(), size: size.parse().unwrap(), root: Hash::from_base64(root).unwrap() }.to_text()
            };
            let (ours, message) = match words[..] {
                ["message", cosigner, time, origin, size, root, message] => {
                    seen.0 += 1;
                    (ml_dsa_44_message(cosigner, time.parse().unwrap(), &text(origin, size, root)), message)
                }
                ["subtree-message", cosigner, origin, start, end, root, message] => {
                    seen.1 += 1;
                    let subtree = Subtree::new(start.parse().unwrap(), end.parse().unwrap()).unwrap();
                    (ml_dsa_44_subtree_message(cosigner, origin, subtree, &Hash::from_base64(root).unwrap()), message)
                }
                ["ed25519-message", time, origin, size, root, message] => {
                    seen.2 += 1;
                    (ed25519_message(time.parse().unwrap(), &text(origin, size, root)), message)
                }
                _ => continue,
            };
            assert_eq!(hex::encode(ours.unwrap()), message, "{line}");
        }
        assert_eq!(seen, (3, 3, 3), "the vectors are not whole");
    }

    #[test]
    fn a_time_beyond_the_specification_is_refused() {
        let text = Checkpoint { origin: "exhibit.example/log".to_owned(), size: 1, root: Hash([1; 32]) }.to_text();
        let last = 9_223_372_036_854_775_807;
        assert!(ml_dsa_44_message("exhibit.example/log", last, &text).is_ok());
        assert!(ml_dsa_44_message("exhibit.example/log", last + 1, &text).is_err());
        assert!(ed25519_message(last, &text).is_ok());
        assert!(ed25519_message(last + 1, &text).is_err());
    }

    #[test]
    fn a_subtree_of_no_log_is_not_cosigned() {
        let message = |origin: &str| ml_dsa_44_subtree_message("witness.example/w", origin, Subtree::new(8, 13).unwrap(), &Hash([1; 32]));
        assert!(message(&"o".repeat(255)).is_ok());
        for (defect, origin) in [("no origin", ""), ("two lines", "a\nb"), ("too long to be counted", &"o".repeat(256))] {
            assert!(message(origin).is_err(), "{defect}");
        }
    }
}
