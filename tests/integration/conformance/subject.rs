//! A proxy with both policies of a language on it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Language;
use crate::fixtures::{
    Builder, Received, Request, Response, TestProxy, TestUpstream, eventually, guest,
    refusing_address,
};

/// Backends have different names of one length, so that parts of them can be told apart.
const NAMES: [&str; 3] = ["alpha", "bravo", "gamma"];

/// Settings of `header-router`, but for the addresses.
const ROUTER: &str = r#"
header = "X-Tenant"
request = { remove = ["X-Debug"], set = { X-Routed-By = "Zürich €" }, append = { x-trace = "edge" } }
response = { remove = ["Server"], set = { x-from = "policy" }, append = { set-cookie = "c=3" } }
"#;

/// Settings of `conformance`: what a reader of JSON may get wrong.
pub const GREETING: &str = "\"quoted\" \\ \u{8}\u{1f} Grüße 🚀";

/// A language's policies, loaded.
pub struct Subject {
    pub proxy: TestProxy,
    pub backends: [TestUpstream; 3],
    /// Closes each connection when a request has arrived.
    _closes: TestUpstream,
    /// Whether a garbage collector decides what its memory is.
    pub collects: bool,
    /// Lines of a policy's section that give it what it needs.
    needs: &'static str,
    components: [Vec<u8>; 2],
    dead: [SocketAddr; 2],
    _held: [socket2::Socket; 2],
}

/// What a policy is given in a proxy of its own.
pub struct Alone<'a> {
    pub policy: &'a str,
    pub pool: String,
    pub settings: &'a str,
}

impl Subject {
    pub fn start(language: &Language, router: Vec<u8>, conformance: Vec<u8>) -> Self {
        let backends = NAMES.map(backend);
        let closes = TestUpstream::start(|connection| drop(connection.request()));
        let [(one, first), (other, second)] = [refusing_address(), refusing_address()];
        let needs = match language.large {
            true => "memory = \"128MiB\"\ndeadline = \"2s\"\non-failure = 503\n",
            false => "deadline = \"500ms\"\non-failure = 503\n",
        };
        let tables = tables(&backends, closes.address(), [first, second], needs);
        let proxy = TestProxy::builder()
            .environment("WAYPOST_LOG", "info,policy=debug")
            .file("router.wasm", &router)
            .file("conformance.wasm", &conformance)
            // Takes any settings, so that a component can be put in its place that does not.
            .file("probe.wasm", guest("probe"))
            .tables(&tables)
            .start();
        let components = [router, conformance];
        let subject = Self {
            proxy,
            backends,
            _closes: closes,
            collects: language.large,
            needs,
            components,
            dead: [first, second],
            _held: [one, other],
        };
        wait_until_loaded(&subject.proxy);
        subject
    }

    /// An address where nobody listens.
    pub fn dead(&self) -> SocketAddr {
        self.dead[0]
    }

    /// A request with these fields to this host.
    #[track_caller]
    pub fn ask(&self, host: &str, fields: &[(&str, &[u8])]) -> Response {
        self.proxy.ask(request("GET", host, fields))
    }

    /// A request with these commands; what came back and what the backend got.
    #[track_caller]
    pub fn told(&self, commands: &[&[u8]]) -> (Response, Option<Received>) {
        self.told_with(&[], commands)
    }

    /// The same with these fields, too.
    #[track_caller]
    pub fn told_with(
        &self,
        fields: &[(&str, &[u8])],
        commands: &[&[u8]],
    ) -> (Response, Option<Received>) {
        self.told_at("contract.test", fields, commands)
    }

    /// The same of this host.
    #[track_caller]
    pub fn told_at(
        &self,
        host: &str,
        fields: &[(&str, &[u8])],
        commands: &[&[u8]],
    ) -> (Response, Option<Received>) {
        let before = self.received();
        let commands = commands.iter().map(|command| ("x-do", *command));
        let fields: Vec<_> = fields.iter().copied().chain(commands).collect();
        let answer = self.ask(host, &fields);
        let received = self
            .backends
            .iter()
            .zip(before)
            .find_map(|(b, n)| b.received().into_iter().nth(n));
        (answer, received)
    }

