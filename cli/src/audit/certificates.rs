//! The certificates that entries put on the ledger, and which of them may have signed an entry above.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use exhibit_evidence::{Anchor, AttachmentRef, Body, SignedStatement};
use exhibit_pki::{Certificate, Fingerprint, KeyPurpose, Timestamp, ValidatedPath, Verifier, validate_path};
use exhibit_tlog::Hash;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::memory::Kept;

/// The attachment that an entry introduces; the others are issuers, from which paths are built.
const INTRODUCED: &str = "certificate";
/// What the names of issuers begin with.
const ISSUERS: &str = "issuer-";
/// So many authorities' certificates are kept for paths, as the verdict does: a root, a few that issue, and some that they succeeded.
const ISSUERS_MAX: usize = 64;
/// So many certificates, and as many paths, are held ready to judge with. The others are parsed again when they sign.
const READY_MAX: usize = 2048;

/// A certificate that an entry introduced.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduced {
    /// Which entry.
    pub index: u64,
    /// Itself.
    pub der: Der,
}

/// A certificate's bytes, in hex where they are kept.
#[derive(Clone, Debug)]
pub struct Der(Box<[u8]>);

impl Serialize for Der {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(|der| Self(der.into())).map_err(serde::de::Error::custom)
    }
}

/// Known certificates. What is kept is in the maps; the rest is made of them again.
#[derive(Clone, Default)]
pub struct Certificates {
    /// By fingerprint.
    pub introduced: Kept<Introduced>,
    /// By fingerprint: candidates for paths.
    pub issuers: Kept<Der>,
    founder: Option<Fingerprint>,
    /// By the entries that introduced them.
    of_holder: HashMap<Holder, BTreeMap<u64, Fingerprint>>,
    ready: HashMap<Fingerprint, Arc<Certificate>>,
    authorities: Vec<Certificate>,
    /// The last path that was found from each.
    paths: HashMap<Fingerprint, ValidatedPath>,
}

/// An identity, and what its certificates are for: of two such certificates one is a renewal of the other, or a second one.
pub type Holder = (String, KeyPurpose);

/// What an entry attaches, as far as it is certificates.
pub struct Attached {
    /// The certificate that it introduces.
    pub own: Option<Certificate>,
    /// Authorities.
    pub issuers: Vec<Certificate>,
}

/// Whether an entry attaches certificates that are needed to judge what comes after it.
pub fn attaches_certificates(body: &Body) -> bool {
    matches!(body, Body::Certificate(_) | Body::Genesis(_))
}

/// The attachments of such an entry that are certificates. It may have others, which are nothing to what comes after it.
pub fn certificates_in(body: &Body) -> impl Iterator<Item = &AttachmentRef> {
    body.attachments().iter().filter(|attachment| attachment.name == INTRODUCED || attachment.name.starts_with(ISSUERS))
}

/// Reads what an entry attaches, out of what was fetched by hash. Says what is not as it should be; `None` if something of it is not served.
pub fn attached(body: &Body, stored: &HashMap<Hash, Vec<u8>>) -> Option<Result<Attached, String>> {
    certificates_in(body).all(|attachment| stored.contains_key(&attachment.sha256)).then(|| read_attached(body, stored))
}

fn read_attached(body: &Body, stored: &HashMap<Hash, Vec<u8>>) -> Result<Attached, String> {
    let mut attached = Attached { own: None, issuers: Vec::new() };
    for attachment in certificates_in(body) {
        let bytes = &stored[&attachment.sha256];
        let certificate = attachment.open(bytes).and_then(|der| Certificate::from_der(der).ok());
        let certificate = certificate.ok_or_else(|| format!("its attachment {} is not the certificate that it names", attachment.name))?;
        if certificate.purpose() == KeyPurpose::Authority {
            attached.issuers.push(certificate.clone());
        }
        if attachment.name == INTRODUCED {
            if matches!(body, Body::Certificate(body) if body.fingerprint != *certificate.fingerprint()) {
                return Err("it introduces another certificate than it names".to_owned());
            }
            attached.own = Some(certificate);
        }
    }
    Ok(attached)
}

