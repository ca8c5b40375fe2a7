//! C2SP signed-note: text with signature lines.
//!
//! It does not know what the text says, nor which keys are to be trusted.

use std::fmt;

use base64ct::{Base64, Encoding};

use crate::{NoteSigner, VerifierKey};

/// The largest note: sixteen lines of ML-DSA-87 (signed-note asks for sixteen lines and warns of such sizes), and its text.
pub const NOTE_SIZE_BYTES_MAX: usize = 112 * 1024;

/// The most signature lines: a log's own, and four times what signed-note asks every verifier to accept.
pub const NOTE_SIGNATURES_MAX: usize = 64;

/// A parsed note: its text (ending in a newline) and its signature lines. Nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature line. It says who claims to have signed; only a [`VerifierKey`] can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub key_id: [u8; KEY_ID_SIZE_BYTES],
    /// What follows the key id; its form depends on the key's type.
    pub signature: Vec<u8>,
}

/// Length of a key id.
pub const KEY_ID_SIZE_BYTES: usize = 4;

/// Why a note or key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// Not a verifier key.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// A required key has not signed.
    #[error("the note is not signed by {0}")]
    Missing(String),
    /// A line by a known key does not verify.
    #[error("the signature of {0} on the note does not verify")]
    Signature(String),
}

impl Note {
    /// Parses, by the rules of signed-note and the two limits above.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_SIZE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too large"));
        }
        if note.chars().any(|character| character < ' ' && character != '\n') {
            return Err(NoteError::Malformed("it has a control character"));
        }
        // The text may have blank lines of its own: the last one ends it.
        let blank_line = note.rfind("\n\n").ok_or(NoteError::Malformed("it has no blank line before signatures"))?;
        let (text, signatures) = (&note[..=blank_line], &note[blank_line + 2..]);
        Ok(Self { text: text.to_owned(), signatures: NoteSignature::parse_lines(signatures)? })
    }

    /// What is signed: it ends in a newline. Not to be believed before [`Note::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order, by known and unknown keys.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Verifies that every one of the `required` keys has signed, once and rightly. Lines of other keys are ignored, as signed-note
    /// demands; without a required key nothing can be trusted, so that is refused.
    pub fn verify(&self, required: &[VerifierKey]) -> Result<(), NoteError> {
        if required.is_empty() {
            return Err(NoteError::Missing("any known key".to_owned()));
        }
        for key in required {
            self.signature_of(key)?.ok_or_else(|| NoteError::Missing(key.label()))?;
        }
        Ok(())
    }

    /// The line of `key`, verified; `None` when it has not signed. A line of a known key that does not verify spoils the note, as
    /// signed-note demands, and so does a second one.
    pub fn signature_of(&self, key: &VerifierKey) -> Result<Option<&NoteSignature>, NoteError> {
        let mut lines = self.signatures.iter().filter(|line| line.is_of(key));
        let Some(line) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(NoteError::Malformed("a known key has signed it twice"));
        }
        if key.verifies(&self.text, &line.signature) { Ok(Some(line)) } else { Err(NoteError::Signature(key.label())) }
    }

    /// The note with `line` in place of an earlier one of the same key, or after the others.
    pub(crate) fn with_signature(mut self, line: NoteSignature) -> Self {
        self.signatures.retain(|other| (&other.name, other.key_id) != (&line.name, line.key_id));
        self.signatures.push(line);
        self
    }

    /// Signs a text that ends in a newline with every signer, in their order, at `unix_s`.
    pub fn sign(text: &str, signers: &[&dyn NoteSigner], unix_s: u64) -> Result<String, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed("its text does not end in a newline"));
        }
        let mut note = format!("{text}\n");
        for signer in signers {
            note.push_str(&NoteSignature::sign(text, *signer, unix_s)?.to_string());
        }
        // Whatever a verifier would refuse to read is better refused here.
        Self::parse(&note)?;
        Ok(note)
    }
}

impl fmt::Display for Note {
    /// The very bytes that were parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

impl NoteSignature {
    /// Signs a text that ends in a newline at `unix_s`.
    pub fn sign(text: &str, signer: &dyn NoteSigner, unix_s: u64) -> Result<Self, NoteError> {
        let key = signer.verifier_key();
        Ok(Self { name: key.name().to_owned(), key_id: key.key_id(), signature: signer.sign(text, unix_s)? })
    }

    /// Parses signature lines that stand alone, as a witness answers them: at least one, each ending in a newline.
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        if lines.len() > NOTE_SIZE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too large"));
        }
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("it does not end in a signature line"))?;
        if lines.split('\n').nth(NOTE_SIGNATURES_MAX).is_some() {
            return Err(NoteError::Malformed("it has too many signature lines"));
        }
        lines.split('\n').map(Self::parse).collect()
    }

    /// Whether it claims to be of this key.
    pub(crate) fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.key_id == key.key_id()
    }

    fn parse(line: &str) -> Result<Self, NoteError> {
        let line = line.strip_prefix(LINE_START).ok_or(NoteError::Malformed("a signature line does not start with an em dash"))?;
        let (name, signature) = line.split_once(' ').ok_or(NoteError::Malformed("a signature line has no signature"))?;
        if name.is_empty() || name.contains(|character: char| character == '+' || character.is_whitespace() || character < ' ') {
            return Err(NoteError::Malformed("a signature line has a wrong key name"));
        }
        let signature = Base64::decode_vec(signature).map_err(|_| NoteError::Malformed("a signature line is not canonical base64"))?;
        match signature.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
            }
            _ => Err(NoteError::Malformed("a signature is too short")),
        }
    }
}

impl fmt::Display for NoteSignature {
    /// The line, with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{LINE_START}{} {}", self.name, Base64::encode_string(&[&self.key_id[..], &self.signature].concat()))
    }
}

/// Em dash and space.
const LINE_START: &str = "\u{2014} ";
