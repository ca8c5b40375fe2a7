//! Distinguished names: one common name, for people to read. Who somebody is stands in the subject alternative name.

use const_oid::db::rfc4519::COMMON_NAME;
use der::{
    Any, Decode, Encode, Tag, Tagged,
    asn1::{PrintableStringRef, SetOfVec},
};
use x509_cert::{
    attr::AttributeTypeAndValue,
    name::{Name, RdnSequence, RelativeDistinguishedName},
};

use crate::Identity;

/// Whether every relative distinguished name has an attribute, as X.501 has it: der reads a SET of none as well.
pub(crate) fn is_well_formed(name: &Name) -> bool {
    name.iter_rdn().all(|relative| relative.iter().next().is_some())
}

/// The only common name in `name`; `None` unless there is exactly one, of 1 to 64 characters, none of them a
/// control character.
pub(crate) fn common_name(name: &Name) -> Option<String> {
    let mut values = name.iter().filter(|attribute| attribute.oid == COMMON_NAME).map(|attribute| &attribute.value);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let text = match value.tag() {
        Tag::Utf8String => std::str::from_utf8(value.value()).ok()?,
        Tag::PrintableString if PrintableStringRef::new(value.value()).is_ok() => std::str::from_utf8(value.value()).ok()?,
        _ => return None,
    };
    is_common_name(text).then(|| text.to_owned())
}

/// A name that consists of `common_name`; `None` if that is empty, too long or has control characters.
pub(crate) fn of_common_name(common_name: &str) -> Option<Name> {
    if !is_common_name(common_name) {
        return None;
    }
    let value = Any::new(Tag::Utf8String, common_name.as_bytes()).ok()?;
    let attributes = SetOfVec::try_from(vec![AttributeTypeAndValue { oid: COMMON_NAME, value }]).ok()?;
    let mut sequence = RdnSequence::default();
    sequence.push(RelativeDistinguishedName::try_from(Vec::from(attributes)).ok()?);
    Name::from_der(&sequence.to_der().ok()?).ok()
}

/// The name of an identity: its subject (`camera/102`), or its id alone where that would exceed what X.520 allows.
pub(crate) fn of_identity(identity: &Identity) -> Option<Name> {
    let subject = identity.subject.to_string();
    if subject.len() <= COMMON_NAME_CHARACTERS_MAX { of_common_name(&subject) } else { of_common_name(identity.subject.id()) }
}

fn is_common_name(text: &str) -> bool {
    let characters = text.chars().count();
    (1..=COMMON_NAME_CHARACTERS_MAX).contains(&characters) && !text.chars().any(char::is_control)
}

/// ub-common-name of RFC 5280 appendix A.
const COMMON_NAME_CHARACTERS_MAX: usize = 64;
