//! What a check finds: lines at once, or one object of JSON at the end.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use super::super::commands::UNREADABLE;
use crate::config::{Config, ConfigErrors, ConfigWarning, Place, Policy, WrittenAt};
use crate::ground;
use crate::policy::Generation;
use crate::units::counted;
use crate::upstream::PoolTopology;

/// What is found, as it is found.
pub(super) struct Report {
    as_json: bool,
    written: WrittenAt,
    found: Found,
}

/// `check --json`; documented in docs/operating.md.
#[derive(Default, Serialize)]
struct Found {
    ok: bool,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    routes: usize,
    pools: BTreeMap<String, Vec<String>>,
    policies: BTreeMap<String, Loaded>,
}

#[derive(Serialize)]
struct Finding {
    message: String,
    #[serde(flatten)]
    place: Option<Written>,
}

/// Where something was written in the file.
#[derive(Serialize)]
struct Written {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Serialize)]
struct Loaded {
    digest: String,
    hooks: Vec<&'static str>,
}

impl Report {
    pub(super) fn new(as_json: bool) -> Self {
        Self {
            as_json,
            written: WrittenAt::default(),
            found: Found::default(),
        }
    }

    /// From now on errors have places.
    pub(super) fn follow(&mut self, written: &WrittenAt) {
        self.written = written.clone();
    }

    /// Prints a line that says no more than the object does, or nothing that matters to a script.
    pub(super) fn line(&self, line: impl Display) -> Result<()> {
        match self.as_json {
            true => Ok(()),
            false => print(&line),
        }
    }

    /// Notes an error, and the check goes on. If the file says where, its place is where one of
    /// these keys is, of which the first that is there counts.
    pub(super) fn error(&mut self, keys: &[&str], message: impl Display) -> Result<()> {
        let message = message.to_string();
        let named = self.written.named_in(&message).cloned();
        let place = named.or_else(|| {
            let found = keys.iter().find_map(|key| self.written.key(key));
            found.cloned()
        });
        let message = match &place {
            Some(place) if !message.starts_with(&place.to_string()) => {
                format!("{place}: {message}")
            }
            _ => message,
        };
        self.line(format_args!("error: {message}"))?;
        self.found
            .errors
            .push(Finding::new(message, place.as_ref()));
        Ok(())
    }

    pub(super) fn warning(&mut self, message: impl Display) -> Result<()> {
        self.line(format_args!("warning: {message}"))?;
        self.found.warnings.push(Finding::new(message, None));
        Ok(())
    }

    /// Notes what the configuration says that is hardly meant.
    pub(super) fn doubt(&mut self, warning: &ConfigWarning) -> Result<()> {
        self.line(format_args!("warning: {warning}"))?;
        let finding = Finding::new(warning, warning.place());
        self.found.warnings.push(finding);
        Ok(())
    }

    pub(super) fn pool(&mut self, topology: &PoolTopology) -> Result<()> {
        let endpoints = topology.endpoints.iter();
        let addresses: Vec<String> = endpoints.map(|e| e.address.to_string()).collect();
        if !addresses.is_empty() {
            let all = addresses.join(", ");
            self.line(format_args!("pool {:?}: {all}", topology.name))?;
        }
        let name = topology.name.to_string();
        self.found.pools.insert(name, addresses);
        Ok(())
    }

    pub(super) fn policy(&mut self, policy: &Policy, loaded: &Generation) -> Result<()> {
        let hooks: Vec<_> = loaded.hooks().names().collect();
        let digest = loaded.digest().to_string();
        self.line(format_args!(
            "policy {:?}: ok, {digest}, hooks: {}",
            policy.name,
            hooks.join(", ")
        ))?;
        let loaded = Loaded { digest, hooks };
        self.found.policies.insert(policy.name.clone(), loaded);
        Ok(())
    }

    /// The configuration has mistakes, so that nothing else can be looked at.
    pub(super) fn unusable(mut self, errors: &ConfigErrors) -> Result<ExitCode> {
        let found = errors
            .iter()
            .map(|error| Finding::new(error, Some(&error.place)));
        self.found.errors.extend(found);
        if self.as_json {
            self.print_object()?;
        } else {
            for line in errors.to_string().lines() {
                print(&format_args!("error: {line}"))?;
            }
            self.print_count()?;
        }
        Ok(match errors.is_of_command_line() {
            true => ExitCode::from(UNREADABLE),
            false => ExitCode::FAILURE,
        })
    }

    /// Says what came of all.
    pub(super) fn conclude(mut self, config: &Config) -> Result<ExitCode> {
        self.found.routes = config.routes.len();
        self.found.ok = self.found.errors.is_empty();
        if self.as_json {
            self.print_object()?;
        } else {
            print(&summary(config))?;
            match self.found.ok {
                true => print(&"ok: the proxy would start with this configuration")?,
                false => self.print_count()?,
            }
        }
        Ok(match self.found.ok {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    fn print_count(&self) -> Result<()> {
        let errors = counted(self.found.errors.len(), "error");
        print(&format_args!(
            "{errors}: the proxy would not start, or not serve all routes"
        ))
    }

    fn print_object(&self) -> Result<()> {
        print(&serde_json::to_string_pretty(&self.found)?)
    }
}

impl Finding {
    fn new(message: impl Display, place: Option<&Place>) -> Self {
        Self {
            message: message.to_string(),
            place: place.and_then(Written::of),
        }
    }
}

impl Written {
    /// What is written in a variable or a flag has that in its message.
    fn of(place: &Place) -> Option<Self> {
        let Place::File {
            file,
            line,
            column,
            key,
        } = place
        else {
            return None;
        };
        let counted = |n: usize| (n > 0).then_some(n);
        Some(Self {
            file: file.to_string(),
            line: counted(*line),
            column: counted(*column),
            key: Some(key.clone()).filter(|key| !key.is_empty()),
        })
    }
}

/// Prints a line. A reader that has left, such as `head`, is not an error; a full disk is one.
fn print(line: &dyn Display) -> Result<()> {
    ground::print(&format!("{line}\n")).context("standard output can't be written")
}

/// How much there is in a configuration.
fn summary(config: &Config) -> String {
    let policies = match config.policies.len() {
        1 => "1 policy".to_owned(),
        n => format!("{n} policies"),
    };
    let (routes, pools) = (config.routes.len(), config.pools.len());
    format!(
        "{}, {}, {policies}",
        counted(routes, "route"),
        counted(pools, "pool")
    )
}
