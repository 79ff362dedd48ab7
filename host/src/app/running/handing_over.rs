//! The place of a process that serves goes to another one.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Running;
use crate::admin::UpgradeError;
use crate::app::control::UpgradeRequest;
use crate::app::upgrade::{Late, Passing, Successor, Upgrading};

/// How long the answers of the admin listener may take at the end.
const ANSWERS: Duration = Duration::from_secs(5);
/// How long workers may take to close their listeners.
const CLOSED: Duration = Duration::from_secs(2);

impl Running {
    /// Begins an upgrade, unless one is under way.
    pub(super) async fn begin_upgrade(
        &mut self,
        UpgradeRequest { binary, answer }: UpgradeRequest,
        upgrading: &mut Upgrading,
    ) {
        let ready = match &self.program {
            _ if !upgrading.is_idle() => Err(UpgradeError::Busy),
            Some(_) if std::process::id() == 1 => {
                let reason = "this process is the first of its container, whose end would end the \
                              other one too; start another container";
                Err(UpgradeError::Unavailable(reason.to_owned()))
            }
            None => Err(UpgradeError::Unavailable(not_here())),
            Some(program) => {
                self.control.hold_deployments(true);
                let program = program.with(binary);
                match (program, self.passing().await) {
                    (Ok(program), Ok(passing)) => Ok((program, passing)),
                    (Err(reason), _) | (_, Err(reason)) => Err(UpgradeError::Refused(reason)),
                }
            }
        };
        match ready {
            Ok((program, passing)) => {
                let within = self.control.current().timeouts.upgrade;
                let [of_stores, of_health] = [(); 2].map(|()| Arc::clone(&self.control));
                let late = Late {
                    stores: Box::new(move || of_stores.carry_stores()),
                    health: Box::new(move || of_health.carry_health()),
                };
                upgrading.begin(program, (passing, late), within, answer);
            }
            Err(error) => {
                self.control.hold_deployments(!upgrading.is_idle());
                let reason = match &error {
                    UpgradeError::Busy => "another one is under way",
                    UpgradeError::Refused(reason) | UpgradeError::Unavailable(reason) => reason,
                };
                tracing::error!("no upgrade is begun: {reason}");
                // One that has left needs no answer.
                answer.map(|answer| answer.send(Err(error)));
            }
        }
    }

    /// All that the other process gets; a sentence if that is not possible.
    async fn passing(&self) -> Result<Passing, String> {
        let mut passing = Passing::new(self.control.clock_began());
        let mut copies = self.workers.copies().await;
        let mut seen = HashSet::new();
        // Workers may share a socket.
        copies.retain(|(_, socket)| {
            let found = rustix::fs::fstat(socket);
            found.is_ok_and(|found| seen.insert((found.st_dev, found.st_ino)))
        });
        let mut listeners = self.listeners.passable();
        for (number, socket) in copies {
            let listener = listeners.iter().position(|(of, ..)| *of == number);
            let Some((_, place, file)) = listener.map(|at| &listeners[at]) else {
                continue;
            };
            passing.socket(number, place, *file, socket);
        }
        listeners.retain(|(number, ..)| !passing.has(*number));
        if !listeners.is_empty() {
            let reason = "not all listening sockets can be copied: a worker hangs, or there are no \
                          more file descriptors; see the log";
            return Err(reason.to_owned());
        }
        let copied = |e: std::io::Error| format!("the admin listener can't be copied: {e}");
        if let Some(admin) = &self.admin {
            let socket = admin.socket.as_fd().try_clone_to_owned().map_err(copied)?;
            passing.admin(admin.settings.listen, socket);
        }
        if let Some(lock) = self.control.state_lock() {
            passing.state_lock(lock.map_err(|e| format!("`state-dir` can't be passed: {e}"))?);
        }
        let uncarried = |e| format!("policies that were deployed can't be passed: {e}");
        if let Some(policies) = self.control.carry().await.map_err(uncarried)? {
            passing.policies(policies.into());
        }
        let uncarried = |e| format!("what is known of backends can't be passed: {e}");
        let backends = self.control.carry_backends().await.map_err(uncarried)?;
        passing.backends(backends.into());
        Ok(passing)
    }

    /// Another process serves, or can't: then this one goes on.
    pub(super) async fn upgraded(
        &mut self,
        outcome: Result<Successor, String>,
        upgrading: &mut Upgrading,
    ) {
        match outcome {
            Ok(mut successor) => {
                upgrading.pass_request_to(&mut successor);
                self.hand_over(successor).await;
            }
            Err(reason) => {
                self.control.hold_deployments(false);
                // The other process may have got that far.
                if let Some(file) = &self.pid_file {
                    file.write_again();
                }
                tracing::error!("the upgrade has failed, and this process goes on: {reason}");
                upgrading.refuse(reason);
            }
        }
    }

    /// Another process serves: what is its own by now is not this one's any more.
    async fn hand_over(&mut self, successor: Successor) {
        let pid = successor.pid;
        tracing::info!(
            "process {pid} serves; this one finishes its requests and tunnels, and ends"
        );
        self.listeners.hand_over(&successor.listeners);
        self.notifier.replaced_by(pid);
        if let Some(admin) = self.admin.take() {
            self.admin_end = Some(admin.close().await);
        }
        self.successor = Some(successor);
    }

    /// The other process serves alone once no worker of this one accepts connections.
    pub(super) async fn leave_alone(&mut self) {
        if let Some(successor) = self.successor.take() {
            let closed = timeout(CLOSED, self.workers.closed());
            if closed.await.is_err() {
                tracing::warn!("a worker hangs, and may still accept connections");
            }
            successor.serves_alone();
        }
    }

    /// Waits a while for the last answers of the admin listener.
    pub(super) async fn admin_ends(&mut self) {
        if let Some(end) = self.admin_end.take() {
            let _ = timeout(ANSWERS, end).await;
        }
    }
}

fn not_here() -> String {
    match cfg!(target_os = "linux") {
        true => "only `waypost run` can be replaced by another process, and only where the system \
                 shows which file it was started from"
            .to_owned(),
        false => "this system can't pass its sockets to another process: restart it".to_owned(),
    }
}
