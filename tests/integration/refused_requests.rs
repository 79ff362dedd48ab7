//! Requests that two readers could understand in two ways: refused with 400, the connection closed,
//! and not one byte of them at a backend. The rules are those of RFC 9110 and RFC 9112; the shapes
//! are those that real servers have disagreed about.

use crate::fixtures::{Client, TestProxy, TestUpstream};

/// What follows each case on its connection: if a backend ever sees it, a request was smuggled.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

type Case = (&'static str, &'static [u8]);

/// Sends each case on a connection of its own.
fn assert_refused(cases: &[Case], status: u16) {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut failures = Vec::new();
    for (name, bytes) in cases {
        if let Err(why) = refusal(&proxy, bytes, status) {
            failures.push(format!("{name}: {why}"));
        }
        let reached = upstream.received().len();
        if reached > 0 {
            failures.push(format!(
                "{name}: reached the backend: {:?}",
                upstream.received()
            ));
            break;
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    assert_eq!(
        proxy.get("a.test", "/").text(),
        "reached",
        "the proxy still works"
    );
}

fn refusal(proxy: &TestProxy, bytes: &[u8], status: u16) -> Result<(), String> {
    let mut client = Client::connect(proxy.address());
    client.send_what_is_taken([bytes, SMUGGLED].concat());
    let response = client
        .try_response_to("GET")
        .map_err(|e| format!("no answer: {e:?}"))?;
    if response.status != status {
        return Err(format!("{} {}", response.status, response.text()));
    }
    if !response.closes() {
        return Err("does not say `Connection: close`".to_owned());
    }
    if response.text().trim().is_empty() {
        return Err("does not say why".to_owned());
    }
    match client.try_response_to("GET") {
        Err(crate::fixtures::ReadError::Closed | crate::fixtures::ReadError::Reset) => Ok(()),
        other => Err(format!("the connection went on: {other:?}")),
    }
}

/// A request whose head has `$fields` after its Host, with a body of five bytes.
macro_rules! post {
    ($fields:literal) => {
        concat!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\n",
            $fields,
            "\r\n\r\nhello"
        )
        .as_bytes()
    };
}

#[test]
fn content_length_is_one_plain_decimal_number() {
    assert_refused(
        &[
            ("two that differ", post!("Content-Length: 5\r\nContent-Length: 6")),
            ("two that agree", post!("Content-Length: 5\r\nContent-Length: 5")),
            ("two in different cases", post!("content-length: 5\r\nCONTENT-LENGTH: 0")),
            ("a list that agrees", post!("Content-Length: 5, 5")),
            ("a list that differs", post!("Content-Length: 5, 6")),
            ("a list of nothing", post!("Content-Length: ,")),
            ("an empty member", post!("Content-Length: 5,")),
            ("negative", post!("Content-Length: -5")),
            ("negative zero", post!("Content-Length: -0")),
            ("plus sign", post!("Content-Length: +5")),
            ("hexadecimal", post!("Content-Length: 0x5")),
            ("hexadecimal digits", post!("Content-Length: a")),
            ("octal", post!("Content-Length: 0o5")),
            ("underscore", post!("Content-Length: 5_0")),
            ("a space inside", post!("Content-Length: 5 0")),
            ("a tab inside", post!("Content-Length: 5\t0")),
            ("empty", post!("Content-Length:")),
            ("only white space", post!("Content-Length:   ")),
            ("a word", post!("Content-Length: five")),
            ("a fraction", post!("Content-Length: 5.0")),
            ("an exponent", post!("Content-Length: 5e0")),
            ("a parameter", post!("Content-Length: 5;x=1")),
            ("quoted", post!("Content-Length: \"5\"")),
            ("one more than 64 bits hold", post!("Content-Length: 18446744073709551616")),
            ("many digits", post!("Content-Length: 99999999999999999999999999999999999999")),
            ("wraps around to 5", post!("Content-Length: 18446744073709551621")),
            ("vertical tab after it", post!("Content-Length: 5\x0b")),
            ("form feed before it", post!("Content-Length: \x0c5")),
            (
                "digits of another script",
                "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: \u{ff15}\r\n\r\nhello".as_bytes(),
            ),
            ("no-break space", b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: \xa05\r\n\r\nhello"),
            ("NUL after it", post!("Content-Length: 5\0")),
            ("on a GET", b"GET /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello"),
        ],
        400,
    );
}

#[test]
fn transfer_encoding_is_exactly_chunked_and_never_beside_a_length() {
    assert_refused(
        &[
            ("before a length", post!("Transfer-Encoding: chunked\r\nContent-Length: 5")),
            ("after a length", post!("Content-Length: 5\r\nTransfer-Encoding: chunked")),
            ("beside a length of 0", post!("Content-Length: 0\r\nTransfer-Encoding: chunked")),
            ("identity beside a length", post!("Content-Length: 5\r\nTransfer-Encoding: identity")),
            ("empty beside a length", post!("Content-Length: 5\r\nTransfer-Encoding:")),
            ("identity", post!("Transfer-Encoding: identity")),
            ("identity, chunked", post!("Transfer-Encoding: identity, chunked")),
            ("chunked, identity", post!("Transfer-Encoding: chunked, identity")),
            ("gzip", post!("Transfer-Encoding: gzip")),
            ("gzip, chunked", post!("Transfer-Encoding: gzip, chunked")),
            ("chunked, gzip", post!("Transfer-Encoding: chunked, gzip")),
            ("deflate, chunked", post!("Transfer-Encoding: deflate, chunked")),
            ("a leading comma", post!("Transfer-Encoding: ,chunked")),
            ("a trailing comma", post!("Transfer-Encoding: chunked,")),
            ("chunked twice in a list", post!("Transfer-Encoding: chunked, chunked")),
            ("chunked twice in two lines", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
            ("two lines, the last identity", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")),
            ("two lines, the first identity", post!("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked")),
            ("two lines, the last empty", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding:")),
            ("two lines far apart", post!("Transfer-Encoding: chunked\r\nX-A: b\r\nX-C: d\r\ntransfer-encoding: cow")),
            ("xchunked", post!("Transfer-Encoding: xchunked")),
            ("chunkedx", post!("Transfer-Encoding: chunkedx")),
            ("chunk", post!("Transfer-Encoding: chunk")),
            ("quoted", post!("Transfer-Encoding: \"chunked\"")),
            ("single quotes", post!("Transfer-Encoding: 'chunked'")),
            ("a parameter", post!("Transfer-Encoding: chunked;q=1")),
            ("a semicolon", post!("Transfer-Encoding: chunked;")),
            ("words", post!("Transfer-Encoding: chunked foo")),
            ("an equals sign", post!("Transfer-Encoding: =chunked")),
            ("empty", post!("Transfer-Encoding:")),
            ("vertical tab before", post!("Transfer-Encoding: \x0bchunked")),
            ("vertical tab after", post!("Transfer-Encoding: chunked\x0b")),
            ("form feed before", post!("Transfer-Encoding: \x0cchunked")),
            ("NUL after", post!("Transfer-Encoding: chunked\0")),
            ("NUL inside", post!("Transfer-Encoding: chu\0nked")),
            ("backspace", post!("Transfer-Encoding: chunked\x08")),
            ("no-break space", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n"),
            ("byte above ASCII", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \xffchunked\r\n\r\n0\r\n\r\n"),
            ("folded", post!("Transfer-Encoding:\r\n chunked")),
            ("folded with a tab", post!("Transfer-Encoding:\r\n\tchunked")),
            ("folded after the value", post!("Transfer-Encoding: chunked\r\n ")),
            ("folded to look like a list", post!("Transfer-Encoding: chunked\r\n , identity")),
            ("a space before the colon", post!("Transfer-Encoding : chunked")),
            ("a tab before the colon", post!("Transfer-Encoding\t: chunked")),
            ("NUL before the colon", post!("Transfer-Encoding\0: chunked")),
            ("a space in the name", post!("Transfer Encoding: chunked")),
            ("a space before the hyphen", post!("Transfer -Encoding: chunked")),
            ("a long s in the name", "POST /x HTTP/1.1\r\nHost: a.test\r\nTran\u{17f}fer-Encoding: chunked\r\n\r\n0\r\n\r\n".as_bytes()),
            ("a dotless i in the name", "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encod\u{131}ng: chunked\r\n\r\n0\r\n\r\n".as_bytes()),
            ("a soft hyphen in the name", b"POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer\xadEncoding: chunked\r\n\r\n0\r\n\r\n"),
            ("a control byte before the name", post!("\x01Transfer-Encoding: chunked")),
            ("no name and two colons", post!(":Transfer-Encoding: chunked")),
            ("a bare CR before the name", post!("X: y\rTransfer-Encoding: chunked")),
            ("a bare LF before the name", post!("X: y\nTransfer-Encoding: chunked")),
            ("CR at the end of the value", post!("Transfer-Encoding: chunked\r")),
            ("HTTP/1.0", b"POST /x HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("HTTP/1.0 and a length", b"POST /x HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello"),
            ("HTTP/1.0 and keep-alive", b"POST /x HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("on a GET", b"GET /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip\r\n\r\n"),
            ("on a HEAD beside a length", b"HEAD /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
        ],
        400,
    );
}

#[test]
fn lines_end_in_cr_lf_and_fields_are_a_token_a_colon_and_a_value() {
    assert_refused(
        &[
            (
                "LF after the request line",
                b"GET /x HTTP/1.1\nHost: a.test\r\n\r\n",
            ),
            (
                "LF after a field",
                b"GET /x HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n",
            ),
            (
                "LF after the last field",
                b"GET /x HTTP/1.1\r\nHost: a.test\n\r\n",
            ),
            (
                "LF as the empty line",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\n\n",
            ),
            ("LF everywhere", b"GET /x HTTP/1.1\nHost: a.test\n\n"),
            (
                "LF before the request line",
                b"\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "CR after the request line",
                b"GET /x HTTP/1.1\rHost: a.test\r\n\r\n",
            ),
            ("CR everywhere", b"GET /x HTTP/1.1\rHost: a.test\r\r"),
            (
                "CR in the request line",
                b"GET /x\r HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "CR in a value",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: a\rb\r\n\r\n",
            ),
            (
                "CR in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX\ra: b\r\n\r\n",
            ),
            ("CR CR LF", b"GET /x HTTP/1.1\r\nHost: a.test\r\r\n\r\n"),
            (
                "CR before the request line",
                b"\rGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "CR CR LF as the empty line",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\r\n",
            ),
            (
                "NUL in a value",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: a\0b\r\n\r\n",
            ),
            (
                "NUL in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX\0a: b\r\n\r\n",
            ),
            (
                "NUL in the target",
                b"GET /\0x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "NUL in the method",
                b"G\0ET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "NUL before the request line",
                b"\0GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a control byte in a value",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: a\x01b\r\n\r\n",
            ),
            (
                "escape in a value",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: \x1b[31m\r\n\r\n",
            ),
            (
                "delete in a value",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: \x7f\r\n\r\n",
            ),
            (
                "a space before the colon",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n",
            ),
            (
                "a tab before the colon",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX\t: y\r\n\r\n",
            ),
            (
                "a space before Content-Length's colon",
                b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length : 5\r\n\r\nhello",
            ),
            (
                "a space before the first field",
                b"GET /x HTTP/1.1\r\n Host: a.test\r\n\r\n",
            ),
            (
                "a tab before the first field",
                b"GET /x HTTP/1.1\r\n\tX: y\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a folded value",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n",
            ),
            (
                "a value folded with a tab",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: a\r\n\tb\r\n\r\n",
            ),
            (
                "a folded Host",
                b"GET /x HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n",
            ),
            (
                "a line of white space",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\n \r\n\r\n",
            ),
            (
                "no colon",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX-No-Colon\r\n\r\n",
            ),
            ("no name", b"GET /x HTTP/1.1\r\nHost: a.test\r\n: y\r\n\r\n"),
            (
                "a space in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX y: z\r\n\r\n",
            ),
            (
                "brackets in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\n[X]: y\r\n\r\n",
            ),
            (
                "parentheses in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX(y): z\r\n\r\n",
            ),
            (
                "a slash in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX/y: z\r\n\r\n",
            ),
            (
                "quotes in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\n\"X\": y\r\n\r\n",
            ),
            (
                "an at sign in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX@: y\r\n\r\n",
            ),
            (
                "a byte above ASCII in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX\xe9: y\r\n\r\n",
            ),
            (
                "delete in a name",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX\x7f: y\r\n\r\n",
            ),
            (
                "binary garbage",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x8a\r\n\r\n",
            ),
        ],
        400,
    );
}

#[test]
fn a_request_has_one_sound_host() {
    assert_refused(
        &[
            ("none", b"GET /x HTTP/1.1\r\nX: y\r\n\r\n"),
            (
                "none with an absolute target",
                b"GET http://a.test/x HTTP/1.1\r\n\r\n",
            ),
            (
                "two that agree",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
            ),
            (
                "two that differ",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
            ),
            (
                "two apart, one in capitals",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: y\r\nHOST: b.test\r\n\r\n",
            ),
            (
                "two, the second empty",
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nHost:\r\n\r\n",
            ),
            (
                "two in HTTP/1.0",
                b"GET /x HTTP/1.0\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
            ),
            (
                "two with an absolute target",
                b"GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
            ),
            ("empty", b"GET /x HTTP/1.1\r\nHost:\r\n\r\n"),
            ("only white space", b"GET /x HTTP/1.1\r\nHost:  \t\r\n\r\n"),
            ("only a port", b"GET /x HTTP/1.1\r\nHost: :80\r\n\r\n"),
            (
                "a space inside",
                b"GET /x HTTP/1.1\r\nHost: a.test b.test\r\n\r\n",
            ),
            (
                "a tab inside",
                b"GET /x HTTP/1.1\r\nHost: a.test\tb.test\r\n\r\n",
            ),
            (
                "a comma",
                b"GET /x HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
            ),
            (
                "a comma without a space",
                b"GET /x HTTP/1.1\r\nHost: a.test,b.test\r\n\r\n",
            ),
            (
                "user information",
                b"GET /x HTTP/1.1\r\nHost: user@a.test\r\n\r\n",
            ),
            (
                "user and password",
                b"GET /x HTTP/1.1\r\nHost: user:pass@a.test\r\n\r\n",
            ),
            ("a path", b"GET /x HTTP/1.1\r\nHost: a.test/x\r\n\r\n"),
            ("a query", b"GET /x HTTP/1.1\r\nHost: a.test?x\r\n\r\n"),
            ("a fragment", b"GET /x HTTP/1.1\r\nHost: a.test#x\r\n\r\n"),
            ("a backslash", b"GET /x HTTP/1.1\r\nHost: a.test\\x\r\n\r\n"),
            ("a URL", b"GET /x HTTP/1.1\r\nHost: http://a.test\r\n\r\n"),
            (
                "a port that is a word",
                b"GET /x HTTP/1.1\r\nHost: a.test:http\r\n\r\n",
            ),
            (
                "a port too large",
                b"GET /x HTTP/1.1\r\nHost: a.test:65536\r\n\r\n",
            ),
            (
                "a negative port",
                b"GET /x HTTP/1.1\r\nHost: a.test:-1\r\n\r\n",
            ),
            (
                "a signed port",
                b"GET /x HTTP/1.1\r\nHost: a.test:+80\r\n\r\n",
            ),
            (
                "two ports",
                b"GET /x HTTP/1.1\r\nHost: a.test:80:80\r\n\r\n",
            ),
            (
                "an IPv6 address without brackets",
                b"GET /x HTTP/1.1\r\nHost: ::1\r\n\r\n",
            ),
            ("an open bracket", b"GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n"),
            (
                "brackets around a name",
                b"GET /x HTTP/1.1\r\nHost: [a.test]\r\n\r\n",
            ),
            (
                "text after the brackets",
                b"GET /x HTTP/1.1\r\nHost: [::1]x\r\n\r\n",
            ),
            (
                "angle brackets",
                b"GET /x HTTP/1.1\r\nHost: <a.test>\r\n\r\n",
            ),
            ("quotes", b"GET /x HTTP/1.1\r\nHost: \"a.test\"\r\n\r\n"),
            (
                "a control byte",
                b"GET /x HTTP/1.1\r\nHost: a.te\x01st\r\n\r\n",
            ),
            ("NUL", b"GET /x HTTP/1.1\r\nHost: a.test\0.b\r\n\r\n"),
            (
                "a byte above ASCII",
                b"GET /x HTTP/1.1\r\nHost: caf\xe9.test\r\n\r\n",
            ),
            (
                "a bad Host beside a good absolute target",
                b"GET http://a.test/x HTTP/1.1\r\nHost: a b\r\n\r\n",
            ),
            (
                "user information in the target",
                b"GET http://user@a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "no host in the target",
                b"GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a bad port in the target",
                b"GET http://a.test:x/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "another scheme in the target",
                b"GET ftp://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
        ],
        400,
    );
}

#[test]
fn the_request_line_is_a_method_a_target_and_a_version() {
    assert_refused(
        &[
            ("no target", b"GET HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            ("an empty target", b"GET  HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            (
                "two spaces before the target",
                b"GET  /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "two spaces before the version",
                b"GET /x  HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a tab before the target",
                b"GET\t/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a tab before the version",
                b"GET /x\tHTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a vertical tab before the version",
                b"GET /x\x0bHTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a space before the method",
                b" GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a space after the version",
                b"GET /x HTTP/1.1 \r\nHost: a.test\r\n\r\n",
            ),
            (
                "a word after the version",
                b"GET /x HTTP/1.1 x\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a space in the target",
                b"GET /x y HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            ("no method", b"/x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            ("an empty method", b" /x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            (
                "a method with brackets",
                b"GE(T) /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a quoted method",
                b"\"GET\" /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a method with a colon",
                b"GET: /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a method with a byte above ASCII",
                b"G\xc9T /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            ("a fragment", b"GET /x#y HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            (
                "only a fragment",
                b"GET #y HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a relative target",
                b"GET x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            ("only a query", b"GET ?x=y HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            (
                "an authority where there is no CONNECT",
                b"GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a star where there is no OPTIONS",
                b"GET * HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a byte above ASCII in the target",
                b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "an overlong dot in the target",
                b"GET /\xc0\xae HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a control byte in the target",
                b"GET /x\x01y HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "delete in the target",
                b"GET /x\x7f HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            ("no version", b"GET /x\r\nHost: a.test\r\n\r\n"),
            ("HTTP/0.9, without fields", b"GET /x\r\n\r\n"),
            ("no minor version", b"GET /x HTTP/1\r\nHost: a.test\r\n\r\n"),
            (
                "an empty minor version",
                b"GET /x HTTP/1.\r\nHost: a.test\r\n\r\n",
            ),
            (
                "two minor digits",
                b"GET /x HTTP/1.10\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a leading zero",
                b"GET /x HTTP/01.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a lower-case protocol",
                b"GET /x http/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "another protocol",
                b"GET /x HTTPS/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a space in the version",
                b"GET /x HTTP/ 1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a comma in the version",
                b"GET /x HTTP/1,1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "a plus sign in the version",
                b"GET /x HTTP/+1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "hexadecimal version",
                b"GET /x HTTP/0x1.1\r\nHost: a.test\r\n\r\n",
            ),
            ("only a line of white space", b"   \r\nHost: a.test\r\n\r\n"),
            (
                "a response",
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            ),
        ],
        400,
    );
}

#[test]
fn another_version_is_refused_as_such() {
    assert_refused(
        &[
            ("0.9 by name", b"GET /x HTTP/0.9\r\nHost: a.test\r\n\r\n"),
            ("0.0", b"GET /x HTTP/0.0\r\nHost: a.test\r\n\r\n"),
            ("0.1", b"GET /x HTTP/0.1\r\nHost: a.test\r\n\r\n"),
            ("2.1", b"GET /x HTTP/2.1\r\nHost: a.test\r\n\r\n"),
            ("2.0", b"GET /x HTTP/2.0\r\nHost: a.test\r\n\r\n"),
            ("9.9", b"GET /x HTTP/9.9\r\nHost: a.test\r\n\r\n"),
            ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ],
        505,
    );
}

#[test]
fn a_tunnel_is_refused_with_an_answer() {
    assert_refused(
        &[
            (
                "to a host",
                b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
            ),
            (
                "to another host than Host",
                b"CONNECT b.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "with a body",
                b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
            ),
        ],
        405,
    );
    assert_refused(
        &[("to a path", b"CONNECT /x HTTP/1.1\r\nHost: a.test\r\n\r\n")],
        400,
    );
}

#[test]
fn a_trace_is_refused_because_it_would_show_secrets_to_a_script() {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.ask(b"TRACE / HTTP/1.1\r\nHost: a.test\r\nCookie: secret=1\r\n\r\n");
    answer.assert_refusal(405);
    assert!(!answer.text().contains("secret"));
    assert!(upstream.received().is_empty());
}

#[test]
fn an_unknown_expectation_is_refused() {
    assert_refused(
        &[
            ("another word", post!("Expect: 200-ok\r\nContent-Length: 5")),
            (
                "a parameter",
                post!("Expect: 100-continue;x\r\nContent-Length: 5"),
            ),
            ("two", post!("Expect: 100-continue, x\r\nContent-Length: 5")),
            ("empty", post!("Expect:\r\nContent-Length: 5")),
        ],
        417,
    );
}

/// A chunked request whose body is `$body`.
macro_rules! chunked {
    ($body:expr) => {
        concat!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
            $body
        )
        .as_bytes()
    };
}

const BAD_CHUNKS: &[Case] = &[
    ("0x before the size", chunked!("0x5\r\nhello\r\n0\r\n\r\n")),
    ("a plus sign", chunked!("+5\r\nhello\r\n0\r\n\r\n")),
    ("a minus sign", chunked!("-5\r\nhello\r\n0\r\n\r\n")),
    ("an underscore", chunked!("0_5\r\nhello\r\n0\r\n\r\n")),
    (
        "a space before the size",
        chunked!(" 5\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "a tab before the size",
        chunked!("\t5\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "a space inside the size",
        chunked!("0 5\r\nhello\r\n0\r\n\r\n"),
    ),
    ("no size", chunked!("\r\nhello\r\n0\r\n\r\n")),
    (
        "a space in place of the size",
        chunked!(" \r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "a space and an extension in place of the size",
        chunked!(" ;a=b\r\n\r\n"),
    ),
    (
        "a tab and an extension in place of the last size",
        chunked!("5\r\nhello\r\n\t;a=b\r\n\r\n"),
    ),
    ("only an extension", chunked!(";a=b\r\nhello\r\n0\r\n\r\n")),
    ("not a digit", chunked!("g\r\nhello\r\n0\r\n\r\n")),
    (
        "a digit and a letter beyond f",
        chunked!("5z\r\nhello\r\n0\r\n\r\n"),
    ),
    ("a fraction", chunked!("5.0\r\nhello\r\n0\r\n\r\n")),
    ("a comma", chunked!("5,0\r\nhello\r\n0\r\n\r\n")),
    ("quoted", chunked!("\"5\"\r\nhello\r\n0\r\n\r\n")),
    ("h after the size", chunked!("5h\r\nhello\r\n0\r\n\r\n")),
    (
        "more than 64 bits",
        chunked!("10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "many digits",
        chunked!("fffffffffffffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "a very long run of zeros",
        chunked!("0000000000000000000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    ("NUL after the size", chunked!("5\0\r\nhello\r\n0\r\n\r\n")),
    (
        "a vertical tab after the size",
        chunked!("5\x0b\r\nhello\r\n0\r\n\r\n"),
    ),
    ("LF after the size", chunked!("5\nhello\r\n0\r\n\r\n")),
    ("CR after the size", chunked!("5\rhello\r\n0\r\n\r\n")),
    (
        "CR CR LF after the size",
        chunked!("5\r\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "CR and another byte after the size",
        chunked!("5\rX\nhello\r\n0\r\n\r\n"),
    ),
    (
        "CR before an extension",
        chunked!("5\r;a\r\nhello\r\n0\r\n\r\n"),
    ),
    ("LF in an extension", chunked!("5;a\nhello\r\n0\r\n\r\n")),
    (
        "CR in an extension",
        chunked!("5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "NUL in an extension",
        chunked!("5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "a control byte in an extension",
        chunked!("5;a\x01\r\nhello\r\n0\r\n\r\n"),
    ),
    ("no CR LF after the data", chunked!("5\r\nhello0\r\n\r\n")),
    ("LF after the data", chunked!("5\r\nhello\n0\r\n\r\n")),
    ("CR after the data", chunked!("5\r\nhello\r0\r\n\r\n")),
    (
        "two bytes other than CR LF after the data",
        chunked!("5\r\nhelloXX0\r\n\r\n"),
    ),
    (
        "more data than the size says",
        chunked!("5\r\nhello world\r\n0\r\n\r\n"),
    ),
    (
        "less data than the size says",
        chunked!("7\r\nhello\r\n0\r\n\r\n"),
    ),
    ("LF after the last size", chunked!("5\r\nhello\r\n0\n\r\n")),
    (
        "a space before the last size",
        chunked!("5\r\nhello\r\n 0\r\n\r\n"),
    ),
    ("a last size of -0", chunked!("5\r\nhello\r\n-0\r\n\r\n")),
    ("LF as the empty line", chunked!("5\r\nhello\r\n0\r\n\n")),
    (
        "CR and another byte as the empty line",
        chunked!("5\r\nhello\r\n0\r\n\rX"),
    ),
    ("LF after a trailer", chunked!("0\r\nX: y\n\r\n")),
    (
        "a trailer without a colon",
        chunked!("0\r\nX-No-Colon\r\n\r\n"),
    ),
    (
        "a trailer with a space before the colon",
        chunked!("0\r\nX : y\r\n\r\n"),
    ),
    ("a folded trailer", chunked!("0\r\nX: a\r\n b\r\n\r\n")),
    ("NUL in a trailer", chunked!("0\r\nX: a\0b\r\n\r\n")),
    ("a trailer without a name", chunked!("0\r\n: y\r\n\r\n")),
];

/// The head of such a request is sound and may have gone on by the time its body turns out not to
/// be; what matters is that no backend takes it for complete, that nothing after it is taken for a
/// request, and that the client is told.
#[test]
fn a_body_that_is_not_correctly_chunked_is_never_passed_on_as_complete() {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut failures = Vec::new();
    for (name, bytes) in BAD_CHUNKS {
        if let Err(why) = refusal(&proxy, bytes, 400) {
            failures.push(format!("{name}: {why}"));
        }
        if let Some(complete) = upstream.complete().first() {
            failures.push(format!("{name}: taken for complete: {complete:?}"));
            break;
        }
    }
    upstream.wait_until_unused();
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        BAD_CHUNKS.len(),
        failures.join("\n")
    );
    let smuggled = upstream
        .received()
        .into_iter()
        .find(|r| r.target() == "/smuggled");
    assert!(smuggled.is_none(), "{smuggled:?}");
    assert_eq!(
        proxy.get("a.test", "/").text(),
        "reached",
        "the proxy still works"
    );
}

#[test]
fn endless_chunk_extensions_are_refused() {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::in_front_of(&upstream);
    let endless = [
        chunked!("5;"),
        "x".repeat(64 * 1024).as_bytes(),
        b"\r\nhello\r\n0\r\n\r\n",
    ]
    .concat();
    let mut client = proxy.client();
    client.send_what_is_taken(endless);
    // The rest of the line may still be on its way when the proxy has had enough, so a reset is a
    // fair answer as well.
    match client.try_response_to("POST") {
        Ok(response) => assert_eq!(response.status, 400),
        Err(crate::fixtures::ReadError::Reset | crate::fixtures::ReadError::Incomplete(_)) => {}
        Err(other) => panic!("{other:?}"),
    }
    assert!(upstream.complete().is_empty());
}

#[test]
fn a_refusal_is_counted_and_logged_with_its_reason() {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::in_front_of(&upstream);
    let response = proxy.ask(b"GET /x HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n");
    response.assert_refusal(400);
    proxy.logged(&["400", "Host"]);
    assert_eq!(proxy.stat("/requests/by_status/400"), 1);
    assert_eq!(proxy.stat("/requests/total"), 1);
}
