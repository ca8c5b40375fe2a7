//! Wrong attempts: counted by who makes them, answered more slowly, and in the end not at all for a while. Decisions over numbers.
//!
//! It knows no socket and no ledger, and time is an argument. What counts as an attempt, and what a ban does, is for those who ask (`guard`).

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use exhibit_evidence::body::{BanKind, BanReason};
use exhibit_pki::Timestamp;
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize};

/// `[bans]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BanConfig {
    /// So many wrong attempts within `window_s` ban who makes them. 0 bans nobody.
    pub attempts: u32,
    /// Attempts are forgotten at this pace, in seconds for `attempts` of them.
    pub window_s: u64,
    /// After so many, each further one is answered 20 ms later than the one before, up to 2 s.
    pub slow_after: u32,
    /// How long the first ban lasts, in seconds; each that follows within a day of it twice as long.
    pub first_s: u64,
    /// The longest.
    pub longest_s: u64,
    /// A program and its arguments, which is told each ban as a line of JSON on its standard input.
    pub alert: Option<Vec<String>>,
}

impl Default for BanConfig {
    fn default() -> Self {
        Self { attempts: 100, window_s: 600, slow_after: 20, first_s: 3600, longest_s: 86_400, alert: None }
    }
}

/// Who is banned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Banned {
    /// A certificate, by its name and fingerprint: `camera/102#3f…`.
    Identity(String),
    /// Addresses, of which nobody has shown a certificate: `192.0.2.7/32`.
    Network(String),
}

impl Banned {
    /// As a statement has it.
    pub fn kind(&self) -> BanKind {
        match self {
            Self::Identity(_) => BanKind::Identity,
            Self::Network(_) => BanKind::Network,
        }
    }

    /// The same back.
    pub fn new(kind: BanKind, subject: String) -> Self {
        match kind {
            BanKind::Identity => Self::Identity(subject),
            BanKind::Network => Self::Network(subject),
        }
    }

    /// Who.
    pub fn subject(&self) -> &str {
        match self {
            Self::Identity(subject) | Self::Network(subject) => subject,
        }
    }
}

impl fmt::Display for Banned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.subject())
    }
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// `identity` or `network`
    pub kind: String,
    /// Who.
    pub subject: String,
    /// Why, in the statement's words.
    pub reason: String,
    /// Until then, in milliseconds since 1970.
    pub until_ms: u64,
    /// The leaf hash of its statement, hex; `None` while it is not on the ledger.
    pub leaf: Option<String>,
}

/// What a wrong attempt brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The answer waits so long.
    Slowed(Duration),
    /// A ban until then.
    Banned(Timestamp),
}

/// Everybody who has made wrong attempts, and who is banned.
pub struct Bans {
    config: BanConfig,
    attempts: HashMap<Banned, Attempts>,
    bans: HashMap<Banned, InForce>,
}

#[derive(Clone, Copy)]
struct Attempts {
    count: f64,
    at_ms: u64,
}

#[derive(Clone, Debug)]
struct InForce {
    reason: BanReason,
    until_ms: u64,
    /// So often in a row.
    times: u32,
    leaf: Option<Hash>,
    /// Before its time.
    lifted: bool,
}

/// Who has made no attempt for a while is forgotten when so many are remembered.
const REMEMBERED_MAX: usize = 8192;
/// Who is banned again within this is banned for longer.
const AGAIN_MS: u64 = 86_400_000;
/// What one attempt more costs.
const SLOW_STEP: Duration = Duration::from_millis(20);
/// The longest: who waits holds a connection of ours too.
const SLOW_MAX: Duration = Duration::from_secs(2);

impl Bans {
    /// Nobody has done anything.
    pub fn new(config: BanConfig) -> Self {
        Self { config, attempts: HashMap::new(), bans: HashMap::new() }
    }

    /// Until when somebody is banned.
    pub fn until(&self, who: &Banned, now: Timestamp) -> Option<Timestamp> {
        let ban = self.bans.get(who).filter(|ban| !ban.lifted && ban.until_ms > now.unix_ms())?;
        Some(Timestamp::from_unix_ms(ban.until_ms).unwrap_or(Timestamp::MAX))
    }

