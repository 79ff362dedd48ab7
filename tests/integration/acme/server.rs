//! A certificate authority that follows a script: it verifies nothing, and issues nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::fixtures::{Authority, PATIENCE};

/// An authority's server for ACME, as `https://localhost:PORT/dir`.
pub struct AcmeServer {
    address: SocketAddr,
    /// What vouches for it.
    pub ca: String,
    seen: Arc<Mutex<Vec<String>>>,
}

/// An answer, as far as it is not like every other.
pub struct Answer {
    pub status: &'static str,
    pub fields: String,
    pub body: String,
}

/// What the server says to a request, by its path; `None` for what every server says.
pub type Script = dyn Fn(&str) -> Option<Answer> + Send + Sync;

impl Answer {
    pub fn json(status: &'static str, body: &Value) -> Self {
        Self::text(status, &body.to_string())
    }

    pub fn text(status: &'static str, body: &str) -> Self {
        Self {
            status,
            fields: String::new(),
            body: body.to_owned(),
        }
    }

    pub fn field(mut self, line: &str) -> Self {
        self.fields += &format!("{line}\r\n");
        self
    }
}

impl AcmeServer {
    pub fn start(script: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let authority = Authority::new();
        let config = Authority::server(&authority.sign(&["localhost"]), &[b"http/1.1"]);
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (noted, script): (_, Arc<Script>) = (Arc::clone(&seen), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let session = StreamOwned::new(connection, stream);
                let (seen, script) = (Arc::clone(&noted), Arc::clone(&script));
                std::thread::spawn(move || serve(session, address, &seen, &*script));
            }
        });
        Self {
            address,
            ca: authority.pem,
            seen,
        }
    }

    /// The URL of the directory.
    pub fn directory(&self) -> String {
        url(self.address, "/dir")
    }

    /// How many requests of this method and path there were.
    pub fn count(&self, request: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|line| line.starts_with(request)).count()
    }

    /// The requests of this method and path, with what their payloads say.
    pub fn payloads(&self, request: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let of_it = seen.iter().filter(|line| line.starts_with(request));
        of_it.cloned().collect()
    }
}

/// A path of this server.
pub fn url(address: SocketAddr, path: &str) -> String {
    format!("https://localhost:{}{path}", address.port())
}

fn serve(
    session: StreamOwned<ServerConnection, std::net::TcpStream>,
    address: SocketAddr,
    seen: &Mutex<Vec<String>>,
    script: &Script,
) {
    let mut reader = BufReader::new(session);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match reader.read_line(&mut head) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let note = format!("{method} {path} {}", payload(&body));
    seen.lock().unwrap().push(note);
    let answer = script(path).unwrap_or_else(|| usual(address, path));
    let body = if method == "HEAD" { "" } else { &answer.body };
    let text = format!(
        "HTTP/1.1 {}\r\nReplay-Nonce: bm9uY2U\r\nContent-Length: {}\r\n{}\r\n{body}",
        answer.status,
        answer.body.len(),
        answer.fields
    );
    let session = reader.get_mut();
    let _ = session.write_all(text.as_bytes());
    session.conn.send_close_notify();
    let _ = session.flush();
}

/// What a signed message says.
fn payload(body: &[u8]) -> String {
    use base64::Engine;
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    let encoded = message["payload"].as_str().unwrap_or_default();
    let decoded = base64::prelude::BASE64_URL_SAFE_NO_PAD
        .decode(encoded)
        .unwrap();
    String::from_utf8(decoded).unwrap()
}

/// The directory, a nonce and an account.
fn usual(address: SocketAddr, path: &str) -> Answer {
    let url = |path: &str| url(address, path);
    match path {
        "/dir" => Answer::json(
            "200 OK",
            &json!({
                "newNonce": url("/nonce"),
                "newAccount": url("/account"),
                "newOrder": url("/order"),
                "renewalInfo": url("/renewal"),
            }),
        ),
        "/nonce" => Answer::text("200 OK", ""),
        "/account" => Answer::json("201 Created", &json!({ "status": "valid" }))
            .field(&format!("Location: {}", url("/account/1"))),
        _ => Answer::text("404 Not Found", "{}"),
    }
}
