//! Bytes without a pattern that hashing, compressing or enciphering could profit from.

/// xorshift64 (Marsaglia 2003), from a seed that is not 0.
pub struct Noise(pub u64);

impl Noise {
    /// The next so many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend_from_slice(&self.0.to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
