//! What policies hear of requests that are over.

mod beside;
mod changes;
mod endings;
mod facts;
mod recorded;
mod trials;

use crate::fixtures::{Builder, Request, TestProxy, TestUpstream, eventually, guest};

/// A proxy whose policy keeps what it hears, with these lines in its section and in the pool's.
fn hearing_builder(backends: &[&TestUpstream], lines: &str, pool: &str) -> Builder {
    let backends: Vec<String> = backends
        .iter()
        .map(|backend| format!("\"{}\"", backend.address()))
        .collect();
    let patience = match lines.contains("deadline") {
        true => "",
        false => "deadline = \"2s\"",
    };
    TestProxy::builder()
        .file("hearer.wasm", guest("hearer"))
        .tables(&format!(
            "[pools.x]\nbackends = [{}]\n{pool}\n\
             [[routes]]\npool = \"x\"\npolicies = [\"hearer\"]\n\
             [policies.hearer]\ncomponent = \"hearer.wasm\"\n{patience}\n{lines}\n",
            backends.join(", ")
        ))
}

fn hearing(backends: &[&TestUpstream]) -> TestProxy {
    hearing_builder(backends, "", "").start()
}

/// A GET with this id, of which the policy keeps what it hears.
fn request(id: &str) -> Request {
    Request::new("GET", "/").host("a.test").field("X-Id", id)
}

/// What the policy has heard by this id.
struct Heard(String);

impl Heard {
    /// The value of this key.
    #[track_caller]
    fn value(&self, key: &str) -> &str {
        let found = self.0.split(' ').find_map(|word| word.split_once('='));
        assert!(found.is_some(), "{}", self.0);
        let mut words = self.0.split(' ').filter_map(|word| word.split_once('='));
        let found = words.find(|(known, _)| *known == key);
        found.unwrap_or_else(|| panic!("no {key} in {}", self.0)).1
    }

    #[track_caller]
    fn number(&self, key: &str) -> u64 {
        let value = self.value(key);
        value
            .parse()
            .unwrap_or_else(|_| panic!("{key}: {}", self.0))
    }

    /// Whether these keys have these values.
    #[track_caller]
    fn has(&self, expected: &str) -> &Self {
        for word in expected.split(' ') {
            let (key, value) = word.split_once('=').unwrap();
            assert_eq!(self.value(key), value, "{key} in {}", self.0);
        }
        self
    }
}

/// How often the policy has heard of this id, and what at last.
fn asked(proxy: &TestProxy, id: &str) -> (u64, Heard) {
    let read = Request::new("GET", "/").host("a.test").field("X-Read", id);
    let text = proxy.ask(read.bytes()).text();
    let (count, heard) = text.split_once(' ').unwrap_or(("0", ""));
    (count.parse().unwrap_or(0), Heard(heard.to_owned()))
}

/// Waits until it has heard of this id, which must be once.
#[track_caller]
fn heard(proxy: &TestProxy, id: &str) -> Heard {
    let (count, heard) = eventually(&format!("it hears of {id}"), || {
        let (count, heard) = asked(proxy, id);
        (count > 0).then_some((count, heard))
    });
    assert_eq!(count, 1, "{id}: {}", heard.0);
    heard
}
