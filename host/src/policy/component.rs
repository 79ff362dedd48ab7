//! From bytes to a component that can be instantiated: what kind of bytes they are, what it imports and exports,
//! compiling and linking. Every refusal names what is wrong.

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre};

use super::cache::Cache;
use super::contract::{ExportIndices, PACKAGE, interface};
use super::error::Refusal;
use super::lanes::{Lane, Lanes};
use super::lines::sentence;
use super::state::State;
use super::wasi;

/// The largest component. Python's are 18 MB.
const MAX_COMPONENT: usize = 64 * 1024 * 1024;
/// Larger ones carry a whole language runtime, whose tables and memories don't fit the pool.
const LARGE: usize = 4 * 1024 * 1024;

/// The interfaces of the contract that the host implements.
const IMPORTS: [&str; 8] = ["types", "log", "random", "clock", "backend-facts", "attempts", "counters", "store"];
/// The interfaces of the contract that a policy may implement.
const EXPORTS: [&str; 6] = ["configuration", "topology", "selection", "request-headers", "response-headers", "range"];

/// A compiled and linked component; shared by all policies and generations that use the same bytes.
pub(super) struct Compiled {
    /// Ready to be instantiated.
    pub pre: InstancePre<State>,
    /// Where its hooks are.
    pub exports: ExportIndices,
    /// Whether it imports WASI.
    pub wasi: bool,
    /// Whether its instances come from the pool.
    pub pooled: bool,
    /// Whether it imports `store`.
    pub store: bool,
}

/// `sha256:` and the digest of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Compiles, checks and links.
pub(super) fn compile(lanes: &Lanes, cache: Option<&Cache>, digest: &str, bytes: &[u8]) -> Result<Compiled, Refusal> {
    check_preamble(bytes)?;
    let wasi = imports_wasi(bytes);
    // The pool's places have fixed sizes; what does not fit them may still be fine outside of it.
    let fitting: &[&Lane] = match (wasi, bytes.len() > LARGE) {
        (true, _) => &[&lanes.wasi],
        (false, true) => &[&lanes.on_demand],
        (false, false) => &[&lanes.pooled, &lanes.on_demand],
    };
    let found = cache.and_then(|cache| cached(fitting, cache, digest));
    let fresh = found.is_none();
    let (lane, component) = match found {
        Some(found) => found,
        None => compiled(fitting, bytes).map_err(|e| Refusal::Corrupt(sentence(format_args!("{e:#}"))))?,
    };
    // Else the first instance would pay for it, and its time tells whether workers may build instances.
    component.initialize_copy_on_write_image().map_err(|e| Refusal::Host(sentence(format_args!("{e:#}"))))?;
    check_imports(lane, &component)?;
    check_exports(lane, &component)?;
    let pre = lane
        .linker
        .instantiate_pre(&component)
        .map_err(|e| Refusal::ImportMismatch(sentence(format_args!("{e:#}"))))?;
    let exports = ExportIndices::find(&pre)?;
    let hooks = exports.hooks();
    if !(hooks.selection || hooks.request_headers || hooks.response_headers || hooks.range) {
        return Err(Refusal::NoHook(PACKAGE.to_owned()));
    }
    if let (true, Some(cache)) = (fresh, cache) {
        cache.store(&lane.engine, digest, &component);
    }
    let store = interface("store");
    let store = component.component_type().imports(&lane.engine).any(|(name, _)| name == store);
    Ok(Compiled { pre, exports, wasi, pooled: lane.pooled, store })
}

fn cached<'a>(fitting: &[&'a Lane], cache: &Cache, digest: &str) -> Option<(&'a Lane, Component)> {
    fitting.iter().find_map(|lane| Some((*lane, cache.load(&lane.engine, digest)?)))
}

/// By the first lane that takes it.
fn compiled<'a>(fitting: &[&'a Lane], bytes: &[u8]) -> wasmtime::Result<(&'a Lane, Component)> {
    let mut result = Err(wasmtime::Error::msg("there is no way to run it"));
    for lane in fitting {
        result = Component::new(&lane.engine, bytes).map(|component| (*lane, component));
        if result.is_ok() {
            break;
        }
    }
    result
}

fn check_preamble(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > MAX_COMPONENT {
        return Err(Refusal::TooLarge { size: bytes.len(), limit: MAX_COMPONENT });
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
        _ => Err(Refusal::Corrupt("it is of a version of WebAssembly that is not known".to_owned())),
    }
}

/// Whether an import section of the component names WASI. Looked up before compiling, because it decides by which
/// engine; a wrong guess on bytes that are not valid does no harm.
fn imports_wasi(bytes: &[u8]) -> bool {
    const IMPORT_SECTION: u8 = 10;
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((&id, after)) = rest.split_first() {
        let Some((size, after)) = leb128(after) else { return false };
        let (section, next) = after.split_at(size.min(after.len()));
        if id == IMPORT_SECTION && memchr::memmem::find(section, b"wasi:").is_some() {
            return true;
        }
        rest = next;
    }
    false
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (i, &byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

fn check_imports(lane: &Lane, component: &Component) -> Result<(), Refusal> {
    for (name, _) in component.component_type().imports(&lane.engine) {
        if name.starts_with("waypost:") {
            if !known(name, &IMPORTS) {
                return Err(unknown("imports", name));
            }
        } else if !(lane.wasi && offered_wasi(name)) {
            return Err(Refusal::NotOffered(sentence(name)));
        }
    }
    Ok(())
}

fn check_exports(lane: &Lane, component: &Component) -> Result<(), Refusal> {
    for (name, _) in component.component_type().exports(&lane.engine) {
        if name.starts_with("waypost:") && !known(name, &EXPORTS) {
            return Err(unknown("exports", name));
        }
    }
    Ok(())
}

fn known(name: &str, interfaces: &[&str]) -> bool {
    interfaces.iter().any(|known| interface(known) == name)
}

fn unknown(verb: &'static str, name: &str) -> Refusal {
    Refusal::UnknownInterface { verb, name: sentence(name), ours: PACKAGE.to_owned() }
}

fn offered_wasi(name: &str) -> bool {
    name.split_once('@').is_some_and(|(name, version)| version.starts_with("0.2.") && wasi::OFFERED.contains(&name))
}
