//! How far a check has come, in a file: entries never change, so that what was checked need not be checked again to go on.
//!
//! It is no proof of anything: whoever can write it can make a check skip.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use exhibit_tlog::{Checkpoint, Hash};

use super::Damage;
use crate::proven::ProvenTiles;

/// What was checked before.
#[derive(Default)]
pub(super) struct State {
    pub bundles: u64,
    pub damages: Vec<Damage>,
}

/// Goes on where a check of this same log was ended; from the start otherwise.
pub(super) fn read(path: Option<&Path>, tiles: &ProvenTiles<'_>) -> State {
    let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    parse(&text)
        .filter(|(size, root, _)| *size <= tiles.head().size && tiles.root_at(*size) == Some(*root))
        .map(|(.., state)| state)
        .unwrap_or_default()
}

/// `exhibit-fsck/1`, size, root, bundles; then a line of three fields for each damage.
fn parse(text: &str) -> Option<(u64, Hash, State)> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next()?.split('\t').collect();
    let [FORMAT, size, root, bundles] = head[..] else { return None };
    let damages = lines.map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
        [part, name, defect] => Some(Damage::new(part, name, defect)),
        _ => None,
    });
    let state = State { bundles: bundles.parse().ok()?, damages: damages.collect::<Option<_>>()? };
    let size: u64 = size.parse().ok()?;
    // Whole bundles only: the last one may have grown since.
    (state.bundles <= size / 256).then_some((size, Hash::from_hex(root)?, state))
}

pub(super) fn write(path: &Path, head: &Checkpoint, bundles: u64, damages: &BTreeSet<Damage>) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = io::BufWriter::new(File::create(&beside)?);
    writeln!(file, "{FORMAT}\t{}\t{}\t{}", head.size, head.root, bundles.min(head.size / 256))?;
    for Damage { part, name, defect } in damages {
        writeln!(file, "{part}\t{name}\t{defect}")?;
    }
    file.flush()?;
    drop(file);
    fs::rename(beside, path)
}

pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "the state of a complete check could not be removed: the next one would begin with it");
    }
}

const FORMAT: &str = "exhibit-fsck/1";
