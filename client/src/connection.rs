//! One HTTP/1.1 connection over TLS: made when needed, kept alive, made again when it broke. Every wait is bounded.
//!
//! It does not know what is asked or answered, and verifies nothing but TLS.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    client::conn::http1::SendRequest,
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncSeekExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{ClientError, body::PutBody};

/// A host that is up accepts at once; ten seconds cover a lost SYN and its retries.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Includes a signature of a slow TPM (0.6 s) on a busy machine.
const HANDSHAKE_MAX: Duration = Duration::from_secs(15);
/// From the last byte sent to the answer: the appliance verifies, syncs and signs in milliseconds; a busy disk takes seconds.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// A connection that cancels a request is at its end already.
const END_MAX: Duration = Duration::from_secs(1);
/// A link slower than this cannot carry video; a peer slower than this holds the connection on purpose.
const RATE_MIN_BYTES_PER_S: u64 = 16 * 1024;

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// The body is compressed with gzip: only where that was asked for, or by a server that does not ask (C2SP tlog-tiles).
    pub(crate) gzip: bool,
    /// How far an upload is, where the answer tells (draft-ietf-httpbis-resumable-upload-11).
    pub(crate) upload_offset: Option<u64>,
}

/// What is asked.
pub(crate) enum Question<'a> {
    /// GET of a path.
    Get(&'a str),
    /// The same, perhaps compressed.
    GetPacked(&'a str),
    /// PUT of a prefix and then exactly so many bytes of a file.
    Put { path: &'a str, prefix: Bytes, payload: Option<(&'a Path, u64)> },
    /// HEAD of an upload.
    UploadState(&'a str),
    /// PATCH of an upload, from its offset on: a prefix, and what follows the skipped bytes of a file of so many.
    UploadAppend { path: &'a str, offset: u64, payload: (&'a Path, u64), skipped: u64 },
}

impl Question<'_> {
    /// What was cut off may be gone on with.
    fn is_resumable(&self) -> bool {
        matches!(self, Self::Put { payload: Some(_), .. } | Self::UploadAppend { .. })
    }

    async fn to_request(&self, address: &str) -> Result<Request<PutBody>, ClientError> {
        let (method, path, body) = match self {
            Self::Get(path) | Self::GetPacked(path) => (Method::GET, *path, PutBody::empty()),
            Self::Put { path, prefix, payload } => (Method::PUT, *path, PutBody::new(prefix.clone(), open_payload(*payload, 0).await?)),
            Self::UploadState(path) => (Method::HEAD, *path, PutBody::empty()),
            Self::UploadAppend { path, payload, skipped, .. } => {
                (Method::PATCH, *path, PutBody::new(Bytes::new(), open_payload(Some(*payload), *skipped).await?))
            }
        };
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, address);
        if self.is_resumable() {
            request = request.header(UPLOAD_COMPLETE, "?1").header(INTEROP_VERSION, INTEROP_VERSION_OF_DRAFT_11);
        }
        if let Self::UploadAppend { offset, .. } = self {
            request = request.header(UPLOAD_OFFSET, *offset).header(header::CONTENT_TYPE, "application/partial-upload");
        }
        if self.is_resumable() {
            // hyper says nothing of a body without a byte: what goes on with an upload that has all of them would be refused.
            request = request.header(header::CONTENT_LENGTH, body.size_hint().exact().unwrap_or_default());
        }
        if matches!(self, Self::GetPacked(_)) {
            request = request.header(header::ACCEPT_ENCODING, "gzip, identity");
        }
        request.body(body).map_err(|_| ClientError::Local(format!("{path:?} is not a path")))
    }
}

const UPLOAD_COMPLETE: &str = "upload-complete";
const UPLOAD_OFFSET: &str = "upload-offset";
const INTEROP_VERSION: &str = "upload-draft-interop-version";
const INTEROP_VERSION_OF_DRAFT_11: u64 = 8;

/// A payload of another length than was signed would be refused after it was sent: that is found before. What comes after the skipped bytes.
async fn open_payload(payload: Option<(&Path, u64)>, skipped: u64) -> Result<Option<(File, u64)>, ClientError> {
    let Some((path, length)) = payload else { return Ok(None) };
    let unreadable = |error: io::Error| ClientError::Local(format!("the payload {} cannot be read: {error}", path.display()));
    let mut file = File::open(path).await.map_err(unreadable)?;
    let found = file.metadata().await.map_err(unreadable)?.len();
    if found != length {
        return Err(ClientError::Local(format!("the payload {} has {found} bytes, its statement says {length}", path.display())));
    }
    if skipped > 0 {
        file.seek(io::SeekFrom::Start(skipped)).await.map_err(unreadable)?;
    }
    Ok(Some((file, length.saturating_sub(skipped))))
}

/// A connection, or the will to have one.
pub(crate) struct Connection {
    address: String,
    server_name: ServerName<'static>,
    /// Without it, nothing is encrypted.
    config: Option<Arc<ClientConfig>>,
    answer_max: Duration,
    live: Option<Live>,
}

struct Live {
    sender: SendRequest<PutBody>,
    driver: JoinHandle<hyper::Result<()>>,
    used: bool,
}

