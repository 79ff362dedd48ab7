//! Upgrades that come to nothing: the process that serves goes on.

use std::process::Stdio;

use super::{Replaceable, is_running};
use crate::fixtures::{
    Client, Request, TestProxy, TestUpstream, command, eventually, get, waypost,
};

fn replaceable(upstream: &TestUpstream) -> Replaceable {
    let builder = TestProxy::builder()
        .host("*", &[upstream.address()])
        .keys("pid-file = \"pid\"")
        .tables("[timeouts]\nupgrade = \"60s\"");
    Replaceable::start(builder)
}

#[track_caller]
fn reload(service: &Replaceable) {
    let answer = service
        .proxy
        .admin(Request::new("POST", "/reload").body(b""));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[track_caller]
fn assert_goes_on(service: &Replaceable, idle: &mut Client) {
    assert!(is_running(service.pid()));
    let file = std::fs::read_to_string(service.proxy.scratch.path().join("pid")).unwrap();
    assert_eq!(file.trim(), service.pid().to_string());
    let answer = idle.ask(get("a.test", "/"));
    assert_eq!((answer.status, answer.closes()), (200, false));
    assert_eq!(service.proxy.get("a.test", "/").text(), "a");
}

#[test]
fn a_process_that_refuses_its_configuration_crashes_or_hangs_changes_nothing() {
    let upstream = TestUpstream::named("a");
    let mut service = replaceable(&upstream);
    let mut idle = service.proxy.client();
    assert_eq!(idle.ask(get("a.test", "/")).text(), "a");
    // A configuration that can't run: `workers` may not change by a reload, so the watcher of the
    // file does not take it either.
    service.edit("workers = 1", "workers = 1\nstate-dir = \"/dev/null/none\"");
    let reason = service.refusal("/upgrade", 422);
    assert!(reason.contains("`state-dir` /dev/null/none"), "{reason}");
    service.logs("the upgrade has failed, and this process goes on: `state-dir`");
    assert_goes_on(&service, &mut idle);
    service.edit("state-dir = \"/dev/null/none\"", "");
    service.put("exit 7");
    let reason = service.refusal("/upgrade", 422);
    assert!(reason.contains("exit code 7"), "{reason}");
    assert_goes_on(&service, &mut idle);
    service.put("kill -KILL $$");
    let reason = service.refusal("/upgrade", 422);
    assert!(reason.contains("signal 9"), "{reason}");
    std::fs::remove_file(service.proxy.scratch.path().join("waypost")).unwrap();
    let reason = service.refusal("/upgrade", 422);
    assert!(reason.contains("can't be started"), "{reason}");
    service.put("exec sleep 600");
    service.edit("upgrade = \"60s\"", "upgrade = \"300ms\"");
    reload(&service);
    let reason = service.refusal("/upgrade", 422);
    assert!(reason.contains("has not greeted"), "{reason}");
    assert!(reason.contains("after 300ms"), "{reason}");
    assert_goes_on(&service, &mut idle);
    service.put_back();
    service.edit("upgrade = \"300ms\"", "upgrade = \"60s\"");
    reload(&service);
    service.upgrade();
    assert_eq!(service.proxy.get("a.test", "/").text(), "a");
}

#[test]
fn what_a_program_that_fails_has_started_ends_with_it() {
    let upstream = TestUpstream::named("a");
    let service = replaceable(&upstream);
    // It keeps the standard input of the program open, as all that it was passed.
    service.put("sleep 600 <&0 & echo $! > sleeps; exit 7");
    let reason = service.refusal("/upgrade", 422);
    assert!(reason.contains("exit code 7"), "{reason}");
    let folder = service.proxy.scratch.path();
    let number = std::fs::read_to_string(folder.join("sleeps")).unwrap();
    let number = number.trim().parse().unwrap();
    eventually("it ends", || (!is_running(number)).then_some(()));
    assert_goes_on(&service, &mut service.proxy.client());
}

#[test]
fn a_second_upgrade_is_refused_and_a_stop_ends_the_first() {
    let upstream = TestUpstream::named("a");
    let mut service = replaceable(&upstream);
    service.put("echo $$ > started; exec sleep 600");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| service.refusal("/upgrade", 422));
        let started = service.proxy.scratch.path().join("started");
        let pid = eventually("the new process runs", || {
            let text = std::fs::read_to_string(&started).ok()?;
            text.trim().parse().ok()
        });
        let busy = service.refusal("/upgrade", 409);
        assert!(busy.contains("another upgrade is under way"), "{busy}");
        service.signal(service.pid(), "TERM");
        let reason = first.join().unwrap();
        assert!(reason.contains("this process is to end"), "{reason}");
        eventually("the new process ends", || (!is_running(pid)).then_some(()));
    });
    assert_eq!(service.proxy.exit_code(), 0);
}

