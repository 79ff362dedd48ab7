//! The last good answers, for the process that replaces this one: it begins with them, and so with
//! backends, also where its name servers are down.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::super::records::{Family, Name, Record};
use super::Answers;
use crate::upstream::Discovery;

/// What is known of one family of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// What was asked for.
    pub name: Name,
    /// Which of its addresses.
    pub family: Family,
    /// The last list that was good.
    pub records: Vec<Record>,
    /// When it came.
    pub answered: Option<SystemTime>,
    /// For how long it was to be used.
    pub ttl: Option<Duration>,
    /// Since when there has been no better list.
    pub failing_since: Option<SystemTime>,
}

impl Discovery {
    /// Every list that is in use.
    pub fn remembered(&self) -> Vec<Remembered> {
        let known = self.known();
        let all = known.names.iter();
        all.flat_map(|(name, answers)| answers.remembered(name))
            .collect()
    }

    /// Begins with these lists: each is used until there is a better one.
    pub fn remember(&self, all: Vec<Remembered>) {
        let mut known = self.known();
        for remembered in all {
            let name = remembered.name.clone();
            known.names.entry(name).or_default().remember(remembered);
        }
        drop(known);
        self.changed();
    }
}

impl Answers {
    /// What another process was using, until this one has looked it up.
    fn remember(&mut self, remembered: Remembered) {
        let asked = self.families.entry(remembered.family).or_default();
        asked.use_these(remembered.records);
        asked.answered = remembered.answered;
        asked.ttl = remembered.ttl;
        asked.failing_since = remembered.failing_since;
    }

    /// What is in use, for another process.
    fn remembered(&self, name: &Name) -> Vec<Remembered> {
        let used = self
            .families
            .iter()
            .filter(|(_, asked)| !asked.good.is_empty());
        used.map(|(family, asked)| Remembered {
            name: name.clone(),
            family: *family,
            records: asked.good.clone(),
            answered: asked.answered,
            ttl: asked.ttl,
            failing_since: asked.failing_since,
        })
        .collect()
    }
}
