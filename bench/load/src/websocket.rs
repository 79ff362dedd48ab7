//! WebSocket messages that come back, one at a time on each connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustix::event::{Timespec, epoll};

use crate::Failure;
use crate::options::Options;
use crate::serve::{ACCEPT, KEY, MASK, head, unmasked_frame, watch};
use crate::window::Window;

pub fn echo(options: &Options) -> Result<(), Failure> {
    let payload: Vec<u8> = (0..options.size).map(|at| (at % 251) as u8).collect();
    let run = Echo {
        frame: masked_frame(&payload),
        wanted: unmasked_frame(&payload),
    };
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::new();
    for at in 0..options.connections {
        let stream = upgraded(options)?;
        watch(&epoll, &stream, at)?;
        clients.push(Client::of(stream));
    }
    let mut window = Window::new(options);
    for client in &mut clients {
        run.send(client)?;
    }
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = Instant::now();
        if !window.look(now) {
            break;
        }
        let pause = Timespec::try_from(window.next().saturating_duration_since(now))?;
        events.clear();
        match epoll::wait(
            &epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&pause),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let data = event.data;
            run.go_on(
                &mut clients[usize::try_from(data.u64())?],
                &mut window,
                &mut buffer,
            )?;
        }
    }
    window.print();
    Ok(())
}

/// What is sent, and what comes back.
struct Echo {
    frame: Vec<u8>,
    wanted: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    began: Instant,
    sent: usize,
    /// Bytes of the echo that were there.
    come: usize,
}

impl Client {
    fn of(stream: TcpStream) -> Self {
        Client {
            stream,
            began: Instant::now(),
            sent: 0,
            come: 0,
        }
    }
}

impl Echo {
    /// Sends what the socket takes of the message.
    fn send(&self, client: &mut Client) -> Result<(), Failure> {
        while client.sent < self.frame.len() {
            match client.stream.write(&self.frame[client.sent..]) {
                Ok(written) => client.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The socket has something to read, or takes more. An end of the connection ends the run:
    /// nothing may be lost here.
    fn go_on(
        &self,
        client: &mut Client,
        window: &mut Window,
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        self.send(client)?;
        loop {
            let read = match client.stream.read(buffer) {
                Ok(0) => return Err("the connection ended".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let end = client.come + read;
            if self.wanted.get(client.come..end) != Some(&buffer[..read]) {
                return Err("what came back is not what was sent".into());
            }
            client.come = end;
            if end == self.wanted.len() {
                let now = Instant::now();
                window.answered(client.began, now);
                (client.began, client.sent, client.come) = (now, 0, 0);
                // Nothing more can come before this is sent, so there is no need to look.
                return self.send(client);
            }
        }
    }
}

/// A connection that became a WebSocket; it no longer blocks.
fn upgraded(options: &Options) -> Result<TcpStream, Failure> {
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

/// A binary message from a client (RFC 6455, section 5.2).
fn masked_frame(payload: &[u8]) -> Vec<u8> {
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
