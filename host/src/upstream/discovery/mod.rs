//! Discovery: what is known of the names of backends, and what has been changed beside the
//! configuration. Pure data, for the whole process: what asks name servers or takes orders writes
//! it, and [`fn@super::topology`] reads it.

mod answers;
mod overlay;
mod records;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use answers::Answers;
pub use answers::{NameState, NameStatus, News, Outcome, Remembered};
pub use overlay::{AdminState, Edit, Origin, Overlay};
pub use records::{Family, Name, Record, Target};

use crate::config::{Backend, BackendKind, Pool};

/// What is known beside the configuration. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Discovery {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    known: Mutex<Known>,
    /// Grows when something has changed from which topologies are made.
    version: watch::Sender<u64>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    names: BTreeMap<Name, Answers>,
    overlays: BTreeMap<(String, Origin), Overlay>,
    /// Where the targets of services were found last.
    found: RefCell<HashMap<Name, Vec<Located>>>,
}

/// A backend of a pool with its edits.
#[derive(Debug)]
pub(super) struct Wanted<'p> {
    pub origin: Origin,
    pub backend: Cow<'p, Backend>,
}

/// A backend without an address.
#[derive(Debug)]
pub(super) struct Missing {
    pub origin: Origin,
    /// As it is written.
    pub address: String,
    /// A sentence.
    pub reason: String,
}

/// One address of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Located {
    pub address: SocketAddr,
    /// By what the weight of the backend is multiplied.
    pub share: u32,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                known: Mutex::default(),
                version: watch::Sender::new(0),
            }),
        }
    }
}

impl Discovery {
    /// Notes what came of a look-up at `now`; the next one is at `next`. Returns what an operator
    /// should hear of it.
    pub fn note(
        &self,
        name: &Name,
        family: Family,
        outcome: Outcome,
        (now, next): (SystemTime, SystemTime),
    ) -> Option<News> {
        let mut known = self.known();
        let answers = known.names.entry(name.clone()).or_default();
        let was = (answers.records(), answers.state());
        let (was_beyond, was_unusable) = (answers.beyond(), answers.unusable());
        answers.note(family, outcome, (now, next));
        let has_changed = answers.records() != was.0;
        let news = answers.news(&was.1).or_else(|| {
            let (beyond, unusable) = (answers.beyond(), answers.unusable());
            if was_beyond == 0 && beyond > 0 {
                return Some(News::TooMany(beyond));
            }
            let is_new = !unusable.is_empty() && unusable != was_unusable;
            is_new.then_some(News::Unusable(unusable))
        });
        drop(known);
        if has_changed {
            self.changed();
        }
        news
    }

    /// This family of a name is being looked up.
    pub fn expect(&self, name: &Name, family: Family) {
        let mut known = self.known();
        known.names.entry(name.clone()).or_default().expect(family);
    }

    /// Forgets every name that is not among these, and every family of a name.
    pub fn keep(&self, asked: &BTreeSet<(Name, Family)>) {
        let mut known = self.known();
        known.names.retain(|name, answers| {
            answers.keep(|family| asked.contains(&(name.clone(), family)));
            !answers.is_empty()
        });
    }

    /// Replaces what one origin has changed of a pool.
    pub fn overlay(&self, pool: &str, origin: Origin, overlay: Overlay) {
        let mut known = self.known();
        let key = (pool.to_owned(), origin);
        let former = known.overlays.get(&key);
        let has_changed = *former.unwrap_or(&Overlay::default()) != overlay;
        match overlay.is_empty() {
            true => known.overlays.remove(&key),
            false => known.overlays.insert(key, overlay),
        };
        drop(known);
        if has_changed {
            self.changed();
        }
    }

    /// The same with these overlays, apart from what it was made from.
    pub fn apart(&self, overlays: &BTreeMap<(String, Origin), Overlay>) -> Self {
        let mut known = self.known().clone();
        known.overlays.extend(overlays.clone());
        Self {
            inner: Arc::new(Inner {
                known: Mutex::new(known),
                version: watch::Sender::new(0),
            }),
        }
    }

    /// What one origin has changed of a pool.
    pub fn overlay_of(&self, pool: &str, origin: Origin) -> Overlay {
        let known = self.known();
        let found = known.overlays.get(&(pool.to_owned(), origin));
        found.cloned().unwrap_or_default()
    }

    /// What one origin has changed, by pool.
    pub fn overlays(&self, origin: Origin) -> BTreeMap<String, Overlay> {
        let known = self.known();
        let all = known.overlays.iter();
        all.filter(|((_, of), _)| *of == origin)
            .map(|((pool, _), overlay)| (pool.clone(), overlay.clone()))
            .collect()
    }

    /// Grows when something has changed from which topologies are made.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    /// The names that these pools need: of their backends, and of what SRV records name.
    pub fn names(&self, pools: &[Pool]) -> BTreeSet<Name> {
        let known = self.known();
        let mut names = BTreeSet::new();
        for pool in pools {
            for wanted in known.wanted(pool) {
                let Some(name) = Name::of(&wanted.backend) else {
                    continue;
                };
                let targets = known.names.get(&name).map(Answers::targets);
                let targets = targets.into_iter().flatten();
                names.extend(targets.filter_map(|target| Name::host(&target.host)));
                names.insert(name);
            }
        }
        names
    }

    /// Whether every one of these names was looked up, with whatever outcome.
    pub fn are_known(&self, names: &BTreeSet<Name>) -> bool {
        let known = self.known();
        let is_known = |name| {
            let answers = known.names.get(name);
            answers.is_some_and(|answers| answers.is_known())
        };
        names.iter().all(is_known)
    }

