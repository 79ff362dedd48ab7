//! The validated meaning of `[request-id]` and `[tracing]`: what requests are called, and where
//! their spans go.

use std::path::PathBuf;
use std::time::Duration;

/// `[request-id]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestIds {
    /// `header`: the field, in lower case. Default `x-request-id`.
    pub header: String,
    /// `accept`: whether the id that a peer in `[forwarded] trusted` has given is kept. Default
    /// true.
    pub accept: bool,
    /// `respond`: whether clients get the id too. Default false.
    pub respond: bool,
}

/// `[tracing]`
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// `accept`: whose traces are continued.
    pub accept: AcceptTraces,
    /// `sample`: the share of the traces that begin here whose requests are exported, 0 to 1.
    /// Default 1 %.
    pub sample: f64,
    /// `errors`: whether requests that fail are exported in any case. Default true.
    pub errors: bool,
    /// Where spans go; `None` if trace ids are only passed on and logged.
    pub export: Option<TraceExport>,
}

/// Whose traces are continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AcceptTraces {
    /// `"none"`: each request begins a trace.
    None,
    /// `"trusted"`: those of peers in `[forwarded] trusted`, with what they say of sampling.
    #[default]
    Trusted,
    /// `"all"`: every client's, but only those of trusted peers say what is sampled.
    All,
}

/// Where spans go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceExport {
    /// `endpoint`: the collector's URL for traces by OTLP over HTTP.
    pub endpoint: String,
    /// `service-name`. Default `waypost`.
    pub service_name: String,
    /// `headers`: fields of each request to the collector.
    pub headers: Vec<(String, Vec<u8>)>,
    /// `token-file`: what is sent as `authorization: Bearer`.
    pub token_file: Option<PathBuf>,
    /// `ca`: PEM, what vouches for the collector; `None` for the system's roots.
    pub ca: Option<PathBuf>,
    /// `batch`: spans of one request, at most. Default 512.
    pub batch: usize,
    /// `interval`: how long a span waits for others. Default 5 s.
    pub interval: Duration,
    /// `queue`: spans in memory, at most. Default 8192.
    pub queue: usize,
    /// `timeout`: how long the collector may take for a request. Default 10 s.
    pub timeout: Duration,
}
