//! PKCS#10 certificate requests: made by whoever holds a key, judged by the authority.
//!
//! It decides nothing: what a request asks for is a wish, and only its key is proven. Wishes that no profile has are refused all the same, so
//! that nobody believes to hold a certificate other than the one that they got.

use const_oid::{
    AssociatedOid,
    db::rfc5912::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH},
};
use der::{
    Any, Decode, Encode,
    asn1::{BitString, SetOfVec},
};
use x509_cert::{
    attr::{Attribute, Attributes},
    ext::{
        Extension,
        pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName},
    },
    request::{CertReq, CertReqInfo, ExtensionReq, Version},
    spki::SubjectPublicKeyInfoOwned,
};

use crate::{
    Identity, KeyError, KeyPurpose, PublicKey, Signer, SignerError, Verifier,
    distinguished::is_der,
    extensions::AlternativeNames,
    issue::{signature_algorithm, uri},
    name, pem,
};

/// A request whose self-signature has been verified: its sender holds the key.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    public_key: PublicKey,
    common_name: Option<String>,
    identity: Option<Identity>,
    server_names: Vec<String>,
    purpose: Option<KeyPurpose>,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not the one DER encoding of its content, more than one request, or too large.
    #[error("not a certificate request")]
    Malformed,
    /// The key is not of a suite that we certify.
    #[error("the request's key is not one that can be certified: {0}")]
    Key(KeyError),
    /// The self-signature does not verify.
    #[error("the request is not signed by its own key, or with another hash than its suite has (P-384: SHA-384, `openssl req -sha384`)")]
    Signature,
    /// It asks for names that are never certified: two identities, or one of another form.
    #[error("the request asks for a name that is not an Exhibit identity, or for more than one")]
    Identity,
    /// It asks for something that is in no profile.
    #[error("the request asks for what is never certified: {0}")]
    Extension(&'static str),
}

impl CertificateRequest {
    /// Parses the one DER encoding of at most 16 KiB, verifies the self-signature, and then judges what is asked for.
    pub fn from_der(der: &[u8], verifier: &dyn Verifier) -> Result<Self, RequestError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::Malformed);
        }
        let request = CertReq::from_der(der).map_err(|_| RequestError::Malformed)?;
        if request.to_der().map_err(|_| RequestError::Malformed)? != der || !is_der(der) {
            return Err(RequestError::Malformed);
        }
        let key = request.info.public_key.to_der().map_err(|_| RequestError::Malformed)?;
        let public_key = PublicKey::from_spki_der(&key).map_err(RequestError::Key)?;
        if request.algorithm != signature_algorithm(public_key.suite()) {
            return Err(RequestError::Signature);
        }
        let signed = request.info.to_der().map_err(|_| RequestError::Malformed)?;
        let signature = request.signature.as_bytes().ok_or(RequestError::Malformed)?;
        verifier.verify(&public_key, &signed, signature).map_err(|_| RequestError::Signature)?;
        let wishes = Wishes::of(&request.info.attributes)?;
        let names = wishes.names.unwrap_or_default();
        let identity = match names.uris.as_slice() {
            [] => None,
            [uri] => Some(Identity::parse(uri).map_err(|_| RequestError::Identity)?),
            _ => return Err(RequestError::Identity),
        };
        Ok(Self {
            public_key,
            common_name: name::common_name(&request.info.subject),
            identity,
            server_names: names.server_names,
            purpose: wishes.purpose,
        })
    }

    /// The same from PEM (`CERTIFICATE REQUEST`).
    pub fn from_pem(pem: &str, verifier: &dyn Verifier) -> Result<Self, RequestError> {
        Self::from_der(&pem::decode_one(pem, PEM_LABEL).ok_or(RequestError::Malformed)?, verifier)
    }

    /// The key to be certified.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The common name that it asks for, if there is exactly one.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The identity that it asks for, if any. The authority decides; a request is only a wish.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The DNS names and IP addresses that it asks for.
    pub fn server_names(&self) -> &[String] {
        &self.server_names
    }

    /// What the key is to be for, signing or wrapping, if its key usage is asked for.
    pub fn purpose(&self) -> Option<KeyPurpose> {
        self.purpose
    }
}

