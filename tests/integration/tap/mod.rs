//! Sampled requests, each with why it went where it went: the stream of the admin API, `waypost
//! tap`, and the page.

mod command;
mod page;

use serde_json::Value;

use crate::fixtures::{
    Builder, Client, Request, TestProxy, TestUpstream, eventually, get, guest, refusing_address,
};
use crate::reload::{edit, editable, reload};

/// A watcher, from when the workers sample.
struct Watching(Client);

/// Begins to watch; the answer's status if it is refused.
fn try_watch(proxy: &TestProxy, query: &str) -> Result<Watching, (u16, String)> {
    let mut client = Client::connect(proxy.admin_address());
    let request = Request::new("GET", &format!("/tap{query}")).host("localhost");
    client.send(request.bytes());
    let (status, head) = client.head();
    if status != 200 {
        let length = head.value("content-length").unwrap().parse().unwrap();
        let body = client.wire.length(length).unwrap();
        return Err((status, String::from_utf8(body).unwrap()));
    }
    assert_eq!(
        head.value("content-type").as_deref(),
        Some("application/x-ndjson")
    );
    let mut watching = Watching(client);
    let first = watching.line();
    assert!(first["watching"]["workers"].is_u64(), "{first}");
    assert_eq!(first["watching"]["workers"], first["watching"]["of"]);
    Ok(watching)
}

#[track_caller]
fn watch(proxy: &TestProxy, query: &str) -> Watching {
    try_watch(proxy, query).unwrap_or_else(|refused| panic!("{refused:?}"))
}

impl Watching {
    /// The next line, which is a chunk of its own.
    #[track_caller]
    fn line(&mut self) -> Value {
        let wire = &mut self.0.wire;
        let mut size = String::new();
        while !size.ends_with("\r\n") {
            let next = wire.length(1).expect("a line comes");
            size.push(char::from(next[0]));
        }
        let size = u64::from_str_radix(size.trim_end(), 16).unwrap();
        let line = wire.length(size).unwrap();
        wire.length(2).unwrap();
        assert!(line.ends_with(b"\n"), "{line:?}");
        serde_json::from_slice(&line).unwrap()
    }

    /// The next request.
    #[track_caller]
    fn sample(&mut self) -> Value {
        loop {
            let line = self.line();
            assert!(line.get("dropped").is_none(), "{line}");
            if let Some(sample) = line.get("sample") {
                return sample.clone();
            }
        }
    }
}

fn choosing(backends: &[std::net::SocketAddr]) -> Builder {
    TestProxy::builder()
        .file("choice.wasm", guest("pick-last"))
        .pool_for_all(backends, &["choice"])
        .tables("[policies.choice]\ncomponent = \"choice.wasm\"\ndeadline = \"5s\"\n")
}

#[test]
fn a_choice_of_a_policy_is_explained() {
    let upstreams = ["a", "b", "c"].map(TestUpstream::named);
    let addresses = upstreams.each_ref().map(TestUpstream::address);
    let proxy = choosing(&addresses)
        .tables("[request-id]\nrespond = true\n")
        .start();
    let mut watching = watch(&proxy, "");
    let answer = proxy.get("a.test", "/x?q=1");
    assert_eq!(answer.text(), "c");
    let sample = watching.sample();
    let last = addresses[2].to_string();
    for (key, expected) in [
        ("method", "GET"),
        ("host", "a.test"),
        ("path", "/x?q=1"),
        ("protocol", "HTTP/1.1"),
        ("pool", "all"),
        ("backend", &last),
    ] {
        assert_eq!(sample[key], expected, "{key}: {sample:#}");
    }
    assert_eq!(sample["status"], 200);
    assert_eq!(
        sample["id"].as_str(),
        answer.value("x-request-id").as_deref()
    );
    assert!(
        sample["route"].as_str().unwrap().starts_with('*'),
        "{sample:#}"
    );
    let call = &sample["policies"][0];
    assert_eq!(call["hook"], "selection", "{sample:#}");
    assert_eq!(call["policy"], "choice");
    assert_eq!(call["decision"], "backend 2");
    assert!(call["nanoseconds"].as_u64().unwrap() > 0);
    let choice = &sample["choices"][0];
    assert_eq!(choice["policy"], "choice", "{choice:#}");
    assert_eq!(
        (&choice["attempt"], &choice["candidates"]),
        (&1.into(), &3.into())
    );
    assert_eq!(choice["chosen"]["backend"], last);
    assert_eq!(choice["chosen"]["state"], "healthy");
    assert_eq!(choice["chosen"]["weight"], 1);
    assert_eq!(choice["chosen"]["in_flight"], 0, "as the policy saw it");
    let others: Vec<_> = choice["others"].as_array().unwrap().iter().collect();
    assert_eq!(others.len(), 2);
    assert_eq!(others[0]["backend"], addresses[0].to_string());
    let attempt = &sample["attempts"][0];
    assert_eq!(attempt["backend"], last, "{attempt:#}");
    assert_eq!(
        (&attempt["status"], &attempt["outcome"]),
        (&200.into(), &"answered".into())
    );
}

