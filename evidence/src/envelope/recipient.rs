//! One recipient of an envelope, as CMS has it: by key agreement on a curve, or by RSA-OAEP.
//!
//! It does not know any private key, nor what the wrapped key opens; cms is used for its types only.

use cms::{
    cert::IssuerAndSerialNumber,
    content_info::CmsVersion,
    enveloped_data::{
        KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, KeyTransRecipientInfo, OriginatorIdentifierOrKey, OriginatorPublicKey,
        RecipientEncryptedKey, RecipientIdentifier, RecipientInfo,
    },
};
use const_oid::{
    ObjectIdentifier,
    db::rfc5912::{ID_EC_PUBLIC_KEY, ID_RSAES_OAEP, RSA_ENCRYPTION},
};
use der::{
    Any, Decode, Encode,
    asn1::{BitString, Int, OctetString},
};
use exhibit_pki::Certificate;
use spki::AlgorithmIdentifierOwned;

use super::{
    EnvelopeError,
    agreement::{Curve, aes256_wrap},
};

/// 32 bytes and 8 of integrity check (RFC 3394).
pub(super) const WRAPPED_KEY_BYTES: usize = 40;

/// What varies from one recipient to the next.
pub(super) struct Recipient {
    pub name: IssuerAndSerialNumber,
    pub key: WrappedKey,
}

/// The content key, as one recipient can have it.
pub(super) enum WrappedKey {
    /// Wrapped under what an ephemeral key agrees on.
    Agreement {
        curve: Curve,
        /// Uncompressed SEC 1, of the curve's length; not checked to be on the curve.
        ephemeral: Vec<u8>,
        wrapped: [u8; WRAPPED_KEY_BYTES],
    },
    /// Encrypted with RSAES-OAEP.
    Transport {
        /// As long as a modulus may be.
        encrypted: Vec<u8>,
    },
}

impl Recipient {
    pub fn read(info: &RecipientInfo) -> Result<Self, EnvelopeError> {
        match info {
            RecipientInfo::Kari(info) => Self::read_agreement(info),
            RecipientInfo::Ktri(info) => Self::read_transport(info),
            RecipientInfo::Ori(info) if info.ori_type == ID_ORI_KEM => Err(EnvelopeError::UnknownRecipient),
            _ => Err(Malformed("a recipient uses neither key agreement nor key transport")),
        }
    }

    fn read_agreement(info: &KeyAgreeRecipientInfo) -> Result<Self, EnvelopeError> {
        let OriginatorIdentifierOrKey::OriginatorKey(originator) = &info.originator else {
            return Err(Malformed("a recipient has no ephemeral key"));
        };
        let curve = Curve::ALL.into_iter().find(|curve| originator.algorithm == key_algorithm(*curve));
        let curve = curve.ok_or(Malformed("an ephemeral key is not declared to be on P-384 or P-256"))?;
        let point = originator.public_key.as_bytes().filter(|point| point.len() == curve.point_bytes());
        let ephemeral = point.ok_or(Malformed("an ephemeral key is not an uncompressed point on its curve"))?.to_vec();
        let [RecipientEncryptedKey { rid: KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name), enc_key }] =
            info.recipient_enc_keys.as_slice()
        else {
            return Err(Malformed("a recipient is not named by issuer and serial number, alone"));
        };
        check_name(name)?;
        let wrapped = enc_key.as_bytes().try_into().map_err(|_| Malformed("a wrapped key is not 40 bytes long"))?;
        Ok(Self { name: name.clone(), key: WrappedKey::Agreement { curve, ephemeral, wrapped } })
    }

    fn read_transport(info: &KeyTransRecipientInfo) -> Result<Self, EnvelopeError> {
        let RecipientIdentifier::IssuerAndSerialNumber(name) = &info.rid else {
            return Err(Malformed("a recipient is not named by issuer and serial number, alone"));
        };
        check_name(name)?;
        if info.key_enc_alg.oid == RSA_ENCRYPTION {
            return Err(Malformed("a recipient's key is under RSA PKCS #1 v1.5, which tells whoever may try what it holds"));
        }
        if info.key_enc_alg != oaep_sha256() {
            return Err(Malformed("a recipient's key is not under RSA-OAEP with SHA-256, MGF1 of SHA-256 and no label"));
        }
        let encrypted = info.enc_key.as_bytes().to_vec();
        if !(RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&encrypted.len()) {
            return Err(Malformed("a recipient's key is not as long as an RSA key of 3072 to 4096 bits"));
        }
        Ok(Self { name: name.clone(), key: WrappedKey::Transport { encrypted } })
    }

    pub fn to_info(&self) -> der::Result<RecipientInfo> {
        Ok(match &self.key {
            WrappedKey::Agreement { curve, ephemeral, wrapped } => RecipientInfo::Kari(KeyAgreeRecipientInfo {
                version: CmsVersion::V3,
                originator: OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey {
                    algorithm: key_algorithm(*curve),
                    public_key: BitString::from_bytes(ephemeral)?,
                }),
                ukm: None,
                key_enc_alg: AlgorithmIdentifierOwned { oid: curve.scheme(), parameters: Some(Any::encode_from(&aes256_wrap())?) },
                recipient_enc_keys: vec![RecipientEncryptedKey {
                    rid: KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(self.name.clone()),
                    enc_key: OctetString::new(*wrapped)?,
                }],
            }),
            WrappedKey::Transport { encrypted } => RecipientInfo::Ktri(KeyTransRecipientInfo {
                version: CmsVersion::V0,
                rid: RecipientIdentifier::IssuerAndSerialNumber(self.name.clone()),
                key_enc_alg: oaep_sha256(),
                enc_key: OctetString::new(encrypted.as_slice())?,
            }),
        })
    }
}

