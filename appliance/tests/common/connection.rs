//! One connection to an appliance, and what it answers.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use exhibit_evidence::exchange::{Admitted, EntryRecord, Problem, intake_prefix};
use exhibit_evidence::{Anchor, Head, SignedStatement};
use exhibit_pki::Certificate;
use exhibit_program::tls::crypto_provider;
use exhibit_tlog::{Hash, LogProof, verify_consistency};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use super::{Party, Writer};

/// One connection, spoken to byte by byte.
pub struct Connection {
    tls: TlsStream<TcpStream>,
}

/// A connection from 127.0.0.<last>: another network than 127.0.0.1.
pub async fn stream_from(last: u8, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
}

/// What the appliance answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The kind of a refusal, such as `chain`.
    pub fn kind(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status);
        problem.kind.strip_prefix("tag:exhibit,2026:").unwrap().to_owned()
    }

    /// The kind of a refusal; nothing if it is none of ours.
    pub fn problem_kind(&self) -> String {
        let problem: Option<Problem> = serde_json::from_slice(&self.body).ok();
        problem.and_then(|problem| Some(problem.kind.strip_prefix("tag:exhibit,2026:")?.to_owned())).unwrap_or_default()
    }

    pub fn closes(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value == "close")
    }

    /// Verifies the receipt as a client does, and takes the writer one further.
    pub fn admitted(&self, status: u16, anchor: &Anchor, writer: &mut Writer, signed: &SignedStatement) -> Admitted {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        let admitted: Admitted = self.json();
        let leaf = Hash::from_hex(&admitted.leaf).unwrap();
        let proof = LogProof::parse(&admitted.receipt).unwrap();
        assert_eq!(proof.index, admitted.index);
        let head = proof.verify(&leaf, &anchor.verifier).unwrap();
        let observed = signed.statement().observed;
        let path: Vec<Hash> = admitted.consistency.iter().map(|hash| Hash::from_base64(hash).unwrap()).collect();
        verify_consistency(observed.size, &observed.root, head.size, &head.root, &path).unwrap();
        writer.seq = signed.statement().seq + 1;
        writer.prev = leaf;
        writer.observed = Head { size: head.size, root: head.root };
        admitted
    }
}

impl Connection {
    /// Connects to localhost, with or without a client certificate.
    pub async fn new(port: u16, root: &Certificate, party: Option<&Party>) -> std::io::Result<Self> {
        Self::with_alpn(port, root, party, b"").await
    }

