//! A load generator with three ways of asking. Each prints one line of JSON.
//!
//! - `open`: at a constant rate, whether or not answers come. Latency counts from the moment at
//!   which a request was due, so a proxy that stalls is charged for all requests that had to wait
//!   meanwhile (no coordinated omission).
//! - `hold`: one request on each of many connections, which then stay open until standard input
//!   ends.
//! - `count`: so many requests, one after the other, for counting instructions.

mod answer;
mod open;
mod options;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use answer::Answer;
use open::open;
use options::{MAX_REQUESTS, Options, USAGE};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let run =
        Options::parse(std::env::args().skip(1)).and_then(|options| match options.mode.as_str() {
            "open" => open(&options),
            "hold" => hold(&options),
            "count" => count(&options),
            other => Err(format!("there is no way of asking {other:?}\n{USAGE}").into()),
        });
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Sends a request and reads its answer, blocking.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<(), Failure> {
    stream.write_all(request)?;
    let mut answer = Answer::default();
    let mut buffer = [0; 64 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err("the connection ended before the answer did".into()),
            read if answer.take(&buffer[..read])? => return Ok(()),
            _ => {}
        }
    }
}

fn hold(options: &Options) -> Result<(), Failure> {
    let request = options.request();
    let mut held = Vec::with_capacity(options.connections);
    let mut failure = None;
    while held.len() < options.connections {
        let ask = || -> Result<TcpStream, Failure> {
            let mut stream = options.connect()?;
            exchange(&mut stream, &request)?;
            Ok(stream)
        };
        match ask() {
            Ok(stream) => held.push(stream),
            Err(error) => {
                failure = Some(error.to_string());
                break;
            }
        }
    }
    println!(
        "{{\"held\": {}, \"failure\": {:?}}}",
        held.len(),
        failure.unwrap_or_default()
    );
    // Whoever started this closes its end when it has seen enough.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn count(options: &Options) -> Result<(), Failure> {
    let request = options.request();
    let mut kept = None;
    for _ in 0..options.requests.min(MAX_REQUESTS) {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => options.connect()?,
        };
        exchange(&mut stream, &request)?;
        if !options.close {
            kept = Some(stream);
        }
    }
    println!("{{\"requests\": {}}}", options.requests.min(MAX_REQUESTS));
    Ok(())
}
