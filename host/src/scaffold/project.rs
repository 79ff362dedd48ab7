//! The project.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ScaffoldError;
use super::name::Name;
use super::templates::{File, Language};

/// A crate can't depend on another crate with the same name.
const SDK_NAME: &str = "waypost-policy";

/// A project that was made.
#[derive(Debug)]
pub struct Made {
    /// Its folder.
    pub folder: PathBuf,
    /// The policy's name.
    pub name: String,
    /// Its language.
    pub language: Language,
}

/// Writes the project of a new policy into `folder`, or a new folder of the policy's name.
pub fn create(
    name: &str,
    language: Language,
    folder: Option<&Path>,
) -> Result<Made, ScaffoldError> {
    let name = Name::new(name)?;
    if language == Language::Rust && name.as_str() == SDK_NAME {
        return Err(ScaffoldError::Taken(SDK_NAME));
    }
    let folder = folder.map_or_else(|| PathBuf::from(name.as_str()), Path::to_owned);
    let occupied = match fs::read_dir(&folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(reason) => {
            return Err(ScaffoldError::Io {
                path: folder,
                what: "made",
                reason,
            });
        }
    };
    if occupied {
        return Err(ScaffoldError::Occupied(folder));
    }
    for file in language.files() {
        write(&folder.join(file.path), &file, &name, language)?;
    }
    Ok(Made {
        folder,
        name: name.as_str().to_owned(),
        language,
    })
}

fn write(path: &Path, file: &File, name: &Name, language: Language) -> Result<(), ScaffoldError> {
    let failed = |what| {
        move |reason| ScaffoldError::Io {
            path: path.to_owned(),
            what,
            reason,
        }
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed("made"))?;
    }
    let text = file
        .text
        .replace("POLICY_NAME", name.as_str())
        .replace("POLICY_IDENT", &name.identifier())
        .replace("POLICY_LIMITS\n", language.limits());
    fs::write(path, text).map_err(failed("written"))?;
    if file.executable {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(failed("made executable"))?;
    }
    Ok(())
}
