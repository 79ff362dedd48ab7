//! What nginx's variables are called here.

/// Where a variable was written, which decides about what can stand in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// The value of a header field.
    Field,
    /// The URL of a redirect.
    Url,
    /// The path of a rewrite.
    Path,
    /// A header field of a fixed response.
    Response,
    /// The body of a fixed response.
    Body,
}

/// nginx's variables, and the facts of the same meaning.
const FACTS: [(&str, &str); 21] = [
    ("args", "{query}"),
    ("binary_remote_addr", "{client}"),
    ("document_uri", "{path}"),
    ("host", "{host}"),
    ("http_host", "{authority}"),
    ("otel_trace_id", "{trace-id}"),
    ("proxy_host", "{pool}"),
    ("query_string", "{query}"),
    ("realip_remote_addr", "{client}"),
    ("remote_addr", "{client}"),
    ("request_id", "{request-id}"),
    ("request_method", "{method}"),
    ("request_uri", "{path}?{query}"),
    ("scheme", "{scheme}"),
    ("server_name", "{host}"),
    ("ssl_client_fingerprint", "{certificate-fingerprint}"),
    ("ssl_client_s_dn", "{certificate-subject}"),
    ("ssl_preread_server_name", "{sni}"),
    ("ssl_protocol", "{tls-version}"),
    ("ssl_server_name", "{sni}"),
    ("uri", "{path}"),
];
/// More of them, whose meaning nothing has here.
const OTHERS: [&str; 12] = [
    "connection",
    "hostname",
    "is_args",
    "msec",
    "proxy_add_x_forwarded_for",
    "proxy_protocol_addr",
    "remote_port",
    "remote_user",
    "server_addr",
    "server_port",
    "status",
    "time_iso8601",
];
/// In front of the names of fields.
const HEADER: &str = "http_";

/// What is written here in place of nginx's variable of this name.
pub(super) fn fact(variable: &str, spot: Spot) -> Option<String> {
    let named = FACTS.iter().find(|(name, _)| *name == variable);
    let fact = named.map(|(_, fact)| *fact);
    match (spot, fact) {
        (Spot::Field | Spot::Response | Spot::Body, Some(fact)) => Some(fact.to_owned()),
        (Spot::Field | Spot::Response | Spot::Body, None) => {
            let field = variable.strip_prefix(HEADER).filter(|f| !f.is_empty())?;
            Some(format!("{{header.{}}}", field.replace('_', "-")))
        }
        (Spot::Url, Some("{authority}")) => Some("{host}".to_owned()),
        // The query follows by itself.
        (Spot::Url | Spot::Path, Some("{path}?{query}")) => Some("{path}".to_owned()),
        (Spot::Url, Some(fact @ ("{scheme}" | "{host}" | "{path}"))) => Some(fact.to_owned()),
        (Spot::Path, Some("{path}")) => Some("{path}".to_owned()),
        (Spot::Url | Spot::Path, _) => None,
    }
}

/// Whether nginx has a variable of this name.
pub(super) fn is_known(variable: &str) -> bool {
    let prefixes = [HEADER, "arg_", "cookie_", "sent_http_", "upstream_", "ssl_"];
    FACTS.iter().any(|(name, _)| *name == variable)
        || OTHERS.contains(&variable)
        || prefixes.iter().any(|prefix| variable.starts_with(prefix))
}

/// Whether it stands for the query, which is appended to redirects and rewrites by itself.
pub(super) fn is_of_query(variable: &str) -> bool {
    matches!(variable, "args" | "is_args" | "query_string")
}
