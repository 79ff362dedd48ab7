//! What is known of a client's connection: in policies, in the access log, in recordings and in
//! what they replay.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::SanType;
use serde_json::{Value, json};

use crate::fixtures::http2::block_on;
use crate::fixtures::tls::{self, Authority, Issued};
use crate::fixtures::{
    Client, Request, TestProxy, TestUpstream, guest, repository, response, waypost,
};

const NONE: &str = "HttpVersion::Http11 None None None None None []";
/// In which field the probe is asked, and in which it answers.
const ASK: &str = "x-probe-request";
const TOLD: &str = "x-probe-connection";

/// A proxy with one worker, a listener that asks for certificates, and one without TLS.
struct Probed {
    proxy: TestProxy,
    authority: Authority,
    upstream: TestUpstream,
    identity: Issued,
}

impl Probed {
    fn start(tables: &str) -> Self {
        let authority = Authority::new();
        let upstream = TestUpstream::answering(response("200 OK", &[], "a"));
        let proxy = TestProxy::builder()
            .file("probe.wasm", guest("probe"))
            .file("edge.pem", authority.issue(&["edge.test"]).both())
            .file("clients.pem", authority.pem())
            .listener(
                "tls = { certificates = [\"edge.pem\"], client-ca = \"clients.pem\", \
                 client-certificate = \"optional\" }",
            )
            .pool_for_all(&[upstream.address()], &["probe"])
            .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"\n")
            .tables(&format!(
                "[[listeners]]\naddress = \"127.0.0.1:0\"\n{tables}"
            ))
            .start();
        let name = SanType::URI("spiffe://a.test/web".try_into().unwrap());
        Self {
            identity: authority.identify("client 7", &[name]),
            proxy,
            authority,
            upstream,
        }
    }

    fn encrypted(&self) -> SocketAddr {
        self.proxy.addresses()[1]
    }

    fn plain(&self) -> SocketAddr {
        self.proxy.addresses()[0]
    }

    /// What the policy has read in the last request.
    fn read(&self) -> String {
        let last = self.upstream.received().pop().unwrap();
        last.value(TOLD).unwrap()
    }

    /// A request by HTTP/1.1 over TLS.
    fn ask(&self, identity: Option<&Issued>) -> String {
        let config = self.authority.client_with(&["http/1.1"], identity);
        let mut client = tls::client(self.encrypted(), &Arc::new(config), "edge.test");
        assert_eq!(client.ask(request("/tls")).status, 200);
        self.read()
    }

    /// A request by HTTP/2 over TLS, from the client with the certificate.
    fn ask_by_http2(&self) -> String {
        let config = self.authority.client_with(&["h2"], Some(&self.identity));
        block_on(async {
            let client = tls::http2(self.encrypted(), &Arc::new(config), "edge.test").await;
            let request = http::Request::get("https://edge.test/h2").header(ASK, "connection");
            let answer = client.ask(request.body(()).unwrap(), b"").await;
            assert_eq!(answer.unwrap().status, 200);
        });
        self.read()
    }

    fn ask_plainly(&self) -> String {
        let answer = Client::connect(self.plain()).ask(request("/plain"));
        assert_eq!(answer.status, 200);
        self.read()
    }

    fn line(&self, target: &str) -> Value {
        serde_json::from_str(&self.proxy.logged(&[target])).unwrap()
    }
}

fn request(path: &str) -> Vec<u8> {
    let request = Request::new("GET", path).host("edge.test");
    request.field(ASK, "connection").bytes()
}

/// The policy of the cookbook.
#[test]
fn clients_are_let_in_by_the_names_in_their_certificates() {
    let authority = Authority::new();
    let upstream = TestUpstream::answering(response("200 OK", &[], "a"));
    let component =
        repository().join("guest-policies/cookbook/client-certificate/client-certificate.wasm");
    let proxy = TestProxy::builder()
        .file("policy.wasm", std::fs::read(component).unwrap())
        .file("edge.pem", authority.issue(&["edge.test"]).both())
        .file("clients.pem", authority.pem())
        .listener(
            "tls = { certificates = [\"edge.pem\"], client-ca = \"clients.pem\", \
             client-certificate = \"optional\" }",
        )
        .pool_for_all(&[upstream.address()], &["partners"])
        .tables(
            "[policies.partners]\ncomponent = \"policy.wasm\"\non-failure = 403\n\
             deadline = \"2s\"\n[policies.partners.settings]\nfield = \"x-client-name\"\n\
             allow = [\"URI:spiffe://a.test/web/*\"]",
        )
        .start();
    let named = |uri: &str| authority.identify("a", &[SanType::URI(uri.try_into().unwrap())]);
    let (ours, other) = (
        named("spiffe://a.test/web/7"),
        named("spiffe://b.test/web/7"),
    );
    for (identity, status) in [(Some(&ours), 200), (Some(&other), 403), (None, 403)] {
        let config = Arc::new(authority.client_with(&["http/1.1"], identity));
        let mut client = tls::client(proxy.address(), &config, "edge.test");
        let request = Request::new("GET", "/").host("edge.test");
        let request = request.field("X-Client-Name", "URI:spiffe://a.test/web/1");
        assert_eq!(client.ask(request.bytes()).status, status);
    }
    let received = upstream.received();
    assert_eq!(received.len(), 1);
    let name = received[0].value("x-client-name");
    assert_eq!(name.as_deref(), Some("URI:spiffe://a.test/web/7"));
}

