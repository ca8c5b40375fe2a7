//! So many places of a kind, of which one party has a share: no single one takes them all.
//!
//! It does not know what the places are for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places for something that costs memory, threads or a disk's time.
pub struct Places {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// How many there are.
    total: usize,
    /// How many one party may have.
    each: usize,
    all: usize,
    by: HashMap<String, usize>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// Whoever asks has as many as one may have.
    Own,
}

impl Places {
    /// `total` of them, of which one party may have `each`.
    pub fn new(total: usize, each: usize) -> Self {
        Self { taken: Mutex::new(Taken { total, each, ..Taken::default() }) }
    }

    /// From now on one party may have so many. Whoever has more keeps them.
    pub fn change(&self, each: usize) {
        self.lock().each = each;
    }

    /// One more for a party, until it is dropped.
    pub fn take(self: &Arc<Self>, who: &str) -> Result<Place, Full> {
        let mut taken = self.lock();
        if taken.by.get(who).is_some_and(|own| *own >= taken.each) {
            return Err(Full::Own);
        }
        if taken.all >= taken.total {
            return Err(Full::All);
        }
        taken.all += 1;
        *taken.by.entry(who.to_owned()).or_default() += 1;
        drop(taken);
        Ok(Place { places: self.clone(), who: who.to_owned() })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    /// None is left.
    pub fn are_taken(&self) -> bool {
        let taken = self.lock();
        taken.all >= taken.total
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that is taken.
pub struct Place {
    places: Arc<Places>,
    who: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_party_has_its_share_and_all_have_what_there_is() {
        let places = Arc::new(Places::new(3, 2));
        let mut own = vec![places.take("camera/1").unwrap(), places.take("camera/1").unwrap()];
        assert_eq!(places.take("camera/1").err(), Some(Full::Own), "one has all places");
        let _other = places.take("camera/2").unwrap();
        assert_eq!(places.take("camera/3").err(), Some(Full::All));
        own.pop();
        drop(places.take("camera/1").unwrap());
        let _third = places.take("camera/3").unwrap();
        drop((own, _other, _third));
        assert!(places.lock().by.is_empty() && places.lock().all == 0, "whoever is gone is remembered");
    }
}
