//! A real mirror in the test's own process: the library of `exhibit-witness` behind a socket, on a folder that outlives it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_evidence::Anchor;
use exhibit_tlog::VerifierKey;
use exhibit_witness::api::{Service, handle};
use exhibit_witness::setup::Folder;
use exhibit_witness::uploads::{NETWORK_UPLOADS_MAX, Uploads};
use exhibit_witness::witness::origin_hash;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A witness that is a mirror too.
pub struct Mirror {
    state: PathBuf,
    pub address: SocketAddr,
    pub witness_keys: Vec<VerifierKey>,
    pub keys: Vec<VerifierKey>,
    origin: String,
    running: Option<(watch::Sender<bool>, tokio::task::JoinHandle<()>)>,
}

impl Mirror {
    /// Makes its keys, has it follow a log, and starts it.
    pub async fn start(folder: &Path, name: &str, anchor: &Anchor) -> Self {
        let state = folder.join(name);
        let name = format!("{name}.example/w");
        Folder::new(&state).init(&name).unwrap();
        let path = state.join("witness.toml");
        let keys: Vec<String> = anchor.verifier.keys.iter().map(|key| format!("{:?}", key.to_string())).collect();
        let config = std::fs::read_to_string(&path).unwrap();
        let config = format!("{config}\n[[log]]\norigin = {:?}\nkeys = [{}]\n", anchor.verifier.origin, keys.join(", "));
        std::fs::write(&path, config).unwrap();
        let keys_of =
            |signers: Vec<Arc<dyn exhibit_tlog::NoteSigner>>| signers.iter().map(|signer| signer.verifier_key().clone()).collect();
        let folder = Folder::new(&state);
        let mut mirror = Self {
            address: "127.0.0.1:0".parse().unwrap(),
            witness_keys: keys_of(folder.signers(&name).unwrap()),
            keys: keys_of(folder.mirror_signers(&name).unwrap()),
            origin: anchor.verifier.origin.clone(),
            state,
            running: None,
        };
        mirror.go_on().await;
        mirror
    }

    /// Serves again, at the same address, what is in its folder.
    pub async fn go_on(&mut self) {
        let folder = Folder::new(&self.state);
        let config = folder.config().unwrap();
        let witness = folder.witness(&config).unwrap();
        let mirror = Some(Arc::new(folder.mirror(&config, &witness).unwrap()));
        let clock = Arc::new(|| exhibit_appliance::setup::now().unix_s());
        let fatal = Arc::new(|reason: &str| panic!("the mirror would end: {reason}"));
        let uploads = Arc::new(Uploads::new(NETWORK_UPLOADS_MAX));
        let service = Service { witness, mirror, uploads, name: config.name, clock, fatal };
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        self.running = Some((stop, tokio::spawn(serve(listener, Arc::new(service), stopped))));
    }

    /// Cuts off whatever it does.
    pub async fn kill(&mut self) {
        let (stop, serving) = self.running.take().unwrap();
        stop.send_replace(true);
        serving.await.unwrap();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its copy of the log is read.
    pub fn copy_url(&self) -> String {
        format!("{}/mirror/{}", self.url(), origin_hash(&self.origin))
    }

    /// The folder of its copy.
    pub fn copy_folder(&self) -> PathBuf {
        self.state.join("mirror").join(format!("{}.log", origin_hash(&self.origin)))
    }

    /// The lines for the appliance's configuration.
    pub fn toml(&self) -> String {
        mirror_toml(&self.url(), &self.keys)
    }

    /// The line of its first key for a policy, under a name.
    pub fn policy_line(&self, name: &str) -> String {
        format!("witness {name} {}\n", self.keys[0])
    }
}

pub fn mirror_toml(url: &str, keys: &[VerifierKey]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("{:?}", key.to_string())).collect();
    format!("\n[[mirror]]\nurl = {url:?}\nkeys = [{}]\n", keys.join(", "))
}

async fn serve(listener: TcpListener, service: Arc<Service>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted.unwrap().0,
        };
        let service = service.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(handle(service, Ipv4Addr::LOCALHOST.into(), request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
    connections.shutdown().await;
    // What runs on a blocking thread ends by itself; its folder is free once it has.
    while Arc::strong_count(&service) > 1 || service.mirror.as_ref().is_some_and(|mirror| Arc::strong_count(mirror) > 1) {
        tokio::task::yield_now().await;
    }
}
