//! The smoke run: every input of the corpus, and a few thousand mutations, within the memory that each target may take.
//!
//! `EXHIBIT_FUZZ_TARGET=<name>` runs one target, `EXHIBIT_FUZZ_ROUNDS=<number>` another number of mutations, `EXHIBIT_SEED=<number>`
//! other mutations.

#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use exhibit_fuzz::allocation::peak_bytes_of;
use exhibit_fuzz::mutate::{Random, mutate};
use exhibit_fuzz::{TARGETS, Target};

/// The same in every run, so that a build does not fail by chance; `make fuzz` looks further.
const SEED: u64 = 20_261_120;
/// Targets run side by side.
const THREADS: usize = 4;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// The corpus of a target, in the order of its files' names.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{} has no corpus: {}", target.name, folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())).collect()
}

/// Runs one input; what it breaks is written to a file, from where it goes into the corpus.
fn run(target: &Target, input: &[u8], origin: &str) -> bool {
    let (result, peak_bytes) = peak_bytes_of(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    let limit_bytes = target.allocation.bytes(input.len());
    let defect = match &result {
        Ok(_) if peak_bytes > limit_bytes => {
            format!("an input of {} bytes took {peak_bytes} bytes of memory, not {limit_bytes}", input.len())
        }
        Ok(accepted) => return *accepted,
        Err(_) => "it panicked (see above)".to_owned(),
    };
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-failure", target.name));
    std::fs::write(&kept, input).unwrap();
    panic!("{}, {origin}: {defect}. The input is kept in {}", target.name, kept.display());
}

fn smoke(target: &Target) {
    let corpus = corpus(target);
    let inputs: Vec<Vec<u8>> = corpus.iter().map(|(_, input)| input.clone()).collect();
    // What a target makes once and keeps is not the first input's.
    (target.run)(&inputs[0]);
    let accepted = corpus.iter().filter(|(name, input)| run(target, input, &format!("corpus/{}/{name}", target.name))).count();
    assert!(
        accepted > 0,
        "{}: nothing of its corpus is accepted, so that nothing behind the first check is reached. If the format has changed, make the \
         corpus anew (docs/testing.md)",
        target.name
    );
    let seed = number("EXHIBIT_SEED", SEED);
    let mut random = Random::new(seed);
    for round in 0..number("EXHIBIT_FUZZ_ROUNDS", target.rounds) {
        let input = mutate(&inputs[random.below(inputs.len())], &inputs, &mut random);
        run(target, &input, &format!("round {round}, EXHIBIT_SEED={seed}"));
    }
}

#[test]
fn no_input_of_the_corpus_and_none_near_it_breaks_a_promise() {
    let only = std::env::var("EXHIBIT_FUZZ_TARGET").ok();
    let targets: Vec<&Target> = TARGETS.iter().filter(|target| only.as_deref().is_none_or(|only| only == target.name)).collect();
    assert!(!targets.is_empty(), "there is no target {only:?}");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    smoke(target);
                }
            });
        }
    });
}

#[test]
fn the_corpus_has_a_folder_for_each_target_and_no_other() {
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap();
    let mut folders: Vec<String> = folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    let mut targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    targets.sort_unstable();
    assert_eq!(folders, targets);
}
