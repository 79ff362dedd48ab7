//! Each hook of the built-in policies.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use serde_json::{Value, json};
use waypost::config::Isolation;
use waypost::message::{Fields, RequestHead};
use waypost::policy::{ByteRange, Edited, PolicyHandle, RangeVerdict, Selected};

use crate::BATCH;
use crate::guests::{Function, Guest, HEADER, Hook, Interface};
use crate::handles::{FEW_FIELDS, FIRST, Handles, POOL, TENANT, client, request, roomy_fields};

/// Reads one field of the request and sets another, in one call: what the figures of routers by a
/// field are compared with.
const READ_AND_SET: Guest = Guest {
    import: Interface {
        name: "types",
        types: "",
        functions: &[
            HEADER,
            Function {
                name: "[method]headers.set",
                called: "set",
                signature: r#"(param "self" (borrow $headers)) (param "name" string) (param "value" (list u8))
                    (result (result (error $header-error)))"#,
                lowered: "(param i32 i32 i32 i32 i32 i32)",
            },
        ],
    },
    data: "x-tenantx-by",
    hook: Hook::EditRequest(
        "(call $header (local.get $request) (i32.const 0) (i32.const 8) (global.get $result))
        (if (i32.ne (i32.load offset=8 (global.get $result)) (i32.const 10)) (then unreachable))
        (call $set (local.get $headers) (i32.const 8) (i32.const 4) (global.get $copied) (i32.const 10)
            (global.get $result))
        (if (i32.load8_u (global.get $result)) (then unreachable))",
    ),
};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// `hook/...`
pub fn measure(criterion: &mut Criterion, handles: &Handles) {
    let mut group = criterion.benchmark_group("hook");
    let mut head = request(FEW_FIELDS);
    select(
        &mut group,
        "random.select",
        || handles.builtin("random", Value::Null),
        &mut head,
    );
    select(
        &mut group,
        "least-loaded.select",
        || handles.builtin("least-loaded", Value::Null),
        &mut head,
    );
    range(&mut group, handles);
    header_router(&mut group, handles);
    rate_limit(&mut group, handles);
    sticky(&mut group, handles);
    group.finish();
}

fn select(
    group: &mut Group<'_>,
    name: &str,
    load: impl Fn() -> PolicyHandle,
    head: &mut RequestHead,
) {
    let mut handle = None;
    group.bench_function(name, |b| {
        let handle = handle.get_or_insert_with(&load);
        b.iter(|| selected(handle, head));
    });
}

fn range(group: &mut Group<'_>, handles: &Handles) {
    let mut asking = request(FEW_FIELDS);
    asking.fields.append(b"range", b"bytes=0-99");
    let one = RangeVerdict::Ranges(vec![ByteRange::FromTo(0, 99)]);
    let cases = [
        ("range.check (a range)", asking, one),
        (
            "range.check (nothing about ranges)",
            request(FEW_FIELDS),
            RangeVerdict::Untouched,
        ),
    ];
    for (name, mut head, expected) in cases {
        let mut handle = None;
        group.bench_function(name, |b| {
            let handle = handle.get_or_insert_with(|| handles.builtin("range", Value::Null));
            b.iter(|| {
                let verdict = handle.check_range(&mut head, POOL).unwrap();
                assert_eq!(verdict, expected, "{name}");
                verdict
            });
        });
    }
}

fn header_router(group: &mut Group<'_>, handles: &Handles) {
    let router = || {
        let edits = json!({ "set": { "x-by": "waypost" } });
        let routes = json!({ TENANT: "10.0.0.2:80" });
        let settings =
            json!({ "header": "x-tenant", "routes": routes, "request": edits, "response": edits });
        handles.builtin("header-router", settings)
    };
    let mut head = request(FEW_FIELDS);
    select(
        group,
        "header-router.select (reads a field)",
        router,
        &mut head,
    );
    edit_request(
        group,
        "header-router.edit-request (sets a field)",
        router,
        |_, _| (),
    );
    edit_response(
        group,
        "header-router.edit-response (sets a field)",
        router,
        "x-by",
    );
    edit_request(
        group,
        "header-router.edit-request and select (one set, one read)",
        router,
        |handle, head| {
            assert_eq!(selected(handle, head), Selected::Backend(1));
        },
    );
    let text = || {
        handles.handle(
            "read-and-set",
            &READ_AND_SET.component(),
            Isolation::Worker,
            Value::Null,
        )
    };
    edit_request(
        group,
        "text.edit-request (reads a field, sets another)",
        text,
        |_, _| (),
    );
}

