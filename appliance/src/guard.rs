//! Bans as they are: stated on the ledger, restored at start, told to an operator, lifted by one.
//!
//! When somebody is banned is decided in `bans`; whom that keeps out, where connections are made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exhibit_evidence::body::{BanKind, BanReason, ERASABLE_SALT_BYTES};
use exhibit_ledger::Ledger;
use exhibit_pki::Timestamp;
use exhibit_program::logging::SECURITY;
use exhibit_tlog::Hash;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::alerts::Alerts;
use crate::appliance::Appliance;
use crate::bans::{AGAIN_MS, Attempted, Ban, BanConfig, Banned, Bans};
use crate::chronicle::ChronicleError;
use crate::registry::RegistryError;
use crate::rows;
use crate::vault::{Object, Vault};

/// So many bans an hour are stated: who attacks from many networks must not make the log grow. The others hold all the same, until the next start.
const STATED_PER_HOUR_MAX: u32 = 60;
const HOUR_MS: u64 = 3_600_000;
/// Rows read at a time.
const PAGE: usize = 256;
/// Who is banned: an identity, or a network, and a salt.
const SUBJECT_BYTES_MAX: u64 = 1024;

/// Who is banned, and who may be soon.
pub struct Guard {
    bans: Mutex<Bans>,
    alerts: Option<Alerts>,
    /// Since when statements are counted, and how many there were.
    stated: Mutex<(u64, u32)>,
}

impl Guard {
    /// With the bans that the ledger has and that are still in force. Blocks.
    pub fn open(config: BanConfig, ledger: &Ledger, vault: &dyn Vault, now: Timestamp) -> Result<Self, RegistryError> {
        let alerts = config.alert.clone().and_then(Alerts::start);
        let mut bans = Bans::new(config);
        let mut after = Vec::new();
        loop {
            let page = ledger.annotations(rows::BAN_PREFIX.as_bytes(), &after, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = [last.as_slice(), &[0]].concat();
            for (key, value) in &page {
                let Some((leaf, row)) = rows::ban_from(key, value)? else { continue };
                let until_ms = row.until_ms.unwrap_or(u64::MAX);
                // Who was erased can not be recognised any more. What ended within a day makes the next longer.
                if until_ms.saturating_add(AGAIN_MS) > now.unix_ms()
                    && let Some((who, reason)) = named(&row, vault)
                {
                    bans.restore(who, reason, until_ms, leaf);
                }
            }
        }
        Ok(Self { bans: Mutex::new(bans), alerts, stated: Mutex::new((0, 0)) })
    }

    /// Until when somebody is banned.
    pub fn until(&self, who: &Banned, now: Timestamp) -> Option<Timestamp> {
        self.lock().until(who, now)
    }

    /// From now on these rules hold. The alert program stays: the process can start no other.
    pub fn change(&self, config: &BanConfig) {
        self.lock().change(config.clone());
    }

    /// Those in force.
    pub fn list(&self, now: Timestamp) -> Vec<Ban> {
        self.lock().list(now)
    }

    /// Somebody did something wrong: how long the answer waits. A ban is stated beside.
    pub fn attempted(appliance: &Arc<Appliance>, who: &Banned, reason: BanReason) -> Duration {
        let attempted = appliance.guard.lock().attempted(who, reason, appliance.now());
        match attempted {
            Attempted::Slowed(delay) => delay,
            Attempted::Banned { who, until, forgotten } => {
                let stranger = who.is_stranger();
                tracing::warn!(target: SECURITY, subject = ?who.subject(), stranger, reason = reason.as_str(), %until, "banned");
                appliance.metrics.banned(reason);
                if let Some(forgotten) = forgotten {
                    tracing::warn!(target: SECURITY, subject = ?forgotten.subject(), stranger, "there are too many bans: this one is forgotten");
                }
                if appliance.guard.may_state(appliance.now().unix_ms()) {
                    let appliance = appliance.clone();
                    spawn_blocking(move || {
                        appliance.guard.state(&appliance, &who, reason, until);
                        appliance.guard.tell(&who, appliance.now());
                    });
                } else {
                    tracing::warn!("more bans than are put on the ledger in an hour: this one is forgotten at the next start");
                    appliance.guard.tell(&who, appliance.now());
                }
                Duration::ZERO
            }
        }
    }

    /// States a ban. Blocks.
    fn state(&self, appliance: &Appliance, who: &Banned, reason: BanReason, until: Timestamp) {
        let stated = appliance.chronicle.ban(who.kind(), reason, until, &who.subject()).and_then(|admission| {
            let leaf = admission.place.leaf;
            let holds = self.lock().stated(who, until, leaf);
            // It was lifted meanwhile: without this the next start would bring it back.
            if holds { Ok(()) } else { appliance.chronicle.lift(who.kind(), leaf).map(drop) }
        });
        if let Err(error) = stated {
            appliance.heed_chronicle(&error);
            tracing::error!(%error, "a ban could not be put on the ledger");
        }
    }

    fn tell(&self, who: &Banned, now: Timestamp) {
        let Some(alerts) = &self.alerts else { return };
        if let Some(ban) = self.lock().get(who, now) {
            alerts.tell(ban);
        }
    }

    fn may_state(&self, now_ms: u64) -> bool {
        let mut stated = self.stated.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ms.saturating_sub(stated.0) >= HOUR_MS {
            *stated = (now_ms, 0);
        }
        stated.1 += 1;
        stated.1 <= STATED_PER_HOUR_MAX
    }

    /// Lifts a ban, and states that: false if there is none. Blocks.
    pub fn lift(appliance: &Appliance, subject: &str) -> Result<bool, ChronicleError> {
        let lifted = appliance.guard.lock().lift(subject, appliance.now());
        for (position, (who, leaves)) in lifted.iter().enumerate() {
            for leaf in leaves {
                let stated = appliance.chronicle.lift(who.kind(), *leaf);
                // The next start would bring it back: it holds until its end is on the ledger.
                stated.inspect_err(|_| appliance.guard.lock().hold(lifted[position..].iter().map(|(who, _)| who)))?;
            }
            tracing::info!(target: SECURITY, subject = ?who.subject(), "a ban was lifted");
        }
        Ok(!lifted.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, Bans> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who a row is about. What lies in the vault is checked, as everywhere.
fn named(row: &rows::BanRow, vault: &dyn Vault) -> Option<(Banned, BanReason)> {
    fn of<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
        words.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
    }
    let sha256 = Hash::from_hex(&row.subject)?;
    let stored = vault.read(Object::Attachment(sha256), SUBJECT_BYTES_MAX).ok()??;
    if Sha256::digest(&stored).as_slice() != sha256.0 {
        return None;
    }
    let subject = String::from_utf8(stored.get(ERASABLE_SALT_BYTES..)?.to_vec()).ok()?;
    Some((Banned::new(of(BanKind::WORDS, &row.kind)?, subject)?, of(BanReason::WORDS, &row.reason)?))
}
