//! The hash tiles under one signed checkpoint, each proven before it is used: those at the edge give the root together, every other is
//! hashed into the one above it.

use std::collections::HashMap;

use exhibit_client::WebError;
use exhibit_tlog::tile::{TILE_HEIGHT, TILE_LEVEL_MAX, TILE_WIDTH, TileId};
use exhibit_tlog::{Checkpoint, Hash, HashReader, root_at, root_of};

use super::finding::{Finding, Kind};
use super::source::Source;

/// Entries of a bundle.
const WIDTH: u64 = TILE_WIDTH as u64;

/// Why there is no proven hash.
#[derive(Debug)]
pub enum Unproven {
    /// What is served is not what was signed, or is not there.
    Finding(Finding),
    /// The server can not be asked now.
    Unavailable(String),
}

/// Tells an answer that is no news from one that is.
pub fn of_resource(what: &str, error: WebError) -> Unproven {
    match error {
        WebError::Absent => {
            Unproven::Finding(Finding::new(Kind::Missing, format!("The signed checkpoint promises {what}, and it is not served.")))
        }
        WebError::Unfit(reason) => {
            Unproven::Finding(Finding::new(Kind::Altered, format!("What is served as {what} is not that: {reason}.")))
        }
        WebError::Unavailable(reason) | WebError::Local(reason) => Unproven::Unavailable(format!("{what}: {reason}")),
    }
}

/// Tiles that were proven.
pub struct ProvenTiles<'a> {
    source: &'a Source,
    head: Checkpoint,
    tiles: HashMap<TileId, Vec<Hash>>,
}

/// This tile has to be got first.
#[derive(Debug)]
pub struct MissingTile(TileId);

impl<'a> ProvenTiles<'a> {
    /// Gets the tiles at the edge of every level, which have to give the signed root.
    pub async fn new(source: &'a Source, head: &Checkpoint) -> Result<Self, Unproven> {
        let mut proven = Self { source, head: head.clone(), tiles: HashMap::new() };
        for level in 0..=TILE_LEVEL_MAX {
            if let Some(id) = TileId::partial_at(level, head.size) {
                let hashes = proven.get(id).await?;
                proven.tiles.insert(id, hashes);
            }
        }
        let root = root_at(&proven, head.size).map_err(|MissingTile(id)| {
            Unproven::Finding(Finding::new(Kind::Altered, format!("Tile {} is not where the tree's edge is.", id.path())))
        })?;
        if head.size > 0 && root != head.root {
            let sentence = format!("The tiles at the edge of the tree of {} entries do not give the root that the log signed.", head.size);
            return Err(Unproven::Finding(Finding::new(Kind::Altered, sentence)));
        }
        Ok(proven)
    }

    /// The leaves of a bundle, as many as the tree has.
    pub async fn leaves(&mut self, bundle: u64, given: Option<Vec<Hash>>) -> Result<Vec<Hash>, Unproven> {
        let id = self.tile_of(0, bundle * WIDTH);
        self.prove(id, given).await?;
        // Leaves are used once; the tiles above are few.
        let leaves = if id.width == TILE_WIDTH { self.tiles.remove(&id) } else { self.tiles.get(&id).cloned() };
        Ok(leaves.expect("it was just proven"))
    }

    /// The root that a full bundle has in this tree.
    pub async fn bundle_root(&mut self, bundle: u64) -> Result<Hash, Unproven> {
        let above = self.tile_of(1, bundle);
        self.prove(above, None).await?;
        Ok(self.tiles[&above][usize::try_from(bundle % WIDTH).expect("below 256")])
    }

    /// Computes something of hashes of this tree, getting what it needs.
    pub async fn compute<T>(&mut self, of: impl Fn(&Self) -> Result<T, MissingTile>) -> Result<T, Unproven> {
        loop {
            match of(self) {
                Ok(computed) => return Ok(computed),
                Err(MissingTile(id)) => self.prove(id, None).await?,
            }
        }
    }

    /// Gets a tile and proves it, and before it those above it that are not proven yet.
    async fn prove(&mut self, id: TileId, given: Option<Vec<Hash>>) -> Result<(), Unproven> {
        let mut waiting = vec![id];
        while let Some(last) = waiting.last().copied() {
            if self.tiles.contains_key(&last) {
                waiting.pop();
                continue;
            }
            if last.width < TILE_WIDTH {
                // All tiles at the edge were got first, so this is another width than the tree has.
                return Err(Unproven::Finding(Finding::new(Kind::Altered, format!("Tile {} is no tile of this tree.", last.path()))));
            }
            let above = self.tile_of(last.level + 1, last.index);
            let Some(hashes) = self.tiles.get(&above) else {
                waiting.push(above);
                continue;
            };
            let expected = hashes[usize::try_from(last.index % WIDTH).expect("below 256")];
            let own = match &given {
                Some(given) if last == id => given.clone(),
                _ => self.get(last).await?,
            };
            if root_of(&own) != expected {
                let sentence = format!("Tile {} is not the one that the signed root covers.", last.path());
                return Err(Unproven::Finding(Finding::new(Kind::Altered, sentence)));
            }
            self.tiles.insert(last, own);
            waiting.pop();
        }
        Ok(())
    }

    async fn get(&self, id: TileId) -> Result<Vec<Hash>, Unproven> {
        self.source.tile(id).await.map_err(|error| of_resource(&format!("tile {}", id.path()), error))
    }

    /// The tile with a hash of a tile level, as wide as the tree has it.
    fn tile_of(&self, level: u8, index: u64) -> TileId {
        let partial = TileId::partial_at(level, self.head.size);
        let tile = index / WIDTH;
        partial.filter(|partial| partial.index == tile).unwrap_or(TileId { level, index: tile, width: TILE_WIDTH })
    }
}

impl HashReader for ProvenTiles<'_> {
    type Error = MissingTile;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, MissingTile> {
        let below = level % TILE_HEIGHT;
        let first = index << below;
        let id = self.tile_of(level / TILE_HEIGHT, first);
        let hashes = self.tiles.get(&id).ok_or(MissingTile(id))?;
        let offset = usize::try_from(first % WIDTH).expect("below 256");
        Ok(root_of(hashes.get(offset..offset + (1 << below)).ok_or(MissingTile(id))?))
    }
}
