//! Parsers of `exhibit-tlog`: notes, keys, checkpoints, proofs, tiles, policies, and what logs and witnesses say to each other.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use exhibit_evidence::anchor::WitnessPolicy;
use exhibit_tlog::mirror::{EntryPackage, MirrorInfo, UploadHeader};
use exhibit_tlog::tile::{bundle_exists, decode_bundle, decode_tile, encode_bundle, encode_tile, full_tile_root, tile_exists};
use exhibit_tlog::witness::{FollowedLog, add_cosignatures, parse_conflict};
use exhibit_tlog::{
    AddCheckpoint, BundleId, Checkpoint, Ed25519Cosigner, Ed25519NoteSigner, Hash, HashReader, LogProof, LogVerifier, MlDsa44NoteSigner,
    Note, NoteSignature, NoteSigner, Policy, Subtree, TileId, VerifierKey, leaf_hash, prove_consistency, prove_inclusion, prove_subtree,
    root_of, verify_consistency, verify_inclusion, verify_subtree,
};
use zeroize::Zeroizing;

use super::text;

/// The log whose checkpoints are in the corpus: it signed the heads of the first entries of [`leaves`], and nothing else.
pub const ORIGIN: &str = "exhibit.example/log";
/// As many entries as a proof's target has.
const LEAVES: u64 = 64;

/// The log's signers, and a witness's: what the corpus is signed with.
pub fn log_signers() -> (Ed25519NoteSigner, MlDsa44NoteSigner) {
    let name = "the origin is a name";
    let ed25519 = Ed25519NoteSigner::new(ORIGIN, &Zeroizing::new([1; 32])).expect(name);
    (ed25519, MlDsa44NoteSigner::new(ORIGIN, &Zeroizing::new([2; 32])).expect(name))
}

/// The witness of the corpus.
pub fn witness() -> Ed25519Cosigner {
    Ed25519Cosigner::new("witness.example/1", &Zeroizing::new([3; 32])).expect("it is a name")
}

static LOG: LazyLock<LogVerifier> = LazyLock::new(|| {
    let (ed25519, ml_dsa) = log_signers();
    LogVerifier { origin: ORIGIN.to_owned(), keys: vec![ed25519.verifier_key().clone(), ml_dsa.verifier_key().clone()] }
});
static WITNESS: LazyLock<VerifierKey> = LazyLock::new(|| witness().verifier_key().clone());

/// Leaf hashes of the log of the corpus.
pub fn leaves() -> &'static [Hash] {
    static LEAF_HASHES: LazyLock<Vec<Hash>> = LazyLock::new(|| (0..LEAVES).map(|index| leaf_hash(&index.to_be_bytes())).collect());
    &LEAF_HASHES
}

/// The head of the log of the corpus at a size.
pub fn head(size: u64) -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size, root: root_of(&leaves()[..size as usize]) }
}

/// Perfect subtrees of the corpus's log.
pub struct Leaves;

impl HashReader for Leaves {
    type Error = Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let first = (index << level) as usize;
        Ok(root_of(&leaves()[first..first + (1 << level)]))
    }
}

/// Nobody but the log signs: what verifies is a head that it had.
fn assert_signed(checkpoint: &Checkpoint) {
    assert_eq!(*checkpoint, head(checkpoint.size), "a checkpoint that the log never signed was believed");
}

/// Signed notes.
pub fn note(input: &[u8]) -> bool {
    let Some(Ok(note)) = text(input).map(Note::parse) else { return false };
    assert_eq!(note.to_string().as_bytes(), input, "a note is not written as it was read");
    for key in LOG.keys.iter().chain([&*WITNESS]) {
        let _ = note.signature_of(key);
    }
    if note.verify(&LOG.keys).is_ok() {
        assert_signed(&Checkpoint::from_text(note.text()).expect("the log signs checkpoints only"));
    }
    true
}

