//! What a proxy exports that has something of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use super::promql::selectors;
use crate::fixtures::tls::Authority;
use crate::fixtures::{
    self, NameServer, Request, TestProxy, TestUpstream, TlsBackend, eventually, guest,
    refusing_address,
};

/// What the older text format says of a metric.
#[derive(Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    /// Whether it has samples at all.
    pub(super) sampled: bool,
    /// The labels of its samples, in the order in which they are written.
    pub(super) labels: Vec<String>,
    /// What they were seen to be.
    pub(super) values: BTreeMap<String, BTreeSet<String>>,
}

/// By name, in the order of `/metrics`.
pub(super) type Families = Vec<(String, Family)>;

/// All of them, each with samples. One proxy for all tests of this room.
pub(super) fn families() -> &'static Families {
    static FAMILIES: OnceLock<Families> = OnceLock::new();
    FAMILIES.get_or_init(|| {
        let text = exported();
        // For `promtool check metrics`.
        if let Some(path) = std::env::var_os("WAYPOST_WRITE_METRICS") {
            std::fs::write(path, &text).unwrap();
        }
        read(&text)
    })
}

/// The family of a series, which of a histogram has several names.
pub(super) fn family_of(series: &str) -> Option<&'static Family> {
    let named = |name: &str| families().iter().find(|(n, _)| n == name).map(|(_, f)| f);
    let parts = ["_bucket", "_sum", "_count"].iter();
    named(series).filter(|f| f.kind != "histogram").or_else(|| {
        let mut base = parts.filter_map(|part| series.strip_suffix(part));
        base.find_map(named).filter(|f| f.kind == "histogram")
    })
}

fn read(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# HELP ") {
            let (name, help) = comment.split_once(' ').unwrap();
            let help = help.to_owned();
            let family = Family {
                help,
                ..Family::default()
            };
            families.push((name.to_owned(), family));
            continue;
        }
        let (name, family) = families.last_mut().unwrap();
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            comment
                .strip_prefix(name.as_str())
                .unwrap()
                .trim()
                .clone_into(&mut family.kind);
            continue;
        }
        let [sample] = selectors(line).try_into().ok().unwrap();
        assert!(sample.metric.starts_with(name.as_str()), "{line}");
        family.sampled = true;
        for matcher in sample.matchers.into_iter().filter(|m| m.label != "le") {
            if !family.labels.contains(&matcher.label) {
                family.labels.push(matcher.label.clone());
            }
            let values = family.values.entry(matcher.label).or_default();
            values.insert(matcher.value);
        }
    }
    families
}

/// The text of `/metrics`.
fn exported() -> String {
    let upstream = TestUpstream::named("a");
    let (_held, nobody) = refusing_address();
    let names = NameServer::start();
    names.addresses("a.test", &["127.0.0.1"]);
    let authority = Authority::new();
    let certificate = authority.issue(&["edge.test"]);
    let address = upstream.address();
    let unknown = fixtures::Authority::new().sign(&["localhost"]);
    let distrusted = TlsBackend::start(fixtures::Authority::server(&unknown, &[]));
    let distrusted = distrusted.address();
    let file = format!("[{{ \"address\": \"{address}\", \"weight\": 2 }}]");
    let proxy = TestProxy::builder()
        .keys("state-dir = \"state\"")
        .file("mine.wasm", guest("pick-first"))
        .file("edge.pem", certificate.both())
        .file("ca.pem", authority.pem())
        .file("backends.json", file)
        .tables(&format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ acme = [\"ordered.test\"] }}\n\
             [acme]\ndirectory = \"https://localhost:{}/dir\"\nterms-agreed = true\n\
             contact = \"admin@edge.test\"\nca = \"ca.pem\"\n\
             [resolver]\nservers = [\"{}\"]\n\
             [policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"2s\"\n\
             [policies.limit]\nbuiltin = \"rate-limit\"\ndeadline = \"2s\"\n\
             [policies.limit.settings]\nrate = 1000\n\
             [pools.all]\nfile = \"backends.json\"\nmax-connections = 10\nmax-requests = 100\n\
             [pools.named]\nbackends = [\"a.test:{}\"]\n\
             [pools.away]\nbackends = [\"{nobody}\"]\n\
             health = {{ kind = \"tcp\", interval = \"1s\" }}\n\
             [pools.strange]\nbackends = [\"{distrusted}\"]\ntls = true\n\
             [[routes]]\nhost = \"a.test\"\npool = \"named\"\npolicies = []\n\
             [[routes]]\nhost = \"away.test\"\npool = \"away\"\npolicies = []\n\
             [[routes]]\nhost = \"strange.test\"\npool = \"strange\"\npolicies = []\n\
             [[routes]]\npool = \"all\"\npolicies = [\"limit\", \"mine\"]\n",
            nobody.port(),
            names.address(),
            address.port(),
        ))
        .listener("tls.certificates = [\"edge.pem\"]")
        .start();
    let shadow = Request::new("PUT", "/policies/mine?mode=shadow").body(guest("pick-last"));
    let deployed = proxy.admin(shadow);
    assert_eq!(deployed.status, 200, "{}", deployed.text());
    assert_eq!(proxy.get("b.test", "/").text(), "a");
    for host in ["away.test", "strange.test"] {
        assert_eq!(proxy.get(host, "/").status, 502);
    }
    eventually("the request is counted in all families", || {
        let text = proxy.admin(Request::new("GET", "/metrics")).text();
        let counted = [
            "waypost_requests_total{status=\"200\"} 1",
            "policy_counts_total{",
            "backend_handshake_failures_total{",
            "backend_probes_failed_total{",
        ];
        counted.iter().all(|c| text.contains(c)).then_some(text)
    })
}
