use proptest::prelude::*;

use super::normal::is_plain;
use super::octets::overlong;
use super::*;

fn notes(path: &str) -> PathNotes {
    normalise(path, &mut String::new())
}

#[test]
fn a_character_in_too_many_bytes_is_read_as_it_is_by_those_that_read_it() {
    for (text, read) in [
        ("%c0%af", Some((b'/', 6))),
        ("%c1%9c", Some((b'\\', 6))),
        ("%e0%80%af", Some((b'/', 9))),
        ("%e0%81%9c", Some((b'\\', 9))),
        ("%f0%80%80%ae", Some((b'.', 12))),
        ("%f0%80%81%9c", Some((b'\\', 12))),
        ("%c3%a4", None),
        ("%e2%82%ac", None),
        ("%c0", None),
        ("%c0a", None),
        ("%e0%80", None),
    ] {
        assert_eq!(overlong(text.as_bytes()), read, "{text}");
    }
}

#[test]
fn one_form_for_all_spellings() {
    for (path, expected) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/", "/a/"),
        ("//", "/"),
        ("//admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/%61%64%6D%69%6e", "/admin"),
        ("/x//../admin", "/admin"),
        ("/x/%2e%2E/admin", "/admin"),
        ("/x/.%2E/admin", "/admin"),
        ("/./admin", "/admin"),
        ("/admin/.", "/admin/"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/../../b", "/b"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a/...", "/a/..."),
        ("/a%2fb%c3%a9", "/a%2Fb%C3%A9"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%zz%4", "/a%25zz%254"),
        ("/%2%65%2e", "/%252e."),
        ("/%7Euser/%2D", "/~user/-"),
        ("/admin%2F..", "/admin%2F.."),
        ("/a;b=c/d", "/a;b=c/d"),
        ("/a\\b", "/a\\b"),
        ("*", "*"),
    ] {
        assert_eq!(normal(path), expected, "{path}");
    }
}

#[test]
fn a_prefix_is_written_in_one_way() {
    for (path, expected) in [
        ("/%61pi//v1/", "/api/v1/"),
        ("/%40me%21", "/@me!"),
        ("/a%2fb%3b%20c", "/a%2Fb%3B%20c"),
        ("/a|b", "/a|b"),
    ] {
        assert_eq!(literal(path), expected, "{path}");
    }
}

#[test]
fn a_normal_path_takes_no_room() {
    for path in ["/", "/a/b", "/.well-known/x", "/a%2Fb", "/a;b", "*", "/a.b"] {
        let mut normal = String::new();
        normalise(path, &mut normal);
        assert_eq!(normal, "", "{path}");
    }
    assert!(
        ["/", "/a/b.c", "/a-b_c~d!$&'()*+,=:@"]
            .iter()
            .all(|path| is_plain(path.as_bytes()))
    );
}

#[test]
fn what_servers_read_differently_is_named() {
    for (path, fault) in [
        ("/a%2fb", "slash"),
        ("/a\\b", "backslash"),
        ("/a%5cb", "backslash"),
        ("/x/..;/admin", ";"),
        ("/x/%2e%2e;a=b/admin", ";"),
        ("/x/..%3b/admin", ";"),
        ("/a%00", "NUL"),
        ("/a%0d%0a", "control"),
        ("/a%7f", "control"),
        ("/a%zz", "percent"),
        ("/a%", "percent"),
        ("/a%4", "percent"),
        ("/..%c0%afadmin", "overlong"),
        ("/%e0%80%af", "overlong"),
        ("/%f0%80%80%af", "overlong"),
        ("/%252e%252e/admin", "twice"),
        ("/%25252e", "twice"),
        ("/%25%32%65", "twice"),
        ("/../admin", "root"),
        ("/x//../admin", "empty"),
    ] {
        let found = notes(path).fault().unwrap_or_else(|| panic!("{path}"));
        assert!(found.contains(fault), "{path}: {found}");
    }
    for path in [
        "/",
        "/%61dmin",
        "//admin",
        "/a/../b",
        "/a%20b",
        "/caf%C3%A9",
        "/caf%E9",
        "/100%25",
        "/a;v=1/b",
        "/%E0%A0%80",
    ] {
        assert_eq!(notes(path).fault(), None, "{path}");
    }
}

