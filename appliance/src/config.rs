//! The configuration file: one TOML file whose members are documented here, unknown ones refused.
//!
//! It reads no file itself, and holds no secret: keys are files of their own beside it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use exhibit_tlog::{NoteError, VerifierKey};
use serde::Deserialize;

use crate::bans::BanConfig;
use crate::limits::{CONNECTIONS_LIMIT, Limits, TIME_LIMIT_S};
use crate::tpm_note::TpmNoteConfig;
use crate::tpm_seal::TpmSealConfig;

/// `appliance.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where cameras and people connect: TLS 1.3 with client certificates. Port 0 takes a free one; `serve` prints it.
    pub intake: SocketAddr,
    /// Where anyone may read checkpoints and hash tiles, without a client certificate.
    pub public: SocketAddr,
    /// Whether anyone may read entries there too, and the certificates of those who signed them: for logs that the public shall audit. They
    /// tell who asked for what of which camera, and when.
    #[serde(default)]
    pub public_entries: bool,
    /// Where monitoring asks for metrics (/metrics) and health (/healthz): plain HTTP, for this machine. Without it nobody is answered.
    #[serde(default)]
    pub monitoring: Option<SocketAddr>,
    /// Connections open at a time, for each of the two. One more waits until another closes.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// Uploads at a time; one more is answered with 503. Each has at most one file staged for each object.
    #[serde(default = "uploads_max")]
    pub uploads_max: usize,
    /// Ciphertext downloads at a time; one more is answered with 503.
    #[serde(default = "downloads_max")]
    pub downloads_max: usize,
    /// So much is kept of uploads that were cut off, so that they go on where they were, in MiB.
    #[serde(default = "staging_mib")]
    pub staging_mib: u64,
    /// The same of one sender. Its oldest makes room for its newest.
    #[serde(default = "staging_sender_mib")]
    pub staging_sender_mib: u64,
    /// So many uploads that were cut off are kept; each holds a file open.
    #[serde(default = "staging_uploads_max")]
    pub staging_uploads_max: usize,
    /// So long an upload may take from its first request on, in seconds, with all its interruptions.
    #[serde(default = "staging_s")]
    pub staging_s: u64,
    /// So much is kept free on the disks of ledger and vault, in MiB: cameras are answered 507 before less would be left, and keep what they have. People can
    /// state things until a quarter of it is used, and who reads is put on the ledger until half of it is; the rest is the database's, which needs
    /// up to 300 MiB for a start after a power cut. 0 keeps nothing.
    #[serde(default = "disk_reserve_mib")]
    pub disk_reserve_mib: u64,
    /// Entries that share one synced write at most.
    #[serde(default = "batch_entries_max")]
    pub batch_entries_max: usize,
    /// The file that keeps the newest head outside of the ledger's folder: start refuses a ledger that is behind it. It belongs on another
    /// medium than the state, so that no copy of one brings back both. Relative to the state folder.
    #[serde(default = "head_seal")]
    pub head_seal: PathBuf,
    /// A TPM that keeps the newest head too, at start, at stop and once an hour: no copy of a disk brings an old one back.
    #[serde(default)]
    pub tpm_seal: Option<TpmSealConfig>,
    /// A TPM that signs checkpoints too, at most one a minute, with a key of the log's that can not leave it. The log must have begun with it.
    #[serde(default)]
    pub tpm_note: Option<TpmNoteConfig>,
    /// Who `serve` has to be. Where root starts it, it becomes the owner of the state folder, whoever that is.
    #[serde(default)]
    pub user: Option<String>,
    /// Whether `serve` gives up files, system calls and privileges that it does not need.
    #[serde(default)]
    pub confinement: Wish,
    /// So long at most a line about the appliance's own security waits until it is on the ledger.
    #[serde(default = "log_interval_s")]
    pub log_interval_s: u64,
    /// How long SIGTERM lets requests go on that have begun.
    #[serde(default = "drain_s")]
    pub drain_s: u64,
    /// A C2SP tlog-policy: the witnesses, where each is reached, and how many of them make a receipt final. Without it every receipt is
    /// final at once. Relative to the state folder.
    #[serde(default)]
    pub witness_policy: Option<PathBuf>,
    /// Where a witness shows the checkpoints that it has cosigned (its monitoring prefix), by its URL in the policy; where it is not named here, it
    /// is that URL.
    #[serde(default)]
    pub witness_monitoring: BTreeMap<String, String>,
    /// What start does where no witness and no mirror can be asked what it knows of the log. `warn`: it starts, since seals tell an old disk
    /// too, no receipt becomes final before witnesses are back, and recording shall not hang on the network. `refuse`: it does not.
    #[serde(default)]
    pub unwitnessed_start: UnwitnessedStart,
    /// Mirrors (C2SP tlog-mirror), to each of which every entry is uploaded. What they cosign counts where the witness policy has their keys.
    #[serde(default, rename = "mirror")]
    pub mirrors: Vec<MirrorConfig>,
    /// The certificates (PEM) that the servers of witnesses, mirrors and timestamping authorities must lead to. Relative to the state folder.
    #[serde(default = "server_roots")]
    pub server_roots: PathBuf,
    /// The log ends, and a successor goes on without a hand, when it has so many entries.
    #[serde(default)]
    pub succession_entries: Option<u64>,
    /// The same when it is so many days old.
    #[serde(default)]
    pub succession_days: Option<u64>,
    /// How long whoever connects is waited for, and how much of everything they may have.
    #[serde(default)]
    pub limits: Limits,
    /// What becomes of those who make wrong attempts.
    #[serde(default)]
    pub bans: BanConfig,
    /// So long at least from one `timestamp` statement to the next.
    #[serde(default = "timestamp_interval_s")]
    pub timestamp_interval_s: u64,
    /// Timestamping authorities (RFC 3161) that are asked for a token for each `timestamp` statement.
    #[serde(default, rename = "timestamp_authority")]
    pub timestamp_authorities: Vec<TimestampAuthorityConfig>,
}

