//! The state of the proxy in the admin room's types.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString};

use super::{ControlPlane, Managed, PolicyState, Purpose};
use crate::admin::{
    BackendsChange, BackendsFuture, CallCounts, CertificateStatus, Change, ChangeError,
    ChangeFuture, Control, Deployment, FaultStatus, NameStatus, OnTrial, PolicyDetails,
    PolicyStatus, PoolStatus, Readiness, ReloadFuture, ReloadStatus, ReopenFuture, RouteStatus,
    UpgradeFuture,
};
use crate::config::{Isolation, OnFailure};
use crate::observe::tap::Tap;
use crate::policy::{Mode, Trial, WHOLE};
use crate::rollout::{Score, State, report};
use crate::stats::{Counter, HistogramSnapshot, LastFault, PolicyShard, Stats};

/// Characters of a token: 190 bits.
const TOKEN: usize = 32;

/// The admin room's view of the control side. It owns the control side, because a change outlives
/// the request that asked for it.
pub struct AdminControl(pub Arc<ControlPlane>);

impl Control for AdminControl {
    fn stats(&self) -> &Stats {
        self.0.stats()
    }

    fn policies(&self) -> Vec<PolicyStatus> {
        self.0.policies()
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        self.0.certificates()
    }

    fn names(&self) -> Vec<NameStatus> {
        self.0.name_status()
    }

    fn policy(&self, name: &str) -> Option<PolicyDetails> {
        let policy = self.0.named(name).ok()?;
        self.0.details(&policy)
    }

    fn deploy<'a>(
        &'a self,
        name: &'a str,
        component: Vec<u8>,
        source: String,
        how: Deployment,
    ) -> ChangeFuture<'a> {
        Box::pin(async move {
            let policy = self.0.named(name)?;
            self.0.deploy(&policy, component, source, how).await?;
            self.0
                .details(&policy)
                .ok_or_else(|| ChangeError::Unknown(name.to_owned()))
        })
    }

    fn change<'a>(&'a self, name: &'a str, change: Change) -> ChangeFuture<'a> {
        Box::pin(async move {
            let policy = self.0.named(name)?;
            self.0.change(&policy, change).await?;
            self.0
                .details(&policy)
                .ok_or_else(|| ChangeError::Unknown(name.to_owned()))
        })
    }

    fn issue_explain_token(&self, valid_for: Duration) -> String {
        let token = Alphanumeric.sample_string(&mut rand::rng(), TOKEN);
        self.0.explain.issue(&token, valid_for);
        token
    }

    fn readiness(&self) -> Readiness {
        self.0.readiness()
    }

    fn reopen(&self) -> ReopenFuture<'_> {
        Box::pin(self.0.reopening.ask())
    }

    fn reload(&self, check: bool) -> ReloadFuture<'_> {
        let purpose = match check {
            true => Purpose::Check,
            false => Purpose::Publish,
        };
        Box::pin(self.0.reload(purpose))
    }

    fn upgrade(&self, binary: Option<PathBuf>) -> UpgradeFuture<'_> {
        Box::pin(self.0.upgrade(binary))
    }

    fn reload_status(&self) -> ReloadStatus {
        self.0.reload_status()
    }

    fn pools(&self) -> Vec<PoolStatus> {
        self.0.pools()
    }

    fn change_backends<'a>(&'a self, pool: &'a str, change: BackendsChange) -> BackendsFuture<'a> {
        Box::pin(self.0.change_backends(pool, change))
    }

    fn routes(&self) -> Vec<RouteStatus> {
        self.0.shown_routes()
    }

    fn tap(&self) -> &Tap {
        &self.0.tap
    }

    fn config(&self) -> serde_json::Value {
        self.0.shown()
    }

    fn notes(&self) -> Vec<String> {
        self.0.notes()
    }
}

