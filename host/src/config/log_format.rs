//! `[access-log] format`: how a line of the access log is written.

use super::variables::{self, Spot};

/// How lines are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `"json"` (the default): an object with all that is known.
    #[default]
    Json,
    /// Pieces in order: what `"common"` and `"combined"` stand for, or a template.
    Text(Box<[LogPiece]>),
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// As it stands.
    Text(Box<str>),
    /// What is known of the request.
    Fact(LogFact),
}

/// What a line may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFact {
    /// When the head had arrived, RFC 3339 in UTC.
    Time,
    /// The same as in `common`, without brackets.
    TimeCommon,
    /// The client's address.
    Client,
    /// The user of a forward proxy.
    User,
    /// The method.
    Method,
    /// `http` or `https`.
    Scheme,
    /// The host that was asked for.
    Host,
    /// Path and query.
    Target,
    /// The path.
    Path,
    /// The query without its `?`.
    Query,
    /// The version of HTTP.
    Protocol,
    /// The status that was sent, of three digits.
    Status,
    /// Bytes of the request's body.
    BytesFromClient,
    /// Bytes of the response's body.
    BytesToClient,
    /// Seconds with six digits behind the point.
    Duration,
    /// Microseconds.
    DurationMicroseconds,
    /// The route.
    Route,
    /// The pool.
    Pool,
    /// The last backend tried.
    Backend,
    /// How often the request was sent.
    Attempts,
    /// The policies that were asked, each with its nanoseconds.
    Policies,
    /// Seconds from the whole request to the head of the backend's answer, with six digits behind
    /// the point.
    UpstreamDuration,
    /// What it is called, where it has a name.
    RequestId,
    /// Its trace, where there is one.
    TraceId,
    /// Why the proxy or a policy refused, or why the request was not completed.
    Reason,
    /// The version of TLS.
    TlsVersion,
    /// The cipher suite.
    CipherSuite,
    /// The server that the client asked for.
    Sni,
    /// A field of the request, in lower case.
    Header(Box<str>),
}

/// Those that have one name.
const NAMED: [(&str, LogFact); 28] = [
    ("time", LogFact::Time),
    ("time-common", LogFact::TimeCommon),
    ("client", LogFact::Client),
    ("user", LogFact::User),
    ("method", LogFact::Method),
    ("scheme", LogFact::Scheme),
    ("host", LogFact::Host),
    ("target", LogFact::Target),
    ("path", LogFact::Path),
    ("query", LogFact::Query),
    ("protocol", LogFact::Protocol),
    ("status", LogFact::Status),
    ("bytes-from-client", LogFact::BytesFromClient),
    ("bytes-to-client", LogFact::BytesToClient),
    ("duration", LogFact::Duration),
    ("duration-microseconds", LogFact::DurationMicroseconds),
    ("route", LogFact::Route),
    ("pool", LogFact::Pool),
    ("backend", LogFact::Backend),
    ("attempts", LogFact::Attempts),
    ("policies", LogFact::Policies),
    ("upstream-duration", LogFact::UpstreamDuration),
    ("request-id", LogFact::RequestId),
    ("trace-id", LogFact::TraceId),
    ("reason", LogFact::Reason),
    ("tls-version", LogFact::TlsVersion),
    ("cipher-suite", LogFact::CipherSuite),
    ("sni", LogFact::Sni),
];
/// What nginx and others call these, where [`variables`] says nothing of them or something else.
const ELSEWHERE: [(&str, &str); 18] = [
    ("remote_user", "{user}"),
    ("time_local", "{time-common}"),
    ("time_iso8601", "{time}"),
    ("msec", "{time}"),
    ("request", "{method} {target} {protocol}"),
    ("request_uri", "{target}"),
    ("server_protocol", "{protocol}"),
    ("http_host", "{host}"),
    ("status", "{status}"),
    ("body_bytes_sent", "{bytes-to-client}"),
    ("bytes_sent", "{bytes-to-client}"),
    ("request_length", "{bytes-from-client}"),
    ("request_time", "{duration}"),
    ("upstream_response_time", "{duration}"),
    ("upstream_header_time", "{upstream-duration}"),
    ("upstream_addr", "{backend}"),
    ("otel_trace_id", "{trace-id}"),
    ("ssl_cipher", "{cipher-suite}"),
];
/// Fields that never go on as a client has sent them, and what says the same.
const NOT_KEPT: [(&str, &str); 6] = [
    ("host", "write {host}"),
    (
        "content-length",
        "write {bytes-from-client} for what has come",
    ),
    ("transfer-encoding", "remove it"),
    ("connection", "remove it"),
    (
        "upgrade",
        "remove it; a request that became a tunnel has status 101",
    ),
    ("expect", "remove it"),
];
/// In front of the name of a field.
const HEADER: &str = "header.";
/// The format of NCSA's httpd, which Apache and nginx call so.
const COMMON: &str = "{client} - {user} [{time-common}] \"{method} {target} {protocol}\" {status} \
                      {bytes-to-client}";
