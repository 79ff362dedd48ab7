//! The commands that talk to a running proxy.

use std::ffi::OsString;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderValue, Method};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::RemoteError;
use super::answers::{Details, Fate, Policies, Reloaded, Token, Upgraded};
use super::backends;
use super::client::{Answer, CHANGE, Client, DEPLOY, segment};
use super::deploying::{self, built_in};
use super::display::Display;
use super::health;
use super::options::{Change, Command, Deploy, Proxy, Role, Watching, chosen_by};
use super::render;
use super::tap;
use super::watch::Watch;
use crate::files;
use crate::ground;
use crate::policy::{Stickiness, digest};

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
    /// Whether the proxy's answer is printed as it is.
    pub json: bool,
    /// Completes when the command must stop; polled only while a trial is watched.
    pub interrupted: I,
}

/// Sends the command to the proxy and prints the outcome on standard output.
///
/// # Errors
///
/// The command failed, or the trial that it watched was withdrawn.
pub async fn execute<E, I>(
    proxy: Proxy,
    command: Command,
    around: Surroundings<E, I>,
) -> Result<(), RemoteError>
where
    E: Fn(&str) -> Option<OsString>,
    I: Future<Output = ()>,
{
    let token = match &command {
        Command::Health => None,
        _ => token(proxy.token_file.as_deref(), &around.environment)?,
    };
    let client = Client::new(proxy.address, token);
    let json = around.json;
    match command {
        Command::Status { name: None } => {
            let answer = client.read("/policies").await?;
            print(&answer, json, |a| Ok(render::table(&a.read::<Policies>()?)))
        }
        Command::Status { name: Some(name) } => {
            let answer = named(&client, &name, client.read(&path(&name)).await)?;
            print(&answer, json, |a| Ok(render::details(&a.read()?)))
        }
        Command::Token => {
            let answer = client
                .send(Method::POST, "/explain", Bytes::new(), CHANGE)
                .await?;
            print(&answer, json, |a| Ok(render::token(&a.read::<Token>()?)))
        }
        Command::Backends(command) => {
            let (answer, shown) = backends::ask(&client, command).await?;
            print(&answer, json, shown)
        }
        Command::Tap(tap) => tap::watch(&client, tap, json, around.interrupted).await,
        command @ (Command::Reload { .. }
        | Command::Upgrade { .. }
        | Command::Reopen
        | Command::Config
        | Command::Health) => about_process(&client, command, json).await,
        Command::Change { name, change } => {
            let answer = apply(&client, &name, change).await?;
            print(&answer, json, what_runs)
        }
        Command::Deploy(deploy) => {
            let wanted = deploy.is_watched(around.terminal && !json);
            let display = wanted.then(|| Display::new(around.terminal));
            let answer = run_deploy(&client, &deploy, (display, json), around.interrupted).await?;
            print(&answer, json, what_runs)
        }
    }
}

/// `POST /reopen`
#[derive(Deserialize)]
struct Reopened {
    #[serde(rename = "status")]
    _status: String,
}

/// `GET /config`
#[derive(Deserialize)]
struct Shown {
    #[serde(rename = "listeners")]
    _listeners: IgnoredAny,
}

/// Sends a command about the process as a whole.
async fn about_process(client: &Client, command: Command, json: bool) -> Result<(), RemoteError> {
    match command {
        Command::Reload { check } => {
            let path = if check { "/reload?check" } else { "/reload" };
            let sent = client.send(Method::POST, path, Bytes::new(), DEPLOY);
            print(&sent.await?, json, reloaded)
        }
        Command::Upgrade { binary } => {
            let path = upgrade(binary.as_deref());
            let sent = client.send(Method::POST, &path, Bytes::new(), DEPLOY);
            print(&sent.await?, json, upgraded)
        }
        Command::Reopen => {
            let sent = client.send(Method::POST, "/reopen", Bytes::new(), CHANGE);
            let shown = |answer: &Answer| {
                answer.read::<Reopened>()?;
                Ok("the logs were opened again\n".to_owned())
            };
            print(&sent.await?, json, shown)
        }
        // It has no other form.
        Command::Config => print(&client.read("/config").await?, true, |answer| {
            answer.read::<Shown>()?;
            Ok(String::new())
        }),
        _ => print(&health::ask(client).await?, json, health::shown),
    }
}

fn upgrade(binary: Option<&Path>) -> String {
    let binary = binary.map(|path| segment(&path.to_string_lossy()));
    match binary {
        Some(binary) => format!("/upgrade?binary={binary}"),
        None => "/upgrade".to_owned(),
    }
}

