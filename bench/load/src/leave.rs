//! A client that opens many HTTP/2 streams and leaves, again and again.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::h2;
use crate::options::Options;

/// How long it waits for the proxy to have noticed; one that is slow has to bear it as well.
const NOTICED: Duration = Duration::from_millis(200);

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
    let mut bytes = h2::PREFACE.to_vec();
    h2::greet(&mut bytes, None);
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
    let until = Instant::now() + NOTICED;
    for connection in &mut connections {
        let rest = until.saturating_duration_since(Instant::now());
        connection.set_read_timeout(Some(rest.max(Duration::from_millis(1))))?;
        let _ = connection.read(&mut [0]);
    }
    Ok(connections.len() * options.streams)
}
