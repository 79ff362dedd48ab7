//! Files of a room that import each other, directly or through others.

use std::collections::{BTreeMap, BTreeSet};

use crate::fixtures::sources::{code, is_test, sources};

/// Rooms that still have such files. The list may only get shorter.
const KNOWN: &[(&str, &str, &str)] = &[];

/// The path of a file's module, such as `policy`, `store`, `entry`.
type Module = Vec<String>;

/// A module may name the files below it, of which it is made; that is no arrow.
#[test]
fn no_file_of_a_room_imports_itself_through_others() {
    let files = files();
    let mut arrows = BTreeMap::new();
    for (from, code) in &files {
        let imported = paths(code).into_iter();
        let to = imported
            .filter_map(|path| home(&files, &absolute(from, &path)?))
            .filter(|to| to[0] == from[0] && !to.starts_with(from));
        arrows.insert(from, to.collect::<BTreeSet<_>>());
    }
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for file in files.keys() {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = arrows[file].iter().copied().collect();
        while let Some(to) = next.pop() {
            if reached.insert(to) {
                next.extend(&arrows[to]);
            }
        }
        if reached.contains(file) {
            found.entry(&file[0]).or_default().push(file[1..].join("/"));
        }
    }
    let found: Vec<_> = found
        .iter()
        .map(|(room, files)| (*room, files.join(" ")))
        .collect();
    let known: Vec<_> = KNOWN
        .iter()
        .map(|(room, files, _)| (*room, (*files).to_owned()))
        .collect();
    assert_eq!(
        found, known,
        "left: what is in a circle; right: what may be"
    );
}

/// The files of all rooms, with their code.
fn files() -> BTreeMap<Module, String> {
    let mut files = BTreeMap::new();
    for (path, text) in sources("host/src", &["rs"]) {
        let inside = path.strip_prefix("host/src").unwrap().with_extension("");
        let mut module: Module = inside
            .iter()
            .map(|p| p.to_string_lossy().into_owned())
            .collect();
        module.pop_if(|last| last == "mod");
        if !is_test(&path) {
            files.insert(module, code(&text));
        }
    }
    files
}

/// The paths that a text names, those in braces with what stands before the braces.
fn paths(code: &str) -> Vec<String> {
    let mut before = vec![String::new()];
    let mut found = Vec::new();
    for part in code.split_inclusive(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':')) {
        let word = part.trim_end_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'));
        let path = before.last().cloned().unwrap_or_default() + word;
        match part.chars().next_back() {
            Some('{') if path.ends_with("::") => before.push(path),
            Some('{') => before.push(String::new()),
            last => {
                // What is left of a brace names nothing.
                if !path.ends_with("::") {
                    found.push(path);
                }
                before.truncate(before.len().saturating_sub(usize::from(last == Some('}'))));
            }
        }
    }
    found
}

/// A path of this crate as seen from its root.
fn absolute(from: &Module, path: &str) -> Option<Module> {
    let mut whole = match path.split("::").next() {
        Some("crate") => Vec::new(),
        Some("super") => from.clone(),
        _ => return None,
    };
    for part in path.split("::") {
        match part {
            "super" => drop(whole.pop()),
            "crate" | "self" => {}
            part => whole.push(part.to_owned()),
        }
    }
    Some(whole)
}

/// The file that defines what a path names: the last one on the path, or one below it whose item is
/// re-exported there.
fn home<'a>(files: &'a BTreeMap<Module, String>, path: &Module) -> Option<&'a Module> {
    let (module, _) = (1..=path.len())
        .rev()
        .find_map(|n| files.get_key_value(&path[..n]))?;
    let Some(name) = path.get(module.len()) else {
        return Some(module);
    };
    let kinds = ["fn", "struct", "enum", "trait", "type", "const", "static"];
    let defines = |code: &str| {
        kinds
            .iter()
            .any(|kind| code.contains(&format!("{kind} {name}")))
    };
    let mut below = files.iter().filter(|(file, _)| file.starts_with(module));
    below.find(|(_, code)| defines(code)).map(|(file, _)| file)
}
