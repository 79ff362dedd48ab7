use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::templates::SDK;
use super::*;

const LANGUAGES: [Language; 5] = [
    Language::Rust,
    Language::JavaScript,
    Language::Python,
    Language::C,
    Language::Zig,
];

fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("waypost-scaffold-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, found)
        } else {
            found.push(path)
        }
    }
}

#[test]
fn a_project_has_everything_filled_in() {
    for language in LANGUAGES {
        let folder = folder(&format!("{language}"));
        let made = create("blue-green", language, Some(&folder)).unwrap();
        assert_eq!((made.name.as_str(), &made.folder), ("blue-green", &folder));
        let mut files = Vec::new();
        below(&folder, &mut files);
        for path in &files {
            let text = fs::read_to_string(path).unwrap();
            assert!(!text.contains("POLICY_"), "{}", path.display());
        }
        for wanted in [
            "README.md",
            "scenarios.toml",
            "waypost.toml",
            "build",
            "test",
            ".gitignore",
        ] {
            assert!(folder.join(wanted).exists(), "{language}: {wanted}");
        }
        let configuration = fs::read_to_string(folder.join("waypost.toml")).unwrap();
        assert!(configuration.contains("component = \"blue-green.wasm\""));
        fs::write(
            folder.join("blue-green.wasm"),
            crate::policy::builtin("random").unwrap(),
        )
        .unwrap();
        let source = crate::config::FileSource::Path(folder.join("waypost.toml"));
        let sources = crate::config::Sources {
            file: Some(source),
            ..Default::default()
        };
        let config = crate::config::Config::load(sources).unwrap();
        assert_eq!(config.policies[0].name, "blue-green");
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn existing_files_are_never_overwritten() {
    let folder = folder("occupied");
    fs::create_dir_all(&folder).unwrap();
    create("first", Language::C, Some(&folder)).unwrap();
    let error = create("second", Language::C, Some(&folder))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("not empty") && error.contains("--dir"),
        "{error}"
    );
    assert!(
        fs::read_to_string(folder.join("README.md"))
            .unwrap()
            .starts_with("# first")
    );
    let file = folder.join("README.md");
    let error = create("second", Language::C, Some(&file))
        .unwrap_err()
        .to_string();
    assert!(error.contains("can't be made"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn names_that_no_tool_takes_are_refused() {
    for wrong in [
        "",
        "Big",
        "1st",
        "a_b",
        "a/b",
        "a b",
        "-a",
        "a-",
        "ä",
        "../up",
        &"a".repeat(65),
    ] {
        let error = create(wrong, Language::Rust, None).unwrap_err().to_string();
        assert!(error.contains("can't be the name"), "{wrong}: {error}");
    }
}

#[test]
fn a_policy_in_rust_is_not_called_as_the_sdk_is() {
    let error = create("waypost-policy", Language::Rust, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("the SDK"), "{error}");
}

#[test]
fn the_sdk_is_carried_whole() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-policies/sdk");
    let mut files = vec![sdk.join("README.md")];
    below(&sdk.join("src"), &mut files);
    below(&sdk.join("wit"), &mut files);
    let there: BTreeSet<String> = files
        .iter()
        .map(|path| {
            path.strip_prefix(&sdk)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let carried = SDK
        .iter()
        .map(|file| {
            file.path
                .strip_prefix("waypost-policy/")
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(there, carried);
    let manifest = |text: &str| -> BTreeSet<String> {
        let line = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
        let keys = text
            .lines()
            .filter(|l| !l.starts_with('#'))
            .filter_map(line);
        keys.filter(|key| {
            matches!(
                key.as_str(),
                "wit-bindgen"
                    | "serde"
                    | "serde_json"
                    | "serde_path_to_error"
                    | "dlmalloc"
                    | "allocator"
                    | "default"
            )
        })
        .collect()
    };
    let own = fs::read_to_string(sdk.join("Cargo.toml")).unwrap();
    assert_eq!(
        manifest(include_str!("templates/rust/sdk.toml")),
        manifest(&own),
        "the manifest that a project gets"
    );
}

#[test]
fn bindings_are_written_and_a_folder_without_a_world_is_an_error() {
    let folder = folder("bindings");
    create("a", Language::C, Some(&folder)).unwrap();
    let written = write_bindings(&folder.join("wit"), &folder.join("bindings")).unwrap();
    assert_eq!(written, ["policy.c", "policy.h", "policy_component_type.o"]);
    let error = write_bindings(&folder.join("README.md"), &folder.join("bindings"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("README.md"), "{error}");
    let error = write_bindings(&folder.join("none"), &folder.join("bindings"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("none"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

/// A separate project can't import it from here, so there are two copies.
#[test]
fn new_projects_leave_the_same_out_of_javascripts_bindings() {
    let ours =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-policies/header-router-js/build.mjs");
    let ours = fs::read_to_string(ours).unwrap();
    let patch = |text: &str| -> Vec<String> {
        let from = text
            .lines()
            .skip_while(|line| !line.starts_with("const IDLE = "));
        from.take_while(|line| !line.starts_with("};"))
            .map(str::to_owned)
            .collect()
    };
    let theirs = patch(include_str!("templates/js/build.mjs"));
    assert!(theirs.len() > 5, "{theirs:?}");
    assert_eq!(theirs, patch(&ours));
}
