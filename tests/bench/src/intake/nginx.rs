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
    program: PathBuf,
    config: PathBuf,
    address: String,
    store: PathBuf,
}

impl Nginx {
    /// Starts it below a folder; it listens when this returns.
    pub fn start(world: &World, folder: &Path) -> Result<Self, Failure> {
        let program = std::env::var_os("EXHIBIT_NGINX").ok_or("EXHIBIT_NGINX does not say where nginx is: run `make bench`")?;
        let folder = folder.join("nginx");
        let nginx = Self {
            program: program.into(),
            config: folder.join("nginx.conf"),
            // It can not be told to take any port that is free and to say which.
            address: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string(),
            store: folder.join("store"),
        };
        fs::create_dir_all(&nginx.store)?;
        let chain = [fs::read(world.state().join("appliance.pem"))?, fs::read(world.pki().join("chain.pem"))?].concat();
        fs::write(folder.join("chain.pem"), chain)?;
        fs::write(&nginx.config, nginx.configuration(world, &folder))?;
        // It goes to the background once its sockets listen.
        nginx.run(&[])?;
        Ok(nginx)
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it stores.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Forgets what it has.
    pub fn clear(&self) -> Result<(), Failure> {
        for entry in fs::read_dir(&self.store)? {
            fs::remove_dir_all(entry?.path())?;
        }
        Ok(())
    }

    fn configuration(&self, world: &World, folder: &Path) -> String {
        let (address, folder) = (&self.address, folder.display());
        let (key, root) = (world.state().join("appliance.key"), world.pki().join("root.pem"));
        let (key, root) = (key.display(), root.display());
        format!(
            "user root;
worker_processes auto;
pid {folder}/pid;
error_log {folder}/errors warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
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

    fn run(&self, more: &[&str]) -> Result<(), Failure> {
        let errors = self.store.with_file_name("errors");
        let output = Command::new(&self.program).arg("-c").arg(&self.config).arg("-e").arg(&errors).args(more).output()?;
        if output.status.success() { Ok(()) } else { Err(format!("nginx: {}", String::from_utf8_lossy(&output.stderr)).into()) }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["-s", "stop"]) {
            eprintln!("intake: {error}");
        }
    }
}
