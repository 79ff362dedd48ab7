//! `waypost demo` and `waypost origin`.

use std::future::pending;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::reload::Source;
use super::run::{Reachable, run};
use super::signals::{Event, Signals};
use crate::cli::{Demo, Origin, Settings};
use crate::config::FileSource;
use crate::observe::access_log::LogWriter;
use crate::origin::{self, OriginOptions};

/// What the demo's flags can't say. The deadline is wide, because a machine on which somebody tries
/// things is busy: a choice that came late would look like a policy that does not work.
const SETTINGS: &str = r#"
[access-log]
requests = "all"

[policies.random]
builtin = "random"
deadline = "20ms"
"#;

pub(super) async fn serve_origin(origin: Origin, mut signals: Signals) -> Result<()> {
    let listener = TcpListener::bind(origin.listen).with_context(|| {
        format!(
            "can't listen on {} (another address is set by --listen)",
            origin.listen
        )
    })?;
    let address = listener.local_addr()?;
    let options = OriginOptions {
        name: origin.name.unwrap_or_default(),
        dir: origin.dir,
    };
    tracing::info!(addr = %address, "origin listening");
    signals.serving(origin::GRACE);
    let stop = async move {
        loop {
            match signals.next().await {
                Event::Stop => return,
                Event::Reopen => tracing::info!("SIGUSR1: the origin has no log to reopen"),
                Event::Reload => tracing::info!("SIGHUP: the origin has no configuration"),
                Event::Upgrade => tracing::info!("SIGUSR2: the origin can't be replaced"),
            }
        }
    };
    Ok(origin::serve(listener, options, stop).await?)
}

/// Serves several origins and the proxy in front of them, all in this process.
pub(super) async fn serve_demo(demo: Demo, signals: Signals) -> Result<()> {
    let mut addresses = Vec::new();
    for number in 1..=demo.origins {
        let listener = loopback_listener()?;
        addresses.push(listener.local_addr()?.to_string());
        let options = OriginOptions {
            name: format!("origin-{number}"),
            dir: None,
        };
        tokio::spawn(origin::serve(listener, options, pending()));
    }
    let settings = Settings {
        listen: vec![demo.listen.to_string()],
        tls_self_signed: demo.tls_self_signed.map(|address| address.to_string()),
        admin_listen: Some(demo.admin_listen.to_string()),
        hosts: vec![format!("*={}", addresses.join(","))],
        ..Settings::default()
    };
    // The demo ignores the environment, so that it is the same everywhere.
    let mut sources = settings.sources(|_| None)?;
    sources.file = Some(FileSource::Text {
        name: "demo".to_owned(),
        text: SETTINGS.to_owned(),
        base: PathBuf::new(),
    });
    run(Source::new(sources), signals, None, |reachable, log| {
        suggest(reachable, &addresses, log)
    })
    .await
}

/// A listener for an origin of the demo, whose port must be known before the proxy starts.
fn loopback_listener() -> Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).context("can't listen on 127.0.0.1")
}

fn suggest(reachable: &Reachable, origins: &[String], log: &LogWriter) {
    let Some(proxy) = reachable.listen.first() else {
        return;
    };
    // After the plain listener comes the one of `--tls-self-signed`, if it is there.
    let encrypted = reachable.listen.get(1).map_or_else(String::new, |https| {
        format!("  curl -k https://{https}/                       the same, encrypted\n")
    });
    let admin = reachable.admin.map(|a| a.to_string()).unwrap_or_default();
    // Written through the access log's queue, because a reader may be slow.
    log.say(&format!(
        "\nWaypost is running in front of {} origins ({}).
A WebAssembly policy picks one of them for every request.

  curl -i http://{proxy}/                        which origin answered? see x-origin
{encrypted}  curl -s http://{proxy}/page_two                a page with images (or open it in a browser)
  curl -i -H 'Range: bytes=0-99' http://{proxy}/bigfile
  curl -i 'http://{proxy}/bigfile?range=0-99'    the same range, as a parameter
  curl -i -H 'Range: bytes=0-9' 'http://{proxy}/bigfile?range=5-9'    416: they differ
  curl -i -d '{{\"Nombre\": \"Ada\"}}' http://{proxy}/createUser
  http://{admin}/                                a page for your browser: live numbers, buttons
  curl -s http://{admin}/stats                   statistics
  curl -s http://{admin}/policies                the policies that run

Replace the policy while traffic flows, in another terminal:

  waypost policy deploy random builtin:least-loaded --mode shadow --no-watch --admin {admin}
  waypost policy status random --admin {admin}    how often both decide the same
  waypost policy promote random --admin {admin}    from now on the new one decides

Ctrl-C stops everything. The access log follows.\n\n",
        origins.len(),
        origins.join(", "),
    ));
}
