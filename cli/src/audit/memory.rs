//! What is remembered of the entries so far: a few words for each stream, certificate, set of recipients and fetch.
//!
//! It has no file: it says what was changed since it was saved, and takes that back line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use exhibit_tlog::Hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::certificates::Certificates;
use super::custodians::Set;
use super::rights::{Fetched, Granted};
use super::second::Second;

/// A map that knows what was changed in it since it was saved.
#[derive(Clone, Debug)]
pub struct Kept<V> {
    map: BTreeMap<Box<str>, V>,
    changed: BTreeSet<Box<str>>,
}

impl<V> Default for Kept<V> {
    fn default() -> Self {
        Self { map: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

impl<V> Kept<V> {
    /// What is kept under a key.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.map.get(key)
    }

    /// The same, to be changed.
    pub fn change(&mut self, key: &str) -> Option<&mut V> {
        let (key, value) = self.map.range_mut::<str, _>((Bound::Included(key), Bound::Included(key))).next()?;
        self.changed.insert(key.clone());
        Some(value)
    }

    /// Keeps something.
    pub fn insert(&mut self, key: &str, value: V) {
        self.changed.insert(key.into());
        self.map.insert(key.into(), value);
    }

    /// Lets go of something.
    pub fn remove(&mut self, key: &str) {
        if self.map.remove(key).is_some() {
            self.changed.insert(key.into());
        }
    }

    /// All of it, in the order of the keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &V)> {
        self.map.iter().map(|(key, value)| (&**key, value))
    }

    /// Those from a key on.
    pub fn iter_from(&self, key: &str) -> impl Iterator<Item = (&str, &V)> {
        self.map.range::<str, _>((Bound::Included(key), Bound::Unbounded)).map(|(key, value)| (&**key, value))
    }

    /// The last one up to a key.
    pub fn last_to(&self, key: &str) -> Option<(&str, &V)> {
        self.map.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back().map(|(key, value)| (&**key, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }
}

/// One line of what is kept: of which map, under which key, and what; nothing for what was let go.
#[derive(Serialize, Deserialize)]
struct Line<V>(String, String, Option<V>);

impl<V: Serialize + DeserializeOwned> Kept<V> {
    /// Writes what was changed, and takes it for saved; with `all`, everything.
    fn write(&mut self, name: &str, all: bool, to: &mut String) -> u64 {
        let changed = std::mem::take(&mut self.changed);
        let keys: Vec<&str> = if all { self.map.keys().map(|key| &**key).collect() } else { changed.iter().map(|key| &**key).collect() };
        for key in &keys {
            let line = serde_json::to_string(&(name, key, self.map.get(*key))).expect("what is kept is plain data");
            to.push_str(&line);
            to.push('\n');
        }
        keys.len() as u64
    }

    fn read(&mut self, line: &str) -> Result<(), String> {
        let Line(_, key, value): Line<V> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        match value {
            Some(value) => drop(self.map.insert(key.into(), value)),
            None => drop(self.map.remove(key.as_str())),
        }
        Ok(())
    }
}

/// What is remembered.
#[derive(Clone, Default)]
pub struct Memory {
    /// The end of each stream.
    pub streams: Kept<End>,
    /// Certificates on the log.
    pub certificates: Certificates,
    /// What was revoked, by fingerprint.
    pub revoked: Kept<Revoked>,
    /// Second certificates, by the leaf hash of their introduction.
    pub seconds: Kept<Second>,
    /// Sets of recipients, by leaf hash.
    pub sets: Kept<Set>,
    /// By scope: leaf hashes of sets that are not decided, oldest first.
    pub open_sets: Kept<Vec<String>>,
    /// By scope: the leaf hash of the set in force.
    pub in_force: Kept<String>,
    /// By scope: whose certificates any decided set has named.
    pub recipients: Kept<BTreeSet<String>>,
    /// Grants that were not taken back, by leaf hash.
    pub grants: Kept<Granted>,
    /// Fetches, by leaf hash.
    pub fetches: Kept<Fetched>,
    /// By the size that was stamped, in sixteen digits: when that was at the earliest (unix ms), by others' word.
    pub stamps: Kept<u64>,
    /// The rest, which does not grow.
    pub rest: Rest,
}

/// What does not grow with the log.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    /// The appliance's first entries, which come before the authorities that its certificate leads to.
    pub unled: Vec<Unled>,
    /// Index of the entry that ended the log and names its successor.
    pub ended: Option<u64>,
    /// The logs before this one, newest first.
    pub before: Vec<Ended>,
    /// The newest time that any issuer claims (unix ms).
    pub issued_ms: u64,
    /// The newest time that somebody of the anchor has stamped; of genesis, before there is one (unix ms); 0 without entries.
    pub timestamp_ms: u64,
}

/// A log before this one, as genesis declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Its id, in hex.
    pub log: String,
    /// How many entries it had in the end.
    pub size: u64,
    /// The root over them, in hex.
    pub root: String,
}

impl Rest {
    /// How many logs ago a statement was made: none for this one's, and for what is of no log that is known.
    pub fn age(&self, log: &Hash) -> usize {
        let log = log.to_string();
        self.before.iter().position(|before| before.log == log).map_or(0, |position| position + 1)
    }

