//! Fuzz targets: a plain function for every parser of bytes from outside, which panics when the parser breaks a promise.
//!
//! The smoke run in `tests/` drives them on stable, `libfuzzer/` drives the same functions with coverage. It does not know who drives.

pub mod allocation;
pub mod mutate;
pub mod targets;

use targets::{api, attestation, bundle, evidence, keys, media, mirror, pki, resigned, signatures, tlog};

/// A parser under attack.
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Gives the input to the parser and asserts what must hold of the outcome; true if the input was accepted, so that a corpus can be
    /// seen to reach behind the parser.
    pub run: fn(&[u8]) -> bool,
    /// The most memory that an input may cost.
    pub allocation: AllocationMax,
    /// Mutations of the corpus in a smoke run, so that all targets together take seconds.
    pub rounds: u64,
}

/// The most that may be allocated at one moment: `fixed_bytes`, and `times` the input's length.
#[derive(Clone, Copy, Debug)]
pub struct AllocationMax {
    /// For what does not depend on the input: keys being expanded, a tree to compare with.
    pub fixed_bytes: usize,
    /// For what does: a parsed form, its copies, and errors.
    pub times: usize,
}

impl AllocationMax {
    /// For an input of that length.
    pub fn bytes(self, input_bytes: usize) -> usize {
        self.fixed_bytes + self.times * input_bytes
    }
}

/// Parsing, writing again and comparing. Small values take the most, byte for byte: an empty JSON array of two bytes is a value of 32 in
/// a vector that doubles as it grows, and the targets keep the parsed form twice.
const PARSED: AllocationMax = AllocationMax { fixed_bytes: 64 << 10, times: 200 };
/// The same, where ML-DSA-44 verifies: an expanded key and the matrices of a verification.
const NOTES: AllocationMax = AllocationMax { fixed_bytes: 512 << 10, times: 200 };
/// A whole bundle of the corpus is judged, whose statements stay in memory.
const BUNDLE: AllocationMax = AllocationMax { fixed_bytes: 4 << 20, times: 200 };

/// Parsers take microseconds.
const PARSER_ROUNDS: u64 = 2000;
/// A signature takes a millisecond to verify in a test build.
const SIGNATURE_ROUNDS: u64 = 500;
/// A mirror writes a dozen files.
const MIRROR_ROUNDS: u64 = 100;
/// A bundle has a score of them.
const BUNDLE_ROUNDS: u64 = 24;

const fn parser(name: &'static str, run: fn(&[u8]) -> bool) -> Target {
    Target { name, run, allocation: PARSED, rounds: PARSER_ROUNDS }
}

const fn signed(name: &'static str, run: fn(&[u8]) -> bool, allocation: AllocationMax) -> Target {
    Target { name, run, allocation, rounds: SIGNATURE_ROUNDS }
}

const fn whole(name: &'static str, run: fn(&[u8]) -> bool) -> Target {
    Target { name, run, allocation: BUNDLE, rounds: BUNDLE_ROUNDS }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    signed("note", tlog::note, NOTES),
    signed("note-lines", tlog::note_lines, NOTES),
    signed("verifier-key", tlog::verifier_key, NOTES),
    signed("checkpoint", tlog::checkpoint, NOTES),
    signed("log-proof", tlog::log_proof, NOTES),
    parser("proofs", tlog::proofs),
    parser("tile-path", tlog::tile_path),
    parser("tile", tlog::tile),
    parser("entry-bundle", tlog::entry_bundle),
    signed("policy", tlog::policy, NOTES),
    signed("add-checkpoint", tlog::add_checkpoint, NOTES),
    signed("cosignatures", tlog::cosignatures, NOTES),
    parser("add-entries", tlog::add_entries),
    parser("mirror-info", tlog::mirror_info),
    signed("certificate", pki::certificate, PARSED),
    signed("certificates-pem", pki::certificates_pem, PARSED),
    signed("request", pki::request, PARSED),
    signed("revocation-list", pki::revocation_list, PARSED),
    signed("ocsp-request", pki::ocsp_request, PARSED),
    signed("ocsp-response", pki::ocsp_response, PARSED),
    signed("timestamp-token", pki::timestamp_token, PARSED),
    signed("timestamp-exchange", pki::timestamp_exchange, PARSED),
    parser("chain-certificate", pki::chain_certificate),
    parser("public-key", signatures::public_key),
    signed("signature", signatures::signature, PARSED),
    parser("names", pki::names),
    parser("attestation", attestation::structures),
    signed("attestation-judgement", attestation::judgement, PARSED),
    parser("statement", evidence::statement),
    signed("signed-statement", evidence::signed_statement, PARSED),
    signed("envelope", evidence::envelope, PARSED),
    parser("key-package", evidence::key_package),
    signed("anchor", evidence::anchor, NOTES),
    parser("exchange", evidence::exchange),
    parser("intake-prefix", evidence::intake_prefix),
    parser("log-lines", evidence::log_lines),
    parser("stream-name", evidence::stream_name),
    parser("manifest", evidence::manifest),
    parser("key-tree", keys::key_tree),
    parser("fragments", keys::fragments),
    whole("bundle", bundle::bundle),
    whole("bundle-edited", bundle::bundle_edited),
    whole("bundle-resigned", resigned::bundle_resigned),
    parser("mp4", media::mp4),
    parser("route", api::route),
    parser("grant-terms", api::grant_terms),
    signed("entry-record", api::entry_record, NOTES),
    signed("successor", api::successor, NOTES),
    Target { name: "mirror", run: mirror::mirror, allocation: BUNDLE, rounds: MIRROR_ROUNDS },
];
