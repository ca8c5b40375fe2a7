//! Thousands of cameras certified and given recipients, in seconds: the authority's and the custodian's chains, without a program for each.
//!
//! It does not know what the cameras do then.

use std::path::Path;
use std::sync::Arc;

use exhibit_client::{Appliance, ClientIdentity, Issuer};
use exhibit_e2e::world::{DOMAIN, Person, World, draw_key, fill_random, now, past, read_certificate, read_key};
use exhibit_evidence::body::{CertificateBody, Recipients};
use exhibit_evidence::{AttachmentRef, Body, Pin};
use exhibit_pki::{Certificate, EndEntity, Identity, Issuance, KeyPurpose, Role, Signer, SoftwareSigner, Subject, issue_end_entity};
use exhibit_tlog::Hash;

/// Certificates are valid from a little before now, as the authority's are, for a day.
const VALID_BEFORE_MS: u64 = 60_000;
const VALID_MS: u64 = 24 * 60 * 60 * 1000;

/// A camera that the log knows, with recipients of its own.
#[derive(Clone)]
pub struct Enrolled {
    /// `camera/<number>`
    pub subject: Subject,
    /// Certificate and key.
    pub identity: ClientIdentity,
    /// Leaf hash of its `recipients`.
    pub recipients: Hash,
}

impl Enrolled {
    /// Its number, as its name has it.
    pub fn id(&self) -> &str {
        match &self.subject {
            Subject::Camera(id) => id,
            other => unreachable!("{other} is not a camera"),
        }
    }
}

/// Certifies cameras 1 to `count`, and has the custodian, who has been certified before, say that only they open what these record.
pub async fn enrol(world: &World, custodian: &Person, count: usize) -> Vec<Enrolled> {
    let mut office = Office::open(world);
    let mut decisions = Decisions::open(world, custodian);
    let mut enrolled = Vec::with_capacity(count);
    for number in 1..=count {
        let subject = Subject::parse(&format!("camera/{number}")).expect("numbers are ids");
        let identity = office.certify(world, &subject).await;
        let recipients = decisions.decide(&subject).await;
        enrolled.push(Enrolled { subject, identity, recipients });
    }
    enrolled
}

/// What a camera is told at its enrolment: the log, and the custodian.
pub fn pin(world: &World, custodian: &Person) -> Pin {
    Pin { anchor: world.anchor(), custodians: vec![custodian.identity().certificate], threshold: 1 }
}

/// The authority: its keys and its stream, as `exhibit-authority` keeps them in its folder.
struct Office {
    issuing: Certificate,
    issuing_key: SoftwareSigner,
    appliance: Appliance,
    chain: Issuer,
}

impl Office {
    fn open(world: &World) -> Self {
        let folder = world.pki();
        let certificate = |name: &str| read_certificate(&folder.join(format!("{name}.pem")));
        let key = |name: &str| read_key(&folder.join(format!("{name}.key")));
        let identity = ClientIdentity { certificate: certificate("authority"), chain: world.chain(), signer: Arc::new(key("authority")) };
        let series = identity.certificate.identity().expect("an authority has an identity").subject.to_string();
        let (appliance, chain) = issuer(world, &folder, &series, identity);
        assert!(chain.next_seq() > 0, "the authority has introduced itself when it certified the custodian");
        Self { issuing: certificate("issuing"), issuing_key: key("issuing"), appliance, chain }
    }

    async fn certify(&mut self, world: &World, subject: &Subject) -> ClientIdentity {
        let key = draw_key();
        let identity = Identity::parse(&format!("spiffe://{DOMAIN}/{subject}")).expect("the subject is well-formed");
        let entity = EndEntity {
            identity: &identity,
            public_key: key.public_key(),
            purpose: KeyPurpose::Signing,
            roles: &[Role::Camera],
            server_names: &[],
        };
        let mut serial = [0; 16];
        fill_random(&mut serial);
        let not_before = past(VALID_BEFORE_MS);
        let not_after = not_before.checked_add_ms(VALID_MS).expect("long before the year 9999");
        let issuance = Issuance { not_before, not_after, serial };
        let certificate = issue_end_entity(&entity, &self.issuing, &self.issuing_key, &issuance).expect("the profile allows cameras");
        let attachments = vec![AttachmentRef::of("certificate", certificate.der(), false)];
        let body = CertificateBody { fingerprint: *certificate.fingerprint(), replaces: None, attachments };
        let stated = self.chain.issue(&mut self.appliance, Body::Certificate(body), &[certificate.der()], now()).await;
        stated.expect("an authority may introduce a certificate");
        ClientIdentity { certificate, chain: world.chain(), signer: Arc::new(key) }
    }
}

/// A custodian who decides on recipients.
struct Decisions {
    recipient: Certificate,
    custodian: Certificate,
    appliance: Appliance,
    chain: Issuer,
}

impl Decisions {
    fn open(world: &World, custodian: &Person) -> Self {
        let identity = custodian.identity();
        let certificate = identity.certificate.clone();
        let (appliance, chain) = issuer(world, &custodian.folder, &custodian.subject, identity);
        Self { recipient: custodian.wrapping().0, custodian: certificate, appliance, chain }
    }

    async fn decide(&mut self, camera: &Subject) -> Hash {
        let body = Recipients {
            scope: camera.to_string(),
            number: 1,
            replaces: None,
            recipients: vec![*self.recipient.fingerprint()],
            custodians: vec![*self.custodian.fingerprint()],
            threshold: 1,
            expires: now().checked_add_ms(VALID_MS).expect("long before the year 9999"),
            attachments: vec![],
        };
        let stated = self.chain.issue(&mut self.appliance, Body::Recipients(body), &[], now()).await;
        stated.expect("a custodian may decide on the first recipients").0.leaf_hash()
    }
}

fn issuer(world: &World, folder: &Path, series: &str, identity: ClientIdentity) -> (Appliance, Issuer) {
    let anchor = world.anchor();
    let appliance = Appliance::new(world.address(), &identity, &anchor).expect("the address is well-formed");
    let chain = Issuer::open(folder, series, identity, anchor.log, now()).expect("nobody else issues in this folder");
    (appliance, chain)
}
