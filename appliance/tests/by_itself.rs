//! A succession without a hand, as the program serves it: whoever lingers does not hold it up, and what it lacks takes no service away.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use common::*;
use exhibit_appliance::serve::{Addresses, ServeError, serve};
use exhibit_appliance::setup::{Folder, now};
use exhibit_evidence::body::Recipients;
use exhibit_evidence::exchange::intake_prefix;
use exhibit_evidence::{Anchor, Body, Head};
use exhibit_pki::Timestamp;
use exhibit_tlog::EMPTY_ROOT;

/// The configuration's least age of a log at which it is to end, and the clock is set beyond.
const DUE_MS: u64 = 3 * DAY_MS;
/// A look whether the log is due comes every ten seconds, and a busy machine needs some for the rest.
const SERVED_MAX: Duration = Duration::from_secs(60);
/// A signal ends every appliance that this process serves.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// `serve` on a thread of its own, with a clock that a test sets.
struct Served {
    folder: Folder,
    ready: Receiver<Addresses>,
    ahead_ms: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    fn begin(folder: &Folder, ahead_ms: u64) -> Self {
        let ahead_ms = Arc::new(AtomicU64::new(ahead_ms));
        let (tell, ready) = channel();
        let ahead = ahead_ms.clone();
        let clock = Arc::new(move || Timestamp::from_unix_ms(now().unix_ms() + ahead.load(Ordering::Relaxed)).unwrap());
        let (served, config) = (folder.clone(), folder.config().unwrap());
        let thread = std::thread::spawn(move || {
            let fatal = Arc::new(|reason: &str| panic!("{reason}"));
            serve(served, config, clock, fatal, Arc::default(), |addresses| tell.send(addresses).unwrap())
        });
        Self { folder: folder.clone(), ready, ahead_ms, thread }
    }

    fn until_ready(&self) -> Addresses {
        self.ready.recv_timeout(SERVED_MAX).expect("it serves")
    }

    /// The origin of the log that is served.
    fn origin(&self) -> String {
        self.folder.newest().anchor().unwrap().verifier.origin
    }

    fn end(self) {
        let ended = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", std::process::id())).status().unwrap();
        assert!(ended.success());
        self.thread.join().unwrap().unwrap();
    }
}

/// A world whose appliance is stopped, and is to end its log after two days.
async fn due_after_days() -> (tempfile::TempDir, Pki, [Party; 2], Anchor, Writer) {
    let world = World::new().await;
    let (mut writer, _) = world.set_recipients().await;
    writer.observed = Head { size: 0, root: EMPTY_ROOT };
    stop(world.running).await;
    let config = "intake = \"127.0.0.1:0\"\npublic = \"127.0.0.1:0\"\nsuccession_days = 2\ndrain_s = 1\n";
    fs::write(world.folder.path().join("state/appliance.toml"), config).unwrap();
    (world.folder, world.pki, [world.custodian, world.custodian_wrapping], world.anchor, writer)
}

/// Recipients behind those that the writer has stated.
fn next_set(writer: &Writer, [custodian, wrapping]: &[Party; 2]) -> Body {
    Body::Recipients(Recipients {
        scope: "camera/102".to_owned(),
        number: 2,
        replaces: Some(writer.prev),
        recipients: vec![*wrapping.certificate.fingerprint()],
        custodians: vec![*custodian.certificate.fingerprint()],
        threshold: 1,
        expires: Timestamp::MAX,
        attachments: vec![],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lingers_does_not_hold_up_a_succession() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (folder, pki, custodian, _, writer) = due_after_days().await;
    let served = Served::begin(&Folder::new(&folder.path().join("state")), 0);
    let addresses = served.until_ready();
    // A stranger who ends no request, and somebody whose upload stands still.
    let mut stranger = Connection::new(addresses.public.port(), &pki.root, None).await.unwrap();
    stranger.send(b"GET /log/checkpoint HTTP/1.1\r\nHo").await.unwrap();
    let mut slow = Connection::new(addresses.intake.port(), &pki.root, Some(&custodian[0])).await.unwrap();
    let signed = writer.next(next_set(&writer, &custodian));
    let body = intake_prefix(signed.der(), &[]);
    slow.send(format!("PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", path_of(&signed), body.len()).as_bytes())
        .await
        .unwrap();
    slow.send(&body[..body.len() / 2]).await.unwrap();

    served.ahead_ms.store(DUE_MS, Ordering::Relaxed);
    assert_eq!(served.until_ready(), addresses, "the successor is not where the log was");
    assert_eq!(served.origin(), "city.example/log/2");
    assert!(slow.answer().await.is_err(), "what stood still was answered");
    drop(stranger);
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_can_not_be_made_leaves_the_log_served() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (folder, pki, custodian, anchor, mut writer) = due_after_days().await;
    let state = Folder::new(&folder.path().join("state"));
    let served = Served::begin(&state, 0);
    served.until_ready();
    // Where the successor's state would be made is something else.
    let obstacle = state.path().join("successor-state");
    fs::write(&obstacle, "a file").unwrap();
    served.ahead_ms.store(DUE_MS, Ordering::Relaxed);
    let again = served.until_ready();
    assert_eq!(served.origin(), "city.example/log/1");
    let mut connection = Connection::new(again.intake.port(), &pki.root, Some(&custodian[0])).await.unwrap();
    let signed = writer.next(next_set(&writer, &custodian));
    connection.put(&signed, &[], &[]).await.admitted(201, &anchor, &mut writer, &signed);
    served.end();
    // A start meets the same obstacle, and serves too.
    let served = Served::begin(&state, DUE_MS);
    served.until_ready();
    assert_eq!(served.origin(), "city.example/log/1");
    served.end();
    // The operator removes it: the log ends as it was to.
    fs::remove_file(&obstacle).unwrap();
    let served = Served::begin(&state, DUE_MS);
    served.until_ready();
    served.until_ready();
    assert_eq!(served.origin(), "city.example/log/2");
    served.end();
}
