//! Chains of a person's statements in a folder: one of each log, whatever happened in between.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use exhibit_client::stated::{Restated, restate};
use exhibit_client::{Appliance, Issuer, IssuerError};
use exhibit_evidence::{
    Body,
    body::{Approve, Gap, GapCause},
};
use exhibit_tlog::{Hash, leaf_hash};
use support::{FakeAppliance, Mischief, Party, time};

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
    open_at(folder, fake, "2026-11-20T12:00:00.000Z")
}

fn open_at(folder: &Path, fake: &FakeAppliance, at: &str) -> Result<Issuer, IssuerError> {
    let identity = fake.pki.identity(&fake.pki.camera());
    Issuer::open(folder, "camera/102/main", identity, fake.anchor().log, time(at))
}

async fn issue(folder: &Path, fake: &FakeAppliance) -> Result<u64, IssuerError> {
    issue_by(open(folder, fake)?, fake).await
}

async fn issue_by(mut issuer: Issuer, fake: &FakeAppliance) -> Result<u64, IssuerError> {
    let mut appliance = Appliance::new(&fake.address, &fake.pki.identity(&fake.pki.camera()), &fake.anchor()).unwrap();
    let issued = issuer.issue(&mut appliance, gap(), &[], time("2026-11-20T12:00:01.000Z")).await;
    issued.map(|(signed, _)| signed.statement().seq)
}

