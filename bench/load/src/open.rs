//! Requests at a constant rate, whether or not answers come.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::Failure;
use crate::answer::Answer;
use crate::options::{MAX_REQUESTS, Options};
use crate::window::Tally;

/// How long `open` waits for answers after the last request was due.
const GRACE: Duration = Duration::from_secs(2);

pub fn open(options: &Options) -> Result<(), Failure> {
    // Else the kernel may wake us 50 microseconds late, which every latency would show.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut run = Open::new(options)?;
    run.run()?;
    run.print();
    Ok(())
}

/// A run at a constant rate.
struct Open<'a> {
    options: &'a Options,
    request: Vec<u8>,
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
    /// Connections without a request, longest idle first.
    idle: VecDeque<usize>,
    /// When each request that waits for a connection was due.
    waiting: VecDeque<Instant>,
    start: Instant,
    measured_from: Instant,
    total: u64,
    made: u64,
    /// Of requests due after the warm-up; errors are counted throughout.
    tally: Tally,
}

struct Connection {
    stream: TcpStream,
    due: Option<Instant>,
    answer: Answer,
}

impl<'a> Open<'a> {
    fn new(options: &'a Options) -> Result<Self, Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for at in 0..options.connections {
            connections.push(Connection {
                stream: watched(options, &epoll, at)?,
                due: None,
                answer: Answer::default(),
            });
        }
        let start = Instant::now();
        let total = ((options.warm_up + options.seconds) * options.rate) as u64;
        Ok(Open {
            options,
            request: options.request(),
            epoll,
            idle: (0..connections.len()).collect(),
            connections,
            waiting: VecDeque::new(),
            start,
            measured_from: start + Duration::from_secs_f64(options.warm_up),
            total: total.min(MAX_REQUESTS),
            made: 0,
            tally: Tally::default(),
        })
    }

    fn due(&self, request: u64) -> Instant {
        self.start + Duration::from_secs_f64(request as f64 / self.options.rate)
    }

    fn run(&mut self) -> Result<(), Failure> {
        let end = self.due(self.total) + GRACE;
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let now = Instant::now();
            while self.made < self.total && self.due(self.made) <= now {
                self.waiting.push_back(self.due(self.made));
                self.made += 1;
            }
            self.send()?;
            let idle = self.waiting.is_empty() && self.idle.len() == self.connections.len();
            if (self.made == self.total && idle) || now >= end {
                break;
            }
            let until = if self.made < self.total {
                self.due(self.made)
            } else {
                end
            };
            let pause = until.saturating_duration_since(Instant::now());
            let pause = Timespec {
                tv_sec: i64::try_from(pause.as_secs())?,
                tv_nsec: pause.subsec_nanos().into(),
            };
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&pause)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let data = event.data;
                self.read(usize::try_from(data.u64())?, &mut buffer)?;
            }
        }
        // What never came took at least until now.
        let now = Instant::now();
        let open: Vec<_> = self
            .connections
            .iter()
            .filter_map(|c| c.due)
            .chain(self.waiting.iter().copied())
            .collect();
        self.tally.errors += open.len() as u64;
        open.into_iter().for_each(|due| self.record(due, now));
        Ok(())
    }

    /// Gives what waits to connections that are idle.
    fn send(&mut self) -> Result<(), Failure> {
        while !self.waiting.is_empty() {
            let Some(at) = self.idle.pop_front() else {
                break;
            };
            let Some(due) = self.waiting.pop_front() else {
                break;
            };
            let connection = &mut self.connections[at];
            connection.due = Some(due);
            // A request is a few hundred bytes, and the connection's send buffer is empty.
            match connection.stream.write(&self.request) {
                Ok(written) if written == self.request.len() => {}
                Ok(_) => self.fail(at, "a request went out in part")?,
                Err(error) => self.fail(at, &error.to_string())?,
            }
        }
        Ok(())
    }

    fn read(&mut self, at: usize, buffer: &mut [u8]) -> Result<(), Failure> {
        let connection = &mut self.connections[at];
        let taken = match connection.stream.read(buffer) {
            Ok(0) => Err("the connection was closed".into()),
            Ok(read) => connection.answer.take(&buffer[..read]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        };
        match taken {
            Ok(false) => Ok(()),
            Ok(true) => {
                connection.answer = Answer::default();
                if let Some(due) = connection.due.take() {
                    self.record(due, Instant::now());
                    self.idle.push_back(at);
                }
                Ok(())
            }
            Err(error) => self.fail(at, &error.to_string()),
        }
    }

    /// The request of this connection failed, if there was one; the next goes over a new
    /// connection.
    fn fail(&mut self, at: usize, why: &str) -> Result<(), Failure> {
        let connection = &mut self.connections[at];
        if connection.due.take().is_some() {
            self.tally.errors += 1;
            self.idle.push_back(at);
        }
        self.tally.explain(why);
        if let Some(why) = self.tally.hopeless() {
            return Err(why.into());
        }
        self.connections[at].answer = Answer::default();
        self.connections[at].stream = watched(self.options, &self.epoll, at)?;
        Ok(())
    }

    fn record(&mut self, due: Instant, now: Instant) {
        if due >= self.measured_from {
            self.tally.record(now.saturating_duration_since(due));
        }
    }

    fn print(&mut self) {
        let rate = format!("\"rate\": {:.1}, ", self.options.rate);
        self.tally.print(&rate);
    }
}

/// A connection that the epoll set knows by this number.
fn watched(
    options: &Options,
    epoll: &rustix::fd::OwnedFd,
    at: usize,
) -> Result<TcpStream, Failure> {
    let stream = options.connect()?;
    stream.set_nonblocking(true)?;
    epoll::add(
        epoll,
        &stream,
        epoll::EventData::new_u64(at as u64),
        epoll::EventFlags::IN,
    )?;
    Ok(stream)
}
