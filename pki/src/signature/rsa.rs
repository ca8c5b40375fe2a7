//! RSA keys of people's cards: public operations only, which are not what RUSTSEC-2023-0071 (a timing leak of private ones) is about.
//!
//! It does not know SubjectPublicKeyInfo, nor any private key.

use std::ops::RangeInclusive;

use der::{Decode, Sequence, asn1::UintRef};
use rsa::{
    BoxedUint, Oaep, Pkcs1v15Sign, RsaPublicKey,
    rand_core::{TryCryptoRng, TryRng},
    traits::PaddingScheme,
};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

use super::{BadSignature, KeyError};

/// A signature is as long as its key's modulus, which is of one of these lengths.
pub const MODULUS_BYTES: RangeInclusive<usize> = MODULUS_BITS_MIN / 8..=MODULUS_BITS_MAX / 8;

/// A public key within the limits.
pub struct RsaKey(RsaPublicKey);

/// `RSAPublicKey` (RFC 8017 appendix A.1.1).
#[derive(Sequence)]
struct RsaPublicKeyDer<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl RsaKey {
    /// Parses DER of an `RSAPublicKey` with an odd modulus of 3072 to 4096 bits and the exponent 65537.
    pub fn parse(der: &[u8]) -> Result<Self, KeyError> {
        const MALFORMED: KeyError = KeyError("an RSA key is not DER of an RSAPublicKey");
        let found = RsaPublicKeyDer::from_der(der).map_err(|_| MALFORMED)?;
        if found.exponent.as_bytes() != EXPONENT {
            return Err(KeyError("an RSA key's exponent is not 65537"));
        }
        let number = |bytes| BoxedUint::from_be_slice_vartime(bytes);
        let (modulus, bits) = (number(found.modulus.as_bytes()), MODULUS_BITS_MIN..=MODULUS_BITS_MAX);
        let key = RsaPublicKey::new_with_size_limits(modulus, number(&EXPONENT), bits);
        key.map(Self).map_err(|error| match error {
            rsa::Error::ModulusTooSmall | rsa::Error::ModulusTooLarge => KeyError("an RSA key does not have 3072 to 4096 bits"),
            _ => KeyError("an RSA key's modulus is not odd"),
        })
    }

    /// RSASSA-PKCS1-v1_5 with SHA-384 (RFC 8017 section 8.2.2): the padding is built and compared, never parsed, and the signature is as
    /// long as the modulus and below it, so that there is one for a message.
    pub fn verify_pkcs1_sha384(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.0.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message), signature).map_err(|_| BadSignature)
    }

    /// See `PublicKey::encrypt_oaep_sha256`; `None` if the message is too long.
    pub fn encrypt_oaep_sha256(&self, message: &[u8], seed: &Zeroizing<[u8; 32]>) -> Option<Vec<u8>> {
        if message.len() > OAEP_MESSAGE_BYTES_MAX {
            return None;
        }
        Oaep::<Sha256>::new().encrypt(&mut Seed(seed), &self.0, message).ok()
    }
}

/// RSAES-OAEP with SHA-256, MGF1 of SHA-256 and a label, to an odd modulus of 2048 bits (big-endian) and the exponent 65537: to a TPM's endorsement
/// key, which is of no suite of ours. `None` if it is none.
pub(crate) fn encrypt_oaep_2048(modulus: &[u8], label: &[u8], message: &[u8; 32], seed: &[u8; 32]) -> Option<Vec<u8>> {
    let number = |bytes| BoxedUint::from_be_slice_vartime(bytes);
    let bits = ENDORSEMENT_MODULUS_BITS..=ENDORSEMENT_MODULUS_BITS;
    let key = RsaPublicKey::new_with_size_limits(number(modulus), number(&EXPONENT), bits).ok()?;
    Oaep::<Sha256>::new_with_label(label).encrypt(&mut Seed(seed), &key, message).ok()
}

/// What the caller drew, for the one thing that OAEP draws.
struct Seed<'a>(&'a [u8; 32]);

impl TryRng for Seed<'_> {
    type Error = rsa::Error;
    fn try_next_u32(&mut self) -> rsa::Result<u32> {
        Err(rsa::Error::Rng)
    }
    fn try_next_u64(&mut self) -> rsa::Result<u64> {
        Err(rsa::Error::Rng)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> rsa::Result<()> {
        *<&mut [u8; 32]>::try_from(bytes).map_err(|_| rsa::Error::Rng)? = *self.0;
        Ok(())
    }
}

impl TryCryptoRng for Seed<'_> {}

/// 128 bits of strength (SP 800-57 part 1 table 2), as P-256 has.
const MODULUS_BITS_MIN: usize = 3072;
/// No card has longer ones, and the time of an operation grows faster than the length.
const MODULUS_BITS_MAX: usize = 4096;
/// What the TCG has TPMs begin with.
const ENDORSEMENT_MODULUS_BITS: usize = 2048;
/// 65537, which cards use; with 3, forgeries of carelessly checked paddings are easy, and others have no use.
const EXPONENT: [u8; 3] = [1, 0, 1];
/// Keys are wrapped, and nothing longer; the least modulus would take 318 bytes.
const OAEP_MESSAGE_BYTES_MAX: usize = 64;
