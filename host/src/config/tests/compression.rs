//! `compress` of a route: how it is written, and mistakes in it.

use super::*;

fn text(compress: &str) -> String {
    format!(
        "[pools.a]\nbackends = \"127.0.0.1:1\"\n[[routes]]\npool = \"a\"\ncompress = {compress}"
    )
}

fn read(compress: &str) -> Option<Compression> {
    load(&text(compress)).routes[0].compress.clone()
}

#[test]
fn a_route_compresses_what_it_says_and_else_nothing() {
    let none = load("[pools.a]\nbackends = \"127.0.0.1:1\"\n[[routes]]\npool = \"a\"");
    assert_eq!(none.routes[0].compress, None);
    assert_eq!(read("false"), None);
    let all = read("true").unwrap();
    let levels = [(Coding::Zstd, 3), (Coding::Br, 4), (Coding::Gzip, 4)];
    assert_eq!((&all.encodings[..], all.least), (&levels[..], 1024));
    assert_eq!(read("\"br\"").unwrap().encodings, [(Coding::Br, 4)]);
    let two = "{ encodings = [\"gzip\", \"br\"], least = \"2KiB\", level = { gzip = 9 } }";
    let two = read(two).unwrap();
    assert_eq!(two.encodings, [(Coding::Gzip, 9), (Coding::Br, 4)]);
    assert_eq!(two.least, 2048);
    let levels = read("{ level = 2 }").unwrap().encodings;
    assert!(levels.iter().all(|(_, level)| *level == 2), "{levels:?}");
}

#[test]
fn a_type_is_taken_that_is_listed_whatever_its_parameters_and_case() {
    let usual = read("true").unwrap();
    let own = read("{ types = [\"text/x-*\", \"application/*+cbor\", \"Image/BMP\"] }").unwrap();
    for (kind, by_default, by_list) in [
        ("text/html; charset=utf-8", true, false),
        ("TEXT/HTML", true, false),
        (" text/plain ;a=b", true, false),
        ("text/event-stream", true, false),
        ("application/json", true, false),
        ("application/problem+json", true, false),
        ("application/jsonx", false, false),
        ("image/svg+xml", true, false),
        ("image/png", false, false),
        ("application/zip", false, false),
        ("application/grpc+json", false, false),
        ("application/grpc-web+json", false, false),
        ("text/x-a", false, true),
        ("application/a+cbor", false, true),
        ("application/+cbor", false, true),
        ("+cbor", false, false),
        ("application/cbor", false, false),
        ("image/bmp", true, true),
        ("", false, false),
        ("text", false, false),
    ] {
        let by_default = by_default || kind == "text/x-a";
        assert_eq!(usual.takes(kind.as_bytes()), by_default, "{kind:?}");
        assert_eq!(own.takes(kind.as_bytes()), by_list, "{kind:?}");
    }
}

#[test]
fn wrong_values_are_errors() {
    for (written, key, words) in [
        ("1", "compress", "a string"),
        ("[]", "compress", "is empty"),
        ("\"deflate\"", "compress", "none of"),
        ("[\"br\", \"br\"]", "compress", "listed twice"),
        ("{ encodings = [] }", "compress.encodings", "is empty"),
        ("{ types = [] }", "compress.types", "is empty"),
        (
            "{ types = [\"text\"] }",
            "compress.types",
            "not a media type",
        ),
        ("{ types = \"*/*\" }", "compress.types", "a second time"),
        (
            "{ types = \"text/a; b=c\" }",
            "compress.types",
            "without parameters",
        ),
        (
            "{ types = \"application/grpc\" }",
            "compress.types",
            "never compressed",
        ),
        ("{ least = -1 }", "compress.least", ""),
        ("{ level = 7 }", "compress.level", "1 to 6"),
        (
            "{ encodings = \"gzip\", level = 10 }",
            "compress.level",
            "1 to 9",
        ),
        ("{ level = { br = 7 } }", "compress.level.br", "1 to 6"),
        ("{ level = { lz = 7 } }", "compress.level.lz", "unknown key"),
        (
            "{ encodings = \"br\", level = { gzip = 7 } }",
            "compress.level.gzip",
            "not among",
        ),
        ("{ lest = 1 }", "compress.lest", "did you mean `least`"),
    ] {
        let found = errors(&text(written));
        let first = found.first().unwrap_or_else(|| panic!("{written}"));
        let key = format!("`routes.{key}`");
        let shown = first.to_string();
        assert!(shown.contains(&key), "{written}: {first}");
        assert!(first.message.contains(words), "{written}: {first}");
        assert_eq!(found.len(), 1, "{written}: {found:?}");
    }
    let answer = "[[routes]]\nrespond = {}\ncompress = true";
    assert_error(answer, 2, "routes.respond", "remove `compress`");
}