/// All of one worker, whose heads are used again.
#[test]
fn a_policy_reads_the_connection_of_its_own_request_and_of_no_other() {
    let this = Probed::start("");
    let certificate = "Some(\"CN=client 7\") [SubjectName::Uri(\"spiffe://a.test/web\")]";
    let encrypted = |told: &str, end: &str| {
        assert!(
            told.contains("Some(TlsVersion::Tls13) Some(\"TLS_"),
            "{told}"
        );
        assert!(told.ends_with(end), "{told}");
    };
    for _ in 0..2 {
        let told = this.ask(Some(&this.identity));
        let end = format!("Some(\"edge.test\") Some(\"http/1.1\") {certificate}");
        encrypted(&told, &end);
        assert_eq!(this.ask_plainly(), NONE);
        let told = this.ask(None);
        encrypted(&told, "Some(\"edge.test\") Some(\"http/1.1\") None []");
        let told = this.ask_by_http2();
        assert!(told.starts_with("HttpVersion::Http2 "), "{told}");
        encrypted(&told, &format!("Some(\"h2\") {certificate}"));
        assert_eq!(this.ask_plainly(), NONE);
    }
}

#[test]
fn a_line_of_the_access_log_has_the_tls_session() {
    let this = Probed::start("");
    this.ask(Some(&this.identity));
    let line = this.line("/tls");
    let suite = line["tls"]["cipher_suite"].as_str().unwrap();
    assert!(suite.starts_with("TLS_"), "{line}");
    let expected = json!({
        "version": "TLSv1.3", "cipher_suite": suite, "server_name": "edge.test",
        "application_protocol": "http/1.1", "client_subject": "CN=client 7",
    });
    assert_eq!(line["tls"], expected);
    this.ask_plainly();
    assert_eq!(this.line("/plain").get("tls"), None);
}

#[test]
fn a_trace_begins_with_the_tls_session() {
    let this = Probed::start("");
    let answer = this.proxy.admin(Request::new("POST", "/explain")).text();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let token = answer["token"].as_str().unwrap();
    let config = this
        .authority
        .client_with(&["http/1.1"], Some(&this.identity));
    let mut client = tls::client(this.encrypted(), &Arc::new(config), "edge.test");
    let request = Request::new("GET", "/").host("edge.test");
    let answer = client.ask(request.field("X-Waypost-Explain", token).bytes());
    let trace = answer.value("x-waypost-trace").unwrap();
    let begin = "request;protocol=\"HTTP/1.1\", tls;version=\"TLSv1.3\";cipher-suite=\"TLS_";
    assert!(trace.starts_with(begin), "{trace}");
    let rest = ";server-name=\"edge.test\";application-protocol=\"http/1.1\", \
                client;subject=\"CN=client 7\", ";
    assert!(trace.contains(rest), "{trace}");
}

#[test]
fn a_recording_holds_the_connection_and_a_replay_gives_it_again() {
    let record = "[record]\nfile = \"requests.jsonl\"\nsample = 1.0\n";
    let mut this = Probed::start(record);
    this.ask(Some(&this.identity));
    this.ask_by_http2();
    this.ask_plainly();
    this.proxy.signal("TERM");
    assert_eq!(this.proxy.exit_code(), 0);

    let folder = this.proxy.scratch.path();
    let text = std::fs::read_to_string(folder.join("requests.jsonl")).unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seen: Vec<_> = lines[1..]
        .iter()
        .map(|line| {
            let request = &line["request"];
            let own = &request["tls"]["client_certificate"];
            let (subject, names) = (own["subject"].as_str(), own["names"][0].as_str());
            (request["protocol"].as_str().unwrap(), subject, names)
        })
        .collect();
    let own = (Some("CN=client 7"), Some("URI:spiffe://a.test/web"));
    assert_eq!(
        seen,
        [
            ("HTTP/1.1", own.0, own.1),
            ("HTTP/2", own.0, own.1),
            ("HTTP/1.1", None, None)
        ]
    );
    assert_eq!(differing(folder, "requests.jsonl"), 0);

    // One of before there were facts: they read as absent, so the two with TLS differ.
    for line in &mut lines[1..] {
        let request = line["request"].as_object_mut().unwrap();
        request.remove("protocol");
        request.remove("tls");
    }
    let older: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.join("older.jsonl"), older).unwrap();
    assert_eq!(differing(folder, "older.jsonl"), 2);
}

/// The answers of the probe that differ in a replay.
#[track_caller]
fn differing(folder: &Path, recording: &str) -> u64 {
    let command = [
        "policy",
        "replay",
        "probe.wasm",
        recording,
        "--format",
        "json",
    ];
    let exit = waypost(command, folder);
    let told: Value =
        serde_json::from_str(&exit.stdout).unwrap_or_else(|e| panic!("{e}: {exit:?}"));
    assert_eq!(told["recording"]["lines_passed_over"], 0, "{told:#}");
    told["differing"].as_u64().unwrap()
}
