//! What a recording must not tell: credentials, and where it is asked for, queries and clients' addresses.
//!
//! A value is replaced by a hash with a key that is nowhere but in the process that writes, so that equal values stay equal within a
//! recording and nobody can try values out. What a policy made of a value (a key of its store, a field that it wrote, a body)
//! holds the same hash in its place, so that the component finds in a replay what it stored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

use super::format::{Answer, Call, Field, Request};
use crate::config::Record;
use crate::policy::Octets;

/// What stands before a hash.
pub(super) const MARK: &str = "redacted:";
/// A shorter value is replaced where it stands, and not looked for elsewhere: it would be found in all sorts of things.
const LEAST_SECRET: usize = 8;
/// Values that are looked for in one request.
const MOST_SECRETS: usize = 64;
/// Fields that hold addresses of clients.
const ADDRESSES: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-real-ip", "true-client-ip", "cf-connecting-ip", "fastly-client-ip"];

/// Replaces what is not to be told.
#[derive(Debug)]
pub(super) struct Redactor {
    key: [u8; 32],
    fields: Vec<String>,
    query: bool,
    client: bool,
}

/// What was replaced in one request, and by what; the longest first.
type Secrets = Vec<(Vec<u8>, Vec<u8>)>;

impl Redactor {
    pub fn new(record: &Record) -> Self {
        Self {
            key: rand::random(),
            fields: record.redact.clone(),
            query: record.redact_query,
            client: record.redact_client,
        }
    }

    /// Replaces it all.
    pub fn apply(&self, request: &mut Request) {
        let mut secrets = Secrets::new();
        each_list(request, &mut |list| list.iter_mut().for_each(|field| self.field(field, &mut secrets)));
        if self.query
            && let Some(query) = &mut request.query
        {
            *query = self.query(query, &mut secrets);
        }
        secrets.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        secrets.truncate(MOST_SECRETS);
        let client = request.client;
        each_list(request, &mut |list| {
            for Field(name, value) in list {
                replace(&mut value.0, &secrets);
                if self.client {
                    let all = ADDRESSES.contains(&name.as_str());
                    self.addresses(&mut value.0, |address| all || address == client);
                }
            }
        });
        request.calls.iter_mut().for_each(|call| self.call(call, &secrets, client));
        if self.client {
            request.client = self.address(client);
        }
    }

    /// What a policy kept and said.
    fn call(&self, call: &mut Call, secrets: &Secrets, client: IpAddr) {
        let any = |text: &mut Vec<u8>| {
            replace(text, secrets);
            if self.client {
                self.addresses(text, |_| true);
            }
        };
        if let Some(tape) = &mut call.tape {
            tape.change_texts(&mut |text| any(text));
        }
        match &mut call.answer {
            Answer::Reply(reply) => any(&mut reply.body.0),
            Answer::Fault { message, .. } => {
                let mut text = std::mem::take(message).into_bytes();
                replace(&mut text, secrets);
                if self.client {
                    // `a::b` is an address as well as the name of a function.
                    self.addresses(&mut text, |address| address == client);
                }
                *message = String::from_utf8_lossy(&text).into_owned();
            }
            _ => {}
        }
    }

    fn field(&self, Field(name, value): &mut Field, secrets: &mut Secrets) {
        if !self.fields.contains(name) {
            return;
        }
        let mut hidden = |secret: &[u8]| {
            let hash = self.hash(secret);
            if secret.len() >= LEAST_SECRET {
                secrets.push((secret.to_vec(), hash.clone()));
            }
            hash
        };
        let bytes = value.0.as_slice();
        value.0 = match name.as_str() {
            // The names of cookies stay: policies look for theirs.
            "cookie" => {
                bytes.split(|b| *b == b';').map(|pair| pair_hidden(pair, &mut hidden)).collect::<Vec<_>>().join(&b';')
            }
            "set-cookie" => {
                let end = bytes.iter().position(|b| *b == b';').unwrap_or(bytes.len());
                [pair_hidden(&bytes[..end], &mut hidden), bytes[end..].to_vec()].concat()
            }
            // So does the scheme (RFC 9110 section 11.4).
            "authorization" | "proxy-authorization" => match bytes.iter().position(|b| *b == b' ') {
                Some(end) => [&bytes[..=end], &hidden(bytes[end..].trim_ascii())].concat(),
                None => hidden(bytes),
            },
            _ => hidden(bytes),
        };
    }

