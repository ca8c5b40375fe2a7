//! PEM (RFC 7468), strictly: blocks of one kind, with nothing but white space around them.

use der::pem::{LineEnding, decode_vec, encode_string};

/// The contents of the `label` blocks that make up `text`; `None` if there is anything else in it, or more than `blocks_max`.
pub(crate) fn decode_all(text: &str, label: &str, blocks_max: usize) -> Option<Vec<Vec<u8>>> {
    let end = format!("-----END {label}-----");
    let mut blocks = Vec::new();
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let (block, after) = rest.split_at(rest.find(&end)? + end.len());
        if blocks.len() == blocks_max || !block.starts_with("-----BEGIN ") {
            return None;
        }
        let (found, bytes) = decode_vec(block.as_bytes()).ok()?;
        if found != label {
            return None;
        }
        blocks.push(bytes);
        rest = after.trim_ascii_start();
    }
    Some(blocks)
}

/// The one `label` block that makes up `text`.
pub(crate) fn decode_one(text: &str, label: &str) -> Option<Vec<u8>> {
    decode_all(text, label, 1)?.pop()
}

/// A `label` block with LF line ends.
pub(crate) fn encode(label: &str, bytes: &[u8]) -> String {
    encode_string(label, LineEnding::LF, bytes).expect("the labels and sizes of this crate have a PEM form")
}
