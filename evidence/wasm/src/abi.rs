//! The module's imports and exports: numbers and addresses in linear memory, and nothing that needs a generator on the other side.
//!
//! It judges nothing. The second and last home of unsafe code: calls into the host, and names that the host calls.
#![allow(unsafe_code)]

use std::cell::RefCell;

use crate::{Host, judge};

/// An anchor is at most this long (docs/formats/bundle.md); more is refused before memory is given to it.
const ANCHOR_BYTES_MAX: usize = 256 << 10;

#[link(wasm_import_module = "exhibit")]
unsafe extern "C" {
    #[link_name = "open"]
    fn host_open(path: *const u8, path_bytes: usize) -> i64;
    #[link_name = "list"]
    safe fn host_list() -> i64;
    #[link_name = "read"]
    fn host_read(buffer: *mut u8, buffer_bytes: usize) -> i32;
}

/// The host by its imports.
struct Imports;

impl Host for Imports {
    fn open(&self, path: &str) -> i64 {
        // SAFETY: the address and length are those of a live string, which the host only reads.
        unsafe { host_open(path.as_ptr(), path.len()) }
    }

    fn list(&self) -> i64 {
        host_list()
    }

    fn read(&self, buffer: &mut [u8]) -> i32 {
        // SAFETY: the address and length are those of a live buffer that is borrowed for writing. A host that wrote elsewhere would have
        // the whole memory anyway: it owns the instance.
        unsafe { host_read(buffer.as_mut_ptr(), buffer.len()) }
    }
}

thread_local! {
    /// What the host put here before `verify`.
    static ANCHOR: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// What the last `verify` answered.
    static VERDICT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes room for an anchor of so many bytes and gives its address; null where no anchor is as long.
#[unsafe(no_mangle)]
pub extern "C" fn anchor(bytes: usize) -> *mut u8 {
    if bytes > ANCHOR_BYTES_MAX {
        return std::ptr::null_mut();
    }
    ANCHOR.with_borrow_mut(|anchor| {
        *anchor = vec![0; bytes];
        anchor.as_mut_ptr()
    })
}

/// Judges the host's bundle by the anchor that was put into memory, and gives the exit code of `exhibit verify`.
#[unsafe(no_mangle)]
pub extern "C" fn verify() -> i32 {
    let (code, json) = ANCHOR.with_borrow(|anchor| judge(anchor, &Imports));
    VERDICT.set(json);
    i32::from(code)
}

/// The address of the JSON that the last `verify` answered, in UTF-8. It holds until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn verdict() -> *const u8 {
    VERDICT.with_borrow(|verdict| verdict.as_ptr())
}

/// How many bytes it has.
#[unsafe(no_mangle)]
pub extern "C" fn verdict_bytes() -> usize {
    VERDICT.with_borrow(String::len)
}
