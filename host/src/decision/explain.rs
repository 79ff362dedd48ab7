//! How one request was decided, for a client with a token: a list of what happened, in the response
//! (RFC 9651).

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::message::{TlsSession, Version};
use crate::policy::Hook;

/// The request field that carries the token. Backends and policies never see it.
pub const EXPLAIN: &str = "x-waypost-explain";
/// The response field that carries the trace.
pub const TRACE: &str = "x-waypost-trace";
/// A trace is cut here: a response head has limits of its own, and clients have theirs.
const MAX_LENGTH: usize = 4096;
/// Bytes of a token at most: a longer one is not the proxy's.
const LONGEST: usize = 64;
/// Tokens that are valid at a time.
const MAX_TOKENS: usize = 64;

/// One request's trace.
#[derive(Debug, Default)]
pub(super) struct Trace {
    text: String,
}

/// A call of a hook, as a trace names it.
#[derive(Debug)]
pub(super) struct TracedCall<'a> {
    pub hook: Hook,
    pub policy: &'a str,
    pub generation: u64,
    /// `None` if it is the active generation.
    pub role: Option<&'static str>,
    pub took: Duration,
}

impl Trace {
    /// The beginning: by what the request has come.
    pub(super) fn received(version: Version, session: Option<&TlsSession>) -> Self {
        let mut trace = Self::default();
        trace.item(|text| write!(text, "request;protocol=\"{}\"", version.as_str()));
        let Some(session) = session else {
            return trace;
        };
        let parameter = |text: &mut String, name, value: &Option<Box<str>>| match value {
            Some(value) => write!(text, ";{name}={}", quoted(value)),
            None => Ok(()),
        };
        trace.item(|text| {
            let (version, suite) = (session.version.as_str(), quoted(&session.cipher_suite));
            write!(text, "tls;version=\"{version}\";cipher-suite={suite}")?;
            parameter(text, "server-name", &session.server_name)?;
            parameter(text, "application-protocol", &session.protocol)
        });
        if let Some(client) = &session.client {
            // A list item of its own: a subject may be too long for the rest of a trace.
            trace.item(|text| write!(text, "client;subject={}", quoted(&client.subject)));
        }
        trace
    }

    /// A policy was asked.
    pub(super) fn asked(&mut self, call: &TracedCall<'_>, answer: &dyn Display) {
        self.item(|text| {
            let TracedCall {
                hook,
                policy,
                generation,
                ..
            } = call;
            write!(
                text,
                "{hook};policy={};generation={generation}",
                quoted(policy)
            )?;
            if let Some(role) = call.role {
                write!(text, ";role={role}")?;
            }
            let (took, answer) = (call.took.as_nanos(), quoted(&answer.to_string()));
            write!(text, ";ns={took};answer={answer}")
        });
    }

    /// A backend was tried.
    pub(super) fn attempted(&mut self, number: u32, backend: SocketAddr, outcome: &str) {
        self.item(|text| {
            write!(
                text,
                "attempt;number={number};backend=\"{backend}\";outcome={outcome}"
            )
        });
    }

    /// The field's value.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn item(&mut self, write: impl FnOnce(&mut String) -> std::fmt::Result) {
        if self.text.len() >= MAX_LENGTH {
            return;
        }
        let before = self.text.len();
        if before > 0 {
            self.text.push_str(", ");
        }
        if write(&mut self.text).is_err() || self.text.len() > MAX_LENGTH {
            self.text.truncate(before);
        }
    }
}

/// A string (RFC 9651 section 3.3.3); what it can't hold is left out.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// A token's digest, so that the time of a comparison betrays nothing, and when it ends.
type Valid = ([u8; 32], Instant);

/// The tokens that let a request be explained, shared by the control side and the workers. Looked
/// at only for requests that carry the field.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    valid: Arc<Mutex<Vec<Valid>>>,
    /// Whether any was ever issued: where none was, a client that tries costs nothing.
    issued: Arc<AtomicBool>,
}

impl Tokens {
    /// Makes a token valid for a time. The oldest ends if there are too many.
    pub fn issue(&self, token: &str, valid_for: Duration) {
        let mut valid = self.valid.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        valid.retain(|(_, until)| *until > now);
        if valid.len() >= MAX_TOKENS {
            valid.remove(0);
        }
        valid.push((Sha256::digest(token.as_bytes()).into(), now + valid_for));
        self.issued.store(true, Ordering::Release);
    }

