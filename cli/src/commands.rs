//! The commands, one module each.

pub mod approve;
pub mod audit;
pub mod export;
pub mod fetch;
pub mod identity;
pub mod log;
pub mod pin;
pub mod recipients;
pub mod restate;
pub mod share;
pub mod streams;
pub mod time_evidence;
pub mod verify;
