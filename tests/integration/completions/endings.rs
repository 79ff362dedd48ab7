//! How requests end.

use super::{heard, hearing, hearing_builder, request};
use crate::fixtures::http2::{self, connected};
use crate::fixtures::{Gate, Request, TestUpstream, refusing_address, response};
use crate::upgrades::{asking, taking};

#[test]
fn each_request_of_a_connection_is_heard_of_once_with_what_became_of_it() {
    let upstream = TestUpstream::answering(response("201 Created", &[], "answer"));
    let proxy = hearing(&[&upstream]);
    let mut client = proxy.client();
    for id in ["one", "two", "three"] {
        let post = Request::new("POST", "/path")
            .host("a.test")
            .field("X-Id", id);
        assert_eq!(client.ask(post.body("body!").bytes()).status, 201);
    }
    for id in ["one", "two", "three"] {
        let heard = heard(&proxy, id);
        heard.has(
            "pool=0 backend=0 status=201 failure=none attempts=1 request-bytes=5 response-bytes=6 \
             failed= edited=yes path=/path",
        );
        let (first, all) = (heard.number("first-byte"), heard.number("duration"));
        assert!(heard.number("latency") <= first && first <= all);
    }
    // Its own reading is answered by it, and heard of as well.
    proxy.wait_for_stat("/policies/hearer/calls_by_hook/completion", 6);
    assert_eq!(proxy.stat("/policies/hearer/completions_dropped"), 0);
}

#[test]
fn chunked_bodies_are_counted_without_their_framing() {
    let upstream = TestUpstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
    );
    let proxy = hearing(&[&upstream]);
    let post = Request::new("POST", "/").host("a.test").field("X-Id", "a");
    let answer = proxy.ask(post.chunks([&b"12"[..], b"345", b"6789"]).bytes());
    assert_eq!(answer.text(), "abcdefg");
    heard(&proxy, "a").has("request-bytes=9 response-bytes=7 failure=none");
}

#[test]
fn an_answer_of_a_policy_is_heard_of_wherever_it_is_given() {
    let upstream = TestUpstream::named("backend");
    let proxy = hearing(&[&upstream]);
    let refused = |id: &str, hook: &str| {
        let request = request(id).field(hook, "refuse=418");
        assert_eq!(proxy.ask(request.bytes()).status, 418, "{id}");
        heard(&proxy, id)
    };
    let (of_policy, without) = ("status=418 failure=policy response-bytes=7", "backend=none");
    refused("request", "X-Request").has(of_policy).has(without);
    refused("select", "X-Select").has(of_policy).has(without);
    let replaced = refused("response", "X-Response");
    replaced.has(of_policy).has("backend=0 attempts=1");
    assert!(
        replaced.number("first-byte") > 0,
        "the backend has answered"
    );
}

#[test]
fn a_hook_that_fails_keeps_no_request_from_being_heard_of() {
    let upstream = TestUpstream::named("backend");
    let proxy = hearing(&[&upstream]);
    for hook in ["X-Request", "X-Select", "X-Response"] {
        let request = request(hook).field(hook, "trap");
        assert_eq!(proxy.ask(request.bytes()).status, 200, "{hook}");
        heard(&proxy, hook).has("status=200 failure=none backend=0");
    }
    let lines = "on-failure = 503";
    let proxy = hearing_builder(&[&upstream], lines, "").start();
    let trapped = request("a").field("X-Select", "trap");
    assert_eq!(proxy.ask(trapped.bytes()).status, 503);
    heard(&proxy, "a").has("status=503 failure=policy backend=none");
}