/// What `combined` has behind that.
const COMBINED: &str = " \"{header.referer}\" \"{header.user-agent}\"";

impl LogFormat {
    /// Whether lines say what policies took.
    pub(super) fn says_policies(&self) -> bool {
        match self {
            Self::Json => true,
            Self::Text(pieces) => pieces.contains(&LogPiece::Fact(LogFact::Policies)),
        }
    }

    /// Reads what is written in the configuration.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        if let Some(message) = variable(written) {
            return Err(message);
        }
        match written {
            "json" => Ok(Self::Json),
            "common" => template(COMMON),
            "combined" => template(&format!("{COMMON}{COMBINED}")),
            "" => {
                Err("is empty; write \"json\", \"common\", \"combined\" or a template".to_owned())
            }
            other if !other.contains('{') => Err(format!(
                "{other:?} is not known; write \"json\", \"common\", \"combined\", or a template \
                 with facts about the request, as in \"{{client}} {{status}} {{target}}\""
            )),
            other if other.contains(char::is_control) => Err(
                "has a line end or another control character; a line of the log is one line"
                    .to_owned(),
            ),
            other => template(other),
        }
    }
}

fn template(written: &str) -> Result<LogFormat, String> {
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut rest = written;
    while let Some((before, from)) = rest.split_once('{') {
        text.push_str(before);
        if let Some(after) = from.strip_prefix('{') {
            text.push('{');
            rest = after;
            continue;
        }
        let Some((name, after)) = from.split_once('}') else {
            let message = "has a brace without its end; write {{ for a brace that is meant as one";
            return Err(message.to_owned());
        };
        if !text.is_empty() {
            pieces.push(LogPiece::Text(std::mem::take(&mut text).into()));
        }
        pieces.push(LogPiece::Fact(fact(name)?));
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(LogPiece::Text(text.into()));
    }
    Ok(LogFormat::Text(pieces.into()))
}

fn fact(name: &str) -> Result<LogFact, String> {
    if let Some((_, fact)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Ok(fact.clone());
    }
    let field = name.strip_prefix(HEADER).filter(|field| {
        let of_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !field.is_empty() && field.bytes().all(of_token)
    });
    if let Some(field) = field {
        let kept = NOT_KEPT
            .iter()
            .find(|(name, _)| field.eq_ignore_ascii_case(name));
        if let Some((_, advice)) = kept {
            return Err(format!(
                "has {{{name}}}, a field that does not go on as the client has sent it; {advice}"
            ));
        }
        return Ok(LogFact::Header(field.to_ascii_lowercase().into()));
    }
    if let Some(fact) = elsewhere(name) {
        return Err(format!("has {{{name}}}, which is not known; write {fact}"));
    }
    let names: Vec<String> = NAMED
        .iter()
        .map(|(name, _)| format!("{{{name}}}"))
        .collect();
    Err(format!(
        "has {{{name}}}, which is not known; write {}, {{header.NAME}} for a field of the request, \
         or {{{{ for a brace that is meant as one",
        names.join(", ")
    ))
}