#[test]
fn what_the_host_chose_says_why_and_failed_attempts_are_shown() {
    let upstream = TestUpstream::named("a");
    let (_held, dead) = refusing_address();
    let many: Vec<_> = (1..=12)
        .map(|n| std::net::SocketAddr::from(([127, 0, 9, n], 9)))
        .collect();
    let list: Vec<String> = many.iter().map(|a| format!("\"{a}\"")).collect();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[[routes]]\nhost = \"one.test\"\npool = \"one\"\npolicies = []\n[pools.one]\nbackends = [\"{}\"]\n\
             [[routes]]\nhost = \"dead.test\"\npool = \"dead\"\n[pools.dead]\n\
             backends = [\"{dead}\"]\n\
             [[routes]]\nhost = \"many.test\"\npool = \"many\"\n[pools.many]\n\
             backends = [{}]\nretry = {{ attempts = 1 }}\n",
            upstream.address(),
            list.join(", ")
        ))
        .start();
    let mut watching = watch(&proxy, "");
    proxy.get("one.test", "/");
    let sample = watching.sample();
    let choice = &sample["choices"][0];
    assert!(choice["policy"].is_null(), "{sample:#}");
    let because = choice["because"].as_str().unwrap();
    assert!(
        because.contains("no policy of the route selects"),
        "{because}"
    );
    assert_eq!(sample["policies"], serde_json::json!([]));

    assert_eq!(proxy.get("dead.test", "/").status, 502);
    let sample = watching.sample();
    assert_eq!(sample["status"], 502);
    assert!(sample["reason"].is_string(), "{sample:#}");
    let attempts = sample["attempts"].as_array().unwrap();
    assert!(!attempts.is_empty(), "{sample:#}");
    assert_eq!(attempts[0]["outcome"], "connect", "{sample:#}");
    assert_eq!(sample["choices"].as_array().unwrap().len(), attempts.len());

    proxy.get("many.test", "/");
    let sample = watching.sample();
    let choice = &sample["choices"][0];
    assert_eq!(choice["candidates"], 12, "{sample:#}");
    assert_eq!(choice["others"].as_array().unwrap().len(), 8);

    assert_eq!(proxy.get("unknown.test", "/").status, 404);
    let sample = watching.sample();
    assert_eq!(sample["status"], 404);
    assert!(sample.get("route").is_none(), "{sample:#}");
}

/// That a policy failed says more than that the one behind it made no choice.
#[test]
fn of_several_policies_that_do_not_choose_the_one_that_failed_is_named() {
    let upstream = TestUpstream::named("a");
    let policy = |name: &str, action: &str| {
        format!(
            "[policies.{name}]\ncomponent = \"probe.wasm\"\ndeadline = \"5s\"\n\
             on-failure = \"next\"\nsettings = {{ select = [{action}] }}\n"
        )
    };
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[upstream.address()], &["traps", "waits"])
        .tables(&(policy("traps", "\"trap\"") + &policy("waits", "")))
        .start();
    let mut watching = watch(&proxy, "");
    assert_eq!(proxy.get("a.test", "/").text(), "a");
    let sample = watching.sample();
    let calls = sample["policies"].as_array().unwrap().iter();
    let asked: Vec<_> = calls.filter(|call| call["hook"] == "selection").collect();
    assert_eq!(asked[1]["decision"], "no choice", "{sample:#}");
    let because = sample["choices"][0]["because"].as_str().unwrap();
    assert!(because.contains("a policy failed"), "{because}");
}