#[test]
fn failed_attempts_are_listed_and_the_backend_is_the_one_that_has_answered() {
    let (_held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let proxy = hearing_builder(&[&alive], "", "")
        .tables(&format!(
            "[pools.two]\nbackends = [\"{dead}\", \"{}\"]\n\
             [[routes]]\nhost = \"two.test\"\npool = \"two\"\npolicies = [\"hearer\"]\n\
             [pools.none]\nbackends = [\"{dead}\"]\n\
             [[routes]]\nhost = \"none.test\"\npool = \"none\"\npolicies = [\"hearer\"]\n",
            alive.address()
        ))
        .start();
    let to = |host: &str, id: &str| {
        let request = Request::new("GET", "/").host(host).field("X-Id", id);
        proxy.ask(request.field("X-Picks", "0,1").bytes())
    };
    assert_eq!(to("two.test", "two").text(), "alive");
    heard(&proxy, "two").has("backend=1 attempts=2 failed=0 status=200 failure=none pool=1");
    assert_eq!(to("none.test", "none").status, 502);
    let none = heard(&proxy, "none");
    none.has("backend=0 status=502 failure=backend pool=2 first-byte=none latency=none");
    assert!(none.value("failed").starts_with('0'), "the last is listed");
    let post = Request::new("POST", "/").host("none.test");
    let post = post.field("X-Id", "post").body("never passed on");
    assert_eq!(proxy.ask(post.bytes()).status, 502);
    heard(&proxy, "post").has("failure=backend request-bytes=0");
}

#[test]
fn a_client_that_leaves_is_heard_of() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = hearing(&[&upstream]);
    let mut client = proxy.client();
    client.send(request("left").bytes());
    upstream.wait_for_heads(1);
    drop(client);
    heard(&proxy, "left").has("status=none failure=client backend=0 attempts=1 first-byte=none");
    gate.open();
}

#[test]
fn a_response_that_breaks_off_is_the_backends_failure() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    });
    let proxy = hearing(&[&upstream]);
    let mut client = proxy.client();
    client.send(request("cut").bytes());
    assert!(client.try_response_to("GET").is_err());
    heard(&proxy, "cut").has("status=200 failure=backend response-bytes=10 backend=0");
}

#[test]
fn a_backend_that_does_not_answer_in_time_is_a_timeout() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = hearing_builder(&[&upstream], "", "")
        .tables("[timeouts]\nresponse = \"100ms\"")
        .start();
    assert_eq!(proxy.ask(request("late").bytes()).status, 504);
    heard(&proxy, "late").has("status=504 failure=timeout backend=0");
    gate.open();
}

#[test]
fn a_request_that_changes_its_protocol_ends_with_its_101() {
    let upstream = taking(|connection| connection.wait_for_close());
    let proxy = hearing_builder(&[&upstream], "", "").start();
    let mut client = proxy.client();
    let answer = client.ask(asking().field("X-Id", "socket").bytes());
    assert_eq!(answer.status, 101, "{}", answer.text());
    heard(&proxy, "socket").has("status=101 failure=none backend=0 response-bytes=0 path=/chat");
}

#[test]
fn streams_are_heard_of_one_by_one() {
    let upstream = TestUpstream::named("backend");
    let proxy = hearing_builder(&[&upstream], "", "").start();
    connected(&proxy, async |client| {
        for id in ["s1", "s2"] {
            let mut request = http2::request("POST", "a.test", "/");
            request.headers_mut().insert("x-id", id.parse().unwrap());
            let answer = client.ask(request, b"12345678").await.unwrap();
            assert_eq!(answer.status, 200);
        }
    });
    for id in ["s1", "s2"] {
        let heard = heard(&proxy, id);
        heard.has("status=200 failure=none request-bytes=8 response-bytes=7");
    }
}

#[test]
fn of_a_hedged_request_the_backend_that_has_answered_is_heard_of() {
    let (gate, two) = (Gate::new(), TestUpstream::named("two"));
    let one = TestUpstream::behind(&gate);
    let hedge = "hedge = { after = \"20ms\" }";
    let proxy = hearing_builder(&[&one, &two], "", hedge).start();
    let hedged = request("hedged").field("X-Picks", "0,1");
    assert_eq!(proxy.ask(hedged.bytes()).text(), "two");
    heard(&proxy, "hedged").has("backend=1 status=200 failure=none attempts=2 failed=0");
    gate.open();
}
