//! A witness of transparency logs (C2SP tlog-witness): it cosigns what extends the tree that it saw before, and never anything else.
//!
//! It does not know what a log's entries are, and shares nothing with the logs' own programs but the formats.

pub mod api;
pub mod config;
pub mod disk;
pub mod mirror;
pub mod mirror_api;
pub mod serve;
pub mod setup;
pub mod store;
pub mod uploads;
pub mod witness;
