//! Listeners and connections: accept, handshake, requests one after the other, an end that the peer hears of.
//!
//! It does not know what is asked for.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use exhibit_evidence::body::BanReason;
use exhibit_pki::Certificate;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::{self, Answer};
use super::gate::{Gate, Network, Visit};
use super::handle::handle;
use super::problem::{Kind, Refusal};
use super::watched::{Activity, Watched};
use crate::appliance::Appliance;
use crate::bans::Banned;
use crate::guard::Guard;
use crate::limits::Limits;

/// After a refusal with unread bytes under way, closing at once would make the kernel reset the connection and with it lose the answer.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// See above: a segment may be under way.
const LINGER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// See `handshakes_of`.
const BANNED_HANDSHAKES: usize = 4;
/// hyper's buffer, which holds the head and pieces of the body.
const BUFFER_BYTES: usize = 64 * 1024;
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
    limits: Limits,
    gate: Arc<Gate>,
}

impl Bound {
    /// Binds to an address; port 0 takes a free one.
    pub async fn new(
        address: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        is_intake: bool,
        connections_max: usize,
        limits: &Limits,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let connections = Arc::new(Semaphore::new(connections_max));
        // On the intake a connection is an identity's once it has shaken hands, and the cameras of a site share an address.
        let network_connections = if is_intake { usize::MAX } else { limits.network_connections };
        let limits = Limits { network_connections, ..limits.clone() };
        let gate = Arc::new(Gate::new(limits.clone()));
        Ok(Self { listener, acceptor: TlsAcceptor::from(tls), is_intake, connections, limits, gate })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How many connections of a network may be in their handshake. Of one that is banned a few on the intake, for those in it who have a certificate:
    /// a stranger must not shut out the cameras behind the same address.
    fn handshakes_of(&self, network: Network, appliance: &Appliance) -> usize {
        let who = Banned::Network(network.to_string());
        match (appliance.guard.until(&who, appliance.now()), self.is_intake) {
            (None, _) => self.limits.network_handshakes,
            (Some(_), true) => BANNED_HANDSHAKES.min(self.limits.network_handshakes),
            (Some(_), false) => 0,
        }
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
            let network = Network::of(address.ip());
            // One more than a network may have is told nothing: that would cost what its limit saves.
            let Some(visit) = self.gate.enter(network, self.handshakes_of(network, &appliance)) else {
                tracing::debug!(%network, "too many connections of this network, or in their handshake");
                continue;
            };
            let connection = Connection {
                appliance: appliance.clone(),
                gate: self.gate.clone(),
                limits: self.limits.clone(),
                address,
                is_intake: self.is_intake,
                visit,
            };
            let (acceptor, drain) = (self.acceptor.clone(), drain.clone());
            running.spawn(async move {
                let _permit = permit;
                connection.serve(acceptor, stream, drain).await;
            });
        }
        drop(self.listener);
        while running.join_next().await.is_some() {}
    }
}

/// One that was accepted.
struct Connection {
    appliance: Arc<Appliance>,
    gate: Arc<Gate>,
    limits: Limits,
    address: SocketAddr,
    is_intake: bool,
    visit: Visit,
}

