//! The log that recipients were stated to is lost, and the one that goes on has them later, or never: nothing is stated to it that it could not take.

use base64ct::{Base64, Encoding};
use exhibit_camera_core::AgentEvent;
use exhibit_evidence::Body;
use exhibit_evidence::body::EpochReason;
use exhibit_tlog::Hash;

use crate::camera::{appliance, config, start, streams};
use crate::support::{FakeAppliance, Log, NEXT_ORIGIN};

/// From now on the server has the log that custodians have approved, and nothing of the one before. Gives the entry of the set that was in force.
fn go_on(fake: &FakeAppliance) -> Vec<u8> {
    fake.show_successor(&[&fake.pki.custodian()]);
    let mut world = fake.world();
    let stated = world.recipients.take().unwrap() as usize;
    let set = world.log.entries[stated].clone();
    let mut next = Log::named(NEXT_ORIGIN, 80);
    next.entries.push(Base64::decode_vec(&world.successor.as_ref().unwrap().genesis.entry).unwrap());
    world.log = next;
    world.positions.clear();
    world.certificates.clear();
    set
}

#[tokio::test]
async fn epochs_are_stated_to_the_log_that_has_the_set_which_they_obey() {
    let fake = appliance().await;
    let lost = fake.anchor().log;
    let folder = tempfile::tempdir().unwrap();
    // What it has pinned stays.
    let config = config(&fake, folder.path());
    let mut camera = start(config.clone());
    let first = camera.until_at_work().await;
    let set = go_on(&fake);
    let next = fake.anchor().log;
    camera.segment("kept").await;
    camera.begin_segment().await;
    camera.until(|event| matches!(event, AgentEvent::WentOn { is_planned: false, .. })).await;
    camera.until_acknowledged(1).await;
    camera.end().await.unwrap();

    // Started again it begins an epoch, and still for the log that had the set.
    let mut camera = start(config);
    let second = camera.until_at_work().await;
    assert!(streams(&fake).iter().flatten().all(|statement| statement.log == lost), "an epoch obeys what its log does not have");
    {
        let mut world = fake.world();
        let size = world.log.size();
        world.recipients = Some(size);
        world.log.entries.push(set);
    }
    let third = camera.record_until_begun(|_| true).await;
    camera.end().await.unwrap();
    let streams = streams(&fake);
    let begun = |name: &str| streams.iter().find(|stream| stream[0].stream.as_str() == name).unwrap();
    let logs: Vec<Hash> = [&first, &second, &third].map(|name| begun(name)[0].log).to_vec();
    assert_eq!(logs, [lost, lost, next]);
    let Body::Epoch(epoch) = &begun(&third)[0].body else { panic!("not an epoch") };
    assert_eq!(epoch.continues.reason, EpochReason::Succession);
    let last = begun(&second).last().unwrap();
    assert!(matches!(last.body, Body::Close(_)) && last.log == lost, "{last:?}");
}
