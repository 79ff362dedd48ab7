//! What name servers have said of one name.

mod remembered;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

pub use self::remembered::Remembered;
use super::records::{Family, Name, Record, Target};

/// Records of one answer that are used. No pool works with more, and an answer may be hostile.
const MAX_RECORDS: usize = 1_024;
/// Unusable records that a sentence names.
const NAMED: usize = 8;

/// What came of one look-up.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// An answer with at least one record.
    Found {
        /// In any order, and as often as the answer has them.
        records: Vec<Record>,
        /// For how long they are used.
        ttl: Duration,
    },
    /// There is no such record, or no such name: a sentence says which.
    Absent(String),
    /// There was no answer of use: a sentence says why.
    Failed(String),
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameState {
    /// The first look-up is under way.
    Asked,
    /// The last answer is in use.
    Resolved,
    /// An earlier answer is in use, because there is no better one.
    Stale {
        /// Since the first look-up that brought none.
        since: SystemTime,
        /// Why, as a sentence.
        reason: String,
    },
    /// There was no answer so far.
    Unresolved {
        /// Why, as a sentence.
        reason: String,
    },
}

/// What an operator should hear of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The earlier list stays in use, for this reason.
    Stale(String),
    /// There is no list, for this reason.
    Unresolved(String),
    /// There is an answer again.
    Fresh,
    /// The answer has this many records more than are used.
    TooMany(usize),
    /// The answer has these records, which can't be those of a backend.
    Unusable(Vec<Record>),
}

/// A name, for statistics.
#[derive(Debug, Clone)]
pub struct NameStatus {
    /// As it is asked for.
    pub name: String,
    /// Whether it is a service.
    pub is_service: bool,
    /// Whether what is known is of use.
    pub state: NameState,
    /// Addresses; of a service, its targets.
    pub records: Vec<String>,
    /// For how long the last answers are valid; the shortest.
    pub ttl: Option<Duration>,
    /// When the oldest of the answers in use came.
    pub answered: Option<SystemTime>,
    /// When the next look-up begins.
    pub next: Option<SystemTime>,
    /// Look-ups that have ended.
    pub lookups: u64,
    /// Those of them that brought no answer of use.
    pub failures: u64,
    /// Why the last of them did not; `None` if it did.
    pub error: Option<String>,
}

/// What is known of one name.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    families: BTreeMap<Family, Asked>,
}

/// The look-ups of one family.
#[derive(Debug, Clone, Default)]
struct Asked {
    /// The last list that was good, in order and without repetitions.
    good: Vec<Record>,
    /// When it came.
    answered: Option<SystemTime>,
    ttl: Option<Duration>,
    /// What came of the last look-up.
    last: Last,
    /// Since when there has been no better list.
    failing_since: Option<SystemTime>,
    next: Option<SystemTime>,
    lookups: u64,
    failures: u64,
    /// Records of the last answer that are not used, because there are too many.
    beyond: usize,
    /// Those that can't be those of a backend; some of them.
    unusable: Vec<Record>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Pending,
    Found,
    Absent(String),
    Failed(String),
}

impl Answers {
    /// This family is asked for.
    pub(super) fn expect(&mut self, family: Family) {
        self.families.entry(family).or_default();
    }

    pub(super) fn note(
        &mut self,
        family: Family,
        outcome: Outcome,
        (now, next): (SystemTime, SystemTime),
    ) {
        let asked = self.families.entry(family).or_default();
        asked.lookups += 1;
        asked.next = Some(next);
        match outcome {
            Outcome::Found { records, ttl } => {
                asked.ttl = Some(ttl);
                match asked.found(records, now) {
                    Ok(()) => {
                        self.confirm();
                        return;
                    }
                    Err(reason) => asked.last = Last::Failed(reason),
                }
            }
            Outcome::Absent(reason) => asked.last = Last::Absent(reason),
            Outcome::Failed(reason) => asked.last = Last::Failed(reason),
        }
        asked.failing_since.get_or_insert(now);
        // A host of one family is absent in the other for as long as it lives.
        let is_normal = match self.families[&family].last {
            Last::Absent(_) => self.families.values().any(|other| other.may_be_found()),
            _ => false,
        };
        if let Some(asked) = self.families.get_mut(&family).filter(|_| !is_normal) {
            asked.failures += 1;
        }
    }

    /// One family has just been found: what was said to be absent in another is so on purpose.
    fn confirm(&mut self) {
        for asked in self.families.values_mut() {
            if matches!(asked.last, Last::Absent(_)) {
                asked.good.clear();
                asked.failing_since = None;
            }
        }
    }

    /// Forgets the other families.
    pub(super) fn keep(&mut self, keep: impl Fn(Family) -> bool) {
        self.families.retain(|family, _| keep(*family));
    }

