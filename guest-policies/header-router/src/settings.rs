//! The operator's settings: JSON text to meaning. Every error names its key.

use serde_json::{Map, Value};

/// What the operator wants.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The field that names the backend, in lower case.
    pub header: String,
    /// Values of that field and the backends they stand for, sorted by value.
    pub routes: Vec<Route>,
    /// What becomes of a value that no route has.
    pub fallback: Fallback,
    /// Edits of the request.
    pub request: Edits,
    /// Edits of the response.
    pub response: Edits,
}

/// A value, and the address or the `name` label of the backends it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Compared byte for byte.
    pub value: String,
    /// `10.0.0.1:80`, or what a backend's `name` label says.
    pub target: String,
}

/// What becomes of a value that no route has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The next policy of the route, or the host, chooses.
    #[default]
    None,
    /// The same value goes to the same backend for as long as it is well.
    Hash,
}

/// Edits of header fields, in the order in which they are made.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Edits {
    /// All fields of these names go.
    pub remove: Vec<String>,
    /// These replace what is there.
    pub set: Vec<(String, String)>,
    /// These are added to what is there.
    pub append: Vec<(String, String)>,
}

/// The fields that the contract keeps for the host; told here, so that the mistake shows when the
/// policy is loaded.
const HOST_FIELDS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Settings {
    /// Reads JSON text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("settings: not JSON: {error}"))?;
        let settings = table(&value, "settings")?;
        only(
            settings,
            "",
            &["header", "routes", "fallback", "request", "response"],
        )?;
        let Some(header) = settings.get("header") else {
            return Err("header: missing; name the field that chooses the backend".to_owned());
        };
        Ok(Settings {
            header: field_name(string(header, "header")?, "header")?,
            routes: routes(settings.get("routes"))?,
            fallback: fallback(settings.get("fallback"))?,
            request: edits(settings.get("request"), "request")?,
            response: edits(settings.get("response"), "response")?,
        })
    }
}

fn routes(value: Option<&Value>) -> Result<Vec<Route>, String> {
    let mut routes = strings(value, "routes")?
        .into_iter()
        .map(|(value, target)| match target.is_empty() {
            true => Err(format!(
                "routes.{value}: is empty; give an address or the name label of a backend"
            )),
            false => Ok(Route {
                value: value.to_owned(),
                target: target.to_owned(),
            }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    routes.sort_unstable_by(|one, other| one.value.as_bytes().cmp(other.value.as_bytes()));
    Ok(routes)
}

fn fallback(value: Option<&Value>) -> Result<Fallback, String> {
    match value.map(|value| string(value, "fallback")).transpose()? {
        None | Some("none") => Ok(Fallback::None),
        Some("hash") => Ok(Fallback::Hash),
        Some(other) => Err(format!(
            "fallback: \"{other}\" is neither \"none\" nor \"hash\""
        )),
    }
}

fn edits(value: Option<&Value>, key: &str) -> Result<Edits, String> {
    let Some(value) = value else {
        return Ok(Edits::default());
    };
    let edits = table(value, key)?;
    only(edits, &format!("{key}."), &["set", "append", "remove"])?;
    Ok(Edits {
        remove: names(edits.get("remove"), &format!("{key}.remove"))?,
        set: fields(edits.get("set"), &format!("{key}.set"))?,
        append: fields(edits.get("append"), &format!("{key}.append"))?,
    })
}

fn names(value: Option<&Value>, key: &str) -> Result<Vec<String>, String> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| writable(string(name, key)?, key))
            .collect(),
        Some(_) => Err(format!("{key}: has to be a list of field names")),
    }
}

fn fields(value: Option<&Value>, key: &str) -> Result<Vec<(String, String)>, String> {
    let checked = |(name, value): (&str, &str)| {
        let writable = writable(name, key)?;
        if value
            .chars()
            .any(|letter| letter.is_control() && letter != '\t')
        {
            return Err(format!(
                "{key}.{name}: a field value has no control characters"
            ));
        }
        Ok((writable, value.to_owned()))
    };
    strings(value, key)?.into_iter().map(checked).collect()
}

