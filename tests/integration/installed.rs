//! What a package or an image uses: completions, manual pages, the health check.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::fixtures::{
    Exit, Gate, Scratch, TestProxy, TestUpstream, command, eventually, refusing_address,
    repository, response, run, waypost,
};

/// `waypost healthcheck` of the proxy at this address.
fn healthcheck(admin: SocketAddr) -> Exit {
    run(command().args(["healthcheck", "--admin", &admin.to_string()]))
}

/// The sentence on standard error of one that is not ready.
#[track_caller]
fn not_ready(exit: &Exit) -> &str {
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{exit:?}");
    assert_eq!(exit.stderr.lines().count(), 1, "{exit:?}");
    exit.stderr.strip_prefix("error: ").unwrap()
}

#[test]
fn a_proxy_is_healthy_once_it_is_ready_and_until_it_stops() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let mut proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .admin("listen = \"127.0.0.1:0\"\ntoken = \"a-token-of-the-test\"")
        .tables("[timeouts]\nshutdown-delay = \"10m\"")
        .start();
    let admin = proxy.admin_address();
    // Its token is not needed.
    let ready = eventually("it is ready", || {
        Some(healthcheck(admin)).filter(|exit| exit.code == Some(0))
    });
    assert_eq!(
        (ready.stdout.as_str(), ready.stderr.as_str()),
        ("ready", "")
    );
    let mut by_environment = command();
    by_environment
        .arg("healthcheck")
        .env("WAYPOST_ADMIN_LISTEN", format!("0.0.0.0:{}", admin.port()))
        // One that a request could not even hold.
        .env("WAYPOST_ADMIN_TOKEN", "\n");
    assert_eq!(run(&mut by_environment).code, Some(0));
    proxy.signal("TERM");
    let leaving = eventually("it leaves", || {
        Some(healthcheck(admin)).filter(|exit| exit.code == Some(1))
    });
    let sentence = not_ready(&leaving);
    assert!(sentence.starts_with("not ready: stopping: "), "{sentence}");
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 143);
    let sentence = healthcheck(admin);
    let sentence = not_ready(&sentence);
    assert!(sentence.contains("no proxy answers at"), "{sentence}");
}

/// An admin listener that answers every request so.
fn admin_listener(status: &str, body: &str) -> TestUpstream {
    TestUpstream::answering(response(status, &[], body))
}

#[test]
fn the_reason_is_the_proxy_s_and_its_notes_are_shown_without_what_steers_a_terminal() {
    let refused = admin_listener("503 Service Unavailable", r#"{"error": "refused: mine"}"#);
    let exit = healthcheck(refused.address());
    assert_eq!(not_ready(&exit), "not ready: refused: mine");
    let noted = admin_listener(
        "200 OK",
        r#"{"status": "ready", "notes": ["stale: a.test", "\u001b[2J"]}"#,
    );
    let mut with_token = command();
    with_token
        .args(["healthcheck", "--admin", &noted.address().to_string()])
        .env("WAYPOST_ADMIN_TOKEN", "a-token-of-the-test");
    let exit = run(&mut with_token);
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{exit:?}");
    assert_eq!(exit.stdout, "ready\nnote: stale: a.test\nnote: \u{fffd}[2J");
    // What listens there may be another program.
    let asked = noted.only_request();
    assert_eq!((asked.method(), asked.target()), ("GET", "/readyz"));
    assert_eq!(asked.value("authorization"), None);
}

#[test]
fn what_is_no_admin_listener_is_not_healthy() {
    let upstream = TestUpstream::named("a");
    let exit = healthcheck(upstream.address());
    let sentence = not_ready(&exit);
    assert!(sentence.contains("does not answer like"), "{sentence}");
    let (_held, refusing) = refusing_address();
    let exit = healthcheck(refusing);
    let sentence = not_ready(&exit);
    assert!(sentence.contains("--admin"), "{sentence}");
    let off = run(command()
        .arg("healthcheck")
        .env("WAYPOST_ADMIN_LISTEN", "off"));
    assert!(not_ready(&off).contains("has no admin listener"), "{off:?}");
    let scratch = Scratch::new();
    for arguments in [
        ["healthcheck", "--admin=nowhere"],
        ["healthcheck", "--token-file=x"],
        ["healthcheck", "now"],
    ] {
        let exit = waypost(arguments, scratch.path());
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{exit:?}");
    }
}

/// What bash offers after these words, by the script.
fn offered(folder: &Path, words: &[&str]) -> String {
    let last = words.len() - 1;
    let program = format!(
        "source ./waypost.bash && COMP_WORDS=({}) COMP_CWORD={last} && \
         {{ _waypost waypost '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"; }}",
        words.join(" "),
        words[last],
        words[last - 1],
    );
    let exit = run(Command::new("bash")
        .args(["--norc", "-c", &program])
        .current_dir(folder)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped()));
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{exit:?}");
    exit.stdout
}

