//! `waypost check` judges as `waypost run` does.

use std::os::unix::fs::DirBuilderExt;

use serde_json::{Value, json};

use super::{said, with_policy};
use crate::fixtures::{LONG_PATIENCE, Running, Scratch, TestProxy, command, guest, waypost};

#[test]
fn check_creates_no_folder() {
    let scratch = Scratch::new();
    let table = "[hosts]\n\"a.test\" = [\"127.0.0.1:1\"]\n";
    for keys in [
        "state-dir = \"state/a\"",
        "state-dir = \"state/a\"\ncache-dir = \"cache/a\"",
    ] {
        scratch.write("waypost.toml", format!("{keys}\n{table}"));
        let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
        assert_eq!(check.code, Some(0), "{check:?}");
        let left = std::fs::read_dir(scratch.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["waypost.toml"], "{keys}");
    }
    // What a start could not create is said all the same.
    scratch.write(
        "waypost.toml",
        format!("state-dir = \"waypost.toml/a/b\"\n{table}"),
    );
    let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(
        check.stdout.contains("`state-dir` can't be used"),
        "{check:?}"
    );
}

#[test]
fn check_says_as_json_what_it_says_in_lines() {
    let scratch = Scratch::new();
    let check = |text: &str| {
        scratch.write("waypost.toml", text);
        let arguments = ["check", "--json", "--config", "waypost.toml"];
        let check = waypost(arguments, scratch.path());
        let found: Value = serde_json::from_str(&check.stdout).unwrap_or_else(|e| {
            panic!("{e}: {check:?}");
        });
        assert_eq!(check.stderr, "");
        assert_eq!(check.code, Some(i32::from(found["ok"] != json!(true))));
        found
    };
    let pool = "[pools.app]\nbackends = \"127.0.0.1:1\"\n";
    let route = "[[routes]]\npool = \"app\"\nhost = \"a.test:80\"\npolicies = [\"random\"]\n";
    let well = check(&format!("{pool}{route}"));
    assert_eq!(well["pools"], json!({ "app": ["127.0.0.1:1"] }));
    assert_eq!(well["errors"], json!([]));
    assert_eq!(well["routes"], json!(1));
    let random = &well["policies"]["random"];
    assert!(random["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(
        random["hooks"]
            .as_array()
            .unwrap()
            .contains(&json!("selection"))
    );
    let warning = &well["warnings"][0];
    for (key, value) in [
        ("file", json!("waypost.toml")),
        ("line", json!(5)),
        ("key", json!("routes.host")),
    ] {
        assert_eq!(warning[key], value, "{well:#}");
    }
    assert!(warning["message"].as_str().unwrap().contains("port 80"));

    let mistaken = check(&format!("nonsense = 1\n{pool}{route}"));
    let error = &mistaken["errors"][0];
    assert_eq!((&error["line"], &error["column"]), (&json!(1), &json!(1)));
    assert_eq!(error["key"], json!("nonsense"));

    // What is found beyond the file hides nothing.
    let absent = check(&format!(
        "{pool}{route}[policies.random]\ncomponent = \"none.wasm\"\n"
    ));
    assert_eq!(absent["errors"].as_array().unwrap().len(), 1, "{absent:#}");
    assert_eq!(absent["pools"], well["pools"]);
}

#[test]
fn what_is_wrong_beyond_the_file_has_the_place_that_names_it() {
    let scratch = Scratch::new();
    scratch.write("bad.pem", "no certificate");
    let text = "state-dir = \"waypost.toml/a\"\n\
        pid-file = \"none/pid\"\n\
        [access-log]\n\
        requests = \"all\"\n\
        path = \"none/log\"\n\
        [record]\n\
        file = \"none/record\"\n\
        [tracing]\n\
        endpoint = \"http://127.0.0.1:1/v1/traces\"\n\
        token-file = \"none/token\"\n\
        [policies.mine]\n\
        component = \"none.wasm\"\n\
        [policies.random]\n\
        builtin = \"random\"\n\
        settings = { a = 1 }\n\
        [pools.a]\n\
        backends = \"nowhere.invalid:80\"\n\
        [pools.b]\n\
        file = \"none.json\"\n\
        [[listeners]]\n\
        address = \"127.0.0.1:1\"\n\
        tls = { certificates = \"bad.pem\" }\n\
        [[listeners]]\n\
        address = \"127.0.0.1:2\"\n\
        tls = { certificates = \"bad.pem\" }\n\
        [[routes]]\n\
        pool = \"a\"\n\
        policies = [\"mine\", \"random\"]\n\
        [hosts]\n\
        \"b.test\" = \"elsewhere.invalid:80\"\n";
    scratch.write("waypost.toml", text);
    let arguments = ["check", "--json", "--config", "waypost.toml"];
    let json = waypost(arguments, scratch.path());
    let found: Value = serde_json::from_str(&json.stdout).unwrap();
    let errors = found["errors"].as_array().unwrap();
    let mut places: Vec<(u64, &str)> = Vec::new();
    for error in errors {
        assert_eq!(error["file"], "waypost.toml", "{error:#}");
        let line = error["line"].as_u64().unwrap();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("line {line}, ")), "{message}");
        places.push((line, error["key"].as_str().unwrap()));
    }
    places.sort_unstable();
    let expected = [
        // The folder for what was compiled is in it.
        (1, "state-dir"),
        (1, "state-dir"),
        (2, "pid-file"),
        (5, "access-log.path"),
        (7, "record.file"),
        (10, "tracing.token-file"),
        (12, "policies.mine.component"),
        (15, "policies.random.settings"),
        (17, "pools.a.backends"),
        (19, "pools.b.file"),
        (22, "listeners.tls.certificates"),
        (25, "listeners.tls.certificates"),
        (30, "hosts.\"b.test\""),
    ];
    let wanted = |(line, _): &&(u64, &str)| cfg!(feature = "otlp") || *line != 10;
    let expected: Vec<_> = expected.iter().filter(wanted).copied().collect();
    assert_eq!(places, expected, "{found:#}");
    // Lines say the same.
    let lines = waypost(["check", "--config", "waypost.toml"], scratch.path());
    for error in errors {
        let line = format!("error: {}", error["message"].as_str().unwrap());
        assert!(
            lines.stdout.lines().any(|l| l == line),
            "{line} in {lines:?}"
        );
    }
    assert_eq!(lines.code, Some(1));
}

