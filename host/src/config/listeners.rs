//! Where the proxy listens, for clients and for operators.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Admin;
use crate::document::{At, Findings, Place};

/// Shorter tokens can be guessed.
const GOOD_TOKEN_LEN: usize = 16;

pub(super) fn listen(
    written: Option<Vec<At<SocketAddr>>>,
    findings: &mut Findings,
) -> Vec<At<SocketAddr>> {
    let default = || {
        vec![At::new(
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            Place::Default("listen"),
        )]
    };
    let listen = written.unwrap_or_else(default);
    for (i, this) in listen.iter().enumerate() {
        // Port 0 is a different port each time.
        if this.value.port() != 0
            && listen[..i]
                .iter()
                .any(|earlier| earlier.value == this.value)
        {
            findings.error(
                &this.place,
                format!("{} is listed twice; remove one of them", this.value),
            );
        }
    }
    listen
}

pub(super) fn admin(
    written: Option<At<Option<SocketAddr>>>,
    token: Option<At<String>>,
    listen: &[At<SocketAddr>],
    findings: &mut Findings,
) -> Option<Admin> {
    let default = || {
        At::new(
            Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))),
            Place::Default("admin.listen"),
        )
    };
    let At {
        value: address,
        place,
    } = written.unwrap_or_else(default);
    if let Some(token) = &token {
        check_token(token, findings);
    }
    let address = address?;
    if !is_loopback(address.ip()) && token.is_none() {
        let message = format!(
            "{address} can be reached from other machines, which could replace policies; set \
             `admin.token` (or WAYPOST_ADMIN_TOKEN), or listen on 127.0.0.1:{}",
            address.port()
        );
        findings.error(&place, message);
    }
    if let Some(data) = listen
        .iter()
        .find(|l| address.port() != 0 && overlaps(l.value, address))
    {
        let message = format!(
            "{address} is also where clients connect ({}); choose another port",
            data.place
        );
        findings.error(&place, message);
    }
    Some(Admin {
        listen: address,
        token: token.map(|t| t.value),
    })
}

fn check_token(token: &At<String>, findings: &mut Findings) {
    if token.value.is_empty() || !token.value.bytes().all(|b| b.is_ascii_graphic()) {
        let message = "is not a token; write letters, digits and signs without spaces, or \
                       remove the key";
        findings.error(&token.place, message);
    } else if token.value.len() < GOOD_TOKEN_LEN {
        findings.warning(
            &token.place,
            format!("a token of less than {GOOD_TOKEN_LEN} characters can be guessed"),
        );
    }
}

/// `::ffff:127.0.0.1` is loopback too.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether binding both would fail: the same port, and the same address or a wildcard of its
/// family. `[::]` covers both families.
fn overlaps(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |all: SocketAddr, one: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
    };
    a.port() == b.port() && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}