/// Whether `serve` is confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// It does not serve as root, nor where the kernel can not keep it from others' files.
    Required,
    /// As far as the kernel can; it says how far.
    #[default]
    Possible,
}

/// `[[timestamp_authority]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampAuthorityConfig {
    /// Where it is asked.
    pub url: String,
    /// Its own certificate, or a root that leads to it (PEM). Relative to the state folder.
    pub certificate: PathBuf,
}

/// What start does where nobody can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnwitnessedStart {
    /// It starts, and says so.
    #[default]
    Warn,
    /// It does not.
    Refuse,
}

/// `[[mirror]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorConfig {
    /// Where it takes uploads: its submission prefix.
    pub url: String,
    /// Where its copies are read: its monitoring prefix. `<url>/mirror` if it is not given, as `exhibit-witness --mirror` has it.
    pub monitoring_url: Option<String>,
    /// Its keys, as `exhibit-witness keys --mirror` prints them: a cosignature by one is enough, and each that comes must be good.
    pub keys: Vec<String>,
}

impl MirrorConfig {
    /// Its keys.
    pub fn verifier_keys(&self) -> Result<Vec<VerifierKey>, NoteError> {
        self.keys.iter().map(|key| VerifierKey::parse(key)).collect()
    }

    /// Where its copies are read.
    pub fn monitoring_url(&self) -> String {
        self.monitoring_url.clone().unwrap_or_else(|| format!("{}/mirror", self.url.trim_end_matches('/')))
    }
}

/// A city's cameras on one appliance, and people; 64 KiB of buffers each.
fn connections_max() -> usize {
    1024
}
/// Each has a thread while it is written; beyond this a disk gains nothing.
fn uploads_max() -> usize {
    256
}
/// People fetch a few segments at a time.
fn downloads_max() -> usize {
    64
}
/// A segment of the largest for each of `uploads_max`.
fn staging_mib() -> u64 {
    2048
}
/// The largest segment twice: one of live video, one of what it makes up for.
fn staging_sender_mib() -> u64 {
    17
}
/// A city's cameras, all cut off at once.
fn staging_uploads_max() -> usize {
    1024
}
/// A link that is gone for longer leaves a backlog, of which the rest of a segment is little.
fn staging_s() -> u64 {
    3600
}
/// Twice what a start after a power cut writes, and a quarter for a hundred thousand accesses.
fn disk_reserve_mib() -> u64 {
    1024
}
/// Past this a synced write takes longer without taking more (docs/performance.md).
fn batch_entries_max() -> usize {
    1024
}
/// Tells a ledger's folder that was put back alone; a path on another medium tells the whole state's.
fn head_seal() -> PathBuf {
    PathBuf::from("head.seal")
}
/// Below systemd's 90 s.
fn drain_s() -> u64 {
    20
}

