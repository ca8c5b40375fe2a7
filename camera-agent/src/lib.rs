//! The camera agent: pictures in, signed and encrypted segments out.
//!
//! What is decided is in `exhibit-camera-core`; this crate brings it GStreamer, a TPM, a configuration and a terminal.

pub mod arguments;
pub mod config;
pub mod enrol;
pub mod failure;
mod files;
pub mod outlet;
pub mod pipeline;
pub mod player;
pub mod report;
pub mod run;
pub mod segmenter;
pub mod source;

pub use arguments::Arguments;
pub use config::Config;
pub use failure::Failure;
pub use pipeline::{Ended, MediaSettings, Pipeline, PipelineError, Stopper};
pub use player::Player;
pub use report::Report;
pub use source::{Source, SourceError};
