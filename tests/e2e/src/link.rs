//! A link that breaks: every connection over it ends after so many bytes on their way up, without a word.
//!
//! It does not know what the bytes are, and counts them.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Taken at a time: little against what passes until a cut.
const PIECE_BYTES: usize = 4096;

/// A way to an address that is cut again and again, until the process ends.
pub struct CutLink {
    address: String,
    /// Bytes that went up.
    sent: Arc<AtomicU64>,
    /// Connections that were made.
    connections: Arc<AtomicU64>,
    cut_after: Arc<AtomicU64>,
}

impl CutLink {
    /// To that address.
    pub fn to(address: &str, cut_after_bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let link = Self {
            address: listener.local_addr().expect("it is bound").to_string(),
            sent: Arc::default(),
            connections: Arc::default(),
            cut_after: Arc::new(AtomicU64::new(cut_after_bytes)),
        };
        let (target, sent, connections, cut_after) =
            (address.to_owned(), link.sent.clone(), link.connections.clone(), link.cut_after.clone());
        thread::spawn(move || {
            for below in listener.incoming().flatten() {
                // An appliance that is not there ends the connection.
                let Ok(above) = TcpStream::connect(&target) else { continue };
                connections.fetch_add(1, Ordering::Relaxed);
                let (sent, cut_after) = (sent.clone(), cut_after.load(Ordering::Relaxed));
                thread::spawn(move || carry(&below, &above, &sent, cut_after));
            }
        });
        link
    }

    /// Where it begins.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on connections last for so many bytes.
    pub fn cut_after(&self, bytes: u64) {
        self.cut_after.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that went up until now, those of TLS included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Connections until now.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Both ways, until one side ends or so many bytes went up: then both are cut.
fn carry(below: &TcpStream, above: &TcpStream, sent: &AtomicU64, cut_after: u64) {
    thread::scope(|scope| {
        scope.spawn(|| {
            pump(above, below, |_| true);
            end(below, above);
        });
        let mut left = cut_after;
        pump(below, above, |bytes| {
            sent.fetch_add(bytes, Ordering::Relaxed);
            left = left.saturating_sub(bytes);
            left > 0
        });
        end(below, above);
    });
}

fn end(below: &TcpStream, above: &TcpStream) {
    for stream in [below, above] {
        // It may have ended already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, mut goes_on: impl FnMut(u64) -> bool) {
    let mut piece = [0; PIECE_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(count @ 1..) if to.write_all(&piece[..count]).is_ok() && goes_on(count as u64) => {}
            _ => return,
        }
    }
}
