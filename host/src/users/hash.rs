//! Hashes of passwords: bcrypt and SHA-crypt.

use std::fmt;

use sha_crypt::{PasswordHashRef, PasswordVerifier, ShaCrypt};

/// A hash that takes longer would let few clients keep all cores busy: about a second.
const MOST_COST: u32 = 14;
/// The same of SHA-crypt.
const MOST_ROUNDS: u32 = 1_000_000;
/// Where the hash names none.
const ROUNDS: u32 = 5_000;

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash {
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bcrypt { cost: u32 },
    ShaCrypt { rounds: u32 },
}

impl Hash {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let kind = match text.split('$').collect::<Vec<_>>()[..] {
            ["", "2y" | "2b" | "2a", cost, rest] => bcrypt(cost, rest)?,
            ["", "5" | "6", salt, hash] => sha_crypt(text, ROUNDS, salt, hash)?,
            ["", "5" | "6", rounds, salt, hash] => {
                let written = rounds.strip_prefix("rounds=").and_then(|n| n.parse().ok());
                let rounds = written.ok_or("has a hash whose `rounds` are no number")?;
                sha_crypt(text, rounds, salt, hash)?
            }
            _ => return Err(unknown(text).to_owned()),
        };
        let text = text.to_owned();
        Ok(Self { kind, text })
    }

    /// Whether this is its password. Takes as long as it takes.
    pub(super) fn fits(&self, password: &str) -> bool {
        match self.kind {
            Kind::Bcrypt { .. } => bcrypt::verify(password, &self.text).unwrap_or(false),
            Kind::ShaCrypt { .. } => PasswordHashRef::new(&self.text).is_ok_and(|hash| {
                let with = ShaCrypt::default();
                with.verify_password(password.as_bytes(), hash).is_ok()
            }),
        }
    }

    /// About how long it takes, in microseconds.
    pub(super) fn work(&self) -> u64 {
        match self.kind {
            Kind::Bcrypt { cost } => 60 << cost,
            Kind::ShaCrypt { rounds } => u64::from(rounds),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

fn bcrypt(cost: &str, rest: &str) -> Result<Kind, String> {
    let digits = cost.len() == 2 && cost.bytes().all(|b| b.is_ascii_digit());
    let cost: u32 = match cost.parse() {
        Ok(cost) if digits => cost,
        _ => return Err("has a bcrypt hash without a cost of two digits".to_owned()),
    };
    if !(4..=MOST_COST).contains(&cost) {
        return Err(format!(
            "has a bcrypt hash of cost {cost}; a cost from 4 to {MOST_COST} is taken: `htpasswd -B \
             -C 10`"
        ));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"./".contains(&b);
    match rest.len() == 53 && rest.bytes().all(fits) {
        true => Ok(Kind::Bcrypt { cost }),
        false => Err("has a bcrypt hash that was cut or edited; write it again".to_owned()),
    }
}

fn sha_crypt(text: &str, rounds: u32, salt: &str, hash: &str) -> Result<Kind, String> {
    if !(1_000..=MOST_ROUNDS).contains(&rounds) {
        return Err(format!(
            "has a hash of {rounds} rounds; 1000 to {MOST_ROUNDS} are taken"
        ));
    }
    let length = if text.starts_with("$5") { 43 } else { 86 };
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"./".contains(&b);
    let is_whole = hash.len() == length && hash.bytes().all(fits);
    match is_whole && (1..=16).contains(&salt.len()) && PasswordHashRef::new(text).is_ok() {
        true => Ok(Kind::ShaCrypt { rounds }),
        false => Err("has a hash that was cut or edited; write it again".to_owned()),
    }
}

/// What is wrong with a hash of another kind.
fn unknown(text: &str) -> &'static str {
    let starts = |prefix: &str| text.starts_with(prefix);
    if starts("$apr1$") || starts("$1$") {
        "has a hash of MD5, which can be guessed too quickly; write it again with `htpasswd -B`"
    } else if starts("{SHA}") {
        "has a hash of SHA-1, which can be guessed too quickly; write it again with `htpasswd -B`"
    } else {
        "has no hash that is known: bcrypt (`htpasswd -B`) and SHA-crypt (`mkpasswd`, `openssl \
         passwd -6`) are; passwords are never in the file themselves"
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}
