//! Users: who may use the forward proxy?
//!
//! A file of names and hashes of passwords ([`Users`]), as `htpasswd -B`, `mkpasswd` and `openssl
//! passwd` write them, and the door at which workers ask ([`Door`]): it knows what was checked
//! lately, since a hash takes some 50 ms, and whom not to answer for a while. `app` reads the file
//! and watches it, `proxy` asks. Knows nothing of HTTP.

mod door;
mod hash;
mod lately;

use std::collections::HashMap;
use std::fmt;

pub use self::door::{Credentials, Door, Verdict};
use self::hash::Hash;

/// A longer line is none that the programs for such files write.
const LONGEST_LINE: usize = 1_024;

/// The users of a file.
pub struct Users {
    by_name: HashMap<String, Hash>,
    /// What an unknown user's password is compared with, so that it takes as long as that of a
    /// known one: the hash that takes longest.
    decoy: Option<Hash>,
}

/// A line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// A sentence without a full stop.
    pub reason: String,
}

impl Users {
    /// Reads the text of a file. Empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    ///
    /// The first line that is not a user's.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut by_name = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = user(line).map_err(|reason| BadLine {
                line: number,
                reason,
            })?;
            if by_name.insert(name.to_owned(), hash).is_some() {
                return Err(BadLine {
                    line: number,
                    reason: format!("the user {name:?} is in the file twice; remove one of them"),
                });
            }
        }
        let decoy = by_name.values().max_by_key(|hash| hash.work()).cloned();
        Ok(Self { by_name, decoy })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether this is the password of this user. Takes as long for a user who is not there.
    fn verify(&self, user: &str, password: &str) -> bool {
        let found = self.by_name.get(user);
        let Some(hash) = found.or(self.decoy.as_ref()) else {
            return false;
        };
        hash.fits(password) && found.is_some()
    }

    /// The text of the user's hash, so that what was checked with another one counts no more.
    fn text(&self, user: &str) -> Option<&str> {
        self.by_name.get(user).map(Hash::as_str)
    }
}

fn user(line: &str) -> Result<(&str, Hash), String> {
    if line.len() > LONGEST_LINE {
        return Err(format!("is longer than {LONGEST_LINE} bytes"));
    }
    let Some((name, hash)) = line.split_once(':') else {
        return Err("is no user; write a name, a colon and a hash".to_owned());
    };
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err("has no user name before the colon".to_owned());
    }
    // Some programs add fields behind another colon.
    let hash = hash.split(':').next().unwrap_or_default();
    Ok((name, Hash::parse(hash)?))
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.by_name.len();
        f.debug_struct("Users").field("count", &count).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    /// Of the password `secret`, by `openssl passwd`.
    const SHA256: &str = "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA";
    const SHA512: &str = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiO\
        QSpT0Y77vwPZN.Pq.H91p5hVO1";

    fn error(line: &str) -> String {
        Users::parse(line).unwrap_err().to_string()
    }

    #[test]
    fn hashes_of_each_kind_fit_their_password_and_no_other() {
        let bcrypt = bcrypt::hash("secret", 4).unwrap().replace("$2b$", "$2y$");
        let text =
            format!("# users\n\nann:{bcrypt}\r\nben:{SHA256}\ncat:{SHA512}:of the second floor\n");
        let users = Users::parse(&text).unwrap();
        assert_eq!(users.len(), 3);
        for user in ["ann", "ben", "cat"] {
            assert!(users.verify(user, "secret"), "{user}");
            assert!(
                !users.verify(user, "Secret") && !users.verify(user, ""),
                "{user}"
            );
        }
        assert!(!users.verify("eve", "secret"));
    }

    #[test]
    fn what_is_no_good_hash_is_refused_with_its_line() {
        assert!(error("ann\n").starts_with("line 1: is no user"));
        assert!(error("# x\nann:secret\n").starts_with("line 2: "));
        assert!(error("ann:$apr1$abcdefgh$ijklmnop\n").contains("MD5"));
        assert!(error("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").contains("SHA-1"));
        assert!(
            error("ann:$2y$31$2fydRJVRCrcUK54qeX0MZuLcRsqzUMjvYEqxOcFyqh0Fof6N4cQ3K\n")
                .contains("cost")
        );
    }
}
