//! Chains of a person's statements in a folder: one of each log, whatever happened in between.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use exhibit_client::{Appliance, Issuer, IssuerError};
use exhibit_evidence::{
    Body,
    body::{Gap, GapCause},
};
use support::{FakeAppliance, Mischief, time};

fn gap() -> Body {
    let moment = time("2026-11-20T12:00:00.000Z");
    Body::Gap(Gap { cause: GapCause::SourceLost, from: moment, to: moment, attachments: vec![] })
}

/// Two appliances, each with a log of its own.
async fn two() -> [FakeAppliance; 2] {
    let two = [FakeAppliance::start().await, FakeAppliance::start().await];
    two[1].world().log.entries[0] = b"another genesis".to_vec();
    two
}

fn open(folder: &Path, fake: &FakeAppliance) -> Result<Issuer, IssuerError> {
    let identity = fake.pki.identity(&fake.pki.camera());
    Issuer::open(folder, "camera/102/main", identity, fake.anchor().log, time("2026-11-20T12:00:00.000Z"))
}

async fn issue(folder: &Path, fake: &FakeAppliance) -> Result<u64, IssuerError> {
    let mut appliance = Appliance::new(&fake.address, &fake.pki.identity(&fake.pki.camera()), &fake.anchor()).unwrap();
    let issued = open(folder, fake)?.issue(&mut appliance, gap(), &[], time("2026-11-20T12:00:01.000Z")).await;
    issued.map(|(signed, _)| signed.statement().seq)
}

#[tokio::test]
async fn each_log_has_a_chain_of_its_own() {
    let (folder, [first, second]) = (tempfile::tempdir().unwrap(), two().await);
    for (fake, seq) in [(&first, 0), (&second, 0), (&first, 1), (&second, 1), (&second, 2), (&first, 2)] {
        assert_eq!(issue(folder.path(), fake).await.unwrap(), seq);
    }
    for fake in [&first, &second] {
        assert_eq!(Issuer::observed_of(folder.path(), &fake.anchor().log).unwrap(), fake.head());
        assert_eq!(fake.world().puts.len(), 3);
    }
}

#[tokio::test]
async fn what_one_log_has_not_answered_goes_to_no_other() {
    let (folder, [first, second]) = (tempfile::tempdir().unwrap(), two().await);
    first.misbehave(Mischief::TakeAndHangUp);
    issue(folder.path(), &first).await.unwrap_err();
    assert_eq!(issue(folder.path(), &second).await.unwrap(), 0);
    assert_eq!(second.world().puts.len(), 1, "what was signed for one log was sent to another");
    first.misbehave(Mischief::None);
    assert_eq!(issue(folder.path(), &first).await.unwrap(), 1, "what was signed before was forgotten, or signed anew");
}

/// Nothing is taken for a log's that does not name it.
#[tokio::test]
async fn state_that_names_no_log_or_another_is_not_taken() {
    let (folder, [first, second]) = (tempfile::tempdir().unwrap(), two().await);
    issue(folder.path(), &first).await.unwrap();
    let file = |fake: &FakeAppliance| folder.path().join(format!("state.{}.json", fake.anchor().log));
    let state = std::fs::read_to_string(file(&first)).unwrap();
    std::fs::write(folder.path().join("state.json"), &state).unwrap();
    assert_eq!(open(folder.path(), &second).unwrap().next_seq(), 0, "the chain of another log went on");
    let nameless: String = state.lines().filter(|line| !line.contains("\"log\"")).collect();
    for damaged in [state, nameless] {
        std::fs::write(file(&second), damaged).unwrap();
        assert!(matches!(open(folder.path(), &second), Err(IssuerError::State { .. })));
        Issuer::observed_of(folder.path(), &second.anchor().log).unwrap_err();
    }
}
