//! A folder that is served.

use std::fs;
use std::path::Path;

use super::super::{OriginOptions, serve};
use super::{TestDir, TestOrigin};

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
