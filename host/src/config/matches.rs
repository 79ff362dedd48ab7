//! `path`, `methods`, `headers` and `query` of a route, as they are written.

use http::Method;

use super::conditions::{Conditions, PathMatch, ValueMatch};
use super::pattern::Pattern;
use super::values;
use crate::document::{At, Findings, Node, Section};
use crate::message::{names, path};

/// Reads the path of a route; all paths if there is none.
pub(super) fn path(section: &mut Section, findings: &mut Findings) -> PathMatch {
    let all = || PathMatch::Prefix("/".to_owned());
    let Some(node) = section.take("path") else {
        return all();
    };
    if !node.is_table() {
        let prefix = node.parsed(findings, values::route_path);
        warn_of_star(prefix.as_ref(), findings);
        return prefix.map_or_else(all, |p| PathMatch::Prefix(p.value));
    }
    let Some(mut table) = choice(node, "exact", findings) else {
        return all();
    };
    let prefix = table.take("prefix");
    let prefix = prefix.and_then(|n| n.parsed(findings, values::route_path));
    warn_of_star(prefix.as_ref(), findings);
    let exact = table.take("exact");
    let exact = exact.and_then(|n| n.parsed(findings, exact_path));
    warn_of_star(exact.as_ref(), findings);
    let regex = table.take("regex");
    let regex = regex.and_then(|n| n.parsed(findings, Pattern::new));
    warn_of_undecoded(regex.as_ref(), findings);
    let given = [
        prefix.map(|p| PathMatch::Prefix(p.value)),
        exact.map(|p| PathMatch::Exact(p.value)),
        regex.map(|p| PathMatch::Regex(p.value)),
    ];
    chosen(table, given, findings).unwrap_or_else(all)
}

/// Says that a star is none of a pattern.
fn warn_of_star(path: Option<&At<String>>, findings: &mut Findings) {
    if let Some(path) = path.filter(|path| path.value.contains('*')) {
        let message = "has a `*`, which is a character like any other: a prefix takes all that \
                       lies below it anyway; write { regex = '…' } for a pattern";
        findings.warning(&path.place, message);
    }
}

/// Says that a path is compared as it is sent.
fn warn_of_undecoded(path: Option<&At<Pattern>>, findings: &mut Findings) {
    let is_encoded = |c: char| c == ' ' || !c.is_ascii();
    if let Some(path) = path.filter(|path| path.value.to_string().contains(is_encoded)) {
        let message = "has a blank or a character beyond ASCII, and paths have these as `%20` and \
                       their like; write them so";
        findings.warning(&path.place, message);
    }
}

/// A trailing slash counts, because it does for clients and backends.
fn exact_path(written: &str) -> Result<String, String> {
    values::url_path(written)?;
    Ok(path::literal(written))
}

/// Reads the other conditions of a route.
pub(super) fn conditions(section: &mut Section, findings: &mut Findings) -> Conditions {
    let methods = section.take("methods").map(|n| methods(n, findings));
    let headers = section.take("headers").map(|node| {
        named(node, findings, |name, node, f| {
            let place = node.place.clone();
            let name = f.accept(&place, field_name(name))?;
            Some((name, value(node, f, field_value)?))
        })
    });
    let query = section.take("query").map(|node| {
        named(node, findings, |name, node, f| {
            Some((name.to_owned(), value(node, f, |_| Ok(()))?))
        })
    });
    Conditions {
        methods: methods.unwrap_or_default(),
        headers: headers.unwrap_or_default(),
        query: query.unwrap_or_default(),
    }
}

pub(super) fn methods(node: Node, findings: &mut Findings) -> Vec<Method> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        let message = "is empty; write at least one method, or remove the key to match all";
        findings.error(&place, message);
    }
    let mut methods = Vec::new();
    for node in nodes {
        let method = node.parsed(findings, method).map(|m| m.value);
        methods.extend(method.filter(|m| !methods.contains(m)));
    }
    methods
}

