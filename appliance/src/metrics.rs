//! What the appliance counts, in the text form of OpenMetrics, which Prometheus and others read.
//!
//! No label names a camera, a person or an address, and none has values that strangers choose: the number of series is bounded.

use std::fmt::{self, Debug};
use std::time::Duration;

use exhibit_evidence::Body;
use exhibit_evidence::body::BanReason;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::problem::Kind;
use crate::appliance::Appliance;
use crate::health::{self, Code, Status};

/// One label, or several: names and values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels(Vec<(&'static str, String)>);

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>().encode(encoder)
    }
}

fn label(name: &'static str, value: impl ToString) -> Labels {
    Labels(vec![(name, value.to_string())])
}

/// Which listener.
fn listener(is_intake: bool) -> &'static str {
    if is_intake { "intake" } else { "public" }
}

/// What became of a handshake.
#[derive(Clone, Copy, Debug)]
pub enum Handshake {
    /// The connection serves requests.
    Done,
    /// The peer said what we do not take, or we what it does not.
    Refused,
    /// It took too long, or made room.
    GivenUp,
    /// There was no place for it.
    NotLetIn,
}

impl Handshake {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::GivenUp => "given-up",
            Self::NotLetIn => "not-let-in",
        }
    }
}

/// What is counted since the start.
pub struct Metrics {
    registry: Registry,
    answers: Family<Labels, Counter>,
    answer_seconds: Family<Labels, Histogram>,
    refusals: Family<Labels, Counter>,
    handshakes: Family<Labels, Counter>,
    connections: Family<Labels, Gauge>,
    admitted: Family<Labels, Counter>,
    admitted_bytes: Counter,
    durable_seconds: Family<Labels, Histogram>,
    bans: Family<Labels, Counter>,
}

/// From a millisecond to a minute: a synced write takes some, a segment over a mobile link seconds.
fn seconds_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("exhibit");
        let seconds = || Family::new_with_constructor(seconds_buckets as fn() -> Histogram);
        let metrics = Self {
            registry: Registry::default(),
            answers: Family::default(),
            answer_seconds: seconds(),
            refusals: Family::default(),
            handshakes: Family::default(),
            connections: Family::default(),
            admitted: Family::default(),
            admitted_bytes: Counter::default(),
            durable_seconds: seconds(),
            bans: Family::default(),
        };
        registry.register("answers", "Answers by listener and HTTP status", metrics.answers.clone());
        registry.register("answer_seconds", "From a request's head to its answer's, with the body between", metrics.answer_seconds.clone());
        registry.register("refusals", "Refusals by the kind of problem", metrics.refusals.clone());
        registry.register("handshakes", "TLS handshakes by listener and outcome", metrics.handshakes.clone());
        registry.register("connections", "Connections that have shaken hands", metrics.connections.clone());
        registry.register("admitted", "Statements that were put on the ledger, by type", metrics.admitted.clone());
        registry.register("admitted_payload_bytes", "Ciphertext that was admitted", metrics.admitted_bytes.clone());
        let help = "Until objects are durable in the vault, and entries on the ledger";
        registry.register("durable_seconds", help, metrics.durable_seconds.clone());
        registry.register("bans", "Bans that were begun, by reason", metrics.bans.clone());
        Self { registry, ..metrics }
    }
}

/// A connection that is counted while it is open.
pub struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// A request was answered.
    pub fn answered(&self, is_intake: bool, status: u16, refusal: Option<Kind>, took: Duration) {
        let labels = Labels(vec![("listener", listener(is_intake).to_owned()), ("status", status.to_string())]);
        self.answers.get_or_create(&labels).inc();
        self.answer_seconds.get_or_create(&label("listener", listener(is_intake))).observe(took.as_secs_f64());
        if let Some(kind) = refusal {
            self.refusals.get_or_create(&label("problem", kind.name())).inc();
        }
    }

    /// A handshake has ended.
    pub fn shaken(&self, is_intake: bool, outcome: Handshake) {
        let labels = Labels(vec![("listener", listener(is_intake).to_owned()), ("outcome", outcome.as_str().to_owned())]);
        self.handshakes.get_or_create(&labels).inc();
    }

    /// A connection is open until what is given is dropped.
    pub fn opened(&self, is_intake: bool) -> Open {
        let gauge = self.connections.get_or_create_owned(&label("listener", listener(is_intake)));
        gauge.inc();
        Open(gauge)
    }

    /// A statement was admitted.
    pub fn admitted(&self, body: &Body, objects: Duration, entry: Duration) {
        self.admitted.get_or_create(&label("type", known_type(body))).inc();
        self.admitted_bytes.inc_by(body.payload_length());
        self.durable_seconds.get_or_create(&label("of", "objects")).observe(objects.as_secs_f64());
        self.durable_seconds.get_or_create(&label("of", "entry")).observe(entry.as_secs_f64());
    }

    /// Somebody is banned.
    pub fn banned(&self, reason: BanReason) {
        self.bans.get_or_create(&label("reason", reason.as_str())).inc();
    }

    /// All of it, and how the appliance is now. Asks disks: blocks.
    pub fn text(&self, appliance: &Appliance) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &at_present(appliance))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// Whoever signs may send types that we do not know, by names of their own.
