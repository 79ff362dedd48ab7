//! The last fault of a policy, for its operator.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// A fault of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFault {
    /// When.
    pub time: SystemTime,
    /// Of which generation, by its number.
    pub generation: u64,
    /// What the log says of it.
    pub message: String,
}

/// Where the workers leave it: locked only by a call that has failed, which costs an instance, and
/// by the reader.
#[derive(Debug, Default)]
pub(super) struct LastFaultCell(Mutex<Option<LastFault>>);

impl LastFaultCell {
    pub(super) fn set(&self, generation: u64, message: &str) {
        let fault = LastFault {
            time: SystemTime::now(),
            generation,
            message: message.to_owned(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    pub(super) fn get(&self) -> Option<LastFault> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
