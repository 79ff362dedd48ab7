//! The example file, syntax errors, unknown keys and wrong kinds.

use super::*;

#[test]
fn the_example_is_valid_and_gives_no_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waypost.toml");
    let config = Config::load(Sources {
        file: Some(FileSource::Path(path)),
        ..Sources::default()
    });
    let config = config.unwrap_or_else(|e| panic!("{e}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(!config.routes.is_empty() && !config.pools.is_empty() && !config.policies.is_empty());
}

#[test]
fn the_example_shows_every_default_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waypost.toml");
    let config = Config::load(Sources {
        file: Some(FileSource::Path(path)),
        ..Sources::default()
    })
    .unwrap();
    assert!(
        config
            .policies
            .iter()
            .all(|policy| policy.store == StoreLimits::default())
    );
    assert_eq!(
        (config.limits, config.timeouts),
        (Limits::default(), Timeouts::default())
    );
    assert_eq!(
        (config.rollout, config.state_dir),
        (Rollout::default(), None)
    );
    let defaults = load("");
    assert_eq!(
        (config.listeners, config.admin),
        (defaults.listeners, defaults.admin)
    );
}

#[test]
fn syntax_errors_name_the_line() {
    assert_error(
        "workers = 1\nlisten = [\n  \"a\"\nhosts = 3\n",
        4,
        "",
        "not TOML",
    );
    assert_error("workers = 1\nworkers = 2\n", 2, "", "duplicate key");
}

#[test]
fn unknown_keys_are_errors_that_guess_what_was_meant() {
    assert_error(
        "lisen = \"127.0.0.1:80\"",
        1,
        "lisen",
        "did you mean `listen`?",
    );
    assert_error(
        "[pools.a]\nbackends = \"b\"\nmax_idle = 1",
        3,
        "pools.a.max_idle",
        "did you mean `max-idle`?",
    );
    assert_error("[timeouts]\nzzz = \"1s\"", 2, "timeouts.zzz", "header-read");
    for section in [
        "admin",
        "limits",
        "timeouts",
        "stats",
        "forwarded",
        "access-log",
        "rollout",
    ] {
        assert_error(
            &format!("[{section}]\nsurprise = 1"),
            2,
            &format!("{section}.surprise"),
            "unknown key",
        );
    }
    assert_error(
        "[[routes]]\npool = \"a\"\nsurprise = 1\n[pools.a]\nbackends = \"b\"",
        3,
        "routes.surprise",
        "unknown",
    );
    assert_error(
        "[policies.random]\nsurprise = 1",
        2,
        "policies.random.surprise",
        "unknown key",
    );
    assert_error(
        "[record]\nfile = \"a\"\nsurprise = 1",
        3,
        "record.surprise",
        "unknown key",
    );
    assert_error(
        "[policies.random.store]\nentrys = 1",
        2,
        "policies.random.store.entrys",
        "did you mean `entries`?",
    );
    assert_error(
        "[pools.a]\nbackends = [{ address = \"b\", wait = 1 }]",
        2,
        "pools.a.backends.wait",
        "unknown key",
    );
}

#[test]
fn values_of_the_wrong_kind_are_errors() {
    assert_error(
        "workers = \"two\"",
        1,
        "workers",
        "is a string; write an integer",
    );
    assert_error("listen = true", 1, "listen", "is a boolean; write a string");
    assert_error("hosts = []", 1, "hosts", "is a list; write a table");
    assert_error("[admin]\ntoken = true", 2, "admin.token", "is a boolean");
    assert_error("routes = 1.5", 1, "routes", "is a fraction; write a list");
    assert_error("[routes]\npool = \"a\"", 1, "routes", "[[routes]]");
    assert_error(
        "[policies.random]\nsettings = 1979-05-27",
        2,
        "policies.random.settings",
        "not a table",
    );
    assert_error(
        "[policies.random.settings]\nday = 1979-05-27",
        2,
        "policies.random.settings.day",
        "JSON",
    );
    assert_error(
        "[policies.random.settings]\nn = 9223372036854775808",
        2,
        "policies.random.settings.n",
        "64 bits",
    );
}
