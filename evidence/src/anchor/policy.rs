//! What an anchor demands beyond signatures: witnesses, timestamping authorities, the pinned custodians, the least device, the axes demanded.
//!
//! It judges nothing; it says by whom and by what a verdict is given.

use exhibit_pki::timestamp_token::{Imprint, TimestampToken, TimestampTokenError, TimestampTrust, VerifiedTimestamp};
use exhibit_pki::{Certificate, ChainCertificate, KeyPurpose, Role};
use exhibit_tlog::{LogVerifier, NoteAlgorithm, Policy, VerifierKey};

use super::{certificates, has_twice, pem};
use crate::{
    body::CUSTODIANS_MAX,
    json::{self, JsonError, Object, ObjectWriter},
    verdict::Axis,
};

/// A witness policy in an anchor is at most this long: each witness with an ML-DSA-44 key takes 1.9 KiB.
const WITNESS_POLICY_BYTES_MAX: usize = 64 * 1024;
/// An anchor names at most this many timestamping authorities: each token is tried with each.
pub const TIMESTAMP_AUTHORITIES_MAX: usize = 16;
/// An anchor names at most this many roots of TPM vendors: there are about twenty vendors, with a few roots each.
const ENDORSEMENT_ROOTS_MAX: usize = 64;
/// A label is at most this long.
const NAME_BYTES_MAX: usize = 128;
/// The axes that can be demanded; the others always are.
const DEMANDABLE: [(&str, Axis); 4] =
    [("witness", Axis::Witness), ("time", Axis::Time), ("revocation", Axis::Revocation), ("device", Axis::Device)];

/// The optional members of an anchor. The default demands nothing and trusts nobody more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnchorPolicy {
    /// Who has to have seen the checkpoint.
    pub witnesses: Option<WitnessPolicy>,
    /// Who is believed about time.
    pub timestamp_authorities: Vec<TimestampAuthorityTrust>,
    /// Who decides first about recipients, and about second certificates.
    pub custodians: Option<PinnedCustodians>,
    /// The least that is accepted of the camera's device.
    pub device: Option<DeviceLevel>,
    /// Vendors of TPMs: the roots of endorsement certificates.
    pub endorsement_roots: Vec<ChainCertificate>,
    /// The key of the log that can not leave the TPM of its machine (docs/formats/log.md).
    pub tpm_key: Option<VerifierKey>,
    /// Axes on which a bundle without evidence is undecided.
    pub demands: Vec<Axis>,
}

/// A C2SP tlog-policy. Its `log` lines are not used: the anchor names the log.
#[derive(Clone, Debug, PartialEq)]
pub struct WitnessPolicy {
    text: String,
    policy: Policy,
}

/// A timestamping authority that is believed, and whether it is somebody else than the operator of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct TimestampAuthorityTrust {
    /// How verdicts name it.
    pub name: String,
    /// False for the operator's own, whose word is the operator's word.
    pub independent: bool,
    /// Its own certificate, or a root that leads to it.
    pub certificate: ChainCertificate,
}

/// The custodians that a camera was given at its enrolment.
#[derive(Clone, Debug, PartialEq)]
pub struct PinnedCustodians {
    /// Their signing certificates.
    pub certificates: Vec<Certificate>,
    /// How many of them must sign the first set of recipients.
    pub threshold: u64,
}

/// What is known of the device that holds a camera's key; each says more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceLevel {
    /// A file, perhaps.
    Software,
    /// A TPM, by the word of the authority that listed it.
    AllowListed,
    /// A TPM of a vendor whose root the anchor names.
    Attested,
}

impl DeviceLevel {
    const WORDS: [(&'static str, Self); 3] =
        [("software", Self::Software), ("allow-listed", Self::AllowListed), ("attested", Self::Attested)];

    /// As anchors and enrolments write it.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self as usize].0
    }
}

impl WitnessPolicy {
    /// Parses the text; a witness that has a key of the log is refused.
    pub fn parse(text: &str, log: &LogVerifier) -> Result<Self, String> {
        if text.len() > WITNESS_POLICY_BYTES_MAX {
            return Err("is longer than 64 KiB".to_owned());
        }
        let policy = Policy::parse(text).map_err(|error| format!("is {error}"))?;
        if policy.witnesses().iter().any(|witness| log.keys.iter().any(|key| key.has_key_of(&witness.key))) {
            return Err("names the log itself as a witness".to_owned());
        }
        Ok(Self { text: text.to_owned(), policy })
    }

