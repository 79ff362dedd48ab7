//! Backends for what others don't serve, or not as cheaply: WebSocket echoes, and calls by HTTP/2.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll;

use crate::Failure;
use crate::calls::Calls;
use crate::options::{Options, prepare};
use crate::websocket;

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
                    if let Ok(connection) = Connection::opened(stream, options.h2) {
                        watch(&epoll, &connection.stream, next)?;
                        connections.insert(next, connection);
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

struct Connection {
    stream: TcpStream,
    /// What isn't there in full.
    input: Vec<u8>,
    /// What the socket didn't take yet.
    output: Vec<u8>,
    /// None: a WebSocket.
    calls: Option<Calls>,
}

impl Connection {
    fn opened(mut stream: TcpStream, h2: bool) -> Result<Self, Failure> {
        stream.set_nonblocking(false)?;
        prepare(&stream)?;
        let calls = h2.then(Calls::new).transpose()?;
        if calls.is_none() {
            websocket::accept(&mut stream)?;
        }
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            calls,
        })
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
            let answered = match &mut self.calls {
                Some(calls) => calls.take(&mut self.input, &mut self.output),
                None => websocket::send_back(&mut self.input, &mut self.output),
            };
            if answered.is_err() {
                // The reason may be among what is still to be sent.
                self.send();
                return false;
            }
            // The next message of a WebSocket is sent when this one is back, so if all was read,
            // nothing more is there.
            if self.calls.is_none() && self.input.is_empty() && !self.output.is_empty() {
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