#[test]
fn a_mistake_in_the_file_has_the_form_of_all_others() {
    let scratch = Scratch::new();
    for (text, count) in [
        ("nonsense = 1\nworkers = \"x\"\n", "2 errors"),
        ("[a\n", "1 error"),
    ] {
        scratch.write("waypost.toml", text);
        let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
        let lines: Vec<&str> = check.stdout.lines().collect();
        let (last, errors) = lines.split_last().unwrap();
        assert!(
            errors
                .iter()
                .all(|line| line.starts_with("error: waypost.toml, line ")),
            "{check:?}"
        );
        assert!(last.starts_with(count), "{check:?}");
        assert_eq!((check.code, &*check.stderr), (Some(1), ""));
    }
}

#[test]
fn offline_no_name_is_looked_up() {
    let scratch = Scratch::new();
    scratch.write(
        "waypost.toml",
        "[hosts]\n\"*\" = [\"nowhere.invalid:80\", \"127.0.0.1:1\"]\n",
    );
    let online = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(online.code, Some(1), "{online:?}");
    assert!(online.stdout.contains("nowhere.invalid"), "{online:?}");
    let arguments = ["check", "--offline", "--config", "waypost.toml"];
    let offline = waypost(arguments, scratch.path());
    assert_eq!(offline.code, Some(0), "{offline:?}");
    assert!(offline.stdout.contains("127.0.0.1:1"), "{offline:?}");
}

#[test]
fn check_compiles_for_the_proxy_that_starts_after_it() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("compiled");
    let table = "[hosts]\n\"a.test\" = [\"127.0.0.1:1\"]\n";
    scratch.write("waypost.toml", format!("cache-dir = \"compiled\"\n{table}"));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .unwrap();
    let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(check.code, Some(0), "{check:?}");
    let kept = || {
        let entries = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.collect::<std::collections::BTreeSet<String>>()
    };
    let compiled = kept();
    assert_eq!(
        compiled
            .iter()
            .filter(|name| name.ends_with(".compiled"))
            .count(),
        2,
        "{compiled:?}"
    );
    // `range` and `random`, which a host has by default. Had the proxy another engine, it would
    // have compiled again, and kept that.
    let proxy = TestProxy::builder()
        .keys(&format!("cache-dir = {folder:?}"))
        .workers(2)
        .host("a.test", &["127.0.0.1:1".parse().unwrap()])
        .start();
    assert_eq!(
        proxy
            .admin(crate::fixtures::Request::new("GET", "/readyz").host("admin"))
            .status,
        200
    );
    assert_eq!(kept(), compiled);
}

#[test]
fn a_folder_that_others_may_write_to_costs_time_and_not_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let folder = scratch.path().join("compiled");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let table = "[hosts]\n\"a.test\" = [\"127.0.0.1:1\"]\n";
    scratch.write("waypost.toml", format!("cache-dir = \"compiled\"\n{table}"));
    let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(
        check.stdout.contains("`cache-dir`") && check.stdout.contains("chmod go-w"),
        "{check:?}"
    );
    let proxy = TestProxy::builder()
        .keys(&format!("cache-dir = {folder:?}"))
        .host("a.test", &["127.0.0.1:1".parse().unwrap()])
        .start();
    proxy.stderr.says("every start compiles all components");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn check_loads_every_policy_and_reports() {
    let scratch = Scratch::new();
    scratch.write("policy.wasm", guest("pick-first"));
    scratch.write("waypost.toml", with_policy(""));
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        said(&exit).contains("mine"),
        "the report names what was loaded: {exit:?}"
    );
}

#[test]
fn check_judges_as_run_does() {
    // More policies than one worker has room for, and fewer: whatever the room is, both say the
    // same.
    let scratch = Scratch::new();
    for (workers, policies) in [(2, 240), (1, 3)] {
        let names: Vec<String> = (0..policies).map(|n| format!("\"p{n}\"")).collect();
        let sections: String = (0..policies)
            .map(|n| format!("[policies.p{n}]\nbuiltin = \"random\"\ndeadline = \"1s\"\n"))
            .collect();
        let text = format!(
            "listen = \"127.0.0.1:0\"\nworkers = {workers}\n[admin]\nlisten = \"off\"\n[pools.a]\nbackends = [\"127.0.0.1:1\"]\n\
             [[routes]]\npool = \"a\"\npolicies = [{}]\n{sections}",
            names.join(", ")
        );
        scratch.write("waypost.toml", text);
        let checked = waypost(["check", "--config", "waypost.toml"], scratch.path());
        let running = Running::start(
            command()
                .args(["run", "--config", "waypost.toml"])
                .current_dir(scratch.path()),
        );
        let said = running.stderr.find_within(LONG_PATIENCE, |line| {
            (line.contains("listening") || line.contains("rror")).then(|| line.to_owned())
        });
        let runs = said.as_ref().is_some_and(|line| line.contains("listening"));
        assert_eq!(
            checked.code == Some(0),
            runs,
            "{workers} workers, {policies} policies: {said:?}; {}",
            checked.stdout
        );
    }
}
