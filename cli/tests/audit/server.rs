//! `exhibit audit` against a server of HTTP that serves the log, or misbehaves in ways that files can not.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use exhibit_evidence::Body;
use exhibit_evidence::body::{Succession, SuccessionReason, Successor};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::site::{Desk, Site};

/// What the server does to the resource that it is asked to misbehave with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mischief {
    /// Nothing.
    None,
    /// Takes the request and never answers.
    Silent,
    /// Sends the head and then nothing more.
    Stalls,
    /// Sends it somewhere else.
    Redirects,
    /// Sends more than anything could have.
    Endless,
    /// A few bytes that unfold to gigabytes.
    Bomb,
    /// Says gzip, and it is not.
    NoGzip,
    /// 500.
    Fails,
    /// Hangs up.
    HangsUp,
    /// Compressed without having been asked, as tlog-tiles allows.
    Gzip,
}

struct Server {
    url: String,
    resources: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Nobody is answered.
    is_down: Arc<AtomicBool>,
}

impl Server {
    /// Serves below `/log`, and misbehaves with what is named like that.
    fn start(site: &Site, target: &'static str, mischief: Mischief) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/log", listener.local_addr().unwrap());
        let resources = Arc::new(Mutex::new(site.resources()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let is_down = Arc::new(AtomicBool::new(false));
        let shared = (resources.clone(), asked.clone(), is_down.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (resources, asked, is_down) = shared.clone();
                // Whoever hangs up in the middle is no concern of the test.
                thread::spawn(move || drop(answer(&stream.unwrap(), &resources, &asked, &is_down, target, mischief)));
            }
        });
        Self { url, resources, asked, is_down }
    }
}

