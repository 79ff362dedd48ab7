//! From a core module that carries its types to a component.

use std::path::Path;

use super::RehearsalError;
use super::manner::{Outcome, write};
use super::options::Pack;
use super::source::read;
use crate::config::CompileLimits;
use crate::policy::Compiler;

/// A core module before it is packed.
const LARGEST_MODULE: u64 = 256 << 20;

pub(super) fn write_packed(asked: &Pack) -> Result<Outcome, RehearsalError> {
    let component = pack(
        &asked.module,
        &read(&asked.module, LARGEST_MODULE)?,
        asked.compiling,
    )?;
    write(&asked.output, &component)?;
    Ok(Outcome::Fine)
}

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
