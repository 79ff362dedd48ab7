use http::Method;

use super::*;

#[test]
fn responses() {
    let mut head = ResponseHead::default();
    let mut parse = |text: &str| {
        parse_response(&mut head, text.as_bytes(), &Method::GET, LIMITS)
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

#[test]
fn a_status_line_that_is_too_long_is_refused_before_its_end() {
    for (length, refused) in [(LIMITS.first_line, false), (LIMITS.first_line + 1, true)] {
        let text = format!("{:a<length$}", "HTTP/1.1 200 ");
        let read = parse_response(
            &mut ResponseHead::default(),
            text.as_bytes(),
            &Method::GET,
            LIMITS,
        );
        assert_eq!(
            read.err(),
            refused.then_some(Malformed::StatusLine),
            "{length}"
        );
    }
}

#[test]
fn what_a_response_may_say_crosses() {
    let text = b"HTTP/1.1 200 OK\r\nProxy-Status: a; error=timeout\r\nProxy-Authenticate: x\r\nproxy_status: 1\r\nVia: 1.1 a\r\n\r\n";
    let mut head = ResponseHead::default();
    parse_response(&mut head, text, &Method::GET, LIMITS)
        .unwrap()
        .unwrap();
    let names: Vec<&[u8]> = head.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"proxy-status"[..], b"via"]);
}

#[test]
fn a_change_of_protocol_is_noted_of_a_101_whose_connection_field_says_so() {
    let both = "Connection: Upgrade\r\nUpgrade: WebSocket\r\n";
    for (status, fields, noted) in [
        (101, both, "WebSocket"),
        (101, "Upgrade: websocket\r\n", ""),
        (101, "Connection: upgrade\r\n", ""),
        (200, both, ""),
        (426, both, ""),
        (103, both, ""),
    ] {
        let text = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        let mut head = ResponseHead::default();
        let parsed = parse_response(&mut head, text.as_bytes(), &Method::GET, LIMITS);
        assert!(parsed.unwrap().is_some());
        assert_eq!(head.upgrade.as_bytes(), noted.as_bytes(), "{text}");
        assert!(head.fields.is_empty(), "{text}");
    }
}
