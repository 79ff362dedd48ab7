//! A start, a reload and a check with names that can't be resolved.

use super::{answers, asking, is_in_state, is_said, pool};
use crate::fixtures::{NameServer, Reply, Request, Scratch, TestProxy, TestUpstream, waypost};

#[test]
fn a_proxy_starts_with_a_name_that_can_not_be_resolved_and_says_so() {
    let server = NameServer::start();
    let one = TestUpstream::named("one");
    let port = one.address().port();
    let known = pool("known", &format!("[\"127.0.0.1:{port}\"]"));
    let unknown = pool("unknown", &format!("[\"a.test:{port}\"]"));
    // With a policy too: none has to choose from nothing.
    let unknown = format!(
        "{unknown}[[routes]]\nhost = \"decided\"\npool = \"unknown\"\npolicies = [\"random\"]\n"
    );
    let proxy = asking(&server).tables(&known).tables(&unknown).start();
    assert_eq!(proxy.get("known", "/").text(), "one");
    for host in ["unknown", "decided"] {
        let refused = proxy.get(host, "/");
        assert_eq!(refused.status, 503);
        assert!(refused.text().contains("No backend"), "{}", refused.text());
    }
    let status = is_in_state(&proxy, "a.test", "unresolved");
    assert!(
        status["last_error"].as_str().unwrap().contains("NXDOMAIN"),
        "{status:#}"
    );
    let ready = proxy.admin(Request::new("GET", "/readyz"));
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("a.test"), "{}", ready.text());
    is_said(&proxy, &["pool \"unknown\"", "a.test", "NXDOMAIN"]);
    server.addresses("a.test", &["127.0.0.1"]);
    answers(&proxy, "unknown", "one");
    answers(&proxy, "decided", "one");
    let ready = proxy.admin(Request::new("GET", "/readyz")).text();
    assert!(!ready.contains("a.test"), "{ready}");
}

#[test]
fn a_silent_server_does_not_keep_a_proxy_from_starting() {
    let server = NameServer::start();
    server.both("a.test", &Reply::Silence);
    let one = TestUpstream::named("one");
    let port = one.address().port();
    let proxy = asking(&server)
        .tables(&pool("a", &format!("[\"a.test:{port}\"]")))
        .start();
    assert_eq!(proxy.get("a", "/").status, 503);
    server.addresses("a.test", &["127.0.0.1"]);
    answers(&proxy, "a", "one");
}

/// The configuration of a proxy that asks this server.
fn written(server: &NameServer, strict: &str) -> Scratch {
    let scratch = Scratch::new();
    let (address, pool) = (server.address(), pool("a", "[\"a.test:9\"]"));
    let text = format!(
        "listen = \"127.0.0.1:0\"\nworkers = 1\nadmin.listen = \"off\"\n\
         [resolver]\nservers = [\"{address}\"]\n{strict}\n{pool}"
    );
    scratch.write("waypost.toml", text);
    scratch
}

#[test]
fn where_names_have_to_be_known_one_that_is_not_is_an_error() {
    let server = NameServer::start();
    let strict = written(&server, "strict = true");
    let lenient = written(&server, "");
    for (arguments, folder) in [
        (["run", "--config", "waypost.toml"].to_vec(), &strict),
        (
            ["run", "--strict", "--config", "waypost.toml"].to_vec(),
            &lenient,
        ),
        (["check", "--config", "waypost.toml"].to_vec(), &lenient),
    ] {
        let mut command = crate::fixtures::command();
        command.args(&arguments).current_dir(folder.path());
        let exit = crate::fixtures::run(&mut command);
        assert_eq!(exit.code, Some(1), "{arguments:?}: {exit:?}");
        let said = format!("{}{}", exit.stdout, exit.stderr);
        for part in ["pool \"a\"", "a.test:9", "NXDOMAIN"] {
            assert!(said.contains(part), "{arguments:?}: {said}");
        }
    }
    server.addresses("a.test", &["127.0.0.1"]);
    let exit = waypost(["check", "--config", "waypost.toml"], lenient.path());
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("127.0.0.1:9"), "{exit:?}");
}

