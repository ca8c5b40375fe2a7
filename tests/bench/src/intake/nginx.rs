//! Debian's nginx, which stores what known clients PUT, and looks at none of it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use exhibit_e2e::world::World;

use crate::Failure;

/// Above what any of these segments has.
const BODY_MAX: &str = "16m";

/// A server of its own, with the appliance's certificate. Dropping it ends it.
pub struct Nginx {
    command: NginxCommand,
    address: String,
    store: PathBuf,
}

/// Its program, with its folder.
struct NginxCommand {
    program: PathBuf,
    folder: PathBuf,
}

impl NginxCommand {
    fn config(&self) -> PathBuf {
        self.folder.join("nginx.conf")
    }

    fn run(&self, more: &[&str]) -> Result<(), Failure> {
        let mut command = Command::new(&self.program);
        let output = command.arg("-c").arg(self.config()).arg("-e").arg(self.folder.join("errors")).args(more).output()?;
        if output.status.success() { Ok(()) } else { Err(format!("nginx: {}", String::from_utf8_lossy(&output.stderr)).into()) }
    }
}

impl Nginx {
    /// Starts it below a folder; it listens when this returns.
    pub fn start(world: &World, folder: &Path) -> Result<Self, Failure> {
        let program = std::env::var_os("EXHIBIT_NGINX").ok_or("EXHIBIT_NGINX does not say where nginx is: run `make bench`")?;
        let folder = folder.join("nginx");
        let store = folder.join("store");
        fs::create_dir_all(&store)?;
        let chain = [fs::read(world.state().join("appliance.pem"))?, fs::read(world.pki().join("chain.pem"))?].concat();
        fs::write(folder.join("chain.pem"), chain)?;
        // It can not be told to take any port that is free and to say which.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string();
        let command = NginxCommand { program: program.into(), folder: folder.clone() };
        fs::write(command.config(), configuration(world, &folder, &address))?;
        // It goes to the background once its sockets listen.
        command.run(&[])?;
        Ok(Self { command, address, store })
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it stores.
    pub fn store(&self) -> &Path {
        &self.store
    }
}

fn configuration(world: &World, folder: &Path, address: &str) -> String {
    let (key, root) = (world.state().join("appliance.key"), world.pki().join("root.pem"));
    let (folder, key, root) = (folder.display(), key.display(), root.display());
    format!(
        "user root;
worker_processes auto;
pid {folder}/pid;
error_log {folder}/errors warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    # Made at start though nothing here uses them; those that it was built with are in /var/lib.
    proxy_temp_path {folder}/unused;
    fastcgi_temp_path {folder}/unused;
    uwsgi_temp_path {folder}/unused;
    scgi_temp_path {folder}/unused;
    server {{
        listen {address} ssl;
        ssl_certificate {folder}/chain.pem;
        ssl_certificate_key {key};
        ssl_client_certificate {root};
        ssl_verify_client on;
        ssl_verify_depth 3;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;
        keepalive_requests 1000000;
        client_max_body_size {BODY_MAX};
        client_body_temp_path {folder}/body;
        location / {{
            root {folder}/store;
            dav_methods PUT;
            create_full_put_path on;
        }}
    }}
}}
"
    )
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Err(error) = self.command.run(&["-s", "stop"]) {
            eprintln!("intake: {error}");
        }
    }
}
