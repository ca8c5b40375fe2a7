//! DER that was changed by its structure, so that it stays DER: elements gone, doubled, exchanged, of other tags, with other numbers. Whatever was
//! done, the verifier in Python finds what ours does.
//!
//! `EXHIBIT_SEED=<number>` makes other changes, `EXHIBIT_ROUNDS=<number>` more. What ever disagreed is a vector of its own elsewhere.

use exhibit_pki::crl::{NewRevocationList, Revocation};
use exhibit_pki::make_revocation_list;

use crate::forge::authority_certificate;
use crate::judged;
use crate::support::*;

/// Changes of each value in a run of `make test`.
const ROUNDS: u64 = 150;
/// To one value, at most.
const CHANGES_MAX: u64 = 2;
const SEED: u64 = 20_261_122;

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
        tlv(self.tag, &[&self.octets, &children.concat()])
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

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
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
fn changed(der: &[u8], random: &mut Random) -> Vec<u8> {
    let children = Node::parse_all(der).expect("the good one is DER");
    let mut whole = Node { tag: 0x30, octets: Vec::new(), children };
    assert_eq!(whole.to_der(), tlv(0x30, &[der]), "it is not written as it was read");
    for _ in 0..=random.below(CHANGES_MAX as usize) {
        change(&mut whole, random);
    }
    [&whole.octets[..], &whole.children.iter().map(Node::to_der).collect::<Vec<_>>().concat()].concat()
}

/// Everything of one round, judged by ours and remembered.
fn judge_changed(city: &City, random: &mut Random) {
    let camera = Forgery::camera(city).sign(&city.issuing_key);
    let _ = judged::read_certificate(&changed(&camera, random));
    let authority = authority_certificate(city).sign(&city.issuing_key);
    let _ = judged::read_chain_certificate(&changed(&authority, random));
    let revocations = [Revocation { serial: vec![7], revoked: at(FROM), reason: None, invalid_since: Some(at(FROM)) }];
    let list = NewRevocationList { number: 1, this_update: at(NOON), next_update: at(TO), revocations: &revocations };
    let list = make_revocation_list(&list, &city.issuing, &city.issuing_key).unwrap();
    let _ = judged::read_list(&changed(list.der(), random));
}

fn changes() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (seed, rounds) = (number("EXHIBIT_SEED", SEED), number("EXHIBIT_ROUNDS", ROUNDS));
    let city = City::new();
    let _ = judged::read_certificate(&Forgery::camera(&city).sign(&city.issuing_key));
    for round in 0..rounds {
        judge_changed(&city, &mut Random(seed.wrapping_mul(1_000_003).wrapping_add(round)));
    }
}

#[test]
fn both_verifiers_find_the_same_in_der_that_was_changed_by_its_structure() {
    judged::assert_agrees_on(&[changes], 3 * ROUNDS as usize);
}
