//! Who may connect and ask, by how much they do already: networks before anybody has said who they are, identities afterwards.
//!
//! Decisions over numbers: it knows no socket. Time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::limits::Limits;

/// Addresses that are one party's: an IPv4 address, or the 64 bits of an IPv6 address that a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => Self(std::net::Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = if self.0.is_ipv4() { 32 } else { 64 };
        write!(formatter, "{}/{bits}", self.0)
    }
}

/// The gate of one listener.
pub struct Gate {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    handshakes: usize,
    networks: HashMap<Network, Visits>,
    /// Connections of an identity, oldest first.
    identities: HashMap<String, Vec<Arc<Notify>>>,
    /// By identity or network.
    paces: HashMap<String, Pace>,
}

#[derive(Clone, Copy, Default)]
struct Visits {
    handshakes: usize,
    connections: usize,
}

/// A bucket of requests.
#[derive(Clone, Copy)]
struct Pace {
    tokens: f64,
    at: Instant,
}

/// So many who ask are remembered before those are forgotten whose bucket is full.
const PACES_MAX: usize = 4096;

impl Gate {
    /// Nobody is there.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// A connection that begins; `None` if there are too many. `handshakes` is how many of its network may be in their handshake.
    pub fn enter(self: &Arc<Self>, network: Network, handshakes: usize) -> Option<Visit> {
        let mut state = self.lock();
        let visits = state.networks.get(&network).copied().unwrap_or_default();
        let is_full = state.handshakes >= self.limits.handshakes
            || visits.handshakes >= handshakes
            || visits.connections >= self.limits.network_connections;
        if is_full {
            return None;
        }
        state.handshakes += 1;
        let visits = state.networks.entry(network).or_default();
        visits.handshakes += 1;
        visits.connections += 1;
        Some(Visit { gate: self.clone(), network, is_shaken: false, identity: None })
    }

    /// Counts a request; the wait until there is room for it if there is none.
    pub fn ask(&self, who: &str, now: Instant) -> Result<(), Duration> {
        let rate = f64::from(self.limits.requests_per_s);
        let mut state = self.lock();
        if state.paces.len() >= PACES_MAX {
            state.paces.retain(|_, pace| pace.filled(now, rate) < rate);
        }
        let pace = state.paces.entry(who.to_owned()).or_insert(Pace { tokens: rate, at: now });
        *pace = Pace { tokens: pace.filled(now, rate), at: now };
        if pace.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - pace.tokens) / rate));
        }
        pace.tokens -= 1.0;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn filled(&self, now: Instant, rate: f64) -> f64 {
        (self.tokens + now.saturating_duration_since(self.at).as_secs_f64() * rate).min(rate)
    }
}

/// A connection that is open.
pub struct Visit {
    gate: Arc<Gate>,
    network: Network,
    is_shaken: bool,
    identity: Option<(String, Arc<Notify>)>,
}

impl Visit {
    /// Where it comes from.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The handshake is over.
    pub fn shaken(&mut self) {
        if !std::mem::replace(&mut self.is_shaken, true) {
            self.gate.lock().end_handshake(self.network);
        }
    }

    /// It is that identity's. Its oldest connection ends if there are too many. What is given tells that this one has to.
    pub fn identify(&mut self, identity: &str) -> Arc<Notify> {
        let end = Arc::new(Notify::new());
        let mut state = self.gate.lock();
        let connections = state.identities.entry(identity.to_owned()).or_default();
        if connections.len() >= self.gate.limits.identity_connections {
            connections.remove(0).notify_one();
        }
        connections.push(end.clone());
        drop(state);
        self.identity = Some((identity.to_owned(), end.clone()));
        end
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shaken();
        let mut state = self.gate.lock();
        if let Some(visits) = state.networks.get_mut(&self.network) {
            visits.connections -= 1;
            if visits.connections == 0 {
                state.networks.remove(&self.network);
            }
        }
        if let Some((identity, end)) = &self.identity
            && let Some(connections) = state.identities.get_mut(identity)
        {
            connections.retain(|other| !Arc::ptr_eq(other, end));
            if connections.is_empty() {
                state.identities.remove(identity);
            }
        }
    }
}

