//! RFC 6962 trees and the C2SP formats around them: tiles, signed notes, checkpoints, proofs.
//!
//! Pure: no clock, no randomness, no file, no socket. It does not know what an entry is.

pub mod checkpoint;
mod cosignature;
mod decimal;
pub mod log_proof;
pub mod merkle;
pub mod mirror;
pub mod note;
pub mod note_key;
pub mod note_signer;
pub mod policy;
pub mod proof;
pub mod tile;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError, LogVerifier};
pub use cosignature::ml_dsa_44_message;
pub use log_proof::{LogProof, LogProofError};
pub use merkle::{EMPTY_ROOT, Hash, MerkleFrontier, leaf_hash, node_hash, root_of};
pub use note::{Note, NoteError, NoteSignature};
pub use note_key::{NoteAlgorithm, VerifierKey};
pub use note_signer::{Ed25519Cosigner, Ed25519NoteSigner, MlDsa44NoteSigner, NoteSigner};
pub use policy::{Cosigner, Policy, PolicyError, WitnessError, WitnessedCheckpoint};
pub use proof::{
    HashReader, ProofError, Subtree, prove_consistency, prove_inclusion, prove_subtree, root_at, verify_consistency, verify_inclusion,
    verify_subtree,
};
pub use tile::{BundleId, TileError, TileId};
pub use witness::{AddCheckpoint, Refusal};
