//! The request line, and methods and versions that are not served.

use super::assert_refused;
use crate::fixtures::{TestProxy, TestUpstream};

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
            (
                "not quite the preface of HTTP/2",
                b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
            ),
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
