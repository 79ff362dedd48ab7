//! The names that a certificate is for.

use std::net::IpAddr;

/// The names of a certificate: DNS names in lower case, and addresses.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    /// With `*.` in front if they stand for every name with one label more.
    dns: Box<[Box<str>]>,
    addresses: Box<[IpAddr]>,
}

impl Names {
    /// Of these DNS names and addresses.
    pub(super) fn new(dns: impl Iterator<Item = String>, addresses: Vec<IpAddr>) -> Self {
        let dns = dns.map(|name| name.to_ascii_lowercase().into_boxed_str());
        Self {
            dns: dns.collect(),
            addresses: addresses.into(),
        }
    }

    /// Whether a request for this host may come over a connection that has presented the
    /// certificate. `host` is without a port; an address may stand in brackets.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        self.dns.iter().any(|name| matches(name, host))
    }

    /// The DNS names.
    pub(super) fn dns(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().map(AsRef::as_ref)
    }

    /// The first name, and how many more there are: for logs.
    pub fn summary(&self) -> String {
        let mut all = self.all();
        match (all.next(), all.count()) {
            (None, _) => "a certificate without names".to_owned(),
            (Some(first), 0) => first,
            (Some(first), more) => format!("{first} and {more} more"),
        }
    }

    /// All of them as text.
    pub fn all(&self) -> impl Iterator<Item = String> {
        let dns = self.dns.iter().map(ToString::to_string);
        dns.chain(self.addresses.iter().map(ToString::to_string))
    }
}

/// Whether a host is the name, or has exactly one label in place of its `*`.
fn matches(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        None => host.eq_ignore_ascii_case(name),
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(label, after)| !label.is_empty() && after.eq_ignore_ascii_case(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        let names = ["edge.test", "*.Wild.test"].map(str::to_owned);
        let names = Names::new(names.into_iter(), vec!["::1".parse().unwrap()]);
        for (host, is_covered) in [
            ("edge.test", true),
            ("EDGE.test.", true),
            ("x.edge.test", false),
            ("a.wild.test", true),
            ("A.WILD.TEST", true),
            ("a.b.wild.test", false),
            ("wild.test", false),
            (".wild.test", false),
            ("awild.test", false),
            ("*.wild.test", true),
            ("[::1]", true),
            ("::1", true),
            ("127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(names.covers(host), is_covered, "{host}");
        }
    }
}