fn reload(proxy: &TestProxy, from: &str, to: &str) -> crate::fixtures::Response {
    let path = proxy.scratch.path().join("waypost.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    proxy.scratch.write("waypost.toml", text.replace(from, to));
    proxy.admin(Request::new("POST", "/reload").body(b""))
}

#[test]
fn a_reload_with_a_name_that_can_not_be_resolved_says_so_in_its_answer() {
    let server = NameServer::start();
    let one = TestUpstream::named("one");
    let port = one.address().port();
    let known = pool("known", &format!("[\"127.0.0.1:{port}\"]"));
    let proxy = asking(&server).tables(&known).tables("# more").start();
    let more = pool("a", &format!("[\"a.test:{port}\"]"));
    let answer = reload(&proxy, "# more", &format!("{more}# end"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let warned = answer.text();
    // What watches the file may have been there first.
    let is_first = warned.contains("\"published\":true");
    assert!(!is_first || warned.contains("a.test"), "{warned}");
    assert_eq!(proxy.get("a", "/").status, 503);
    server.addresses("a.test", &["127.0.0.1"]);
    answers(&proxy, "a", "one");
    // A name that goes with its pool is no longer asked for.
    let answer = reload(&proxy, &more, "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    crate::fixtures::eventually("the name is forgotten", || {
        super::status(&proxy, "a.test").is_null().then_some(())
    });
    let answer = reload(&proxy, "[resolver]\n", "[resolver]\nstrict = true\n");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let other = pool("b", "[\"b.test:9\"]");
    let answer = reload(&proxy, "# end", &other);
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("b.test:9"), "{}", answer.text());
}

#[test]
fn names_in_a_file_or_of_the_admin_api_are_missed_like_those_of_the_configuration() {
    let server = NameServer::start();
    let pool = "[pools.a]\nfile = \"b.json\"\n[[routes]]\npool = \"a\"\npolicies = []\n";
    let proxy = asking(&server)
        .tables(pool)
        .file("b.json", "[\"file.test:9\"]")
        .file("c.json", "[\"file.test:9\"]")
        .start();
    let missed = |name: &str, from: &str| {
        is_said(&proxy, &["pool \"a\"", name, from, "NXDOMAIN"]);
        let ready = proxy.admin(Request::new("GET", "/readyz")).text();
        assert!(ready.contains(name) && ready.contains(from), "{ready}");
    };
    missed("file.test:9", "of its file");
    let put = Request::new("PUT", "/pools/a/backends").body(b"[\"api.test:9\"]");
    let answer = proxy.admin(put).text();
    assert!(answer.contains("of the admin API"), "{answer}");
    let ready = proxy.admin(Request::new("GET", "/readyz")).text();
    assert!(ready.contains("api.test:9"), "{ready}");
    let answer = reload(&proxy, "[resolver]\n", "[resolver]\nstrict = true\n");
    assert_eq!(answer.status, 200, "it was there before: {}", answer.text());
    let answer = reload(&proxy, "\"b.json\"", "\"c.json\"");
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("file.test:9"), "{}", answer.text());
}

#[test]
fn where_names_have_to_be_known_a_file_with_one_that_is_not_is_an_error() {
    let server = NameServer::start();
    let scratch = written(&server, "strict = true");
    let text = std::fs::read_to_string(scratch.path().join("waypost.toml")).unwrap();
    let text = text.replace("backends = [\"a.test:9\"]", "file = \"b.json\"");
    scratch.write("waypost.toml", text);
    scratch.write("b.json", "[\"file.test:9\"]");
    for command in ["run", "check"] {
        let exit = waypost([command, "--config", "waypost.toml"], scratch.path());
        assert_eq!(exit.code, Some(1), "{exit:?}");
        let said = format!("{}{}", exit.stdout, exit.stderr);
        assert!(said.contains("file.test:9\" of its file"), "{said}");
    }
}
