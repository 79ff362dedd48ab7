//! The operator's settings.

/// The `settings` table of the policy in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    json: String,
}

impl Settings {
    /// Settings in JSON text: an object, `{}` if there are none.
    pub fn new(json: impl Into<String>) -> Self {
        Settings { json: json.into() }
    }

    /// The JSON text.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Refuses settings, for a policy that takes none.
    pub fn refuse_any(&self) -> Result<(), String> {
        let letters = self
            .json
            .chars()
            .filter(|letter| !letter.is_ascii_whitespace());
        if letters.eq("{}".chars()) {
            Ok(())
        } else {
            Err("settings: this policy takes none".to_owned())
        }
    }

    /// Reads them into a type of yours. An error begins with the key that it is about, such as
    /// `routes.blue: invalid type: ...`.
    ///
    /// Give the type `#[serde(deny_unknown_fields)]`, so that a slip in a key is told, and
    /// `rename_all = "kebab-case"`, as the keys of the proxy's own configuration are written.
    #[cfg(feature = "serde")]
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        let mut json = serde_json::Deserializer::from_str(&self.json);
        let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            sentence(&path, &error.into_inner().to_string())
        })?;
        json.end()
            .map_err(|error| sentence(".", &error.to_string()))?;
        Ok(parsed)
    }
}

/// The operator wrote TOML, so a line and a column of the JSON text would mislead.
#[cfg(feature = "serde")]
fn sentence(path: &str, reason: &str) -> String {
    let reason = reason.rfind(" at line ").map_or(reason, |at| &reason[..at]);
    let key = if matches!(path, "." | "?") {
        "settings"
    } else {
        path
    };
    format!("{key}: {reason}")
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Options {
        header: String,
        #[serde(default)]
        routes: BTreeMap<String, u32>,
    }

    fn parsed(json: &str) -> Result<Options, String> {
        Settings::new(json).parse()
    }

    #[test]
    fn a_whole_table() {
        let options = Options {
            header: "x".to_owned(),
            routes: BTreeMap::from([("a".to_owned(), 1)]),
        };
        assert_eq!(
            parsed(r#"{"header": "x", "routes": {"a": 1}} "#),
            Ok(options)
        );
    }

    #[test]
    fn every_error_names_its_key() {
        for (json, expected) in [
            ("{}", "settings: missing field `header`"),
            (
                r#"{"header": 1}"#,
                "header: invalid type: integer `1`, expected a string",
            ),
            (
                r#"{"header": "x", "heder": 1}"#,
                "heder: unknown field `heder`, expected `header` or `routes`",
            ),
            (
                r#"{"header": "x", "routes": {"blue": "b"}}"#,
                "routes.blue: invalid type: string \"b\", expected u32",
            ),
            (
                r#"{"header": "x", "routes": {"blue": -1}}"#,
                "routes.blue: invalid value: integer `-1`, expected u32",
            ),
            (r#"{"header": "x"} 1"#, "settings: trailing characters"),
            ("{", "settings: EOF while parsing an object"),
        ] {
            assert_eq!(parsed(json).unwrap_err(), expected, "{json}");
        }
    }

    #[test]
    fn a_policy_may_take_none() {
        assert_eq!(Settings::new(" { }\n").refuse_any(), Ok(()));
        assert!(Settings::new(r#"{"a": 1}"#).refuse_any().is_err());
    }
}