    /// Somebody did something wrong.
    pub fn attempted(&mut self, who: &Banned, reason: BanReason, now: Timestamp) -> Attempted {
        let now_ms = now.unix_ms();
        let BanConfig { attempts: attempts_max, window_s, slow_after, .. } = self.config;
        if attempts_max == 0 {
            return Attempted::Slowed(Duration::ZERO);
        }
        let per_ms = f64::from(attempts_max) / (window_s.max(1) * 1000) as f64;
        if self.attempts.len() >= REMEMBERED_MAX {
            self.attempts.retain(|_, attempts| attempts.left(now_ms, per_ms) > 0.0);
        }
        if self.attempts.len() >= REMEMBERED_MAX && !self.attempts.contains_key(who) {
            // All that are remembered go on: this one is not the worst.
            return Attempted::Slowed(SLOW_MAX);
        }
        let attempts = self.attempts.entry(who.clone()).or_insert(Attempts { count: 0.0, at_ms: now_ms });
        *attempts = Attempts { count: attempts.left(now_ms, per_ms) + 1.0, at_ms: now_ms };
        let count = attempts.count.round() as u32;
        if count >= attempts_max {
            self.attempts.remove(who);
            return Attempted::Banned(self.ban(who, reason, now_ms));
        }
        Attempted::Slowed((SLOW_STEP * count.saturating_sub(slow_after)).min(SLOW_MAX))
    }

    fn ban(&mut self, who: &Banned, reason: BanReason, now_ms: u64) -> Timestamp {
        if self.bans.len() >= REMEMBERED_MAX {
            self.bans.retain(|_, ban| ban.until_ms.saturating_add(AGAIN_MS) > now_ms);
        }
        let before = self.bans.get(who).filter(|ban| ban.until_ms.saturating_add(AGAIN_MS) > now_ms && !ban.lifted);
        let times = before.map_or(0, |ban| ban.times.saturating_add(1));
        let length_s = self.config.first_s.saturating_mul(1 << times.min(20)).min(self.config.longest_s);
        let until_ms = now_ms.saturating_add(length_s.max(1).saturating_mul(1000));
        self.bans.insert(who.clone(), InForce { reason, until_ms, times, leaf: None, lifted: false });
        Timestamp::from_unix_ms(until_ms).unwrap_or(Timestamp::MAX)
    }

    /// The statement of a ban is on the ledger.
    pub fn stated(&mut self, who: &Banned, leaf: Hash) {
        if let Some(ban) = self.bans.get_mut(who) {
            ban.leaf = Some(leaf);
        }
    }

    /// A ban that an earlier process has stated.
    pub fn restore(&mut self, who: Banned, reason: BanReason, until_ms: u64, leaf: Hash) {
        let before = self.bans.get(&who).map(|ban| (ban.until_ms, ban.times.saturating_add(1)));
        // Those of one are read in any order: the longest counts.
        if before.is_none_or(|(until_before_ms, _)| until_before_ms < until_ms) {
            let times = before.map_or(0, |(_, times)| times);
            self.bans.insert(who, InForce { reason, until_ms, times, leaf: Some(leaf), lifted: false });
        }
    }

    /// Ends a ban before its time: what it was, or `None` if there is none.
    pub fn lift(&mut self, subject: &str, now: Timestamp) -> Option<(Banned, Option<Hash>)> {
        let now_ms = now.unix_ms();
        let (who, ban) = self.bans.iter_mut().find(|(who, ban)| who.subject() == subject && !ban.lifted && ban.until_ms > now_ms)?;
        ban.lifted = true;
        Some((who.clone(), ban.leaf))
    }

    /// Those in force, in order.
    pub fn list(&self, now: Timestamp) -> Vec<Ban> {
        let in_force = self.bans.iter().filter(|(_, ban)| !ban.lifted && ban.until_ms > now.unix_ms());
        let mut list: Vec<Ban> = in_force
            .map(|(who, ban)| Ban {
                kind: who.kind().as_str().to_owned(),
                subject: who.subject().to_owned(),
                reason: ban.reason.as_str().to_owned(),
                until_ms: ban.until_ms,
                leaf: ban.leaf.map(|leaf| leaf.to_string()),
            })
            .collect();
        list.sort_by(|one, other| (&one.kind, &one.subject).cmp(&(&other.kind, &other.subject)));
        list
    }
}

