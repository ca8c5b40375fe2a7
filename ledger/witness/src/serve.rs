//! Listens, with or without TLS, and ends when asked to.
//!
//! It does not know what is asked for.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::api::{Service, handle};
use crate::config::{Config, Tls};

/// A handshake takes two round trips and 3 ms: who needs longer holds a place that another could have.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// From an answer to the end of the next request's head: logs come back every few seconds. It also bounds heads that drip in byte by byte.
const HEAD_MAX: Duration = Duration::from_secs(75);
/// Nobody keeps a connection for longer, whether or not it reads its answers; who wants more connects again.
const CONNECTION_MAX: Duration = Duration::from_secs(600);
/// A request line and headers: paths have 80 bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// hyper's buffer, which holds the head and pieces of the body.
const BUFFER_BYTES: usize = 32 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 32;
/// When the process has no file descriptors left, accepting fails until a connection closes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A write that hangs in a broken disk is not waited for.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// A checkpoint is judged in 2 ms and synced in some: more at a time wait for each other.
const BLOCKING_THREADS_MAX: usize = 16;

/// Why nobody is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file for TLS.
    #[error("{file}: {reason}")]
    Tls {
        /// Which.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Threads or signals.
    #[error("the system refused threads or signals: {0}")]
    System(std::io::Error),
}

/// Serves until SIGTERM or SIGINT. `ready` is told where.
pub fn serve(service: Service, config: &Config, state: &Path, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let acceptor = config.tls.as_ref().map(|tls| acceptor(tls, state)).transpose()?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build().map_err(ServeError::System)?;
    let drain_max = Duration::from_secs(config.drain_s);
    let served = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::System)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::System)?;
        let failed = |error| ServeError::Listen(config.listen, error);
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        ready(listener.local_addr().map_err(failed)?);
        let (drain, draining) = watch::channel(false);
        let mut listening = tokio::spawn(listen(Arc::new(service), listener, acceptor, config.connections_max, draining));
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = &mut listening => return Ok(()),
        }
        tracing::info!("ending");
        drain.send_replace(true);
        if timeout(drain_max, listening).await.is_err() {
            tracing::warn!("some connections did not end in time and were cut off");
        }
        Ok(())
    });
    // What is being written is finished or dropped; nothing that was answered hangs on it.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    served
}

async fn listen(
    service: Arc<Service>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    connections_max: usize,
    mut drain: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(connections_max));
    let mut running = JoinSet::new();
    loop {
        // A place first, so that what can not be served waits in the kernel's queue.
        let permit = connections.clone().acquire_owned();
        let accepted = tokio::select! {
            _ = drain.wait_for(|drain| *drain) => break,
            Some(_) = running.join_next() => continue,
            accepted = async { (permit.await, listener.accept().await) } => accepted,
        };
        let (Ok(permit), Ok((stream, address))) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (service, acceptor, drain) = (service.clone(), acceptor.clone(), drain.clone());
        running.spawn(async move {
            let _permit = permit;
            let served = connection(service, acceptor, stream, address.ip(), drain);
            if timeout(CONNECTION_MAX, served).await.is_err() {
                tracing::debug!(%address, "a connection had its time");
            }
        });
    }
    drop(listener);
    while running.join_next().await.is_some() {}
}

async fn connection(service: Arc<Service>, acceptor: Option<TlsAcceptor>, stream: TcpStream, from: IpAddr, drain: watch::Receiver<bool>) {
    // Answers are small and awaited; where it can not be set they are slow.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => requests(service, stream, from, drain).await,
        Some(acceptor) => match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
            Ok(Ok(tls)) => requests(service, tls, from, drain).await,
            Ok(Err(error)) => tracing::debug!(error = ?error.to_string(), "a handshake was refused"),
            Err(_) => tracing::debug!("a handshake took too long"),
        },
    }
}

async fn requests(service: Arc<Service>, stream: impl AsyncRead + AsyncWrite + Unpin, from: IpAddr, mut drain: watch::Receiver<bool>) {
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(handle(service, from, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    // Who sends the word can not end before the listener, which waits for us.
    let mut draining = pin!(async { drain.wait_for(|drain| *drain).await.is_ok() });
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = &mut draining => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = ?error.to_string(), "a connection broke");
    }
}

/// TLS 1.3; witnesses are read by strangers, so all of its suites.
fn acceptor(tls: &Tls, state: &Path) -> Result<TlsAcceptor, ServeError> {
    let (certificate, key) = (state.join(&tls.certificate), state.join(&tls.key));
    let wrong = |path: &Path, reason: &dyn ToString| ServeError::Tls { file: path.display().to_string(), reason: reason.to_string() };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&certificate).map_err(|error| wrong(&certificate, &error))?.collect();
    let chain = chain.map_err(|error| wrong(&certificate, &error))?;
    let key_der = PrivateKeyDer::from_pem_file(&key).map_err(|error| wrong(&key, &error))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&version::TLS13]).map_err(|error| wrong(&certificate, &error))?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key_der).map_err(|error| wrong(&certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
