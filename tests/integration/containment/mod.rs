//! Containment, proven: whatever a policy does, its requests get the answer of its failure mode,
//! everybody else's get the right one, and the process is as it was before.
//!
//! Every test here has a [`Bystander`]: another route with another policy, asked all the time on
//! the worker that the bad policy is on. There is one worker, so that there is no other to hide on.
//! What is proven elsewhere is not repeated: `policy_faults` has the failure modes, `policy_hooks`
//! the edits that are refused one by one, `hot_swap` the refusals of a `PUT`. How long the answers
//! take is measured and not asserted: `bench/containment` writes the latencies of the bad policy's
//! requests (its deadline and 5 ms) and of the bystander's.

mod answers;
mod components;
mod floods;
mod hooks;
mod setup;
mod text;
mod ways_out;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::fixtures::{Client, Request, Response, TestProxy, TestUpstream, eventually, get, guest};

/// The hooks of a request, as the fields of `probe` name them.
const HOOKS: [&str; 4] = ["Range", "Request", "Select", "Response"];
/// What the process may have kept, in KiB, after all is said and done: the allocator's own, and
/// pages that stay in a pool of instances so that the next is quick.
const KEPT: u64 = 32 * 1024;

/// A proxy with a policy `bad` on the route of `bad.test`, and a bystander.
struct Contained {
    proxy: TestProxy,
    client: RefCell<Client>,
    bystander: Bystander,
    _backends: [TestUpstream; 2],
}

/// What is to be the same afterwards.
struct AtRest {
    memory: u64,
    built: u64,
    resident: u64,
}

impl Contained {
    /// `component` is `bad`, with these lines in its section; a request of which it makes nothing
    /// good is a 503.
    ///
    /// It takes the place of a built-in one, which has no file that is looked at: what is put
    /// stays.
    #[track_caller]
    fn new(component: &[u8], lines: &str) -> Self {
        let backends = [TestUpstream::named("served"), TestUpstream::named("quiet")];
        let [hit, quiet] = [backends[0].address(), backends[1].address()];
        let proxy = TestProxy::builder()
            .access_log("requests = \"none\"")
            .environment("WAYPOST_LOG", "info,policy=debug")
            .file("quiet.wasm", guest("pick-last"))
            .tables(&format!(
                "[pools.hit]\nbackends = [\"{hit}\"]\n[pools.quiet]\nbackends = [\"{quiet}\"]\n\
                 [[routes]]\nhost = \"bad.test\"\npool = \"hit\"\npolicies = [\"bad\"]\n\
                 [[routes]]\nhost = \"quiet.test\"\npool = \"quiet\"\npolicies = [\"quiet\"]\n\
                 [policies.quiet]\ncomponent = \"quiet.wasm\"\ndeadline = \"1s\"\n\
                 [policies.bad]\nbuiltin = \"random\"\non-failure = 503\n{lines}\n"
            ))
            .start();
        let bystander = Bystander::of(proxy.address());
        let this = Self {
            client: RefCell::new(proxy.client()),
            proxy,
            bystander,
            _backends: backends,
        };
        this.is_replaced_by(component);
        this
    }

    /// With `probe`, which does what it is told, and a deadline that a busy machine keeps too.
    #[track_caller]
    fn probe(lines: &str) -> Self {
        let patience = if lines.contains("deadline") {
            ""
        } else {
            "deadline = \"2s\"\n"
        };
        Self::new(&guest("probe"), &format!("{patience}{lines}"))
    }

    /// Puts this component in the place of the bad policy.
    #[track_caller]
    fn is_replaced_by(&self, component: &[u8]) {
        let answer = self.proxy.put_policy("bad", component);
        assert!(matches!(answer.status, 200..=204), "{}", answer.text());
    }

    /// A request of the bad policy's route, on the one connection that all of them share.
    #[track_caller]
    fn ask(&self, request: Request) -> Response {
        let mut client = self.client.borrow_mut();
        let answer = client.ask(request.bytes());
        if answer.closes() {
            *client = self.proxy.client();
        }
        answer
    }