impl Live {
    /// Why a request could not even begin: a server that refuses the client's certificate says so after the client believes that it is
    /// connected (RFC 8446 section 4.4.2), and it is the connection that hears it, not the request.
    async fn why_it_ended(&mut self, request: hyper::Error) -> io::Error {
        match timeout(END_MAX, &mut self.driver).await {
            Ok(Ok(Err(ended))) => broken(ended),
            _ => broken(request),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// `address` is `host:port`; `[::1]:8443` for IPv6.
    pub(crate) fn new(address: &str, config: Option<Arc<ClientConfig>>) -> Result<Self, ClientError> {
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let server_name = ServerName::try_from(host.to_owned())
            .map_err(|_| ClientError::Local(format!("{address:?} is not an address: write host:port")))?;
        Ok(Self { address: address.to_owned(), server_name, config, answer_max: ANSWER_MAX, live: None })
    }

    /// Another patience than with the appliance.
    pub(crate) fn with_answer_max(self, answer_max: Duration) -> Self {
        Self { answer_max, ..self }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request and reads the whole answer, at most `limit` bytes of it. It is sent a second time if a kept connection turned out to
    /// be closed: every request of this API may be repeated.
    pub(crate) async fn ask(&mut self, question: &Question<'_>, limit: u64) -> Result<Answer, ClientError> {
        loop {
            let request = question.to_request(&self.address).await?;
            let mut live = self.ready().await?;
            let reused = live.used;
            live.used = true;
            match exchange(&mut live, request, limit, self.answer_max).await {
                Ok((answer, keep)) => {
                    self.live = keep.then_some(live);
                    return Ok(answer);
                }
                // The server closed a connection that had idled: that is no news about the server. A fresh one is tried once. Of what may be
                // gone on with, something may have arrived.
                Err(Failure::Unsent(_)) if reused => continue,
                Err(Failure::Broken(source)) if reused && source.kind() != io::ErrorKind::TimedOut && !question.is_resumable() => continue,
                Err(Failure::Broken(source) | Failure::Unsent(source)) => {
                    return Err(ClientError::Unreachable { address: self.address.clone(), source });
                }
                Err(Failure::TooLong) => return Err(ClientError::Protocol(format!("it is longer than {limit} bytes"))),
            }
        }
    }

    async fn ready(&mut self) -> Result<Live, ClientError> {
        if let Some(mut live) = self.live.take()
            && !live.sender.is_closed()
            && live.sender.ready().await.is_ok()
        {
            return Ok(live);
        }
        self.connect().await.map_err(|source| ClientError::Unreachable { address: self.address.clone(), source })
    }

    async fn connect(&self) -> io::Result<Live> {
        let stream = timeout(CONNECT_MAX, TcpStream::connect(&self.address)).await.map_err(|_| timed_out("connecting", CONNECT_MAX))??;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.config {
            None => Box::new(stream),
            Some(config) => {
                let handshake = TlsConnector::from(Arc::clone(config)).connect(self.server_name.clone(), stream);
                Box::new(timeout(HANDSHAKE_MAX, handshake).await.map_err(|_| timed_out("the TLS handshake", HANDSHAKE_MAX))??)
            }
        };
        let io = TokioIo::new(PatientStream { inner: stream, deaf: false });
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(io::Error::other)?;
        // Errors of the connection reach the caller through its pending request, or through `why_it_ended`.
        let driver = tokio::spawn(connection);
        Ok(Live { sender, driver, used: false })
    }
}

enum Failure {
    Broken(io::Error),
    /// The same, and nothing of the request was sent.
    Unsent(io::Error),
    TooLong,
}

async fn exchange(live: &mut Live, request: Request<PutBody>, limit: u64, patience: Duration) -> Result<(Answer, bool), Failure> {
    let length = request.body().size_hint().exact().unwrap_or(0);
    let answer_max = patience + Duration::from_secs(length / RATE_MIN_BYTES_PER_S);
    let response = timeout(answer_max, live.sender.send_request(request))
        .await
        .map_err(|_| Failure::Broken(timed_out("sending the request and waiting for the answer", answer_max)))?;
    let response = match response {
        Ok(response) => response,
        Err(error) if error.is_canceled() => return Err(Failure::Unsent(live.why_it_ended(error).await)),
        Err(error) => return Err(Failure::Broken(broken(error))),
    };
    let status = response.status();
    let closes = response.headers().get_all(header::CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    let gzip = response.headers().get_all(header::CONTENT_ENCODING).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
    let upload_offset = response.headers().get(UPLOAD_OFFSET).and_then(|offset| offset.to_str().ok()?.parse().ok());
    let body_max = patience + Duration::from_secs(limit / RATE_MIN_BYTES_PER_S);
    let body = timeout(body_max, read_bounded(response, limit))
        .await
        .map_err(|_| Failure::Broken(timed_out("reading the answer", body_max)))??;
    // After a refusal part of the request's body may not have been read: what follows on that connection has no meaning.
    let keep = status.is_success() && !closes;
    Ok((Answer { status, body, gzip, upload_offset }, keep))
}

async fn read_bounded(response: Response<Incoming>, limit: u64) -> Result<Bytes, Failure> {
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Broken(broken(error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > limit {
            return Err(Failure::TooLong);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// hyper says "connection error"; people want the reason beneath, such as the TLS alert that refused their certificate.
fn broken(error: hyper::Error) -> io::Error {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    io::Error::new(io::ErrorKind::ConnectionAborted, reason)
}

fn timed_out(what: &str, after: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} took more than {} s", after.as_secs()))
}

/// What HTTP is spoken over: TLS, or the bare connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream that goes on listening when nobody listens to it any more: a server that refuses a PUT answers and closes before the body was
/// sent, and the reason that it gave is worth more than "broken pipe". What is written after a failed write is dropped; when the answer does
/// not come, reading fails, and the request with it.
struct PatientStream<S> {
    inner: S,
    deaf: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.deaf {
            match Pin::new(&mut self.inner).poll_write(context, bytes) {
                Poll::Ready(Err(_)) => self.deaf = true,
                other => return other,
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.deaf {
            match Pin::new(&mut self.inner).poll_flush(context) {
                Poll::Ready(Err(_)) => self.deaf = true,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
