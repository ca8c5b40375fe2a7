//! Every tree of up to 300 leaves against the recursive definitions of RFC 6962, and vectors made by another program.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;

use exhibit_tlog::{
    EMPTY_ROOT, Hash, HashReader, MerkleFrontier, ProofError, Subtree, leaf_hash, node_hash, prove_consistency, prove_inclusion,
    prove_subtree, root_at, root_of,
};
use sha2::{Digest, Sha256};

use judged::{assert_agrees_on, new_subtree};

mod judged;

const LEAVES: usize = 300;
/// The verifier in Python judges what is proven of trees up to this size and beyond the exhaustive ones: it is slower by a factor of a hundred.
const ASKED_MAX: u64 = 20;

fn is_asked(size: u64) -> bool {
    size <= ASKED_MAX || size > LEAVES as u64
}

fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    let verify = if is_asked(size) { judged::verify_inclusion } else { exhibit_tlog::verify_inclusion };
    verify(leaf, index, size, path, root)
}

fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    let verify = if is_asked(new) { judged::verify_consistency } else { exhibit_tlog::verify_consistency };
    verify(old, old_root, new, new_root, path)
}

fn verify_subtree(subtree: Subtree, root: &Hash, size: u64, whole: &Hash, path: &[Hash]) -> Result<(), ProofError> {
    let verify = if is_asked(size) { judged::verify_subtree } else { exhibit_tlog::verify_subtree };
    verify(subtree, root, size, whole, path)
}

/// The definitions of RFC 6962 section 2.1, word for word, over ranges of leaves.
struct Recursive {
    leaves: Vec<Hash>,
    roots: RefCell<HashMap<(usize, usize), Hash>>,
}

impl Recursive {
    fn new(count: usize) -> Self {
        Self { leaves: (0..count).map(entry_leaf).collect(), roots: RefCell::default() }
    }

    fn split(size: usize) -> usize {
        let mut k = 1;
        while k * 2 < size {
            k *= 2;
        }
        k
    }

    fn root(&self, start: usize, end: usize) -> Hash {
        match end - start {
            0 => return EMPTY_ROOT,
            1 => return self.leaves[start],
            _ => {}
        }
        if let Some(root) = self.roots.borrow().get(&(start, end)) {
            return *root;
        }
        let k = start + Self::split(end - start);
        let root = node_hash(&self.root(start, k), &self.root(k, end));
        self.roots.borrow_mut().insert((start, end), root);
        root
    }

    fn path(&self, leaf: usize, start: usize, end: usize) -> Vec<Hash> {
        if end - start == 1 {
            return Vec::new();
        }
        let k = start + Self::split(end - start);
        let (mut path, sibling) =
            if leaf < k { (self.path(leaf, start, k), self.root(k, end)) } else { (self.path(leaf, k, end), self.root(start, k)) };
        path.push(sibling);
        path
    }

    fn subproof(&self, old: usize, start: usize, end: usize, whole: bool) -> Vec<Hash> {
        if old == end {
            return if whole { Vec::new() } else { vec![self.root(start, end)] };
        }
        let k = start + Self::split(end - start);
        let (mut path, sibling) = if old <= k {
            (self.subproof(old, start, k, whole), self.root(k, end))
        } else {
            (self.subproof(old, k, end, false), self.root(start, k))
        };
        path.push(sibling);
        path
    }
}

/// Every subtree that ends within `size` leaves, by the words of the draft.
fn subtrees(size: u64) -> impl Iterator<Item = Subtree> {
    (1..=size).flat_map(|end| (0..end).filter_map(move |start| Subtree::new(start, end)))
}

fn entry_leaf(index: usize) -> Hash {
    leaf_hash(format!("entry {index}").as_bytes())
}

/// What a log keeps: the hashes that the frontier told of, and no others.
#[derive(Default)]
struct Kept(HashMap<(u8, u64), Hash>);

impl HashReader for Kept {
    type Error = Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(*self.0.get(&(level, index)).expect("only perfect subtrees within the tree are read"))
    }
}

