//! `ledger`, `receipt_p50_ms`, `receipt_p99_ms`: entries that are durable and under a signed checkpoint, against RocksDB's own synced batches.
//!
//! The ledger is driven as the appliance drives it: many chains, both note keys, receipts as `tlog-proof`. Entries have no annotations.

use std::path::Path;
use std::time::Instant;

use exhibit_ledger::Ledger;
use rocksdb::{DB, WriteBatch, WriteOptions};

use crate::entries::{Camera, ENTRY_BYTES, Load, ORIGIN, options};
use crate::figure::{Figure, median, percentile};
use crate::receipts::Receipts;
use crate::{Failure, Programs};

/// Both are measured so often, in turns; the median counts.
const ROUNDS: usize = 5;
/// Entries of a round: seconds, with RocksDB's flushes among them.
const ENTRIES: usize = 200_000;
/// The batch that RocksDB is measured with.
const BATCH: usize = 256;
/// Seconds of half the load that receipts are timed for.
const RECEIPT_SECONDS: f64 = 8.0;
const BASELINE: &str = "RocksDB, synced batches of 256 rows of 1 KiB";
const BASELINE_BATCH: &str = "RocksDB, one synced batch of 256 rows of 1 KiB";

pub fn run(programs: &Programs) -> Result<Vec<Figure>, Failure> {
    let (mut ours, mut theirs, mut batches_ms) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let candidates: Vec<_> = Camera::fleet().take(ENTRIES).collect();
        let values: Vec<Vec<u8>> = candidates.iter().map(|candidate| candidate.entry.clone()).collect();
        let folder = programs.scratch()?;
        let start = Instant::now();
        let batch_ms = median(rocksdb_alone(folder.path(), &values)?);
        let rocksdb_rate = ENTRIES as f64 / start.elapsed().as_secs_f64();
        drop(values);
        let folder = programs.scratch()?;
        let ledger = Ledger::open(folder.path(), options()?)?;
        let start = Instant::now();
        Load::new(ledger.clone()).all(candidates)?;
        let rate = ENTRIES as f64 / start.elapsed().as_secs_f64();
        eprintln!("ledger: round {round}: {rate:.0} entries/s; RocksDB {rocksdb_rate:.0} rows/s, {batch_ms:.2} ms a batch");
        ours.push(rate);
        theirs.push(rocksdb_rate);
        batches_ms.push(batch_ms);
    }
    let (rate, baseline) = (median(ours), median(theirs));
    let folder = programs.scratch()?;
    let ledger = Ledger::open(folder.path(), options()?)?;
    let count = (rate / 2.0 * RECEIPT_SECONDS) as usize;
    let latencies = Receipts::at_rate(&ledger, rate / 2.0, count)?;
    let batch_ms = median(batches_ms);
    eprintln!(
        "ledger: {count} receipts at {:.0} entries/s; {ORIGIN} signs with Ed25519 and ML-DSA-44; entries of {ENTRY_BYTES} bytes",
        rate / 2.0
    );
    Ok(vec![
        Figure::new("ledger", rate, "entries/s", BASELINE, baseline),
        Figure::new("receipt_p50_ms", percentile(&latencies, 50), "ms", BASELINE_BATCH, batch_ms),
        Figure::new("receipt_p99_ms", percentile(&latencies, 99), "ms", BASELINE_BATCH, batch_ms),
    ])
}

/// Milliseconds of each synced batch, in a database as RocksDB sets it up.
fn rocksdb_alone(folder: &Path, values: &[Vec<u8>]) -> Result<Vec<f64>, Failure> {
    let db = DB::open_default(folder)?;
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let mut index = 0u64;
    let mut times_ms = Vec::new();
    for values in values.chunks(BATCH) {
        let start = Instant::now();
        let mut batch = WriteBatch::default();
        for value in values {
            batch.put(index.to_be_bytes(), value);
            index += 1;
        }
        db.write_opt(batch, &synced)?;
        times_ms.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times_ms)
}