    /// The log before this one that a statement names.
    pub fn ended(&self, log: &Hash) -> Option<&Ended> {
        self.age(log).checked_sub(1).map(|position| &self.before[position])
    }
}

/// The end of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Seq of the next statement.
    pub next_seq: u64,
    /// Leaf hash of the last one, in hex.
    pub leaf: Box<str>,
    /// Size of the newest head that its issuer has observed, of the log that is meant by `age`.
    pub observed: u64,
    /// How many logs ago the newest of its statements was made.
    pub age: usize,
    /// When the last one was issued (unix ms).
    pub issued_ms: u64,
    /// Nothing may follow.
    pub closed: bool,
    /// Number of the set of recipients that a camera's epoch obeys; 0 for none.
    #[serde(default)]
    pub obeyed: u64,
}

/// A certificate that an authority took back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// What it signed from then on is not to be believed (unix ms).
    pub since_ms: u64,
}

/// An entry of the log's founder whose path could not be judged yet, since no authority was on the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unled {
    /// Which.
    pub index: u64,
    /// When it was issued (unix ms).
    pub issued_ms: u64,
}

macro_rules! each_map {
    ($memory:expr, $do:ident $(, $argument:expr)*) => {
        [
            $do(&mut $memory.streams, "stream" $(, $argument)*),
            $do(&mut $memory.certificates.introduced, "certificate" $(, $argument)*),
            $do(&mut $memory.certificates.issuers, "issuer" $(, $argument)*),
            $do(&mut $memory.revoked, "revoked" $(, $argument)*),
            $do(&mut $memory.seconds, "second" $(, $argument)*),
            $do(&mut $memory.sets, "set" $(, $argument)*),
            $do(&mut $memory.open_sets, "open-sets" $(, $argument)*),
            $do(&mut $memory.in_force, "in-force" $(, $argument)*),
            $do(&mut $memory.recipients, "recipients" $(, $argument)*),
            $do(&mut $memory.grants, "grant" $(, $argument)*),
            $do(&mut $memory.fetches, "fetch" $(, $argument)*),
            $do(&mut $memory.stamps, "stamp" $(, $argument)*),
        ]
    };
}

impl Memory {
    /// The lines of what was changed since the last time, and how many; with `all`, of everything.
    pub fn lines(&mut self, all: bool) -> (String, u64) {
        fn write<V: Serialize + DeserializeOwned>(kept: &mut Kept<V>, name: &str, all: bool, to: &mut String) -> u64 {
            kept.write(name, all, to)
        }
        let mut text = String::new();
        let count = each_map!(self, write, all, &mut text).iter().sum();
        (text, count)
    }

    /// Takes back a line.
    pub fn read(&mut self, line: &str) -> Result<(), String> {
        fn read<V: Serialize + DeserializeOwned>(kept: &mut Kept<V>, name: &str, line: &str) -> Result<bool, String> {
            // A line begins with the name of its map.
            let is_its = line.strip_prefix("[\"").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('"'));
            if is_its { kept.read(line).map(|()| true) } else { Ok(false) }
        }
        let read = each_map!(self, read, line);
        let mut taken = false;
        for read in read {
            taken |= read?;
        }
        if taken { Ok(()) } else { Err("a line is of no kind that is known".to_owned()) }
    }

    /// How many lines all of it takes.
    pub fn len(&mut self) -> u64 {
        fn len<V>(kept: &mut Kept<V>, _: &str) -> u64 {
            kept.len() as u64
        }
        each_map!(self, len).iter().sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_written_and_all_of_it_comes_back() {
        let mut memory = Memory::default();
        let end = |next_seq: u64| End { next_seq, leaf: "aa".into(), observed: 0, age: 0, issued_ms: 0, closed: false, obeyed: 0 };
        (0..1000).for_each(|number| memory.streams.insert(&format!("user/{number}"), end(1)));
        memory.in_force.insert("camera/1", "leaf".to_owned());
        let (mut text, count) = memory.lines(false);
        assert_eq!(count, 1001);
        assert_eq!(memory.lines(false), (String::new(), 0), "what was not changed was written again");
        memory.streams.change("user/7").unwrap().next_seq = 8;
        memory.streams.remove("user/8");
        assert!(memory.streams.change("user/8").is_none());
        memory.streams.remove("user/none");
        let (more, count) = memory.lines(false);
        assert_eq!(count, 2);
        text.push_str(&more);
        let mut again = Memory::default();
        text.lines().for_each(|line| again.read(line).unwrap());
        assert_eq!(again.streams.get("user/7").unwrap().next_seq, 8);
        assert_eq!(again.len(), 1000);
        assert_eq!((again.streams.get("user/8"), again.streams.len()), (None, 999));
        assert_eq!(again.lines(true).0, memory.lines(true).0);
        assert!(again.read("[\"streams\",\"x\",null]").is_err() && again.read("[\"stream\",\"x\",{}]").is_err());
    }
}
