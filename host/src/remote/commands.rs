//! The commands that talk to a running proxy.

use std::ffi::OsString;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::RemoteError;
use super::answers::{Details, Fate, Policies, Token};
use super::client::{Answer, CHANGE, Client, DEPLOY, segment};
use super::display::Display;
use super::render;
use super::watch::Watch;
use crate::cli::{Action, By, Deploy, Mode, Remote};
use crate::files;
use crate::ground;
use crate::policy::digest;

/// The admin listener accepts no larger component, so a larger file is a mistake.
const LARGEST_COMPONENT: u64 = 64 << 20;
/// A token is one line.
const LARGEST_TOKEN: u64 = 8 << 10;

/// The environment of a command.
pub struct Surroundings<E, I> {
    /// [`std::env::var_os`], outside of tests.
    pub environment: E,
    /// Whether standard error is a terminal that can be drawn on.
    pub terminal: bool,
    /// Completes when the command must stop; polled only while a trial is watched.
    pub interrupted: I,
}

/// Sends the command to the proxy and prints the outcome on standard output.
///
/// # Errors
///
/// The command failed, or the trial that it watched was withdrawn.
pub async fn execute<E, I>(
    remote: Remote,
    action: Action,
    around: Surroundings<E, I>,
) -> Result<(), RemoteError>
where
    E: Fn(&str) -> Option<OsString>,
    I: Future<Output = ()>,
{
    let client = Client::new(
        remote.address(&around.environment)?,
        token(&remote, &around.environment)?,
    );
    let json = remote.json;
    match action {
        Action::Status { name: None } => {
            let answer = client.read("/policies").await?;
            print(&answer, json, |a| Ok(render::table(&a.read::<Policies>()?)))
        }
        Action::Status { name: Some(name) } => {
            let answer = named(&client, &name, client.read(&path(&name)).await)?;
            print(&answer, json, |a| Ok(render::details(&a.read()?)))
        }
        Action::Token => {
            let answer = client
                .send(Method::POST, "/explain", Bytes::new(), CHANGE)
                .await?;
            print(&answer, json, |a| Ok(render::token(&a.read::<Token>()?)))
        }
        Action::Promote { name, generation } => {
            let answer = change(
                &client,
                &name,
                Method::POST,
                &format!("/promote{}", meant(generation)),
            )
            .await?;
            print(&answer, json, what_runs)
        }
        Action::Rollback { name, generation } => {
            let answer = change(
                &client,
                &name,
                Method::POST,
                &format!("/rollback{}", meant(generation)),
            )
            .await?;
            print(&answer, json, what_runs)
        }
        Action::Withdraw { name } => print(&withdraw(&client, &name).await?, json, what_runs),
        Action::Canary { name, percent, by } => {
            let by = by
                .map(|by| format!("&by={}", by.name()))
                .unwrap_or_default();
            let answer = change(
                &client,
                &name,
                Method::POST,
                &format!("/canary?percent={percent}{by}"),
            )
            .await?;
            print(&answer, json, what_runs)
        }
        Action::Deploy(deploy) => {
            let answer =
                run_deploy(&client, &deploy, json, around.terminal, around.interrupted).await?;
            print(&answer, json, what_runs)
        }
    }
}

/// Uploads the component and, if wanted, watches the trial. Returns the last answer.
async fn run_deploy(
    client: &Client,
    deploy: &Deploy,
    json: bool,
    terminal: bool,
    interrupted: impl Future<Output = ()>,
) -> Result<Answer, RemoteError> {
    let component = read_whole(&deploy.file, LARGEST_COMPONENT)?;
    if component.is_empty() {
        return Err(unreadable(
            &deploy.file,
            "is empty; give the path of a component",
        ));
    }
    let digest = digest(&component);
    let path = path(&deploy.name);
    let target = format!("{path}{}", query(deploy));
    let sent = client
        .send(Method::PUT, &target, component.into(), DEPLOY)
        .await;
    let answer = named(client, &deploy.name, sent)?;
    let details: Details = answer.read()?;
    let Some(generation) = details.newest_of(&digest) else {
        return Ok(answer);
    };
    let trial = match details.fate(generation, &digest) {
        Fate::Over(reason) => return Err(RemoteError::Over(format!("{}: {reason}", deploy.name))),
        Fate::OnTrial => true,
        Fate::Promoted => false,
    };
    let wanted =
        deploy.watch || deploy.promote_after.is_some() || (terminal && !json && !deploy.no_watch);
    if deploy.mode == Mode::Active || !trial || !wanted {
        return Ok(answer);
    }
    let watch = Watch {
        client,
        policy: &deploy.name,
        path: &path,
        generation,
        digest: &digest,
        promote_after: deploy.promote_after,
        display: Display::new(terminal),
    };
    watch.run(answer, interrupted).await
}

