//! What a guest pays for a call of the host, by interface: guests that call it again and again.
//!
//! Criterion shows the time of a thousand calls, so microseconds read as nanoseconds a call, and
//! the calls a second.

use criterion::{Criterion, SamplingMode, Throughput};
use serde_json::Value;
use waypost::config::Isolation;
use waypost::policy::{PolicyHandle, Selected};

use crate::guests::{CALLS, Function, Guest, HEADER, Hook, Interface, NOTHING};
use crate::handles::{FEW_FIELDS, FIRST, Handles, POOL, request};

/// `host/...`
pub fn measure(criterion: &mut Criterion, handles: &Handles) {
    let mut group = criterion.benchmark_group("host");
    // A call of the guest takes too long for samples that grow within the measurement's time.
    group
        .throughput(Throughput::Elements(CALLS.into()))
        .sampling_mode(SamplingMode::Flat);
    for Measured {
        name,
        import,
        data,
        first,
        each,
        left,
    } in MEASURED
    {
        let guest = Guest {
            import,
            data,
            hook: Hook::Repeated(first, each),
        };
        let (mut handle, mut head) = (None, request(FEW_FIELDS));
        let mut ask = |handle: &mut PolicyHandle| match handle.select(&mut head, POOL, FIRST) {
            Ok(Selected::NoChoice) => (),
            other => panic!("{name}: {other:?}"),
        };
        group.bench_function(name, |b| {
            let handle = handle.get_or_insert_with(|| {
                let mut handle =
                    handles.handle(name, &guest.component(), Isolation::Worker, Value::Null);
                ask(&mut handle);
                assert!(left(&handle), "{name}: the calls left nothing");
                handle
            });
            b.iter(|| ask(handle));
        });
    }
    group.finish();
}

/// What a guest does a thousand times. It looks at the results itself, and traps if they are not
/// what they should be.
#[derive(Clone, Copy)]
struct Measured {
    name: &'static str,
    import: Interface,
    data: &'static str,
    /// Once, before.
    first: &'static str,
    each: &'static str,
    /// Whether one call of the guest left in the host what it should.
    left: fn(&PolicyHandle) -> bool,
}

const ALONE: Measured = Measured {
    name: "the loop alone",
    import: NOTHING,
    data: "",
    first: "",
    each: "",
    left: |_| true,
};

