//! The listeners: one per worker and address where the kernel spreads connections, else one
//! acceptor that hands them out.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::passed::PassedSockets;
use super::place::{Place, Tcp};
use super::unix_socket::{self, SocketFile};
use crate::config::{self, ListenAddress};
use crate::net::{BACKLOG, StdListener};

/// Whether `SO_REUSEPORT` spreads connections over the sockets that share a port. On macOS and the
/// BSDs one socket gets all.
pub(super) const KERNEL_SPREADS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A listener whose sockets are open.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its number in the configuration.
    pub number: usize,
    /// Where clients connect, with the real port in place of port 0.
    pub address: ListenAddress,
    /// The sockets of each worker; of TCP none if an acceptor hands connections out.
    pub by_worker: Vec<Vec<StdListener>>,
    /// The socket of the acceptor; `None` if each worker has its own.
    pub shared: Option<TcpListener>,
    /// The file of a Unix socket, which is removed at the end.
    pub file: Option<SocketFile>,
}

/// Opens listeners for all workers.
pub(super) struct Opening<'a> {
    pub workers: usize,
    pub kernel_spreads: bool,
    /// What this process listens on already.
    pub own: &'a [Place],
}

impl Opening<'_> {
    /// Opens the listeners with these numbers. Those that were passed to this process are taken out
    /// of `passed`.
    pub(super) fn open(
        &self,
        listeners: &[config::Listener],
        numbers: &[usize],
        passed: &mut PassedSockets,
    ) -> Result<Vec<Opened>> {
        self.probe(listeners, numbers)?;
        let places = Place::all(listeners);
        let open = |number: &usize| match &places[*number] {
            Place::Tcp(address, only_v6) => {
                let (address, only_v6) = (*address, *only_v6);
                let tcp = Tcp { address, only_v6 };
                let given = passed.take_tcp(tcp)?;
                match given.is_empty() {
                    true => self.open_tcp(*number, tcp),
                    false => self.use_tcp(*number, tcp, given),
                }
            }
            Place::Unix(path) => {
                let mode = unix_socket::mode(&listeners[*number].address).unwrap_or_default();
                let (listener, file) = match passed.take_unix(path, mode) {
                    Some(given) => given,
                    None => self.open_unix(path, mode)?,
                };
                self.share(*number, path, mode, (listener, file))
            }
        };
        numbers.iter().map(open).collect()
    }

    /// Finds out whether the ports are free. With SO_REUSEPORT even another proxy of the same user
    /// can share a port unnoticed, so a bind without it looks first. All addresses are tried before
    /// the first is bound, or 0.0.0.0 would find the port taken by this process's 127.0.0.1.
    pub(super) fn probe(&self, listeners: &[config::Listener], numbers: &[usize]) -> Result<()> {
        let places = Place::all(listeners);
        let wanted = || numbers.iter().map(|number| &places[*number]);
        for place in wanted() {
            if let Place::Unix(path) = place {
                unix_socket::examine(path)
                    .with_context(|| format!("can't listen on unix:{}", path.display()))?;
            }
        }
        for place in wanted().filter(|_| self.kernel_spreads) {
            // An address of this process is not free for such a bind.
            let is_own = self.own.iter().any(|own| own.overlaps(place));
            if let (Place::Tcp(address, only_v6), Some(_), false) = (place, place.port(), is_own) {
                let (address, only_v6) = (*address, *only_v6);
                drop(bind(Tcp { address, only_v6 }, false).with_context(|| failed(address))?);
            }
        }
        Ok(())
    }

    fn open_tcp(&self, number: usize, tcp: Tcp) -> Result<Opened> {
        // A port that the kernel chose is never shared, and belongs to this process now.
        let mut bound = tcp;
        let failed = || failed(tcp.address);
        let (mut by_worker, mut shared) = (Vec::with_capacity(self.workers), None);
        if self.kernel_spreads {
            for _ in 0..self.workers {
                let listener = listen(bound, true).with_context(failed)?;
                bound.address = listener.local_addr()?;
                by_worker.push(vec![StdListener::Tcp(listener)]);
            }
        } else {
            let listener = listen(tcp, false).with_context(failed)?;
            bound.address = listener.local_addr()?;
            shared = Some(listener);
        }
        let (address, only_v6) = (bound.address, bound.only_v6);
        Ok(Opened {
            number,
            address: ListenAddress::Tcp { address, only_v6 },
            by_worker,
            shared,
            file: None,
        })
    }

    /// Divides sockets that listen already. Where there are too few for the workers, more are bound
    /// to the same address, which listen only when their workers do: until then the process before
    /// this one accepts, and what the kernel gave to another socket would be lost with a failed
    /// start. Where the kernel refuses that, workers share sockets.
    fn use_tcp(&self, number: usize, tcp: Tcp, given: Vec<TcpListener>) -> Result<Opened> {
        let mut all = given;
        let address = all[0].local_addr()?;
        let is_group = |listener| socket2::SockRef::from(listener).reuse_port();
        let grows = all
            .iter()
            .all(|listener| is_group(listener).unwrap_or(false));
        while grows && all.len() < self.workers {
            match bind(Tcp { address, ..tcp }, true) {
                Ok(socket) => all.push(socket.into()),
                Err(_) => break,
            }
        }
        let mut by_worker: Vec<Vec<StdListener>> = (0..self.workers).map(|_| Vec::new()).collect();
        for at in 0..all.len().max(self.workers) {
            let socket = all[at % all.len()].try_clone()?;
            by_worker[at % self.workers].push(StdListener::Tcp(socket));
        }
        let only_v6 = tcp.only_v6;
        Ok(Opened {
            number,
            address: ListenAddress::Tcp { address, only_v6 },
            by_worker,
            shared: None,
            file: None,
        })
    }

    fn open_unix(&self, path: &Path, mode: u32) -> Result<(UnixListener, Option<SocketFile>)> {
        let opened = unix_socket::listen(path, mode, BACKLOG);
        let (listener, file) =
            opened.with_context(|| format!("can't listen on unix:{}", path.display()))?;
        Ok((listener, Some(file)))
    }

    /// One socket for all workers, which compete for its connections: the kernel spreads those of a
    /// Unix socket on no system.
    fn share(
        &self,
        number: usize,
        path: &Path,
        mode: u32,
        (listener, file): (UnixListener, Option<SocketFile>),
    ) -> Result<Opened> {
        let mut by_worker = Vec::with_capacity(self.workers);
        for _ in 0..self.workers {
            by_worker.push(vec![StdListener::Unix(listener.try_clone()?)]);
        }
        let path = path.to_owned();
        Ok(Opened {
            number,
            address: ListenAddress::Unix { path, mode },
            by_worker,
            shared: None,
            file,
        })
    }
}

