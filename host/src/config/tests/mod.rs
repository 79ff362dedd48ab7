//! Configurations from texts, and what their errors say.

mod acme;
mod answers;
mod backend_list;
#[cfg(feature = "compress")]
mod compression;
mod conditions;
mod doubtful;
mod edits;
mod file;
mod foreign;
mod layer4;
mod listeners;
mod meaning;
mod names;
mod policies;
mod pool_health;
mod pools;
mod properties;
mod retries;
mod rollout;
mod routes;
mod sources;
mod traffic;
mod unmeant;
mod wrong_values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn load(text: &str) -> Config {
    Config::from_toml(text, Path::new("/etc/waypost")).unwrap_or_else(|e| panic!("{e}"))
}

fn errors(text: &str) -> Vec<ConfigError> {
    let errors = Config::from_toml(text, Path::new("/etc/waypost")).err();
    errors
        .map(|e| e.iter().cloned().collect())
        .unwrap_or_default()
}

/// Asserts that the text has exactly one error, at this line and key, and that its message holds
/// these words.
#[track_caller]
fn assert_error(text: &str, at_line: usize, at_key: &str, words: &str) {
    let found = errors(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    match &found[0].place {
        Place::File {
            file, line, key, ..
        } => {
            assert_eq!(
                (&**file, *line, key.as_str()),
                ("waypost.toml", at_line, at_key),
                "{}",
                found[0]
            )
        }
        other => panic!("{other}"),
    }
    assert!(found[0].message.contains(words), "{}", found[0]);
    let shown = found[0].to_string();
    assert!(
        shown.contains(&format!("line {at_line},")) && shown.contains(at_key),
        "{shown}"
    );
}

fn overrides(variables: &[(&str, &str)]) -> Result<Overrides, ConfigErrors> {
    Overrides::from_environment(|name| {
        variables
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| OsString::from(v))
    })
}

fn load_with(
    text: &str,
    variables: &[(&str, &str)],
    flags: Overrides,
) -> Result<Config, ConfigErrors> {
    let file = FileSource::Text {
        name: "waypost.toml".to_owned(),
        text: text.to_owned(),
        base: PathBuf::new(),
    };
    Config::load(Sources {
        file: Some(file),
        environment: overrides(variables)?,
        flags,
        strict: false,
    })
}

/// Where clients connect.
fn listening(config: &Config) -> Vec<String> {
    let addresses = config.listeners.iter().map(|l| l.address.to_string());
    addresses.collect()
}

/// The addresses of the backends of the only route for this host.
fn addresses(config: &Config, host: &str) -> Vec<String> {
    let host = host::parse_pattern(host).unwrap();
    let mut routes = config.routes.iter().filter(|r| r.host == host);
    let route = routes.next().unwrap();
    assert!(routes.next().is_none());
    config.pools[route.traffic.targets[0].pool]
        .backends
        .iter()
        .map(|b| b.address.clone())
        .collect()
}
