//! What the process that takes over has of the one before it.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use super::{Replaceable, is_running};
use crate::fixtures::{Client, Request, TestProxy, TestUpstream, eventually, get, guest};

#[test]
fn unix_sockets_the_admin_listener_and_the_pid_file_go_over() {
    let upstream = TestUpstream::named("a");
    let builder = TestProxy::builder()
        .keys("pid-file = \"pid\"")
        .host("*", &[upstream.address()])
        .listener("")
        .tables("[[listeners]]\naddress = \"unix:s\"\nmode = \"0600\"");
    let mut service = Replaceable::start(builder);
    let folder = service.proxy.scratch.path().to_owned();
    let (socket, pid) = (folder.join("s"), folder.join("pid"));
    let number = |path: &std::path::Path| std::fs::metadata(path).unwrap().ino();
    let before = number(&socket);
    for _ in 0..2 {
        let former = service.upgrade();
        service.wait_for_end(former);
        assert_eq!(
            number(&socket),
            before,
            "the file of the socket is the same"
        );
        let text = std::fs::read_to_string(&pid).unwrap();
        assert_eq!(text.trim(), service.pid().to_string());
        let mut client = Client::over(UnixStream::connect(&socket).unwrap());
        assert_eq!(client.ask(get("a.test", "/")).text(), "a");
        // Statistics begin anew.
        assert_eq!(service.proxy.stat("/requests/total"), 1);
    }
    service.signal(service.pid(), "TERM");
    eventually("the process ends", || {
        (!is_running(service.pid())).then_some(())
    });
    assert!(!socket.exists() && !pid.exists(), "the last one tidies up");
}

#[test]
fn usr2_is_an_upgrade_too() {
    let upstream = TestUpstream::named("a");
    let builder = TestProxy::builder().host("*", &[upstream.address()]);
    let mut service = Replaceable::start(builder);
    service.signal(service.pid(), "USR2");
    let pid = service.proxy.stderr.find(|line| {
        let (_, after) = line.split_once("process ")?;
        let (pid, rest) = after.split_once(' ')?;
        rest.starts_with("serves; this one")
            .then(|| pid.parse().unwrap())
    });
    service.processes.push(pid.unwrap());
    let former = service.proxy.process_id();
    service.wait_for_end(former);
    assert_eq!(service.proxy.get("a.test", "/").text(), "a");
}

#[test]
fn a_listener_that_the_new_configuration_has_not_closes_and_a_new_one_opens() {
    let upstream = TestUpstream::named("a");
    let builder = TestProxy::builder()
        .host("*", &[upstream.address()])
        .listener("")
        .tables("[[listeners]]\naddress = \"unix:one\"");
    let mut service = Replaceable::start(builder);
    let folder = service.proxy.scratch.path().to_owned();
    // By an upgrade and not by a reload.
    service.edit("unix:one\"", "unix:two\"\n# \"");
    service.edit("workers = 1", "workers = 2");
    let former = service.upgrade();
    service.wait_for_end(former);
    assert!(!folder.join("one").exists());
    let mut client = Client::over(UnixStream::connect(folder.join("two")).unwrap());
    assert_eq!(client.ask(get("a.test", "/")).text(), "a");
}

#[test]
fn deployed_policies_and_trials_go_over_with_and_without_a_state_directory() {
    let upstream = TestUpstream::named("a");
    for keys in ["", "state-dir = \"state\""] {
        let builder = TestProxy::builder()
            .keys(keys)
            .pool_for_all(&[upstream.address()], &["choice"])
            .tables("[policies.choice]\nbuiltin = \"random\"\ndeadline = \"2s\"");
        let mut service = Replaceable::start(builder);
        assert_eq!(service.proxy.get("a.test", "/").text(), "a");
        let first = guest("pick-first");
        let deployed = service.proxy.put_policy("choice", &first);
        assert_eq!(deployed.status, 200, "{}", deployed.text());
        let target = "/policies/choice?mode=canary&percent=12.5&by=request";
        let canary = Request::new("PUT", target).body(guest("pick-last"));
        assert_eq!(service.proxy.admin(canary).status, 200);
        let before = service.proxy.policy("choice");
        for _ in 0..2 {
            service.upgrade();
            let after = service.proxy.policy("choice");
            for pointer in [
                "/generation",
                "/digest",
                "/on_trial/mode",
                "/on_trial/generation",
                "/on_trial/digest",
                "/on_trial/percent",
            ] {
                let (before, after) = (before.pointer(pointer), after.pointer(pointer));
                assert_eq!(before, after, "{pointer} with {keys:?}");
            }
            assert_eq!(service.proxy.get("a.test", "/").text(), "a");
        }
        let promote = Request::new("POST", "/policies/choice/promote").body(b"");
        assert_eq!(service.proxy.admin(promote).status, 200);
    }
}

#[test]
fn nothing_is_deployed_while_another_process_is_about_to_take_over() {
    let upstream = TestUpstream::named("a");
    let builder = TestProxy::builder()
        .pool_for_all(&[upstream.address()], &["choice"])
        .tables(
            "[policies.choice]\nbuiltin = \"random\"\ndeadline = \"2s\"\n\
             [timeouts]\nupgrade = \"2s\"",
        );
    let service = Replaceable::start(builder);
    service.put("echo > started; exec sleep 600");
    std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| service.refusal("/upgrade", 422));
        let started = service.proxy.scratch.path().join("started");
        eventually("the new process runs", || started.exists().then_some(()));
        let refused = service.proxy.put_policy("choice", &guest("pick-first"));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(
            refused.text().contains("is about to take over"),
            "{}",
            refused.text()
        );
        upgrade.join().unwrap();
    });
    let deployed = service.proxy.put_policy("choice", &guest("pick-first"));
    assert_eq!(deployed.status, 200, "{}", deployed.text());
}

#[test]
fn the_stores_of_policies_go_over_with_their_clock() {
    let upstream = TestUpstream::named("a");
    let builder = TestProxy::builder()
        .pool_for_all(&[upstream.address()], &["limit"])
        .tables(
            "[policies.limit]\nbuiltin = \"rate-limit\"\ndeadline = \"2s\"\n\
             [policies.limit.settings]\nrate = 0.001\nburst = 3",
        );
    let mut service = Replaceable::start(builder);
    for _ in 0..2 {
        assert_eq!(service.proxy.get("a.test", "/").status, 200);
    }
    service.upgrade();
    assert_eq!(service.proxy.get("a.test", "/").status, 200);
    service.upgrade();
    let limited = service.proxy.get("a.test", "/");
    assert_eq!(limited.status, 429);
    let wait: u64 = limited.value("retry-after").unwrap().parse().unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
}
