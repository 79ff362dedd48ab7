//! The listeners: one per worker and address where the kernel spreads connections, else one acceptor that hands them out.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted, as far as the kernel lets them (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Whether `SO_REUSEPORT` spreads connections over the sockets that share a port. Elsewhere (macOS, the BSDs) one of them gets all.
pub const KERNEL_SPREADS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Listening sockets.
#[derive(Debug)]
pub struct Intake {
    /// Each worker's own, or none if an acceptor hands connections out.
    pub by_worker: Vec<Vec<TcpListener>>,
    /// The acceptor's, or none if each worker has its own.
    pub shared: Vec<TcpListener>,
    /// Where clients connect: with the port that was given for port 0.
    pub addresses: Vec<SocketAddr>,
}

impl Intake {
    /// Opens the listeners of all workers.
    pub fn open(addresses: &[SocketAddr], workers: usize, kernel_spreads: bool) -> Result<Self> {
        let mut intake =
            Self { by_worker: (0..workers).map(|_| Vec::new()).collect(), shared: vec![], addresses: vec![] };
        for address in addresses {
            let failed = || {
                format!(
                    "can't listen on {address}: is something else listening there, or is the address not of this machine?"
                )
            };
            if !kernel_spreads {
                let listener = listen(*address, false).with_context(failed)?;
                intake.addresses.push(listener.local_addr()?);
                intake.shared.push(listener);
                continue;
            }
            if address.port() != 0 {
                // Sockets that all have SO_REUSEPORT share a port without complaint, even with another proxy of the same user:
                // a first bind without it finds out whether the port is free.
                drop(bind(*address, false).with_context(failed)?);
            }
            // A port of the kernel's choice is never a shared one, and is ours from here on.
            let mut bound = *address;
            for listeners in &mut intake.by_worker {
                let listener = listen(bound, true).with_context(failed)?;
                bound = listener.local_addr()?;
                listeners.push(listener);
            }
            intake.addresses.push(bound);
        }
        Ok(intake)
    }
}

/// A listener for the admin side.
pub fn admin(address: SocketAddr) -> Result<TcpListener> {
    listen(address, false)
        .with_context(|| format!("can't listen on {address} (admin): is something else listening there?"))
}

fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run that linger in TIME_WAIT must not keep the proxy from starting.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(reuse_port)?;
    #[cfg(not(unix))]
    let _ = reuse_port;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = bind(address, reuse_port)?;
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
    fn a_port_in_use_is_named_even_if_its_owner_would_share_it() {
        let first = Intake::open(&any_port(), 1, KERNEL_SPREADS).unwrap();
        let error = Intake::open(&first.addresses, 1, KERNEL_SPREADS).unwrap_err();
        assert!(error.to_string().contains(&first.addresses[0].to_string()), "{error}");
    }
}
