use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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
async fn ranges_cut_the_same_bytes_from_everything() {
    let origin = TestOrigin::start("o", None);
    for path in PATHS {
        let whole = origin.get(path, "").await.body;
        let length = whole.len();
        let cut = origin.get(path, "Range: bytes=10-99\r\n").await;
        assert_eq!(
            (cut.status, cut.body.as_slice()),
            (206, &whole[10..100]),
            "{path}"
        );
        assert_eq!(
            cut.field("content-range").unwrap(),
            format!("bytes 10-99/{length}")
        );
        assert_eq!(cut.field("content-length"), Some("90"));
        let tail = origin.get(path, "Range: bytes=-7\r\n").await;
        assert_eq!(
            (tail.status, tail.body.as_slice()),
            (206, &whole[length - 7..]),
            "{path}"
        );
        let beyond = origin
            .get(path, &format!("Range: bytes={length}-\r\n"))
            .await;
        assert_eq!(
            (beyond.status, beyond.field("content-range").unwrap()),
            (416, &*format!("bytes */{length}"))
        );
        let malformed = origin.get(path, "Range: bytes=9-1\r\n").await;
        assert_eq!(
            (malformed.status, malformed.body.len()),
            (200, length),
            "{path}"
        );
    }
    let head = "HEAD /bigfile HTTP/1.1\r\nHost: o\r\nConnection: close\r\nRange: bytes=0-1\r\n\r\n";
    assert_eq!(
        origin.send(head).await.status,
        200,
        "a range means nothing in a HEAD"
    );
    origin.stop().await;
}

