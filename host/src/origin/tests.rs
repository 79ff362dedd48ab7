mod directory;
mod ranges;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fs, io};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{OriginOptions, serve};

struct TestOrigin {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<io::Result<()>>,
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl TestOrigin {
    fn start(name: &str, dir: Option<PathBuf>) -> Self {
        crate::ground::limit_this_test();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = OriginOptions {
            name: name.to_owned(),
            dir,
        };
        let served = tokio::spawn(serve(listener, options, async { drop(stopped.await) }));
        Self {
            address,
            stop,
            served,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn get(&self, path: &str, fields: &str) -> Reply {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: o\r\nConnection: close\r\n{fields}\r\n"
        ))
        .await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: o\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        self.send(&format!("{head}{body}")).await
    }

    /// Sends bytes and reads until the origin closes.
    async fn send(&self, bytes: &str) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Reply::parse(&answer)
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a whole head")
            + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head,
            body: bytes[end..].to_vec(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().filter_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = values.next();
        assert!(values.next().is_none(), "{name} came twice");
        value
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A directory that is removed with its test.
struct TestDir(PathBuf);

impl TestDir {
    fn new() -> Self {
        let path =
            std::env::temp_dir().join(format!("waypost-origin-{:032x}", rand::random::<u128>()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PATHS: [&str; 9] = [
    "/",
    "/page_one",
    "/page_two",
    "/page_three",
    "/page_four",
    "/image_user_one",
    "/image_user_two",
    "/bigfile",
    "/createUser",
];

#[tokio::test]
async fn every_path_answers_get_and_head_alike_and_names_its_origin() {
    let origin = TestOrigin::start("north", None);
    for path in PATHS {
        let whole = origin.get(path, "").await;
        assert_eq!(
            (whole.status, whole.field("x-origin")),
            (200, Some("north")),
            "{path}"
        );
        assert_eq!(
            whole.field("content-length").unwrap(),
            whole.body.len().to_string(),
            "{path}"
        );
        let head = origin
            .send(&format!(
                "HEAD {path} HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(head.body.is_empty(), "{path}");
        for field in [
            "content-length",
            "content-type",
            "etag",
            "last-modified",
            "accept-ranges",
            "x-origin",
        ] {
            assert!(head.field(field).is_some(), "{path} {field}");
            assert_eq!(head.field(field), whole.field(field), "{path} {field}");
        }
        if whole
            .field("content-type")
            .unwrap()
            .starts_with("text/html")
        {
            assert!(
                whole.text().contains("Answered by origin <b>north</b>"),
                "{path}"
            );
        }
    }
    origin.stop().await;
}

#[tokio::test]
async fn pages_show_pictures_and_downloads_that_exist() {
    let origin = TestOrigin::start("", None);
    let index = origin.get("/", "").await;
    for path in PATHS {
        assert!(index.text().contains(&format!("href=\"{path}\"")), "{path}");
    }
    let counts = [
        ("/page_one", 1, 0),
        ("/page_two", 4, 0),
        ("/page_three", 0, 1),
        ("/page_four", 4, 1),
    ];
    for (path, pictures, downloads) in counts {
        let page = origin.get(path, "").await;
        assert_eq!(
            page.text().matches("<img src=\"/image_user_").count(),
            pictures,
            "{path}"
        );
        assert_eq!(
            page.text().matches("href=\"/bigfile\" download").count(),
            downloads,
            "{path}"
        );
    }
    assert_eq!(
        index.field("x-origin"),
        Some(origin.address.to_string().as_str()),
        "the address is the default name"
    );
    assert!(
        origin
            .get("/image_user_one", "")
            .await
            .body
            .starts_with(b"\x89PNG")
    );
    assert!(
        origin
            .get("/image_user_two", "")
            .await
            .text()
            .starts_with("<svg")
    );
    assert!(origin.get("/bigfile", "").await.body.len() > 1_048_576);
    origin.stop().await;
}

#[tokio::test]
async fn users_are_created_and_faults_are_reported() {
    let origin = TestOrigin::start("north", None);
    let made = origin.post("/createUser", r#"{"Nombre": "José"}"#).await;
    assert_eq!((made.status, made.field("x-origin")), (201, Some("north")));
    assert_eq!(
        made.json(),
        serde_json::json!({ "id": 1, "Nombre": "José", "origin": "north" })
    );
    for body in ["", "{", "[]", "{}", r#"{"Nombre": ""}"#, r#"{"Nombre": 1}"#] {
        let refused = origin.post("/createUser", body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(
            refused.json()["error"].as_str().unwrap().ends_with('.'),
            "{body}"
        );
    }
    assert_eq!(
        origin
            .post("/createUser", r#"{"Nombre": "Ada"}"#)
            .await
            .json()["id"],
        2,
        "a refusal makes no user"
    );
    origin.stop().await;
}

#[tokio::test]
async fn too_large_a_user_is_refused_in_either_framing_and_before_it_is_sent() {
    let origin = TestOrigin::start("o", None);
    let large = format!("{{\"Nombre\": \"{}\"}}", "x".repeat(100_000));
    assert_eq!(origin.post("/createUser", &large).await.status, 413);
    let head = "POST /createUser HTTP/1.1\r\nHost: o\r\n";
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    assert_eq!(origin.send(&chunked).await.status, 413);
    let waiting = format!("{head}Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(origin.send(&waiting).await.status, 413);
    origin.stop().await;
}

#[tokio::test]
async fn a_missing_page_is_404_and_a_wrong_method_is_405() {
    let origin = TestOrigin::start("north", None);
    for path in [
        "/nothing",
        "/page_one/",
        "/PAGE_ONE",
        "/%",
        "//",
        "/files/",
        "/files",
        "/files/../page_one",
    ] {
        let reply = origin.get(path, "").await;
        assert_eq!(
            (reply.status, reply.field("x-origin")),
            (404, Some("north")),
            "{path}"
        );
        assert!(reply.text().ends_with(".\n"), "{path}");
    }
    let reply = origin.post("/page_one", "unwanted").await;
    assert_eq!(
        (reply.status, reply.field("allow")),
        (405, Some("GET, HEAD"))
    );
    let reply = origin
        .send("DELETE /createUser HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(
        (reply.status, reply.field("allow")),
        (405, Some("GET, HEAD, POST"))
    );
    assert_eq!(origin.get("/page%5Fone?x=1", "").await.status, 200);
    origin.stop().await;
}

#[tokio::test]
async fn a_connection_carries_many_requests_and_an_unwanted_body_does_not_end_it() {
    let origin = TestOrigin::start("o", None);
    let body = "x".repeat(200_000);
    let bytes = format!(
        "POST /page_one HTTP/1.1\r\nHost: o\r\nContent-Length: 200000\r\n\r\n{body}\
         HEAD /page_one HTTP/1.1\r\nHost: o\r\n\r\n\
         GET /createUser HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n"
    );
    let mut stream = origin.connect().await;
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "));
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    origin.stop().await;
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_finishes_answers_in_flight() {
    let origin = TestOrigin::start("o", None);
    let mut idle = origin.connect().await;
    idle.write_all(b"HEAD / HTTP/1.1\r\nHost: o\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let mut busy = origin.connect().await;
    busy.write_all(b"GET /bigfile HTTP/1.1\r\nHost: o\r\n\r\n")
        .await
        .unwrap();
    busy.read_exact(&mut first).await.unwrap();

    let address = origin.address;
    let stopping = tokio::spawn(origin.stop());
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(
        rest.ends_with(b"\r\n\r\n"),
        "the idle connection was closed between requests"
    );
    busy.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > 1_048_576, "the download was finished");
    stopping.await.unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the port is free again"
    );
}