    /// Whether this is one of them.
    pub fn accept(&self, token: &[u8]) -> bool {
        if token.len() > LONGEST || !self.issued.load(Ordering::Acquire) {
            return false;
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let valid = self.valid.lock().unwrap_or_else(PoisonError::into_inner);
        valid
            .iter()
            .any(|(known, until)| *known == digest && *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ClientCertificate;

    #[test]
    fn a_trace_begins_with_what_is_known_of_the_connection() {
        let plain = Trace::received(Version::Http11, None);
        assert_eq!(plain.text(), "request;protocol=\"HTTP/1.1\"");
        let of = |subject: &str| TlsSession {
            cipher_suite: "TLS_AES_128_GCM_SHA256".into(),
            server_name: Some("edge.test".into()),
            client: Some(Box::new(ClientCertificate {
                subject: subject.into(),
                ..ClientCertificate::default()
            })),
            ..TlsSession::default()
        };
        let encrypted = Trace::received(Version::Http2, Some(&of("CN=a\\,b")));
        let tls = "request;protocol=\"HTTP/2\", \
                   tls;version=\"TLSv1.3\";cipher-suite=\"TLS_AES_128_GCM_SHA256\"\
                   ;server-name=\"edge.test\"";
        assert_eq!(
            encrypted.text(),
            format!("{tls}, client;subject=\"CN=a\\\\,b\"")
        );
        // One that leaves no room for anything else is left out.
        let long = Trace::received(Version::Http2, Some(&of(&"c".repeat(MAX_LENGTH))));
        assert_eq!(long.text(), tls);
    }

    #[test]
    fn a_trace_is_a_structured_list_of_bounded_length() {
        let mut trace = Trace::default();
        let call = TracedCall {
            hook: Hook::Selection,
            policy: "a\"b",
            generation: 3,
            role: None,
            took: Duration::from_nanos(640),
        };
        trace.asked(&call, &"backend 1");
        trace.attempted(1, ([127, 0, 0, 1], 80).into(), "status-200");
        assert_eq!(
            trace.text(),
            "selection;policy=\"a\\\"b\";generation=3;ns=640;answer=\"backend 1\", \
             attempt;number=1;backend=\"127.0.0.1:80\";outcome=status-200"
        );
        let mut full = Trace {
            text: "a".repeat(MAX_LENGTH - 3),
        };
        full.item(|text| write!(text, "bb"));
        assert_eq!(
            full.text().len(),
            MAX_LENGTH - 3,
            "it does not fit with its comma"
        );
        full.item(|text| write!(text, "b"));
        assert!(full.text().len() == MAX_LENGTH && full.text().ends_with("a, b"));
        full.item(|text| write!(text, ""));
        assert_eq!(full.text().len(), MAX_LENGTH);
        (0..1000).for_each(|n| {
            let call = TracedCall {
                hook: Hook::Range,
                policy: "ä\r\n",
                generation: n,
                role: Some("canary"),
                took: Duration::ZERO,
            };
            trace.asked(&call, &"untouched");
        });
        assert!(
            trace.text().len() <= MAX_LENGTH && trace.text().ends_with('"'),
            "{}",
            trace.text()
        );
    }

    #[test]
    fn tokens_end_and_are_bounded_in_number() {
        let tokens = Tokens::default();
        assert!(!tokens.accept(b"a"));
        tokens.issue("a", Duration::from_secs(60));
        tokens.issue("b", Duration::ZERO);
        assert!(tokens.accept(b"a") && !tokens.accept(b"b") && !tokens.accept(b""));
        for (length, accepted) in [(LONGEST, true), (LONGEST + 1, false)] {
            let token = "t".repeat(length);
            tokens.issue(&token, Duration::from_secs(60));
            assert_eq!(tokens.accept(token.as_bytes()), accepted, "{length} bytes");
        }
        let few = Tokens::default();
        (0..MAX_TOKENS).for_each(|n| few.issue(&n.to_string(), Duration::from_secs(60)));
        assert!(few.accept(b"0"), "there is room for all of these");
        (0..MAX_TOKENS).for_each(|n| tokens.issue(&n.to_string(), Duration::from_secs(60)));
        assert!(!tokens.accept(b"a") && tokens.accept(b"63"));
    }
}
