//! The systemd units, judged offline by `systemd-analyze`.

use std::path::PathBuf;
use std::process::Command;

use exhibit_tidy::Workspace;

/// Exposure that `systemd-analyze security` may find, in tenths (its scale is 0.0 to 10.0). The agent needs the TPM.
const EXPOSURE_TENTHS_MAX: &[(&str, u32)] = &[
    ("exhibit-appliance.service", 20),
    ("exhibit-audit@.service", 15),
    ("exhibit-audit-follow@.service", 15),
    ("exhibit-camera-agent.service", 25),
    ("exhibit-witness.service", 20),
];
/// Units that run nothing themselves.
const TIMERS: &[&str] = &["exhibit-audit@.timer"];

fn unit(name: &str) -> PathBuf {
    Workspace::load().root.join("systemd").join(name)
}

/// `None` where systemd is not installed: `make packages` installs it, and `make test` demands it.
fn systemd_analyze() -> Option<Command> {
    let present = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(present || std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "systemd-analyze is missing: run make packages");
    present.then(|| Command::new("systemd-analyze"))
}

#[test]
fn units_are_confined() {
    for (name, tenths_max) in EXPOSURE_TENTHS_MAX {
        let Some(mut analyze) = systemd_analyze() else { return };
        let threshold = tenths_max.to_string();
        let output =
            analyze.args(["security", "--offline=yes", "--no-pager"]).arg(format!("--threshold={threshold}")).arg(unit(name)).output();
        let output = output.expect("systemd-analyze can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("Overall exposure level"),
            "systemd-analyze did not judge {name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{name} is exposed beyond {threshold} tenths:\n{text}");
    }
}

#[test]
fn units_have_no_unknown_settings() {
    for name in EXPOSURE_TENTHS_MAX.iter().map(|(name, _)| name).chain(TIMERS) {
        let Some(mut analyze) = systemd_analyze() else { return };
        let output =
            analyze.args(["verify", "--man=no", "--recursive-errors=no"]).arg(unit(name)).output().expect("systemd-analyze can be started");
        let complaints = String::from_utf8_lossy(&output.stderr);
        // The programs themselves are not installed where this runs; everything else it says is a mistake in the unit.
        // A template is judged as its instance `i`.
        let instance = name.replace('@', "@i");
        let mistakes: Vec<_> = complaints
            .lines()
            .filter(|line| line.contains(name) || line.contains(&instance))
            .filter(|line| !line.contains("is not executable"))
            .collect();
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    }
}
