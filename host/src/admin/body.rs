//! The bodies of requests that change something.

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::crowd::{Caller, Doing};
use super::reply::{self, Reply};
use super::shared::{Limits, Shared};
use super::uploads::Room;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("the {0} is larger than {1} bytes, the most that is accepted")]
    TooLarge(&'static str, usize),
    #[error("the upload stalled; send the whole {0} without a pause")]
    TooSlow(&'static str),
    #[error("other uploads needed this one's memory; try again")]
    NoRoom,
    #[error("the body ended early or is not framed correctly: {0}")]
    Broken(#[source] hyper::Error),
}

impl Unread {
    /// The answer.
    pub(super) fn reply(&self) -> Reply {
        let status = match self {
            Self::TooLarge(..) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        };
        reply::error(status, &self.to_string())
    }
}

/// A whole body, `what` in a word, of so many bytes at most. The memory counts until the room is
/// dropped.
pub(super) async fn read(
    shared: &Shared,
    caller: &Caller,
    body: Incoming,
    (what, most): (&'static str, usize),
) -> Result<(Vec<u8>, Room), Unread> {
    // Before reading, so that a client that waits for 100 (Continue) need not send the body.
    if body.size_hint().lower() > most as u64 {
        return Err(Unread::TooLarge(what, most));
    }
    let room = shared.uploads.begin();
    let read = tokio::select! {
        read = pieces(body, &shared.limits, (caller, &room), (what, most)) => read,
        () = room.taken_away() => Err(Unread::NoRoom),
    };
    Ok((read?, room))
}

async fn pieces(
    mut body: Incoming,
    limits: &Limits,
    (caller, room): (&Caller, &Room),
    (what, most): (&'static str, usize),
) -> Result<Vec<u8>, Unread> {
    // Grows with what arrives: an announced length reserves no memory.
    let mut all = Vec::new();
    caller.is(Doing::Uploading);
    let whole = async {
        while let Some(frame) = timeout(limits.body_idle, body.frame())
            .await
            .map_err(|_| Unread::TooSlow(what))?
        {
            if let Ok(piece) = frame.map_err(Unread::Broken)?.into_data() {
                if all.len() + piece.len() > most {
                    return Err(Unread::TooLarge(what, most));
                }
                if !room.grow(piece.len()) {
                    return Err(Unread::NoRoom);
                }
                caller.is(Doing::Uploading);
                all.extend_from_slice(&piece);
            }
        }
        Ok(())
    };
    timeout(limits.body_total, whole)
        .await
        .map_err(|_| Unread::TooSlow(what))??;
    Ok(all)
}
