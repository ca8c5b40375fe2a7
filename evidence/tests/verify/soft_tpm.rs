//! A TPM in a few lines: public areas and attestations by bytes (docs/formats/attestation.md), signed by keys that are here.

use exhibit_evidence::AttachmentRef;
use exhibit_evidence::body::{
    Attestation, AttestationKind, Close, CloseReason, DevicePolicy, Enrolment, Start, attestation_qualifying_data,
    enrolment_qualifying_data,
};
use exhibit_evidence::{Body, Statement};
use exhibit_pki::attestation::PublicArea;
use exhibit_pki::{Certificate, Signer, SoftwareSigner};
use exhibit_tlog::Hash;

use crate::common::der::Node;
use crate::common::key;
use crate::synthetic::{Log, STARTED_MS};

const NONCE: [u8; 32] = [0xcc; 32];
const CERTIFY: [u8; 2] = [0x80, 0x17];
const QUOTE: [u8; 2] = [0x80, 0x18];
const TIME: [u8; 2] = [0x80, 0x19];

/// The camera's TPM: endorsement key 71, attestation key 72; the camera's key is in it.
pub struct SoftTpm {
    endorsement: Vec<u8>,
    attestation: Vec<u8>,
    key: SoftwareSigner,
}

/// What the clock says.
#[derive(Clone, Copy)]
pub struct Clock {
    pub time_ms: u64,
    pub resets: u32,
}

impl SoftTpm {
    pub fn new() -> Self {
        Self { endorsement: storage_area(&key(71)), attestation: signing_area(&key(72), 0x0005_0072), key: key(72) }
    }

    /// The evidence of the camera's enrolment, for this certificate's key.
    pub fn enrolment(&self, log: &mut Log, policy: DevicePolicy, device_key: &SoftwareSigner) -> Enrolment {
        let certificate = log.camera.party.certificate.clone();
        self.enrolment_of(log, &certificate, policy, &device_area(device_key))
    }

    /// The same of any device.
    pub fn enrolment_of(&self, log: &mut Log, certificate: &Certificate, policy: DevicePolicy, device: &[u8]) -> Enrolment {
        let fingerprint = *certificate.fingerprint();
        let name = PublicArea::from_bytes(device).unwrap().name();
        let identity = certificate.identity().unwrap();
        let body = [sized(name.as_bytes()), sized(name.as_bytes())].concat();
        let certify = self.attest(CERTIFY, &enrolment_qualifying_data(&NONCE, identity), Clock { time_ms: 1, resets: 1 }, &body);
        let mut attachments = vec![
            log.keep("ek-public", &self.endorsement),
            log.keep("ak-public", &self.attestation),
            log.keep("certify-signature", &self.sign(&certify)),
            log.keep("certify", &certify),
            log.keep("key-public", device),
        ];
        if policy == DevicePolicy::Attested {
            let certificate = endorsement_certificate(log.pki.root.subject_der());
            attachments.push(log.keep("ek-certificate", &[&certificate[..], &[0xff; 100]].concat()));
        }
        Enrolment { fingerprint, policy, nonce: Some(NONCE), attachments }
    }

    /// A reading of the clock in the camera's stream.
    pub fn read_clock(&self, log: &mut Log, enrolment: Hash, issued_ms: u64, clock: Clock) -> u64 {
        let draft = next_of_camera(log, issued_ms);
        let body = [&clock.time_ms.to_be_bytes()[..], &clock_info(clock), &[0; 8]].concat();
        let attest = self.attest(TIME, &attestation_qualifying_data(&draft), clock, &body);
        let attachments = vec![log.keep("attest", &attest), log.keep("signature", &self.sign(&attest))];
        log.append(|log| &mut log.camera, issued_ms, Body::Attestation(Attestation { kind: AttestationKind::Time, enrolment, attachments }))
    }

    /// A quote of PCR 4 of SHA-256, with the value that is said, in the camera's stream.
    pub fn quote(&self, log: &mut Log, enrolment: Hash, issued_ms: u64, value: &[u8], said: &[u8]) -> u64 {
        let qualifying_data = attestation_qualifying_data(&next_of_camera(log, issued_ms));
        let attachments = self.quote_for(log, &qualifying_data, value, said);
        log.append(
            |log| &mut log.camera,
            issued_ms,
            Body::Attestation(Attestation { kind: AttestationKind::Quote, enrolment, attachments }),
        )
    }

    /// A start of the appliance, with a quote for what the function makes of its place.
    pub fn start(&self, log: &mut Log, enrolment: Hash, qualifying: fn(&Statement) -> [u8; 32], said: &[u8]) -> u64 {
        let close = Body::Close(Close { reason: CloseReason::Stop, attachments: vec![] });
        let draft = log.draft(|log| &mut log.appliance, STARTED_MS, close);
        let attachments = self.quote_for(log, &qualifying(&draft), &[7; 32], said);
        let body = Start { version: "0.1.0".to_owned(), enrolment: Some(enrolment), attachments };
        log.append(|log| &mut log.appliance, STARTED_MS, Body::Start(body))
    }

    fn quote_for(&self, log: &mut Log, qualifying_data: &[u8; 32], value: &[u8], said: &[u8]) -> Vec<AttachmentRef> {
        let digest = <sha2::Sha384 as sha2::Digest>::digest(value);
        let body = [&[0, 0, 0, 1, 0x00, 0x0b, 3, 0x10, 0, 0][..], &sized(&digest)].concat();
        let attest = self.attest(QUOTE, qualifying_data, Clock { time_ms: 1, resets: 1 }, &body);
        vec![log.keep("attest", &attest), log.keep("signature", &self.sign(&attest)), log.keep("values", said)]
    }