    /// What came of these commands of `edit-response`, one after the other.
    #[track_caller]
    pub fn did(&self, commands: &[&str]) -> Vec<String> {
        let commands: Vec<_> = commands
            .iter()
            .map(|command| format!("response {command}").into_bytes())
            .collect();
        let commands: Vec<_> = commands.iter().map(Vec::as_slice).collect();
        let (answer, _) = self.told(&commands);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.head.values("x-did")
    }

    /// Which backend answers.
    #[track_caller]
    pub fn answers(&self, host: &str, fields: &[(&str, &[u8])]) -> usize {
        let answer = self.ask(host, fields);
        assert_eq!(answer.status, 200, "{}", answer.text());
        NAMES
            .iter()
            .position(|name| *name == answer.text())
            .expect("the name of a backend")
    }

    /// The number under this policy.
    #[track_caller]
    pub fn stat(&self, policy: &str, what: &str) -> u64 {
        self.proxy
            .stats()
            .pointer(&format!("/policies/{policy}/{what}"))
            .and_then(|n| n.as_u64())
            .unwrap_or(0)
    }

    /// Waits until `conformance` answers in every hook, and until nothing is held against it any
    /// more.
    #[track_caller]
    pub fn recover(&self) {
        let well = || {
            let (answer, _) = self.told_with(&[("Range", b"bytes=0-")], &[b"response calls"]);
            answer.head.has("x-did").then_some(())
        };
        eventually("the policy answers again", well);
        for _ in 0..4 {
            assert!(well().is_some(), "the policy failed again without a reason");
        }
    }

    /// The reason why a component is refused with the settings of this policy.
    #[track_caller]
    pub fn refusal(&self, policy: &str, component: usize) -> String {
        let answer = self.proxy.put_policy(policy, &self.components[component]);
        assert_eq!(answer.status, 422, "{}", answer.text());
        let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        told["error"].as_str().unwrap().to_owned()
    }

    /// Another proxy, with one of the policies and another list of backends.
    pub fn alone(&self, alone: &Alone<'_>) -> TestProxy {
        self.alone_in(TestProxy::builder(), alone)
    }

    /// The same with more in its configuration.
    pub fn alone_in(&self, builder: Builder, alone: &Alone<'_>) -> TestProxy {
        let Alone {
            policy,
            pool,
            settings,
        } = alone;
        let proxy = builder
            .file("policy.wasm", &self.components[usize::from(*policy == "conformance")])
            .tables(&format!(
                "[pools.main]\nbackends = [{pool}]\n[[routes]]\npool = \"main\"\npolicies = [\"{policy}\"]\n\
                 [policies.{policy}]\ncomponent = \"policy.wasm\"\n{}[policies.{policy}.settings]\n{settings}\n",
                self.needs
            ))
            .start();
        wait_until_loaded(&proxy);
        proxy
    }

    fn received(&self) -> [usize; 3] {
        self.backends
            .each_ref()
            .map(|backend| backend.received().len())
    }
}

/// Bytes of all fields of this name.
pub fn values(head: &crate::fixtures::Head, name: &str) -> Vec<Vec<u8>> {
    head.fields
        .iter()
        .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.clone())
        .collect()
}

