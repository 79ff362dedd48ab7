//! Answers that lie about their length, that are really huge, or that point at nobody.

use super::text::Hooks;
use super::{Contained, HOOKS, KEPT, request};
use crate::fixtures::{eventually, guest};

/// Where the lies are told.
const HERE: &str = "i32.const 2048";
/// A hundred million, as bytes.
const HUGE: &str = r"\00\e1\f5\05";

impl Contained {
    /// One request with this policy is a fault; then a good one takes its place.
    #[track_caller]
    fn one_fault_of(&self, what: &str, component: &[u8]) {
        let faults = || self.count("traps") + self.count("invalid");
        let before = faults();
        self.is_replaced_by(component);
        // The worker may not have it yet.
        let answer = eventually(what, || {
            let answer = self.ask(request().field("Range", "bytes=0-"));
            (answer.status != 200).then_some(answer)
        });
        answer.assert_refusal(503);
        assert_eq!(faults(), before + 1, "{what}");
        self.is_replaced_by(&guest("pick-first"));
        eventually("a good policy answers", || {
            (self.ask(request()).status == 200).then_some(())
        });
        for _ in 0..4 {
            assert_eq!(self.ask(request()).text(), "served");
        }
    }
}

/// A component whose every hook that is asked about a request gives this answer, in one hook at a
/// time.
fn in_each_hook(module: &str, answer: &str) -> [Vec<u8>; 4] {
    let quiet = Hooks {
        module,
        ..Hooks::default()
    };
    [
        Hooks {
            check: answer,
            ..quiet
        },
        Hooks {
            edit_request: answer,
            ..quiet
        },
        Hooks {
            select: answer,
            ..quiet
        },
        Hooks {
            edit_response: answer,
            ..quiet
        },
    ]
    .map(Hooks::component)
}

/// A response: discriminant, status, and where header fields and body are, with their lengths.
fn response(fields: &str, fields_length: &str, body: &str, body_length: &str) -> String {
    format!(
        r#"(data (i32.const 2048) "\01\00\00\00\c8\00\00\00{fields}{fields_length}{body}{body_length}")"#
    )
}

#[test]
fn a_response_that_lies_is_a_fault_in_every_hook() {
    const NONE: &str = r"\00\00\00\00";
    const ONE: &str = r"\01\00\00\00";
    const THERE: &str = r"\00\10\00\00";
    let field = |name: &str, length: &str| {
        format!(
            r#"{} (data (i32.const 4096) "{name}{length}{NONE}{NONE}")"#,
            response(THERE, ONE, NONE, NONE)
        )
    };
    let c = Contained::probe("");
    let before = c.at_rest();
    for (what, module) in [
        ("a body of 100 MB", response(NONE, NONE, THERE, HUGE)),
        (
            "a body of 4 GB",
            response(NONE, NONE, THERE, r"\ff\ff\ff\ff"),
        ),
        (
            "a body beyond the end",
            response(NONE, NONE, r"\f0\ff\ff\ff", THERE),
        ),
        ("100 million fields", response(THERE, HUGE, NONE, NONE)),
        (
            "more fields than addresses",
            response(THERE, r"\ff\ff\ff\ff", NONE, NONE),
        ),
        (
            "fields between two words",
            response(r"\01\10\00\00", ONE, NONE, NONE),
        ),
        ("a name of 100 MB", field(NONE, HUGE)),
        (
            "a name beyond the end",
            field(r"\f0\ff\ff\ff", r"\00\01\00\00"),
        ),
        (
            "a name that is no text",
            field(r"\08\08\00\00", ONE) + r#"(data (i32.const 2056) "\ff")"#,
        ),
        (
            "neither ok nor an error",
            r#"(data (i32.const 2048) "\07")"#.to_owned(),
        ),
    ] {
        for component in in_each_hook(&module, HERE) {
            c.one_fault_of(what, &component);
        }
        c.bystander.goes_on();
    }
    for (what, answer) in [
        ("an answer beyond the end", "i32.const 0x7ffffff0"),
        ("an answer at the last byte", "i32.const 131071"),
        ("an answer between two words", "i32.const 2049"),
    ] {
        for component in in_each_hook("", answer) {
            c.one_fault_of(what, &component);
        }
    }
    assert!(
        c.proxy.peak_resident_kib() <= before.resident + 2 * KEPT,
        "{} KiB",
        c.proxy.peak_resident_kib()
    );
    c.is_replaced_by(&guest("probe"));
    c.is_as_before(&before, 1_000);
    c.end();
}

