//! The configuration file: one TOML file whose members are documented here, unknown ones refused.
//!
//! It reads no file itself, and holds no secret: keys are files of their own beside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use exhibit_tlog::witness::FollowedLog;
use exhibit_tlog::{NoteError, VerifierKey};
use serde::Deserialize;

/// `witness.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The witness's name, in its keys and under every cosignature, for ever: a schema-less URL like witness.example/w1
    pub name: String,
    /// Where logs and monitors connect. Port 0 takes a free one; `serve` prints it.
    pub listen: SocketAddr,
    /// Files for HTTPS. Without them it is plain HTTP, and listens on this machine only.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Plain HTTP is served beyond this machine too, since a proxy in front of it does TLS.
    #[serde(default)]
    pub behind_proxy: bool,
    /// Connections open at a time. One more waits until another closes.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// How long SIGTERM lets requests go on that have begun.
    #[serde(default = "drain_s")]
    pub drain_s: u64,
    /// The logs.
    #[serde(default, rename = "log")]
    pub logs: Vec<LogConfig>,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those above it, PEM. Relative to the state folder.
    pub certificate: PathBuf,
    /// Its key, PEM. Relative to the state folder.
    pub key: PathBuf,
}

/// `[[log]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The log's name: the first line of its checkpoints.
    pub origin: String,
    /// Its keys. A checkpoint must be signed by every one of them.
    pub keys: Vec<String>,
    /// One of them is enough: for a log that changes its keys.
    #[serde(default)]
    pub any_key: bool,
}

/// 32 KiB of buffers each; a log needs one.
fn connections_max() -> usize {
    256
}
/// Below systemd's 90 s, and longer than any request takes.
fn drain_s() -> u64 {
    20
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not this file.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A number out of range.
    #[error("{0} must be between 1 and {1}")]
    Limit(&'static str, usize),
    /// Anybody on the network could change what is said.
    #[error("{0} is beyond this machine: give [tls], or say behind_proxy = true where a proxy does TLS")]
    Plain(SocketAddr),
    /// Two entries for one log.
    #[error("the log {0} is there twice")]
    Twice(String),
    /// A log's key.
    #[error("a key of the log {origin}: {error}")]
    Key {
        /// Which log.
        origin: String,
        /// What is wrong.
        error: NoteError,
    },
    /// A log that could not sign anything.
    #[error("the log {0} has no keys, or one twice, or one that makes cosignatures only")]
    Keys(String),
}

impl Config {
    /// Parses and checks.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        for (name, value, limit) in [("connections_max", config.connections_max, CONNECTIONS_LIMIT)] {
            if value == 0 || value > limit {
                return Err(ConfigError::Limit(name, limit));
            }
        }
        config.check_listen(config.listen)?;
        config.verifiers()?;
        Ok(config)
    }

    /// Refuses plain HTTP beyond this machine.
    pub fn check_listen(&self, listen: SocketAddr) -> Result<(), ConfigError> {
        let is_safe = listen.ip().is_loopback() || self.tls.is_some() || self.behind_proxy;
        if is_safe { Ok(()) } else { Err(ConfigError::Plain(listen)) }
    }

    /// The logs, ready to verify.
    pub fn verifiers(&self) -> Result<Vec<FollowedLog>, ConfigError> {
        let mut verifiers: Vec<FollowedLog> = Vec::new();
        for LogConfig { origin, keys, any_key } in &self.logs {
            if verifiers.iter().any(|known| known.origin == *origin) {
                return Err(ConfigError::Twice(origin.clone()));
            }
            let parsed: Result<Vec<_>, _> = keys.iter().map(|key| VerifierKey::parse(key)).collect();
            let parsed = parsed.map_err(|error| ConfigError::Key { origin: origin.clone(), error })?;
            let repeated = (1..parsed.len()).any(|end| parsed[..end].iter().any(|key| key.has_key_of(&parsed[end])));
            if parsed.is_empty() || repeated || parsed.iter().any(|key| !key.algorithm().is_log_signature()) {
                return Err(ConfigError::Keys(origin.clone()));
            }
            verifiers.push(FollowedLog { origin: origin.clone(), keys: parsed, takes_any_key: *any_key });
        }
        Ok(verifiers)
    }
}

