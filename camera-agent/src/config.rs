//! The configuration: its doc comments are the manual.
//!
//! It opens nothing but its own file.

use std::path::{Path, PathBuf};

use exhibit_camera_core::AgentLimits;
use serde::Deserialize;

use crate::{Failure, Source, files};

/// The configuration's name in the state folder.
pub const CONFIG_FILE: &str = "agent.toml";
/// A clip that has ended is sent to its end: nobody waits for the next one. A stop by signal is bounded by `stop_drain_s`.
const DRAIN_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// What the agent is told by `agent.toml` in its state folder. Every line may be left out; flags override it; unknown lines are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How to reach the TPM: `device:/dev/tpmrm0` for the machine's own (through the kernel's resource manager).
    pub tcti: String,
    /// The persistent handle of the camera's signing key. The key is made there at enrolment, if nothing is there.
    pub key_handle: u32,
    /// Where pictures come from: `rtsp://user:password@host/path` (H.264), `file:/path/to/clip.mp4`, `test:` or `test:<frames>`. The file
    /// should be readable by the agent alone if there is a password in it.
    pub source: Option<Source>,
    /// The appliance's intake, `host:port`.
    pub appliance: Option<String>,
    /// A file and the test picture are played as fast as they were filmed; false plays them as fast as this machine can.
    pub live_speed: bool,
    /// What could not be sent yet may take up so much of the disk; beyond it, recording pauses and a gap is stated.
    pub spool_mib_max: u32,
    /// When asked to stop: so long to send what is spooled, in seconds. What is left is sent at the next start.
    pub stop_drain_s: u32,
    /// How often the appliance is asked for newer recipients, in seconds.
    pub recipients_interval_s: u32,
    /// A new epoch, with new keys, at least so often.
    pub epoch_hours_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tcti: "device:/dev/tpmrm0".to_owned(),
            key_handle: 0x8101_0102,
            source: None,
            appliance: None,
            live_speed: true,
            spool_mib_max: 16 << 10,
            stop_drain_s: 30,
            recipients_interval_s: 60,
            epoch_hours_max: 24,
        }
    }
}

impl Config {
    /// From the file that is named, or else from the one in the state folder, if there is one.
    pub fn load(named: Option<&Path>, state: &Path) -> Result<Self, Failure> {
        let path = named.map_or_else(|| state.join(CONFIG_FILE), PathBuf::from);
        match files::read_text(&path) {
            Err(Failure::File { source, .. }) if named.is_none() && source.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            text => Self::parse(&text?).map_err(|reason| Failure::Content { path, reason }),
        }
    }

    /// From TOML; the error names the line but does not quote it, since there may be a password in it.
    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            format!("line {line}: {}", error.message())
        })?;
        for (name, value, range) in [
            ("spool_mib_max", config.spool_mib_max, 16..=u32::MAX),
            ("stop_drain_s", config.stop_drain_s, 0..=86_400),
            ("recipients_interval_s", config.recipients_interval_s, 1..=86_400),
            ("epoch_hours_max", config.epoch_hours_max, 1..=24),
        ] {
            if !range.contains(&value) {
                return Err(format!("{name} is {value}; it may be {} to {}", range.start(), range.end()));
            }
        }
        Ok(config)
    }

    /// The limits as the agent's core takes them.
    pub fn limits(&self) -> AgentLimits {
        AgentLimits {
            spool_bytes_max: u64::from(self.spool_mib_max) << 20,
            epoch_ms_max: u64::from(self.epoch_hours_max) * 60 * 60 * 1000,
            recipients_interval_ms: u64::from(self.recipients_interval_s) * 1000,
            drain_ms_max: DRAIN_MS_MAX,
            ..AgentLimits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_sample_is_the_defaults() {
        let sample = Config::parse(include_str!("../agent.toml")).unwrap();
        let expected = Config {
            source: Some("rtsp://camera.example/stream".parse().unwrap()),
            appliance: Some("appliance.example:8443".to_owned()),
            ..Config::default()
        };
        assert_eq!(sample, expected);
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn mistakes_are_refused_by_line_without_passwords() {
        for (text, expected) in [
            ("live_speed = true\nspeed = 2\n", "line 2: unknown field `speed`"),
            ("source = \"rtsp:/admin:s3cret@camera\"\n", "line 1: not a source"),
            ("epoch_hours_max = 25\n", "1 to 24"),
            ("stop_drain_s = -1\n", "line 1"),
            ("spool_mib_max = 1\n", "16 to"),
            ("recipients_interval_s = 0\n", "1 to 86400"),
        ] {
            let reason = Config::parse(text).unwrap_err();
            assert!(reason.contains(expected), "{text}: {reason}");
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }
}
