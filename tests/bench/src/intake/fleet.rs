//! Cameras with software keys, and what each uploads: sealed and signed before any clock runs.

use std::sync::Arc;

use bytes::Bytes;
use exhibit_client::client_config;
use exhibit_e2e::camera::SoftwareCamera;
use exhibit_e2e::world::{Person, World, fill_random};
use exhibit_evidence::exchange::{Admitted, intake_prefix};
use exhibit_evidence::{Body, SignedStatement};
use exhibit_pki::Certificate;
use exhibit_tlog::{Hash, LogProof, LogVerifier};
use rustls::ClientConfig;

use crate::Failure;

/// A segment of four fragments of a quarter of a second, 1 MiB in all: about 8 Mbit/s.
const FRAGMENTS: usize = 4;
const FRAGMENT_BYTES: usize = (1 << 20) / FRAGMENTS;

/// Cameras that are known to the log, and who decides on their recipients.
pub struct Fleet {
    custodian: Person,
    cameras: Vec<(SoftwareCamera, Hash)>,
}

/// What a camera uploads in a round, in the order of its chain.
pub struct CameraLoad {
    certificate: Certificate,
    tls: Arc<ClientConfig>,
    signed: Vec<SignedStatement>,
    bodies: Vec<Bytes>,
}

impl Fleet {
    /// Certifies so many cameras, and sets their recipients.
    pub async fn enrol(world: &World, count: usize) -> Self {
        let custodian = world.person("custodian", "custodian");
        let enrolled = exhibit_load::enrol::enrol(world, &custodian, count).await;
        let cameras = enrolled
            .into_iter()
            .map(|camera| (SoftwareCamera::with_identity(world, camera.id(), camera.identity.clone()), camera.recipients));
        Self { cameras: cameras.collect(), custodian }
    }

    /// Each camera begins a stream, and signs so many segments of it.
    pub async fn sign(&mut self, world: &World, segments: usize) -> Vec<CameraLoad> {
        let (wrapping, _) = self.custodian.wrapping();
        let mut loads = Vec::new();
        for (camera, recipients) in &mut self.cameras {
            let id = camera.stream.as_str().split('/').nth(1).expect("camera/<id>/<name>/<begun>").to_owned();
            *camera = SoftwareCamera::with_identity(world, &id, camera.identity.clone());
            camera.begin(&mut camera.connect(world), *recipients, std::slice::from_ref(&wrapping)).await;
            loads.push(CameraLoad::sign(world, camera, segments));
        }
        loads
    }
}

impl CameraLoad {
    fn sign(world: &World, camera: &mut SoftwareCamera, segments: usize) -> Self {
        let tls = client_config(&camera.identity, &world.anchor().roots).expect("the camera's certificate can be presented");
        let (mut signed, mut bodies) = (Vec::new(), Vec::new());
        let mut plaintext = vec![0; FRAGMENT_BYTES];
        fill_random(&mut plaintext);
        for slot in 0..segments {
            let (segment, ciphertext) = camera.segment(slot as u32, &[plaintext.as_slice(); FRAGMENTS]);
            let statement = camera.sign(&camera.statement(Body::Segment(segment)));
            (camera.next_seq, camera.prev) = (camera.next_seq + 1, statement.leaf_hash());
            let mut body = intake_prefix(statement.der(), &[]);
            body.extend(ciphertext);
            bodies.push(body.into());
            signed.push(statement);
        }
        Self { certificate: camera.identity.certificate.clone(), tls, signed, bodies }
    }

    /// The camera's side of a connection.
    pub fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// Signed statements, each with its ciphertext.
    pub fn bodies(&self) -> &[Bytes] {
        &self.bodies
    }

    /// Each statement, and its ciphertext, with which its body ends.
    pub fn segments(&self) -> impl Iterator<Item = (&SignedStatement, &[u8])> {
        self.signed.iter().zip(&self.bodies).map(|(signed, body)| {
            let length = signed.statement().body.payload_length() as usize;
            (signed, &body[body.len() - length..])
        })
    }

    /// Whose they are.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// All of them.
    pub fn bytes(&self) -> u64 {
        self.bodies.iter().map(|body| body.len() as u64).sum()
    }

    /// Its number.
    pub fn camera(&self) -> &str {
        self.signed[0].statement().stream.as_str().split('/').nth(1).expect("camera/<id>/<name>/<begun>")
    }

    /// Where the appliance takes one of them.
    pub fn path(&self, number: usize) -> String {
        let statement = self.signed[number].statement();
        format!("/v1/streams/{}/{}", statement.stream, statement.seq)
    }

    /// Each answer is the receipt of what was sent.
    pub fn verify(&self, answers: &[Bytes], log: &LogVerifier) -> Result<(), Failure> {
        if answers.len() != self.signed.len() {
            return Err("an answer is missing".into());
        }
        for (signed, answer) in self.signed.iter().zip(answers) {
            let admitted: Admitted = serde_json::from_slice(answer)?;
            LogProof::parse(&admitted.receipt)?.verify(&signed.leaf_hash(), log)?;
        }
        Ok(())
    }
}
