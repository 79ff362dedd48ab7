//! `waypost healthcheck`: whether a running proxy is ready.

use serde::Deserialize;

use super::RemoteError;
use super::client::{Answer, Client};
use crate::units::exact_duration;

/// `GET /readyz`, if it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Ready {
    notes: Vec<String>,
}

/// Asks the proxy. What it says when it is not ready is the reason.
pub(super) async fn ask(client: &Client) -> Result<Answer, RemoteError> {
    client.read("/readyz").await.map_err(|e| match e {
        RemoteError::Refused {
            status: 503,
            sentence,
        } => RemoteError::NotReady(sentence),
        RemoteError::Silent { address, after } => RemoteError::NotReady(format!(
            "{address} accepted the connection but did not answer within {}",
            exact_duration(after)
        )),
        other => other,
    })
}

/// One line, and one for each note.
pub(super) fn shown(answer: &Answer) -> Result<String, RemoteError> {
    let notes = answer.read::<Ready>()?.notes;
    let notes = notes.iter().map(|note| format!("note: {note}\n"));
    Ok("ready\n".to_owned() + &notes.collect::<String>())
}
