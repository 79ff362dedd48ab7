//! The one place where what went wrong becomes a status, a sentence for the client and a word for
//! the access log.

mod error_type;
mod forward;

pub(super) use self::forward::ForwardRefusal;
use crate::decision::Stop;
use crate::message::Malformed;
use crate::policy::{LocalSource, Reply};

/// An answer that is not a backend's; in a box, because all requests hand on what could hold one.
#[derive(Debug)]
pub enum LocalReply {
    /// A policy's.
    Reply {
        /// Its content.
        reply: Reply,
        /// The policy that gave it.
        policy: String,
    },
    /// The proxy's.
    Refusal(Refusal),
    /// What may be done here: the request was not to go further (RFC 9110 section 7.6.2).
    Options,
    /// A redirect: its status and its URL.
    Redirect(u16, String),
    /// The response of a route: its status and its place in the table of routes.
    Fixed(u16, usize),
    /// What a browser may ask for, before it does (Fetch section 3.2.2).
    Preflight,
    /// The statistics.
    Page {
        /// Of the page.
        content_type: &'static str,
        /// The page.
        body: Vec<u8>,
    },
}

impl LocalReply {
    /// Whether it is a policy's, or there because one failed.
    pub fn is_of_policy(&self) -> bool {
        use Refusal::{PolicyFailed, PolicyNotAsked};
        matches!(
            self,
            Self::Reply { .. } | Self::Refusal(PolicyFailed { .. } | PolicyNotAsked { .. })
        )
    }

    /// What has made it.
    pub fn source(&self) -> LocalSource {
        match self {
            Self::Reply { .. } => LocalSource::Policy,
            _ => LocalSource::Proxy,
        }
    }

    /// The status that is sent.
    pub fn status(&self) -> u16 {
        match self {
            Self::Reply { reply, .. } => reply.status,
            Self::Refusal(refusal) => refusal.status(),
            Self::Redirect(status, _) | Self::Fixed(status, _) => *status,
            Self::Options | Self::Page { .. } => 200,
            Self::Preflight => 204,
        }
    }

    /// Why it is sent, for the access log; `None` if the client has what it asked for.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Reply { policy, .. } => Some(format!("answered by policy {policy:?}")),
            Self::Refusal(refusal) => Some(refusal.reason()),
            _ => None,
        }
    }
}

impl From<Refusal> for Box<LocalReply> {
    #[cold]
    fn from(refusal: Refusal) -> Self {
        Self::new(LocalReply::Refusal(refusal))
    }
}

impl From<Stop> for Box<LocalReply> {
    #[cold]
    fn from(stop: Stop) -> Self {
        Self::from(match stop {
            Stop::Reply { reply, policy } => {
                return Self::new(LocalReply::Reply { reply, policy });
            }
            Stop::Absent {
                policy,
                status,
                reason,
            } => Refusal::PolicyAbsent {
                policy,
                status,
                reason,
            },
            Stop::Failed { policy, status } => Refusal::PolicyFailed { policy, status },
            Stop::NotAsked { policy } => Refusal::PolicyNotAsked { policy },
            Stop::NoBackend => Refusal::NoBackend,
        })
    }
}

const AMBIGUOUS_PATH: &str = "The path can be read in several ways that lead to different routes; \
    write it without encoded slashes, backslashes, `;`, `..`, doubled slashes and doubly encoded \
    characters.";
const CONTRADICTION: &str =
    "Forwarded and X-Forwarded-For (or -Proto, -Host) contradict each other about the client.";
const SLOW_CLIENT: &str = "The request arrived slowly while others waited for its connection.";
const OUT_OF_CONNECTIONS: &str =
    "The proxy can have no more connections to backends; try again later.";
const AT_LIMIT: &str = "As many requests as there may be at a time are under way; try again later.";
const STREAM_LIMIT: &str = "This request needs one more connection to a backend, and this client, or \
    all clients together, have all that they may; try again when other requests have ended.";
const NOT_HTTP: &str = "The backend's answer is not valid HTTP.";
const POLICY_FAILED: &str = "The policy for this request failed.";
const UNFIT: &str = "The backend does not speak the protocol that it should.";
const MISDIRECTED: &str = "This connection is for other hosts; open another one for this host.";
const HIDDEN_CLIENT: &str = "The client sent more than the proxy could read while others waited \
    for its connection; try again later.";