    /// The parsed policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// As it came.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// How far the clock of an authority is believed that does not state its accuracy: ETSI EN 319 421 has it within a second of UTC.
const ACCURACY_UNSTATED_MS: u64 = 1_000;

impl AnchorPolicy {
    /// Judges a timestamp token over the text of a note, by the authorities of the policy; independent ones are asked first.
    pub fn verify_token(&self, der: &[u8], text: &str) -> Result<(&TimestampAuthorityTrust, VerifiedTimestamp), TimestampTokenError> {
        let token = TimestampToken::from_der(der)?;
        let imprint = Imprint::of(token.imprint().algorithm(), text.as_bytes());
        let (mut authorities, own): (Vec<_>, Vec<_>) = self.timestamp_authorities.iter().partition(|authority| authority.independent);
        authorities.extend(own);
        let anchors = authorities.iter().map(|authority| std::slice::from_ref(&authority.certificate));
        let trust = |anchors| TimestampTrust { anchors, certificates: &[], accuracy_unstated_ms: ACCURACY_UNSTATED_MS };
        let trusts: Vec<TimestampTrust<'_>> = anchors.map(trust).collect();
        let (position, verified) = token.verify_by(&imprint, None, &trusts)?;
        Ok((authorities[position], verified))
    }

    /// Takes the optional members out of an anchor.
    pub(super) fn read(members: &mut Object, log: &LogVerifier) -> Result<Self, JsonError> {
        let mut policy = Self::default();
        if members.has("witness_policy") {
            let text = members.string("witness_policy")?;
            policy.witnesses = Some(WitnessPolicy::parse(&text, log).map_err(|what| members.error("witness_policy", &what))?);
        }
        if members.has("timestamp_authorities") {
            policy.timestamp_authorities = timestamp_authorities(members)?;
        }
        if members.has("custodians") || members.has("threshold") {
            policy.custodians = Some(PinnedCustodians::read(members)?);
        }
        if members.has("device") {
            policy.device = Some(members.one_of("device", &DeviceLevel::WORDS)?);
        }
        if members.has("endorsement_roots") {
            policy.endorsement_roots = members.array("endorsement_roots", 1, ENDORSEMENT_ROOTS_MAX, chain_certificate)?;
        }
        if members.has("tpm_key") {
            policy.tpm_key = Some(tpm_key(members, log)?);
        }
        if members.has("demands") {
            policy.demands = members.array("demands", 1, DEMANDABLE.len(), |item, position| item.one_of(position, &DEMANDABLE))?;
        }
        policy.check(members)?;
        Ok(policy)
    }

    /// What no member says alone.
    fn check(&self, members: &Object) -> Result<(), JsonError> {
        if has_twice(&self.demands) {
            return Err(members.error("demands", "names one twice"));
        }
        if self.demands.contains(&Axis::Witness) && self.witnesses.is_none() {
            return Err(members.error("demands", "asks for witnesses without a witness_policy"));
        }
        if has_twice(&self.endorsement_roots) {
            return Err(members.error("endorsement_roots", "names one twice"));
        }
        if self.device == Some(DeviceLevel::Attested) && self.endorsement_roots.is_empty() {
            return Err(members.error("device", "asks for a vendor's word without endorsement_roots"));
        }
        let independent = self.timestamp_authorities.iter().any(|authority| authority.independent) || self.witnesses.is_some();
        if self.demands.contains(&Axis::Time) && !independent {
            return Err(members.error("demands", "asks for time without an independent timestamping authority or witness"));
        }
        Ok(())
    }