const MEASURED: [Measured; 12] = [
    ALONE,
    Measured {
        name: "random.below",
        import: interface(
            "random",
            &[of_number("below", r#"(param "bound" u32) (result u32)"#, "(param i32) (result i32)")],
        ),
        each: "(if (i32.ge_u (call $below (i32.const 4)) (i32.const 4)) (then unreachable))",
        ..ALONE
    },
    Measured {
        name: "random.bits",
        import: interface("random", &[of_nothing("bits")]),
        each: "(drop (call $bits))",
        ..ALONE
    },
    Measured {
        name: "clock.monotonic-nanoseconds",
        import: interface("clock", &[of_nothing("monotonic-nanoseconds")]),
        each: "(if (i64.eqz (call $monotonic-nanoseconds)) (then unreachable))",
        ..ALONE
    },
    Measured {
        name: "clock.unix-milliseconds",
        import: interface("clock", &[of_nothing("unix-milliseconds")]),
        each: "(if (i64.eqz (call $unix-milliseconds)) (then unreachable))",
        ..ALONE
    },
    Measured {
        name: "backend-facts.in-flight",
        import: interface(
            "backend-facts",
            &[of_number("in-flight", r#"(param "backend" u32) (result u32)"#, "(param i32) (result i32)")],
        ),
        each: "(if (i32.ne (call $in-flight (i32.const 1)) (i32.const 1)) (then unreachable))",
        ..ALONE
    },
    Measured {
        name: "backend-facts.healthy",
        import: interface(
            "backend-facts",
            &[of_number("healthy", r#"(param "backend" u32) (result bool)"#, "(param i32) (result i32)")],
        ),
        each: "(if (i32.eqz (call $healthy (i32.const 1))) (then unreachable))",
        ..ALONE
    },
    Measured {
        name: "backend-facts.latency-microseconds",
        import: interface(
            "backend-facts",
            &[of_number("latency-microseconds", r#"(param "backend" u32) (result u64)"#, "(param i32) (result i64)")],
        ),
        each: "(if (i64.eqz (call $latency-microseconds (i32.const 1))) (then unreachable))",
        ..ALONE
    },
    Measured {
        name: "counters.add",
        import: interface("counters", &[DEFINE, ADD]),
        data: "seen",
        // The first of a policy is number 0.
        first: "(call $define (i32.const 0) (i32.const 4) (global.get $result))
            (if (i64.ne (i64.load (global.get $result)) (i64.const 0)) (then unreachable))",
        each: "(call $add (i32.const 0) (i64.const 1))",
        left: |handle| handle.shard().counters.0[0].value() == u64::from(CALLS),
    },
    Measured {
        name: "request.header (10 bytes)",
        import: interface("types", &[HEADER]),
        data: "x-tenant",
        each: "(call $header (local.get $request) (i32.const 0) (i32.const 8) (global.get $result))
            (if (i32.ne (i32.load offset=8 (global.get $result)) (i32.const 10)) (then unreachable))",
        ..ALONE
    },
    Measured {
        name: "store.get (8 bytes)",
        import: Interface { name: "store", types: STORE_ERROR, functions: &[SET, GET] },
        data: KEY,
        first: "(call $set (i32.const 0) (i32.const 15) (i32.const 0) (i32.const 8) (i64.const 0) (global.get $result))
            (if (i32.load8_u (global.get $result)) (then unreachable))",
        each: "(call $get (i32.const 0) (i32.const 15) (global.get $result))
            (if (i32.ne (i32.load offset=8 (global.get $result)) (i32.const 8)) (then unreachable))",
        left: |handle| handle.generation().store().get(KEY).is_some(),
    },
    Measured {
        name: "store.increment",
        import: Interface { name: "store", types: STORE_ERROR, functions: &[INCREMENT] },
        data: KEY,
        each: "(call $increment (i32.const 0) (i32.const 15) (i64.const 1) (i64.const 0) (global.get $result))
            (if (i32.load8_u (global.get $result)) (then unreachable))",
        left: |handle| handle.generation().store().counter(KEY) == Some(i64::from(CALLS)),
        ..ALONE
    },
];

/// A key of the length that a client's address makes it.
const KEY: &str = "client 10.1.2.3";

const STORE_ERROR: &str = r#"(type $errors (enum "key-too-long" "value-too-long" "no-room"))
    (export "store-error" (type $store-error (eq $errors)))"#;

const GET: Function = Function {
    name: "get",
    called: "get",
    signature: r#"(param "key" string) (result (option (list u8)))"#,
    lowered: "(param i32 i32 i32)",
};

const SET: Function = Function {
    name: "set",
    called: "set",
    signature: r#"(param "key" string) (param "value" (list u8)) (param "ttl-milliseconds" u64)
        (result (result (error $store-error)))"#,
    lowered: "(param i32 i32 i32 i32 i64 i32)",
};

const INCREMENT: Function = Function {
    name: "increment",
    called: "increment",
    signature: r#"(param "key" string) (param "by" s64) (param "ttl-milliseconds" u64)
        (result (result s64 (error $store-error)))"#,
    lowered: "(param i32 i32 i64 i64 i32)",
};

const DEFINE: Function = Function {
    name: "define",
    called: "define",
    signature: r#"(param "name" string) (result (result u32 (error string)))"#,
    lowered: "(param i32 i32 i32)",
};

const ADD: Function = Function {
    name: "add",
    called: "add",
    signature: r#"(param "counter" u32) (param "amount" u64)"#,
    lowered: "(param i32 i64)",
};

const fn interface(name: &'static str, functions: &'static [Function]) -> Interface {
    Interface {
        name,
        types: "",
        functions,
    }
}

/// A function without parameters that gives a u64.
const fn of_nothing(name: &'static str) -> Function {
    Function {
        name,
        called: name,
        signature: "(result u64)",
        lowered: "(result i64)",
    }
}

/// A function of a u32.
const fn of_number(name: &'static str, signature: &'static str, lowered: &'static str) -> Function {
    Function {
        name,
        called: name,
        signature,
        lowered,
    }
}
