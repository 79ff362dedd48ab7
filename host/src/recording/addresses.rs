//! Addresses in a text, even next to other characters: `client:192.0.2.7`, `2001:db9::1: limit`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// The longest form of an address: IPv6 with an IPv4 address at its end.
const LONGEST: usize = 45;

/// The addresses to find.
#[derive(Debug)]
pub(super) struct Sought {
    client: IpAddr,
    literal: String,
    all: bool,
}

impl Sought {
    /// The client's address; every address if `all`.
    pub(super) fn new(client: IpAddr, all: bool) -> Self {
        let client = client.to_canonical();
        Self {
            client,
            literal: client.to_string(),
            all,
        }
    }

    /// The first match from here on, and its position.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<(Range<usize>, IpAddr)> {
        (from..text.len()).find_map(|at| self.here(text, at))
    }

    fn here(&self, text: &[u8], at: usize) -> Option<(Range<usize>, IpAddr)> {
        let meant = |address: IpAddr| self.all || self.is_client(address);
        let found = longest(text, at, &meant).or_else(|| self.glued(text, at))?;
        if self.is_client(found.1) {
            return Some(found);
        }
        // `c:2001:db9::1` is an address, and more likely a letter before the client's.
        let mut within = found.0.start + 1..found.0.end;
        within
            .find_map(|at| longest(text, at, &|address| self.is_client(address)))
            .or(Some(found))
    }

    fn is_client(&self, address: IpAddr) -> bool {
        address.to_canonical() == self.client
    }

    /// The client's address as it is commonly written, behind a letter that could be one of its
    /// digits.
    fn glued(&self, text: &[u8], at: usize) -> Option<(Range<usize>, IpAddr)> {
        let end = at + self.literal.len();
        let is_it = text[at..].starts_with(self.literal.as_bytes())
            && !before(text, at).is_some_and(|b| b.is_ascii_digit())
            && !text.get(end).is_some_and(u8::is_ascii_hexdigit);
        is_it.then_some((at..end, self.client))
    }
}

/// The longest matching address that begins here.
fn longest(
    text: &[u8],
    at: usize,
    meant: &dyn Fn(IpAddr) -> bool,
) -> Option<(Range<usize>, IpAddr)> {
    let before = before(text, at);
    let begins_six = match text.get(at)? {
        b':' => text.get(at + 1) == Some(&b':'),
        b => b.is_ascii_hexdigit(),
    };
    let six = begins_six && !before.is_some_and(|b| b.is_ascii_alphanumeric());
    let four = text[at].is_ascii_digit() && !before.is_some_and(|b| b.is_ascii_digit());
    if !six && !four {
        return None;
    }
    let part = |b: &&u8| b.is_ascii_hexdigit() || matches!(b, b'.' | b':');
    let length = text[at..].iter().take(LONGEST).take_while(part).count();
    (at + 2..=at + length).rev().find_map(|end| {
        let (written, after) = (std::str::from_utf8(&text[at..end]).ok()?, text.get(end));
        let as_six = || written.parse::<Ipv6Addr>().ok().map(IpAddr::from);
        let as_four = || written.parse::<Ipv4Addr>().ok().map(IpAddr::from);
        let address = if six && !after.is_some_and(u8::is_ascii_alphanumeric) {
            as_six()
        } else {
            None
        };
        let address = address.or_else(|| {
            if four && !after.is_some_and(u8::is_ascii_digit) {
                as_four()
            } else {
                None
            }
        });
        address
            .filter(|address| meant(*address))
            .map(|address| (at..end, address))
    })
}

fn before(text: &[u8], at: usize) -> Option<u8> {
    at.checked_sub(1).and_then(|at| text.get(at)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with `<address>` for each that is found.
    fn marked(text: &str, client: &str, all: bool) -> String {
        let sought = Sought::new(client.parse().unwrap(), all);
        let (mut marked, mut from) = (String::new(), 0);
        while let Some((range, address)) = sought.next(text.as_bytes(), from) {
            marked += &format!("{}<{address}>", &text[from..range.start]);
            from = range.end;
        }
        marked + &text[from..]
    }

    #[test]
    fn addresses_are_found_where_something_is_glued_to_them() {
        for (text, found) in [
            ("client:192.0.2.7", "client:<192.0.2.7>"),
            ("rate:192.0.2.7", "rate:<192.0.2.7>"),
            ("rate192.0.2.7abc", "rate<192.0.2.7>abc"),
            ("e.192.0.2.7", "e.<192.0.2.7>"),
            (
                "192.0.2.7:80 and 192.0.2.7.",
                "<192.0.2.7>:80 and <192.0.2.7>.",
            ),
            ("ip:2001:db9::1", "ip:<2001:db9::1>"),
            ("ip:::1, ::1", "ip:<::1>, <::1>"),
            ("2001:db9::1: limit", "<2001:db9::1>: limit"),
            (
                "[2001:DB9::1]:80 2001:db9::1.",
                "[<2001:db9::1>]:80 <2001:db9::1>.",
            ),
            ("::ffff:192.0.2.7", "<::ffff:192.0.2.7>"),
            (
                "192.0.2.777 1.2.3 v2.0.1 10:20:30 std::io::Error",
                "192.0.2.777 1.2.3 v2.0.1 10:20:30 std::io::Error",
            ),
            ("", ""),
        ] {
            assert_eq!(marked(text, "203.0.113.9", true), found, "{text}");
        }
    }

    #[test]
    fn the_client_is_found_however_it_is_glued_and_others_are_let_be() {
        for (text, client, all, found) in [
            (
                "192.0.2.7 192.0.2.70 192.0.2.8",
                "192.0.2.7",
                false,
                "<192.0.2.7> 192.0.2.70 192.0.2.8",
            ),
            ("::ffff:192.0.2.7", "192.0.2.7", false, "<::ffff:192.0.2.7>"),
            ("c:2001:db9::1", "2001:db9::1", true, "c:<2001:db9::1>"),
            ("c:2001:db9::1", "2001:db9::1", false, "c:<2001:db9::1>"),
            (
                "rate2001:db9::1/2001:db9::12",
                "2001:db9::1",
                false,
                "rate<2001:db9::1>/2001:db9::12",
            ),
            ("2001:db9::1:80", "2001:db9::1", false, "<2001:db9::1>:80"),
            ("a::b in f", "2001:db9::1", false, "a::b in f"),
        ] {
            assert_eq!(marked(text, client, all), found, "{text}");
        }
    }
}
