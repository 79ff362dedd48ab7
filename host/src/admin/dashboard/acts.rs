//! What the buttons do.

use std::future::Future;
use std::sync::Arc;

use super::view::Fields;
use crate::admin::backends::{BackendsChange, BackendsChanged, Said};
use crate::admin::control::{Change, Control};
use crate::admin::results::Outcome;
use crate::admin::shared::Shared;

/// Does what a form says. A change goes on if its browser leaves.
pub(super) async fn act(shared: &Shared, fields: &Fields) -> Outcome {
    let control = Arc::clone(&shared.control);
    let name = |field: &str| fields.get(field).to_owned();
    let done = match fields.get("do") {
        "promote" | "rollback" | "withdraw" => {
            let change = match change(fields) {
                Ok(change) => change,
                Err(sentence) => return refused(sentence),
            };
            let expected = fields.get("generation").parse().ok();
            settled(of_policy(control, name("policy"), change, expected)).await
        }
        "drain" => {
            settled(of_backend(
                control,
                name("pool"),
                name("address"),
                Said::Drain,
            ))
            .await
        }
        "up" => settled(of_backend(control, name("pool"), name("address"), Said::Up)).await,
        _ => Err("the page has no such button; nothing was changed".to_owned()),
    };
    match done {
        Ok(sentence) => Outcome {
            done: true,
            sentence,
        },
        Err(sentence) => refused(sentence),
    }
}

fn refused(sentence: String) -> Outcome {
    Outcome {
        done: false,
        sentence,
    }
}

/// In a task of its own, so that a browser that leaves does not interrupt it.
async fn settled(
    change: impl Future<Output = Result<String, String>> + Send + 'static,
) -> Result<String, String> {
    match tokio::spawn(change).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%error, "a change from the page failed inside the proxy");
            Err("the change failed inside the proxy; see its log".to_owned())
        }
    }
}

fn change(fields: &Fields) -> Result<Change, String> {
    let generation = fields.get("generation").parse::<u64>();
    let generation = Some(generation.map_err(|_| "the form names no generation".to_owned())?);
    match (fields.get("do"), fields.get("mode")) {
        ("promote", _) => Ok(Change::Promote { generation }),
        ("rollback", _) => Ok(Change::RollBack { generation }),
        (_, "shadow") => Ok(Change::EndShadow),
        (_, "canary") => Ok(Change::EndCanary),
        _ => Err("only a shadow or a canary can be withdrawn".to_owned()),
    }
}

async fn of_policy(
    control: Arc<dyn Control>,
    name: String,
    change: Change,
    expected: Option<u64>,
) -> Result<String, String> {
    // To end a trial takes no generation: the button of an old page must not end another one.
    if matches!(change, Change::EndShadow | Change::EndCanary) {
        let now = control.policy(&name).and_then(|d| d.status.on_trial);
        if now.map(|trial| trial.generation) != expected {
            return Err(format!(
                "the generation that the page showed is not on trial for policy {name} any more; \
                 nothing was changed"
            ));
        }
    }
    let changed = control.change(&name, change).await;
    let status = changed.map_err(|error| error.to_string())?.status;
    let generation = status.generation;
    Ok(match change {
        Change::Promote { .. } => format!("policy {name}: generation {generation} decides now"),
        Change::RollBack { .. } => {
            format!("policy {name}: rolled back, generation {generation} decides")
        }
        _ => format!("policy {name}: the trial is over, generation {generation} decides"),
    })
}

async fn of_backend(
    control: Arc<dyn Control>,
    pool: String,
    address: String,
    said: Said,
) -> Result<String, String> {
    let change = BackendsChange::Say(address.clone(), said);
    let changed = control.change_backends(&pool, change).await;
    let BackendsChanged {
        adopted, warnings, ..
    } = changed.map_err(|error| error.to_string())?;
    let what = match said {
        Said::Drain => "gets no new requests",
        _ => "gets requests again",
    };
    let mut sentence = format!("{address} of pool {pool} {what}");
    if !adopted {
        sentence.push_str("; not all workers follow yet");
    }
    for warning in warnings {
        sentence.push_str("; ");
        sentence.push_str(&warning);
    }
    Ok(sentence)
}
