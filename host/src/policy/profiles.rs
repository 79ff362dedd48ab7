//! The ways to run components: engines, what they offer, and the pool of instances.

use std::num::NonZeroUsize;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{
    Config, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails, WasmFeatures,
};

use super::bindings::Imports;
use super::places;
use super::state::State;
use super::wasi;

/// The stack that a guest may use of its thread's; threads have 2 MiB or more.
const GUEST_STACK: usize = 512 * 1024;
/// Policies that the pool has room for on every worker, with the reserved places of each
/// (`places`).
const POLICIES: u32 = 100;
/// Core instances of a component whose instances come from the pool. They are counted and take no
/// room in advance.
const CORE_INSTANCES: u32 = 24;
/// Tables in one place.
const TABLES: u32 = 4;
/// What stays in memory of a place in the pool that was used: the pages that a small guest writes.
const KEPT_MEMORY: usize = 256 * 1024;
/// The same of its tables.
const KEPT_TABLE: usize = 16 * 1024;
/// A pool with fewer places than this is of no use.
const FEWEST_PLACES: u32 = 4;
/// The most places in the pool: each reserves 4 GiB of addresses, of which there are 128 TiB.
const MAX_PLACES: u32 = 8192;

/// The WebAssembly features that components may use: those that the tools for Rust, C, Zig,
/// JavaScript and Python emit.
///
/// A feature that no policy needs is code that only an attacker runs. (An 859-byte component whose
/// function types had a supertype once ended the process.)
pub(super) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

/// A way to run components.
pub(super) struct EngineProfile {
    /// Its engine.
    pub engine: wasmtime::Engine,
    /// The imports that it offers.
    pub linker: Linker<State>,
    /// Whether that includes WASI.
    pub wasi: bool,
    /// Whether its instances come from the pool.
    pub pooled: bool,
}

/// The three ways.
pub(super) struct EngineProfiles {
    /// Places in the pool.
    pub places: u32,
    /// The process had no address space for more.
    pub scarce: bool,
    /// Small components, with instances from a pool: microseconds to instantiate.
    pub pooled: EngineProfile,
    /// Components that don't fit the pool's places.
    pub on_demand: EngineProfile,
    /// Components that import WASI; shares the engine of `on_demand`.
    pub wasi: EngineProfile,
}

impl EngineProfiles {
    /// Reserves the pool: for this many workers, or with this many instances.
    pub(super) fn new(
        workers: usize,
        instances: Option<u32>,
        fuel: bool,
    ) -> wasmtime::Result<Self> {
        let on_demand = wasmtime::Engine::new(&base_config(fuel))?;
        let (pooled, places, scarce) = match pooled_engine(workers, instances, fuel) {
            Ok((engine, places, scarce)) => (profile(engine, false, true)?, places, scarce),
            Err(e) => {
                tracing::warn!(
                    "the pool of policy instances can't be reserved, so instances take longer to \
                     build and `isolation = \"request\"` is refused: this process has too little \
                     address space; see `ulimit -v` ({e})"
                );
                (profile(on_demand.clone(), false, false)?, 0, true)
            }
        };
        Ok(Self {
            places,
            scarce,
            pooled,
            on_demand: profile(on_demand.clone(), false, false)?,
            wasi: profile(on_demand, true, false)?,
        })
    }
}

impl EngineProfile {
    /// The same with WASI.
    pub(super) fn with_wasi(&self) -> wasmtime::Result<Self> {
        profile(self.engine.clone(), true, false)
    }
}

/// A way to compile for all of them, which can't run anything well: it has no pool and no place for
/// one.
pub(super) fn for_compiling(fuel: bool, parallel: bool) -> wasmtime::Result<EngineProfile> {
    let mut config = base_config(fuel);
    config.parallel_compilation(parallel);
    profile(wasmtime::Engine::new(&config)?, false, false)
}

fn profile(engine: wasmtime::Engine, wasi: bool, pooled: bool) -> wasmtime::Result<EngineProfile> {
    let mut linker = Linker::new(&engine);
    Imports::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    if wasi {
        wasi::add_to_linker(&mut linker)?;
    }
    Ok(EngineProfile {
        engine,
        linker,
        wasi,
        pooled,
    })
}

fn base_config(fuel: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all().difference(FEATURES), false)
        .wasm_features(FEATURES, true)
        .epoch_interruption(true)
        .concurrency_support(false)
        .memory_init_cow(true)
        .consume_fuel(fuel)
        .max_wasm_stack(GUEST_STACK)
        // Nothing is compiled in this process.
        .parallel_compilation(false)
        // Debug information of a guest is not parsed on a worker because the guest trapped; names
        // are enough.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(16));
    config
}

/// The pool and its places, fewer where the system does not give that much address space.
fn pooled_engine(
    workers: usize,
    instances: Option<u32>,
    fuel: bool,
) -> wasmtime::Result<(wasmtime::Engine, u32, bool)> {
    let each = places::of_generation(workers.max(1), 1).saturating_mul(places::GENERATIONS);
    let wanted = each.saturating_mul(POLICIES).min(MAX_PLACES);
    let wanted = instances.unwrap_or(wanted).clamp(1, MAX_PLACES);
    let mut places = wanted;
    loop {
        let mut config = base_config(fuel);
        let leaving = places::LEAVING.min(places.div_ceil(4));
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(places + leaving)));
        match wasmtime::Engine::new(&config) {
            // In small steps: little space is what each place less makes more of.
            Err(_) if places > FEWEST_PLACES => places -= places.div_ceil(8),
            result => return Ok((result?, places, places < wanted)),
        }
    }
}

