//! Names: has the names of backends looked up for as long as the proxy runs.
//!
//! Each family of each name has a task of its own, so that none waits for another. What comes of a
//! look-up goes into [`Discovery`], from which topologies are made. `dns` asks, or `system` in a
//! build without it; `schedule` says when to ask again, `say` what an operator hears of it.

mod answer;
#[cfg(feature = "dns")]
mod dns;
mod once;
mod say;
mod schedule;
#[cfg(not(feature = "dns"))]
mod system;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use self::answer::Answer;
#[cfg(feature = "dns")]
use self::dns::Resolver;
pub(super) use self::once::Once;
use self::schedule::Schedule;
#[cfg(not(feature = "dns"))]
use self::system::Resolver;
use crate::config::{Pool, ResolverConfig};
use crate::ground;
use crate::upstream::{Discovery, Family, Name, Outcome};

/// For how long a start and a reload wait for the first answers.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same where a name that has none is an error.
const STRICT_PATIENCE: Duration = Duration::from_secs(10);
/// For how long they wait for the other family of names that have addresses.
const GRACE: Duration = Duration::from_millis(300);
/// The longest that a look-up may take: that of many search domains with silent servers.
const LONGEST: Duration = Duration::from_secs(60);
/// Look-ups at the same time, where descriptors allow it. Names are few, but an SRV answer may name
/// many.
pub(super) const AT_ONCE: usize = 512;
/// Sockets that one look-up has: so many servers are asked at the same time.
pub(super) const SOCKETS: usize = 2;

/// What is looked up.
type Question = (Name, Family);

/// The names that are looked up.
pub(in crate::app) struct Names {
    discovery: Discovery,
    state: Mutex<State>,
    /// Grows with each look-up that has ended.
    ended: watch::Sender<u64>,
    at_once: Semaphore,
}

struct State {
    settings: ResolverConfig,
    resolver: Arc<Resolver>,
    /// Of the configuration that runs.
    pools: Vec<Pool>,
    /// Of the one that is prepared.
    next: Option<(Vec<Pool>, Arc<Resolver>)>,
    /// Each ends when it is dropped.
    asking: BTreeMap<Question, JoinSet<()>>,
}

/// Names of a configuration that is prepared are looked up until this is dropped.
pub(in crate::app) struct Asked(Arc<Names>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.state().next = None;
        self.0.reconcile();
    }
}

impl Names {
    /// Looks up nothing yet, and later so many at the same time.
    ///
    /// # Errors
    ///
    /// The system's settings can't be used: a sentence says why.
    pub(in crate::app) fn new(
        settings: &ResolverConfig,
        at_once: usize,
    ) -> Result<Arc<Self>, String> {
        let state = State {
            settings: settings.clone(),
            resolver: Arc::new(Resolver::new(settings)?),
            pools: Vec::new(),
            next: None,
            asking: BTreeMap::new(),
        };
        Ok(Arc::new(Self {
            discovery: Discovery::default(),
            state: Mutex::new(state),
            ended: watch::Sender::new(0),
            at_once: Semaphore::new(at_once),
        }))
    }

    /// What is known of them.
    pub(in crate::app) fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Looks up the names of these pools too, and returns when there are answers, or none in time.
    ///
    /// # Errors
    ///
    /// The system's settings can't be used: a sentence says why.
    pub(in crate::app) async fn ask(
        self: &Arc<Self>,
        pools: &[Pool],
        settings: &ResolverConfig,
    ) -> Result<Asked, String> {
        let resolver = self.resolver_for(settings)?;
        self.state().next = Some((pools.to_vec(), resolver));
        let asked = Asked(Arc::clone(self));
        self.reconcile();
        let patience = match settings.strict {
            true => STRICT_PATIENCE,
            false => PATIENCE,
        };
        let _ = timeout(patience, self.answered(pools)).await;
        Ok(asked)
    }

    /// Looks up the names of these pools and no others, because they run now.
    pub(in crate::app) fn follow(
        self: &Arc<Self>,
        pools: &[Pool],
        settings: &ResolverConfig,
    ) -> Result<(), String> {
        let resolver = self.resolver_for(settings)?;
        let mut state = self.state();
        if !Arc::ptr_eq(&resolver, &state.resolver) {
            // What is known stays, and all is asked again.
            state.asking.clear();
            (state.resolver, state.settings) = (resolver, settings.clone());
        }
        state.pools = pools.to_vec();
        state.next = None;
        drop(state);
        self.reconcile();
        Ok(())
    }

