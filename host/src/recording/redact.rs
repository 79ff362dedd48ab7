//! Redaction: removes credentials and, if configured, values of queries and clients' addresses.
//!
//! A value is replaced by a hash whose key exists only in the writing process, so that equal values
//! stay equal within a recording but can't be guessed. What a policy derived from a value (a key of
//! its store, a field, a body) gets the same hash, so that the component finds in a replay what it
//! stored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

use super::addresses::Sought;
use super::connection::ClientCertificate;
use super::format::{Answer, Call, Field, Request};
use super::secrets::{Secrets, base64_decoded};
use super::ways::Target;
use crate::config::RecordingConfig;
use crate::message::names::{self, Claim, Owned, Owner};
use crate::policy::Octets;
use crate::units::hex;

/// The prefix of a hash.
pub(super) const MARK: &str = "redacted:";

/// Whether a field of this name contains addresses of clients.
fn holds_addresses(name: &str) -> bool {
    let claims_one = |found: Owned| found.owner == Owner::Client(Claim::Address);
    name == "forwarded" || names::owned(name.as_bytes()).is_some_and(claims_one)
}

/// Replaces secrets in requests.
#[derive(Debug)]
pub(super) struct Redactor {
    key: [u8; 32],
    fields: Vec<String>,
    query: bool,
    client: bool,
}

/// The secrets of one request.
struct Hidden {
    secrets: Secrets,
    client: Sought,
    addresses: Sought,
}

impl Redactor {
    pub(super) fn new(record: &RecordingConfig) -> Self {
        Self {
            key: rand::random(),
            fields: record.redact.clone(),
            query: record.redact_query,
            client: record.redact_client,
        }
    }

    /// Redacts a request.
    pub(super) fn apply(&self, request: &mut Request) {
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
        if self.query {
            let queries = request.calls.iter_mut().flat_map(|call| {
                let targets = call.target.iter_mut().chain(&mut call.edited_target);
                targets.filter_map(|target| target.query.as_mut())
            });
            queries.for_each(|query| *query = self.query(query, &mut secrets));
        }
        let certificate = request.tls.as_mut();
        let certificate = certificate.and_then(|tls| tls.client_certificate.as_mut());
        if let Some(certificate) = certificate.filter(|_| self.client) {
            self.certificate(certificate, &mut secrets);
        }
        let users = request.calls.iter_mut();
        let users = users.filter_map(|call| call.destination.as_mut()?.user.as_mut());
        for user in users.filter(|_| self.client) {
            self.user(user, &mut secrets);
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
                // A value that is a hash already reveals nothing.
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

    /// Redacts a policy's store calls and answers.
    fn call(&self, call: &mut Call, hidden: &Hidden) {
        for target in call.target.iter_mut().chain(&mut call.edited_target) {
            let Target { path, query, host } = target;
            let texts = [path, host].into_iter().chain(query);
            texts.for_each(|text| self.clean_text(text, hidden, &hidden.addresses));
        }
        if let Some(tape) = &mut call.tape {
            tape.change_texts(&mut |text| self.clean(text, hidden, &hidden.addresses));
        }
        match &mut call.answer {
            Answer::Reply(reply) => self.clean(&mut reply.body.0, hidden, &hidden.addresses),
            Answer::Fault { message, .. } => {
                // `a::b` can be an address or the name of a function.
                self.clean_text(message, hidden, &hidden.client);
            }
            _ => {}
        }
    }

    fn clean_text(&self, text: &mut String, hidden: &Hidden, sought: &Sought) {
        let mut bytes = std::mem::take(text).into_bytes();
        self.clean(&mut bytes, hidden, sought);
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }

    /// Redacts a text.
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
            // The names of cookies stay, because policies look for theirs.
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

    /// Redacts the name of who has signed in.
    fn user(&self, user: &mut String, secrets: &mut Secrets) {
        let by = self.hash_text(user);
        secrets.add(user.as_bytes(), by.as_bytes());
        *user = by;
    }

    /// Replaces what a certificate says of the client, each part by one of the same form.
    fn certificate(&self, own: &mut ClientCertificate, secrets: &mut Secrets) {
        let digest = |text: &str| hex(&self.digest(text.as_bytes()));
        let mut replace = |text: &mut String, by: String| {
            secrets.add(text.as_bytes(), by.as_bytes());
            *text = by;
        };
        let fingerprint = digest(&own.fingerprint);
        replace(&mut own.fingerprint, fingerprint);
        let serial_number = digest(&own.serial_number)[..16].to_owned();
        replace(&mut own.serial_number, serial_number);
        for text in own.names.iter_mut() {
            let Some((kind, name)) = text.split_once(':') else {
                continue;
            };
            let (kind, mut name) = (kind.to_owned(), name.to_owned());
            let by = match name.parse() {
                Ok(address) if kind == "IP" => self.address(address).to_string(),
                _ => self.hash_text(&name),
            };
            replace(&mut name, by);
            *text = format!("{kind}:{name}");
        }
        if !own.subject.is_empty() {
            let by = self.hash_text(&own.subject);
            replace(&mut own.subject, by);
        }
    }

    /// The hash of a value, which is replaced elsewhere from now on.
    fn hidden(&self, secret: &[u8], secrets: &mut Secrets) -> Vec<u8> {
        let hash = self.hash(secret);
        secrets.add_with_forms(secret, &hash);
        hash
    }

    /// Adds the user and the password of Basic credentials (RFC 7617).
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
            // Without a name, all of it may be a secret.
            None => hidden(part),
        });
        parts.collect::<Vec<_>>().join("&")
    }

    fn hash(&self, secret: &[u8]) -> Vec<u8> {
        self.hash_of(secret).into_bytes()
    }

    fn hash_text(&self, secret: &str) -> String {
        self.hash_of(secret.as_bytes())
    }

    fn hash_of(&self, secret: &[u8]) -> String {
        [MARK, &hex(&self.digest(secret)[..8])].concat()
    }

    fn digest(&self, secret: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.key)
            .chain_update(secret)
            .finalize()
            .into()
    }

    /// Another address of the same family, from a range without real hosts: 198.18.0.0/15 (RFC
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

    /// Replaces addresses.
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

/// All lists of fields in a request.
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
mod tests;
