//! `PUT /policies/NAME` and what else changes a policy: the control side's verdict on it.

use std::sync::Arc;

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::reply::{self, Reply};
use super::serve::{Limits, Shared};
use super::{Change, ChangeError, ChangeFuture, Control, Deployment, PolicyDetails};

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("the component is larger than {0} bytes, the most that is accepted")]
    TooLarge(usize),
    #[error("the body stopped coming; send the whole component at once")]
    TooSlow,
    #[error("the body ended before its announced length, or is not framed correctly: {0}")]
    Broken(#[source] hyper::Error),
}

/// Reads the component and has it loaded. One at a time; on a failure nothing has changed.
pub(super) async fn deploy(shared: &Shared, name: &str, how: Deployment, body: Incoming) -> Reply {
    let limits = &shared.limits;
    // Before waiting and reading, so that a client that expects 100-continue need not send it.
    if body.size_hint().lower() > limits.component_bytes as u64 {
        return unread(&Unread::TooLarge(limits.component_bytes));
    }
    let Ok(Ok(turn)) = timeout(limits.turn, Arc::clone(&shared.turn).acquire_owned()).await else {
        return refused(&ChangeError::Busy(name.to_owned()));
    };
    let component = match read(body, limits).await {
        Ok(component) => component,
        Err(error) => return unread(&error),
    };
    if component.is_empty() {
        return reply::error(
            StatusCode::BAD_REQUEST,
            "the body is empty; send a component, for example with curl --upload-file policy.wasm",
        );
    }
    let name = name.to_owned();
    settle(&shared.control, move |control| {
        Box::pin(async move {
            let outcome = control.deploy(&name, component, how).await;
            drop(turn);
            outcome
        })
    })
    .await
}

/// Changes what decides, without a component.
pub(super) async fn change(shared: &Shared, name: &str, change: Change) -> Reply {
    let name = name.to_owned();
    settle(&shared.control, move |control| Box::pin(async move { control.change(&name, change).await })).await
}

/// Awaits a change in a task of its own: a client that goes away must not leave it half done.
async fn settle(control: &Arc<dyn Control>, change: impl FnOnce(Arc<dyn Control>) -> ChangeFuture<'static>) -> Reply {
    let settled: Result<Result<PolicyDetails, ChangeError>, _> = tokio::spawn(change(Arc::clone(control))).await;
    match settled {
        Ok(Ok(details)) => reply::json(StatusCode::OK, &details),
        Ok(Err(error)) => refused(&error),
        Err(error) => {
            tracing::error!(%error, "a change of a policy failed inside the proxy");
            reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the change failed inside the proxy; see its log")
        }
    }
}

async fn read(mut body: Incoming, limits: &Limits) -> Result<Vec<u8>, Unread> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut component = Vec::with_capacity(announced.min(limits.component_bytes));
    let whole = async {
        while let Some(frame) = timeout(limits.body_idle, body.frame()).await.map_err(|_| Unread::TooSlow)? {
            if let Ok(piece) = frame.map_err(Unread::Broken)?.into_data() {
                if component.len() + piece.len() > limits.component_bytes {
                    return Err(Unread::TooLarge(limits.component_bytes));
                }
                component.extend_from_slice(&piece);
            }
        }
        Ok(())
    };
    timeout(limits.body_total, whole).await.map_err(|_| Unread::TooSlow)??;
    Ok(component)
}

fn unread(error: &Unread) -> Reply {
    let status = match error {
        Unread::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
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
