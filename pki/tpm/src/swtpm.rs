//! A software TPM (swtpm) of a test's own, on free ports, gone when the test is.
//!
//! For tests and demonstrations only: a key in it is as safe as the folder of its state.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// swtpm listens within milliseconds; a loaded machine gets time.
const START_MAX: Duration = Duration::from_secs(20);
/// Between two looks at the file that swtpm writes once it listens.
const POLL: Duration = Duration::from_millis(5);
/// Another process may take a port between our looking and swtpm's binding.
const ATTEMPTS: u32 = 20;

/// A running swtpm; dropping it ends the process (by its id, and no other) and leaves its state in the folder.
#[derive(Debug)]
pub struct Swtpm {
    child: Child,
    port: u16,
}

impl Swtpm {
    /// Starts a TPM whose state is in `folder` (which must exist), new or as an earlier one left it, and waits until it listens.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::attempt(folder, free_port_pair()?) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
                outcome => return outcome,
            }
        }
        Err(last.expect("there was an attempt"))
    }

    fn attempt(folder: &Path, port: u16) -> io::Result<Self> {
        // swtpm writes its process id once both sockets listen, and ends if it can not bind them.
        let started = folder.join("swtpm.pid");
        let log = folder.join("swtpm.log");
        for leftover in [&started, &log] {
            match fs::remove_file(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", folder.display()))
            .arg("--server")
            .arg(format!("type=tcp,bindaddr=127.0.0.1,port={port}"))
            .arg("--ctrl")
            .arg(format!("type=tcp,bindaddr=127.0.0.1,port={}", port + 1))
            .arg("--pid")
            .arg(format!("file={}", started.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => io::Error::new(error.kind(), "swtpm is not installed (on Debian: apt-get install swtpm)"),
                _ => error,
            })?;
        let mut swtpm = Self { child, port };
        let id = swtpm.child.id().to_string();
        let deadline = Instant::now() + START_MAX;
        while fs::read_to_string(&started).unwrap_or_default().trim() != id {
            if let Some(status) = swtpm.child.try_wait()? {
                let said = fs::read_to_string(&log)?;
                let kind = if said.contains("Address already in use") { io::ErrorKind::AddrInUse } else { io::ErrorKind::Other };
                return Err(io::Error::new(kind, format!("swtpm ended at its start ({status}): {}", said.trim())));
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "swtpm did not listen in time"));
            }
            thread::sleep(POLL);
        }
        Ok(swtpm)
    }

    /// How libtss2 reaches it; `Tpm::connect` takes this.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free together with the one after it, where libtss2 expects the control channel.
fn free_port_pair() -> io::Result<u16> {
    for _ in 0..ATTEMPTS {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no two neighbouring ports are free"))
}