#[test]
fn bash_completes_commands_and_flags() {
    let scratch = Scratch::new();
    let script = waypost(["completions", "bash"], scratch.path());
    assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""));
    scratch.write("waypost.bash", &script.stdout);
    assert_eq!(offered(scratch.path(), &["waypost", "heal"]), "healthcheck");
    let below = offered(scratch.path(), &["waypost", "policy", "dep"]);
    assert_eq!(below, "deploy");
    let flag = offered(scratch.path(), &["waypost", "run", "--adm"]);
    assert_eq!(flag, "--admin-listen");
    let shells = offered(scratch.path(), &["waypost", "completions", "z"]);
    assert_eq!(shells, "zsh");
}

#[test]
fn each_shell_has_a_script_and_another_is_refused_with_their_names() {
    let scratch = Scratch::new();
    for (shell, begins) in [
        ("bash", "_waypost() {"),
        ("zsh", "#compdef waypost"),
        ("fish", "# Print an optspec"),
    ] {
        let exit = waypost(["completions", shell], scratch.path());
        assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(exit.stdout.starts_with(begins), "{shell}: {}", exit.stdout);
    }
    let exit = waypost(["completions", "tcsh"], scratch.path());
    assert_eq!(exit.code, Some(2));
    assert!(exit.stderr.contains("bash, zsh, fish"), "{}", exit.stderr);
}

#[test]
fn manual_pages_are_printed_or_written_into_a_folder() {
    let scratch = Scratch::new();
    let main = waypost(["man"], scratch.path());
    assert_eq!((main.code, main.stderr.as_str()), (Some(0), ""));
    let all = waypost(["man", "--output", "share/man1"], scratch.path());
    assert_eq!((all.code, all.stderr.as_str()), (Some(0), ""));
    let folder = scratch.path().join("share/man1");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\n.SH NAME\n"), "{}", path.display());
        count += 1;
    }
    assert_eq!(all.stdout, format!("share/man1: {count} manual pages"));
    let written = std::fs::read_to_string(folder.join("waypost.1")).unwrap();
    assert_eq!(written.trim_end(), main.stdout);
    let one = waypost(["man", "policy", "deploy"], scratch.path());
    assert_eq!((one.code, one.stderr.as_str()), (Some(0), ""));
    let title = ".TH waypost-policy-deploy 1 ";
    assert!(one.stdout.contains(title), "{}", one.stdout);
    let none = waypost(["man", "deploy"], scratch.path());
    assert_eq!((none.code, none.stdout.as_str()), (Some(2), ""));
    assert!(none.stderr.contains("no command \"deploy\""), "{none:?}");
    // Again, as an update of a package does; then where a file is.
    let again = waypost(["man", "-o", "share/man1"], scratch.path());
    assert_eq!(again.code, Some(0), "{again:?}");
    scratch.write("file", "");
    let exit = waypost(["man", "-o", "file"], scratch.path());
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{exit:?}");
    assert!(
        exit.stderr
            .starts_with("error: file: the folder can't be created")
    );
    assert!(exit.stderr.contains("--output"), "{}", exit.stderr);
}

/// The file that the package installs, and the same with what its comment says to put in.
#[test]
fn the_installed_configuration_is_accepted_as_it_is_and_with_backends() {
    let scratch = Scratch::new();
    let installed = std::fs::read_to_string(repository().join("packaging/waypost.toml")).unwrap();
    let state = scratch.path().join("state").display().to_string();
    let own = installed.replace("/var/lib/waypost", &state);
    let (keys, _route) = own.split_once("[[routes]]").unwrap();
    let (keys, backends) = keys.split_once("#     [hosts]\n").unwrap();
    let backends = format!("{keys}[hosts]\n{}", backends.replace("#     ", ""));
    for (text, said) in [
        (&own, "1 route, 0 pools, 0 policies"),
        (&backends, "1 route, 1 pool, 2 policies"),
    ] {
        scratch.write("waypost.toml", text);
        let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
        assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{exit:?}");
        assert!(exit.stdout.contains(said), "{exit:?}");
    }
}
