//! The engine: compiles and loads policies on the control side.

mod kept;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::beside::Beside;
use super::cache::Cache;
use super::compiling::{Answer, Artefact, Compiler, Facts, Order, Task, Turns, unexpected};
use super::component::{Compiled, compiled};
use super::deadline::{Allowance, thread_time};
use super::digest::digest;
use super::error::{PolicyError, Refusal};
use super::generation::{Generation, INLINE_BUILD, INLINE_LIMIT, Slot};
use super::instance::{BuildError, InstanceSpec};
use super::lists::Lists;
use super::places::{self, Places};
use super::profiles::EngineProfiles;
use super::spec::{EngineOptions, PolicySpec, PoolSpec};
use super::store::Store;
use super::ticker::Ticker;
use crate::config::Isolation;
use crate::stats::PolicyStats;

/// How often another instance is built if the one before took too long for a worker.
const BUILDS_TRIED: usize = 3;
/// What an instance may take to be built when its policy is loaded.
const SETUP: Duration = Duration::from_secs(2);
/// The same for a component that brings a language runtime.
const SETUP_LARGE: Duration = Duration::from_secs(10);

/// Compiles and loads policies. Generations outlive it.
pub struct Engine {
    core: Core,
}

impl Engine {
    /// Reserves the pool and starts the threads for deadlines and for rebuilding instances.
    pub fn new(options: EngineOptions) -> Result<Self, PolicyError> {
        let failed = |e: &dyn std::fmt::Display| PolicyError::Engine(e.to_string());
        let profiles = EngineProfiles::new(options.workers, options.instances, options.fuel)
            .map_err(|e| PolicyError::Engine(format!("{e:#}")))?;
        let ticker = Ticker::start(vec![
            profiles.pooled.engine.clone(),
            profiles.wasi.engine.clone(),
        ])
        .map_err(|e| failed(&e))?;
        let cache = kept::open_cache(options.cache.as_deref())?;
        // Instances that wait to be dropped are in the pool's places meanwhile.
        let leaving = places::LEAVING as usize / 2;
        let beside =
            Beside::start(ticker, options.workers.max(1), leaving).map_err(|e| failed(&e))?;
        Ok(Self {
            core: Core {
                places: Places::new(profiles.places, profiles.scarce),
                profiles,
                workers: options.workers.max(1),
                epoch: options.clock_began.unwrap_or_else(Instant::now),
                beside: Arc::new(beside),
                cache: RwLock::new(cache),
                fuel: options.fuel,
                store_clock: options.store_clock,
                compiler: options.compiler,
                turns: Turns::new(),
                compiled: Mutex::default(),
                stores: Mutex::default(),
            },
        })
    }

    /// Whether the component of this digest is being compiled, and takes long.
    pub fn takes_long(&self, digest: &str) -> bool {
        self.core.turns.takes_long(digest)
    }

    /// Compiles the component, checks it, and builds a warm, configured instance for each worker.
    ///
    /// Takes from milliseconds to seconds and blocks: not for a worker. `stats` is what
    /// `Stats::policy` gives for this name; `generation` is the caller's number for the result.
    /// After an error nothing has changed.
    pub fn load(
        &self,
        spec: &PolicySpec,
        pools: &[PoolSpec],
        pools_generation: u64,
        stats: &Arc<PolicyStats>,
        generation: u64,
    ) -> Result<Arc<Generation>, PolicyError> {
        let load = || {
            self.core
                .load(spec, pools, pools_generation, stats, generation)
        };
        let loaded = thread::scope(|scope| {
            let thread = thread::Builder::new().name("policy-load".to_owned());
            match thread.spawn_scoped(scope, load) {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|_| Err(Refusal::Host("the loader panicked".to_owned()))),
                Err(e) => Err(Refusal::Host(e.to_string())),
            }
        });
        loaded.map_err(|reason| PolicyError::Refused {
            policy: spec.name.clone(),
            origin: spec.source.clone(),
            reason,
        })
    }
}

