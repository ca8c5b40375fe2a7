//! Wraps: CMS AuthEnvelopedData (RFC 5083), AES-256-GCM, to recipients on P-384 or P-256 (ephemeral-static ECDH, aes256-wrap; RFC 5753) and
//! with RSA cards (RSA-OAEP), and the key packages in them, whose content names log, stream and epoch.
//!
//! It does not know who ought to be a recipient, nor where a private key lives. Byte level: docs/formats/envelope.md.

mod agreement;
mod form;
mod package;
mod recipient;

use aes_gcm::{Aes256Gcm, KeyInit, Tag, aead::AeadInOut};
use exhibit_pki::{Certificate, KeyPurpose, SoftwareSigner};
use zeroize::Zeroizing;

use agreement::Curve;
use form::Form;
pub use package::{KeyPackage, STREAMS_MAX, StreamKeys};
use recipient::{Recipient, WRAPPED_KEY_BYTES, WrappedKey, recipient_name};

/// An envelope has at most this many recipients.
pub const RECIPIENTS_MAX: usize = 64;
/// An envelope holds at most this much, which the largest key package fits.
pub const CONTENT_BYTES_MAX: usize = 8 << 20;

/// Draws cryptographic randomness: fills the slice.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Opens wraps: the private half of a wrapping certificate, wherever it is: a file, a card, a token. One kind of key does one of the two.
pub trait UnwrappingKey {
    /// The raw ECDH secret (the x coordinate: 48 bytes on P-384, 32 on P-256) with an uncompressed SEC 1 point. `open` has checked that it is
    /// on the curve.
    fn agree(&self, _peer_sec1: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        Err(EnvelopeError::Key("it does not do key agreement".to_owned()))
    }
    /// What is under RSAES-OAEP (RFC 8017 section 7.1.2) with SHA-256, MGF1 of SHA-256 and no label. Whatever is wrong with it is
    /// `EnvelopeError::Authentication`, told in one time and one way, since which check failed tells an attacker what it holds (Manger).
    fn decrypt_oaep_sha256(&self, _encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        Err(EnvelopeError::Key("it does not decrypt with RSA".to_owned()))
    }
}

/// Why an envelope was not sealed or did not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the CMS that we write (docs/formats/envelope.md).
    #[error("not an envelope of this project: {0}")]
    Malformed(&'static str),
    /// It opened, and its content is not a key package (docs/formats/keys.md).
    #[error("the envelope does not hold keys of this project: {0}")]
    Package(&'static str),
    /// One of its recipients is of a kind that there is room for (RFC 9629), and that this version does not know.
    #[error("a recipient of the envelope uses a key encapsulation (RFC 9629), which this version does not know: try a newer one")]
    UnknownRecipient,
    /// None of its recipients is this certificate.
    #[error("the envelope is not addressed to this certificate")]
    NotARecipient,
    /// The private key could not be used.
    #[error("the private key could not be used: {0}")]
    Key(String),
    /// It does not authenticate: damaged, or another key.
    #[error("the envelope does not open: it is damaged, or the key is another")]
    Authentication,
    /// A recipient's certificate is not for wrapping.
    #[error("certificate \"{0}\" is not for wrapping keys")]
    NotForWrapping(String),
    /// Nobody to seal to, or too many.
    #[error("an envelope is for 1 to 64 recipients, not {0}")]
    RecipientCount(usize),
    /// More content than an envelope may hold.
    #[error("an envelope holds at most 8 MiB: wrap fewer streams in one")]
    TooLong,
    /// The source of randomness failed.
    #[error("the source of randomness is broken: it gave what it practically never gives")]
    Entropy,
}

/// Seals `content` to the wrapping certificates `recipients` (1 to 64). Draws a content key and a nonce, and for each recipient an
/// ephemeral key or OAEP's seed.
pub fn seal(content: &[u8], recipients: &[Certificate], entropy: Entropy<'_>) -> Result<Vec<u8>, EnvelopeError> {
    if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
        return Err(EnvelopeError::RecipientCount(recipients.len()));
    }
    if content.len() > CONTENT_BYTES_MAX {
        return Err(EnvelopeError::TooLong);
    }
    let mut content_key = Zeroizing::new([0; KEY_BYTES]);
    draw(&mut *content_key, &mut *entropy)?;
    let mut nonce = [0; NONCE_BYTES];
    entropy(&mut nonce);

    let mut wrapped = Vec::with_capacity(recipients.len());
    for certificate in recipients {
        wrapped.push(wrap_for(certificate, &content_key, &mut *entropy)?);
    }
    // The content key is fresh in each envelope, so no nonce meets it twice; authAttrs are absent, so nothing else is authenticated.
    let mut ciphertext = content.to_vec();
    let tag = cipher(&content_key)
        .encrypt_inout_detached(&nonce.into(), b"", ciphertext.as_mut_slice().into())
        .expect("8 MiB is far below the limit of GCM, 64 GiB");
    let der = Form { recipients: wrapped, nonce, ciphertext, tag: tag.into() }.to_der();
    // What we refuse to open we must not write: a recipient named twice, or a name too long.
    Form::parse(&der)?;
    Ok(der)
}

/// Opens an envelope with the key of `certificate`.
pub fn open(envelope: &[u8], certificate: &Certificate, key: &dyn UnwrappingKey) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    demand_wrapping(certificate)?;
    let form = Form::parse(envelope)?;
    let name = recipient_name(certificate)?;
    let recipient = form.recipients.iter().find(|recipient| recipient.name == name).ok_or(EnvelopeError::NotARecipient)?;
    let content_key = unwrap_for(certificate, recipient, key)?;
    let mut content = Zeroizing::new(form.ciphertext);
    cipher(&content_key)
        .decrypt_inout_detached(&form.nonce.into(), b"", content.as_mut_slice().into(), &Tag::from(form.tag))
        .map_err(|_| EnvelopeError::Authentication)?;
    Ok(content)
}

