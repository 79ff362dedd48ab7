//! Where the proxy listens, for clients and for operators.

mod entry;
mod meaning;
mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use super::Admin;
use crate::document::{At, Findings, Place};

pub(super) use entry::{entries, forward_listener};
pub use meaning::{
    CertificateFiles, Certificates, ClientCertificates, ListenAddress, Listener, ListenerTls,
    Protocols, TlsVersion,
};

/// Shorter tokens can be guessed.
const GOOD_TOKEN_LEN: usize = 16;

/// What the layers say of listeners.
pub(super) struct Written {
    /// The short form, of the layer that wins.
    pub short: Option<Vec<At<SocketAddr>>>,
    /// The long form, which only a file has.
    pub long: Option<Vec<At<Listener>>>,
    /// `--tls-self-signed`.
    pub self_signed: Option<At<SocketAddr>>,
    /// Those of `[forward]`.
    pub forward: Vec<At<Listener>>,
    /// Whether there are routes.
    pub has_routes: bool,
}

/// Puts the forms together, and finds listeners that are listed twice.
pub(super) fn listeners(written: Written, findings: &mut Findings) -> Vec<At<Listener>> {
    let Written {
        short,
        long,
        self_signed,
        forward,
        has_routes,
    } = written;
    let mut all = match (short, long) {
        (None, Some(long)) => long,
        // What is a forward proxy only.
        (None, None) if !forward.is_empty() && !has_routes => Vec::new(),
        (Some(short), Some(long)) => one_form(short, &long, findings),
        (short, None) => plain(short.unwrap_or_else(default)),
    };
    all.extend(self_signed.map(|at| At::new(self_signed_listener(at.value), at.place)));
    all.extend(forward);
    for (i, this) in all.iter().enumerate() {
        let address = &this.value.address;
        if !is_any_port(address) && all[..i].iter().any(|l| is_same(&l.value.address, address)) {
            let message = format!("{address} is listed twice; remove one of them");
            findings.error(&this.place, message);
        }
    }
    all
}

fn default() -> Vec<At<SocketAddr>> {
    vec![At::new(
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
        Place::Default("listen"),
    )]
}

/// A file has one of the forms; another layer's short form replaces either.
fn one_form(
    short: Vec<At<SocketAddr>>,
    long: &[At<Listener>],
    findings: &mut Findings,
) -> Vec<At<Listener>> {
    let places = (short.first(), long.first());
    if let (Some(short), Some(long)) = places {
        match &short.place {
            Place::File { .. } => findings.error(
                &short.place,
                "is given beside `[[listeners]]`, which lists all of them; write its addresses \
                 there, or remove it",
            ),
            other => findings.warning(
                &long.place,
                format!("all of `[[listeners]]` is replaced by {other}"),
            ),
        }
    }
    plain(short)
}

fn plain(addresses: Vec<At<SocketAddr>>) -> Vec<At<Listener>> {
    addresses
        .into_iter()
        .map(|at| At::new(Listener::plain(at.value), at.place))
        .collect()
}

fn self_signed_listener(address: SocketAddr) -> Listener {
    Listener {
        tls: Some(ListenerTls {
            certificates: Certificates::SelfSigned,
            acme: Vec::new(),
            clients: None,
            min_version: TlsVersion::Tls12,
        }),
        ..Listener::plain(address)
    }
}

/// Port 0 is a different port each time.
fn is_any_port(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp { address, .. } if address.port() == 0)
}

/// Where a path leads, however it is written.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = std::fs::canonicalize(folder.unwrap_or(Path::new(".")));
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path
            .components()
            .filter(|c| *c != Component::CurDir)
            .collect(),
    }
}

/// Whether both are one place, whatever else is said of them.
fn is_same(a: &ListenAddress, b: &ListenAddress) -> bool {
    use ListenAddress::{Tcp, Unix};
    match (a, b) {
        // `[::ffff:127.0.0.1]` is `127.0.0.1`.
        (Tcp { address: a, .. }, Tcp { address: b, .. }) => {
            (a.ip().to_canonical(), a.port()) == (b.ip().to_canonical(), b.port())
        }
        (Unix { path: a, .. }, Unix { path: b, .. }) => a == b || place(a) == place(b),
        _ => false,
    }
}

pub(super) fn admin(
    (written, token): (Option<At<Option<SocketAddr>>>, Option<At<String>>),
    listeners: &[At<Listener>],
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
    let clashes = |listener: &&At<Listener>| match listener.value.address {
        ListenAddress::Tcp {
            address: data,
            only_v6,
        } => address.port() != 0 && overlaps((data, only_v6), (address, false)),
        ListenAddress::Unix { .. } => false,
    };
    if let Some(data) = listeners.iter().find(clashes) {
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
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether one address is both: the same port, and the same address or a wildcard of its family.
/// `[::]` covers both families unless it takes IPv6 only.
pub(super) fn overlaps(one: (SocketAddr, bool), other: (SocketAddr, bool)) -> bool {
    let canonical = |(at, only_v6): (SocketAddr, bool)| (at.ip().to_canonical(), only_v6);
    let (one_ip, other_ip) = (canonical(one), canonical(other));
    let covers = |(all, only_v6): (IpAddr, bool), (ip, _): (IpAddr, bool)| {
        all.is_unspecified() && (all.is_ipv6() && !only_v6 || ip.is_ipv4() == all.is_ipv4())
    };
    one.0.port() == other.0.port()
        && (one_ip.0 == other_ip.0 || covers(one_ip, other_ip) || covers(other_ip, one_ip))
}
