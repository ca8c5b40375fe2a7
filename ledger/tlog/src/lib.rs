//! RFC 6962 trees and the C2SP formats around them: tiles, signed notes, checkpoints, proofs.
//!
//! Pure: no clock, no randomness, no file, no socket. It does not know what an entry is.

pub mod checkpoint;
mod decimal;
pub mod log_proof;
pub mod merkle;
pub mod note;
pub mod note_key;
pub mod proof;
pub mod tile;

pub use checkpoint::{Checkpoint, CheckpointError, LogVerifier};
pub use log_proof::{LogProof, LogProofError};
pub use merkle::{EMPTY_ROOT, Hash, MerkleFrontier, leaf_hash, node_hash, root_of};
pub use note::{Note, NoteError, NoteSignature};
pub use note_key::{Ed25519NoteSigner, MlDsa44NoteSigner, NoteAlgorithm, NoteSigner, VerifierKey};
pub use proof::{HashReader, ProofError, prove_consistency, prove_inclusion, root_at, verify_consistency, verify_inclusion};
pub use tile::{BundleId, TileError, TileId};
