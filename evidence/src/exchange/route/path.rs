//! Paths: a template of the table, and what a request's path has in the places of its variables.
//!
//! It knows no method and no query.

use std::borrow::Cow;

use exhibit_pki::Subject;
use exhibit_tlog::{BundleId, Hash, TileId};

use super::{RouteError, decimal};
use crate::StreamName;

/// What stands in the places of a template's variables. A template has none of them twice.
#[derive(Default)]
pub(super) struct Parts {
    stream: Option<StreamName>,
    number: Option<u64>,
    hash: Option<Hash>,
    scope: Option<Subject>,
    tile: Option<TileId>,
    bundle: Option<BundleId>,
}

impl Parts {
    /// Reads a path by a template, such as `/v1/streams/{stream}/{seq}`; `None` if it is of another shape.
    ///
    /// Names, scopes and tiles have slashes of their own, so a template has one of them at most. Whoever fills a template with percent-encoded
    /// values, as OpenAPI has it, writes them as `%2F`: nothing else may be encoded.
    pub(super) fn of(template: &str, path: &str) -> Option<Self> {
        let mut parts = Self::default();
        let Some((prefix, rest)) = template.split_once('{') else { return (template == path).then_some(parts) };
        let (name, suffix) = rest.split_once('}')?;
        let captured = path.strip_prefix(prefix)?;
        let first = match suffix.strip_prefix("/{").and_then(|last| last.strip_suffix('}')) {
            None => captured.strip_suffix(suffix)?,
            Some(last) => {
                let (first, value) = captured.rsplit_once('/')?;
                parts.read(last, value)?;
                first
            }
        };
        parts.read(name, first)?;
        Some(parts)
    }

    fn read(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "stream" => self.stream = Some(StreamName::parse(&slashed(value)).ok()?),
            "seq" | "index" => self.number = Some(decimal(value)?),
            "leaf" | "statement" | "fingerprint" | "sha256" => self.hash = Some(Hash::from_hex(value)?),
            "scope" => self.scope = Some(Subject::parse(&slashed(value)).ok()?),
            "tile" => self.tile = Some(TileId::parse(&slashed(value)).ok()?),
            "bundle" => self.bundle = Some(BundleId::parse(&slashed(value)).ok()?),
            _ => return None,
        }
        Some(())
    }

    pub(super) fn stream(&mut self) -> Result<StreamName, RouteError> {
        self.stream.take().ok_or(RouteError::NotFound)
    }

    pub(super) fn number(&self) -> Result<u64, RouteError> {
        self.number.ok_or(RouteError::NotFound)
    }

    pub(super) fn hash(&self) -> Result<Hash, RouteError> {
        self.hash.ok_or(RouteError::NotFound)
    }

    pub(super) fn scope(&mut self) -> Result<Subject, RouteError> {
        self.scope.take().ok_or(RouteError::NotFound)
    }

    pub(super) fn tile(&self) -> Result<TileId, RouteError> {
        self.tile.ok_or(RouteError::NotFound)
    }

    pub(super) fn bundle(&self) -> Result<BundleId, RouteError> {
        self.bundle.ok_or(RouteError::NotFound)
    }
}

fn slashed(value: &str) -> Cow<'_, str> {
    if value.contains('%') { value.replace("%2F", "/").replace("%2f", "/").into() } else { value.into() }
}

/// `/v1/logs/{log}/…`: the name of a log before, and what is asked of it. A log names itself, and not by way of another.
pub(super) fn log_before(path: &str) -> Option<(Hash, &str)> {
    let rest = path.strip_prefix(LOGS)?;
    let (log, path) = rest.find('/').map(|end| rest.split_at(end))?;
    Some((Hash::from_hex(log)?, path))
}

const LOGS: &str = "/v1/logs/";
