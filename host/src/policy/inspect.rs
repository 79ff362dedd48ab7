//! A description of a component without running it, even of one that would be refused.

use serde::{Deserialize, Serialize};
use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmparser::{KnownCustom, Parser, Payload, Validator, WasmFeatures};

use super::digest::digest;
use super::lines::sentence;

/// The package whose interfaces are the contract, without its version.
const CONTRACT: &str = "waypost:policy";
/// How many items of each kind are listed; a component may have a million.
const TOLD: usize = 1_000;

/// The parts of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anatomy {
    /// What kind of file it is.
    pub form: Form,
    /// Its size in bytes.
    pub size: usize,
    /// `sha256:` and the digest, in hexadecimal.
    pub digest: String,
    /// The contract that it names, with its version; more than one if it mixes them.
    pub contracts: Vec<String>,
    /// The hooks of the contract that it exports.
    pub hooks: Vec<String>,
    /// The interfaces of the contract that it imports.
    pub imports: Vec<Interface>,
    /// The interfaces of WASI that it imports.
    pub wasi: Vec<Interface>,
    /// All other imports.
    pub others: Vec<Interface>,
    /// Bytes of linear memory that an instance starts with.
    pub initial_memory: u64,
    /// What made it: a field such as `language` or `processed-by`, then a name and a version.
    pub producers: Vec<(String, String, String)>,
    /// Whether it is a core module that carries the types to become a component.
    pub carries_types: bool,
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// A component.
    Component,
    /// A core module.
    CoreModule,
    /// WebAssembly text.
    Text,
    /// Something else.
    Unknown,
}

/// An interface that a component imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name with the version.
    pub name: String,
    /// What of it is imported, where that is known.
    pub functions: Vec<String>,
}

/// Describes these bytes, in a process that may fail. A broken component is described as far as it
/// can be read.
pub(super) fn inspected(bytes: &[u8]) -> Anatomy {
    let mut anatomy = Anatomy::from_outside(bytes);
    if matches!(anatomy.form, Form::Component | Form::CoreModule) {
        let types = Validator::new_with_features(WasmFeatures::all())
            .validate_all(bytes)
            .ok();
        anatomy.read(bytes, types.as_ref());
    }
    anatomy
}

fn form(bytes: &[u8]) -> Form {
    let start = bytes.trim_ascii_start();
    if Parser::is_component(bytes) {
        Form::Component
    } else if Parser::is_core_wasm(bytes) {
        Form::CoreModule
    } else if start.starts_with(b"(") || start.starts_with(b";;") {
        Form::Text
    } else {
        Form::Unknown
    }
}

impl Anatomy {
    /// The description without parsing: its first bytes, its size and its digest.
    pub fn from_outside(bytes: &[u8]) -> Self {
        Self {
            form: form(bytes),
            size: bytes.len(),
            digest: digest(bytes),
            contracts: Vec::new(),
            hooks: Vec::new(),
            imports: Vec::new(),
            wasi: Vec::new(),
            others: Vec::new(),
            initial_memory: 0,
            producers: Vec::new(),
            carries_types: false,
        }
    }

