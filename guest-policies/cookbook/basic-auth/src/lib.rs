//! Asks for a name and a password (RFC 7617), and tells the backend who it is.
//!
//! Use it for an internal tool that has no login of its own, over TLS only: the password is in each
//! request. The settings have the SHA-256 of `NAME:PASSWORD`, which `printf %s 'NAME:PASSWORD' |
//! sha256sum` computes; take long random passwords, because short ones can be guessed from it. The
//! backend does not get the password, and what a client sends in `field` is dropped. Write
//! `on-failure = 503` into the policy's section, so that a fault lets nobody in. A route's `cors`
//! answers preflights, which have no password, before policies are asked.
//!
//! ```toml
//! [policies.login.settings]
//! realm = "reports"
//! field = "x-user"                  # tells the backend the name; not told if left out
//!
//! [policies.login.settings.users]
//! ada = "b267dc90a1de3c62cb6850db1900490a99ac6df455228b6f8aea2ad2fab745a8"
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use waypost_policy::prelude::*;

/// The most characters of credentials that are read.
const LONGEST: usize = 1024;

struct BasicAuth {
    users: BTreeMap<String, [u8; 32]>,
    challenge: String,
    field: Option<String>,
    refused: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "realm")]
    realm: String,
    field: Option<String>,
    users: BTreeMap<String, String>,
}

fn realm() -> String {
    "restricted".to_owned()
}

impl Configure for BasicAuth {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte);
        if !options.realm.bytes().all(plain) {
            return Err("realm: has to be plain text without quotes".to_owned());
        }
        if let Some(field) = &options.field {
            Headers::check_name("field", field)?;
        }
        let mut users = BTreeMap::new();
        for (name, digits) in options.users {
            if name.is_empty() || !name.bytes().all(plain) || name.contains(':') {
                return Err(format!("users: \"{name}\" can't be a name"));
            }
            let hash = hash(&digits).ok_or_else(|| {
                format!("users.{name}: has to be the 64 hexadecimal digits of a SHA-256")
            })?;
            users.insert(name, hash);
        }
        let realm = options.realm;
        Ok(BasicAuth {
            users,
            challenge: format!("Basic realm=\"{realm}\", charset=\"UTF-8\""),
            field: options.field,
            refused: Counter::define("refused")?,
        })
    }
}

fn hash(digits: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|two| two[0] << 4 | two[two.len() - 1])
        .collect();
    if digits.len() == 64 {
        bytes.try_into().ok()
    } else {
        None
    }
}

impl EditRequest for BasicAuth {
    fn edit_request(&mut self, request: &Request, headers: &mut Headers) -> Result<(), Response> {
        let name = match request.header_values("authorization").as_slice() {
            [credentials] => self.user(credentials),
            _ => None,
        };
        let Some(name) = name else {
            self.refused.count();
            return Err(self.refusal());
        };
        let mut edit = || {
            headers.remove("authorization")?;
            match &self.field {
                Some(field) => headers.set(field, name),
                None => Ok(()),
            }
        };
        edit().map_err(|_| self.refusal())
    }
}

impl BasicAuth {
    /// The name of the user that these credentials are right for.
    fn user(&self, credentials: &[u8]) -> Option<&str> {
        let (scheme, token) = credentials.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") || token.len() > LONGEST {
            return None;
        }
        let pair = decoded(token.trim_ascii())?;
        let name = pair.split(|&byte| byte == b':').next()?;
        let given: [u8; 32] = Sha256::digest(&pair).into();
        let (name, hash) = self.users.get_key_value(str::from_utf8(name).ok()?)?;
        // Every byte is compared, so that the time says nothing about the first that differs.
        let differs = given
            .iter()
            .zip(hash)
            .fold(0, |all, (one, other)| all | (one ^ other));
        (differs == 0).then_some(name)
    }

    fn refusal(&self) -> Response {
        let refusal = Response::new(401).field("www-authenticate", &self.challenge);
        refusal.text("This needs a name and a password.\n")
    }
}

/// Base64 (RFC 4648 section 4), with its padding.
fn decoded(token: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(token.len());
    for four in token.chunks(4) {
        let padding = four.iter().rev().take_while(|&&byte| byte == b'=').count();
        if four.len() != 4 || padding > 2 {
            return None;
        }
        let mut bits = 0_u32;
        for &byte in &four[..4 - padding] {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let [_, all @ ..] = (bits << (6 * padding)).to_be_bytes();
        bytes.extend_from_slice(&all[..3 - padding]);
    }
    Some(bytes)
}

waypost_policy::export!(BasicAuth: Configure, EditRequest);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    // printf %s 'ada:long and random' | sha256sum
    const SETTINGS: &str = r#"{"realm": "reports", "field": "x-user", "users":
        {"ada": "b267dc90a1de3c62cb6850db1900490a99ac6df455228b6f8aea2ad2fab745a8"}}"#;

    fn asking(credentials: &str) -> testing::TestRequest {
        testing::get("/")
            .field("authorization", credentials)
            .field("x-user", "root")
    }

    #[test]
    fn only_the_right_password_passes_and_the_backend_does_not_get_it() {
        let host = Host::new();
        let mut policy = host.load::<BasicAuth>(SETTINGS).unwrap();
        let mut right = asking("Basic YWRhOmxvbmcgYW5kIHJhbmRvbQ==");
        assert_eq!(policy.edit_request(&mut right), Ok(()));
        assert_eq!(
            (right.text("x-user"), right.value("authorization")),
            (Some("ada"), None)
        );
        assert!(
            policy
                .edit_request(&mut asking("bASIC YWRhOmxvbmcgYW5kIHJhbmRvbQ=="))
                .is_ok()
        );
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic YWRhOmxvbmcgYW5kIHJhbmRvbQ===",
            "Basic YWRhOndyb25n",
            "Basic YWRh",
            "Basic =",
            "Basic ====",
            "Basic \u{e4}\u{e4}",
            "Bearer YWRhOmxvbmcgYW5kIHJhbmRvbQ==",
        ] {
            let refusal = policy.edit_request(&mut asking(wrong)).unwrap_err();
            let challenge = refusal.value("www-authenticate").unwrap();
            assert!(challenge.starts_with(b"Basic realm=\"reports\""), "{wrong}");
            assert_eq!(refusal.status, 401, "{wrong}");
        }
        let mut twice = asking("Basic YWRhOmxvbmcgYW5kIHJhbmRvbQ==")
            .field("authorization", "Basic YWRhOmxvbmcgYW5kIHJhbmRvbQ==");
        assert!(policy.edit_request(&mut twice).is_err());
        assert!(policy.edit_request(&mut testing::get("/")).is_err());
        assert_eq!(host.counted("refused"), 12);
    }

    #[test]
    fn base64_is_read_strictly() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYg==", Some(b"foob")),
            ("Zg", None),
            ("Z===", None),
            ("Z=g=", None),
            ("Zm9-", None),
        ] {
            assert_eq!(decoded(text.as_bytes()).as_deref(), bytes, "{text}");
        }
    }

    #[test]
    fn mistakes_name_their_key() {
        for (settings, expected) in [
            (
                r#"{"users": {"ada": "abc"}}"#,
                "users.ada: has to be the 64",
            ),
            (
                r#"{"users": {"a:b": ""}}"#,
                "users: \"a:b\" can't be a name",
            ),
            (r#"{"users": {}, "realm": "a\"b"}"#, "realm: "),
            (r#"{"users": {}, "field": "a b"}"#, "field: "),
        ] {
            let error = Host::new().load::<BasicAuth>(settings).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
