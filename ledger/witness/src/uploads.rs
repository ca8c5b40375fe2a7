//! Places for uploads to the mirror, of which nobody takes all: an upload is from anybody, and is only known to be of a log once it is read.
//!
//! It does not know what is uploaded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// At most so many at a time: each has a thread while it is read, and holds a package of up to 16 MiB.
pub const UPLOADS_MAX: usize = 8;
/// From one network at a time. A log's operator needs one for each log that this mirror has to catch up with.
pub const NETWORK_UPLOADS_MAX: usize = 2;

/// The places, and who has them.
#[derive(Debug)]
pub struct Uploads {
    network_max: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    uploads: Arc<Uploads>,
    network: IpAddr,
}

impl Uploads {
    /// At most so many places for one network.
    pub fn new(network_max: usize) -> Self {
        Self { network_max, taken: Mutex::default() }
    }

    /// A place for an upload from `address`, if there is one.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&network).copied().unwrap_or(0);
        if own >= self.network_max || taken.values().sum::<usize>() >= UPLOADS_MAX {
            return None;
        }
        taken.insert(network, own + 1);
        Some(Place { uploads: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.uploads.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.network) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

/// Whoever has one address of version 6 has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places_and_what_is_left_is_had_again() {
        let uploads = Arc::new(Uploads::new(NETWORK_UPLOADS_MAX));
        let enter = |address: &str| uploads.enter(address.parse().unwrap());
        let first = [enter("192.0.2.1").unwrap(), enter("192.0.2.1").unwrap()];
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("::ffff:192.0.2.1").is_none(), "the same address by another name");
        let second = [enter("2001:db8:0:1::1").unwrap(), enter("2001:db8:0:1::2").unwrap()];
        assert!(enter("2001:db8:0:1:ffff::3").is_none(), "another address of the same network");
        let rest: Vec<_> = (2..6).map(|last| enter(&format!("192.0.2.{last}")).unwrap()).collect();
        assert!(enter("192.0.2.9").is_none(), "more than there are");
        drop(rest);
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        drop(second);
        assert!(uploads.taken.lock().unwrap().is_empty());
    }
}
