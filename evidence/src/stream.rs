//! Names of streams: `<kind>/<id>/…/<generation>`.

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
        todo!()
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// `camera/102`: whose it is.
    pub fn owner(&self) -> &str {
        todo!()
    }
    /// `camera/102/main`: the name without its generation.
    pub fn series(&self) -> &str {
        todo!()
    }
    /// `20261120T115958Z`: the last component.
    pub fn generation(&self) -> &str {
        todo!()
    }
}
