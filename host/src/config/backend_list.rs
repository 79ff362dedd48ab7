//! Backends that are written as JSON: in the file of a pool, and by the admin API.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Backend, BackendKind, ConfigErrors, Pool, PoolProtocol, pool_tls, pools};
use crate::document::{At, Findings, Node, parse_json};

/// The most backends of one list.
pub const MAX_BACKENDS: usize = 10_000;

/// The backends of this pool in a text of JSON that is named `name`: a list, or an object with the
/// list as `backends`. Entries are as in `[pools.NAME]`, and the list may be empty. Also returns
/// warnings.
///
/// # Errors
///
/// Every mistake, with its line or its JSON pointer.
pub fn parse_backends(
    name: &str,
    text: &str,
    pool: &Pool,
) -> Result<(Vec<Backend>, Vec<String>), ConfigErrors> {
    let mut findings = Findings::default();
    let name: Arc<str> = name.into();
    let list = parse_json(&name, text, &mut findings).and_then(|node| list(node, &mut findings));
    let Some(list) = list else {
        return Err(findings.into_errors());
    };
    let place = list.place.clone();
    let mut backends = pools::backends_within(list, pool.tls.as_ref(), MAX_BACKENDS, &mut findings);
    // The members of an object have no order.
    backends
        .iter_mut()
        .for_each(|backend| backend.labels.sort());
    let protocol = At::new(pool.protocol, place);
    pool_tls::check_protocol(&protocol, &backends, false, &mut findings);
    let warnings = findings.conclude()?;
    let warnings = warnings.iter().map(ToString::to_string);
    Ok((backends, warnings.collect()))
}

/// The list of a text.
fn list(node: Node, findings: &mut Findings) -> Option<Node> {
    if node.is_list() {
        return Some(node);
    }
    let mut section = node.section(findings)?;
    let list = section.take("backends");
    if list.is_none() {
        findings.error(
            &section.place,
            "has no `backends`; write {\"backends\": [\"10.0.0.1:80\"]}",
        );
    }
    section.finish(findings);
    let list = list?;
    if list.is_list() {
        return Some(list);
    }
    list.list(findings);
    None
}

/// A list of one backend at this address, with weight and labels from a text of JSON that may be
/// empty.
///
/// # Errors
///
/// The text is no object, or has an address as well: a sentence.
pub fn list_of_one(address: &str, text: &str) -> Result<String, String> {
    let mut entry = match text.trim() {
        "" => Map::new(),
        text => serde_json::from_str::<Map<String, Value>>(text).map_err(|e| {
            format!("the body is no object of JSON ({e}); write {{\"weight\": 2}}, or nothing")
        })?,
    };
    if entry.insert("address".to_owned(), address.into()).is_some() {
        return Err("the path has the address already; remove it from the body".to_owned());
    }
    Ok(json!([entry]).to_string())
}

/// These backends of a pool as [`parse_backends`] reads them.
pub fn write_backends(backends: &[Backend], pool: &Pool) -> Value {
    let entry = |backend: &Backend| {
        let labels: Map<String, Value> = backend
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        json!({
            "address": written(backend, pool.tls.is_some()),
            "weight": backend.weight,
            "labels": labels,
        })
    };
    backends.iter().map(entry).collect()
}

/// A backend as it can be written in a pool that has `tls`, or has not.
fn written(backend: &Backend, pool_has_tls: bool) -> String {
    let scheme = match (backend.kind, backend.tls.is_some()) {
        (BackendKind::Srv, true) => "srv+https://",
        (BackendKind::Srv, false) if backend.protocol == Some(PoolProtocol::H2c) => "srv+h2c://",
        (BackendKind::Srv, false) => "srv+http://",
        (BackendKind::Address, true) if !pool_has_tls => "https://",
        (BackendKind::Address, _) => "",
    };
    format!("{scheme}{}", backend.address)
}