/// Signature lines that stand alone.
pub fn note_lines(input: &[u8]) -> bool {
    let Some(Ok(lines)) = text(input).map(NoteSignature::parse_lines) else { return false };
    let written: String = lines.iter().map(ToString::to_string).collect();
    assert_eq!(written.as_bytes(), input, "signature lines are not written as they were read");
    static COSIGNED: LazyLock<(VerifierKey, NoteSignature)> = LazyLock::new(|| {
        let ((subtree, root), (_, ml_dsa)) = (cosigned_subtree(), log_signers());
        (ml_dsa.verifier_key().clone(), ml_dsa.sign_subtree(ORIGIN, subtree, &root).expect("an origin is a name"))
    });
    let (key, cosigned) = &*COSIGNED;
    let (subtree, root) = cosigned_subtree();
    for line in &lines {
        let verified = key.verify_subtree(ORIGIN, subtree, &root, line).is_ok();
        assert_eq!(verified, line == cosigned, "a cosignature that nobody made was believed, or the one that was made was not");
        assert_ne!(key.signed_unix_s(&line.signature), Some(0), "no time was told as a time");
        let other = Subtree::new(4, 6).expect("it is aligned");
        assert!(key.verify_subtree(ORIGIN, other, &root, line).is_err(), "a subtree that nobody cosigned");
    }
    true
}

/// The subtree that the log's ML-DSA-44 key cosigned; no other was.
pub fn cosigned_subtree() -> (Subtree, Hash) {
    (Subtree::new(4, 8).expect("it is aligned"), root_of(&leaves()[4..8]))
}

/// Verifier keys.
pub fn verifier_key(input: &[u8]) -> bool {
    if let Ok(key) = VerifierKey::ecdsa(ORIGIN, input) {
        assert_eq!(VerifierKey::parse(&key.to_string()).as_ref(), Ok(&key), "a key of a TPM reads otherwise once it was written");
        return true;
    }
    let Some(Ok(key)) = text(input).map(VerifierKey::parse) else { return false };
    assert_eq!(key.to_string().as_bytes(), input, "a key is not written as it was read");
    assert!(key.has_key_of(&key));
    true
}

/// Checkpoints, as texts and as signed notes.
pub fn checkpoint(input: &[u8]) -> bool {
    let Some(input) = text(input) else { return false };
    if let Ok(checkpoint) = Checkpoint::from_text(input) {
        assert_eq!(checkpoint.to_text(), input, "a checkpoint is not written as it was read");
        assert_eq!(Checkpoint::from_text_of_any_log(input), Ok(checkpoint), "a witness refuses what a log may sign");
    }
    if let Ok(checkpoint) = Checkpoint::from_text_of_any_log(input) {
        let extensions = input.strip_prefix(&checkpoint.to_text()).expect("a checkpoint is not written as it was read");
        assert!(extensions.is_empty() || (extensions.ends_with('\n') && !extensions.starts_with('\n') && !extensions.contains("\n\n")));
    }
    if let Ok(checkpoint) = LOG.verify(input) {
        assert_signed(&checkpoint);
    }
    Checkpoint::parse_unverified(input).is_ok()
}

/// Receipts.
pub fn log_proof(input: &[u8]) -> bool {
    let Some(Ok(proof)) = text(input).map(LogProof::parse) else { return false };
    let written = proof.to_text();
    assert_eq!(LogProof::parse(&written).as_ref(), Ok(&proof), "a receipt reads otherwise once it was written");
    let has_extra = input.windows(7).any(|window| window == b"\nextra ");
    assert!(has_extra || written.as_bytes() == input, "a receipt is not written as it was read");
    let claimed = usize::try_from(proof.index).ok().and_then(|index| leaves().get(index));
    let other = leaf_hash(b"an entry that the log does not have");
    assert!(proof.verify(&other, &LOG).is_err(), "a receipt proves an entry that the log does not have");
    if let Some(Ok(checkpoint)) = claimed.map(|leaf| proof.verify(leaf, &LOG)) {
        assert_signed(&checkpoint);
    }
    true
}

