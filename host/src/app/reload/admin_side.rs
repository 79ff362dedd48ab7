//! The admin listener and what serves it.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::{Now, refused};
use crate::admin::{self, ReloadError};
use crate::app::control::{AdminControl, ControlPlane};
use crate::app::intake;
use crate::app::open_listeners::KnownListener;
use crate::config::{Admin, Config};

/// The admin listener, while it is served.
#[derive(Debug)]
pub(in crate::app) struct AdminListener {
    pub settings: Admin,
    pub address: SocketAddr,
    pub socket: Arc<TcpListener>,
    pub task: JoinHandle<Result<()>>,
    /// Ends it after the requests under way.
    stop: watch::Sender<bool>,
    /// Ends when no more connections are accepted.
    closed: oneshot::Receiver<()>,
}

/// What becomes of the admin listener.
#[derive(Debug)]
pub(in crate::app) enum NextAdmin {
    Off,
    On(Admin, Arc<TcpListener>),
}

impl AdminListener {
    /// Serves an admin listener on at most so many connections. It stays open while the data plane
    /// drains, because `/readyz` reports that, and ends with the process.
    pub(in crate::app) fn serve(
        settings: Admin,
        socket: Arc<TcpListener>,
        connections: usize,
        control: &Arc<ControlPlane>,
    ) -> Result<Self> {
        let address = socket.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
        let (stop, mut stopping) = watch::channel(false);
        let (closing, closed) = oneshot::channel::<()>();
        let stopped = async move {
            if stopping.wait_for(|stop| *stop).await.is_err() {
                pending::<()>().await;
            }
            closing
        };
        let reached = Arc::new(AdminControl(Arc::clone(control)));
        let token = settings.token.clone();
        let serving = admin::serve(listener, token, connections, reached, stopped);
        Ok(Self {
            settings,
            address,
            socket,
            task: tokio::spawn(async move { Ok(serving.await?) }),
            stop,
            closed,
        })
    }

    /// Ends it: no more connections, and the requests under way are answered.
    pub(in crate::app) fn end(self) {
        self.stop.send_replace(true);
    }

    /// The same; returns when no more connections are accepted, with what waits for the answers.
    pub(in crate::app) async fn close(self) -> JoinHandle<Result<()>> {
        self.stop.send_replace(true);
        // It is dropped and never sent.
        let _ = self.closed.await;
        self.task
    }
}

impl Now {
    pub(super) fn next_admin(&self, config: &Config) -> Result<Option<NextAdmin>, ReloadError> {
        let former = self.admin.as_ref();
        Ok(match (former, &config.admin) {
            (None, None) => None,
            (Some((former, _)), Some(next)) if former == next => None,
            (Some(_), None) => Some(NextAdmin::Off),
            (Some((former, socket)), Some(next)) if former.listen == next.listen => {
                Some(NextAdmin::On(next.clone(), Arc::clone(socket)))
            }
            (_, Some(next)) => {
                let socket = intake::admin(next.listen);
                let socket = socket.map_err(|e| refused(self.unbound(next.listen, &e)))?;
                Some(NextAdmin::On(next.clone(), Arc::new(socket)))
            }
        })
    }

    /// Why the admin listener of the configuration could not be opened.
    pub(super) fn probe_admin(&self, config: &Config) -> Result<(), String> {
        let Some(next) = &config.admin else {
            return Ok(());
        };
        let former = self.admin.as_ref().map(|(former, _)| former.listen);
        if former == Some(next.listen) {
            return Ok(());
        }
        let probed = intake::probe_admin(next.listen);
        probed.map_err(|e| self.unbound(next.listen, &e))
    }

    /// Why an address can't be bound for the admin listener.
    fn unbound(&self, wanted: SocketAddr, error: &anyhow::Error) -> String {
        let io = error.downcast_ref::<io::Error>();
        let is_used = io.is_some_and(|e| e.kind() == ErrorKind::AddrInUse);
        let admin = self.admin.as_ref();
        let admin = admin.and_then(|(_, socket)| socket.local_addr().ok());
        let mut own = admin
            .into_iter()
            .chain(self.listeners.iter().filter_map(KnownListener::tcp));
        match own.find(|own| is_used && own.port() == wanted.port()) {
            Some(own) => format!(
                "can't listen on {wanted} (admin): this process itself listens on {own} \
                 until the reload is done; choose another port, or restart the proxy with this \
                 configuration"
            ),
            None => format!("{error:#}"),
        }
    }
}