impl Certificates {
    /// Makes what is not kept, out of what was.
    pub fn restore(&mut self) -> Result<(), String> {
        let parsed = |der: &Der| Certificate::from_der(&der.0).map_err(|error| error.to_string());
        for (name, introduced) in self.introduced.iter() {
            let certificate = parsed(&introduced.der)?;
            if hex::encode(certificate.fingerprint()) != name {
                return Err("a certificate is another one than its name says".to_owned());
            }
            index(&mut self.of_holder, &mut self.founder, introduced.index, &certificate);
        }
        self.authorities = self.issuers.iter().map(|(_, der)| parsed(der)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The certificate that signed an entry, if it was on the ledger below it. Two may introduce themselves: the appliance in genesis, and
    /// an authority at the start of its stream.
    pub fn signer(&mut self, index: u64, signed: &SignedStatement, own: Option<&Certificate>) -> Option<Arc<Certificate>> {
        if let Some(introduced) = self.introduced.get(&hex::encode(signed.signer())) {
            return if introduced.index < index { self.get(signed.signer()) } else { None };
        }
        let statement = signed.statement();
        let introduces_itself = match statement.body {
            Body::Genesis(_) => index == 0,
            Body::Certificate(_) => statement.seq == 0,
            _ => false,
        };
        own.filter(|own| introduces_itself && own.fingerprint() == signed.signer()).cloned().map(Arc::new)
    }

    /// A certificate that was introduced.
    pub fn get(&mut self, fingerprint: &Fingerprint) -> Option<Arc<Certificate>> {
        if let Some(ready) = self.ready.get(fingerprint) {
            return Some(ready.clone());
        }
        let introduced = self.introduced.get(&hex::encode(fingerprint))?;
        let certificate = Arc::new(Certificate::from_der(&introduced.der.0).expect("it was parsed before it was kept"));
        if self.ready.len() >= READY_MAX {
            self.ready.clear();
        }
        self.ready.insert(*fingerprint, certificate.clone());
        Some(certificate)
    }

    /// Whether the certificate leads to a root of the anchor at a moment. A path that was found holds wherever all of it is valid.
    pub fn check_path(&mut self, certificate: &Certificate, anchor: &Anchor, at: Timestamp, verifier: &dyn Verifier) -> Result<(), String> {
        let known = self.paths.get(certificate.fingerprint());
        if known.is_some_and(|path| path.certificates().iter().all(|certificate| certificate.is_valid_at(at))) {
            return Ok(());
        }
        let path = validate_path(certificate, &self.authorities, &anchor.roots, at, verifier).map_err(|error| error.to_string())?;
        if self.paths.len() >= READY_MAX {
            self.paths.clear();
        }
        self.paths.insert(*certificate.fingerprint(), path);
        Ok(())
    }

    /// When the first certificate on a signer's path expires (unix s), and which: of a path that was checked.
    pub fn expires(&self, signer: &Fingerprint) -> Option<(u64, String)> {
        let path = self.paths.get(signer)?;
        let first = path.certificates().iter().min_by_key(|certificate| certificate.not_after())?;
        Some((first.not_after().unix_s(), first.common_name().to_owned()))
    }

    /// Authorities are candidates for a path, which is then validated: they need no proof of their own.
    pub fn know_issuers(&mut self, issuers: &[Certificate]) {
        for issuer in issuers {
            let name = hex::encode(issuer.fingerprint());
            if self.issuers.get(&name).is_none() && self.authorities.len() < ISSUERS_MAX {
                self.issuers.insert(&name, Der(issuer.der().into()));
                self.authorities.push(issuer.clone());
            }
        }
    }

    /// Takes a certificate that an entry which holds has introduced. The first introduction counts.
    pub fn introduce(&mut self, index: u64, certificate: &Certificate) {
        let name = hex::encode(certificate.fingerprint());
        if self.introduced.get(&name).is_none() {
            self::index(&mut self.of_holder, &mut self.founder, index, certificate);
            self.introduced.insert(&name, Introduced { index, der: Der(certificate.der().into()) });
        }
    }

    /// The appliance's, which genesis introduced.
    pub fn founder(&mut self) -> Option<Arc<Certificate>> {
        let founder = self.founder?;
        self.get(&founder)
    }

    /// Whether an authority is known.
    pub fn has_issuers(&self) -> bool {
        !self.authorities.is_empty()
    }

    /// Whether some entry that holds has introduced it.
    pub fn is_introduced(&self, fingerprint: &Fingerprint) -> bool {
        self.introduced.get(&hex::encode(fingerprint)).is_some()
    }

    /// Takes back a certificate whose introduction does not hold after all.
    pub fn withdraw(&mut self, index: u64, certificate: &Certificate) {
        let name = hex::encode(certificate.fingerprint());
        if self.introduced.get(&name).is_some_and(|introduced| introduced.index == index) {
            self.introduced.remove(&name);
            self.ready.remove(certificate.fingerprint());
            if let Some(all) = self.of_holder.get_mut(&holder(certificate)) {
                all.remove(&index);
            }
        }
    }

    /// Those that were on the log below an entry of whom a certificate is of, for the same purpose: so many at most, in the order of the log.
    pub fn first_of(&mut self, holder: &Holder, below: u64, count: usize) -> Vec<Arc<Certificate>> {
        let first = self.of_holder.get(holder).into_iter().flat_map(|all| all.range(..below));
        let first: Vec<Fingerprint> = first.take(count).map(|(_, fingerprint)| *fingerprint).collect();
        first.iter().filter_map(|fingerprint| self.get(fingerprint)).collect()
    }

    /// Whether a certificate of that holder's was introduced below an entry.
    pub fn was_introduced_below(&mut self, holder: &Holder, fingerprint: &Fingerprint, below: u64) -> bool {
        let is_below = self.introduced.get(&hex::encode(fingerprint)).is_some_and(|introduced| introduced.index < below);
        is_below && self.get(fingerprint).is_some_and(|certificate| self::holder(&certificate) == *holder)
    }
}

/// Whose a certificate is, and what for.
pub fn holder(certificate: &Certificate) -> Holder {
    let identity = certificate.identity().map_or_else(|| certificate.common_name().to_owned(), ToString::to_string);
    (identity, certificate.purpose())
}

fn index(
    of_holder: &mut HashMap<Holder, BTreeMap<u64, Fingerprint>>,
    founder: &mut Option<Fingerprint>,
    index: u64,
    certificate: &Certificate,
) {
    of_holder.entry(holder(certificate)).or_default().insert(index, *certificate.fingerprint());
    if index == 0 {
        *founder = Some(*certificate.fingerprint());
    }
}