    fn query(&self, query: &str, secrets: &mut Secrets) -> String {
        let parameter = |parameter: &str| {
            let (name, value) = parameter.split_once('=')?;
            let hash = self.hash(value.as_bytes());
            if value.len() >= LEAST_SECRET {
                secrets.push((value.as_bytes().to_vec(), hash.clone()));
            }
            Some(format!("{name}={}", String::from_utf8_lossy(&hash)))
        };
        let mut parameter = parameter;
        let parts = query.split('&').map(|p| match (parameter(p), p.is_empty()) {
            (Some(hidden), _) => hidden,
            (None, true) => String::new(),
            // Without a name all of it may be a secret.
            (None, false) => String::from_utf8_lossy(&self.hash(p.as_bytes())).into_owned(),
        });
        parts.collect::<Vec<_>>().join("&")
    }

    fn hash(&self, secret: &[u8]) -> Vec<u8> {
        let hash: String = self.digest(secret)[..8].iter().map(|b| format!("{b:02x}")).collect();
        [MARK, &hash].concat().into_bytes()
    }

    fn digest(&self, secret: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.key).chain_update(secret).finalize().into()
    }

    /// Another address of the same family, from a range that nobody has: of 198.18.0.0/15 (RFC 2544) or 2001:db8::/32 (RFC 3849).
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

    /// Replaces the addresses in a text that are meant.
    fn addresses(&self, text: &mut Vec<u8>, meant: impl Fn(IpAddr) -> bool) {
        let part = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b'.' | b':');
        let mut changed = Vec::with_capacity(text.len());
        for run in text.chunk_by(|a, b| part(a) == part(b)) {
            match std::str::from_utf8(run).ok().and_then(parse_address).filter(|(address, _)| meant(*address)) {
                Some((address, rest)) => {
                    changed.extend_from_slice(self.address(address).to_string().as_bytes());
                    changed.extend_from_slice(rest.as_bytes());
                }
                None => changed.extend_from_slice(run),
            }
        }
        *text = changed;
    }
}

/// An address, and what follows it: a port.
fn parse_address(run: &str) -> Option<(IpAddr, &str)> {
    if let Ok(address) = run.parse() {
        return Some((address, ""));
    }
    let at = run.find(':').filter(|at| run[..*at].contains('.'))?;
    Some((run[..at].parse().ok()?, &run[at..]))
}

/// All lists of fields that a request holds.
fn each_list(request: &mut Request, change: &mut dyn FnMut(&mut Vec<Field>)) {
    change(&mut request.fields);
    for call in &mut request.calls {
        call.sees.iter_mut().for_each(&mut *change);
        call.edited.iter_mut().for_each(&mut *change);
        call.response.iter_mut().for_each(|response| change(&mut response.fields));
        if let Answer::Reply(reply) = &mut call.answer {
            change(&mut reply.fields);
        }
    }
}

/// `name=secret` with the secret hidden, white space around it kept.
fn pair_hidden(pair: &[u8], hidden: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let start = pair.iter().position(|b| *b == b'=').map_or(0, |at| at + 1);
    let value = pair[start..].trim_ascii();
    match value.is_empty() {
        true => pair.to_vec(),
        false => [&pair[..start], &hidden(value)].concat(),
    }
}