fn failed(address: SocketAddr) -> String {
    format!(
        "can't listen on {address} (another address is set by --listen, WAYPOST_LISTEN or `listen`)"
    )
}

/// A listener for the admin side.
pub(super) fn admin(address: SocketAddr) -> Result<TcpListener> {
    let only_v6 = false;
    listen(Tcp { address, only_v6 }, false).with_context(|| admin_failed(address))
}

/// Whether it could be opened.
pub(super) fn probe_admin(address: SocketAddr) -> Result<()> {
    let only_v6 = false;
    let bound = bind(Tcp { address, only_v6 }, false).map(drop);
    bound.with_context(|| admin_failed(address))
}

fn admin_failed(address: SocketAddr) -> String {
    format!(
        "can't listen on {address} for the admin side (another address is set by --admin-listen, \
         WAYPOST_ADMIN_LISTEN or `[admin] listen`)"
    )
}

fn bind(Tcp { address, only_v6 }: Tcp, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier run in TIME_WAIT must not prevent the start.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(reuse_port)?;
    #[cfg(not(unix))]
    let _ = reuse_port;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(tcp: Tcp, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = bind(tcp, reuse_port)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(addresses: &[SocketAddr]) -> Vec<config::Listener> {
        addresses
            .iter()
            .map(|a| config::Listener::plain(*a))
            .collect()
    }

    fn any_port() -> Vec<config::Listener> {
        plain(&["127.0.0.1:0".parse().unwrap()])
    }

    fn open(
        listeners: &[config::Listener],
        workers: usize,
        kernel_spreads: bool,
    ) -> Result<Vec<Opened>> {
        let opening = Opening {
            workers,
            kernel_spreads,
            own: &[],
        };
        let all: Vec<usize> = (0..listeners.len()).collect();
        opening.open(listeners, &all, &mut PassedSockets::default())
    }

    fn opened(intake: &[Opened]) -> Vec<SocketAddr> {
        let address = |at: &Opened| match at.address {
            ListenAddress::Tcp { address, .. } => Some(address),
            ListenAddress::Unix { .. } => None,
        };
        intake.iter().filter_map(address).collect()
    }

    fn local(listener: &StdListener) -> SocketAddr {
        match listener {
            StdListener::Tcp(listener) => listener.local_addr().unwrap(),
            StdListener::Unix(_) => panic!("a Unix socket"),
        }
    }

    #[test]
    fn each_worker_has_a_listener_on_the_same_port() {
        let intake = open(&any_port(), 2, KERNEL_SPREADS).unwrap();
        if KERNEL_SPREADS {
            let of = |worker: usize| local(&intake[0].by_worker[worker][0]);
            let address = opened(&intake)[0];
            assert_eq!((of(0), of(1)), (address, address));
        }
        assert_ne!(opened(&intake)[0].port(), 0);
    }

    #[test]
    fn one_listener_is_shared_where_the_kernel_does_not_spread() {
        let intake = open(&any_port(), 2, false).unwrap();
        let shared = intake[0].shared.as_ref().unwrap().local_addr().unwrap();
        assert_eq!(shared, opened(&intake)[0]);
        assert!(intake[0].by_worker.is_empty());
    }

    #[test]
    fn one_port_of_ipv4_and_of_ipv6_can_be_listed() {
        // A port that is free for both; another process may take it in between, so several are
        // tried.
        let both = (0..20).find_map(|_| {
            let free = TcpListener::bind("[::]:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let addresses = [
                format!("0.0.0.0:{free}"),
                format!("[::]:{free}"),
                format!("127.0.0.1:{free}"),
            ];
            let addresses = addresses.map(|a| a.parse::<SocketAddr>().unwrap());
            let orders = [[0, 1], [1, 0], [0, 2], [2, 0]].map(|order| order.map(|i| addresses[i]));
            orders
                .iter()
                .all(|order| open(&plain(order), 2, true).is_ok())
                .then_some(addresses)
        });
        let Some([v4, v6, _]) = both else {
            panic!("no order of 0.0.0.0, [::] and 127.0.0.1 can be listened on")
        };
        let intake = open(&plain(&[v4, v6]), 1, true).unwrap();
        assert_eq!(opened(&intake), [v4, v6]);
        assert!(std::net::TcpStream::connect(("127.0.0.1", v4.port())).is_ok());
        assert!(
            open(&plain(&[v6]), 1, true).is_err(),
            "the port is taken for the next process"
        );
    }

    #[test]
    fn a_port_that_another_process_has_is_not_shared_because_this_one_has_it_elsewhere() {
        let first = open(&any_port(), 1, KERNEL_SPREADS).unwrap();
        let port = opened(&first)[0].port();
        let others: SocketAddr = format!("127.0.0.2:{port}").parse().unwrap();
        let Ok(_others) = open(&plain(&[others]), 1, KERNEL_SPREADS) else {
            return; // Not all systems have this address.
        };
        let own = [Place::Tcp(opened(&first)[0], false)];
        let opening = Opening {
            workers: 1,
            kernel_spreads: true,
            own: &own,
        };
        assert!(opening.probe(&plain(&[others]), &[0]).is_err());
        let any: SocketAddr = format!("0.0.0.0:{port}").parse().unwrap();
        assert!(opening.probe(&plain(&[any]), &[0]).is_ok());
    }

    #[test]
    fn a_port_in_use_is_named_even_if_its_owner_would_share_it() {
        let first = open(&any_port(), 1, KERNEL_SPREADS).unwrap();
        let taken = opened(&first);
        let error = open(&plain(&taken), 1, KERNEL_SPREADS).unwrap_err();
        assert!(error.to_string().contains(&taken[0].to_string()), "{error}");
    }

    #[test]
    fn an_ipv6_wildcard_of_the_long_form_takes_ipv6_only() {
        let address = "[::]:0".parse().unwrap();
        let plain = config::Listener::plain(address);
        let long = config::Listener {
            address: ListenAddress::Tcp {
                address,
                only_v6: true,
            },
            ..plain.clone()
        };
        for (listener, only_v6) in [(long, true), (plain, false)] {
            let intake = open(&[listener], 1, false).unwrap();
            let socket = intake[0].shared.as_ref().unwrap();
            let is = socket2::SockRef::from(socket).only_v6().unwrap();
            assert_eq!((intake[0].number, is), (0, only_v6));
        }
    }
}
