//! What signals do: before, during and after the start, and while the process stops.

mod hanging;

use std::process::Command;

use super::super::stopping::gated;
use crate::fixtures::service::{Service, ask};
use crate::fixtures::{
    Request, Running, Scratch, TestProxy, TestUpstream, command, eventually, get, waypost,
};

/// All that would end a process and that Waypost lives through; by number where not every shell has
/// a name.
const SURVIVED: [&str; 13] = [
    "HUP", "USR1", "ALRM", "VTALRM", "PROF", "PIPE", "XFSZ", "16", "29", "30", "34", "50", "64",
];

#[test]
fn a_proxy_that_serves_lives_through_every_signal_without_a_meaning() {
    let upstream = TestUpstream::named("a");
    let mut proxy = TestProxy::in_front_of(&upstream);
    for signal in SURVIVED {
        proxy.signal(signal);
        assert_eq!(proxy.get("a.test", "/").text(), "a", "after SIG{signal}");
    }
    for words in [
        "SIGHUP: reloading the configuration",
        "the access log goes to standard output",
    ] {
        assert!(
            proxy
                .stderr
                .find(|line| line.contains(words).then_some(()))
                .is_some(),
            "{words}"
        );
    }
    assert!(!proxy.has_ended());
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn quit_and_a_used_up_cpu_time_finish_requests_in_flight() {
    for signal in ["QUIT", "XCPU"] {
        let (upstream, gate) = gated();
        let mut proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        client.send(get("a.test", "/slow"));
        upstream.wait_for_heads(1);
        proxy.signal(signal);
        let line = proxy.stderr.find(|line| {
            line.contains("finishing requests in flight")
                .then(|| line.to_owned())
        });
        assert!(line.is_some_and(|line| line.contains(&format!("SIG{signal}"))));
        // They may be repeated: the kernel sends SIGXCPU once a second.
        proxy.signal(signal);
        gate.open();
        assert_eq!(client.response().text(), "done", "SIG{signal}");
        assert_eq!(proxy.exit_code(), 0, "SIG{signal}");
    }
}

#[test]
fn usr1_opens_the_access_log_and_the_recording_again() {
    opens_them_again(|proxy| proxy.signal("USR1"));
}

#[test]
fn reopen_opens_the_access_log_and_the_recording_again() {
    opens_them_again(|proxy| {
        let admin = proxy.admin_address().to_string();
        let exit = waypost(["reopen", "--admin", &admin], proxy.scratch.path());
        assert_eq!(exit.code, Some(0), "{exit:?}");
        assert_eq!(exit.stdout.trim_end(), "the logs were opened again");
    });
}

#[test]
fn reopen_says_which_file_can_not_be_opened_and_fails() {
    let upstream = TestUpstream::named("a");
    let scratch = Scratch::new();
    let folder = scratch.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    let log = folder.join("access.log");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .access_log(&format!("requests = \"all\"\npath = {log:?}"))
        .tables("[record]\nfile = \"requests.jsonl\"\nsample = \"100%\"")
        .start();
    let admin = proxy.admin_address().to_string();
    let reopen = || waypost(["reopen", "--admin", &admin], proxy.scratch.path());
    let moved = scratch.path().join("moved");
    std::fs::rename(&folder, &moved).unwrap();
    let exit = reopen();
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let said = &exit.stderr;
    assert!(said.contains(&*log.to_string_lossy()), "{said}");
    assert!(said.contains("can't be opened again"), "{said}");
    assert!(!said.contains("requests.jsonl"), "{said}");
    // The log goes on in the file that was moved.
    assert_eq!(proxy.get("a.test", "/later").status, 200);
    eventually("the line is written", || {
        let text = std::fs::read_to_string(moved.join("access.log")).ok()?;
        text.contains("/later").then_some(())
    });
    std::fs::create_dir(&folder).unwrap();
    let exit = reopen();
    assert_eq!(exit.code, Some(0), "{exit:?}");
}

#[track_caller]
fn opens_them_again(ask: impl Fn(&TestProxy)) {
    let upstream = TestUpstream::named("a");
    let mut proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .access_log("requests = \"all\"\npath = \"access.log\"")
        .tables("[record]\nfile = \"requests.jsonl\"\nsample = \"100%\"")
        .start();
    let read =
        |name: &str| std::fs::read_to_string(proxy.scratch.path().join(name)).unwrap_or_default();
    assert_eq!(proxy.get("a.test", "/one").status, 200);
    eventually("both are written", || {
        (read("access.log").contains("/one") && read("requests.jsonl").contains("/one"))
            .then_some(())
    });
    for name in ["access.log", "requests.jsonl"] {
        let path = proxy.scratch.path().join(name);
        std::fs::rename(&path, path.with_extension("moved")).unwrap();
    }
    ask(&proxy);
    for words in [
        "the access log was opened again",
        "the recording continues in a new file",
    ] {
        assert!(
            proxy
                .stderr
                .find(|line| line.contains(words).then_some(()))
                .is_some(),
            "{words}"
        );
    }
    assert_eq!(proxy.get("a.test", "/two").status, 200);
    eventually("the new ones are written", || {
        (read("access.log").contains("/two") && read("requests.jsonl").contains("/two"))
            .then_some(())
    });
    for (moved, new) in [
        ("access.moved", "access.log"),
        ("requests.moved", "requests.jsonl"),
    ] {
        assert!(
            read(moved).contains("/one") && !read(moved).contains("/two"),
            "{moved}"
        );
        assert!(!read(new).contains("/one"), "{new}");
    }
    // A recording says in each file what its lines mean.
    let heading = |name: &str| {
        read(name)
            .lines()
            .next()
            .unwrap_or_default()
            .contains("\"format\"")
    };
    assert!(
        heading("requests.moved") && heading("requests.jsonl"),
        "{}",
        read("requests.jsonl")
    );
    // Files that are where they were go on.
    proxy.signal("USR1");
    assert!(
        proxy
            .stderr
            .find(|line| line.contains("the recording continues in it").then_some(()))
            .is_some()
    );
    assert_eq!(proxy.get("a.test", "/three").status, 200);
    eventually("they go on", || {
        let (access, record) = (read("access.log"), read("requests.jsonl"));
        let both = |word: &str| access.contains(word) && record.contains(word);
        (both("/two") && both("/three")).then_some(())
    });
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn a_component_that_can_t_be_read_does_not_keep_the_process_alive() {
    let scratch = Scratch::new();
    let fifo = scratch.path().join("fifo.wasm");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let config = "[policies.mine]\ncomponent = \"fifo.wasm\"\n[pools.all]\nbackends = [{ address = \"127.0.0.1:1\" }]\n\
         [[routes]]\nhost = \"*\"\npool = \"all\"\npolicies = [\"mine\"]";
    let mut service = Service::start(config, scratch, |_| ());
    // It is refused, or it hangs: either way the process is gone after a signal.
    if service.is_running() {
        let _ = rustix::process::kill_process(service.pid(), rustix::process::Signal::TERM);
    }
    assert!(service.exit_code() < 2);
}

#[test]
fn an_origin_and_a_demo_drain_on_quit_and_live_through_the_rest() {
    for arguments in [
        &["origin", "--listen", "127.0.0.1:0"][..],
        &[
            "demo",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.2:0",
        ],
    ] {
        let mut command = command();
        command.args(arguments);
        let mut service = Service::of(command, Scratch::new(), |_| ());
        let address = service.listener([127, 0, 0, 1]);
        eventually("it serves", || {
            (ask(address, "/page_one").status < 500).then_some(())
        });
        for signal in SURVIVED {
            service.signal(signal);
        }
        assert!(ask(address, "/page_one").status < 500);
        service.signal("QUIT");
        assert_eq!(service.exit_code(), 0, "{arguments:?}");
    }
}

#[test]
fn signals_of_an_offline_command_keep_their_meaning() {
    let (address, _listener) = silent();
    let running =
        Running::start(command().args(["policy", "status", "--admin", &address.to_string()]));
    // Not HUP: whoever runs the tests under `nohup` has it ignored from the start.
    running.signal("USR1");
    assert_eq!(running.end().code, Some(-1), "by the signal itself");
}

/// A listener that accepts and says nothing.
fn silent() -> (std::net::SocketAddr, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// Requests are whole while signals rain.
#[test]
fn a_rain_of_signals_costs_no_request() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for number in 0..30 {
        proxy.signal(SURVIVED[number % 3]);
        let answer = client.ask(
            Request::new("POST", "/")
                .host("a.test")
                .body(format!("body {number}"))
                .bytes(),
        );
        assert_eq!(answer.text(), format!("body {number}"));
    }
}
