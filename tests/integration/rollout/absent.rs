//! A policy that is not there is never a yes, unless the operator wrote so.

use super::generations::large;
use super::said;
use crate::fixtures::{Request, TestProxy, TestUpstream, chunked, eventually, get, guest, waypost};

/// Routes of several hosts with policies of which some are never loaded; with these lines in the
/// section of `guard`.
fn guarded(upstream: &TestUpstream, lines: &str) -> TestProxy {
    let route = |host: &str, policies: &str| {
        format!("[[routes]]\nhost = \"{host}\"\npool = \"all\"\npolicies = [{policies}]\n")
    };
    let proxy = TestProxy::builder()
        .file("guard.wasm", large(&guest("probe")))
        .file("fine.wasm", guest("probe"))
        .tables(&format!(
            "[pools.all]\nbackends = [\"{}\"]\n{}{}{}{}\
             [policies.guard]\ncomponent = \"guard.wasm\"\n{lines}\n\
             [policies.fine]\ncomponent = \"fine.wasm\"\ndeadline = \"1s\"\n",
            upstream.address(),
            route("first.test", "\"guard\", \"range\", \"fine\""),
            route("last.test", "\"fine\", \"range\", \"guard\""),
            route("alone.test", "\"guard\""),
            route("bystander.test", "\"range\", \"fine\""),
        ))
        .start();
    eventually("it is refused", || {
        (proxy.policy("guard")["state"] == "failed").then_some(())
    });
    proxy
}

/// Requests that come to each hook: plain, with a range of each kind, with a body of each framing.
fn requests(host: &str) -> Vec<Vec<u8>> {
    vec![
        get(host, "/"),
        get(host, "/?range=0-1"),
        get(host, "/?range=5-1&range=x"),
        Request::new("GET", "/")
            .host(host)
            .field("Range", "bytes=0-1")
            .bytes(),
        Request::new("HEAD", "/").host(host).bytes(),
        Request::new("DELETE", "/").host(host).bytes(),
        Request::new("POST", "/").host(host).body("body").bytes(),
        // What `fine` would answer itself.
        Request::new("GET", "/")
            .host(host)
            .field("X-Probe-Request", "reply=299")
            .bytes(),
    ]
}

const REFUSES_TO_BE: &str = "settings = { on_configure = \"error:not today\" }";

#[test]
fn a_policy_that_was_refused_lets_nothing_pass() {
    let upstream = TestUpstream::named("served");
    let pinned = format!("digest = \"sha256:{}\"", "0".repeat(64));
    for lines in [REFUSES_TO_BE, &pinned] {
        let proxy = guarded(&upstream, lines);
        let before = upstream.received().len();
        for host in ["first.test", "last.test", "alone.test"] {
            for request in requests(host) {
                let status = proxy.ask(&request).status;
                assert_eq!(status, 503, "{host}: {}", String::from_utf8_lossy(&request));
            }
            let mut client = proxy.client();
            let head =
                format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
            client.send_what_is_taken([head.into_bytes(), chunked([&b"piece"[..]])].concat());
            assert_eq!(client.response().status, 503, "{host}");
        }
        assert_eq!(upstream.received().len(), before, "nothing came through");
        assert_eq!(proxy.get("bystander.test", "/").text(), "served");
        proxy.logged(&["first.test", "503", "guard", "not loaded"]);
        let ready = proxy.admin(Request::new("GET", "/readyz"));
        assert_eq!(ready.status, 503);
        assert!(
            ready.text().contains("guard") && !ready.text().contains("fine"),
            "{}",
            ready.text()
        );
        assert_eq!(proxy.policy("guard")["while_absent"], "503");
    }
}

#[test]
fn a_refused_policy_is_healed_by_a_deployment() {
    let upstream = TestUpstream::named("served");
    // The file holds other bytes.
    let pinned = format!(
        "digest = \"{}\"\ndeadline = \"1s\"",
        waypost::policy::digest(&guest("pick-first"))
    );
    let proxy = guarded(&upstream, &pinned);
    proxy.get("alone.test", "/").assert_refusal(503);
    said(proxy.admin(Request::new("PUT", "/policies/guard").body(guest("pick-first"))));
    assert_eq!(proxy.get("alone.test", "/").text(), "served");
    assert_eq!(proxy.admin(Request::new("GET", "/readyz")).status, 200);
}

#[test]
fn the_operators_on_failure_decides_while_a_policy_is_absent() {
    let upstream = TestUpstream::named("served");
    for (written, status) in [("\"next\"", 200), ("\"random\"", 200), ("451", 451)] {
        let proxy = guarded(
            &upstream,
            &format!("{REFUSES_TO_BE}\non-failure = {written}"),
        );
        for host in ["first.test", "last.test", "alone.test"] {
            assert_eq!(proxy.get(host, "/").status, status, "{written} {host}");
        }
        assert_eq!(
            proxy.policy("guard")["while_absent"],
            written.trim_matches('"')
        );
        assert!(proxy.stat("/policies/guard/failure_mode_uses") >= 3);
        assert_eq!(
            proxy.admin(Request::new("GET", "/readyz")).status,
            503,
            "it is refused all the same"
        );
    }
}

#[test]
fn a_missing_file_stops_the_start_and_check_lists_the_answers_of_its_routes() {
    let folder = crate::fixtures::Scratch::new();
    folder.write(
        "waypost.toml",
        "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[pools.a]\nbackends = [\"127.0.0.1:1\"]\n\
         [[routes]]\npool = \"a\"\npolicies = [\"gone\"]\n[policies.gone]\ncomponent = \"gone.wasm\"\n",
    );
    let exit = waypost(["run", "--config", "waypost.toml"], folder.path());
    assert!(
        exit.code.is_some_and(|code| code > 0) && exit.stderr.contains("gone.wasm"),
        "{exit:?}"
    );
    let exit = waypost(["check", "--config", "waypost.toml"], folder.path());
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(
        exit.stdout
            .contains("routes that name policy \"gone\" answer 503"),
        "{exit:?}"
    );
}
