use http::Method;
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    first_line: 256,
    bytes: 1024,
    fields: 8,
};

fn parse(text: &str) -> Result<Option<(RequestHead, RequestMeta)>, Malformed> {
    let mut head = RequestHead::default();
    Ok(head
        .parse(text.as_bytes(), LIMITS)?
        .map(|meta| (head, meta)))
}

fn refused(text: &str) -> Malformed {
    parse(text).expect_err(text)
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

#[test]
fn refusals_name_the_reason() {
    let h = "Host: a\r\n";
    for (text, reason) in [
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), Malformed::LineEnd),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n".to_owned(),
            Malformed::LineEnd,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}x: a\0b\r\n\r\n"),
            Malformed::FieldValue,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}x : a\r\n\r\n"),
            Malformed::FieldName,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h} x: a\r\n\r\n"),
            Malformed::Folded,
        ),
        (
            "GET / HTTP/1.1\r\nx: y\r\n\r\n".to_owned(),
            Malformed::HostMissing,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}{h}\r\n"),
            Malformed::HostRepeated,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n".to_owned(),
            Malformed::Host,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n".to_owned(),
            Malformed::Host,
        ),
        (
            format!("GET /\u{e9} HTTP/1.1\r\n{h}\r\n"),
            Malformed::Target,
        ),
        (
            format!("GET  / HTTP/1.1\r\n{h}\r\n"),
            Malformed::RequestLine,
        ),
        (format!("GET / HTTP/2.0\r\n{h}\r\n"), Malformed::Version),
        (format!("GET / http/1.1\r\n{h}\r\n"), Malformed::RequestLine),
        (format!("GET / HTTP/x.1\r\n{h}\r\n"), Malformed::RequestLine),
        (format!("GET / HTTP/2.x\r\n{h}\r\n"), Malformed::RequestLine),
        (format!("GET / HTTP/1.x\r\n{h}\r\n"), Malformed::RequestLine),
        (format!("GE(T / HTTP/1.1\r\n{h}\r\n"), Malformed::Method),
        (
            format!("POST / HTTP/1.1\r\n{h}Content-Length: +1\r\n\r\n"),
            Malformed::ContentLength,
        ),
        (
            format!("POST / HTTP/1.1\r\n{h}Content-Length: 1, 1\r\n\r\n"),
            Malformed::ContentLength,
        ),
        (
            format!("POST / HTTP/1.1\r\n{h}Content-Length: 1\r\ncontent-length: 1\r\n\r\n"),
            Malformed::ContentLengthRepeated,
        ),
        (
            format!("POST / HTTP/1.1\r\n{h}Content-Length: 99999999999999999999\r\n\r\n"),
            Malformed::ContentLength,
        ),
        (
            format!(
                "POST / HTTP/1.1\r\n{h}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            Malformed::BothLengths,
        ),
        (
            format!(
                "POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"
            ),
            Malformed::BothLengths,
        ),
        (
            format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked, chunked\r\n\r\n"),
            Malformed::TransferEncoding,
        ),
        (
            format!("POST / HTTP/1.0\r\n{h}Transfer-Encoding: chunked\r\n\r\n"),
            Malformed::TransferEncoding,
        ),
        (
            format!("GET /{} HTTP/1.1\r\n{h}\r\n", "a".repeat(256)),
            Malformed::RequestLineTooLong,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}x: {}\r\n\r\n", "a".repeat(1024)),
            Malformed::HeadTooLarge,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}{}\r\n", "x: y\r\n".repeat(8)),
            Malformed::TooManyFields,
        ),
    ] {
        assert_eq!(refused(&text), reason, "{text:?}");
    }
}

#[test]
fn responses() {
    let mut head = ResponseHead::default();
    let mut parse = |text: &str| {
        head.parse(text.as_bytes(), &Method::GET, LIMITS)
            .map(|m| m.map(|m| m.framing))
    };
    assert_eq!(
        parse("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n"),
        Ok(Some(Framing::Length(3)))
    );
    assert_eq!(parse("HTTP/1.0 200\r\n\r\n"), Ok(Some(Framing::UntilClose)));
    assert_eq!(
        parse("HTTP/1.9 999 x\r\nContent-Length: 1\r\n\r\n"),
        Ok(Some(Framing::Length(1)))
    );
    assert_eq!(
        parse("HTTP/1.1 304 x\r\nContent-Length: 3\r\n\r\n"),
        Ok(Some(Framing::None))
    );
    for (text, reason) in [
        ("HTTP/1.1 2000 OK\r\n\r\n", Malformed::StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", Malformed::StatusLine),
        ("HTTP/1.1 1000 OK\r\n\r\n", Malformed::StatusLine),
        ("HTTP/2 200 OK\r\n\r\n", Malformed::StatusLine),
        ("<html>", Malformed::StatusLine),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            Malformed::ContentLengthRepeated,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            Malformed::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
            Malformed::BothLengths,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            Malformed::TransferEncoding,
        ),
    ] {
        assert_eq!(parse(text), Err(reason), "{text:?}");
    }
}

/// Decodes a whole body that arrives in pieces of `step` bytes, as `proxy` does.
fn decode(body: &[u8], step: usize) -> Result<(Vec<u8>, usize), Malformed> {
    let mut decoder = ChunkedDecoder::default();
    let (mut trailers, mut content) = (Fields::new(), Vec::new());
    let (mut start, mut end) = (0, 0);
    loop {
        match decoder.decode(&body[start..end], LIMITS, &mut trailers)? {
            Decoded::End(n) => return Ok((content, start + n)),
            Decoded::Data { skip, data } => {
                content.extend_from_slice(&body[start + skip..start + skip + data]);
                start += skip + data;
                if data == 0 {
                    if end == body.len() {
                        return Err(Malformed::Chunk);
                    }
                    end = (end + step).min(body.len());
                }
            }
        }
    }
}