/// Why the proxy answered in place of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request's head or body is not valid HTTP.
    Malformed(Malformed),
    /// The method is not for a reverse proxy.
    Method,
    /// `[paths] strict` refuses this construct of the path, because servers read it differently.
    Path(&'static str),
    /// Some servers would read the path in a way that has another rule.
    AmbiguousPath,
    /// The fields of a trusted proxy contradict each other about the client.
    Contradiction,
    /// The request has passed this proxy before.
    Loop,
    /// The client did not finish its request in time.
    RequestTimeout,
    /// The client was slow to send its request while others waited for its connection.
    SlowClient,
    /// Unread bytes beyond its request hide whether the client has left, and others waited for its
    /// connection.
    HiddenClient,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// No route has this host and path.
    NoRoute {
        /// The requested host.
        host: String,
    },
    /// The pool has no backend that can be used.
    NoBackend,
    /// All connections that the backend may have were in use for too long.
    Busy,
    /// As many requests as there may be at a time were under way for too long.
    AtLimit,
    /// The process has no file descriptor for another connection to a backend.
    OutOfConnections,
    /// A stream of HTTP/2 needs a connection to a backend of its own, and its client, or all of
    /// them, may have no more.
    StreamLimit,
    /// All attempts failed.
    Unreachable,
    /// The backend accepted the connection, and does not speak its protocol.
    UnfitBackend {
        /// What it did.
        reason: String,
    },
    /// The last attempt found no connection in time.
    ConnectTimeout,
    /// The backend did not answer in time.
    ResponseTimeout,
    /// The backend did not answer within the time that the caller of a gRPC method allows.
    CallDeadline,
    /// The backend closed the connection without an answer, and the request may not be repeated.
    ClosedEarly,
    /// The backend's response is not valid HTTP.
    BadResponse(Malformed),
    /// The backend switched protocols without a request for it.
    UnaskedUpgrade,
    /// The client asks by CONNECT for a protocol that is not known, or that the route does not
    /// allow.
    Protocol,
    /// A client that would take any success for a WebSocket was to get another one.
    NotSwitched,
    /// The backend takes no WebSocket by HTTP/2.
    NoWebSocket,
    /// The certificate of the connection is not for this host.
    Misdirected,
    /// The proxy has reached its limit of client connections.
    TooManyConnections,
    /// This client has reached its limit of connections.
    TooManyOfClient,
    /// The range can't be satisfied for this length.
    RangeNotSatisfiable {
        /// The length of the whole.
        length: u64,
    },
    /// No generation of a policy is loaded.
    PolicyAbsent {
        /// The operator's name for the policy.
        policy: String,
        /// 503, or the status that the operator chose.
        status: u16,
        /// Why none is loaded.
        reason: String,
    },
    /// A policy failed, and its failure mode is this status.
    PolicyFailed {
        /// The operator's name for the policy.
        policy: String,
        /// The status that the operator chose.
        status: u16,
    },
    /// A policy could not be asked, and what it may guard is not passed over.
    PolicyNotAsked {
        /// The operator's name for the policy.
        policy: String,
    },
    /// A forward proxy does not do this.
    Forward(ForwardRefusal),
}

fn no_route(host: &str) -> String {
    match host.is_empty() {
        true => "No route for a request without a host.".to_owned(),
        false => format!("No route for the host {host:?} takes this request."),
    }
}

