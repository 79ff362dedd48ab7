//! The address of an admin listener, as a command for a running proxy names it.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;

/// The address of an admin listener, as a client of it names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminAddress {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl AdminAddress {
    /// Where a proxy's admin listener is if the configuration names no other address.
    pub const DEFAULT: &str = "127.0.0.1:9090";
}

impl fmt::Display for AdminAddress {
    /// As an authority: `host:port`, `[v6]:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for AdminAddress {
    type Err = String;

    /// Parses `HOST:PORT` or `http://HOST[:PORT]`.
    fn from_str(written: &str) -> Result<Self, String> {
        let text = written.trim();
        let (authority, default_port) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                (rest.strip_suffix('/').unwrap_or(rest), Some(80))
            }
            Some((scheme, _)) => {
                return Err(format!(
                    "the admin listener speaks plain HTTP, not {scheme}; use HOST:PORT"
                ));
            }
            None => (text, None),
        };
        let what = || {
            format!(
                "{written:?} is not an address of an admin listener; use HOST:PORT, such as {}",
                Self::DEFAULT
            )
        };
        let digits = authority.strip_prefix(':').unwrap_or(authority);
        if let Ok(port @ 1..) = digits.parse::<u16>() {
            return Err(format!(
                "{written:?} is a port without a host; use 127.0.0.1:{port}, for example"
            ));
        }
        let parsed = authority
            .parse::<Authority>()
            .ok()
            .filter(|a| !a.as_str().contains('@'))
            .ok_or_else(what)?;
        let port = match (parsed.port(), default_port) {
            (Some(port), _) => port
                .as_str()
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(what)?,
            // Something other than a port follows the host.
            (None, _) if authority.len() > parsed.host().len() => return Err(what()),
            (None, Some(port)) => port,
            (None, None) => {
                return Err(format!(
                    "{written:?} has no port; use {}:9090, for example",
                    parsed.host()
                ));
            }
        };
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
        let host = match host {
            "" => return Err(what()),
            // The wildcard of a listener; a client reaches it on this machine.
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_mistakes_are_explained() {
        for (written, meant) in [
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            ("localhost:1", "localhost:1"),
            ("http://proxy-1:9090/", "proxy-1:9090"),
            ("HTTP://proxy-1", "proxy-1:80"),
            ("[2001:db8::1]:9090", "[2001:db8::1]:9090"),
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
        ] {
            assert_eq!(
                written.parse::<AdminAddress>().unwrap().to_string(),
                meant,
                "{written}"
            );
        }
        for (mistake, hint) in [
            ("", "HOST:PORT"),
            ("localhost", "localhost:9090"),
            ("19090", "use 127.0.0.1:19090"),
            (":9090", "use 127.0.0.1:9090"),
            (":0", "HOST:PORT"),
            ("https://a:1", "plain HTTP"),
            ("http://a:1/policies", "HOST:PORT"),
            ("http://me@a:1", "HOST:PORT"),
            ("a:70000", "HOST:PORT"),
            ("a:0", "HOST:PORT"),
            ("a b:1", "HOST:PORT"),
        ] {
            let sentence = mistake.parse::<AdminAddress>().unwrap_err();
            assert!(sentence.contains(hint), "{mistake}: {sentence}");
        }
    }
}
