//! Listening sockets that this process did not open: those of the process that it replaces, and
//! those that a supervisor (systemd) has opened for it.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use socket2::{SockRef, Type};

use super::place::{Place, Tcp};
use super::unix_socket::{Identity, SocketFile};

/// Those that no listener has taken.
#[derive(Debug, Default)]
pub(super) struct PassedSockets {
    all: Vec<PassedSocket>,
    /// The groups of the former process that were taken.
    taken: Vec<usize>,
}

/// A socket that listens, with what is known about it.
#[derive(Debug)]
pub(super) struct PassedSocket {
    socket: OwnedFd,
    local: Local,
    giver: Giver,
}

/// Where it listens.
#[derive(Debug, PartialEq, Eq)]
enum Local {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Which process has opened it, and what for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Giver {
    /// The process that this one replaces, for the listener with this number of its.
    Former {
        group: usize,
        place: Place,
        file: Option<Identity>,
    },
    /// The same, for its admin listener, with the address as it was configured.
    FormerAdmin(SocketAddr),
    /// A supervisor, under this name.
    Supervisor(String),
}

impl PassedSocket {
    /// # Errors
    ///
    /// A sentence if it is no socket that a listener could have.
    pub(super) fn new(socket: OwnedFd, giver: Giver) -> Result<Self> {
        let seen = SockRef::from(&socket);
        let is_stream = seen.r#type().is_ok_and(|kind| kind == Type::STREAM);
        if !is_stream {
            bail!("is no stream socket");
        }
        if !seen.is_listener().unwrap_or(false) {
            bail!("does not listen");
        }
        let address = seen.local_addr()?;
        let local = match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => Local::Tcp(address),
            (None, Some(path)) => Local::Unix(path.to_owned()),
            (None, None) => bail!("has neither an IP address nor a path"),
        };
        seen.set_nonblocking(true)?;
        // The kernel sets it for what came through a socket, not for what a parent has opened.
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        Ok(Self {
            socket,
            local,
            giver,
        })
    }

    /// The address that a listener of the configuration would have to name.
    fn shown(&self) -> String {
        match &self.local {
            Local::Tcp(address) => address.to_string(),
            Local::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl PassedSockets {
    /// None is taken yet.
    pub(super) fn new(all: Vec<PassedSocket>) -> Self {
        Self {
            all,
            taken: Vec::new(),
        }
    }

    /// Adds more.
    pub(super) fn extend(&mut self, more: Self) {
        self.all.extend(more.all);
    }

    /// The addresses that are in use by them.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |passed: &PassedSocket| match &passed.local {
            Local::Tcp(address) => Place::Tcp(*address, false),
            Local::Unix(path) => Place::Unix(path.clone()),
        };
        self.all.iter().map(place).collect()
    }

    /// The sockets for an address.
    ///
    /// # Errors
    ///
    /// A supervisor has opened one that does not take what the listener is for.
    pub(super) fn take_tcp(&mut self, tcp: Tcp) -> Result<Vec<TcpListener>> {
        let wanted = Place::Tcp(tcp.address, tcp.only_v6);
        let mut taken = self.take_group(&wanted);
        if taken.is_empty() {
            taken = self.take_where(|passed| {
                let is_supervisors = matches!(passed.giver, Giver::Supervisor(_));
                is_supervisors && passed.local == Local::Tcp(tcp.address)
            });
            for passed in taken.iter().filter(|_| tcp.only_v6) {
                if !SockRef::from(&passed.socket).only_v6()? {
                    bail!(
                        "the socket on {} that systemd has opened also takes IPv4, and this \
                         listener takes IPv6 only; set `BindIPv6Only=ipv6-only` in the .socket unit",
                        tcp.address
                    );
                }
            }
        }
        Ok(taken
            .into_iter()
            .map(|passed| passed.socket.into())
            .collect())
    }

    /// The socket for a path, and its file if that is this process's to remove.
    pub(super) fn take_unix(
        &mut self,
        path: &Path,
        mode: u32,
    ) -> Option<(UnixListener, Option<SocketFile>)> {
        // A socket whose file is another one by now has no clients any more. One without a file was
        // a supervisor's, who looks after it.
        let is_current = |passed: &PassedSocket| match &passed.giver {
            Giver::Former { file, .. } => file.is_none_or(|file| file.is_at(path)),
            _ => true,
        };
        let mut taken = self.take_group(&Place::Unix(path.to_owned()));
        taken.retain(is_current);
        if taken.is_empty() {
            taken = self.take_where(|passed| {
                let is_supervisors = matches!(passed.giver, Giver::Supervisor(_));
                is_supervisors && passed.local == Local::Unix(path.to_owned())
            });
        }
        let passed = taken.into_iter().next()?;
        let file = match passed.giver {
            Giver::Former { file, .. } => file.map(|file| SocketFile::of_another(path, file, mode)),
            _ => None,
        };
        Some((passed.socket.into(), file))
    }

    /// The socket for the admin listener.
    pub(super) fn take_admin(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let mut taken = self.take_where(|passed| match &passed.giver {
            Giver::FormerAdmin(configured) => *configured == address,
            Giver::Supervisor(_) => passed.local == Local::Tcp(address),
            Giver::Former { .. } => false,
        });
        let first = taken.drain(..).next();
        self.all.extend(taken);
        first.map(|passed| passed.socket.into())
    }

    /// The numbers of the former process's listeners that were taken.
    pub(super) fn taken(&self) -> Vec<usize> {
        self.taken.clone()
    }

    /// Refuses what a supervisor has opened and no listener names: its clients would wait for ever.
    ///
    /// # Errors
    ///
    /// A sentence that names them.
    pub(super) fn refuse_rest(&self) -> Result<()> {
        let left = self.all.iter().filter_map(|passed| match &passed.giver {
            Giver::Supervisor(name) => {
                Some(format!("{} (FileDescriptorName={name})", passed.shown()))
            }
            _ => None,
        });
        let left: Vec<String> = left.collect();
        if left.is_empty() {
            return Ok(());
        }
        bail!(
            "systemd has opened sockets that no listener of the configuration has as its address: \
             {}; name exactly these addresses in `listen`, `[[listeners]]` or `[admin]`, or take \
             them out of the .socket unit",
            left.join(", ")
        );
    }

    /// All sockets of the first listener of the former process that had this place.
    fn take_group(&mut self, wanted: &Place) -> Vec<PassedSocket> {
        let group = self.all.iter().find_map(|passed| match &passed.giver {
            Giver::Former { group, place, .. } if place == wanted => Some(*group),
            _ => None,
        });
        let Some(wanted) = group else {
            return Vec::new();
        };
        self.taken.push(wanted);
        self.take_where(
            |passed| matches!(&passed.giver, Giver::Former { group, .. } if *group == wanted),
        )
    }

    fn take_where(&mut self, is_wanted: impl Fn(&PassedSocket) -> bool) -> Vec<PassedSocket> {
        let all = std::mem::take(&mut self.all);
        let (taken, left) = all.into_iter().partition(is_wanted);
        self.all = left;
        taken
    }
}
