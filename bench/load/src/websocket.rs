//! WebSocket: how a connection becomes one, and its messages (RFC 6455).

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Failure;
use crate::options::{MAX_SIZE, Options};

/// The only key that our clients send, and what a server makes of it (RFC 6455, section 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The mask of our clients; it is against caches that take one thing for another, and here are
/// none.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// No proxy sends a longer head here.
const MAX_HEAD: usize = 64 * 1024;

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// A connection that became a WebSocket; it no longer blocks.
pub fn upgraded(options: &Options) -> Result<TcpStream, Failure> {
    let mut stream = options.connect()?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
        options.path, options.host
    );
    stream.write_all(request.as_bytes())?;
    let (answer, rest) = head(&mut stream)?;
    let switched = answer.starts_with("HTTP/1.1 101 ") && answer.contains(ACCEPT);
    if !switched || !rest.is_empty() {
        let status = answer.lines().next().unwrap_or_default();
        return Err(format!("no WebSocket: {status}").into());
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Answers the request that comes over a new connection. It is there at once, as no proxy connects
/// before it has one, or all else waits.
pub fn accept(stream: &mut TcpStream) -> Result<(), Failure> {
    let (request, rest) = head(stream)?;
    if !request.contains(KEY) {
        // So that a proxy in front of this can be asked whether it is there.
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
    Ok(())
}

/// A head, and what came behind it.
fn head(stream: &mut TcpStream) -> Result<(String, Vec<u8>), Failure> {
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

/// Sends back the messages that came, and leaves what isn't there in full.
pub fn send_back(input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<(), Failure> {
    while let Some(taken) = message(input, output)? {
        input.drain(..taken);
    }
    Ok(())
}

/// A binary message from a client (RFC 6455, section 5.2).
pub fn masked_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = unmasked_frame(payload);
    let head = frame.len() - payload.len();
    frame[1] |= 0x80;
    let masked = payload.iter().zip(MASK.iter().cycle());
    let masked: Vec<u8> = masked.map(|(byte, mask)| byte ^ mask).collect();
    frame.truncate(head);
    frame.extend_from_slice(&MASK);
    frame.extend_from_slice(&masked);
    frame
}

/// Takes a message from the front of `input`, if it is there in full, and appends its echo to
/// `output`; gives its length.
fn message(input: &[u8], output: &mut Vec<u8>) -> Result<Option<usize>, Failure> {
    let Some(head) = Head::of(input) else {
        return Ok(None);
    };
    if head.first == CLOSE || head.length > MAX_SIZE {
        return Err("the end, or a message that is too long".into());
    }
    let end = head.start + head.length;
    let Some(payload) = input.get(head.start..end) else {
        return Ok(None);
    };
    unmasked_head(output, head.first, head.length);
    let masked = payload.iter().zip(head.mask.iter().cycle());
    output.extend(masked.map(|(byte, mask)| byte ^ mask));
    Ok(Some(end))
}

/// What stands before a client's message.
struct Head {
    first: u8,
    mask: [u8; 4],
    length: usize,
    /// Where the message starts.
    start: usize,
}

impl Head {
    fn of(input: &[u8]) -> Option<Self> {
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
        let mask = input.get(start..start + 4)?.try_into().ok()?;
        Some(Head {
            first,
            mask,
            length,
            start: start + 4,
        })
    }
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
