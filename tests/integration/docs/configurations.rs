//! Configurations in the pages are ones that the proxy takes.

use std::path::Path;

use rcgen::generate_simple_self_signed;

use crate::fixtures::{Scratch, repository, waypost};

/// Blocks that are parts of something, or name what only their readers have.
const OTHERS: [&str; 7] = [
    "[[scenario]]",
    "[settings]",
    "[policies.",
    "[listeners.",
    ".ocsp\"",
    ".der\"",
    // They show pools without routes to them.
    "[pools.grpc]",
];

/// A folder with this configuration and the certificates that it names.
fn folder_of(block: &str) -> Scratch {
    let folder = Scratch::new();
    let place = format!("{}/", folder.path().display());
    let mut written = block
        .replace("/etc/waypost/", &place)
        .replace("/var/lib/waypost", &place);
    let certified = generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let names = written.split('"').filter_map(|text| {
        let name = Path::new(text);
        let is_file = name.extension().is_some_and(|e| e == "pem" || e == "key");
        is_file.then(|| name.file_name()?.to_str()).flatten()
    });
    for name in names {
        folder.write(name, format!("{certificate}{key}"));
    }
    if !written.contains("[[routes]]") {
        written.push_str("\n[hosts]\n\"*\" = [\"127.0.0.1:1\"]\n");
    }
    folder.write("waypost.toml", written);
    folder
}

#[test]
fn every_configuration_in_the_pages_is_accepted() {
    let mut checked = Vec::new();
    for entry in std::fs::read_dir(repository().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        let blocks = page.split("```toml\n").skip(1);
        for block in blocks.filter_map(|block| block.split("```").next()) {
            if OTHERS.iter().any(|other| block.contains(other)) {
                continue;
            }
            let folder = folder_of(block);
            let exit = waypost(["check", "--config", "waypost.toml"], folder.path());
            assert_eq!(exit.code, Some(0), "{}: {block}{exit:?}", path.display());
            checked.push(path.file_name().unwrap().to_owned());
        }
    }
    for page in ["from-nginx.md", "grpc.md", "listeners.md", "websocket.md"] {
        assert!(checked.iter().any(|name| name == page), "{page}: none");
    }
}
