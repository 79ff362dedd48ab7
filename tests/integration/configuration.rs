//! What the operator wrote, right or wrong: a clear answer with key and line, and nothing half
//! started.

mod check;
mod components;
mod read_files;
mod unasked;

use std::net::TcpListener;

use crate::fixtures::{Exit, Scratch, TestProxy, TestUpstream, repository, waypost};

/// Runs `waypost check` and `waypost run` on this file; both must refuse it in the same words.
#[track_caller]
fn refused(scratch: &Scratch, text: &str) -> String {
    scratch.write("waypost.toml", text);
    let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(check.code, Some(1), "check: {check:?}");
    let run = waypost(["run", "--config", "waypost.toml"], scratch.path());
    assert!(
        run.code.is_some_and(|code| code != 0 && code != -1),
        "run: {run:?}"
    );
    let said = said(&check);
    assert!(
        !said.contains("panicked") && !said.contains("RUST_BACKTRACE"),
        "{said}"
    );
    said
}

fn said(exit: &Exit) -> String {
    format!("{}\n{}", exit.stdout, exit.stderr)
}

const BASE: &str = "listen = \"127.0.0.1:0\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn each_mistake_in_the_file_is_reported_with_its_key_and_line() {
    let scratch = Scratch::new();
    for (lines, line, words) in [
        (
            "[hosts]\n\"a.test\" = [\"127.0.0.1:1\"]\n[limits]\nheader-bites = 1\n",
            8,
            "header-bites",
        ),
        ("[timeouts]\nidle = \"sixty\"\n", 6, "timeouts.idle"),
        ("[timeouts]\nidle = 60\n", 6, "timeouts.idle"),
        ("[limits]\nconnections = -1\n", 6, "limits.connections"),
        (
            "[limits]\nconnections = \"many\"\n",
            6,
            "limits.connections",
        ),
        ("[hosts]\n\"a b\" = [\"127.0.0.1:1\"]\n", 6, "a b"),
        ("[hosts]\n\"a.test\" = [\"127.0.0.1:99999\"]\n", 6, "99999"),
        ("[hosts]\n\"a.test\" = []\n", 6, "a.test"),
        (
            "[[routes]]\nhost = \"a.test\"\npool = \"none\"\n",
            7,
            "none",
        ),
        (
            "[pools.p]\nbackends = [\"127.0.0.1:1\"]\n[[routes]]\npool = \"p\"\npolicies = [\"nobody\"]\n",
            9,
            "nobody",
        ),
        (
            "[policies.p]\nbuiltin = \"no-such-thing\"\n",
            6,
            "no-such-thing",
        ),
        (
            "[policies.p]\nbuiltin = \"random\"\non-failure = \"hope\"\n",
            7,
            "on-failure",
        ),
        (
            "[policies.p]\nbuiltin = \"random\"\non-failure = 200\n",
            7,
            "on-failure",
        ),
        (
            "[policies.p]\nbuiltin = \"random\"\nisolation = \"none\"\n",
            7,
            "isolation",
        ),
        ("[forwarded]\ntrusted = [\"10.0.0.0/33\"]\n", 6, "trusted"),
        ("[access-log]\nrequests = \"some\"\n", 6, "requests"),
        ("[hosts\n", 5, "TOML"),
    ] {
        let said = refused(&scratch, &format!("{BASE}{lines}"));
        assert!(
            said.contains("waypost.toml") && said.contains(&format!("line {line}")),
            "{lines:?}: {said}"
        );
        assert!(said.contains(words), "{lines:?}: {said}");
    }
}

