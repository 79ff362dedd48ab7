//! What the fake host knows, and whose turn it is.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use super::contract::backend_facts::HealthState;
use super::{
    Level, TestCertificate, TestTarget,
    fields::{Budget, Fields},
    store::Store,
};
use crate::{Backend, FailedAttempt, HeaderError, HttpVersion, Pool, TargetError, TlsVersion};

thread_local! {
    /// The host of the hook that is being called on this thread.
    static CURRENT: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// What the current host says.
pub(super) fn current<R>(ask: impl FnOnce(&mut State) -> R) -> R {
    let host = CURRENT.with_borrow(Clone::clone);
    match host {
        Some(host) => ask(&mut host.borrow_mut()),
        None => panic!(
            "nobody is there to ask: call a policy's hooks through what `testing::Host::load` gives"
        ),
    }
}

/// Calls a hook with this host to ask.
pub(super) fn with<R>(host: &Rc<RefCell<State>>, call: impl FnOnce() -> R) -> R {
    /// Also after a panic in the hook, which a test may expect.
    struct Restore(Option<Rc<RefCell<State>>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(Rc::clone(host))));
    call()
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub pools: Vec<PoolState>,
    pub turn: Turn,
    pub dice: Dice,
    /// Nanoseconds.
    pub monotonic: u64,
    /// Nanoseconds.
    pub unix: u64,
    pub store: Store,
    pub counters: Vec<(String, u64)>,
    pub log: Vec<(Level, String)>,
}

impl State {
    pub fn facts(&self, backend: u32) -> Option<&Facts> {
        self.pool()?.facts.get(backend as usize)
    }

    pub fn pool(&self) -> Option<&PoolState> {
        self.pools.get(self.turn.pool? as usize)
    }
}

#[derive(Debug)]
pub(super) struct PoolState {
    pub pool: Pool,
    pub backends: Vec<Backend>,
    pub facts: Vec<Facts>,
    /// Requests in its queue.
    pub queued: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub healthy: bool,
    pub in_flight: u32,
    pub latency_microseconds: u64,
    pub consecutive_failures: u32,
    /// Unless `healthy` says it.
    pub state: Option<HealthState>,
    /// Of other workers.
    pub in_flight_elsewhere: u32,
    pub queued: u32,
}

impl Facts {
    pub fn state(&self) -> HealthState {
        self.state.unwrap_or(match self.healthy {
            true => HealthState::Healthy,
            false => HealthState::Ejected,
        })
    }

    pub fn in_flight_of_all(&self) -> u32 {
        self.in_flight.saturating_add(self.in_flight_elsewhere)
    }
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            healthy: true,
            in_flight: 0,
            latency_microseconds: 0,
            consecutive_failures: 0,
            state: None,
            in_flight_elsewhere: 0,
            queued: 0,
        }
    }
}

/// The request that a hook is asked about.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub request: Incoming,
    /// The fields of the response, in the hook that edits them.
    pub response: Option<Fields>,
    /// What the backend is asked for, in the hook that edits it.
    pub target: TestTarget,
    pub failed: Vec<FailedAttempt>,
    /// None between requests.
    pub pool: Option<u32>,
    pub budget: Budget,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Incoming {
    pub method: String,
    pub scheme: &'static str,
    pub host: String,
    pub path: String,
    pub raw_path: String,
    pub query: Option<String>,
    pub client: String,
    pub protocol: HttpVersion,
    pub tls: Option<Tls>,
    pub pool: u32,
    /// Those of the route, unless it has only the one.
    pub pools: Option<Vec<u32>>,
    pub time_left: Option<Duration>,
    pub fields: Fields,
}

/// The TLS session of the request's connection.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub version: TlsVersion,
    pub cipher_suite: String,
    pub server_name: Option<String>,
    pub application_protocol: Option<String>,
    pub certificate: Option<TestCertificate>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            version: TlsVersion::Tls13,
            cipher_suite: "TLS_AES_128_GCM_SHA256".to_owned(),
            server_name: None,
            application_protocol: None,
            certificate: None,
        }
    }
}

impl Incoming {
    pub fn pools(&self) -> Vec<u32> {
        let own = || vec![self.pool];
        self.pools.clone().unwrap_or_else(own)
    }
}

impl Turn {
    pub fn edit_target(
        &mut self,
        edit: impl FnOnce(&mut TestTarget, &mut Budget) -> Result<(), TargetError>,
    ) -> Result<(), TargetError> {
        edit(&mut self.target, &mut self.budget)
    }

    /// The fields that the hook edits.
    pub fn message(&self) -> &Fields {
        self.response.as_ref().unwrap_or(&self.request.fields)
    }

    pub fn edit(
        &mut self,
        name: &str,
        value: &[u8],
        edit: impl FnOnce(&mut Fields),
    ) -> Result<(), HeaderError> {
        let fields = self.response.as_mut().unwrap_or(&mut self.request.fields);
        self.budget.allow(fields, name, value)?;
        edit(fields);
        Ok(())
    }
}

/// Random draws: those that the test gives, and after them a sequence that is always the same.
#[derive(Debug, Default)]
pub(super) struct Dice {
    pub draws: VecDeque<u32>,
    pub bits: VecDeque<u64>,
    pub seed: u64,
}

impl Dice {
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        match self.draws.pop_front() {
            Some(draw) if draw < bound => draw,
            Some(draw) => {
                panic!("the test gives the draw {draw}, and the policy asks for one below {bound}")
            }
            None => ((u128::from(self.next()) * u128::from(bound)) >> 64) as u32,
        }
    }

    pub fn bits(&mut self) -> u64 {
        let given = self.bits.pop_front();
        given.unwrap_or_else(|| self.next())
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}
