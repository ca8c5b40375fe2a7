//! The camera agent: pictures in, signed and encrypted segments out.
//!
//! What is decided is in `exhibit-camera-core`; this crate brings it GStreamer, a TPM, a configuration and a terminal.

pub mod outlet;
pub mod pipeline;
pub mod segmenter;
pub mod source;

pub use pipeline::{Ended, MediaSettings, Pipeline, PipelineError, Stopper};
pub use source::{Source, SourceError};
