//! The listeners: one per worker and address where the kernel spreads connections, else one
//! acceptor that hands them out.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Whether `SO_REUSEPORT` spreads connections over the sockets that share a port. On macOS and the
/// BSDs one socket gets all.
pub(super) const KERNEL_SPREADS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Listening sockets.
#[derive(Debug)]
pub(super) struct Intake {
    /// The listeners of each worker; none if an acceptor hands out connections.
    pub by_worker: Vec<Vec<TcpListener>>,
    /// The listeners of the acceptor; none if each worker has its own.
    pub shared: Vec<TcpListener>,
    /// Where clients connect, with the real port in place of port 0.
    pub addresses: Vec<SocketAddr>,
}

impl Intake {
    /// Opens the listeners of all workers.
    pub(super) fn open(
        addresses: &[SocketAddr],
        workers: usize,
        kernel_spreads: bool,
    ) -> Result<Self> {
        let mut intake = Self {
            by_worker: (0..workers).map(|_| Vec::new()).collect(),
            shared: vec![],
            addresses: vec![],
        };
        let failed = |address: &SocketAddr| {
            format!(
                "can't listen on {address}: is another process listening there, or does the \
                 address belong to another machine?"
            )
        };
        if kernel_spreads {
            // With SO_REUSEPORT even another proxy of the same user can share the port unnoticed,
            // so a bind without it first finds out whether the port is free. All addresses are
            // tried before the first is bound, or 0.0.0.0 would find the port taken by this
            // process's 127.0.0.1.
            for address in addresses.iter().filter(|a| a.port() != 0) {
                drop(
                    bind(*address, false, only_v6(*address, addresses))
                        .with_context(|| failed(address))?,
                );
            }
        }
        for address in addresses {
            let only_v6 = only_v6(*address, addresses);
            let failed = || failed(address);
            if !kernel_spreads {
                let listener = listen(*address, false, only_v6).with_context(failed)?;
                intake.addresses.push(listener.local_addr()?);
                intake.shared.push(listener);
                continue;
            }
            // A port that the kernel chose is never shared, and belongs to this process now.
            let mut bound = *address;
            for listeners in &mut intake.by_worker {
                let listener = listen(bound, true, only_v6).with_context(failed)?;
                bound = listener.local_addr()?;
                listeners.push(listener);
            }
            intake.addresses.push(bound);
        }
        Ok(intake)
    }
}

/// A listener for the admin side.
pub(super) fn admin(address: SocketAddr) -> Result<TcpListener> {
    listen(address, false, false).with_context(|| {
        format!("can't listen on {address} (admin): is another process listening there?")
    })
}

/// `[::]` also accepts IPv4 where the system allows it, unless an IPv4 address with the same port
/// is listed too.
fn only_v6(address: SocketAddr, all: &[SocketAddr]) -> bool {
    let beside = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
    address.is_ipv6()
        && address.ip().is_unspecified()
        && address.port() != 0
        && all.iter().any(beside)
}

fn bind(address: SocketAddr, reuse_port: bool, only_v6: bool) -> io::Result<Socket> {
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

fn listen(address: SocketAddr, reuse_port: bool, only_v6: bool) -> io::Result<TcpListener> {
    let socket = bind(address, reuse_port, only_v6)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> Vec<SocketAddr> {
        vec!["127.0.0.1:0".parse().unwrap()]
    }

    #[test]
    fn each_worker_has_a_listener_on_the_same_port() {
        let intake = Intake::open(&any_port(), 2, KERNEL_SPREADS).unwrap();
        if KERNEL_SPREADS {
            let of = |worker: usize| intake.by_worker[worker][0].local_addr().unwrap();
            assert_eq!((of(0), of(1)), (intake.addresses[0], intake.addresses[0]));
        }
        assert_ne!(intake.addresses[0].port(), 0);
    }

    #[test]
    fn one_listener_is_shared_where_the_kernel_does_not_spread() {
        let intake = Intake::open(&any_port(), 2, false).unwrap();
        assert_eq!(intake.shared[0].local_addr().unwrap(), intake.addresses[0]);
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
                .all(|order| Intake::open(order, 2, true).is_ok())
                .then_some(addresses)
        });
        let Some([v4, v6, _]) = both else {
            panic!("no order of 0.0.0.0, [::] and 127.0.0.1 can be listened on")
        };
        let intake = Intake::open(&[v4, v6], 1, true).unwrap();
        assert_eq!(intake.addresses, [v4, v6]);
        assert!(std::net::TcpStream::connect(("127.0.0.1", v4.port())).is_ok());
        assert!(
            Intake::open(&[v6], 1, true).is_err(),
            "the port is taken for the next process"
        );
    }

    #[test]
    fn a_port_in_use_is_named_even_if_its_owner_would_share_it() {
        let first = Intake::open(&any_port(), 1, KERNEL_SPREADS).unwrap();
        let error = Intake::open(&first.addresses, 1, KERNEL_SPREADS).unwrap_err();
        assert!(
            error.to_string().contains(&first.addresses[0].to_string()),
            "{error}"
        );
    }
}
