//! Policies that trap, loop or answer nonsense: the request goes on as the operator chose, and so
//! does the proxy.

use crate::fixtures::{Request, Response, TestProxy, TestUpstream, eventually, guest};

struct Faulty {
    proxy: TestProxy,
    _backend: TestUpstream,
}

/// `probe` with these lines in its section, and `pick-last` behind it.
fn faulty(lines: &str) -> Faulty {
    let backend = TestUpstream::named("served");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .file("last.wasm", guest("pick-last"))
        .pool_for_all(&[backend.address()], &["probe", "last"])
        .tables(&format!(
            "[policies.last]\ncomponent = \"last.wasm\"\ndeadline = \"1s\"\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\n{lines}\n"
        ))
        .start();
    Faulty {
        proxy,
        _backend: backend,
    }
}

impl Faulty {
    /// A request that tells this hook to do this.
    #[track_caller]
    fn told(&self, hook: &str, action: &str) -> Response {
        let request = Request::new("GET", "/")
            .host("a.test")
            .field("Range", "bytes=0-");
        self.proxy
            .ask(request.field(&format!("X-Probe-{hook}"), action).bytes())
    }

    fn count(&self, what: &str) -> u64 {
        self.proxy.stat(&format!("/policies/probe/{what}"))
    }

    /// Waits until the policy answers again in every hook, and often enough that its last fault is
    /// made up for.
    fn wait_until_rebuilt(&self) {
        let well = || self.told("Response", "calls").head.has("x-probe-calls");
        eventually("there is an instance again", || well().then_some(()));
        assert!((0..3).all(|_| well()), "it failed again without a reason");
    }
}

/// What goes wrong, and the counter that tells.
const FAULTS: &[(&str, &str)] = &[
    ("trap", "traps"),
    ("panic", "traps"),
    ("recurse", "traps"),
    ("allocate=64", "traps"),
    ("loop", "deadlines"),
];

#[test]
fn every_fault_in_every_hook_leaves_the_request_whole_by_default() {
    let f = faulty("");
    for hook in ["Select", "Request", "Response", "Range"] {
        for (action, counter) in FAULTS {
            f.wait_until_rebuilt();
            let before = f.count(counter);
            let answer = f.told(hook, action);
            assert!(
                matches!(answer.status, 200 | 206),
                "{hook} {action}: {} {}",
                answer.status,
                answer.text()
            );
            assert_eq!(answer.text(), "served", "{hook} {action}");
            assert_eq!(
                f.count(counter),
                before + 1,
                "{hook} {action} counts among {counter}"
            );
        }
    }
    assert!(f.count("failure_mode_uses") >= 20);
}

#[test]
fn a_status_as_failure_mode_refuses_the_request() {
    let f = faulty("on-failure = 503");
    for hook in ["Select", "Request", "Response", "Range"] {
        for (action, counter) in FAULTS {
            f.wait_until_rebuilt();
            let before = f.count(counter);
            f.told(hook, action).assert_refusal(503);
            assert_eq!(f.count(counter), before + 1, "{hook} {action}");
        }
    }
    f.proxy.logged(&["503", "probe"]);
}

#[test]
fn next_as_failure_mode_asks_the_next_policy() {
    let f = faulty("on-failure = \"next\"");
    for (action, _) in FAULTS {
        f.wait_until_rebuilt();
        let answer = f.told("Select", action);
        assert_eq!(
            (answer.status, answer.value("x-policy").as_deref()),
            (200, Some("last")),
            "{action}"
        );
    }
}

/// Which of the two follows is what the operator chose: the next policy is asked for the range, or
/// none.
#[test]
fn a_fault_in_the_range_hook_asks_the_next_policy_only_where_that_is_the_failure_mode() {
    let backend = TestUpstream::named("served");
    for (mode, status, text) in [("\"next\"", 206, "se"), ("\"random\"", 200, "served")] {
        let proxy = TestProxy::builder()
            .file("probe.wasm", guest("probe"))
            .pool_for_all(&[backend.address()], &["probe", "range"])
            .tables(&format!(
                "[policies.range]\nbuiltin = \"range\"\ndeadline = \"2s\"\n\
                 [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"\non-failure = {mode}\n"
            ))
            .start();
        let request = Request::new("GET", "/")
            .host("a.test")
            .field("Range", "bytes=0-1");
        let answer = proxy.ask(request.field("X-Probe-Range", "trap").bytes());
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, text),
            "{mode}"
        );
        assert_eq!(proxy.stat("/policies/probe/failure_mode_uses"), 1, "{mode}");
    }
}

#[test]
fn invalid_answers_are_faults() {
    let f = faulty("on-failure = 500");
    for (hook, action) in [
        ("Select", "pick=1"),
        ("Select", "pick=4294967295"),
        ("Range", "ranges=5-2"),
        ("Range", "ranges=-"),
        ("Range", "many=100000"),
        ("Select", "refuse=101"),
        ("Select", "refuse=0"),
        ("Select", "refuse=600"),
        ("Request", "refuse=99"),
        ("Response", "refuse=1000"),
        ("Select", "refuse-field=content-length:5"),
        ("Select", "refuse-field=transfer-encoding:chunked"),
        ("Select", "refuse-field=connection:upgrade"),
        ("Select", "refuse-field=x:a%0d%0ay: b"),
        ("Select", "refuse-field=x y:a"),
        ("Select", "refuse-fields=65"),
        ("Select", "refuse-body=65537"),
    ] {
        f.wait_until_rebuilt();
        let before = f.count("invalid");
        let answer = f.told(hook, action);
        assert_eq!(answer.status, 500, "{hook} {action}: {}", answer.text());
        assert_eq!(f.count("invalid"), before + 1, "{hook} {action}");
    }
}

