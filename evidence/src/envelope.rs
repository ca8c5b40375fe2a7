//! Wraps: CMS AuthEnvelopedData (RFC 5083), AES-256-GCM, to P-384 recipients (ephemeral-static ECDH, sha384kdf, aes256-wrap; RFC 5753), and
//! the key packages in them, whose content names log, stream and epoch.
//!
//! It does not know who ought to be a recipient, nor where a private key lives. Byte level: docs/formats/envelope.md.

mod form;
mod package;

use aes_gcm::{Aes256Gcm, KeyInit, Tag, aead::AeadInOut};
use aes_kw::AesKw;
use der::Encode;
use exhibit_pki::{Certificate, KeyPurpose, SoftwareSigner};
use p384::{PublicKey, SecretKey, elliptic_curve::sec1::ToSec1Point};
use sha2::Sha384;
use zeroize::Zeroizing;

use form::{Form, POINT_BYTES, Recipient, WRAPPED_KEY_BYTES, recipient_name};
pub use package::{KeyPackage, STREAMS_MAX, StreamKeys};

/// An envelope has at most this many recipients.
pub const RECIPIENTS_MAX: usize = 64;
/// An envelope holds at most this much, which the largest key package fits.
pub const CONTENT_BYTES_MAX: usize = 8 << 20;

/// Draws cryptographic randomness: fills the slice.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Opens wraps: the private half of a wrapping certificate, wherever it is.
pub trait KeyAgreement {
    /// The raw ECDH secret (48-byte x coordinate) with an uncompressed SEC 1 point on P-384. `open` has checked that it is on the curve.
    fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<[u8; 48]>, EnvelopeError>;
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

/// Seals `content` to the wrapping certificates `recipients` (1 to 64). Draws a content key, a nonce and one ephemeral key per recipient.
pub fn seal(content: &[u8], recipients: &[Certificate], entropy: Entropy<'_>) -> Result<Vec<u8>, EnvelopeError> {
    if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
        return Err(EnvelopeError::RecipientCount(recipients.len()));
    }
    if content.len() > CONTENT_BYTES_MAX {
        return Err(EnvelopeError::TooLong);
    }
    let mut content_key = Zeroizing::new([0; KEY_BYTES]);
    entropy(&mut *content_key);
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
pub fn open(envelope: &[u8], certificate: &Certificate, key: &dyn KeyAgreement) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    demand_wrapping(certificate)?;
    let form = Form::parse(envelope)?;
    let name = recipient_name(certificate)?;
    let recipient = form.recipients.iter().find(|recipient| recipient.name == name).ok_or(EnvelopeError::NotARecipient)?;
    // A point off the curve would let whoever wrote the envelope learn the private key bit by bit; no key of any kind is shown one.
    PublicKey::from_sec1_bytes(&recipient.ephemeral).map_err(|_| EnvelopeError::Malformed("an ephemeral key is not a point on P-384"))?;
    let shared = key.agree(&recipient.ephemeral)?;
    let mut content_key = Zeroizing::new([0; KEY_BYTES]);
    key_wrap(&shared).unwrap_key(&recipient.wrapped_key, &mut *content_key).map_err(|_| EnvelopeError::Authentication)?;
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

impl KeyAgreement for SoftwareSigner {
    fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<[u8; 48]>, EnvelopeError> {
        SoftwareSigner::agree(self, peer_sec1).map_err(|error| EnvelopeError::Key(error.to_string()))
    }
}

/// RFC 5753 section 3.1: an ephemeral key of this recipient's own, so that no two recipients' keys have anything in common.
fn wrap_for(certificate: &Certificate, content_key: &[u8; KEY_BYTES], entropy: Entropy<'_>) -> Result<Recipient, EnvelopeError> {
    demand_wrapping(certificate)?;
    let not_for_wrapping = || EnvelopeError::NotForWrapping(certificate.common_name().to_owned());
    let public_key = PublicKey::from_sec1_bytes(certificate.public_key().as_bytes()).map_err(|_| not_for_wrapping())?;
    let mut scalar = Zeroizing::new([0; SCALAR_BYTES]);
    entropy(&mut *scalar);
    // Zero or not below n: that happens once in 2^190 draws, so it is the generator that failed.
    let ephemeral = SecretKey::from_slice(&*scalar).map_err(|_| EnvelopeError::Entropy)?;
    let shared = ephemeral.diffie_hellman(&public_key);
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    secret.copy_from_slice(shared.raw_secret_bytes());
    let mut wrapped_key = [0; WRAPPED_KEY_BYTES];
    key_wrap(&secret).wrap_key(content_key, &mut wrapped_key).expect("a key of 32 bytes wraps into 40 (RFC 3394)");
    let point = ephemeral.public_key().to_sec1_point(false);
    let point: [u8; POINT_BYTES] = point.as_bytes().try_into().expect("an uncompressed point on P-384 has 97 bytes");
    Ok(Recipient { name: recipient_name(certificate)?, ephemeral: point, wrapped_key })
}

/// RFC 5753 section 7.2: the ANSI X9.63 KDF over the shared secret, bound to the use of its result.
fn key_wrap(shared: &[u8; SECRET_BYTES]) -> AesKw<aes::Aes256> {
    let info = form::SharedInfo::for_aes256_wrap().to_der().expect("constants encode");
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    ansi_x963_kdf::derive_key_into::<Sha384>(shared, &info, &mut *key).expect("one block of SHA-384 is within the limits of the KDF");
    AesKw::new_from_slice(&*key).expect("the key of AES-256 has 32 bytes")
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
const SCALAR_BYTES: usize = 48;
/// An x coordinate on P-384.
const SECRET_BYTES: usize = 48;
