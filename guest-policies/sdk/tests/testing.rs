//! The host for tests keeps the bounds of the real one.

#![allow(clippy::unwrap_used, reason = "a test ends by a panic")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use waypost_policy::{
    ByteRange, CheckRange, Failure, HeaderError, HttpVersion, RangeVerdict, StoreError,
    SubjectName, TlsVersion, client_certificate, clock, connection,
    prelude::*,
    random, store,
    testing::{self, Host, Level},
};

/// Does what the request's path says.
struct Probe {
    asked: Counter,
    told: Vec<(u32, String, u64, usize)>,
    edits: Vec<Result<(), HeaderError>>,
}

impl Configure for Probe {
    fn configure(settings: Settings) -> Result<Self, String> {
        match settings.json() {
            "{}" => Ok(Probe {
                asked: Counter::define("asked")?,
                told: Vec::new(),
                edits: Vec::new(),
            }),
            other => Err(format!("what is {other}?")),
        }
    }
}

impl Topology for Probe {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        assert!(!facts::healthy(0), "there is no request");
        self.told
            .push((pool.id, pool.name.clone(), pool.generation, backends.len()));
    }
}

impl Select for Probe {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        self.asked.count();
        assert_eq!(request.pool(), attempt.pool);
        match request.path().as_str() {
            "/far" => Decision::Backend(99),
            "/status" => Response::new(101).into(),
            "/field" => Response::new(200).field("Content-Length", "1").into(),
            "/body" => Response::new(200).body(vec![0; 65_537]).into(),
            "/draw" => random::below(3).into(),
            _ => (0..9).find(|backend| attempt.is_usable(*backend)).into(),
        }
    }
}

impl EditRequest for Probe {
    fn edit_request(&mut self, request: &Request, headers: &mut Headers) -> Result<(), Response> {
        self.edits = vec![
            headers.set("x-one", "1"),
            headers.append("X-One", b"\xff"),
            headers.remove("x-gone"),
            headers.set("Host", "a"),
            headers.set("x-hop", "named by connection"),
            headers.set("a b", "c"),
            headers.set("a", "b\r\nc: d"),
            headers.set("a", vec![b'a'; 8193]),
        ];
        assert_eq!(
            request.header_values("x-one"),
            [b"1".to_vec(), b"\xff".to_vec()],
            "the edits show"
        );
        assert_eq!(headers.names(), ["connection", "x-one", "x-one"]);
        Ok(())
    }
}

impl EditResponse for Probe {
    fn edit_response(
        &mut self,
        _: &Request,
        status: u16,
        backend: u32,
        headers: &mut Headers,
    ) -> Result<(), Response> {
        self.edits = (0..65)
            .map(|n| headers.append("x-many", format!("{status} {backend} {n}")))
            .collect();
        self.edits.push(headers.append("x-large", vec![b'a'; 8000]));
        Ok(())
    }
}

waypost_policy::export!(Probe: Configure, Topology, Select, EditRequest, EditResponse);

#[derive(Default)]
struct Ranges;

impl CheckRange for Ranges {
    fn check_range(&mut self, request: &Request) -> RangeVerdict {
        match request.query().as_deref() {
            Some("many") => RangeVerdict::Ranges(vec![ByteRange::From(1); 65]),
            Some("wrong") => RangeVerdict::Ranges(vec![ByteRange::Between(2, 1)]),
            _ => RangeVerdict::Ranges(vec![ByteRange::Final(5)]),
        }
    }
}

impl Select for Ranges {
    fn select(&mut self, _: &Request, _: &Attempt) -> Decision {
        Decision::Pass
    }
}

waypost_policy::export!(Ranges: CheckRange);

fn backends(count: usize) -> Vec<Backend> {
    (1..=count)
        .map(|n| Backend::new(&format!("10.0.0.{n}:80")).with_label("zone", "a"))
        .collect()
}

