//! HTTP to a witness or a timestamping authority: one POST at a time on a kept connection. Every wait and every answer is bounded.
//!
//! It does not know what is said, and nothing hangs on whom it reaches: every answer is signed, and verified by whoever asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
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

/// Somebody who is reached by a URL.
pub(super) struct Peer {
    authority: String,
    host: String,
    port: u16,
    prefix: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    live: Option<SendRequest<Full<Bytes>>>,
}

/// An answer.
pub(super) struct Answer {
    pub status: u16,
    pub body: Bytes,
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

    /// Posts to `<prefix>/<path>`, or to the prefix itself where `path` is empty; an answer of more than `answer_bytes_max` is none.
    pub async fn post(&mut self, path: &str, content_type: &'static str, body: Bytes, answer_bytes_max: usize) -> Result<Answer, String> {
        // A kept connection may have been closed by the other side meanwhile: then once more, on a new one.
        if let Some(live) = self.live.take().filter(|live| !live.is_closed())
            && let Ok(answer) = self.post_on(live, path, content_type, body.clone(), answer_bytes_max).await
        {
            return Ok(answer);
        }
        let connected = timeout(CONNECT_MAX, self.connect()).await.map_err(|_| "no connection in time".to_owned())?;
        self.post_on(connected?, path, content_type, body, answer_bytes_max).await
    }

    async fn post_on(
        &mut self,
        mut live: SendRequest<Full<Bytes>>,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        answer_bytes_max: usize,
    ) -> Result<Answer, String> {
        let prefix = if path.is_empty() { &self.prefix } else { self.prefix.trim_end_matches('/') };
        let request = Request::post(format!("{prefix}{path}")).header(HOST, &self.authority).header(CONTENT_TYPE, content_type);
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let asking = async {
            live.ready().await.map_err(|error| error.to_string())?;
            let answer = live.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), answer_bytes_max).collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Answer { status, body: body.to_bytes() })
        };
        let answer = timeout(ANSWER_MAX, asking).await.map_err(|_| "no answer in time".to_owned())??;
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
