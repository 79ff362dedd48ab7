//! The one place where a snapshot is made, from the one before; and how another topology gets into
//! it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{ControlPlane, policies};
use crate::config::Config;
use crate::decision::PolicyEntry;
use crate::policy::{Generation, Lists};
use crate::proxy::Snapshot;
use crate::route::RouteTable;
use crate::upstream::{PoolId, Topology};

impl Snapshot {
    /// The snapshot that follows `previous`. What did not change is the same as there.
    pub fn next(
        previous: Option<&Self>,
        config: &Arc<Config>,
        topology: &Arc<Topology>,
        mut policies: Vec<PolicyEntry>,
    ) -> Self {
        let same = previous.filter(|p| Arc::ptr_eq(&p.config, config));
        let same_lists = same.filter(|p| p.topology.generation == topology.generation);
        let routes = match same_lists {
            Some(previous) => Arc::clone(&previous.routes),
            None => {
                let pools: Vec<PoolId> = topology.pools.iter().map(|pool| pool.id).collect();
                Arc::new(RouteTable::new(&config.routes, &pools))
            }
        };
        if same_lists.is_none() {
            for (index, entry) in policies.iter_mut().enumerate() {
                entry.lists = lists(&entry.lists, config, topology, index);
            }
        }
        Self {
            version: previous.map_or(0, |p| p.version) + 1,
            config: Arc::clone(config),
            routes,
            topology: Arc::clone(topology),
            policies,
        }
    }
}

/// The lists of a policy in this topology; those that were, if they did not change.
fn lists(former: &Arc<Lists>, config: &Config, topology: &Topology, policy: usize) -> Arc<Lists> {
    let pools = policies::pools(config, &topology.pools, policy);
    let next = former.next(&pools, topology.generation);
    if former.covers(&next) && next.covers(former) {
        Arc::clone(former)
    } else {
        Arc::new(next)
    }
}

impl ControlPlane {
    /// Publishes another topology of the same configuration, and returns the version. Endpoints
    /// that stayed keep their connections and their health; instances of policies are told the
    /// lists that changed. Those that can't be told in the time of a call are built first.
    pub async fn publish_topology(self: &Arc<Self>, topology: Arc<Topology>) -> u64 {
        let (this, next) = (Arc::clone(self), Arc::clone(&topology));
        // What panics has logged it, and what is not built now is built when it is missing.
        let _ = spawn_blocking(move || this.warm_for(&next)).await;
        let version = self.publish_next(|current| {
            let policies = current.policies.clone();
            Snapshot::next(Some(current), &self.config, &topology, policies)
        });
        for (index, entry) in self.snapshot().policies.iter().enumerate() {
            for generation in self.generations(index) {
                generation.set_lists(&entry.lists);
            }
        }
        version
    }

    fn warm_for(&self, topology: &Topology) {
        for (index, entry) in self.snapshot().policies.iter().enumerate() {
            let lists = lists(&entry.lists, &self.config, topology, index);
            for generation in self.generations(index) {
                if let Err(reason) = generation.warm_for(&lists) {
                    tracing::error!(
                        policy = generation.name(),
                        "no instance can be built for a list of backends that has changed: {reason}"
                    );
                }
            }
        }
    }

    /// The generations of this policy that are asked now, or may be again.
    fn generations(&self, index: usize) -> Vec<Arc<Generation>> {
        let state = self.state(index);
        let history = &state.history;
        let trial = history.trial().map(|trial| &trial.generation);
        let all = [history.active(), history.previous(), trial];
        all.into_iter().flatten().map(Arc::clone).collect()
    }

    /// Makes the snapshot that follows the current one, publishes it, and returns its version.
    pub(super) fn publish_next(&self, next: impl FnOnce(&Snapshot) -> Snapshot) -> u64 {
        let mut version = 0;
        self.snapshots.send_modify(|current| {
            let snapshot = next(current);
            version = snapshot.version;
            *current = Arc::new(snapshot);
        });
        version
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use std::path::Path;
    use std::rc::Rc;

    use super::*;
    use crate::admin::{StatsView, stats_page};
    use crate::decision::{Caller, ChainRoute, Environment, PolicyChain, RequestPolicyState};
    use crate::policy::{Attempt, Compiler, Engine, EngineOptions};
    use crate::proxy::WorkerSnapshot;
    use crate::stats::Stats;
    use crate::upstream::{BackendFacts, FailedAttempt, Registry, resolve};

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

    #[derive(Clone, Copy)]
    struct Nothing<'a>(&'a WorkerSnapshot);

