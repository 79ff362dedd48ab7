//! `/pools` and the paths below it.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{BackendsChange, BackendsChanged, BackendsError, PoolStatus, Said, unknown_pool};
use crate::admin::body;
use crate::admin::control::Control;
use crate::admin::crowd::{Caller, Doing};
use crate::admin::policies::decoded;
use crate::admin::reply::{self, Reply};
use crate::admin::report::{ShownPool, backends};
use crate::admin::shared::Shared;

/// The largest list: ten thousand backends with labels.
const LARGEST: usize = 4 << 20;

/// The answer to a request for `/pools/` and `rest`; `None` if there is no such endpoint.
pub(in crate::admin) async fn answer(
    shared: &Shared,
    caller: &Caller,
    rest: &str,
    path: &str,
    request: Request<Incoming>,
) -> Option<Reply> {
    let parts: Vec<&str> = rest.split('/').collect();
    let parts: Vec<String> = parts
        .into_iter()
        .map(|part| Some(decoded(part).filter(|p| !p.is_empty())?.into_owned()))
        .collect::<Option<_>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let allowed = match parts[..] {
        [_] => "GET, HEAD",
        [_, "backends"] => "PUT, DELETE",
        [_, "backends", _] => "PUT, DELETE",
        [_, "backends", _, "drain" | "up" | "down" | "weight"] => "POST",
        _ => return None,
    };
    let method = request.method().clone();
    if !allowed.split(", ").any(|m| m == method.as_str()) {
        return Some(reply::wrong_method(method.as_str(), path, allowed));
    }
    if let [name] = parts[..] {
        return Some(one(shared, name));
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let said = match said(parts.get(3).copied(), &query) {
        Ok(said) => said,
        Err(sentence) => return Some(reply::error(StatusCode::BAD_REQUEST, &sentence)),
    };
    let text = match method == Method::PUT {
        false => String::new(),
        true => match read(shared, caller, request.into_body()).await {
            Ok(text) => text,
            Err(refused) => return Some(refused),
        },
    };
    let change = match (parts.get(2), method == Method::PUT) {
        (None, true) => BackendsChange::Replace(text),
        (None, false) => BackendsChange::Replace("[]".to_owned()),
        // Addresses have no comma.
        (Some(addresses), is_put) => {
            let change = |address: &str| match (said, is_put) {
                (Some(said), _) => BackendsChange::Say(address.to_owned(), said),
                (None, true) => BackendsChange::Add(address.to_owned(), text.clone()),
                (None, false) => BackendsChange::Remove(address.to_owned()),
            };
            match addresses.contains(',') {
                true => BackendsChange::All(addresses.split(',').map(change).collect()),
                false => change(addresses),
            }
        }
    };
    caller.is(Doing::Working);
    Some(settle(&shared.control, parts[0].to_owned(), change).await)
}

/// `GET /pools`
pub(in crate::admin) fn all(shared: &Shared) -> Reply {
    let counted = backends(shared.control.stats());
    let pools = shared.control.pools();
    let brief = |pool: &PoolStatus| {
        let shown = ShownPool::new(pool, &counted);
        json!({
            "name": pool.name,
            "endpoints": shown.endpoints.len(),
            "healthy": shown.healthy(),
            "file": pool.file,
        })
    };
    let pools: Vec<Value> = pools.iter().map(brief).collect();
    reply::json(StatusCode::OK, &json!({ "pools": pools }))
}

fn one(shared: &Shared, name: &str) -> Reply {
    let pools = shared.control.pools();
    match pools.iter().find(|pool| pool.name == name) {
        Some(pool) => reply::json(StatusCode::OK, &shown(pool, &*shared.control)),
        None => refused(&unknown_pool(name, pools.iter().map(|p| p.name.as_str()))),
    }
}

fn shown(pool: &PoolStatus, control: &dyn Control) -> Value {
    let shown = ShownPool::new(pool, &backends(control.stats()));
    json!({ "name": pool.name, "file": shown.file, "endpoints": shown.endpoints })
}

/// What the last part of a path says of a backend; `None` if there is no such part.
fn said(action: Option<&str>, query: &str) -> Result<Option<Said>, String> {
    let value = match (action, query) {
        (Some("weight"), query) => query.strip_prefix("value=").ok_or(
            "weight takes one parameter, as in ?value=5; ?value=configured takes back what was \
             said",
        )?,
        (_, "") => "",
        (action, _) => {
            let what = action.unwrap_or("this path");
            return Err(format!("{what} takes no parameters; remove the query"));
        }
    };
    Ok(Some(match action {
        None => return Ok(None),
        Some("drain") => Said::Drain,
        Some("up") => Said::Up,
        Some("down") => Said::Down,
        Some(_) if value == "configured" => Said::Weight(None),
        Some(_) => {
            let number = value.parse::<u32>().ok().filter(|n| *n <= 65_535);
            let mistake =
                || format!("value={value} is not a weight; write 0 to 65535, or configured");
            Said::Weight(Some(number.ok_or_else(mistake)?))
        }
    }))
}

/// A body of text.
async fn read(shared: &Shared, caller: &Caller, body: Incoming) -> Result<String, Reply> {
    let read = body::read(shared, caller, body, ("list", LARGEST)).await;
    let (bytes, room) = read.map_err(|unread| unread.reply())?;
    room.is_whole();
    String::from_utf8(bytes)
        .map_err(|_| reply::error(StatusCode::BAD_REQUEST, "the body is not UTF-8; send JSON"))
}

/// Changes the backends in a task of its own, so that a client that leaves does not interrupt it.
async fn settle(control: &Arc<dyn Control>, pool: String, change: BackendsChange) -> Reply {
    let changing = Arc::clone(control);
    let settled = tokio::spawn(async move { changing.change_backends(&pool, change).await }).await;
    match settled {
        Ok(Ok(changed)) => {
            let BackendsChanged {
                pool,
                adopted,
                warnings,
            } = changed;
            let mut answer = shown(&pool, &**control);
            answer["adopted"] = adopted.into();
            answer["warnings"] = warnings.into();
            reply::json(StatusCode::OK, &answer)
        }
        Ok(Err(error)) => refused(&error),
        Err(error) => {
            tracing::error!(%error, "a change of backends failed inside the proxy");
            reply::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the change failed inside the proxy; see its log",
            )
        }
    }
}