#[test]
fn another_binary_needs_a_token_and_a_file_that_only_its_owner_can_write() {
    let upstream = TestUpstream::named("a");
    let service = replaceable(&upstream);
    let refused = service.refusal("/upgrade?binary=/bin/true", 403);
    assert!(refused.contains("has a token"), "{refused}");
    let refused = service.refusal("/upgrade?binary=waypost", 400);
    assert!(refused.contains("an absolute path"), "{refused}");
    let wrong = service.proxy.admin(Request::new("GET", "/upgrade"));
    assert_eq!(wrong.status, 405);
    drop(service);
    let builder = TestProxy::builder()
        .host("*", &[upstream.address()])
        .admin("listen = \"127.0.0.1:0\"\ntoken = \"secret\"");
    let mut service = Replaceable::start(builder);
    service.put("exit 3");
    let folder = service.proxy.scratch.path().to_owned();
    let script = folder.join("script");
    let address = service.proxy.admin_address().to_string();
    std::fs::write(folder.join("token"), "secret\n").unwrap();
    let upgrade = |binary: &std::path::Path| {
        let binary = binary.to_str().unwrap();
        let flags = [
            "--admin",
            &address,
            "--token-file",
            "token",
            "--binary",
            binary,
        ];
        let [a, b, c, d, e, f] = flags;
        waypost(["upgrade", a, b, c, d, e, f], &folder)
    };
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    for (bits, words) in [(0o777, "others may write"), (0o644, "not executable")] {
        std::fs::set_permissions(&script, mode(bits)).unwrap();
        let exit = upgrade(&script);
        assert_eq!(exit.code, Some(1));
        assert!(exit.stderr.contains(words), "{}", exit.stderr);
    }
    std::fs::set_permissions(&script, mode(0o755)).unwrap();
    let exit = upgrade(&script);
    assert!(exit.stderr.contains("exit code 3"), "{}", exit.stderr);
    // A folder in which everybody may put another file in its place.
    let open = folder.join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, mode(0o777)).unwrap();
    std::fs::copy(&script, open.join("waypost")).unwrap();
    let link = folder.join("named");
    for named in [open.join("waypost"), link.clone()] {
        let _ = std::os::unix::fs::symlink(open.join("waypost"), &link);
        let exit = upgrade(&named);
        assert!(
            exit.stderr.contains("others can exchange it"),
            "{}",
            exit.stderr
        );
        assert!(exit.stderr.contains("/open belongs"), "{}", exit.stderr);
    }
    let leads_to = |target: &std::path::Path| {
        std::os::unix::fs::symlink(target, folder.join("next")).unwrap();
        std::fs::rename(folder.join("next"), &link).unwrap();
    };
    leads_to(crate::fixtures::BINARY.as_ref());
    let exit = upgrade(&link);
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let pid = exit.stdout.split(' ').nth(1).unwrap().parse().unwrap();
    service.processes.push(pid);
    assert!(
        is_running(pid) && exit.stdout.contains("serves"),
        "{}",
        exit.stdout
    );
    // Later upgrades follow the link, and what it leads to is examined each time.
    let again = || {
        let flags = ["--admin", &address, "--token-file", "token"];
        let [a, b, c, d] = flags;
        waypost(["upgrade", a, b, c, d], &folder)
    };
    leads_to(&open.join("waypost"));
    let exit = again();
    assert!(
        exit.stderr.contains("others can exchange it"),
        "{}",
        exit.stderr
    );
    leads_to(&script);
    let exit = again();
    assert!(exit.stderr.contains("exit code 3"), "{}", exit.stderr);
}

#[test]
fn an_environment_that_is_stale_or_made_up_does_not_keep_a_process_from_starting() {
    let upstream = TestUpstream::named("a");
    for (pid, words) in [
        ("1".to_owned(), "did not start this one"),
        ("nonsense".to_owned(), "did not start this one"),
        (
            std::process::id().to_string(),
            "standard input is no socket",
        ),
    ] {
        let proxy = TestProxy::builder()
            .host("*", &[upstream.address()])
            .environment("WAYPOST_UPGRADE", &pid)
            .environment("LISTEN_FDS", "3")
            .environment("LISTEN_PID", "1")
            .start();
        assert_eq!(proxy.get("a.test", "/").text(), "a");
        let found = proxy.stderr.find(|line| line.contains(words).then_some(()));
        assert!(found.is_some(), "{words}");
    }
    // A socket of the parent's that is another one.
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = command();
    command.env("WAYPOST_UPGRADE", std::process::id().to_string());
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(one)));
    let builder = TestProxy::builder().host("*", &[upstream.address()]);
    let proxy = builder.start_by(command);
    assert_eq!(proxy.get("a.test", "/").text(), "a");
}
