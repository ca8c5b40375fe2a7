//! A tree of DER values that can be spoilt and written again: written apart from what it judges, so that it is a second opinion.

#![allow(dead_code, clippy::unwrap_used)]

/// One value: a tag, and bytes or values in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub tag: u8,
    pub bytes: Vec<u8>,
    pub children: Vec<Node>,
}

impl Node {
    pub fn new(tag: u8, bytes: &[u8]) -> Self {
        Self { tag, bytes: bytes.to_vec(), children: vec![] }
    }
    /// Parses all of `der` as one value.
    pub fn parse(der: &[u8]) -> Self {
        let (node, rest) = Self::parse_one(der);
        assert!(rest.is_empty());
        node
    }
    fn parse_one(der: &[u8]) -> (Self, &[u8]) {
        let (tag, first) = (der[0], usize::from(der[1]));
        let (head, length) = match first {
            0..=0x7f => (2, first),
            0x81 => (3, usize::from(der[2])),
            0x82 => (4, usize::from(der[2]) * 256 + usize::from(der[3])),
            _ => panic!("no length of the tests is that long"),
        };
        let (mut content, rest) = (&der[head..head + length], &der[head + length..]);
        let mut node = Self::new(tag, &[]);
        if tag & 0x20 == 0 {
            node.bytes = content.to_vec();
            return (node, rest);
        }
        while !content.is_empty() {
            let (child, after) = Self::parse_one(content);
            node.children.push(child);
            content = after;
        }
        (node, rest)
    }
    pub fn to_der(&self) -> Vec<u8> {
        let mut content = self.bytes.clone();
        for child in &self.children {
            content.extend(child.to_der());
        }
        let length = content.len();
        let head = match length {
            0..=0x7f => vec![self.tag, length as u8],
            0x80..=0xff => vec![self.tag, 0x81, length as u8],
            _ => vec![self.tag, 0x82, (length / 256) as u8, (length % 256) as u8],
        };
        [head, content].concat()
    }
    /// The value at a path of positions.
    pub fn at(&mut self, path: &[usize]) -> &mut Self {
        path.iter().fold(self, |node, position| &mut node.children[*position])
    }
    /// Leaves a value's own form alone, but writes its length with one octet more than is needed.
    pub fn long_length(self) -> Self {
        let der = self.to_der();
        assert!(der[1] < 0x80);
        // As the bytes of a parent without children of its own, this stands as it is.
        Self::new(self.tag, &[&[der[0], 0x81, der[1]], &der[2..]].concat())
    }
}

pub const SIGNED_DATA: &[usize] = &[1, 0];
pub const DIGEST_ALGORITHMS: &[usize] = &[1, 0, 1];
pub const ENCAPSULATED: &[usize] = &[1, 0, 2];
pub const STATEMENT: &[usize] = &[1, 0, 2, 1, 0];
pub const SIGNERS: &[usize] = &[1, 0, 3];
pub const SIGNER: &[usize] = &[1, 0, 3, 0];
pub const ATTRIBUTES: &[usize] = &[1, 0, 3, 0, 3];
pub const SIGNATURE: &[usize] = &[1, 0, 3, 0, 5];
/// Positions of the attributes in DER's order, with the longer digest, SHA-384.
pub const CONTENT_TYPE: usize = 0;
pub const SIGNING_TIME: usize = 1;
pub const SIGNING_CERTIFICATE: usize = 2;
pub const MESSAGE_DIGEST: usize = 3;

/// The path of the value of an attribute.
pub fn value_of(attribute: usize) -> Vec<usize> {
    [ATTRIBUTES, &[attribute, 1, 0]].concat()
}
