//! The validated meaning of a configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Acme, AdaptiveRequests, Backend, Compression, Conditions, ForwardProxy, H2Limits, HostPattern,
    Layer4, Listener, LogFormat, PathMatch, PoolHealth, PoolProtocol, PoolTls, RequestIds,
    ResolverConfig, RetryPolicy, RouteAnswer, RouteEdits, TargetRights, Timeouts, Tracing, Traffic,
    TrustedPeers, WrittenAt,
};
use crate::document::ConfigWarning;

/// The whole configuration, with defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect. Default: a plain one on `0.0.0.0:8080`.
    pub listeners: Vec<Listener>,
    /// `[forward]`: where the listeners of a forward proxy may go; `None` if there is none.
    pub forward: Option<ForwardProxy>,
    /// `[acme]`: the authority of the listeners' `tls.acme`; `None` if there is none.
    pub acme: Option<Acme>,
    /// Data-plane workers. Default: one per core.
    pub workers: usize,
    /// The admin listener; `None` if it is switched off (`listen = "off"`). Default
    /// `127.0.0.1:9090`.
    pub admin: Option<Admin>,
    /// Policies by index; routes name them by index.
    pub policies: Vec<Policy>,
    /// Pools by index.
    pub pools: Vec<Pool>,
    /// How names are looked up.
    pub resolver: ResolverConfig,
    /// Routes in the order written; `route` sorts them by precedence.
    pub routes: Vec<Route>,
    /// Path on the data-plane listeners that serves the statistics, if any.
    pub stats_path: Option<String>,
    /// Limits of what clients may use.
    pub limits: Limits,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Which forwarding fields are trusted, and what backends learn about clients.
    pub forwarded: Forwarded,
    /// How paths are read and forwarded.
    pub paths: Paths,
    /// The access log.
    pub access_log: AccessLog,
    /// The recording of requests; `None` if nothing is recorded.
    pub record: Option<RecordingConfig>,
    /// `[request-id]`; `None` if requests get no ids.
    pub request_id: Option<RequestIds>,
    /// `[tracing]`; `None` if requests belong to no traces.
    pub tracing: Option<Tracing>,
    /// When a canary is withdrawn.
    pub rollout: Rollout,
    /// The folder that keeps promoted components over a restart; `None` if they are not kept.
    pub state_dir: Option<PathBuf>,
    /// The folder that keeps compiled components; `None` if they are not kept.
    pub cache_dir: Option<PathBuf>,
    /// The file that holds the number of the process; `None` if there is none.
    pub pid_file: Option<PathBuf>,
    /// Where the file says what.
    pub written: WrittenAt,
    /// Sentences about settings that are allowed but probably not intended. Only `check` and the
    /// log use them.
    pub warnings: Vec<ConfigWarning>,
}

/// `[admin]`
#[derive(Clone, PartialEq, Eq)]
pub struct Admin {
    /// The address to listen on: loopback unless `token` is set.
    pub listen: SocketAddr,
    /// The bearer token that requests must carry, if set.
    pub token: Option<String>,
}

/// `[forwarded]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// Peers whose forwarding fields are trusted.
    pub trusted: TrustedPeers,
    /// The fields that these peers write.
    pub source: ForwardedSource,
    /// Fields about the client that pass even from an untrusted peer, in lower case.
    pub allow: Vec<String>,
    /// How requests to backends name the proxies on their way.
    pub via: Via,
}

/// The fields in which trusted proxies name the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedSource {
    /// `X-Forwarded-*` or `Forwarded`; if both are there, they must agree.
    #[default]
    Any,
    /// `X-Forwarded-*`.
    XForwardedFor,
    /// `Forwarded`.
    Forwarded,
}

/// Whether requests to backends carry `Via`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Via {
    /// No: they carry `CDN-Loop`, because some servers compress less for requests with `Via`.
    #[default]
    Off,
    /// With a name that identifies the process.
    On,
    /// With this name.
    Name(String),
}

/// `[paths]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paths {
    /// Paths that servers interpret differently are refused.
    pub strict: bool,
    /// Backends get the normalised path in place of the client's.
    pub forward_normalised: bool,
}

/// `[policies.NAME]`, or a built-in that a route uses without a section of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The operator's name for it.
    pub name: String,
    /// The source of the component.
    pub source: PolicySource,
    /// The longest that a hook may run. Default 1 ms.
    pub deadline: Duration,
    /// The most linear memory that an instance may have, in bytes. Default 16 MiB.
    pub memory: u64,
    /// How a request continues when the policy fails.
    pub on_failure: OnFailure,
    /// How requests are handled while no generation is loaded: `on_failure` if it is written, else
    /// 503, because a missing policy must not silently allow everything.
    pub while_absent: OnFailure,
    /// How long an instance lives.
    pub isolation: Isolation,
    /// The limits of its store.
    pub store: StoreLimits,
    /// The limits of compiling its component.
    pub compiling: CompileLimits,
    /// Given to `configure` as JSON.
    pub settings: serde_json::Value,
    /// `sha256:` and 64 hexadecimal digits: no other component is accepted, from any source.
    pub digest: Option<String>,
}

