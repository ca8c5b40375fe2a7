//! A connection that uploads bodies one after the other and keeps the answers. It does not know to whom.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Failure;

/// HTTP/1.1 over TLS 1.3, kept alive.
pub struct Sender {
    requests: SendRequest<Full<Bytes>>,
    host: String,
}

impl Sender {
    /// Connects to `host:port`.
    pub async fn connect(address: &str, tls: &Arc<ClientConfig>) -> Result<Self, Failure> {
        let (host, _) = address.rsplit_once(':').ok_or("an address is host:port")?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(tls.clone()).connect(ServerName::try_from(host.to_owned())?, stream).await?;
        let (requests, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // What breaks the connection is told by the request that it breaks.
        tokio::spawn(async move { drop(driver.await) });
        Ok(Self { requests, host: address.to_owned() })
    }

    /// Sends each body to its path and waits for its answer, which must be that it was taken.
    pub async fn put_all(mut self, bodies: Vec<(String, Bytes)>) -> Result<Vec<Bytes>, String> {
        let mut answers = Vec::new();
        for (path, body) in bodies {
            answers.push(self.put(&path, body).await.map_err(|error| format!("PUT {path}: {error}"))?);
        }
        Ok(answers)
    }

    async fn put(&mut self, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let request = Request::put(path).header(header::HOST, &self.host).body(Full::new(body))?;
        self.requests.ready().await?;
        let answer = self.requests.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into()) }
    }
}
