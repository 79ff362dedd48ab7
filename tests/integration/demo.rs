//! `waypost origin`, the small web server, behind the proxy; and `waypost demo`, all of it in one
//! command.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::fixtures::{Client, Origin, Request, Scratch, TestProxy, get, launch};

/// Three origins of the binary and a proxy in front of them.
fn three_origins() -> (Vec<Origin>, TestProxy) {
    let origins: Vec<Origin> = ["one", "two", "three"]
        .iter()
        .map(|n| Origin::start(&["--name", n]))
        .collect();
    let addresses: Vec<SocketAddr> = origins.iter().map(|o| o.address).collect();
    let proxy = TestProxy::builder().host("*", &addresses).start();
    (origins, proxy)
}

#[test]
fn every_page_of_the_origins_is_reached_through_the_proxy() {
    let (_origins, proxy) = three_origins();
    let mut client = proxy.client();
    for (path, kind) in [
        ("/page_one", "text/html"),
        ("/page_two", "text/html"),
        ("/page_three", "text/html"),
        ("/page_four", "text/html"),
        ("/image_user_one", "image/"),
        ("/image_user_two", "image/"),
        ("/bigfile", "text/plain"),
    ] {
        let whole = client.ask(get("www.example.com", path));
        assert_eq!(whole.status, 200, "{path}");
        assert!(
            whole.value("content-type").unwrap().starts_with(kind),
            "{path}"
        );
        let origin = whole
            .value("x-origin")
            .expect("each answer names its origin");
        assert!(
            ["one", "two", "three"].contains(&origin.as_str()),
            "{origin}"
        );
        let head = client.ask(Request::new("HEAD", path).host("www.example.com").bytes());
        assert_eq!((head.status, head.body.len()), (200, 0), "HEAD {path}");
    }
    let big = client.ask(get("www.example.com", "/bigfile"));
    assert!(big.body.len() > 1_000_000);
    let slice = client.ask(
        Request::new("GET", "/bigfile")
            .host("a.test")
            .field("Range", "bytes=1000-1999")
            .bytes(),
    );
    assert_eq!(
        (slice.status, slice.body.as_slice()),
        (206, &big.body[1_000..2_000])
    );
    let parameter = client.ask(get("a.test", "/bigfile?range=1000-1999"));
    assert_eq!(
        (parameter.status, parameter.body.as_slice()),
        (206, &big.body[1_000..2_000])
    );
    let user = Request::new("POST", "/createUser")
        .host("a.test")
        .field("Content-Type", "application/json");
    let user = client.ask(user.body("{\"Nombre\": \"Ada\"}").bytes());
    assert!(
        (200..300).contains(&user.status) && user.text().contains("Ada"),
        "{} {}",
        user.status,
        user.text()
    );
}

#[test]
fn requests_are_spread_over_the_origins() {
    let (_origins, proxy) = three_origins();
    let mut client = proxy.client();
    // Three equal choices: that 100 of them leave one out happens once in 10^17 runs.
    let seen: BTreeSet<String> = (0..100)
        .map(|_| {
            client
                .ask(get("a.test", "/page_one"))
                .value("x-origin")
                .unwrap()
        })
        .collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn an_origin_serves_a_folder_and_nothing_above_it() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("public")).unwrap();
    std::fs::write(scratch.path().join("public/hello.txt"), "hello from a file").unwrap();
    scratch.write("secret.txt", "secret");
    let folder = scratch.path().join("public");
    let origin = Origin::start(&["--dir", folder.to_str().unwrap()]);
    let proxy = TestProxy::builder().host("*", &[origin.address]).start();
    let mut client = proxy.client();
    assert!(
        client
            .ask(get("a.test", "/files/"))
            .text()
            .contains("hello.txt")
    );
    assert_eq!(
        client.ask(get("a.test", "/files/hello.txt")).text(),
        "hello from a file"
    );
    let head = client.ask(
        Request::new("HEAD", "/files/hello.txt")
            .host("a.test")
            .bytes(),
    );
    assert_eq!(head.value("content-length").as_deref(), Some("17"));
    let slice = client.ask(
        Request::new("GET", "/files/hello.txt")
            .host("a.test")
            .field("Range", "bytes=-4")
            .bytes(),
    );
    assert_eq!((slice.status, slice.text().as_str()), (206, "file"));
    for path in [
        "/files/../secret.txt",
        "/files/%2e%2e/secret.txt",
        "/files/..%2fsecret.txt",
        "/files//secret.txt",
    ] {
        let answer = client.ask(get("a.test", path));
        assert!(
            answer.status >= 400 && !answer.text().contains("secret\n"),
            "{path}: {}",
            answer.status
        );
    }
}

