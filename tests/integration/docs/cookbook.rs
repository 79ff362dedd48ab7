//! `docs/cookbook.md` is made of what stands at the top of each policy of
//! `guest-policies/cookbook`. To write it anew:
//!
//!   WAYPOST_WRITE_DOCS=1 cargo test docs::

use std::fmt::Write as _;
use std::fs;

use crate::fixtures::repository;

#[test]
fn the_cookbook_is_what_its_policies_say() {
    let folder = repository().join("guest-policies/cookbook");
    let entries = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut about: Vec<(String, String)> = entries.map(|name| (name.clone(), top(&name))).collect();
    about.sort();
    let mut page = "# Cookbook: policies to start from\n\n\
        <!-- Generated from guest-policies/cookbook by tests/integration/docs/cookbook.rs; don't edit. -->\n\n\
        Each is one file of Rust on the [SDK](../guest-policies/sdk/README.md), with tests of its own, a file of \
        [scenarios](scenarios.md), and the built component beside it, ready to be named by `component`.\n\n\
        | policy | |\n|---|---|\n"
        .to_owned();
    for (name, about) in &about {
        let first = about.split("\n\n").next().unwrap_or_default();
        let _ = writeln!(
            page,
            "| [`{name}`](#{name}) | {} |",
            first.replace('\n', " ")
        );
    }
    page.push_str(
        "\nSome of what other proxies have modules for needs no policy: a route [redirects and answers](routes.md#answers-without-a-backend), \
         allows requests of other origins ([CORS](routes.md#cors)), divides requests between [several pools](routes.md#several-pools) \
         and [mirrors](routes.md#mirroring) them.\n",
    );
    page.push_str(
        "\nTo change one, copy its `src/lib.rs` into a project of `waypost policy new NAME --lang rust`. To see that it decides as \
         its scenarios say:\n\n```sh\nwaypost policy test guest-policies/cookbook/weighted/weighted.wasm \
         guest-policies/cookbook/weighted/scenarios.toml\n```\n",
    );
    for (name, about) in &about {
        let _ = write!(
            page,
            "\n## {name}\n\n{about}\n\n[Source](../guest-policies/cookbook/{name}/src/lib.rs), \
             [scenarios](../guest-policies/cookbook/{name}/scenarios.toml).\n"
        );
    }
    super::compare("cookbook.md", &page);
}

/// The comment at the top of a policy.
fn top(name: &str) -> String {
    let source = repository()
        .join("guest-policies/cookbook")
        .join(name)
        .join("src/lib.rs");
    let source =
        fs::read_to_string(&source).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    assert!(!lines.is_empty(), "{name} does not say what it is for");
    lines.join("\n")
}
