//! The answers to challenges of certificate authorities by HTTP (HTTP-01, RFC 8555 section 8.3).

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// The answers of the order in progress, by token. The process has one table, which its workers
/// share; most of the time it is empty. Only requests for a challenge look into it.
#[derive(Debug, Default, Clone)]
pub struct HttpChallenges(Arc<ArcSwapOption<HashMap<String, String>>>);

impl HttpChallenges {
    /// Answers these tokens, each with its key authorization, and no others.
    pub fn answer(&self, answers: HashMap<String, String>) {
        let answers = (!answers.is_empty()).then(|| Arc::new(answers));
        self.0.store(answers);
    }

    /// Ends all answers.
    pub fn clear(&self) {
        self.0.store(None);
    }

    pub(super) fn find(&self, token: &str) -> Option<String> {
        self.0.load().as_ref()?.get(token).cloned()
    }
}