    impl Caller for Nothing<'_> {}

    impl Environment for Nothing<'_> {
        fn random(self) -> u64 {
            0
        }
        fn log_fault(self, _line: impl Fn() -> String) {}
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

    /// What the policy's instance on this worker knows, and how often it was asked.
    fn asked(worker: &WorkerSnapshot) -> (String, String) {
        let mut head = Default::default();
        let chain = PolicyChain {
            route: ChainRoute {
                number: 0,
                pool: 0,
                policies: &[0],
            },
            policies: &worker.policies,
            state: &RequestPolicyState::default(),
            environment: Nothing(worker),
        };
        assert!(chain.prepare(&mut head, false).is_ok());
        let told = |name| String::from_utf8(head.fields.first(name).unwrap().to_vec()).unwrap();
        (told("x-probe-topology"), told("x-probe-calls"))
    }

    #[tokio::test]
    async fn what_stayed_is_kept_and_an_instance_that_lives_sees_the_second_list() {
        crate::ground::limit_this_test();
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/probe");
        let config = Arc::new(Config::from_toml(CONFIG, &guests).unwrap());
        let registry = Registry::new(1);
        let first = Arc::new(resolve(&config.pools, &registry).await.unwrap());
        let options = EngineOptions {
            workers: 1,
            compiler: Compiler::Here,
            ..EngineOptions::default()
        };
        let (engine, stats) = (Engine::new(options).unwrap(), Stats::new(1));
        let control = ControlPlane::new(Arc::clone(&config), engine, stats.clone(), &first, None);
        let control = Arc::new(control);
        control.load_all().await.unwrap();
        let before = WorkerSnapshot::new(control.snapshot(), &stats, 0);
        let generation = first.generation;
        let list = format!("0 web {generation} 127.0.0.1:1/1 127.0.0.1:2/1");
        assert_eq!(asked(&before), (list, "1".to_owned()));

        let mut pools = config.pools.clone();
        pools[0].backends.remove(0);
        let second = Arc::new(resolve(&pools, &registry).await.unwrap());
        let version = control.publish_topology(Arc::clone(&second)).await;
        let after = before.next(control.snapshot(), &stats, 0);
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
        let third = Arc::new(resolve(&pools, &registry).await.unwrap());
        control.publish_topology(third).await;
        let last = after.next(control.snapshot(), &stats, 0);
        assert_eq!(asked(&last).1, "3");
    }

    /// Has the policy select the first backend of its list.
    fn select(worker: &WorkerSnapshot) {
        let chain = PolicyChain {
            route: ChainRoute {
                number: 0,
                pool: 0,
                policies: &[0],
            },
            policies: &worker.policies,
            state: &RequestPolicyState::default(),
            environment: Nothing(worker),
        };
        let attempt = Attempt {
            number: 1,
            failed: &[],
        };
        assert_eq!(chain.select(&mut Default::default(), attempt).unwrap(), 0);
    }

    #[tokio::test]
    async fn selections_count_for_the_address_that_was_selected() {
        crate::ground::limit_this_test();
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/probe");
        let config = Arc::new(Config::from_toml(CONFIG, &guests).unwrap());
        let registry = Registry::new(1);
        let first = Arc::new(resolve(&config.pools, &registry).await.unwrap());
        let options = EngineOptions {
            workers: 1,
            compiler: Compiler::Here,
            ..EngineOptions::default()
        };
        let (engine, stats) = (Engine::new(options).unwrap(), Stats::new(1));
        let control = ControlPlane::new(Arc::clone(&config), engine, stats.clone(), &first, None);
        let control = Arc::new(control);
        control.load_all().await.unwrap();
        let before = WorkerSnapshot::new(control.snapshot(), &stats, 0);
        select(&before);
        let mut pools = config.pools.clone();
        pools[0].backends.remove(0);
        let second = Arc::new(resolve(&pools, &registry).await.unwrap());
        control.publish_topology(second).await;
        let after = before.next(control.snapshot(), &stats, 0);
        select(&after);
        select(&after);
        let view = StatsView {
            stats: &stats,
            policies: &control.policies(),
        };
        let (_, page) = stats_page(&view, Some(b"application/json"));
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        let counted = serde_json::json!({"web": {"127.0.0.1:1": 1, "127.0.0.1:2": 2}});
        assert_eq!(page["policies"]["probe"]["decisions"], counted);
    }
}