/// In one pass, so that nothing is looked for in what was put there; where several begin, the longest.
fn replace(text: &mut Vec<u8>, secrets: &Secrets) {
    let Some(shortest) = secrets.iter().map(|(secret, _)| secret.len()).min() else { return };
    let mut begins = [false; 256];
    secrets.iter().filter_map(|(secret, _)| secret.first()).for_each(|b| begins[usize::from(*b)] = true);
    let mut changed: Option<Vec<u8>> = None;
    let (mut at, mut copied) = (0, 0);
    while at + shortest <= text.len() {
        let here = &text[at..];
        let found = match begins[usize::from(here[0])] {
            true => secrets.iter().find(|(secret, _)| here.starts_with(secret)),
            false => None,
        };
        let Some((secret, hash)) = found else {
            at += 1;
            continue;
        };
        let changed = changed.get_or_insert_default();
        changed.extend_from_slice(&text[copied..at]);
        changed.extend_from_slice(hash);
        at += secret.len();
        copied = at;
    }
    if let Some(mut changed) = changed {
        changed.extend_from_slice(&text[copied..]);
        *text = changed;
    }
}

/// Whether the value was replaced when it was recorded.
pub fn is_redacted(value: &Octets) -> bool {
    memchr::memmem::find(&value.0, MARK.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(client: bool) -> Redactor {
        Redactor { key: [7; 32], fields: vec!["x-key".to_owned(), "cookie".to_owned()], query: true, client }
    }

    #[test]
    fn secrets_are_replaced_in_one_pass_the_longest_first() {
        let secrets: Secrets = [("longer-secret", "<1>"), ("secret-x", "<2>"), ("<1>secret", "<3>")]
            .map(|(a, b)| (a.into(), b.into()))
            .to_vec();
        for (text, becomes) in [
            ("a longer-secret b", "a <1> b"),
            ("longer-secret-x", "<1>-x"),
            ("secret-xsecret-x", "<2><2>"),
            ("longer-secretsecret", "<1>secret"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            let mut changed = text.as_bytes().to_vec();
            replace(&mut changed, &secrets);
            assert_eq!(String::from_utf8(changed).unwrap(), becomes, "{text}");
        }
    }

    #[test]
    fn addresses_are_found_where_they_stand_alone_and_stay_of_their_family() {
        let redactor = redactor(true);
        let other = |text: &str| redactor.address(text.parse().unwrap()).to_string();
        let changed = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            redactor.addresses(&mut bytes, |_| true);
            String::from_utf8(bytes).unwrap()
        };
        let (four, six) = (other("192.0.2.7"), other("2001:db9::1"));
        assert!(four.starts_with("198.18.") || four.starts_with("198.19."), "{four}");
        assert!(six.starts_with("2001:db8:"), "{six}");
        assert_eq!(other("::ffff:192.0.2.7"), four, "the same address, however it is written");
        assert_eq!(changed("192.0.2.7, 2001:db9::1"), format!("{four}, {six}"));
        assert_eq!(changed("for=\"[2001:db9::1]:80\";by=192.0.2.7:80"), format!("for=\"[{six}]:80\";by={four}:80"));
        assert_eq!(changed("192.0.2.777 1.2.3 v2.0.1"), "192.0.2.777 1.2.3 v2.0.1");
    }

    #[test]
    fn cookies_and_parameters_keep_their_names() {
        let redactor = redactor(false);
        let mut secrets = Secrets::new();
        let mut field = Field("cookie".to_owned(), Octets(b"a=1; b=\xff; c=; d".to_vec()));
        redactor.field(&mut field, &mut secrets);
        let text = String::from_utf8(field.1.0).unwrap();
        let parts: Vec<&str> = text.split(';').collect();
        assert!(parts[0].starts_with("a=redacted:") && parts[1].starts_with(" b=redacted:"), "{text}");
        assert!(parts[2] == " c=" && parts[3].starts_with("redacted:"), "{text}");
        let query = redactor.query("a=1&&b=&c", &mut secrets);
        let parts: Vec<&str> = query.split('&').collect();
        assert!(parts[0].starts_with("a=redacted:") && parts[1].is_empty(), "{query}");
        assert!(parts[2].starts_with("b=redacted:") && parts[3].starts_with("redacted:"), "{query}");
        assert!(secrets.is_empty(), "short ones are not looked for");
    }
}
