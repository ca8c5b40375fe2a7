//! How long after it came an entry's receipt is there, at a load that does not wait for anybody.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use exhibit_ledger::{Admission, Ledger, LedgerError, QUEUE_CANDIDATES_MAX};
use exhibit_tlog::{LogProof, LogVerifier};

use crate::Failure;
use crate::entries::{Camera, options};

/// Entries come at moments that were fixed before: a ledger that falls behind is late for all that wait, and not excused by them.
pub struct Receipts;

/// One receipt in so many is verified, signatures and all, after the measurement.
const VERIFIED_ONE_IN: usize = 997;

impl Receipts {
    /// Milliseconds from when each entry was due until the text of its receipt was there.
    pub fn at_rate(ledger: &Ledger, entries_per_second: f64, count: usize) -> Result<Vec<f64>, Failure> {
        let candidates: Vec<_> = Camera::fleet().take(count).collect();
        let (sender, admitted) = mpsc::channel::<(Instant, Result<Admission, LedgerError>)>();
        let receiver = {
            let ledger = ledger.clone();
            std::thread::spawn(move || receive(&ledger, &admitted, count).map_err(|error| error.to_string()))
        };
        let under_way = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        for (number, candidate) in candidates.into_iter().enumerate() {
            let due = start + Duration::from_secs_f64(number as f64 / entries_per_second);
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            // Beyond this it would be refused, and come again: it is late either way.
            while under_way.load(Ordering::SeqCst) >= QUEUE_CANDIDATES_MAX {
                std::thread::sleep(Duration::from_micros(100));
            }
            under_way.fetch_add(1, Ordering::SeqCst);
            let (sender, under_way) = (sender.clone(), under_way.clone());
            // The receiver ends early only if it failed, and then says so itself.
            ledger.append_then(
                candidate,
                Box::new(move |outcome| {
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    drop(sender.send((due, outcome)));
                }),
            );
        }
        let outcome = receiver.join().map_err(|_| "the receipts' thread ended early")?;
        Ok(outcome?)
    }
}

fn receive(
    ledger: &Ledger,
    admitted: &mpsc::Receiver<(Instant, Result<Admission, LedgerError>)>,
    count: usize,
) -> Result<Vec<f64>, Failure> {
    let mut latencies_ms = Vec::with_capacity(count);
    let mut samples = Vec::new();
    for (number, (due, outcome)) in admitted.iter().take(count).enumerate() {
        let admission = outcome?;
        let receipt = ledger.receipt_of(&admission)?;
        latencies_ms.push(due.elapsed().as_secs_f64() * 1000.0);
        if number % VERIFIED_ONE_IN == 0 {
            samples.push((admission.place.leaf, receipt));
        }
    }
    let options = options()?;
    let verifier =
        LogVerifier { origin: options.origin, keys: options.signers.iter().map(|signer| signer.verifier_key().clone()).collect() };
    for (leaf, receipt) in samples {
        LogProof::parse(&receipt)?.verify(&leaf, &verifier)?;
    }
    Ok(latencies_ms)
}
