//! Values that are wrong by themselves.

use super::*;

#[test]
fn wrong_values_are_errors_that_say_what_to_write() {
    let cases = [
        ("workers = 0", 1, "workers", "write 1 to 1024"),
        ("listen = []", 1, "listen", "is empty"),
        ("listen = \"8080\"", 1, "listen", "\"0.0.0.0:8080\""),
        ("listen = \":8080\"", 1, "listen", "\"0.0.0.0:8080\""),
        ("listen = \"70000\"", 1, "listen", "0 to 65535"),
        ("listen = \"10.0.0.1\"", 1, "listen", "10.0.0.1:8080"),
        ("listen = \"::1\"", 1, "listen", "[::1]:8080"),
        ("listen = \"here:80\"", 1, "listen", "IP:PORT"),
        (
            "listen = [\n\"127.0.0.1:80\",\n\"127.0.0.1:80\"]",
            3,
            "listen",
            "twice",
        ),
        (
            "[admin]\nlisten = \"no\"",
            2,
            "admin.listen",
            "\"off\" switches",
        ),
        (
            "[admin]\nlisten = \"0.0.0.0:9090\"",
            2,
            "admin.listen",
            "WAYPOST_ADMIN_TOKEN",
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:8080\"",
            2,
            "admin.listen",
            "where clients connect",
        ),
        ("[admin]\ntoken = \"\"", 2, "admin.token", "not a token"),
        (
            "[admin]\ntoken = \"two words\"",
            2,
            "admin.token",
            "not a token",
        ),
        (
            "[stats]\npath = \"stats\"",
            2,
            "stats.path",
            "begin it with `/`",
        ),
        (
            "[limits]\nheader-bytes = \"2GiB\"",
            2,
            "limits.header-bytes",
            "out of range",
        ),
        (
            "[limits]\nbody-bytes = \"2 cups\"",
            2,
            "limits.body-bytes",
            "not a size",
        ),
        (
            "[limits]\nrequest-line = \"64KiB\"",
            2,
            "limits.request-line",
            "more than `header-bytes`",
        ),
        (
            "[limits]\nhalf-close = \"no\"",
            2,
            "limits.half-close",
            "\"abort\" or \"allow\"",
        ),
        ("[limits]\nhalf-close = true", 2, "limits.half-close", ""),
        (
            "[timeouts]\nlinger = \"-1s\"",
            2,
            "timeouts.linger",
            "not a duration",
        ),
        (
            "[limits]\nheader-count = -1",
            2,
            "limits.header-count",
            "out of range",
        ),
        (
            "[timeouts]\nidle = \"soon\"",
            2,
            "timeouts.idle",
            "not a duration",
        ),
        ("[timeouts]\nidle = 10", 2, "timeouts.idle", "\"10s\""),
        (
            "[timeouts]\nidle = \"0s\"",
            2,
            "timeouts.idle",
            "out of range",
        ),
        (
            "[timeouts]\nidle = \"2days\"",
            2,
            "timeouts.idle",
            "out of range",
        ),
        (
            "[forwarded]\ntrusted = [\"10.0.0.0/33\"]",
            2,
            "forwarded.trusted",
            "not a network",
        ),
        (
            "[access-log]\nrequests = \"some\"",
            2,
            "access-log.requests",
            "\"refused\"",
        ),
        ("[access-log]\npath = \"\"", 2, "access-log.path", "path"),
        ("[record]\nsample = 1", 1, "record", "has no `file`"),
        (
            "[record]\nfile = \"a\"\nsample = \"1\"",
            3,
            "record.sample",
            "\"100%\"",
        ),
        (
            "[record]\nfile = \"a\"\nsample = \"101%\"",
            3,
            "record.sample",
            "not a share",
        ),
        (
            "[record]\nfile = \"a\"\nsample = 1.5",
            3,
            "record.sample",
            "out of range",
        ),
        (
            "[record]\nfile = \"a\"\nsample = true",
            3,
            "record.sample",
            "a number",
        ),
        (
            "[record]\nfile = \"a\"\nredact = [\"a b\"]",
            3,
            "record.redact",
            "name of a header field",
        ),
        (
            "[record]\nfile = \"a\"\nredact-query = 1",
            3,
            "record.redact-query",
            "true or false",
        ),
        (
            "[record]\nfile = \"a\"\nmax-bytes = \"1023KiB\"",
            3,
            "record.max-bytes",
            "out of range",
        ),
        (
            "[record]\nfile = \"a\"\npolicies = []",
            3,
            "record.policies",
            "is empty",
        ),
        (
            "[record]\nfile = \"a\"\npolicies = [\"nobody\"]",
            3,
            "record.policies",
            "neither a route nor `[forward]` names a policy \"nobody\"",
        ),
    ];
    for (text, line, key, words) in cases {
        assert_error(text, line, key, words);
    }
}
