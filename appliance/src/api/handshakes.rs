//! Connections in their handshake: nobody knows yet who they are, so where there are too many the oldest makes room for the newest. An honest one is
//! over in two round trips; one that says nothing stays for as long as it is let.
//!
//! Decisions over numbers: it knows no socket. Time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::gate::{SITE_FACTOR, scopes};
use crate::limits::Limits;
use crate::network::Network;

/// How many handshakes there may be.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Of everybody.
    pub all: usize,
    /// Of one network.
    pub network: usize,
    /// Of one network in a second.
    pub per_s: u32,
}

impl Terms {
    /// As configured.
    pub fn of(limits: &Limits) -> Self {
        Self { all: limits.handshakes, network: limits.network_handshakes, per_s: limits.network_handshakes_per_s }
    }

    fn most(&self, network: Network) -> usize {
        if network.is_site() { self.network.saturating_mul(SITE_FACTOR) } else { self.network }
    }
}

/// Before it has said a word, a connection keeps its place for so long: a client speaks as soon as it hears that it is connected, so that the first
/// bytes come with the packet that opens the connection, or right after.
const SILENT_MIN: Duration = Duration::from_millis(100);
/// Once it has spoken, for so long: two round trips of a mobile link.
const SPEAKING_MIN: Duration = Duration::from_secs(1);

/// All that are under way. Numbers rise with time.
#[derive(Default)]
pub struct Handshakes {
    last: u64,
    under_way: BTreeMap<u64, Handshake>,
    all: Waiting,
    networks: HashMap<Network, Waiting>,
}

struct Handshake {
    network: Network,
    began: Instant,
    end: Arc<Notify>,
}

/// Those of one network, or of all.
#[derive(Default)]
struct Waiting {
    silent: BTreeSet<u64>,
    speaking: BTreeSet<u64>,
}

impl Handshakes {
    /// One more, under the number that is given; `None` if there are too many, all of which have only just begun. `end` is told when it has to go.
    pub fn enter(&mut self, network: Network, terms: &Terms, end: &Arc<Notify>, now: Instant) -> Option<u64> {
        // Whatever makes room for its network makes some among all.
        let full = scopes(network).filter_map(|scope| self.networks.get(&scope).filter(|waiting| waiting.len() >= terms.most(scope)));
        let full = full.chain(Some(&self.all).filter(|all| all.len() >= terms.all)).next();
        if let Some(full) = full {
            let oldest = self.oldest(full, now)?;
            if let Some(handshake) = self.leave(oldest) {
                handshake.notify_one();
            }
        }
        self.last += 1;
        self.under_way.insert(self.last, Handshake { network, began: now, end: end.clone() });
        self.all.silent.insert(self.last);
        for scope in scopes(network) {
            self.networks.entry(scope).or_default().silent.insert(self.last);
        }
        Some(self.last)
    }

    /// Whoever says nothing goes first, and nobody who has only just come.
    fn oldest(&self, waiting: &Waiting, now: Instant) -> Option<u64> {
        let after = |number: &u64, least| {
            let handshake = self.under_way.get(number);
            handshake.is_some_and(|handshake| now.saturating_duration_since(handshake.began) >= least)
        };
        let silent = waiting.silent.first().filter(|number| after(number, SILENT_MIN));
        silent.or_else(|| waiting.speaking.first().filter(|number| after(number, SPEAKING_MIN))).copied()
    }

    /// Something was heard.
    pub fn spoke(&mut self, number: u64) {
        let Some(handshake) = self.under_way.get(&number) else { return };
        for scope in scopes(handshake.network) {
            if let Some(waiting) = self.networks.get_mut(&scope) {
                waiting.spoke(number);
            }
        }
        self.all.spoke(number);
    }

    /// It is over, however it ended. Who it was is given back, if it was still here.
    pub fn leave(&mut self, number: u64) -> Option<Arc<Notify>> {
        let handshake = self.under_way.remove(&number)?;
        for scope in scopes(handshake.network) {
            if let Some(waiting) = self.networks.get_mut(&scope) {
                waiting.remove(number);
                if waiting.len() == 0 {
                    self.networks.remove(&scope);
                }
            }
        }
        self.all.remove(number);
        Some(handshake.end)
    }

    /// True if there is none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.networks.is_empty() && self.all.len() == 0
    }
}

