//! Strict JSON: refuses whatever two parsers could read differently, so that what is signed has one meaning.
//!
//! It knows nothing of what members mean; `Object` reads them by name and form, and refuses those that nobody asked for.

use exhibit_pki::{Fingerprint, Timestamp};
use exhibit_tlog::Hash;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::StreamName;

/// Arrays and objects nest at most this deep, the outermost included. Our own formats need five.
pub(crate) const DEPTH_MAX: usize = 8;
/// Integers stay below 2^53: beyond that, JavaScript and other readers round.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;
/// A member's name is quoted in an error up to this many characters: it is a stranger's text.
const QUOTED_CHARACTERS_MAX: usize = 40;

/// What is wrong, for people; it quotes no more than a member's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonError(pub(crate) String);

/// Parses one JSON value: UTF-8, no byte order mark, no lone surrogate, no duplicate member at any depth, no number but an integer in
/// 0..2^53, nesting at most `DEPTH_MAX`. The caller bounds the length.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError("not UTF-8".to_owned()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth_left: DEPTH_MAX }.deserialize(&mut deserializer).map_err(|error| JsonError(error.to_string()))?;
    deserializer.end().map_err(|error| JsonError(error.to_string()))?;
    Ok(value)
}

/// Builds values and refuses what serde_json would let pass. (serde_json itself refuses lone surrogates and the byte order mark.)
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        self.depth_left.checked_sub(1).ok_or_else(|| E::custom(format!("nested deeper than {DEPTH_MAX}")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value without numbers other than integers in 0..2^53")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > INTEGER_MAX {
            return Err(E::custom("an integer is not below 2^53"));
        }
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Value, E> {
        Err(E::custom("a number is negative"))
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a number is not an integer in 0..2^53"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let depth_left = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Strict { depth_left })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let depth_left = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("member {} stands twice", quoted(&name))));
            }
            let value = access.next_value_seed(Strict { depth_left })?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

/// A stranger's text, safe to print and short.
pub(crate) fn quoted(text: &str) -> String {
    let escaped: String = text.chars().take(QUOTED_CHARACTERS_MAX).flat_map(char::escape_default).collect();
    format!("\"{escaped}\"")
}

/// Reads exactly `2 * N` lower-case hex digits.
pub(crate) fn hex_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower_case = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (lower_case && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// An object being read: members are taken by name, and `finish` refuses those that are left.
pub(crate) struct Object {
    path: String,
    members: Map<String, Value>,
}

impl Object {
    /// `path` is how errors name the object; empty for the outermost.
    pub(crate) fn new(value: Value, path: &str) -> Result<Self, JsonError> {
        match value {
            Value::Object(members) => Ok(Self { path: path.to_owned(), members }),
            _ if path.is_empty() => Err(JsonError("the outermost value is not an object".to_owned())),
            _ => Err(JsonError(format!("{path} is not an object"))),
        }
    }
    /// How errors name a member of this object.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
    /// An error about a member.
    pub(crate) fn error(&self, name: &str, what: &str) -> JsonError {
        JsonError(format!("{} {what}", self.path_of(name)))
    }
    /// Whether a member is there that may be left out.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }
    /// A member of any form.
    pub(crate) fn take(&mut self, name: &str) -> Result<Value, JsonError> {
        self.members.remove(name).ok_or_else(|| self.error(name, "is missing"))
    }
    /// A member that must be a string.
    pub(crate) fn string(&mut self, name: &str) -> Result<String, JsonError> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(self.error(name, "is not a string")),
        }
    }
    /// A member that must be a string of `1..=bytes_max` bytes, each of which `allowed` accepts.
    pub(crate) fn text(&mut self, name: &str, bytes_max: usize, allowed: fn(u8) -> bool) -> Result<String, JsonError> {
        let text = self.string(name)?;
        if text.is_empty() || text.len() > bytes_max || !text.bytes().all(allowed) {
            return Err(self.error(name, "is empty, too long or has characters that are not allowed"));
        }
        Ok(text)
    }
    /// The same, and it may be empty.
    pub(crate) fn text_or_empty(&mut self, name: &str, bytes_max: usize, allowed: fn(u8) -> bool) -> Result<String, JsonError> {
        let text = self.string(name)?;
        if text.len() > bytes_max || !text.bytes().all(allowed) {
            return Err(self.error(name, "is too long or has characters that are not allowed"));
        }
        Ok(text)
    }
    /// A member that must be an integer in `min..=max`.
    pub(crate) fn integer(&mut self, name: &str, min: u64, max: u64) -> Result<u64, JsonError> {
        let integer = self.take(name)?.as_u64().ok_or_else(|| self.error(name, "is not an integer"))?;
        if !(min..=max).contains(&integer) {
            return Err(self.error(name, &format!("is not in {min}..={max}")));
        }
        Ok(integer)
    }
    /// A member that must be true or false.
    pub(crate) fn boolean(&mut self, name: &str) -> Result<bool, JsonError> {
        self.take(name)?.as_bool().ok_or_else(|| self.error(name, "is not true or false"))
    }
    /// A member that must be `N` bytes in lower-case hex.
    pub(crate) fn bytes<const N: usize>(&mut self, name: &str) -> Result<[u8; N], JsonError> {
        let text = self.string(name)?;
        hex_bytes(&text).ok_or_else(|| self.error(name, &format!("is not {} lower-case hex digits", 2 * N)))
    }
    /// A member that must be a hash.
    pub(crate) fn hash(&mut self, name: &str) -> Result<Hash, JsonError> {
        self.bytes(name).map(Hash)
    }
    /// A member that must be a hash or null.
    pub(crate) fn optional_hash(&mut self, name: &str) -> Result<Option<Hash>, JsonError> {
        if self.take_null(name) { Ok(None) } else { self.hash(name).map(Some) }
    }
    /// A member that must be a moment.
    pub(crate) fn time(&mut self, name: &str) -> Result<Timestamp, JsonError> {
        let text = self.string(name)?;
        Timestamp::parse(&text).map_err(|_| self.error(name, "is not a time like 2026-11-20T12:00:02.000Z"))
    }
    /// A member that must be a moment or null.
    pub(crate) fn optional_time(&mut self, name: &str) -> Result<Option<Timestamp>, JsonError> {
        if self.take_null(name) { Ok(None) } else { self.time(name).map(Some) }
    }
    /// A member that must be the name of a stream.
    pub(crate) fn stream(&mut self, name: &str) -> Result<StreamName, JsonError> {
        let text = self.string(name)?;
        StreamName::parse(&text).map_err(|error| self.error(name, &format!("is {error}")))
    }
    /// A member that must be one of a closed list of words.
    pub(crate) fn one_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T, JsonError> {
        let text = self.string(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| self.error(name, "is none of the words that are defined"))
    }
    /// A member that must be an object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Object, JsonError> {
        let value = self.take(name)?;
        Object::new(value, &self.path_of(name))
    }
    /// A member that must be an object or null.
    pub(crate) fn optional_object(&mut self, name: &str) -> Result<Option<Object>, JsonError> {
        if self.take_null(name) { Ok(None) } else { self.object(name).map(Some) }
    }
    /// A member that must be an array of `min..=max` items, each of which `read` understands. `read` gets the item as the only member,
    /// named by its position, of an object of its own, so that errors name it.
    pub(crate) fn array<T>(
        &mut self,
        name: &str,
        min: usize,
        max: usize,
        mut read: impl FnMut(&mut Object, &str) -> Result<T, JsonError>,
    ) -> Result<Vec<T>, JsonError> {
        let Value::Array(items) = self.take(name)? else { return Err(self.error(name, "is not an array")) };
        if !(min..=max).contains(&items.len()) {
            return Err(self.error(name, &format!("does not have {min} to {max} items")));
        }
        let mut found = Vec::with_capacity(items.len());
        for (position, item) in items.into_iter().enumerate() {
            let position = position.to_string();
            let members = Map::from_iter([(position.clone(), item)]);
            found.push(read(&mut Object { path: self.path_of(name), members }, &position)?);
        }
        Ok(found)
    }
    /// An array of different fingerprints.
    pub(crate) fn fingerprints(&mut self, name: &str, max: usize) -> Result<Vec<Fingerprint>, JsonError> {
        let fingerprints = self.array(name, 1, max, |item, position| item.bytes::<32>(position))?;
        if (1..fingerprints.len()).any(|end| fingerprints[..end].contains(&fingerprints[end])) {
            return Err(self.error(name, "names one twice"));
        }
        Ok(fingerprints)
    }
    /// Refuses members that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), JsonError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.error(&quoted(name), "is unknown")),
        }
    }

    fn take_null(&mut self, name: &str) -> bool {
        let null = self.members.get(name).is_some_and(Value::is_null);
        if null {
            self.members.remove(name);
        }
        null
    }
}

