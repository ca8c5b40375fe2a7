//! How fast a check reads, what it tells of itself, and where it goes on after an end among the chains.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use exhibit_ledger::fsck::{Claim, Damage, Fsck, Look, Owner, Progress};

use crate::bench::{Reader, SIZE, bench, found, put, with_database};
use crate::common::{Chain, append_all, open, verifier};

#[test]
fn a_rate_that_is_set_is_kept() {
    let (_keep, folder) = bench();
    let stop = AtomicBool::new(false);
    let told = AtomicU64::new(0);
    let progress = |progress: Progress| told.store(progress.bytes, Ordering::SeqCst);
    // The owner counts 1,000 bytes for each of 700 entries: at 1.4 MB/s that is half a second.
    let fsck = Fsck {
        log: verifier(),
        owner: &Reader,
        threads: 2,
        bytes_per_s: Some(1_400_000),
        state_file: None,
        progress: &progress,
        stop: &stop,
    };
    let begin = Instant::now();
    fsck.run(&folder).unwrap();
    assert!(begin.elapsed().as_millis() >= 450, "{:?}", begin.elapsed());
    assert!(told.load(Ordering::SeqCst) > SIZE * 1000);
}

/// The objects of one bundle alone are more than is read in a second: the rate holds within a bundle, and an end is heeded there.
#[test]
fn a_rate_holds_within_a_bundle_and_so_does_an_end() {
    let (keep, folder) = bench();
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let state = keep.path().join("state");
    let owner = Large { asked: &asked };
    let fsck = Fsck {
        log: verifier(),
        owner: &owner,
        threads: 2,
        bytes_per_s: Some(10 << 20),
        state_file: Some(state.clone()),
        progress: &|_| {},
        stop: &stop,
    };
    std::thread::scope(|scope| {
        let began = Instant::now();
        let check = scope.spawn(|| fsck.run(&folder).unwrap());
        while asked.load(Ordering::SeqCst) < 4 {
            std::thread::yield_now();
        }
        // Two objects of 4 MiB came before the last two were begun; two threads may have one each under way.
        assert!(began.elapsed() >= Duration::from_millis(700), "four objects were read in {:?}", began.elapsed());
        stop.store(true, Ordering::SeqCst);
        let report = check.join().unwrap();
        assert!(asked.load(Ordering::SeqCst) < 10, "it read on after its end");
        assert_eq!((report.entries, report.is_complete, found(&report)), (0, false, vec![]), "what was cut off was judged");
    });
}

/// An owner with an object of 4 MiB for each entry, which it reads in pieces, and which it calls damaged when it can not read it to its end.
struct Large<'a> {
    asked: &'a AtomicU64,
}

impl Owner for Large<'_> {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        Reader.claim(entry)
    }

    fn inspect(&self, index: u64, _: &[u8], look: &Look<'_>, damages: &mut Vec<Damage>) {
        if !(0..4).all(|_| look.read(1 << 20)) {
            damages.push(Damage::new("payload", index, "it was cut off"));
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
    }
}

/// Many chains: the second half of a check is parted among threads, told, paced, and goes on where it was ended.
#[test]
fn the_chains_are_checked_in_parts_that_are_told_and_kept() {
    let keep = exhibit_power_loss::scratch();
    let folder = keep.path().join("ledger");
    let ledger = open(&folder);
    let (chains, length) = (30, 2000);
    let candidates = (0..length).flat_map(|_| 0..chains).scan(Vec::new(), |made: &mut Vec<Chain>, number| {
        if made.len() == number {
            made.push(Chain::new(&format!("chain/{number:02}")));
        }
        Some(made[number].next(30))
    });
    assert!(append_all(&ledger, candidates).iter().all(Result::is_ok));
    drop(ledger);
    let size = (chains * length) as u64;
    let state = keep.path().join("state");
    let (stop, most, least) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let ends_at = AtomicU64::new(20_000);
    let progress = |progress: Progress| {
        most.fetch_max(progress.places, Ordering::SeqCst);
        if progress.places > 0 {
            least.fetch_min(progress.places, Ordering::SeqCst);
        }
        if progress.places >= ends_at.load(Ordering::SeqCst) {
            stop.store(true, Ordering::SeqCst);
        }
    };
    // At this rate the rows of the chains take some seconds, in which it tells how far it is.
    let fsck = |bytes_per_s| Fsck {
        log: verifier(),
        owner: &Silent,
        threads: 2,
        bytes_per_s,
        state_file: Some(state.clone()),
        progress: &progress,
        stop: &stop,
    };
    let report = fsck(Some(3 << 20)).run(&folder).unwrap();
    assert_eq!((report.entries, report.is_complete), (size, false));
    let kept = fs::read_to_string(&state).unwrap();
    assert!(kept.lines().any(|line| line.starts_with("chains\t") && !line.starts_with("chains\t0\t")), "{kept}");
    // The log goes on meanwhile: the check ends what it has begun.
    let ledger = open(&folder);
    let mut chain = Chain::of(&ledger, "chain/00");
    (0..300).for_each(|_| drop(ledger.append(chain.next(30)).unwrap()));
    drop(ledger);
    stop.store(false, Ordering::SeqCst);
    ends_at.store(u64::MAX, Ordering::SeqCst);
    least.store(u64::MAX, Ordering::SeqCst);
    // What it does not look at again may be damaged meanwhile: it is not found before the next check.
    with_database(&folder, |db| put(db, "heads", b"chain/00", None));
    let report = fsck(None).run(&folder).unwrap();
    assert_eq!((report.head.size, report.is_complete, found(&report)), (size, true, vec![]), "it began its chains again");
    assert!(!state.exists());
    assert_eq!(most.load(Ordering::SeqCst), size, "the last places were not told");
    let report = fsck(None).run(&folder).unwrap();
    assert_eq!((report.head.size, found(&report)), (size + 300, vec![("head", "chain/00")]));
}

/// Reads entries, and has nothing beside the ledger.
struct Silent;

impl Owner for Silent {
    fn claim(&self, entry: &[u8]) -> Result<Claim, String> {
        Reader.claim(entry)
    }

    fn inspect(&self, _: u64, _: &[u8], _: &Look<'_>, _: &mut Vec<Damage>) {}
}