/// What to write in place of the first of nginx's variables, if one is in the text.
fn variable(written: &str) -> Option<String> {
    let mut variables = written.split('$').skip(1).filter_map(|after| {
        let after = after.strip_prefix('{').unwrap_or(after);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = &after[..end.unwrap_or(after.len())];
        Some((name, elsewhere(name)?))
    });
    let (name, fact) = variables.next()?;
    Some(format!(
        "has ${name}, and nothing here is a variable; write {fact}"
    ))
}

/// What is written here for a name of nginx's, or one of ours with other signs between its words.
fn elsewhere(name: &str) -> Option<String> {
    let found = ELSEWHERE.iter().find(|(theirs, _)| *theirs == name);
    let dashed = || {
        let dashed = name.replace('_', "-");
        let ours = NAMED.iter().find(|(ours, _)| *ours == dashed);
        ours.map(|(ours, _)| format!("{{{ours}}}"))
    };
    // A log has not all facts of values.
    let of_values = || {
        let fact = variables::fact(name, Spot::Field)?;
        let inside = fact.trim_matches(['{', '}']);
        let is_here = inside.starts_with(HEADER) || NAMED.iter().any(|(ours, _)| *ours == inside);
        is_here.then_some(fact)
    };
    found
        .map(|(_, fact)| (*fact).to_owned())
        .or_else(dashed)
        .or_else(of_values)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    fn pieces(written: &str) -> Vec<LogPiece> {
        match LogFormat::parse(written).unwrap() {
            LogFormat::Json => Vec::new(),
            LogFormat::Text(pieces) => pieces.into(),
        }
    }

    #[test]
    fn names_in_braces_are_facts_and_all_else_stands_as_it_is() {
        let text = |text: &str| LogPiece::Text(text.into());
        assert_eq!(pieces("json"), []);
        assert_eq!(
            pieces("a={client} {{x} {header.X-A_b}|"),
            [
                text("a="),
                LogPiece::Fact(LogFact::Client),
                text(" {x} "),
                LogPiece::Fact(LogFact::Header("x-a_b".into())),
                text("|"),
            ]
        );
        for (name, fact) in NAMED {
            assert_eq!(pieces(&format!("{{{name}}}")), [LogPiece::Fact(fact)]);
        }
        let (common, combined) = (pieces("common"), pieces("combined"));
        assert_eq!(combined[..common.len()], common);
        assert_eq!(combined.len(), common.len() + 5);
    }

    #[test]
    fn what_can_not_be_meant_is_refused_with_what_to_write() {
        for (written, words) in [
            ("", "is empty"),
            ("main", "\"combined\", or a template"),
            ("$remote_addr", "write {client}"),
            ("$other", "\"combined\", or a template"),
            ("{remote_addr}", "write {client}"),
            ("{bytes_to_client}", "write {bytes-to-client}"),
            ("{http_user_agent}", "write {header.user-agent}"),
            ("{client} $status", "write {status}"),
            ("${remote_addr} {status}", "write {client}"),
            ("{client} \"$http_x_a\"", "write {header.x-a}"),
            ("{header.Host}", "write {host}"),
            ("{header.expect}", "remove it"),
            ("{other}", "write {time}, {time-common}, {client}"),
            ("{ client }", "{ client }, which is not known"),
            ("{header.}", "{header.NAME}"),
            ("{header.a b}", "{header.NAME}"),
            ("{client", "without its end"),
            ("{client}\n{host}", "one line"),
        ] {
            let error = LogFormat::parse(written).unwrap_err();
            assert!(error.contains(words), "{written}: {error}");
        }
    }
}
