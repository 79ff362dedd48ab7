//! A configuration that is published while clients are served, over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::app::open_listeners::{OpenListeners, Wanted};
use crate::app::passed::PassedSockets;
use crate::app::workers::{Workers, start_workers};
use crate::observe::access_log::LogWriter;
use crate::proxy::{Admission, Equipment};

/// A backend that answers at once, or to `/held` when it is released.
struct Backend {
    address: SocketAddr,
    /// Connections that it has accepted.
    accepted: Arc<AtomicUsize>,
    held: Receiver<()>,
    release: Sender<()>,
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

impl Backend {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (holds, held) = channel();
        let (release, released) = channel();
        let (count, released) = (Arc::clone(&accepted), Arc::new(Mutex::new(released)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, SeqCst);
                let (holds, released) = (holds.clone(), Arc::clone(&released));
                thread::spawn(move || serve(&mut stream.unwrap(), &holds, &released));
            }
        });
        Self {
            address,
            accepted,
            held,
            release,
        }
    }
}

fn serve(stream: &mut TcpStream, holds: &Sender<()>, released: &Mutex<Receiver<()>>) {
    while let Some(head) = head(stream) {
        if head.contains(" /held ") {
            holds.send(()).unwrap();
        }
        body(stream, &head);
        if head.contains(" /held ") && released.lock().unwrap().recv().is_err() {
            return;
        }
        if head.contains(" /silent ") {
            return drop(stream.read(&mut [0]));
        }
        let calls = field(&head, "x-probe-calls").unwrap();
        let length = calls.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{calls}");
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// The next head, if there is one.
fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.extend(byte);
    }
    Some(String::from_utf8(head).unwrap())
}

fn body(stream: &mut TcpStream, head: &str) -> String {
    if field(head, "transfer-encoding").is_some() {
        let mut chunks = Vec::new();
        while !chunks.ends_with(b"\r\n0\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            chunks.extend(byte);
        }
        return String::from_utf8(chunks).unwrap();
    }
    let length = field(head, "content-length").map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
}

/// A worker that serves.
struct Serving {
    address: SocketAddr,
    control: Arc<ControlPlane>,
    _workers: Workers,
    _stop: watch::Sender<bool>,
}

impl Serving {
    async fn start(config: &Arc<Config>) -> Self {
        let control = started(config).await;
        let certificates = control.listener_certificates();
        let opened = Wanted {
            known: &[],
            certificates: &certificates,
            config,
            next_certificates: &certificates,
        };
        let opened = opened.open(&mut PassedSockets::default()).unwrap();
        let log = LogWriter::start(&config.access_log).unwrap();
        control.equip(Equipment {
            listeners: opened.listening(),
            log: log.handle(),
            recorder: None,
            traces: None,
        });
        let (admission, (stop, stopping)) = (Arc::new(Admission::new(1)), watch::channel(false));
        let workers = start_workers(1, &control, &admission, &stopping).unwrap();
        let mut listeners = OpenListeners::default();
        listeners.follow(opened, &workers.hands, &stopping);
        let crate::config::ListenAddress::Tcp { address, .. } = listeners.addresses()[0] else {
            panic!("a Unix socket")
        };
        control.adoption().wait(1).await;
        Self {
            address,
            control,
            _workers: workers,
            _stop: stop,
        }
    }

    async fn publish(&self, config: Arc<Config>) {
        let version = self.control.publish_config(config).await.unwrap();
        self.control.adoption().wait(version).await;
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// The status, the fields and the body of the next response.
    fn response(&mut self) -> (u16, String, String) {
        let head = head(&mut self.0).unwrap();
        let body = body(&mut self.0, &head);
        (head[9..12].parse().unwrap(), head, body)
    }

    /// What comes of a request: its status and its body.
    fn ask(&mut self, request: &str) -> (u16, String) {
        self.send(request);
        let (status, _, body) = self.response();
        (status, body)
    }

    /// How often the policy's instance has been asked when it is asked about this request.
    fn calls(&mut self, request: &str) -> u64 {
        let (status, calls) = self.ask(request);
        assert_eq!(status, 200);
        calls.parse().unwrap()
    }
}

fn served(backend: SocketAddr, more: &str) -> Arc<Config> {
    let text = CONFIG
        .replace(
            "\"127.0.0.1:1\", \"127.0.0.1:2\"",
            &format!("\"{backend}\""),
        )
        .replace("workers", "listen = \"127.0.0.1:0\"\nworkers")
        .replace("\"topology\", ", "");
    config(&format!(
        "{text}\n[access-log]\nrequests = \"none\"\n{more}"
    ))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_request_keeps_its_settings_and_the_next_one_of_its_connection_has_the_newest() {
    let backend = Backend::start();
    let first = "[limits]\nbody-bytes = 100\n[timeouts]\nresponse = \"30s\"";
    let serving = Serving::start(&served(backend.address, first)).await;
    let mut kept = serving.connect();
    let twenty = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234567890123456789";
    assert_eq!(kept.calls(twenty), 1);
    let mut under_way = serving.connect();
    under_way
        .send("POST /held HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n");
    backend.held.recv_timeout(PATIENCE).unwrap();
    let mut idle = serving.connect();
    let calls = idle.calls(GET);
    let accepted = backend.accepted.load(SeqCst);

    let second = "[limits]\nbody-bytes = 10\n[timeouts]\nresponse = \"200ms\"";
    serving.publish(served(backend.address, second)).await;
    // Connections and the instance, with its memory, are those of before.
    assert!(kept.calls(GET) > calls);
    assert_eq!(backend.accepted.load(SeqCst), accepted);
    assert_eq!(kept.ask(twenty).0, 413);
    // Beyond the limit of now, within that of the request's own.
    under_way.send("a\r\n0123456789\r\n0\r\n\r\n");
    let silent = idle.ask("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(silent.0, 504);
    // Its backend has been silent for longer than that by now.
    backend.release.send(()).unwrap();
    assert_eq!(under_way.response().0, 200);

    let third = "[limits]\nrequests-per-connection = 1";
    serving.publish(served(backend.address, third)).await;
    under_way.send(GET);
    let (status, head, _) = under_way.response();
    assert_eq!((status, field(&head, "connection")), (200, Some("close")));
}
