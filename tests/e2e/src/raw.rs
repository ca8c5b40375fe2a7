//! Requests that no client of ours would send: other lengths than announced, bodies that break off, no certificate.
//!
//! It does not know what is asked; it says what came back.

use std::{io, sync::Arc, time::Duration};

use exhibit_client::crypto_provider;
use exhibit_evidence::exchange::Problem;
use exhibit_pki::Certificate;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The appliance answers within milliseconds, and within seconds where it waits for a body that does not come.
const ANSWER_MAX: Duration = Duration::from_secs(90);
/// More than any answer of these tests has.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// An answer of HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Connection: close` was said.
    pub closes: bool,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The problem document in it.
    #[track_caller]
    pub fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("status {} with no problem ({error}): {}", self.status, String::from_utf8_lossy(&self.body)))
    }
}

/// A TLS connection of our own.
pub struct RawConnection {
    stream: TlsStream<TcpStream>,
    host: String,
}

impl RawConnection {
    /// Connects to `host:port`.
    pub async fn open(address: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let (host, _) = address.rsplit_once(':').expect("an address is host:port");
        let name = ServerName::try_from(host.to_owned()).expect("the host is a name or an address");
        let stream = within(TcpStream::connect(address)).await?;
        let stream = within(TlsConnector::from(Arc::clone(config)).connect(name, stream)).await?;
        Ok(Self { stream, host: address.to_owned() })
    }

    /// Asks for a path.
    pub async fn get(&mut self, path: &str) -> io::Result<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        within(self.stream.write_all(head.as_bytes())).await?;
        self.answer().await
    }

    /// Announces `length` bytes and sends `body`, whatever length that has; then waits for the answer.
    pub async fn put(&mut self, path: &str, length: u64, body: &[u8]) -> io::Result<Answer> {
        self.begin_put(path, length, body).await?;
        self.answer().await
    }

    /// Announces `length` bytes, sends `body`, and says no more: dropping the connection breaks it off.
    pub async fn begin_put(&mut self, path: &str, length: u64, body: &[u8]) -> io::Result<()> {
        let head = format!("PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n\r\n", self.host);
        within(self.stream.write_all(head.as_bytes())).await?;
        // A refusal comes, and closes, before the body is sent: the answer says more than the failed write.
        let _ = within(self.stream.write_all(body)).await;
        let _ = within(self.stream.flush()).await;
        Ok(())
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        loop {
            if let Some(answer) = parse(&bytes) {
                return Ok(answer);
            }
            let count = within(self.stream.read_buf(&mut bytes)).await?;
            if count == 0 || bytes.len() > ANSWER_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is not whole"));
            }
        }
    }
}

/// A configuration like our clients', but without a certificate.
pub fn without_certificate(roots: &[Certificate]) -> Arc<ClientConfig> {
    let mut trusted = RootCertStore::empty();
    for root in roots {
        trusted.add(CertificateDer::from(root.der().to_vec())).expect("a root of ours can be trusted");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3 is supported")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Arc::new(config)
}

/// A whole answer, if the bytes hold one.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let header = |name: &str| headers.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
    let length: usize = header("content-length").unwrap_or("0").parse().ok()?;
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some(Answer { status, closes: header("connection") == Some("close"), body })
}

async fn within<T>(operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(ANSWER_MAX, operation).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