impl State {
    fn end_handshake(&mut self, network: Network) {
        self.handshakes -= 1;
        if let Some(visits) = self.networks.get_mut(&network) {
            visits.handshakes -= 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    fn gate(limits: Limits) -> Arc<Gate> {
        Arc::new(Gate::new(limits))
    }

    #[test]
    fn a_network_is_what_one_party_has() {
        assert_eq!(network("192.0.2.7").to_string(), "192.0.2.7/32");
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"), "one address has two networks");
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::1"), "a site has as many networks as it likes");
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("2001:db8:1:2:3::4").to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn one_network_does_not_take_the_places_of_all() {
        let gate = gate(Limits { handshakes: 5, network_connections: 4, ..Limits::default() });
        let (one, other, third) = (network("192.0.2.1"), network("192.0.2.2"), network("192.0.2.3"));
        let mut silent: Vec<_> = (0..3).map(|_| gate.enter(one, 3).unwrap()).collect();
        assert!(gate.enter(one, 3).is_none(), "a network's handshakes");
        let _others: Vec<_> = (0..2).map(|_| gate.enter(other, 3).unwrap()).collect();
        assert!(gate.enter(third, 3).is_none(), "all handshakes");
        // After its handshake a connection holds another kind of place.
        silent[0].shaken();
        silent[0].shaken();
        let fourth = gate.enter(one, 3).unwrap();
        drop(silent.remove(1));
        let _fifth = gate.enter(one, 3).unwrap();
        assert!(gate.enter(one, 9).is_none(), "a network's connections");
        drop(fourth);
        gate.enter(one, 3).unwrap();
    }

    #[tokio::test]
    async fn an_identitys_oldest_connection_makes_room() {
        let gate = gate(Limits { identity_connections: 2, ..Limits::default() });
        let mut visits: Vec<_> = (0..3).map(|_| gate.enter(network("192.0.2.1"), 9).unwrap()).collect();
        let ends: Vec<_> = visits.iter_mut().map(|visit| visit.identify("camera/1")).collect();
        ends[0].notified().await;
        for end in &ends[1..] {
            assert!(tokio::time::timeout(Duration::ZERO, end.notified()).await.is_err(), "a newer connection was ended");
        }
        // One that has ended makes room too, and others' connections are others'.
        drop(visits.remove(1));
        let mut more = gate.enter(network("192.0.2.1"), 9).unwrap();
        more.identify("camera/1");
        let mut other = gate.enter(network("192.0.2.1"), 9).unwrap();
        other.identify("camera/2");
        assert!(tokio::time::timeout(Duration::ZERO, ends[2].notified()).await.is_err());
    }

    #[test]
    fn requests_are_counted_by_who_asks() {
        let gate = gate(Limits { requests_per_s: 10, ..Limits::default() });
        let now = Instant::now();
        for _ in 0..10 {
            gate.ask("camera/1", now).unwrap();
        }
        let wait = gate.ask("camera/1", now).unwrap_err();
        assert!(wait <= Duration::from_millis(101), "{wait:?}");
        gate.ask("camera/2", now).unwrap();
        gate.ask("camera/1", now + Duration::from_millis(101)).unwrap();
        assert!(gate.ask("camera/1", now + Duration::from_millis(102)).is_err());
        // A second's is saved up, and no more.
        for _ in 0..10 {
            gate.ask("camera/1", now + Duration::from_secs(60)).unwrap();
        }
        assert!(gate.ask("camera/1", now + Duration::from_secs(60)).is_err());
    }

    #[test]
    fn who_asked_long_ago_is_forgotten() {
        let gate = gate(Limits::default());
        let now = Instant::now();
        for number in 0..3 * PACES_MAX {
            gate.ask(&number.to_string(), now + Duration::from_secs(number as u64)).unwrap();
        }
        assert!(gate.lock().paces.len() <= PACES_MAX, "everybody who ever asked is remembered");
    }
}
