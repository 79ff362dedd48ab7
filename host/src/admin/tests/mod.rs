//! The admin listener over real sockets, with a fake control side.

mod access;
mod backends;
mod dashboard;
mod names;
mod pages;
mod recorded;
mod replacing;
mod series;
mod watching;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use self::backends::{changed, pool_status};
use self::recorded::record;
use super::serve::serve_within;
use super::shared::Limits;
use super::*;
use crate::observe::tap::Tap;
use crate::rollout::State;
use crate::stats::Stats;

/// Accepts components that start with `good`; waits for [`Self::gate`] first if there is one.
pub(super) struct TestControl {
    pub(super) stats: Stats,
    pub(super) tap: Tap,
    policies: Mutex<Vec<PolicyStatus>>,
    readiness: Mutex<Readiness>,
    notes: Mutex<Vec<String>>,
    gate: Option<Gate>,
    loading: AtomicUsize,
    /// The calls that were made, in words.
    asked: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Gate {
    reached: Notify,
    open: Notify,
    done: Notify,
}

impl TestControl {
    pub(super) fn new() -> Self {
        let stats = Stats::new(2);
        record(&stats);
        Self {
            stats,
            tap: Tap::new(0),
            policies: Mutex::new(vec![status("spread"), status("my policy")]),
            readiness: Mutex::new(Readiness::Ready),
            notes: Mutex::default(),
            gate: None,
            loading: AtomicUsize::new(0),
            asked: Mutex::default(),
        }
    }

    async fn load(&self, name: &str, component: Vec<u8>) -> Result<PolicyDetails, ChangeError> {
        assert_eq!(
            self.loading.fetch_add(1, Ordering::SeqCst),
            0,
            "two replacements at a time"
        );
        if let Some(gate) = &self.gate {
            gate.reached.notify_one();
            gate.open.notified().await;
        }
        self.loading.fetch_sub(1, Ordering::SeqCst);
        if component.starts_with(b"busy") {
            return Err(ChangeError::Busy(name.to_owned()));
        }
        if !component.starts_with(b"good") {
            return Err(ChangeError::Refused(
                "this is a core module, not a component".to_owned(),
            ));
        }
        let mut policies = self.policies.lock().unwrap();
        let status = policies.iter_mut().find(|p| p.name == name).unwrap();
        status.generation += 1;
        status.size_bytes = component.len() as u64;
        if let Some(gate) = &self.gate {
            gate.done.notify_one();
        }
        Ok(details(status))
    }
}

impl Control for TestControl {
    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn policies(&self) -> Vec<PolicyStatus> {
        self.policies.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<NameStatus> {
        Vec::new()
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        Vec::new()
    }

    fn policy(&self, name: &str) -> Option<PolicyDetails> {
        self.policies
            .lock()
            .unwrap()
            .iter()
            .find(|p| p.name == name)
            .map(details)
    }

    fn deploy<'a>(
        &'a self,
        name: &'a str,
        component: Vec<u8>,
        source: String,
        how: Deployment,
    ) -> ChangeFuture<'a> {
        let asked = format!("{name}: {how:?} from {source}");
        self.asked.lock().unwrap().push(asked);
        Box::pin(self.load(name, component))
    }

    fn change<'a>(&'a self, name: &'a str, change: Change) -> ChangeFuture<'a> {
        self.asked
            .lock()
            .unwrap()
            .push(format!("{name}: {change:?}"));
        let done = match change {
            Change::RollBack { .. } => Err(ChangeError::NotNow(
                "there is no previous generation to roll back to".to_owned(),
            )),
            _ => self
                .policy(name)
                .ok_or_else(|| ChangeError::Unknown(name.to_owned())),
        };
        Box::pin(async move { done })
    }

    fn issue_explain_token(&self, valid_for: Duration) -> String {
        format!("token for {valid_for:?}")
    }

    fn readiness(&self) -> Readiness {
        self.readiness.lock().unwrap().clone()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    fn reopen(&self) -> ReopenFuture<'_> {
        Box::pin(async { Vec::new() })
    }

