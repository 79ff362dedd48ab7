//! What `conformance` shows of where requests go, and of responses that no backend has made, in
//! every language.

use super::Case;
use super::hooks::served;
use super::hostile::fails_at;
use super::subject::{Alone, Subject, values};
use crate::fixtures::{Received, Request, Response, TestProxy};
use crate::forward_proxy::users::{SECRET, basic};
use crate::forward_proxy::{THIS_MACHINE, assert_open, client, connect_with, refused};

pub const CASES: &[Case] = &[
    ("routing: a pool by its index, or none", pools),
    ("routing: a fault, or an answer to the client", no_pools),
    ("request-target: path, query and host", targets),
    ("request-target: every error of an edit", target_errors),
    (
        "request-target: a fault, or an answer to the client",
        no_targets,
    ),
    (
        "local-response: answers of policies and of the proxy",
        local,
    ),
    (
        "local-response: a fault leaves the response as it was",
        local_fault,
    ),
    (
        "destination: refused, left to the rules, or by a pool",
        destinations,
    ),
    (
        "destination: what is read, and who has signed in",
        destination_reads,
    ),
    ("destination: a fault", destination_faults),
];

/// Routes with something to decide, and a forward proxy.
pub fn tables() -> String {
    let forward = forward();
    format!(
        "[[routes]]\nhost = \"ways.test\"\npolicies = [\"conformance\"]\n\
         pools = [{{ pool = \"main\" }}, {{ pool = \"other\", weight = 0 }}]\n\
         policies-may-edit = [\"path\", \"query\", \"host\"]\n\
         [[routes]]\nhost = \"query.test\"\npool = \"main\"\npolicies = [\"conformance\"]\n\
         policies-may-edit = \"query\"\n{forward}"
    )
}

fn forward() -> String {
    format!(
        "[forward]\nlisten = \"127.0.0.1:0\"\n{THIS_MACHINE}\n\
         policies = [\"conformance\"]\npools = [\"other\"]\n"
    )
}

/// A request with these commands, of which the first backend takes what is not sent elsewhere.
#[track_caller]
fn told(subject: &Subject, host: &str, commands: &[&str]) -> (Response, Option<Received>) {
    let first = [b"select pick 0".as_slice()].into_iter();
    let commands: Vec<&[u8]> = first.chain(commands.iter().map(|c| c.as_bytes())).collect();
    subject.told_at(host, &[], &commands)
}

#[track_caller]
fn text(subject: &Subject, host: &str, commands: &[&str]) -> (u16, String) {
    let answer = told(subject, host, commands).0;
    (answer.status, answer.text())
}

fn pools(subject: &Subject) {
    for (commands, name) in [
        (&["route none"][..], "alpha"),
        (&["route pool other"], "bravo"),
        (&["route pool main"], "alpha"),
        (&["route pool failing"], "alpha"),
        (&["route index 1"], "bravo"),
        (&["route index 1", "route none"], "alpha"),
    ] {
        served(&told(subject, "ways.test", commands).0, name);
    }
    let commands = ["route pool other", "response topology"];
    let did = told(subject, "ways.test", &commands).0.value("x-did");
    let did = did.unwrap();
    assert!(did.starts_with("other "), "the pool of the request: {did}");
    let tell = text(subject, "ways.test", &["route tell"]);
    assert_eq!(tell, (403, "main main,other".to_owned()));
    // Where there is nothing to choose, nothing is asked.
    served(&told(subject, "query.test", &["route trap"]).0, "alpha");
}

fn no_pools(subject: &Subject) {
    let (answer, received) = told(subject, "ways.test", &["route refuse 418"]);
    assert_eq!((answer.status, received.is_some()), (418, false));
    assert_eq!(answer.head.values("set-cookie"), ["a=1", "b=2"]);
    fails_at(subject, "ways.test", "route index 2", "invalid");
    fails_at(subject, "ways.test", "route index 4294967295", "invalid");
    fails_at(subject, "ways.test", "route refuse 199", "invalid");
    fails_at(subject, "ways.test", "route trap", "traps");
}

/// Host and target, as the backend got them.
#[track_caller]
fn sent(subject: &Subject, host: &str, commands: &[&str]) -> String {
    let (answer, received) = told(subject, host, commands);
    served(&answer, "alpha");
    let received = received.unwrap();
    format!("{} {}", received.value("host").unwrap(), received.target())
}