impl ControlPlane {
    /// The certificates of the listeners as they are served now.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        self.listener_certificates().status()
    }

    /// All policies as they run now.
    pub fn policies(&self) -> Vec<PolicyStatus> {
        let all = self.managed();
        all.iter()
            .filter_map(|policy| self.status(policy, &policy.state()))
            .collect()
    }

    fn details(&self, policy: &Managed) -> Option<PolicyDetails> {
        let state = policy.state();
        Some(PolicyDetails {
            status: self.status(policy, &state)?,
            survives_restart: self.state_dir.is_some(),
            former_generation: state.history.previous().map(|g| g.number()),
            trial: state.history.trial().map(|trial| report(trial)),
            generations: state.history.entries().cloned().collect(),
            history: state.history.events().cloned().collect(),
        })
    }

    /// `None` for a policy that has left the configuration.
    fn status(&self, policy: &Managed, state: &PolicyState) -> Option<PolicyStatus> {
        let config = self.current();
        let policy = policy.configured(&config)?;
        let history = &state.history;
        let active = history.active();
        let entry = active
            .and_then(|g| history.entry(g.number()))
            .or(history.newest());
        let stats = self.stats.policy(&policy.name);
        Some(PolicyStatus {
            name: policy.name.clone(),
            state: match (active, entry) {
                (Some(_), _) => State::Active,
                (None, Some(entry)) => entry.state,
                (None, None) => State::Loading,
            },
            generation: active.map_or_else(|| entry.map_or(0, |e| e.generation), |g| g.number()),
            digest: active.map_or_else(
                || entry.map(|e| e.digest.clone()).unwrap_or_default(),
                |g| g.digest().to_owned(),
            ),
            source: entry.map(|e| e.source.clone()).unwrap_or_default(),
            hooks: active
                .iter()
                .flat_map(|g| g.hooks().names())
                .map(str::to_owned)
                .collect(),
            isolation: match policy.isolation {
                Isolation::Worker => "worker".to_owned(),
                Isolation::Request => "request".to_owned(),
            },
            on_failure: in_words(policy.on_failure),
            while_absent: in_words(policy.while_absent),
            deadline: policy.deadline,
            memory_limit_bytes: policy.memory,
            size_bytes: active.map_or(0, |g| g.size() as u64),
            loaded_at: active.map(|g| g.loaded_at()),
            suspended_by_workers: stats.shards.iter().filter(|s| s.is_suspended()).count() as u64,
            counts: counts(&stats.all_shards()),
            last_fault: stats.last_fault().map(last_fault),
            on_trial: history.trial().map(|trial| on_trial(trial)),
            last_error: history.last_error().map(str::to_owned),
        })
    }
}

fn counts(shards: &[Arc<PolicyShard>]) -> CallCounts {
    let sum = |counter: fn(&PolicyShard) -> &Counter| {
        shards.iter().map(|s| counter(s).value()).sum::<u64>()
    };
    CallCounts {
        calls: HistogramSnapshot::of(shards.iter().flat_map(|s| &s.hook_nanoseconds)).count,
        traps: sum(|s| &s.traps),
        deadlines: sum(|s| &s.deadlines),
        invalid: sum(|s| &s.invalid),
        unbuilt: sum(|s| &s.unbuilt),
    }
}

fn last_fault(fault: LastFault) -> FaultStatus {
    FaultStatus {
        time: fault.time,
        generation: fault.generation,
        message: fault.message,
    }
}

/// `on-failure` as the configuration spells it.
fn in_words(on_failure: OnFailure) -> String {
    match on_failure {
        OnFailure::Random => "random".to_owned(),
        OnFailure::Next => "next".to_owned(),
        OnFailure::Status(status) => status.to_string(),
    }
}

fn on_trial(trial: &Trial) -> OnTrial {
    let score = Score::of(trial);
    let hooks = || trial.shards.iter().flat_map(|shard| &shard.compared);
    OnTrial {
        mode: if trial.mode == Mode::Shadow {
            "shadow"
        } else {
            "canary"
        },
        generation: trial.generation.number(),
        digest: trial.generation.digest().to_owned(),
        percent: f64::from(trial.share()) * 100.0 / f64::from(WHOLE),
        requests: score.canary.requests,
        failed: score.canary.failed,
        faults: score.traps + score.deadlines + score.invalid + score.unbuilt,
        compared: hooks().map(|c| c.decisions.value()).sum(),
        agreed: hooks().map(|c| c.agreed.value()).sum(),
    }
}
