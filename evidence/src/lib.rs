//! The evidence model: statements, their signatures, the key tree, envelopes, segments, bundles and the verdict on them.
//!
//! Pure: no clock, no randomness, no file, no socket; they come in as arguments. It does not know how anything is stored or sent.

pub mod anchor;
pub mod body;
pub mod bundle;
pub mod cms;
pub mod envelope;
pub mod exchange;
mod json;
pub mod keytree;
pub mod log_lines;
mod objects;
pub mod segment;
pub mod shown;
pub mod statement;
pub mod stream;
pub mod succession;
pub mod verdict;
pub mod verify;
pub mod working_copy;

pub use anchor::{Anchor, AnchorError, Pin};
pub use body::{AttachmentRef, Body};
pub use cms::{SignedStatement, SignedStatementError, VerifiedStatement, VerifyError, sign};
pub use statement::{Head, Statement, StatementError};
pub use stream::{StreamName, StreamNameError};
