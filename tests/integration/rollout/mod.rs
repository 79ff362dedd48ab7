//! Policies deployed like software: shadow, canary, promote, roll back, and what a restart comes
//! back with.

mod absent;
mod canary;
mod explain;
mod generations;
mod shadow;
mod state_dir;
mod strange_files;
mod suspension;

use serde_json::Value;

use crate::fixtures::{Request, Response, TestProxy, TestUpstream, guest};

/// Two backends, `first` and `last`, and a policy `mine` that is `pick-first` for now.
struct Deployed {
    proxy: TestProxy,
    backends: [TestUpstream; 2],
}

/// With this many workers, these lines in the policy's section and these at the top of the file.
fn deployed(workers: usize, lines: &str, keys: &str) -> Deployed {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let proxy = start(&backends, workers, lines, keys, "pick-first");
    Deployed { proxy, backends }
}

fn start(
    backends: &[TestUpstream; 2],
    workers: usize,
    lines: &str,
    keys: &str,
    component: &str,
) -> TestProxy {
    // Only a test of deadlines should depend on how busy the machine is.
    let patience = if lines.contains("deadline") {
        ""
    } else {
        "deadline = \"1s\""
    };
    TestProxy::builder()
        .workers(workers)
        .keys(keys)
        .file("mine.wasm", guest(component))
        .pool_for_all(&[backends[0].address(), backends[1].address()], &["mine"])
        .tables(&format!(
            "[policies.mine]\ncomponent = \"mine.wasm\"\n{patience}\n{lines}"
        ))
        .start()
}

impl Deployed {
    #[track_caller]
    fn put(&self, query: &str, component: &[u8]) -> Response {
        self.proxy
            .admin(Request::new("PUT", &format!("/policies/mine{query}")).body(component))
    }

    /// Puts a test guest, which must be taken.
    #[track_caller]
    fn deploy(&self, query: &str, component: &str) -> Value {
        said(self.put(query, &guest(component)))
    }

    #[track_caller]
    fn ask(&self, method: &str, below: &str) -> Response {
        self.proxy
            .admin(Request::new(method, &format!("/policies/mine/{below}")))
    }

    fn now(&self) -> Value {
        self.proxy.policy("mine")
    }

    /// Which policy edited the answer to one request.
    fn decides(&self) -> String {
        self.proxy
            .get("a.test", "/")
            .value("x-policy")
            .unwrap_or_default()
    }

    /// One request that tells the probe's `select` to do this; other policies don't listen.
    fn told(&self, action: &str) -> Response {
        self.proxy.ask(
            Request::new("GET", "/")
                .host("a.test")
                .field("X-Probe-Select", action)
                .bytes(),
        )
    }
}

/// What an answer of the admin listener says, if it says yes.
#[track_caller]
fn said(answer: Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// The states that the history tells for this generation, oldest first.
fn states(policy: &Value, generation: u64) -> Vec<String> {
    let history = policy["history"].as_array().unwrap().iter().rev();
    history
        .filter(|e| e["generation"] == generation)
        .map(|e| e["state"].as_str().unwrap().to_owned())
        .collect()
}
