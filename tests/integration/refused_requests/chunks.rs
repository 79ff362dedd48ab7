//! Bodies that are not correctly chunked.

use super::{Case, refusal};
use crate::fixtures::{TestProxy, TestUpstream};

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
