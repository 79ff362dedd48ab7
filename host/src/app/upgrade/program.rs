//! The program that this process was started from, and how it is started again.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::messages::{GREETED, NAMED, VARIABLE, VERSION};
use crate::files;

/// Variables that were meant for this process only: what they announce is passed otherwise, or is
/// passed again by the supervisor.
const OWN: [&str; 7] = [
    VARIABLE,
    GREETED,
    NAMED,
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
];

/// A command line as it was.
#[derive(Debug, Clone)]
pub(in crate::app) struct Program {
    /// Where the file was found. Another one may be there by now: that is what an upgrade is for.
    path: PathBuf,
    /// Whether a request has named it, and not the operator who has started the process.
    is_named: bool,
    name: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    /// The command line of this process.
    ///
    /// # Errors
    ///
    /// The system does not say which file it is.
    pub(in crate::app) fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let name = arguments.next().unwrap_or_default();
        let running = env::current_exe()?;
        // As it was called: a link may lead to another version by now.
        let named = env::var_os(NAMED).map(PathBuf::from);
        let named = named.filter(|path| is_same(path, &running));
        let is_named = named.is_some();
        let called = || candidates(&name, env::var_os("PATH")).find(|path| is_same(path, &running));
        Ok(Self {
            path: named.or_else(called).unwrap_or(running),
            is_named,
            name,
            arguments: arguments.collect(),
        })
    }

    /// The same command line with another file, if a request names one.
    ///
    /// # Errors
    ///
    /// What was named, now or before, must not run: a sentence says why. What the operator has
    /// started is not judged.
    pub(in crate::app) fn with(&self, file: Option<PathBuf>) -> Result<Self, String> {
        let mut next = self.clone();
        if let Some(file) = file {
            (next.path, next.is_named) = (file, true);
        }
        if next.is_named {
            let refused = |e| format!("{} can't be started: {e}", next.path.display());
            files::runnable_at(&next.path).map_err(refused)?;
        }
        Ok(next)
    }

    /// The file that is started.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A command that starts it with the environment that this process was started with.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        let environment = env::vars_os().filter(|(name, _)| !OWN.iter().any(|own| name == own));
        command
            .arg0(&self.name)
            .args(&self.arguments)
            .env_clear()
            .envs(environment)
            .env(VARIABLE, std::process::id().to_string())
            .env(GREETED, VERSION.to_string())
            .envs(self.is_named.then_some((NAMED, &self.path)))
            // With all that it may start itself, so that nothing is left of one that fails.
            .process_group(0)
            .stdin(Stdio::null());
        command
    }
}

/// The files that a command of this name may be.
fn candidates(name: &OsStr, path: Option<OsString>) -> impl Iterator<Item = PathBuf> {
    let here = env::current_dir().unwrap_or_default();
    let is_path = name.as_encoded_bytes().contains(&b'/');
    let folders: Vec<PathBuf> = match (is_path, path) {
        (true, _) => vec![here],
        (false, Some(path)) => env::split_paths(&path).map(|f| here.join(f)).collect(),
        (false, None) => Vec::new(),
    };
    let name = name.to_owned();
    folders.into_iter().map(move |folder| folder.join(&name))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_where_a_shell_would() {
        let all = |name: &str| -> Vec<PathBuf> {
            candidates(OsStr::new(name), Some("/usr/bin:/opt/waypost".into())).collect()
        };
        let here = env::current_dir().unwrap();
        assert_eq!(all("./waypost"), [here.join("./waypost")]);
        assert_eq!(all("/opt/now/waypost"), [PathBuf::from("/opt/now/waypost")]);
        let found = ["/usr/bin/waypost", "/opt/waypost/waypost"].map(PathBuf::from);
        assert_eq!(all("waypost"), found);
    }

    #[test]
    fn what_is_for_this_process_alone_is_not_handed_on() {
        let program = Program::of_this_process().unwrap();
        assert!(is_same(&program.path, &env::current_exe().unwrap()));
        let command = program.command();
        let set = |name: &str| command.get_envs().any(|(n, v)| n == name && v.is_some());
        assert!(set(VARIABLE) && !set("LISTEN_PID"));
    }
}
