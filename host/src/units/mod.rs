//! Units: how are numbers, times, sizes and bytes written?
//!
//! `read` is for the configuration, scenario files and the command line, `show` for pages,
//! terminals and messages, `hex` for both. Knows no other room.

mod hex;
mod read;
mod show;

pub use hex::{hex, parse_hex};
pub use read::{parse_duration, parse_size};
pub use show::{
    counted, duration, exact_duration, microseconds, nanoseconds, number, percent, size,
};