fn query(deploy: &Deploy) -> String {
    if deploy.mode == Mode::Active {
        return String::new();
    }
    let percent = deploy
        .percent
        .map(|p| format!("&percent={p}"))
        .unwrap_or_default();
    let by = deploy
        .by
        .map(By::name)
        .map(|by| format!("&by={by}"))
        .unwrap_or_default();
    format!("?mode={}{percent}{by}", deploy.mode.name())
}

/// Ends the trial, of a shadow or a canary.
async fn withdraw(client: &Client, name: &str) -> Result<Answer, RemoteError> {
    let details: Details = named(client, name, client.read(&path(name)).await)?.read()?;
    match details.trial {
        Some(trial) if trial.mode == "shadow" => {
            change(client, name, Method::DELETE, "/shadow").await
        }
        Some(_) => change(client, name, Method::DELETE, "/canary").await,
        None => Err(RemoteError::Over(format!(
            "{name}: no generation is on trial; there is nothing to withdraw"
        ))),
    }
}

/// The query that names the expected generation.
fn meant(generation: Option<u64>) -> String {
    generation
        .map(|generation| format!("?generation={generation}"))
        .unwrap_or_default()
}

async fn change(
    client: &Client,
    name: &str,
    method: Method,
    below: &str,
) -> Result<Answer, RemoteError> {
    let target = format!("{}{below}", path(name));
    named(
        client,
        name,
        client.send(method, &target, Bytes::new(), CHANGE).await,
    )
}

/// Rewords a 404 as an unknown policy, and puts the policy's name before other refusals.
fn named(
    client: &Client,
    name: &str,
    answer: Result<Answer, RemoteError>,
) -> Result<Answer, RemoteError> {
    answer.map_err(|e| match e {
        RemoteError::Refused { status: 404, .. } => RemoteError::Refused {
            status: 404,
            sentence: format!(
                "no policy is named {name:?} at {}; `waypost policy status` lists those that run",
                client.address()
            ),
        },
        RemoteError::Refused { status, sentence } if !sentence.contains(name) => {
            RemoteError::Refused {
                status,
                sentence: format!("{name}: {sentence}"),
            }
        }
        other => other,
    })
}

fn path(name: &str) -> String {
    format!("/policies/{}", segment(name))
}

fn what_runs(answer: &Answer) -> Result<String, RemoteError> {
    Ok(render::what_runs(&answer.read()?))
}

fn print(
    answer: &Answer,
    json: bool,
    text: impl FnOnce(&Answer) -> Result<String, RemoteError>,
) -> Result<(), RemoteError> {
    let text = if json {
        answer.text.clone()
    } else {
        text(answer)?
    };
    Ok(ground::print(&text)?)
}

/// The token from the file, else from the environment.
fn token(
    remote: &Remote,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<HeaderValue>, RemoteError> {
    let (text, place) = match &remote.token_file {
        Some(path) => {
            let text = String::from_utf8_lossy(&read_whole(path, LARGEST_TOKEN)?).into_owned();
            (text, path.display().to_string())
        }
        None => match environment("WAYPOST_ADMIN_TOKEN").filter(|token| !token.is_empty()) {
            Some(token) => (
                token.to_string_lossy().into_owned(),
                "WAYPOST_ADMIN_TOKEN".to_owned(),
            ),
            None => return Ok(None),
        },
    };
    let token = text.trim();
    let value = HeaderValue::try_from(format!("Bearer {token}"))
        .ok()
        .filter(|_| !token.is_empty());
    let mut value = value.ok_or(RemoteError::Token(place))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>, RemoteError> {
    files::read_regular(path, most).map_err(|e| match e.kind() {
        ErrorKind::FileTooLarge => {
            unreadable(path, &format!("is larger than the limit of {most} bytes"))
        }
        ErrorKind::NotFound => unreadable(path, "there is no such file"),
        _ => unreadable(path, &format!("can't be read: {e}")),
    })
}

fn unreadable(path: &Path, reason: &str) -> RemoteError {
    RemoteError::File {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
