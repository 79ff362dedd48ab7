//! Which requests are recorded, and what is the same in all records of one configuration.

use std::sync::Arc;

use super::format::{FORMAT, Isolation, Lineup, Policy};
use crate::config::{self, Config, RecordingConfig};
use crate::policy::PolicyId;

/// Which requests are recorded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sampling {
    /// A request is recorded if its random number of 32 bits is below this.
    threshold: u64,
    /// The policies whose calls are recorded; `None` for all.
    policies: Option<Arc<[PolicyId]>>,
    lineup: Arc<Lineup>,
}

impl Sampling {
    /// What `[record]` says in a configuration whose policies have these ids; `None` if nothing is
    /// recorded.
    pub fn new(config: &Config, policies: &[PolicyId]) -> Option<Self> {
        let record = config.record.as_ref()?;
        let ids = |wanted: &Vec<usize>| {
            let ids = wanted.iter().filter_map(|policy| policies.get(*policy));
            ids.copied().collect()
        };
        Some(Self {
            threshold: (record.sample.clamp(0.0, 1.0) * (u64::from(u32::MAX) + 1) as f64) as u64,
            policies: record.policies.as_ref().map(ids),
            lineup: Arc::new(lineup(record, config)),
        })
    }

    /// The common part of all lineups, without pools and generations.
    pub fn lineup(&self) -> &Lineup {
        &self.lineup
    }

    /// Whether a request with this random number is recorded.
    pub fn takes(&self, lot: u32) -> bool {
        u64::from(lot) < self.threshold
    }

    /// Whether calls of this policy are recorded.
    pub fn wants(&self, policy: PolicyId) -> bool {
        let wanted = self.policies.as_ref();
        wanted.is_none_or(|wanted| wanted.contains(&policy))
    }
}

/// The recorded facts about the policies that the configuration determines.
pub(super) fn lineup(record: &RecordingConfig, config: &Config) -> Lineup {
    let policy = |(index, policy): (usize, &config::Policy)| {
        let routes = config
            .routes
            .iter()
            .filter(|route| route.policies.contains(&index));
        let mut pools: Vec<u32> = routes
            .flat_map(|route| route.traffic.pools())
            .filter_map(|pool| u32::try_from(pool).ok())
            .collect();
        pools.sort_unstable();
        pools.dedup();
        Policy {
            name: policy.name.clone(),
            settings: policy.settings.clone(),
            pools,
            deadline_microseconds: u64::try_from(policy.deadline.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: policy.memory,
            isolation: match policy.isolation {
                config::Isolation::Worker => Isolation::Worker,
                config::Isolation::Request => Isolation::Request,
            },
            store_entries: policy.store.entries,
            store_bytes: policy.store.bytes,
            active: None,
            trial: None,
        }
    };
    let wanted = |index: &usize| {
        record
            .policies
            .as_ref()
            .is_none_or(|wanted| wanted.contains(index))
    };
    let policies = config
        .policies
        .iter()
        .enumerate()
        .filter(|(index, _)| wanted(index))
        .map(policy);
    Lineup {
        format: FORMAT,
        waypost: env!("CARGO_PKG_VERSION").to_owned(),
        lineup: 0,
        time: 0,
        workers: config.workers,
        sample: record.sample,
        redact: record.redact.clone(),
        redact_query: record.redact_query,
        redact_client: record.redact_client,
        pools: Vec::new(),
        policies: policies.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::policy::PolicyIds;

    #[test]
    fn the_policies_of_a_configuration_are_known_by_their_ids() {
        let config = |record: &str| {
            let text = format!(
                "[[routes]]\nhost = \"*\"\npool = \"web\"\npolicies = [\"range\", \"random\"]\n\
                 [pools.web]\nbackends = [\"127.0.0.1:1\"]\n{record}"
            );
            Config::from_toml(&text, Path::new("")).unwrap()
        };
        let mut ids = PolicyIds::default();
        // Other positions than those of the configuration.
        let known = ["random", "range"].map(|name| (name.to_owned(), ids.id(name)));
        let sampling = |record: &str| {
            let config = config(record);
            let id = |policy: &config::Policy| known.iter().find(|(name, _)| *name == policy.name);
            let ids: Vec<PolicyId> = config.policies.iter().filter_map(id).map(|k| k.1).collect();
            Sampling::new(&config, &ids)
        };
        assert!(sampling("").is_none());
        let all = sampling("[record]\nfile = \"a\"\nsample = 1").unwrap();
        assert!(known.iter().all(|(_, id)| all.wants(*id)) && all.takes(u32::MAX));
        let none = "[record]\nfile = \"a\"\nsample = 0\npolicies = [\"range\"]";
        let none = sampling(none).unwrap();
        assert!(!none.takes(0) && none.wants(known[1].1) && !none.wants(known[0].1));
    }
}
