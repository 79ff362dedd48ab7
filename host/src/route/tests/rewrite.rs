//! The path that backends get.

use std::path::Path;

use super::*;
use crate::config::Config;

/// What becomes of these targets on a route with these keys; `None` for what is refused.
#[track_caller]
fn assert_rewritten(keys: &str, cases: &[(&str, Option<&str>)]) {
    let text = format!("[pools]\np = {{ backends = \"b\" }}\n[[routes]]\npool = \"p\"\n{keys}\n");
    let config = Config::from_toml(&text, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
    let rewrite = config.routes[0].edits.rewrite.clone().unwrap();
    for (target, wanted) in cases {
        let made = rewritten(&rewrite, &asked("a.test", target));
        assert_eq!(made.as_deref(), *wanted, "{keys}: {target}");
    }
}

#[test]
fn a_prefix_is_stripped_at_a_segment_and_a_slash_is_left() {
    assert_rewritten(
        "path = \"/api\"\nstrip-prefix = true",
        &[
            ("/api", Some("/")),
            ("/api/", Some("/")),
            ("/api?a=b", Some("/?a=b")),
            ("/api/x/y?", Some("/x/y?")),
            ("/%61pi/%7Ex/%2f", Some("/~x/%2F")),
            ("/api;v=1", Some("/;v=1")),
            ("//api//evil.test/", Some("/evil.test/")),
            ("/x/../api/./y", Some("/y")),
            ("/api/a\\b[1]|\"", Some("/a%5Cb%5B1%5D%7C%22")),
            ("/api/%", Some("/%25")),
        ],
    );
}

#[test]
fn a_template_says_path_and_query() {
    assert_rewritten(
        "path = \"/a\"\nrewrite = \"/v2{rest}\"",
        &[
            ("/a", Some("/v2")),
            ("/a/", Some("/v2/")),
            ("/a/x?y", Some("/v2/x?y")),
            ("/a;x", Some("/v2;x")),
        ],
    );
    assert_rewritten(
        "rewrite = \"/v2/{path}?from={path}\"",
        &[
            ("/x&y?z=1", Some("/v2/x&y?from=/x%26y")),
            ("/", Some("/v2/?from=/")),
        ],
    );
    assert_rewritten(
        "path = \"/a\"\nrewrite = \"/one?\"",
        &[("/a/b?c", Some("/one"))],
    );
    assert_rewritten(
        "path = { regex = '^/u/(?<user>[^/]+)/(.*)$' }\nrewrite = \"/{2}/of/{user}\"",
        &[
            ("/u/%40me/a/b?c", Some("/a/b/of/@me?c")),
            ("/u/%22/x", Some("/x/of/%22")),
            ("/u/me/", Some("/of/me")),
        ],
    );
}

/// `/..%2F` is a way out to some servers, and the operator has not opened it.
#[test]
fn no_server_reads_what_is_made_as_a_path_above_what_was_written() {
    assert_rewritten(
        "rewrite = \"/v2{path}\"",
        &[
            ("/a/..%2fb", Some("/v2/a/..%2Fb")),
            ("/..%2fadmin", None),
            ("/a/..%2f..%2f..%2fadmin", None),
            ("/..;/admin", None),
            ("/..%5cadmin", None),
            ("/..%252fadmin", None),
            ("/../../admin", Some("/v2/admin")),
        ],
    );
    assert_rewritten(
        "path = { regex = '^/f/(.*)$' }\nrewrite = \"/data/.{1}\"",
        &[
            ("/f/x", Some("/data/.x")),
            ("/f/.", Some("/data/")),
            ("/f/./x", Some("/data/.x")),
        ],
    );
    assert_rewritten(
        "path = { regex = '^/f(.*)$' }\nrewrite = \"/data/.{1}\"",
        &[("/f./x", None), ("/fx", Some("/data/.x"))],
    );
}