fn answer(
    stream: &TcpStream,
    resources: &Mutex<HashMap<String, Vec<u8>>>,
    asked: &Mutex<Vec<String>>,
    is_down: &AtomicBool,
    target: &str,
    mischief: Mischief,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || is_down.load(Ordering::SeqCst) {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        asked.lock().unwrap().push(path.clone());
        let name = path.strip_prefix("/log/").map(str::to_owned).unwrap_or_else(|| path.replacen("/v1/", "", 1));
        let found = resources.lock().unwrap().get(&name).cloned();
        let Some(body) = found else {
            write!(writer, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let length = body.len();
        let mut whole = |head: &str, body: &[u8]| -> std::io::Result<()> {
            write!(writer, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len())?;
            writer.write_all(body)
        };
        match if name == target { mischief } else { Mischief::None } {
            Mischief::None => whole("200 OK", &body)?,
            Mischief::Fails => whole("500 Internal Server Error", b"")?,
            Mischief::Redirects => whole("302 Found\r\nLocation: http://127.0.0.1:1/log/checkpoint", b"")?,
            Mischief::Gzip => whole("200 OK\r\nContent-Encoding: gzip", &packed(&body))?,
            Mischief::Bomb => whole("200 OK\r\nContent-Encoding: gzip", &packed(&vec![0; 64 << 20]))?,
            Mischief::NoGzip => whole("200 OK\r\nContent-Encoding: gzip", &body)?,
            Mischief::HangsUp => return Ok(()),
            Mischief::Silent => drop(reader.read_line(&mut String::new())),
            Mischief::Stalls => {
                write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
                reader.read_line(&mut String::new())?;
            }
            Mischief::Endless => {
                write!(writer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    write!(writer, "10000\r\n")?;
                    writer.write_all(&[7; 0x10000])?;
                    write!(writer, "\r\n")?;
                }
            }
        }
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_log_is_audited_over_http_with_and_without_compression() {
    let mut site = Site::new();
    site.grow(297);
    for mischief in [Mischief::None, Mischief::Gzip] {
        let server = Server::start(&site, "tile/entries/000", mischief);
        let said = Desk::new(&site).audit_at(&server.url, &[]);
        said.expect(0, "sound", &[]);
        assert_eq!(said.checked()["judged"], 300);
        let asked = server.asked.lock().unwrap();
        assert!(asked.iter().any(|path| path.starts_with("/v1/attachments/")), "certificates stand beside the log: {asked:?}");
    }
}

#[test]
fn a_server_that_misbehaves_is_no_news_of_the_log_unless_it_serves_something_else() {
    let mut site = Site::new();
    site.grow(297);
    let cases = [
        (Mischief::Silent, 2, "unavailable"),
        (Mischief::Stalls, 2, "unavailable"),
        (Mischief::Redirects, 2, "unavailable"),
        (Mischief::Fails, 2, "unavailable"),
        (Mischief::HangsUp, 2, "unavailable"),
        (Mischief::Endless, 1, "altered"),
        (Mischief::Bomb, 1, "altered"),
        (Mischief::NoGzip, 1, "altered"),
    ];
    for (mischief, code, outcome) in cases {
        for target in ["checkpoint", "tile/0/000"] {
            let server = Server::start(&site, target, mischief);
            let said = Desk::new(&site).audit_at(&server.url, &["--answer-max-s", "1"]);
            assert_eq!((said.code, said.outcome()), (code, outcome), "{mischief:?} {target}: {said:?}");
        }
    }
}

#[test]
fn nobody_there_is_unavailable() {
    let site = Site::new();
    let said = Desk::new(&site).audit_at("http://127.0.0.1:1/log", &[]);
    said.expect(2, "unavailable", &[]);
    assert!(said.stderr.contains("127.0.0.1:1") || said.checked()["unavailable"].as_str().unwrap().contains("127.0.0.1:1"));
    assert_eq!(Desk::new(&site).audit_at("ftp://127.0.0.1/log", &[]).code, 64);
}

/// A monitor of a server, and what it says.
struct Monitor {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Monitor {
    fn start(desk: &Desk, server: &Server) -> Self {
        let mut child = desk.command(&server.url, &["--follow", "--interval-s", "1"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Until a round says something else than that nobody answers.
    fn next_that_answers(&mut self) -> Value {
        loop {
            let line = self.next();
            if line["outcome"] != "unavailable" {
                return line;
            }
        }
    }
}

/// A monitor goes on until there is something to see.
#[test]
fn a_monitor_ends_when_there_is_something_to_see() {
    let mut site = Site::new();
    site.grow(3);
    let server = Server::start(&site, "", Mischief::None);
    let desk = Desk::new(&site);
    let mut monitor = Monitor::start(&desk, &server);
    let first = monitor.next();
    assert_eq!((first["outcome"].as_str(), first["judged"].as_u64()), (Some("sound"), Some(6)));
    site.grow(2);
    *server.resources.lock().unwrap() = site.resources();
    let grown = monitor.next();
    assert_eq!((grown["outcome"].as_str(), grown["new"].as_u64()), (Some("sound"), Some(2)), "{grown}");
    site.entries[4] = site.entries[3].clone();
    site.grow(1);
    *server.resources.lock().unwrap() = site.resources();
    let found = monitor.next();
    assert_eq!((found["event"].as_str(), found["kind"].as_str()), (Some("finding"), Some("forked")), "{found}");
    assert_eq!(monitor.child.wait().unwrap().code(), Some(1));
    assert!(desk.audit_at(&server.url, &[]).code == 1, "what a monitor saw was forgotten");
}

/// A log that ends by plan is followed to its end: then the monitor says so, and what goes on is for another.
#[test]
fn a_monitor_ends_with_its_log() {
    let mut site = Site::new();
    site.grow(3);
    let server = Server::start(&site, "", Mischief::None);
    let desk = Desk::new(&site);
    let mut monitor = desk.command(&server.url, &["--follow", "--interval-s", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["outcome"], "sound");
    let mut appliance = site.appliance.clone();
    let successor = Successor { origin: "city.example/log/2".to_owned(), keys: vec![crate::site::keys().1.keys[0].to_string()] };
    site.put(&mut appliance, Body::Succession(Succession { successor, reason: SuccessionReason::Size, attachments: vec![] }));
    *server.resources.lock().unwrap() = site.resources();
    let told = next();
    assert_eq!((told["kind"].as_str(), told["alarm"].as_bool()), (Some("succession"), Some(false)), "{told}");
    assert!(told["sentence"].as_str().unwrap().contains("city.example/log/2"), "who follows is not told: {told}");
    assert_eq!(next()["outcome"], "sound");
    let ended = next();
    assert_eq!((ended["event"].as_str(), ended["index"].as_u64()), (Some("ended"), Some(6)), "{ended}");
    assert_eq!(monitor.wait().unwrap().code(), Some(0));
}

/// A server that goes away is waited for; what it shows when it is back is held against what it has shown before.
#[test]
fn a_monitor_survives_a_server_that_goes_away_and_comes_back() {
    let mut site = Site::new();
    site.grow(3);
    let server = Server::start(&site, "", Mischief::None);
    let desk = Desk::new(&site);
    let mut monitor = Monitor::start(&desk, &server);
    assert_eq!(monitor.next()["outcome"], "sound");
    server.is_down.store(true, Ordering::SeqCst);
    let away = monitor.next();
    assert_eq!((away["outcome"].as_str(), away["judged"].as_u64()), (Some("unavailable"), Some(6)), "{away}");
    site.grow(2);
    *server.resources.lock().unwrap() = site.resources();
    server.is_down.store(false, Ordering::SeqCst);
    let back = monitor.next_that_answers();
    assert_eq!((back["outcome"].as_str(), back["new"].as_u64()), (Some("sound"), Some(2)), "{back}");
    let status = std::process::Command::new("kill").args(["-TERM", &monitor.child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(monitor.child.wait().unwrap().code(), Some(0), "SIGTERM is no alarm");
}
