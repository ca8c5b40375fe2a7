//! The public areas of keys (TPMT_PUBLIC), their attributes, and the names that are computed from them (part 1, section 16).
//!
//! It judges no attribute: what a key must be like depends on what it is for, and `judge` knows that.

use super::wire::{ALGORITHM_ECDSA, ALGORITHM_NULL, DIGEST_BYTES_MAX, FormatError, HashAlgorithm, Reader};

/// What a TPM would do with a key, and with no other than this one (TPMA_OBJECT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes(u32);

impl Attributes {
    /// The key can not be duplicated, nor any of its ancestors.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// A saved context of it does not load after a restart.
    pub const ST_CLEAR: Self = Self(1 << 2);
    /// The key can not be moved under another parent.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM drew all of the private part.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// A password or HMAC suffices for use.
    pub const USER_WITH_AUTH: Self = Self(1 << 6);
    /// Administration needs the policy.
    pub const ADMIN_WITH_POLICY: Self = Self(1 << 7);
    /// Wrong passwords do not lock it.
    pub const NO_DA: Self = Self(1 << 10);
    /// Duplication needs an inner wrapper.
    pub const ENCRYPTED_DUPLICATION: Self = Self(1 << 11);
    /// A signing key that signs only what the TPM made or hashed; a decryption key that opens only what a TPM wrapped.
    pub const RESTRICTED: Self = Self(1 << 16);
    /// The private part may decrypt.
    pub const DECRYPT: Self = Self(1 << 17);
    /// The private part may sign.
    pub const SIGN: Self = Self(1 << 18);

    /// True if every attribute of `others` is set.
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// As on the wire.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// A bit that is not in the list may weaken the others, so none is accepted.
    fn from_bits(bits: u32) -> Result<Self, FormatError> {
        let known = [
            Self::FIXED_TPM,
            Self::ST_CLEAR,
            Self::FIXED_PARENT,
            Self::SENSITIVE_DATA_ORIGIN,
            Self::USER_WITH_AUTH,
            Self::ADMIN_WITH_POLICY,
            Self::NO_DA,
            Self::ENCRYPTED_DUPLICATION,
            Self::RESTRICTED,
            Self::DECRYPT,
            Self::SIGN,
        ];
        let unknown = known.iter().fold(bits, |left, attribute| left & !attribute.0);
        if unknown == 0 { Ok(Self(bits)) } else { Err(FormatError::Unsupported { field: "objectAttributes", value: unknown }) }
    }
}

/// How a TPM names a key: the hash of its public area, so the name holds the attributes and the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// From the content of a TPM2B_NAME. Names of hierarchies and of nothing (four bytes, none) are not names of keys.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let algorithm = reader.hash("name algorithm")?;
        reader.take(algorithm.digest_bytes(), "name digest")?;
        reader.finish()?;
        Ok(Self(bytes.to_vec()))
    }

    /// The algorithm's identifier and the digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn of(algorithm: HashAlgorithm, hashed: &[u8]) -> Self {
        Self([&algorithm.id().to_be_bytes(), algorithm.digest(hashed).as_slice()].concat())
    }
}

/// The curve of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// TPM_ECC_NIST_P256.
    P256,
    /// TPM_ECC_NIST_P384.
    P384,
}

impl Curve {
    /// The length of a coordinate.
    pub fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// The kinds of keys that are understood, each with what belongs to its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyParameters {
    /// RSA without a scheme of its own: an endorsement key or a storage key.
    Rsa {
        /// 2048, 3072 or 4096 bits, big-endian, its top bit set.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: u32,
    },
    /// On an elliptic curve.
    Ecc {
        /// Which.
        curve: Curve,
        /// The hash of its ECDSA scheme, if it is bound to one.
        ecdsa: Option<HashAlgorithm>,
        /// The uncompressed SEC 1 point, coordinates padded to the curve's length; not checked to be on the curve.
        point: Vec<u8>,
    },
}

/// The public area of a key, as its TPM wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicArea {
    bytes: Vec<u8>,
    name_algorithm: HashAlgorithm,
    attributes: Attributes,
    storage_key_bits: Option<u16>,
    parameters: KeyParameters,
}

impl PublicArea {
    /// Parses a TPMT_PUBLIC: exactly its bytes. Templates, which have no key yet, are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u16("type")?;
        let name_algorithm = reader.hash("nameAlg")?;
        let attributes = Attributes::from_bits(reader.u32("objectAttributes")?)?;
        // Who may use a key is the affair of its device; the policy is bound by the name all the same.
        let policy = reader.sized("authPolicy", 0..=DIGEST_BYTES_MAX)?;
        if !policy.is_empty() && policy.len() != name_algorithm.digest_bytes() {
            return Err(FormatError::Length { field: "authPolicy", length: policy.len() });
        }
        let storage_key_bits = read_symmetric(&mut reader)?;
        let parameters = match kind {
            TYPE_RSA => read_rsa(&mut reader)?,
            TYPE_ECC => read_ecc(&mut reader)?,
            other => return Err(FormatError::Unsupported { field: "type", value: other.into() }),
        };
        reader.finish()?;
        Ok(Self { bytes: bytes.to_vec(), name_algorithm, attributes, storage_key_bits, parameters })
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash that its name is made with.
    pub fn name_algorithm(&self) -> HashAlgorithm {
        self.name_algorithm
    }

