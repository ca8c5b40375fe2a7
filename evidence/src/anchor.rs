//! What a verifier trusts, and what a camera pins: the log, its keys, the roots, the custodians. Never taken out of the bundle judged.
//!
//! It does not know how an anchor came here, nor whether it should have been believed.

mod policy;

use exhibit_pki::{Certificate, KeyPurpose};
use exhibit_tlog::{Hash, LogVerifier};

pub use policy::{AnchorPolicy, DeviceLevel, PinnedCustodians, TIMESTAMP_AUTHORITIES_MAX, TimestampAuthorityTrust, WitnessPolicy};

use crate::{
    body::{
        Genesis, ORIGIN_BYTES_MAX, ROOTS_MAX,
        read::{log_keys, origin_byte},
    },
    json::{self, JsonError, Object, ObjectWriter},
};

/// An anchor or pin is at most this long: 100 certificates of 2 KiB in PEM, and keys.
const ANCHOR_BYTES_MAX: usize = 256 * 1024;
const ANCHOR_TYPE: &str = "exhibit-anchor/v1";
const PIN_TYPE: &str = "exhibit-pin/v1";

/// The anchor: JSON `{"type":"exhibit-anchor/v1","log":hex,"origin":…,"keys":[vkey…],"roots":[PEM…]}` and the members of its policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchor {
    /// Leaf hash of genesis.
    pub log: Hash,
    /// Origin and keys, all of which must sign.
    pub verifier: LogVerifier,
    /// Trusted root certificates, all of one trust domain.
    pub roots: Vec<Certificate>,
    /// What else is demanded, and who else is believed.
    pub policy: AnchorPolicy,
}

/// What a camera pins at enrolment: JSON `{"type":"exhibit-pin/v1","anchor":{…},"custodians":[PEM…],"threshold":n}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// The log.
    pub anchor: Anchor,
    /// Signing certificates of the custodians.
    pub custodians: Vec<Certificate>,
    /// How many of them must sign the first `recipients`.
    pub threshold: u64,
}

/// Not an anchor or pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an anchor: {0}")]
pub struct AnchorError(pub String);

impl From<JsonError> for AnchorError {
    fn from(error: JsonError) -> Self {
        Self(error.0)
    }
}

impl Anchor {
    /// Parses strictly.
    pub fn parse(json: &[u8]) -> Result<Self, AnchorError> {
        Ok(Self::read(outermost(json)?)?)
    }
    /// The JSON, in one line: `python3 -m json.tool` and its like make it readable.
    pub fn to_json(&self) -> String {
        format!("{}\n", self.write())
    }

    /// Whether genesis names the origin, the keys and the roots of this anchor; else what it does not.
    pub fn fits(&self, genesis: &Genesis) -> Result<(), String> {
        if genesis.origin != self.verifier.origin {
            return Err(format!("it names the origin {}", genesis.origin));
        }
        let keys: Vec<_> = self.verifier.keys.iter().map(ToString::to_string).collect();
        if genesis.keys.iter().any(|key| !keys.contains(key)) {
            return Err("it names a key that the anchor does not demand".to_owned());
        }
        if self.roots.iter().any(|root| !genesis.roots.contains(root.fingerprint())) {
            return Err("the anchor trusts a root that genesis does not name".to_owned());
        }
        Ok(())
    }

    fn read(mut members: Object) -> Result<Self, JsonError> {
        members.one_of("type", &[(ANCHOR_TYPE, ())])?;
        let log = members.hash("log")?;
        if log == Hash([0; 32]) {
            return Err(members.error("log", "is zeros, which is no log"));
        }
        let origin = members.text("origin", ORIGIN_BYTES_MAX, origin_byte)?;
        let keys = log_keys(&mut members)?;
        let roots = certificates(&mut members, "roots", ROOTS_MAX, |certificate| certificate.purpose() == KeyPurpose::Authority)?;
        check_roots(&roots).map_err(|reason| members.error("roots", reason))?;
        let verifier = LogVerifier { origin, keys };
        let policy = AnchorPolicy::read(&mut members, &verifier)?;
        members.finish()?;
        Ok(Self { log, verifier, roots, policy })
    }

    fn write(&self) -> String {
        let writer = ObjectWriter::new()
            .string("type", ANCHOR_TYPE)
            .bytes("log", &self.log.0)
            .string("origin", &self.verifier.origin)
            .array("keys", self.verifier.keys.iter().map(|key| json::string(&key.to_string())))
            .array("roots", pem(&self.roots));
        self.policy.write(writer).finish()
    }
}

impl Pin {
    /// Parses strictly.
    pub fn parse(json: &[u8]) -> Result<Self, AnchorError> {
        let mut members = outermost(json)?;
        members.one_of("type", &[(PIN_TYPE, ())])?;
        let anchor = Anchor::read(members.object("anchor")?)?;
        let PinnedCustodians { certificates: custodians, threshold } = PinnedCustodians::read(&mut members)?;
        members.finish()?;
        Ok(Self { anchor, custodians, threshold })
    }
    /// The JSON, in one line.
    pub fn to_json(&self) -> String {
        let json = ObjectWriter::new()
            .string("type", PIN_TYPE)
            .json("anchor", &self.anchor.write())
            .array("custodians", pem(&self.custodians))
            .integer("threshold", self.threshold)
            .finish();
        format!("{json}\n")
    }
}

/// What the roots of an anchor must be, told as what they "are" if not: at least one and at most 16, authorities, each once, and of one trust
/// domain. Whoever makes a log or an anchor asks first, since nothing would read it afterwards.
pub fn check_roots(roots: &[Certificate]) -> Result<(), &'static str> {
    if !(1..=ROOTS_MAX).contains(&roots.len()) {
        return Err("are none, or more than 16");
    }
    if roots.iter().any(|root| root.purpose() != KeyPurpose::Authority) {
        return Err("are not all certificates of authorities");
    }
    if has_twice(roots) {
        return Err("are not all different");
    }
    // The names of streams do not say the domain: the authority of another one could certify a second owner of each stream.
    if roots.iter().any(|root| root.trust_domain() != roots[0].trust_domain()) {
        return Err("are of several trust domains");
    }
    Ok(())
}

fn outermost(json: &[u8]) -> Result<Object, JsonError> {
    if json.len() > ANCHOR_BYTES_MAX {
        return Err(JsonError("it is longer than 256 KiB".to_owned()));
    }
    Object::new(json::parse(json)?, "")
}

/// An array of different certificates in PEM, each of which is of the kind that belongs there.
fn certificates(
    members: &mut Object,
    name: &str,
    max: usize,
    belongs: impl Fn(&Certificate) -> bool,
) -> Result<Vec<Certificate>, JsonError> {
    let certificates = members.array(name, 1, max, |item, position| {
        let certificate = Certificate::from_pem(&item.string(position)?).map_err(|error| item.error(position, &format!("is {error}")))?;
        if !belongs(&certificate) {
            return Err(item.error(position, "is a certificate for something else"));
        }
        Ok(certificate)
    })?;
    if has_twice(&certificates) {
        return Err(members.error(name, "names one twice"));
    }
    Ok(certificates)
}

fn pem(certificates: &[Certificate]) -> impl Iterator<Item = String> + '_ {
    certificates.iter().map(|certificate| json::string(&certificate.to_pem()))
}

fn has_twice<T: PartialEq>(items: &[T]) -> bool {
    (1..items.len()).any(|end| items[..end].contains(&items[end]))
}