/// Makes a PEM request for `identity`, signed by `signer`.
pub fn build_request_pem(identity: &Identity, signer: &dyn Signer) -> Result<String, SignerError> {
    let request = build_info(identity, signer.public_key());
    let info = request.ok_or_else(|| SignerError("the identity asked for is not well-formed".to_owned()))?;
    let encoding = |error: der::Error| SignerError(format!("the request cannot be encoded: {error}"));
    let signature = signer.sign(&info.to_der().map_err(encoding)?)?;
    let signature = BitString::from_bytes(&signature).map_err(encoding)?;
    let request = CertReq { info, algorithm: signature_algorithm(signer.public_key().suite()), signature };
    Ok(pem::encode(PEM_LABEL, &request.to_der().map_err(encoding)?))
}

fn build_info(identity: &Identity, public_key: &PublicKey) -> Option<CertReqInfo> {
    let names = SubjectAltName(vec![uri(&identity.to_string()).ok()?]);
    let extension =
        Extension { extn_id: SubjectAltName::OID, critical: false, extn_value: der::asn1::OctetString::new(names.to_der().ok()?).ok()? };
    let values = SetOfVec::try_from(vec![Any::encode_from(&vec![extension]).ok()?]).ok()?;
    Some(CertReqInfo {
        version: Version::V1,
        subject: name::of_identity(identity)?,
        public_key: SubjectPublicKeyInfoOwned::from_der(&public_key.to_spki_der()).ok()?,
        attributes: SetOfVec::try_from(vec![Attribute { oid: ExtensionReq::OID, values }]).ok()?,
    })
}

/// What a request asks for, as far as it is looked at.
#[derive(Default)]
struct Wishes {
    names: Option<AlternativeNames>,
    purpose: Option<KeyPurpose>,
}

impl Wishes {
    /// Attributes of other kinds, such as the challenge password of PKCS #9, say nothing about a certificate.
    fn of(attributes: &Attributes) -> Result<Self, RequestError> {
        let mut found = attributes.iter().filter(|attribute| attribute.oid == ExtensionReq::OID);
        let (Some(attribute), None) = (found.next(), found.next()) else {
            let several = attributes.iter().any(|attribute| attribute.oid == ExtensionReq::OID);
            return if several { Err(RequestError::Malformed) } else { Ok(Self::default()) };
        };
        let [value] = attribute.values.as_slice() else { return Err(RequestError::Malformed) };
        let extensions: Vec<Extension> = value.decode_as().map_err(|_| RequestError::Malformed)?;
        if extensions.is_empty() {
            return Err(RequestError::Malformed);
        }
        // Before they are compared each with each.
        if extensions.len() > EXTENSIONS_MAX {
            return Err(RequestError::Extension("too many extensions"));
        }
        let mut wishes = Self::default();
        for (position, extension) in extensions.iter().enumerate() {
            if extensions[..position].iter().any(|earlier| earlier.extn_id == extension.extn_id) {
                return Err(RequestError::Extension("an extension twice"));
            }
            wishes.add(extension)?;
        }
        Ok(wishes)
    }

    fn add(&mut self, extension: &Extension) -> Result<(), RequestError> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            SubjectAltName::OID => self.names = Some(AlternativeNames::of(&decode(value)?).map_err(|_| RequestError::Identity)?),
            BasicConstraints::OID => {
                let constraints: BasicConstraints = decode(value)?;
                if constraints.ca || constraints.path_len_constraint.is_some() {
                    return Err(RequestError::Extension("the constraints of an authority"));
                }
            }
            KeyUsage::OID => {
                let usage = decode::<KeyUsage>(value)?.0;
                let wrapping = usage == KeyUsages::KeyAgreement || usage == KeyUsages::KeyEncipherment;
                self.purpose = match usage {
                    _ if wrapping => Some(KeyPurpose::Wrapping),
                    _ if usage == KeyUsages::DigitalSignature => Some(KeyPurpose::Signing),
                    _ => return Err(RequestError::Extension("a key usage that is neither signing nor wrapping alone")),
                };
            }
            ExtendedKeyUsage::OID => {
                let known = |purpose| [ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH].contains(purpose);
                if !decode::<ExtendedKeyUsage>(value)?.0.iter().all(known) {
                    return Err(RequestError::Extension("an extended key usage that is not TLS"));
                }
            }
            _ if extension.critical => return Err(RequestError::Extension("an unknown critical extension")),
            _ => {}
        }
        Ok(())
    }
}

fn decode<'a, T: Decode<'a>>(value: &'a [u8]) -> Result<T, RequestError> {
    T::from_der(value).ok().filter(|_| is_der(value)).ok_or(RequestError::Malformed)
}

const PEM_LABEL: &str = "CERTIFICATE REQUEST";
/// Ours have about 400 bytes.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// As in certificates.
const EXTENSIONS_MAX: usize = 32;