/// File descriptors are finite.
const CONNECTIONS_LIMIT: usize = 65_536;

/// What `init` writes: every member, with its default.
pub fn sample(name: &str) -> String {
    format!(
        "\
# A witness of transparency logs (C2SP tlog-witness). `exhibit-witness serve --help` and docs/operations.md say more.

# The witness's name, in its keys and under every cosignature, for ever.
name = {name:?}

# Where logs and monitors connect. Port 0 takes a free one; `serve` prints it.
listen = \"127.0.0.1:7450\"

# Plain HTTP is served beyond this machine too, since a proxy in front of it does TLS.
behind_proxy = false

# Connections open at a time. One more waits until another closes.
connections_max = 256

# How long SIGTERM lets requests go on that have begun, in seconds.
drain_s = 20

# HTTPS, with files relative to the state folder. Without it, it is plain HTTP, and listens on this machine only (but see behind_proxy).
# [tls]
# certificate = \"tls.pem\"
# key = \"tls.key\"

# One of these for each log. A checkpoint must be signed by every key. They stand in the log's anchor (anchor.json), in `origin` and `keys`.
# With any_key = true one key is enough: for a log that changes its keys.
# [[log]]
# origin = \"city.example/log/1\"
# keys = [\"city.example/log/1+…\", \"city.example/log/1+…\"]
"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NAME: &str = "witness.example/w1";
    const KEY: &str = "exhibit.example/log+";

    fn with(more: &str) -> Result<Config, ConfigError> {
        Config::parse(&format!("name = {NAME:?}\nlisten = \"127.0.0.1:0\"\n{more}"))
    }

    #[test]
    fn the_sample_is_what_is_assumed_without_it() {
        let bare = Config::parse(&format!("name = {NAME:?}\nlisten = \"127.0.0.1:7450\"\n")).unwrap();
        assert_eq!(Config::parse(&sample(NAME)).unwrap(), bare, "the sample shows other values than the defaults");
        let whole: String = sample(NAME)
            .lines()
            .filter(|line| !line.contains("[[log]]") && !line.contains("origin ="))
            .map(|line| {
                let is_tls = line.starts_with("# [tls]") || line.starts_with("# certificate") || line.starts_with("# key =");
                format!("{}\n", if is_tls { &line[2..] } else { line })
            })
            .collect();
        let tls = Tls { certificate: "tls.pem".into(), key: "tls.key".into() };
        assert_eq!(Config::parse(&whole).unwrap().tls, Some(tls), "what the sample shows for [tls] is not understood");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        with("").unwrap();
        assert!(with("port = 1\n").is_err(), "a misspelt member was ignored");
        assert!(with("connections_max = 0\n").is_err(), "a witness that answers nobody");
        assert!(matches!(with("[[log]]\norigin = \"a\"\nkeys = []\n"), Err(ConfigError::Keys(_))), "a log that nobody signs for");
        assert!(matches!(with(&format!("[[log]]\norigin = \"a\"\nkeys = [\"{KEY}\"]\n")), Err(ConfigError::Key { .. })));
        assert!(with("[[log]]\norigin = \"a\"\nkeys = []\nkey = 1\n").is_err(), "a misspelt member of a log was ignored");
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_a_proxy_is_named() {
        let at = |listen: &str, more: &str| Config::parse(&format!("name = {NAME:?}\nlisten = {listen:?}\n{more}"));
        assert!(matches!(at("0.0.0.0:80", ""), Err(ConfigError::Plain(_))), "plain HTTP for everybody");
        at("[::1]:80", "").unwrap();
        at("0.0.0.0:80", "behind_proxy = true\n").unwrap();
        at("0.0.0.0:443", "[tls]\ncertificate = \"a\"\nkey = \"b\"\n").unwrap();
    }
}
