//! `PUT /policies/NAME` and the other requests that change a policy.

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;

use super::body;
use super::control::{Change, ChangeError, ChangeFuture, Control, Deployment, PolicyDetails};
use super::crowd::{Caller, Doing};
use super::reply::{self, Reply};
use super::shared::Shared;

/// Reads the component and deploys it once it is complete, one at a time for each policy. A failure
/// changes nothing.
pub(super) async fn deploy(
    shared: &Shared,
    caller: &Caller,
    (name, source, how): (&str, Option<String>, Deployment),
    body: Incoming,
) -> Reply {
    let limits = &shared.limits;
    let what = ("component", limits.component_bytes);
    let (component, room) = match body::read(shared, caller, body, what).await {
        Ok(read) => read,
        Err(unread) => return unread.reply(),
    };
    room.is_whole();
    if component.is_empty() {
        return reply::error(
            StatusCode::BAD_REQUEST,
            "the body is empty; send a component, for example with curl --upload-file policy.wasm",
        );
    }
    let Some(turn) = shared.uploads.turn(name, limits.turn).await else {
        return refused(&ChangeError::Busy(name.to_owned()));
    };
    caller.is(Doing::Working);
    let name = name.to_owned();
    let source = source.unwrap_or_else(|| "an upload".to_owned());
    settle(&shared.control, move |control| {
        Box::pin(async move {
            let outcome = control.deploy(&name, component, source, how).await;
            drop((turn, room));
            outcome
        })
    })
    .await
}

/// Applies a change that needs no new component.
pub(super) async fn change(shared: &Shared, name: &str, change: Change) -> Reply {
    let name = name.to_owned();
    settle(&shared.control, move |control| {
        Box::pin(async move { control.change(&name, change).await })
    })
    .await
}

/// Runs a change in a task of its own, so that a client that leaves does not interrupt it.
async fn settle(
    control: &Arc<dyn Control>,
    change: impl FnOnce(Arc<dyn Control>) -> ChangeFuture<'static>,
) -> Reply {
    let settled: Result<Result<PolicyDetails, ChangeError>, _> =
        tokio::spawn(change(Arc::clone(control))).await;
    match settled {
        Ok(Ok(details)) => reply::json(StatusCode::OK, &details),
        Ok(Err(error)) => refused(&error),
        Err(error) => {
            tracing::error!(%error, "a change of a policy failed inside the proxy");
            reply::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the change failed inside the proxy; see its log",
            )
        }
    }
}

fn refused(error: &ChangeError) -> Reply {
    let status = match error {
        ChangeError::Unknown(_) => StatusCode::NOT_FOUND,
        ChangeError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ChangeError::Busy(_) | ChangeError::NotNow(_) => StatusCode::CONFLICT,
        ChangeError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    reply::error(status, &error.to_string())
}
