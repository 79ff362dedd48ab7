//! The bindings for a policy in C.

use std::fs;
use std::path::Path;

use wit_bindgen_c::{Enabled, Opts};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use super::ScaffoldError;

/// Writes the C bindings of the world in this folder of WIT (with what it includes below `deps`): a
/// header, its implementation, and an object that carries the world's types into the core module.
pub fn write(wit: &Path, output: &Path) -> Result<Vec<String>, ScaffoldError> {
    let unusable = |reason: String| ScaffoldError::Wit {
        path: wit.to_owned(),
        reason: reason.replace('\n', " "),
    };
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_path(wit)
        .map_err(|e| unusable(format!("{e:#}")))?;
    let world = resolve
        .select_world(&[package], None)
        .map_err(|e| unusable(format!("{e:#}")))?;
    let mut files = Files::default();
    // A request that a hook forgets to give back would be an invalid answer.
    let options = Opts {
        autodrop_borrows: Enabled::Yes,
        ..Opts::default()
    };
    let generated = options.build().generate(&mut resolve, world, &mut files);
    generated.map_err(|e| unusable(format!("{e:#}")))?;
    let io = |path: &Path, what, reason| ScaffoldError::Io {
        path: path.to_owned(),
        what,
        reason,
    };
    fs::create_dir_all(output).map_err(|e| io(output, "made", e))?;
    let mut written = Vec::new();
    for (name, content) in files.iter() {
        let path = output.join(name);
        fs::write(&path, content).map_err(|e| io(&path, "written", e))?;
        written.push(name.to_owned());
    }
    Ok(written)
}
