//! The listeners: one per worker and address where the kernel spreads connections, else one
//! acceptor that hands them out.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::unix_socket::{self, SocketFile};
use crate::config::{self, ListenAddress};
use crate::net::StdListener;

/// Connections that may wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Whether `SO_REUSEPORT` spreads connections over the sockets that share a port. On macOS and the
/// BSDs one socket gets all.
pub(super) const KERNEL_SPREADS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Listening sockets, each with the number of its listener in the configuration.
#[derive(Debug)]
pub(super) struct Intake {
    /// The listeners of each worker; of TCP none if an acceptor hands out connections.
    pub by_worker: Vec<Vec<(usize, StdListener)>>,
    /// The listeners of the acceptor; none if each worker has its own.
    pub shared: Vec<(usize, TcpListener)>,
    /// Where clients connect, with the real port in place of port 0.
    pub addresses: Vec<ListenAddress>,
    /// The files of Unix sockets, which are removed at the end.
    pub files: Vec<SocketFile>,
}

impl Intake {
    /// Opens the listeners of all workers.
    pub(super) fn open(
        listeners: &[config::Listener],
        workers: usize,
        kernel_spreads: bool,
    ) -> Result<Self> {
        let mut intake = Self {
            by_worker: (0..workers).map(|_| Vec::new()).collect(),
            shared: vec![],
            addresses: vec![],
            files: vec![],
        };
        let tcp: Vec<Tcp> = listeners
            .iter()
            .filter_map(|l| Tcp::of(l, listeners))
            .collect();
        if kernel_spreads {
            // With SO_REUSEPORT even another proxy of the same user can share the port unnoticed,
            // so a bind without it first finds out whether the port is free. All addresses are
            // tried before the first is bound, or 0.0.0.0 would find the port taken by this
            // process's 127.0.0.1.
            for tcp in tcp.iter().filter(|tcp| tcp.address.port() != 0) {
                drop(bind(*tcp, false).with_context(|| failed(tcp.address))?);
            }
        }
        for (number, listener) in listeners.iter().enumerate() {
            let address = match (&listener.address, Tcp::of(listener, listeners)) {
                (_, Some(tcp)) => intake.open_tcp(number, tcp, kernel_spreads)?,
                (ListenAddress::Unix { path, mode }, None) => {
                    intake.open_unix(number, path, *mode)?;
                    listener.address.clone()
                }
                (ListenAddress::Tcp { .. }, None) => continue,
            };
            intake.addresses.push(address);
        }
        Ok(intake)
    }

    fn open_tcp(&mut self, number: usize, tcp: Tcp, kernel_spreads: bool) -> Result<ListenAddress> {
        // A port that the kernel chose is never shared, and belongs to this process now.
        let mut bound = tcp;
        let failed = || failed(tcp.address);
        if kernel_spreads {
            for listeners in &mut self.by_worker {
                let listener = listen(bound, true).with_context(failed)?;
                bound.address = listener.local_addr()?;
                listeners.push((number, StdListener::Tcp(listener)));
            }
        } else {
            let listener = listen(tcp, false).with_context(failed)?;
            bound.address = listener.local_addr()?;
            self.shared.push((number, listener));
        }
        Ok(ListenAddress::Tcp {
            address: bound.address,
            only_v6: bound.only_v6,
        })
    }

    /// One socket for all workers, which compete for its connections: the kernel spreads those of a
    /// Unix socket on no system.
    fn open_unix(&mut self, number: usize, path: &Path, mode: u32) -> Result<()> {
        let (listener, file) = unix_socket::listen(path, mode, BACKLOG)
            .with_context(|| format!("can't listen on unix:{}", path.display()))?;
        for listeners in &mut self.by_worker {
            listeners.push((number, StdListener::Unix(listener.try_clone()?)));
        }
        self.files.push(file);
        Ok(())
    }
}

