//! Gives libFuzzer's inputs to the target that `EXHIBIT_FUZZ_TARGET` names, within the memory that the target may take.

#![no_main]

use std::sync::LazyLock;

use exhibit_fuzz::allocation::peak_bytes_of;
use exhibit_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("EXHIBIT_FUZZ_TARGET").expect("EXHIBIT_FUZZ_TARGET names a target");
    let target = TARGETS.iter().find(|target| target.name == name).expect("EXHIBIT_FUZZ_TARGET names a target");
    // What a target makes once and keeps is not the first input's.
    (target.run)(&[]);
    target
});

fuzz_target!(|input: &[u8]| {
    let target = *TARGET;
    let (_, peak_bytes) = peak_bytes_of(|| (target.run)(input));
    let limit_bytes = target.allocation.bytes(input.len());
    assert!(peak_bytes <= limit_bytes, "an input of {} bytes took {peak_bytes} bytes of memory, not {limit_bytes}", input.len());
});
