//! The shape of the source: which room may import which, how long a function and a line may be.

mod circles;

use std::collections::BTreeMap;

use crate::fixtures::sources::{code, is_test, sources};

/// Lines of code of a function, from `fn` to its last brace: on the way of a request, elsewhere.
const HOT: usize = 40;
const LONGEST: usize = 60;
const HOT_ROOMS: [&str; 6] = ["decision", "h1", "message", "net", "proxy", "upstream"];
/// Lines of a file, from its first to where its tests begin.
const FILE: usize = 400;
/// Columns of a line.
const WIDTH: usize = 100;

/// Which rooms each room may import, from the bottom up. An arrow that is not here is one that
/// nobody has argued for.
const ARROWS: &[(&str, &str)] = &[
    ("files", ""),
    ("message", ""),
    ("scaffold", ""),
    ("stats", ""),
    ("text", ""),
    ("ground", "text"),
    ("units", ""),
    ("users", ""),
    ("origin", "units"),
    ("document", "text units"),
    ("h1", "message"),
    ("h2", "message"),
    ("config", "document files message units"),
    ("cli", "config units"),
    ("net", "config files message stats text"),
    ("upstream", "config h2 net stats"),
    (
        "policy",
        "config files ground message stats text units upstream",
    ),
    ("route", "config message policy stats units upstream"),
    (
        "recording",
        "config document files ground message policy stats text units upstream",
    ),
    ("remote", "config files ground policy text units"),
    ("rollout", "config files policy stats units"),
    ("observe", "config ground message net stats text upstream"),
    (
        "decision",
        "config message observe policy recording stats upstream",
    ),
    (
        "proxy",
        "config decision ground h1 h2 message net observe policy recording route stats upstream users",
    ),
    (
        "rehearsal",
        "config decision document files ground message policy recording stats text units upstream",
    ),
    (
        "admin",
        "decision ground observe policy proxy rollout stats text units",
    ),
    (
        "app",
        "admin cli config decision files ground net observe origin policy proxy recording rehearsal remote rollout route scaffold stats text units upstream users",
    ),
];

#[test]
fn rooms_import_only_what_lies_below_them() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources("host/src", &["rs"]) {
        let Some(room) = room(&path) else { continue };
        let arrows = found.entry(room.clone()).or_default();
        if is_test(&path) {
            continue;
        }
        for after in code(&text).split("crate::").skip(1) {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let to = &after[..end.unwrap_or(after.len())];
            if to != room && !arrows.iter().any(|known| known == to) {
                arrows.push(to.to_owned());
            }
        }
    }
    let mut wrong = Vec::new();
    for (room, arrows) in &found {
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| from == room) else {
            wrong.push(format!("{room} is not in the table"));
            continue;
        };
        let allowed: Vec<&str> = allowed.split_whitespace().collect();
        let more = arrows.iter().filter(|to| !allowed.contains(&to.as_str()));
        wrong.extend(more.map(|to| format!("{room} imports {to}")));
        let gone = allowed.iter().filter(|to| !arrows.iter().any(|a| a == *to));
        wrong.extend(gone.map(|to| format!("{room} does not import {to} any more")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each room stands after all that it may import.
#[test]
fn the_table_of_arrows_has_no_circle() {
    for (at, (room, allowed)) in ARROWS.iter().enumerate() {
        for to in allowed.split_whitespace() {
            let below = ARROWS[..at].iter().any(|(known, _)| *known == to);
            assert!(
                below,
                "{room} imports {to}, which does not stand above it in the table"
            );
        }
    }
}

#[test]
fn files_are_short_enough_to_read() {
    let mut long = Vec::new();
    for (path, text) in sources("", &["rs"]) {
        let before_tests = text.split("#[cfg(test)]\nmod tests {").next();
        let lines = before_tests.unwrap_or_default().lines().count();
        if lines > FILE {
            long.push(format!("{} has {lines} lines", path.display()));
        }
    }
    assert!(long.is_empty(), "{FILE} lines at most: {long:#?}");
}

#[test]
fn functions_are_short_enough_to_read() {
    let mut wrong = Vec::new();
    for (path, text) in sources("host/src", &["rs"]) {
        if is_test(&path) {
            continue;
        }
        let hot = room(&path).is_some_and(|room| HOT_ROOMS.contains(&room.as_str()));
        let most = if hot { HOT } else { LONGEST };
        for (function, lines) in functions(&code(&text)) {
            if lines > most {
                let path = path.display();
                wrong.push(format!(
                    "{path}: {function} has {lines} lines, {most} at most"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The functions of a file that rustfmt has formatted, and their lines of code.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = begun(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        // A declaration without a body ends before any brace at its own indent.
        let end = lines[at..]
            .iter()
            .position(|l| l.strip_prefix(indent).is_some_and(|l| l == "}"));
        let declared = lines[at..].iter().position(|l| {
            l.strip_prefix(indent)
                .is_some_and(|l| !l.starts_with(' ') && l.ends_with([';', '}']))
        });
        if let Some(end) = end
            && declared == Some(end)
        {
            let body = lines[at..=at + end].iter();
            found.push((name, body.filter(|l| !l.trim().is_empty()).count()));
        }
    }
    found
}

/// The name of the function that begins in this line.
fn begun(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let words = before.split_whitespace();
    let is_one = |word: &str| {
        matches!(word, "pub" | "const" | "async" | "unsafe")
            || word.starts_with("pub(")
            || word.ends_with(')')
            || word == "in"
    };
    let end = after.find(['(', '<'])?;
    words
        .into_iter()
        .all(is_one)
        .then(|| after[..end].to_owned())
}

fn room(path: &std::path::Path) -> Option<String> {
    let inside = path.strip_prefix("host/src").ok()?;
    let first = inside.components().next()?.as_os_str().to_string_lossy();
    let name = first.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

/// rustfmt sees to code; what it leaves alone are comments and strings.
#[test]
fn comments_and_pages_fit_into_100_columns() {
    // Written by programs.
    let generated = [
        "docs/contract.md",
        "docs/cookbook.md",
        "bench/RESULTS.md",
        "bench/ROLLOUT.md",
    ];
    let mut long = Vec::new();
    for (path, text) in sources("", &["rs", "md"]) {
        if generated.iter().any(|g| path.ends_with(g)) {
            continue;
        }
        let page = path.extension().is_some_and(|e| e == "md");
        let mut fenced = false;
        for (n, line) in text.lines().enumerate() {
            let comment = line.trim_start();
            let text = comment.trim_start_matches(['/', '!', ' ']);
            if text.starts_with("```") {
                fenced = !fenced;
            }
            let free = fenced || text.starts_with('|') || text.contains("://");
            // The name of a test can't be wrapped.
            let one_word = text.split(' ').any(|word| word.len() > WIDTH - 20);
            let looked_at = page || comment.starts_with("//");
            if looked_at && !free && !one_word && line.chars().count() > WIDTH {
                long.push(format!("{}:{}: {line}", path.display(), n + 1));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}