/// How many recipients can open it.
pub fn recipient_count(envelope: &[u8]) -> Result<usize, EnvelopeError> {
    Form::parse(envelope).map(|form| form.recipients.len())
}

/// True if `certificate` is one of the recipients, by issuer and serial number. Needs no key: what a blind appliance can check.
pub fn is_addressed_to(envelope: &[u8], certificate: &Certificate) -> Result<bool, EnvelopeError> {
    let name = recipient_name(certificate)?;
    Ok(Form::parse(envelope)?.recipients.iter().any(|recipient| recipient.name == name))
}

impl UnwrappingKey for SoftwareSigner {
    fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let secret = SoftwareSigner::agree(self, peer_sec1).map_err(|error| EnvelopeError::Key(error.to_string()))?;
        Ok(Zeroizing::new(secret.to_vec()))
    }
}

/// The content key, wrapped for the holder of a certificate.
fn wrap_for(certificate: &Certificate, content_key: &[u8; KEY_BYTES], entropy: Entropy<'_>) -> Result<Recipient, EnvelopeError> {
    demand_wrapping(certificate)?;
    let key = match Curve::of(certificate.public_key()) {
        Some(curve) => agree_for(certificate, curve, content_key, entropy)?,
        None => {
            let mut seed = Zeroizing::new([0; OAEP_SEED_BYTES]);
            draw(&mut *seed, entropy)?;
            let encrypted =
                certificate.public_key().encrypt_oaep_sha256(content_key, &seed).expect("it is an RSA key, which takes 32 bytes");
            WrappedKey::Transport { encrypted }
        }
    };
    Ok(Recipient { name: recipient_name(certificate)?, key })
}

/// RFC 5753 section 3.1: an ephemeral key of this recipient's own, so that no two recipients' keys have anything in common.
fn agree_for(
    certificate: &Certificate,
    curve: Curve,
    content_key: &[u8; KEY_BYTES],
    entropy: Entropy<'_>,
) -> Result<WrappedKey, EnvelopeError> {
    let mut scalar = Zeroizing::new(vec![0; curve.scalar_bytes()]);
    for _ in 0..SCALAR_DRAWS {
        draw(&mut scalar, &mut *entropy)?;
        let Some((ephemeral, shared)) = curve.agree(&scalar, certificate.public_key().as_bytes()) else { continue };
        let mut wrapped = [0; WRAPPED_KEY_BYTES];
        curve.key_wrap(&shared).wrap_key(content_key, &mut wrapped).expect("a key of 32 bytes wraps into 40 (RFC 3394)");
        return Ok(WrappedKey::Agreement { curve, ephemeral, wrapped });
    }
    Err(EnvelopeError::Entropy)
}

/// The content key of a recipient; the private key is used last.
fn unwrap_for(
    certificate: &Certificate,
    recipient: &Recipient,
    key: &dyn UnwrappingKey,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, EnvelopeError> {
    let mut content_key = Zeroizing::new([0; KEY_BYTES]);
    match (&recipient.key, Curve::of(certificate.public_key())) {
        (WrappedKey::Agreement { curve, ephemeral, wrapped }, Some(own)) if *curve == own => {
            // A point off the curve would let whoever wrote the envelope learn the private key bit by bit; no key of any kind is shown one.
            if !curve.is_point(ephemeral) {
                return Err(EnvelopeError::Malformed("an ephemeral key is not a point on its curve"));
            }
            let shared = key.agree(ephemeral)?;
            if shared.len() != curve.scalar_bytes() {
                return Err(EnvelopeError::Key("its shared secret is not as long as the curve's".to_owned()));
            }
            curve.key_wrap(&shared).unwrap_key(wrapped, &mut *content_key).map_err(|_| EnvelopeError::Authentication)?;
        }
        (WrappedKey::Transport { encrypted }, None) => {
            let decrypted = key.decrypt_oaep_sha256(encrypted)?;
            if decrypted.len() != KEY_BYTES {
                return Err(EnvelopeError::Authentication);
            }
            content_key.copy_from_slice(&decrypted);
        }
        _ => return Err(EnvelopeError::Malformed("a recipient's key is not wrapped for the kind of key that its certificate has")),
    }
    Ok(content_key)
}

/// Draws a secret. That all its bytes are the same happens once in 2^248 draws, so it is the generator that failed.
fn draw(secret: &mut [u8], entropy: Entropy<'_>) -> Result<(), EnvelopeError> {
    entropy(secret);
    let differing = secret.iter().fold(0, |differing, byte| differing | (byte ^ secret[0]));
    if differing == 0 { Err(EnvelopeError::Entropy) } else { Ok(()) }
}

fn demand_wrapping(certificate: &Certificate) -> Result<(), EnvelopeError> {
    match certificate.purpose() {
        KeyPurpose::Wrapping => Ok(()),
        KeyPurpose::Authority | KeyPurpose::Signing | KeyPurpose::Timestamping | KeyPurpose::OcspSigning => {
            Err(EnvelopeError::NotForWrapping(certificate.common_name().to_owned()))
        }
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> Aes256Gcm {
    Aes256Gcm::new_from_slice(key).expect("the key of AES-256 has 32 bytes")
}

/// AES-256, for the content and for wrapping its key.
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// SHA-256's.
const OAEP_SEED_BYTES: usize = 32;
/// A draw of 32 bytes is not below the order of P-256 once in 2^32 times; four in a row are the generator's fault.
const SCALAR_DRAWS: usize = 4;
