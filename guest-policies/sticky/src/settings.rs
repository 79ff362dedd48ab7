//! The operator's settings: JSON text to meaning. Every error names its key.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Ten years, in seconds: browsers keep no cookie longer.
const LONGEST: u64 = 10 * 366 * 24 * 3600;

const KEYS: [&str; 7] = [
    "cookie",
    "max-age",
    "path",
    "secure",
    "http-only",
    "same-site",
    "remember",
];

/// What the operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cookie's name.
    pub cookie: String,
    /// What follows its value in `Set-Cookie`.
    pub attributes: String,
    /// For how long the workers remember a client without a cookie, in milliseconds; 0 if not at
    /// all.
    pub remember_milliseconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            cookie: "waypost".to_owned(),
            attributes: "; Path=/; HttpOnly; SameSite=Lax".to_owned(),
            remember_milliseconds: 60_000,
        }
    }
}

impl Settings {
    /// Reads JSON text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("settings: not JSON: {error}"))?;
        let Some(table) = value.as_object() else {
            return Err("settings: has to be a table".to_owned());
        };
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("{key}: unknown key; there are {}", KEYS.join(", ")));
        }
        Ok(Settings {
            cookie: cookie_name(table)?,
            attributes: attributes(table)?,
            remember_milliseconds: seconds(table, "remember")?.unwrap_or(60) * 1000,
        })
    }
}

fn cookie_name(table: &Map<String, Value>) -> Result<String, String> {
    let name = text(table, "cookie")?.unwrap_or("waypost");
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty() && name.len() <= 128 && name.bytes().all(token) {
        true => Ok(name.to_owned()),
        false => Err(format!("cookie: \"{name}\" is not a cookie's name")),
    }
}

fn attributes(table: &Map<String, Value>) -> Result<String, String> {
    let path = text(table, "path")?.unwrap_or("/");
    let allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b';';
    if !path.starts_with('/') || path.len() > 1024 || !path.bytes().all(allowed) {
        return Err(format!(
            "path: \"{path}\" has to start with a slash and hold no semicolon"
        ));
    }
    let mut written = format!("; Path={path}");
    if let Some(seconds) = seconds(table, "max-age")? {
        // Writing to a string does not fail.
        let _ = write!(written, "; Max-Age={seconds}");
    }
    let secure = flag(table, "secure")?.unwrap_or(false);
    if secure {
        written.push_str("; Secure");
    }
    if flag(table, "http-only")?.unwrap_or(true) {
        written.push_str("; HttpOnly");
    }
    written.push_str(match text(table, "same-site")?.unwrap_or("lax") {
        "lax" => "; SameSite=Lax",
        "strict" => "; SameSite=Strict",
        "none" if secure => "; SameSite=None",
        "none" => {
            return Err("same-site: browsers take \"none\" only with secure = true".to_owned());
        }
        other => {
            return Err(format!(
                "same-site: \"{other}\" is neither \"lax\" nor \"strict\" nor \"none\""
            ));
        }
    });
    Ok(written)
}

fn text<'a>(table: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .map(Some)
            .ok_or_else(|| format!("{key}: has to be a string")),
    }
}

fn flag(table: &Map<String, Value>, key: &str) -> Result<Option<bool>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(value) => value
            .as_bool()
            .map(Some)
            .ok_or_else(|| format!("{key}: has to be true or false")),
    }
}

fn seconds(table: &Map<String, Value>, key: &str) -> Result<Option<u64>, String> {
    let Some(value) = table.get(key) else {
        return Ok(None);
    };
    let seconds = value.as_u64().filter(|seconds| *seconds <= LONGEST);
    seconds
        .map(Some)
        .ok_or_else(|| format!("{key}: has to be a whole number of seconds, {LONGEST} at most"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_required() {
        assert_eq!(Settings::parse("{}").unwrap(), Settings::default());
    }

    #[test]
    fn a_whole_table() {
        let settings = Settings::parse(
            r#"{"cookie": "lb", "max-age": 3600, "path": "/shop", "secure": true, "http-only": false,
                "same-site": "none", "remember": 5}"#,
        );
        let attributes = "; Path=/shop; Max-Age=3600; Secure; SameSite=None".to_owned();
        let expected = Settings {
            cookie: "lb".to_owned(),
            attributes,
            remember_milliseconds: 5000,
        };
        assert_eq!(settings.unwrap(), expected);
    }

    #[test]
    fn every_error_names_its_key() {
        for (text, expected) in [
            ("{", "settings: not JSON"),
            ("[]", "settings: has to be a table"),
            (r#"{"cookie": 1}"#, "cookie: has to be a string"),
            (r#"{"cookie": "a=b"}"#, "cookie: \"a=b\" is not"),
            (r#"{"cookie": ""}"#, "cookie: \"\" is not"),
            (r#"{"path": "shop"}"#, "path: \"shop\" has to start"),
            (r#"{"path": "/; Domain=evil"}"#, "path: "),
            (r#"{"path": "/\r\n"}"#, "path: "),
            (r#"{"max-age": -1}"#, "max-age: has to be a whole number"),
            (
                r#"{"max-age": 99999999999}"#,
                "max-age: has to be a whole number",
            ),
            (r#"{"secure": "yes"}"#, "secure: has to be true or false"),
            (r#"{"http-only": 1}"#, "http-only: has to be true or false"),
            (r#"{"same-site": "Lax"}"#, "same-site: \"Lax\" is neither"),
            (r#"{"same-site": "none"}"#, "same-site: browsers take"),
            (r#"{"remember": 1.5}"#, "remember: has to be a whole number"),
            (r#"{"http_only": true}"#, "http_only: unknown key"),
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
