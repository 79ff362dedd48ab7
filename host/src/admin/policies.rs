//! `/policies/NAME` and the paths below it.

use std::borrow::Cow;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::control::{Change, ChangeError, Deployment};
use super::crowd::Caller;
use super::deploy;
use super::reply::{self, Reply};
use super::shared::Shared;
use crate::policy::Stickiness;
use crate::text::is_unseen;

/// The parameters of a query.
#[derive(Debug, Default, PartialEq)]
struct Query {
    mode: Option<String>,
    percent: Option<f64>,
    by: Option<Stickiness>,
    generation: Option<u64>,
    source: Option<String>,
}

/// Characters of a source, which status and history show.
const SOURCE: usize = 200;

/// The answer to a request for `/policies/` and `rest`; `None` if there is no such endpoint.
pub(super) async fn answer(
    shared: &Shared,
    caller: &Caller,
    rest: &str,
    path: &str,
    request: Request<Incoming>,
) -> Option<Reply> {
    let (name, below) = rest
        .split_once('/')
        .map_or((rest, None), |(name, below)| (name, Some(below)));
    let name = policy_name(name)?;
    let allowed = match below {
        None => "GET, HEAD, PUT",
        Some("promote" | "rollback") => "POST",
        Some("canary") => "POST, DELETE",
        Some("shadow") => "DELETE",
        Some(_) => return None,
    };
    let method = request.method().clone();
    if !allowed.split(", ").any(|m| m == method.as_str()) {
        return Some(reply::wrong_method(method.as_str(), path, allowed));
    }
    let Some(details) = shared.control.policy(&name) else {
        return Some(reply::error(
            StatusCode::NOT_FOUND,
            &ChangeError::Unknown(name).to_string(),
        ));
    };
    if matches!(method, Method::GET | Method::HEAD) {
        return Some(reply::json(StatusCode::OK, &details));
    }
    let query = match query(request.uri().query().unwrap_or_default()) {
        Ok(query) => query,
        Err(sentence) => return Some(reply::error(StatusCode::BAD_REQUEST, &sentence)),
    };
    Some(match (method, below) {
        (Method::PUT, _) => match deployment(&query) {
            Ok(how) => {
                let what = (&*name, query.source, how);
                deploy::deploy(shared, caller, what, request.into_body()).await
            }
            Err(sentence) => reply::error(StatusCode::BAD_REQUEST, &sentence),
        },
        (method, below) => match change(&method, below?, &query) {
            Ok(change) => deploy::change(shared, &name, change).await,
            Err(sentence) => reply::error(StatusCode::BAD_REQUEST, &sentence),
        },
    })
}

/// What is asked for by a path below a policy's own.
fn change(method: &Method, below: &str, query: &Query) -> Result<Change, String> {
    match (method, below) {
        (&Method::POST, "canary") => canary(query),
        (_, "promote") => meant(query).map(|generation| Change::Promote { generation }),
        (_, "rollback") => meant(query).map(|generation| Change::RollBack { generation }),
        (_, below) => without_query(query, below).map(|()| match below {
            "canary" => Change::EndCanary,
            _ => Change::EndShadow,
        }),
    }
}

fn deployment(query: &Query) -> Result<Deployment, String> {
    if query.generation.is_some() {
        return Err(
            "generation is for promote and rollback; a deployed component gets the next number"
                .to_owned(),
        );
    }
    match query.mode.as_deref() {
        None | Some("active") if query.percent.is_some() || query.by.is_some() => Err(
            "percent and by are for mode=shadow and mode=canary; an active policy decides all \
                 requests"
                .to_owned(),
        ),
        None | Some("active") => Ok(Deployment::Active),
        Some("shadow") if query.by.is_some() => {
            Err("by is for mode=canary; a shadow sees sampled requests".to_owned())
        }
        Some("shadow") => Ok(Deployment::Shadow {
            percent: query.percent.unwrap_or(100.0),
        }),
        Some("canary") => match query.percent {
            Some(percent) => Ok(Deployment::Canary {
                percent,
                by: query.by.unwrap_or(Stickiness::Client),
            }),
            None => Err(
                "mode=canary needs a share of the requests; add percent=5, for example".to_owned(),
            ),
        },
        Some(other) => Err(format!(
            "unknown mode={other}; use active, shadow or canary"
        )),
    }
}

fn canary(query: &Query) -> Result<Change, String> {
    if query.generation.is_some() {
        return Err("generation is for promote and rollback".to_owned());
    }
    if query.source.is_some() {
        return Err("source is for PUT; this path is for canaries already".to_owned());
    }
    match (&query.mode, query.percent) {
        (None, Some(percent)) => Ok(Change::Canary {
            percent,
            by: query.by,
        }),
        (None, None) => {
            Err("the canary needs a share of the requests; add ?percent=5, for example".to_owned())
        }
        (Some(_), _) => Err("mode is for PUT; this path is for canaries already".to_owned()),
    }
}

