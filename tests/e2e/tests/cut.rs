//! A link that breaks after so many bytes, again and again: what was sent is not sent again, and all arrives.
#![allow(clippy::unwrap_used)]

use exhibit_client::{Appliance, ClientError};
use exhibit_e2e::{
    agent::AgentCamera,
    link::CutLink,
    oracle::{self, Case},
    site::Site,
};
use exhibit_evidence::Body;

/// A segment of three fragments, 3 MB.
const FRAGMENT_BYTES: usize = 1_000_000;
/// Over so many connections, at least.
const CUT_AFTER_BYTES: u64 = 200_000;
/// What is sent beside the payload, for each connection: a handshake with certificates and hybrid keys, a question and two heads. What was under way
/// when it was cut is lost too.
const BESIDE_BYTES: u64 = 40_000;
/// A clip of the test picture, in frames, encoded as fast as it goes: some seconds.
const FRAMES: &str = "test:600";

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_crosses_a_link_that_is_cut_again_and_again() {
    let mut site = Site::start().await;
    let before = site.size().await;
    let link = CutLink::to(site.world.address(), CUT_AFTER_BYTES);
    let mut appliance = Appliance::new(link.address(), &site.camera.identity, &site.world.anchor()).unwrap();
    let fragments = [1, 2, 3].map(|byte| vec![byte; FRAGMENT_BYTES]);
    let (segment, ciphertext) = site.camera.segment(1, &fragments.each_ref().map(Vec::as_slice));
    let signed = site.camera.sign(&site.camera.statement(Body::Segment(segment)));
    let receipt = site.camera.send(&mut appliance, &signed, &[], &ciphertext).await.unwrap();
    site.camera.took(&signed, &receipt);
    let (sent, connections) = (link.sent(), link.connections());
    eprintln!("{} bytes took {sent} in {connections} connections", ciphertext.len());
    assert!(connections >= ciphertext.len() as u64 / CUT_AFTER_BYTES, "the link was not cut: {connections} connections");
    assert!(sent < ciphertext.len() as u64 + connections * BESIDE_BYTES, "what was sent was sent again: {sent} bytes");
    assert_eq!(site.size().await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_carries_no_segment_is_told_and_what_it_carried_is_kept() {
    let site = Site::start().await;
    // A handshake does not fit.
    let link = CutLink::to(site.world.address(), 1000);
    let mut appliance = Appliance::new(link.address(), &site.camera.identity, &site.world.anchor()).unwrap();
    let fragment = vec![7; FRAGMENT_BYTES];
    let (segment, ciphertext) = site.camera.segment(1, &[&fragment]);
    let signed = site.camera.sign(&site.camera.statement(Body::Segment(segment)));
    for cut_after in [1000, 300_000] {
        link.cut_after(cut_after);
        let connections = link.connections();
        let sent = site.camera.send(&mut appliance, &signed, &[], &ciphertext).await;
        let tried = link.connections() - connections;
        assert!(tried <= 2 + ciphertext.len() as u64 / 100_000, "it tries for ever: {tried} connections");
        if cut_after == 1000 {
            assert!(matches!(sent, Err(ClientError::Unreachable { .. })), "{sent:?}");
        } else {
            sent.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_records_over_a_link_that_is_cut_again_and_again() {
    let (world, custodian, auditor, camera) = AgentCamera::installed();
    let link = CutLink::to(world.address(), 20_000);
    let recording = camera.record_over(&world, link.address(), FRAMES, &["--no-live-speed"]);
    assert_eq!((recording.ended("unsent"), recording.ended("findings")), (0, 0), "{:?}", recording.of("finding"));
    let report =
        oracle::judge(&Case { world: &world, auditor: &auditor, custodian: &custodian, cameras: &[&camera], told: &[], remembered: &[] })
            .await;
    eprintln!("{report:?}, {} bytes in {} connections", link.sent(), link.connections());
    assert!(report.segments > 1, "{report:?}");
    assert!(link.connections() > 3, "the link was not cut");
}