#[test]
fn filters_leave_out_the_others() {
    let upstream = TestUpstream::named("a");
    let (_held, dead) = refusing_address();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[[routes]]\nhost = \"good.test\"\npool = \"good\"\npolicies = [\"random\"]\n\
             [[routes]]\nhost = \"dead.test\"\npath = \"/api\"\npool = \"dead\"\npolicies = []\n\
             [policies.random]\nbuiltin = \"random\"\ndeadline = \"5s\"\n\
             [pools.good]\nbackends = [\"{}\"]\n[pools.dead]\nbackends = [\"{dead}\"]\n",
            upstream.address()
        ))
        .start();
    let of_dead = [
        "?status=5xx",
        "?status=502",
        "?route=dead.test%2Fapi",
        "?pool=dead",
    ];
    let of_good = [
        "?policy=random",
        "?status=200&route=good",
        "?pool=good&status=2xx",
    ];
    let mut dead_ones: Vec<_> = of_dead.iter().map(|q| watch(&proxy, q)).collect();
    let mut good_ones: Vec<_> = of_good.iter().map(|q| watch(&proxy, q)).collect();
    for _ in 0..2 {
        assert_eq!(proxy.get("good.test", "/").status, 200);
        assert_eq!(proxy.get("dead.test", "/api/x").status, 502);
    }
    for (query, watching) in of_dead.iter().zip(&mut dead_ones) {
        for _ in 0..2 {
            assert_eq!(watching.sample()["host"], "dead.test", "{query}");
        }
    }
    for (query, watching) in of_good.iter().zip(&mut good_ones) {
        for _ in 0..2 {
            assert_eq!(watching.sample()["host"], "good.test", "{query}");
        }
    }
    for (query, part) in [
        ("?status=lots", "no status"),
        ("?policy=rando", "no policy is named"),
        ("?pool=every", "no pool is named"),
        ("?route=elsewhere", "no route's name begins with"),
        ("?color=red", "no parameter"),
    ] {
        let Err((status, body)) = try_watch(&proxy, query) else {
            panic!("{query} is taken");
        };
        assert_eq!(status, 400, "{query}: {body}");
        assert!(body.contains(part), "{query}: {body}");
    }
}

#[test]
fn values_of_queries_are_left_out_where_the_log_leaves_them_out() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .access_log("requests = \"all\"\nredact-query = true")
        .start();
    let mut watching = watch(&proxy, "");
    proxy.get("a.test", "/x?token=secret&b=c&hidden");
    let sample = watching.sample();
    assert_eq!(sample["path"], "/x?token=***&b=***&***");
    assert!(!sample.to_string().contains("secret"), "{sample:#}");
}

#[test]
fn nothing_is_sampled_without_a_watcher_and_after_one_has_left() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    for _ in 0..5 {
        proxy.get("a.test", "/");
    }
    proxy.wait_for_stat("/requests/by_status/200", 5);
    assert_eq!(proxy.stat("/tap/made"), 0);
    let mut watching = watch(&proxy, "");
    proxy.get("a.test", "/");
    watching.sample();
    assert_eq!(proxy.stat("/tap/made"), 1);
    drop(watching);
    let mut asked = 6;
    eventually("sampling ends", || {
        let before = proxy.stat("/tap/made");
        proxy.get("a.test", "/");
        asked += 1;
        proxy.wait_for_stat("/requests/by_status/200", asked);
        (proxy.stat("/tap/made") == before).then_some(())
    });
}

#[test]
fn watchers_that_read_nothing_hold_nothing_up_and_are_bounded() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut silent: Vec<_> = (0..8).map(|_| watch(&proxy, "")).collect();
    let Err((status, body)) = try_watch(&proxy, "") else {
        panic!("a ninth watches");
    };
    assert_eq!(status, 503, "{body}");
    let mut client = proxy.client();
    for _ in 0..200 {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
    silent.pop();
    eventually("there is a place again", || {
        try_watch(&proxy, "").ok().map(drop)
    });
}

#[test]
fn a_reload_goes_on_being_watched_and_the_end_of_the_process_is_seen() {
    let upstream = TestUpstream::named("a");
    let mut proxy = editable(TestProxy::builder().host("old.test", &[upstream.address()]));
    let mut watching = watch(&proxy, "");
    proxy.get("old.test", "/");
    assert_eq!(watching.sample()["host"], "old.test");
    edit(&proxy, |text| text.replace("old.test", "new.test"));
    reload(&proxy);
    assert_eq!(proxy.get("new.test", "/").status, 200);
    let sample = watching.sample();
    assert_eq!(sample["host"], "new.test");
    assert!(
        sample["route"].as_str().unwrap().starts_with("new.test"),
        "{sample:#}"
    );
    proxy.signal("TERM");
    assert!(watching.0.wire.until_close().is_ok(), "it ends");
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn watching_needs_the_token() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .admin("listen = \"127.0.0.1:0\"\ntoken = \"a-token-of-some-length\"")
        .start();
    let Err((status, _)) = try_watch(&proxy, "") else {
        panic!("it is open");
    };
    assert_eq!(status, 401);
    let posted =
        Request::new("POST", "/tap").field("Authorization", "Bearer a-token-of-some-length");
    assert_eq!(proxy.admin(posted.body("")).status, 405);
}
