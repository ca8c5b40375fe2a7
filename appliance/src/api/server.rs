//! Listeners and connections: accept, handshake, requests one after the other, an end that the peer hears of.
//!
//! It does not know what is asked for.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use exhibit_evidence::body::BanReason;
use exhibit_pki::Certificate;
use exhibit_program::logging::SECURITY;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::{self, Answer};
use super::gate::{Gate, Visit};
use super::handle::handle;
use super::handshakes::Terms;
use super::problem::{Kind, Refusal};
use super::watched::{Activity, Watched};
use crate::appliance::Appliance;
use crate::bans::Banned;
use crate::guard::Guard;
use crate::limits::Limits;
use crate::metrics::Handshake;
use crate::network::Network;

/// After a refusal with unread bytes under way, closing at once would make the kernel reset the connection and with it lose the answer.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// See above: a segment may be under way.
const LINGER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// See `terms_of`. The oldest makes room here too.
const BANNED_HANDSHAKES: usize = 4;
/// See `terms_of`: a hundredth of a core.
const BANNED_HANDSHAKES_PER_S: u32 = 4;
/// Instead of a name, which has other characters.
const NAMELESS: &str = "?";
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

impl Peer {
    /// Under whose name its uploads are kept: under two roots there may be two cameras 102.
    pub fn sender(&self) -> Result<String, Refusal> {
        let identity = self.certificate.identity().ok_or_else(|| Refusal::new(Kind::Certificate, "the certificate names nobody"))?;
        Ok(identity.to_string())
    }
}

/// Which listener a connection came in by.
#[derive(Clone, Debug)]
pub enum Listener {
    /// With a client certificate, or the reason why it is none of ours.
    Intake(Result<Arc<Peer>, String>),
    /// Without.
    Public,
}

/// What a listener goes by, and can be changed while it serves: for connections that come, and the requests of those that are here.
pub struct Rules {
    acceptor: RwLock<TlsAcceptor>,
    gate: Arc<Gate>,
    is_intake: bool,
}

impl Rules {
    fn new(tls: Arc<rustls::ServerConfig>, is_intake: bool, limits: &Limits) -> Self {
        let gate = Arc::new(Gate::new(limits_of(is_intake, limits)));
        Self { acceptor: RwLock::new(TlsAcceptor::from(tls)), gate, is_intake }
    }

    /// From now on these hold.
    pub fn change(&self, tls: Arc<rustls::ServerConfig>, limits: &Limits) {
        *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = TlsAcceptor::from(tls);
        self.gate.set_limits(limits_of(self.is_intake, limits));
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// On the intake a connection is an identity's once it has shaken hands, and the cameras of a site share an address.
fn limits_of(is_intake: bool, limits: &Limits) -> Limits {
    let network_connections = if is_intake { usize::MAX } else { limits.network_connections };
    Limits { network_connections, ..limits.clone() }
}

/// A listener that is bound.
pub struct Bound {
    listener: TcpListener,
    rules: Arc<Rules>,
    connections: Arc<Semaphore>,
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
        Ok(Self { listener, rules: Arc::new(Rules::new(tls, is_intake, limits)), connections })
    }

    /// What it goes by.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How many connections of a network may be in their handshake, and be begun in a second. Of one that is banned a few on the intake, for those in it
    /// who have a certificate: a stranger must not shut out the cameras behind the same address. `None` where nobody is let in.
    fn terms_of(&self, network: Network, appliance: &Appliance) -> Option<Terms> {
        let terms = Terms::of(&self.rules.gate.limits());
        match (appliance.guard.until(&Banned::Network(network), appliance.now()), self.rules.is_intake) {
            (None, _) => Some(terms),
            (Some(_), true) => {
                Some(Terms { network: BANNED_HANDSHAKES.min(terms.network), per_s: BANNED_HANDSHAKES_PER_S.min(terms.per_s), ..terms })
            }
            (Some(_), false) => None,
        }
    }

    /// Serves until `drain` says otherwise, then lets the requests that have begun end.
    pub async fn serve(self, appliance: Arc<Appliance>, mut drain: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = drain.wait_for(|drain| *drain) => break,
                Some(_) = running.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, address)) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let network = Network::of(address.ip());
            let terms = self.terms_of(network, &appliance);
            let entered = terms.and_then(|terms| Some((self.rules.gate.enter(network, &terms, Instant::now().into_std())?, terms)));
            // One more than there may be is told nothing: that would cost what its limit saves.
            let Some((visit, terms)) = entered else {
                tracing::debug!(%network, "too many handshakes have just begun, or the network is banned");
                appliance.metrics.shaken(self.rules.is_intake, Handshake::NotLetIn);
                continue;
            };
            let connection = Connection {
                appliance: appliance.clone(),
                gate: self.rules.gate.clone(),
                limits: self.rules.gate.limits(),
                connections: self.connections.clone(),
                address,
                is_intake: self.rules.is_intake,
                terms,
                visit,
            };
            running.spawn(connection.serve(self.rules.acceptor(), stream, drain.clone()));
        }
        drop(self.listener);
        while running.join_next().await.is_some() {}
    }
}

