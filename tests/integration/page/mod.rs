//! The page of the admin listener, as a browser asks for it.

use crate::fixtures::{
    Client, Request, Response, TestProxy, TestUpstream, eventually, get, guest, refusing_address,
};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The page.
#[track_caller]
fn page(proxy: &TestProxy, query: &str) -> String {
    let request = Request::new("GET", &format!("/{query}")).field("Accept", BROWSER);
    let answer = proxy.admin(request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// The first text between these.
#[track_caller]
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, from) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before:?}: {text}"));
    from.split_once(after).unwrap().0
}

/// What the button of this form does, and the page that follows.
#[track_caller]
fn press(proxy: &TestProxy, form: &str) -> String {
    let shown = page(proxy, "");
    let csrf = between(&shown, "name=\"csrf\" value=\"", "\"");
    let answer = submit(proxy, "/page/act", &format!("csrf={csrf}&{form}"), None);
    assert_eq!(answer.status, 303, "{}", answer.text());
    let location = answer.value("location").unwrap();
    page(proxy, location.strip_prefix('/').unwrap())
}

fn submit(proxy: &TestProxy, path: &str, form: &str, cookie: Option<&str>) -> Response {
    let mut request = Request::new("POST", path)
        .field("Content-Type", "application/x-www-form-urlencoded")
        .field("Sec-Fetch-Site", "same-origin")
        .field("Origin", "http://localhost")
        .body(form);
    if let Some(cookie) = cookie {
        request = request.field("Cookie", cookie);
    }
    proxy.admin(request)
}

/// The row of this endpoint.
#[track_caller]
fn row<'t>(page: &'t str, address: &str) -> &'t str {
    between(page, &format!("row\">{address}"), "</tr>")
}

#[test]
fn a_dead_backend_is_never_shown_as_healthy() {
    let upstream = TestUpstream::named("alive");
    let (_held, dead) = refusing_address();
    let alive = upstream.address();
    let proxy = TestProxy::builder()
        .pool_for_all(&[alive, dead], &[])
        .start();
    let before = page(&proxy, "");
    for address in [alive, dead] {
        let row = row(&before, &address.to_string()).to_owned();
        assert!(row.contains("unproven"), "nothing is known: {row}");
    }
    let after = eventually("the dead one was tried", || {
        proxy.get("a.test", "/");
        let page = page(&proxy, "");
        let tried = !row(&page, &dead.to_string()).contains("unproven");
        let used = !row(&page, &alive.to_string()).contains("unproven");
        (tried && used).then_some(page)
    });
    let tried = row(&after, &dead.to_string());
    assert!(!tried.contains("state good"), "{tried}");
    assert!(tried.contains("state bad"), "{tried}");
    assert!(
        row(&after, &alive.to_string()).contains("state good"),
        "{after}"
    );
    assert!(after.contains("Look at this"), "{after}");
    let found = page(&proxy, &format!("?find={dead}"));
    assert!(!found.contains(&alive.to_string()), "{found}");
}

#[test]
fn a_page_is_bounded_shows_what_is_unwell_and_finds_the_rest() {
    let all: Vec<_> = (1..=150)
        .map(|n| std::net::SocketAddr::from(([127, 0, 9, n], 9)))
        .collect();
    let proxy = TestProxy::builder().pool_for_all(&all, &[]).start();
    let shown = page(&proxy, "");
    assert_eq!(shown.matches("<tr data-key=\"127.0.9.").count(), 100);
    assert!(shown.contains("50 more endpoints not shown"), "{shown}");
    assert!(!shown.contains("127.0.9.150:9"), "{shown}");
    let down = Request::new("POST", "/pools/all/backends/127.0.9.150:9/down");
    assert_eq!(proxy.admin(down.body("")).status, 200);
    let shown = eventually("the picture is of then", || {
        Some(page(&proxy, "")).filter(|shown| shown.contains("127.0.9.150:9"))
    });
    assert!(
        row(&shown, "127.0.9.150:9").contains("state bad"),
        "{shown}"
    );
    let found = page(&proxy, "?find=127.0.9.149:");
    assert!(row(&found, "127.0.9.149:9").contains("unproven"), "{found}");
    assert_eq!(found.matches("<tr data-key=\"127.0.9.").count(), 1);
}