    /// What the TPM does with it.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// The length of the AES key (CFB) with which a storage or endorsement key protects what is under it.
    pub fn storage_key_bits(&self) -> Option<u16> {
        self.storage_key_bits
    }

    /// The key itself.
    pub fn parameters(&self) -> &KeyParameters {
        &self.parameters
    }

    /// Its name.
    pub fn name(&self) -> Name {
        Name::of(self.name_algorithm, &self.bytes)
    }

    /// Its qualified name as a primary key of the endorsement hierarchy, which names the place as well as the key.
    pub fn qualified_name_in_endorsement(&self) -> Name {
        Name::of(self.name_algorithm, &[&HIERARCHY_ENDORSEMENT.to_be_bytes(), self.name().as_bytes()].concat())
    }

    /// Its qualified name under the parent whose qualified name is given.
    pub fn qualified_name_under(&self, parent: &Name) -> Name {
        Name::of(self.name_algorithm, &[parent.as_bytes(), self.name().as_bytes()].concat())
    }
}

/// TPMT_SYM_DEF_OBJECT: none, or AES in CFB, the only mode that storage keys may have.
fn read_symmetric(reader: &mut Reader<'_>) -> Result<Option<u16>, FormatError> {
    match reader.u16("symmetric.algorithm")? {
        ALGORITHM_NULL => Ok(None),
        ALGORITHM_AES => {
            let bits = reader.u16("symmetric.keyBits")?;
            if !matches!(bits, 128 | 192 | 256) {
                return Err(FormatError::Unsupported { field: "symmetric.keyBits", value: bits.into() });
            }
            reader.expect_u16(ALGORITHM_CFB, "symmetric.mode")?;
            Ok(Some(bits))
        }
        other => Err(FormatError::Unsupported { field: "symmetric.algorithm", value: other.into() }),
    }
}

fn read_rsa(reader: &mut Reader<'_>) -> Result<KeyParameters, FormatError> {
    reader.expect_u16(ALGORITHM_NULL, "scheme")?;
    let bits = reader.u16("keyBits")?;
    if !matches!(bits, 2048 | 3072 | 4096) {
        return Err(FormatError::Unsupported { field: "keyBits", value: bits.into() });
    }
    let exponent = match reader.u32("exponent")? {
        0 => RSA_EXPONENT_DEFAULT,
        other => other,
    };
    let bytes = usize::from(bits / 8);
    let modulus = reader.sized("unique", bytes..=bytes)?;
    if modulus[0] < 0x80 {
        return Err(FormatError::Unsupported { field: "unique", value: modulus[0].into() });
    }
    Ok(KeyParameters::Rsa { modulus: modulus.to_vec(), exponent })
}

fn read_ecc(reader: &mut Reader<'_>) -> Result<KeyParameters, FormatError> {
    let ecdsa = match reader.u16("scheme")? {
        ALGORITHM_NULL => None,
        ALGORITHM_ECDSA => Some(reader.hash("scheme.hashAlg")?),
        other => return Err(FormatError::Unsupported { field: "scheme", value: other.into() }),
    };
    let curve = match reader.u16("curveID")? {
        CURVE_P256 => Curve::P256,
        CURVE_P384 => Curve::P384,
        other => return Err(FormatError::Unsupported { field: "curveID", value: other.into() }),
    };
    reader.expect_u16(ALGORITHM_NULL, "kdf")?;
    let mut point = vec![SEC1_UNCOMPRESSED];
    for field in ["unique.x", "unique.y"] {
        // TPMs differ over leading zeros, and the name is over what this one wrote.
        let coordinate = reader.sized(field, 1..=curve.coordinate_bytes())?;
        point.resize(point.len() + curve.coordinate_bytes() - coordinate.len(), 0);
        point.extend_from_slice(coordinate);
    }
    Ok(KeyParameters::Ecc { curve, ecdsa, point })
}

/// How an uncompressed point begins in SEC 1.
pub(super) const SEC1_UNCOMPRESSED: u8 = 0x04;
/// TPM_RH_ENDORSEMENT, which is also the name of that hierarchy.
const HIERARCHY_ENDORSEMENT: u32 = 0x4000_000b;
/// TPM_ALG_RSA.
const TYPE_RSA: u16 = 0x0001;
/// TPM_ALG_ECC.
const TYPE_ECC: u16 = 0x0023;
/// TPM_ALG_AES.
const ALGORITHM_AES: u16 = 0x0006;
/// TPM_ALG_CFB.
const ALGORITHM_CFB: u16 = 0x0043;
/// TPM_ECC_NIST_P256.
const CURVE_P256: u16 = 0x0003;
/// TPM_ECC_NIST_P384.
const CURVE_P384: u16 = 0x0004;
/// What an exponent of zero stands for (part 2, TPMS_RSA_PARMS).
const RSA_EXPONENT_DEFAULT: u32 = 65537;
