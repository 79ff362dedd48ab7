//! Whose bucket it is.

use std::net::{IpAddr, Ipv6Addr};

/// A value of a field that is longer is known by its hash.
const LONGEST: usize = 128;

/// The key of a client: its address, of IPv6 only the first `prefix_v6` bits.
pub fn of_client(address: &str, prefix_v6: u32) -> String {
    match address
        .parse::<IpAddr>()
        .map(|address| address.to_canonical())
    {
        Ok(IpAddr::V6(address)) => {
            let kept = u128::MAX.checked_shl(128 - prefix_v6).unwrap_or(0);
            format!("c {}", Ipv6Addr::from_bits(address.to_bits() & kept))
        }
        Ok(IpAddr::V4(address)) => format!("c {address}"),
        Err(_) => format!("c {address}"),
    }
}

/// The key of a field's value.
pub fn of_value(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if value.len() <= LONGEST => format!("h {text}"),
        // Two hashes with different starts, so that two values that share a bucket are not found by
        // chance.
        _ => format!("x {:016x}{:016x}", hash(1, value), hash(2, value)),
    }
}

/// FNV-1a, then mixed.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ (seed << 32);
    let mut hash = bytes.iter().fold(start, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_one_network_share_a_bucket() {
        assert_eq!(of_client("192.0.2.1", 64), "c 192.0.2.1");
        assert_eq!(of_client("::ffff:192.0.2.1", 64), "c 192.0.2.1");
        assert_eq!(of_client("2001:db8:1:2:3:4:5:6", 64), "c 2001:db8:1:2::");
        assert_eq!(
            of_client("2001:db8:1:2:ffff::1", 64),
            of_client("2001:db8:1:2:3:4:5:6", 64)
        );
        assert_eq!(
            of_client("2001:db8:1:2:3:4:5:6", 128),
            "c 2001:db8:1:2:3:4:5:6"
        );
        assert_eq!(of_client("2001:db8:1:2:3:4:5:6", 48), "c 2001:db8:1::");
        assert_eq!(of_client("2001:db8::1", 0), "c ::");
    }

    #[test]
    fn values_are_short_and_told_apart() {
        assert_eq!(of_value(b"key-1"), "h key-1");
        let long = [
            vec![b'a'; 5000],
            vec![b'b'; 5000],
            vec![b'a'; 5001],
            vec![0xff],
            vec![0xfe],
        ];
        for one in &long {
            assert!(of_value(one).len() <= 130);
            assert_eq!(
                long.iter()
                    .filter(|other| of_value(other) == of_value(one))
                    .count(),
                1
            );
        }
    }
}
