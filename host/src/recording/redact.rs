//! What a recording must not tell: credentials, and where it is asked for, queries and clients'
//! addresses.
//!
//! A value is replaced by a hash with a key that is nowhere but in the process that writes, so that
//! equal values stay equal within a recording and nobody can try values out. What a policy made of
//! a value (a key of its store, a field that it wrote, a body) holds the same hash in its place, so
//! that the component finds in a replay what it stored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

use super::addresses::Sought;
use super::format::{Answer, Call, Field, Request};
use super::secrets::{Secrets, base64_decoded};
use crate::config::RecordingConfig;
use crate::message::names::{self, Claim, Owned, Owner};
use crate::policy::Octets;

/// What stands before a hash.
pub(super) const MARK: &str = "redacted:";

/// Whether a field of this name holds addresses of clients.
fn holds_addresses(name: &str) -> bool {
    let claims_one = |found: Owned| found.owner == Owner::Client(Claim::Address);
    name == "forwarded" || names::owned(name.as_bytes()).is_some_and(claims_one)
}

/// Replaces what is not to be told.
#[derive(Debug)]
pub(super) struct Redactor {
    key: [u8; 32],
    fields: Vec<String>,
    query: bool,
    client: bool,
}

/// What is looked for in one request.
struct Hidden {
    secrets: Secrets,
    client: Sought,
    addresses: Sought,
}

impl Redactor {
    pub fn new(record: &RecordingConfig) -> Self {
        Self {
            key: rand::random(),
            fields: record.redact.clone(),
            query: record.redact_query,
            client: record.redact_client,
        }
    }

    /// Replaces it all.
    pub fn apply(&self, request: &mut Request) {
        let mut secrets = Secrets::default();
        each_list(request, &mut |list| {
            list.iter_mut()
                .for_each(|field| self.field(field, &mut secrets))
        });
        if self.query
            && let Some(query) = &mut request.query
        {
            *query = self.query(query, &mut secrets);
        }
        let client = request.client;
        let hidden = Hidden {
            secrets,
            client: Sought::new(client, false),
            addresses: Sought::new(client, true),
        };
        each_list(request, &mut |list| {
            for Field(name, value) in list {
                let sought = if holds_addresses(name) {
                    &hidden.addresses
                } else {
                    &hidden.client
                };
                // A value that is a hash already tells nothing.
                if !hidden.secrets.are_too_many() || !self.fields.contains(name) {
                    self.clean(&mut value.0, &hidden, sought);
                }
            }
        });
        request
            .calls
            .iter_mut()
            .for_each(|call| self.call(call, &hidden));
        if self.client {
            request.client = self.address(client);
        }
    }

    /// What a policy kept and said.
    fn call(&self, call: &mut Call, hidden: &Hidden) {
        if let Some(tape) = &mut call.tape {
            tape.change_texts(&mut |text| self.clean(text, hidden, &hidden.addresses));
        }
        match &mut call.answer {
            Answer::Reply(reply) => self.clean(&mut reply.body.0, hidden, &hidden.addresses),
            Answer::Fault { message, .. } => {
                let mut text = std::mem::take(message).into_bytes();
                // `a::b` is an address as well as the name of a function.
                self.clean(&mut text, hidden, &hidden.client);
                *message = String::from_utf8_lossy(&text).into_owned();
            }
            _ => {}
        }
    }

    /// Replaces in a text what is not to be told.
    fn clean(&self, text: &mut Vec<u8>, hidden: &Hidden, sought: &Sought) {
        if hidden.secrets.are_too_many() && !text.is_empty() {
            *text = self.hash(text);
            return;
        }
        hidden.secrets.replace(text);
        if self.client {
            self.addresses(text, sought);
        }
    }

    fn field(&self, Field(name, value): &mut Field, secrets: &mut Secrets) {
        if !self.fields.contains(name) {
            return;
        }
        let bytes = value.0.as_slice();
        value.0 = match name.as_str() {
            // The names of cookies stay: policies look for theirs.
            "cookie" => {
                let pairs = bytes
                    .split(|b| *b == b';')
                    .map(|pair| self.pair_hidden(pair, secrets));
                pairs.collect::<Vec<_>>().join(&b';')
            }
            "set-cookie" => {
                let end = bytes.iter().position(|b| *b == b';').unwrap_or(bytes.len());
                [
                    self.pair_hidden(&bytes[..end], secrets),
                    bytes[end..].to_vec(),
                ]
                .concat()
            }
            // So does the scheme (RFC 9110 section 11.4).
            "authorization" | "proxy-authorization" => {
                match bytes.iter().position(|b| *b == b' ') {
                    Some(end) => {
                        let credentials = bytes[end..].trim_ascii();
                        if bytes[..end].eq_ignore_ascii_case(b"basic") {
                            self.hide_login(credentials, secrets);
                        }
                        [&bytes[..=end], &self.hidden(credentials, secrets)].concat()
                    }
                    None => self.hidden(bytes, secrets),
                }
            }
            _ => self.hidden(bytes, secrets),
        };
    }