    /// Whether every family has been looked up.
    pub(super) fn is_known(&self) -> bool {
        let mut all = self.families.values();
        !self.families.is_empty() && all.all(|asked| asked.last != Last::Pending)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// All records in use.
    pub(super) fn records(&self) -> Vec<Record> {
        let all = self.families.values();
        let mut all: Vec<Record> = all.flat_map(|asked| &asked.good).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let address = |record| match record {
            Record::Address(address) => Some(address),
            Record::Target(_) => None,
        };
        self.records().into_iter().filter_map(address).collect()
    }

    /// The targets in use, in the order of their priorities.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        let all = self.families.values().flat_map(|asked| &asked.good);
        all.filter_map(|record| match record {
            Record::Target(target) => Some(target),
            Record::Address(_) => None,
        })
    }

    pub(super) fn state(&self) -> NameState {
        let all = || self.families.values();
        let stale = all().filter(|asked| !asked.good.is_empty());
        let stale = stale.filter_map(|asked| Some((asked.failing_since?, asked.reason()?)));
        if let Some((since, reason)) = stale.min() {
            let reason = reason.to_owned();
            return NameState::Stale { since, reason };
        }
        if all().any(|asked| !asked.good.is_empty()) {
            return NameState::Resolved;
        }
        if all().any(|asked| asked.last == Last::Pending) || self.families.is_empty() {
            return NameState::Asked;
        }
        // A server that fails in one family says more than one without a record in the other.
        let failed = all().filter(|asked| matches!(asked.last, Last::Failed(_)));
        let reason = failed.chain(all()).find_map(Asked::reason);
        NameState::Unresolved {
            reason: reason.unwrap_or("the answer is empty").to_owned(),
        }
    }

    /// What is new since it was in this state.
    pub(super) fn news(&self, was: &NameState) -> Option<News> {
        match (was, self.state()) {
            (NameState::Stale { .. }, NameState::Stale { .. })
            | (NameState::Unresolved { .. }, NameState::Unresolved { .. })
            | (_, NameState::Asked) => None,
            (_, NameState::Stale { reason, .. }) => Some(News::Stale(reason)),
            (_, NameState::Unresolved { reason }) => Some(News::Unresolved(reason)),
            (NameState::Asked | NameState::Resolved, NameState::Resolved) => None,
            (_, NameState::Resolved) => Some(News::Fresh),
        }
    }

    /// Records of the last answers that are not used.
    pub(super) fn beyond(&self) -> usize {
        self.families.values().map(|asked| asked.beyond).sum()
    }

    /// Records of the last answers that can't be those of a backend; some of them.
    pub(super) fn unusable(&self) -> Vec<Record> {
        let all = self.families.values();
        all.flat_map(|asked| &asked.unusable).cloned().collect()
    }

    pub(super) fn status(&self, name: &Name) -> NameStatus {
        let all = || self.families.values();
        let records = self.records();
        let is_found = !records.is_empty();
        let failed = all().filter(|asked| matches!(asked.last, Last::Failed(_)) || !is_found);
        NameStatus {
            name: name.text().to_owned(),
            is_service: matches!(name, Name::Srv(_)),
            state: self.state(),
            records: records.iter().map(ToString::to_string).collect(),
            ttl: all().filter_map(|asked| asked.ttl).min(),
            answered: all().filter_map(|asked| asked.answered).min(),
            next: all().filter_map(|asked| asked.next).min(),
            lookups: all().map(|asked| asked.lookups).sum(),
            failures: all().map(|asked| asked.failures).sum(),
            error: failed
                .chain(
                    all().filter(|asked| asked.failing_since.is_some() && !asked.good.is_empty()),
                )
                .find_map(Asked::reason)
                .map(str::to_owned),
        }
    }
}

impl Asked {
    /// The error is a sentence: nothing of the answer is of use.
    fn found(&mut self, records: Vec<Record>, now: SystemTime) -> Result<(), String> {
        let (records, mut unusable): (Vec<_>, Vec<_>) =
            records.into_iter().partition(Record::is_usable);
        unusable.sort();
        unusable.dedup();
        unusable.truncate(NAMED);
        let nothing = records.is_empty() && !unusable.is_empty();
        let reason = || {
            let all: Vec<String> = unusable.iter().map(ToString::to_string).collect();
            format!(
                "the answer has no address of a backend, only {}",
                all.join(", ")
            )
        };
        let reason = nothing.then(reason);
        self.unusable = unusable;
        if let Some(reason) = reason {
            return Err(reason);
        }
        self.use_these(records);
        self.answered = Some(now);
        self.failing_since = None;
        self.last = Last::Found;
        Ok(())
    }

    fn use_these(&mut self, mut records: Vec<Record>) {
        // Also so that which of too many are used does not change with their order.
        records.sort();
        records.dedup();
        self.beyond = records.len().saturating_sub(MAX_RECORDS);
        records.truncate(MAX_RECORDS);
        self.good = records;
    }

    /// Whether the name may have records of this family.
    fn may_be_found(&self) -> bool {
        matches!(self.last, Last::Found | Last::Pending)
    }

    /// Why the last look-up brought nothing.
    fn reason(&self) -> Option<&str> {
        match &self.last {
            Last::Absent(reason) | Last::Failed(reason) => Some(reason),
            Last::Found | Last::Pending => None,
        }
    }
}
