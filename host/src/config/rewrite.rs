//! `strip-prefix`, `rewrite`, `host-rewrite`, `request-headers` and `response-headers` of a route,
//! as they are written.

use super::conditions::{Conditions, PathMatch};
use super::edits::{FieldEdits, HostRewrite, Rewrite, RouteEdits};
use super::field_value::{Fact, FieldValue};
use super::template::{Template, check_text};
use super::unmeant::Unmeant;
use super::variables::Spot;
use super::{cors, host, location_entry, respond, values};
use crate::document::{Findings, Node, Section};

/// Reads what a route changes.
pub(super) fn edits(
    section: &mut Section,
    path: &PathMatch,
    conditions: &Conditions,
    findings: &mut Findings,
) -> RouteEdits {
    let rewrite = rewrite(section, path, findings);
    let host = section
        .take("host-rewrite")
        .and_then(|n| host_rewrite(n, findings));
    let changes_host = host.is_some();
    let location = location_entry::read(section, rewrite.as_ref(), changes_host, findings);
    let request = section.take("request-headers");
    let request = request.and_then(|n| field_edits(n, path, findings));
    let request = request.unwrap_or_default();
    let cors = section.take("cors");
    let place = cors.as_ref().map(|node| node.place.clone());
    let cors = cors.and_then(|n| cors::read(n, conditions, findings));
    let response = section.take("response-headers");
    let response = response.and_then(|n| field_edits(n, path, findings));
    let response = response.unwrap_or_default();
    if let Some(place) = place {
        let written = response.set.iter().chain(&response.add);
        for (name, _) in written.filter(|(name, _)| name.starts_with("access-control-")) {
            let message =
                format!("decides about `{name}`, which `response-headers` writes too; remove one");
            findings.error(&place, message);
        }
    }
    let says = |fact| request.says(&fact) || response.says(&fact);
    RouteEdits {
        says_id: says(Fact::RequestId),
        says_pool: says(Fact::Pool),
        rewrite,
        host,
        location,
        request,
        response,
        cors,
    }
}

fn rewrite(section: &mut Section, path: &PathMatch, findings: &mut Findings) -> Option<Rewrite> {
    let strips = section.take("strip-prefix");
    let rewrite = section.take("rewrite");
    if let (Some(strips), Some(_)) = (&strips, &rewrite) {
        let message = "is there beside `rewrite`, which says the whole path; remove one of them";
        findings.error(&strips.place, message);
    }
    if let Some(node) = rewrite {
        let read = |written: &str| template(written, path);
        let rewrite = node.parsed(findings, read)?;
        let spot = Spot::Path;
        Unmeant { spot, path }.warn(&rewrite.value.written, &rewrite.place, findings);
        return Some(rewrite.value);
    }
    let strips = strips?;
    let place = strips.place.clone();
    if !strips.boolean(findings)? {
        return None;
    }
    match path {
        PathMatch::Prefix(prefix) if prefix != "/" => {
            let to = findings.accept(&place, Template::parse("/{rest}", path, false))?;
            Some(Rewrite {
                stripped: Some(prefix.trim_end_matches('/').to_owned()),
                ..made("", to, path)
            })
        }
        _ => {
            let message = "needs a prefix as the route's `path`, such as \"/api\"; a `rewrite` can \
                           change other paths";
            findings.error(&place, message);
            None
        }
    }
}

fn made(written: &str, to: Template, path: &PathMatch) -> Rewrite {
    Rewrite {
        written: written.to_owned(),
        keeps_query: !to.has_query(),
        base: to.base(),
        to,
        path: path.clone(),
        stripped: None,
    }
}

/// Reads a path, perhaps with a query, with parts of the request in it.
fn template(written: &str, path: &PathMatch) -> Result<Rewrite, String> {
    check_text(written)?;
    let to = Template::parse(written, path, false)?;
    if !written.starts_with('/') {
        return Err(format!(
            "{written:?} is not a path; begin it with `/`, such as \"/v2{{path}}\"; for a path \
             without its prefix, write strip-prefix = true"
        ));
    }
    let begin = written.split('?').next().unwrap_or_default();
    // Whatever the parts are, the path around them is one.
    let mut around = String::new();
    for (at, text) in begin.split('{').enumerate() {
        let text = match at {
            0 => text,
            _ => text.split_once('}').map_or("", |(_, after)| after),
        };
        around.push_str(if at == 0 { "" } else { "x" });
        around.push_str(text);
    }
    if around.contains("//") {
        return Err(format!("{written:?} has two slashes in a row; remove one"));
    }
    values::url_path(&around)?;
    Ok(made(written, to, path))
}

/// A host, or `{ backend = true }`.
fn host_rewrite(node: Node, findings: &mut Findings) -> Option<HostRewrite> {
    if !node.is_table() {
        let host = node.parsed(findings, |written| {
            match host::normalise_host(written).is_some_and(|host| !host.is_empty()) {
                true => Ok(written.trim().to_owned()),
                false => Err(format!(
                    "{written:?} is not a host; write for example \"api.internal\" or \
                     \"api.internal:8080\", or {{ backend = true }} for the backend's own"
                )),
            }
        });
        return host.map(|host| HostRewrite::To(host.value));
    }
    let mut table = node.section(findings)?;
    let (place, says_nothing) = (table.place.clone(), table.is_empty());
    let backend = table.take("backend").and_then(|n| n.boolean(findings));
    table.finish(findings);
    if says_nothing || backend == Some(false) {
        let message = "says no host; write { backend = true } for the backend's own, or a host in \
                       quotes, or remove the key";
        findings.error(&place, message);
    }
    Some(HostRewrite::OfBackend)
}

/// The name of a field to remove. A star may stand in a name, and is hardly meant to.
fn removed_name(written: &str) -> Result<String, String> {
    match written.contains('*') {
        true => Err(format!(
            "{written:?} has a star, and no name here stands for several fields; write each name"
        )),
        false => respond::written_name(written),
    }
}

fn field_edits(node: Node, path: &PathMatch, findings: &mut Findings) -> Option<FieldEdits> {
    let mut table = node.section_such_as("{ set = { x-name = \"value\" } }", findings)?;
    if table.is_empty() {
        let message = "changes nothing; write `set`, `add` or `remove` in it, or remove the key";
        findings.error(&table.place, message);
    }
    let mut fields = |table: &mut Section, key| {
        let fields = table.take(key).and_then(|n: Node| n.section(findings));
        let read = |value: Vec<u8>| FieldValue::parse(&value, path);
        fields.map_or_else(Vec::new, |fields| {
            let spot = Spot::Field;
            respond::read_fields(fields, Unmeant { spot, path }, findings, read)
        })
    };
    let (set, add) = (fields(&mut table, "set"), fields(&mut table, "add"));
    let mut remove = Vec::new();
    for node in table
        .take("remove")
        .map_or_else(Vec::new, Node::one_or_many)
    {
        let Some(name) = node.parsed(findings, removed_name) else {
            continue;
        };
        if set.iter().any(|(known, _)| *known == name.value) {
            let message = format!("{:?} is replaced by `set` anyway; remove one", name.value);
            findings.error(&name.place, message);
        }
        remove.push(name.value);
    }
    table.finish(findings);
    Some(FieldEdits { remove, set, add })
}