impl Kept {
    fn of(leaves: &[Hash]) -> Self {
        let mut kept = Self::default();
        let mut frontier = MerkleFrontier::default();
        for leaf in leaves {
            frontier.push(*leaf, |level, index, hash| assert!(kept.0.insert((level, index), hash).is_none()));
        }
        kept
    }
}

fn altered(path: &[Hash], at: usize) -> Vec<Hash> {
    let mut path = path.to_vec();
    path[at].0[at % 32] ^= 1;
    path
}

#[test]
fn roots_are_those_of_the_definition() {
    let tree = Recursive::new(LEAVES);
    let mut frontier = MerkleFrontier::default();
    for size in 0..=LEAVES {
        let kept = Kept::of(&tree.leaves[..size]);
        assert_eq!(root_of(&tree.leaves[..size]), tree.root(0, size), "root_of, size {size}");
        assert_eq!(frontier.root(), tree.root(0, size), "frontier, size {size}");
        assert_eq!(root_at(&kept, size as u64).unwrap(), tree.root(0, size), "root_at, size {size}");
        if size < LEAVES {
            frontier.push(tree.leaves[size], |_, _, _| {});
        }
    }
}

#[test]
fn inclusion_holds_for_every_leaf_of_every_tree_and_for_nothing_else() {
    let tree = Recursive::new(LEAVES);
    let kept = Kept::of(&tree.leaves);
    for size in 1..=LEAVES {
        let root = tree.root(0, size);
        for index in 0..size {
            let leaf = &tree.leaves[index];
            let path = prove_inclusion(&kept, index as u64, size as u64).unwrap();
            assert_eq!(path, tree.path(index, 0, size), "leaf {index} of {size}");
            let verify =
                |leaf: &Hash, index: usize, path: &[Hash], root: &Hash| verify_inclusion(leaf, index as u64, size as u64, path, root);
            assert_eq!(verify(leaf, index, &path, &root), Ok(()), "leaf {index} of {size}");

            for at in 0..path.len() {
                assert_eq!(verify(leaf, index, &altered(&path, at), &root), Err(ProofError::Root), "altered hash {at}");
                assert_eq!(verify(leaf, index, &path[..at], &root), Err(ProofError::Length), "cut to {at}");
            }
            let surplus = [&path[..], &[root]].concat();
            assert_eq!(verify(leaf, index, &surplus, &root), Err(ProofError::Length), "surplus hash");
            assert_eq!(verify(&leaf_hash(b"another"), index, &path, &root), Err(ProofError::Root), "another leaf");
            assert_eq!(verify(leaf, index, &path, &EMPTY_ROOT), Err(ProofError::Root), "another root");
            assert_eq!(verify(leaf, size, &path, &root), Err(ProofError::OutOfRange), "index equal to the size");
            assert_eq!(verify(leaf, size + index, &path, &root), Err(ProofError::OutOfRange), "index beyond the size");
            for other in [index ^ 1, index ^ 2, size - 1 - index] {
                assert_eq!(verify(leaf, other, &path, &root).is_ok(), other == index, "leaf {index} as {other} of {size}");
            }
        }
    }
}