/// `[size, kind, a, b, items…]`: a proof put together from any nodes of the tree, each item naming one. With the right roots, it is
/// accepted exactly if it is the one that the prover gives.
pub fn proofs(input: &[u8]) -> bool {
    let [size, kind, a, b, items @ ..] = input else { return false };
    let size = u64::from(*size) % LEAVES + 1;
    let (a, b) = (u64::from(*a) % (LEAVES + 2), u64::from(*b) % (LEAVES + 2));
    let nodes = nodes_of(size);
    let path: Vec<Hash> = items.iter().take(80).map(|item| nodes[usize::from(*item) % nodes.len()]).collect();
    let root = head(size).root;
    match kind % 3 {
        0 => {
            let leaf = leaves()[(a % LEAVES) as usize];
            let accepted = verify_inclusion(&leaf, a, size, &path, &root).is_ok();
            let proven = (a < size).then(|| prove_inclusion(&Leaves, a, size)).is_some_and(|proven| proven == Ok(path));
            assert_eq!(accepted, proven, "inclusion of {a} in {size}");
            accepted
        }
        1 => {
            let old = head(a.min(LEAVES));
            let accepted = verify_consistency(old.size, &old.root, size, &root, &path).is_ok();
            let proven = (old.size <= size).then(|| prove_consistency(&Leaves, old.size, size)).is_some_and(|proven| proven == Ok(path));
            assert_eq!(accepted, proven, "consistency from {} to {size}", old.size);
            accepted
        }
        _ => {
            let Some(subtree) = Subtree::new(a, b).filter(|subtree| subtree.end() <= LEAVES) else { return false };
            let subtree_root = root_of(&leaves()[a as usize..b as usize]);
            let accepted = verify_subtree(subtree, &subtree_root, size, &root, &path).is_ok();
            let proven = (b <= size).then(|| prove_subtree(&Leaves, subtree, size)).is_some_and(|proven| proven == Ok(path));
            assert_eq!(accepted, proven, "subtree {a}..{b} in {size}");
            accepted
        }
    }
}

/// The nodes of the tree of that size, and one of another. Items of [`proofs`] are positions in it.
pub fn nodes_of(size: u64) -> Vec<Hash> {
    let mut nodes = BTreeMap::new();
    for level in 0..=LEAVES.ilog2() {
        for start in (0..size).step_by(1 << level) {
            let end = (start + (1 << level)).min(size);
            nodes.insert((level, start), root_of(&leaves()[start as usize..end as usize]));
        }
    }
    nodes.into_values().chain([leaf_hash(b"another tree")]).collect()
}

/// Paths of tiles and of entry bundles.
pub fn tile_path(input: &[u8]) -> bool {
    let Some(input) = text(input) else { return false };
    let tile = TileId::parse(input);
    if let Ok(tile) = tile {
        assert_eq!(tile.path(), input, "a tile's path has two spellings");
        let _ = tile_exists(tile, u64::MAX);
        assert!(!tile_exists(tile, 0), "an empty tree has a tile");
    }
    let bundle = BundleId::parse(input);
    if let Ok(bundle) = bundle {
        assert_eq!(bundle.path(), input, "a bundle's path has two spellings");
        let _ = bundle_exists(bundle, u64::MAX);
    }
    tile.is_ok() || bundle.is_ok()
}

/// Two bytes of width, then the tile.
pub fn tile(input: &[u8]) -> bool {
    let Some((width, input)) = input.split_first_chunk() else { return false };
    let width = u16::from_be_bytes(*width);
    let Ok(hashes) = decode_tile(input, width) else { return false };
    assert_eq!(hashes.len(), usize::from(width));
    assert_eq!(encode_tile(&hashes), input, "a tile is not written as it was read");
    if let Ok(root) = full_tile_root(&hashes) {
        assert_eq!(root, root_of(&hashes));
    }
    true
}

/// Two bytes of width, then the bundle.
pub fn entry_bundle(input: &[u8]) -> bool {
    let Some((width, input)) = input.split_first_chunk() else { return false };
    let width = u16::from_be_bytes(*width);
    let Ok(entries) = decode_bundle(input, width) else { return false };
    assert_eq!(entries.len(), usize::from(width));
    assert_eq!(encode_bundle(&entries).as_deref(), Ok(input), "a bundle is not written as it was read");
    true
}