    /// The resolver of now, if that has these settings.
    fn resolver_for(&self, settings: &ResolverConfig) -> Result<Arc<Resolver>, String> {
        let state = self.state();
        if state.settings == *settings {
            return Ok(Arc::clone(&state.resolver));
        }
        drop(state);
        Ok(Arc::new(Resolver::new(settings)?))
    }

    /// Begins to look up what is wanted and not looked up, and ends the rest.
    pub(in crate::app) fn reconcile(self: &Arc<Self>) {
        let mut state = self.state();
        let mut wanted: BTreeMap<Question, Arc<Resolver>> = BTreeMap::new();
        let next = state.next.iter().map(|(pools, resolver)| (pools, resolver));
        for (pools, resolver) in next.chain([(&state.pools, &state.resolver)]) {
            for name in self.discovery.names(pools) {
                for family in resolver.families(&name) {
                    wanted.insert((name.clone(), *family), Arc::clone(resolver));
                }
            }
        }
        state
            .asking
            .retain(|question, _| wanted.contains_key(question));
        let kept: BTreeSet<Question> = wanted.keys().cloned().collect();
        self.discovery.keep(&kept);
        for (question, resolver) in wanted {
            let Entry::Vacant(new) = state.asking.entry(question) else {
                continue;
            };
            let (name, family) = new.key();
            self.discovery.expect(name, *family);
            let mut task = JoinSet::new();
            task.spawn(keep_asking(
                Arc::downgrade(self),
                new.key().clone(),
                resolver,
            ));
            new.insert(task);
        }
    }

    /// Waits until every name was looked up; or has an address, and a little longer.
    async fn answered(&self, pools: &[Pool]) {
        let mut ended = self.ended.subscribe();
        let mut usable_since = None;
        loop {
            ended.borrow_and_update();
            let names = self.discovery.names(pools);
            if self.discovery.are_known(&names) {
                return;
            }
            if self.discovery.are_usable(&names) {
                usable_since.get_or_insert_with(tokio::time::Instant::now);
            }
            let late = async {
                match usable_since {
                    Some(since) => sleep_until(since + GRACE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = ended.changed() => if changed.is_err() { return },
                () = late => return,
            }
        }
    }

    /// Reads the system's settings again if they have changed since this resolver read them: all is
    /// asked again then.
    fn renew(self: &Arc<Self>, resolver: &Arc<Resolver>) {
        let mut state = self.state();
        if resolver.is_current() || !Arc::ptr_eq(resolver, &state.resolver) {
            return;
        }
        match Resolver::new(&state.settings) {
            Ok(next) => {
                state.resolver = Arc::new(next);
                state.asking.clear();
                drop(state);
                self.reconcile();
            }
            Err(reason) => tracing::warn!("{reason}; names are looked up as before"),
        }
    }

    fn note(self: &Arc<Self>, (name, family): &Question, outcome: Outcome, wait: Duration) {
        let now = SystemTime::now();
        let next = now.checked_add(wait).unwrap_or(now);
        let news = self.discovery.note(name, *family, outcome, (now, next));
        if let Some(news) = news {
            say::news(name, &news);
        }
        // It may name other names.
        if matches!(name, Name::Srv(_)) {
            self.reconcile();
        }
        self.ended.send_modify(|ended| *ended += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks up one family of a name for as long as it is polled.
async fn keep_asking(names: Weak<Names>, question: Question, resolver: Arc<Resolver>) {
    ground::stays("the look-up of a name", || {
        ask_again(names.clone(), question.clone(), Arc::clone(&resolver))
    })
    .await;
}

async fn ask_again(names: Weak<Names>, question: Question, resolver: Arc<Resolver>) {
    let mut schedule = Schedule::new(resolver.settings());
    loop {
        let Some(names) = names.upgrade() else { return };
        let Ok(permit) = names.at_once.acquire().await else {
            return;
        };
        let looked_up = timeout(LONGEST, resolver.look_up(&question.0, question.1)).await;
        drop(permit);
        let mut answer = looked_up.unwrap_or_else(|_| {
            Answer::failed(format!("no answer within {} s", LONGEST.as_secs()))
        });
        let wait = schedule.next(&answer);
        if let Outcome::Found { ttl, .. } = &mut answer.outcome {
            *ttl = wait;
        }
        names.note(&question, answer.outcome, wait);
        names.renew(&resolver);
        drop(names);
        sleep(wait).await;
    }
}
