//! A client that opens many HTTP/2 streams and leaves, again and again.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::h2;
use crate::options::Options;

/// Until it is ended from outside.
pub fn leave(options: &Options) -> Result<(), Failure> {
    let requests = requests(options)?;
    let every = Duration::from_secs_f64(options.every);
    // So that the first falls within what is measured, also where a proxy is slow.
    let mut due = Instant::now() + every / 5;
    loop {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += every;
        let left = open_and_leave(options, &requests)?;
        println!("{{\"left\": {left}}}");
    }
}

/// What goes over a connection: the settings and all requests.
fn requests(options: &Options) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    h2::greet(&mut bytes);
    for stream in 0..options.streams {
        h2::request(&mut bytes, u32::try_from(2 * stream + 1)?, options)?;
    }
    Ok(bytes)
}

/// Opens all streams of all connections, and closes them with what has come by then unread.
/// Gives how many streams were left.
fn open_and_leave(options: &Options, requests: &[u8]) -> Result<usize, Failure> {
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        connections.push(options.connect()?);
    }
    for connection in &mut connections {
        connection.write_all(requests)?;
    }
    // A byte of its settings: the proxy is about to read what was asked for.
    for connection in &mut connections {
        connection.read_exact(&mut [0])?;
    }
    Ok(connections.len() * options.streams)
}
