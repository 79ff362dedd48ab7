//! What the access log says of requests, and how.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::fixtures::tls::{Authority, client};
use crate::fixtures::{
    Builder, Client, Request, TestProxy, TestUpstream, eventually, get, response,
};
use crate::reload::{edit, editable, reload};

/// A proxy with these lines in `[access-log]`, whose backend answers with ten bytes.
fn logging(lines: &str) -> (TestProxy, TestUpstream) {
    let backend = TestUpstream::answering(response("200 OK", &[], "0123456789"));
    let proxy = builder(&backend, lines).start();
    (proxy, backend)
}

fn builder(backend: &TestUpstream, lines: &str) -> Builder {
    let address = backend.address();
    TestProxy::builder()
        .access_log(&format!("requests = \"all\"\n{lines}"))
        .tables(&format!(
            "[pools.app]\nbackends = [\"{address}\"]\n\
             [[routes]]\nhost = \"a.test\"\npath = \"/x\"\npool = \"app\"\n\
             request-headers = {{ set = {{ x-id = \"{{request-id}}\" }} }}\n\
             [[routes]]\nhost = \"a.test\"\npath = \"/moved\"\nredirect = \"/x\"\n\
             [[routes]]\nhost = \"a.test\"\npath = \"/fixed\"\nrespond = {{ status = 200 }}\n"
        ))
}

fn asked() -> Request {
    Request::new("POST", "/x/y?token=secret&b=&c")
        .host("A.test")
        .field("User-Agent", "a \"quoted\" \\ agent")
        .field("Referer", "https://b.test/z?token=secret")
        .body("four")
}

fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

#[test]
fn a_line_says_where_the_request_went_and_what_it_carried() {
    let (proxy, backend) = logging("");
    assert_eq!(proxy.ask(asked().bytes()).status, 200);
    let line = object(&proxy.logged(&["\"POST\""]));
    for (key, value) in [
        ("route", json!("a.test/x")),
        ("pool", json!("app")),
        ("backend", json!(backend.address().to_string())),
        ("bytes_from_client", json!(4)),
        ("bytes_to_client", json!(10)),
        ("user_agent", json!("a \"quoted\" \\ agent")),
        ("referer", json!("https://b.test/z?token=secret")),
        ("target", json!("/x/y?token=secret&b=&c")),
        ("status", json!(200)),
    ] {
        assert_eq!(line[key], value, "{key} of {line:#}");
    }
    let sent = backend.only_request().value("x-id");
    assert_eq!(line["request_id"].as_str(), sent.as_deref());

    // What a route answers by itself has no pool.
    for path in ["/moved", "/fixed"] {
        proxy.ask(get("a.test", path));
        let line = object(&proxy.logged(&[&format!("{path}\"")]));
        assert_eq!(line["route"], json!(format!("a.test{path}")), "{line:#}");
        assert!(line.get("pool").is_none(), "{line:#}");
    }

    // What no route takes went nowhere.
    assert_eq!(proxy.ask(get("b.test", "/")).status, 404);
    let line = object(&proxy.logged(&["404"]));
    for key in ["route", "pool", "backend", "request_id", "user_agent"] {
        assert!(line.get(key).is_none(), "{key} of {line:#}");
    }
}

#[test]
fn no_character_of_a_client_steers_a_terminal() {
    let (proxy, _backend) = logging("");
    let agent = "a\u{9b}31m\u{202e}b\u{2028}\u{85}\u{e9}";
    let request = asked().bytes();
    let head = String::from_utf8(request).unwrap();
    let asked = head.replace("a \"quoted\" \\ agent", agent);
    assert_eq!(proxy.ask(asked).status, 200);
    let line = proxy.logged(&["\"POST\""]);
    assert_eq!(
        object(&line)["user_agent"],
        json!(agent),
        "it says the same"
    );
    let escaped = r"a\u009b31m\u202eb\u2028\u0085";
    assert!(line.contains(&format!("{escaped}\u{e9}")), "{line}");
}

#[test]
fn values_of_queries_are_left_out_where_that_is_asked_for() {
    let (proxy, backend) = logging("redact-query = true");
    assert_eq!(proxy.ask(asked().bytes()).status, 200);
    let line = proxy.logged(&["\"POST\""]);
    let shown = object(&line);
    assert_eq!(shown["target"], "/x/y?token=***&b=***&***");
    assert_eq!(shown["referer"], "https://b.test/z?token=***");
    assert!(!line.contains("secret"), "{line}");
    assert_eq!(backend.only_request().target(), "/x/y?token=secret&b=&c");
    let request = Request::new("GET", "/x").host("a.test");
    let request = request.field("Referer", "https://user:secret@b.test/z@?a=b");
    assert_eq!(proxy.ask(request.bytes()).status, 200);
    let line = object(&proxy.logged(&["\"GET\""]));
    assert_eq!(line["referer"], "https://***@b.test/z@?a=***");
}

