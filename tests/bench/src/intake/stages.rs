//! What each stage of an upload costs when it is measured alone: the processor's time, of which an intake can at best be made up.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use exhibit_e2e::world::World;
use exhibit_evidence::segment::CiphertextChecker;
use exhibit_evidence::{Body, SignedStatement};
use exhibit_ledger::Ledger;
use exhibit_load::process::{cpu_seconds, own};
use exhibit_pki::AwsLc;
use http_body_util::{BodyExt, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::fleet::CameraLoad;
use crate::Failure;
use crate::entries::{Camera, Load, options};

/// CPU seconds for all segments of a round.
#[derive(Debug)]
pub struct Stages {
    /// The client sends and a server of the same libraries throws away: TLS, HTTP, and the kernel's part of both.
    pub transport: f64,
    /// SHA-256 of what arrives.
    pub hash: f64,
    /// The statement is parsed and its P-384 signature verified.
    pub verify: f64,
    /// A file for each segment, synced, named, and its folder synced.
    pub write: f64,
    /// The ledger, with as many entries under way as there are connections.
    pub ledger: f64,
}

impl Stages {
    /// Measures them one after the other. What is written below `folder` is left there.
    pub fn measure(folder: &Path, runtime: &Runtime, world: &World, loads: &[CameraLoad]) -> Result<Self, Failure> {
        let segments = || loads.iter().flat_map(CameraLoad::segments);
        let files = folder.join("files");
        fs::create_dir_all(&files)?;
        Ok(Self {
            transport: cpu_seconds_of(|| runtime.block_on(discard(world, loads)))?,
            hash: cpu_seconds_of(|| segments().try_for_each(|(signed, payload)| hash(signed, payload)))?,
            verify: cpu_seconds_of(|| {
                loads.iter().try_for_each(|load| {
                    let certificate = load.certificate();
                    load.segments().try_for_each(|(signed, _)| {
                        SignedStatement::parse(signed.der())?.verify(certificate, &AwsLc)?;
                        Ok(())
                    })
                })
            })?,
            write: cpu_seconds_of(|| (0_usize..).zip(segments()).try_for_each(|(number, (_, payload))| write(&files, number, payload)))?,
            ledger: {
                let ledger = Ledger::open(&folder.join("ledger"), options()?)?;
                let candidates: Vec<_> = Camera::fleet().take(segments().count()).collect();
                cpu_seconds_of(|| Load::with_at_most(ledger, loads.len()).all(candidates))?
            },
        })
    }

    /// All of them.
    pub fn sum(&self) -> f64 {
        self.transport + self.hash + self.verify + self.write + self.ledger
    }
}

/// User and system time of this process while something is done.
fn cpu_seconds_of(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let before = cpu_seconds(own());
    work()?;
    Ok(cpu_seconds(own()) - before)
}

/// Every load is sent to a server that reads and forgets it.
async fn discard(world: &World, loads: &[CameraLoad]) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let acceptor = TlsAcceptor::from(server_config(world)?);
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(forget));
                // It ends with the client's connection.
                let _ = serving.await;
            });
        }
    });
    let sent = super::upload(&address, loads, CameraLoad::path).await;
    server.abort();
    sent.map(drop)
}

async fn forget(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(Response::new(Empty::new()))
}

/// As the appliance has it: its certificate, its one cipher suite, and certificates for clients.
fn server_config(world: &World) -> Result<Arc<ServerConfig>, Failure> {
    let provider = Arc::new(exhibit_client::crypto_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(world.pki().join("root.pem"))?)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let mut chain = vec![CertificateDer::from_pem_file(world.state().join("appliance.pem"))?];
    for certificate in CertificateDer::pem_file_iter(world.pki().join("chain.pem"))? {
        chain.push(certificate?);
    }
    let key = PrivateKeyDer::from_pem_file(world.state().join("appliance.key"))?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(Arc::new(builder.with_client_cert_verifier(clients).with_single_cert(chain, key)?))
}

fn hash(signed: &SignedStatement, payload: &[u8]) -> Result<(), Failure> {
    let Body::Segment(segment) = &signed.statement().body else { return Err("a load is made of segments".into()) };
    let mut checker = CiphertextChecker::new(segment);
    checker.update(payload);
    checker.finish()?;
    Ok(())
}

fn write(folder: &Path, number: usize, payload: &[u8]) -> Result<(), Failure> {
    let aside = folder.join("aside");
    let mut file = File::create(&aside)?;
    file.write_all(payload)?;
    file.sync_data()?;
    fs::rename(aside, folder.join(number.to_string()))?;
    Ok(File::open(folder)?.sync_all()?)
}
