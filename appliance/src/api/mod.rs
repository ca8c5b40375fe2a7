//! The API over HTTP: connections, who may ask, and how refusals are told.
//!
//! It decides nothing about evidence: see `ingest` and `share`.

pub mod answer;
pub mod authorise;
mod conditional;
pub mod description;
pub mod events;
pub mod gate;
pub mod handle;
mod handshakes;
mod pace;
mod payload;
pub mod problem;
mod range;
pub mod server;
pub mod upload;
mod watched;
