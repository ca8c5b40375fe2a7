//! What a mirror is sent, and what it leaves in its copy.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use exhibit_tlog::mirror::{EntryPackage, MirrorInfo, UploadHeader};
use exhibit_tlog::tile::{decode_bundle, decode_tile};
use exhibit_tlog::{
    AddCheckpoint, BundleId, Checkpoint, Ed25519Cosigner, Ed25519NoteSigner, Hash, HashReader, LogVerifier, Note, NoteSigner, Subtree,
    TileId, leaf_hash, prove_subtree, root_of,
};
use exhibit_witness::disk::Disk;
use exhibit_witness::mirror::{Mirror, UploadError, Uploaded};
use exhibit_witness::store::Store;
use exhibit_witness::witness::{Witness, origin_hash};
use zeroize::Zeroizing;

/// The log that is mirrored.
pub const MIRRORED: &str = "exhibit.example/mirrored";
/// A full bundle, and a part of the next.
pub const SIZE: u64 = 300;
/// Entries of a full bundle.
const WIDTH: u64 = 256;
/// When everything happens.
const UNIX_S: u64 = 1_795_176_000;

/// A short entry of the log.
pub fn entry(index: u64) -> Vec<u8> {
    index.to_be_bytes()[8 - (index % 4) as usize..].to_vec()
}

static LEAVES: LazyLock<Vec<Hash>> = LazyLock::new(|| (0..SIZE).map(|index| leaf_hash(&entry(index))).collect());

/// Perfect subtrees of the log.
struct Leaves;

impl HashReader for Leaves {
    type Error = std::convert::Infallible;
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let first = (index << level) as usize;
        Ok(root_of(&LEAVES[first..first + (1 << level)]))
    }
}

fn head() -> Checkpoint {
    Checkpoint { origin: MIRRORED.to_owned(), size: SIZE, root: root_of(&LEAVES) }
}

fn log_signer() -> Ed25519NoteSigner {
    Ed25519NoteSigner::new(MIRRORED, &Zeroizing::new([1; 32])).expect("it is a name")
}

fn cosigner(name: &str, secret: u8) -> Arc<dyn NoteSigner> {
    Arc::new(Ed25519Cosigner::new(name, &Zeroizing::new([secret; 32])).expect("it is a name"))
}

/// The upload of the entries from `start` on.
pub fn upload(start: u64) -> Vec<u8> {
    let mut bytes = header(start);
    let mut from = start;
    while from < SIZE {
        let to = EntryPackage::end(from, SIZE);
        let entries: Vec<Vec<u8>> = (from..to).map(entry).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let subtree = Subtree::new(from - from % WIDTH, to).expect("a bundle is a subtree");
        let Ok(proof) = prove_subtree(&Leaves, subtree, SIZE);
        bytes.extend(EntryPackage::encode(&entries, &proof).expect("a bundle of short entries"));
        from = to;
    }
    bytes
}

fn header(start: u64) -> Vec<u8> {
    let header = UploadHeader { origin: MIRRORED.to_owned(), start, end: SIZE, ticket: Vec::new() };
    header.to_bytes().expect("its fields are short")
}

/// A disk whose syncs cost nothing: no power fails here.
struct Untimely;

impl Disk for Untimely {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(path, bytes)
    }
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path).map(drop)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path).map(drop)
    }
}

/// A witness that has cosigned the log's head, which so is pending.
static WITNESS: LazyLock<(tempfile::TempDir, Witness)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let log = LogVerifier { origin: MIRRORED.to_owned(), keys: vec![log_signer().verifier_key().clone()] };
    let store = Store::open(folder.path(), Arc::new(Untimely)).expect("the folder is empty");
    let witness = Witness::open(vec![cosigner("witness.example/1", 3)], vec![log], store).expect("nothing is kept yet");
    let checkpoint = head().sign(&[&log_signer()], UNIX_S).expect("it is a head");
    let request = AddCheckpoint { old_size: 0, proof: Vec::new(), checkpoint }.to_text();
    assert!(witness.add_checkpoint(&request, &|| UNIX_S).is_ok(), "the log's first head is cosigned");
    (folder, witness)
});

/// An upload to a mirror that is empty: whatever it was, no entry is there that is not the log's, and an upload of the rest makes it whole.
pub fn mirror(input: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let signer = cosigner("witness.example/1/mirror", 4);
    let mirror = Mirror::open(vec![signer.clone()], &WITNESS.1, folder.path(), Arc::new(Untimely)).expect("nothing is kept yet");
    let add = |mut body: &[u8]| mirror.add_entries(&mut body, &|| UNIX_S);
    let outcome = add(input);
    // An upload that ends before it begins is told where to go on.
    let ends_too_early = header(SIZE + 1);
    let Err(UploadError::Conflict(MirrorInfo { size: SIZE, next, .. })) = add(&ends_too_early) else {
        panic!("a mirror does not say where to go on")
    };
    assert!(next <= SIZE, "a mirror has more entries than the log");
    match &outcome {
        Ok(Uploaded::Whole(lines)) => assert_whole(&mirror, lines, &*signer, next),
        Ok(Uploaded::Part(info)) => assert_eq!((info.size, info.next), (SIZE, next)),
        Err(_) => assert!(mirror.latest(&origin_hash(MIRRORED)).is_none(), "an upload that was refused was cosigned"),
    }
    let accepted = next > 0;
    match add(&upload(next)) {
        Ok(Uploaded::Whole(lines)) => assert_whole(&mirror, &lines, &*signer, SIZE),
        other => panic!("after a hostile upload the rest is not taken: {other:?}"),
    }
    accepted
}

/// The head is cosigned, and everything below it is served as the log has it.
fn assert_whole(mirror: &Mirror, lines: &str, signer: &dyn NoteSigner, next: u64) {
    assert_eq!(next, SIZE, "half a copy was cosigned");
    let hash = origin_hash(MIRRORED);
    let latest = mirror.latest(&hash).expect("what was cosigned is served");
    let note = Note::parse(&latest.note).expect("it is a note");
    assert!(note.verify(&[signer.verifier_key().clone(), log_signer().verifier_key().clone()]).is_ok());
    assert_eq!(note.text(), head().to_text());
    assert!(lines.lines().all(|line| latest.note.contains(line)), "other lines were given than are served");
    for (index, width) in [(0, 256), (1, (SIZE - WIDTH) as u16)] {
        let first = index * WIDTH;
        let bundle = mirror.bundle(&hash, BundleId { index, width }).ok().flatten().expect("a bundle is served");
        let entries = decode_bundle(&bundle, width).expect("it is a bundle");
        assert!(entries.iter().zip(first..).all(|(served, index)| *served == entry(index)), "a mirror serves what is not the log's");
        let tile = mirror.tile(&hash, TileId { level: 0, index, width }).ok().flatten().expect("a tile is served");
        let hashes = &LEAVES[first as usize..(first + u64::from(width)) as usize];
        assert_eq!(decode_tile(&tile, width).as_deref(), Ok(hashes), "a mirror serves a tile that is not the log's");
    }
}
