//! `restate`: what the authority stated to a log that was lost, for the one that goes on. It issues nothing.

use exhibit_client::stated;
use exhibit_evidence::Anchor;
use serde_json::json;

use crate::Report;
use crate::arguments::Restate;
use crate::ca::Authority;
use crate::failure::Failure;
use crate::files;

/// Sends what is kept in the authority's folder.
pub async fn run(restate: &Restate) -> Result<Report, Failure> {
    let authority = Authority::open(&restate.dir)?;
    let anchor = |path| Anchor::parse(files::read(path)?.as_bytes()).map_err(|error| Failure::content(path, error));
    let (ended, next) = (anchor(&restate.of_log)?, anchor(&restate.anchor)?);
    if next.log == ended.log {
        return Err(Failure::Cannot("--of-log names the log of --anchor: nothing is to be stated again".to_owned()));
    }
    let restated = stated::restate(&authority.folder, &restate.appliance, &authority.identity(), [&ended, &next], &[]).await;
    let restated = restated.map_err(|error| Failure::Cannot(error.to_string()))?;
    let there = restated.there;
    if let Some((place, problem)) = restated.refused {
        return Err(Failure::Cannot(format!(
            "{there} statements are there, and {place} is refused ({}): {}",
            problem.kind, problem.detail
        )));
    }
    let text = format!("{there} statements to log {} are on the log that goes on.", ended.log);
    Ok(Report { text, json: json!({ "log": ended.log.to_string(), "restated": there }) })
}
