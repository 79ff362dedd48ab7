//! TLS connections with one request each.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustls::HandshakeKind;

use crate::Failure;
use crate::channel::{exchange, session, tls};
use crate::options::Options;
use crate::window::Window;

/// Each client is a thread: to switch costs little beside a handshake.
pub fn handshake(options: &Options) -> Result<(), Failure> {
    let window = Mutex::new(Window::new(options));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..options.connections {
            scope.spawn(|| {
                if let Err(failure) = client(options, &window, &over) {
                    let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
                    window.tally.fail(&failure.to_string());
                }
            });
        }
        loop {
            let next = {
                let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
                if !window.look(Instant::now()) {
                    window.print();
                    break;
                }
                window.next()
            };
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        over.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// One connection after the other, until the time is over.
fn client(options: &Options, window: &Mutex<Window>, over: &AtomicBool) -> Result<(), Failure> {
    // With tickets of its own: each is used once, and others would take them away.
    let config = tls(options)?;
    let request = options.request();
    let mut first = true;
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let asked = || -> Result<_, Failure> {
            let mut stream = session(options, &config)?;
            exchange(&mut stream, &request)?;
            Ok(stream)
        };
        let asked = asked();
        let now = Instant::now();
        let mut guard = window.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok(mut stream) => {
                guard.answered(began, now);
                let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
                if resumed != options.resume && !first {
                    guard
                        .tally
                        .fail("a handshake was not of the kind that was asked for");
                }
                drop(guard);
                first = false;
                // The proxy closes first, as the request asked for; how it does doesn't matter.
                let _ = stream.read(&mut [0; 1024]);
            }
            Err(failure) => {
                guard.tally.fail(&failure.to_string());
                if let Some(why) = guard.tally.hopeless() {
                    return Err(why.into());
                }
            }
        }
    }
    Ok(())
}
