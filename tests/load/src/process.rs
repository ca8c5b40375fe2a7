//! What the kernel says of a process: the processor's time that it took, the memory that it has.

use std::fs;

/// The kernel counts a process's time in hundredths of a second (`CLK_TCK`, which is 100 on every Linux).
const TICKS_PER_S: f64 = 100.0;

/// User and system time of a process so far, its threads' included, in seconds (proc_pid_stat(5)).
///
/// # Panics
/// If there is no such process.
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = read(process, "stat");
    // The second field, in parentheses, may hold anything; utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a process has a name").1.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<f64>().expect("times are numbers");
    (ticks(14) + ticks(15)) / TICKS_PER_S
}

/// What the processors did since they were last asked: a moment of `/proc/stat` (proc_stat(5)).
#[derive(Clone, Copy, Debug)]
pub struct Processors {
    all: f64,
    idle: f64,
    waiting: f64,
}

impl Processors {
    /// Now.
    ///
    /// # Panics
    /// If the kernel tells nothing.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").expect("the kernel tells what its processors do");
        let line = stat.lines().next().expect("the first line is of all of them");
        let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        // The guests' time is in the users'.
        Self { all: ticks.iter().take(8).sum(), idle: ticks[3], waiting: ticks[4] }
    }

    /// Since then: the share of time in which they had nothing to do, and that in which they had nothing to do but wait for a disk.
    pub fn since(&self, before: &Self) -> (f64, f64) {
        let all = (self.all - before.all).max(1.0);
        ((self.idle - before.idle) / all, (self.waiting - before.waiting) / all)
    }
}

/// Resident memory of a process, in bytes (proc_pid_status(5)).
///
/// # Panics
/// If there is no such process.
pub fn resident_bytes(process: u32) -> u64 {
    let status = read(process, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process that runs has memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("memory is told in kB");
    kib * 1024
}

/// This process.
pub fn own() -> u32 {
    std::process::id()
}

fn read(process: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_else(|error| panic!("process {process}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_memory_is_resident() {
        let before = cpu_seconds(own());
        // A tick is 10 ms: some of them pass.
        let mut number = 1_u64;
        while cpu_seconds(own()) < before + 0.05 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        assert_ne!(number, 0);
        let held = vec![1_u8; 64 << 20];
        assert!(resident_bytes(own()) > held.len() as u64, "what was written to is not resident");
    }
}
