//! A WebSocket backend that sends every message back. To other requests it answers 200, so that
//! a proxy in front of it can be asked whether it is there.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll;

use crate::Failure;
use crate::options::{MAX_SIZE, Options, prepare};

/// The only key that our clients send, and what a server makes of it (RFC 6455, section 1.3).
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The mask of our clients; it is against caches that take one thing for another, and here are
/// none.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// No proxy sends a longer head here.
const MAX_HEAD: usize = 64 * 1024;

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

pub fn serve(options: &Options) -> Result<(), Failure> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut listeners = Vec::new();
    for (at, address) in options.listen.iter().enumerate() {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        watch(&epoll, &listener, at)?;
        listeners.push(listener);
    }
    let mut connections = HashMap::new();
    let mut next = listeners.len();
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let data = event.data;
            let at = usize::try_from(data.u64())?;
            if let Some(listener) = listeners.get(at) {
                while let Ok((stream, _)) = listener.accept() {
                    // One that fails is the proxy's to notice.
                    if let Ok(stream) = opened(stream) {
                        watch(&epoll, &stream, next)?;
                        connections.insert(next, Connection::of(stream));
                        next += 1;
                    }
                }
            } else if let Some(connection) = connections.get_mut(&at)
                && !connection.go_on(&mut buffer)
            {
                connections.remove(&at);
            }
        }
    }
}

/// Watches for changes (edges) of a socket under a number.
pub fn watch<S: rustix::fd::AsFd>(
    epoll: &rustix::fd::OwnedFd,
    socket: S,
    at: usize,
) -> Result<(), Failure> {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    epoll::add(epoll, socket, epoll::EventData::new_u64(at as u64), flags)?;
    Ok(())
}

/// Answers the request that comes over a new connection, which is there at once or fails.
fn opened(mut stream: TcpStream) -> Result<TcpStream, Failure> {
    stream.set_nonblocking(false)?;
    prepare(&stream)?;
    let (request, rest) = head(&mut stream)?;
    if !request.contains(KEY) {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer)?;
        return Err("no WebSocket was asked for".into());
    }
    if !rest.is_empty() {
        return Err("messages before the answer".into());
    }
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A head, and what came behind it.
pub fn head(stream: &mut TcpStream) -> Result<(String, Vec<u8>), Failure> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8(read)?, rest));
        }
        match stream.read(&mut buffer)? {
            0 => return Err("the connection ended within a head".into()),
            more => read.extend_from_slice(&buffer[..more]),
        }
        if read.len() > MAX_HEAD {
            return Err("a head without end".into());
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Of messages that are not there in full.
    input: Vec<u8>,
    /// What the socket didn't take yet.
    output: Vec<u8>,
}

impl Connection {
    fn of(stream: TcpStream) -> Self {
        Connection {
            stream,
            input: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Reads and answers what is there; false at the end.
    fn go_on(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            if !self.send() {
                return false;
            }
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            while let Some(taken) = message(&self.input, &mut self.output) {
                self.input.drain(..taken);
            }
            if self.input.len() > MAX_SIZE + 64 || self.output.first() == Some(&CLOSE) {
                return false;
            }
            // A client sends its next message when this one is back, so if all was read, nothing
            // more is there.
            if self.input.is_empty() && !self.output.is_empty() {
                return self.send();
            }
        }
    }

    /// Sends what the socket takes; false if it failed.
    fn send(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) if written == self.output.len() => self.output.clear(),
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// Takes a message from the front of `input`, if it is there in full, and appends its echo to
/// `output`; gives its length.
fn message(input: &[u8], output: &mut Vec<u8>) -> Option<usize> {
    let (&[first, second], _) = input.split_first_chunk::<2>()?;
    let (start, length) = match second & 0x7f {
        126 => {
            let bytes = input.get(2..4)?.try_into().ok()?;
            (4, usize::from(u16::from_be_bytes(bytes)))
        }
        127 => {
            let bytes = input.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(bytes)).ok()?)
        }
        short => (2, usize::from(short)),
    };
    let mask: [u8; 4] = input.get(start..start + 4)?.try_into().ok()?;
    let end = (start + 4).checked_add(length)?;
    let payload = input.get(start + 4..end)?;
    unmasked_head(output, first, length);
    let masked = payload.iter().zip(mask.iter().cycle());
    output.extend(masked.map(|(byte, mask)| byte ^ mask));
    Some(end)
}

/// A binary message from a server.
pub fn unmasked_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    unmasked_head(&mut frame, BINARY, payload.len());
    frame.extend_from_slice(payload);
    frame
}

fn unmasked_head(to: &mut Vec<u8>, first: u8, length: usize) {
    to.push(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => to.push(short),
        (_, Ok(length)) => {
            to.push(126);
            to.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            to.push(127);
            to.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}
