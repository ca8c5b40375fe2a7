//! What `serve` keeps when it gives up all else: its state, what its configuration names, and the programs that it starts.

use std::path::{Path, PathBuf};

use exhibit_program::confine::{ConfineError, Confined, Confinement, Files, is_user};
use exhibit_program::logging::SECURITY;

use crate::config::{Config, Wish};
use crate::setup::Folder;

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum NotConfined {
    /// It could not be given up.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// Nothing keeps it from others' files.
    #[error("confinement is required, and this kernel has no Landlock: start one that has (Linux 5.19), or set confinement = \"possible\"")]
    NoLandlock,
    /// It would serve as root.
    #[error(
        "confinement is required, and it would serve as root, whom the machine's other services believe: give the state folder to a user (chown -R), \
         start it as one, or set confinement = \"possible\""
    )]
    Root,
    /// Somebody else than the configuration says.
    #[error(
        "appliance.toml says that it serves as {0}: start it as that user, or as root with a state folder that is theirs (chown -R {0})"
    )]
    OtherUser(String),
}

/// Gives up what serving does not need. Before the first thread: the others inherit it. Who wrote the configuration could have it say anything: by now the
/// process is that user (`become_owner`).
pub fn confine(folder: &Folder, config: &Config) -> Result<(), NotConfined> {
    if let Some(name) = &config.user
        && !is_user(name)
    {
        return Err(NotConfined::OtherUser(name.clone()));
    }
    let Confined { files, is_root } = confinement(folder, config).enter()?;
    if files == Files::Not && config.confinement == Wish::Required {
        return Err(NotConfined::NoLandlock);
    }
    if is_root && config.confinement == Wish::Required {
        return Err(NotConfined::Root);
    }
    tracing::info!(target: SECURITY, ?files, is_root, "confined");
    if is_root {
        tracing::warn!("it serves as root, without root's privileges: give the state folder to a user (chown -R)");
    }
    if files != Files::Kept {
        tracing::warn!(?files, "this kernel does not keep it from all of others' files");
    }
    Ok(())
}

/// What is kept.
pub fn confinement(folder: &Folder, config: &Config) -> Confinement {
    let newest = folder.newest();
    let place = |path: &PathBuf| newest.path().join(path);
    let mut writes = vec![folder.path().to_owned(), newest.path().to_owned(), newest.vault_path(), newest.ledger_path()];
    // It is written beside, then renamed.
    writes.extend(place(&config.head_seal).parent().map(Path::to_owned));
    let mut before = newest.predecessor();
    while let Some(state) = before {
        writes.extend([state.path().to_owned(), state.vault_path(), state.ledger_path()]);
        before = state.predecessor();
    }
    let certificates = config.timestamp_authorities.iter().map(|authority| &authority.certificate);
    let reads = config.witness_policy.iter().chain(certificates).chain([&config.server_roots]).map(place).collect();
    let tpms = [
        config.tpm_seal.as_ref().map(|seal| (&seal.tcti, &seal.program)),
        config.tpm_note.as_ref().map(|note| (&note.tcti, &note.program)),
    ];
    let mut programs: Vec<PathBuf> = config.bans.alert.iter().filter_map(|alert| alert.first()).map(PathBuf::from).collect();
    for (tcti, program) in tpms.into_iter().flatten() {
        writes.extend(tcti.strip_prefix("device:").map(PathBuf::from));
        programs.push(program.clone());
    }
    Confinement { reads, writes, programs }
}