    /// Whether each of these names has an address, or was looked up.
    pub fn are_usable(&self, names: &BTreeSet<Name>) -> bool {
        let known = self.known();
        let is_usable = |name| {
            let answers = known.names.get(name);
            answers.is_some_and(|a| a.is_known() || !a.records().is_empty())
        };
        names.iter().all(is_usable)
    }

    /// What is known of every name.
    pub fn status(&self) -> Vec<NameStatus> {
        let known = self.known();
        let all = known.names.iter();
        all.map(|(name, answers)| answers.status(name)).collect()
    }

    /// The backends of a pool that have no address, and why.
    pub(super) fn missing(&self, pool: &Pool) -> Vec<Missing> {
        let known = self.known();
        let wanted = known.wanted(pool).into_iter();
        let missing = |wanted: Wanted<'_>| {
            let name = Name::of(&wanted.backend)?;
            let is_missing = known.located(&wanted.backend).is_empty();
            is_missing.then(|| Missing {
                origin: wanted.origin,
                address: wanted.backend.address.clone(),
                reason: known.reason(&name),
            })
        };
        wanted.filter_map(missing).collect()
    }

    /// The backends of a pool, and their addresses.
    pub(super) fn backends<'p>(&self, pool: &'p Pool) -> Vec<(Wanted<'p>, Vec<Located>)> {
        let known = self.known();
        let wanted = known.wanted(pool).into_iter();
        wanted
            .map(|wanted| {
                let located = known.located(&wanted.backend);
                (wanted, located)
            })
            .collect()
    }

    /// What has been changed of the backend that was written as `written`, at one of its addresses.
    pub(super) fn edit(&self, pool: &str, written: &str, address: &str) -> Edit {
        let known = self.known();
        let mut edit = Edit::default();
        for ((of, _), overlay) in &known.overlays {
            if of == pool {
                // What is said of one address counts for more than what is said of all.
                for key in [written, address] {
                    if let Some(later) = overlay.edits.get(key) {
                        edit = edit.overlaid_by(later);
                    }
                }
            }
        }
        edit
    }

    fn changed(&self) {
        self.inner.version.send_modify(|version| *version += 1);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.inner.known.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn wanted<'p>(&self, pool: &'p Pool) -> Vec<Wanted<'p>> {
        let configured = pool.backends.iter().map(|backend| Wanted {
            origin: Origin::Configuration,
            backend: Cow::Borrowed(backend),
        });
        let overlays = self.overlays.iter().filter(|((of, _), _)| *of == pool.name);
        let added = overlays.flat_map(|((_, origin), overlay)| {
            overlay.added.iter().map(|backend| Wanted {
                origin: *origin,
                backend: Cow::Owned(backend.clone()),
            })
        });
        configured.chain(added).collect()
    }

    /// In an order that does not depend on that of an answer.
    fn located(&self, backend: &Backend) -> Vec<Located> {
        if let Ok(address) = backend.address.parse() {
            return vec![Located { address, share: 1 }];
        }
        let Some(name) = Name::of(backend) else {
            return Vec::new();
        };
        match backend.kind {
            BackendKind::Address => {
                let port = backend.port();
                let all = self.addresses(&name).into_iter();
                all.map(|ip| Located {
                    address: (ip, port).into(),
                    share: 1,
                })
                .collect()
            }
            BackendKind::Srv => self.targets(&name),
        }
    }

    /// The addresses of the targets of a service. Where none of them has one, as long as new
    /// targets are not resolved yet, those that were found before.
    fn targets(&self, name: &Name) -> Vec<Located> {
        let located = self.located_targets(name);
        let has_targets = || {
            self.names
                .get(name)
                .is_some_and(|a| a.targets().next().is_some())
        };
        let mut found = self.found.borrow_mut();
        if located.is_empty() && has_targets() {
            return found.get(name).cloned().unwrap_or_default();
        }
        found.retain(|known, _| self.names.contains_key(known));
        found.insert(name.clone(), located.clone());
        located
    }

    /// The addresses of the targets that have the lowest priority of those with an address.
    fn located_targets(&self, name: &Name) -> Vec<Located> {
        let targets = self.names.get(name).map(Answers::targets);
        let mut located: Vec<Located> = Vec::new();
        let mut priority = None;
        // They are in the order of their priorities.
        for target in targets.into_iter().flatten() {
            if !located.is_empty() && priority != Some(target.priority) {
                break;
            }
            priority = Some(target.priority);
            let addresses = match (target.host.parse(), Name::host(&target.host)) {
                (Ok(ip), _) => vec![ip],
                (Err(_), Some(host)) => self.addresses(&host),
                (Err(_), None) => Vec::new(),
            };
            located.extend(addresses.into_iter().map(|ip| Located {
                address: (ip, target.port).into(),
                // 0 stands for "hardly ever" (RFC 2782), and not for "never".
                share: u32::from(target.weight).max(1),
            }));
        }
        located
    }

    fn addresses(&self, name: &Name) -> Vec<IpAddr> {
        let answers = self.names.get(name);
        answers.map(Answers::addresses).unwrap_or_default()
    }

    /// Why a name has no address.
    fn reason(&self, name: &Name) -> String {
        let Some(answers) = self.names.get(name) else {
            return "it has not been looked up yet".to_owned();
        };
        match answers.state() {
            NameState::Unresolved { reason } => return reason,
            NameState::Asked => return "there was no answer so far".to_owned(),
            NameState::Resolved | NameState::Stale { .. } => {}
        }
        let mut targets = answers.targets().filter_map(|t| Name::host(&t.host));
        match targets.next() {
            Some(target) => format!("its target {target}: {}", self.reason(&target)),
            None => "it has no address".to_owned(),
        }
    }
}
