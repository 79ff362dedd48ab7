//! What a connection of HTTP/2 may cost, in the engine's terms. Nothing is left at its default.

use std::time::Duration;

use h2::server::Builder;

use crate::config::Limits;

/// Bytes of a frame's payload: larger ones would only delay what stands behind them.
const FRAME: u32 = 16 * 1024;
/// What all streams of a connection may send of bodies together before a backend takes some, as
/// long as the connection has no large window. HTTP/2 begins with it.
pub(super) const SMALL_WINDOW: u32 = 65_535;
/// Bytes that the engine holds for each stream and has not written yet.
const UNSENT: usize = 64 * 1024;
/// Bytes of a client's table of known fields.
const TABLE: u32 = 4 * 1024;
/// What a field costs beside its name and value (RFC 9113 section 6.5.2).
const OVERHEAD: usize = 32;
/// Streams that were reset here, and of which frames may still be on their way: so many, for so
/// long.
const REMEMBERED: usize = 64;
const REMEMBERED_FOR: Duration = Duration::from_secs(1);
/// Streams that the client has opened and reset before we saw either. Heads come in smaller
/// batches.
const UNSEEN: usize = 64;
/// What DATA of a few bytes may cost while it waits for its stream: each costs 256 bytes less its
/// content. More than come before the connection is read no faster than time forgives.
const FRAME_BUDGET: usize = 8 * 1024 * 1024;

/// The engine of a connection with these limits. A forward proxy opens tunnels and no WebSockets.
pub(super) fn builder(limits: &Limits, is_forward: bool) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.h2.streams)
        .max_header_list_size(header_list(limits))
        .header_table_size(TABLE)
        .max_frame_size(FRAME)
        .initial_window_size(limits.h2.stream_window)
        .initial_connection_window_size(SMALL_WINDOW)
        .max_send_buffer_size(UNSENT)
        .max_concurrent_reset_streams(REMEMBERED)
        .reset_stream_duration(REMEMBERED_FOR)
        .max_pending_accept_reset_streams(UNSEEN)
        .data_frame_budget(FRAME_BUDGET)
        // They are counted on the wire, where refused streams and time make a difference.
        .max_local_error_reset_streams(None);
    if limits.h2.websocket && !is_forward {
        builder.enable_connect_protocol();
    }
    builder
}

/// Enough for every head within our own limits, which answer with a reason and a line in the log.
/// Beyond it the engine answers.
pub(super) fn header_list(limits: &Limits) -> u32 {
    let bytes = limits.header_bytes + OVERHEAD * limits.header_count;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
