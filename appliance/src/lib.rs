//! The ingestion appliance: verifies what cameras and people send, keeps it durable, puts it on the ledger, and serves it again.
//!
//! It can not decrypt anything: no key of any evidence ever reaches it. It serves no code that handles keys.

mod alerts;
pub mod api;
pub mod appliance;
pub mod bans;
pub mod begin;
pub mod chronicle;
pub mod config;
pub mod confine;
pub mod doctor;
pub mod ended;
pub mod forecast;
pub mod guard;
pub mod health;
pub mod ingest;
pub mod limits;
pub mod logbook;
pub mod maintain;
pub mod metrics;
pub mod monitoring;
pub mod network;
pub mod places;
pub mod predecessor;
pub mod query;
pub mod registry;
pub mod reload;
pub mod room;
pub mod rows;
pub mod serve;
pub mod setup;
pub mod share;
pub mod state_lock;
pub mod status;
pub mod tls;
pub mod tpm_note;
pub mod tpm_seal;
pub mod vault;
pub mod witnessing;