fn strings<'a>(value: Option<&'a Value>, key: &str) -> Result<Vec<(&'a str, &'a str)>, String> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let entry = |(name, value): (&'a String, &'a Value)| match value.as_str() {
        Some(text) => Ok((name.as_str(), text)),
        None => Err(format!("{key}.{name}: has to be a string")),
    };
    table(value, key)?.iter().map(entry).collect()
}

fn table<'a>(value: &'a Value, key: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{key}: has to be a table"))
}

fn string<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("{key}: has to be a string"))
}

fn writable(name: &str, key: &str) -> Result<String, String> {
    let name = field_name(name, key)?;
    match HOST_FIELDS.contains(&name.as_str()) {
        true => Err(format!(
            "{key}: \"{name}\" belongs to the proxy, a policy can't write it"
        )),
        false => Ok(name),
    }
}

fn field_name(name: &str, key: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty() && name.len() <= 256 && name.bytes().all(token) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(format!("{key}: \"{name}\" is not a field name")),
    }
}

fn only(table: &Map<String, Value>, prefix: &str, known: &[&str]) -> Result<(), String> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!(
            "{prefix}{key}: unknown key; there are {}",
            known.join(", ")
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Settings::parse(text).unwrap_err()
    }

    #[test]
    fn a_whole_table() {
        let settings = Settings::parse(
            r#"{
                "header": "X-Tenant",
                "routes": {"green": "green", "blue": "10.0.0.1:80"},
                "fallback": "hash",
                "request": {"set": {"X-Routed": "yes"}, "append": {"via-policy": "a"}, "remove": ["Cookie"]},
                "response": {"remove": ["server"]}
            }"#,
        )
        .unwrap();
        assert_eq!(settings.header, "x-tenant");
        let routes: Vec<_> = settings
            .routes
            .iter()
            .map(|route| (route.value.as_str(), route.target.as_str()))
            .collect();
        assert_eq!(routes, [("blue", "10.0.0.1:80"), ("green", "green")]);
        assert_eq!(settings.fallback, Fallback::Hash);
        assert_eq!(
            settings.request.set,
            [("x-routed".to_owned(), "yes".to_owned())]
        );
        assert_eq!(
            settings.request.append,
            [("via-policy".to_owned(), "a".to_owned())]
        );
        assert_eq!(settings.request.remove, ["cookie"]);
        assert_eq!(settings.response.remove, ["server"]);
    }

    #[test]
    fn the_field_is_enough() {
        let settings = Settings::parse(r#"{"header": "x"}"#).unwrap();
        assert_eq!(
            settings,
            Settings {
                header: "x".to_owned(),
                ..Settings::default()
            }
        );
    }

    #[test]
    fn every_error_names_its_key() {
        for (text, expected) in [
            ("{}", "header: missing"),
            ("[]", "settings: has to be a table"),
            ("{", "settings: not JSON"),
            (r#"{"header": 1}"#, "header: has to be a string"),
            (
                r#"{"header": "a b"}"#,
                "header: \"a b\" is not a field name",
            ),
            (r#"{"header": ""}"#, "header: \"\" is not a field name"),
            (r#"{"header": "x", "heder": "y"}"#, "heder: unknown key"),
            (
                r#"{"header": "x", "routes": ["a"]}"#,
                "routes: has to be a table",
            ),
            (
                r#"{"header": "x", "routes": {"blue": 1}}"#,
                "routes.blue: has to be a string",
            ),
            (
                r#"{"header": "x", "routes": {"blue": ""}}"#,
                "routes.blue: is empty",
            ),
            (
                r#"{"header": "x", "fallback": "random"}"#,
                "fallback: \"random\" is neither",
            ),
            (
                r#"{"header": "x", "request": {"st": {}}}"#,
                "request.st: unknown key",
            ),
            (
                r#"{"header": "x", "request": {"set": {"Host": "a"}}}"#,
                "request.set: \"host\" belongs to the proxy",
            ),
            (
                r#"{"header": "x", "request": {"set": {"a": "b\r\nc: d"}}}"#,
                "request.set.a: a field value",
            ),
            (
                r#"{"header": "x", "response": {"remove": {"a": "b"}}}"#,
                "response.remove: has to be a list",
            ),
            (
                r#"{"header": "x", "response": {"remove": ["a:"]}}"#,
                "response.remove: \"a:\" is not a field name",
            ),
        ] {
            assert!(error(text).starts_with(expected), "{text}: {}", error(text));
        }
    }
}
