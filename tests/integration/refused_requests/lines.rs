//! Lines end in CR LF, and a field is a token, a colon and a value.

use super::assert_refused;

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
