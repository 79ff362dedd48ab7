//! `cors` of a route, as it is written.

use std::time::Duration;

use http::Method;

use super::conditions::Conditions;
use super::edits::{Cors, CorsList, OriginMatch};
use super::{host, matches, sections, values};
use crate::document::{Findings, Node, Section};

/// Longer than any browser remembers the answer to a preflight.
const MOST: Duration = Duration::from_secs(24 * 3600);

/// Reads which scripts of other origins may read the answers of a route with these conditions.
pub(super) fn read(node: Node, conditions: &Conditions, findings: &mut Findings) -> Option<Cors> {
    let example = "{ origins = [\"https://www.example.com\"] }";
    let mut section = node.section_such_as(example, findings)?;
    let place = section.place.clone();
    let origins = origins(&mut section, findings);
    let methods = section
        .take("methods")
        .map(|n| matches::methods(n, findings));
    let methods = match methods {
        Some(methods) => methods,
        None if !conditions.methods.is_empty() => conditions.methods.clone(),
        None => vec![Method::GET, Method::HEAD, Method::POST],
    };
    let methods: Vec<String> = methods.iter().map(Method::to_string).collect();
    let headers = names(&mut section, "headers", findings);
    let expose = names(&mut section, "expose", findings);
    let credentials = section.take("credentials");
    let credentials = credentials.and_then(|n| n.boolean(findings)) == Some(true);
    let max_age = section.take("max-age");
    let max_age = max_age.and_then(|n| sections::duration(n, findings, &(Duration::ZERO..=MOST)));
    section.finish(findings);
    for (key, is_all) in [
        ("origins", origins.contains(&OriginMatch::Any)),
        ("expose", expose.iter().any(|name| name == "*")),
    ] {
        if credentials && is_all {
            let message = format!(
                "has `credentials` beside \"*\" in `{key}`, which browsers don't accept; list in \
                 `{key}` what is meant, or remove `credentials`"
            );
            findings.error(&place, message);
        }
    }
    Some(Cors {
        origins,
        methods: list(&methods),
        headers: list(&headers),
        expose: (!expose.is_empty()).then(|| expose.join(", ")),
        credentials,
        max_age: max_age.map(|age| age.as_secs()),
    })
}

fn list(members: &[String]) -> CorsList {
    match members.iter().any(|member| member == "*") {
        true => CorsList::All,
        false => CorsList::These(members.join(", ")),
    }
}

fn origins(section: &mut Section, findings: &mut Findings) -> Vec<OriginMatch> {
    let place = section.place.clone();
    let nodes = section.take("origins").map(Node::one_or_many);
    let nodes = nodes.unwrap_or_default();
    if nodes.is_empty() {
        let message = "names no `origins`; write for example [\"https://www.example.com\"], or \
                       \"*\" for all";
        findings.error(&place, message);
    }
    let mut origins = Vec::new();
    for node in nodes {
        let origin = node.parsed(findings, origin).map(|origin| origin.value);
        origins.extend(origin.filter(|origin| !origins.contains(origin)));
    }
    if origins.len() > 1 && origins.contains(&OriginMatch::Any) {
        let message = "has \"*\" among its `origins`, which is all of them; remove the others";
        findings.error(&place, message);
    }
    origins
}

/// Names of fields, of which `*` is one.
fn names(section: &mut Section, key: &'static str, findings: &mut Findings) -> Vec<String> {
    let mut names = Vec::new();
    for node in section.take(key).map_or_else(Vec::new, Node::one_or_many) {
        let name = node.parsed(findings, values::field_name);
        names.extend(name.map(|name| name.value).filter(|n| !names.contains(n)));
    }
    names
}

/// `https://www.example.com`, perhaps with a port or `*.` before its host, `null` or `*`.
fn origin(written: &str) -> Result<OriginMatch, String> {
    match written {
        "*" => return Ok(OriginMatch::Any),
        "null" => return Ok(OriginMatch::Exact(written.to_owned())),
        _ => {}
    }
    let refused = |why: &str| {
        Err(format!(
            "{written:?} {why}; write for example \"https://www.example.com\", \
             \"https://*.example.com\" or \"*\""
        ))
    };
    let Some((scheme, authority)) = written.split_once("://") else {
        return refused("is not an origin");
    };
    let of_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(of_scheme) {
        return refused("has no scheme such as `https`");
    }
    if authority.contains(['/', '?', '#', '@']) {
        return refused(
            "has more than a scheme, a host and a port, which is all that browsers send",
        );
    }
    let (below, name) = match authority.strip_prefix("*.") {
        Some(name) => (".", name),
        None => ("", authority),
    };
    let Some(host) = host::normalise_host(name).filter(|_| name.trim() == name) else {
        return refused("has no host");
    };
    let scheme = format!("{}://", scheme.to_ascii_lowercase());
    let port = name
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'));
    let port = match (&*scheme, port) {
        // Browsers leave it out.
        (_, None | Some((_, "")))
        | ("https://", Some((_, "443")))
        | ("http://", Some((_, "80"))) => String::new(),
        (_, Some((_, port))) => format!(":{port}"),
    };
    let ending = format!("{below}{host}{port}");
    Ok(match below {
        "" => OriginMatch::Exact(format!("{scheme}{ending}")),
        _ => OriginMatch::Below { scheme, ending },
    })
}
