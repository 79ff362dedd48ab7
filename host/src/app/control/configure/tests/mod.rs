//! What is published while a process runs, as requests, connections and instances see it.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::*;
use crate::admin::{Deployment, StatsView, stats_page};
use crate::app::backend_files::BackendFiles;
use crate::app::control::{Carried, Process, Reloads, Written, upgrades};
use crate::app::names::Names;
use crate::config::Pool;
use crate::decision::{Caller, ChainRoute, Environment, PolicyChain, RequestPolicyState};
use crate::message::RequestHead;
use crate::policy::{Attempt, Compiler, Engine, EngineOptions, PolicyId};
use crate::proxy::WorkerSnapshot;
use crate::route::{Action, Rule};
use crate::stats::Stats;
use crate::upstream::{BackendFacts, FailedAttempt, Registry, topology};

mod left;
mod served;

const CONFIG: &str = r#"
    workers = 1
    [[routes]]
    host = "*"
    pool = "web"
    policies = ["probe"]
    [pools.web]
    backends = ["127.0.0.1:1", "127.0.0.1:2"]
    [policies.probe]
    component = "probe.wasm"
    deadline = "10s"
    [policies.probe.settings]
    request = ["topology", "calls"]
    select = ["pick=0"]
"#;

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/probe")
}

fn config(text: &str) -> Arc<Config> {
    Arc::new(Config::from_toml(text, &guests()).unwrap())
}

/// The control side of a process that was started with this configuration.
async fn started(config: &Arc<Config>) -> Arc<ControlPlane> {
    crate::ground::limit_this_test();
    let registry = Registry::new(1);
    let names = Names::new(&config.resolver, 8).unwrap();
    let topology = topology(&config.pools, &registry, names.discovery(), TlsFiles::Read);
    let topology = Arc::new(topology.unwrap());
    let options = EngineOptions {
        workers: 1,
        compiler: Compiler::Here,
        ..EngineOptions::default()
    };
    let process = Process {
        engine: Engine::new(options).unwrap(),
        stats: Stats::new(1),
        registry,
        state_dir: None,
        carried: Carried::default(),
        certificates: Arc::default(),
        reloads: Reloads::new(Written::default()).0,
        upgrades: upgrades().0,
        names,
        backend_files: BackendFiles::default(),
        door: Arc::default(),
    };
    let control = ControlPlane::new(Arc::clone(config), &topology, process);
    let control = Arc::new(control);
    control.load_all().await.unwrap();
    control
}

impl ControlPlane {
    fn topology_of(&self, pools: &[Pool]) -> Arc<Topology> {
        let discovery = self.names.discovery();
        let made = topology(pools, &self.registry, discovery, TlsFiles::Read);
        Arc::new(made.unwrap())
    }

    /// Publishes a configuration with what is open for the one before.
    async fn publish_config(self: &Arc<Self>, config: Arc<Config>) -> Result<u64, String> {
        let prepared = self.prepare(Config::clone(&config), Purpose::Publish).await;
        let prepared = prepared.map_err(|errors| errors.join("\n"))?;
        let equipment = Arc::clone(&self.snapshot().equipment);
        Ok(self.publish_prepared(prepared, equipment).await)
    }

    fn first_of_a_worker(&self) -> WorkerSnapshot {
        WorkerSnapshot::new(self.snapshot(), self.stats(), 0)
    }

    fn next_of_a_worker(&self, former: &WorkerSnapshot) -> WorkerSnapshot {
        former.next(self.snapshot(), self.stats(), 0)
    }
}

#[derive(Clone, Copy)]
struct Nothing<'a>(&'a WorkerSnapshot);

impl Caller for Nothing<'_> {}

impl Environment for Nothing<'_> {
    fn random(self) -> u64 {
        0
    }
    fn log_fault(self, _: (&str, u64), _line: impl Fn() -> String) {}
    fn facts(&self) -> &dyn BackendFacts {
        &*self.0.pools.facts
    }
    fn takes_traffic(self, _backend: u32) -> bool {
        true
    }
    fn choose(self, _failed: &[FailedAttempt]) -> Option<u32> {
        None
    }
}

