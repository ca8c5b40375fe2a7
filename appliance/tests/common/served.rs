//! The program itself, as a test starts it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The real program, which serves.
pub struct Served {
    pub child: Child,
    pub address: String,
    pub monitoring: Option<String>,
    pub state: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// The real program in a state folder, with more lines in its configuration.
    pub fn start(state: &Path, more: &str, environment: &[(&str, &Path)]) -> Self {
        let config = fs::read_to_string(state.join("appliance.toml")).unwrap_or_default();
        let config = config.split("# begins here").next().unwrap().to_owned();
        fs::write(state.join("appliance.toml"), format!("{more}\n{config}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit-appliance"));
        command.env("STATE", state).envs(environment.iter().copied());
        Self::of(command, state).unwrap_or_else(|(_, said)| panic!("it does not serve: {said}"))
    }

    /// By a command that was prepared; what it ends with and says if it does not serve.
    pub fn of(mut command: Command, state: &Path) -> Result<Self, (Option<i32>, String)> {
        command.args(["serve", "--json", "--intake", "127.0.0.1:0", "--public", "127.0.0.1:0", "--state"]).arg(state);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ready = BufReader::new(child.stdout.take().unwrap()).lines().next();
        let Some(Ok(ready)) = ready else {
            let said = said(&mut child);
            return Err((child.wait().unwrap().code(), said));
        };
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let address = |name: &str| ready[name].as_str().map(str::to_owned);
        Ok(Self { child, address: address("intake").unwrap(), monitoring: address("monitoring"), state: state.to_owned() })
    }

    /// What it ends with, and what it has said: it ends by itself.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let said = said(&mut self.child);
        (self.child.wait().unwrap().code(), said)
    }

    pub fn port(&self) -> u16 {
        self.address.parse::<std::net::SocketAddr>().unwrap().port()
    }

    pub fn status(&self) -> HashMap<String, String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let lines = status.lines().filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
    }

    /// Speaks something else than TLS, which counts.
    pub fn is_attacked(&self, times: usize) {
        for _ in 0..times {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            // Until it has been refused: connections of one network are counted.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap().success());
    }

    pub fn terminate(mut self) -> String {
        self.signal("TERM");
        let said = said(&mut self.child);
        assert!(self.child.wait().unwrap().success(), "{said}");
        said
    }
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
    text
}
