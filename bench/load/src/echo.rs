//! WebSocket messages that come back, one at a time on each connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustix::event::{Timespec, epoll};

use crate::Failure;
use crate::options::Options;
use crate::serve::watch;
use crate::websocket::{masked_frame, unmasked_frame, upgraded};
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
