//! A global allocator that counts, per thread, so that a test can say how much memory an input made a parser take.
//!
//! It does not limit anything. Whoever links this crate counts; no program of the project does.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// What `work` gives, and the most bytes that were allocated by this thread at one moment of it, beyond what was before.
pub fn peak_bytes_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    let result = work();
    (result, usize::try_from(PEAK_BYTES.get() - before).unwrap_or(0))
}

fn count(change: isize) {
    // A thread that is ending has no counters any more, and nobody asks it.
    let _ = LIVE_BYTES.try_with(|live| {
        live.set(live.get() + change);
        let _ = PEAK_BYTES.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

/// No layout is larger than `isize::MAX`.
fn signed(size_bytes: usize) -> isize {
    size_bytes.cast_signed()
}

// SAFETY: every call is handed to the system's allocator as it came; counting touches nothing but this thread's two cells, which are
// initialised at compile time and have no destructors, so that counting never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // While it is moved, both may be there.
        count(signed(new_size));
        count(-signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::peak_bytes_of;

    #[test]
    fn the_peak_is_what_was_live_at_once() {
        let (_, peak_bytes) = peak_bytes_of(|| {
            for _ in 0..10 {
                drop(std::hint::black_box(vec![1_u8; 1000]));
            }
            let two = [vec![1_u8; 3000], vec![2_u8; 2000]];
            std::hint::black_box(two)
        });
        assert_eq!(peak_bytes, 5000, "what was freed is not counted, and what lives together is");
        assert_eq!(peak_bytes_of(|| ()).1, 0);
    }
}