#[test]
fn other_readings_are_all_found() {
    for (path, reading) in [
        ("/x/..%2fadmin", "/admin"),
        ("/x%2f..%2fadmin", "/admin"),
        ("/x/..\\admin", "/admin"),
        ("/x%5c..%5Cadmin", "/admin"),
        ("/x/..;/admin", "/admin"),
        ("/admin;a=b", "/admin"),
        ("/x;/../admin", "/admin"),
        ("/x/..;%2fadmin", "/admin"),
        ("/admin%00.png", "/admin"),
        ("/x/..%c0%afadmin", "/admin"),
        ("/x/%c0%ae%c0%ae/admin", "/admin"),
        ("/%2561dmin", "/admin"),
        ("/x/%252e%252e/admin", "/admin"),
        ("/x/..%25252fadmin", "/admin"),
        ("/x/%25%32%65%25%32%65/admin", "/admin"),
        ("/x/%2%65%2%65/admin", "/admin"),
        // Slashes are not merged before dots are resolved.
        ("/admin//../x", "/admin/x"),
        ("///../../x", "/x"),
        ("/admin/a//../../x", "/admin/x"),
        ("/admin//../", "/admin/"),
        ("/x//..%2f..", "/"),
        // What follows two slashes is an authority.
        ("//g/admin", "/admin"),
        ("///g/admin", "/admin"),
        ("//g", "/"),
        ("/\\\\g/admin", "/admin"),
        ("/\\g/admin", "/admin"),
        ("/%2Fg/admin", "/admin"),
        ("//g:80//x/../admin", "/admin"),
        ("/.//g/admin", "/admin"),
        ("/x/%2e%2e//g/admin", "/admin"),
        ("//a//b//c//d/admin", "/admin"),
        // A URL parser takes backslashes for slashes, but not encoded ones.
        ("/x\\..\\admin\\z%5c..%5c..\\y", "/admin/z%5C..%5C../y"),
        // Nothing is resolved.
        ("/admin/../x", "/admin/../x"),
        ("/admin//%2e%2E/x", "/admin/../x"),
        ("/x/..%2f../y", "/x/../../y"),
        // One server decodes the slash, another takes backslashes and parameters as well.
        ("/x/..%2fadmin/y;/../..%5c..", "/admin/..%5C.."),
    ] {
        let notes = notes(path);
        assert!(notes.is_ambiguous(), "{path}");
        let all: Vec<String> = readings(path, notes)
            .unwrap()
            .map(|reading| reading.unwrap().path)
            .collect();
        assert!(all.iter().any(|r| r == reading), "{path}: {all:?}");
    }
    let path = "/%2f\\;%00%c0%af";
    assert!(readings(path, notes(path)).is_none());
    let path = "//a//b//c//d//e/admin";
    assert!(
        readings(path, notes(path))
            .unwrap()
            .any(|reading| reading.is_none())
    );
    assert!(
        ["/%61dmin", "/a//b", "/a/./b", "/a%20b%zz"]
            .iter()
            .all(|path| !notes(path).is_ambiguous())
    );
}

proptest! {
    #[test]
    fn normalising_twice_changes_nothing(path in "(/|\\.|%2e|%2E|%2f|%5c|a|;|%|%25|%c0%af|\\\\){0,24}") {
        let once = normal(&format!("/{path}"));
        prop_assert_eq!(&normal(&once), &once);
        prop_assert!(once.starts_with('/') && !once.contains("//"));
        prop_assert!(!once.split('/').any(|s| s == "." || s == ".."));
    }
}
