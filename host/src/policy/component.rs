//! From machine code to a component that can be instantiated.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use wasmtime::component::InstancePre;

use super::cache::{Cache, Code};
use super::compiling::{Artefact, Facts, LARGE, check_preamble, link};
use super::contract::{ExportIndices, interface};
use super::error::Refusal;
use super::lanes::{self, Lane, Lanes};
use super::lines::sentence;
use super::state::State;

/// A compiled and linked component; shared by all policies and generations that use the same bytes.
pub(super) struct Compiled {
    /// Ready to be instantiated.
    pub pre: InstancePre<State>,
    /// Where its hooks are.
    pub exports: ExportIndices,
    /// What was counted before it was compiled.
    pub facts: Facts,
    /// Whether it imports WASI.
    pub wasi: bool,
    /// Whether its instances come from the pool.
    pub pooled: bool,
    /// Whether it imports `store`.
    pub store: bool,
    /// Places that an instance takes in the pool.
    pub places: u32,
}

/// `sha256:` and the digest of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What these bytes were compiled to, now by `make` or before, ready to be instantiated. Of the
/// bytes themselves no more is read than which kind of file they are.
pub(super) fn compiled(
    lanes: &Lanes,
    cache: Option<&Cache>,
    digest: &str,
    bytes: &[u8],
    make: impl FnOnce() -> Result<(Facts, Artefact), Refusal>,
) -> Result<Compiled, Refusal> {
    check_preamble(bytes)?;
    // All engines run the same code.
    let engine = &lanes.on_demand.engine;
    if let Some((facts, code)) = cache.and_then(|cache| cache.find(engine, digest)) {
        match place(lanes, bytes.len(), facts, &code) {
            Ok(compiled) => return Ok(compiled),
            Err(reason) => {
                tracing::warn!("a compiled component is not used, and is made anew: {reason}")
            }
        }
    }
    let (facts, artefact) = make()?;
    let kept = cache.and_then(|cache| cache.keep(engine, digest, facts, &artefact));
    if let Some(code) = kept
        && let Ok(compiled) = place(lanes, bytes.len(), facts, &code)
    {
        return Ok(compiled);
    }
    place(lanes, bytes.len(), facts, &Code::Unkept(artefact))
}

/// Maps the code for the first lane that it fits, and links it.
fn place(lanes: &Lanes, size: usize, facts: Facts, code: &Code) -> Result<Compiled, Refusal> {
    // The pool's places have fixed sizes; what does not fit them may still be fine outside of it.
    let fitting: &[&Lane] = match (facts.wasi, size > LARGE) {
        (true, _) => &[&lanes.wasi],
        (false, true) => &[&lanes.on_demand],
        (false, false) => &[&lanes.pooled, &lanes.on_demand],
    };
    let mut reason = Refusal::Host("there is no way to run it".to_owned());
    for lane in fitting {
        let component = match code.map(&lane.engine) {
            Ok(component) => component,
            Err(e) => {
                reason = Refusal::Unsupported(sentence(format_args!("{e:#}")));
                continue;
            }
        };
        // Else the first instance would pay for it, and its time tells whether workers may build
        // instances.
        component
            .initialize_copy_on_write_image()
            .map_err(|e| Refusal::Host(sentence(format_args!("{e:#}"))))?;
        let (pre, exports) = link(lane, &component)?;
        let store = interface("store");
        let store = component
            .component_type()
            .imports(&lane.engine)
            .any(|(name, _)| name == store);
        let places = lanes::places_of(&component);
        return Ok(Compiled {
            pre,
            exports,
            facts,
            wasi: lane.wasi,
            pooled: lane.pooled,
            store,
            places,
        });
    }
    Err(reason)
}
