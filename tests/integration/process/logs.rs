//! Standard error and standard output that take nothing: lines are lost and counted, and nothing
//! else is.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, Signal, kill_process, prlimit};

use crate::fixtures::service::{Service, ask, one_backend, small_pipe, stat};
use crate::fixtures::{Client, Request, Scratch, TestUpstream, eventually, guest};

fn full() -> Stdio {
    OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// A route whose policy logs a line with each request.
fn chatty(backend: &TestUpstream, scratch: &Scratch) -> String {
    scratch.write("probe.wasm", guest("probe"));
    scratch.write("first.wasm", guest("pick-first"));
    format!(
        "[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\n\
         settings = {{ request = [\"log=a line of the policy's, with some words so that it is long\"] }}\n\
         [policies.first]\ncomponent = \"first.wasm\"\ndeadline = \"1s\"\n\
         [pools.all]\nbackends = [{{ address = \"{}\" }}]\n\
         [[routes]]\nhost = \"*\"\npool = \"all\"\npolicies = [\"probe\", \"first\"]",
        backend.address()
    )
}

/// It serves, policies that log included, and a file that changes is still seen.
#[track_caller]
fn is_alive(service: &mut Service, data: SocketAddr, admin: SocketAddr) {
    let mut client = Client::connect(data);
    for _ in 0..100 {
        assert_eq!(
            client
                .ask(Request::new("GET", "/").host("a.test").bytes())
                .text(),
            "a"
        );
    }
    service.signal("HUP");
    service.scratch.replace("first.wasm", guest("pick-last"));
    eventually("the watcher has seen the new file", || {
        ask(data, "/")
            .value("x-policy")
            .is_some_and(|policy| policy == "last")
            .then_some(())
    });
    assert_eq!(ask(admin, "/readyz").status, 200);
    assert_eq!(stat(admin, "/process/panics"), 0);
}

#[test]
fn standard_error_on_a_full_disk_or_a_closed_pipe_costs_lines_only() {
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    for stderr in [full(), closed.into()] {
        let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
        let config = chatty(&upstream, &scratch);
        let mut service = Service::start(&config, scratch, |command| _ = command.stderr(stderr));
        let (data, admin) = service.ready();
        is_alive(&mut service, data, admin);
        eventually("lines are counted", || {
            (stat(admin, "/process/log_lines_lost") > 10).then_some(())
        });
        let metrics = ask(admin, "/metrics").text();
        assert!(
            metrics.contains("waypost_log_lines_lost_total "),
            "{metrics}"
        );
        service.signal("TERM");
        assert_eq!(service.exit_code(), 0);
    }
}

#[test]
fn a_reader_of_standard_error_that_leaves_later_costs_lines_only() {
    let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
    let config = chatty(&upstream, &scratch);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut service = Service::start(&config, scratch, |command| _ = command.stderr(writer));
    let (data, admin) = service.ready();
    // As `2>&1 | head -1` does.
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert!(!line.is_empty());
    is_alive(&mut service, data, admin);
    service.signal("TERM");
    assert_eq!(service.exit_code(), 0);
}

#[test]
fn closed_descriptors_do_not_stop_the_proxy() {
    let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
    let config = chatty(&upstream, &scratch);
    scratch.write(
        "waypost.toml",
        format!("listen = \"127.0.0.1:0\"\n{config}\n[admin]\nlisten = \"127.0.0.2:0\"\n"),
    );
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "exec \"$0\" \"$@\" <&- >&- 2>&-",
        env!("CARGO_BIN_EXE_waypost"),
        "run",
        "--config",
        "waypost.toml",
    ]);
    let mut service = Service::of(command, scratch, |_| ());
    let (data, admin) = service.ready();
    is_alive(&mut service, data, admin);
    service.signal("TERM");
    assert_eq!(service.exit_code(), 0);
}

#[test]
fn unread_standard_error_holds_neither_requests_nor_the_stop() {
    let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
    let config = chatty(&upstream, &scratch);
    let (mut reader, writer) = small_pipe();
    let mut service = Service::start(&config, scratch, |command| _ = command.stderr(writer));
    let (data, admin) = service.ready();
    let flood = |service: &Service| {
        eventually("lines are lost", || {
            for _ in 0..200 {
                kill_process(service.pid(), Signal::HUP).unwrap();
                std::thread::yield_now();
            }
            (stat(admin, "/process/log_lines_lost") > 0).then_some(())
        });
    };
    flood(&service);
    is_alive(&mut service, data, admin);
    // Once it is read, it says how many are missing, between whole lines.
    let mut lines = BufReader::new(&mut reader).lines();
    let told = lines
        .by_ref()
        .map(Result::unwrap)
        .take(3_000)
        .find(|line| line.contains("lines lost"));
    let told = told.expect("it tells of the lines that are lost");
    assert!(
        told.contains("WARN waypost::log: ")
            && told.ends_with("standard error did not accept them"),
        "{told}"
    );
    // And if it is not read again, the process ends all the same.
    let before = stat(admin, "/process/log_lines_lost");
    eventually("lines are lost again", || {
        for _ in 0..200 {
            kill_process(service.pid(), Signal::HUP).unwrap();
            std::thread::yield_now();
        }
        (stat(admin, "/process/log_lines_lost") > before).then_some(())
    });
    service.signal("TERM");
    assert_eq!(service.exit_code(), 0);
}

