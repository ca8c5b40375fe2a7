//! Log lines are stated in batches whose numbers leave nothing out: none twice, and where some are lost that shows.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use exhibit_appliance::appliance::Appliance;
use exhibit_appliance::logbook::{Line, Logbook, state_due};
use exhibit_appliance::setup::Folder;
use exhibit_appliance::vault::Object;
use exhibit_evidence::body::LogBatch;
use exhibit_evidence::{Body, log_lines};
use exhibit_pki::Timestamp;

fn lines(numbers: std::ops::Range<u64>) -> Vec<Line> {
    numbers.map(|number| Line { at: Timestamp::from_unix_ms(1_000_000 - number).unwrap(), text: format!("line {number}") }).collect()
}

/// States lines from this number on; the number of the next.
async fn state(appliance: &Arc<Appliance>, numbers: std::ops::Range<u64>) -> u64 {
    let appliance = appliance.clone();
    let stated = move || appliance.chronicle.log_lines(numbers.start, &lines(numbers.clone())).unwrap();
    tokio::task::spawn_blocking(stated).await.unwrap()
}

/// The newest entry is a batch: it, and its lines.
fn newest(world: &World) -> (LogBatch, Vec<String>) {
    let appliance = &world.running.appliance;
    let statement = appliance.registry.statement_at(world.size() - 1).unwrap();
    let Body::Log(batch) = statement.statement().body.clone() else { panic!("the newest entry is no batch of lines") };
    let stored = appliance.vault.read(Object::Attachment(batch.attachments[0].sha256), 1 << 20).unwrap().unwrap();
    let content = batch.attachments[0].open(&stored).unwrap().to_vec();
    let lines = log_lines::decode(&content).unwrap();
    assert_eq!((log_lines::root(&lines), lines.len() as u64), (batch.root, batch.count));
    let salts: std::collections::HashSet<_> = lines.iter().map(|line| line.salt).collect();
    assert_eq!(salts.len(), lines.len(), "two lines share a salt");
    let texts = lines.iter().map(|line| line.text.to_owned()).collect();
    (batch, texts)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_stated_once_and_those_that_are_lost_leave_a_gap() {
    let world = World::new().await;
    let appliance = world.running.appliance.clone();
    assert_eq!(state(&appliance, 0..3).await, 3);
    let (batch, texts) = newest(&world);
    assert_eq!((batch.number, batch.first, texts.len()), (0, 0, 3));
    // A clock that went back does not make a batch that nobody would read.
    assert!(batch.from <= batch.to);

    // The process ended before its file was shortened.
    let size = world.size();
    assert_eq!(state(&appliance, 0..3).await, 3);
    assert_eq!(world.size(), size, "they are stated twice");
    assert_eq!(state(&appliance, 0..5).await, 5);
    let (batch, texts) = newest(&world);
    assert_eq!((batch.number, batch.first, texts), (1, 3, vec!["line 3".to_owned(), "line 4".to_owned()]));
    drop(appliance);

    // The file was ahead: what lies between is not there, and nothing takes its numbers.
    let world = world.restart_with("").await;
    assert_eq!(state(&world.running.appliance, 9..10).await, 10);
    let (batch, texts) = newest(&world);
    assert_eq!((batch.number, batch.first, texts), (2, 9, vec!["line 9".to_owned()]));
}

/// A file that was removed, or that a full disk cut short, does not make new lines pass for old ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_behind_the_ledger_swallows_nothing() {
    let world = World::new().await;
    let appliance = world.running.appliance.clone();
    assert_eq!(state(&appliance, 0..3).await, 3);
    let elsewhere = tempfile::tempdir().unwrap();
    let logbook = Logbook::default();
    logbook.keep_in(&Folder::new(elsewhere.path()), appliance.chronicle.next_log_line().unwrap()).unwrap();
    lines(50..52).into_iter().for_each(|line| logbook.add(line, false));
    tokio::task::spawn_blocking(move || state_due(&appliance, &logbook, Duration::ZERO)).await.unwrap();
    let (batch, texts) = newest(&world);
    assert_eq!((batch.first, texts), (3, vec!["line 50".to_owned(), "line 51".to_owned()]));
}
