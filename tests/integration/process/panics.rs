//! Panics, which are bugs of the proxy: one connection ends, or what panicked is replaced, or the
//! process ends cleanly.
//!
//! They happen on demand in builds for tests only (`host/src/ground/fault.rs`).

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::stopping::gated;
use crate::fixtures::service::{Service, ask, one_backend, stat};
use crate::fixtures::{
    Client, Request, Scratch, TestUpstream, command, eventually, get, guest, run,
};

/// A proxy in which this can be made to panic.
struct Fragile {
    service: Service,
    data: SocketAddr,
    admin: SocketAddr,
    fault: PathBuf,
}

impl Fragile {
    #[track_caller]
    fn start(what: &str, config: &str, scratch: Scratch) -> Self {
        let fault = scratch.path().join("panic");
        let log = File::create(scratch.path().join("stderr")).unwrap();
        let out = File::create(scratch.path().join("stdout")).unwrap();
        let mut service = Service::start(config, scratch, |command| {
            command
                .env(
                    "WAYPOST_TEST_FAULT",
                    format!("{what}=panic:{}", fault.display()),
                )
                .stderr(log)
                .stdout(out);
        });
        let (data, admin) = service.ready();
        Self {
            service,
            data,
            admin,
            fault,
        }
    }

    /// The next time that it gets there, it panics.
    fn arm(&self) {
        std::fs::write(&self.fault, "").unwrap();
    }

