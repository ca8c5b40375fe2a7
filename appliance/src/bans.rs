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

use crate::network::Network;

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
    Network(Network),
}

impl Banned {
    /// Has shown no certificate: the log has a share for those, and no more.
    pub fn is_stranger(&self) -> bool {
        matches!(self, Self::Network(_))
    }

    /// As a statement has it.
    pub fn kind(&self) -> BanKind {
        match self {
            Self::Identity(_) => BanKind::Identity,
            Self::Network(_) => BanKind::Network,
        }
    }

    /// The same back; `None` for what is no network.
    pub fn new(kind: BanKind, subject: String) -> Option<Self> {
        match kind {
            BanKind::Identity => Some(Self::Identity(subject)),
            BanKind::Network => Network::parse(&subject).map(Self::Network),
        }
    }

    /// Who.
    pub fn subject(&self) -> String {
        self.to_string()
    }

    /// Who has a share of what there is: of networks, all that one party may have.
    pub fn party(&self) -> String {
        match self {
            Self::Identity(subject) => subject.clone(),
            Self::Network(network) => network.site().to_string(),
        }
    }

    /// The site of one of its networks.
    fn site(&self) -> Option<Network> {
        match self {
            Self::Network(network) if network.site() != *network => Some(network.site()),
            _ => None,
        }
    }
}

impl fmt::Display for Banned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(subject) => formatter.write_str(subject),
            Self::Network(network) => network.fmt(formatter),
        }
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The answer waits so long.
    Slowed(Duration),
    /// A ban.
    Banned {
        /// Whose: the site, where many of its networks are banned already.
        who: Banned,
        /// Until then.
        until: Timestamp,
        /// There was no room to remember another's any more.
        forgotten: Option<Banned>,
    },
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
    /// Its statements: one, or several that an earlier process has made.
    leaves: Vec<Hash>,
    /// Before its time.
    lifted: bool,
}

impl InForce {
    fn holds(&self, now_ms: u64) -> bool {
        !self.lifted && self.until_ms > now_ms
    }
}

/// So many who have made attempts are remembered, and so many of those who have made the most once there are more.
const REMEMBERED_MAX: usize = 8192;
const REMEMBERED_LEAST: usize = 6144;
/// So many bans: of more, those that end soonest are forgotten.
const BANS_MAX: usize = 4096;
/// When so many networks of one site are banned, the site is: who has one has 65,536 networks.
const SITE_NETWORKS: usize = 16;
/// Who is banned again within this is banned for longer.
pub const AGAIN_MS: u64 = 86_400_000;
/// What one attempt more costs.
const SLOW_STEP: Duration = Duration::from_millis(20);
/// The longest: who waits holds a connection of ours too.
const SLOW_MAX: Duration = Duration::from_secs(2);

impl Bans {
    /// Nobody has done anything.
    pub fn new(config: BanConfig) -> Self {
        Self { config, attempts: HashMap::new(), bans: HashMap::new() }
    }

    /// From now on these rules hold; bans that are in force end when they were to.
    pub fn change(&mut self, config: BanConfig) {
        self.config = config;
    }

    /// Until when somebody is banned, or the site that they are of.
    pub fn until(&self, who: &Banned, now: Timestamp) -> Option<Timestamp> {
        let of = |who: &Banned| self.bans.get(who).filter(|ban| ban.holds(now.unix_ms())).map(|ban| ban.until_ms);
        let until_ms = of(who).max(who.site().and_then(|site| of(&Banned::Network(site))))?;
        Some(Timestamp::from_unix_ms(until_ms).unwrap_or(Timestamp::MAX))
    }

    /// Somebody did something wrong.
    pub fn attempted(&mut self, who: &Banned, reason: BanReason, now: Timestamp) -> Attempted {
        let now_ms = now.unix_ms();
        let BanConfig { attempts: attempts_max, window_s, slow_after, .. } = self.config;
        if attempts_max == 0 {
            return Attempted::Slowed(Duration::ZERO);
        }
        if self.until(who, now).is_some() {
            // What those do who are banned makes no ban longer: of a network, they may be others.
            return Attempted::Slowed(SLOW_MAX);
        }
        let per_ms = f64::from(attempts_max) / (window_s.max(1) * 1000) as f64;
        if self.attempts.len() >= REMEMBERED_MAX && !self.attempts.contains_key(who) {
            self.forget_attempts(now_ms, per_ms);
        }
        let attempts = self.attempts.entry(who.clone()).or_insert(Attempts { count: 0.0, at_ms: now_ms });
        *attempts = Attempts { count: attempts.left(now_ms, per_ms) + 1.0, at_ms: now_ms };
        let count = attempts.count.round() as u32;
        if count >= attempts_max {
            self.attempts.remove(who);
            return self.ban(who, reason, now_ms);
        }
        Attempted::Slowed((SLOW_STEP * count.saturating_sub(slow_after)).min(SLOW_MAX))
    }

