//! Networks of client addresses.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// All addresses that begin with the same bits, such as `192.0.2.0/24`, `2001:db8::/32` or one
/// address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// As IPv6, so that both kinds are compared alike.
    first: u128,
    kept: u128,
}

impl Network {
    /// Whether this address, as [`Request::client_address`](crate::Request::client_address) tells
    /// it, is one of them.
    pub fn contains(&self, address: &str) -> bool {
        address.parse().is_ok_and(|address| self.holds(address))
    }

    /// The same for an address that is parsed already, as it should be if there are several
    /// networks.
    #[inline]
    pub fn holds(&self, address: IpAddr) -> bool {
        bits(address) & self.kept == self.first
    }

    /// How many addresses are alike: the longer, the fewer. A network within another one is longer.
    pub fn length(&self) -> u32 {
        self.kept.count_ones()
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("\"{text}\" is no network such as 192.0.2.0/24 or 2001:db8::/32: {why}")
        };
        let (address, length) = text
            .split_once('/')
            .map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address
            .parse()
            .map_err(|_| wrong("it does not begin with an address"))?;
        let (most, before) = if address.is_ipv4() {
            (32, 96)
        } else {
            (128, 0)
        };
        let length = match length {
            None => most,
            Some(length) => length
                .parse()
                .ok()
                .filter(|length| *length <= most)
                .ok_or_else(|| wrong("wrong length"))?,
        };
        let kept = u128::MAX.checked_shl(128 - before - length).unwrap_or(0);
        let first = bits(address);
        if first & kept != first {
            return Err(wrong("the address has bits beyond the length"));
        }
        Ok(Network { first, kept })
    }
}

/// What is known of networks, for any number of them: one look for each length that occurs, however
/// many have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks<T> {
    entries: BTreeMap<Network, T>,
    /// What networks of each length keep of an address, the longest first.
    kept: Vec<u128>,
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Networks {
            entries: BTreeMap::new(),
            kept: Vec::new(),
        }
    }
}

impl<T> Networks<T> {
    /// Knows this of a network. Tells what was known before, if this very network was there.
    pub fn insert(&mut self, network: Network, value: T) -> Option<T> {
        if let Err(place) = self.kept.binary_search_by(|kept| network.kept.cmp(kept)) {
            self.kept.insert(place, network.kept);
        }
        self.entries.insert(network, value)
    }

    /// What is known of the longest network that holds this address.
    pub fn longest(&self, address: IpAddr) -> Option<&T> {
        let bits = bits(address);
        self.kept.iter().find_map(|&kept| {
            self.entries.get(&Network {
                first: bits & kept,
                kept,
            })
        })
    }

    /// What is known of each.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_addresses() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.0/24", "::ffff:192.0.2.1", "2001:db8::1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "198.51.100.1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("::/0", "192.0.2.1", "no address"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(
                network.contains(inside) && !network.contains(outside),
                "{network:?}"
            );
        }
        assert!(
            "192.0.2.0/24".parse::<Network>().unwrap().length()
                > "192.0.0.0/16".parse::<Network>().unwrap().length()
        );
    }

    #[test]
    fn the_longest_network_is_found_among_many() {
        let mut networks = Networks::default();
        for n in 0..=255 {
            assert_eq!(
                networks.insert(format!("10.{n}.0.0/16").parse().unwrap(), n),
                None
            );
        }
        for (network, value) in [
            ("10.7.8.0/24", 1000),
            ("0.0.0.0/0", 1001),
            ("2001:db8::/32", 1002),
            ("10.7.8.9", 1003),
        ] {
            networks.insert(network.parse().unwrap(), value);
        }
        for (address, expected) in [
            ("10.9.1.1", Some(9)),
            ("10.7.7.1", Some(7)),
            ("10.7.8.1", Some(1000)),
            ("::ffff:10.7.8.1", Some(1000)),
            ("10.7.8.9", Some(1003)),
            ("192.0.2.1", Some(1001)),
            ("2001:db8:1::", Some(1002)),
            ("2001:db9::", None),
        ] {
            assert_eq!(
                networks.longest(address.parse().unwrap()),
                expected.as_ref(),
                "{address}"
            );
        }
        assert_eq!(
            networks.insert("::ffff:10.7.8.0/120".parse().unwrap(), 1),
            Some(1000),
            "the same network"
        );
        assert_eq!(networks.values().count(), 260);
    }

    #[test]
    fn what_is_no_network_is_told() {
        for (text, why) in [
            ("", "begin with an address"),
            ("192.0.2.0/33", "wrong length"),
            ("192.0.2.0/-1", "wrong length"),
            ("192.0.2.1/24", "bits beyond"),
            ("2001:db8::/129", "wrong length"),
            ("example.com/8", "begin with an address"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
