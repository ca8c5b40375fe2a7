//! PKCS#10 certificate requests: made by whoever holds a key, judged by the authority.
//!
//! It decides nothing: what a request asks for is a wish, and only its key is proven.

use const_oid::AssociatedOid;
use der::{
    Any, Decode, Encode,
    asn1::{BitString, SetOfVec},
};
use x509_cert::{
    attr::{Attribute, Attributes},
    ext::{Extension, pkix::SubjectAltName},
    request::{CertReq, CertReqInfo, ExtensionReq, Version},
    spki::SubjectPublicKeyInfoOwned,
};

use crate::{
    Identity, KeyError, PublicKey, Signer, SignerError, Verifier,
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
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not DER, more than one request, or too large.
    #[error("not a certificate request")]
    Malformed,
    /// The key is not of a suite that we certify.
    #[error("the request's key is not one that can be certified: {0}")]
    Key(KeyError),
    /// The self-signature does not verify.
    #[error("the request is not signed by its own key")]
    Signature,
    /// It asks for names that are never certified: two identities, or one of another form.
    #[error("the request asks for a name that is not an Exhibit identity, or for more than one")]
    Identity,
}

impl CertificateRequest {
    /// Parses DER and verifies the self-signature.
    pub fn from_der(der: &[u8], verifier: &dyn Verifier) -> Result<Self, RequestError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::Malformed);
        }
        let request = CertReq::from_der(der).map_err(|_| RequestError::Malformed)?;
        let key = request.info.public_key.to_der().map_err(|_| RequestError::Malformed)?;
        let public_key = PublicKey::from_spki_der(&key).map_err(RequestError::Key)?;
        if request.algorithm != signature_algorithm(public_key.suite()) {
            return Err(RequestError::Signature);
        }
        // Encoded anew, so that what was signed is exactly what was read.
        let signed = request.info.to_der().map_err(|_| RequestError::Malformed)?;
        let signature = request.signature.as_bytes().ok_or(RequestError::Malformed)?;
        verifier.verify(&public_key, &signed, signature).map_err(|_| RequestError::Signature)?;
        let names = alternative_names(&request.info.attributes)?;
        let identity = match names.uris.as_slice() {
            [] => None,
            [uri] => Some(Identity::parse(uri).map_err(|_| RequestError::Identity)?),
            _ => return Err(RequestError::Identity),
        };
        Ok(Self { public_key, common_name: name::common_name(&request.info.subject), identity, server_names: names.server_names })
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

/// The subject alternative name among the extensions asked for; all other wishes are for the authority to decide anyway.
fn alternative_names(attributes: &Attributes) -> Result<AlternativeNames, RequestError> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.oid == ExtensionReq::OID) {
        let [value] = attribute.values.as_slice() else { return Err(RequestError::Malformed) };
        let extensions: Vec<Extension> = value.decode_as().map_err(|_| RequestError::Malformed)?;
        for extension in extensions.iter().filter(|extension| extension.extn_id == SubjectAltName::OID) {
            let names = SubjectAltName::from_der(extension.extn_value.as_bytes()).map_err(|_| RequestError::Malformed)?;
            let names = AlternativeNames::of(&names).map_err(|_| RequestError::Identity)?;
            if found.replace(names).is_some() {
                return Err(RequestError::Identity);
            }
        }
    }
    Ok(found.unwrap_or_default())
}

const PEM_LABEL: &str = "CERTIFICATE REQUEST";
/// Ours have about 400 bytes.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