pub fn request(method: &str, host: &str, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Request::new(method, "/path?query").host(host).bytes();
    bytes.truncate(bytes.len() - 2);
    for (name, value) in fields {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Answers by its name, with fields that are repeated and not text.
fn backend(name: &str) -> TestUpstream {
    let head =
        "HTTP/1.1 200 OK\r\nServer: secret\r\nX-From: backend\r\nSet-Cookie: a=1\r\nSet-Cookie: b=";
    let tail = format!("\r\nContent-Length: {}\r\n\r\n{name}", name.len());
    TestUpstream::answering([head.as_bytes(), b"\xff\x80", tail.as_bytes()].concat())
}

fn tables(
    backends: &[TestUpstream; 3],
    closes: SocketAddr,
    dead: [SocketAddr; 2],
    needs: &str,
) -> String {
    let [alpha, bravo, gamma] = backends.each_ref().map(TestUpstream::address);
    let [dead, gone] = dead;
    let routes = format!(
        "blue = \"{alpha}\"\ngreen = \"pair\"\nretried = \"half\"\nlost = \"10.9.9.9:80\"\ngone = \"{gone}\"\n\"\u{fffd}\" = \"{bravo}\"\n"
    );
    let mut text = format!(
        "[pools.main]\nmax-failures = 0\nbackends = [\n\
         {{ address = \"{alpha}\", weight = 3, labels = {{ zone = \"a\", name = \"one\" }} }}, \"{bravo}\", \"{dead}\", \"{gone}\", \"{closes}\"]\n\
         [pools.other]\nbackends = [{{ address = \"{bravo}\", weight = 7 }}]\n\
         [pools.routed]\nbackends = [\"{alpha}\",\n\
         {{ address = \"{bravo}\", labels = {{ name = \"pair\" }} }}, {{ address = \"{gamma}\", labels = {{ name = \"pair\" }} }}]\n\
         [pools.failing]\nmax-failures = 1\nfail-timeout = \"10m\"\nbackends = [\"{alpha}\", \"{gone}\"]\n\
         [pools.retried]\nmax-failures = 0\nbackends = [{{ address = \"{alpha}\", labels = {{ name = \"half\" }} }}, {{ address = \"{dead}\", labels = {{ name = \"half\" }} }}]\n\
         [pools.hashed]\nbackends = [\"{alpha}\", \"{bravo}\", \"{gamma}\"]\n\
         [policies.conformance]\ncomponent = \"conformance.wasm\"\n{needs}\n[policies.conformance.settings]\npick = 1\ngreeting = {}\n\
         [policies.router]\ncomponent = \"router.wasm\"\n{needs}\n[policies.router.settings]\n{ROUTER}[policies.router.settings.routes]\n{routes}\
         [policies.hashing]\ncomponent = \"router.wasm\"\n{needs}\n[policies.hashing.settings]\nfallback = \"hash\"\nheader = \"x-tenant\"\n\
         request = {{ append = {{ {} }} }}\n",
        toml_string(GREETING),
        // Two more than one call may edit.
        (0..66)
            .map(|n| format!("x-n{n} = \"{n}\""))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let route = |host: &str, pool: &str, policy: &str| {
        format!("[[routes]]\nhost = \"{host}\"\npool = \"{pool}\"\npolicies = [\"{policy}\"]\n")
    };
    for (host, pool, policy) in [
        ("contract.test", "main", "conformance"),
        ("other.test", "other", "conformance"),
        ("routed.test", "routed", "router"),
        ("retried.test", "retried", "router"),
        ("failing.test", "failing", "router"),
        ("hashed.test", "hashed", "hashing"),
        ("quiet.test", "other", "least-loaded"),
    ] {
        text += &route(host, pool, policy);
    }
    text += &super::ways::tables();
    for (name, settings, _) in super::router::REFUSED.iter().chain(super::hooks::REFUSED) {
        text += &format!(
            "[policies.{name}]\ncomponent = \"probe.wasm\"\n{needs}\n[policies.{name}.settings]\n{settings}\n"
        );
        text += &route(&format!("{name}.test"), "other", name);
    }
    text + "[policies.least-loaded]\nbuiltin = \"least-loaded\"\ndeadline = \"2s\"\n"
}

fn toml_string(text: &str) -> String {
    let escaped = text.chars().map(|letter| match letter {
        '"' | '\\' => format!("\\{letter}"),
        letter if letter.is_control() => format!("\\u{:04X}", u32::from(letter)),
        letter => letter.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Large components are compiled while the proxy serves already.
fn wait_until_loaded(proxy: &TestProxy) {
    // Longer than anything else may take: four runtimes may be compiled at once, and each takes
    // seconds.
    let deadline = Instant::now() + Duration::from_secs(180);
    while proxy.admin(Request::new("GET", "/readyz")).status != 200 {
        assert!(
            Instant::now() < deadline,
            "not loaded; the log:\n{}",
            proxy.stderr.text()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
