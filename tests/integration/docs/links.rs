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

/// What stands between `](` and `)`, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut code = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    let prose = prose.collect::<Vec<_>>().join("\n");
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
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            seen += 1;
            if !document.parent().unwrap().join(path).exists() {
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
