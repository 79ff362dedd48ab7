//! What those write who know another proxy, and what they are answered.

use super::*;

const POOL: &str = "[pools.app]\nbackends = \"b\"\n";

#[test]
fn keys_of_other_proxies_are_answered_with_what_stands_in_their_place() {
    for (key, words) in [
        ("gzip = true", "compress = true"),
        ("client_max_body_size = \"10m\"", "`body-bytes`"),
        ("proxy_read_timeout = \"10s\"", "`response`"),
        ("proxy_set_header = \"x\"", "request-headers = { set"),
        ("add_header = \"x\"", "response-headers = { set"),
        ("auth_basic = \"x\"", "a policy can refuse"),
        ("try_files = \"x\"", "no files are served"),
        ("limit_req = \"x\"", "\"rate-limit\""),
        ("balance = \"leastconn\"", "\"least-loaded\""),
    ] {
        let text = format!("{POOL}[[routes]]\npool = \"app\"\n{key}");
        let name = key.split(' ').next().unwrap();
        assert_error(&text, 5, &format!("routes.{name}"), words);
    }
    for (key, words) in [
        ("keepalive = 64", "`max-idle`"),
        ("max_fails = 3", "`max-failures`"),
        ("servers = [\"b\"]", "write `backends`"),
        ("least_conn = true", "\"least-loaded\""),
        ("proxy-ssl-verify = true", "write tls = true"),
    ] {
        let name = key.split(' ').next().unwrap();
        let text = format!("{POOL}{key}");
        assert_error(&text, 3, &format!("pools.app.{name}"), words);
    }
    for (key, words) in [
        ("hsts = true", "strict-transport-security"),
        ("idle_timeout = \"15s\"", "`idle` in `[timeouts]`"),
        ("clusters = []", "`[pools.NAME]`"),
        ("weighted_clusters = {}", "`pools` with weights"),
        ("domains = [\"a.test\"]", "write `host`"),
        (
            "workers = 2",
            "write `workers` above the first line with brackets",
        ),
        ("state-dir = \"x\"", "above the first line with brackets"),
    ] {
        let text = format!("{POOL}[[routes]]\npool = \"app\"\n{key}");
        let name = key.split(' ').next().unwrap();
        assert_error(&text, 5, &format!("routes.{name}"), words);
    }
    let pool = format!("{POOL}lb_policy = \"ROUND_ROBIN\"");
    assert_error(&pool, 3, "pools.app.lb_policy", "\"least-loaded\"");
    let pool = format!("{POOL}timeout = \"15s\"");
    assert_error(&pool, 3, "pools.app.timeout", "timeouts = { response");
    assert_error("[route_config]", 1, "route_config", "`[[routes]]`");
    let hosts = "[hosts]\n\"a.test\" = \"b\"\nworkers = 2";
    assert_error(hosts, 3, "hosts.workers", "write `workers` above");
    let single = "[routes]\nhost = \"a.test\"";
    assert_error(single, 1, "routes", "write `[[routes]]`");
    let socket = "[pools.app]\nbackends = \"unix:/run/app.sock\"";
    assert_error(socket, 2, "pools.app.backends", "by TCP only");
    let entry = "[pools.app]\nbackends = [{ address = \"b\", backup = true }]";
    assert_error(entry, 2, "pools.app.backends.backup", "no spare backends");
    for (text, key, words) in [
        ("worker_processes = 4", "worker_processes", "`workers`"),
        ("include = \"*.toml\"", "include", "one file"),
        ("[upstream.app]", "upstream", "[pools.NAME]"),
        ("[[server]]", "server", "[[listeners]]"),
        ("stub_status = true", "stub_status", "GET /metrics"),
        (
            "[limits]\nclient-max-body-size = 1",
            "limits.client-max-body-size",
            "`body-bytes`",
        ),
        (
            "[timeouts]\nkeepalive_timeout = 1",
            "timeouts.keepalive_timeout",
            "`idle`",
        ),
    ] {
        assert_error(text, text.lines().count(), key, words);
    }
    // A key that is nearly one of the section's is meant to be that.
    for (text, line, key, words) in [
        (
            "[resolver]\nserver = \"10.0.0.1\"",
            2,
            "resolver.server",
            "did you mean `servers`",
        ),
        (
            "[pools.app]\nfile = \"f\"\nbackend = \"b\"",
            3,
            "pools.app.backend",
            "did you mean `backends`",
        ),
        (
            "access_log = 1",
            1,
            "access_log",
            "did you mean `access-log`",
        ),
        (
            "[resolver]\ninclude = 1",
            2,
            "resolver.include",
            "known here",
        ),
    ] {
        assert_error(text, line, key, words);
    }
}

#[test]
fn a_key_that_says_what_answers_is_the_only_mistake() {
    for (key, words) in [
        ("return = 403", "respond = { status = 403 }"),
        ("proxy_pass = \"http://app\"", "`pool`"),
        ("reverse_proxy = \"app\"", "`pool`"),
    ] {
        let text = format!("[[routes]]\n{key}");
        let name = key.split(' ').next().unwrap();
        assert_error(&text, 2, &format!("routes.{name}"), words);
    }
}