    /// The same, asking for another protocol than HTTP/1.1, or for none.
    pub async fn with_alpn(port: u16, root: &Certificate, party: Option<&Party>, protocol: &[u8]) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(("127.0.0.1", port)).await?, root, party, protocol).await
    }

    /// The same from another address of loopback: 127.0.0.<last>.
    pub async fn from_address(last: u8, port: u16, root: &Certificate, party: Option<&Party>) -> std::io::Result<Self> {
        Self::over(stream_from(last, port).await?, root, party, b"").await
    }

    /// What the appliance shows, DER.
    pub fn server_certificate(&self) -> Vec<u8> {
        self.tls.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    /// Over a connection that is there.
    pub async fn over(stream: TcpStream, root: &Certificate, party: Option<&Party>, protocol: &[u8]) -> std::io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(root.der().to_vec())).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(crypto_provider()));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_root_certificates(roots);
        let mut config = match party {
            None => builder.with_no_client_auth(),
            Some(party) => {
                let certificates = [std::slice::from_ref(&party.certificate), &party.chain].concat();
                let chain = certificates.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
                let key = PrivateKeyDer::from_pem_slice(party.signer.to_pkcs8_pem().as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = Some(protocol.to_vec()).filter(|protocol| !protocol.is_empty()).into_iter().collect();
        stream.set_nodelay(true)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        Ok(Self { tls: connector.connect(ServerName::try_from("localhost").unwrap(), stream).await? })
    }

    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.tls.write_all(bytes).await?;
        self.tls.flush().await
    }

    /// Ends our side without having sent everything.
    pub async fn end(&mut self) {
        self.tls.shutdown().await.unwrap();
    }

    /// Reads the line that allows to go on.
    pub async fn expect_continue(&mut self) {
        let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut line = [0; 25];
        self.tls.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, expected);
    }

    /// Reads one answer; an error if the connection ended instead.
    pub async fn answer(&mut self) -> std::io::Result<Answer> {
        let mut answer = self.answer_head().await?;
        let length = answer.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; length];
        self.tls.read_exact(&mut answer.body).await?;
        Ok(answer)
    }

    /// Reads the head of an answer.
    async fn answer_head(&mut self) -> std::io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.tls.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let headers: HashMap<String, String> = lines.filter_map(header).collect();
        Ok(Answer { status, headers, body: Vec::new() })
    }

    /// The next chunk of an answer whose length is not known; `None` at its end.
    pub async fn chunk(&mut self) -> std::io::Result<Option<String>> {
        let mut length = Vec::new();
        while !length.ends_with(b"\r\n") {
            length.push(self.tls.read_u8().await?);
        }
        let length = usize::from_str_radix(String::from_utf8(length).unwrap().trim_end(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        self.tls.read_exact(&mut chunk).await?;
        chunk.truncate(length);
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()).map(|chunk| String::from_utf8(chunk).unwrap()))
    }

    /// What comes until the other side ends.
    pub async fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.tls.read_to_end(&mut rest).await?;
        Ok(rest)
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.get_with(path, "").await
    }

    /// The same, where the connection may have ended.
    pub async fn try_get(&mut self, path: &str) -> std::io::Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        self.answer().await
    }

    pub async fn get_with(&mut self, path: &str, headers: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()).await.unwrap();
        self.answer().await.unwrap()
    }

    /// The answer to a request without a body.
    pub async fn ask(&mut self, method: &str, path: &str) -> Answer {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        if method == "HEAD" { self.answer_head().await.unwrap() } else { self.answer().await.unwrap() }
    }

    /// The answer to HEAD, which has no body whatever its Content-Length says.
    pub async fn head(&mut self, path: &str) -> Answer {
        self.send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        self.answer_head().await.unwrap()
    }

    pub async fn record(&mut self, path: &str) -> (EntryRecord, SignedStatement) {
        use base64ct::Encoding;
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let record: EntryRecord = answer.json();
        let signed = SignedStatement::parse(&base64ct::Base64::decode_vec(&record.entry).unwrap()).unwrap();
        (record, signed)
    }

    pub async fn put(&mut self, signed: &SignedStatement, attachments: &[&[u8]], payload: &[u8]) -> Answer {
        let body = [intake_prefix(signed.der(), attachments), payload.to_vec()].concat();
        self.put_raw(&path_of(signed), &format!("Content-Length: {}\r\n", body.len()), &body).await
    }

    /// The same to an appliance that may end meanwhile.
    pub async fn try_put(&mut self, signed: &SignedStatement, attachments: &[&[u8]], payload: &[u8]) -> std::io::Result<Answer> {
        let body = [intake_prefix(signed.der(), attachments), payload.to_vec()].concat();
        self.try_put_raw(&path_of(signed), &format!("Content-Length: {}\r\n", body.len()), &body).await
    }

    pub async fn put_raw(&mut self, path: &str, headers: &str, body: &[u8]) -> Answer {
        self.try_put_raw(path, headers, body).await.unwrap()
    }

    async fn try_put_raw(&mut self, path: &str, headers: &str, body: &[u8]) -> std::io::Result<Answer> {
        self.send(format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()).await?;
        // A refusal may come before everything is sent.
        let _ = self.send(body).await;
        self.answer().await
    }
}

pub fn path_of(signed: &SignedStatement) -> String {
    format!("/v1/streams/{}/{}", signed.statement().stream, signed.statement().seq)
}
