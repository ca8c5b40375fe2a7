//! HTTP to a witness, a mirror or a timestamping authority: one request at a time on a kept connection. Every wait and every answer is bounded.
//!
//! It does not know what is said, and nothing hangs on whom it reaches: every answer is signed, and verified by whoever asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A host that is up accepts at once, and two round trips make a handshake.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A witness verifies, syncs and signs in milliseconds; a busy disk takes seconds.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// What is got may be a bundle of 16 MiB, on a link of 2.3 Mbit/s.
const GET_MAX: Duration = Duration::from_secs(60);

/// Somebody who is reached by a URL.
pub(crate) struct Peer {
    authority: String,
    host: String,
    port: u16,
    prefix: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    live: Option<SendRequest<Full<Bytes>>>,
}

/// An answer.
pub(crate) struct Answer {
    pub status: u16,
    pub body: Bytes,
}

/// What is posted.
pub(crate) struct Post {
    /// Below the prefix; the prefix itself where it is empty.
    pub path: &'static str,
    pub content_type: &'static str,
    /// Whether `body` is compressed.
    pub is_gzip: bool,
    pub body: Bytes,
    /// An answer of more is none.
    pub answer_bytes_max: usize,
    /// How long sending and answering may take.
    pub wait_max: Duration,
}

impl Post {
    pub fn new(path: &'static str, content_type: &'static str, body: impl Into<Bytes>, answer_bytes_max: usize) -> Self {
        Self { path, content_type, is_gzip: false, body: body.into(), answer_bytes_max, wait_max: ANSWER_MAX }
    }
}

/// Certificates of servers that are believed: those of a PEM file, as systems have one.
pub(super) fn tls_config(roots: &Path) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(roots).map_err(|error| format!("{}: {error}", roots.display()))?;
    // A system's file may hold what is of no use here.
    store.add_parsable_certificates(certificates.filter_map(Result::ok));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&version::TLS13]).map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}

impl Peer {
    /// `url` is a prefix: `https://witness.example/` or `http://127.0.0.1:7450`.
    pub fn new(url: &str, roots: &Path) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is not a URL"))?;
        let host = uri.host().ok_or_else(|| format!("{url:?} names no host"))?.trim_matches(['[', ']']).to_owned();
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let name = ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is not a server's name"))?;
                (Some((TlsConnector::from(tls_config(roots)?), name)), 443)
            }
            _ => return Err(format!("{url:?} is neither http nor https")),
        };
        let authority = uri.authority().map_or_else(String::new, ToString::to_string);
        let prefix = uri.path().to_owned();
        Ok(Self { authority, host, port: uri.port_u16().unwrap_or(port), prefix, tls, live: None })
    }

    /// Posts.
    pub async fn post(&mut self, post: Post) -> Result<Answer, String> {
        let path = self.path_of(post.path);
        let request = || {
            let mut request = Request::post(&path).header(HOST, &self.authority).header(CONTENT_TYPE, post.content_type);
            if post.is_gzip {
                request = request.header(CONTENT_ENCODING, "gzip");
            }
            request.body(Full::new(post.body.clone())).map_err(|error| error.to_string())
        };
        let requests = [request()?, request()?];
        self.ask(requests, post.answer_bytes_max, post.wait_max).await
    }

    /// Gets `<prefix>/<path>`; an answer of more than `answer_bytes_max` is none.
    pub async fn get(&mut self, path: &str, answer_bytes_max: usize) -> Result<Answer, String> {
        let path = self.path_of(path);
        let request = || {
            let request = Request::builder().method(Method::GET).uri(&path).header(HOST, &self.authority);
            request.body(Full::default()).map_err(|error| error.to_string())
        };
        let requests = [request()?, request()?];
        self.ask(requests, answer_bytes_max, GET_MAX).await
    }

    fn path_of(&self, path: &str) -> String {
        if path.is_empty() { self.prefix.clone() } else { format!("{}{path}", self.prefix.trim_end_matches('/')) }
    }

    async fn ask(&mut self, [first, again]: [Request<Full<Bytes>>; 2], bytes_max: usize, wait_max: Duration) -> Result<Answer, String> {
        // A kept connection may have been closed by the other side meanwhile: then once more, on a new one.
        if let Some(live) = self.live.take().filter(|live| !live.is_closed())
            && let Ok(answer) = self.ask_on(live, first, bytes_max, wait_max).await
        {
            return Ok(answer);
        }
        let connected = timeout(CONNECT_MAX, self.connect()).await.map_err(|_| "no connection in time".to_owned())?;
        self.ask_on(connected?, again, bytes_max, wait_max).await
    }

    async fn ask_on(
        &mut self,
        mut live: SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
        wait_max: Duration,
    ) -> Result<Answer, String> {
        let asking = async {
            live.ready().await.map_err(|error| error.to_string())?;
            let answer = live.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), bytes_max).collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Answer { status, body: body.to_bytes() })
        };
        let answer = timeout(wait_max, asking).await.map_err(|_| "no answer in time".to_owned())??;
        self.live = Some(live);
        Ok(answer)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        match &self.tls {
            None => begin(TokioIo::new(stream)).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(|error| error.to_string())?;
                begin(TokioIo::new(stream)).await
            }
        }
    }
}

async fn begin<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(stream).await.map_err(|error| error.to_string())?;
    // It ends when the sender is dropped, or the other side closes.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = ?error.to_string(), "a connection broke");
        }
    });
    Ok(sender)
}