/// Uploads the component and, with a display, watches the trial. Returns the last answer.
async fn run_deploy(
    client: &Client,
    deploy: &Deploy,
    (display, json): (Option<Display>, bool),
    interrupted: impl Future<Output = ()>,
) -> Result<Answer, RemoteError> {
    let component = match built_in(&deploy.file) {
        Some(component) => component?,
        None => read_whole(&deploy.file, LARGEST_COMPONENT)?,
    };
    if component.is_empty() {
        return Err(unreadable(
            &deploy.file,
            "is empty; give the path of a component",
        ));
    }
    let digest = digest(&component);
    let path = path(&deploy.name);
    let target = format!("{path}{}", query(deploy));
    let before: Details = named(client, &deploy.name, client.read(&path).await)?.read()?;
    let sent = client
        .send(Method::PUT, &target, component.into(), DEPLOY)
        .await;
    let answer = named(client, &deploy.name, sent)?;
    let details: Details = answer.read()?;
    let warnings = deploying::warnings(&before, &details, &digest);
    match display {
        _ if json => {}
        None => ground::print(&warnings)?,
        Some(_) => ground::print_aside(&warnings),
    }
    let Some(generation) = details.newest_of(&digest) else {
        return Ok(answer);
    };
    let display = match details.fate(generation, &digest) {
        Fate::Over(reason) => return Err(RemoteError::Over(format!("{}: {reason}", deploy.name))),
        Fate::OnTrial => display,
        Fate::Promoted => None,
    };
    let Some(display) = display else {
        return Ok(answer);
    };
    let watch = Watch {
        client,
        policy: &deploy.name,
        path: &path,
        generation,
        digest: &digest,
        promote_after: deploy.promote_after,
        display,
    };
    watch.run(answer, interrupted).await
}

impl Deploy {
    /// Whether its trial is watched. `seen` says whether a person sees the progress.
    fn is_watched(&self, seen: bool) -> bool {
        let wanted = match self.watching {
            Watching::Always => true,
            Watching::Never => false,
            Watching::AtTerminal => seen,
        };
        self.role != Role::Active && (wanted || self.promote_after.is_some())
    }
}

fn query(deploy: &Deploy) -> String {
    let source = segment(&deploying::source(&deploy.file));
    if deploy.role == Role::Active {
        return format!("?source={source}");
    }
    let percent = deploy
        .percent
        .map(|p| format!("&percent={p}"))
        .unwrap_or_default();
    let by = by(deploy.by);
    format!("?mode={}{percent}{by}&source={source}", deploy.role.name())
}

fn by(by: Option<Stickiness>) -> String {
    by.map(|by| format!("&by={}", chosen_by(by)))
        .unwrap_or_default()
}

/// Sends a change to the proxy.
async fn apply(client: &Client, name: &str, change: Change) -> Result<Answer, RemoteError> {
    let (method, below) = match change {
        Change::Promote { generation } => (Method::POST, format!("/promote{}", meant(generation))),
        Change::Rollback { generation } => {
            (Method::POST, format!("/rollback{}", meant(generation)))
        }
        Change::Canary { percent, by } => {
            let by = self::by(by);
            (Method::POST, format!("/canary?percent={percent}{by}"))
        }
        Change::Withdraw => {
            let mode = mode_on_trial(client, name).await?;
            (Method::DELETE, format!("/{mode}"))
        }
    };
    let target = format!("{}{below}", path(name));
    let sent = client.send(method, &target, Bytes::new(), CHANGE).await;
    named(client, name, sent)
}

/// What there is to withdraw: `shadow` or `canary`.
async fn mode_on_trial(client: &Client, name: &str) -> Result<&'static str, RemoteError> {
    let details: Details = named(client, name, client.read(&path(name)).await)?.read()?;
    match details.trial {
        Some(trial) if trial.mode == "shadow" => Ok("shadow"),
        Some(_) => Ok("canary"),
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

fn reloaded(answer: &Answer) -> Result<String, RemoteError> {
    Ok(render::reloaded(&answer.read::<Reloaded>()?))
}

fn upgraded(answer: &Answer) -> Result<String, RemoteError> {
    Ok(render::upgraded(&answer.read::<Upgraded>()?))
}

fn what_runs(answer: &Answer) -> Result<String, RemoteError> {
    Ok(render::what_runs(&answer.read()?))
}

fn print(
    answer: &Answer,
    json: bool,
    text: impl FnOnce(&Answer) -> Result<String, RemoteError>,
) -> Result<(), RemoteError> {
    // Also where it is not shown: what does not answer like a proxy is none.
    let shown = text(answer)?;
    let text = if json { answer.text.clone() } else { shown };
    Ok(ground::print(&text)?)
}

/// The token from the file, else from the environment.
fn token(
    file: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<HeaderValue>, RemoteError> {
    let (text, place) = match file {
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