fn panics(call: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_policy_is_configured_and_told_as_by_the_host() {
    let host = Host::new();
    let one = host.pool("one", backends(2));
    let two = host.pool("two", backends(3));
    assert_eq!(
        host.load::<Probe>(r#"{"a": 1}"#).err(),
        Some(r#"what is {"a": 1}?"#.to_owned())
    );
    let mut probe = host.load::<Probe>("{}").unwrap();
    one.change(&mut probe, backends(1));
    let told = [
        (0, "one".to_owned(), 1, 2),
        (1, "two".to_owned(), 1, 3),
        (0, "one".to_owned(), 2, 1),
    ];
    assert_eq!(probe.policy().told, told);
    two.set_healthy(0, false);
    assert_eq!(
        probe.select(&testing::get("/").pool(&two)),
        Decision::Backend(1)
    );
    assert_eq!(probe.select(&testing::get("/")), Decision::Backend(0));
    assert_eq!(
        probe.retry(&testing::get("/").pool(&two), [(1, Failure::Closed)]),
        Decision::Backend(2)
    );
    assert_eq!(host.counted("asked"), 3);
    assert!(
        host.load::<Ranges>("{\"a\": 1}").is_err(),
        "a policy without the hook takes no settings"
    );
}

#[test]
fn edits_that_the_host_refuses_are_refused() {
    let host = Host::new();
    host.pool("web", backends(1));
    let mut probe = host.load::<Probe>("{}").unwrap();
    let mut request = testing::get("/")
        .field("Connection", "close, X-Hop")
        .field("X-Gone", "1");
    probe.edit_request(&mut request).unwrap();
    let (forbidden, name, value) = (
        HeaderError::Forbidden,
        HeaderError::InvalidName,
        HeaderError::InvalidValue,
    );
    let expected = [
        Ok(()),
        Ok(()),
        Ok(()),
        Err(forbidden),
        Err(forbidden),
        Err(name),
        Err(value),
        Err(value),
    ];
    assert_eq!(probe.policy().edits, expected);
    assert_eq!(request.values("x-one"), [&b"1"[..], b"\xff"]);
    assert_eq!(request.value("x-gone"), None);

    let mut response = testing::response(204).from_backend(7);
    probe.edit_response(&request, &mut response).unwrap();
    assert_eq!(response.values("x-many").len(), 64);
    assert_eq!(response.text("x-many"), Some("204 7 0"));
    assert_eq!(probe.policy().edits[64], Err(HeaderError::TooMany));
}

#[test]
fn answers_that_the_host_refuses_end_the_test() {
    let host = Host::new();
    host.pool("web", backends(2));
    let mut probe = host.load::<Probe>("{}").unwrap();
    for (path, expected) in [
        ("/far", "backend 99 of a pool that has 2"),
        ("/status", "status 101"),
        ("/field", "\"Content-Length\": forbidden"),
        ("/body", "65537 bytes"),
    ] {
        let message = panics(|| drop(probe.select(&testing::get(path))));
        assert!(
            message.starts_with("invalid answer: ") && message.contains(expected),
            "{path}: {message}"
        );
    }
    host.draws([3]);
    assert!(panics(|| drop(probe.select(&testing::get("/draw")))).contains("the draw 3"));

    let mut ranges = host.load::<Ranges>("{}").unwrap();
    assert_eq!(
        ranges.check_range(&testing::get("/")),
        RangeVerdict::Ranges(vec![ByteRange::Final(5)])
    );
    assert!(panics(|| drop(ranges.check_range(&testing::get("/?many")))).contains("65 ranges"));
    assert!(panics(|| drop(ranges.check_range(&testing::get("/?wrong")))).contains("from 2 to 1"));
    assert!(panics(|| drop(ranges.select(&testing::get("/")))).contains("does not name Select"));
}

/// Runs the code with a host to ask.
#[derive(Default)]
struct Runs;

static CODE: std::sync::Mutex<Option<fn()>> = std::sync::Mutex::new(None);

impl EditRequest for Runs {
    fn edit_request(&mut self, _: &Request, _: &mut Headers) -> Result<(), Response> {
        if let Some(code) = *CODE.lock().unwrap() {
            code();
        }
        Ok(())
    }
}

waypost_policy::export!(Runs: EditRequest);

#[test]
fn time_store_counters_and_log_are_the_tests_own() {
    let host = Host::new();
    let mut runs = host.load::<Runs>("{}").unwrap();
    let mut run = |code: fn()| {
        *CODE.lock().unwrap() = Some(code);
        runs.edit_request(&mut testing::get("/")).unwrap();
    };
    run(|| {
        let second = Some(Duration::from_secs(1));
        store::set("a", "1", second).unwrap();
        assert_eq!(store::increment("a", 5, second), Ok(5));
        assert_eq!(store::decrement("down", 7, second), Ok(-7));
        assert_eq!(
            (store::increment("down", 5, None), store::counter("down")),
            (Ok(-2), Some(-2))
        );
        assert_eq!(store::decrement("down", u64::MAX, None), Ok(i64::MIN));
        assert_eq!(
            store::decrement(&"k".repeat(257), 1, None),
            Err(StoreError::KeyTooLong)
        );
        assert_eq!(store::compare_and_set("a", None, "2", None), Ok(false));
        assert_eq!(
            store::compare_and_set("a", Some(b"1"), "2", second),
            Ok(true)
        );
        assert_eq!(
            store::set(&"k".repeat(257), "", None),
            Err(StoreError::KeyTooLong)
        );
        assert_eq!(
            store::set("a", [0; 4097], None),
            Err(StoreError::ValueTooLong)
        );
        assert_eq!(clock::unix_milliseconds(), 1_767_225_600_000);
        log::warn(["bad\r\n", &"x".repeat(2000)].concat());
        for name in ["", "1a", "A", "a-b", &"a".repeat(65)] {
            assert!(Counter::define(name).is_err());
        }
        assert!((0..64).all(|n| Counter::define(&format!("c{n}")).is_ok()));
        assert!(
            Counter::define("one_more")
                .unwrap_err()
                .contains("64 counters")
        );
    });
    assert_eq!(host.stored("a").as_deref(), Some(&b"2"[..]));
    let (level, line) = host.log().remove(0);
    assert_eq!((level, line.chars().count()), (Level::Warn, 1024));
    assert!(line.starts_with("bad\u{fffd}\u{fffd}xx"));
    host.advance(Duration::from_millis(999));
    run(|| assert_eq!(store::increment("a", 1, None), Ok(6)));
    host.advance(Duration::from_millis(1));
    run(|| {
        assert_eq!(store::value("a"), None);
        assert_eq!((store::counter("a"), store::counter("down")), (None, None));
        assert!(!store::remove("a"));
        assert_eq!(clock::unix_milliseconds(), 1_767_225_601_000);
        store::set("b", "1", None).unwrap();
    });
    host.forget("b");
    assert_eq!(host.stored("b"), None);
    host.set_store_bytes(130);
    run(|| assert_eq!(store::set("b", "12", None), Err(StoreError::NoRoom)));
}

/// Notes what it reads of the connection.
#[derive(Default)]
struct Reader {
    seen: Vec<String>,
}

impl Reader {
    fn read() -> String {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            connection::protocol(),
            connection::tls(),
            connection::cipher_suite(),
            connection::server_name(),
            connection::application_protocol(),
            client_certificate::subject(),
            client_certificate::names(),
            client_certificate::serial_number(),
            client_certificate::fingerprint().map(|digits| digits.len()),
            client_certificate::expires_milliseconds(),
        )
    }
}

impl Topology for Reader {
    fn backends_changed(&mut self, _pool: &Pool, _backends: &[Backend]) {
        self.seen.push(Reader::read());
    }
}

impl EditRequest for Reader {
    fn edit_request(&mut self, _request: &Request, headers: &mut Headers) -> Result<(), Response> {
        let _ = headers.set("x-read", Reader::read());
        let _ = headers.set("x-before", self.seen.join(","));
        Ok(())
    }
}

waypost_policy::export!(Reader: Topology, EditRequest);

#[test]
fn a_request_has_the_connection_that_the_test_gives_it() {
    let host = Host::new();
    host.pool("web", [Backend::new("10.0.0.1:80")]);
    let mut policy = host.load::<Reader>("{}").unwrap();
    let none = "Http11 None None None None None [] None None None";
    let certificate = testing::certificate("CN=a")
        .name(SubjectName::Dns("a.test".to_owned()))
        .serial_number("0a")
        .expires_milliseconds(7);
    for (mut request, read) in [
        (testing::get("/"), none),
        (
            testing::get("/")
                .protocol(HttpVersion::Http2)
                .tls(TlsVersion::Tls12)
                .server_name("edge.test")
                .application_protocol("h2")
                .certificate(certificate),
            "Http2 Some(Tls12) Some(\"TLS_AES_128_GCM_SHA256\") Some(\"edge.test\") Some(\"h2\") Some(\"CN=a\") \
             [Dns(\"a.test\")] Some(\"0a\") Some(64) Some(7)",
        ),
    ] {
        policy.edit_request(&mut request).unwrap();
        assert_eq!(request.text("x-read"), Some(read));
        assert_eq!(request.text("x-before"), Some(none), "between requests");
    }
}
