//! Follows a log from its tiles alone: what it was is what it has to stay, and everything on it has to be what its issuers signed.
//!
//! It prints nothing, and does not know the command line. It trusts nothing but the anchor and what it has itself kept.

pub mod certificates;
pub mod finding;
pub mod heads;
pub mod judge;
pub mod lateness;
pub mod proven;
pub mod round;
pub mod source;
pub mod state;
pub mod tree;