#[test]
fn consistency_holds_for_every_pair_of_trees_and_for_nothing_else() {
    let tree = Recursive::new(LEAVES);
    let kept = Kept::of(&tree.leaves);
    for new in 1..=LEAVES {
        let new_root = tree.root(0, new);
        for old in 1..=new {
            let old_root = tree.root(0, old);
            let path = prove_consistency(&kept, old as u64, new as u64).unwrap();
            assert_eq!(path, tree.subproof(old, 0, new, true), "{old} to {new}");
            let verify =
                |old_root: &Hash, new_root: &Hash, path: &[Hash]| verify_consistency(old as u64, old_root, new as u64, new_root, path);
            assert_eq!(verify(&old_root, &new_root, &path), Ok(()), "{old} to {new}");

            for at in 0..path.len() {
                assert_eq!(verify(&old_root, &new_root, &altered(&path, at)), Err(ProofError::Root), "altered hash {at}");
                assert_eq!(verify(&old_root, &new_root, &path[..at]), Err(ProofError::Length), "cut to {at}");
            }
            let surplus = [&path[..], &[new_root]].concat();
            assert_eq!(verify(&old_root, &new_root, &surplus), Err(ProofError::Length), "surplus hash");
            assert_eq!(verify(&EMPTY_ROOT, &new_root, &path), Err(ProofError::Root), "another old root");
            assert_eq!(verify(&old_root, &EMPTY_ROOT, &path), Err(ProofError::Root), "another new root");
            if old < new {
                let backwards = verify_consistency(new as u64, &new_root, old as u64, &old_root, &path);
                assert_eq!(backwards, Err(ProofError::OutOfRange), "a tree that shrank");
            }
        }
    }
}

#[test]
fn the_empty_tree_is_consistent_with_everything_and_proven_by_nothing() {
    let tree = Recursive::new(3);
    let kept = Kept::of(&tree.leaves);
    let root = tree.root(0, 3);
    assert_eq!(prove_consistency(&kept, 0, 3).unwrap(), []);
    assert_eq!(verify_consistency(0, &EMPTY_ROOT, 3, &root, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &EMPTY_ROOT, 0, &EMPTY_ROOT, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &root, 3, &root, &[]), Err(ProofError::Root), "an empty tree with another root");
    assert_eq!(verify_consistency(0, &root, 0, &root, &[]), Err(ProofError::Root), "an empty tree with another root, twice");
    assert_eq!(verify_consistency(0, &EMPTY_ROOT, 0, &root, &[]), Err(ProofError::Root), "empty, then not");
    assert_eq!(verify_consistency(0, &EMPTY_ROOT, 3, &root, &[root]), Err(ProofError::Length), "surplus hash");
    assert_eq!(verify_inclusion(&EMPTY_ROOT, 0, 0, &[], &EMPTY_ROOT), Err(ProofError::OutOfRange), "leaf of an empty tree");
}

#[test]
fn sizes_near_the_end_of_u64_neither_panic_nor_pass() {
    let hash = leaf_hash(b"");
    let paths = [vec![], vec![hash; 63], vec![hash; 64], vec![hash; 65]];
    for path in &paths {
        for size in [1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX] {
            for index in [0, 1, size / 2, size - 2, size - 1] {
                assert!(verify_inclusion(&hash, index, size, path, &hash).is_err(), "leaf {index} of {size}");
            }
            for old in [1, 1 << 62, 1 << 63, size - 1] {
                if old < size {
                    assert!(verify_consistency(old, &hash, size, &hash, path).is_err(), "{old} to {size}");
                }
            }
        }
    }
}

