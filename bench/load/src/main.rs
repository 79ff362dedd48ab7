//! A load generator for what others don't do. Each way of asking prints one line of JSON.
//!
//! - `open`: at a constant rate, whether or not answers come. Latency counts from the moment at
//!   which a request was due, so a proxy that stalls is charged for all requests that had to wait
//!   meanwhile (no coordinated omission).
//! - `hold`: one request on each of many connections, which then stay open until standard input
//!   ends.
//! - `count`: so many requests, one after the other, for counting instructions.
//! - `handshake`: TLS connections with one request each, with or without resumption.
//! - `echo`: WebSocket messages that come back.
//! - `leave`: a client that opens many HTTP/2 streams and leaves, again and again.
//!
//! `serve` is the backend for `echo`, and with `--protocol h2` one for calls. Where a time is
//! measured after a warm-up, the line "started" says when it begins.

mod answer;
mod calls;
mod channel;
mod echo;
mod h2;
mod handshake;
mod leave;
mod open;
mod options;
mod serve;
mod websocket;
mod window;

use std::io::Read;
use std::process::ExitCode;

use channel::Channel;
use options::{MAX_REQUESTS, Options, USAGE};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let run =
        Options::parse(std::env::args().skip(1)).and_then(|options| match options.mode.as_str() {
            "open" => open::open(&options),
            "hold" => hold(&options),
            "count" => count(&options),
            "handshake" => handshake::handshake(&options),
            "echo" => echo::echo(&options),
            "leave" => leave::leave(&options),
            "serve" => serve::serve(&options),
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

fn hold(options: &Options) -> Result<(), Failure> {
    let config = options.tls.then(|| channel::tls(options)).transpose()?;
    let mut held = Vec::with_capacity(options.connections);
    let mut failure = None;
    while held.len() < options.connections {
        let ask = || -> Result<Channel, Failure> {
            let mut channel = Channel::open(options, config.as_ref())?;
            channel.ask(options)?;
            Ok(channel)
        };
        match ask() {
            Ok(channel) => held.push(channel),
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
    // Our end of it is closed when the run has seen enough.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn count(options: &Options) -> Result<(), Failure> {
    let config = options.tls.then(|| channel::tls(options)).transpose()?;
    let mut kept = None;
    for _ in 0..options.requests.min(MAX_REQUESTS) {
        let mut channel = match kept.take() {
            Some(channel) => channel,
            None => Channel::open(options, config.as_ref())?,
        };
        channel.ask(options)?;
        if !options.close {
            kept = Some(channel);
        }
    }
    println!("{{\"requests\": {}}}", options.requests.min(MAX_REQUESTS));
    Ok(())
}
