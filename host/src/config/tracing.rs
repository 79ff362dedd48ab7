//! `[tracing]` as written.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use http::Uri;

use super::{AcceptTraces, TraceExport, Tracing, record, respond, sections, values, without_query};
use crate::document::{Findings, Node, Section};

/// Spans of one request to the collector. Collectors take 4 MiB by default, and a span has some
/// 500 bytes.
const BATCH: RangeInclusive<usize> = 1..=4_096;
/// Spans in memory, which is what bounds it.
const QUEUE: RangeInclusive<usize> = 128..=1_000_000;
/// How long a span waits for others.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// How long the collector may take.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// Characters of a name.
const NAME: usize = 255;

/// Reads the section; `None` if it is missing or unusable.
pub(super) fn tracing(root: &mut Section, base: &Path, findings: &mut Findings) -> Option<Tracing> {
    let mut section = root.take("tracing")?.section(findings)?;
    let accept = section.take("accept");
    let accept = accept.and_then(|node| node.parsed(findings, accept_traces));
    let sample = section.take("sample");
    let sample = sample.and_then(|node| record::share(node, findings));
    let errors = section.take("errors").and_then(|n| n.boolean(findings));
    let export = export(&mut section, base, findings);
    section.finish(findings);
    Some(Tracing {
        accept: accept.map_or_else(Default::default, |accept| accept.value),
        sample: sample.unwrap_or(0.01),
        errors: errors.unwrap_or(true),
        export,
    })
}

/// What only an `endpoint` gives a meaning.
fn export(section: &mut Section, base: &Path, findings: &mut Findings) -> Option<TraceExport> {
    const OTHERS: [&str; 8] = [
        "service-name",
        "headers",
        "token-file",
        "ca",
        "batch",
        "interval",
        "queue",
        "timeout",
    ];
    let has_others = OTHERS.into_iter().find(|key| section.has(key));
    let place = section.place.clone();
    let endpoint = section.take("endpoint");
    if let (Some(key), None) = (has_others, &endpoint) {
        let message = format!(
            "has `{key}` and no `endpoint`, so nothing is exported; write the collector's URL, \
             such as endpoint = \"http://127.0.0.1:4318/v1/traces\""
        );
        findings.error(&place, message);
    }
    if let Some(node) = endpoint.as_ref().filter(|_| cfg!(not(feature = "otlp"))) {
        let message = "can't be served by this build: it is without the feature `otlp`; remove \
                       the key, or build with that feature";
        findings.error(&node.place, message);
    }
    let endpoint = endpoint.and_then(|node| node.parsed(findings, endpoint_url));
    let name = section.take("service-name");
    let name = name.and_then(|node| node.parsed(findings, service_name));
    let headers = section.take("headers").map(|node| headers(node, findings));
    let mut path = |key| {
        let node = section.take(key)?;
        let path = node.parsed(findings, |written| values::relative_to(base, written));
        Some(path?.value)
    };
    let (token_file, ca) = (path("token-file"), path("ca"));
    let mut number = |key, range| {
        let number = section.take(key)?.integer(findings, range)?;
        Some(number.value)
    };
    let (batch, queue) = (number("batch", BATCH), number("queue", QUEUE));
    let mut time = |key, range| {
        let node = section.take(key)?;
        sections::duration(node, findings, range)
    };
    let (interval, timeout) = (time("interval", &INTERVAL), time("timeout", &TIMEOUT));
    Some(TraceExport {
        endpoint: endpoint?.value,
        service_name: name.map_or_else(|| "waypost".to_owned(), |name| name.value),
        headers: headers.unwrap_or_default(),
        token_file,
        ca,
        batch: batch.unwrap_or(512),
        interval: interval.unwrap_or(Duration::from_secs(5)),
        queue: queue.unwrap_or(8_192),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
    })
}

fn accept_traces(written: &str) -> Result<AcceptTraces, String> {
    match written {
        "none" => Ok(AcceptTraces::None),
        "trusted" => Ok(AcceptTraces::Trusted),
        "all" => Ok(AcceptTraces::All),
        _ => Err(format!(
            "{written:?} is not known; write \"trusted\", \"all\" or \"none\""
        )),
    }
}

/// Without a user: it would be in the log.
fn endpoint_url(written: &str) -> Result<String, String> {
    // Its query may be a secret.
    let shown = without_query(written.trim());
    let uri = written.trim().parse::<Uri>().ok();
    let is_good = |uri: &Uri| {
        let authority = uri.authority().map_or("", |a| a.as_str());
        let has_port = uri.host().is_some_and(|host| host.len() < authority.len());
        matches!(uri.scheme_str(), Some("http" | "https"))
            && !authority.is_empty()
            && !authority.contains('@')
            && (!has_port || uri.port_u16().is_some_and(|port| port > 0))
    };
    match uri.filter(is_good) {
        Some(uri) if matches!(uri.path(), "" | "/") => Err(format!(
            "{shown:?} has no path, and collectors take traces at one; write for example \
             \"{}/v1/traces\"{}",
            shown.trim_end_matches('/'),
            match uri.port_u16() {
                Some(4317) => " (by HTTP most listen on 4318, and 4317 is for gRPC)",
                _ => "",
            }
        )),
        Some(uri) => Ok(uri.to_string()),
        None => Err(format!(
            "{:?} is not the URL of a collector; write one that begins with http:// or https:// \
             and has no user, such as \"http://127.0.0.1:4318/v1/traces\"",
            shown.rsplit('@').next().unwrap_or_default()
        )),
    }
}