/// What loading takes.
struct Core {
    profiles: EngineProfiles,
    workers: usize,
    epoch: Instant,
    places: Arc<Places>,
    beside: Arc<Beside>,
    cache: RwLock<Option<Arc<Cache>>>,
    fuel: bool,
    store_clock: Option<Arc<AtomicU64>>,
    compiler: Compiler,
    /// Whose component is compiled next.
    turns: Turns,
    /// Compiled components, by digest.
    compiled: Mutex<HashMap<String, Arc<Place>>>,
    /// By policy name; they outlive generations.
    stores: Mutex<HashMap<String, Arc<Store>>>,
}

/// What one component was compiled to; locked while it is compiled, so that several policies do not
/// compile the same.
type Place = Mutex<Weak<Compiled>>;

impl Core {
    fn load(
        &self,
        spec: &PolicySpec,
        pools: &[PoolSpec],
        pools_generation: u64,
        stats: &Arc<PolicyStats>,
        number: u64,
    ) -> Result<Arc<Generation>, Refusal> {
        let digest = digest(&spec.component);
        let compiled = self.compiled(&digest, spec)?;
        check_fit(&compiled, spec)?;
        let policy: Arc<str> = spec.name.as_str().into();
        let count = self.places.of_generation(self.workers, compiled.places);
        let reserved = compiled
            .pooled
            .then(|| self.places.reserve(&policy, count))
            .transpose();
        let reserved = reserved.map_err(Refusal::Full)?;
        let store = self.store(spec, stats);
        if compiled.store {
            store.reserve();
        }
        let instances = InstanceSpec {
            policy,
            setup: if compiled.pooled { SETUP } else { SETUP_LARGE },
            compiled,
            memory: spec.memory,
            settings: spec.settings_json().into(),
            lists: Mutex::new(Arc::new(Lists::new(pools, pools_generation))),
            stats: Arc::clone(stats),
            store,
            dry: spec.shadow.into(),
            script: spec.setup.clone(),
            heard: OnceLock::new(),
            fuel: self.fuel,
            epoch: self.epoch,
            alarm: Arc::clone(self.beside.ticker.alarm()),
        };
        let warm = self.warm_instances(&instances, spec.isolation)?;
        let build_time = build_time(&instances, warm.build_time, spec.isolation)?;
        Ok(Arc::new(Generation {
            spec: instances,
            number,
            digest,
            size: spec.component.len(),
            on_failure: spec.on_failure,
            isolation: spec.isolation,
            loaded_at: SystemTime::now(),
            deadline: Allowance::of_thread(spec.deadline),
            telling: warm.telling,
            build_time,
            latest_build: AtomicU64::new(0),
            slots: warm.slots,
            failed_before: false.into(),
            _places: reserved,
            beside: Arc::clone(&self.beside),
        }))
    }

    fn store(&self, spec: &PolicySpec, stats: &Arc<PolicyStats>) -> Arc<Store> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Store::new(spec.store, stats, self.store_clock.clone()));
        match stores.get(&spec.name) {
            // Other limits are another store; see `Engine::keep_store`.
            Some(store) if store.limits() != spec.store => made(),
            _ => Arc::clone(stores.entry(spec.name.clone()).or_insert_with(made)),
        }
    }

    fn compiled(&self, digest: &str, spec: &PolicySpec) -> Result<Arc<Compiled>, Refusal> {
        let place = self.place(digest);
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = place.upgrade() {
            return Ok(compiled);
        }
        let make = || self.make(digest, spec);
        let cache = self
            .cache
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let compiled = Arc::new(compiled(
            &self.profiles,
            cache.as_deref(),
            digest,
            &spec.component,
            make,
        )?);
        *place = Arc::downgrade(&compiled);
        Ok(compiled)
    }

    fn place(&self, digest: &str) -> Arc<Place> {
        let mut places = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is in use is locked, or about to be.
        places.retain(|_, place| {
            Arc::strong_count(place) > 1
                || place
                    .try_lock()
                    .is_ok_and(|compiled| compiled.strong_count() > 0)
        });
        Arc::clone(places.entry(digest.to_owned()).or_default())
    }

    /// Has it compiled when it is its turn.
    fn make(&self, digest: &str, spec: &PolicySpec) -> Result<(Facts, Artefact), Refusal> {
        let order = Order::new(
            Task::Compile { fuel: self.fuel },
            spec.compiling,
            spec.component.len(),
        );
        let turn = self.turns.take(&spec.name, digest);
        match self
            .compiler
            .ask(&order, &spec.component, &mut || turn.is_long())?
        {
            (Answer::Compiled(facts), artefact) => Ok((facts, artefact)),
            (answer, _) => Err(unexpected(answer)),
        }
    }

    /// An instance for each worker. With `isolation = "request"` one is built too, so that errors
    /// show now.
    fn warm_instances(&self, spec: &InstanceSpec, isolation: Isolation) -> Result<Warm, Refusal> {
        let shard = spec.stats.shards.last().cloned().unwrap_or_default();
        let lists = spec.lists();
        let mut warm = Warm {
            slots: Vec::with_capacity(self.workers),
            build_time: Duration::MAX,
            telling: Duration::MAX,
        };
        for worker in 0..self.workers {
            if worker > 0 && isolation == Isolation::Request {
                warm.slots.push(Mutex::new(Slot::Empty));
                continue;
            }
            let (instance, took) = timed(spec, |time| spec.build(&lists, &shard, time))?;
            warm.build_time = warm.build_time.min(took);
            warm.telling = warm.telling.min(instance.telling);
            warm.slots.push(Mutex::new(match isolation {
                Isolation::Worker => Slot::Ready(instance),
                Isolation::Request => Slot::Empty,
            }));
        }
        Ok(warm)
    }
}

