//! Compiled components that the commands without a proxy keep for each other.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::with_scenarios;
use crate::fixtures::{Exit, Scratch, command, repository, run};

/// `waypost policy` with these words and this folder for caches.
#[track_caller]
fn keeping(folder: &Path, words: &[&str]) -> Exit {
    let scenarios = with_scenarios("[[scenario]]\nname = \"a\"\n");
    let exit = run(command()
        .arg("policy")
        .args(words)
        .env("XDG_CACHE_HOME", folder)
        .current_dir(scenarios.path()));
    assert_eq!(exit.code, Some(0), "{words:?}: {exit:?}");
    exit
}

fn probe() -> String {
    let path = repository().join("tests/guests/probe/probe.wasm");
    path.display().to_string()
}

/// The artefacts in the folder.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("waypost")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "compiled"))
        .collect()
}

/// Which file it is, of those that had its name one after the other.
fn which(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().ino()
}

#[test]
fn what_one_command_has_compiled_the_next_one_takes() {
    let folder = Scratch::new();
    let probe = probe();
    let test = || keeping(folder.path(), &["test", &probe, "scenarios.toml"]);
    test();
    let first = kept(folder.path());
    assert_eq!(first.len(), 1, "{first:?}");
    let artefact = which(&first[0]);
    test();
    keeping(folder.path(), &["inspect", &probe]);
    assert_eq!(
        (kept(folder.path()), which(&first[0])),
        (first.clone(), artefact)
    );
    // One that is damaged is found out, and compiled again.
    let mut bytes = std::fs::read(&first[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first[0], bytes).unwrap();
    test();
    assert_ne!(which(&first[0]), artefact);
}

/// What is in the folder is executed as it is.
#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    let folder = Scratch::new();
    let open = folder.path().join("waypost");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let probe = probe();
    let exit = keeping(folder.path(), &["test", &probe, "scenarios.toml"]);
    assert!(
        exit.stderr.contains("compiled components are not kept in")
            && exit.stderr.contains("others may write to it"),
        "{exit:?}"
    );
    assert_eq!(kept(folder.path()), Vec::<PathBuf>::new());
}
