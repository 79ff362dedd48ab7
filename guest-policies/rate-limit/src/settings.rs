//! The operator's settings: JSON text to meaning. Every error names its key.

use serde_json::Value;

use crate::bucket::Limit;

/// One in a day or so, and more than a proxy serves: beyond them a slip is likely.
const RATE: std::ops::RangeInclusive<f64> = 0.00001..=1_000_000.0;
const BURST: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// What the operator wants.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How often and how many at once.
    pub limit: Limit,
    /// Who has a bucket.
    pub key: Key,
    /// IPv6 clients with the same first bits are one client.
    pub prefix_v6: u32,
}

/// Who has a bucket.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Key {
    /// A client's address.
    #[default]
    Client,
    /// A value of this field; without the field, the client's address.
    Header(String),
}

impl Settings {
    /// Reads JSON text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("settings: not JSON: {error}"))?;
        let Some(table) = value.as_object() else {
            return Err("settings: has to be a table".to_owned());
        };
        if let Some(key) = table
            .keys()
            .find(|key| !["rate", "burst", "key", "prefix-v6"].contains(&key.as_str()))
        {
            return Err(format!(
                "{key}: unknown key; there are rate, burst, key, prefix-v6"
            ));
        }
        let Some(rate) = table.get("rate") else {
            return Err(
                "rate: missing; say how many requests a second a client may make".to_owned(),
            );
        };
        let Some(rate) = rate.as_f64().filter(|rate| RATE.contains(rate)) else {
            return Err(
                "rate: has to be a number from 0.00001 to 1000000, requests a second".to_owned(),
            );
        };
        // Without a burst, as many as a second brings.
        let burst = match table.get("burst") {
            None => (rate.ceil() as u64).max(1),
            Some(value) => value
                .as_u64()
                .filter(|burst| BURST.contains(burst))
                .ok_or("burst: has to be a whole number from 1 to 1000000")?,
        };
        let prefix_v6 = match table.get("prefix-v6") {
            None => 64,
            Some(value) => value
                .as_u64()
                .filter(|bits| (1..=128).contains(bits))
                .ok_or("prefix-v6: has to be a number of bits from 1 to 128")?,
        };
        let key = table.get("key").map_or(Ok(Key::Client), key)?;
        Ok(Settings {
            limit: Limit::new(rate, burst as u32),
            key,
            prefix_v6: prefix_v6 as u32,
        })
    }
}

fn key(value: &Value) -> Result<Key, String> {
    let wrong = || "key: has to be \"client\", or \"header:\" and the name of a field".to_owned();
    let text = value.as_str().ok_or_else(wrong)?;
    if text == "client" {
        return Ok(Key::Client);
    }
    let name = text.strip_prefix("header:").ok_or_else(wrong)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty() && name.len() <= 256 && name.bytes().all(token) {
        true => Ok(Key::Header(name.to_ascii_lowercase())),
        false => Err(format!("key: \"{name}\" is not a field name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_table_and_the_least() {
        let settings = Settings::parse(
            r#"{"rate": 0.5, "burst": 3, "key": "header:X-Api-Key", "prefix-v6": 56}"#,
        )
        .unwrap();
        let key = Key::Header("x-api-key".to_owned());
        assert_eq!(
            settings,
            Settings {
                limit: Limit::new(0.5, 3),
                key,
                prefix_v6: 56
            }
        );
        let settings = Settings::parse(r#"{"rate": 2.5}"#).unwrap();
        assert_eq!(
            settings,
            Settings {
                limit: Limit::new(2.5, 3),
                key: Key::Client,
                prefix_v6: 64
            }
        );
        assert_eq!(
            Settings::parse(r#"{"rate": 10, "key": "client"}"#)
                .unwrap()
                .limit,
            Limit::new(10.0, 10)
        );
        assert_eq!(
            Settings::parse(r#"{"rate": 0.1}"#).unwrap().limit,
            Limit::new(0.1, 1)
        );
    }

    #[test]
    fn every_error_names_its_key() {
        for (text, expected) in [
            ("{", "settings: not JSON"),
            ("[]", "settings: has to be a table"),
            ("{}", "rate: missing"),
            (r#"{"rate": 0}"#, "rate: has to be"),
            (r#"{"rate": -1}"#, "rate: has to be"),
            (r#"{"rate": 1e9}"#, "rate: has to be"),
            (r#"{"rate": "5"}"#, "rate: has to be"),
            (r#"{"rate": 5, "burst": 0}"#, "burst: has to be"),
            (r#"{"rate": 5, "burst": 1.5}"#, "burst: has to be"),
            (r#"{"rate": 5, "key": "cookie"}"#, "key: has to be"),
            (r#"{"rate": 5, "key": "header:"}"#, "key: \"\" is not"),
            (r#"{"rate": 5, "key": "header:a b"}"#, "key: \"a b\" is not"),
            (r#"{"rate": 5, "prefix-v6": 129}"#, "prefix-v6: has to be"),
            (r#"{"rate": 5, "prefix_v6": 64}"#, "prefix_v6: unknown key"),
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
