//! What is known of the files of pools' `tls`.

use std::sync::{Mutex, PoisonError};

/// Why files of pools can't be used as they are now.
#[derive(Debug, Default)]
pub(in crate::app) struct PoolFiles(Mutex<Option<String>>);

impl PoolFiles {
    /// A sentence for an operator.
    pub(in crate::app) fn note(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says it, once.
    pub(super) fn set(&self, refused: Option<String>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refused) = refused
            .as_ref()
            .filter(|refused| noted.as_ref() != Some(*refused))
        {
            tracing::warn!("{refused}");
        }
        *noted = refused;
    }
}
