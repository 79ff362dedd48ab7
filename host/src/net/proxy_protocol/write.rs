//! The header that a backend gets.

use std::net::{IpAddr, SocketAddr};

use super::v2;
use crate::config::ProxyHeader;
use crate::net::ConnectionInfo;

/// What a backend is told of the client's connection.
pub fn header(version: ProxyHeader, of: &ConnectionInfo) -> Vec<u8> {
    let addresses = (!of.is_without_address()).then(|| of_one_family(of.peer, of.local));
    match (version, addresses) {
        (ProxyHeader::V2, addresses) => v2::write(addresses),
        (ProxyHeader::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (ProxyHeader::V1, Some((source, destination))) => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            let ports = (source.port(), destination.port());
            format!("PROXY {family} {from} {to} {} {}\r\n", ports.0, ports.1).into_bytes()
        }
    }
}

/// A proxy in front may have announced addresses of two families, and a header has one.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    match source.is_ipv4() == destination.is_ipv4() {
        true => (source, destination),
        false => (mapped(source), mapped(destination)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::proxy_protocol::{Announced, parse};

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        for (source, destination) in [
            ("192.0.2.1:40000", "198.51.100.7:443"),
            ("[2001:db8::1]:40000", "[2001:db8::2]:443"),
            ("192.0.2.1:65535", "[2001:db8::2]:443"),
            ("[2001:db8::1]:1", "198.51.100.7:443"),
        ] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let of = ConnectionInfo::new(source, destination);
            for version in [ProxyHeader::V1, ProxyHeader::V2] {
                let header = header(version, &of);
                let (announced, end) = parse(&header).unwrap().unwrap();
                let Announced::Addresses {
                    source: read_source,
                    destination: read_destination,
                } = announced
                else {
                    panic!("{announced:?}")
                };
                let same = |a: SocketAddr, b: SocketAddr| {
                    (a.ip().to_canonical(), a.port()) == (b.ip().to_canonical(), b.port())
                };
                assert!(same(read_source, source) && same(read_destination, destination));
                assert_eq!(end, header.len());
            }
        }
    }

    #[test]
    fn a_client_without_an_address_is_none_for_the_backend() {
        let of = ConnectionInfo::of_unix_socket();
        for version in [ProxyHeader::V1, ProxyHeader::V2] {
            let header = header(version, &of);
            let read = parse(&header).unwrap();
            assert_eq!(read, Some((Announced::Nothing, header.len())));
        }
    }
}