fn known_type(body: &Body) -> &str {
    match body {
        Body::Unknown { .. } => "unknown",
        body => body.type_name(),
    }
}

/// What is asked of others when it is asked of us.
fn at_present(appliance: &Appliance) -> Registry {
    let mut registry = Registry::with_prefix("exhibit");
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut gauge = |name: &str, help: &str, value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(signed(value));
        registry.register(name, help, gauge);
    };
    let (now, health) = (appliance.now(), health::of(appliance));
    let status = appliance.witnessing.status(&appliance.ledger);
    gauge("log_entries", "Entries on the log", status.size);
    gauge("log_final_entries", "Entries whose receipts are final", status.final_size);
    gauge("receipts_waiting_seconds", "For how long the oldest receipt waits for witnesses", appliance.vitals.unfinal_s(now.unix_s()));
    gauge("uploads_under_way", "Uploads at this moment", appliance.uploads.taken() as u64);
    gauge("downloads_under_way", "Ciphertext downloads at this moment", appliance.downloads.taken() as u64);
    let (kept, kept_bytes) = appliance.staging.kept();
    gauge("staged_uploads", "Uploads that were cut off and are kept", kept as u64);
    gauge("staged_bytes", "What has come of them", kept_bytes);
    gauge("bans_in_force", "Identities and networks that are banned", appliance.guard.list(now).len() as u64);
    gauge("disk_reserve_bytes", "So much is kept of each disk", appliance.room.reserve_bytes());
    gauge("certificate_ends_timestamp_seconds", "When the appliance's certificate ends", appliance.certificate_ends().unix_s());

    let (free, total, full) = <(Family<Labels, Gauge>, Family<Labels, Gauge>, Family<Labels, Gauge>)>::default();
    for disk in appliance.room.disks() {
        let name = label("disk", disk.name);
        if let Some(bytes) = disk.free_bytes {
            free.get_or_create(&name).set(signed(bytes));
            total.get_or_create(&name).set(signed(disk.total_bytes));
        }
        if let Some(seconds) = appliance.vitals.full_in_s(disk.name, appliance.room.reserve_bytes()) {
            full.get_or_create(&name).set(signed(seconds));
        }
    }
    registry.register("disk_free_bytes", "What a disk has left", free);
    registry.register("disk_bytes", "The size of a disk", total);
    registry.register("disk_full_seconds", "Until a disk is full up to its reserve, at the mean pace of the last day", full);

    let behind: Family<Labels, Gauge> = Family::default();
    for standing in status.witnesses.iter().chain(&status.mirrors) {
        let entries = status.size.saturating_sub(standing.size.unwrap_or(0));
        behind.get_or_create(&label("witness", standing.names.join(","))).set(signed(entries));
    }
    registry.register("witness_behind_entries", "Entries that a witness or mirror has not cosigned", behind);

    let reasons: Family<Labels, Gauge> = Family::default();
    for code in Code::ALL {
        let level = health.reasons.iter().filter(|reason| reason.code == code).map(|reason| level(reason.status)).max();
        reasons.get_or_create(&label("code", code.as_str())).set(level.unwrap_or(0));
    }
    registry.register("health", "What is wrong: 0 nothing, 1 somebody has to see to it, 2 cameras are not served", reasons);
    registry.register("build", "Which version this is", Info::new(label("version", exhibit_program::version())));
    registry
}

fn level(status: Status) -> i64 {
    match status {
        Status::Ok => 0,
        Status::Warning => 1,
        Status::Failing => 2,
    }
}
