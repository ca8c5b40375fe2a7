//! Addresses that are one party's, as far as an address tells.
//!
//! It knows no socket.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the 64 bits of an IPv6 address that a site's link has; or the 48 bits that a site may have been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Of a link (RFC 4291 section 2.5.4).
const LINK_BITS: u8 = 64;
/// Of a site: what one party is given at most (RFC 6177).
const SITE_BITS: u8 = 48;

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self { address: address.into(), bits: 32 },
            IpAddr::V6(address) => Self { address: masked(address, LINK_BITS), bits: LINK_BITS },
        }
    }

    /// What may be the same party's beside it: of IPv6 the first 48 bits, of IPv4 nothing.
    pub fn site(self) -> Self {
        match self.address {
            IpAddr::V4(_) => self,
            IpAddr::V6(address) => Self { address: masked(address, SITE_BITS), bits: SITE_BITS },
        }
    }

    /// True for the 48 bits of several networks.
    pub fn is_site(self) -> bool {
        self.bits == SITE_BITS
    }

    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let address: IpAddr = text.split_once('/')?.0.parse().ok()?;
        [Self::of(address), Self::of(address).site()].into_iter().find(|network| network.to_string() == text)
    }
}

fn masked(address: Ipv6Addr, bits: u8) -> IpAddr {
    let unknown = 128 - u32::from(bits);
    Ipv6Addr::from_bits(address.to_bits() >> unknown << unknown).into()
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn a_network_is_what_one_party_has() {
        assert_eq!(network("192.0.2.7").to_string(), "192.0.2.7/32");
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"), "one address has two networks");
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::1"), "a link has as many networks as it likes");
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("2001:db8:1:2:3::4").to_string(), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2::1").site(), network("2001:db8:1:3::1").site(), "a site has as many networks as it likes");
        assert_ne!(network("2001:db8:1::1").site(), network("2001:db8:2::1").site());
        assert_eq!(network("2001:db8:1:2::1").site().to_string(), "2001:db8:1::/48");
        assert_eq!(network("192.0.2.7").site(), network("192.0.2.7"));
    }

    #[test]
    fn a_network_has_one_spelling() {
        for text in ["192.0.2.7/32", "2001:db8:1:2::/64", "2001:db8:1::/48", "::/64", "::/48"] {
            assert_eq!(Network::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["192.0.2.7", "192.0.2.7/24", "192.0.2.7/032", "2001:db8:1:2::1/64", "2001:db8:1:2::/48", "2001:DB8:1:2::/64", "camera/1", ""]
        {
            assert_eq!(Network::parse(text), None, "{text:?}");
        }
    }
}
