//! What a route asks of a request beside its host: path, method, header fields, query.

use std::fmt;

use http::Method;

use super::pattern::Pattern;

/// The paths of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// This path and all below it, at segment borders; `/` for all. Without a trailing slash.
    Prefix(String),
    /// This path only.
    Exact(String),
    /// Paths that the expression is found in.
    Regex(Pattern),
}

/// What else must hold; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `methods`: one of these; empty for all.
    pub methods: Vec<Method>,
    /// `headers`: fields by their names in lower case.
    pub headers: Vec<(String, ValueMatch)>,
    /// `query`: parameters by their decoded names.
    pub query: Vec<(String, ValueMatch)>,
}

/// What a value must be. Of a name that occurs several times, one value has to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueMatch {
    /// There is one, or there is none.
    Present(bool),
    /// It is this one.
    Exact(String),
    /// It begins so.
    Prefix(String),
    /// The expression is found in it.
    Regex(Pattern),
}

impl Conditions {
    /// How many there are: a list of methods counts as one.
    pub fn count(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.headers.len() + self.query.len()
    }

    /// Whether all requests with these have what the others ask for, as far as that can be seen.
    pub(super) fn imply(&self, others: &Self) -> bool {
        let methods = others.methods.is_empty()
            || !self.methods.is_empty() && self.methods.iter().all(|m| others.methods.contains(m));
        methods && imply(&self.headers, &others.headers) && imply(&self.query, &others.query)
    }
}

fn imply(these: &[(String, ValueMatch)], others: &[(String, ValueMatch)]) -> bool {
    others.iter().all(|(name, wanted)| {
        let mut of_name = these.iter().filter(|(known, _)| known == name);
        of_name.any(|(_, is)| is.implies(wanted))
    })
}

impl ValueMatch {
    /// Whether the values that are there fulfil it.
    pub fn holds<V: AsRef<[u8]>>(&self, mut values: impl Iterator<Item = V>) -> bool {
        match self {
            Self::Present(wanted) => values.next().is_some() == *wanted,
            Self::Exact(wanted) => values.any(|value| value.as_ref() == wanted.as_bytes()),
            Self::Prefix(wanted) => {
                values.any(|value| value.as_ref().starts_with(wanted.as_bytes()))
            }
            Self::Regex(pattern) => values.any(|value| pattern.is_in(value.as_ref())),
        }
    }

    fn implies(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (is, wanted) if is == wanted => true,
            (Self::Present(false), _) | (_, Self::Present(false)) => false,
            (_, Self::Present(true)) => true,
            (Self::Exact(is), Self::Prefix(wanted)) | (Self::Prefix(is), Self::Prefix(wanted)) => {
                is.starts_with(wanted.as_str())
            }
            (Self::Exact(is), Self::Regex(wanted)) => wanted.is_in(is.as_bytes()),
            _ => false,
        }
    }
}

impl fmt::Display for PathMatch {
    /// As part of a route's name, in nginx's signs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(path) => f.write_str(path),
            Self::Exact(path) => write!(f, "={path}"),
            Self::Regex(pattern) => write!(f, "~{pattern}"),
        }
    }
}

impl fmt::Display for Conditions {
    /// As part of a route's name; nothing if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count() == 0 {
            return Ok(());
        }
        f.write_str(" [")?;
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let mut between = "";
        if !methods.is_empty() {
            f.write_str(&methods.join("|"))?;
            between = " ";
        }
        let headers = self.headers.iter().map(|one| ("", one));
        let query = self.query.iter().map(|one| ("?", one));
        for (mark, (name, value)) in headers.chain(query) {
            match value {
                ValueMatch::Present(_) => write!(f, "{between}{mark}{name}{value}")?,
                _ if names_secret(name) => write!(f, "{between}{mark}{name}=…")?,
                _ => write!(f, "{between}{mark}{name}{value}")?,
            }
            between = " ";
        }
        f.write_str("]")
    }
}

/// What stands in names of credentials.
const SECRET_WORDS: [&str; 14] = [
    "auth",
    "bearer",
    "cookie",
    "credential",
    "hmac",
    "jwt",
    "key",
    "pass",
    "pwd",
    "secret",
    "session",
    "sign",
    "token",
    "verify",
];
/// The same, but only as a whole word.
const SECRET_PARTS: [&str; 4] = ["code", "otp", "pin", "sig"];

/// Whether a header field or a parameter of this name is likely to hold a credential, which no log
/// and no page shows.
pub fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |word: &&str| name.contains(word);
    let is_part = |word: &&str| name.split(['-', '_', '.']).any(|part| part == *word);
    SECRET_WORDS.iter().any(has) || SECRET_PARTS.iter().any(is_part)
}

impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(true) => Ok(()),
            Self::Present(false) => f.write_str("!"),
            Self::Exact(value) => write!(f, "={value}"),
            Self::Prefix(value) => write!(f, "={value}*"),
            Self::Regex(pattern) => write!(f, "~{pattern}"),
        }
    }
}
