//! Commands whose output is not read to its end, or can't be written.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use crate::fixtures::{Exit, Scratch, TestProxy, TestUpstream, command, guest, run, waypost};

fn full() -> Stdio {
    OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// A pipe of which nobody has the reading end.
fn unread() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// Runs a command with these descriptors; what it prints on others is heard.
fn exit(
    arguments: &[&str],
    scratch: &Scratch,
    prepare: impl FnOnce(&mut Command),
) -> (Option<i32>, String) {
    let mut command = command();
    command.args(arguments).current_dir(scratch.path());
    prepare(&mut command);
    let exit = run(&mut command);
    (exit.code, exit.stderr)
}

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("good.toml", "[hosts]\n\"*\" = \"127.0.0.1:1\"\n");
    scratch.write(
        "bad.toml",
        "nonsense = 1\n[hosts]\n\"*\" = \"127.0.0.1:1\"\n",
    );
    scratch.write("probe.wasm", guest("probe"));
    scratch
}

#[test]
fn a_reader_of_standard_output_that_has_gone_changes_no_exit_code() {
    let scratch = scratch();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["check", "--config", "good.toml"], 0),
        (&["policy", "inspect", "probe.wasm"], 0),
        (&["policy", "new", "blue", "--lang", "rust"], 0),
    ] {
        let (ended, stderr) = exit(arguments, &scratch, |c| _ = c.stdout(unread()));
        assert_eq!((ended, stderr.as_str()), (Some(code), ""), "{arguments:?}");
    }
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let admin = proxy.admin_address().to_string();
    let (ended, stderr) = exit(&["policy", "status", "--admin", &admin], &scratch, |c| {
        _ = c.stdout(unread())
    });
    assert_eq!((ended, stderr.as_str()), (Some(0), ""));
}

#[test]
fn what_a_full_disk_did_not_take_is_a_failure_with_a_sentence() {
    let scratch = scratch();
    for (arguments, code) in [
        (&["check", "--config", "good.toml"][..], 1),
        (&["policy", "inspect", "probe.wasm"], 2),
    ] {
        let (ended, stderr) = exit(arguments, &scratch, |c| _ = c.stdout(full()));
        assert_eq!(ended, Some(code), "{arguments:?}: {stderr}");
        assert!(
            stderr.starts_with("error: ")
                && stderr.contains("standard output")
                && stderr.contains("No space left"),
            "{stderr}"
        );
    }
}

#[test]
fn a_file_that_can_not_be_read_is_exit_code_2_of_every_command() {
    let scratch = scratch();
    for arguments in [
        &["run", "--config", "none"][..],
        &["check", "--config", "none"],
        &["check", "--json", "--config", "none"],
        &["run", "--config", "."],
        &["policy", "deploy", "a", "none", "--admin", "127.0.0.1:1"],
        &["policy", "status", "--token-file", "none"],
        &["reload", "--token-file", "none"],
        &["reopen", "--token-file", "none"],
        &["config", "--token-file", "none"],
        &["upgrade", "--token-file", "none"],
        &["backends", "--token-file", "none"],
        &["policy", "inspect", "none"],
        &["policy", "test", "probe.wasm", "none"],
    ] {
        let (ended, stderr) = exit(arguments, &scratch, |_| ());
        assert_eq!(ended, Some(2), "{arguments:?}: {stderr}");
    }
    for arguments in [
        &["check", "--listen", "bad"][..],
        &["check", "--json", "--workers", "0"],
        &["run", "--host", "x"],
    ] {
        let (ended, stderr) = exit(arguments, &scratch, |_| ());
        assert_eq!(ended, Some(2), "{arguments:?}: {stderr}");
    }
    // Mistakes in what was read are not of this kind.
    let (ended, _) = exit(&["check", "--config", "bad.toml"], &scratch, |_| ());
    assert_eq!(ended, Some(1));
}

#[test]
fn a_running_proxy_prints_its_configuration() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let admin = proxy.admin_address().to_string();
    let exit = waypost(["config", "--admin", &admin], proxy.scratch.path());
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let shown: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert!(shown["reload"]["digest"].is_string(), "{shown:#}");
}

#[test]
fn standard_error_that_takes_nothing_changes_no_exit_code() {
    let scratch = scratch();
    for config in ["good.toml", "bad.toml"] {
        let code = i32::from(config == "bad.toml");
        for stderr in [full, unread] {
            for arguments in [
                &["check", "--config", config][..],
                &["check", "--log=trace", "--config", config],
            ] {
                let (ended, _) = exit(arguments, &scratch, |c| _ = c.stderr(stderr()));
                assert_eq!(ended, Some(code), "{arguments:?}");
            }
        }
    }
    // What can't start says so to nobody, and ends as it would have.
    for stderr in [full, unread] {
        let (ended, _) = exit(&["run", "--config", "bad.toml"], &scratch, |c| {
            _ = c.stderr(stderr())
        });
        assert_eq!(ended, Some(1));
    }
    let mut closed = Command::new("sh");
    closed.args([
        "-c",
        "exec \"$0\" \"$@\" 2>&-",
        env!("CARGO_BIN_EXE_waypost"),
        "run",
        "--config",
        "bad.toml",
    ]);
    closed
        .current_dir(scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    assert_eq!(run(&mut closed).code, Some(1));
}

#[test]
fn a_failed_start_logs_every_line_of_the_reason() {
    let scratch = scratch();
    let mistakes: String = (0..50).map(|n| format!("nonsense-{n} = 1\n")).collect();
    scratch.write(
        "long.toml",
        format!("{mistakes}[hosts]\n\"*\" = \"127.0.0.1:1\"\n"),
    );
    let Exit { code, stderr, .. } = waypost(["run", "--config", "long.toml"], scratch.path());
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: "), "{}", &stderr[..200]);
    assert!(
        stderr.len() > 8 * 1024,
        "more than one line of the log may hold"
    );
    for n in [0, 25, 49] {
        assert!(
            stderr.contains(&format!("nonsense-{n}")),
            "mistake {n} is told"
        );
    }
}

#[test]
fn an_access_log_without_a_reader_is_refused_and_does_not_hold_the_start() {
    let scratch = scratch();
    let made = Command::new("mkfifo")
        .arg(scratch.path().join("fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    scratch.write("fifo.toml", "listen = \"127.0.0.1:0\"\n[access-log]\npath = \"fifo\"\n[admin]\nlisten = \"off\"\n[hosts]\n\"*\" = \"127.0.0.1:1\"\n");
    let Exit { code, stderr, .. } = waypost(["run", "--config", "fifo.toml"], scratch.path());
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("the access log") && stderr.contains("FIFO without a reader"),
        "{stderr}"
    );
}