    /// A request that tells `probe` to do this in this hook, and that reaches all of its hooks.
    #[track_caller]
    fn told(&self, hook: &str, action: &str) -> Response {
        self.ask(
            request()
                .field("Range", "bytes=0-")
                .field(&format!("X-Probe-{hook}"), action),
        )
    }

    /// Waits until `probe` answers in every hook again, and until nothing is held against it any
    /// more.
    #[track_caller]
    fn recover(&self) {
        let well = || self.told("Response", "calls").head.has("x-probe-calls");
        eventually("the policy answers again", || well().then_some(()));
        for _ in 0..4 {
            assert!(well(), "the policy failed again without a reason");
        }
    }

    #[track_caller]
    fn count(&self, what: &str) -> u64 {
        self.proxy.stat(&format!("/policies/bad/{what}"))
    }

    /// One request that the failure mode answers and this counter counts.
    #[track_caller]
    fn fails(&self, hook: &str, action: &str, counter: &str) {
        let before = self.count(counter);
        let answer = self.told(hook, action);
        assert_eq!(answer.status, 503, "{action} in {hook}: {}", answer.text());
        answer.assert_refusal(503);
        assert_eq!(
            self.count(counter),
            before + 1,
            "{action} in {hook} counts among {counter}"
        );
    }

    /// Waits for a line of the log that has all of these in it.
    #[track_caller]
    fn told_in_the_log(&self, parts: &[&str]) {
        let found = self
            .proxy
            .stderr
            .find(|line| parts.iter().all(|part| line.contains(part)).then_some(()));
        assert!(found.is_some(), "no line with {parts:?} in the log");
    }

    /// How things are with a healthy policy. `probe` only.
    #[track_caller]
    fn at_rest(&self) -> AtRest {
        self.recover();
        // Requests that began before hold the instances that they began with.
        self.bystander.goes_on();
        AtRest {
            memory: self.count("memory/now_bytes"),
            built: self.count("instances_built"),
            resident: self.proxy.resident_kib(),
        }
    }

    /// The policy is back, and what it used after so many faults is what it used before.
    #[track_caller]
    fn is_as_before(&self, before: &AtRest, faults: u64) {
        let now = self.at_rest();
        assert_eq!(now.memory, before.memory, "linear memory of the policy");
        // On a busy machine instances take long to build, and then one that follows is kept ready,
        // on the one worker here.
        let built = now.built - before.built;
        assert!(built <= faults + 1, "{built} instances for {faults} faults");
        // A large instance is dropped by a thread of its own, soon after.
        eventually("its memory is given back", || {
            (self.proxy.resident_kib() <= before.resident + KEPT).then_some(())
        });
    }

    /// The end of a test: the bystander was served all the time, and the proxy lives.
    #[track_caller]
    fn end(self) {
        let Self {
            mut proxy,
            bystander,
            ..
        } = self;
        bystander.goes_on();
        bystander.end();
        assert_eq!(proxy.stat("/policies/quiet/failure_mode_uses"), 0);
        assert!(!proxy.has_ended());
    }
}

/// A request of the bad policy's route.
fn request() -> Request {
    Request::new("GET", "/").host("bad.test")
}

/// A thread that asks another route of the same proxy without a pause, and takes nothing but the
/// right answer.
struct Bystander {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    fn of(proxy: SocketAddr) -> Self {
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&served));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Connections come and go as well.
                let mut client = Client::connect(proxy);
                for _ in 0..8 {
                    let answer = client.ask(get("quiet.test", "/"));
                    assert_eq!(
                        (answer.status, answer.text().as_str()),
                        (200, "quiet"),
                        "{:?}",
                        answer.head
                    );
                    assert_eq!(answer.value("x-policy").as_deref(), Some("last"));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            stop,
            served,
            thread: Some(thread),
        }
    }

    /// It is served again, now, and the request that was under way has ended.
    #[track_caller]
    fn goes_on(&self) {
        let before = self.served.load(Ordering::Relaxed);
        eventually("the other route is served", || {
            let failed = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(
                !failed,
                "a request of the other route was not answered as it should be; see above"
            );
            (self.served.load(Ordering::Relaxed) > before + 1).then_some(())
        });
    }

    #[track_caller]
    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            matches!(ended, Some(Ok(()))),
            "a request of the other route was not answered as it should be"
        );
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
