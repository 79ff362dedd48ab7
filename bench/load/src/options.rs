//! What is asked, and how.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

pub const USAGE: &str = "\
usage: load open  --target IP:PORT --rate N --seconds N [--warm-up N] [--connections N] [--path P] [--host H]
       load hold  --target IP:PORT --connections N [--path P] [--host H]
       load count --target IP:PORT --requests N [--close yes] [--upload BYTES] [--path P] [--host H]";

/// No run is longer or asks for more: its latencies are kept one by one, 4 bytes each.
const MAX_SECONDS: f64 = 3600.0;
pub const MAX_REQUESTS: u64 = 50_000_000;
/// How long a blocking read or write may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Options {
    pub mode: String,
    pub target: SocketAddr,
    pub rate: f64,
    pub seconds: f64,
    pub warm_up: f64,
    pub connections: usize,
    pub requests: u64,
    pub close: bool,
    pub upload: usize,
    pub path: String,
    pub host: String,
}

impl Options {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Options {
            mode: words.next().ok_or(USAGE)?,
            target: SocketAddr::from(([127, 0, 0, 1], 0)),
            rate: 1000.0,
            seconds: 1.0,
            warm_up: 0.0,
            connections: 64,
            requests: 1,
            close: false,
            upload: 0,
            path: "/".to_owned(),
            host: "bench.test".to_owned(),
        };
        while let Some(flag) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{flag} needs a value\n{USAGE}"))?;
            match flag.as_str() {
                "--target" => options.target = value.parse()?,
                "--rate" => options.rate = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--warm-up" => options.warm_up = value.parse()?,
                "--connections" => options.connections = value.parse()?,
                "--requests" => options.requests = value.parse()?,
                "--close" => options.close = value == "yes",
                "--upload" => options.upload = value.parse()?,
                "--path" => options.path = value,
                "--host" => options.host = value,
                _ => return Err(format!("there is no flag {flag}\n{USAGE}").into()),
            }
        }
        let total = options.warm_up + options.seconds;
        if !(total > 0.0 && total <= MAX_SECONDS && options.rate > 0.0 && options.connections > 0) {
            return Err("rate, seconds and connections must be more than 0, and the time no more than an hour".into());
        }
        Ok(options)
    }

    pub fn request(&self) -> Vec<u8> {
        let method = if self.upload > 0 { "POST" } else { "GET" };
        let mut text = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.host);
        if self.close {
            text += "Connection: close\r\n";
        }
        if self.upload > 0 {
            text += &format!("Content-Length: {}\r\n", self.upload);
        }
        let mut request = (text + "\r\n").into_bytes();
        request.resize(request.len() + self.upload, b'u');
        request
    }

    pub fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.target, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}