    fn attest(&self, kind: [u8; 2], qualifying_data: &[u8; 32], clock: Clock, body: &[u8]) -> Vec<u8> {
        let endorsement = PublicArea::from_bytes(&self.endorsement).unwrap().qualified_name_in_endorsement();
        let signer = PublicArea::from_bytes(&self.attestation).unwrap().qualified_name_under(&endorsement);
        [&[0xff, 0x54, 0x43, 0x47][..], &kind, &sized(signer.as_bytes()), &sized(qualifying_data), &clock_info(clock), &[0; 8], body]
            .concat()
    }

    /// TPMT_SIGNATURE: ECDSA, SHA-384, r, s.
    fn sign(&self, attest: &[u8]) -> Vec<u8> {
        let signature = Node::parse(&self.key.sign(attest).unwrap());
        let number = |at: usize| sized(signature.children[at].bytes.strip_prefix(&[0]).unwrap_or(&signature.children[at].bytes));
        [&[0x00, 0x18, 0x00, 0x0c][..], &number(0), &number(1)].concat()
    }
}

/// The statement that comes next in the camera's stream, as far as its place goes.
fn next_of_camera(log: &mut Log, issued_ms: u64) -> Statement {
    log.draft(|log| &mut log.camera, issued_ms, Body::Close(Close { reason: CloseReason::Stop, attachments: vec![] }))
}

fn clock_info(clock: Clock) -> Vec<u8> {
    [&clock.time_ms.to_be_bytes()[..], &clock.resets.to_be_bytes(), &[0; 4], &[1]].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn point(key: &SoftwareSigner) -> Vec<u8> {
    let spki = key.public_key().to_spki_der();
    let point = &spki[spki.len() - 96..];
    [sized(&point[..48]), sized(&point[48..])].concat()
}

/// The public area of a device's signing key.
pub fn device_area(key: &SoftwareSigner) -> Vec<u8> {
    signing_area(key, 0x0004_0072)
}

/// The same on P-256, of a TPM that has no other curve: SHA-256 throughout.
pub fn p256_device_area(point: &[u8; 65]) -> Vec<u8> {
    let head = [0, 0x23, 0, 0x0b, 0, 4, 0, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10];
    [&head[..], &sized(&point[1..33]), &sized(&point[33..])].concat()
}

/// ECC, SHA-384, no policy, no cipher, ECDSA with SHA-384, P-384.
fn signing_area(key: &SoftwareSigner, attributes: u32) -> Vec<u8> {
    let attributes = attributes.to_be_bytes();
    [&[0, 0x23, 0, 0x0c][..], &attributes, &[0, 0, 0, 0x10, 0, 0x18, 0, 0x0c, 0, 4, 0, 0x10], &point(key)].concat()
}

/// The same with AES-256 in CFB for what is wrapped to it, and no scheme.
fn storage_area(key: &SoftwareSigner) -> Vec<u8> {
    let attributes = 0x0003_0072_u32.to_be_bytes();
    [&[0, 0x23, 0, 0x0c][..], &attributes, &[0, 0, 0, 6, 1, 0, 0, 0x43, 0, 0x10, 0, 4, 0, 0x10], &point(key)].concat()
}

/// The certificate of endorsement key 71 by the city's root as a vendor (TCG EK Credential Profile).
fn endorsement_certificate(issuer: &[u8]) -> Vec<u8> {
    let of = |tag: u8, children: Vec<Node>| Node { tag, bytes: vec![], children };
    let oid = |bytes: &[u8]| Node::new(6, bytes);
    let tcg = |last: u8| oid(&[0x67, 0x81, 0x05, 2, last]);
    let attribute = |last: u8, text: &str| of(0x31, vec![of(0x30, vec![tcg(last), Node::new(0x0c, text.as_bytes())])]);
    let device = of(0x30, vec![attribute(1, "id:49465800"), attribute(2, "SLB 9670"), attribute(3, "id:072A")]);
    let extension = |id: u8, critical: bool, value: Node| {
        let flag = critical.then(|| Node::new(1, &[0xff]));
        of(0x30, [oid(&[0x55, 0x1d, id])].into_iter().chain(flag).chain([Node::new(4, &value.to_der())]).collect())
    };
    let extensions = vec![
        extension(0x25, false, of(0x30, vec![oid(&[0x67, 0x81, 0x05, 8, 1])])),
        extension(0x0f, true, Node::new(3, &[3, 8])),
        extension(0x11, true, of(0x30, vec![of(0xa4, vec![device])])),
        extension(0x13, true, of(0x30, vec![])),
    ];
    let ecdsa_with_sha384 = of(0x30, vec![oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3])]);
    let time = |tag: u8, text: &str| Node::new(tag, text.as_bytes());
    let to_be_signed = of(
        0x30,
        vec![
            of(0xa0, vec![Node::new(2, &[2])]),
            Node::new(2, &[71]),
            ecdsa_with_sha384.clone(),
            Node::parse(issuer),
            of(0x30, vec![time(0x17, "260101000000Z"), time(0x18, "20560101000000Z")]),
            of(0x30, vec![]),
            Node::parse(&key(71).public_key().to_spki_der()),
            of(0xa3, vec![of(0x30, extensions)]),
        ],
    );
    let signature = key(1).sign(&to_be_signed.to_der()).unwrap();
    of(0x30, vec![to_be_signed, ecdsa_with_sha384, Node::new(3, &[&[0][..], &signature].concat())]).to_der()
}

/// What `AttachmentRef` names, for a statement that is changed after it was made.
pub fn replaced(attachments: &mut [AttachmentRef], with: AttachmentRef) {
    let place = attachments.iter_mut().find(|attachment| attachment.name == with.name).unwrap();
    *place = with;
}
