//! Which coding a client gets.

use super::{accepting, compressing, content, of_any_length, text};
use crate::fixtures::Request;

#[test]
fn the_client_says_what_it_takes_and_the_route_what_it_prefers() {
    let upstream = of_any_length();
    let routes = [
        ("true", "br;q=0.9, gzip, zstd;q=0.1", Some("gzip")),
        ("true", "gzip, br, zstd", Some("zstd")),
        ("true", "*", Some("zstd")),
        ("true", "zstd;q=0, *", Some("br")),
        ("true", "identity", None),
        ("true", "identity;q=0", None),
        ("true", "gzip;q=0", None),
        ("true", "deflate", None),
        ("\"gzip\"", "br, gzip;q=0.1", Some("gzip")),
        ("[\"br\", \"gzip\"]", "gzip, br", Some("br")),
        (
            "{ encodings = [\"gzip\", \"br\"] }",
            "gzip, br",
            Some("gzip"),
        ),
        ("{ level = 1 }", "br", Some("br")),
        ("{ level = { br = 6, gzip = 9 } }", "gzip", Some("gzip")),
        ("{ types = \"text/plain\" }", "gzip", None),
        ("{ types = [\"text/*\"], least = 5001 }", "gzip", None),
        ("{ least = 5000 }", "gzip", Some("gzip")),
        ("false", "gzip", None),
    ];
    for (route, accepted, coding) in routes {
        let proxy = compressing(&[upstream.address()], route);
        let answer = proxy.ask(accepting("/length/5000", accepted).bytes());
        assert_eq!(
            answer.value("content-encoding").as_deref(),
            coding,
            "{route} {accepted}"
        );
        assert!(content(&answer) == text(5000));
    }
}

#[test]
fn several_fields_are_one_list_and_none_is_no_wish() {
    let upstream = of_any_length();
    let proxy = compressing(&[upstream.address()], "true");
    let two = accepting("/length/5000", "zstd;q=0.2").field("Accept-Encoding", "gzip;q=0.3");
    let answer = proxy.ask(two.bytes());
    assert_eq!(answer.value("content-encoding").as_deref(), Some("gzip"));
    let none = Request::new("GET", "/length/5000").host("a.test").bytes();
    let answer = proxy.ask(none);
    assert_eq!(answer.value("content-encoding"), None);
    assert_eq!(answer.value("vary").as_deref(), Some("accept-encoding"));
    assert_eq!(answer.value("content-length").as_deref(), Some("5000"));
}
