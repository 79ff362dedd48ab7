//! An engine that keeps what it compiles, if the folder for that can be trusted.

use crate::ground;
use crate::policy::{Engine, EngineOptions, PolicyError};
use crate::text::plain;

/// An engine with these options. A folder that can't be used costs time and no more: the next
/// command compiles again.
pub(super) fn engine(options: EngineOptions) -> Result<Engine, PolicyError> {
    match Engine::new(options.clone()) {
        Err(PolicyError::Cache { folder, reason }) => {
            ground::print_aside(&format!(
                "warning: compiled components are not kept in {}: {reason}\n",
                plain(&folder.display().to_string())
            ));
            Engine::new(EngineOptions {
                cache: None,
                ..options
            })
        }
        made => made,
    }
}
