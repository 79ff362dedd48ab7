//! The admin listener and what serves it.

use std::future::pending;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin;
use crate::app::control::{AdminControl, ControlPlane};
use crate::config::Admin;

/// The admin listener, while it is served.
#[derive(Debug)]
pub(in crate::app) struct AdminListener {
    pub settings: Admin,
    pub address: SocketAddr,
    pub socket: Arc<TcpListener>,
    pub task: JoinHandle<Result<()>>,
    /// Ends it after the requests under way.
    stop: watch::Sender<bool>,
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
        let stopped = async move {
            if stopping.wait_for(|stop| *stop).await.is_err() {
                pending::<()>().await;
            }
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
        })
    }

    /// Ends it: no more connections, and the requests under way are answered.
    pub(in crate::app) fn end(self) {
        self.stop.send_replace(true);
    }
}