fn refused(error: &BackendsError) -> Reply {
    let sentence = error.to_string();
    match error {
        BackendsError::Unknown(_) => reply::error(StatusCode::NOT_FOUND, &sentence),
        BackendsError::Unavailable(_) => reply::error(StatusCode::SERVICE_UNAVAILABLE, &sentence),
        BackendsError::Refused(errors) => {
            let answer = json!({ "error": sentence, "errors": errors });
            reply::json(StatusCode::UNPROCESSABLE_ENTITY, &answer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_mistakes_are_explained() {
        assert_eq!(said(None, ""), Ok(None));
        assert_eq!(said(Some("drain"), ""), Ok(Some(Said::Drain)));
        assert_eq!(
            said(Some("weight"), "value=0"),
            Ok(Some(Said::Weight(Some(0))))
        );
        let configured = said(Some("weight"), "value=configured");
        assert_eq!(configured, Ok(Some(Said::Weight(None))));
        for (action, query, hint) in [
            (Some("weight"), "", "?value=5"),
            (Some("weight"), "weight=5", "?value=5"),
            (Some("weight"), "value=-1", "0 to 65535"),
            (Some("weight"), "value=65536", "0 to 65535"),
            (Some("up"), "value=1", "up takes no parameters"),
            (None, "a", "this path takes no parameters"),
        ] {
            let sentence = said(action, query).unwrap_err();
            assert!(sentence.contains(hint), "{query}: {sentence}");
        }
    }
}
