//! The files of a new project, by language.

use std::fmt;

/// What policies are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, with the SDK.
    Rust,
    /// JavaScript.
    JavaScript,
    /// Python.
    Python,
    /// C.
    C,
    /// Zig.
    Zig,
}

/// One file.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    /// Where, below the project's folder.
    pub path: &'static str,
    /// The content, with placeholders such as `POLICY_NAME`.
    pub text: &'static str,
    /// Whether it is run.
    pub executable: bool,
}

impl Language {
    /// All files of a project.
    pub(super) fn files(self) -> Vec<File> {
        let own: &[File] = match self {
            Self::Rust => &RUST,
            Self::JavaScript => &JAVASCRIPT,
            Self::Python => &PYTHON,
            Self::C => &C,
            Self::Zig => &ZIG,
        };
        let contract: &[File] = if self == Self::Rust { &SDK } else { &CONTRACT };
        [&COMMON, own, contract].concat()
    }

    /// What `waypost.toml` says beyond the component: a language's runtime needs more than a small
    /// component, and a small one must not miss its time because a laptop is busy.
    pub(super) fn limits(self) -> &'static str {
        match self {
            Self::Rust | Self::C | Self::Zig => {
                "# Wide, because this machine may be busy. The default is 1ms, and `waypost policy\n\
                 # bench` measures a call.\n\
                 deadline = \"20ms\"\n"
            }
            Self::JavaScript | Self::Python => {
                "# The language's runtime needs more room and, for its garbage collector, more time than a small component.\n\
                 memory = \"128MiB\"\n\
                 deadline = \"50ms\"\n"
            }
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Zig => "Zig",
        })
    }
}

macro_rules! text {
    ($path:literal from $source:literal) => {
        File {
            path: $path,
            text: include_str!(concat!("templates/", $source)),
            executable: false,
        }
    };
}

macro_rules! program {
    ($path:literal from $source:literal) => {
        File {
            path: $path,
            text: include_str!(concat!("templates/", $source)),
            executable: true,
        }
    };
}

/// A file that knows the contract in Zig's terms, as it is.
macro_rules! zig {
    ($name:literal) => {
        File {
            path: concat!("waypost/", $name),
            text: include_str!(concat!("../../embedded/zig/", $name)),
            executable: false,
        }
    };
}

/// A file of the SDK, as it is.
macro_rules! sdk {
    ($path:literal) => {
        File {
            path: concat!("waypost-policy/", $path),
            text: include_str!(concat!("../../embedded/sdk/", $path)),
            executable: false,
        }
    };
}

const COMMON: [File; 3] = [
    text!("scenarios.toml" from "common/scenarios.toml"),
    text!("waypost.toml" from "common/waypost.toml"),
    program!("test" from "common/test"),
];

const CONTRACT: [File; 2] = [
    text!("wit/world.wit" from "common/world.wit"),
    File {
        path: "wit/deps/policy/policy.wit",
        text: include_str!("../../embedded/wit/policy.wit"),
        executable: false,
    },
];

const RUST: [File; 6] = [
    text!("Cargo.toml" from "rust/Cargo.toml.template"),
    text!("src/lib.rs" from "rust/src/lib.rs"),
    program!("build" from "rust/build"),
    text!("README.md" from "rust/README.md"),
    text!(".gitignore" from "rust/gitignore"),
    text!("waypost-policy/Cargo.toml" from "rust/sdk.toml"),
];

const JAVASCRIPT: [File; 8] = [
    text!("policy.js" from "js/policy.js"),
    text!("waypost.js" from "js/waypost.js"),
    text!("waypost.test.mjs" from "js/waypost.test.mjs"),
    text!("build.mjs" from "js/build.mjs"),
    text!("package.json" from "js/package.json"),
    program!("build" from "js/build"),
    text!("README.md" from "js/README.md"),
    text!(".gitignore" from "js/gitignore"),
];

const PYTHON: [File; 6] = [
    text!("policy.py" from "python/policy.py"),
    text!("waypost.py" from "python/waypost.py"),
    text!("test_waypost.py" from "python/test_waypost.py"),
    program!("build" from "python/build"),
    text!("README.md" from "python/README.md"),
    text!(".gitignore" from "python/gitignore"),
];

const C: [File; 6] = [
    text!("policy.c" from "c/policy.c"),
    text!("settings.c" from "c/settings.c"),
    text!("settings.h" from "c/settings.h"),
    program!("build" from "c/build"),
    text!("README.md" from "c/README.md"),
    text!(".gitignore" from "c/gitignore"),
];

const ZIG: [File; 8] = [
    text!("policy.zig" from "zig/policy.zig"),
    text!("settings.zig" from "zig/settings.zig"),
    program!("build" from "zig/build"),
    text!("README.md" from "zig/README.md"),
    text!(".gitignore" from "zig/gitignore"),
    zig!("waypost.zig"),
    zig!("hooks.zig"),
    zig!("abi.zig"),
];

/// A test finds out if one is missing.
pub(super) const SDK: [File; 35] = [
    sdk!("README.md"),
    sdk!("wit/policy.wit"),
    sdk!("src/allocator.rs"),
    sdk!("src/attempt.rs"),
    sdk!("src/bindings.rs"),
    sdk!("src/capabilities.rs"),
    sdk!("src/cookie.rs"),
    sdk!("src/deferred.rs"),
    sdk!("src/export.rs"),
    sdk!("src/glue.rs"),
    sdk!("src/hash.rs"),
    sdk!("src/hooks.rs"),
    sdk!("src/lib.rs"),
    sdk!("src/network.rs"),
    sdk!("src/outcome.rs"),
    sdk!("src/panics.rs"),
    sdk!("src/peer.rs"),
    sdk!("src/request.rs"),
    sdk!("src/response.rs"),
    sdk!("src/ring.rs"),
    sdk!("src/settings.rs"),
    sdk!("src/testing/contract.rs"),
    sdk!("src/testing/contract/types.rs"),
    sdk!("src/testing/fields.rs"),
    sdk!("src/testing/host.rs"),
    sdk!("src/testing/message.rs"),
    sdk!("src/testing/mod.rs"),
    sdk!("src/testing/policy.rs"),
    sdk!("src/testing/state.rs"),
    sdk!("src/testing/store.rs"),
    sdk!("src/testing/table.rs"),
    sdk!("src/testing/target.rs"),
    sdk!("src/testing/ways.rs"),
    sdk!("src/topology.rs"),
    sdk!("src/ways.rs"),
];
