//! Policies on their handles, and what they are asked about.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use waypost::config::{CompileLimits, Isolation, OnFailure, StoreLimits};
use waypost::message::{Fields, RequestHead};
use waypost::policy::{
    Attempt, BackendSpec, Compiler, Engine, EngineOptions, PolicyHandle, PolicySpec, PoolSpec,
    builtin,
};
use waypost::stats::Stats;
use waypost::upstream::{BackendFacts, BackendHealth};

/// The only pool.
pub const POOL: u32 = 0;
/// Nothing has failed yet.
pub const FIRST: Attempt<'static> = Attempt {
    number: 1,
    failed: &[],
};
/// Fields of a request that a small client sends, and those that the proxy adds.
pub const FEW_FIELDS: usize = 4;
/// The value of `x-tenant`.
pub const TENANT: &str = "tenant-one";

/// Loads policies for one worker.
pub struct Handles {
    engine: Engine,
}

impl Handles {
    /// With an engine as the proxy has one.
    pub fn new() -> Self {
        Self {
            // Not a program that could start itself to compile.
            engine: Engine::new(EngineOptions {
                workers: 1,
                instances: Some(64),
                compiler: Compiler::Here,
                ..EngineOptions::default()
            })
            .unwrap(),
        }
    }

    /// A built-in policy.
    pub fn builtin(&self, name: &str, settings: Value) -> PolicyHandle {
        self.handle(name, builtin(name).unwrap(), Isolation::Worker, settings)
    }

    /// This component; `name` also decides which store it has.
    pub fn handle(
        &self,
        name: &str,
        component: &[u8],
        isolation: Isolation,
        settings: Value,
    ) -> PolicyHandle {
        self.load(
            name,
            component,
            isolation,
            settings,
            (Duration::from_secs(1), 16 << 20),
        )
    }

    /// The same with this deadline and so much memory.
    pub fn limited(
        &self,
        name: &str,
        component: &[u8],
        deadline: Duration,
        memory: u64,
    ) -> PolicyHandle {
        self.load(
            name,
            component,
            Isolation::Worker,
            Value::Null,
            (deadline, memory),
        )
    }

    fn load(
        &self,
        name: &str,
        component: &[u8],
        isolation: Isolation,
        settings: Value,
        (deadline, memory): (Duration, u64),
    ) -> PolicyHandle {
        let spec = PolicySpec {
            setup: None,
            name: name.to_owned(),
            component: component.into(),
            settings,
            deadline,
            memory,
            on_failure: OnFailure::Random,
            isolation,
            shadow: false,
            store: StoreLimits::default(),
            compiling: CompileLimits::default(),
            source: "the benchmark".to_owned(),
        };
        let backend = |n: u32| BackendSpec {
            address: format!("10.0.0.{n}:80"),
            weight: 1,
            labels: Vec::new(),
        };
        let pools = [PoolSpec {
            id: POOL,
            name: "web".to_owned(),
            backends: (1..=4).map(backend).collect(),
        }];
        let loaded = self
            .engine
            .load(&spec, &pools, 1, &Stats::new(1).policy(name), 1);
        let generation = loaded.unwrap_or_else(|e| panic!("{e}"));
        let shard = generation.shard(0);
        PolicyHandle::adopt(generation, 0, Arc::new(Facts), shard)
    }
}

struct Facts;

impl BackendFacts for Facts {
    fn in_flight(&self, _pool: u32, backend: u32) -> u32 {
        backend
    }
    fn latency_microseconds(&self, _pool: u32, _backend: u32) -> u64 {
        900
    }
    fn healthy(&self, _pool: u32, _backend: u32) -> bool {
        true
    }
    fn consecutive_failures(&self, _pool: u32, _backend: u32) -> u32 {
        0
    }
    fn state(&self, pool: u32, backend: u32) -> BackendHealth {
        match self.healthy(pool, backend) {
            true => BackendHealth::Healthy,
            false => BackendHealth::Ejected,
        }
    }
    fn in_flight_of_all(&self, pool: u32, backend: u32) -> u32 {
        self.in_flight(pool, backend)
    }
    fn backend_count(&self, _pool: u32) -> u32 {
        4
    }
}

/// A request with so many header fields, four at least.
pub fn request(fields: usize) -> RequestHead {
    let mut head = RequestHead {
        target: "/index.html".to_owned(),
        path_len: 11,
        host: "example.com".to_owned(),
        client: client(0),
        fields: roomy_fields(),
        ..RequestHead::default()
    };
    for n in FEW_FIELDS..fields {
        head.fields
            .append(format!("x-more-{n}").as_bytes(), b"some value or other");
    }
    head
}

/// One of 64 clients.
pub fn client(turn: u8) -> std::net::IpAddr {
    Ipv4Addr::new(10, 1, 2, turn % 64).into()
}

/// A few fields with room for one more, as in the buffers that a connection keeps.
pub fn roomy_fields() -> Fields {
    let mut fields = Fields::new();
    fill(&mut fields);
    fields.append(b"set-cookie", &[b'a'; 128]);
    fields.clear();
    fill(&mut fields);
    fields
}

fn fill(fields: &mut Fields) {
    for (name, value) in [
        ("user-agent", "bench"),
        ("accept", "*/*"),
        ("x-tenant", TENANT),
        ("x-forwarded-for", "::1"),
    ] {
        fields.append(name.as_bytes(), value.as_bytes());
    }
}