/// Long enough for few statements, and short enough that little can be changed before it is on the ledger.
fn log_interval_s() -> u64 {
    300
}
/// Where Debian keeps the certificates that its programs trust.
fn server_roots() -> PathBuf {
    PathBuf::from("/etc/ssl/certs/ca-certificates.crt")
}
/// Time bounds as narrow as a court will ask for, and 1,440 entries a day.
fn timestamp_interval_s() -> u64 {
    60
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not this file.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A log that ends too soon.
    #[error("{0} must be at least {1}")]
    Least(&'static str, u64),
    /// A number out of range.
    #[error("{0} must be between 1 and {1}")]
    Limit(&'static str, usize),
    /// A mirror's keys.
    #[error("the mirror {url}: {reason}")]
    Mirror {
        /// Which.
        url: String,
        /// What is wrong with them.
        reason: String,
    },
}

impl Config {
    /// Parses and checks limits.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        let seconds = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let limits = [
            ("connections_max", config.connections_max, CONNECTIONS_LIMIT),
            ("uploads_max", config.uploads_max, UPLOADS_LIMIT),
            ("downloads_max", config.downloads_max, UPLOADS_LIMIT),
            ("batch_entries_max", config.batch_entries_max, exhibit_ledger::BATCH_ENTRIES_LIMIT),
            ("staging_uploads_max", config.staging_uploads_max, CONNECTIONS_LIMIT),
            ("staging_s", seconds(config.staging_s), TIME_LIMIT_S),
        ];
        // At once will do for these.
        for (name, value) in
            [("drain_s", config.drain_s), ("timestamp_interval_s", config.timestamp_interval_s), ("log_interval_s", config.log_interval_s)]
        {
            if seconds(value) > TIME_LIMIT_S {
                return Err(ConfigError::Limit(name, TIME_LIMIT_S));
            }
        }
        if config.timestamp_authorities.len() > TIMESTAMP_AUTHORITIES_LIMIT {
            return Err(ConfigError::Limit("timestamp authorities", TIMESTAMP_AUTHORITIES_LIMIT));
        }
        if config.mirrors.len() > MIRRORS_LIMIT {
            return Err(ConfigError::Limit("mirrors", MIRRORS_LIMIT));
        }
        for mirror in &config.mirrors {
            let wrong = |reason: String| ConfigError::Mirror { url: mirror.url.clone(), reason };
            let keys = mirror.verifier_keys().map_err(|error| wrong(error.to_string()))?;
            if keys.is_empty() || keys.iter().any(|key| !key.algorithm().is_cosignature()) {
                return Err(wrong("it has no key, or one that makes no cosignatures".to_owned()));
            }
        }
        for (name, value, least) in [
            ("succession_entries", config.succession_entries, SUCCESSION_ENTRIES_MIN),
            ("succession_days", config.succession_days, SUCCESSION_DAYS_MIN),
        ] {
            if value.is_some_and(|value| value < least) {
                return Err(ConfigError::Least(name, least));
            }
        }
        for (name, value, limit) in limits {
            if value == 0 || value > limit {
                return Err(ConfigError::Limit(name, limit));
            }
        }
        match config.limits.wrong() {
            Some((name, limit)) => Err(ConfigError::Limit(name, limit)),
            None => Ok(config),
        }
    }
}

impl Config {
    /// The members in which another configuration differs that are fixed while the appliance serves: they count from its next start on.
    pub fn fixed(&self, other: &Self) -> Vec<&'static str> {
        macro_rules! differing {
            ($($member:ident)*) => { [$((stringify!($member), self.$member == other.$member)),*] };
        }
        let compared = differing!(
            intake public monitoring public_entries connections_max uploads_max downloads_max staging_mib staging_sender_mib staging_uploads_max staging_s
            batch_entries_max head_seal tpm_seal tpm_note user confinement log_interval_s witness_policy witness_monitoring unwitnessed_start
            mirrors server_roots timestamp_interval_s timestamp_authorities
        );
        let alert = ("bans.alert", self.bans.alert == other.bans.alert);
        compared.into_iter().chain([alert]).filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
    }
}

