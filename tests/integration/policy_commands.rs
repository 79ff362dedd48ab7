//! `waypost policy`: deploying, watching, promoting and withdrawing from the command line.

mod deploying;
mod watching;

use std::process::Command;

use serde_json::Value;

use crate::fixtures::{
    Exit, Request, Running, TestProxy, TestUpstream, command, eventually, guest, refusing_address,
    run,
};

/// A proxy whose policy `mine` is `pick-first`, and beside its configuration `last.wasm`,
/// `probe.wasm` and `core.wasm`.
struct Operated {
    proxy: TestProxy,
    _backends: [TestUpstream; 2],
}

fn operated() -> Operated {
    operated_with(&[], "")
}

/// With these variables and keys.
fn operated_with(environment: &[(&str, &str)], keys: &str) -> Operated {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let mut proxy = TestProxy::builder()
        .keys(keys)
        .file("mine.wasm", guest("pick-first"))
        .file("last.wasm", guest("pick-last"))
        .file("probe.wasm", guest("probe"))
        .file("core.wasm", guest("core-module"))
        .pool_for_all(&[backends[0].address(), backends[1].address()], &["mine"])
        .tables("[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"");
    for (name, value) in environment {
        proxy = proxy.environment(name, value);
    }
    Operated {
        proxy: proxy.start(),
        _backends: backends,
    }
}

impl Operated {
    /// `waypost policy` with these words, for this proxy.
    fn command(&self, words: &str) -> Command {
        let mut command = command();
        command
            .arg("policy")
            .args(words.split(' '))
            .current_dir(self.proxy.scratch.path());
        command.env(
            "WAYPOST_ADMIN_LISTEN",
            self.proxy.admin_address().to_string(),
        );
        command
    }

    /// What comes of it.
    #[track_caller]
    fn policy(&self, words: &str) -> Exit {
        run(&mut self.command(words))
    }

    /// Its standard output; it must go well and have nothing to complain about.
    #[track_caller]
    fn well(&self, words: &str) -> String {
        let exit = self.policy(words);
        assert_eq!(
            (exit.code, exit.stderr.as_str()),
            (Some(0), ""),
            "{words}: {exit:?}"
        );
        exit.stdout
    }

    /// The sentence on standard error of what is refused.
    #[track_caller]
    fn refused(&self, words: &str) -> String {
        let exit = self.policy(words);
        assert_eq!(
            (exit.code, exit.stdout.as_str()),
            (Some(1), ""),
            "{words}: {exit:?}"
        );
        assert!(
            exit.stderr.starts_with("error: ") && exit.stderr.lines().count() == 1,
            "{words}: {}",
            exit.stderr
        );
        exit.stderr
    }

    /// A trial that is watched, and has begun.
    #[track_caller]
    fn watched(&self, words: &str) -> Running {
        let running = Running::start(&mut self.command(words));
        running.wait_for("generation 2 (");
        running
    }

    fn decides(&self) -> String {
        self.proxy
            .get("a.test", "/")
            .value("x-policy")
            .unwrap_or_default()
    }

    fn now(&self) -> Value {
        self.proxy.policy("mine")
    }
}

#[test]
fn a_component_is_deployed_and_rolled_back() {
    let o = operated();
    let told = o.well("deploy mine last.wasm");
    assert!(
        told.contains("mine: generation 2 (")
            && told.contains("generation 1 is kept for a rollback"),
        "{told}"
    );
    assert_eq!(o.decides(), "last");
    let told = o.well("rollback mine");
    assert!(
        told.contains("mine: generation 1 (") && told.contains("generation 2 is kept"),
        "{told}"
    );
    assert_eq!(o.decides(), "first");
    assert_eq!(
        (
            o.now()["history"][0]["state"].as_str(),
            o.now()["generation"].as_u64()
        ),
        (Some("active"), Some(1))
    );
}

#[test]
fn a_shadow_is_compared_shown_and_withdrawn() {
    let o = operated();
    let told = o.well("deploy mine last.wasm --mode shadow");
    assert!(
        told.contains("shadow generation 2 (") && told.contains("100 % of the requests"),
        "{told}"
    );
    assert_eq!(o.decides(), "first");
    let told = eventually("the request is compared", || {
        let told = o.well("status mine");
        told.contains("1 request compared").then_some(told)
    });
    for part in [
        "on trial: shadow generation 2",
        "selection",
        "0.00 %",
        "active: backend 0",
        "shadow: backend 1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for part in [
        "/mine.wasm, ",
        "sha256:",
        "history",
        "generations",
        "deadline 1s",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(o.well("withdraw mine").contains("generation 1 ("));
    assert!(o.now()["trial"].is_null());
    assert!(
        o.refused("withdraw mine")
            .contains("no generation is on trial")
    );
}

#[test]
fn a_canary_grows_and_is_promoted() {
    let o = operated();
    let told = o.well("deploy mine last.wasm --mode canary --percent 0.01 --by request");
    assert!(
        told.contains("canary generation 2 (") && told.contains("0.01 % of the requests"),
        "{told}"
    );
    let told = o.well("canary mine --percent 100%");
    assert!(
        told.contains("100 % of the requests"),
        "still by request: {told}"
    );
    assert_eq!(o.decides(), "last");
    let table = o.well("status");
    let row = table
        .lines()
        .find(|line| line.starts_with("mine"))
        .unwrap_or_else(|| panic!("{table}"));
    assert!(
        row.contains("active") && row.contains("canary 2, 100 %"),
        "{table}"
    );
    assert!(
        o.well("canary mine --percent 100 --by client")
            .contains("100 % of the clients")
    );
    assert!(o.well("promote mine").contains("mine: generation 2 ("));
    assert_eq!(
        (o.now()["trial"].is_null(), o.decides().as_str()),
        (true, "last")
    );
    assert!(o.refused("promote mine").contains("nothing to promote"));
}

#[test]
fn json_is_the_answer_as_it_is() {
    let o = operated();
    let read = |words: &str| -> Value { serde_json::from_str(&o.well(words)).unwrap() };
    assert_eq!(read("status --json")["policies"][0]["name"], "mine");
    let deployed = read("deploy mine last.wasm --mode canary --percent 5 --json");
    assert_eq!(
        (&deployed["trial"]["mode"], &deployed["trial"]["percent"]),
        (&"canary".into(), &5.0.into())
    );
    assert_eq!(read("status mine --json"), o.now());
    assert!(read("withdraw mine --json")["trial"].is_null());
    assert_eq!(read("token --json")["request_field"], "x-waypost-explain");
    assert!(
        o.refused("promote mine --json")
            .contains("nothing to promote")
    );
}

#[test]
fn a_refused_command_changes_nothing_and_says_why() {
    let o = operated();
    let before = o.now();
    for (words, told) in [
        ("deploy mine core.wasm", "core module"),
        (
            "deploy mine core.wasm --mode canary --percent 5 --watch",
            "core module",
        ),
        ("deploy other last.wasm", "no policy is named \"other\""),
        ("deploy a/b last.wasm", "no policy is named \"a/b\""),
        ("status other", "no policy is named \"other\""),
        ("promote other", "no policy is named \"other\""),
        ("withdraw other", "no policy is named \"other\""),
        ("promote mine", "nothing to promote"),
        ("rollback mine", "no previous generation"),
        ("canary mine --percent 5", "no generation is on trial"),
    ] {
        let sentence = o.refused(words);
        assert!(sentence.contains(told), "{words}: {sentence}");
    }
    o.proxy.scratch.write("empty.wasm", "");
    for (words, told) in [
        ("deploy mine empty.wasm", "is empty"),
        (
            "deploy mine nowhere.wasm",
            "nowhere.wasm: there is no such file",
        ),
        ("deploy mine .", "can't be read"),
        ("deploy mine builtin:least", "no built-in policy"),
        (
            "status --token-file nowhere",
            "nowhere: there is no such file",
        ),
    ] {
        let exit = o.policy(words);
        assert_eq!(exit.code, Some(2), "{words}: {exit:?}");
        assert!(exit.stderr.contains(told), "{words}: {exit:?}");
    }
    let now = o.now();
    assert_eq!(
        (&now["generation"], &now["digest"]),
        (&before["generation"], &before["digest"])
    );
    assert_eq!(o.decides(), "first");
}

#[test]
fn slips_of_the_command_line_end_with_2() {
    let o = operated();
    for words in [
        "deploy mine last.wasm --percent 5",
        "deploy mine last.wasm --mode canary",
        "status --admin here",
        "x",
    ] {
        let exit = o.policy(words);
        assert_eq!(
            (exit.code, exit.stdout.as_str()),
            (Some(2), ""),
            "{words}: {exit:?}"
        );
        assert!(exit.stderr.contains("error: "), "{words}: {exit:?}");
    }
    assert_eq!(o.now()["generation"], 1);
}

#[test]
fn an_admin_listener_that_is_not_there_is_named() {
    let o = operated();
    let (_held, nobody) = refusing_address();
    let sentence = o.refused(&format!("status --admin {nobody}"));
    assert!(
        sentence.contains(&nobody.to_string()) && sentence.contains("127.0.0.1:9090"),
        "{sentence}"
    );
    let sentence = o.refused(&format!("deploy mine last.wasm --admin http://{nobody}"));
    assert!(sentence.contains("no proxy answers"), "{sentence}");
    let data_plane = o.proxy.address();
    let sentence = o.refused(&format!("status --admin {data_plane}"));
    assert!(
        sentence.contains("does not answer like Waypost's admin listener"),
        "{sentence}"
    );
    let sentence = run(o.command("status").env("WAYPOST_ADMIN_LISTEN", "off")).stderr;
    assert!(
        sentence.contains("WAYPOST_ADMIN_LISTEN") && sentence.contains("--admin"),
        "{sentence}"
    );
}

#[test]
fn the_token_comes_from_the_environment_or_a_file() {
    let secret = "a-token-that-nobody-guesses";
    let o = operated_with(&[("WAYPOST_ADMIN_TOKEN", secret)], "");
    o.proxy.scratch.write("token", format!("{secret}\n"));
    o.proxy.scratch.write("empty", "\n");
    let without = o.refused("status");
    assert!(
        without.contains("WAYPOST_ADMIN_TOKEN") && without.contains("--token-file"),
        "{without}"
    );
    assert!(o.refused("deploy mine last.wasm").contains("--token-file"));
    assert!(o.well("status --token-file token").contains("mine"));
    assert!(
        o.well("deploy mine last.wasm --token-file token")
            .contains("generation 2")
    );
    let from_environment = run(o.command("status").env("WAYPOST_ADMIN_TOKEN", secret));
    assert_eq!(from_environment.code, Some(0), "{from_environment:?}");
    let wrong = run(o
        .command("status")
        .env("WAYPOST_ADMIN_TOKEN", "another-token"));
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.stderr.contains("not the admin token") && !wrong.stderr.contains("another-token"),
        "{wrong:?}"
    );
    let file_first = run(o
        .command("status --token-file token")
        .env("WAYPOST_ADMIN_TOKEN", "another-token"));
    assert_eq!(file_first.code, Some(0), "{file_first:?}");
    assert!(o.refused("status --token-file empty").contains("empty"));
}

#[test]
fn a_token_explains_a_request() {
    let o = operated();
    let told = o.well("token");
    let token = told.lines().next().unwrap();
    assert!(
        told.contains("curl ") && told.contains(&format!("x-waypost-explain: {token}")),
        "{told}"
    );
    let request = Request::new("GET", "/")
        .host("a.test")
        .field("X-Waypost-Explain", token);
    let trace = o
        .proxy
        .ask(request.bytes())
        .value("x-waypost-trace")
        .unwrap();
    assert!(
        trace.contains("select") && trace.contains("mine"),
        "{trace}"
    );
}
