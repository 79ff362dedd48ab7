//! From machine code to a component that can be instantiated.

use wasmtime::component::InstancePre;

use super::cache::{Cache, Code};
use super::compiling::{Artefact, Facts, LARGE, check_preamble, link};
use super::contract::{ExportIndices, interface};
use super::error::Refusal;
use super::lines::sentence;
use super::profiles::{self, EngineProfile, EngineProfiles};
use super::state::State;

/// A compiled and linked component; shared by all policies and generations that use the same bytes.
pub(super) struct Compiled {
    /// Ready to be instantiated.
    pub pre: InstancePre<State>,
    /// Where its hooks are.
    pub exports: ExportIndices,
    /// The counts that were taken before it was compiled.
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

/// What these bytes were compiled to, now by `make` or before, ready to be instantiated. Of the
/// bytes themselves no more is read than which kind of file they are.
pub(super) fn compiled(
    profiles: &EngineProfiles,
    cache: Option<&Cache>,
    digest: &str,
    bytes: &[u8],
    make: impl FnOnce() -> Result<(Facts, Artefact), Refusal>,
) -> Result<Compiled, Refusal> {
    check_preamble(bytes)?;
    // All engines run the same code.
    let engine = &profiles.on_demand.engine;
    if let Some((facts, code)) = cache.and_then(|cache| cache.find(engine, digest)) {
        match place(profiles, bytes.len(), facts, &code) {
            Ok(compiled) => return Ok(compiled),
            Err(reason) => {
                tracing::warn!("a cached component can't be used and is compiled again: {reason}")
            }
        }
    }
    let (facts, artefact) = make()?;
    let kept = cache.and_then(|cache| cache.keep(engine, digest, facts, &artefact));
    if let Some(code) = kept
        && let Ok(compiled) = place(profiles, bytes.len(), facts, &code)
    {
        return Ok(compiled);
    }
    place(profiles, bytes.len(), facts, &Code::Unkept(artefact))
}

/// Maps the code for the first profile that it fits, and links it.
fn place(
    profiles: &EngineProfiles,
    size: usize,
    facts: Facts,
    code: &Code,
) -> Result<Compiled, Refusal> {
    // The pool's places have fixed sizes; what does not fit them may still be fine outside of it.
    let fitting: &[&EngineProfile] = match (facts.wasi, size > LARGE) {
        (true, _) => &[&profiles.wasi],
        (false, true) => &[&profiles.on_demand],
        (false, false) => &[&profiles.pooled, &profiles.on_demand],
    };
    let mut reason = Refusal::Host("no engine profile fits it".to_owned());
    for profile in fitting {
        let component = match code.map(&profile.engine) {
            Ok(component) => component,
            Err(e) => {
                reason = Refusal::Unsupported(sentence(format_args!("{e:#}")));
                continue;
            }
        };
        // Otherwise the first instance would pay for it, and its build time decides whether workers
        // may build instances.
        component
            .initialize_copy_on_write_image()
            .map_err(|e| Refusal::Host(sentence(format_args!("{e:#}"))))?;
        let (pre, exports) = link(profile, &component)?;
        let store = interface("store");
        let store = component
            .component_type()
            .imports(&profile.engine)
            .any(|(name, _)| name == store);
        let places = profiles::places_of(&component);
        return Ok(Compiled {
            pre,
            exports,
            facts,
            wasi: profile.wasi,
            pooled: profile.pooled,
            store,
            places,
        });
    }
    Err(reason)
}