#[test]
fn chunks_that_are_not() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5 \n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "\r\n",
        ";a\r\n",
        "11111111111111111\r\n",
        "5;a\x0b\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0\r\nx y: z\r\n\r\n",
        "0\r\n x: z\r\n\r\n",
        "0\r\nx: z\n\r\n",
    ] {
        assert!(decode(body.as_bytes(), 64).is_err(), "{body:?}");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), step in 1usize..50) {
        let mut body = Vec::new();
        for piece in &pieces {
            write_chunk_size(piece.len(), &mut body);
            body.extend_from_slice(piece);
            body.extend_from_slice(b"\r\n");
        }
        write_last_chunk(&Fields::new(), &mut body);
        let len = body.len();
        body.extend_from_slice(b"NEXT");
        prop_assert_eq!(decode(&body, step), Ok((pieces.concat(), len)));
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = RequestHead::default().parse(&bytes, LIMITS);
        let _ = ResponseHead::default().parse(&bytes, &Method::GET, LIMITS);
        let _ = decode(&bytes, 7);
        let mut text = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        text.extend_from_slice(&bytes);
        let _ = RequestHead::default().parse(&text, LIMITS);
    }

    #[test]
    fn a_head_parses_alike_in_any_pieces(cut in 0usize..70) {
        let text = b"POST /a?b HTTP/1.1\r\nHost: a.example:80\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut head = RequestHead::default();
        prop_assert!(head.parse(&text[..cut.min(text.len() - 1)], LIMITS).unwrap().is_none());
        prop_assert!(head.parse(text, LIMITS).unwrap().is_some());
    }
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
        let meta = head.parse(text.as_bytes(), limits).unwrap().unwrap();
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
fn trailers_say_nothing_that_a_head_may_not_say() {
    let mut trailers = Fields::new();
    let body = b"0\r\nX-Forwarded-For: 1\r\nX-Real-IP: 1\r\nX-Waypost-Trace: 1\r\nProxy-X: 1\r\nVia: 1\r\nHost: a\r\nx-sum: 2\r\n\r\n";
    ChunkedDecoder::default()
        .decode(body, LIMITS, &mut trailers)
        .unwrap();
    assert_eq!(
        trailers.iter().collect::<Vec<_>>(),
        [(&b"x-sum"[..], &b"2"[..])]
    );
}

/// A backend that is silent between two chunks owes nothing: an event stream may be.
#[test]
fn what_a_chunked_body_owes_is_what_it_has_announced() {
    for (body, owes) in [
        ("", false),
        ("5", true),
        ("5\r\n", true),
        ("5\r\nhel", true),
        ("5\r\nhello", true),
        ("5\r\nhello\r\n", false),
        ("5\r\nhello\r\n0", true),
        ("5\r\nhello\r\n0\r\n", true),
    ] {
        let (mut decoder, mut at) = (ChunkedDecoder::default(), 0);
        while let Ok(Decoded::Data { skip, data }) =
            decoder.decode(&body.as_bytes()[at..], LIMITS, &mut Fields::new())
            && skip + data > 0
        {
            at += skip + data;
        }
        assert_eq!(decoder.owes(), owes, "{body:?}");
    }
}

#[test]
fn a_status_line_that_is_too_long_is_refused_before_its_end() {
    for (length, refused) in [(LIMITS.first_line, false), (LIMITS.first_line + 1, true)] {
        let text = format!("{:a<length$}", "HTTP/1.1 200 ");
        let read = ResponseHead::default().parse(text.as_bytes(), &Method::GET, LIMITS);
        assert_eq!(
            read.err(),
            refused.then_some(Malformed::StatusLine),
            "{length}"
        );
    }
}

#[test]
fn a_request_for_a_tunnel_has_no_path_of_a_former_request() {
    let mut head = RequestHead::default();
    head.parse(b"GET /former?x HTTP/1.1\r\nHost: a\r\n\r\n", LIMITS)
        .unwrap()
        .unwrap();
    head.parse(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", LIMITS)
        .unwrap()
        .unwrap();
    assert_eq!((head.raw_path(), head.query()), ("/", None));
}

#[test]
fn what_a_response_may_say_crosses() {
    let text = b"HTTP/1.1 200 OK\r\nProxy-Status: a; error=timeout\r\nProxy-Authenticate: x\r\nproxy_status: 1\r\nVia: 1.1 a\r\n\r\n";
    let mut head = ResponseHead::default();
    head.parse(text, &Method::GET, LIMITS).unwrap().unwrap();
    let names: Vec<&[u8]> = head.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"proxy-status"[..], b"via"]);
}

#[test]
fn trailers_without_an_end_are_refused_as_soon_as_they_are_too_many_bytes() {
    for (length, refused) in [(1024, false), (1025, true)] {
        let text = format!("0\r\nx: {}", "a".repeat(length - 3));
        let decoded = ChunkedDecoder::default().decode(text.as_bytes(), LIMITS, &mut Fields::new());
        assert_eq!(
            decoded == Err(Malformed::HeadTooLarge),
            refused,
            "{length} bytes: {decoded:?}"
        );
    }
}
