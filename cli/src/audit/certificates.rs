//! The certificates that entries put on the ledger, and which of them may have signed an entry above.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use exhibit_evidence::{Anchor, Body, SignedStatement};
use exhibit_pki::{Certificate, Fingerprint, KeyPurpose, Timestamp, ValidatedPath, Verifier, validate_path};
use exhibit_tlog::Hash;

/// The attachment that an entry introduces; the others are issuers, from which paths are built.
const INTRODUCED: &str = "certificate";

/// Known certificates.
#[derive(Default)]
pub struct Certificates {
    /// By fingerprint: the index of the entry that introduced it, and itself.
    introduced: HashMap<Fingerprint, (u64, Certificate)>,
    issuers: BTreeMap<Fingerprint, Certificate>,
    /// The last path that was found from each.
    paths: HashMap<Fingerprint, ValidatedPath>,
}

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

/// Reads what an entry attaches, out of what was fetched by hash. Says what is not as it should be.
pub fn attached(body: &Body, stored: &HashMap<Hash, Vec<u8>>) -> Result<Attached, String> {
    let mut attached = Attached { own: None, issuers: Vec::new() };
    for attachment in body.attachments() {
        let bytes = stored.get(&attachment.sha256).ok_or_else(|| format!("its attachment {} is not served", attachment.name))?;
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
    /// The certificate that signed an entry, if it was on the ledger below it. Two may introduce themselves: the appliance in genesis, and
    /// an authority at the start of its stream.
    pub fn signer(&self, index: u64, signed: &SignedStatement, own: Option<&Certificate>) -> Option<Certificate> {
        if let Some((introduced, certificate)) = self.introduced.get(signed.signer()) {
            return (*introduced < index).then(|| certificate.clone());
        }
        let statement = signed.statement();
        let introduces_itself = match statement.body {
            Body::Genesis(_) => index == 0,
            Body::Certificate(_) => statement.seq == 0,
            _ => false,
        };
        own.filter(|own| introduces_itself && own.fingerprint() == signed.signer()).cloned()
    }

    /// Whether the certificate leads to a root of the anchor at a moment. A path that was found holds wherever all of it is valid.
    pub fn check_path(&mut self, certificate: &Certificate, anchor: &Anchor, at: Timestamp, verifier: &dyn Verifier) -> Result<(), String> {
        let known = self.paths.get(certificate.fingerprint());
        if known.is_some_and(|path| path.certificates().iter().all(|certificate| certificate.is_valid_at(at))) {
            return Ok(());
        }
        let issuers: Vec<Certificate> = self.issuers.values().cloned().collect();
        let path = validate_path(certificate, &issuers, &anchor.roots, at, verifier).map_err(|error| error.to_string())?;
        self.paths.insert(*certificate.fingerprint(), path);
        Ok(())
    }

    /// Authorities are candidates for a path, which is then validated: they need no proof of their own.
    pub fn know_issuers(&mut self, issuers: &[Certificate]) {
        self.issuers.extend(issuers.iter().map(|issuer| (*issuer.fingerprint(), issuer.clone())));
    }

    /// Takes a certificate that an entry which holds has introduced. The first introduction counts.
    pub fn introduce(&mut self, index: u64, certificate: Certificate) {
        self.introduced.entry(*certificate.fingerprint()).or_insert((index, certificate));
    }

    /// The appliance's, which genesis introduced.
    pub fn founder(&self) -> Option<&Certificate> {
        self.introduced.values().find(|(index, _)| *index == 0).map(|(_, certificate)| certificate)
    }

    /// Whether an authority is known.
    pub fn has_issuers(&self) -> bool {
        !self.issuers.is_empty()
    }

    /// Whether some entry that holds has introduced it.
    pub fn is_introduced(&self, fingerprint: &Fingerprint) -> bool {
        self.introduced.contains_key(fingerprint)
    }

    /// Takes back what an entry introduced that does not hold after all.
    pub fn withdraw(&mut self, index: u64) {
        self.introduced.retain(|_, (introduced, _)| *introduced != index);
    }

    /// Others of the same identity for the same purpose that were on the log below an entry, and are valid at a moment.
    pub fn others(&self, of: &Certificate, index: u64, at: Timestamp) -> Vec<Fingerprint> {
        let same = |other: &Certificate| {
            other.identity() == of.identity() && other.purpose() == of.purpose() && other.fingerprint() != of.fingerprint()
        };
        let below = self.introduced.values().filter(|(introduced, _)| *introduced < index);
        let others = below.map(|(_, other)| other).filter(|other| same(other) && other.is_valid_at(at));
        // In one order, so that two audits of one log say the same.
        others.map(|other| *other.fingerprint()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// All that is known, to be kept: who was introduced where, and the authorities.
    pub fn all(&self) -> (Vec<(u64, &Certificate)>, Vec<&Certificate>) {
        let mut introduced: Vec<_> = self.introduced.values().map(|(index, certificate)| (*index, certificate)).collect();
        introduced.sort_by_key(|(index, certificate)| (*index, *certificate.fingerprint()));
        (introduced, self.issuers.values().collect())
    }
}
