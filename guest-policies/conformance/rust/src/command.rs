//! The request's fields `x-do`, and the commands that any hook does.

use std::{hint::black_box, str::FromStr};

use crate::hooks::{
    Request, Response,
    waypost::policy::{counters, log},
};

/// A verb and the bytes after it.
pub struct Command {
    pub verb: String,
    rest: Vec<u8>,
}

impl Command {
    /// The arguments; the last of them is all of the rest.
    pub fn arguments<const N: usize>(&self) -> [&[u8]; N] {
        let mut parts = self.rest.splitn(N, |byte| *byte == b' ');
        std::array::from_fn(|_| parts.next().expect("an argument is missing"))
    }

    /// The only argument, as text.
    pub fn text(&self) -> &str {
        text(&self.rest)
    }
}

pub fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("an argument is not text")
}

pub fn number<T: FromStr>(bytes: &[u8]) -> T {
    text(bytes)
        .parse()
        .ok()
        .expect("an argument is not a number")
}

/// The commands for this hook.
pub fn commands(request: &Request, hook: &str) -> Vec<Command> {
    let own = |line: Vec<u8>| {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let own = words.next() == Some(hook.as_bytes());
        let verb = text(words.next().unwrap_or_default()).to_owned();
        own.then(|| Command {
            verb,
            rest: words.next().unwrap_or_default().to_vec(),
        })
    };
    request
        .header_values("x-do")
        .into_iter()
        .filter_map(own)
        .collect()
}

/// Does a command of any hook. A refusal is put into `refused`.
pub fn any(command: &Command, hook: &str, refused: &mut Option<Response>) {
    match command.verb.as_str() {
        "trap" => panic!("told to"),
        "loop" => endless(),
        "exhaust" => exhaust(),
        "refuse" => *refused = Some(refusal(number(command.text().as_bytes()), hook)),
        "count" => {
            let [name, amount] = command.arguments();
            count(text(name), number(amount));
        }
        "log" => {
            let [level, message] = command.arguments();
            log::write(severity(level), text(message));
        }
        verb => panic!("{hook} has no command {verb}"),
    }
}

pub fn count(name: &str, amount: u64) {
    counters::add(
        counters::define(name).expect("a counter is refused"),
        amount,
    );
}

fn refusal(status: u16, hook: &str) -> Response {
    let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let headers = vec![
        field("x-refused", hook.as_bytes()),
        field("set-cookie", b"a=1"),
        field("set-cookie", b"b=2"),
        field("x-bytes", b"\xff\x80"),
    ];
    Response {
        status,
        headers,
        body: format!("refused by {hook}").into_bytes(),
    }
}

fn severity(level: &[u8]) -> log::Level {
    match level {
        b"debug" => log::Level::Debug,
        b"info" => log::Level::Info,
        b"warn" => log::Level::Warn,
        b"error" => log::Level::Error,
        _ => panic!("there is no such level"),
    }
}

fn endless() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn exhaust() -> ! {
    loop {
        std::mem::forget(black_box(vec![1_u8; 1 << 20]));
    }
}