#[test]
fn an_origin_ends_with_0_on_a_signal() {
    let mut origin = Origin::start(&[]);
    assert_eq!(
        Client::connect(origin.address)
            .ask(get("a.test", "/page_one"))
            .status,
        200
    );
    origin.signal("TERM");
    assert_eq!(origin.exit_code(), 0);
}

#[test]
fn the_demo_starts_origins_and_a_proxy_and_says_what_to_try() {
    let mut command = crate::fixtures::command();
    command.args([
        "demo",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    // The demo reads nothing from the environment.
    command
        .env("WAYPOST_HOSTS", "nonsense")
        .env("WAYPOST_CONFIG", "nowhere.toml");
    let mut proxy = launch(command, true, Scratch::new());
    let told = proxy
        .stdout
        .find(|line| line.contains("curl").then(|| line.to_owned()));
    let told = told.expect("it says what to try");
    assert!(told.contains(&proxy.address().to_string()), "{told}");
    let mut client = proxy.client();
    let seen: BTreeSet<String> = (0..100)
        .map(|_| {
            client
                .ask(get("localhost", "/page_two"))
                .value("x-origin")
                .unwrap()
        })
        .collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    let conflict = Request::new("GET", "/bigfile?range=5-9")
        .host("localhost")
        .field("Range", "bytes=0-9");
    assert_eq!(client.ask(conflict.bytes()).status, 416);
    assert_eq!(proxy.stats()["backends"].as_object().unwrap().len(), 3);
    proxy.signal("INT");
    assert_eq!(proxy.exit_code(), 0);
}

/// As a shell gets them: each ends where the explanation begins.
#[test]
fn each_command_that_the_demo_prints_works() {
    let mut command = crate::fixtures::command();
    command.args(["demo", "--listen", "127.0.0.1:0"]);
    command.args(["--admin-listen", "127.0.0.1:0"]);
    command.arg("--tls-self-signed=127.0.0.1:0");
    let program = std::path::PathBuf::from(command.get_program());
    let proxy = launch(command, true, Scratch::new());
    let is_whole = |line: &str| line.contains("Ctrl-C stops everything").then_some(());
    proxy.stdout.find(is_whole).expect("it says what to try");
    let text = proxy.stdout.text();
    let commands = text.lines().filter_map(|line| line.strip_prefix("  "));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let before = proxy.policy("random")["digest"].clone();
    let mut programs = Vec::new();
    for line in commands {
        // Explanations are two spaces away at least, and no command has as many inside.
        let command = match line.trim_end().split("  ").next().unwrap() {
            // For a browser.
            page if page.starts_with("http://") => format!("curl -sf {page}"),
            command => command.to_owned(),
        };
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).env("PATH", &path);
        let ended = shell.output().unwrap();
        assert!(ended.status.success(), "{command}: {ended:?}");
        programs.push(command.split(' ').next().unwrap().to_owned());
    }
    programs.dedup();
    assert_eq!(programs, ["curl", "waypost"]);
    let after = proxy.policy("random");
    assert_ne!(after["digest"], before, "another policy decides");
    assert_eq!(after["generation"], 2);
}