    /// The hash of a value, which is looked for elsewhere from now on.
    fn hidden(&self, secret: &[u8], secrets: &mut Secrets) -> Vec<u8> {
        let hash = self.hash(secret);
        secrets.add_with_forms(secret, &hash);
        hash
    }

    /// Has the user and the password of Basic credentials (RFC 7617) looked for.
    fn hide_login(&self, credentials: &[u8], secrets: &mut Secrets) {
        let Some(login) = base64_decoded(credentials) else {
            return;
        };
        let (user, password) = match login.iter().position(|b| *b == b':') {
            Some(at) => (&login[..at], &login[at + 1..]),
            None => (&login[..], &b""[..]),
        };
        [&login, user, password]
            .into_iter()
            .for_each(|part| secrets.add(part, &self.hash(part)));
    }

    /// `name=secret` with the secret hidden, white space around it kept.
    fn pair_hidden(&self, pair: &[u8], secrets: &mut Secrets) -> Vec<u8> {
        let start = pair.iter().position(|b| *b == b'=').map_or(0, |at| at + 1);
        let value = pair[start..].trim_ascii();
        match value.is_empty() {
            true => pair.to_vec(),
            false => [&pair[..start], &self.hidden(value, secrets)].concat(),
        }
    }

    fn query(&self, query: &str, secrets: &mut Secrets) -> String {
        let mut hidden = |value: &str| {
            String::from_utf8_lossy(&self.hidden(value.as_bytes(), secrets)).into_owned()
        };
        let parts = query.split('&').map(|part| match part.split_once('=') {
            Some((name, value)) => format!("{name}={}", hidden(value)),
            None if part.is_empty() => String::new(),
            // Without a name all of it may be a secret.
            None => hidden(part),
        });
        parts.collect::<Vec<_>>().join("&")
    }

    fn hash(&self, secret: &[u8]) -> Vec<u8> {
        let hash: String = self.digest(secret)[..8]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        [MARK, &hash].concat().into_bytes()
    }

    fn digest(&self, secret: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.key)
            .chain_update(secret)
            .finalize()
            .into()
    }

    /// Another address of the same family, from a range that nobody has: of 198.18.0.0/15 (RFC
    /// 2544) or 2001:db8::/32 (RFC 3849).
    fn address(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, ..] = self.digest(&v4.octets());
                Ipv4Addr::new(198, 18 + (a & 1), b, c).into()
            }
            IpAddr::V6(v6) => {
                let digest = self.digest(&v6.octets());
                let mut bytes = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                bytes[4..].copy_from_slice(&digest[..12]);
                Ipv6Addr::from(bytes).into()
            }
        }
    }

    /// Replaces the addresses that are looked for.
    fn addresses(&self, text: &mut Vec<u8>, sought: &Sought) {
        let mut changed = Vec::new();
        let mut copied = 0;
        while let Some((found, address)) = sought.next(text, copied) {
            changed.extend_from_slice(&text[copied..found.start]);
            changed.extend_from_slice(self.address(address).to_string().as_bytes());
            copied = found.end;
        }
        if copied > 0 {
            changed.extend_from_slice(&text[copied..]);
            *text = changed;
        }
    }
}

/// All lists of fields that a request holds.
fn each_list(request: &mut Request, change: &mut dyn FnMut(&mut Vec<Field>)) {
    change(&mut request.fields);
    for call in &mut request.calls {
        call.sees.iter_mut().for_each(&mut *change);
        call.edited.iter_mut().for_each(&mut *change);
        call.response
            .iter_mut()
            .for_each(|response| change(&mut response.fields));
        if let Answer::Reply(reply) = &mut call.answer {
            change(&mut reply.fields);
        }
    }
}

