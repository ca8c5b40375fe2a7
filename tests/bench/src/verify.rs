//! `verify`: a bundle of 1 MiB segments is judged by `exhibit verify`, against openssl hashing, authenticating and enciphering the same bytes.
//!
//! Per core, since it is CPU time that is compared. The bundle holds the fragments and a working copy, as exported ones do.

use std::path::Path;

use crate::bundle::{Bundle, SEGMENT_BYTES};
use crate::figure::{Figure, cpu_seconds, median};
use crate::{Failure, Programs};

/// Segments of the bundle: enough that starting a program (a few milliseconds) is nothing beside.
const SEGMENTS: u64 = 256;
/// Everything is measured so often, in turns; the median counts.
const ROUNDS: usize = 7;
const BASELINE: &str = "openssl dgst -sha256, dgst -mac HMAC, enc -aes-256-ctr, one after the other";

pub fn run(programs: &Programs) -> Result<Vec<Figure>, Failure> {
    let folder = programs.scratch()?;
    eprintln!("verify: making a bundle of {SEGMENTS} segments of 1 MiB");
    let bundle = Bundle::make(folder.path(), SEGMENTS)?;
    let exhibit = programs.path("exhibit");
    let exhibit = exhibit.to_str().ok_or("a folder's name is text")?;
    let openssl = Openssl::new(&bundle)?;
    let judge = |more: &[&str]| {
        let mut arguments = vec!["verify".to_owned(), "--anchor".to_owned(), text(&bundle.anchor)?];
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        arguments.push(text(&bundle.folder)?);
        cpu_seconds(exhibit, &arguments)
    };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push((judge(&[])?, judge(&["--pure-rust"])?, openssl.measure()?));
    }
    let of = |pick: fn(&(f64, f64, [f64; 3])) -> f64| median(rounds.iter().map(pick).collect());
    let [sha256, hmac, aes] = [of(|round| round.2[0]), of(|round| round.2[1]), of(|round| round.2[2])];
    let megabytes = (SEGMENTS * SEGMENT_BYTES) as f64 / 1e6;
    let (native, pure, all) = (of(|round| round.0), of(|round| round.1), of(|round| round.2.iter().sum()));
    let per_segment_ms = |seconds: f64| seconds * 1000.0 / SEGMENTS as f64;
    eprintln!(
        "verify: CPU ms per segment of 1 MiB: native {:.3}, pure Rust {:.3}; openssl sha256 {:.3}, HMAC {:.3}, AES {:.3}",
        per_segment_ms(native),
        per_segment_ms(pure),
        per_segment_ms(sha256),
        per_segment_ms(hmac),
        per_segment_ms(aes)
    );
    Ok(vec![
        Figure::new("verify", megabytes / native, "MB/s", BASELINE, megabytes / all),
        Figure::new("verify_pure", megabytes / pure, "MB/s", BASELINE, megabytes / all),
    ])
}

/// The three commands over the bytes of the bundle.
struct Openssl {
    fragments: Vec<String>,
    copy: String,
}

impl Openssl {
    fn new(bundle: &Bundle) -> Result<Self, Failure> {
        let fragments: Result<Vec<_>, _> = bundle.fragments.iter().map(|path| text(path)).collect();
        Ok(Self { fragments: fragments?, copy: text(&bundle.copy)? })
    }

    /// CPU seconds of SHA-256, HMAC and AES.
    fn measure(&self) -> Result<[f64; 3], Failure> {
        let key = "00".repeat(32);
        let words = |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
        let sha256 = cpu_seconds("openssl", &[words(&["dgst", "-sha256"]), vec![self.copy.clone()]].concat())?;
        let hmac = words(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("hexkey:{key}")]);
        let hmac = cpu_seconds("openssl", &[hmac, self.fragments.clone()].concat())?;
        let aes = words(&["enc", "-aes-256-ctr", "-K", &key, "-iv", &"00".repeat(16), "-in", &self.copy, "-out", "/dev/null"]);
        Ok([sha256, hmac, cpu_seconds("openssl", &aes)?])
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    Ok(path.to_str().ok_or("a folder's name is text")?.to_owned())
}
