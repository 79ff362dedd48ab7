//! `[forwarded]` and `[paths]`: which forwarding fields are trusted, and how paths are read.

use super::{Forwarded, ForwardedSource, Paths, Via, values};
use crate::document::{Findings, Node, Section};
use crate::message::names::{self, Owned, Owner};
use crate::message::syntax;

/// The most bytes of a name in `Via`.
const MAX_VIA: usize = 64;

/// `[forwarded]`
pub(super) fn forwarded(mut section: Section, findings: &mut Findings) -> Forwarded {
    let mut many = |key| section.take(key).map(Node::one_or_many).unwrap_or_default();
    let (trusted, allow) = (many("trusted"), many("allow"));
    let trusted = values::trusted_peers(trusted, findings);
    let allow = allow
        .into_iter()
        .filter_map(|n| n.parsed(findings, allowed))
        .map(|name| name.value)
        .collect();
    let source = section
        .take("source")
        .and_then(|n| n.parsed(findings, source));
    let via = section
        .take("via")
        .and_then(|node| match node.is_boolean() {
            true => node
                .boolean(findings)
                .map(|on| if on { Via::On } else { Via::Off }),
            false => node.parsed(findings, via_name).map(|name| name.value),
        });
    section.finish(findings);
    Forwarded {
        trusted,
        source: source.map_or_else(Default::default, |s| s.value),
        allow,
        via: via.unwrap_or_default(),
    }
}

/// `[paths]`
pub(super) fn paths(mut section: Section, findings: &mut Findings) -> Paths {
    let strict = section.take("strict").and_then(|n| n.boolean(findings));
    let forward = section.take("forward").and_then(|node| {
        node.parsed(findings, |written| match written {
            "raw" => Ok(false),
            "normalised" => Ok(true),
            _ => Err(format!(
                "{written:?} is not known; write \"raw\" or \"normalised\""
            )),
        })
    });
    section.finish(findings);
    Paths {
        strict: strict.unwrap_or_default(),
        forward_normalised: forward.is_some_and(|f| f.value),
    }
}

fn source(written: &str) -> Result<ForwardedSource, String> {
    match written {
        "any" => Ok(ForwardedSource::Any),
        "x-forwarded-for" => Ok(ForwardedSource::XForwardedFor),
        "forwarded" => Ok(ForwardedSource::Forwarded),
        _ => Err(format!(
            "{written:?} is not known; write \"x-forwarded-for\", \"forwarded\" or \"any\""
        )),
    }
}

fn allowed(written: &str) -> Result<String, String> {
    let name = values::field_name(written)?;
    if names::is_written(name.as_bytes()) {
        return Err(format!(
            "{written:?} is written by the proxy itself; `trusted` lists the peers to believe"
        ));
    }
    match names::owned(name.as_bytes()) {
        Some(Owned {
            owner: Owner::Client(_),
            look_alike: false,
        }) => Ok(name),
        Some(Owned {
            look_alike: true, ..
        }) => Err(format!(
            "{written:?} looks like a field with `-` to some backends; write that field"
        )),
        Some(_) => Err(format!("{written:?} never crosses the proxy; remove it")),
        None => Err(format!(
            "{written:?} passes without being listed; remove it"
        )),
    }
}

fn via_name(written: &str) -> Result<Via, String> {
    match syntax::is_token(written.as_bytes()) && written.len() <= MAX_VIA {
        true => Ok(Via::Name(written.to_owned())),
        false => Err(format!(
            "{written:?} is not a name for `Via`; write up to {MAX_VIA} letters, digits, `-`, \
             `_` and `.`, or true or false"
        )),
    }
}