impl Refusal {
    /// The status that the client gets.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(reason) => malformed_status(*reason),
            Self::Forward(refusal) => refusal.status(),
            Self::Path(_) | Self::AmbiguousPath | Self::Contradiction => 400,
            Self::Method => 405,
            // RFC 9220 section 3, of the same for HTTP/3.
            Self::Protocol => 501,
            // RFC 5842 section 7.2.
            Self::Loop => 508,
            Self::Misdirected => 421,
            Self::RequestTimeout | Self::SlowClient => 408,
            Self::BodyTooLarge => 413,
            Self::NoRoute { .. } => 404,
            Self::NoBackend
            | Self::Busy
            | Self::AtLimit
            | Self::OutOfConnections
            | Self::StreamLimit
            | Self::HiddenClient
            | Self::TooManyConnections
            | Self::PolicyNotAsked { .. } => 503,
            Self::TooManyOfClient => 429,
            Self::Unreachable
            | Self::UnfitBackend { .. }
            | Self::ClosedEarly
            | Self::BadResponse(_)
            | Self::UnaskedUpgrade
            | Self::NotSwitched
            | Self::NoWebSocket => 502,
            Self::ConnectTimeout | Self::ResponseTimeout | Self::CallDeadline => 504,
            Self::RangeNotSatisfiable { .. } => 416,
            Self::PolicyFailed { status, .. } | Self::PolicyAbsent { status, .. } => *status,
        }
    }

    /// Whether the same request may well be served in a moment.
    pub fn may_pass(&self) -> bool {
        matches!(self.status(), 429 | 503)
    }

    fn busy(&self) -> &'static str {
        match self {
            Self::AtLimit => AT_LIMIT,
            _ => "All connections to the backend are in use; try again later.",
        }
    }

    /// The sentence for the client.
    pub fn sentence(&self) -> String {
        let fixed = match self {
            Self::Malformed(reason) => return format!("Bad request: {reason}."),
            Self::Forward(refusal) => refusal.sentence(),
            Self::Path(fault) => return format!("The path has {fault}, which this proxy refuses."),
            Self::NoRoute { host } => return no_route(host),
            Self::RangeNotSatisfiable { length } => {
                return format!("The range lies outside the content, which has {length} bytes.");
            }
            Self::Method => "This method is not served here.",
            Self::AmbiguousPath => AMBIGUOUS_PATH,
            Self::Contradiction => CONTRADICTION,
            Self::Loop => "The request has passed this proxy before: there is a forwarding loop.",
            Self::RequestTimeout => "The request did not arrive in time.",
            Self::SlowClient => SLOW_CLIENT,
            Self::HiddenClient => HIDDEN_CLIENT,
            Self::BodyTooLarge => "The request's body is too large.",
            Self::NoBackend => "No backend is available for this request.",
            Self::Busy | Self::AtLimit => self.busy(),
            Self::OutOfConnections => OUT_OF_CONNECTIONS,
            Self::StreamLimit => STREAM_LIMIT,
            Self::Unreachable => "No backend could be reached, or none answered.",
            Self::UnfitBackend { .. } => UNFIT,
            Self::ConnectTimeout => "No backend accepted the connection in time.",
            Self::ResponseTimeout => "The backend did not answer in time.",
            Self::CallDeadline => "The call was not answered before its deadline (grpc-timeout).",
            Self::ClosedEarly => "The backend closed the connection without an answer.",
            Self::BadResponse(_) | Self::UnaskedUpgrade => NOT_HTTP,
            Self::Protocol => "This protocol is not served here.",
            Self::NotSwitched | Self::NoWebSocket => "The backend did not take the WebSocket.",
            Self::Misdirected => MISDIRECTED,
            Self::TooManyConnections => "The proxy has reached its limit of connections.",
            Self::TooManyOfClient => "This client has reached its limit of connections.",
            Self::PolicyAbsent { .. } => "The policy for this request is not loaded.",
            Self::PolicyFailed { .. } | Self::PolicyNotAsked { .. } => POLICY_FAILED,
        };
        fixed.to_owned()
    }

    /// The reason in the access log: the client's sentence, or details that only the operator
    /// should know.
    pub fn reason(&self) -> String {
        match self {
            Self::Malformed(reason) => format!("malformed request: {reason}"),
            Self::Forward(refusal) => refusal.reason(),
            Self::BadResponse(reason) => format!("malformed response: {reason}"),
            Self::UnfitBackend { reason } => format!("no connection to the backend: {reason}"),
            Self::OutOfConnections => format!("{OUT_OF_CONNECTIONS} Raise `ulimit -n`."),
            Self::Contradiction => {
                "Forwarded and X-Forwarded-* of a trusted proxy contradict each other: the client \
                 may have sent one of them; set source in [forwarded] to the one that your proxies \
                 write"
                    .to_owned()
            }
            Self::Protocol => "an extended CONNECT for a protocol that the route's `upgrade` does \
                 not have"
                .to_owned(),
            Self::NotSwitched => "the request for a WebSocket was answered with a success that is \
                 none, which a client of HTTP/2 would take for one"
                .to_owned(),
            Self::NoWebSocket => "the backend takes no WebSocket by HTTP/2 (RFC 8441); set \
                 protocol = \"http/1.1\" in its pool"
                .to_owned(),
            Self::UnaskedUpgrade => {
                "malformed response: a 101 for a protocol that was not asked for".to_owned()
            }
            Self::PolicyAbsent { policy, reason, .. } => {
                format!("policy {policy:?} is not loaded: {reason}")
            }
            Self::PolicyFailed { policy, .. } => {
                format!("policy {policy:?} failed and its on-failure is a status")
            }
            Self::PolicyNotAsked { policy } => format!(
                "policy {policy:?} could not be asked, and on-failure = \"next\" passes over a \
                 policy only when its call failed"
            ),
            other => other.sentence(),
        }
    }
}

fn malformed_status(reason: Malformed) -> u16 {
    match reason {
        Malformed::RequestLineTooLong => 414,
        Malformed::HeadTooLarge | Malformed::TooManyFields => 431,
        Malformed::Version => 505,
        Malformed::Expect => 417,
        _ => 400,
    }
}

impl From<Malformed> for Refusal {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}
