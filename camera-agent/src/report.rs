//! Progress: lines for people on standard error, and with `--json` one object a line on standard output for machines.
//!
//! It decides nothing, and never stops the agent: a reader that has gone away is ignored.

use std::io::Write as _;

use exhibit_camera_core::{AgentEvent, AgentSummary, Delay};
use serde_json::{Value, json};

/// Where progress goes.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Events as JSON on standard output too.
    pub json: bool,
}

impl Report {
    /// What the agent tells.
    pub fn event(self, event: &AgentEvent) {
        self.emit(&to_json(event));
        match event {
            AgentEvent::Waiting(Delay { reason, retry_in_ms }) => tracing::warn!("not recording yet: {reason}; again in {retry_in_ms} ms"),
            AgentEvent::EpochBegan { stream, recipients_number } => {
                tracing::info!("{stream} has begun, for recipients number {recipients_number}");
            }
            AgentEvent::Sealed { stream, seq, bytes, duration_ms, .. } => {
                tracing::info!("{stream} {seq}: sealed, {duration_ms} ms, {bytes} bytes");
            }
            AgentEvent::Acknowledged { stream, seq, index, unsent } => {
                tracing::info!("{stream} {seq}: on the ledger as entry {index}, receipt verified; {unsent} to be sent");
            }
            AgentEvent::Witnessed { stream, seq } => tracing::info!("{stream} {seq}: witnesses have seen it, final receipt verified"),
            AgentEvent::WentOn { origin, is_planned: true, .. } => tracing::info!("the log has ended, and {origin} goes on for it"),
            AgentEvent::WentOn { origin, is_planned: false, lost } => {
                tracing::error!(
                    "the log was lost, and the custodians approved {origin} in its place: {lost} entries that this camera knows of are gone"
                );
            }
            AgentEvent::UploadDelayed(Delay { reason, retry_in_ms }) => {
                tracing::warn!("recording goes on, sending waits: {reason}; again in {retry_in_ms} ms");
            }
            AgentEvent::SpoolFull => tracing::error!("the spool is full: video is dropped until there is room, and a gap will say so"),
            AgentEvent::SpoolHasRoom => tracing::info!("the spool has room again"),
            AgentEvent::RecipientsStale { number, expired } => {
                tracing::warn!("recipients number {number} have expired at {expired}; recording goes on: ask the custodians for new ones");
            }
            AgentEvent::Finding { stream, text } => match stream {
                Some(stream) => tracing::error!("{stream}: {text}"),
                None => tracing::error!("{text}"),
            },
            AgentEvent::Closed { stream } => tracing::info!("{stream} is closed"),
        }
    }

    /// The source is lost, and will be looked for again.
    pub fn source_lost(self, delay: &Delay) {
        self.emit(&delayed("source-lost", delay));
        tracing::warn!("{}; again in {} ms", delay.reason, delay.retry_in_ms);
    }

    /// The end.
    pub fn summary(self, summary: &AgentSummary) {
        let AgentSummary { segments, acknowledged, unsent, findings } = *summary;
        self.emit(&json!({"event": "ended", "segments": segments, "acknowledged": acknowledged, "unsent": unsent, "findings": findings}));
        tracing::info!("{segments} segments sealed, {acknowledged} statements on the ledger, {unsent} left for the next start");
    }

    /// The end, when there was no time left to send everything.
    pub fn cut_off(self, done: &AgentSummary) {
        let AgentSummary { segments, acknowledged, findings, .. } = *done;
        self.emit(&json!({"event": "ended", "segments": segments, "acknowledged": acknowledged, "unsent": null, "findings": findings}));
        tracing::warn!("{segments} segments sealed, {acknowledged} statements on the ledger; the rest is kept, and sent at the next start");
    }

    /// What was done by a command that ends at once.
    pub fn done(self, value: &Value, text: &str) {
        self.emit(value);
        if !self.json {
            drop(writeln!(std::io::stdout(), "{text}"));
        }
    }

    /// Why it was not done.
    pub fn failure(self, failure: &crate::Failure) {
        self.emit(&json!({"event": "failed", "error": failure.to_string(), "exit": failure.exit_code()}));
        drop(writeln!(std::io::stderr(), "exhibit-camera-agent: {failure}"));
    }

    fn emit(self, value: &Value) {
        if self.json {
            drop(writeln!(std::io::stdout(), "{value}"));
        }
    }
}

fn delayed(event: &str, delay: &Delay) -> Value {
    json!({"event": event, "reason": delay.reason, "retry_in_ms": delay.retry_in_ms})
}

fn to_json(event: &AgentEvent) -> Value {
    match event {
        AgentEvent::Waiting(delay) => delayed("waiting", delay),
        AgentEvent::EpochBegan { stream, recipients_number } => {
            json!({"event": "epoch", "stream": stream.to_string(), "recipients": recipients_number})
        }
        AgentEvent::Sealed { stream, seq, bytes, start, duration_ms } => json!({
            "event": "sealed", "stream": stream.to_string(), "seq": seq, "bytes": bytes, "start": start.to_string(), "duration_ms": duration_ms,
        }),
        AgentEvent::Witnessed { stream, seq } => json!({"event": "witnessed", "stream": stream.to_string(), "seq": seq}),
        AgentEvent::Acknowledged { stream, seq, index, unsent } => {
            json!({"event": "acknowledged", "stream": stream.to_string(), "seq": seq, "index": index, "unsent": unsent})
        }
        AgentEvent::WentOn { origin, is_planned, lost } => {
            json!({"event": "went-on", "origin": origin, "planned": is_planned, "lost": lost})
        }
        AgentEvent::UploadDelayed(delay) => delayed("upload-delayed", delay),
        AgentEvent::SpoolFull => json!({"event": "spool-full"}),
        AgentEvent::SpoolHasRoom => json!({"event": "spool-has-room"}),
        AgentEvent::RecipientsStale { number, expired } => {
            json!({"event": "recipients-stale", "number": number, "expired": expired.to_string()})
        }
        AgentEvent::Finding { stream, text } => {
            json!({"event": "finding", "stream": stream.as_ref().map(ToString::to_string), "text": text})
        }
        AgentEvent::Closed { stream } => json!({"event": "closed", "stream": stream.to_string()}),
    }
}
