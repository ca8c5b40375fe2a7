//! Names of streams: `<kind>/<id>/…/<generation>`.
//!
//! It does not know which kinds there are, nor who may write a stream: that is judged with the certificate.

/// A name is at most this long, so that it fits a file name, a URL and a 16-bit length with room to spare.
pub const STREAM_NAME_BYTES_MAX: usize = 128;
/// Kind, id and generation are the least that a name has.
pub const STREAM_COMPONENTS_MIN: usize = 3;
/// More components than this serve nobody.
pub const STREAM_COMPONENTS_MAX: usize = 6;

/// The name of a stream: `[a-z0-9/-]`, `T` and `Z`, 3 to 6 components, at most 128 bytes, no empty component.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(String);

/// Not a stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stream name (like camera/102/main/20261120T115958Z)")]
pub struct StreamNameError;

impl StreamName {
    /// Parses strictly.
    pub fn parse(name: &str) -> Result<Self, StreamNameError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'/' | b'T' | b'Z');
        if name.len() > STREAM_NAME_BYTES_MAX || !name.bytes().all(allowed) {
            return Err(StreamNameError);
        }
        let components = name.split('/').count();
        if !(STREAM_COMPONENTS_MIN..=STREAM_COMPONENTS_MAX).contains(&components) || name.split('/').any(str::is_empty) {
            return Err(StreamNameError);
        }
        Ok(Self(name.to_owned()))
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// `camera`: what kind of party writes it.
    pub fn kind(&self) -> &str {
        self.0.split('/').next().expect("a name has at least three components")
    }
    /// `camera/102`: whose it is.
    pub fn owner(&self) -> &str {
        let (end, _) = self.0.match_indices('/').nth(1).expect("a name has at least three components");
        &self.0[..end]
    }
    /// `camera/102/main`: the name without its generation.
    pub fn series(&self) -> &str {
        self.0.rsplit_once('/').expect("a name has at least three components").0
    }
    /// `20261120T115958Z`: the last component.
    pub fn generation(&self) -> &str {
        self.0.rsplit_once('/').expect("a name has at least three components").1
    }
}

impl std::fmt::Display for StreamName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_name() {
        let name = StreamName::parse("camera/102/main/20261120T115958Z").unwrap();
        assert_eq!(name.kind(), "camera");
        assert_eq!(name.owner(), "camera/102");
        assert_eq!(name.series(), "camera/102/main");
        assert_eq!(name.generation(), "20261120T115958Z");

        let shortest = StreamName::parse("user/a1/1").unwrap();
        assert_eq!((shortest.owner(), shortest.series(), shortest.generation()), ("user/a1", "user/a1", "1"));
    }

    #[test]
    fn hostile_names_are_refused() {
        let too_long = format!("camera/102/{}", "a".repeat(118));
        let cases = [
            ("empty", ""),
            ("two_components", "camera/102"),
            ("seven_components", "a/b/c/d/e/f/g"),
            ("empty_component", "camera//main/1"),
            ("leading_slash", "/camera/102/1"),
            ("trailing_slash", "camera/102/main/"),
            ("parent_folder", "camera/../main/1"),
            ("upper_case", "Camera/102/main/1"),
            ("space", "camera/102/ma in/1"),
            ("nul", "camera/102/ma\0n/1"),
            ("percent", "camera/102/%2e/1"),
            ("not_ascii", "camera/102/mäin/1"),
            ("underscore", "camera/102/a_b/1"),
            ("too_long", too_long.as_str()),
        ];
        for (defect, name) in cases {
            assert_eq!(StreamName::parse(name), Err(StreamNameError), "accepted a name with defect {defect}");
        }
        assert!(StreamName::parse(&too_long[..STREAM_NAME_BYTES_MAX]).is_ok(), "128 bytes are allowed");
        assert!(StreamName::parse("a/b/c/d/e/f").is_ok(), "six components are allowed");
    }
}
