//! What a route changes: how it is written, and mistakes in it.

use super::*;

fn route(rest: &str) -> String {
    format!("[pools]\np = {{ backends = \"b\" }}\n[[routes]]\npool = \"p\"\n{rest}")
}

fn edits(rest: &str) -> RouteEdits {
    load(&route(rest)).routes.remove(0).edits
}

#[test]
fn edits_mean_what_they_say() {
    assert!(edits("").is_empty());
    let all = edits(
        "path = \"/api\"\nstrip-prefix = true\nhost-rewrite = \"in.test:81\"\n\
         request-headers = { remove = [\"Cookie\"], set = { x-n = 1 } }\n\
         response-headers = { add = { X-A = [\"1\", \"2\"] } }\n\
         cors = { origins = [\"HTTPS://A.test:443\", \"http://*.b.test:81\", \"null\"], \
         credentials = true, headers = \"*\", expose = [\"x-a\"], max-age = \"1m\" }\n\
         methods = [\"PUT\"]",
    );
    let shown = "strip-prefix, host-rewrite in.test:81, request-headers, response-headers, cors";
    assert_eq!(all.to_string(), shown);
    let rewrite = all.rewrite.unwrap();
    assert_eq!(
        (&*rewrite.base, rewrite.stripped.as_deref()),
        ("", Some("/api"))
    );
    assert_eq!(all.host, Some(HostRewrite::To("in.test:81".to_owned())));
    assert_eq!(all.request.remove, ["cookie"]);
    let fixed = |name: &str, value: &str| (name.to_owned(), FieldValue::Fixed(value.into()));
    assert_eq!(all.request.set, [fixed("x-n", "1")]);
    assert_eq!(all.response.add, [fixed("x-a", "1"), fixed("x-a", "2")]);
    let cors = all.cors.unwrap();
    for origin in ["https://a.test", "http://x.b.test:81", "null"] {
        assert!(cors.reader(Some(origin.as_bytes())).is_some(), "{origin}");
    }
    assert_eq!(cors.methods, CorsList::These("PUT".to_owned()));
    assert_eq!((cors.headers, cors.max_age), (CorsList::All, Some(60)));
    let other = edits("rewrite = \"/v2{path}\"\nhost-rewrite = { backend = true }");
    assert_eq!(
        other.to_string(),
        "rewrite /v2{path}, host-rewrite of the backend"
    );
    assert_eq!(other.rewrite.unwrap().base, "/v2");
}

#[test]
fn redirects_are_turned_round_where_the_rewrite_can_be() {
    let location = |rest: &str| {
        let location = edits(rest).location?;
        Some((location.below, location.prefix, location.paths))
    };
    let are = |below: &str, prefix: &str, paths| Some((below.to_owned(), prefix.to_owned(), paths));
    let prefix = "path = \"/api\"\n";
    for (rest, expected) in [
        ("", None),
        ("host-rewrite = \"a\"", are("", "", false)),
        ("host-rewrite = \"a\"\nlocation-rewrite = \"off\"", None),
        ("rewrite = \"/v2{path}\"", are("/v2", "", false)),
        ("rewrite = \"/fixed\"", None),
        ("rewrite = \"/v2{path}/x\"", None),
        ("rewrite = \"/v2?p={path}\"", None),
        ("location-rewrite = \"off\"", None),
    ] {
        assert_eq!(location(rest), expected, "{rest}");
    }
    for (rest, expected) in [
        ("strip-prefix = true", are("", "/api", false)),
        (
            "strip-prefix = true\nlocation-rewrite = \"paths\"",
            are("", "/api", true),
        ),
        ("rewrite = \"/v2/{rest}\"", are("/v2", "/api", false)),
    ] {
        assert_eq!(location(&format!("{prefix}{rest}")), expected, "{rest}");
    }
}

#[test]
fn fields_name_their_route() {
    let of =
        edits("path = \"/api\"\nresponse-headers = { set = { x-route = \"{route} {pool}\" } }");
    assert!(of.says_pool && !of.says_id);
    let [(_, FieldValue::Filled(template))] = &of.of_route("a.test/api").response.set[..] else {
        panic!()
    };
    let text = |text: &str| FieldPiece::Text(text.into());
    let pool = FieldPiece::Fact(Fact::Pool);
    assert_eq!(template.pieces, [text("a.test/api"), text(" "), pool]);
}

