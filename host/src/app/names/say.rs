//! What an operator hears of names.

use crate::upstream::{Name, News};

/// Logs what is new of a name.
pub(super) fn news(name: &Name, news: &News) {
    match news {
        News::Stale(reason) => {
            tracing::warn!("{name}: {reason}; the addresses that were found before stay in use")
        }
        News::Unresolved(reason) => {
            tracing::warn!("{name} can't be resolved: {reason}; it has no address until it can");
        }
        News::Fresh => tracing::info!("{name} is resolved again"),
        News::Unusable(records) => {
            let records: Vec<String> = records.iter().map(ToString::to_string).collect();
            let records = records.join(", ");
            tracing::warn!("{name}: {records} can't be a backend, and is not used");
        }
        News::TooMany(beyond) => tracing::warn!(
            "{name}: {beyond} records of its answer are not used, because it has too many"
        ),
    }
}