/// The accumulated vectors in appendix C of draft-ietf-plants-merkle-tree-certs-05: every subtree of every tree to 130 leaves, of
/// which leaf i is the byte i.
#[test]
fn subtrees_and_their_proofs_are_those_of_the_draft() {
    let tree = Recursive { leaves: (0..130).map(|index: u8| leaf_hash(&[index])).collect(), roots: RefCell::default() };
    let kept = Kept::of(&tree.leaves);
    let root = |subtree: Subtree| tree.root(subtree.start() as usize, subtree.end() as usize);
    let mut roots = Sha256::new();
    for subtree in subtrees(130) {
        roots.update(format!("[{}, {}) {}\n", subtree.start(), subtree.end(), root(subtree)));
    }
    assert_eq!(hex::encode(roots.finalize()), "94a95384a8c69acea9b50d035a58285b3a777cb7a724005faa5e1f1e1190007f");

    let mut proofs = Sha256::new();
    for size in 0..=130 {
        let whole = tree.root(0, size as usize);
        for subtree in subtrees(size) {
            let path = prove_subtree(&kept, subtree, size).unwrap();
            proofs.update(format!("[{}, {}) {size}", subtree.start(), subtree.end()));
            path.iter().for_each(|hash| proofs.update(format!(" {hash}")));
            proofs.update("\n");

            let verify = |path: &[Hash]| verify_subtree(subtree, &root(subtree), size, &whole, path);
            assert_eq!(verify(&path), Ok(()), "{subtree:?} of {size}");
            for at in 0..path.len() {
                assert_eq!(verify(&altered(&path, at)), Err(ProofError::Root), "{subtree:?} of {size}: altered hash {at}");
                assert_eq!(verify(&path[..at]), Err(ProofError::Length), "{subtree:?} of {size}: cut to {at}");
            }
            let surplus = [&path[..], &[whole]].concat();
            assert_eq!(verify(&surplus), Err(ProofError::Length), "{subtree:?} of {size}: surplus hash");
            let another = verify_subtree(subtree, &EMPTY_ROOT, size, &whole, &path);
            assert_eq!(another, Err(ProofError::Root), "{subtree:?} of {size}: another subtree");
            let another = verify_subtree(subtree, &root(subtree), size, &EMPTY_ROOT, &path);
            assert_eq!(another, Err(ProofError::Root), "{subtree:?} of {size}: another tree");
        }
    }
    assert_eq!(hex::encode(proofs.finalize()), "c586ebbb73a5621baf2140095d87dde934e3b6503a562a1a5215b8209edd083d");
}

#[test]
fn a_subtree_is_proven_at_its_own_place_only() {
    let tree = Recursive::new(70);
    let kept = Kept::of(&tree.leaves);
    let whole = tree.root(0, 70);
    for subtree in subtrees(70) {
        let root = tree.root(subtree.start() as usize, subtree.end() as usize);
        let path = prove_subtree(&kept, subtree, 70).unwrap();
        for other in subtrees(70).filter(|other| *other != subtree) {
            assert!(verify_subtree(other, &root, 70, &whole, &path).is_err(), "{subtree:?} as {other:?}");
        }
        let past_the_tree = verify_subtree(subtree, &root, subtree.end() - 1, &whole, &path);
        assert_eq!(past_the_tree, Err(ProofError::OutOfRange), "{subtree:?} of a tree that ends in it");
    }
}

#[test]
fn subtrees_are_aligned_and_not_empty() {
    // The large ones are the examples of the draft, appendix C.
    for (start, end) in [(0, 1), (0, 3), (4, 8), (8, 13), (u64::MAX - 1, u64::MAX)] {
        assert!(new_subtree(start, end).is_some(), "{start} to {end}");
    }
    for end in [(1 << 47) + 1, (1 << 62) + 1, (1 << 63) - 1, (1 << 63) + 1, u64::MAX] {
        assert!(new_subtree(0, end).is_some(), "0 to {end}");
    }
    let refused = [
        ("empty", (8, 8)),
        ("empty, of the empty tree", (0, 0)),
        ("backwards", (8, 4)),
        ("not aligned", (4, 9)),
        ("not aligned by one", (1, 3)),
        ("a power of two too small", (1 << 46, (1 << 47) + 1)),
        ("a power of two too small, of a tree of 2^63", (1 << 62, (1 << 63) + 1)),
        ("more than 2^63 leaves from another start", (1 << 62, u64::MAX)),
        ("more than 2^63 leaves from 1", (1, u64::MAX)),
    ];
    for (defect, (start, end)) in refused {
        assert_eq!(new_subtree(start, end), None, "{defect}");
    }
    let hash = leaf_hash(b"");
    for path in [vec![], vec![hash; 62], vec![hash; 63], vec![hash; 64]] {
        for subtree in [Subtree::new(0, u64::MAX), Subtree::new(1 << 62, 1 << 63), Subtree::new(u64::MAX - 1, u64::MAX)] {
            for size in [1, u64::MAX - 1, u64::MAX] {
                let passes = verify_subtree(subtree.unwrap(), &hash, size, &hash, &path).is_ok();
                assert_eq!(passes, subtree == Subtree::new(0, size) && path.is_empty(), "{subtree:?} of {size}");
            }
        }
    }
}

