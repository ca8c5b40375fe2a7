//! Time as the agent is given it: the wall clock, which is a claim and may jump, and a monotonic one, which counts slots.
//!
//! It does not know which of the two is right.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use exhibit_pki::Timestamp;

/// The two clocks of a camera.
pub trait Clock: Send + Sync {
    /// The camera's wall clock.
    fn now(&self) -> Timestamp;
    /// Milliseconds since any fixed moment; never falls.
    fn monotonic_ms(&self) -> u64;
}

/// The clocks of the operating system.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// The monotonic clock begins at 0 now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis());
        let unix_ms = u64::try_from(unix_ms).unwrap_or(u64::MAX);
        Timestamp::from_unix_ms(unix_ms).unwrap_or_else(|| Timestamp::from_unix_ms(0).expect("1970 is a moment"))
    }
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
