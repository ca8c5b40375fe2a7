//! Key packages: the nodes of some streams of a log, as strict JSON. One encoding; docs/formats/keys.md.
//!
//! It does not know who may hold them.

use std::collections::BTreeSet;
use std::io::Write;

use exhibit_pki::Certificate;
use exhibit_tlog::Hash;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{CONTENT_BYTES_MAX, Entropy, EnvelopeError, seal};
use crate::{
    StreamName,
    keytree::{KeyTree, NODES_MAX, Node, NodeKey, are_in_order},
};

/// A package holds keys of at most this many streams: a year of a camera's epochs and more.
pub const STREAMS_MAX: usize = 1024;

/// Keys of some streams of a log, as they are wrapped: strict JSON
/// `{"type":"exhibit-keys/v1","log":hex,"streams":[{"stream":…,"nodes":[{"depth":n,"index":n,"key":hex}]}]}`.
#[derive(Clone, Debug)]
pub struct KeyPackage {
    /// The log.
    pub log: Hash,
    /// Per stream (its name ends in the epoch), the nodes held: 1 to 1,024 streams, each once. An epoch's own wrap has one stream with the
    /// root: depth 0, index 0.
    pub streams: Vec<StreamKeys>,
}

/// Nodes of one stream.
#[derive(Clone, Debug)]
pub struct StreamKeys {
    /// The stream.
    pub stream: StreamName,
    /// Disjoint, in order, 1 to 72.
    pub nodes: Vec<Node>,
}

impl KeyPackage {
    /// The JSON: members in this order, no white space.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Room for all from the start: a vector that grows leaves keys behind in the memory that it gives back.
        let streams_bytes: usize = self.streams.iter().map(|keys| STREAM_BYTES_MAX + keys.nodes.len() * NODE_BYTES_MAX).sum();
        let mut json = Zeroizing::new(Vec::with_capacity(PACKAGE_BYTES_MAX + streams_bytes));
        let room_bytes = json.capacity();
        write!(json, r#"{{"type":"{TYPE}","log":"{}","streams":["#, self.log).expect(NEVER_FAILS);
        for (position, keys) in self.streams.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(json, r#"{comma}{{"stream":"{}","nodes":["#, keys.stream.as_str()).expect(NEVER_FAILS);
            for (position, node) in keys.nodes.iter().enumerate() {
                let comma = if position == 0 { "" } else { "," };
                let mut key = Zeroizing::new([0; KEY_DIGITS]);
                hex::encode_to_slice(node.key.as_slice(), &mut *key).expect("64 digits hold 32 bytes");
                write!(json, r#"{comma}{{"depth":{},"index":{},"key":""#, node.depth, node.index).expect(NEVER_FAILS);
                json.extend_from_slice(&*key);
                json.extend_from_slice(br#""}"#);
            }
            json.extend_from_slice(b"]}");
        }
        json.extend_from_slice(b"]}");
        debug_assert_eq!(json.capacity(), room_bytes, "the buffer grew, which leaves keys behind");
        json
    }

    /// Parses strictly, and takes only what `to_bytes` writes; checks that nodes are disjoint and in order.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > CONTENT_BYTES_MAX {
            return Err(EnvelopeError::Package("it is too long"));
        }
        // The parser's own message could quote a key.
        let json: PackageJson<'_> =
            serde_json::from_slice(bytes).map_err(|_| EnvelopeError::Package("it is not the JSON of a key package"))?;
        if json.r#type != TYPE {
            return Err(EnvelopeError::Package("its type is unknown"));
        }
        let log = Hash::from_hex(json.log).ok_or(EnvelopeError::Package("its log is not 64 lower-case hex digits"))?;
        let streams = json.streams.iter().map(StreamJson::read).collect::<Result<Vec<_>, _>>()?;
        let package = Self { log, streams };
        package.check()?;
        // One encoding: so neither an escape nor a repeated member nor an array in an object's place can say what other readers miss.
        // Compared in constant time, as all that holds keys: where it differs tells about what stands before.
        if !bool::from(package.to_bytes().ct_eq(bytes)) {
            return Err(EnvelopeError::Package("it is not in the one form that this project writes"));
        }
        Ok(package)
    }

    /// Seals it to wrapping certificates; see `envelope::seal`. One that nobody could read is refused: who holds many nodes can cover a range
    /// with more than a package takes.
    pub fn seal(&self, recipients: &[Certificate], entropy: Entropy<'_>) -> Result<Vec<u8>, EnvelopeError> {
        self.check()?;
        seal(&self.to_bytes(), recipients, entropy)
    }

    fn check(&self) -> Result<(), EnvelopeError> {
        if self.streams.is_empty() || self.streams.len() > STREAMS_MAX {
            return Err(EnvelopeError::Package("it does not have 1 to 1024 streams"));
        }
        let mut seen = BTreeSet::new();
        if !self.streams.iter().all(|keys| seen.insert(keys.stream.as_str())) {
            return Err(EnvelopeError::Package("it names a stream twice"));
        }
        for keys in &self.streams {
            if keys.nodes.is_empty() || keys.nodes.len() > NODES_MAX {
                return Err(EnvelopeError::Package("a stream does not have 1 to 72 nodes"));
            }
            if !are_in_order(&keys.nodes) {
                return Err(EnvelopeError::Package(NODES));
            }
        }
        Ok(())
    }

    /// The keys of one stream, whose name ends in the epoch. What was wrapped for another log, stream or epoch is refused: the names in a
    /// package are what binds it to its place, since an envelope itself has none.
    pub fn into_tree(self, log: &Hash, stream: &StreamName) -> Result<KeyTree, EnvelopeError> {
        if self.log != *log {
            return Err(EnvelopeError::Package("they are for another log"));
        }
        let keys = self.streams.into_iter().find(|keys| keys.stream == *stream);
        let keys = keys.ok_or(EnvelopeError::Package("they are not for this stream and epoch"))?;
        KeyTree::from_nodes(keys.nodes).map_err(|_| EnvelopeError::Package(NODES))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackageJson<'a> {
    r#type: &'a str,
    log: &'a str,
    #[serde(borrow)]
    streams: Vec<StreamJson<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamJson<'a> {
    stream: &'a str,
    #[serde(borrow)]
    nodes: Vec<NodeJson<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeJson<'a> {
    depth: u8,
    index: u32,
    /// Borrowed, so that no copy of the key is left in the parser's memory.
    key: &'a str,
}

impl StreamJson<'_> {
    fn read(&self) -> Result<StreamKeys, EnvelopeError> {
        let stream = StreamName::parse(self.stream).map_err(|_| EnvelopeError::Package("it names what is not a stream"))?;
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let mut key = Zeroizing::new([0; 32]);
            hex::decode_to_slice(node.key, &mut *key).map_err(|_| EnvelopeError::Package("a key is not 64 hex digits"))?;
            nodes.push(Node { depth: node.depth, index: node.index, key: NodeKey::new(&key) });
        }
        Ok(StreamKeys { stream, nodes })
    }
}

const NODES: &str = "nodes overlap, or are out of order or out of range";
const TYPE: &str = "exhibit-keys/v1";
const NEVER_FAILS: &str = "writing to a vector does not fail";
const KEY_DIGITS: usize = 64;
/// Upper bounds of what `to_bytes` writes for the package, for each stream (its name has at most 128 bytes) and for each node.
const PACKAGE_BYTES_MAX: usize = 128;
const STREAM_BYTES_MAX: usize = 160;
const NODE_BYTES_MAX: usize = 112;