    fn reload(&self, check: bool) -> ReloadFuture<'_> {
        Box::pin(async move {
            match check {
                true => Err(ReloadError::Refused(vec!["one".into(), "two".into()])),
                false => Err(ReloadError::Unavailable("not now".into())),
            }
        })
    }

    fn upgrade(&self, binary: Option<PathBuf>) -> UpgradeFuture<'_> {
        let asked = format!("upgrade: {binary:?}");
        self.asked.lock().unwrap().push(asked);
        Box::pin(async { Err(UpgradeError::Busy) })
    }

    fn reload_status(&self) -> ReloadStatus {
        status_of_reloads()
    }

    fn pools(&self) -> Vec<PoolStatus> {
        vec![pool_status()]
    }

    fn change_backends<'a>(&'a self, pool: &'a str, change: BackendsChange) -> BackendsFuture<'a> {
        self.asked
            .lock()
            .unwrap()
            .push(format!("{pool}: {change:?}"));
        Box::pin(async move { changed(change) })
    }

    fn routes(&self) -> Vec<RouteStatus> {
        vec![dashboard::route()]
    }

    fn tap(&self) -> &Tap {
        &self.tap
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({"version": 1})
    }
}

fn status_of_reloads() -> ReloadStatus {
    ReloadStatus {
        file: Some("waypost.toml".to_owned()),
        digest: Some("sha256:ab".to_owned()),
        since: UNIX_EPOCH,
        succeeded: 3,
        refused: 2,
        last_unix: 1_000_000_000,
        errors: vec!["line 7 is <wrong>".to_owned()],
    }
}

fn details(status: &PolicyStatus) -> PolicyDetails {
    PolicyDetails {
        status: status.clone(),
        survives_restart: false,
        former_generation: Some(6),
        trial: None,
        generations: Vec::new(),
        history: Vec::new(),
    }
}

fn status(name: &str) -> PolicyStatus {
    PolicyStatus {
        name: name.to_owned(),
        state: State::Active,
        generation: 7,
        digest: "ab12".to_owned(),
        source: "built-in <random>".to_owned(),
        hooks: vec!["selection".to_owned()],
        isolation: "worker".to_owned(),
        on_failure: "random".to_owned(),
        while_absent: "503".to_owned(),
        deadline: Duration::from_millis(1),
        memory_limit_bytes: 16 << 20,
        size_bytes: 1_234,
        loaded_at: Some(UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
        suspended_by_workers: 0,
        counts: CallCounts::default(),
        last_fault: None,
        on_trial: None,
        last_error: None,
    }
}

/// A running admin listener.
struct TestAdmin {
    address: std::net::SocketAddr,
    control: Arc<TestControl>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), AdminError>>,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl TestAdmin {
    async fn start(token: Option<&str>) -> Self {
        Self::start_with(token, TestControl::new(), Limits::default()).await
    }

    async fn start_with(token: Option<&str>, control: TestControl, limits: Limits) -> Self {
        crate::ground::limit_this_test();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control = Arc::new(control);
        let (stop, stopped) = oneshot::channel();
        let served = serve_within(
            limits,
            listener,
            token.map(str::to_owned),
            Arc::clone(&control) as _,
            async {
                let _ = stopped.await;
            },
        );
        Self {
            address,
            control,
            stop,
            task: tokio::spawn(served),
        }
    }

    /// One request with these further header lines; a `Host` is there unless they bring one.
    async fn ask(&self, method: &str, target: &str, lines: &str, body: &[u8]) -> Answer {
        let host = if lines.to_ascii_lowercase().contains("host:") {
            String::new()
        } else {
            format!("host: {}\r\n", self.address)
        };
        let length = if method == "PUT" {
            format!("content-length: {}\r\n", body.len())
        } else {
            String::new()
        };
        let head =
            format!("{method} {target} HTTP/1.1\r\n{host}{lines}{length}connection: close\r\n\r\n");
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "", b"").await
    }

    async fn put(&self, target: &str, body: &[u8]) -> Answer {
        self.ask("PUT", target, "", body).await
    }

    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_answer(&mut stream).await
    }
}

/// Reads to the end of the connection.
async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        assert!(
            self.head.contains("content-type: application/json"),
            "{self:?}"
        );
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The sentence of `{"error": "..."}`.
    fn error(&self) -> String {
        self.json()["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {self:?}"))
            .to_owned()
    }
}
