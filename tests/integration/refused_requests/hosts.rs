//! A request has one sound host.

use super::assert_refused;

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