/// Requests until lines of the access log are lost.
#[track_caller]
fn flood_the_access_log(data: SocketAddr, admin: SocketAddr) {
    let path = format!("/{}", "x".repeat(6_000));
    let mut client = Client::connect(data);
    eventually("lines of the access log are lost", || {
        for _ in 0..100 {
            assert_eq!(
                client
                    .ask(Request::new("GET", &path).host("a.test").bytes())
                    .text(),
                "a"
            );
        }
        (stat(admin, "/log_lines_dropped") > 0).then_some(())
    });
}

#[test]
fn unread_standard_output_holds_neither_requests_nor_the_stop() {
    for (signals, code) in [(&["TERM"][..], 0), (&["INT", "INT"], 130)] {
        let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
        let config = format!(
            "{}\n[access-log]\nrequests = \"all\"",
            one_backend(&upstream)
        );
        let (_reader, writer) = small_pipe();
        let log = File::create(scratch.path().join("stderr")).unwrap();
        let mut service = Service::start(&config, scratch, |command| {
            _ = command.stdout(writer).stderr(log)
        });
        let (data, admin) = service.ready();
        flood_the_access_log(data, admin);
        assert_eq!(ask(data, "/").text(), "a");
        let log = service.scratch.path().join("stderr");
        let said = |words: &str| std::fs::read_to_string(&log).unwrap().contains(words);
        eventually("a warning", || {
            said("lines of the access log are lost: what reads it is too slow").then_some(())
        });
        // A request that never ends keeps the process until the second signal.
        let mut open = Client::connect(data);
        if signals.len() > 1 {
            open.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
            eventually("it is active", || {
                (stat(admin, "/requests/active") > 0).then_some(())
            });
        }
        for signal in signals {
            service.signal(signal);
            eventually("it is seen", || {
                said("finishing requests in flight").then_some(())
            });
        }
        assert_eq!(service.exit_code(), code);
    }
}

#[test]
fn an_access_log_on_a_full_disk_is_counted_and_warned_of_once_a_minute() {
    let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
    let config = format!(
        "{}\n[access-log]\nrequests = \"all\"",
        one_backend(&upstream)
    );
    let log = File::create(scratch.path().join("stderr")).unwrap();
    let mut service = Service::start(&config, scratch, |command| {
        _ = command.stdout(full()).stderr(log)
    });
    let (data, admin) = service.ready();
    for number in 1..=20 {
        assert_eq!(ask(data, "/").text(), "a");
        eventually("the line is counted", || {
            (stat(admin, "/log_lines_dropped") >= number).then_some(())
        });
    }
    service.signal("TERM");
    assert_eq!(service.exit_code(), 0);
    let log = std::fs::read_to_string(service.scratch.path().join("stderr")).unwrap();
    let warnings = log
        .lines()
        .filter(|line| line.contains("of the access log are lost"))
        .count();
    // A second one only if all of this has taken more than a minute.
    assert!(
        (1..=2).contains(&warnings) && log.contains("No space left on device"),
        "{log}"
    );
}

#[test]
fn an_access_log_that_is_full_ends_in_a_whole_line() {
    let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
    let config = format!(
        "{}\n[access-log]\nrequests = \"all\"\npath = \"access.log\"",
        one_backend(&upstream)
    );
    let mut service = Service::start(&config, scratch, |_| ());
    let (data, admin) = service.ready();
    // No file may grow beyond this: what writes across it writes a part, and is then sent SIGXFSZ.
    let most = Rlimit {
        current: Some(32 * 1024),
        maximum: Some(32 * 1024),
    };
    prlimit(Some(service.pid()), Resource::Fsize, most).unwrap();
    flood_the_access_log(data, admin);
    service.signal("TERM");
    assert_eq!(service.exit_code(), 0);
    let mut written = String::new();
    File::open(service.scratch.path().join("access.log"))
        .unwrap()
        .read_to_string(&mut written)
        .unwrap();
    assert!(
        written.len() > 10_000 && written.ends_with('\n'),
        "{} bytes",
        written.len()
    );
    for line in written.lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok(), "{line}");
    }
}