fn targets(subject: &Subject) {
    for (commands, expected) in [
        (&[][..], "ways.test /path?query"),
        (&["target path /v2/a%20b"], "ways.test /v2/a%20b?query"),
        (&["target query a=%20b&c"], "ways.test /path?a=%20b&c"),
        (&["target query "], "ways.test /path?"),
        (&["target no-query"], "ways.test /path"),
        (&["target host [::1]:81"], "[::1]:81 /path?query"),
        (
            &["target path /a", "target no-query", "target host b.test"],
            "b.test /a",
        ),
    ] {
        assert_eq!(sent(subject, "ways.test", commands), expected);
    }
    let read = text(subject, "ways.test", &["target tell"]);
    assert_eq!(read, (200, "/path ?query ways.test".to_owned()));
    let commands = ["target no-query", "target host b:1", "target tell"];
    let read = text(subject, "ways.test", &commands);
    assert_eq!(read, (200, "/path none b:1 ok ok".to_owned()));
    let (answer, received) = told(subject, "ways.test", &["target path /a", "response echo"]);
    let did = answer.value("x-did").unwrap();
    assert_eq!(received.unwrap().target(), "/a?query");
    assert!(
        did.contains(" ways.test /path ?query "),
        "the request stays: {did}"
    );
}

fn target_errors(subject: &Subject) {
    let edits = [
        "target path a",
        "target path /a/../b",
        "target path /a%2Fb",
        "target query a b",
        "target host a/b",
        "target tell",
    ];
    let invalid = " invalid".repeat(5);
    let read = text(subject, "ways.test", &edits);
    assert_eq!(read, (200, format!("/path ?query ways.test{invalid}")));
    let edits = [
        "target path /a",
        "target query q",
        "target host b",
        "target tell",
    ];
    let read = text(subject, "query.test", &edits);
    let outcomes = "not-allowed ok not-allowed";
    assert_eq!(read, (200, format!("/path ?q query.test {outcomes}")));
    assert_eq!(
        sent(subject, "query.test", &edits[..3]),
        "query.test /path?q"
    );
    // The 65th edit is one too many.
    let many = [&["target query q"; 65][..], &["target tell"]].concat();
    let (_, read) = text(subject, "query.test", &many);
    assert!(read.ends_with(" ok too-many"), "{read}");
    // Where nothing may be edited, nothing is asked.
    served(&told(subject, "contract.test", &["target trap"]).0, "alpha");
}

fn no_targets(subject: &Subject) {
    let (answer, received) = told(
        subject,
        "ways.test",
        &["target path /a", "target refuse 409"],
    );
    assert_eq!((answer.status, received.is_some()), (409, false));
    assert_eq!(answer.text(), "refused by target");
    fails_at(subject, "ways.test", "target trap", "traps");
    fails_at(subject, "ways.test", "target loop", "deadlines");
}

fn local(subject: &Subject) {
    let commands: [&[u8]; 6] = [
        b"request refuse 429",
        b"local answer",
        b"local append set-cookie c=\xfe",
        b"local set content-length 1",
        b"local first x-refused",
        b"local refuse 500",
    ];
    let (answer, _) = subject.told(&commands);
    assert_eq!(
        (answer.status, answer.text()),
        (429, "refused by request".to_owned())
    );
    let cookies = [b"a=1".as_slice(), b"b=2", b"c=\xfe"];
    assert_eq!(values(&answer.head, "set-cookie"), cookies);
    let did = answer.head.values("x-did");
    assert_eq!(did[..3], ["429 policy", "ok", "forbidden"]);
    assert_eq!(did[3], super::hooks::hex(b"request"));
    // No backend listens there.
    let commands = [b"select pick 2".as_slice(), b"local answer", b"local echo"];
    let (answer, _) = subject.told(&commands);
    let echo = "GET http contract.test /path ?query 127.0.0.1";
    assert_eq!(
        (answer.status, answer.head.has("proxy-status")),
        (502, true)
    );
    assert_eq!(answer.head.values("x-did"), ["502 proxy", echo]);
    // A backend's response is none of these.
    let (answer, _) = subject.told(&[b"local answer"]);
    assert_eq!((answer.status, answer.value("x-did")), (200, None));
}