fn rate_limit(group: &mut Group<'_>, handles: &Handles) {
    let (mut handle, mut head, mut turn) = (None, request(FEW_FIELDS), 0);
    group.bench_function(
        "rate-limit.edit-request (get and compare-and-set in the store)",
        |b| {
            let settings = json!({ "rate": 1_000_000, "burst": 1_000_000 });
            let handle = handle.get_or_insert_with(|| handles.builtin("rate-limit", settings));
            b.iter(|| {
                // One client alone would reach the limit.
                turn = (turn + 1) % 64;
                head.client = client(turn);
                edited(handle, &mut head);
            });
        },
    );
}

fn sticky(group: &mut Group<'_>, handles: &Handles) {
    let sticky = || handles.builtin("sticky", Value::Null);
    let mut head = request(FEW_FIELDS);
    select(
        group,
        "sticky.select (no cookie: get in the store)",
        sticky,
        &mut head,
    );
    edit_response(
        group,
        "sticky.edit-response (sets the cookie)",
        sticky,
        "set-cookie",
    );
    let (mut handle, mut head) = (None, request(FEW_FIELDS));
    group.bench_function("sticky.select (by the cookie)", |b| {
        let handle = handle.get_or_insert_with(|| {
            let mut handle = sticky();
            let mut answer = Fields::new();
            handle
                .edit_response(&mut head, POOL, 200, 0, &mut answer)
                .unwrap();
            let cookie = answer
                .first("set-cookie")
                .and_then(|set| set.split(|b| *b == b';').next())
                .unwrap();
            head.fields.append(b"cookie", cookie);
            handle
        });
        b.iter(|| selected(handle, &mut head));
    });
}

/// Lets a policy set `x-by`, each time on a request without it, and does more with what came of it.
fn edit_request(
    group: &mut Group<'_>,
    name: &str,
    load: impl Fn() -> PolicyHandle,
    then: impl Fn(&mut PolicyHandle, &mut RequestHead),
) {
    let mut handle = None;
    group.bench_function(name, |b| {
        let handle = handle.get_or_insert_with(|| {
            let (mut handle, mut head) = (load(), request(FEW_FIELDS));
            edited(&mut handle, &mut head);
            assert!(head.fields.contains("x-by"), "{name}: nothing was set");
            handle
        });
        b.iter_batched_ref(
            || request(FEW_FIELDS),
            |head| {
                edited(handle, head);
                then(handle, head);
            },
            BATCH,
        );
    });
}

/// Lets a policy set this field, each time of a response without it.
fn edit_response(group: &mut Group<'_>, name: &str, load: impl Fn() -> PolicyHandle, sets: &str) {
    let (mut handle, mut head) = (None, request(FEW_FIELDS));
    group.bench_function(name, |b| {
        let mut ask = |handle: &mut PolicyHandle, fields: &mut Fields| match handle
            .edit_response(&mut head, POOL, 200, 0, fields)
        {
            Ok(Edited::Done) => (),
            other => panic!("{name}: {other:?}"),
        };
        let handle = handle.get_or_insert_with(|| {
            let (mut handle, mut fields) = (load(), roomy_fields());
            ask(&mut handle, &mut fields);
            assert!(fields.contains(sets), "{name}: nothing was set");
            handle
        });
        b.iter_batched_ref(roomy_fields, |fields| ask(handle, fields), BATCH);
    });
}

fn selected(handle: &mut PolicyHandle, head: &mut RequestHead) -> Selected {
    match handle.select(head, POOL, FIRST) {
        Ok(selected @ Selected::Backend(_)) => selected,
        other => panic!("select: {other:?}"),
    }
}

fn edited(handle: &mut PolicyHandle, head: &mut RequestHead) {
    match handle.edit_request(head, POOL) {
        Ok(Edited::Done) => (),
        other => panic!("edit-request: {other:?}"),
    }
}