    fn read(&mut self, bytes: &[u8], types: Option<&Types>) {
        // How many components or modules this part is within.
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            let Ok(payload) = payload else { return };
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section.into_iter().flatten() {
                        let name = import.name.name;
                        let functions = types.map_or_else(Vec::new, |types| functions(types, name));
                        self.imported(Interface {
                            name: sentence(name),
                            functions,
                        });
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    section
                        .into_iter()
                        .flatten()
                        .for_each(|export| self.exported(export.name.name));
                }
                Payload::ImportSection(section) if self.form == Form::CoreModule => {
                    for import in section.into_imports().flatten() {
                        self.imported_by_module(import.module, import.name);
                    }
                }
                Payload::MemorySection(section) => {
                    let bytes = |m: wasmparser::MemoryType| {
                        1u64.checked_shl(m.page_size_log2.unwrap_or(16))
                            .and_then(|page| page.checked_mul(m.initial))
                    };
                    let memories = section.into_iter().flatten().filter_map(bytes);
                    self.initial_memory = memories.fold(self.initial_memory, u64::saturating_add);
                }
                Payload::CustomSection(section) => self.custom(&section),
                _ => {}
            }
        }
    }

    fn imported(&mut self, interface: Interface) {
        let list = if self.of_the_contract(&interface.name) {
            &mut self.imports
        } else if interface.name.starts_with("wasi:") {
            &mut self.wasi
        } else {
            &mut self.others
        };
        if list.len() < TOLD {
            list.push(interface);
        }
    }

    fn imported_by_module(&mut self, module: &str, function: &str) {
        let (module, function) = (&*sentence(module), sentence(function));
        let all = [&mut self.imports, &mut self.wasi, &mut self.others];
        if let Some(known) = all.into_iter().flatten().find(|i| i.name == module) {
            if known.functions.len() < TOLD {
                known.functions.push(function);
            }
            return;
        }
        let interface = Interface {
            name: module.to_owned(),
            functions: vec![function],
        };
        match module.starts_with("wasi_") {
            true if self.wasi.len() < TOLD => self.wasi.push(interface),
            true => {}
            false => self.imported(interface),
        }
    }

    fn exported(&mut self, name: &str) {
        let name = &*sentence(name);
        if self.of_the_contract(name) && self.hooks.len() < TOLD {
            let hook = name
                .split_once('/')
                .map_or(name, |(_, rest)| rest.split('@').next().unwrap_or(rest));
            self.hooks.push(hook.to_owned());
        }
    }

    /// Notes the contract that a name is of.
    fn of_the_contract(&mut self, name: &str) -> bool {
        let Some(rest) = name
            .strip_prefix(CONTRACT)
            .and_then(|rest| rest.strip_prefix('/'))
        else {
            return false;
        };
        let contract = match rest.split_once('@') {
            Some((_, version)) => format!("{CONTRACT}@{version}"),
            None => CONTRACT.to_owned(),
        };
        if self.contracts.len() < TOLD && !self.contracts.contains(&contract) {
            self.contracts.push(contract);
        }
        true
    }

    fn custom(&mut self, section: &wasmparser::CustomSectionReader<'_>) {
        self.carries_types |=
            self.form == Form::CoreModule && section.name().starts_with("component-type");
        let KnownCustom::Producers(fields) = section.as_known() else {
            return;
        };
        for field in fields.into_iter().flatten() {
            for value in field.values.into_iter().flatten() {
                let producer = (
                    sentence(field.name),
                    sentence(value.name),
                    sentence(value.version),
                );
                if self.producers.len() < TOLD && !self.producers.contains(&producer) {
                    self.producers.push(producer);
                }
            }
        }
    }
}

/// The functions of an imported instance, or nothing if it is something else.
fn functions(types: &Types, import: &str) -> Vec<String> {
    let Some(ComponentEntityType::Instance(instance)) =
        types.component_item_for_import(import).map(|item| item.ty)
    else {
        return Vec::new();
    };
    let exports = types[instance].exports.iter();
    exports
        .filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)))
        .map(|(name, _)| sentence(name))
        .take(TOLD)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::builtin;

    #[test]
    fn a_policy_is_described_by_hooks_imports_and_memory() {
        let found = inspected(builtin("sticky").unwrap());
        assert_eq!(found.form, Form::Component);
        assert_eq!(found.contracts, ["waypost:policy@0.1.0"]);
        assert_eq!(
            found.hooks,
            ["configuration", "topology", "selection", "response-headers"]
        );
        let store = found
            .imports
            .iter()
            .find(|i| i.name == "waypost:policy/store@0.1.0")
            .unwrap();
        assert!(
            store.functions.iter().any(|f| f == "compare-and-set"),
            "{store:?}"
        );
        assert!(found.wasi.is_empty() && found.others.is_empty());
        assert!(
            found.initial_memory >= 64 << 10 && found.initial_memory.is_multiple_of(64 << 10),
            "{}",
            found.initial_memory
        );
        assert_eq!(found.digest, digest(builtin("sticky").unwrap()));
    }

    #[test]
    fn a_file_that_is_not_a_component_is_recognised() {
        assert_eq!(inspected(b"").form, Form::Unknown);
        assert_eq!(inspected(b"  (component)").form, Form::Text);
        let module = wat::parse_str(
            r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                (import "env" "f" (func)) (memory 3))"#,
        );
        let module = inspected(&module.unwrap());
        assert_eq!(
            (module.form, module.initial_memory, module.carries_types),
            (Form::CoreModule, 3 << 16, false)
        );
        assert_eq!(
            (
                module.wasi[0].functions[0].as_str(),
                module.others[0].name.as_str()
            ),
            ("fd_write", "env")
        );
    }

    #[test]
    fn a_truncated_component_is_described_as_far_as_it_goes() {
        let whole = builtin("random").unwrap();
        for cut in (8..whole.len()).step_by(97) {
            assert_eq!(inspected(&whole[..cut]).form, Form::Component);
        }
    }
}