#[test]
fn values_of_other_proxies_are_answered_with_what_stands_in_their_place() {
    let route = |key: &str| format!("{POOL}[[routes]]\npool = \"app\"\n{key}");
    for (key, at, words) in [
        ("path = \"~ ^/x\"", "path", "write { regex = '^/x' }"),
        (
            "path = \"~* \\\\.png$\"",
            "path",
            "write { regex = '(?i)\\.png$' }",
        ),
        ("path = \"= /x\"", "path", "write { exact = \"/x\" }"),
        ("path = \"^~ /x\"", "path", "write \"/x\", a prefix"),
        ("path = \"^/x\"", "path", "write { regex = '^/x' }"),
        (
            "path = { regex = '^/(?!x)' }",
            "path.regex",
            "give exceptions a route",
        ),
        (
            "path = { regex = '(a)\\1' }",
            "path.regex",
            "give exceptions a route",
        ),
        ("path = { regex = '(' }", "path.regex", "unclosed group"),
        ("host = \"a.test b.test\"", "host", "several as a list"),
        ("host = \"a.test,b.test\"", "host", "several as a list"),
        ("host = \"~^www\"", "host", "regular expression"),
        ("cors = true", "cors", "such as { origins = ["),
        ("mirror = true", "mirror", "such as { pool = "),
        (
            "timeouts = \"5s\"",
            "timeouts",
            "such as { response = \"5m\" }",
        ),
        ("retry = 3", "retry", "such as { attempts = 3 }"),
        (
            "request-headers = \"x: y\"",
            "request-headers",
            "such as { set = {",
        ),
    ] {
        assert_error(&route(key), 5, &format!("routes.{at}"), words);
    }
    let shown = errors(&route("path = { regex = '^/(?!x)' }"))[0].to_string();
    assert_eq!(shown.matches("look-around").count(), 1, "{shown}");
    let redirect = "[[routes]]\nredirect = \"301 https://a.test/\"";
    let words = "write { to = \"https://a.test/\", status = 301 }";
    assert_error(redirect, 2, "routes.redirect", words);
    for (backends, words) in [
        ("\"a:1, b:2\"", "write a list"),
        ("\"a:1 weight=2\"", "{ address = \"a:1\", weight = 2 }"),
        ("\"8080\"", "write for example \"127.0.0.1:8080\""),
    ] {
        let text = format!("[pools.app]\nbackends = {backends}");
        assert_error(&text, 2, "pools.app.backends", words);
    }
    let probe = format!("{POOL}health = true");
    assert_error(
        &probe,
        3,
        "pools.app.health",
        "such as { path = \"/healthz\" }",
    );
    for (pool, words) in [
        (
            "http://app",
            "\"http://app\" is not the name of a pool; write for example pool = \"app\"",
        ),
        ("10.0.0.1:80", "`backends` in `[pools.app]`, or one of: app"),
        (
            "other",
            "there is no pool \"other\"; write `[pools.other]`, or one of: app",
        ),
    ] {
        let text = format!("{POOL}[[routes]]\npool = \"{pool}\"");
        assert_error(&text, 4, "routes.pool", words);
    }
    let text = route("host = \"_\"");
    let warnings = load(&text).warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("write \"*\""),
        "{warnings:#?}"
    );
}

#[test]
fn a_bare_port_and_a_switch_are_answered_with_an_example() {
    for (text, line, key, words) in [
        ("listen = 80", 1, "listen", "write \"0.0.0.0:80\""),
        ("listen = [80]", 1, "listen", "write \"0.0.0.0:80\""),
        ("listen = \"*:80\"", 1, "listen", "write \"0.0.0.0:80\""),
        (
            "listen = \"80 ssl\"",
            1,
            "listen",
            "write \"0.0.0.0:80\", and",
        ),
        ("listen = \"http://0.0.0.0:80\"", 1, "listen", "is a URL"),
        (
            "admin = \"off\"",
            1,
            "admin",
            "`[admin]`, and its keys below",
        ),
        (
            "admin.listen = 9090",
            1,
            "admin.listen",
            "\"127.0.0.1:9090\"",
        ),
        (
            "[[listeners]]\naddress = 80",
            2,
            "listeners.address",
            "write \"0.0.0.0:80\"",
        ),
        (
            "[forward]\nlisten = 3128",
            2,
            "forward.listen",
            "\"127.0.0.1:3128\"",
        ),
        (
            "[[listeners]]\naddress = \"0.0.0.0:443\"\ntls = true",
            3,
            "listeners.tls",
            "such as { certificates = \"edge.pem\" }",
        ),
        (
            "[forward]\nlisten = \"127.0.0.1:1\"\nauthentication = \"users\"",
            3,
            "forward.authentication",
            "such as { file = \"users\" }",
        ),
    ] {
        assert_error(text, line, key, words);
    }
}
