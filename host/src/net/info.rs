//! Facts about a connection that are known before its first request.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::tls::Names;
use crate::message::{Scheme, TlsSession};

/// Of a peer that has no address.
const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Facts about a client's connection. They are complete before the connection is admitted: a PROXY
/// protocol header or a TLS handshake is read first.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// The client's address. A dual-stack listener shows IPv4 clients as mapped addresses; here
    /// they are IPv4.
    pub peer: SocketAddr,
    /// The address that the client has reached.
    pub local: SocketAddr,
    /// The results of the handshake; `None` if the connection is not encrypted.
    pub tls: Option<Box<TlsFacts>>,
    /// The peer's address without its port. Made once for a connection: each request wants it.
    text: Box<str>,
}

/// The results of a TLS handshake.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// What requests carry along.
    pub session: Arc<TlsSession>,
    /// The names of the certificate that was presented to the client.
    pub certificate: Option<Arc<Names>>,
}

/// A peer as a log line shows it.
#[derive(Debug, Clone, Copy)]
pub struct ShownPeer(SocketAddr);

impl fmt::Display for ShownPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 == NO_ADDRESS {
            true => f.write_str("unix:"),
            false => self.0.fmt(f),
        }
    }
}

impl TlsFacts {
    /// Whether a request for this host, written without a port, may come over the connection: the
    /// client asked for no name or for this one, or the certificate is for it as well.
    pub fn covers(&self, host: &str) -> bool {
        self.session
            .server_name
            .as_deref()
            .is_none_or(|name| host.eq_ignore_ascii_case(name))
            || self
                .certificate
                .as_ref()
                .is_none_or(|names| names.covers(host))
    }
}

impl ConnectionInfo {
    /// A connection that is not encrypted.
    pub fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        let [peer, local] = [peer, local]
            .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
        Self {
            peer,
            local,
            tls: None,
            text: text_of(peer.ip()).into(),
        }
    }

    /// A connection of a Unix socket, whose client has no address: `peer` and `local` are
    /// unspecified, with port 0, which no other connection has.
    pub fn of_unix_socket() -> Self {
        Self {
            peer: NO_ADDRESS,
            local: NO_ADDRESS,
            tls: None,
            text: "unix:".into(),
        }
    }

    /// Whether the peer has no address, as a client of a Unix socket.
    pub fn is_without_address(&self) -> bool {
        self.peer == NO_ADDRESS
    }

    /// The peer's address without its port, as in logs and in `X-Forwarded-For`; `unix:` if it has
    /// none.
    pub fn peer_text(&self) -> &str {
        &self.text
    }

    /// The peer for a log line: its address with its port; `unix:` if it has none.
    pub fn shown_peer(&self) -> ShownPeer {
        ShownPeer(self.peer)
    }

    /// The TLS session; `None` if the connection is not encrypted.
    #[inline]
    pub fn session(&self) -> Option<&Arc<TlsSession>> {
        self.tls.as_ref().map(|tls| &tls.session)
    }

    /// The scheme of the client's requests.
    pub fn scheme(&self) -> Scheme {
        match self.tls {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        }
    }
}

/// The address in text. Each new connection needs one, and formatting is a twentieth of a
/// connection's cost.
fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(v4) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (at, part) in v4.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        if part >= 100 {
            text.push(char::from(b'0' + part / 100));
        }
        if part >= 10 {
            text.push(char::from(b'0' + part / 10 % 10));
        }
        text.push(char::from(b'0' + part % 10));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(peer: &str) -> ConnectionInfo {
        ConnectionInfo::new(peer.parse().unwrap(), ([127, 0, 0, 1], 80).into())
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "10.0.200.9",
            "192.0.2.100",
            "::1",
            "2001:db8::a:1",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(text_of(address), text);
        }
    }

    #[test]
    fn a_client_of_ipv4_is_one_on_a_dual_stack_listener_as_well() {
        let mapped = info("[::ffff:192.0.2.1]:40000");
        assert_eq!(mapped.peer, ([192, 0, 2, 1], 40_000).into());
        assert_eq!(mapped.peer_text(), "192.0.2.1");
    }

    #[test]
    fn a_log_line_shows_a_peer_with_its_port_and_a_unix_socket_without() {
        let shown = info("192.0.2.1:40000").shown_peer().to_string();
        assert_eq!(shown, "192.0.2.1:40000");
        let shown = ConnectionInfo::of_unix_socket().shown_peer().to_string();
        assert_eq!(shown, "unix:");
    }

    #[test]
    fn the_scheme_is_that_of_the_connection() {
        let plain = info("192.0.2.1:40000");
        assert_eq!(plain.scheme(), Scheme::Http);
        let tls = Some(Box::default());
        assert_eq!(ConnectionInfo { tls, ..plain }.scheme(), Scheme::Https);
    }
}