    /// Those who have made the fewest, a quarter at once: whoever comes next is counted too.
    fn forget_attempts(&mut self, now_ms: u64, per_ms: f64) {
        let mut left: Vec<f64> = self.attempts.values().map(|attempts| attempts.left(now_ms, per_ms)).collect();
        left.sort_by(|one, other| other.total_cmp(one));
        let least = left.get(REMEMBERED_LEAST).copied().unwrap_or_default();
        self.attempts.retain(|_, attempts| attempts.left(now_ms, per_ms) > least);
    }

    fn ban(&mut self, who: &Banned, reason: BanReason, now_ms: u64) -> Attempted {
        let of_site = |site: &Network| {
            let links = self.bans.iter().filter(|(banned, ban)| banned.site() == Some(*site) && ban.holds(now_ms));
            links.count() + 1 >= SITE_NETWORKS
        };
        let who = who.site().filter(of_site).map_or_else(|| who.clone(), Banned::Network);
        let forgotten = if self.bans.contains_key(&who) { None } else { self.make_room(now_ms) };
        let before = self.bans.get(&who).filter(|ban| ban.until_ms.saturating_add(AGAIN_MS) > now_ms && !ban.lifted);
        let times = before.map_or(0, |ban| ban.times.saturating_add(1));
        let length_s = self.config.first_s.saturating_mul(1 << times.min(20)).min(self.config.longest_s);
        let until_ms = now_ms.saturating_add(length_s.max(1).saturating_mul(1000));
        self.bans.insert(who.clone(), InForce { reason, until_ms, times, leaves: Vec::new(), lifted: false });
        Attempted::Banned { who, until: Timestamp::from_unix_ms(until_ms).unwrap_or(Timestamp::MAX), forgotten }
    }

    /// For one ban more. What is given was still in force.
    fn make_room(&mut self, now_ms: u64) -> Option<Banned> {
        if self.bans.len() < BANS_MAX {
            return None;
        }
        let soonest = self.bans.iter().min_by_key(|(_, ban)| if ban.lifted { 0 } else { ban.until_ms }).map(|(who, _)| who.clone())?;
        let ban = self.bans.remove(&soonest)?;
        ban.holds(now_ms).then_some(soonest)
    }

    /// The statement of a ban that ends then is on the ledger; false if it does not hold any more.
    pub fn stated(&mut self, who: &Banned, until: Timestamp, leaf: Hash) -> bool {
        let Some(ban) = self.bans.get_mut(who).filter(|ban| ban.until_ms == until.unix_ms()) else { return false };
        ban.leaves.push(leaf);
        !ban.lifted
    }

    /// A ban that an earlier process has stated. It may have ended: the next is longer for it.
    pub fn restore(&mut self, who: Banned, reason: BanReason, until_ms: u64, leaf: Hash) {
        if !self.bans.contains_key(&who) {
            self.make_room(until_ms);
        }
        // Those of one are read in any order: the longest counts.
        match self.bans.get_mut(&who) {
            Some(ban) => {
                ban.times = ban.times.saturating_add(1);
                ban.leaves.push(leaf);
                if until_ms > ban.until_ms {
                    (ban.until_ms, ban.reason) = (until_ms, reason);
                }
            }
            None => drop(self.bans.insert(who, InForce { reason, until_ms, times: 0, leaves: vec![leaf], lifted: false })),
        }
    }

    /// Ends a ban before its time, and of a site those of its networks: what they were, with their statements.
    pub fn lift(&mut self, subject: &str, now: Timestamp) -> Vec<(Banned, Vec<Hash>)> {
        let site = Network::parse(subject).filter(|network| network.is_site());
        let is_meant = |who: &Banned| who.subject() == subject || (site.is_some() && who.site() == site);
        let meant = self.bans.iter_mut().filter(|(who, ban)| ban.holds(now.unix_ms()) && is_meant(who));
        meant
            .map(|(who, ban)| {
                ban.lifted = true;
                (who.clone(), ban.leaves.clone())
            })
            .collect()
    }

