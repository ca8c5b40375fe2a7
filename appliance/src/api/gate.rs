//! Who may connect and ask, by how much they do already: networks before anybody has said who they are, certificates afterwards.
//!
//! Decisions over numbers: it knows no socket. Time is an argument.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::handshakes::{Handshakes, Terms};
use super::pace::Paces;
use crate::limits::Limits;
use crate::network::Network;

/// The gate of one listener.
pub struct Gate {
    limits: RwLock<Arc<Limits>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    handshakes: Handshakes,
    /// Connections that have shaken hands, of each network and each site.
    connections: HashMap<Network, usize>,
    /// Connections of a certificate, oldest first.
    certificates: HashMap<String, Vec<Arc<Notify>>>,
    /// Requests, by certificate or network.
    requests: Paces<String>,
    /// Handshakes that were begun, of each network and each site.
    begun: Paces<Network>,
}

/// A site is a party that has several networks: so many times what one network may have.
pub const SITE_FACTOR: usize = 2;
/// Who asks faster than they may is answered later, up to this; what would have to wait for longer is refused.
const REQUEST_WAIT_MAX: Duration = Duration::from_secs(1);

impl Gate {
    /// Nobody is there.
    pub fn new(limits: Limits) -> Self {
        Self { limits: RwLock::new(Arc::new(limits)), state: Mutex::default() }
    }

    /// From now on these hold, for those who are here too.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    /// Those that hold.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection that begins. Where there are too many the oldest makes room; `None` if all of them have only just begun.
    pub fn enter(self: &Arc<Self>, network: Network, terms: &Terms, now: Instant) -> Option<Visit> {
        let end = Arc::new(Notify::new());
        let handshake = self.lock().handshakes.enter(network, terms, &end, now)?;
        Some(Visit { gate: self.clone(), network, handshake: Some(handshake), is_connected: false, certificate: None, end })
    }

    /// Counts a handshake that costs something from now on; the wait before it may be asked again if its network has begun so many.
    pub fn begin(&self, network: Network, terms: &Terms, now: Instant) -> Result<(), Duration> {
        let mut state = self.lock();
        let (site, rate) = (network.site(), f64::from(terms.per_s));
        let wait = state.begun.wait(&network, rate, now);
        let wait = if site == network { wait } else { wait.max(state.begun.wait(&site, rate * SITE_FACTOR as f64, now)) };
        if !wait.is_zero() {
            return Err(wait);
        }
        state.begun.take(&network, rate, now);
        if site != network {
            state.begun.take(&site, rate * SITE_FACTOR as f64, now);
        }
        Ok(())
    }

    /// Counts a request, and says how long it waits for its turn; the wait before another may be sent, if too many wait already.
    pub fn ask(&self, who: &str, now: Instant) -> Result<Duration, Duration> {
        let rate = f64::from(self.limits().requests_per_s);
        let mut state = self.lock();
        let wait = state.requests.wait(&who.to_owned(), rate, now);
        if wait > REQUEST_WAIT_MAX {
            return Err(wait);
        }
        state.requests.take(&who.to_owned(), rate, now);
        Ok(wait)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is open.
pub struct Visit {
    gate: Arc<Gate>,
    network: Network,
    /// Its number, until the handshake is over.
    handshake: Option<u64>,
    is_connected: bool,
    certificate: Option<String>,
    end: Arc<Notify>,
}

impl Visit {
    /// Where it comes from.
    pub fn network(&self) -> Network {
        self.network
    }

    /// Tells that it has to end, since a newer one needs its place.
    pub fn end(&self) -> Arc<Notify> {
        self.end.clone()
    }

    /// Something was heard on it: those that say nothing make room first.
    pub fn spoke(&self) {
        if let Some(handshake) = self.handshake {
            self.gate.lock().handshakes.spoke(handshake);
        }
    }

    /// It is that certificate's. Its oldest connection ends if there are too many.
    pub fn identify(&mut self, certificate: &str) {
        let mut state = self.gate.lock();
        let connections = state.certificates.entry(certificate.to_owned()).or_default();
        // More than one where the limit has become lower.
        while connections.len() >= self.gate.limits().identity_connections {
            connections.remove(0).notify_one();
        }
        connections.push(self.end.clone());
        drop(state);
        self.certificate = Some(certificate.to_owned());
    }

    /// The handshake is over; false if its network, or its site, has too many connections.
    pub fn shaken(&mut self) -> bool {
        let mut state = self.gate.lock();
        if let Some(handshake) = self.handshake.take() {
            state.handshakes.leave(handshake);
        }
        let most = self.gate.limits().network_connections;
        let is_full = |(network, most): (Network, usize)| state.connections.get(&network).is_some_and(|count| *count >= most);
        if [(self.network, most), (self.network.site(), most.saturating_mul(SITE_FACTOR))].into_iter().any(is_full) {
            return false;
        }
        for network in scopes(self.network) {
            *state.connections.entry(network).or_default() += 1;
        }
        self.is_connected = true;
        true
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if let Some(handshake) = self.handshake {
            state.handshakes.leave(handshake);
        }
        for network in scopes(self.network).filter(|_| self.is_connected) {
            if let Some(count) = state.connections.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    state.connections.remove(&network);
                }
            }
        }
        if let Some(certificate) = &self.certificate
            && let Some(connections) = state.certificates.get_mut(certificate)
        {
            connections.retain(|other| !Arc::ptr_eq(other, &self.end));
            if connections.is_empty() {
                state.certificates.remove(certificate);
            }
        }
    }
}

