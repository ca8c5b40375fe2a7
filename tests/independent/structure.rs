//! DER that is changed by its structure, so that it stays DER, or nearly: elements gone, doubled, exchanged, of other tags, with other numbers. Tests
//! include this file by its path, beside `chance.rs`.
//!
//! It does not know what the elements mean.

use super::chance::Random;

/// To one value, at most.
const CHANGES_MAX: u64 = 2;

/// One element: a tag, and octets or elements in it.
#[derive(Clone)]
struct Node {
    tag: u8,
    /// What stands before the elements: the unused bits of a BIT STRING.
    octets: Vec<u8>,
    children: Vec<Node>,
}

impl Node {
    /// All of some DER as elements end to end, gone into octets that are elements themselves; `None` if it is not that.
    fn parse_all(mut der: &[u8]) -> Option<Vec<Self>> {
        let mut nodes = Vec::new();
        while let [tag, first, after @ ..] = der {
            let (length, after) = match first {
                0..=0x7f => (usize::from(*first), after),
                0x81..=0x83 => {
                    let (length, after) = after.split_at_checked(usize::from(first & 0x7f))?;
                    (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), after)
                }
                _ => return None,
            };
            let (content, behind) = after.split_at_checked(length)?;
            let may_hold = tag & 0x20 != 0 || (*tag == 4 && content.len() > 2);
            let children = if may_hold { Self::parse_all(content).filter(|children| !children.is_empty()) } else { None };
            let octets = if children.is_some() { Vec::new() } else { content.to_vec() };
            nodes.push(Self { tag: *tag, octets, children: children.unwrap_or_default() });
            der = behind;
        }
        der.is_empty().then_some(nodes)
    }

    fn to_der(&self) -> Vec<u8> {
        let children: Vec<Vec<u8>> = self.children.iter().map(Self::to_der).collect();
        element(self.tag, &[&self.octets[..], &children.concat()].concat())
    }

    fn count(&self) -> usize {
        1 + self.children.iter().map(Self::count).sum::<usize>()
    }

    /// The element of a number, in the order in which they are written.
    fn at(&mut self, number: usize) -> &mut Self {
        let mut left = number;
        let mut node = self;
        while left > 0 {
            left -= 1;
            let position = node.children.iter().position(|child| {
                let inside = left < child.count();
                if !inside {
                    left -= child.count();
                }
                inside
            });
            node = &mut node.children[position.expect("there are so many")];
        }
        node
    }
}

/// An element, in as few bytes of length as it takes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let short = content.len() < 0x80;
    let header = if short { vec![tag, content.len() as u8] } else { [&[tag, 0x80 | length.len() as u8], length].concat() };
    [&header[..], content].concat()
}

/// Tags of values that certificates, lists and tokens have.
const TAGS: [u8; 16] = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x17, 0x18, 0x30, 0x31, 0x80, 0xa0, 0xa3];

/// Does one thing to one element.
fn change(whole: &mut Node, random: &mut Random) {
    let number = random.below(whole.count());
    let others = whole.clone().at(random.below(whole.count())).clone();
    let node = whole.at(number);
    let child = random.below(node.children.len());
    let has_children = !node.children.is_empty();
    match random.below(12) {
        0 if has_children => drop(node.children.remove(child)),
        1 if has_children => node.children.insert(child, node.children[child].clone()),
        2 if has_children => {
            let next = (child + 1) % node.children.len();
            node.children.swap(child, next);
        }
        3 => node.tag = TAGS[random.below(TAGS.len())],
        4 => (node.octets, node.children) = (Vec::new(), Vec::new()),
        5 => node.octets.insert(0, 0),
        6 => node.octets.insert(0, 0x80),
        7 if !node.octets.is_empty() => {
            let place = random.below(node.octets.len());
            node.octets[place] ^= 1 << random.below(8);
        }
        8 if !node.octets.is_empty() => drop(node.octets.pop()),
        9 => node.octets.push(random.next() as u8),
        10 => *node = others,
        _ => node.children.push(others),
    }
}

/// Elements end to end, changed.
pub fn changed(der: &[u8], random: &mut Random) -> Vec<u8> {
    let children = Node::parse_all(der).expect("the good one is DER");
    let mut whole = Node { tag: 0x30, octets: Vec::new(), children };
    assert_eq!(whole.to_der(), element(0x30, der), "it is not written as it was read");
    for _ in 0..=random.below(CHANGES_MAX as usize) {
        change(&mut whole, random);
    }
    [&whole.octets[..], &whole.children.iter().map(Node::to_der).collect::<Vec<_>>().concat()].concat()
}
