//! Commands that watch a trial until it ends.

use std::sync::atomic::{AtomicBool, Ordering};

use super::operated;
use crate::fixtures::{Client, Request, eventually, get};

#[test]
fn a_canary_that_traps_ends_the_watch_with_the_reason() {
    let o = operated();
    let watch =
        o.watched("deploy mine probe.wasm --mode canary --percent 100 --by request --watch");
    let trap = Request::new("GET", "/")
        .host("a.test")
        .field("X-Probe-Select", "trap")
        .bytes();
    eventually("it is withdrawn", || {
        assert_eq!(
            o.proxy.ask(&trap).value("x-policy").as_deref(),
            Some("first")
        );
        o.now()["trial"].is_null().then_some(())
    });
    let exit = watch.end();
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{exit:?}");
    let last = exit.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("error: mine: generation 2 was withdrawn:") && last.contains("traps"),
        "{exit:?}"
    );
    assert!(
        !exit.stderr.contains('\u{1b}'),
        "no escape codes where there is no terminal: {exit:?}"
    );
}

/// So that the log of a pipeline shows that it goes on.
#[test]
fn without_a_terminal_a_trial_has_a_line_now_and_then_even_if_nothing_happens() {
    let o = operated();
    let watch = o.watched("deploy mine last.wasm --mode canary --percent 50 --watch");
    eventually("a second line", || {
        let lines = watch.stderr.text();
        let lines = lines
            .lines()
            .filter(|line| line.contains("no faults; for "));
        (lines.count() >= 2).then_some(())
    });
    watch.signal("INT");
    assert_eq!(watch.end().code, Some(0));
}

#[test]
fn a_canary_that_has_stood_its_trial_is_promoted() {
    let o = operated();
    let words = "deploy mine last.wasm --mode canary --percent 50 --by request --promote-after 1s";
    let over = AtomicBool::new(false);
    let exit = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(o.proxy.address());
            while !over.load(Ordering::Relaxed) {
                assert_eq!(client.ask(get("a.test", "/")).status, 200);
            }
        });
        let exit = o.policy(words);
        over.store(true, Ordering::Relaxed);
        exit
    });
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.stdout.contains("mine: generation 2 (") && exit.stdout.contains("all requests"),
        "{exit:?}"
    );
    assert_eq!(o.decides(), "last");
}

#[test]
fn a_canary_without_a_request_is_not_promoted() {
    let o = operated();
    let exit = o.policy("deploy mine last.wasm --mode canary --percent 100 --promote-after 1s");
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(
        exit.stderr.contains("not promoted") && exit.stderr.contains("no request"),
        "{exit:?}"
    );
    let now = o.now();
    assert_eq!(
        (&now["trial"]["mode"], &now["generation"]),
        (&"canary".into(), &1.into()),
        "it stays: {now:#}"
    );
}

#[test]
fn an_interrupted_watch_leaves_the_trial_alone() {
    let o = operated();
    let watch = o.watched("deploy mine last.wasm --mode canary --percent 5 --watch");
    watch.signal("INT");
    let exit = watch.end();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.stderr.contains("generation 2 stays on trial"),
        "{exit:?}"
    );
    assert_eq!(o.now()["trial"]["generation"], 2);
}

#[test]
fn an_interrupted_promotion_did_not_go_well() {
    let o = operated();
    let watch = o.watched("deploy mine last.wasm --mode canary --percent 5 --promote-after 1h");
    watch.signal("INT");
    let exit = watch.end();
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("before it was promoted"), "{exit:?}");
    assert_eq!(o.now()["trial"]["generation"], 2);
}

#[test]
fn a_watch_ends_with_what_someone_else_decides() {
    for (mode, decision, code, told) in [
        (
            "--mode canary --percent 5",
            "withdraw mine",
            1,
            "withdrawn by the operator",
        ),
        ("--mode canary --percent 5", "promote mine", 0, ""),
        (
            "--mode canary --percent 5",
            "deploy mine probe.wasm",
            1,
            "generation 3 was deployed",
        ),
        ("--mode shadow", "promote mine", 0, ""),
        (
            "--mode shadow",
            "withdraw mine",
            1,
            "withdrawn by the operator",
        ),
    ] {
        let o = operated();
        let watch = o.watched(&format!("deploy mine last.wasm {mode} --watch"));
        o.well(decision);
        let exit = watch.end();
        assert_eq!(exit.code, Some(code), "{mode}, {decision}: {exit:?}");
        assert!(exit.stderr.contains(told), "{mode}, {decision}: {exit:?}");
    }
}

#[test]
fn a_watch_ends_when_the_proxy_is_gone() {
    let mut o = operated();
    let watch = o.watched("deploy mine last.wasm --mode canary --percent 5 --watch");
    let address = o.proxy.admin_address();
    o.proxy.signal("TERM");
    assert_eq!(o.proxy.exit_code(), 0);
    // Bound and not listening, so that no proxy of another test gets the port.
    let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    held.set_reuse_address(true).unwrap();
    held.bind(&address.into())
        .expect("nobody else got the port meanwhile");
    let exit = watch.end();
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(
        exit.stderr.contains("stopped watching") && exit.stderr.contains("no proxy answers"),
        "{exit:?}"
    );
}
