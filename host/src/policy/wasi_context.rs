//! The WASI side of one instance.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use super::lines::Lines;
use super::output::LogOutput;

/// Handles that a guest may hold at once: streams and pollables.
const MAX_HANDLES: usize = 1024;
/// Random bytes in one call.
pub(super) const MAX_RANDOM: u64 = 64 * 1024;

/// The WASI side of an instance.
pub(super) struct Wasi {
    pub context: WasiCtx,
    pub table: ResourceTable,
    pub epoch: Instant,
}

impl Wasi {
    /// An empty context that writes to these lines and counts the time from `epoch`.
    pub(super) fn new(lines: &Arc<Mutex<Lines>>, epoch: Instant) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let context = WasiCtx::builder()
            .stdout(LogOutput::output(lines))
            .stderr(LogOutput::error(lines))
            .max_random_size(MAX_RANDOM)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self {
            context,
            table,
            epoch,
        }
    }
}
