//! `waypost tap`: sampled requests of a running proxy, as they end.

use std::future::Future;
use std::pin::pin;

use serde_json::Value;

use super::RemoteError;
use super::client::{Client, segment};
use super::options::Tap;
use super::sampled::Sampled;
use crate::config::AdminAddress;
use crate::ground;
use crate::text::write_json;
use crate::units::counted;

/// Prints samples until there are enough, the command is interrupted, or the proxy ends.
pub(super) async fn watch(
    client: &Client,
    tap: Tap,
    json: bool,
    interrupted: impl Future<Output = ()>,
) -> Result<(), RemoteError> {
    let mut interrupted = pin!(interrupted);
    let target = target(&tap);
    let mut lines = tokio::select! {
        () = &mut interrupted => return Ok(()),
        lines = client.lines(&target) => lines?,
    };
    let mut left = tap.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let line = tokio::select! {
            () = &mut interrupted => return Ok(()),
            line = lines.next() => line?,
        };
        let Some(line) = line else {
            return Err(ended(client.address()));
        };
        match said(line, json, client.address())? {
            Said::Nothing => {}
            Said::Sample(text) => {
                if !ground::print_on(&text)? {
                    return Ok(());
                }
                left -= 1;
            }
            Said::Aside(text) => ground::print_aside(&text),
        }
    }
    Ok(())
}

/// What a line says.
enum Said {
    Sample(String),
    /// On standard error.
    Aside(String),
    Nothing,
}

fn said(mut line: Value, json: bool, address: &AdminAddress) -> Result<Said, RemoteError> {
    if let Some(sample) = line.get_mut("sample") {
        let sample = sample.take();
        return Ok(Said::Sample(match json {
            true => {
                let mut text = Vec::new();
                write_json(&sample, &mut text);
                text.push(b'\n');
                String::from_utf8_lossy(&text).into_owned()
            }
            false => {
                let read = serde_json::from_value::<Sampled>(sample);
                let read = read.map_err(|e| RemoteError::Strange {
                    address: address.clone(),
                    reason: e.to_string(),
                });
                read?.to_string()
            }
        }));
    }
    let number = |of: &Value, key: &str| of.get(key).and_then(Value::as_u64).unwrap_or(0);
    if let Some(watching) = line.get("watching") {
        let (workers, of) = (number(watching, "workers"), number(watching, "of"));
        let all = counted(of, "worker");
        return Ok(Said::Aside(match workers == of {
            true => format!("watching {all}; Ctrl-C ends it\n"),
            false => format!("watching {workers} of {all}; the others do not answer\n"),
        }));
    }
    if let Some(dropped) = line.get("dropped") {
        let samples = counted(number(dropped, "samples"), "sample");
        let text = format!("{samples} lost: they were not read in time\n");
        return Ok(Said::Aside(text));
    }
    Ok(Said::Nothing)
}

fn target(tap: &Tap) -> String {
    let all = [
        ("route", &tap.route),
        ("status", &tap.status),
        ("policy", &tap.policy),
        ("pool", &tap.pool),
    ];
    let given = all.into_iter().filter_map(|(name, value)| {
        let value = value.as_ref()?;
        Some(format!("{name}={}", segment(value)))
    });
    let given: Vec<String> = given.collect();
    match given.is_empty() {
        true => "/tap".to_owned(),
        false => format!("/tap?{}", given.join("&")),
    }
}

fn ended(address: &AdminAddress) -> RemoteError {
    RemoteError::Over(format!(
        "stopped watching: {address} has ended the answer, because it stops or has another admin \
         listener now; run the command again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_parameter_whatever_is_in_it() {
        assert_eq!(target(&Tap::default()), "/tap");
        let tap = Tap {
            route: Some("a.test/x&y".to_owned()),
            status: Some("5xx".to_owned()),
            ..Tap::default()
        };
        assert_eq!(target(&tap), "/tap?route=a.test%2Fx%26y&status=5xx");
    }
}