fn rule<'a>(worker: &'a WorkerSnapshot, host: &str) -> Option<&'a Rule> {
    let mut head = RequestHead {
        host: host.to_owned(),
        ..RequestHead::default()
    };
    head.set_target("/");
    match worker.snapshot.routes.find(&head)? {
        Action::Forward(rule) => Some(rule),
        Action::Answer(_) => None,
    }
}

/// The policy of this host's route, asked by a worker.
fn chain<'a>(
    worker: &'a WorkerSnapshot,
    host: &str,
    state: &'a RequestPolicyState,
) -> PolicyChain<'a, Nothing<'a>> {
    let rule = rule(worker, host).unwrap();
    PolicyChain {
        route: ChainRoute {
            number: rule.number,
            pools: rule.targets[0].pool.number().into(),
            rights: rule.rights,
            policies: &rule.policies,
        },
        policies: &worker.policies,
        state,
        environment: Nothing(worker),
    }
}

/// What the policy's instance on this worker knows, and how often it was asked.
fn asked(worker: &WorkerSnapshot) -> (String, String) {
    let (mut head, state) = (Default::default(), RequestPolicyState::default());
    assert!(chain(worker, "a", &state).prepare(&mut head, false).is_ok());
    let told = |name| String::from_utf8(head.fields.first(name).unwrap().to_vec()).unwrap();
    (told("x-probe-topology"), told("x-probe-calls"))
}

/// Has the policy select the first backend of its list.
fn select(worker: &WorkerSnapshot) {
    let attempt = Attempt {
        number: 1,
        failed: &[],
    };
    let (mut head, state) = (Default::default(), RequestPolicyState::default());
    let selected = chain(worker, "a", &state).select(&mut head, attempt);
    assert_eq!(selected.unwrap(), 0);
}

#[tokio::test]
async fn what_stayed_is_kept_and_an_instance_that_lives_sees_the_second_list() {
    let config = config(CONFIG);
    let control = started(&config).await;
    let before = control.first_of_a_worker();
    let first = Arc::clone(&before.snapshot.topology);
    let generation = first.generation;
    let list = format!("0 web {generation} 127.0.0.1:1/1 127.0.0.1:2/1");
    assert_eq!(asked(&before), (list, "1".to_owned()));

    let mut pools = config.pools.clone();
    pools[0].backends.remove(0);
    let second = control.topology_of(&pools);
    let version = control.publish_topology(Arc::clone(&second)).await;
    let after = control.next_of_a_worker(&before);
    assert_eq!(after.snapshot.version, version);
    assert!(second.generation > generation);
    let list = format!("0 web {} 127.0.0.1:2/1", second.generation);
    assert_eq!(asked(&after), (list, "2".to_owned()), "the same instance");
    let pool = |worker: &WorkerSnapshot| {
        let pool = worker.pools.pool(first.pools[0].id).unwrap();
        pool.endpoints.to_vec()
    };
    assert!(Rc::ptr_eq(&pool(&after)[0], &pool(&before)[1]));
    // The same again: nothing is new.
    let third = control.topology_of(&pools);
    control.publish_topology(third).await;
    let last = control.next_of_a_worker(&after);
    assert_eq!(asked(&last).1, "3");
}

#[tokio::test]
async fn selections_count_for_the_address_that_was_selected() {
    let config = config(CONFIG);
    let control = started(&config).await;
    let before = control.first_of_a_worker();
    select(&before);
    let mut pools = config.pools.clone();
    pools[0].backends.remove(0);
    let second = control.topology_of(&pools);
    control.publish_topology(second).await;
    let after = control.next_of_a_worker(&before);
    select(&after);
    select(&after);
    let view = StatsView {
        stats: control.stats(),
        policies: &control.policies(),
        certificates: &[],
        names: &[],
        reload: &control.reload_status(),
        pools: &[],
    };
    let (_, page) = stats_page(&view, Some(b"application/json"));
    let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
    let counted = serde_json::json!({"web": {"127.0.0.1:1": 1, "127.0.0.1:2": 2}});
    assert_eq!(page["policies"]["probe"]["decisions"], counted);
}