/// As certificates have them (docs/formats/certificates.md): else it could name nobody.
fn check_name(name: &IssuerAndSerialNumber) -> Result<(), EnvelopeError> {
    if name.issuer.iter_rdn().any(|relative| relative.iter().next().is_none()) {
        return Err(Malformed("a part of the name of a recipient's issuer is empty"));
    }
    let serial = name.serial_number.as_bytes();
    let is_positive = serial.first().is_some_and(|first| *first < 0x80) && serial != [0];
    if is_positive && serial.len() <= SERIAL_BYTES_MAX {
        Ok(())
    } else {
        Err(Malformed("a recipient's serial number is not positive, or longer than 20 bytes"))
    }
}

/// How a certificate is named among recipients.
pub(super) fn recipient_name(certificate: &Certificate) -> Result<IssuerAndSerialNumber, EnvelopeError> {
    let unnamable = |_| EnvelopeError::Key("the certificate's issuer and serial number can not be written".to_owned());
    let serial = Int::new(certificate.serial()).and_then(|serial| serial.to_der()).map_err(unnamable)?;
    Ok(IssuerAndSerialNumber {
        issuer: Decode::from_der(certificate.issuer_der()).map_err(unnamable)?,
        serial_number: Decode::from_der(&serial).map_err(unnamable)?,
    })
}

fn key_algorithm(curve: Curve) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ID_EC_PUBLIC_KEY, parameters: Some(Any::from(&curve.oid())) }
}

fn oaep_sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ID_RSAES_OAEP, parameters: Some(Any::from_der(OAEP_SHA256_PARAMETERS).expect("a constant is DER")) }
}

use EnvelopeError::Malformed;

/// `RSAES-OAEP-params` (RFC 4055 section 4.1): `{ [0] { SHA-256 }, [1] { MGF1, { SHA-256 } } }`, its label left out, which is empty. The
/// parameters of SHA-256 are absent, as OpenSSL leaves them.
const OAEP_SHA256_PARAMETERS: &[u8] = &[
    0x30, 0x2b, 0xa0, 0x0d, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0xa1, 0x1a, 0x30, 0x18, 0x06,
    0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
    0x01,
];
/// As certificates have RSA keys: 3072 to 4096 bits.
/// RFC 5280 section 4.1.2.2.
const SERIAL_BYTES_MAX: usize = 20;
const RSA_BYTES_MIN: usize = 384;
const RSA_BYTES_MAX: usize = 512;
/// id-ori-kem (RFC 9629 section 3), of the recipients whose key is post-quantum.
const ID_ORI_KEM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.13.3");
