//! Our own timestamping authority: answers requests with tokens that its key signs.
//!
//! It knows no clock and draws no serial numbers: whoever calls has read the one and drawn the other.

use cms::{
    cert::IssuerAndSerialNumber,
    content_info::{CmsVersion, ContentInfo},
    signed_data::{EncapsulatedContentInfo, SignerIdentifier, SignerInfo},
};
use const_oid::db::{
    rfc3161::ID_CT_TST_INFO,
    rfc5911::{ID_AA_SIGNING_CERTIFICATE_V_2, ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA},
};
use der::{
    Any, Decode, Encode, Tag,
    asn1::{BitString, OctetString, SetOfVec, Uint},
};
use x509_cert::{attr::Attribute, name::Name, serial_number::SerialNumber};

use super::{
    CertificateId, RequestRefusal, SignedData, SigningCertificateV2, TimestampRequest,
    asn1::{Accuracy, PkiStatusInfo, TimeStampResp, TstInfo, write_gen_time},
    request::{GRANTED, REJECTION},
    verify::check_timestamping,
};
use crate::{
    PublicKey, Signer, SignerError, Timestamp,
    foreign::{ChainCertificate, DigestAlgorithm, Key},
    issue::ecdsa_with_sha384,
    oid::TIMESTAMP_POLICY,
};

/// A timestamping authority of ours: P-384 with SHA-384.
pub struct TimestampAuthority<'a> {
    certificate: &'a ChainCertificate,
    others: &'a [ChainCertificate],
    signer: &'a dyn Signer,
    accuracy_ms: u32,
}

/// Why such an authority can not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate is not one of a timestamping authority.
    #[error("the certificate is not one of a timestamping authority: {0}")]
    Certificate(&'static str),
    /// The key is not that of the certificate.
    #[error("the key is not that of the timestamping authority's certificate")]
    Key,
    /// The accuracy is 0, which no clock has.
    #[error("the accuracy of the clock is not stated")]
    Accuracy,
}

impl<'a> TimestampAuthority<'a> {
    /// With the certificate of `signer`'s key, those between it and the root, and how far its clock may be wrong (at least 1 ms). Its policy is
    /// [`TIMESTAMP_POLICY`], which says just that of it.
    pub fn new(
        certificate: &'a ChainCertificate,
        others: &'a [ChainCertificate],
        signer: &'a dyn Signer,
        accuracy_ms: u32,
    ) -> Result<Self, AuthorityError> {
        check_timestamping(certificate.body()).map_err(AuthorityError::Certificate)?;
        if public_key(certificate).as_ref() != Some(signer.public_key()) {
            return Err(AuthorityError::Key);
        }
        if accuracy_ms == 0 {
            return Err(AuthorityError::Accuracy);
        }
        Ok(Self { certificate, others, signer, accuracy_ms })
    }

    /// The response to the bytes of a request at `at`: a token, or a refusal that says why. `serial` is 16 random bytes.
    pub fn respond(&self, request: &[u8], at: Timestamp, serial: [u8; 16]) -> Result<Vec<u8>, SignerError> {
        let accepted = TimestampRequest::from_der(request).and_then(|request| self.accept(request, at));
        let response = match accepted {
            Ok(request) => TimeStampResp {
                status: PkiStatusInfo { status: GRANTED, status_string: None, fail_info: None },
                time_stamp_token: Some(self.token(&request, at, serial)?),
            },
            Err(refusal) => TimeStampResp {
                status: PkiStatusInfo {
                    status: REJECTION,
                    status_string: Some(vec![refusal.to_string()]),
                    fail_info: Some(fail_info(refusal).map_err(encoding)?),
                },
                time_stamp_token: None,
            },
        };
        response.to_der().map_err(encoding)
    }

    fn accept(&self, request: TimestampRequest, at: Timestamp) -> Result<TimestampRequest, RequestRefusal> {
        if request.policy.is_some_and(|policy| policy != TIMESTAMP_POLICY) {
            return Err(RequestRefusal::Policy);
        }
        if !self.certificate.is_valid_at(at) {
            return Err(RequestRefusal::Time);
        }
        Ok(request)
    }

    fn token(&self, request: &TimestampRequest, at: Timestamp, serial: [u8; 16]) -> Result<Any, SignerError> {
        let content = self.info(request, at, serial).map_err(encoding)?;
        let attributes = self.attributes(&content).map_err(encoding)?;
        let signature = self.signer.sign(&attributes.to_der().map_err(encoding)?)?;
        self.signed_data(request, content, attributes, signature).map_err(encoding)
    }