/// Each log is audited, witnessed and kept by itself, and its people's statements are carried on: one of a few hundred entries would be all overhead.
const SUCCESSION_ENTRIES_MIN: u64 = 1_000;
/// A camera's epoch may be a day old, and should not have to end twice before it does.
const SUCCESSION_DAYS_MIN: u64 = 2;
/// Threads are.
const UPLOADS_LIMIT: usize = 4096;

/// Each may hold 20 MiB of what it is sent.
const MIRRORS_LIMIT: usize = 16;

/// Each is asked in turn, for every `timestamp` statement.
const TIMESTAMP_AUTHORITIES_LIMIT: usize = 8;

/// What `init` writes: every member, with its default.
pub const SAMPLE: &str = "\
# The Exhibit appliance. `exhibit-appliance serve --help` and docs/formats/api.md say more.

# Where cameras and people connect: TLS 1.3 with client certificates. Port 0 takes a free one; `serve` prints it.
intake = \"0.0.0.0:7443\"

# Where anyone may read checkpoints and hash tiles, without a client certificate.
public = \"0.0.0.0:7444\"

# Whether anyone may read entries there too, and the certificates of those who signed them: for logs that the public shall audit. They
# tell who asked for what of which camera, and when.
public_entries = false

# Where monitoring asks for metrics (/metrics) and health (/healthz): plain HTTP, for this machine. Without it nobody is answered.
# monitoring = \"127.0.0.1:7445\"

# Connections open at a time, for each of the two. One more waits until another closes.
connections_max = 1024

# Uploads at a time; one more is answered with 503.
uploads_max = 256

# Ciphertext downloads at a time; one more is answered with 503.
downloads_max = 64

# So much is kept of uploads that were cut off, so that they go on where they were, in MiB: of all senders, and of one. 0 keeps nothing.
staging_mib = 2048
staging_sender_mib = 17

# So many uploads that were cut off are kept, and so long an upload may take with all its interruptions, in seconds.
staging_uploads_max = 1024
staging_s = 3600

# So much is kept free on the disks of ledger and vault, in MiB: cameras are answered 507 before less would be left, and keep what they have.
# People can state things until a quarter of it is used, and who reads is put on the ledger until half of it is; the rest is the database's,
# which needs up to 300 MiB for a start after a power cut. 0 keeps nothing.
disk_reserve_mib = 1024

# Entries that share one synced write at most.
batch_entries_max = 1024

# The file that keeps the newest head outside of the ledger's folder: start refuses a ledger that is behind it. It belongs on another
# medium than the state, so that no copy of one brings back both. Relative to the state folder.
head_seal = \"head.seal\"

# A TPM that keeps the newest head too, at start, at stop and once an hour: no copy of a disk brings an old one back. `index` is this log's
# alone (decimal or 0x…), and `program` is exhibit-tpm-seal. Without this line there is none.
# tpm_seal = { tcti = \"device:/dev/tpmrm0\", index = 0x01500e00, program = \"/usr/bin/exhibit-tpm-seal\" }

# A TPM that signs checkpoints too, at most one a minute, with a key that can not leave it. It has to stand here before `create-log`, which puts the
# key into genesis; `handle` is this log's alone, and `program` is exhibit-tpm-note. Nothing waits for it, and nobody needs its line.
# tpm_note = { tcti = \"device:/dev/tpmrm0\", handle = 0x81010e00, program = \"/usr/bin/exhibit-tpm-note\" }

# Who `serve` has to be. Where root starts it, it becomes the owner of the state folder; if that is root, it stays root, without root's privileges.
# user = \"exhibit\"

# `serve` gives up what it does not need: privileges, core dumps, system calls, and files other than the state, the places that are named here, and
# the system's libraries and programs. `possible`: as far as the kernel can. `required`: it does not serve as root, nor where the kernel has no Landlock.
confinement = \"possible\"

# So long at most a line about the appliance's own security waits until it is on the ledger, in seconds (exhibit log dump).
log_interval_s = 300

# How long SIGTERM lets requests go on that have begun, in seconds.
drain_s = 20

# A C2SP tlog-policy (docs/formats/witness.md): the witnesses, where each is reached, and how many of them make a receipt final. Without it every
# receipt is final at once. Relative to the state folder.
# witness_policy = \"witness.policy\"