    #[track_caller]
    fn wait_until_counted(&self) {
        eventually("it is counted", || {
            (stat(self.admin, "/process/panics") == 1).then_some(())
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.service.scratch.path().join("stderr")).unwrap()
    }

    /// It is seen in the log, the statistics and the metrics; it serves, and ends with 0.
    #[track_caller]
    fn goes_on(mut self, thread: &str) {
        self.wait_until_counted();
        let sentence =
            format!("ERROR waypost::panic: thread {thread} panicked at host/src/ground/fault.rs");
        eventually("it is in the log", || {
            self.log().contains(&sentence).then_some(())
        });
        let stats: serde_json::Value =
            serde_json::from_slice(&ask(self.admin, "/stats").body).unwrap();
        let last = stats["process"]["last_panic"].as_str().unwrap_or_default();
        assert!(
            last.starts_with(&format!("thread {thread} panicked at ")),
            "{last}"
        );
        assert!(
            ask(self.admin, "/metrics")
                .text()
                .contains("waypost_panics_total 1")
        );
        assert_eq!(ask(self.admin, "/readyz").status, 200);
        for _ in 0..3 {
            assert_eq!(ask(self.data, "/").text(), "a");
        }
        self.service.signal("TERM");
        assert_eq!(self.service.exit_code(), 0, "{}", self.log());
    }
}

#[test]
fn a_panic_in_a_connection_ends_that_connection_alone() {
    let upstream = TestUpstream::named("a");
    let fragile = Fragile::start("connection", &one_backend(&upstream), Scratch::new());
    let mut other = Client::connect(fragile.data);
    assert_eq!(other.ask(get("a.test", "/")).text(), "a");
    fragile.arm();
    let mut hit = Client::connect(fragile.data);
    hit.send_what_is_taken(get("a.test", "/"));
    assert!(hit.try_response_to("GET").is_err());
    assert_eq!(other.ask(get("a.test", "/")).text(), "a");
    fragile.wait_until_counted();
    // It does not count as open for ever, which would hold the stop.
    assert_eq!(stat(fragile.admin, "/connections/active"), 1);
    drop(other);
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    let name = eventually("a worker is named", || {
        let log = fragile.log();
        let mut names = (0..workers).map(|n| format!("worker-{n}"));
        names.find(|name| log.contains(&format!("thread {name} ")))
    });
    fragile.goes_on(&name);
}

#[test]
fn what_panics_on_a_worker_beside_its_connections_is_started_again() {
    for what in ["sweep", "accept"] {
        let upstream = TestUpstream::named("a");
        let config = format!("workers = 1\n{}", one_backend(&upstream));
        let fragile = Fragile::start(what, &config, Scratch::new());
        fragile.arm();
        assert_eq!(ask(fragile.data, "/").text(), "a");
        // The client's time-outs are kept by what was started again.
        fragile.goes_on("worker-0");
    }
}

#[test]
fn threads_that_write_are_started_again() {
    for (what, thread) in [
        ("log", "log"),
        ("access-log", "access-log"),
        ("record", "record"),
    ] {
        let upstream = TestUpstream::named("a");
        let scratch = Scratch::new();
        let config = format!(
            "{}\n[access-log]\nrequests = \"all\"\n[record]\nfile = \"requests.jsonl\"\nsample = \"100%\"",
            one_backend(&upstream)
        );
        let fragile = Fragile::start(what, &config, scratch);
        fragile.arm();
        assert_eq!(ask(fragile.data, "/lost").text(), "a");
        fragile.service.signal("HUP");
        fragile.wait_until_counted();
        assert_eq!(ask(fragile.data, "/kept").text(), "a");
        let read = |name: &str| {
            std::fs::read_to_string(fragile.service.scratch.path().join(name)).unwrap()
        };
        eventually("the next lines are written", || {
            (read("stdout").contains("/kept") && read("requests.jsonl").contains("/kept"))
                .then_some(())
        });
        fragile.goes_on(thread);
    }
}

#[test]
fn a_watcher_of_files_that_panics_is_replaced_by_one_that_sees_what_changes() {
    let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
    scratch.write("mine.wasm", guest("pick-first"));
    let config = format!(
        "[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"\n[pools.all]\nbackends = [{{ address = \"{}\" }}]\n\
         [[routes]]\nhost = \"*\"\npool = \"all\"\npolicies = [\"mine\"]",
        upstream.address()
    );
    let fragile = Fragile::start("watcher", &config, scratch);
    fragile.arm();
    fragile.wait_until_counted();
    fragile
        .service
        .scratch
        .replace("mine.wasm", guest("pick-last"));
    eventually("the new file is seen", || {
        ask(fragile.data, "/")
            .value("x-policy")
            .is_some_and(|policy| policy == "last")
            .then_some(())
    });
    fragile.goes_on("control");
}

#[test]
fn a_policy_whose_loading_panics_has_failed_and_is_not_being_loaded_for_ever() {
    let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
    scratch.write("mine.wasm", guest("pick-first"));
    let config = format!(
        "[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"\n[pools.all]\nbackends = [{{ address = \"{}\" }}]\n\
         [[routes]]\nhost = \"*\"\npool = \"all\"\npolicies = [\"mine\"]",
        upstream.address()
    );
    let fragile = Fragile::start("loading", &config, scratch);
    fragile.arm();
    // The file changes: the watcher panics while it deploys it, is started again, and takes what
    // comes next.
    fragile
        .service
        .scratch
        .replace("mine.wasm", guest("pick-last"));
    fragile.wait_until_counted();
    eventually("the generation has failed, with a sentence", || {
        let answer = ask(fragile.admin, "/policies/mine");
        let status = answer.text();
        (status.contains("\"failed\"")
            && status.contains("the proxy failed while it loaded this generation"))
        .then_some(())
    });
    fragile.service.scratch.replace("mine.wasm", guest("probe"));
    eventually("a later one is loaded", || {
        let status: serde_json::Value =
            serde_json::from_slice(&ask(fragile.admin, "/policies/mine").body).unwrap();
        (status["generation"].as_u64() > Some(1)).then_some(())
    });
    assert_eq!(ask(fragile.data, "/").text(), "a");
    fragile.service.signal("TERM");

    let scratch = Scratch::new();
    scratch.write("panic", "");
    scratch.write("waypost.toml", "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n[policies.random]\nbuiltin = \"random\"\n\
        [pools.all]\nbackends = [{ address = \"127.0.0.1:1\" }]\n[[routes]]\nhost = \"*\"\npool = \"all\"\npolicies = [\"random\"]\n");
    let mut command = command();
    command
        .args(["run", "--config", "waypost.toml"])
        .current_dir(scratch.path());
    let exit = run(command.env(
        "WAYPOST_TEST_FAULT",
        format!("loading=panic:{}", scratch.path().join("panic").display()),
    ));
    assert!(
        exit.code == Some(1)
            && exit
                .stderr
                .contains("the proxy failed while it loaded this generation"),
        "{exit:?}"
    );
}

#[test]
fn the_clock_of_deadlines_and_the_thread_of_signals_are_started_again() {
    let (upstream, scratch) = (TestUpstream::named("a"), Scratch::new());
    scratch.write("probe.wasm", guest("probe"));
    let config = format!(
        "[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"50ms\"\n[pools.all]\nbackends = [{{ address = \"{}\" }}]\n\
         [[routes]]\nhost = \"*\"\npool = \"all\"\npolicies = [\"probe\"]",
        upstream.address()
    );
    let fragile = Fragile::start("policy-ticker", &config, scratch);
    fragile.arm();
    fragile.wait_until_counted();
    // Without a clock it would loop for ever.
    let looping = Request::new("GET", "/")
        .host("a.test")
        .field("X-Probe-Request", "loop")
        .bytes();
    assert_eq!(Client::connect(fragile.data).ask(looping).text(), "a");
    fragile.goes_on("policy-ticker");

    let fragile = Fragile::start("signals", &one_backend(&upstream), Scratch::new());
    fragile.arm();
    fragile.service.signal("HUP");
    fragile.goes_on("signals");
}

#[test]
fn a_worker_that_panics_is_named_by_readyz_and_the_process_ends_with_1_after_the_others() {
    let (upstream, gate) = gated();
    let scratch = Scratch::new();
    scratch.write("mine.wasm", guest("pick-first"));
    let config = format!(
        "workers = 2\n[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"\n\
         [pools.all]\nbackends = [{{ address = \"{}\" }}]\n[[routes]]\nhost = \"*\"\npool = \"all\"\npolicies = [\"mine\"]",
        upstream.address()
    );
    let mut fragile = Fragile::start("worker", &config, scratch);
    // That all of these are of the worker that panics happens once in 2^24 runs.
    let mut clients: Vec<Client> = (0..24).map(|_| Client::connect(fragile.data)).collect();
    clients
        .iter_mut()
        .for_each(|client| client.send(get("a.test", "/slow")));
    upstream.wait_for_heads(24);
    fragile.arm();
    // A worker panics while it adopts this.
    fragile
        .service
        .scratch
        .replace("mine.wasm", guest("pick-last"));
    let said = eventually("it is not ready", || {
        let answer = ask(fragile.admin, "/readyz");
        (answer.status == 503).then(|| answer.text())
    });
    let (named, words) = (
        ["worker 0 has failed", "worker 1 has failed"],
        "the process is ending",
    );
    assert!(
        named.iter().any(|name| said.contains(name)) && said.contains(words),
        "{said}"
    );
    assert_eq!(stat(fragile.admin, "/process/panics"), 1);
    gate.open();
    let answered = clients
        .iter_mut()
        .filter_map(|client| client.try_response_to("GET").ok())
        .count();
    assert!(answered > 0, "the other worker finishes what it has");
    assert_eq!(fragile.service.exit_code(), 1);
    let log = fragile.log();
    assert!(
        log.contains("error: worker ") && log.contains("this is a bug of the proxy"),
        "{log}"
    );
}

#[test]
fn a_control_side_that_panics_lets_the_workers_finish_and_ends_the_process_with_1() {
    let (upstream, gate) = gated();
    let mut fragile = Fragile::start("control", &one_backend(&upstream), Scratch::new());
    let mut client = Client::connect(fragile.data);
    client.send(get("a.test", "/slow"));
    upstream.wait_for_heads(1);
    fragile.arm();
    fragile.service.signal("USR1");
    let said = eventually("it is not ready", || {
        let answer = ask(fragile.admin, "/readyz");
        (answer.status == 503).then(|| answer.text())
    });
    assert!(said.contains("the control side has failed"), "{said}");
    gate.open();
    assert_eq!(client.response().text(), "done");
    assert_eq!(fragile.service.exit_code(), 1);
}
