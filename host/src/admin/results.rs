//! What the last changes by the page have come to.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::sessions::secret;

/// What a change has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub done: bool,
    pub sentence: String,
}

/// Results that can still be shown.
const RESULTS: usize = 32;

/// The results of the last changes, by identifiers that can't be guessed.
#[derive(Debug, Default)]
pub(super) struct Results(Mutex<VecDeque<(String, Outcome)>>);

impl Results {
    /// Keeps a result: what it can be found by.
    pub(super) fn keep(&self, outcome: Outcome) -> String {
        let id = secret();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == RESULTS {
            all.pop_front();
        }
        all.push_back((id.clone(), outcome));
        id
    }

    pub(super) fn find(&self, id: &str) -> Option<Outcome> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().find(|(of, _)| of == id)?;
        Some(found.1.clone())
    }
}