/// `[policies.NAME.store]`: the limits of the state that a policy's workers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Default 10,000.
    pub entries: usize,
    /// Keys, values and 128 bytes for each entry. Default 4 MiB.
    pub bytes: u64,
}

/// `compile-time` and `compile-memory` of `[policies.NAME]`: the limits of the process that
/// compiles its component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompileLimits {
    /// Default 10 s, and 6 s more for each MiB of the component beyond the first.
    pub time: Option<Duration>,
    /// Bytes. Default 1 GiB, and 64 MiB more for each MiB of the component beyond the first.
    pub memory: Option<u64>,
}

/// Where a policy's component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// `builtin = "random"`: embedded in the binary.
    Builtin(String),
    /// `component = "path.wasm"`, relative to the configuration file's folder.
    File(PathBuf),
}

/// `on-failure`: how a request continues when its policy traps, misses its deadline or gives an
/// invalid answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// `"random"` (the default): a random healthy backend is selected; other hooks are skipped.
    Random,
    /// `"next"`: as if the policy were not in the route's list.
    Next,
    /// A status from 400 to 599: the client gets it.
    Status(u16),
}

/// `isolation`: how long an instance lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// `"worker"` (the default): one warm instance per worker and generation.
    Worker,
    /// `"request"`: a fresh instance for each request.
    Request,
}

/// `[pools.NAME]`, or the backends of a `[hosts]` entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// The name, or the host of the short form.
    pub name: String,
    /// At least one, unless there is a file.
    pub backends: Vec<Backend>,
    /// `file`: lists more, as JSON.
    pub file: Option<PathBuf>,
    /// `tls`: how its backends are reached that are not written with a scheme of their own.
    pub tls: Option<PoolTls>,
    /// `protocol`: what its backends speak. Default HTTP/1.1.
    pub protocol: PoolProtocol,
    /// When a request is sent again; of its routes that say nothing else.
    pub retry: RetryPolicy,
    /// The most idle connections kept per worker and backend. `None`: as were needed of late.
    pub max_idle: Option<usize>,
    /// Connections of all workers to one backend, pooled ones included; 0 (the default) = any.
    pub max_connections: usize,
    /// `max-requests`: requests of all workers under way at one backend; 0 (the default) = any.
    pub max_requests: usize,
    /// `max-pool-requests`: the same of the pool.
    pub max_pool_requests: usize,
    /// `adaptive-requests`: a limit of those at one backend that follows its response times.
    pub adaptive: Option<AdaptiveRequests>,
    /// `queue`: requests of all workers that may wait for one backend. Default 1,000; 0 = none.
    pub queue: usize,
    /// `queue-timeout`: how long one request waits for connections in total. Default 5 s.
    pub queue_timeout: Duration,
    /// `body-wait`: how long the beginning of a body is waited for before the request takes a
    /// limited connection. Default 1 s; 0 = not at all.
    pub body_wait: Duration,
    /// `slow-client`: how long a client may keep a connection that is waited for waiting. Default
    /// 2 s; 0 = for ever.
    pub slow_client: Duration,
    /// `slow-client-rate`: a client with this many bytes a second is not slow. Default 16 KiB.
    pub slow_client_rate: u64,
    /// Whether a route has copies of its requests sent here.
    pub is_mirror: bool,
    /// When its backends are healthy.
    pub health: PoolHealth,
    /// `ping-interval`: a silent connection of HTTP/2 is pinged so often. Default 30 s; 0 = never.
    pub ping_interval: Duration,
}

/// `[[routes]]`, or a `[hosts]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The hosts that it matches.
    pub host: HostPattern,
    /// The paths that it matches. Default: all.
    pub path: PathMatch,
    /// What else a request must have.
    pub conditions: Conditions,
    /// Where the requests go, and how they are sent there.
    pub traffic: Traffic,
    /// `redirect` or `respond`: the answer of a route without a pool.
    pub answer: Option<RouteAnswer>,
    /// What it changes of requests and responses.
    pub edits: RouteEdits,
    /// Indices into [`Config::policies`], in the order of their calls.
    pub policies: Vec<usize>,
    /// `policies-may-edit`: what those may edit of what backends are asked for. Default: nothing.
    pub rights: TargetRights,
    /// `preserve-header-case`: header names keep the case in which they were sent. Default false.
    pub preserve_header_case: bool,
    /// `upgrade`: the protocols to which a connection may change. Default `["websocket"]`.
    pub upgrade: Vec<String>,
    /// `compress`: which responses are compressed on their way. Default: none.
    pub compress: Option<Compression>,
    /// `passthrough`, and `tcp` of a listener: `None` if it is a route of requests.
    pub layer4: Option<Layer4>,
}