    /// Those that were lifted hold again.
    pub fn hold<'a>(&mut self, who: impl Iterator<Item = &'a Banned>) {
        for who in who {
            if let Some(ban) = self.bans.get_mut(who) {
                ban.lifted = false;
            }
        }
    }

    /// One that is in force.
    pub fn get(&self, who: &Banned, now: Timestamp) -> Option<Ban> {
        self.bans.get(who).filter(|ban| ban.holds(now.unix_ms())).map(|ban| told(who, ban))
    }

    /// Those in force, in order.
    pub fn list(&self, now: Timestamp) -> Vec<Ban> {
        let mut list: Vec<Ban> = self.bans.iter().filter(|(_, ban)| ban.holds(now.unix_ms())).map(|(who, ban)| told(who, ban)).collect();
        list.sort_by(|one, other| (&one.kind, &one.subject).cmp(&(&other.kind, &other.subject)));
        list
    }
}

fn told(who: &Banned, ban: &InForce) -> Ban {
    Ban {
        kind: who.kind().as_str().to_owned(),
        subject: who.subject(),
        reason: ban.reason.as_str().to_owned(),
        until_ms: ban.until_ms,
        leaf: ban.leaves.last().map(ToString::to_string),
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

    fn banned(who: Banned, until: Timestamp) -> Attempted {
        Attempted::Banned { who, until, forgotten: None }
    }

    fn network(text: &str) -> Banned {
        Banned::Network(Network::of(text.parse().unwrap()))
    }

    #[test]
    fn attempts_slow_down_and_then_ban() {
        let mut bans = bans();
        assert_eq!(attempt(&mut bans, &camera(1), 5, at(0)), Attempted::Slowed(Duration::ZERO));
        assert_eq!(attempt(&mut bans, &camera(1), 1, at(0)), Attempted::Slowed(SLOW_STEP));
        assert_eq!(attempt(&mut bans, &camera(1), 3, at(0)), Attempted::Slowed(SLOW_STEP * 4));
        assert_eq!(bans.until(&camera(1), at(0)), None);
        assert_eq!(attempt(&mut bans, &camera(1), 1, at(0)), banned(camera(1), at(60)));
        assert_eq!(bans.until(&camera(1), at(59)), Some(at(60)));
        assert_eq!(bans.until(&camera(1), at(60)), None, "a ban does not end");
        assert_eq!(bans.until(&camera(2), at(1)), None, "another pays for it");
        attempt(&mut bans, &Banned::Identity("192.0.2.1/32".to_owned()), 10, at(0));
        assert_eq!(bans.until(&network("192.0.2.1"), at(1)), None, "a network of the same name");
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
            assert_eq!(attempt(&mut bans, &camera(1), 10, at(now)), banned(camera(1), at(now + length)));
            // What is attempted while it holds changes nothing.
            assert_eq!(attempt(&mut bans, &camera(1), 50, at(now + length - 1)), Attempted::Slowed(SLOW_MAX));
            now += length;
        }
        now += AGAIN_MS / 1000;
        assert_eq!(attempt(&mut bans, &camera(1), 10, at(now)), banned(camera(1), at(now + 60)), "it is never forgotten");
    }

    #[test]
    fn a_restart_forgets_neither_a_ban_nor_how_many_there_were() {
        for order in [[1, 2], [2, 1]] {
            let mut bans = bans();
            for number in order {
                // One has ended, the other one not.
                bans.restore(camera(1), BanReason::Malformed, at(u64::from(number) * 100).unix_ms(), Hash([number; 32]));
            }
            assert_eq!(bans.until(&camera(1), at(150)), Some(at(200)), "{order:?}");
            assert_eq!(
                attempt(&mut bans, &camera(1), 10, at(201)),
                banned(camera(1), at(201 + 200)),
                "{order:?}: the third ban is no longer"
            );
            let mut lifted = Bans::new(bans.config.clone());
            for number in order {
                lifted.restore(camera(1), BanReason::Malformed, at(u64::from(number) * 100).unix_ms(), Hash([number; 32]));
            }
            let mut leaves: Vec<_> = lifted.lift("camera/1", at(50)).into_iter().flat_map(|(_, leaves)| leaves).collect();
            leaves.sort();
            assert_eq!(leaves, [Hash([1; 32]), Hash([2; 32])], "one of two statements stays, and a restart brings it back");
        }
    }

    #[test]
    fn a_ban_that_is_lifted_is_none() {
        let mut bans = bans();
        attempt(&mut bans, &camera(1), 10, at(0));
        assert!(bans.stated(&camera(1), at(60), Hash([7; 32])));
        assert_eq!(bans.list(at(1)).len(), 1);
        assert_eq!(bans.get(&camera(1), at(1)), bans.list(at(1)).pop());
        assert_eq!(bans.list(at(1))[0].leaf, Some("07".repeat(32)));
        assert_eq!(bans.lift("camera/2", at(1)), []);
        assert_eq!(bans.lift("camera/1", at(1)), [(camera(1), vec![Hash([7; 32])])]);
        assert_eq!((bans.until(&camera(1), at(1)), bans.list(at(1)).len(), bans.get(&camera(1), at(1))), (None, 0, None));
        assert_eq!(bans.lift("camera/1", at(1)), [], "lifted twice");
        assert_eq!(attempt(&mut bans, &camera(1), 10, at(2)), banned(camera(1), at(62)), "what was lifted counts against them");
    }

    #[test]
    fn a_ban_that_is_lifted_before_it_is_stated_is_told_to_be_over() {
        let mut bans = bans();
        attempt(&mut bans, &camera(1), 10, at(0));
        assert_eq!(bans.lift("camera/1", at(1)), [(camera(1), vec![])]);
        assert!(!bans.stated(&camera(1), at(60), Hash([7; 32])), "its statement stays, and a restart brings it back");
        attempt(&mut bans, &camera(1), 10, at(2));
        assert!(!bans.stated(&camera(1), at(60), Hash([7; 32])), "the statement of another ban");
        assert!(bans.stated(&camera(1), at(62), Hash([8; 32])));
    }

    #[test]
    fn who_has_a_site_is_banned_with_all_of_it() {
        let mut bans = bans();
        let link = |link: usize| network(&format!("2001:db8:1:{link:x}::1"));
        for number in 0..SITE_NETWORKS - 1 {
            assert_eq!(attempt(&mut bans, &link(number), 10, at(0)), banned(link(number), at(60)));
        }
        assert_eq!(bans.until(&link(99), at(1)), None);
        let site = Banned::Network(Network::parse("2001:db8:1::/48").unwrap());
        assert_eq!(attempt(&mut bans, &link(50), 10, at(1)), banned(site.clone(), at(61)));
        assert_eq!(bans.until(&link(99), at(1)), Some(at(61)), "its other networks go on");
        assert_eq!(attempt(&mut bans, &link(99), 50, at(1)), Attempted::Slowed(SLOW_MAX), "each of its networks is banned anew");
        assert_eq!(bans.until(&network("2001:db8:2::1"), at(1)), None, "another site");
        assert_eq!(bans.list(at(1)).len(), SITE_NETWORKS);
        assert_eq!(bans.lift(&site.subject(), at(2)).len(), SITE_NETWORKS);
        assert_eq!(bans.until(&link(0), at(2)), None, "a site that was lifted comes back network by network");
    }

    #[test]
    fn nobody_is_banned_where_that_is_configured() {
        let mut never = Bans::new(BanConfig { attempts: 0, ..BanConfig::default() });
        assert_eq!(attempt(&mut never, &camera(1), 10_000, at(0)), Attempted::Slowed(Duration::ZERO));
    }

    #[test]
    fn memory_is_bounded_and_whoever_comes_last_is_counted() {
        let mut bans = bans();
        attempt(&mut bans, &camera(u64::MAX), 9, at(0));
        for id in 0..3 * REMEMBERED_MAX as u64 {
            attempt(&mut bans, &camera(id), 1, at(0));
        }
        assert!(bans.attempts.len() <= REMEMBERED_MAX);
        assert_eq!(attempt(&mut bans, &camera(u64::MAX), 1, at(0)), banned(camera(u64::MAX), at(60)), "the worst was forgotten");
        assert_eq!(attempt(&mut bans, &camera(u64::MAX - 1), 10, at(0)), banned(camera(u64::MAX - 1), at(60)), "nobody new is counted");
    }

    #[test]
    fn bans_are_bounded_and_it_is_told_which_was_forgotten() {
        let mut bans = bans();
        for id in 0..BANS_MAX as u64 {
            assert_eq!(attempt(&mut bans, &camera(id), 10, at(id / 100)), banned(camera(id), at(id / 100 + 60)));
            if id == 50 {
                bans.lift("camera/50", at(0));
            }
        }
        // What does not hold goes first, and then what ends soonest.
        assert_eq!(attempt(&mut bans, &camera(10_000), 10, at(50)), banned(camera(10_000), at(110)));
        let Attempted::Banned { forgotten: Some(Banned::Identity(forgotten)), .. } = attempt(&mut bans, &camera(10_001), 10, at(50)) else {
            panic!("a ban was forgotten without a word")
        };
        assert!(forgotten.trim_start_matches("camera/").parse::<u64>().unwrap() < 100, "{forgotten}");
        assert_eq!(bans.bans.len(), BANS_MAX);
    }
}