/// A TCP address, and whether it takes IPv6 only.
#[derive(Debug, Clone, Copy)]
struct Tcp {
    address: SocketAddr,
    only_v6: bool,
}

impl Tcp {
    /// `[::]` of the short form also accepts IPv4 where the system allows it, unless an IPv4
    /// address with the same port is listed too.
    fn of(listener: &config::Listener, all: &[config::Listener]) -> Option<Self> {
        let ListenAddress::Tcp { address, only_v6 } = listener.address else {
            return None;
        };
        let beside = |other: SocketAddr| other.is_ipv4() && other.port() == address.port();
        let shares = address.is_ipv6()
            && address.ip().is_unspecified()
            && address.port() != 0
            && all.iter().filter_map(config::Listener::tcp).any(beside);
        Some(Self {
            address,
            only_v6: only_v6 || shares,
        })
    }
}

fn failed(address: SocketAddr) -> String {
    format!(
        "can't listen on {address}: is another process listening there, or does the address belong \
         to another machine?"
    )
}

/// A listener for the admin side.
pub(super) fn admin(address: SocketAddr) -> Result<TcpListener> {
    let only_v6 = false;
    listen(Tcp { address, only_v6 }, false).with_context(|| {
        format!("can't listen on {address} (admin): is another process listening there?")
    })
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

    fn opened(intake: &Intake) -> Vec<SocketAddr> {
        let address = |at: &ListenAddress| match at {
            ListenAddress::Tcp { address, .. } => Some(*address),
            ListenAddress::Unix { .. } => None,
        };
        intake.addresses.iter().filter_map(address).collect()
    }

    fn local(listener: &StdListener) -> SocketAddr {
        match listener {
            StdListener::Tcp(listener) => listener.local_addr().unwrap(),
            StdListener::Unix(_) => panic!("a Unix socket"),
        }
    }

    #[test]
    fn each_worker_has_a_listener_on_the_same_port() {
        let intake = Intake::open(&any_port(), 2, KERNEL_SPREADS).unwrap();
        if KERNEL_SPREADS {
            let of = |worker: usize| local(&intake.by_worker[worker][0].1);
            let address = opened(&intake)[0];
            assert_eq!((of(0), of(1)), (address, address));
        }
        assert_ne!(opened(&intake)[0].port(), 0);
    }

    #[test]
    fn one_listener_is_shared_where_the_kernel_does_not_spread() {
        let intake = Intake::open(&any_port(), 2, false).unwrap();
        let shared = intake.shared[0].1.local_addr().unwrap();
        assert_eq!(shared, opened(&intake)[0]);
        assert!(intake.by_worker.iter().all(Vec::is_empty));
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
                .all(|order| Intake::open(&plain(order), 2, true).is_ok())
                .then_some(addresses)
        });
        let Some([v4, v6, _]) = both else {
            panic!("no order of 0.0.0.0, [::] and 127.0.0.1 can be listened on")
        };
        let intake = Intake::open(&plain(&[v4, v6]), 1, true).unwrap();
        assert_eq!(opened(&intake), [v4, v6]);
        assert!(std::net::TcpStream::connect(("127.0.0.1", v4.port())).is_ok());
        assert!(
            Intake::open(&plain(&[v6]), 1, true).is_err(),
            "the port is taken for the next process"
        );
    }

    #[test]
    fn a_port_in_use_is_named_even_if_its_owner_would_share_it() {
        let first = Intake::open(&any_port(), 1, KERNEL_SPREADS).unwrap();
        let taken = opened(&first);
        let error = Intake::open(&plain(&taken), 1, KERNEL_SPREADS).unwrap_err();
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
            let intake = Intake::open(&[listener], 1, false).unwrap();
            let (number, socket) = &intake.shared[0];
            let is = socket2::SockRef::from(socket).only_v6().unwrap();
            assert_eq!((*number, is), (0, only_v6));
        }
    }
}
