//! A load generator: thousands of virtual cameras that record by the clock, whatever becomes of what they send (an open loop), over links that
//! break, and an oracle that judges all that they were promised.
//!
//! It does not know what is fast enough: docs/performance.md does.

pub mod camera;
pub mod enrol;
pub mod judge;
pub mod latency;
pub mod link;
pub mod process;
pub mod run;
