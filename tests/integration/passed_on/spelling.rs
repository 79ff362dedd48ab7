//! Names of fields keep their case where that is asked for.

use crate::fixtures::{Received, Request, TestProxy, TestUpstream};

/// The names of the fields in the order and the case in which they were written.
fn names(fields: &[(String, Vec<u8>)]) -> Vec<&str> {
    fields.iter().map(|(name, _)| name.as_str()).collect()
}

fn odd(request: &Received) -> Vec<u8> {
    match request.target() {
        "/chunked" => {
            b"HTTP/1.1 103 Early Hints\r\nLiNk: </a>\r\n\r\nHTTP/1.1 200 OK\r\nX-bAcKeNd: 1\r\nETAG: \"a\"\r\n\
                        transfer-ENCODING: chunked\r\nDATE: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n\
                        2\r\nok\r\n0\r\nX-tRaIlEr: 1\r\n\r\n"
                .to_vec()
        }
        _ => b"HTTP/1.1 200 OK\r\nX-bAcKeNd: 1\r\nwww-authenticate: x\r\nCoNtEnT-LeNgTh: 2\r\n\r\nok".to_vec(),
    }
}

#[test]
fn header_names_keep_their_case_where_that_is_asked_for() {
    let upstream = TestUpstream::replying(odd);
    let pool = format!("[pools.p]\nbackends = [\"{}\"]\n", upstream.address());
    let routes = "[[routes]]\nhost = \"kept.test\"\npool = \"p\"\npreserve-header-case = true\npolicies = [\"random\"]\n\
                  [[routes]]\nhost = \"plain.test\"\npool = \"p\"\npolicies = [\"random\"]\n";
    let proxy = TestProxy::builder()
        .tables(&format!("{pool}{routes}"))
        .start();
    let mut client = proxy.client();
    for _ in 0..2 {
        let request = Request::new("POST", "/chunked")
            .host("kept.test")
            .field("x-LOWER-Upper", "1")
            .field("SOAPAction", "x");
        let body = "1\r\na\r\n0\r\nX-tRaIl: 1\r\n\r\n";
        let head =
            String::from_utf8(request.field("Transfer-Encoding", "chunked").bytes()).unwrap();
        let answer = client.ask(head + body);
        assert_eq!(answer.text(), "ok");
        let told = names(&answer.head.fields);
        assert_eq!(
            told,
            ["X-bAcKeNd", "ETAG", "DATE", "Via", "Transfer-Encoding"],
            "ours begin with capitals"
        );
        assert_eq!(names(&answer.interim[0].fields), ["LiNk"]);
        assert_eq!(names(&answer.trailers), ["X-tRaIlEr"]);
        let received = upstream.complete().pop().unwrap();
        let sent = names(&received.head.fields);
        assert!(
            ["Host", "x-LOWER-Upper", "SOAPAction", "X-Forwarded-For"]
                .iter()
                .all(|n| sent.contains(n)),
            "{sent:?}"
        );
        assert!(
            sent.contains(&"Transfer-Encoding") && names(&received.trailers) == ["X-tRaIl"],
            "{sent:?}"
        );

        let kept = client.ask(
            Request::new("GET", "/")
                .host("kept.test")
                .field("x-a", "1")
                .bytes(),
        );
        let told = names(&kept.head.fields);
        assert_eq!(
            told,
            [
                "X-bAcKeNd",
                "www-authenticate",
                "Via",
                "Date",
                "Content-Length"
            ]
        );
        let received = upstream.complete().pop().unwrap();
        assert!(
            names(&received.head.fields).contains(&"x-a"),
            "lower case is kept as well"
        );

        // On the same connection, and with the same room for heads.
        let plain = client.ask(
            Request::new("GET", "/")
                .host("plain.test")
                .field("SOAPAction", "1")
                .bytes(),
        );
        assert!(
            names(&plain.head.fields)
                .iter()
                .all(|name| *name == name.to_ascii_lowercase())
        );
        let received = upstream.complete().pop().unwrap();
        assert!(
            names(&received.head.fields)
                .iter()
                .all(|name| *name == name.to_ascii_lowercase())
        );
    }
}

#[test]
fn the_short_form_keeps_the_case_as_well() {
    let upstream = TestUpstream::replying(odd);
    let proxy = TestProxy::builder()
        .hosts_setting("preserve-header-case = true")
        .host("*", &[upstream.address()])
        .start();
    let answer = proxy.ask(
        Request::new("GET", "/")
            .host("a.test")
            .field("X-mE", "1")
            .bytes(),
    );
    assert!(names(&answer.head.fields).contains(&"X-bAcKeNd"));
    assert!(names(&upstream.only_request().head.fields).contains(&"X-mE"));
}
