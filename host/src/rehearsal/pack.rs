//! From a core module that carries its types to a component.

use std::path::Path;

use super::RehearsalError;
use crate::config::CompileLimits;
use crate::policy::Compiler;

/// The component that this module becomes. `path` is for the message.
pub(super) fn pack(
    path: &Path,
    module: &[u8],
    limits: CompileLimits,
) -> Result<Vec<u8>, RehearsalError> {
    let packed = Compiler::default().pack(module, limits);
    packed.map_err(|reason| RehearsalError::Unpackable {
        path: path.to_owned(),
        reason: reason.to_string(),
    })
}