#[tokio::test]
async fn several_ranges_come_as_parts() {
    let origin = TestOrigin::start("o", None);
    let whole = origin.get("/bigfile", "").await.body;
    let reply = origin
        .get("/bigfile", "Range: bytes=0-9, 1000000-1000099, -5\r\n")
        .await;
    assert_eq!(reply.status, 206);
    assert_eq!(reply.field("content-range"), None);
    let boundary = reply
        .field("content-type")
        .unwrap()
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut expected = Vec::new();
    for slice in [0..10, 1_000_000..1_000_100, whole.len() - 5..whole.len()] {
        let span = format!("bytes {}-{}/{}", slice.start, slice.end - 1, whole.len());
        let media = "text/plain; charset=utf-8";
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: {media}\r\nContent-Range: {span}\r\n\r\n");
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&whole[slice]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(reply.body, expected);
    origin.stop().await;
}

#[tokio::test]
async fn conditions_save_the_transfer() {
    let origin = TestOrigin::start("o", None);
    let whole = origin.get("/bigfile", "").await;
    let (etag, modified) = (
        whole.field("etag").unwrap(),
        whole.field("last-modified").unwrap(),
    );
    for field in [
        format!("If-None-Match: {etag}\r\n"),
        format!("If-Modified-Since: {modified}\r\n"),
    ] {
        let reply = origin.get("/bigfile", &field).await;
        assert_eq!(
            (reply.status, reply.body.len(), reply.field("etag")),
            (304, 0, Some(etag)),
            "{field}"
        );
    }
    assert_eq!(
        origin.get("/bigfile", "If-Match: \"x\"\r\n").await.status,
        412
    );
    assert_eq!(
        origin
            .get("/bigfile", "If-None-Match: \"x\"\r\n")
            .await
            .status,
        200
    );
    for (value, status) in [(etag, 206), (modified, 206), ("\"x\"", 200)] {
        let reply = origin
            .get(
                "/bigfile",
                &format!("Range: bytes=0-1\r\nIf-Range: {value}\r\n"),
            )
            .await;
        assert_eq!(reply.status, status, "{value}");
    }
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

fn some_files() -> TestDir {
    let dir = TestDir::new();
    fs::create_dir_all(dir.path("served/sub dir")).unwrap();
    fs::write(dir.path("secret.txt"), "secret").unwrap();
    fs::write(dir.path("served/a.txt"), "0123456789").unwrap();
    fs::write(dir.path("served/<b>&.bin"), vec![7; 300_000]).unwrap();
    fs::write(dir.path("served/sub dir/c.html"), "<p>c</p>").unwrap();
    fs::write(dir.path("served/empty"), "").unwrap();
    std::os::unix::fs::symlink("../secret.txt", dir.path("served/out.txt")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path("served/etc")).unwrap();
    std::os::unix::fs::symlink("a.txt", dir.path("served/in.txt")).unwrap();
    std::os::unix::fs::symlink("circle", dir.path("served/circle")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(dir.path("served/fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    dir
}

#[tokio::test]
async fn a_directory_is_listed_for_people_and_for_scripts() {
    let dir = some_files();
    let origin = TestOrigin::start("north", Some(dir.path("served")));
    let page = origin.get("/files/", "").await;
    assert_eq!(
        (page.status, page.field("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(
        page.text()
            .contains("<a href=\"./%3Cb%3E%26.bin\">&lt;b&gt;&amp;.bin</a>")
    );
    assert!(
        page.text()
            .contains("<a href=\"./sub%20dir/\">sub dir/</a>")
    );
    assert!(
        origin
            .get("/", "")
            .await
            .text()
            .contains("href=\"/files/\"")
    );

    let listing = origin.get("/files/", "Accept: application/json\r\n").await;
    assert_eq!(listing.field("vary"), Some("accept"));
    let listing = listing.json();
    let names: Vec<_> = listing["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["name"])
        .collect();
    assert_eq!(names, ["sub dir", "<b>&.bin", "a.txt", "empty", "in.txt"]);
    assert_eq!(
        (&listing["origin"], &listing["truncated"]),
        (&"north".into(), &false.into())
    );
    assert_eq!(listing["entries"][1]["size"], 300_000);
    for entry in listing["entries"].as_array().unwrap() {
        assert_eq!(
            origin.get(entry["href"].as_str().unwrap(), "").await.status,
            200,
            "{entry}"
        );
    }
    let below = origin.get("/files/sub%20dir/?format=json", "").await.json();
    assert_eq!(below["entries"][0]["href"], "/files/sub%20dir/c.html");
    origin.stop().await;
}

#[tokio::test]
async fn files_have_metadata_slices_and_conditions() {
    let dir = some_files();
    let origin = TestOrigin::start("o", Some(dir.path("served")));
    let head = "HEAD /files/a.txt HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n";
    let head = origin.send(head).await;
    assert_eq!(
        (head.status, head.field("content-length"), head.body.len()),
        (200, Some("10"), 0)
    );
    assert_eq!(
        head.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let etag = head.field("etag").unwrap();
    assert_eq!(
        origin
            .get("/files/a.txt", &format!("If-None-Match: {etag}\r\n"))
            .await
            .status,
        304
    );
    let cut = origin.get("/files/a.txt", "Range: bytes=2-4\r\n").await;
    assert_eq!(
        (cut.status, cut.text(), cut.field("content-range")),
        (206, "234", Some("bytes 2-4/10"))
    );
    let parts = origin.get("/files/a.txt", "Range: bytes=7-8,0-1\r\n").await;
    assert!(
        parts.text().contains("bytes 7-8/10\r\n\r\n78\r\n")
            && parts.text().contains("bytes 0-1/10\r\n\r\n01\r\n")
    );
    assert_eq!(
        origin.get("/files/%3Cb%3E%26.bin", "").await.body,
        vec![7; 300_000]
    );
    assert_eq!(
        origin.get("/files/empty", "").await.field("content-length"),
        Some("0")
    );
    let nothing = origin.get("/files/empty", "Range: bytes=0-\r\n").await;
    assert_eq!(
        (nothing.status, nothing.field("content-range")),
        (416, Some("bytes */0"))
    );
    fs::write(dir.path("served/a.txt"), "changed!!!!").unwrap();
    assert_eq!(
        origin
            .get("/files/a.txt", &format!("If-None-Match: {etag}\r\n"))
            .await
            .text(),
        "changed!!!!"
    );
    for (path, location) in [
        ("/files", "/files/"),
        ("/files/sub%20dir", "/files/sub%20dir/"),
    ] {
        let reply = origin.get(path, "").await;
        assert_eq!(
            (reply.status, reply.field("location")),
            (308, Some(location))
        );
    }
    origin.stop().await;
}

#[tokio::test]
async fn nothing_outside_of_the_directory_and_nothing_special_is_served() {
    let dir = some_files();
    let origin = TestOrigin::start("o", Some(dir.path("served")));
    for (path, status) in [
        ("/files/../secret.txt", 400),
        ("/files/%2e%2e/secret.txt", 400),
        ("/files/..%2fsecret.txt", 400),
        ("/files/sub%20dir/../../secret.txt", 400),
        ("/files//etc/passwd", 400),
        ("/files/%2Fetc%2Fpasswd", 400),
        ("/files/a.txt%00", 400),
        ("/files/%zz", 400),
        ("/files/out.txt", 403),
        ("/files/etc/passwd", 403),
        ("/files/etc/", 403),
        ("/files/fifo", 404),
        ("/files/circle", 404),
        ("/files/a.txt/", 404),
        ("/files/a.txt/b", 404),
        ("/files/none", 404),
        (&format!("/files/{}", "n".repeat(3000)), 404),
    ] {
        let reply = origin.get(path, "").await;
        assert_eq!(reply.status, status, "{path}");
        assert!(
            !reply.text().contains("secret") && !reply.text().contains("root:"),
            "{path}"
        );
    }
    origin.stop().await;
}

#[tokio::test]
async fn an_unusable_directory_is_reported_at_the_start() {
    let refused = |name: &str, dir: Option<&Path>| {
        let options = OriginOptions {
            name: name.to_owned(),
            dir: dir.map(Path::to_owned),
        };
        serve(
            std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
            options,
            std::future::pending(),
        )
    };
    let error = refused("a\nb", None).await.unwrap_err();
    assert!(error.to_string().contains("visible ASCII"), "{error}");
    let dir = some_files();
    for path in [dir.path("none"), dir.path("secret.txt")] {
        let error = refused("o", Some(&path)).await.unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
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