/// What a network counts for: itself, and its site where that is another.
pub fn scopes(network: Network) -> impl Iterator<Item = Network> {
    std::iter::once(network).chain(Some(network.site()).filter(move |site| *site != network))
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

    fn visit(gate: &Arc<Gate>, address: &str) -> Visit {
        gate.enter(network(address), &Terms::of(&Limits::default()), Instant::now()).unwrap()
    }

    #[test]
    fn connections_of_one_network_are_counted_once_they_have_shaken_hands() {
        let gate = gate(Limits { network_connections: 2, ..Limits::default() });
        let _silent: Vec<_> = (0..5).map(|_| visit(&gate, "192.0.2.1")).collect();
        let mut visits: Vec<_> = (0..2).map(|_| visit(&gate, "192.0.2.1")).collect();
        assert!(visits.iter_mut().all(Visit::shaken), "those that say nothing have taken the places of those that do");
        let mut third = visit(&gate, "192.0.2.1");
        assert!(!third.shaken(), "a network's connections");
        drop(third);
        assert!(visit(&gate, "192.0.2.2").shaken(), "another network's");
        visits.pop();
        assert!(visit(&gate, "192.0.2.1").shaken(), "what has ended counts on");

        // A site has as many networks as it likes, and twice what one has.
        let mut site: Vec<_> = (0..5).map(|link| visit(&gate, &format!("2001:db8:1:{link}::1"))).collect();
        assert_eq!(site.iter_mut().map(Visit::shaken).collect::<Vec<_>>(), [true, true, true, true, false]);
        drop((site, visits, _silent));
        let state = gate.lock();
        assert!(state.connections.is_empty() && state.handshakes.is_empty(), "whoever is gone is remembered");
    }

    #[tokio::test]
    async fn a_certificates_oldest_connection_makes_room() {
        let gate = gate(Limits { identity_connections: 2, ..Limits::default() });
        let mut visits: Vec<_> = (0..3).map(|_| visit(&gate, "192.0.2.1")).collect();
        for visit in &mut visits {
            visit.identify("camera/1");
        }
        let ends: Vec<_> = visits.iter().map(Visit::end).collect();
        ends[0].notified().await;
        for end in &ends[1..] {
            assert!(tokio::time::timeout(Duration::ZERO, end.notified()).await.is_err(), "a newer connection was ended");
        }
        // One that has ended makes room too, and others' connections are others'.
        drop(visits.remove(1));
        let mut more = visit(&gate, "192.0.2.1");
        more.identify("camera/1");
        let mut other = visit(&gate, "192.0.2.1");
        other.identify("camera/2");
        assert!(tokio::time::timeout(Duration::ZERO, ends[2].notified()).await.is_err());
    }

    #[test]
    fn handshakes_of_a_network_and_its_site_have_a_rate() {
        let gate = gate(Limits::default());
        let (terms, now) = (Terms { per_s: 10, ..Terms::of(&Limits::default()) }, Instant::now());
        let begun = |address: &str, now| gate.begin(network(address), &terms, now);
        for _ in 0..10 {
            begun("192.0.2.1", now).unwrap();
        }
        let wait = begun("192.0.2.1", now).unwrap_err();
        assert!(wait <= Duration::from_millis(101), "{wait:?}");
        begun("192.0.2.2", now).unwrap();
        begun("192.0.2.1", now + wait).unwrap();
        // Of one site, whichever of its networks.
        let of_site = (0..100).filter(|link| begun(&format!("2001:db8:1:{link}::1"), now).is_ok()).count();
        assert_eq!(of_site, 10 * SITE_FACTOR, "who has a site has a rate for each of its networks");
    }

    #[test]
    fn who_asks_too_fast_is_answered_later_and_then_refused() {
        let gate = gate(Limits { requests_per_s: 10, ..Limits::default() });
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(gate.ask("camera/1", now), Ok(Duration::ZERO));
        }
        let mut waits = Vec::new();
        let refused = loop {
            match gate.ask("camera/1", now) {
                Ok(wait) => waits.push(wait),
                Err(wait) => break wait,
            }
        };
        assert!(waits.is_sorted() && waits.iter().all(|wait| !wait.is_zero() && *wait <= REQUEST_WAIT_MAX), "{waits:?}");
        assert!((9..=10).contains(&waits.len()), "{} wait for up to a second", waits.len());
        assert!(refused > REQUEST_WAIT_MAX && refused < 2 * REQUEST_WAIT_MAX, "{refused:?}");
        assert_eq!(gate.ask("camera/2", now), Ok(Duration::ZERO), "another waits too");
        // What was refused did not count.
        assert!(gate.ask("camera/1", now + Duration::from_millis(101)).is_ok());
        // A second's is saved up, and no more.
        for _ in 0..10 {
            assert_eq!(gate.ask("camera/1", now + Duration::from_secs(60)), Ok(Duration::ZERO));
        }
        assert!(gate.ask("camera/1", now + Duration::from_secs(60)).unwrap() > Duration::ZERO);
    }
}
