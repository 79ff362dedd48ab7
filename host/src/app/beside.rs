//! What watches files, orders certificates and forgets what left while the proxy serves.

use std::sync::Arc;

use tokio::task::JoinSet;

#[cfg(feature = "acme")]
use super::acme;
use super::backend_files;
use super::certificates::{ListenerCertificates, watch as watch_certificates, watch_pools};
use super::control::{ControlPlane, forget};
use super::forward::watch_users;
use super::health::review;
use super::probes::probe;
use super::reload::{Source, watch_file};
use super::watch::watch;
use crate::ground;

/// What runs beside the proxy; it ends when this is dropped.
pub(super) struct Beside {
    /// For the life of the process.
    _always: JoinSet<()>,
    policies: JoinSet<()>,
    certificates: JoinSet<()>,
    backends: JoinSet<()>,
}

impl Beside {
    pub(super) fn start(control: &Arc<ControlPlane>, source: &Source) -> Self {
        let mut always = JoinSet::new();
        always.spawn(watch_pools(Arc::clone(control)));
        always.spawn(Arc::clone(control).keep_following());
        always.spawn(forget(Arc::clone(control)));
        always.spawn(review(Arc::clone(control)));
        always.spawn(probe(Arc::clone(control)));
        if let Some(path) = source.path() {
            always.spawn(watch_file(Arc::clone(control), path));
        }
        Self {
            _always: always,
            policies: policies(control),
            certificates: certificates(control),
            backends: backends(control),
        }
    }

    /// Begins again what depends on the configuration. A watcher that begins again loses nothing:
    /// it compares the files with what was read. Orders of certificates go on unless those have
    /// changed.
    pub(super) fn restart(
        &mut self,
        control: &Arc<ControlPlane>,
        former: &Arc<ListenerCertificates>,
    ) {
        self.policies = policies(control);
        self.backends = backends(control);
        if !Arc::ptr_eq(former, &control.listener_certificates()) {
            self.certificates = certificates(control);
        }
    }
}

fn policies(control: &Arc<ControlPlane>) -> JoinSet<()> {
    let (mut all, control) = (JoinSet::new(), Arc::clone(control));
    all.spawn(async move {
        ground::stays("the watcher of the policies' files", || {
            watch(Arc::clone(&control))
        })
        .await;
    });
    all
}

fn backends(control: &Arc<ControlPlane>) -> JoinSet<()> {
    let mut all = JoinSet::new();
    all.spawn(backend_files::watch(Arc::clone(control)));
    all.spawn(watch_users(Arc::clone(control)));
    all
}

fn certificates(control: &Arc<ControlPlane>) -> JoinSet<()> {
    let (mut all, certificates) = (JoinSet::new(), control.listener_certificates());
    all.spawn(watch_certificates(Arc::clone(&certificates)));
    #[cfg(feature = "acme")]
    all.spawn(acme::keep_ordered(control.current(), certificates));
    all
}