# Where a witness shows the checkpoints that it has cosigned (its monitoring prefix), by its URL in the policy; where it is not named here, it is
# that URL. Start and restore ask there.
# witness_monitoring = { \"https://witness.example/\" = \"https://monitoring.witness.example/\" }

# What start does where no witness and no mirror can be asked what it knows of the log. \"warn\": it starts, since seals tell an old disk too, no
# receipt becomes final before witnesses are back, and recording shall not hang on the network. \"refuse\": it does not.
unwitnessed_start = \"warn\"

# The certificates (PEM) that the servers of witnesses, mirrors and timestamping authorities must lead to. Relative to the state folder.
server_roots = \"/etc/ssl/certs/ca-certificates.crt\"

# When the log has so many entries, or is so many days old, it ends and a successor goes on without a hand: see docs/operations.md. Without these
# lines it never does.
# succession_entries = 100000000
# succession_days = 365

# So long at least from one timestamp statement to the next, in seconds.
timestamp_interval_s = 60

# How long whoever connects is waited for, in seconds, and how much of everything they may have; a table stands at the end of this file. A TLS
# handshake; from one answer to the end of the next request's head; without a byte of a body; a whole body; without a byte at all.
# [limits]
# handshake_s = 10
# head_s = 75
# body_idle_s = 30
# body_s = 600
# idle_s = 90
#
# Slower than this a body may not be sent, or an answer read, in the mean, after its first body_idle_s.
# body_bytes_per_s = 4096
#
# A request line with its headers, and how many headers.
# head_bytes = 16384
# headers = 32
#
# Connections in their handshake for each of the two listeners, of all and of one network (an IPv4 address, or 64 bits of an IPv6 address; what
# begins with the same 48 bits has twice as many): where there are too many the oldest makes room. How many one network begins in a second: more
# wait. And all of one network on the public listener.
# handshakes = 512
# network_handshakes = 128
# network_handshakes_per_s = 50
# network_connections = 128
#
# Connections of one certificate: one more ends its oldest. Its uploads at a time, out of uploads_max, and its answers that hold memory or files
# (ciphertext, entry bundles; without a certificate those of one network): one more is answered with 503. And requests a second of one
# certificate, or of one network without one: more wait for their turn.
# identity_connections = 16
# identity_uploads = 4
# identity_downloads = 8
# requests_per_s = 2000

# Who makes wrong attempts (what can not be read, what is others', too much) is answered more slowly after slow_after of them, and after so many
# within window_s not at all for first_s, each time twice as long, up to longest_s. attempts = 0 bans nobody. alert is a program with its arguments,
# which is told each ban as a line of JSON on its standard input.
# [bans]
# attempts = 100
# window_s = 600
# slow_after = 20
# first_s = 3600
# longest_s = 86400
# alert = [\"/usr/local/bin/alert\", \"--urgent\"]

# Mirrors (C2SP tlog-mirror), to each of which every entry is uploaded; entries tell who asked for what. What a mirror cosigns counts where the
# witness policy has its keys, which `exhibit-witness keys --mirror` prints. Its copies are read below <url>/mirror, or where monitoring_url says.
# [[mirror]]
# url = \"https://mirror.example/\"
# keys = [\"mirror.example/w1/mirror+…\"]

