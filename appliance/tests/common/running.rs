//! Appliances in the test's own process, which end when they are told to.

use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering};
use std::time::Duration;

use exhibit_appliance::chronicle::Clock;
use exhibit_appliance::config::Config;
use exhibit_appliance::serve::Running;
use exhibit_appliance::setup::Folder;
use exhibit_pki::Timestamp;
use tokio::sync::oneshot;

use super::now;

/// For connections that are open, and for work that nobody waits for any more.
const STOP_MAX: Duration = Duration::from_secs(10);

/// An appliance that runs, and the word that nobody uses it any more.
pub struct Started {
    running: Running,
    unused: oneshot::Receiver<()>,
}

impl Deref for Started {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl Started {
    pub async fn new(folder: Folder, config: Config, clock: Clock, fatal: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let (in_use, unused) = oneshot::channel::<()>();
        let fatal = Arc::new(move |reason: &str| {
            let _in_use = &in_use;
            fatal(reason);
        });
        Self { running: Running::start(folder, config, clock, fatal, Arc::default()).await.unwrap(), unused }
    }
}

/// Stops, and waits until nobody uses the appliance.
pub async fn stop(started: Started) {
    started.running.stop(STOP_MAX).await;
    // Work on blocking threads ends after the task that asked for it. The program waits for it when its runtime ends; here the runtime is
    // the test's own, and what is still being written must not meet what comes next. The appliance drops the sender last of all.
    let unused = tokio::time::timeout(STOP_MAX, started.unused).await.expect("nobody uses the appliance that was stopped");
    assert!(unused.is_err(), "nothing is ever sent");
}

pub async fn start(folder: &Path, ahead_ms: &Arc<AtomicU64>, fatal: &Arc<Mutex<Vec<String>>>, more: &str) -> Started {
    // A test may put more into the configuration for good.
    let more = format!("{more}{}", std::fs::read_to_string(folder.join("more.toml")).unwrap_or_default());
    let config = Config::parse(&format!("intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\n{more}")).unwrap();
    let ahead_ms = ahead_ms.clone();
    let clock = Arc::new(move || Timestamp::from_unix_ms(now().unix_ms() + ahead_ms.load(Ordering::Relaxed)).unwrap());
    let fatal = fatal.clone();
    Started::new(Folder::new(&folder.join("state")), config, clock, move |reason| fatal.lock().unwrap().push(reason.to_owned())).await
}