#[test]
fn the_proxy_goes_on_while_a_policy_loops() {
    let f = faulty("");
    let mut looping = f.proxy.client();
    looping.send(
        Request::new("GET", "/")
            .host("a.test")
            .field("X-Probe-Select", "loop")
            .bytes(),
    );
    // The one worker is busy with the loop until the deadline; then both get their answers.
    assert_eq!(f.proxy.get("a.test", "/").status, 200);
    assert_eq!(looping.response().status, 200);
}

#[test]
fn an_endless_stream_of_faults_neither_hangs_nor_kills() {
    let f = faulty("");
    let mut client = f.proxy.client();
    let trap = Request::new("GET", "/")
        .host("a.test")
        .field("X-Probe-Select", "trap")
        .bytes();
    for _ in 0..200 {
        assert_eq!(client.ask(&trap).text(), "served");
    }
    f.wait_until_rebuilt();
    assert!(
        f.proxy.peak_resident_kib() < 256 * 1024,
        "{} KiB",
        f.proxy.peak_resident_kib()
    );
}

#[test]
fn memory_is_bounded_and_asking_for_more_is_not_a_fault() {
    let f = faulty("memory = \"4MiB\"");
    let answer = f.told("Response", "grow=64");
    assert_eq!(answer.value("x-probe-did").as_deref(), Some("refused"));
    let answer = f.told("Response", "grow=1");
    assert_eq!(answer.value("x-probe-did").as_deref(), Some("granted"));
    assert!(f.count("memory/peak_instance_bytes") <= 4 * 1024 * 1024);
    assert_eq!(f.count("traps"), 0);
}

#[test]
fn an_instance_for_each_request_remembers_nothing_where_that_is_asked_for() {
    let f = faulty("isolation = \"request\"");
    for _ in 0..3 {
        let answer = f.told("Response", "calls");
        // Hooks of the same request share the instance.
        let calls: u32 = answer.value("x-probe-calls").unwrap().parse().unwrap();
        assert!(calls <= 4, "{calls}");
    }
    f.told("Select", "trap");
    assert!(
        f.told("Response", "calls").head.has("x-probe-calls"),
        "the next request has an instance of its own"
    );
}

#[test]
fn a_warm_instance_remembers_by_default() {
    let f = faulty("");
    let calls = || {
        f.told("Response", "calls")
            .value("x-probe-calls")
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    let first = calls();
    assert!(calls() > first);
}

#[test]
fn log_lines_of_a_policy_are_marked_bounded_and_rationed() {
    let f = faulty("");
    f.told("Response", "log=hello from inside");
    let line = f
        .proxy
        .stderr
        .find(|l| l.contains("hello from inside").then(|| l.to_owned()))
        .expect("the line");
    assert!(line.contains("probe"), "{line}");
    f.told("Response", "log=two%0alines");
    f.told("Response", "log-bytes=100000");
    let long = f
        .proxy
        .stderr
        .find(|l| l.contains("xxxxxxxxxx").then_some(l.len()))
        .expect("the long line");
    assert!(long < 2_000, "{long} bytes");
    f.told("Response", "log-flood=1000");
    eventually("lines are dropped and counted", || {
        (f.count("log_lines_dropped") >= 900).then_some(())
    });
    assert_eq!(f.proxy.get("a.test", "/").status, 200);
}

/// A policy that is not quick is built a few times more when it is loaded, to know whether a worker
/// can afford it.
#[test]
fn only_instances_that_serve_are_heard() {
    let f = faulty(
        "settings = { on_configure = \"spin=1000\", on_topology = \"log=an instance is told\" }",
    );
    f.told("Response", "log=all are set up");
    assert!(
        f.proxy
            .stderr
            .find(|l| l.contains("all are set up").then_some(()))
            .is_some()
    );
    let told = f
        .proxy
        .stderr
        .text()
        .lines()
        .filter(|l| l.contains("an instance is told"))
        .count();
    assert_eq!(told, 1, "of one worker: {}", f.proxy.stderr.text());
}

#[test]
fn counters_of_a_policy_are_bounded_in_number() {
    let f = faulty("");
    let answer = f.told("Response", "define=1000");
    assert_eq!(answer.value("x-probe-did").as_deref(), Some("64"));
    assert_eq!(f.proxy.get("a.test", "/").status, 200);
}

#[test]
fn a_new_instance_has_no_new_allowance_of_log_lines() {
    let f = faulty("isolation = \"request\"");
    for _ in 0..50 {
        f.told("Response", "log-flood=100");
    }
    eventually("nearly all are dropped", || {
        (f.count("log_lines_dropped") >= 4_500).then_some(())
    });
    let lines = || {
        f.proxy
            .stderr
            .text()
            .lines()
            .filter(|l| l.contains("flood "))
            .count()
    };
    eventually("what is allowed is in the log", || {
        (lines() >= 32).then_some(())
    });
    assert!(lines() < 500, "{} of 5,000 lines", lines());
}
