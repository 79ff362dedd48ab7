//! `PUT /policies/NAME` and the other requests that change a policy.

use std::sync::Arc;

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::control::{Change, ChangeError, ChangeFuture, Control, Deployment, PolicyDetails};
use super::crowd::{Caller, Doing};
use super::reply::{self, Reply};
use super::shared::{Limits, Shared};
use super::uploads::Room;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("the component is larger than {0} bytes, the most that is accepted")]
    TooLarge(usize),
    #[error("the upload stalled; send the whole component without a pause")]
    TooSlow,
    #[error("other uploads needed this one's memory; try again")]
    NoRoom,
    #[error("the body ended early or is not framed correctly: {0}")]
    Broken(#[source] hyper::Error),
}

/// Reads the component and deploys it once it is complete, one at a time for each policy. A failure
/// changes nothing.
pub(super) async fn deploy(
    shared: &Shared,
    caller: &Caller,
    name: &str,
    how: Deployment,
    body: Incoming,
) -> Reply {
    let limits = &shared.limits;
    // Before reading, so that a client that waits for 100 (Continue) need not send the body.
    if body.size_hint().lower() > limits.component_bytes as u64 {
        return unread(&Unread::TooLarge(limits.component_bytes));
    }
    let room = shared.uploads.begin();
    let read = tokio::select! {
        read = read(body, limits, caller, &room) => read,
        () = room.taken_away() => Err(Unread::NoRoom),
    };
    let component = match read {
        Ok(component) => component,
        Err(error) => return unread(&error),
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
    settle(&shared.control, move |control| {
        Box::pin(async move {
            let outcome = control.deploy(&name, component, how).await;
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

async fn read(
    mut body: Incoming,
    limits: &Limits,
    caller: &Caller,
    room: &Room,
) -> Result<Vec<u8>, Unread> {
    // Grows with what arrives: an announced length reserves no memory.
    let mut component = Vec::new();
    caller.is(Doing::Uploading);
    let whole = async {
        while let Some(frame) = timeout(limits.body_idle, body.frame())
            .await
            .map_err(|_| Unread::TooSlow)?
        {
            if let Ok(piece) = frame.map_err(Unread::Broken)?.into_data() {
                if component.len() + piece.len() > limits.component_bytes {
                    return Err(Unread::TooLarge(limits.component_bytes));
                }
                if !room.grow(piece.len()) {
                    return Err(Unread::NoRoom);
                }
                caller.is(Doing::Uploading);
                component.extend_from_slice(&piece);
            }
        }
        Ok(())
    };
    timeout(limits.body_total, whole)
        .await
        .map_err(|_| Unread::TooSlow)??;
    Ok(component)
}

fn unread(error: &Unread) -> Reply {
    let status = match error {
        Unread::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Unread::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        Unread::Broken(_) => StatusCode::BAD_REQUEST,
    };
    reply::error(status, &error.to_string())
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