impl Connection {
    async fn serve(mut self, acceptor: TlsAcceptor, stream: TcpStream, drain: watch::Receiver<bool>) {
        let address = self.address;
        // Answers are small and awaited.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "a connection could not be set up");
            return;
        }
        let handshake_max = Duration::from_secs(self.limits.handshake_s);
        let tls = match timeout(handshake_max, acceptor.accept(stream)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                tracing::info!(%address, error = ?error.to_string(), "a handshake was refused");
                // What TLS refuses. A link that breaks, or falls silent, is nobody's attempt.
                if error.kind() == std::io::ErrorKind::InvalidData {
                    let who = Banned::Network(self.visit.network().to_string());
                    Guard::attempted(&self.appliance, &who, BanReason::Unauthorised);
                }
                return;
            }
            Err(_) => {
                tracing::info!(%address, "a handshake took too long");
                return;
            }
        };
        self.visit.shaken();
        let listener = if self.is_intake { Listener::Intake(peer(&tls)) } else { Listener::Public };
        let identity = match &listener {
            Listener::Intake(Ok(peer)) => bearer(&peer.certificate),
            _ => None,
        };
        tracing::debug!(%address, ?identity, "connected");
        let end = identity.as_deref().map(|identity| self.visit.identify(identity)).unwrap_or_default();
        let who = identity.map_or_else(|| Banned::Network(self.visit.network().to_string()), Banned::Identity);
        self.requests(tls, listener, who, &end, drain).await;
    }

    /// Serves requests until one side has enough.
    async fn requests(&self, tls: TlsStream<TcpStream>, listener: Listener, who: Banned, end: &Notify, mut drain: watch::Receiver<bool>) {
        let (address, limits) = (self.address, &self.limits);
        let activity = Activity::new();
        let asked = Arc::new((self.appliance.clone(), self.gate.clone(), listener, who));
        let service_asked = asked.clone();
        let service = service_fn(move |request| {
            let asked = service_asked.clone();
            // Boxed, since hyper gives a connection back only if its service can be moved.
            Box::pin(async move {
                let (appliance, gate, listener, who) = &*asked;
                Ok::<_, Infallible>(answered(appliance, gate, listener, who, request).await)
            })
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(limits.head_s))
            .max_headers(limits.headers)
            .max_header_size(limits.head_bytes)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(Watched::new(tls, activity.clone())), service);
        let mut is_draining = false;
        {
            let mut ceased = pin!(activity.ceased(Duration::from_secs(limits.idle_s)));
            let mut draining = pin!(drain.wait_for(|drain| *drain));
            loop {
                tokio::select! {
                    ended = poll_fn(|context| connection.poll_without_shutdown(context)) => {
                        if let Err(error) = ended {
                            tracing::debug!(%address, error = ?error.to_string(), "a connection broke");
                            if error.is_parse() {
                                Guard::attempted(&self.appliance, &asked.3, BanReason::Malformed);
                            }
                        }
                        break;
                    }
                    () = &mut ceased => {
                        tracing::debug!(%address, "a connection fell silent");
                        return;
                    }
                    () = end.notified() => {
                        tracing::debug!(%address, "an identity's oldest connection makes room for its newest");
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
}

/// The answer to a request, if whoever asks is not banned and may ask so often. Wrong attempts are answered the later, the more there were.
async fn answered(appliance: &Arc<Appliance>, gate: &Gate, listener: &Listener, who: &Banned, request: Request<Incoming>) -> Answer {
    let has_body = !request.body().is_end_stream();
    if let Some(until) = appliance.guard.until(who, appliance.now()) {
        return answer::refusal(&Refusal::new(Kind::Banned, format!("after too many wrong attempts, until {until}")), has_body);
    }
    let answer = match gate.ask(who.subject(), Instant::now().into_std()) {
        Ok(()) => handle(appliance.clone(), listener, request).await,
        Err(_) => {
            let refusal = Refusal::new(Kind::Rate, "so many requests a second are too many: wait as long as Retry-After says");
            answer::refusal(&refusal, has_body)
        }
    };
    if let Some(reason) = answer.extensions().get::<Kind>().and_then(|kind| kind.attempt()) {
        sleep(Guard::attempted(appliance, who, reason)).await;
    }
    answer
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

/// Who is limited and banned: the certificate, by name and fingerprint. Whether it counts is judged later, so that another of the same name (a thief's,
/// which is revoked; one of another root) must not speak for it.
fn bearer(certificate: &Certificate) -> Option<String> {
    certificate.identity().map(|identity| format!("{}#{}", identity.subject, hex::encode(certificate.fingerprint())))
}

fn peer(tls: &TlsStream<TcpStream>) -> Result<Arc<Peer>, String> {
    let (_, session) = tls.get_ref();
    let certificates = session.peer_certificates().unwrap_or_default();
    let (leaf, above) = certificates.split_first().ok_or("there is no client certificate")?;
    let certificate = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let chain = above.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    Ok(Arc::new(Peer { certificate, chain }))
}