/// One that was accepted.
struct Connection {
    appliance: Arc<Appliance>,
    gate: Arc<Gate>,
    limits: Arc<Limits>,
    connections: Arc<Semaphore>,
    address: SocketAddr,
    is_intake: bool,
    terms: Terms,
    visit: Visit,
}

/// What a handshake brings.
struct Shaken {
    tls: TlsStream<TcpStream>,
    listener: Listener,
    who: Banned,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(mut self, acceptor: TlsAcceptor, stream: TcpStream, drain: watch::Receiver<bool>) {
        let (address, end) = (self.address, self.visit.end());
        // Answers are small and awaited.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "a connection could not be set up");
            return;
        }
        let handshake_max = Duration::from_secs(self.limits.handshake_s);
        let shaken = tokio::select! {
            shaken = timeout(handshake_max, self.shake_hands(acceptor, stream)) => shaken,
            () = end.notified() => {
                tracing::debug!(%address, "a handshake makes room for a newer one");
                self.appliance.metrics.shaken(self.is_intake, Handshake::GivenUp);
                return;
            }
        };
        let shaken = match shaken {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => {
                self.appliance.metrics.shaken(self.is_intake, Handshake::Refused);
                tracing::info!(target: SECURITY, %address, stranger = true, error = ?error.to_string(), "a handshake was refused");
                if is_attempt(&error) {
                    Guard::attempted(&self.appliance, &Banned::Network(self.visit.network()), BanReason::Unauthorised);
                }
                return;
            }
            Err(_) => {
                tracing::info!(target: SECURITY, %address, stranger = true, "a handshake took too long");
                self.appliance.metrics.shaken(self.is_intake, Handshake::GivenUp);
                return;
            }
        };
        if !self.visit.shaken() {
            tracing::debug!(%address, "too many connections of this network");
            self.appliance.metrics.shaken(self.is_intake, Handshake::NotLetIn);
            return;
        }
        tracing::debug!(%address, who = ?shaken.who.subject(), "connected");
        self.appliance.metrics.shaken(self.is_intake, Handshake::Done);
        let _open = self.appliance.metrics.opened(self.is_intake);
        self.requests(shaken, &end, drain).await;
    }

    /// A handshake, from the first byte on, and a place among the connections.
    async fn shake_hands(&mut self, acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<Shaken> {
        // Who says nothing costs nothing.
        stream.readable().await?;
        self.visit.spoke();
        while let Err(wait) = self.gate.begin(self.visit.network(), &self.terms, Instant::now().into_std()) {
            sleep(wait).await;
        }
        let tls = acceptor.accept(stream).await?;
        let listener = if self.is_intake { Listener::Intake(peer(&tls)) } else { Listener::Public };
        let who = if self.is_intake { Banned::Identity(bearer(&tls, &listener)) } else { Banned::Network(self.visit.network()) };
        if let Banned::Identity(certificate) = &who {
            // Its oldest connection may have the place that it waits for.
            self.visit.identify(certificate);
        }
        let place = self.connections.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        Ok(Shaken { tls, listener, who, _place: place })
    }

    /// Serves requests until one side has enough.
    async fn requests(&self, shaken: Shaken, end: &Notify, mut drain: watch::Receiver<bool>) {
        let (address, limits) = (self.address, &self.limits);
        let Shaken { tls, listener, who, _place } = shaken;
        let activity = Activity::new();
        let asked = Arc::new((self.appliance.clone(), self.gate.clone(), listener, who));
        let service_asked = asked.clone();
        let answering = activity.clone();
        let service = service_fn(move |request| {
            let (asked, answering) = (service_asked.clone(), answering.clone());
            // Boxed, since hyper gives a connection back only if its service can be moved.
            Box::pin(async move {
                let (appliance, gate, listener, who) = &*asked;
                let began = Instant::now();
                let answer = answered(appliance, gate, listener, who, request).await;
                let refusal = answer.extensions().get::<Kind>().copied();
                let is_intake = matches!(listener, Listener::Intake(_));
                appliance.metrics.answered(is_intake, answer.status().as_u16(), refusal, began.elapsed());
                answering.answers();
                Ok::<_, Infallible>(answer::for_browsers(answer))
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
            let mut lagged = pin!(activity.lagged(limits.body_pace()));
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
                    () = &mut lagged => {
                        tracing::debug!(%address, "an answer is read too slowly");
                        return;
                    }
                    () = end.notified() => {
                        tracing::debug!(%address, "a certificate's oldest connection makes room for its newest");
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
    let now = appliance.now();
    if let Some(until) = appliance.guard.until(who, now) {
        let refusal = Refusal::new(Kind::Banned, format!("after too many wrong attempts, until {until}"));
        let left = Duration::from_millis(until.unix_ms().saturating_sub(now.unix_ms()));
        return answer::refusal(&refusal.for_now(left), has_body);
    }
    let path = request.uri().path().to_owned();
    let answer = match gate.ask(&who.subject(), Instant::now().into_std()) {
        Ok(wait) => {
            sleep(wait).await;
            handle(appliance.clone(), listener, who, request).await
        }
        Err(wait) => {
            let refusal = Refusal::new(Kind::Rate, "so many requests a second are too many: wait as long as Retry-After says");
            answer::refusal(&refusal.for_now(wait), has_body)
        }
    };
    if let Some((kind, reason)) = answer.extensions().get::<Kind>().and_then(|kind| Some((kind, kind.attempt()?))) {
        let stranger = who.is_stranger();
        tracing::info!(target: SECURITY, by = ?who.subject(), stranger, ?kind, ?path, "a wrong attempt");
        sleep(Guard::attempted(appliance, who, reason)).await;
    }
    answer
}

/// Whether a handshake failed by what the peer said: a link that breaks, or falls silent, is nobody's attempt, and neither is a peer that does not
/// believe *us*, whose alert comes before the handshake ends.
fn is_attempt(error: &std::io::Error) -> bool {
    let said = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    said.is_some_and(|error| !matches!(error, rustls::Error::AlertReceived(_)))
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
/// which is revoked; one of another root) must not speak for it. One that leads to a root and is none of our profiles has no name.
fn bearer(tls: &TlsStream<TcpStream>, listener: &Listener) -> String {
    let identity = match listener {
        Listener::Intake(Ok(peer)) => peer.certificate.identity(),
        _ => None,
    };
    let name = identity.map_or_else(|| NAMELESS.to_owned(), |identity| identity.subject.to_string());
    let leaf = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let fingerprint = Sha256::digest(leaf.map_or(&[][..], AsRef::as_ref));
    format!("{name}#{}", hex::encode(fingerprint))
}

fn peer(tls: &TlsStream<TcpStream>) -> Result<Arc<Peer>, String> {
    let (_, session) = tls.get_ref();
    let certificates = session.peer_certificates().unwrap_or_default();
    let (leaf, above) = certificates.split_first().ok_or("there is no client certificate")?;
    let certificate = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let chain = above.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    Ok(Arc::new(Peer { certificate, chain }))
}
