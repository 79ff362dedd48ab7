//! What is asked, and how.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

pub const USAGE: &str = "\
usage: load open      --target IP:PORT --rate N --seconds N [--warm-up N] [--connections N]
       load hold      --target IP:PORT --connections N [--tls yes] [--protocol h2]
       load count     --target IP:PORT --requests N [--tls yes] [--protocol h2]
                      [--close yes] [--upload BYTES]
       load handshake --target IP:PORT --seconds N [--warm-up N] [--connections N] [--resume yes]
       load echo      --target IP:PORT --seconds N [--warm-up N] [--connections N] [--size BYTES]
       load leave     --target IP:PORT --connections N --streams N [--every SECONDS]
       load serve     --listen IP:PORT,IP:PORT [--protocol h2]
       each but `serve` with [--path P] [--host H]";

/// No run is longer or asks for more: its latencies are kept one by one, 4 bytes each.
const MAX_SECONDS: f64 = 3600.0;
pub const MAX_REQUESTS: u64 = 50_000_000;
/// A message of a WebSocket is no larger.
pub const MAX_SIZE: usize = 1024 * 1024;
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
    pub tls: bool,
    /// HTTP/2; by prior knowledge where there is no TLS.
    pub h2: bool,
    pub resume: bool,
    /// Bytes of each WebSocket message.
    pub size: usize,
    pub streams: usize,
    /// Seconds between two departures.
    pub every: f64,
    pub listen: Vec<SocketAddr>,
}

impl Options {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Options::of_mode(words.next().ok_or(USAGE)?);
        while let Some(flag) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{flag} needs a value\n{USAGE}"))?;
            options.set(&flag, &value)?;
        }
        options.checked()
    }

    fn of_mode(mode: String) -> Self {
        // A handshake is for one request, so its connection is to be closed behind it.
        let close = mode == "handshake";
        Options {
            mode,
            target: SocketAddr::from(([127, 0, 0, 1], 0)),
            rate: 1000.0,
            seconds: 1.0,
            warm_up: 0.0,
            connections: 64,
            requests: 1,
            close,
            upload: 0,
            path: "/".to_owned(),
            host: "bench.test".to_owned(),
            tls: false,
            h2: false,
            resume: false,
            size: 32,
            streams: 100,
            every: 1.0,
            listen: Vec::new(),
        }
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), Failure> {
        match flag {
            "--target" => self.target = value.parse()?,
            "--rate" => self.rate = value.parse()?,
            "--seconds" => self.seconds = value.parse()?,
            "--warm-up" => self.warm_up = value.parse()?,
            "--connections" => self.connections = value.parse()?,
            "--requests" => self.requests = value.parse()?,
            "--close" => self.close = value == "yes",
            "--upload" => self.upload = value.parse()?,
            "--path" => self.path = value.to_owned(),
            "--host" => self.host = value.to_owned(),
            "--tls" => self.tls = value == "yes",
            "--protocol" => self.h2 = value == "h2",
            "--resume" => self.resume = value == "yes",
            "--size" => self.size = value.parse()?,
            "--streams" => self.streams = value.parse()?,
            "--every" => self.every = value.parse()?,
            "--listen" => {
                let addresses = value.split(',').map(str::parse);
                self.listen = addresses.collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("there is no flag {flag}\n{USAGE}").into()),
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, Failure> {
        let total = self.warm_up + self.seconds;
        if !(total > 0.0 && total <= MAX_SECONDS && self.rate > 0.0 && self.connections > 0) {
            return Err("rate, seconds and connections must be more than 0, and the time no more than an hour".into());
        }
        if !(self.every > 0.0 && self.every <= MAX_SECONDS && self.warm_up >= 0.0) {
            return Err(
                "the time between departures must be more than 0, and the warm-up not less than 0"
                    .into(),
            );
        }
        if self.size == 0 || self.size > MAX_SIZE {
            return Err(format!("a message has 1 to {MAX_SIZE} bytes").into());
        }
        if self.h2 && self.upload > 0 {
            return Err("uploads are made by HTTP/1.1 only".into());
        }
        Ok(self)
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
        prepare(&stream)?;
        Ok(stream)
    }
}

/// What is written leaves at once, and nothing blocks for ever.
pub fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}
