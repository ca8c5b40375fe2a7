//! A figure and its baseline, and how CPU time is measured.

use std::process::{Command, Stdio};

use serde::Serialize;

use crate::Failure;

/// A line of the result.
#[derive(Serialize)]
pub struct Figure {
    /// Its name, for machines.
    pub bench: &'static str,
    /// What was measured.
    pub value: f64,
    /// In what.
    pub unit: &'static str,
    /// What it is compared with.
    pub baseline: &'static str,
    /// The same unit.
    pub baseline_value: f64,
    /// `value / baseline_value`
    pub ratio: f64,
}

impl Figure {
    /// A figure and what it is compared with, both in `unit`.
    pub fn new(bench: &'static str, value: f64, unit: &'static str, baseline: &'static str, baseline_value: f64) -> Self {
        let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
        Self {
            bench,
            value: rounded(value),
            unit,
            baseline,
            baseline_value: rounded(baseline_value),
            ratio: rounded(value / baseline_value),
        }
    }

    /// Prints it.
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("a figure is plain data"));
    }
}

/// The CPU time (user and system) of a command that must end well, in seconds. A machine that does other things besides makes it longer by
/// some per cent, and the elapsed time by any factor.
pub fn cpu_seconds(program: &str, arguments: &[String]) -> Result<f64, Failure> {
    // Only a shell tells the time of its children without unsafe code, and to the millisecond.
    let mut shell = Command::new("bash");
    shell.args(["-c", "TIMEFORMAT='%3U %3S'; time \"$@\" 2>&1 >/dev/null", "bash", program]).args(arguments);
    let output = shell.stdin(Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{program} {} failed: {told}{}", arguments.join(" "), String::from_utf8_lossy(&output.stdout)).into());
    }
    let seconds: Result<Vec<f64>, _> = told.split_whitespace().map(str::parse).collect();
    Ok(seconds.map_err(|_| format!("bash told no times: {told}"))?.iter().sum())
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// So many per cent of the values are at most this.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}