#[test]
fn an_endpoint_is_drained_and_taken_back_by_buttons() {
    let upstream = TestUpstream::named("a");
    let other = TestUpstream::named("b");
    let proxy = TestProxy::builder()
        .pool_for_all(&[upstream.address(), other.address()], &[])
        .start();
    let address = upstream.address().to_string();
    let form = |action: &str| format!("do={action}&pool=all&address={address}");
    let drained = press(&proxy, &form("drain"));
    assert!(drained.contains("gets no new requests"), "{drained}");
    assert!(row(&drained, &address).contains("draining"), "{drained}");
    assert!(row(&drained, &address).contains("Take back"), "{drained}");
    for _ in 0..10 {
        assert_eq!(proxy.get("a.test", "/").text(), "b");
    }
    let back = press(&proxy, &form("up"));
    assert!(back.contains("gets requests again"), "{back}");
    let unknown = press(&proxy, &format!("do=drain&pool=every&address={address}"));
    assert!(unknown.contains("class=\"state bad\""), "{unknown}");
    assert!(unknown.contains("no pool is named"), "{unknown}");
}

#[test]
fn a_candidate_is_promoted_rolled_back_and_withdrawn_by_buttons() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .file("choice.wasm", guest("pick-first"))
        .pool_for_all(&[upstream.address()], &["choice"])
        .tables("[policies.choice]\ncomponent = \"choice.wasm\"\ndeadline = \"5s\"\n")
        .start();
    let deploy = |query: &str| {
        let request = Request::new("PUT", &format!("/policies/choice?{query}"));
        let answer = proxy.admin(request.body(guest("pick-last")));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    deploy("mode=shadow");
    proxy.get("a.test", "/");
    let shown = eventually("the decision is compared", || {
        let shown = page(&proxy, "");
        shown.contains("of its decisions agree").then_some(shown)
    });
    assert!(
        shown.contains("On trial: generation 2, a shadow"),
        "{shown}"
    );
    let form = |action: &str, generation: u8, mode: &str| {
        format!("do={action}&policy=choice&generation={generation}&mode={mode}")
    };
    let old = press(&proxy, &form("promote", 1, "shadow"));
    assert!(
        old.contains("class=\"state bad\""),
        "another generation is on trial: {old}"
    );
    let promoted = press(&proxy, &form("promote", 2, "shadow"));
    assert!(promoted.contains("generation 2 decides now"), "{promoted}");
    assert_eq!(proxy.policy("choice")["generation"], 2);
    let back = press(&proxy, &form("rollback", 2, ""));
    assert!(back.contains("rolled back, generation 1 decides"), "{back}");
    deploy("mode=canary&percent=5");
    let withdrawn = press(&proxy, &form("withdraw", 3, "canary"));
    assert!(
        withdrawn.contains("the trial is over, generation 1 decides"),
        "{withdrawn}"
    );
    assert!(proxy.policy("choice")["on_trial"].is_null());
}

#[test]
fn news_come_and_end_with_the_process() {
    let upstream = TestUpstream::named("a");
    let mut proxy = TestProxy::in_front_of(&upstream);
    let mut client = Client::connect(proxy.admin_address());
    let request = Request::new("GET", "/page/events").host("localhost");
    client.send(request.bytes());
    let (status, head) = client.head();
    assert_eq!(status, 200);
    assert_eq!(
        head.value("content-type").as_deref(),
        Some("text/event-stream")
    );
    arrives(&mut client, &upstream.address().to_string());
    proxy.client().ask(get("a.test", "/"));
    arrives(&mut client, "<dt>requests so far</dt><dd>1</dd>");
    proxy.signal("TERM");
    assert!(client.wire.until_close().is_ok(), "it ends");
    assert_eq!(proxy.exit_code(), 0);
}

/// Reads until this has come.
#[track_caller]
fn arrives(client: &mut Client, text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        seen.extend(client.wire.length(1).expect("news come"));
        seen.append(&mut client.wire.buffer);
    }
}

#[test]
fn a_login_by_tls_elsewhere_has_a_cookie_for_tls_only() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .admin("listen = \"127.0.0.1:0\"\ntoken = \"a-token-of-some-length\"")
        .start();
    let browser = || Request::new("GET", "/").field("Accept", BROWSER);
    let asked = proxy.admin(browser());
    assert_eq!(
        (asked.status, asked.value("location").as_deref()),
        (303, Some("/page/login"))
    );
    let form = "token=a-token-of-some-length";
    let login = Request::new("POST", "/page/login")
        .field("Origin", "https://localhost")
        .body(form);
    let answer = proxy.admin(login);
    assert_eq!(answer.status, 303, "{}", answer.text());
    let set = answer.value("set-cookie").unwrap();
    assert!(
        set.ends_with("; HttpOnly; SameSite=Strict; Secure"),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap();
    let shown = proxy.admin(browser().field("Cookie", cookie));
    assert_eq!(shown.status, 200);
    let csrf = between(&shown.text(), "name=\"csrf\" value=\"", "\"").to_owned();
    let out = submit(
        &proxy,
        "/page/logout",
        &format!("csrf={csrf}"),
        Some(cookie),
    );
    assert_eq!(out.status, 303, "{}", out.text());
    assert_eq!(proxy.admin(browser().field("Cookie", cookie)).status, 303);
}