/// Instances that were built before a policy is used.
struct Warm {
    /// By worker.
    slots: Vec<Mutex<Slot>>,
    /// The least CPU time that one took.
    build_time: Duration,
    /// The least time that an instance took to receive its lists.
    telling: Duration,
}

/// What comes of a build off the workers, and the CPU time that it took.
fn timed<T>(
    spec: &InstanceSpec,
    build: impl FnOnce(Allowance) -> Result<T, BuildError>,
) -> Result<(T, Duration), Refusal> {
    let _one_at_a_time = spec.setting_up();
    // Of the thread, as the deadlines: a machine that is busy now would have it built off the
    // workers for good.
    let (start, used) = (Instant::now(), thread_time());
    let built = build(Allowance::on_wall(spec.setup))
        .map_err(|e| e.into_refusal(spec.memory, spec.setup.as_secs()))?;
    let took = used.zip(thread_time()).map_or_else(
        || start.elapsed(),
        |(before, after)| after.saturating_sub(before),
    );
    Ok((built, took))
}

/// Whether the component fits what its policy is given.
fn check_fit(compiled: &Compiled, spec: &PolicySpec) -> Result<(), Refusal> {
    if !compiled.exports.hooks().configuration && spec.has_settings() {
        return Err(Refusal::SettingsUnwanted);
    }
    if !compiled.pooled && spec.isolation == Isolation::Request {
        return Err(Refusal::SlowIsolation);
    }
    if compiled.facts.beside_memory > spec.memory {
        return Err(Refusal::Memory {
            needed: compiled.facts.beside_memory,
            limit: spec.memory,
        });
    }
    Ok(())
}

/// What building an instance takes; refused where each request waits for one and it is too long.
fn build_time(
    instances: &InstanceSpec,
    first: Duration,
    isolation: Isolation,
) -> Result<Duration, Refusal> {
    let limit = match isolation {
        Isolation::Request => INLINE_LIMIT,
        Isolation::Worker => INLINE_BUILD,
    };
    let took = quickest(instances, first, limit);
    if isolation == Isolation::Request && took > limit {
        return Err(Refusal::SlowBuild { took, limit });
    }
    Ok(took)
}

/// The least CPU time that an instance takes to build, if the first was not far beyond this limit:
/// the first has pages to fetch that the next ones find.
fn quickest(spec: &InstanceSpec, first: Duration, limit: Duration) -> Duration {
    let mut quickest = first;
    for _ in 0..BUILDS_TRIED {
        if quickest <= limit || quickest > 4 * limit {
            break;
        }
        let Ok(((), took)) = timed(spec, |time| spec.rehearse(time)) else {
            break;
        };
        quickest = quickest.min(took);
    }
    quickest
}