/// Writes an object's members in the order in which they are given, without white space.
pub(crate) struct ObjectWriter(String);

impl ObjectWriter {
    /// An object without members.
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }
    /// A member whose value is JSON already. Names are ours and need no escapes.
    pub(crate) fn json(mut self, name: &str, json: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.extend(["\"", name, "\":", json]);
        self
    }
    /// A string.
    pub(crate) fn string(self, name: &str, text: &str) -> Self {
        self.json(name, &string(text))
    }
    /// An integer.
    pub(crate) fn integer(self, name: &str, integer: u64) -> Self {
        self.json(name, &integer.to_string())
    }
    /// True or false.
    pub(crate) fn boolean(self, name: &str, value: bool) -> Self {
        self.json(name, if value { "true" } else { "false" })
    }
    /// Bytes in hex.
    pub(crate) fn bytes(self, name: &str, bytes: &[u8]) -> Self {
        self.string(name, &hex::encode(bytes))
    }
    /// A hash in hex, or null.
    pub(crate) fn optional_hash(self, name: &str, hash: Option<&Hash>) -> Self {
        match hash {
            Some(hash) => self.bytes(name, &hash.0),
            None => self.json(name, "null"),
        }
    }
    /// A moment.
    pub(crate) fn time(self, name: &str, time: Timestamp) -> Self {
        self.string(name, &time.to_string())
    }
    /// A moment, or null.
    pub(crate) fn optional_time(self, name: &str, time: Option<Timestamp>) -> Self {
        match time {
            Some(time) => self.time(name, time),
            None => self.json(name, "null"),
        }
    }
    /// An array of JSON values.
    pub(crate) fn array(self, name: &str, items: impl IntoIterator<Item = String>) -> Self {
        let items: Vec<String> = items.into_iter().collect();
        self.json(name, &format!("[{}]", items.join(",")))
    }
    /// The JSON.
    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON string.
pub(crate) fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// A value of any form, members sorted by name: serde_json's own order depends on features that another crate may turn on.
pub(crate) fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            let members: Vec<String> = names.into_iter().map(|name| format!("{}:{}", string(name), sorted(&members[name]))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
