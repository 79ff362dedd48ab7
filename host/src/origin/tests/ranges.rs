//! Ranges and conditions.

use super::{PATHS, TestOrigin};

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
