//! The targets, by the crate whose parsers they attack.

pub mod api;
pub mod attestation;
pub mod bundle;
pub mod evidence;
pub mod keys;
pub mod media;
pub mod mirror;
pub mod pki;
pub mod resigned;
pub mod signatures;
pub mod tlog;

/// The input as text, for parsers of text. What is not UTF-8 never reaches them.
fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}