#[test]
fn an_index_out_of_range_and_a_list_that_lies_are_faults() {
    let c = Contained::probe("");
    let before = c.at_rest();
    for (what, bytes) in [
        ("minus one", r"\00\00\00\00\01\00\00\00\ff\ff\ff\ff"),
        (
            "the least number that there is",
            r"\00\00\00\00\01\00\00\00\00\00\00\80",
        ),
        (
            "one after the last",
            r"\00\00\00\00\01\00\00\00\01\00\00\00",
        ),
        (
            "neither some nor none",
            r"\00\00\00\00\02\00\00\00\00\00\00\00",
        ),
    ] {
        let module = format!(r#"(data (i32.const 2048) "{bytes}")"#);
        c.one_fault_of(
            what,
            &Hooks {
                module: &module,
                select: HERE,
                ..Hooks::default()
            }
            .component(),
        );
    }
    for (what, list) in [
        ("100 million ranges", format!(r"\00\10\00\00{HUGE}")),
        (
            "ranges beyond the end",
            r"\f8\ff\ff\ff\02\00\00\00".to_owned(),
        ),
        (
            "ranges between two words",
            r"\04\10\00\00\01\00\00\00".to_owned(),
        ),
    ] {
        let module = format!(r#"(data (i32.const 2048) "\00\00\00\00\01\00\00\00{list}")"#);
        c.one_fault_of(
            what,
            &Hooks {
                module: &module,
                check: HERE,
                ..Hooks::default()
            }
            .component(),
        );
    }
    c.is_replaced_by(&guest("probe"));
    c.is_as_before(&before, 1_000);
    c.end();
}

#[test]
fn an_answer_that_is_really_huge_is_a_fault_and_never_copied() {
    let c = Contained::probe("deadline = \"10s\"\nmemory = \"320MiB\"");
    let before = c.at_rest();
    let mut faults = 0;
    for hook in HOOKS {
        for action in ["refuse-body=100000000", "refuse-fields=1000000"] {
            c.fails(hook, action, "invalid");
            c.recover();
            faults += 1;
        }
        c.bystander.goes_on();
    }
    c.fails("Range", "many=3000000", "invalid");
    c.recover();
    // The same on the way to the host's own functions.
    for action in [
        "log-bytes=100000000",
        "set-bytes=100000000",
        "name-bytes=100000000",
    ] {
        c.fails("Response", action, "traps");
        c.recover();
        faults += 1;
    }
    // The guest had its share of memory, and the host took no copy of it.
    let limit = before.resident + 320 * 1024 + KEPT;
    assert!(
        c.proxy.peak_resident_kib() <= limit,
        "{} KiB",
        c.proxy.peak_resident_kib()
    );
    c.is_as_before(&before, faults + 1);
    c.end();
}

#[test]
fn the_hosts_fields_are_refused_in_the_answer_of_every_hook() {
    let c = Contained::probe("deadline = \"2s\"");
    let before = c.at_rest();
    for hook in HOOKS {
        for field in [
            "content-length:0",
            "Transfer-Encoding:chunked",
            "connection:close",
            "x:1%0d%0ax-evil:1",
            "x%0a:1",
        ] {
            c.fails(hook, &format!("refuse-field={field}"), "invalid");
            c.recover();
        }
        c.bystander.goes_on();
    }
    c.is_as_before(&before, 20);
    c.end();
}
