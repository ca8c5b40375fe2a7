//! What a camera decides and keeps: epochs and their keys, sealing, the spool, what to upload next, and whose word on recipients to take.
//!
//! It does not know GStreamer or a TPM: media come as fragments through a channel, the key is any `Signer`.

pub mod agent;
pub mod clock;
mod courier;
pub mod epoch;
pub mod event;
mod locked;
pub mod media;
pub mod obtain;
pub mod recipients;
mod recorder;
pub mod seal;
pub mod spool;
pub mod state;
mod storage;
mod succession;
#[cfg(test)]
#[path = "../../../client/tests/support/mod.rs"]
mod support;
pub mod upload;

pub use agent::{AgentConfig, AgentLimits, CameraAgent, RunningAgent};
pub use clock::{Clock, SystemClock};
pub use event::{AgentError, AgentEvent, AgentSummary, Delay};
pub use media::{Fragment, Input};
