//! The one DER form of an envelope: written from its variable parts, and read by writing it again and comparing.
//!
//! It does not know any key; cms is used for its types only.

use cms::{
    content_info::{CmsVersion, ContentInfo},
    enveloped_data::{EncryptedContentInfo, RecipientInfo},
};
use const_oid::db::rfc5911;
use der::{
    Any, AnyRef, Decode, Encode, Header, Reader, Sequence, SliceReader, Tag, Tagged,
    asn1::{ObjectIdentifier, OctetString, SetOfVec},
};
use exhibit_pki::distinguished::is_der;
use spki::AlgorithmIdentifierOwned;

use super::{CONTENT_BYTES_MAX, EnvelopeError, NONCE_BYTES, RECIPIENTS_MAX, TAG_BYTES, recipient::Recipient};

/// One recipient takes 200 to 600 bytes and its issuer's name, which our own authorities keep short.
const RECIPIENT_BYTES_MAX: usize = 1024;
const RECIPIENTS_BYTES_MAX: usize = RECIPIENTS_MAX * RECIPIENT_BYTES_MAX;
const ENVELOPE_BYTES_MAX: usize = CONTENT_BYTES_MAX + RECIPIENTS_BYTES_MAX + 1024;

/// What varies from one envelope to the next.
pub(super) struct Form {
    pub recipients: Vec<Recipient>,
    pub nonce: [u8; NONCE_BYTES],
    pub ciphertext: Vec<u8>,
    pub tag: [u8; TAG_BYTES],
}

/// RFC 5084 section 3.2. The default of 12 for the length of the tag is never used, so it is not declared.
#[derive(Sequence)]
struct GcmParameters {
    nonce: OctetString,
    tag_bytes: u8,
}

/// RFC 5083 section 2.1, without what is absent from ours. The recipients are kept encoded, since DER orders a set by the octets of its
/// elements (X.690 section 11.6), and cms by their fields.
#[derive(Sequence)]
struct AuthEnveloped {
    version: CmsVersion,
    recipients: SetOfVec<Any>,
    content: EncryptedContentInfo,
    tag: OctetString,
}

impl Form {
    /// Strict: what is not exactly as `to_der` writes it is refused. Works in memory of the order of the input, which is bounded first.
    pub fn parse(der: &[u8]) -> Result<Self, EnvelopeError> {
        if der.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::Malformed("it is too long"));
        }
        let layout = Layout::read(der).map_err(|_| EnvelopeError::Malformed("it is not an AuthEnvelopedData in DER"))?;
        if layout.recipients.value().len() > RECIPIENTS_BYTES_MAX {
            return Err(EnvelopeError::Malformed("its recipients take too much room"));
        }
        let not_der = |_| EnvelopeError::Malformed("its recipients are not DER");
        let encoded: SetOfVec<Any> = layout.recipients.decode_as().map_err(not_der)?;
        if encoded.is_empty() || encoded.len() > RECIPIENTS_MAX {
            return Err(EnvelopeError::Malformed("it does not have 1 to 64 recipients"));
        }
        let mut recipients = Vec::with_capacity(encoded.len());
        for info in encoded.iter() {
            let info = info.to_der().and_then(|der| RecipientInfo::from_der(&der)).map_err(not_der)?;
            recipients.push(Recipient::read(&info)?);
        }
        for (position, recipient) in recipients.iter().enumerate() {
            if recipients[..position].iter().any(|before| before.name == recipient.name) {
                return Err(EnvelopeError::Malformed("it names a recipient twice"));
            }
        }
        let content: EncryptedContentInfo = layout.content.decode_as().map_err(|_| EnvelopeError::Malformed("its content is not DER"))?;
        if content.content_enc_alg.oid != rfc5911::ID_AES_256_GCM {
            return Err(EnvelopeError::Malformed("its content is not under AES-256-GCM"));
        }
        let parameters = content.content_enc_alg.parameters.and_then(|any| any.decode_as::<GcmParameters>().ok());
        let parameters = parameters.ok_or(EnvelopeError::Malformed("its GCM parameters are not a nonce and a tag length"))?;
        let nonce = parameters.nonce.as_bytes().try_into().map_err(|_| EnvelopeError::Malformed("its nonce is not 12 bytes long"))?;
        let tag = layout.tag.value().try_into().map_err(|_| EnvelopeError::Malformed("its tag is not 16 bytes long"))?;
        let ciphertext = content.encrypted_content.ok_or(EnvelopeError::Malformed("it has no content"))?.into_bytes().into_vec();
        let form = Self { recipients, nonce, ciphertext, tag };
        if form.to_der() != der {
            return Err(EnvelopeError::Malformed("it is not in the one form that this project writes"));
        }
        // What of issuers' names nobody reads here, and is written again as it came.
        if !is_der(der) {
            return Err(EnvelopeError::Malformed("it is not DER in all its parts"));
        }
        Ok(form)
    }

    /// The envelope. Panics on more parts than a DER length can tell, which the limits exclude.
    pub fn to_der(&self) -> Vec<u8> {
        self.try_to_der().expect("bounded parts encode")
    }

    fn try_to_der(&self) -> der::Result<Vec<u8>> {
        let encode = |recipient: &Recipient| Any::from_der(&recipient.to_info()?.to_der()?);
        let recipients = self.recipients.iter().map(encode).collect::<der::Result<Vec<_>>>()?;
        let parameters = GcmParameters { nonce: OctetString::new(self.nonce)?, tag_bytes: TAG_BYTES as u8 };
        let enveloped = AuthEnveloped {
            version: CmsVersion::V0,
            recipients: SetOfVec::try_from(recipients)?,
            content: EncryptedContentInfo {
                content_type: rfc5911::ID_DATA,
                content_enc_alg: AlgorithmIdentifierOwned {
                    oid: rfc5911::ID_AES_256_GCM,
                    parameters: Some(Any::encode_from(&parameters)?),
                },
                encrypted_content: Some(OctetString::new(self.ciphertext.as_slice())?),
            },
            tag: OctetString::new(self.tag)?,
        };
        ContentInfo { content_type: rfc5911::ID_CT_AUTH_ENVELOPED_DATA, content: Any::encode_from(&enveloped)? }.to_der()
    }
}

/// The outermost parts, borrowed: their sizes are judged before anything is built from them. Lengths of what encloses them are not
/// compared with what is there; writing the form again and comparing does that.
struct Layout<'a> {
    recipients: AnyRef<'a>,
    content: AnyRef<'a>,
    tag: AnyRef<'a>,
}

impl<'a> Layout<'a> {
    fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let _content_info = Header::decode(&mut reader)?;
        <ObjectIdentifier>::decode(&mut reader)?;
        let _explicit = Header::decode(&mut reader)?;
        let _enveloped = Header::decode(&mut reader)?;
        CmsVersion::decode(&mut reader)?;
        let recipients = AnyRef::decode(&mut reader)?;
        recipients.tag().assert_eq(Tag::Set)?;
        let content = AnyRef::decode(&mut reader)?;
        let tag = AnyRef::decode(&mut reader)?;
        tag.tag().assert_eq(Tag::OctetString)?;
        reader.finish()?;
        Ok(Self { recipients, content, tag })
    }
}
