//! A succession without a hand: when the log is due by the configuration, the appliance stops, makes the successor's state inside its own, ends the log
//! there and serves the successor. Each step is found done or is done again, so a crash between any two goes on at the next start.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use exhibit_evidence::body::Successor;

use super::backup::copy;
use super::succeed::{SucceedError, When, is_due, succeed};
use super::{FileError, at, remove_if_there, sync_folder};
use crate::appliance::Appliance;
use crate::chronicle::Clock;
use crate::config::Config;
use crate::setup::Folder;

/// The successor's state, in that of the log that ends.
const STATE: &str = "successor-state";
/// Its note keys until it has a state: witnesses are told them before they are used.
const KEYS: &str = "successor-keys";

/// When the configuration wants the log to end. `None` if it does not say.
pub fn when(config: &Config) -> Option<When> {
    let (entries, days) = (config.succession_entries, config.succession_days);
    (entries.is_some() || days.is_some()).then_some(When::Due { entries, days })
}

/// Whether the log in `folder`, which is served, is due. One that has ended is where its succession was begun here and is not complete.
pub fn due(appliance: &Appliance, folder: &Folder, config: &Config) -> bool {
    if appliance.ledger.is_ended().unwrap_or(false) && !folder.path().join(STATE).exists() {
        return false;
    }
    let due = when(config).map(|when| is_due(appliance, when, &appliance.clock));
    due.is_some_and(|due| due.is_ok_and(|reason| reason.is_some()))
}

/// Goes on with a succession that was begun here and not ended, if one was.
pub fn resume(folder: &Folder, clock: &Clock) -> Result<(), SucceedError> {
    let new = folder.path().join(STATE);
    if new.exists() && folder.successor().is_none() { end(folder, clock) } else { Ok(()) }
}

/// Ends the log that is in `folder`, if it is due, and begins its successor. Nobody may have it open.
pub fn end(folder: &Folder, clock: &Clock) -> Result<(), SucceedError> {
    let config = folder.config()?;
    let new = folder.path().join(STATE);
    if !new.exists() {
        prepare(folder, &config, &new)?;
    }
    let origin = next_origin(&folder.anchor()?.verifier.origin);
    let Some(when) = when(&config) else { return Ok(()) };
    let done = succeed(&folder.lock()?, &Folder::new(&new).lock()?, &origin, when, clock)?;
    if done.is_some() {
        tracing::info!(origin, state = %new.display(), "the log has ended by its limit, and its successor goes on");
    }
    Ok(())
}

/// Name and keys that the successor of the log in `folder` will have, where it ends without a hand. They are made when they are first asked for, and stay: whoever
/// follows logs by name and keys, a witness or a mirror, can be told long before.
pub fn foretell(folder: &Folder) -> Result<Successor, SucceedError> {
    let origin = next_origin(&folder.anchor()?.verifier.origin);
    let (state, keys) = (folder.path().join(STATE), folder.path().join(KEYS));
    if !state.exists() && !keys.exists() {
        let partial = super::beside(&keys, ".partial");
        remove_if_there(&partial)?;
        DirBuilder::new().mode(0o700).create(&partial).map_err(at(&partial))?;
        Folder::new(&partial).make_note_keys()?;
        sync_folder(&partial)?;
        fs::rename(&partial, &keys).map_err(at(&keys))?;
        sync_folder(folder.path())?;
    }
    let verifier = Folder::new(if state.exists() { &state } else { &keys }).verifier(&origin)?;
    Ok(Successor { origin, keys: verifier.keys.iter().map(ToString::to_string).collect() })
}

/// The same appliance, certificate and configuration, with note keys of its own.
fn prepare(old: &Folder, config: &Config, new: &Path) -> Result<(), SucceedError> {
    let partial = super::beside(new, ".partial");
    remove_if_there(&partial)?;
    fs::create_dir(&partial).map_err(at(&partial))?;
    let made = Folder::new(&partial);
    for name in Folder::OWN_FILES {
        copy(&old.path().join(name), &partial.join(name))?;
    }
    let keys = old.path().join(KEYS);
    if keys.exists() {
        for name in Folder::NOTE_KEYS {
            copy(&keys.join(name), &partial.join(name))?;
        }
    } else {
        made.make_note_keys()?;
    }
    made.write_config(&successors_config(old, config)?)?;
    sync_folder(&partial)?;
    fs::rename(&partial, new).map_err(at(new))?;
    sync_folder(old.path())?;
    Ok(remove_if_there(&keys)?)
}

/// What the file of the old log says, with places of its own: paths stay what they are, a seal elsewhere gets the next name, a TPM's index the next number.
fn successors_config(old: &Folder, config: &Config) -> Result<String, SucceedError> {
    let mut table = old.config_table()?;
    let absolute = |path: &Path| -> Result<toml::Value, FileError> {
        let path = std::path::absolute(old.path().join(path)).map_err(at(path))?;
        Ok(toml::Value::String(path.display().to_string()))
    };
    if let Some(policy) = &config.witness_policy {
        table.insert("witness_policy".into(), absolute(policy)?);
    }
    table.insert("server_roots".into(), absolute(&config.server_roots)?);
    if config.head_seal.is_absolute() {
        table.insert("head_seal".into(), toml::Value::String(next_seal(&config.head_seal).display().to_string()));
    }
    if let Some(toml::Value::Table(seal)) = table.get_mut("tpm_seal") {
        let index = config.tpm_seal.as_ref().map_or(0, |seal| seal.index);
        seal.insert("index".into(), toml::Value::Integer(i64::from(index) + 1));
    }
    if let Some(toml::Value::Table(note)) = table.get_mut("tpm_note") {
        let handle = config.tpm_note.as_ref().map_or(0, |note| note.handle);
        note.insert("handle".into(), toml::Value::Integer(i64::from(handle) + 1));
    }
    if let Some(toml::Value::Array(authorities)) = table.get_mut("timestamp_authority") {
        for (value, authority) in authorities.iter_mut().zip(&config.timestamp_authorities) {
            if let toml::Value::Table(value) = value {
                value.insert("certificate".into(), absolute(&authority.certificate)?);
            }
        }
    }
    Ok(format!("# Made for a log that goes on for another; docs/operations.md says more.\n{table}"))
}

/// `city.example/log/1` is followed by `city.example/log/2`, a name without a number by `<name>/2`.
pub fn next_origin(origin: &str) -> String {
    let numbered = origin.rsplit_once('/').and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?.checked_add(1)?)));
    numbered.map_or_else(|| format!("{origin}/2"), |(name, number)| format!("{name}/{number}"))
}

fn next_seal(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    let numbered = name.rsplit_once('-').and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?.checked_add(1)?)));
    numbered.map_or_else(|| super::beside(path, "-2"), |(name, number)| format!("{name}-{number}").into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_next_name_is_another() {
        assert_eq!(next_origin("city.example/log/1"), "city.example/log/2");
        assert_eq!(next_origin("city.example/log/9"), "city.example/log/10");
        assert_eq!(next_origin("city.example"), "city.example/2");
        assert_eq!(next_origin("city.example/18446744073709551615"), "city.example/18446744073709551615/2");
        assert_eq!(next_seal(Path::new("/mnt/head.seal")), Path::new("/mnt/head.seal-2"));
        assert_eq!(next_seal(Path::new("/mnt/head.seal-2")), Path::new("/mnt/head.seal-3"));
    }
}
