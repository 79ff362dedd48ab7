//! The configuration as it is written: read again for each reload.

use std::path::PathBuf;

use serde_json::Value;

use super::cut_short::doubt;
use crate::app::control::{Purpose, Secret, Written};
use crate::config::{Config, ConfigErrors, FileSource, Sources, names_secret, without_query};
use crate::policy::digest;

/// What stands in the place of a secret.
const LEFT_OUT: &str = "(left out)";
/// Keys whose values are secrets, wherever they are.
const SECRET: [&str; 6] = ["token", "key", "secret", "password", "hmac", "mac-key"];

/// Where the configuration comes from.
#[derive(Clone)]
pub(in crate::app) struct Source {
    sources: Sources,
}

impl Source {
    pub(in crate::app) fn new(sources: Sources) -> Self {
        Self { sources }
    }

    /// The file, if it is one.
    pub(in crate::app) fn path(&self) -> Option<PathBuf> {
        match &self.sources.file {
            Some(FileSource::Path(path)) => Some(path.clone()),
            _ => None,
        }
    }

    /// Reads and validates it.
    pub(in crate::app) fn read(&self) -> Result<(Config, Written), ConfigErrors> {
        Self::load(self.sources.clone().read()?)
    }

    /// The same after another, for a purpose; or every mistake, as a sentence.
    pub(super) fn read_after(
        &self,
        runs: &str,
        purpose: Purpose,
    ) -> Result<(Config, Written), Vec<String>> {
        let sentences =
            |errors: ConfigErrors| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let sources = self.sources.clone().read().map_err(sentences)?;
        if let Some(FileSource::Text { name, text, .. }) = &sources.file
            && let Some(reason) = doubt(name, runs, text, purpose)
        {
            return Err(vec![reason]);
        }
        Self::load(sources).map_err(sentences)
    }

    fn load(sources: Sources) -> Result<(Config, Written), ConfigErrors> {
        let mut written = Written::default();
        if let Some(FileSource::Text { name, text, .. }) = &sources.file {
            written.file = Some(name.clone());
            written.digest = Some(digest(text.as_bytes()));
            written.content = without_secrets(text);
            written.text = Secret(text.as_str().into());
        }
        Ok((Config::load(sources)?, written))
    }
}

/// The file as a tree, without what only its owner should see.
fn without_secrets(text: &str) -> Value {
    let mut tree: Value = toml::from_str(text).unwrap_or_default();
    leave_out(&mut tree);
    tree
}

fn leave_out(tree: &mut Value) {
    match tree {
        Value::Object(table) => {
            for (key, value) in table {
                let is_path =
                    key == "key" && value.as_str().is_some_and(|path| path.contains(['.', '/']));
                match key.as_str() {
                    "settings" => blank(value),
                    key if SECRET.contains(&key) && !is_path && !value.is_object() => {
                        *value = LEFT_OUT.into();
                    }
                    // Fields for the collector may hold what it knows the proxy by.
                    "tracing" => {
                        value.get_mut("headers").into_iter().for_each(blank);
                        leave_out(value);
                    }
                    // Of `[acme]` and `[tracing]`: a query may be a secret.
                    "directory" | "endpoint" => {
                        if let Some(url) = value.as_str().filter(|url| url.contains('?')) {
                            *value = format!("{}?{LEFT_OUT}", without_query(url)).into();
                        }
                    }
                    // Of a route: fields that it writes or asks for, and parameters.
                    "headers" | "query" | "set" | "add" if value.is_object() => {
                        let fields = value.as_object_mut().into_iter().flatten();
                        let secret = fields.filter(|(name, _)| names_secret(name));
                        secret.for_each(|(_, value)| blank(value));
                        leave_out(value);
                    }
                    _ => leave_out(value),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(leave_out),
        _ => {}
    }
}

/// A policy's settings may hold anything: only their keys are shown.
fn blank(value: &mut Value) {
    match value {
        Value::Object(table) => table.values_mut().for_each(blank),
        Value::Array(all) => all.iter_mut().for_each(blank),
        other => *other = LEFT_OUT.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_file_has_its_keys_and_none_of_its_secrets() {
        let shown = without_secrets(
            "workers = 2\n[admin]\ntoken = \"s3cret\"\n[policies.a.settings]\nb = { c = \"s3cret\" }\n\
             d = [\"s3cret\"]\n[acme]\ndirectory = \"https://a.test/d?key=s3cret\"\n\
             [tracing]\nendpoint = \"https://a.test/d?key=s3cret\"\nheaders = { x = \"s3cret\" }\n\
             [[routes]]\nheaders = { x-key = \"s3cret\", x-a = \"seen\" }\nquery.token = \"s3cret\"\n\
             request-headers.set = { Authorization = [\"s3cret\"], x-api-key = \"s3cret\" }\n\
             respond.headers.set-cookie = \"s3cret\"\n[[listeners]]\ntls = { certificates = { key = \"a.key\" } }\n",
        );
        assert!(!shown.to_string().contains("s3cret"), "{shown}");
        assert_eq!(shown["workers"], 2);
        assert_eq!(shown["routes"][0]["headers"]["x-a"], "seen");
        assert_eq!(shown["policies"]["a"]["settings"]["b"]["c"], LEFT_OUT);
        assert_eq!(shown["listeners"][0]["tls"]["certificates"]["key"], "a.key");
    }
}