#[test]
fn subtree_proofs_equal_those_of_another_program() {
    let leaves: Vec<Hash> = (0..33).map(entry_leaf).collect();
    let kept = Kept::of(&leaves);
    let mut seen = 0;
    for line in include_str!("vectors/subtrees.txt").lines() {
        let [_, start, end, size, root, ref path @ ..] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let subtree = Subtree::new(start.parse().unwrap(), end.parse().unwrap()).unwrap();
        let (size, root) = (size.parse().unwrap(), Hash::from_hex(root).unwrap());
        let path: Vec<Hash> = path.iter().map(|hash| Hash::from_base64(hash).unwrap()).collect();
        assert_eq!(prove_subtree(&kept, subtree, size).unwrap(), path, "{line}");
        assert_eq!(root_of(&leaves[subtree.start() as usize..subtree.end() as usize]), root, "{line}");
        assert_eq!(judged::verify_subtree(subtree, &root, size, &root_of(&leaves[..size as usize]), &path), Ok(()), "{line}");
        seen += 1;
    }
    assert_eq!(seen, 198, "the vectors are not whole");
}

#[test]
fn trees_and_proofs_equal_those_of_another_program() {
    let mut roots = HashMap::new();
    let leaves: Vec<Hash> = (0..1000).map(entry_leaf).collect();
    let kept = Kept::of(&leaves);
    let vectors = include_str!("vectors/trees.txt");
    for line in vectors.lines().filter(|line| line.starts_with("root ")) {
        let [_, size, root] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        roots.insert(size.parse::<u64>().unwrap(), Hash::from_hex(root).unwrap());
    }
    let mut proofs = 0;
    for line in vectors.lines() {
        let mut words = line.split(' ');
        let kind = words.next().unwrap();
        let first: u64 = words.next().unwrap().parse().unwrap();
        if kind == "root" {
            assert_eq!(root_of(&leaves[..first as usize]), roots[&first], "{line}");
            continue;
        }
        let size: u64 = words.next().unwrap().parse().unwrap();
        let path: Vec<Hash> = words.map(|hash| Hash::from_base64(hash).unwrap()).collect();
        if kind == "inclusion" {
            assert_eq!(prove_inclusion(&kept, first, size).unwrap(), path, "{line}");
            judged::verify_inclusion(&leaves[first as usize], first, size, &path, &roots[&size]).unwrap();
        } else {
            assert_eq!(kind, "consistency");
            assert_eq!(prove_consistency(&kept, first, size).unwrap(), path, "{line}");
            judged::verify_consistency(first, &roots[&first], size, &roots[&size], &path).unwrap();
        }
        proofs += 1;
    }
    assert_eq!((roots.len(), proofs), (20, 289), "the vectors are not whole");
}

/// The reference trees of Certificate Transparency (`ReferenceMerkleTree` tests in google/certificate-transparency).
#[test]
fn roots_equal_those_of_certificate_transparency() {
    let entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(&hex::decode(entry).unwrap())).collect();
    for (count, root) in roots.iter().enumerate() {
        assert_eq!(root_of(&leaves[..=count]).to_string(), *root, "{} entries", count + 1);
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 9] = [
        inclusion_holds_for_every_leaf_of_every_tree_and_for_nothing_else,
        consistency_holds_for_every_pair_of_trees_and_for_nothing_else,
        the_empty_tree_is_consistent_with_everything_and_proven_by_nothing,
        sizes_near_the_end_of_u64_neither_panic_nor_pass,
        subtrees_and_their_proofs_are_those_of_the_draft,
        a_subtree_is_proven_at_its_own_place_only,
        subtrees_are_aligned_and_not_empty,
        subtree_proofs_equal_those_of_another_program,
        trees_and_proofs_equal_those_of_another_program,
    ];
    assert_agrees_on(&tests, 5_000);
}
