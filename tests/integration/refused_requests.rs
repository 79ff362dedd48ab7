//! Requests that two readers could understand in two ways: refused with 400, the connection closed,
//! and not one byte of them at a backend. The rules are those of RFC 9110 and RFC 9112; the shapes
//! are those that real servers have disagreed about.

mod chunks;
mod hosts;
mod lines;
mod request_lines;

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
