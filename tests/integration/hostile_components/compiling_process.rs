//! The process that compiles: how it ends, and what it has given up.

use std::path::Path;
use std::process::Stdio;

use super::{makers, started};
use crate::fixtures::{Client, Request, TestUpstream, command, eventually, guest, run};

/// Processes that compile for this one, those that have ended and wait to be reaped left out.
#[cfg(target_os = "linux")]
fn compiling_for(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes
        .filter_map(|p| p.file_name().into_string().ok())
        .filter(|n| n.parse::<u32>().is_ok());
    let of_parent = |number: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, is_child) = (
            fields.next(),
            fields.next() == Some(parent.to_string().as_str()),
        );
        is_child && state != Some("Z") && is_compiling(number)
    };
    numbers.filter(of_parent).collect()
}

#[cfg(target_os = "linux")]
fn is_compiling(number: &str) -> bool {
    let words = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).contains("compile-component")
}

#[test]
#[cfg(target_os = "linux")]
fn what_compiles_ends_with_a_proxy_that_is_killed() {
    let upstream = TestUpstream::named("there");
    let mut proxy = started(&upstream);
    let mut wire = Client::connect(proxy.admin_address());
    let slow = makers::locals_through_loops(1_000, 300);
    wire.send(
        Request::new("PUT", "/policies/slow")
            .host("localhost")
            .body(&slow)
            .bytes(),
    );
    let compiling = eventually("it is being compiled", || {
        let found = compiling_for(proxy.process_id());
        (found.len() == 1).then_some(found)
    });
    proxy.signal("KILL");
    eventually("the proxy has ended", || proxy.has_ended().then_some(()));
    // By itself it would go on for 50 s of the processor.
    eventually("what compiled for it has ended as well", || {
        (!is_compiling(&compiling[0])).then_some(())
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_compiling_process_that_others_end_is_a_refusal_and_the_next_one_compiles() {
    use rustix::process::{Pid, Signal, kill_process};
    let upstream = TestUpstream::named("there");
    let proxy = started(&upstream);
    for signal in [Signal::KILL, Signal::TERM] {
        let mut wire = Client::connect(proxy.admin_address());
        let slow = makers::locals_through_loops(1_000, 300);
        wire.send(
            Request::new("PUT", "/policies/slow")
                .host("localhost")
                .body(&slow)
                .bytes(),
        );
        let compiling = eventually("it is being compiled", || {
            compiling_for(proxy.process_id()).pop()
        });
        kill_process(Pid::from_raw(compiling.parse().unwrap()).unwrap(), signal).unwrap();
        let answer = wire.response_to("PUT");
        let number = signal.as_raw();
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(
            answer
                .text()
                .contains(&format!("killed by signal {number}"))
                && answer.text().contains("deploy")
        );
        assert!(matches!(
            proxy.put_policy("mine", &guest("pick-last")).status,
            200..=204
        ));
    }
}

/// Whatever it is that has no descriptor any more: the order, the answer, a pipe, the program.
#[test]
#[cfg(target_os = "linux")]
fn without_descriptors_nothing_is_compiled_and_with_some_it_is_again() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let upstream = TestUpstream::named("there");
    let proxy = started(&upstream);
    let limit = |most: Option<u64>| {
        let process = Pid::from_raw(proxy.process_id().cast_signed());
        prlimit(
            process,
            Resource::Nofile,
            Rlimit {
                current: most,
                maximum: Some(1024),
            },
        )
        .unwrap();
    };
    let mut wire = Client::connect(proxy.admin_address());
    let mut put = |component: &[u8]| {
        wire.ask(
            Request::new("PUT", "/policies/mine")
                .host("localhost")
                .body(component)
                .bytes(),
        )
    };
    // With a section of its own, so that it was not compiled before.
    let another = |n: u64| [&guest("pick-last")[..], &[0, 3, 1, b'n', n as u8]].concat();
    assert!(matches!(put(&another(0)).status, 200..=204));
    let is_open = |fd: &u64| Path::new(&format!("/proc/{}/fd/{fd}", proxy.process_id())).exists();
    let free = (0..).find(|fd| !is_open(fd)).unwrap();
    let mut refused = 0;
    for more in 0..12 {
        limit(Some(free + more));
        let answer = put(&another(1 + more));
        if !matches!(answer.status, 200..=204) {
            refused += 1;
            assert!(
                answer.text().contains("`ulimit -n`"),
                "{more}: {} {}",
                answer.status,
                answer.text()
            );
        }
        limit(Some(1024));
        assert!(
            matches!(put(&another(100 + more)).status, 200..=204),
            "{more}"
        );
    }
    assert!(refused > 1, "else this test has shown nothing");
    assert_eq!(proxy.get("mine.test", "/").status, 200);
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_that_compiles_has_given_up_its_rights() {
    let mut child = command();
    // It waits for its order.
    child
        .args(["compile-component", &(256u64 << 20).to_string(), "5"])
        .stdin(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let about =
        |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let field = |text: &str, name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line[name.len().min(line.len())..]
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    eventually("it has entered its sandbox", || {
        let status = about("status");
        let entered = (
            field(&status, "NoNewPrivs:"),
            field(&status, "Seccomp:"),
            field(&status, "Seccomp_filters:"),
        );
        (entered.0 == "1" && entered.1 == "2" && entered.2 == "2").then_some(())
    });
    let limits = about("limits");
    for (name, value) in [
        ("Max data size", (256u64 << 20).to_string()),
        ("Max cpu time", "5".to_owned()),
        ("Max core file size", "0".to_owned()),
        ("Max open files", "3".to_owned()),
    ] {
        assert_eq!(field(&limits, name), value, "{limits}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The kernel's signal comes only after the process has asked for it.
#[test]
#[cfg(target_os = "linux")]
fn a_process_whose_proxy_ended_before_it_began_compiles_nothing() {
    let (complaints, stderr) = std::io::pipe().unwrap();
    drop(complaints);
    let mut child = command();
    child
        .args(["compile-component", &(256u64 << 20).to_string(), "5"])
        .stdin(Stdio::piped())
        .stderr(stderr);
    let mut child = child.spawn().unwrap();
    // Its order never ends: `child` holds standard input open.
    let exit = eventually("it has ended by itself", || child.try_wait().unwrap());
    assert_eq!(exit.code(), Some(2));
}

#[test]
fn the_process_that_compiles_is_not_for_people() {
    let exit = run(command().arg("compile-component"));
    assert_eq!(exit.code, Some(2));
    assert!(
        exit.stderr.contains("is what waypost calls itself with"),
        "{exit:?}"
    );
}