#[tokio::test]
async fn another_configuration_changes_routes_and_pools_and_keeps_what_stayed() {
    let control = started(&config(CONFIG)).await;
    let before = control.first_of_a_worker();
    assert_eq!(asked(&before).1, "1");
    // Every position changes: a pool and a route come before those that there were.
    let text = CONFIG.replace(
        "[[routes]]",
        "[pools.about]\nbackends = [\"127.0.0.1:2\"]\n[[routes]]\nhost = \"b\"\npool = \"about\"\npolicies = []\n\
         [[routes]]",
    );
    let text = text.replace("backends = [\"127.0.0.1:1\", ", "backends = [");
    let next = config(&format!("{text}\n[limits]\nbody-bytes = 7"));
    let version = control.publish_config(next).await.unwrap();
    let after = control.next_of_a_worker(&before);
    assert_eq!(
        (after.snapshot.version, version),
        (version, before.snapshot.version + 1)
    );
    assert_eq!(control.current().limits.body_bytes, 7);
    assert_eq!(
        (
            before.settings.limits.body_bytes,
            after.settings.limits.body_bytes
        ),
        (0, 7)
    );
    let generation = after.snapshot.topology.generation;
    let list = format!("0 web {generation} 127.0.0.1:2/1");
    assert_eq!(asked(&after), (list, "2".to_owned()), "the same instance");
    let (web, about) = (rule(&after, "a").unwrap(), rule(&after, "b").unwrap());
    assert_eq!(
        rule(&before, "b").unwrap().targets[0].pool,
        web.targets[0].pool
    );
    assert_eq!(web.policies, rule(&before, "a").unwrap().policies);
    assert_eq!(
        (
            &*about.policies,
            about.targets[0].pool == web.targets[0].pool
        ),
        (&[] as &[PolicyId], false)
    );
    let endpoint = |worker: &WorkerSnapshot, pool, at: usize| {
        Rc::clone(&worker.pools.pool(pool).unwrap().endpoints[at])
    };
    let kept = endpoint(&before, web.targets[0].pool, 1);
    assert!(Rc::ptr_eq(&kept, &endpoint(&after, web.targets[0].pool, 0)));
    assert!(Rc::ptr_eq(
        &kept,
        &endpoint(&after, about.targets[0].pool, 0)
    ));
}

#[tokio::test]
async fn what_a_process_keeps_for_its_life_is_refused() {
    let start = config(CONFIG);
    let control = started(&start).await;
    let before = control.snapshot();
    let refused = |text: String| {
        let control = Arc::clone(&control);
        async move { control.publish_config(config(&text)).await.unwrap_err() }
    };
    for (text, named) in [
        (CONFIG.replace("workers = 1", "workers = 2"), "`workers`"),
        (
            CONFIG.replace("workers", "state-dir = \"a\"\nworkers"),
            "`state-dir`",
        ),
    ] {
        let reason = refused(text).await;
        assert!(
            reason.contains(named) && reason.contains("restart"),
            "{reason}"
        );
    }
    let nowhere = CONFIG.replace("127.0.0.1:2", "nowhere.invalid:2");
    let reason = refused(format!("{nowhere}[resolver]\nstrict = true")).await;
    assert!(reason.contains("nowhere.invalid"), "{reason}");
    assert!(
        Arc::ptr_eq(&before, &control.snapshot()),
        "nothing was published"
    );
    assert!(Arc::ptr_eq(&start, &control.current()));
    // Otherwise the pool does without it, and a warning says so.
    let prepared = control.prepare(Config::clone(&config(&nowhere)), Purpose::Publish);
    let prepared = prepared.await.map_err(|errors| errors.join("\n")).unwrap();
    let warnings = prepared.config.warnings.join("\n");
    assert!(warnings.contains("nowhere.invalid"), "{warnings}");
}

#[tokio::test]
async fn routes_stay_while_a_policy_is_on_trial() {
    let control = started(&config(CONFIG)).await;
    let component = std::fs::read(guests().join("probe.wasm")).unwrap();
    let shadow = Deployment::Shadow { percent: 100.0 };
    let probe = control.named("probe").unwrap();
    let deployed = control.deploy(&probe, component, "a test".to_owned(), shadow);
    deployed.await.unwrap();
    let routes = CONFIG.replace("host = \"*\"", "host = \"a\"");
    let refused = control.publish_config(config(&routes)).await.unwrap_err();
    assert!(refused.contains("on trial"), "{refused}");
    let next = config(&format!("{CONFIG}[limits]\nbody-bytes = 7"));
    control.publish_config(next).await.unwrap();
    assert!(control.snapshot().policies[0].trial.is_some());
}
