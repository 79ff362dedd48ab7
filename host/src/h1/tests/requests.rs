use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Option<(RequestHead, RequestMeta)>, Malformed> {
    let mut head = RequestHead::default();
    Ok(parse_request(&mut head, text.as_bytes(), LIMITS)?.map(|meta| (head, meta)))
}

#[test]
fn a_plain_request() {
    let (head, meta) =
        parse("GET /a/b?c=d HTTP/1.1\r\nHost: WWW.Example.com.:8080\r\nX-A:  b \r\n\r\nrest")
            .unwrap()
            .unwrap();
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d")));
    assert_eq!(
        (head.host.as_str(), head.authority.as_str()),
        ("www.example.com", "WWW.Example.com.:8080")
    );
    assert_eq!(head.fields.first("x-a"), Some(&b"b"[..]));
    assert_eq!(meta.framing, Framing::None);
    assert_eq!(meta.head_len, 64);
}

#[test]
fn absolute_form_beats_host() {
    let (head, _) = parse("GET http://a.example?x HTTP/1.1\r\nHost: b.example\r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.authority.as_str(), head.target.as_str(), head.path()),
        ("a.example", "/?x", "/")
    );
}

#[test]
fn an_ipv6_host_is_matched_in_its_canonical_form() {
    let (head, _) = parse("GET / HTTP/1.1\r\nHost: [0:0::1]:80\r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.host.as_str(), head.authority.as_str()),
        ("[::1]", "[0:0::1]:80")
    );
}

#[test]
fn what_belongs_to_the_hop_is_taken_out() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Secret, close\r\nx-secret: 1\r\nKeep-Alive: 3\r\n\
                Proxy-Authorization: x\r\ncontent_length: 4\r\nx-kept: 2\r\n\r\n";
    let (head, meta) = parse(text).unwrap().unwrap();
    assert!(meta.control.close);
    assert_eq!(
        head.fields.iter().collect::<Vec<_>>(),
        [(&b"x-kept"[..], &b"2"[..])]
    );
}

/// The protocols that are offered with these fields.
fn offer(line: &str, fields: &str) -> String {
    let text = format!("{line}\r\nHost: a\r\n{fields}\r\n");
    let (head, _) = parse(&text).unwrap().unwrap();
    assert!(!head.fields.contains("upgrade") && !head.fields.contains("connection"));
    String::from_utf8(head.upgrade.as_bytes().to_vec()).unwrap()
}

#[test]
fn an_upgrade_is_offered_where_the_connection_field_says_so_and_no_body_follows() {
    for (fields, offered) in [
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", "websocket"),
        (
            "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n",
            "WebSocket, h2c",
        ),
        (
            "Connection: HTTP2-Settings, upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n",
            "h2c",
        ),
        ("Upgrade: websocket\r\n", ""),
        ("Connection: upgrades\r\nUpgrade: websocket\r\n", ""),
        ("Connection: upgrade\r\n", ""),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n",
            "",
        ),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
            "",
        ),
    ] {
        assert_eq!(offer("GET / HTTP/1.1", fields), offered, "{fields}");
    }
    let asked = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(offer("GET / HTTP/1.0", asked), "");
}

/// Whether each of these is refused for this reason. Where a line is missing in front of the
/// fields, it is that of a good request.
fn refused(texts: &[(&str, Malformed)]) {
    for (text, reason) in texts {
        let head = match text.contains("HTTP/") || text.contains("http/") {
            true => (*text).to_owned(),
            false => format!("POST / HTTP/1.1\r\nHost: a\r\n{text}\r\n"),
        };
        assert_eq!(parse(&head).expect_err(&head), *reason, "{head:?}");
    }
}

