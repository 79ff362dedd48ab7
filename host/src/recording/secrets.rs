//! The secrets of one request, which are replaced wherever they occur, in all their encodings.

use std::cmp::Reverse;
use std::collections::HashMap;

/// A shorter value is replaced in its own place only: elsewhere it would match by chance.
const LEAST: usize = 8;
/// With more secrets than this, texts that could contain them are hidden as a whole.
const MOST: usize = 512;

/// Secrets and their replacements.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// By their first bytes, the longest first.
    by_start: HashMap<[u8; LEAST], Vec<Secret>>,
    count: usize,
}

/// A value and its hash.
type Secret = (Vec<u8>, Vec<u8>);

impl Secrets {
    /// Adds a value, unless it is too short.
    pub(super) fn add(&mut self, secret: &[u8], hash: &[u8]) {
        let Some(start) = secret.first_chunk::<LEAST>() else {
            return;
        };
        if self.are_too_many() {
            return;
        }
        let alike = self.by_start.entry(*start).or_default();
        let before = |known: &[u8]| (Reverse(known.len()), known) < (Reverse(secret.len()), secret);
        let at = alike.partition_point(|(known, _)| before(known));
        if alike.get(at).is_none_or(|(known, _)| known != secret) {
            alike.insert(at, (secret.to_vec(), hash.to_vec()));
            self.count += 1;
        }
    }

    /// Adds a value and its decoded forms, all with the same hash, so that a component that decodes
    /// the recorded value finds what it stored.
    pub(super) fn add_with_forms(&mut self, secret: &[u8], hash: &[u8]) {
        self.add(secret, hash);
        let bare = secret
            .strip_prefix(b"\"")
            .and_then(|s| s.strip_suffix(b"\""))
            .unwrap_or(secret);
        self.add(bare, hash);
        self.add(&percent_decoded(bare, false), hash);
        self.add(&percent_decoded(bare, true), hash);
    }

    /// Whether there are too many.
    pub(super) fn are_too_many(&self) -> bool {
        self.count > MOST
    }

    /// Replaces them in one pass, so that replacements are not searched. At each position the
    /// longest match wins.
    pub(super) fn replace(&self, text: &mut Vec<u8>) {
        if self.by_start.is_empty() {
            return;
        }
        let mut changed: Option<Vec<u8>> = None;
        let (mut at, mut copied) = (0, 0);
        while let Some(start) = text[at..].first_chunk::<LEAST>() {
            let alike = self.by_start.get(start);
            let found = alike.and_then(|alike| {
                alike
                    .iter()
                    .find(|(secret, _)| text[at..].starts_with(secret))
            });
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
}

/// Decodes percent-encoding; a `%` without two digits stays. In a form, `+` is a space.
fn percent_decoded(text: &[u8], form: bool) -> Vec<u8> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        let pair = match (first, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &after[2..];
            }
            None if form && *first == b'+' => decoded.push(b' '),
            None => decoded.push(*first),
        }
    }
    decoded
}

/// Decodes base64 (RFC 4648) of either alphabet.
pub(super) fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0u32, 0);
    for b in text.iter().take_while(|b| **b != b'=') {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (bits, count) = ((bits << 6 | u32::from(six)) & 0xffff, count + 6);
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(secrets: &Secrets, text: &str) -> String {
        let mut changed = text.as_bytes().to_vec();
        secrets.replace(&mut changed);
        String::from_utf8(changed).unwrap()
    }

    #[test]
    fn secrets_are_replaced_in_one_pass_the_longest_first() {
        let mut secrets = Secrets::default();
        for (secret, hash) in [
            ("secret-x", "<2>"),
            ("longer-secret", "<1>"),
            ("longer-s", "<4>"),
            ("<1>secret", "<3>"),
        ] {
            secrets.add(secret.as_bytes(), hash.as_bytes());
        }
        for (text, becomes) in [
            ("a longer-secret b", "a <1> b"),
            ("longer-secret-x", "<1>-x"),
            ("longer-sec", "<4>ec"),
            ("secret-xsecret-x", "<2><2>"),
            ("longer-secretsecret", "<1>secret"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            assert_eq!(replaced(&secrets, text), becomes, "{text}");
        }
    }

    #[test]
    fn decoded_secrets_are_found_and_short_ones_are_not_looked_for() {
        let mut secrets = Secrets::default();
        secrets.add_with_forms(b"open%20sesa+me%", b"<1>");
        secrets.add_with_forms(b"\"in-quotes\"", b"<2>");
        secrets.add_with_forms(b"%41%42%43", b"<3>");
        for (text, becomes) in [
            ("open%20sesa+me%", "<1>"),
            ("a open sesa+me% b", "a <1> b"),
            ("open sesa me%", "<1>"),
            ("\"in-quotes\" in-quotes", "<2> <2>"),
            ("%41%42%43 ABC", "<3> ABC"),
        ] {
            assert_eq!(replaced(&secrets, text), becomes, "{text}");
        }
    }

    #[test]
    fn base64_is_read() {
        for (text, meant) in [
            ("dXNlcjpwYXNz", "user:pass"),
            ("YQ==", "a"),
            ("YWI", "ab"),
            ("", ""),
        ] {
            assert_eq!(
                base64_decoded(text.as_bytes()).as_deref(),
                Some(meant.as_bytes()),
                "{text}"
            );
        }
        assert_eq!(base64_decoded(b"-_-_"), base64_decoded(b"+/+/"));
        assert_eq!(base64_decoded(b"a b"), None);
    }
}
