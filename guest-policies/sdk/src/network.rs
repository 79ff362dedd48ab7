//! Networks of client addresses.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// All addresses that begin with the same bits, such as `192.0.2.0/24`, `2001:db8::/32` or one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// As IPv6, so that both kinds are compared alike.
    first: u128,
    kept: u128,
}

impl Network {
    /// Whether this address, as [`Request::client_address`](crate::Request::client_address) tells it, is one of them.
    pub fn contains(&self, address: &str) -> bool {
        address.parse().is_ok_and(|address: IpAddr| bits(address) & self.kept == self.first)
    }

    /// How many addresses are alike: the longer, the fewer. A network within another one is longer.
    pub fn length(&self) -> u32 {
        self.kept.count_ones()
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("\"{text}\" is no network such as 192.0.2.0/24 or 2001:db8::/32: {why}");
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| wrong("it does not begin with an address"))?;
        let (most, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length = match length {
            None => most,
            Some(length) => {
                length.parse().ok().filter(|length| *length <= most).ok_or_else(|| wrong("wrong length"))?
            }
        };
        let kept = u128::MAX.checked_shl(128 - before - length).unwrap_or(0);
        let first = bits(address);
        if first & kept != first {
            return Err(wrong("the address has bits beyond the length"));
        }
        Ok(Network { first, kept })
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
            assert!(network.contains(inside) && !network.contains(outside), "{network:?}");
        }
        assert!(
            "192.0.2.0/24".parse::<Network>().unwrap().length() > "192.0.0.0/16".parse::<Network>().unwrap().length()
        );
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