fn local_fault(subject: &Subject) {
    subject.recover();
    let before = subject.stat("conformance", "traps");
    let commands = [
        b"request refuse 429".as_slice(),
        b"local set x-a b",
        b"local trap",
    ];
    let (answer, _) = subject.told(&commands);
    assert_eq!((answer.status, answer.value("x-a")), (429, None));
    assert_eq!(answer.head.values("x-refused"), ["request"]);
    assert_eq!(subject.stat("conformance", "traps"), before + 1);
    subject.recover();
}

/// A GET of the forward proxy with this command.
fn forwarded(proxy: &TestProxy, to: &str, command: &str) -> Response {
    let request = Request::new("GET", &format!("http://{to}/path")).host(to);
    client(proxy).ask(request.field("x-do", command).bytes())
}

/// The status and the text of the answer to a CONNECT with this command.
fn connected(proxy: &TestProxy, to: &str, lines: &str) -> (u16, String) {
    let answer = client(proxy).ask(connect_with(to, lines));
    (answer.status, answer.text())
}

fn destinations(subject: &Subject) {
    let proxy = &subject.proxy;
    let alpha = subject.backends[0].address().to_string();
    served(&forwarded(proxy, &alpha, "decide none"), "alpha");
    served(
        &forwarded(proxy, "outside.test", "decide pool other"),
        "bravo",
    );
    served(
        &forwarded(proxy, "outside.test:81", "decide index 0"),
        "bravo",
    );
    let mut tunnel = client(proxy);
    tunnel.send(connect_with(
        "outside.test:443",
        "x-do: decide pool other\r\n",
    ));
    assert_open(&mut tunnel);
    served(
        &tunnel.ask(Request::new("GET", "/").host("a").bytes()),
        "bravo",
    );
    let before = subject.backends[0].received().len();
    let answer = forwarded(proxy, &alpha, "decide refuse 451");
    assert_eq!(
        (answer.status, answer.text()),
        (451, "refused by decide".to_owned())
    );
    assert_eq!(values(&answer.head, "x-bytes"), [b"\xff\x80"]);
    let lines = "x-do: decide refuse 451\r\nx-do: local answer\r\n";
    let answer = client(proxy).ask(connect_with(&alpha, lines));
    assert_eq!(
        (answer.status, answer.text()),
        (451, "refused by decide".to_owned())
    );
    assert_eq!(answer.value("x-did"), None, "no other hook is called");
    assert_eq!(subject.backends[0].received().len(), before);
    // What the rules refuse, no policy allows.
    assert_eq!(refused(proxy, "10.0.0.1:80").0, 403);
}

fn destination_reads(subject: &Subject) {
    let tell = "x-do: decide tell\r\n";
    let read = connected(&subject.proxy, "B.test.:8443", tell);
    assert_eq!(read, (403, "b.test 8443 none 4294967295 other".to_owned()));
    let answer = forwarded(&subject.proxy, "[::1]", "decide tell");
    assert_eq!(answer.text(), "[::1] 80 none 4294967295 other");
    let pool = format!("\"{}\"", subject.backends[0].address());
    let builder = TestProxy::builder().file("users", format!("Zo\u{eb}:{SECRET}\n"));
    let builder = builder.tables(
        "[forward]\nlisten = \"127.0.0.1:0\"\npolicies = [\"conformance\"]\n\
         authentication = { file = \"users\" }\n",
    );
    let proxy = subject.alone_in(
        builder,
        &Alone {
            policy: "conformance",
            pool,
            settings: "",
        },
    );
    let lines = basic("Zo\u{eb}", "secret") + tell;
    let read = connected(&proxy, "a.test:443", &lines);
    assert_eq!(
        read,
        (403, "a.test 443 Zo\u{eb} 4294967295 none".to_owned())
    );
}

fn destination_faults(subject: &Subject) {
    for (command, counter) in [
        ("decide index 1", "invalid"),
        ("decide index 4294967295", "invalid"),
        ("decide trap", "traps"),
    ] {
        subject.recover();
        let before = subject.stat("conformance", counter);
        let alpha = subject.backends[0].address().to_string();
        assert_eq!(
            forwarded(&subject.proxy, &alpha, command).status,
            503,
            "{command}"
        );
        assert_eq!(
            subject.stat("conformance", counter),
            before + 1,
            "{command}"
        );
        subject.recover();
    }
}