/// Whether the value was replaced when it was recorded.
pub fn is_redacted(value: &Octets) -> bool {
    memchr::memmem::find(&value.0, MARK.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor(client: bool) -> Redactor {
        Redactor {
            key: [7; 32],
            fields: vec!["x-key".to_owned(), "cookie".to_owned()],
            query: true,
            client,
        }
    }

    /// A request whose policy kept, said and wrote this text, and failed with it.
    fn request(fields: &[(&str, &str)], query: &str, text: &str) -> Request {
        let list = |fields: &[(&str, &str)]| json!(fields);
        let call = |answer: serde_json::Value| {
            json!({
                "policy": "p", "generation": 1, "role": "active", "hook": "request-headers", "answer": answer,
                "tape": {
                    "seed": "0000000000000001", "monotonic_nanoseconds": 1, "unix_milliseconds": 1,
                    "store": [{"call": {"set": [text, text, 0]}, "told": "done"}],
                },
                "edited": list(&[("x-made", text)]), "nanoseconds": 1,
            })
        };
        let reply =
            json!({"reply": {"status": 429, "fields": list(&[("x-made", text)]), "body": text}});
        let fault = json!({"fault": {"kind": "trap", "message": text}});
        serde_json::from_value(json!({
            "lineup": 1, "time": 1, "worker": 0, "method": "GET", "scheme": "http", "host": "a", "path": "/", "query": query,
            "client": "192.0.2.7", "pool": 0, "fields": list(fields), "calls": [call(reply), call(fault)], "status": 429,
        }))
        .unwrap()
    }

    fn written(redactor: &Redactor, mut request: Request) -> String {
        redactor.apply(&mut request);
        serde_json::to_string(&request).unwrap()
    }

    #[test]
    fn a_client_s_address_is_told_nowhere_whatever_it_is_glued_to() {
        let redactor = redactor(true);
        let other = |text: &str| redactor.address(text.parse().unwrap()).to_string();
        let (four, six) = (other("192.0.2.7"), other("2001:db9::1"));
        assert!(
            four.starts_with("198.18.") || four.starts_with("198.19."),
            "{four}"
        );
        assert!(six.starts_with("2001:db8:"), "{six}");
        assert_eq!(
            other("::ffff:192.0.2.7"),
            four,
            "the same address, however it is written"
        );
        for text in [
            "client:192.0.2.7",
            "rate:192.0.2.7",
            "over the limit: 192.0.2.7.",
            "192.0.2.7:80",
            "c:192.0.2.7",
        ] {
            let told = written(
                &redactor,
                request(
                    &[("x-forwarded-for", "192.0.2.7"), ("x-other", text)],
                    "",
                    text,
                ),
            );
            assert!(!told.contains("192.0.2.7"), "{told}");
            // The client, two fields, and in each of two calls a key, a value and a field; a
            // reply's field and body; a fault.
            assert_eq!(told.matches(&four).count(), 3 + 6 + 3, "{told}");
        }
        for text in [
            "ip:2001:db9::1",
            "2001:db9::1: limit",
            "for=\"[2001:db9::1]:80\"",
        ] {
            for client in ["192.0.2.7", "2001:db9::1"] {
                let mut request = request(&[("forwarded", text)], "", text);
                request.client = client.parse().unwrap();
                redactor.apply(&mut request);
                let Answer::Reply(reply) = &request.calls[0].answer else {
                    panic!("{request:?}")
                };
                let made = [&request.fields[0].1, &reply.body]
                    .map(|told| String::from_utf8_lossy(&told.0).into_owned());
                assert_eq!(
                    made,
                    [
                        text.replace("2001:db9::1", &six),
                        text.replace("2001:db9::1", &six)
                    ]
                );
            }
        }
    }

    #[test]
    fn what_a_policy_decoded_is_hidden_too() {
        let redactor = Redactor {
            fields: vec!["cookie".to_owned(), "authorization".to_owned()],
            ..redactor(false)
        };
        let basic = "Basic YWxpY2UtYW5kLWJvYjpvcGVuIHNlc2FtZQ==";
        let fields = [
            ("authorization", basic),
            ("cookie", "id=top%2Fsecret%2Fvalue"),
        ];
        let text = "alice-and-bob:open sesame; alice-and-bob, open sesame; top/secret/value; a token/of mine";
        let told = written(&redactor, request(&fields, "t=token%2Fof+mine", text));
        for secret in ["alice", "sesame", "top", "mine", "YWxpY2"] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
        // So that a replay, which decodes a hash, finds what was stored.
        let cookie = told
            .split("id=")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap();
        assert!(told.matches(cookie).count() > 5, "{cookie}: {told}");
    }

    #[test]
    fn however_many_secrets_there_are_none_is_told() {
        let redactor = redactor(false);
        let value = |n: usize| format!("cookie-{n:04}-{}", "x".repeat(n % 7));
        for count in [100, 2_000] {
            let cookies: Vec<String> = (0..count).map(|n| format!("c{n}={}", value(n))).collect();
            let (first, last, cookies) = (value(0), value(count - 1), cookies.join("; "));
            let fields = [
                ("cookie", cookies.as_str()),
                ("x-copy", first.as_str()),
                ("x-last", last.as_str()),
            ];
            let told = written(&redactor, request(&fields, "", &format!("{first} {last}")));
            assert!(
                !told.contains("cookie-0") && !told.contains(&last),
                "{count}: {told}"
            );
            assert!(told.contains("c0=redacted:"), "{told}");
        }
    }

    #[test]
    fn cookies_and_parameters_keep_their_names() {
        let redactor = redactor(false);
        let mut secrets = Secrets::default();
        let mut field = Field("cookie".to_owned(), Octets(b"a=1; b=\xff; c=; d".to_vec()));
        redactor.field(&mut field, &mut secrets);
        let text = String::from_utf8(field.1.0).unwrap();
        let parts: Vec<&str> = text.split(';').collect();
        assert!(
            parts[0].starts_with("a=redacted:") && parts[1].starts_with(" b=redacted:"),
            "{text}"
        );
        assert!(
            parts[2] == " c=" && parts[3].starts_with("redacted:"),
            "{text}"
        );
        let query = redactor.query("a=1&&b=&c", &mut secrets);
        let parts: Vec<&str> = query.split('&').collect();
        assert!(
            parts[0].starts_with("a=redacted:") && parts[1].is_empty(),
            "{query}"
        );
        assert!(
            parts[2].starts_with("b=redacted:") && parts[3].starts_with("redacted:"),
            "{query}"
        );
    }
}