# Timestamping authorities (RFC 3161) that are asked for a token for each timestamp statement; the certificate is its own, or a root that leads to it.
# [[timestamp_authority]]
# url = \"https://tsa.example/\"
# certificate = \"tsa.pem\"
";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_what_is_assumed_without_it() {
        let sample = Config::parse(SAMPLE).unwrap();
        let bare = Config::parse("intake = \"0.0.0.0:7443\"\npublic = \"0.0.0.0:7444\"\n").unwrap();
        assert_eq!(sample, bare, "the sample shows other values than the defaults");
    }

    #[test]
    fn the_sample_shows_every_limit_with_its_default() {
        let table = SAMPLE.split_once("# [limits]\n").unwrap().1.split_once("\n\n").unwrap().0;
        let lines: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = "))).collect();
        let limits: Limits = toml::from_str(&lines.join("\n")).unwrap();
        assert_eq!(limits, Limits::default(), "the sample shows other values than the defaults");
        assert_eq!(lines.len(), format!("{limits:?}").matches(": ").count(), "a limit is missing in the sample");
    }

    #[test]
    fn the_sample_shows_how_bans_are_configured() {
        let table = SAMPLE.split_once("# [bans]\n").unwrap().1.split_once("\n\n").unwrap().0.replace("# ", "");
        let bans: BanConfig = toml::from_str(&table).unwrap();
        assert_eq!(bans.alert.as_ref().unwrap().len(), 2);
        assert_eq!(BanConfig { alert: None, ..bans }, BanConfig::default(), "the sample shows other values than the defaults");
    }

    #[test]
    fn the_sample_names_the_tpm_as_it_is_configured() {
        let with_tpm = SAMPLE.replace("# tpm_seal", "tpm_seal");
        let seal = Config::parse(&with_tpm).unwrap().tpm_seal.unwrap();
        assert_eq!((&*seal.tcti, seal.index), ("device:/dev/tpmrm0", 0x0150_0e00));
        let shorter = with_tpm.replace(", program = \"/usr/bin/exhibit-tpm-seal\"", "");
        assert_eq!(Config::parse(&shorter).unwrap().tpm_seal.unwrap(), seal, "the sample shows another default");
        assert!(Config::parse(&shorter.replace("index", "handle")).is_err());
    }

    #[test]
    fn a_mirror_has_keys_that_cosign() {
        let config = |more: &str| {
            Config::parse(&format!("intake = \"0.0.0.0:1\"\npublic = \"0.0.0.0:2\"\n[[mirror]]\nurl = \"https://m.example/x/\"\n{more}"))
        };
        let key = |signer: &dyn exhibit_tlog::NoteSigner| signer.verifier_key().to_string();
        let seed = zeroize::Zeroizing::new([1; 32]);
        let good = key(&exhibit_tlog::Ed25519Cosigner::new("m.example/w/mirror", &seed).unwrap());
        let parsed = config(&format!("keys = [{good:?}]\n")).unwrap();
        assert_eq!(parsed.mirrors[0].monitoring_url(), "https://m.example/x/mirror");
        let elsewhere = config(&format!("keys = [{good:?}]\nmonitoring_url = \"https://r.example/\"\n")).unwrap();
        assert_eq!(elsewhere.mirrors[0].monitoring_url(), "https://r.example/");
        let of_a_log = key(&exhibit_tlog::Ed25519NoteSigner::new("m.example/w/mirror", &seed).unwrap());
        for (defect, keys) in
            [("no keys", "keys = []\n"), ("no key", "keys = [\"x\"]\n"), ("a log's key", &format!("keys = [{of_a_log:?}]\n"))]
        {
            assert!(matches!(config(keys), Err(ConfigError::Mirror { .. })), "{defect}");
        }
        assert!(config("").is_err(), "a mirror without keys");
        let shown = SAMPLE
            .replace("# [[mirror]]\n# url", "[[mirror]]\nurl")
            .replace("# keys = [\"mirror.example/w1/mirror+…\"]", &format!("keys = [{good:?}]"));
        assert_eq!(Config::parse(&shown).unwrap().mirrors[0].url, "https://mirror.example/", "the sample shows another mirror");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refused = |more: &str| Config::parse(&format!("intake = \"0.0.0.0:1\"\npublic = \"0.0.0.0:2\"\n{more}"));
        refused("").unwrap();
        assert!(refused("intake_port = 1\n").is_err(), "a misspelt member was ignored");
        assert!(refused("uploads_max = 0\n").is_err(), "an appliance that takes nothing");
        assert!(refused("batch_entries_max = 1000000\n").is_err());
        assert!(refused("[limits]\nhandshake_s = 0\n").is_err(), "a handshake without time");
        for name in ["staging_s", "drain_s", "timestamp_interval_s", "log_interval_s"] {
            assert!(refused(&format!("{name} = 9223372036854775807\n")).is_err(), "{name}: a time that no clock can hold");
        }
        assert!(refused("staging_s = 0\n").is_err(), "an upload without time");
        assert!(refused("[limits]\nhandshake = 1\n").is_err(), "a misspelt limit was ignored");
        assert_eq!(refused("[limits]\nhandshake_s = 7\n").unwrap().limits.handshake_s, 7);
        assert!(Config::parse("intake = \"localhost\"\npublic = \"0.0.0.0:2\"\n").is_err());
    }
}