impl fmt::Display for Route {
    /// What the route is called where it is counted or shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.layer4 {
            None => write!(f, "{}{}{}", self.host, self.path, self.conditions),
            Some(layer4) => layer4.write_name(&self.host, f),
        }
    }
}

/// `[limits]`: what clients may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `request-line`: bytes. Default 8 KiB.
    pub request_line: usize,
    /// `header-bytes`: the whole head. Default 32 KiB.
    pub header_bytes: usize,
    /// `header-count`: fields. Default 100.
    pub header_count: usize,
    /// `connections`: client connections in total. Default 20,000.
    pub connections: usize,
    /// `connections-per-client`: of one client address. Default 12,000; 0 = no limit.
    pub connections_per_client: usize,
    /// `tls-handshakes`: clients whose TLS handshake is under way. Default 8,000; 0 = no limit.
    pub tls_handshakes: usize,
    /// `tls-handshakes-per-client`: of one client address. Default 2,000; 0 = no limit.
    pub tls_handshakes_per_client: usize,
    /// `body-bytes`: the largest request body; 0 = no limit (the default).
    pub body_bytes: u64,
    /// `requests-per-connection`: the connection is closed after this many. Default 0 = no limit.
    pub requests_per_connection: u64,
    /// `half-close`: what it means when a client ends its side and waits. Default `"abort"`.
    pub half_close: HalfClose,
    /// What connections of HTTP/2 may cost.
    pub h2: H2Limits,
}

/// What it means when a client ends its side of the connection before its answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HalfClose {
    /// `"abort"`: the client has left. A client that closed its connection looks the same.
    #[default]
    Abort,
    /// `"allow"`: it still wants its answer; only a reset means that it has left.
    Allow,
}

/// `[rollout]`: when a canary is withdrawn automatically.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// `max-faults`: this many traps, missed deadlines and invalid answers withdraw it within its
    /// first 1,000 requests, and in the same proportion after that. Default 3.
    pub max_faults: u64,
    /// `failure-margin`, written in percent: by how much the share of its failed requests (status
    /// 500 and above) may exceed the control group's, 0 to 1. Default 5 %.
    pub failure_margin: f64,
    /// `min-requests`: failures are judged after this many requests, latency after five times as
    /// many. Default 20.
    pub min_requests: u64,
    /// `latency-margin`, written in percent: by how much its requests may take longer than nearly
    /// all of the control group's. Default 50 %.
    pub latency_margin: f64,
}

/// `[access-log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// `requests`: which requests get a line.
    pub requests: LoggedRequests,
    /// `path`: a file to append to; `None` is standard output.
    pub path: Option<PathBuf>,
    /// `format`: how a line is written.
    pub format: LogFormat,
    /// `redact-query`: whether values of queries are replaced by three stars. Default false.
    pub redact_query: bool,
}

impl AccessLog {
    /// Whether lines say what policies took. Of requests that are refused, nobody knows that while
    /// policies are asked, so it is not measured for those alone.
    pub fn times_policies(&self) -> bool {
        self.requests == LoggedRequests::All && self.format.says_policies()
    }
}

/// Which requests the access log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedRequests {
    /// `"all"`
    All,
    /// `"refused"` (the default): requests that the proxy or a policy refused or could not
    /// complete, with the reason.
    Refused,
    /// `"none"`
    None,
}

impl LoggedRequests {
    /// Whether a request gets a line; `refused` if the proxy or a policy answered it or it could
    /// not be completed.
    pub fn wants(self, refused: bool) -> bool {
        self == Self::All || (refused && self == Self::Refused)
    }
}

/// `[record]`: which requests are recorded, with what policies saw and decided.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingConfig {
    /// `file`: the recording's path.
    pub file: PathBuf,
    /// `sample`: the share of the requests, 0 to 1. Default 1 %.
    pub sample: f64,
    /// `redact`: header fields whose values are replaced by a hash, in lower case. Default: those
    /// that carry credentials.
    pub redact: Vec<String>,
    /// `redact-query`: the same for the values of the query's parameters. Default false.
    pub redact_query: bool,
    /// `redact-client`: whether addresses of clients are replaced by others. Default false.
    pub redact_client: bool,
    /// `max-bytes`: a file of this size is rotated to `FILE.1`, which it replaces. Default 64 MiB.
    pub max_bytes: u64,
    /// `policies`: indices of the policies whose calls are recorded; `None` for all.
    pub policies: Option<Vec<usize>>,
}
