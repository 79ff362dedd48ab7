//! The work on untrusted bytes, in any process.

use serde::{Deserialize, Serialize};
use wasmtime::component::{Component, InstancePre};

use super::super::bulk;
use super::super::contract::{ExportIndices, PACKAGE, interface};
use super::super::error::Refusal;
use super::super::hook::Hook;
use super::super::inspect::inspected;
use super::super::lines::sentence;
use super::super::profiles::{self, EngineProfile};
use super::super::state::State;
use super::super::wasi;
use super::{Answer, Task, census};

/// The largest component. Python's are 18 MB.
pub const MAX_COMPONENT: usize = 64 * 1024 * 1024;
/// Larger ones carry a whole language runtime, whose tables and memories don't fit the pool.
pub(in super::super) const LARGE: usize = 4 * 1024 * 1024;

/// The interfaces of the contract that the host implements.
const IMPORTS: [&str; 10] = [
    "types",
    "log",
    "random",
    "clock",
    "backend-facts",
    "attempts",
    "connection",
    "client-certificate",
    "counters",
    "store",
];
/// The interfaces of the contract that a policy may implement.
const EXPORTS: [&str; 11] = [
    "configuration",
    "topology",
    "selection",
    "request-headers",
    "response-headers",
    "completion",
    "destination",
    "request-target",
    "routing",
    "local-response",
    "range",
];

/// Facts about a component beside its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Facts {
    /// Whether it imports WASI.
    pub wasi: bool,
    /// Core instances of one instance of it.
    pub core_instances: u64,
    /// Bytes that one instance takes beside its memories and what its tables hold, about: globals,
    /// function references, imports, segments.
    pub beside_memory: u64,
}

/// Does it. The bytes are machine code or a component.
pub(super) fn work(task: Task, bytes: &[u8]) -> (Answer, Vec<u8>) {
    let done = match task {
        Task::Compile { fuel } => {
            compile(bytes, fuel).map(|(facts, code)| (Answer::Compiled(facts), code))
        }
        Task::Inspect => Ok((Answer::Inspected(Box::new(inspected(bytes))), Vec::new())),
        #[cfg(feature = "authoring")]
        Task::Pack => super::pack::pack(bytes).map(|component| (Answer::Packed, component)),
    };
    done.unwrap_or_else(|refusal| (Answer::Refused(refusal), Vec::new()))
}

/// Checks all that can be checked without running it, and compiles it.
fn compile(bytes: &[u8], fuel: bool) -> Result<(Facts, Vec<u8>), Refusal> {
    check_preamble(bytes)?;
    let cost = census::count(bytes)?;
    let profile = profiles::for_compiling(fuel, bytes.len() > LARGE)
        .map_err(|e| Refusal::Host(sentence(format_args!("{e:#}"))))?;
    // A deadline ends a loop, but no single instruction. This comes after the census, because the
    // added functions are not the author's.
    let bytes = bulk::in_pieces(bytes).map_err(|e| Refusal::of_parser(sentence(&e.0)))?;
    let component = Component::new(&profile.engine, &bytes)
        .map_err(|e| Refusal::of_parser(sentence(format_args!("{e:#}"))))?;
    let wasi = imports_wasi(&profile, &component);
    let profile = if wasi {
        profile.with_wasi()
    } else {
        Ok(profile)
    };
    let profile = profile.map_err(|e| Refusal::Host(sentence(format_args!("{e:#}"))))?;
    link(&profile, &component)?;
    let code = component
        .serialize()
        .map_err(|e| Refusal::Unsupported(sentence(format_args!("{e:#}"))))?;
    Ok((
        Facts {
            wasi,
            core_instances: cost.core_instances,
            beside_memory: cost.beside_memory,
        },
        code,
    ))
}

/// What kind of file it is, by its first bytes.
pub(in super::super) fn check_preamble(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > MAX_COMPONENT {
        return Err(Refusal::TooLarge {
            size: bytes.len(),
            limit: MAX_COMPONENT,
        });
    }
    let Some(version) = bytes.strip_prefix(b"\0asm") else {
        let start = bytes.trim_ascii_start();
        let text = start.starts_with(b"(") || start.starts_with(b";;");
        return Err(if text {
            Refusal::Text
        } else if bytes.is_empty() {
            Refusal::Corrupt("it is empty".to_owned())
        } else {
            Refusal::Corrupt("it does not begin as WebAssembly does".to_owned())
        });
    };
    match version {
        [1, 0, 0, 0, ..] => Err(Refusal::CoreModule),
        [0x0d, 0, 1, 0, ..] => Ok(()),
        _ => Err(Refusal::Corrupt(
            "it is of a version of WebAssembly that is not known".to_owned(),
        )),
    }
}

/// Checks its imports and exports, and prepares its instantiation.
pub(in super::super) fn link(
    profile: &EngineProfile,
    component: &Component,
) -> Result<(InstancePre<State>, ExportIndices), Refusal> {
    check_imports(profile, component)?;
    check_exports(profile, component)?;
    let pre = profile.linker.instantiate_pre(component);
    let pre = pre.map_err(|e| Refusal::ImportMismatch(sentence(format_args!("{e:#}"))))?;
    let exports = ExportIndices::find(&pre)?;
    let hooks = exports.hooks();
    // What only hears decides nothing.
    let mut deciding = Hook::ALL
        .into_iter()
        .filter(|hook| *hook != Hook::Completion);
    if !deciding.any(|hook| hooks.has(hook)) {
        return Err(Refusal::NoHook(PACKAGE.to_owned()));
    }
    Ok((pre, exports))
}

fn imports_wasi(profile: &EngineProfile, component: &Component) -> bool {
    component
        .component_type()
        .imports(&profile.engine)
        .any(|(name, _)| name.starts_with("wasi:"))
}

fn check_imports(profile: &EngineProfile, component: &Component) -> Result<(), Refusal> {
    for (name, _) in component.component_type().imports(&profile.engine) {
        if name.starts_with("waypost:") {
            if !known(name, &IMPORTS) {
                return Err(unknown("imports", name));
            }
        } else if !(profile.wasi && offered_wasi(name)) {
            return Err(Refusal::NotOffered(sentence(name)));
        }
    }
    Ok(())
}

fn check_exports(profile: &EngineProfile, component: &Component) -> Result<(), Refusal> {
    for (name, _) in component.component_type().exports(&profile.engine) {
        if name.starts_with("waypost:") && !known(name, &EXPORTS) {
            return Err(unknown("exports", name));
        }
    }
    Ok(())
}

fn known(name: &str, interfaces: &[&str]) -> bool {
    interfaces.iter().any(|known| interface(known) == name)
}

fn unknown(verb: &str, name: &str) -> Refusal {
    Refusal::UnknownInterface {
        verb: verb.to_owned(),
        name: sentence(name),
        ours: PACKAGE.to_owned(),
    }
}

fn offered_wasi(name: &str) -> bool {
    name.split_once('@')
        .is_some_and(|(name, version)| version.starts_with("0.2.") && wasi::OFFERED.contains(&name))
}