    fn info(&self, request: &TimestampRequest, at: Timestamp, serial: [u8; 16]) -> der::Result<Vec<u8>> {
        let info = TstInfo {
            version: 1,
            policy: TIMESTAMP_POLICY,
            message_imprint: request.imprint.to_asn1()?,
            serial_number: Uint::new(&serial)?,
            gen_time: write_gen_time(at)?,
            accuracy: Some(Accuracy::from_ms(self.accuracy_ms)),
            ordering: false,
            nonce: request.nonce.as_ref().map(super::Nonce::to_asn1).transpose()?,
            tsa: None,
            extensions: None,
        };
        info.to_der()
    }

    fn attributes(&self, content: &[u8]) -> der::Result<SetOfVec<Attribute>> {
        let attribute = |oid, value: Any| Ok::<_, der::Error>(Attribute { oid, values: SetOfVec::try_from(vec![value])? });
        let hash = OctetString::new(self.certificate.fingerprint().as_slice())?;
        let certificate = CertificateId { hash_algorithm: None, hash, issuer_serial: None };
        let signing = SigningCertificateV2 { certificates: vec![Any::encode_from(&certificate)?], policies: None };
        SetOfVec::try_from(vec![
            attribute(ID_CONTENT_TYPE, Any::encode_from(&ID_CT_TST_INFO)?)?,
            attribute(ID_MESSAGE_DIGEST, Any::new(Tag::OctetString, DIGEST.digest(content))?)?,
            attribute(ID_AA_SIGNING_CERTIFICATE_V_2, Any::encode_from(&signing)?)?,
        ])
    }

    /// The ContentInfo. The signer is named by issuer and serial number, because OpenSSL reads tokens as PKCS#7, which has no other way.
    fn signed_data(
        &self,
        request: &TimestampRequest,
        content: Vec<u8>,
        attributes: SetOfVec<Attribute>,
        signature: Vec<u8>,
    ) -> der::Result<Any> {
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: Name::from_der(&self.certificate.body().issuer)?,
                serial_number: SerialNumber::new(&self.certificate.body().serial)?,
            }),
            digest_alg: DIGEST.identifier(),
            signed_attrs: Some(attributes),
            signature_algorithm: ecdsa_with_sha384(),
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let signed_data = SignedData {
            version: CmsVersion::V3,
            digest_algorithms: SetOfVec::try_from(vec![DIGEST.identifier()])?,
            content: EncapsulatedContentInfo { econtent_type: ID_CT_TST_INFO, econtent: Some(Any::new(Tag::OctetString, content)?) },
            certificates: if request.with_certificates { Some(self.certificate_set()?) } else { None },
            revocations: None,
            signers: SetOfVec::try_from(vec![signer])?,
        };
        Any::encode_from(&ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&signed_data)? })
    }

    /// In the order of DER's SET OF: ascending by their encodings.
    fn certificate_set(&self) -> der::Result<Vec<Any>> {
        let mut all: Vec<&[u8]> = std::iter::once(self.certificate).chain(self.others).map(ChainCertificate::der).collect();
        all.sort_unstable();
        all.into_iter().map(Any::from_der).collect()
    }
}

/// The key, if it is of the suite that our own authorities sign with.
fn public_key(certificate: &ChainCertificate) -> Option<PublicKey> {
    match certificate.key() {
        Key::P384(key) => PublicKey::from_sec1(key.to_sec1_point(false).as_bytes()).ok(),
        _ => None,
    }
}

/// PKIFailureInfo: the bit of the reason (section 2.4.2).
fn fail_info(refusal: RequestRefusal) -> der::Result<BitString> {
    let bit = match refusal {
        RequestRefusal::Algorithm => 0,
        RequestRefusal::Format => 5,
        RequestRefusal::Time => 14,
        RequestRefusal::Policy => 15,
        RequestRefusal::Extension => 16,
    };
    let mut bytes = vec![0; bit / 8 + 1];
    bytes[bit / 8] = 0x80 >> (bit % 8);
    // DER leaves out the zeros after the last bit of a list of names (X.690 section 11.2.2).
    BitString::new(u8::try_from(7 - bit % 8).expect("it is below 8"), bytes)
}

fn encoding(error: der::Error) -> SignerError {
    SignerError(format!("what it was to sign has no encoding: {error}"))
}

const DIGEST: DigestAlgorithm = DigestAlgorithm::Sha384;