fn service_name(written: &str) -> Result<String, String> {
    match written.trim() {
        "" => Err("is empty; write a name, or remove the key".to_owned()),
        name if name.chars().count() > NAME || name.chars().any(char::is_control) => Err(format!(
            "is not a name; write at most {NAME} characters, and no control characters"
        )),
        name => Ok(name.to_owned()),
    }
}

fn headers(node: Node, findings: &mut Findings) -> Vec<(String, Vec<u8>)> {
    let Some(section) = node.section_such_as("{ x-tenant = \"a\" }", findings) else {
        return Vec::new();
    };
    let fields = section
        .into_entries()
        .into_iter()
        .filter_map(|(name, node)| {
            let place = node.place.clone();
            let name = findings.accept(&place, header_name(&name));
            let value = node.parsed(findings, respond::written_value);
            Some((name?, value?.value))
        });
    fields.collect()
}

fn header_name(written: &str) -> Result<String, String> {
    match respond::written_name(written)? {
        name if matches!(&*name, "content-type" | "content-encoding" | "user-agent") => Err(
            format!("can't be written: the exporter says {name:?} itself; remove it"),
        ),
        name => Ok(name),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(lines: &str) -> Result<Tracing, String> {
        let text = format!("[hosts]\n\"*\" = \"127.0.0.1:1\"\n[tracing]\n{lines}");
        let config = Config::from_toml(&text, Path::new("/x")).map_err(|e| e.to_string())?;
        Ok(config.tracing.unwrap())
    }

    #[test]
    fn traces_without_a_collector_are_only_passed_on() {
        let tracing = read("").unwrap();
        assert_eq!(
            (tracing.accept, tracing.sample),
            (AcceptTraces::Trusted, 0.01)
        );
        assert!(tracing.errors && tracing.export.is_none());
        let tracing = read("accept = \"none\"\nsample = \"50%\"\nerrors = false").unwrap();
        assert_eq!((tracing.accept, tracing.sample), (AcceptTraces::None, 0.5));
        assert!(!tracing.errors);
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn a_collector_has_defaults_for_all_but_its_address() {
        let export = read("endpoint = \"http://c:4318/v1/traces\"")
            .unwrap()
            .export;
        let expected = TraceExport {
            endpoint: "http://c:4318/v1/traces".to_owned(),
            service_name: "waypost".to_owned(),
            headers: Vec::new(),
            token_file: None,
            ca: None,
            batch: 512,
            interval: Duration::from_secs(5),
            queue: 8_192,
            timeout: Duration::from_secs(10),
        };
        assert_eq!(export.as_ref(), Some(&expected));
        let lines = "endpoint = \"https://c/v1/traces?k=v\"\nservice-name = \"edge\"\n\
                     headers = { X-Tenant = \"a\" }\ntoken-file = \"t\"\nca = \"ca.pem\"\n\
                     batch = 1\ninterval = \"1s\"\nqueue = 128\ntimeout = \"2s\"";
        let export = read(lines).unwrap().export.unwrap();
        assert_eq!(export.headers, [("x-tenant".to_owned(), b"a".to_vec())]);
        assert_eq!(export.token_file.as_deref(), Some(Path::new("/x/t")));
        assert_eq!((export.batch, export.queue), (1, 128));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (lines, words) in [
            ("sample = 2", "1"),
            ("accept = \"some\"", "\"trusted\", \"all\" or \"none\""),
            ("batch = 10", "no `endpoint`"),
            ("endpoint = \"c:4318\"", "http://127.0.0.1:4318/v1/traces"),
            (
                "endpoint = \"http://c:4318\"",
                "\"http://c:4318/v1/traces\"",
            ),
            ("endpoint = \"http://u:secret@c/v1/traces\"", "no user"),
            (
                "endpoint = \"http://c/v\"\nservice-name = \" \"",
                "is empty",
            ),
            (
                "endpoint = \"http://c/v\"\nheaders = { host = \"a\" }",
                "can't be written",
            ),
            (
                "endpoint = \"http://c/v\"\nheaders = { content-type = \"a\" }",
                "says",
            ),
            ("endpoint = \"http://c/v\"\ninterval = \"1ms\"", "100ms"),
        ] {
            let error = read(lines).unwrap_err();
            assert!(error.contains(words), "{lines}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
