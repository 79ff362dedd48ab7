//! Links between the documents lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixtures::repository;

/// All documents: those of the top, and those below these folders.
fn documents() -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect()
    };
    let mut found: Vec<PathBuf> = entries(&repository())
        .into_iter()
        .filter(|path| path.is_file())
        .collect();
    let below = [
        "docs",
        "wit",
        "guest-policies",
        "examples",
        "bench",
        "tests",
        "fuzz",
    ];
    let mut folders: Vec<PathBuf> = below.iter().map(|name| repository().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_file() {
                found.push(path);
            } else if !matches!(name.as_str(), "target" | "node_modules") && !name.starts_with('.')
            {
                folders.push(path);
            }
        }
    }
    found.retain(|path| path.extension().is_some_and(|e| e == "md"));
    found
}

/// The lines that are not code.
fn prose(text: &str) -> String {
    let mut code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What links to this document's headings may name, as GitHub makes it.
fn anchors(text: &str) -> Vec<String> {
    let prose = prose(text);
    let titles = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |title: &str| -> String {
        let title = title.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            _ => Some(c).filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')),
        });
        kept.collect()
    };
    titles.map(anchor).collect()
}

/// What stands between `](` and `)`, outside of code.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let after = prose.split("](").skip(1);
    after
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.to_owned())
        .collect()
}

#[test]
fn no_link_between_documents_leads_nowhere() {
    let mut dead = Vec::new();
    let mut seen = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            if path.contains("://") {
                continue;
            }
            seen += 1;
            let target = match path {
                "" => document.clone(),
                _ => document.parent().unwrap().join(path),
            };
            let there = match fs::read_to_string(&target) {
                Ok(text) if !anchor.is_empty() => anchors(&text).iter().any(|a| a == anchor),
                _ => target.exists(),
            };
            if !there {
                dead.push(format!(
                    "{}: {link}",
                    document.strip_prefix(repository()).unwrap().display()
                ));
            }
        }
    }
    assert!(seen > 50, "{seen} links");
    assert!(dead.is_empty(), "{dead:#?}");
}
