//! A whole installation with the real programs in a temporary folder, and the oracle that judges what it leaves behind.
//!
//! It tests nothing itself: `tests/` does. It does not know how any program works inside.

pub mod agent;
pub mod camera;
pub mod link;
pub mod oracle;
pub mod process;
pub mod raw;
pub mod seed;
pub mod site;
pub mod witness;
pub mod world;