#[tokio::test]
async fn each_log_has_a_chain_of_its_own() {
    let (folder, [first, second]) = (tempfile::tempdir().unwrap(), two().await);
    for (fake, seq) in [(&first, 0), (&second, 0), (&first, 1), (&second, 1), (&second, 2), (&first, 2)] {
        assert_eq!(issue(folder.path(), fake).await.unwrap(), seq);
    }
    let stream = |fake: &FakeAppliance| {
        let state = std::fs::read(folder.path().join(format!("state.{}.json", fake.anchor().log))).unwrap();
        serde_json::from_slice::<serde_json::Value>(&state).unwrap()["stream"].as_str().unwrap().to_owned()
    };
    assert_ne!(stream(&first), stream(&second), "what is stated again to another log would contradict what is there");
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
    // Too many requests are no word about what was sent.
    first.misbehave(Mischief::Rate);
    issue(folder.path(), &first).await.unwrap_err();
    first.misbehave(Mischief::None);
    let later = open_at(folder.path(), &first, "2026-11-20T12:00:09.000Z").unwrap();
    assert_eq!(issue_by(later, &first).await.unwrap(), 1, "what was signed before was forgotten, or signed anew");
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

#[tokio::test]
async fn what_one_log_has_not_answered_is_told_where_another_is_stated_to() {
    let (folder, [first, second]) = (tempfile::tempdir().unwrap(), two().await);
    assert_eq!(open(folder.path(), &second).unwrap().undelivered().unwrap(), []);
    first.misbehave(Mischief::TakeAndHangUp);
    issue(folder.path(), &first).await.unwrap_err();
    let of_first = first.anchor().log;
    assert_eq!(open(folder.path(), &second).unwrap().undelivered().unwrap(), [(of_first, "gap/v1".to_owned())]);
    assert_eq!(open(folder.path(), &first).unwrap().undelivered().unwrap(), [], "what is sent next is called lost");
    std::fs::write(folder.path().join(format!("pending.{of_first}.statement")), b"rotten").unwrap();
    assert_eq!(open(folder.path(), &second).unwrap().undelivered().unwrap(), [(of_first, "damaged".to_owned())]);
    first.misbehave(Mischief::None);
    std::fs::remove_file(folder.path().join(format!("pending.{of_first}.statement"))).unwrap();
    issue(folder.path(), &first).await.unwrap();
    assert_eq!(open(folder.path(), &second).unwrap().undelivered().unwrap(), [], "what was answered is called lost");
}

async fn again(folder: &Path, logs: [&FakeAppliance; 2]) -> Result<Restated, IssuerError> {
    again_as(&logs[0].pki.camera(), folder, logs, &[]).await
}

async fn again_as(party: &Party, folder: &Path, [ended, next]: [&FakeAppliance; 2], lost: &[Hash]) -> Result<Restated, IssuerError> {
    restate(folder, &next.address, &ended.pki.identity(party), [&ended.anchor(), &next.anchor()], lost).await
}

/// After a disaster that left nothing of a log, who stated something to it has it still: the same bytes, in their order.
#[tokio::test]
async fn what_was_stated_to_a_log_that_was_lost_is_stated_to_the_one_that_goes_on() {
    let (folder, [lost, next]) = (tempfile::tempdir().unwrap(), two().await);
    assert_eq!(again(folder.path(), [&lost, &next]).await.unwrap().there, 0);
    for _ in 0..3 {
        issue(folder.path(), &lost).await.unwrap();
    }
    issue(folder.path(), &next).await.unwrap();
    next.misbehave(Mischief::Forbid);
    let refused = again(folder.path(), [&lost, &next]).await.unwrap();
    let (place, problem) = refused.refused.unwrap();
    assert_eq!((refused.there, place, problem.status), (0, "camera/102/main/20261120T120000Z/0".to_owned(), 403));
    next.misbehave(Mischief::Unavailable);
    assert!(matches!(again(folder.path(), [&lost, &next]).await, Err(IssuerError::Client(_))));
    next.misbehave(Mischief::None);
    // A name has one meaning, and this one's chain on the new log has it: a test's clock stands still.
    next.world().positions.clear();
    let before = next.world().log.entries.len();
    for _ in 0..2 {
        let restated = again(folder.path(), [&lost, &next]).await.unwrap();
        assert_eq!((restated.there, restated.refused.is_none()), (3, true));
    }
    let (stated, restated) = (lost.world().log.entries[1..].to_vec(), next.world().log.entries[before..].to_vec());
    assert_eq!((stated.len(), &stated), (3, &restated), "other bytes than were stated before");
}

/// An approval below what it approves is none, for ever. Others may have to state that first.
#[tokio::test]
async fn an_approval_waits_for_what_it_approves_until_that_is_said_to_be_lost() {
    for is_lost in [false, true] {
        let (folder, [ended, next]) = (tempfile::tempdir().unwrap(), two().await);
        let k = ended.pki.custodian();
        let entries = [1, 2].map(|number| {
            let leaf = ended.recipients(&k, |set| set.number = number);
            (leaf, ended.world().log.entries.iter().find(|entry| leaf_hash(entry) == leaf).unwrap().clone())
        });
        next.world().log.entries.push(entries[0].1.clone());
        let identity = ended.pki.identity(&k);
        let mut appliance = Appliance::new(&ended.address, &identity, &ended.anchor()).unwrap();
        let mut issuer = Issuer::open(folder.path(), "user/k", identity, ended.anchor().log, time("2026-11-20T12:00:00.000Z")).unwrap();
        for approved in [&entries[0], &entries[1], &entries[0]] {
            let body = Approve { entry: approved.0, statement: Hash([1; 32]), attachments: vec![] };
            issuer.issue(&mut appliance, Body::Approve(body), &[], time("2026-11-20T12:00:01.000Z")).await.unwrap();
        }
        let again = async |lost: &[Hash]| again_as(&k, folder.path(), [&ended, &next], lost).await.unwrap();
        for something_else in [vec![], vec![Hash([7; 32])]] {
            let waits = again(&something_else).await;
            assert_eq!((waits.there, waits.waits), (1, Some(("user/k/20261120T120000Z/1".to_owned(), entries[1].0))));
        }
        let done = if is_lost {
            again(&[entries[1].0]).await
        } else {
            next.world().log.entries.push(entries[1].1.clone());
            again(&[]).await
        };
        assert_eq!((done.there, done.waits), (3, None));
        let twice = again(&[]).await;
        assert_eq!((twice.there, twice.waits), (3, None), "what is there already waits");
    }
}

/// Where the program was ended between the answer and what it does then, what was answered is kept all the same.
#[tokio::test]
async fn what_was_answered_before_a_crash_is_kept_too() {
    let (folder, [lost, next]) = (tempfile::tempdir().unwrap(), two().await);
    issue(folder.path(), &lost).await.unwrap();
    let kept = folder.path().join(format!("stated.{}", lost.anchor().log)).join("20261120T120000Z.0000000000000000.statement");
    let pending = folder.path().join(format!("pending.{}.statement", lost.anchor().log));
    std::fs::rename(&kept, &pending).unwrap();
    assert_eq!(issue(folder.path(), &lost).await.unwrap(), 1);
    assert_eq!(again(folder.path(), [&lost, &next]).await.unwrap().there, 2);
    for damaged in [b"rotten".to_vec(), std::fs::read(&kept).unwrap()[..100].to_vec()] {
        std::fs::write(&kept, damaged).unwrap();
        assert!(matches!(again(folder.path(), [&lost, &next]).await, Err(IssuerError::Kept { .. })));
    }
}

#[tokio::test]
async fn what_was_refused_is_not_kept() {
    let (folder, [lost, _]) = (tempfile::tempdir().unwrap(), two().await);
    lost.misbehave(Mischief::Forbid);
    issue(folder.path(), &lost).await.unwrap_err();
    assert!(!folder.path().join(format!("stated.{}", lost.anchor().log)).exists());
}
