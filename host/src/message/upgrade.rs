//! Changes of protocol: a client offers some, and a backend takes one (RFC 9110 section 7.8).

use super::{syntax, websocket};

/// Names of protocols in order, each with its version if one was given: `websocket`, `foo/2`.
/// Letters may have any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// Joined by `, `.
    list: String,
    /// The client asks by an extended CONNECT: for one protocol, and nothing else will do.
    by_connect: bool,
    /// The backend is asked in that way.
    asks_by_connect: bool,
}

impl Upgrade {
    /// Forgets all and keeps the buffer.
    pub fn clear(&mut self) {
        self.list.clear();
        (self.by_connect, self.asks_by_connect) = (false, false);
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.by_connect
    }

    /// Notes an extended CONNECT with this `:protocol` (RFC 8441 section 4). WebSocket is the only
    /// one that is known.
    pub fn connect(&mut self, protocol: &str) {
        self.by_connect = true;
        if protocol.eq_ignore_ascii_case(websocket::WEBSOCKET) {
            self.add(websocket::WEBSOCKET.as_bytes());
        }
    }

    /// Whether the client asks by an extended CONNECT: any success that it is answered is a change
    /// of protocol.
    #[inline]
    pub fn is_connect(&self) -> bool {
        self.by_connect
    }

    /// Settles how a backend is asked that speaks HTTP/2, and takes extended CONNECTs or does not.
    pub fn ask_by_stream(&mut self, takes_connect: bool) {
        self.asks_by_connect = takes_connect && self.has_websocket();
    }

    /// Whether the backend is asked by an extended CONNECT.
    pub fn asks_by_connect(&self) -> bool {
        self.asks_by_connect
    }

    /// Whether WebSocket is among them.
    pub fn has_websocket(&self) -> bool {
        let is_it = |member: &str| member.eq_ignore_ascii_case(websocket::WEBSOCKET);
        self.list.split(", ").any(is_it)
    }

    /// Adds the members of an `Upgrade` field. Members that are not protocols are left out.
    pub fn add(&mut self, value: &[u8]) {
        for member in syntax::list(value).filter_map(protocol) {
            if !self.list.is_empty() {
                self.list.push_str(", ");
            }
            self.list.push_str(member);
        }
    }

    /// Keeps those that are among the `allowed`.
    pub fn retain(&mut self, allowed: &[Box<str>]) {
        let offered = std::mem::take(&mut self.list);
        for member in offered.split(", ") {
            if allowed.iter().any(|name| name.eq_ignore_ascii_case(member)) {
                self.add(member.as_bytes());
            }
        }
    }

    /// Whether this is one protocol, and one of the `offered`.
    pub fn is_one_of(&self, offered: &Self) -> bool {
        let same = |member: &str| member.eq_ignore_ascii_case(&self.list);
        !self.is_empty() && offered.list.split(", ").any(same)
    }

    /// As the value of an `Upgrade` field.
    pub fn as_bytes(&self) -> &[u8] {
        self.list.as_bytes()
    }
}

/// The text of a member that names a protocol: a token, and perhaps another one behind a `/`.
fn protocol(member: &[u8]) -> Option<&str> {
    let mut parts = member.splitn(2, |b| *b == b'/');
    parts.all(syntax::is_token).then_some(())?;
    std::str::from_utf8(member).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols(values: &[&str]) -> Upgrade {
        let mut protocols = Upgrade::default();
        values.iter().for_each(|v| protocols.add(v.as_bytes()));
        protocols
    }

    #[test]
    fn a_list_of_protocols_has_what_the_fields_name_and_nothing_else() {
        for (values, list) in [
            (&["websocket"][..], "websocket"),
            (&["WebSocket , foo/2"], "WebSocket, foo/2"),
            (&["a", ",,b,", ""], "a, b"),
            (&["a b", "c/d/e", "/f", "g/", "h\u{e4}", "i"], "i"),
        ] {
            assert_eq!(protocols(values).list, list, "{values:?}");
        }
    }

    #[test]
    fn only_the_allowed_protocols_of_an_offer_are_kept_in_their_order() {
        let allowed = ["websocket".into(), "foo/2".into()];
        for (offer, kept) in [
            ("h2c, Foo/2, WebSocket", "Foo/2, WebSocket"),
            ("foo, foo/1, websocket/13, websockets", ""),
            ("", ""),
        ] {
            let mut offer = protocols(&[offer]);
            offer.retain(&allowed);
            assert_eq!(offer.list, kept);
        }
        let mut offer = protocols(&["websocket"]);
        offer.retain(&[]);
        assert!(offer.is_empty());
    }

    #[test]
    fn a_connect_asks_for_websocket_or_for_nothing_that_is_known() {
        for (protocol, is_known) in [
            ("websocket", true),
            ("WebSocket", true),
            ("websocket, websocket", false),
            (" websocket", false),
            ("connect-udp", false),
            ("", false),
        ] {
            let mut asked = Upgrade::default();
            asked.connect(protocol);
            assert!(asked.is_connect() && !asked.is_empty(), "{protocol}");
            assert_eq!(asked.has_websocket(), is_known, "{protocol}");
            asked.retain(&["foo".into()]);
            assert!(asked.is_connect() && !asked.has_websocket(), "{protocol}");
            asked.clear();
            assert!(asked.is_empty(), "{protocol}");
        }
    }

    #[test]
    fn a_backend_is_asked_by_connect_for_websocket_alone_and_if_it_takes_that() {
        for (offer, takes, asks) in [
            ("websocket", true, true),
            ("foo, WebSocket", true, true),
            ("websocket", false, false),
            ("foo", true, false),
            ("", true, false),
        ] {
            let mut offer = protocols(&[offer]);
            offer.ask_by_stream(takes);
            assert_eq!(offer.asks_by_connect(), asks);
        }
    }

    #[test]
    fn an_answer_takes_exactly_one_protocol_of_the_offer() {
        let offer = protocols(&["foo/2, WebSocket"]);
        for (answer, fits) in [
            ("websocket", true),
            ("FOO/2", true),
            ("foo", false),
            ("foo/2, websocket", false),
            ("websocket, websocket", false),
            ("h2c", false),
            ("", false),
        ] {
            assert_eq!(protocols(&[answer]).is_one_of(&offer), fits, "{answer}");
        }
        assert!(!protocols(&["websocket"]).is_one_of(&Upgrade::default()));
    }
}
