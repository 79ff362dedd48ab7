//! `[limits]` of connections of HTTP/2: the keys that begin with `h2-`.

use std::ops::RangeInclusive;

use crate::document::{Findings, Section};

/// What a client's connection of HTTP/2 may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct H2Limits {
    /// `h2-streams`: streams under way. Default 128.
    pub streams: u32,
    /// `h2-stream-window`: bytes of a request's body that a client may send before a backend takes
    /// some. Default 512 KiB.
    pub stream_window: u32,
    /// `h2-connection-window`: the same for all streams together. Default 1 MiB.
    pub connection_window: u32,
    /// `h2-resets`: streams that a client may reset at once before it has the response. Default
    /// 200; 100 more each second, and one for each response.
    pub resets: u64,
    /// `h2-stream-errors`: streams that are reset because of the client's errors. Default 1,024.
    pub stream_errors: u64,
    /// `h2-idle-frames`: frames at once that bring neither a request nor content. Default 2,000;
    /// 100 more each second, 8 for each request, 4 for each frame of a response.
    pub idle_frames: u64,
    /// `h2-websocket`: whether a stream may become a WebSocket, by an extended CONNECT (RFC 8441).
    /// Default `true`.
    pub websocket: bool,
}

impl Default for H2Limits {
    fn default() -> Self {
        Self {
            streams: 128,
            stream_window: 512 << 10,
            connection_window: 1 << 20,
            resets: 200,
            stream_errors: 1_024,
            idle_frames: 2_000,
            websocket: true,
        }
    }
}

/// From what the protocol begins with to the most that it allows.
const WINDOW: RangeInclusive<u64> = 65_535..=(1 << 31) - 1;
/// More would not limit anything.
const MOST: u64 = 1_000_000;

pub(super) fn h2_limits(section: &mut Section, findings: &mut Findings) -> H2Limits {
    let default = H2Limits::default();
    let mut window = |key, default: u32| {
        let size = section.take(key).and_then(|n| n.size(findings, WINDOW));
        size.map_or(default, |n| u32::try_from(n.value).unwrap_or(default))
    };
    let stream_window = window("h2-stream-window", default.stream_window);
    let connection_window = window("h2-connection-window", default.connection_window);
    let websocket = section.take("h2-websocket");
    let websocket = websocket.and_then(|node| node.boolean(findings));
    let mut count = |key, least: u64, default: u64| {
        let node = section.take(key);
        let count = node.and_then(|n| n.integer::<u64>(findings, least..=MOST));
        count.map_or(default, |n| n.value)
    };
    H2Limits {
        streams: count("h2-streams", 1, default.streams.into()) as u32,
        stream_window,
        connection_window,
        resets: count("h2-resets", 1, default.resets),
        stream_errors: count("h2-stream-errors", 1, default.stream_errors),
        // Fewer than any client needs to begin.
        idle_frames: count("h2-idle-frames", 100, default.idle_frames),
        websocket: websocket.unwrap_or(default.websocket),
    }
}