#[test]
fn all_mistakes_are_reported_together() {
    let scratch = Scratch::new();
    let said = refused(
        &scratch,
        &format!("{BASE}[limits]\nconnections = -1\nwrong = 1\n[timeouts]\nidle = 3\n"),
    );
    for words in ["line 6", "line 7", "line 9"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let scratch = Scratch::new();
    let exit = waypost(["run", "--config", "nowhere.toml"], scratch.path());
    assert!(exit.code.is_some_and(|code| code > 0), "{exit:?}");
    assert!(said(&exit).contains("nowhere.toml"), "{exit:?}");
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let scratch = Scratch::new();
    std::fs::write(
        scratch.path().join("waypost.toml"),
        b"listen = \"\xff\xfe\"\n",
    )
    .unwrap();
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(exit.code, Some(1));
    assert!(said(&exit).contains("UTF-8"), "{exit:?}");
}

/// A file whose only policy is `policy.wasm` with these further lines.
fn with_policy(lines: &str) -> String {
    format!(
        "{BASE}[pools.p]\nbackends = [\"127.0.0.1:1\"]\n[[routes]]\npool = \"p\"\npolicies = [\"mine\"]\n\
         [policies.mine]\ncomponent = \"policy.wasm\"\n{lines}"
    )
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for file in [
        format!("listen = \"{address}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"),
        format!("listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"{address}\"\n"),
    ] {
        scratch.write("waypost.toml", file);
        let exit = waypost(["run", "--config", "waypost.toml"], scratch.path());
        assert!(exit.code.is_some_and(|code| code > 0), "{exit:?}");
        assert!(said(&exit).contains(&address), "{exit:?}");
    }
}

#[test]
fn two_proxies_do_not_silently_share_a_port() {
    let upstream = TestUpstream::named("a");
    let first = TestProxy::in_front_of(&upstream);
    let scratch = Scratch::new();
    let address = first.address().to_string();
    scratch.write(
        "waypost.toml",
        format!("listen = \"{address}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"),
    );
    let exit = waypost(["run", "--config", "waypost.toml"], scratch.path());
    assert!(exit.code.is_some_and(|code| code > 0), "{exit:?}");
    assert!(said(&exit).contains(&address), "{exit:?}");
    assert_eq!(first.get("a.test", "/").text(), "a");
}

#[test]
fn a_backend_that_does_not_resolve_is_an_error_where_names_have_to_be_known() {
    let scratch = Scratch::new();
    // RFC 6761 section 6.4: names under .invalid never exist.
    scratch.write(
        "waypost.toml",
        format!("{BASE}[hosts]\n\"a.test\" = [\"no-such-host.invalid:80\"]\n"),
    );
    let exit = waypost(
        ["run", "--strict", "--config", "waypost.toml"],
        scratch.path(),
    );
    assert!(exit.code.is_some_and(|code| code > 0), "{exit:?}");
    assert!(said(&exit).contains("no-such-host.invalid"), "{exit:?}");
}

#[test]
fn a_host_name_as_a_backend_is_resolved() {
    let upstream = TestUpstream::named("by name");
    let port = upstream.address().port();
    // `localhost` may be ::1 as well, where nobody listens; that is what attempts are for.
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"localhost:{port}\"]\n[[routes]]\npool = \"a\""
        ))
        .start();
    assert_eq!(proxy.get("a.test", "/").text(), "by name");
    assert!(
        proxy.stats()["backends"][upstream.address().to_string()]["requests"]
            .as_u64()
            .unwrap()
            > 0
    );
}

#[test]
fn the_admin_listener_is_loopback_unless_a_token_is_set() {
    let scratch = Scratch::new();
    let open = "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"0.0.0.0:0\"\n";
    let said = refused(&scratch, open);
    assert!(said.contains("token") && said.contains("admin"), "{said}");
}

#[test]
fn the_example_configuration_is_valid() {
    let example = repository().join("examples/waypost.toml");
    let text = std::fs::read_to_string(&example).unwrap();
    // Its host names exist nowhere, and a check resolves what a start would.
    let scratch = Scratch::new();
    scratch.write(
        "waypost.toml",
        text.replace("app.internal:8000", "127.0.0.1:8000"),
    );
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(exit.code, Some(0), "{exit:?}");
}

#[test]
fn the_environment_is_enough() {
    let upstream = TestUpstream::named("from the environment");
    let hosts = format!("www.example.com={};*=127.0.0.1:1", upstream.address());
    let proxy = TestProxy::builder()
        .environment("WAYPOST_HOSTS", &hosts)
        .start();
    assert_eq!(
        proxy.get("www.example.com", "/").text(),
        "from the environment"
    );
    assert_ne!(proxy.get("other.example.com", "/").status, 404);
}

#[test]
fn the_environment_beats_the_file() {
    let (file, environment) = (
        TestUpstream::named("file"),
        TestUpstream::named("environment"),
    );
    let proxy = TestProxy::builder()
        .host("a.test", &[file.address()])
        .host("b.test", &[file.address()])
        .environment(
            "WAYPOST_HOSTS",
            &format!("a.test={}", environment.address()),
        )
        .start();
    assert_eq!(proxy.get("a.test", "/").text(), "environment");
    assert_eq!(proxy.get("b.test", "/").text(), "file");
}

#[test]
fn wrong_variables_and_flags_are_named() {
    let scratch = Scratch::new();
    let exit = waypost(["check", "--workers", "none"], scratch.path());
    assert!(exit.code.is_some_and(|code| code > 0), "{exit:?}");
    assert!(said(&exit).contains("--workers"), "{exit:?}");
    let mut command = crate::fixtures::command();
    let exit = crate::fixtures::run(
        command
            .arg("check")
            .env("WAYPOST_HOSTS", "a.test")
            .current_dir(scratch.path()),
    );
    assert!(exit.code.is_some_and(|code| code > 0), "{exit:?}");
    assert!(said(&exit).contains("WAYPOST_HOSTS"), "{exit:?}");
}

#[test]
fn a_command_that_does_not_exist_is_refused_with_help() {
    let scratch = Scratch::new();
    let exit = waypost(["fly"], scratch.path());
    assert_eq!(exit.code, Some(2), "{exit:?}");
    let exit = waypost(["--help"], scratch.path());
    assert_eq!(exit.code, Some(0));
    for command in ["run", "check", "demo", "origin"] {
        assert!(exit.stdout.contains(command), "{}", exit.stdout);
    }
}