#[test]
fn wrong_edits_are_errors() {
    for (line, key, words) in [
        ("strip-prefix = true", "strip-prefix", "needs a prefix"),
        (
            "path = { exact = \"/a\" }\nstrip-prefix = true",
            "strip-prefix",
            "needs a prefix",
        ),
        (
            "path = \"/a\"\nstrip-prefix = true\nrewrite = \"/b\"",
            "strip-prefix",
            "beside `rewrite`",
        ),
        ("strip-prefix = 1", "strip-prefix", "true or false"),
        ("rewrite = \"b\"", "rewrite", "begin it with `/`"),
        ("rewrite = \"{rest}\"", "rewrite", "strip-prefix = true"),
        (
            "rewrite = \"https://b.test/\"",
            "rewrite",
            "begin it with `/`",
        ),
        ("rewrite = \"//b.test\"", "rewrite", "two slashes"),
        ("rewrite = \"/a//{path}\"", "rewrite", "two slashes"),
        ("rewrite = \"/a/../b\"", "rewrite", "segments"),
        ("rewrite = \"/a/%2e%2E/{path}\"", "rewrite", "segments"),
        ("rewrite = \"/a b\"", "rewrite", "percent-encode"),
        ("rewrite = \"/a\\\\b\"", "rewrite", "percent-encode"),
        ("rewrite = \"/a#b\"", "rewrite", "fragment"),
        ("rewrite = \"/{1}\"", "rewrite", "not known"),
        ("rewrite = \"/{host}\"", "rewrite", "not known"),
        ("rewrite = \"/{path\"", "rewrite", "without its"),
        (
            "path = { exact = \"/a\" }\nrewrite = \"/b{rest}\"",
            "rewrite",
            "has {rest}",
        ),
        (
            "path = { regex = '^/(a)' }\nrewrite = \"/{2}\"",
            "rewrite",
            "not known",
        ),
        ("location-rewrite = \"on\"", "location-rewrite", "\"urls\""),
        (
            "location-rewrite = \"urls\"",
            "location-rewrite",
            "no effect",
        ),
        (
            "path = { regex = '^/(a)' }\nrewrite = \"/{1}\"\nlocation-rewrite = \"paths\"",
            "location-rewrite",
            "turned round",
        ),
        (
            "request-headers = { set = { x-a = \"{remote_addr}\" } }",
            "request-headers.set.x-a",
            "write {client}",
        ),
        ("host-rewrite = \"a b\"", "host-rewrite", "not a host"),
        ("host-rewrite = \"https://a\"", "host-rewrite", "not a host"),
        ("host-rewrite = \"\"", "host-rewrite", "not a host"),
        (
            "host-rewrite = { backend = false }",
            "host-rewrite",
            "says no host",
        ),
        (
            "host-rewrite = { backends = true }",
            "host-rewrite.backends",
            "did you mean",
        ),
        ("request-headers = {}", "request-headers", "changes nothing"),
        (
            "request-headers = { set = { host = \"a\" } }",
            "request-headers.set.host",
            "write `host-rewrite`",
        ),
        (
            "request-headers = { add = { x-forwarded-for = \"a\" } }",
            "request-headers.add.x-forwarded-for",
            "writes or checks itself",
        ),
        (
            "response-headers = { remove = [\"content_length\"] }",
            "response-headers.remove",
            "writes or checks itself",
        ),
        (
            "response-headers = { set = { a = \"b\\r\\nc: d\" } }",
            "response-headers.set.a",
            "control",
        ),
        (
            "response-headers = { set = { a = 1 }, remove = [\"A\"] }",
            "response-headers.remove",
            "replaced by `set`",
        ),
        (
            "response-headers = { put = {} }",
            "response-headers.put",
            "unknown key",
        ),
        ("cors = {}", "cors", "names no `origins`"),
        (
            "cors = { origins = [\"a.test\"] }",
            "cors.origins",
            "not an origin",
        ),
        (
            "cors = { origins = \"https://a.test/\" }",
            "cors.origins",
            "more than a scheme",
        ),
        (
            "cors = { origins = \"https://*\" }",
            "cors.origins",
            "has no host",
        ),
        (
            "cors = { origins = \"https://a.*.test\" }",
            "cors.origins",
            "has no host",
        ),
        (
            "cors = { origins = \"https://a.test:x\" }",
            "cors.origins",
            "has no host",
        ),
        (
            "cors = { origins = \"://a.test\" }",
            "cors.origins",
            "has no scheme",
        ),
        (
            "cors = { origins = [\"*\", \"https://a.test\"] }",
            "cors",
            "all of them",
        ),
        (
            "cors = { origins = \"*\", credentials = true }",
            "cors",
            "browsers don't accept",
        ),
        (
            "cors = { origins = \"null\", credentials = true, expose = \"*\" }",
            "cors",
            "`expose`",
        ),
        (
            "cors = { origins = \"null\", max-age = \"25h\" }",
            "cors.max-age",
            "out of range",
        ),
        (
            "cors = { origins = \"null\", methods = [\"get\"] }",
            "cors.methods",
            "write \"GET\"",
        ),
        (
            "cors = { origins = \"*\" }\n\
             response-headers = { set = { access-control-allow-origin = \"*\" } }",
            "cors",
            "remove one",
        ),
    ] {
        let found = errors(&route(line));
        let first = found.first().unwrap_or_else(|| panic!("{line}"));
        assert!(
            first.to_string().contains(&format!("`routes.{key}`")),
            "{line}: {first}"
        );
        assert!(first.message.contains(words), "{line}: {first}");
    }
}

#[test]
fn a_route_that_answers_has_no_edits_of_requests() {
    for line in [
        "strip-prefix = true",
        "rewrite = \"/\"",
        "host-rewrite = \"a\"",
        "request-headers = { remove = [\"a\"] }",
    ] {
        let key = line.split(' ').next().unwrap();
        let found = errors(&format!(
            "[[routes]]\npath = \"/a\"\nredirect = \"/b\"\n{line}"
        ));
        assert!(
            found[0].message.contains(&format!("remove `{key}`")),
            "{}",
            found[0]
        );
    }
    let text = "[[routes]]\nrespond = {}\nresponse-headers = { set = { a = 1 } }\n\
                cors = { origins = \"*\" }\n";
    assert_eq!(
        load(text).routes[0].edits.to_string(),
        "response-headers, cors"
    );
}