/// Witness policies.
pub fn policy(input: &[u8]) -> bool {
    let Some(input) = text(input) else { return false };
    let of_anchor = WitnessPolicy::parse(input, &LOG);
    let Ok(policy) = Policy::parse(input) else {
        assert!(of_anchor.is_err(), "an anchor's policy is no policy");
        return false;
    };
    let signed = head(8).sign(&[&log_signers().0], SIGNED_UNIX_S).expect("a head is signed");
    let _ = policy.verify(&signed);
    if let Ok(witnessed) = policy.verify_of(&LOG, &signed) {
        panic!("one of the log's two keys was enough: {witnessed:?}");
    }
    for log in policy.logs() {
        assert!(policy.log(log.key.name()).is_some_and(|found| found.keys.contains(&log.key)), "a log of the policy is not found");
    }
    assert!(policy.witnesses().iter().all(|witness| witness.key.algorithm().is_cosignature()), "a witness that can not witness");
    true
}

/// When the corpus was signed.
pub const SIGNED_UNIX_S: u64 = 1_795_176_002;

/// Requests to a witness.
pub fn add_checkpoint(input: &[u8]) -> bool {
    let Some(Ok(request)) = text(input).map(AddCheckpoint::parse) else { return false };
    assert_eq!(request.to_text().as_bytes(), input, "a request is not written as it was read");
    assert!(request.origin().is_ok(), "a request without an origin was accepted");
    // Followed by one key or another, none of which has signed a line behind the three.
    let followed = FollowedLog { takes_any_key: true, ..LOG.clone().into() };
    if let Ok(checkpoint) = followed.verify(&request.checkpoint) {
        assert_signed(&checkpoint);
        assert!(request.checkpoint.starts_with(&format!("{}\n", checkpoint.to_text())), "a line was believed that nobody signed");
    }
    for latest in [None, Some(head(3)), Some(head(5))] {
        match request.judge(&LOG.clone().into(), latest.as_ref()) {
            Ok(checkpoint) => {
                assert_signed(&checkpoint);
                assert!(latest.is_none_or(|latest| latest.size <= checkpoint.size), "a witness went backwards");
            }
            Err(refusal) => assert!((400..500).contains(&refusal.status()) && refusal.body().ends_with('\n')),
        }
    }
    true
}

/// An upload to a mirror: the header, and what of its packages is there.
pub fn add_entries(input: &[u8]) -> bool {
    let Ok(Some((header, mut rest))) = UploadHeader::parse(input) else { return false };
    let bytes = header.to_bytes().expect("fields that were read fit");
    assert_eq!([&bytes[..], rest].concat(), input, "a header is not written as it was read");
    let mut start = header.start;
    while start < header.end {
        let end = EntryPackage::end(start, header.end);
        assert!(end > start && end - start <= 256, "a package of {} entries", end - start);
        let Ok(Some((package, after))) = EntryPackage::parse(rest, (end - start) as u16) else { break };
        assert_eq!(package.entries.len() as u64, end - start);
        let entries: Vec<&[u8]> = package.entries.iter().map(Vec::as_slice).collect();
        let bytes = EntryPackage::encode(&entries, &package.proof).expect("a package that was read can be written");
        assert_eq!([&bytes[..], after].concat(), rest, "a package is not written as it was read");
        (start, rest) = (end, after);
    }
    true
}

/// Where a mirror says that it is.
pub fn mirror_info(input: &[u8]) -> bool {
    let Some(info) = text(input).and_then(MirrorInfo::parse) else { return false };
    assert_eq!(info.to_text().as_bytes(), input, "it has two spellings");
    true
}

/// A witness's answer to the head of eight entries, or the size that it gives where the log was wrong about it.
pub fn cosignatures(input: &[u8]) -> bool {
    let Some(answer) = text(input) else { return false };
    if let Some(size) = parse_conflict(answer) {
        assert_eq!(format!("{size}\n"), answer, "a size has two spellings");
        return true;
    }
    static SIGNED: LazyLock<String> = LazyLock::new(|| {
        let (ed25519, ml_dsa) = log_signers();
        head(8).sign(&[&ed25519, &ml_dsa], SIGNED_UNIX_S).expect("a head is signed")
    });
    let Ok(cosigned) = add_cosignatures(&SIGNED, answer, std::slice::from_ref(&*WITNESS)) else { return false };
    assert_signed(&LOG.verify(&cosigned).expect("the log's own lines are kept"));
    let note = Note::parse(&cosigned).expect("what is put together is a note");
    assert!(note.verify(std::slice::from_ref(&*WITNESS)).is_ok(), "a cosignature that does not verify was taken");
    true
}