/// The generation that the query names, if it does.
fn meant(query: &Query) -> Result<Option<u64>, String> {
    let Query { generation, .. } = *query;
    match *query
        == (Query {
            generation,
            ..Query::default()
        }) {
        true => Ok(generation),
        false => Err(
            "the only parameter here is the expected generation, as in ?generation=7".to_owned(),
        ),
    }
}

fn without_query(query: &Query, what: &str) -> Result<(), String> {
    if *query == Query::default() {
        Ok(())
    } else {
        Err(format!("{what} takes no parameters; remove the query"))
    }
}

fn query(text: &str) -> Result<Query, String> {
    let mut query = Query::default();
    for parameter in text.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // As forms write it, and `/tap` reads it.
        let value = value.replace('+', " ");
        let value = decoded(&value).ok_or_else(|| format!("{name}: invalid percent-encoding"))?;
        let repeated = match name {
            "mode" => query.mode.replace(value.into_owned()).is_some(),
            "percent" => query.percent.replace(percent(&value)?).is_some(),
            "generation" => query.generation.replace(generation(&value)?).is_some(),
            "by" => query.by.replace(stickiness(&value)?).is_some(),
            "source" => query.source.replace(source(value)?).is_some(),
            _ => {
                return Err(format!(
                    "unknown parameter {name:?}; the parameters are mode, percent, by, generation \
                     and source"
                ));
            }
        };
        if repeated {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(query)
}

fn generation(value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| {
        format!("generation={value} is not a generation number; GET /policies/NAME lists them")
    })
}

fn percent(value: &str) -> Result<f64, String> {
    let number = value
        .parse::<f64>()
        .ok()
        .filter(|n| (0.01..=100.0).contains(n));
    number.ok_or_else(|| format!("percent={value} is not a share of the requests; use 0.01 to 100"))
}

/// Where a component comes from, in the words of its sender.
fn source(value: Cow<'_, str>) -> Result<String, String> {
    let is_line = !value.is_empty() && !value.chars().any(is_unseen);
    if is_line && value.chars().count() <= SOURCE {
        return Ok(value.into_owned());
    }
    Err(format!(
        "source is not 1 to {SOURCE} characters that can be seen; use the name of the file"
    ))
}

fn stickiness(value: &str) -> Result<Stickiness, String> {
    match value {
        "client" => Ok(Stickiness::Client),
        "request" => Ok(Stickiness::Request),
        _ => Err(format!(
            "unknown by={value}; use client (a client keeps its generation) or request (sampled)"
        )),
    }
}

/// A decoded path segment; `None` if it is empty, contains a slash or is not UTF-8.
fn policy_name(segment: &str) -> Option<String> {
    decoded(segment)
        .filter(|name| !name.is_empty() && !segment.contains('/'))
        .map(Cow::into_owned)
}

/// The text without percent-encoding; `None` if that is invalid or not UTF-8.
pub(super) fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                decoded.push(u8::try_from(high * 16 + low).ok()?);
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_names_are_decoded() {
        assert_eq!(policy_name("random").as_deref(), Some("random"));
        assert_eq!(
            policy_name("my%20policy%C3%a9").as_deref(),
            Some("my policyé")
        );
        assert_eq!(policy_name("a%2Fb").as_deref(), Some("a/b"));
        for not_a_name in ["", "a/b", "random/", "%", "%2", "%zz", "%ff"] {
            assert_eq!(policy_name(not_a_name), None, "{not_a_name}");
        }
    }

    #[test]
    fn queries_are_read_and_mistakes_are_explained() {
        let read = |text: &str| query(text).and_then(|q| deployment(&q));
        assert_eq!(read(""), Ok(Deployment::Active));
        assert_eq!(
            read("mode=shadow"),
            Ok(Deployment::Shadow { percent: 100.0 })
        );
        let canary = Deployment::Canary {
            percent: 2.5,
            by: Stickiness::Request,
        };
        assert_eq!(read("mode=canary&percent=2.5&by=request"), Ok(canary));
        for (mistake, hint) in [
            ("mode=canary", "percent=5"),
            ("mode=canary&percent=0", "0.01 to 100"),
            ("mode=canary&percent=nan", "0.01 to 100"),
            ("percent=5", "mode=canary"),
            ("mode=dark", "shadow or canary"),
            ("mode=canary&percent=5&by=moon", "client"),
            ("mode=shadow&by=client", "sampled"),
            ("colour=red", "colour"),
            ("mode=shadow&mode=canary", "twice"),
            ("mode=%zz", "percent-encoding"),
        ] {
            let sentence = read(mistake).unwrap_err();
            assert!(sentence.contains(hint), "{mistake}: {sentence}");
        }
    }
}
