//! What a server tells the service manager that started it (sd_notify(3)): that it serves, how it is, that it is alive, that it ends.
//!
//! Without one nothing is told. It decides nothing: what "alive" means is for those who call.

use std::time::Duration;

use sd_notify::{NotifyState, notify};

/// It serves from now on, or has read its configuration anew.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// How it is, in a sentence, for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// It reads its configuration anew; `ready` ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It takes nothing new.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// It is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often it has to say so: half of the time after which it would be ended. `None` where nobody waits for it.
pub fn alive_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|most| most / 2)
}

/// Nothing hangs on whether it is heard.
fn tell(state: &[NotifyState<'_>]) {
    let _ = notify(state);
}