impl Waiting {
    fn len(&self) -> usize {
        self.silent.len() + self.speaking.len()
    }

    fn spoke(&mut self, number: u64) {
        if self.silent.remove(&number) {
            self.speaking.insert(number);
        }
    }

    fn remove(&mut self, number: u64) {
        self.silent.remove(&number);
        self.speaking.remove(&number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct Scene {
        handshakes: Handshakes,
        ends: Vec<(u64, Arc<Notify>)>,
        terms: Terms,
        began: Instant,
    }

    impl Scene {
        fn new(all: usize, network: usize) -> Self {
            Self { handshakes: Handshakes::default(), ends: Vec::new(), terms: Terms { all, network, per_s: 1000 }, began: Instant::now() }
        }

        fn enter(&mut self, address: &str, after_ms: u64) -> Option<u64> {
            let end = Arc::new(Notify::new());
            let now = self.began + Duration::from_millis(after_ms);
            let number = self.handshakes.enter(Network::of(address.parse().unwrap()), &self.terms, &end, now)?;
            self.ends.push((number, end));
            Some(number)
        }

        /// Who was told to go.
        async fn ended(&self) -> Vec<u64> {
            let mut ended = Vec::new();
            for (number, end) in &self.ends {
                if tokio::time::timeout(Duration::ZERO, end.notified()).await.is_ok() {
                    ended.push(*number);
                }
            }
            ended
        }
    }

    #[tokio::test]
    async fn the_oldest_of_a_network_makes_room_for_its_newest() {
        let mut scene = Scene::new(100, 3);
        for after_ms in [0, 1, 2] {
            scene.enter("192.0.2.1", after_ms).unwrap();
        }
        let other = scene.enter("192.0.2.2", 3).unwrap();
        assert_eq!(scene.enter("192.0.2.1", 99), None, "whoever has only just come is turned out");
        scene.enter("192.0.2.1", 100).unwrap();
        assert_eq!(scene.ended().await, [1], "the newest is refused, and who says nothing stays");
        assert_eq!(scene.enter("192.0.2.1", 100), None);
        scene.enter("192.0.2.1", 102).unwrap();
        assert_eq!(scene.ended().await, [2]);
        scene.handshakes.leave(other);
        scene.enter("192.0.2.2", 103).unwrap();
    }

    #[tokio::test]
    async fn who_speaks_stays_before_who_does_not() {
        let mut scene = Scene::new(100, 2);
        let speaking = scene.enter("192.0.2.1", 0).unwrap();
        scene.handshakes.spoke(speaking);
        let silent = scene.enter("192.0.2.1", 1).unwrap();
        scene.enter("192.0.2.1", 500).unwrap();
        assert_eq!(scene.ended().await, [silent]);
        assert_eq!(scene.enter("192.0.2.1", 550), None, "a handshake that goes on is cut off");
        scene.enter("192.0.2.1", 999).unwrap();
        assert_eq!(scene.ended().await, [3], "a newer one that says nothing stays before one that speaks");
        assert_eq!(scene.enter("192.0.2.1", 999), None, "a handshake that goes on is cut off");
        // Not for ever, though.
        scene.handshakes.spoke(4);
        scene.enter("192.0.2.1", 1001).unwrap();
        assert_eq!(scene.ended().await, [speaking], "who spoke once stays for ever");
    }

    #[tokio::test]
    async fn the_oldest_of_all_makes_room_where_many_networks_fill_all_places() {
        let mut scene = Scene::new(4, 2);
        for link in 1..=4 {
            scene.enter(&format!("192.0.2.{link}"), link).unwrap();
        }
        scene.enter("198.51.100.1", 200).unwrap();
        assert_eq!(scene.ended().await, [1]);
        // Of one site, twice what one of its networks may have.
        let mut scene = Scene::new(100, 2);
        for link in 0..4 {
            scene.enter(&format!("2001:db8:1:{link}::1"), link).unwrap();
        }
        assert_eq!(scene.enter("2001:db8:1:9::1", 50), None, "a site has places for each of its networks");
        scene.enter("2001:db8:2::1", 50).unwrap();
        scene.enter("2001:db8:1:9::1", 150).unwrap();
        assert_eq!(scene.ended().await, [1]);
        for number in 1..=scene.handshakes.last {
            scene.handshakes.leave(number);
        }
        assert!(scene.handshakes.is_empty(), "whoever is gone is remembered");
    }
}
