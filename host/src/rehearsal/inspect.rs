//! A description of a component, as text and as JSON, and whether a proxy would accept it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::RehearsalError;
use super::harness::{Harness, Setup};
use super::scenario::default_setup;
use super::source::Source;
use crate::policy::{Anatomy, Compiler, EngineOptions, Form, Interface, PolicyError, Refusal};
use crate::text::plain;
use crate::units::size;

/// The proxy's default limit of a policy's memory.
const DEFAULT_MEMORY: u64 = 16 << 20;
/// `inspect` refuses no policy for its memory.
const MEMORY: u64 = 1 << 30;

/// The findings.
#[derive(Debug)]
pub(super) struct Inspection {
    file: String,
    anatomy: Anatomy,
    /// Why a proxy would refuse it.
    pub refused: Option<String>,
    /// What else is worth a line.
    notes: Vec<String>,
}

/// Looks into a component, then loads it as a proxy would with these settings.
pub(super) fn inspect(
    source: Source,
    settings: Option<Value>,
) -> Result<Inspection, RehearsalError> {
    let file = source.name.clone();
    let anatomy = match Compiler::default().anatomy(&source.bytes, source.compiling) {
        Ok(anatomy) => anatomy,
        Err(reason) => {
            let anatomy = Anatomy::from_outside(&source.bytes);
            return Ok(Inspection {
                file,
                anatomy,
                refused: Some(reason.to_string()),
                notes: Vec::new(),
            });
        }
    };
    let is_given = settings.is_some();
    let mut setup = Setup {
        memory: MEMORY,
        ..default_setup()
    };
    setup.settings = settings.unwrap_or(setup.settings);
    let (mut refused, mut notes) = (None, Vec::new());
    match Harness::new(source, EngineOptions::default())?.host(&setup, None) {
        Ok(_) => {}
        // Without its settings the verdict is unknown.
        Err(PolicyError::Refused {
            reason: Refusal::Configure(why),
            ..
        }) if !is_given => {
            notes.push(format!("it needs settings (`--settings`): {why}"));
        }
        Err(PolicyError::Refused { reason, .. }) => refused = Some(reason.to_string()),
        Err(error) => return Err(error.into()),
    }
    if anatomy.form == Form::Component && anatomy.initial_memory > DEFAULT_MEMORY {
        let limit = size(DEFAULT_MEMORY);
        notes.push(format!(
            "it starts with more memory than the default limit of {limit}: set `memory` in its \
             configuration"
        ));
    }
    if anatomy.carries_types {
        notes.push(
            "it carries the types of a policy: `waypost policy pack` converts it into a component"
                .to_owned(),
        );
    }
    Ok(Inspection {
        file,
        anatomy,
        refused,
        notes,
    })
}

impl Inspection {
    /// For people.
    pub(super) fn text(&self) -> String {
        let anatomy = &self.anatomy;
        let mut text = String::new();
        // Writing to a string does not fail.
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<10} {}", plain(value));
        };
        line("file", &self.file);
        line("form", form(anatomy.form));
        line(
            "size",
            &format!("{} ({} bytes)", size(anatomy.size as u64), anatomy.size),
        );
        line("digest", &anatomy.digest);
        if matches!(anatomy.form, Form::Component | Form::CoreModule) {
            line("contract", &or_none(&anatomy.contracts));
            line("hooks", &or_none(&anatomy.hooks));
            let memory = size(anatomy.initial_memory);
            line("memory", &format!("{memory} at the start"));
            for (name, interfaces) in [
                ("imports", &anatomy.imports),
                ("wasi", &anatomy.wasi),
                ("others", &anatomy.others),
            ] {
                if interfaces.is_empty() && name != "others" {
                    line(name, "none");
                }
                for (at, interface) in interfaces.iter().enumerate() {
                    line(if at == 0 { name } else { "" }, &shown(interface));
                }
            }
            for (field, name, version) in &anatomy.producers {
                line(field, format!("{name} {version}").trim_end());
            }
        }
        for note in &self.notes {
            line("note", note);
        }
        match &self.refused {
            None => line("verdict", "a proxy would accept it"),
            Some(reason) => line("refused", reason),
        }
        text
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let anatomy = &self.anatomy;
        let interfaces = |all: &[Interface]| -> Value {
            all.iter()
                .map(|i| json!({ "name": i.name, "functions": i.functions }))
                .collect()
        };
        let producers = anatomy.producers.iter();
        json!({
            "file": self.file,
            "form": form(anatomy.form),
            "size_bytes": anatomy.size,
            "digest": anatomy.digest,
            "contracts": anatomy.contracts,
            "hooks": anatomy.hooks,
            "imports": interfaces(&anatomy.imports),
            "wasi": interfaces(&anatomy.wasi),
            "other_imports": interfaces(&anatomy.others),
            "initial_memory_bytes": anatomy.initial_memory,
            "producers": producers
                .map(|(field, name, version)| json!({ "field": field, "name": name, "version": version }))
                .collect::<Value>(),
            "notes": self.notes,
            "refused": self.refused,
        })
    }
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Component => "component",
        Form::CoreModule => "core module",
        Form::Text => "WebAssembly text",
        Form::Unknown => "not WebAssembly",
    }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn shown(interface: &Interface) -> String {
    match interface.functions.is_empty() {
        true => interface.name.clone(),
        false => format!("{} ({})", interface.name, interface.functions.join(", ")),
    }
}
