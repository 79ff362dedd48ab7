//! What must not be in the source: the invariants of ARCHITECTURE.md that a reader can check with a
//! search.

use crate::fixtures::repository;
use crate::fixtures::sources::{code, is_test, sources};

/// Files of a room, tests left out, whose code holds this word.
fn holding(room: &str, words: &[&str]) -> Vec<String> {
    let files = sources(&format!("host/src/{room}"), &["rs"]);
    let holds = files
        .iter()
        .filter(|(p, t)| !is_test(p) && words.iter().any(|w| code(t).contains(w)));
    holds.map(|(p, _)| p.display().to_string()).collect()
}

#[test]
fn the_proxy_never_names_wasmtime() {
    assert_eq!(holding("proxy", &["wasmtime"]), [""; 0]);
}

#[test]
fn the_decision_never_names_wasmtime() {
    assert_eq!(holding("decision", &["wasmtime"]), [""; 0]);
}

/// Else what a rehearsal finds out might not be what the proxy does.
#[test]
fn hooks_are_asked_through_the_decision_alone() {
    let questions = ["CheckRange", "EditRequest", "EditResponse", "Select {"];
    let calls = [
        "handle.check_range(",
        "handle.edit_request(",
        "handle.edit_response(",
        "handle.select(",
    ];
    for room in ["proxy", "rehearsal", "recording", "app", "admin"] {
        assert_eq!(holding(room, &questions), [""; 0], "{room}");
        assert_eq!(holding(room, &calls), [""; 0], "{room}");
    }
}

#[test]
fn policies_never_name_hyper() {
    assert_eq!(holding("policy", &["hyper"]), [""; 0]);
}

#[test]
fn messages_and_their_codec_do_no_io_and_know_no_room_above_them() {
    assert_eq!(holding("message", &["tokio", "crate::"]), [""; 0]);
    for file in holding("h1", &["tokio", "crate::"]) {
        let text = code(&std::fs::read_to_string(repository().join(&file)).unwrap());
        let others = text.replace("crate::message", "");
        assert!(
            !others.contains("crate::") && !text.contains("tokio"),
            "{file}"
        );
    }
}

#[test]
fn upstream_knows_neither_policies_nor_requests() {
    let above = ["crate::policy", "crate::route", "crate::proxy"];
    assert_eq!(holding("upstream", &above), [""; 0]);
}

/// A descriptor of all of the process may be full, or read by nobody.
#[test]
fn only_the_ground_writes_to_standard_output_and_error() {
    let writers = ["println!", "print!", "dbg!", "io::stdout()", "io::stderr()"];
    let mut found = Vec::new();
    for (path, text) in sources("host/src", &["rs"]) {
        let code = code(&text)
            .replace("IsTerminal::is_terminal(&std::io::stderr())", "")
            .replace("tcgetwinsize(std::io::stderr())", "");
        let written = writers.iter().any(|w| code.contains(w));
        // The process that compiles has a pipe of its own.
        if written
            && !is_test(&path)
            && !path.starts_with("host/src/ground")
            && !path.ends_with("policy/compiling/child.rs")
        {
            found.push(path);
        }
    }
    assert!(
        found.is_empty(),
        "{found:#?} write to what may make them wait; ground::print and tracing do not"
    );
}

#[test]
fn routing_does_no_io() {
    assert_eq!(
        holding("route", &["tokio", "std::net::Tcp", "std::fs"]),
        [""; 0]
    );
}

#[test]
fn the_origin_is_not_used_by_the_proxy() {
    for room in [
        "proxy", "policy", "route", "upstream", "h1", "message", "stats", "admin", "config",
    ] {
        assert_eq!(holding(room, &["crate::origin"]), [""; 0], "{room}");
    }
}

#[test]
fn one_file_of_the_data_plane_maps_errors_to_status_codes() {
    // Statuses that refuse: where one is written as a number or by name, a decision is made.
    let refusing = [
        "400", "404", "405", "408", "413", "414", "417", "431", "501", "502", "503", "504", "505",
    ];
    let by_name = [
        "BAD_REQUEST",
        "NOT_FOUND",
        "BAD_GATEWAY",
        "SERVICE_UNAVAILABLE",
        "GATEWAY_TIMEOUT",
    ];
    for room in [
        "proxy", "decision", "route", "upstream", "h1", "message", "policy",
    ] {
        for (path, text) in sources(&format!("host/src/{room}"), &["rs"]) {
            // What a status means for a caller of gRPC is a table of that project.
            let decides = [
                "proxy/refusal.rs",
                "proxy/refusal/forward.rs",
                "message/grpc.rs",
            ];
            if is_test(&path) || decides.iter().any(|file| path.ends_with(file)) {
                continue;
            }
            let code = code(&text);
            let numbers = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
            let bare: Vec<&str> = numbers
                .filter(|w| refusing.contains(w) || by_name.contains(w))
                .collect();
            assert!(
                bare.is_empty(),
                "{} has {bare:?}; only proxy/refusal.rs decides that",
                path.display()
            );
        }
    }
}

#[test]
fn every_room_opens_with_what_it_is_for() {
    for entry in std::fs::read_dir(repository().join("host/src")).unwrap() {
        let room = entry.unwrap().path();
        if room.is_dir() {
            let text = std::fs::read_to_string(room.join("mod.rs")).unwrap();
            let lines = text
                .lines()
                .take_while(|l| l.starts_with("//!"))
                .filter(|l| l.len() > 40)
                .count();
            assert!(
                lines >= 2,
                "{}: a question, who asks it, and what the room never does",
                room.display()
            );
        }
    }
}

#[test]
fn no_file_names_a_folder_of_a_developers_machine() {
    // Put together here, so that this file does not hold them itself.
    let places = [
        ["/ro", "ot/"],
        ["/ho", "me/"],
        ["/Us", "ers/"],
        ["/tmp", "/wt"],
        ["/wo", "rk/"],
    ]
    .map(|p| p.concat());
    let extensions = [
        "rs", "toml", "md", "wit", "yaml", "yml", "sh", "py", "js", "css", "html", "wat", "json",
    ];
    let mut found = Vec::new();
    for (path, text) in sources("", &extensions) {
        for (n, line) in text.lines().enumerate() {
            if places.iter().any(|place| mentions(line, place)) {
                found.push(format!("{}:{}: {line}", path.display(), n + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Whether a path in this line starts with this place; `/usr/home/` and `example.com/home/` do not.
fn mentions(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| {
            c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '}' | '$' | '{')
        })
    })
}
