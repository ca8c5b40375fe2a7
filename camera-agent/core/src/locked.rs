//! Memory that is not swapped, not dumped and not inherited: where the secrets of an epoch live. The only unsafe code of this crate.
//!
//! It does not know what it holds.
#![allow(unsafe_code)]

use std::{io, ptr::NonNull, slice};

use zeroize::Zeroize;

/// Room for a few dozen key nodes; a page is the least that can be locked.
const LOCKED_BYTES: usize = 4096;

/// One locked page, zero at first, wiped when dropped.
pub struct LockedPage {
    start: NonNull<u8>,
}

// The page is owned by this value alone, like a Box.
unsafe impl Send for LockedPage {}

impl LockedPage {
    /// Maps and locks a page.
    pub fn new() -> io::Result<Self> {
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                LOCKED_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = Self { start: NonNull::new(start.cast()).expect("the kernel maps nothing at address 0") };
        // SAFETY: the range is the mapping just made; these calls change how it is treated, not what is in it.
        let refused = unsafe {
            libc::mlock(start, LOCKED_BYTES) != 0
                || libc::madvise(start, LOCKED_BYTES, libc::MADV_DONTDUMP) != 0
                || libc::madvise(start, LOCKED_BYTES, libc::MADV_WIPEONFORK) != 0
        };
        if refused {
            return Err(io::Error::last_os_error());
        }
        Ok(page)
    }

    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, LOCKED_BYTES long and lives as long as self.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), LOCKED_BYTES) }
    }

    /// What is in it, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and self is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), LOCKED_BYTES) }
    }
}

impl Drop for LockedPage {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        // SAFETY: the mapping was made by `new` and nothing borrows from it any more. Unmapping unlocks.
        unsafe { libc::munmap(self.start.as_ptr().cast(), LOCKED_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The kernel's own account of the mapping that holds `address`.
    fn flags_of(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            if let Some((start, rest)) = line.split_once('-')
                && let (Ok(start), Some(end)) = (usize::from_str_radix(start, 16), rest.split(' ').next())
                && let Ok(end) = usize::from_str_radix(end, 16)
            {
                inside = (start..end).contains(&address);
            }
            if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                return format!("{flags} ");
            }
        }
        panic!("the kernel does not know the page");
    }

    #[test]
    fn the_kernel_neither_swaps_nor_dumps_nor_inherits_the_page() {
        let page = LockedPage::new().unwrap();
        let flags = flags_of(page.bytes().as_ptr() as usize);
        for flag in [" lo ", " dd ", " wf "] {
            assert!(flags.contains(flag), "{flag} is missing in {flags}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut page = LockedPage::new().unwrap();
        assert!(page.bytes().iter().all(|byte| *byte == 0));
        page.bytes_mut()[4095] = 7;
        assert_eq!(page.bytes()[4095], 7);
    }
}
