//! Follows a log from its tiles alone: what it was is what it has to stay, and everything on it has to be what its issuers signed.
//!
//! It prints nothing, and does not know the command line. It trusts nothing but the anchor and what it has itself kept.

pub mod certificates;
pub mod chain;
pub mod contradiction;
pub mod custodians;
pub mod finding;
pub mod heads;
pub mod judge;
pub mod lateness;
pub mod memory;
pub mod proven;
pub mod rights;
pub mod round;
pub mod second;
pub mod source;
pub mod stamps;
pub mod state;
pub mod tell;
pub mod tree;
pub mod withheld;
