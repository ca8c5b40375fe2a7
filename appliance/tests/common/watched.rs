//! Worlds with witnesses and mirrors: how one is configured, what a camera sends meanwhile, and what is waited for.

use std::time::Duration;

use exhibit_appliance::witnessing::Status;
use exhibit_evidence::SignedStatement;
use exhibit_evidence::exchange::Admitted;

use super::{World, Writer, segment};

/// A test that waits for longer waits for nothing.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The appliance states once an hour what its witnesses have cosigned, so that the log does not grow meanwhile.
pub const TIMESTAMPS_HOURLY: &str = "timestamp_interval_s = 3600\n";

impl World {
    /// A world whose camera 102 is in an epoch.
    pub async fn with_camera() -> (Self, Writer) {
        let world = Self::new().await;
        let (_, recipients) = world.set_recipients().await;
        let camera = world.begin_epoch("20261120T115958Z", recipients).await;
        (world, camera)
    }

    /// The same world, followed by these witnesses from now on if there is a policy, and with more lines in the configuration.
    pub async fn watched(self, policy: &str, more: &str) -> Self {
        let line = if policy.is_empty() { "" } else { "witness_policy = \"witness.policy\"\n" };
        let more = format!("{line}{more}");
        self.restart_after(|folder| {
            std::fs::write(folder.join("state/witness.policy"), policy).unwrap();
            std::fs::write(folder.join("more.toml"), more).unwrap();
        })
        .await
    }

    /// Camera 102 sends its next segment; `status` is 201 where receipts are final at once, and 202 where they wait for witnesses.
    pub async fn put_segment(&self, camera: &mut Writer, status: u16) -> (SignedStatement, Admitted) {
        let (body, ciphertext) = segment(&camera.stream, camera.seq, camera.seq as u32, b"some video, as it were");
        let signed = camera.next(body);
        let answer = self.connect(&self.camera).await.put(&signed, &[], &ciphertext).await;
        let admitted = answer.admitted(status, &self.anchor, camera, &signed);
        (signed, admitted)
    }

    /// Until the first `size` entries are final.
    pub async fn until_final(&self, size: u64) {
        let mut final_size = self.running.appliance.witnessing.final_size();
        tokio::time::timeout(LIMIT, final_size.wait_for(|known| *known >= size)).await.expect("nothing becomes final").unwrap();
    }

    /// Until it stands so with witnesses and mirrors.
    pub async fn until_status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let appliance = &self.running.appliance;
        let found = tokio::time::timeout(LIMIT, appliance.witnessing.until(&appliance.ledger, wanted)).await;
        found.unwrap_or_else(|_| panic!("{:?}", appliance.witnessing.status(&appliance.ledger)))
    }
}