/// The places that each instance of this component takes: one for each of its memories, and for
/// each few of its tables.
pub(super) fn places_of(component: &Component) -> u32 {
    let needs = component.resources_required();
    needs.map_or(1, |needs| {
        needs
            .num_memories
            .max(needs.num_tables.div_ceil(TABLES))
            .max(1)
    })
}

fn pool(places: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // A component of the usual tools has a module with the one memory, and a few that only adapt
    // it.
    pool.total_component_instances(places)
        .total_core_instances(places.saturating_mul(CORE_INSTANCES))
        .total_memories(places)
        .total_tables(places.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(8)
        .max_tables_per_component(16)
        // Calls run on the worker's own stack.
        .total_stacks(1)
        .table_elements(20_000)
        // The few pages that a dropped instance wrote are cleaned in place, where the kernel can
        // tell which (Linux 6.7): giving them back and faulting them in again costs more than the
        // rest of a fresh instance for a request.
        .pagemap_scan(wasmtime::Enabled::Auto)
        .linear_memory_keep_resident(KEPT_MEMORY)
        .table_keep_resident(KEPT_TABLE);
    pool
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use wasmtime::component::Component;

    use super::*;

    /// Features that are off, each with a module or a component that uses it; `None` where the text
    /// format can't express it.
    const OFF: &[(&str, Option<&str>)] = &[
        (
            "RELAXED_SIMD",
            Some(
                "(module (func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get \
                 0)))))",
            ),
        ),
        ("THREADS", Some("(module (memory 1 1 shared))")),
        (
            "SHARED_EVERYTHING_THREADS",
            Some("(module (type (shared (func))))"),
        ),
        ("TAIL_CALL", Some("(module (func $f (return_call $f)))")),
        ("MULTI_MEMORY", Some("(module (memory 1) (memory 1))")),
        ("EXCEPTIONS", Some("(module (tag))")),
        ("MEMORY64", Some("(module (memory i64 1))")),
        (
            "FUNCTION_REFERENCES",
            Some("(module (type $f (func)) (func (param (ref $f))))"),
        ),
        ("MEMORY_CONTROL", None),
        ("GC", Some("(module (type (sub (func))))")),
        (
            "CUSTOM_PAGE_SIZES",
            Some("(module (memory 1 (pagesize 1)))"),
        ),
        (
            "LEGACY_EXCEPTIONS",
            Some("(module (tag) (func try catch_all end))"),
        ),
        ("GC_TYPES", Some("(module (func (param externref)))")),
        (
            "STACK_SWITCHING",
            Some("(module (type $f (func)) (type (cont $f)))"),
        ),
        (
            "WIDE_ARITHMETIC",
            Some(
                "(module (func (param i64) (result i64 i64) (i64.mul_wide_s (local.get 0) \
                 (local.get 0))))",
            ),
        ),
        ("CUSTOM_DESCRIPTORS", None),
        ("COMPACT_IMPORTS", None),
        (
            "CM_VALUES",
            Some("(component (import \"v\" (value $v string)) (export \"w\" (value $v)))"),
        ),
        ("CM_NESTED_NAMES", None),
        ("CM_ASYNC", Some("(component (type (future u8)))")),
        ("CM_ASYNC_STACKFUL", None),
        ("CM_MORE_ASYNC_BUILTINS", None),
        (
            "CM_THREADING",
            Some("(component (core func (canon thread.index)))"),
        ),
        ("CM_ERROR_CONTEXT", Some("(component (type error-context))")),
        (
            "CM_FIXED_LENGTH_LISTS",
            Some("(component (type (list u8 4)))"),
        ),
        ("CM_GC", Some("(component (core type (sub (func))))")),
        ("CM_MAP", Some("(component (type (map u8 u8)))")),
        ("CM64", None),
        ("CM_IMPLEMENTS", None),
        ("CM_CANON_NAMES", None),
    ];

    fn engines() -> [wasmtime::Engine; 2] {
        let profiles = EngineProfiles::new(0, Some(1), false).unwrap();
        [profiles.pooled.engine, profiles.wasi.engine]
    }

    /// A component around this module; a component as it is.
    fn component(text: &str) -> Vec<u8> {
        let core = text
            .strip_prefix("(module")
            .map(|rest| format!("(component (core module {rest})"));
        wat::parse_str(core.as_deref().unwrap_or(text)).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn a_component_compiled_in_another_process_fits_all_engines() {
        let hash = |engine: &wasmtime::Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        for fuel in [false, true] {
            let profiles = EngineProfiles::new(0, Some(1), fuel).unwrap();
            for parallel in [false, true] {
                let compiling = hash(&for_compiling(fuel, parallel).unwrap().engine);
                assert_eq!(
                    [
                        hash(&profiles.pooled.engine),
                        hash(&profiles.on_demand.engine)
                    ],
                    [compiling; 2]
                );
            }
        }
    }

    #[test]
    fn every_feature_is_on_because_a_tool_emits_it_or_off() {
        for (name, flag) in WasmFeatures::all().iter_names() {
            let off = OFF.iter().any(|(off, _)| *off == name);
            assert_ne!(
                FEATURES.contains(flag),
                off,
                "{name}: decide whether policies may use it, here and in `FEATURES`"
            );
        }
    }

    #[test]
    fn a_component_that_uses_a_disabled_feature_is_refused_before_it_is_compiled() {
        for engine in engines() {
            for (name, text) in OFF {
                let Some(text) = text else { continue };
                let bytes = component(text);
                assert!(Component::new(&engine, &bytes).is_err(), "{name}");
                // Otherwise the text is wrong, and would be refused with any features.
                let everything = wasmparser::Validator::new_with_features(WasmFeatures::all())
                    .validate_all(&bytes);
                assert!(everything.is_ok(), "{name}: {:?}", everything.err());
            }
        }
    }
}