    /// Adds the members that are there, in the order of docs/formats/bundle.md.
    pub(super) fn write(&self, mut writer: ObjectWriter) -> ObjectWriter {
        if let Some(witnesses) = &self.witnesses {
            writer = writer.string("witness_policy", &witnesses.text);
        }
        if !self.timestamp_authorities.is_empty() {
            writer = writer.array("timestamp_authorities", self.timestamp_authorities.iter().map(TimestampAuthorityTrust::write));
        }
        if let Some(custodians) = &self.custodians {
            writer = custodians.write(writer);
        }
        if let Some(device) = self.device {
            writer = writer.string("device", device.as_str());
        }
        if !self.endorsement_roots.is_empty() {
            writer = writer.array("endorsement_roots", self.endorsement_roots.iter().map(|root| json::string(&root.to_pem())));
        }
        if let Some(key) = &self.tpm_key {
            writer = writer.string("tpm_key", &key.to_string());
        }
        if !self.demands.is_empty() {
            let word = |axis| DEMANDABLE.iter().find(|(_, demandable)| *demandable == axis).map_or("", |(word, _)| word);
            writer = writer.array("demands", self.demands.iter().map(|axis| json::string(word(*axis))));
        }
        writer
    }
}

impl TimestampAuthorityTrust {
    fn read(item: &mut Object, position: &str) -> Result<Self, JsonError> {
        let mut members = item.object(position)?;
        let name = members.text("name", NAME_BYTES_MAX, |byte| byte == b' ' || byte.is_ascii_graphic())?;
        let independent = members.boolean("independent")?;
        let certificate = chain_certificate(&mut members, "certificate")?;
        members.finish()?;
        Ok(Self { name, independent, certificate })
    }

    fn write(&self) -> String {
        ObjectWriter::new()
            .string("name", &self.name)
            .boolean("independent", self.independent)
            .string("certificate", &self.certificate.to_pem())
            .finish()
    }
}

/// A key beside those that every checkpoint has to be signed with: one of them would be no second.
fn tpm_key(members: &mut Object, log: &LogVerifier) -> Result<VerifierKey, JsonError> {
    let key = VerifierKey::parse(&members.string("tpm_key")?).map_err(|error| members.error("tpm_key", &format!("is none: {error}")))?;
    if !matches!(key.algorithm(), NoteAlgorithm::EcdsaP256 | NoteAlgorithm::EcdsaP384) {
        return Err(members.error("tpm_key", "is not of type 02"));
    }
    if key.name() != log.origin || log.keys.iter().any(|other| other.has_key_of(&key)) {
        return Err(members.error("tpm_key", "is of another log, or one that the log signs with anyway"));
    }
    Ok(key)
}

fn chain_certificate(members: &mut Object, name: &str) -> Result<ChainCertificate, JsonError> {
    ChainCertificate::from_pem(&members.string(name)?).map_err(|error| members.error(name, &format!("is {error}")))
}

fn timestamp_authorities(members: &mut Object) -> Result<Vec<TimestampAuthorityTrust>, JsonError> {
    let authorities = members.array("timestamp_authorities", 1, TIMESTAMP_AUTHORITIES_MAX, TimestampAuthorityTrust::read)?;
    let certificates: Vec<_> = authorities.iter().map(|authority| &authority.certificate).collect();
    if has_twice(&certificates) {
        return Err(members.error("timestamp_authorities", "names one twice"));
    }
    Ok(authorities)
}

impl PinnedCustodians {
    /// Takes `custodians` and `threshold`: different people, each with a custodian's signing certificate.
    pub(super) fn read(members: &mut Object) -> Result<Self, JsonError> {
        let custodians = certificates(members, "custodians", CUSTODIANS_MAX, |certificate| {
            certificate.purpose() == KeyPurpose::Signing && certificate.has_role(Role::Custodian)
        })?;
        let people: Vec<_> = custodians.iter().map(Certificate::identity).collect();
        if has_twice(&people) {
            return Err(members.error("custodians", "names one person twice"));
        }
        let threshold = members.integer("threshold", 1, custodians.len() as u64)?;
        Ok(Self { certificates: custodians, threshold })
    }

    pub(super) fn write(&self, writer: ObjectWriter) -> ObjectWriter {
        writer.array("custodians", pem(&self.certificates)).integer("threshold", self.threshold)
    }
}