impl Attempts {
    fn left(&self, now_ms: u64, per_ms: f64) -> f64 {
        (self.count - now_ms.saturating_sub(self.at_ms) as f64 * per_ms).max(0.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1000).unwrap()
    }

    fn camera(id: u64) -> Banned {
        Banned::Identity(format!("camera/{id}"))
    }

    fn bans() -> Bans {
        Bans::new(BanConfig { attempts: 10, window_s: 100, slow_after: 5, first_s: 60, longest_s: 200, alert: None })
    }

    fn attempt(bans: &mut Bans, who: &Banned, times: u32, now: Timestamp) -> Attempted {
        (0..times).map(|_| bans.attempted(who, BanReason::Malformed, now)).last().unwrap()
    }

    #[test]
    fn attempts_slow_down_and_then_ban() {
        let mut bans = bans();
        assert_eq!(attempt(&mut bans, &camera(1), 5, at(0)), Attempted::Slowed(Duration::ZERO));
        assert_eq!(attempt(&mut bans, &camera(1), 1, at(0)), Attempted::Slowed(SLOW_STEP));
        assert_eq!(attempt(&mut bans, &camera(1), 3, at(0)), Attempted::Slowed(SLOW_STEP * 4));
        assert_eq!(bans.until(&camera(1), at(0)), None);
        assert_eq!(attempt(&mut bans, &camera(1), 1, at(0)), Attempted::Banned(at(60)));
        assert_eq!(bans.until(&camera(1), at(59)), Some(at(60)));
        assert_eq!(bans.until(&camera(1), at(60)), None, "a ban does not end");
        assert_eq!(bans.until(&camera(2), at(1)), None, "another pays for it");
        assert_eq!(bans.until(&Banned::Network("camera/1".to_owned()), at(1)), None, "a network of the same name");
    }

    #[test]
    fn attempts_are_forgotten_in_time() {
        let mut bans = bans();
        for minute in 0..100 {
            let now = at(minute * 50);
            assert!(matches!(attempt(&mut bans, &camera(1), 5, now), Attempted::Slowed(_)), "an attempt every ten seconds is banned");
        }
    }

    #[test]
    fn who_is_banned_again_is_banned_for_longer() {
        let mut bans = bans();
        let mut now = 0;
        for length in [60, 120, 200, 200] {
            assert_eq!(attempt(&mut bans, &camera(1), 10, at(now)), Attempted::Banned(at(now + length)));
            now += length;
        }
        now += AGAIN_MS / 1000;
        assert_eq!(attempt(&mut bans, &camera(1), 10, at(now)), Attempted::Banned(at(now + 60)), "it is never forgotten");
    }

    #[test]
    fn a_ban_that_is_lifted_is_none() {
        let mut bans = bans();
        attempt(&mut bans, &camera(1), 10, at(0));
        bans.stated(&camera(1), Hash([7; 32]));
        assert_eq!(bans.list(at(1)).len(), 1);
        assert_eq!(bans.list(at(1))[0].leaf, Some("07".repeat(32)));
        assert_eq!(bans.lift("camera/2", at(1)), None);
        assert_eq!(bans.lift("camera/1", at(1)), Some((camera(1), Some(Hash([7; 32])))));
        assert_eq!((bans.until(&camera(1), at(1)), bans.list(at(1)).len()), (None, 0));
        assert_eq!(bans.lift("camera/1", at(1)), None, "lifted twice");
        assert_eq!(attempt(&mut bans, &camera(1), 10, at(2)), Attempted::Banned(at(62)), "what was lifted counts against them");
    }

    #[test]
    fn nobody_is_banned_where_that_is_configured_and_memory_is_bounded() {
        let mut never = Bans::new(BanConfig { attempts: 0, ..BanConfig::default() });
        assert_eq!(attempt(&mut never, &camera(1), 10_000, at(0)), Attempted::Slowed(Duration::ZERO));
        let mut bans = bans();
        for id in 0..3 * REMEMBERED_MAX as u64 {
            attempt(&mut bans, &camera(id), 1, at(0));
        }
        assert!(bans.attempts.len() <= REMEMBERED_MAX);
        // A minute later they are forgotten, and a new one is counted again.
        assert_eq!(attempt(&mut bans, &camera(u64::MAX), 10, at(60)), Attempted::Banned(at(120)));
    }
}
