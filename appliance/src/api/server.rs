//! Listeners and connections: accept, handshake, requests one after the other, an end that the peer hears of.
//!
//! It does not know what is asked for.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use exhibit_pki::Certificate;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::handle::handle;
use super::watched::{Activity, Watched};
use crate::appliance::Appliance;

/// A handshake takes two round trips and 3 ms: who needs longer holds a place that another could have.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// From the end of one answer to the end of the next request's head: a camera sends a segment every few seconds, and connects anew after
/// a pause. It also bounds heads that drip in byte by byte.
const HEAD_MAX: Duration = Duration::from_secs(75);
/// No byte moves in either direction: a peer that is gone without saying so, or does not read what it asked for.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(90);
/// After a refusal with unread bytes under way, closing at once would make the kernel reset the connection and with it lose the answer.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// See above: a segment may be under way.
const LINGER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A request line and headers: paths have at most 300 bytes, and our clients send four headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// hyper's buffer, which holds the head and pieces of the body.
const BUFFER_BYTES: usize = 64 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 32;
/// When the process has no file descriptors left, accepting fails until a connection closes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of an intake connection: TLS has verified the chain, and that the peer has the key.
#[derive(Debug)]
pub struct Peer {
    /// The certificate.
    pub certificate: Certificate,
    /// What was sent above it, as far as it is of our profiles.
    pub chain: Vec<Certificate>,
}

/// Which listener a connection came in by.
#[derive(Clone, Debug)]
pub enum Listener {
    /// With a client certificate, or the reason why it is none of ours.
    Intake(Result<Arc<Peer>, String>),
    /// Without.
    Public,
}

/// A listener that is bound.
pub struct Bound {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    is_intake: bool,
    connections: Arc<Semaphore>,
}

impl Bound {
    /// Binds to an address; port 0 takes a free one.
    pub async fn new(
        address: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        is_intake: bool,
        connections_max: usize,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(tls), is_intake, connections: Arc::new(Semaphore::new(connections_max)) })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `drain` says otherwise, then lets the requests that have begun end.
    pub async fn serve(self, appliance: Arc<Appliance>, mut drain: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        loop {
            // A place first, so that what can not be served waits in the kernel's queue.
            let permit = self.connections.clone().acquire_owned();
            let accepted = tokio::select! {
                _ = drain.wait_for(|drain| *drain) => break,
                Some(_) = running.join_next() => continue,
                accepted = async { (permit.await, self.listener.accept().await) } => accepted,
            };
            let (Ok(permit), Ok((stream, address))) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (appliance, acceptor, drain, is_intake) = (appliance.clone(), self.acceptor.clone(), drain.clone(), self.is_intake);
            running.spawn(async move {
                let _permit = permit;
                connection(appliance, acceptor, stream, address, is_intake, drain).await;
            });
        }
        drop(self.listener);
        while running.join_next().await.is_some() {}
    }
}

async fn connection(
    appliance: Arc<Appliance>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    is_intake: bool,
    mut drain: watch::Receiver<bool>,
) {
    // Answers are small and awaited.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "a connection could not be set up");
        return;
    }
    let tls = match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tracing::info!(%address, error = ?error.to_string(), "a handshake was refused");
            return;
        }
        Err(_) => {
            tracing::info!(%address, "a handshake took too long");
            return;
        }
    };
    let listener = if is_intake { Listener::Intake(peer(&tls)) } else { Listener::Public };
    if let Listener::Intake(Ok(peer)) = &listener {
        tracing::debug!(%address, peer = ?peer.certificate.common_name(), "connected");
    }
    let activity = Activity::new();
    let service = service_fn({
        let listener = listener.clone();
        move |request| {
            let (appliance, listener) = (appliance.clone(), listener.clone());
            // Boxed, since hyper gives a connection back only if its service can be moved.
            Box::pin(async move { Ok::<_, Infallible>(handle(appliance, &listener, request).await) })
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Watched::new(tls, activity.clone())), service);
    let mut is_draining = false;
    {
        let mut ceased = pin!(activity.ceased(CONNECTION_IDLE_MAX));
        let mut draining = pin!(drain.wait_for(|drain| *drain));
        loop {
            tokio::select! {
                ended = poll_fn(|context| connection.poll_without_shutdown(context)) => {
                    if let Err(error) = ended {
                        tracing::debug!(%address, error = ?error.to_string(), "a connection broke");
                    }
                    break;
                }
                () = &mut ceased => {
                    tracing::debug!(%address, "a connection fell silent");
                    return;
                }
                _ = &mut draining, if !is_draining => {
                    is_draining = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }
    linger(connection.into_parts().io.into_inner().into_inner()).await;
}

/// Ends our side, and reads what is still under way until the peer has ended its own, so that it reads our answer.
async fn linger(mut tls: TlsStream<TcpStream>) {
    let lingering = async {
        tls.shutdown().await?;
        // Not decrypted any more: it is only taken off the wire.
        let (stream, _) = tls.get_mut();
        let mut read = stream.take(LINGER_BYTES_MAX);
        tokio::io::copy(&mut read, &mut tokio::io::sink()).await
    };
    // Whether the peer was still there changes nothing.
    let _ = timeout(LINGER_MAX, lingering).await;
}

fn peer(tls: &TlsStream<TcpStream>) -> Result<Arc<Peer>, String> {
    let (_, session) = tls.get_ref();
    let certificates = session.peer_certificates().unwrap_or_default();
    let (leaf, above) = certificates.split_first().ok_or("there is no client certificate")?;
    let certificate = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let chain = above.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    Ok(Arc::new(Peer { certificate, chain }))
}