fn method(written: &str) -> Result<Method, String> {
    let method = Method::from_bytes(written.as_bytes()).map_err(|_| {
        format!("{written:?} is not a method; write for example \"GET\", without spaces")
    })?;
    if matches!(method, Method::CONNECT | Method::TRACE) {
        return Err(format!(
            "{written:?} is refused before routes are looked at; remove it"
        ));
    }
    let upper = written.to_ascii_uppercase();
    let is_known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&&*upper);
    match is_known && upper != written {
        true => Err(format!(
            "{written:?} is not {upper:?}: methods are compared with their case; write {upper:?}"
        )),
        false => Ok(method),
    }
}

/// A table whose keys are names, each of which may be there once.
fn named(
    node: Node,
    findings: &mut Findings,
    read: impl Fn(&str, Node, &mut Findings) -> Option<(String, ValueMatch)>,
) -> Vec<(String, ValueMatch)> {
    let mut all: Vec<(String, ValueMatch)> = Vec::new();
    let entries = node.section(findings).map(Section::into_entries);
    for (name, node) in entries.unwrap_or_default() {
        let place = node.place.clone();
        let Some((name, value)) = read(&name, node, findings) else {
            continue;
        };
        if all.iter().any(|(known, _)| *known == name) {
            findings.error(&place, "is there twice; remove one of them");
            continue;
        }
        all.push((name, value));
    }
    all
}

/// A field that is there as the client sent it when routes are looked at.
fn field_name(written: &str) -> Result<String, String> {
    let name = values::field_name(written)?;
    match names::owned(name.as_bytes()) {
        None => Ok(name),
        Some(_) if name == "host" => {
            Err("can't be a condition; write the key `host` of the route".to_owned())
        }
        Some(_) => Err(format!(
            "can't be a condition: {name:?} is about the connection, or says of the client what \
             anybody can say, and the proxy decides on it only for the route; a policy can read it"
        )),
    }
}

fn field_value(written: &str) -> Result<(), String> {
    match written.trim() != written || written.bytes().any(|b| b.is_ascii_control()) {
        true => Err(format!(
            "{written:?} can't be the value of a header field; remove control characters, and \
             spaces at its ends"
        )),
        false => Ok(()),
    }
}

/// A value, or a table that says how it is compared.
fn value(
    node: Node,
    findings: &mut Findings,
    check: impl Fn(&str) -> Result<(), String>,
) -> Option<ValueMatch> {
    let checked = |text: &str| check(text).map(|()| text.to_owned());
    if !node.is_table() {
        let exact = node.parsed_scalar(findings, checked);
        return exact.map(|value| ValueMatch::Exact(value.value));
    }
    let mut table = choice(node, "prefix", findings)?;
    let exact = table.take("exact");
    let exact = exact.and_then(|n| n.parsed_scalar(findings, checked));
    let prefix = table.take("prefix");
    let prefix = prefix.and_then(|n| {
        n.parsed_scalar(findings, |text| {
            // The beginning of a value may end in a space.
            check(text.trim_end_matches(' '))?;
            match text {
                "" => Err("is empty; write { present = true } for any value".to_owned()),
                text => Ok(text.to_owned()),
            }
        })
    });
    let regex = table.take("regex");
    let regex = regex.and_then(|n| n.parsed(findings, Pattern::new));
    let present = table.take("present").and_then(|n| n.boolean(findings));
    let given = [
        exact.map(|value| ValueMatch::Exact(value.value)),
        prefix.map(|value| ValueMatch::Prefix(value.value)),
        regex.map(|value| ValueMatch::Regex(value.value)),
        present.map(ValueMatch::Present),
    ];
    chosen(table, given, findings)
}

/// A table that has one of several keys.
fn choice(node: Node, example: &str, findings: &mut Findings) -> Option<Section> {
    let place = node.place.clone();
    let table = node.section(findings)?;
    if table.is_empty() {
        let message = format!("is empty; write for example {{ {example} = \"…\" }}");
        findings.error(&place, message);
    }
    Some(table)
}

/// Ends such a table, of whose keys these were there.
fn chosen<T, const N: usize>(
    table: Section,
    given: [Option<T>; N],
    findings: &mut Findings,
) -> Option<T> {
    let place = table.place.clone();
    let mut given = given.into_iter().flatten();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        findings.error(&place, "says more than one thing; keep one of its keys");
    }
    table.finish(findings);
    first
}