#[test]
fn a_faulty_request_line_is_refused_with_its_reason() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(256));
    refused(&[
        ("GET / HTTP/1.1\nHost: a\n\n", Malformed::LineEnd),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::Target),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::RequestLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Malformed::Version),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", Malformed::RequestLine),
        ("GET / HTTP/x.1\r\nHost: a\r\n\r\n", Malformed::RequestLine),
        ("GET / HTTP/2.x\r\nHost: a\r\n\r\n", Malformed::RequestLine),
        ("GET / HTTP/1.x\r\nHost: a\r\n\r\n", Malformed::RequestLine),
        ("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::Method),
        (&long, Malformed::RequestLineTooLong),
    ]);
}

#[test]
fn faulty_fields_are_refused_with_their_reason() {
    let large = format!("x: {}\r\n", "a".repeat(1024));
    let many = "x: y\r\n".repeat(8);
    refused(&[
        ("x: a\rb\r\n", Malformed::LineEnd),
        ("x: a\0b\r\n", Malformed::FieldValue),
        ("x : a\r\n", Malformed::FieldName),
        (" x: a\r\n", Malformed::Folded),
        ("GET / HTTP/1.1\r\nx: y\r\n\r\n", Malformed::HostMissing),
        ("Host: a\r\n", Malformed::HostRepeated),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", Malformed::Host),
        (&large, Malformed::HeadTooLarge),
        (&many, Malformed::TooManyFields),
    ]);
}

#[test]
fn a_request_with_a_doubtful_length_is_refused_with_its_reason() {
    refused(&[
        ("Content-Length: +1\r\n", Malformed::ContentLength),
        ("Content-Length: 1, 1\r\n", Malformed::ContentLength),
        (
            "Content-Length: 1\r\ncontent-length: 1\r\n",
            Malformed::ContentLengthRepeated,
        ),
        (
            "Content-Length: 99999999999999999999\r\n",
            Malformed::ContentLength,
        ),
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            Malformed::BothLengths,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            Malformed::BothLengths,
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            Malformed::TransferEncoding,
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            Malformed::TransferEncoding,
        ),
    ]);
}

#[test]
fn names_in_connection_are_looked_at_once() {
    let limits = HeadLimits {
        first_line: 256,
        bytes: 1 << 20,
        fields: 10_000,
    };
    let names: Vec<String> = (0..9_000).map(|n| format!("x{n}")).collect();
    for (named, fields) in [(3, 5), (15, 20), (9_000, 9_000)] {
        let mut text = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nCONNECTION: {}\r\n",
            names[..named].join(" ,").to_uppercase()
        );
        for name in &names[..fields] {
            text.push_str(&format!("{name}: 1\r\n"));
        }
        text.push_str("kept: 1\r\nConnection: close\r\n\r\n");
        let mut head = RequestHead::default();
        let meta = parse_request(&mut head, text.as_bytes(), limits)
            .unwrap()
            .unwrap();
        assert!(meta.control.close);
        assert_eq!(
            head.fields.len(),
            fields - named.min(fields) + 1,
            "{named} {fields}"
        );
        assert!(head.fields.contains("kept"));
    }
}

#[test]
fn a_request_for_a_tunnel_keeps_no_path_of_the_previous_request() {
    let mut head = RequestHead::default();
    parse_request(
        &mut head,
        b"GET /former?x HTTP/1.1\r\nHost: a\r\n\r\n",
        LIMITS,
    )
    .unwrap()
    .unwrap();
    parse_request(
        &mut head,
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        LIMITS,
    )
    .unwrap()
    .unwrap();
    assert_eq!((head.raw_path(), head.query()), ("/", None));
}

proptest! {
    #[test]
    fn a_head_parses_alike_in_any_pieces(cut in 0usize..70) {
        let text = b"POST /a?b HTTP/1.1\r\nHost: a.example:80\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut head = RequestHead::default();
        prop_assert!(parse_request(&mut head, &text[..cut.min(text.len() - 1)], LIMITS).unwrap().is_none());
        prop_assert!(parse_request(&mut head, text, LIMITS).unwrap().is_some());
    }
}