#[test]
fn a_line_of_text_says_what_policies_and_the_backend_took() {
    let format = "format = \"{scheme} {policies} {upstream-duration} {duration} {path}\"";
    let (proxy, _backend) = logging(format);
    assert_eq!(proxy.ask(asked().bytes()).status, 200);
    let line = proxy.logged(&["/x/y"]);
    let [scheme, policies, upstream, duration, _] =
        line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(scheme, "http");
    let (name, nanoseconds) = policies.split_once('=').unwrap();
    assert_eq!(name, "random");
    assert!(nanoseconds.parse::<u64>().unwrap() > 0, "{line}");
    let seconds = |text: &str| text.parse::<f64>().unwrap();
    assert!(seconds(upstream) <= seconds(duration), "{line}");
    // Nobody was asked, and nothing was sent.
    assert_eq!(proxy.ask(get("a.test", "/fixed")).status, 200);
    let line = proxy.logged(&["/fixed"]);
    assert!(line.starts_with("http - - 0."), "{line}");
}

#[test]
fn common_and_combined_are_what_other_servers_write() {
    for (format, behind) in [
        ("common", String::new()),
        (
            "combined",
            " \"https://b.test/z?token=secret\" \"a \\x22quoted\\x22 \\x5C agent\"".to_owned(),
        ),
    ] {
        let (proxy, _backend) = logging(&format!("format = \"{format}\""));
        assert_eq!(proxy.ask(asked().bytes()).status, 200);
        let line = proxy.logged(&["POST"]);
        let (client, rest) = line.split_once(" - - [").unwrap();
        let (time, rest) = rest.split_once("] ").unwrap();
        assert_eq!(client, "127.0.0.1");
        let shape: String = time
            .chars()
            .map(|c| match c {
                '0'..='9' => '0',
                'a'..='z' | 'A'..='Z' => 'a',
                other => other,
            })
            .collect();
        assert_eq!(shape, "00/aaa/0000:00:00:00 +0000", "{time}");
        let expected = "\"POST /x/y?token=secret&b=&c HTTP/1.1\" 200 10";
        assert_eq!(rest.trim_end(), format!("{expected}{behind}"));
    }
}

#[test]
fn a_template_has_its_facts_and_a_dash_for_what_is_not_known() {
    let template = "{{{client}|{host}|{path}|{query}|{status}|{bytes-from-client}|{route}|{pool}|\
                    {attempts}|{header.X-Odd}|{header.absent}|{user}|{tls-version}|{reason}|end";
    let (proxy, _backend) = logging(&format!("format = '{template}'"));
    let odd = Request::new("GET", "/x/%22?a").host("a.test");
    let odd = odd.field("X-Odd", "line\tend\u{e9}\"");
    assert_eq!(proxy.ask(odd.bytes()).status, 200);
    assert_eq!(
        proxy.logged(&["|a|200|"]).trim_end(),
        "{127.0.0.1|a.test|/x/%22|a|200|0|a.test/x|app|1|line\\x09end\\xC3\\xA9\\x22|-|-|-|-|end"
    );
    // A request of which nothing was understood.
    assert_eq!(proxy.ask("nonsense\r\n\r\n").status, 400);
    let line = proxy.logged(&["|400|"]);
    assert!(
        line.starts_with("{127.0.0.1|-|-|-|400|0|-|-|0|-|-|-|-|"),
        "{line}"
    );
}

#[test]
fn what_is_refused_early_has_its_bytes_and_nothing_of_a_request_before() {
    let backend = TestUpstream::named("backend");
    let authority = Authority::new();
    let edge = authority.issue(&["a.test"]);
    let proxy = builder(
        &backend,
        "format = '{method} {target} {scheme} {status} {bytes-to-client}'",
    )
    .listener("tls = { certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }] }")
    .tables("[[listeners]]\naddress = \"127.0.0.1:0\"\n")
    .file("c.pem", edge.certificate)
    .file("k.pem", edge.key)
    .start();
    let config = Arc::new(authority.client_with(&[], None));
    let [plain_address, secure_address] = proxy.addresses()[..] else {
        panic!("it has two listeners");
    };
    let mut secure = client(secure_address, &config, "a.test");
    assert_eq!(secure.ask(get("a.test", "/x/secure")).status, 200);
    proxy.logged(&["GET /x/secure https 200"]);
    let mut plain = Client::connect(plain_address);
    let answer = plain.ask("GET /bad HTTP/1.1\r\nHost: x\"y\r\n\r\n");
    assert_eq!(answer.status, 400);
    proxy.logged(&[&format!("GET /bad http 400 {}", answer.body.len())]);
    let mut plain = Client::connect(plain_address);
    let scan = "CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n";
    let answer = plain.ask(scan);
    let line = format!("CONNECT b.test:443 http 405 {}", answer.body.len());
    proxy.logged(&[&line]);
}

#[test]
fn a_reload_changes_how_lines_are_written() {
    let backend = TestUpstream::named("backend");
    let proxy = editable(builder(&backend, ""));
    assert_eq!(proxy.ask(get("a.test", "/x/before")).status, 200);
    object(&proxy.logged(&["/x/before"]));
    edit(&proxy, |text| {
        let format = "format = \"{target} of {pool}\"";
        text.replace("[access-log]\n", &format!("[access-log]\n{format}\n"))
    });
    reload(&proxy);
    eventually("lines are written in the new way", || {
        assert_eq!(proxy.ask(get("a.test", "/x/after")).status, 200);
        let found = proxy.stdout.text().contains("\n/x/after of app\n");
        found.then_some(())
    });
}
