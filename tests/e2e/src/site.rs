//! An installation with a custodian and a camera that has begun: where most hostile tests start.
//!
//! Its camera's key is in memory, so that a test can make every mistake that a key allows.

use std::fmt::Debug;

use exhibit_client::{Appliance, ClientError};
use exhibit_evidence::exchange::Problem;
use exhibit_tlog::Hash;

use crate::{
    camera::SoftwareCamera,
    world::{Person, World},
};

/// What a fragment of the camera of a site holds: enough to be told apart, and to be cut.
pub const FRAGMENTS: [&[u8]; 3] = [&[b'a'; 5_000], &[b'b'; 3_000], &[b'c'; 100]];

/// The installation and who is in it.
pub struct Site {
    /// The custodian, the only recipient of the camera's evidence.
    pub custodian: Person,
    /// Camera 102, whose stream has begun.
    pub camera: SoftwareCamera,
    /// The camera's connection.
    pub link: Appliance,
    /// The leaf hash of the recipients that the camera obeys.
    pub recipients: Hash,
    /// The installation.
    pub world: World,
}

impl Site {
    /// Makes it: the stream has its epoch and nothing else.
    pub async fn start() -> Self {
        let world = World::start();
        let custodian = world.person("custodian", "custodian");
        let recipients = world.set_recipients(&custodian, "camera/102");
        let mut camera = SoftwareCamera::enrol(&world, "102");
        let mut link = camera.connect(&world);
        let (wrapping, _) = custodian.wrapping();
        camera.begin(&mut link, recipients, &[wrapping]).await;
        Self { custodian, camera, link, recipients, world }
    }

    /// How many entries the log has.
    pub async fn size(&mut self) -> u64 {
        self.world.log_size(&mut self.link).await
    }

    /// Demands that something was refused for that reason, and that the ledger is as it was.
    #[track_caller]
    pub fn demand(&self, what: &str, problem: &Problem, kind: &str, status: u16) {
        assert_eq!((problem.kind.as_str(), problem.status), (format!("tag:exhibit,2026:{kind}").as_str(), status), "{what}: {problem:?}");
        assert!(!problem.detail.is_empty(), "{what}: a refusal says what to do");
    }

    /// Demands that the ledger is as it was.
    pub async fn demand_unchanged(&mut self, what: &str, before: u64) {
        assert_eq!(self.size().await, before, "{what}: it was refused, and is on the ledger");
    }
}

/// The reason of a refusal; panics with what was accepted.
#[track_caller]
pub fn refusal<T: Debug>(result: Result<T, ClientError>) -> Problem {
    match result {
        Err(ClientError::Refused(problem)) => *problem,
        Err(other) => panic!("it was not refused, but failed: {other}"),
        Ok(accepted) => panic!("it was accepted: {accepted:?}"),
    }
}
