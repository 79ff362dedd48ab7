//! The cookbook's policies behind a real proxy: each does what the top of its source says, and the
//! settings there are right.

mod balancing;
mod documented;
mod guards;
mod loads;
mod visitors;
mod ways;

use std::net::{IpAddr, SocketAddr};

use crate::fixtures::{Client, Request, Response, TestProxy, TestUpstream, repository};

/// The policies, by the names of their folders.
fn names() -> Vec<String> {
    let folder = repository().join("guest-policies/cookbook");
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let folders = entries.map(|e| e.unwrap()).filter(|e| e.path().is_dir());
    let mut names: Vec<String> = folders
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn component(name: &str) -> Vec<u8> {
    let path = repository()
        .join("guest-policies/cookbook")
        .join(name)
        .join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A proxy with this policy, these settings (TOML) and backends that answer with their names; a
/// backend's labels are a TOML table.
struct Kitchen {
    proxy: TestProxy,
    _backends: Vec<TestUpstream>,
}

impl Kitchen {
    fn new(policy: &str, settings: &str, labels: &[&str]) -> Self {
        let backends: Vec<TestUpstream> = (0..labels.len())
            .map(|n| TestUpstream::named(&n.to_string()))
            .collect();
        let listed = backends
            .iter()
            .map(TestUpstream::address)
            .zip(labels.iter().copied())
            .collect::<Vec<_>>();
        Kitchen {
            proxy: proxy(policy, settings, &listed),
            _backends: backends,
        }
    }

    /// Which backend answers a request for this path with these fields.
    #[track_caller]
    fn served(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.ask(path, fields);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    #[track_caller]
    fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.proxy.ask(request(path, fields))
    }

    /// The same from a client with this address of the machine itself.
    #[track_caller]
    fn ask_from(&self, client: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let client: IpAddr = client.parse().unwrap();
        Client::connect_from(client, self.proxy.address()).ask(request(path, fields))
    }

    fn counted(&self, counter: &str) -> u64 {
        self.proxy.stat(&format!("/policies/it/counters/{counter}"))
    }
}

fn proxy(policy: &str, settings: &str, backends: &[(SocketAddr, &str)]) -> TestProxy {
    let listed: Vec<String> = backends
        .iter()
        .map(|(address, labels)| format!("{{ address = \"{address}\", labels = {labels} }}"))
        .collect();
    // Which backend is chosen is asserted: on a busy machine one must not be avoided as stalled.
    TestProxy::builder()
        .file("policy.wasm", component(policy))
        .tables(&format!(
            "[pools.web]\nbackends = [{}]\nejection = {{ stalled-after = \"0s\" }}\n[[routes]]\npool = \"web\"\npolicies = [\"it\"]\n\
             [policies.it]\ncomponent = \"policy.wasm\"\ndeadline = \"1s\"\n[policies.it.settings]\n{settings}\n",
            listed.join(", ")
        ))
        .start()
}

fn request(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let request = Request::new("GET", path).host("a.test");
    fields
        .iter()
        .fold(request, |request, (name, value)| request.field(name, value))
        .bytes()
}
