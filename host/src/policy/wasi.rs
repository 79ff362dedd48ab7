//! WASI for components that can't do without it: clocks, randomness, and standard output and error
//! into the policy's log. No files, no sockets, no environment, and nothing that waits.
//!
//! wasmtime-wasi's own synchronous bindings enter a tokio runtime wherever a call might wait; on a
//! worker, which runs inside one, that is a panic that a guest could cause. So all interfaces with
//! such calls that can be reached (polling, streams, the monotonic clock, creating sockets, names)
//! are implemented here, and wait for nothing: a guest that wants to wait traps.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::bindings::io::poll as waiting;
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, network, tcp_create_socket};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::bindings::sync::sockets::udp_create_socket;
use wasmtime_wasi::p2::bindings::{self, sync};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::state::State;
use super::tape::{Clock, Tape};
use super::wasi_context::Wasi;

/// The interfaces that [`add_to_linker`] offers, without their versions (all 0.2).
pub(super) const OFFERED: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Offers WASI to the components of this linker.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let l = linker;
    bindings::cli::environment::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    bindings::clocks::wall_clock::add_to_linker::<_, HasSelf<State>>(l, |s| s)?;
    monotonic_clock::add_to_linker::<_, Unwaiting>(l, unwaiting)?;
    bindings::random::random::add_to_linker::<_, HasSelf<State>>(l, |s| s)?;
    bindings::random::insecure::add_to_linker::<_, HasSelf<State>>(l, |s| s)?;
    bindings::random::insecure_seed::add_to_linker::<_, HasSelf<State>>(l, |s| s)?;
    bindings::io::error::add_to_linker::<_, Table>(l, |s| s.ctx().table)?;
    poll::add_to_linker::<_, Unwaiting>(l, unwaiting)?;
    streams::add_to_linker::<_, Unwaiting>(l, unwaiting)?;
    // Harmless: every call needs a descriptor or a socket, and a guest can't get one.
    bindings::filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    sync::filesystem::types::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    sync::sockets::tcp::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    sync::sockets::udp::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    bindings::sockets::instance_network::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    network::add_to_linker::<_, Unwaiting>(l, &network::LinkOptions::default(), unwaiting)?;
    tcp_create_socket::add_to_linker::<_, Unwaiting>(l, unwaiting)?;
    udp_create_socket::add_to_linker::<_, Unwaiting>(l, unwaiting)?;
    ip_name_lookup::add_to_linker::<_, Unwaiting>(l, unwaiting)
}

impl State {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi
            .get_or_insert_with(|| Box::new(Wasi::new(&self.lines, self.epoch)))
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// The interfaces that could wait, and don't.
pub(super) struct Unwaiting;

impl HasData for Unwaiting {
    type Data<'a> = UnwaitingView<'a>;
}

pub(super) struct UnwaitingView<'a> {
    pub(super) table: &'a mut ResourceTable,
    epoch: Instant,
    tape: Option<&'a mut Tape>,
}

fn unwaiting(state: &mut State) -> UnwaitingView<'_> {
    let State {
        wasi,
        lines,
        tape,
        epoch,
        ..
    } = state;
    let wasi = wasi.get_or_insert_with(|| Box::new(Wasi::new(lines, *epoch)));
    UnwaitingView {
        table: &mut wasi.table,
        epoch: wasi.epoch,
        tape: tape.as_deref_mut(),
    }
}

/// The result of a future without waiting; a trap if it would wait.
fn at_once<T>(future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(wasmtime::format_err!(
            "a policy can't wait, and this call to `wasi:io/poll` would"
        )),
    }
}

impl poll::Host for UnwaitingView<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        at_once(waiting::Host::poll(self.table, pollables))
    }
}

impl poll::HostPollable for UnwaitingView<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        at_once(waiting::HostPollable::ready(self.table, pollable))
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        at_once(waiting::HostPollable::block(self.table, pollable))
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        waiting::HostPollable::drop(self.table, pollable)
    }
}

/// A moment that has come or not; never armed as a timer.
struct Moment(Option<Instant>);

#[wasmtime_wasi::async_trait]
impl Pollable for Moment {
    async fn ready(&mut self) {
        if self.0.is_none_or(|at| Instant::now() < at) {
            std::future::pending::<()>().await;
        }
    }
}

impl UnwaitingView<'_> {
    fn elapsed(&mut self) -> u64 {
        let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        match &mut self.tape {
            None => now,
            Some(tape) => tape.read(Clock::Wasi, now),
        }
    }

    fn subscribe(&mut self, after: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let moment = self.table.push(Moment(
            Instant::now().checked_add(Duration::from_nanos(after)),
        ))?;
        wasmtime_wasi::p2::subscribe(self.table, moment)
    }
}

impl monotonic_clock::Host for UnwaitingView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.elapsed())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.elapsed();
        self.subscribe(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(duration)
    }
}

impl network::Host for UnwaitingView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network::ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        _: Resource<bindings::io::error::Error>,
    ) -> wasmtime::Result<Option<network::ErrorCode>> {
        Ok(None)
    }
}

impl network::HostNetwork for UnwaitingView<'_> {
    fn drop(&mut self, network: Resource<network::Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

impl tcp_create_socket::Host for UnwaitingView<'_> {
    fn create_tcp_socket(
        &mut self,
        _: network::IpAddressFamily,
    ) -> SocketResult<Resource<TcpSocket>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl udp_create_socket::Host for UnwaitingView<'_> {
    fn create_udp_socket(
        &mut self,
        _: network::IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl ip_name_lookup::Host for UnwaitingView<'_> {
    fn resolve_addresses(
        &mut self,
        _: Resource<network::Network>,
        _: String,
    ) -> SocketResult<Resource<ip_name_lookup::ResolveAddressStream>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl ip_name_lookup::HostResolveAddressStream for UnwaitingView<'_> {
    fn resolve_next_address(
        &mut self,
        _: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> SocketResult<Option<network::IpAddress>> {
        Err(network::ErrorCode::AccessDenied.into())
    }

    fn subscribe(
        &mut self,
        _: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        Err(wasmtime::format_err!(
            "there are no name lookups for policies"
        ))
    }

    fn drop(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
