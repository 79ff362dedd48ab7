//! Bytes as `PUT /policies/NAME` takes them: refused, or a policy whose every hook is asked once.
//!
//! A panic, a hang and memory that grows are findings; a fault of the guest is none.

#![no_main]

mod policies;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use policies::Policies;
use waypost::message::{Fields, RequestHead};
use waypost::policy::{Attempt, BackendSpec, PolicyHandle, PoolSpec, Selected};

const BACKENDS: u32 = 2;

static POLICIES: LazyLock<Policies> = LazyLock::new(Policies::new);

fuzz_target!(|bytes: &[u8]| {
    let backend = |n: u32| BackendSpec {
        address: format!("10.0.0.{n}:80"),
        weight: 1,
        labels: Vec::new(),
    };
    let pools = [PoolSpec {
        id: 0,
        name: "pool".to_owned(),
        backends: (0..BACKENDS).map(backend).collect(),
    }];
    POLICIES.run(bytes, &pools, BACKENDS, ask);
});

fn ask(handle: &mut PolicyHandle) {
    let mut request = RequestHead {
        target: "/a?range=0-1".to_owned(),
        path_len: 2,
        authority: "a.test".to_owned(),
        host: "a.test".to_owned(),
        ..RequestHead::default()
    };
    request.fields.append(b"range", b"bytes=0-1");
    let mut response = Fields::new();
    response.append(b"server", b"backend");
    handle.begin_request();
    let _ = handle.check_range(&mut request, 0);
    let _ = handle.edit_request(&mut request, 0);
    if let Ok(Selected::Backend(index)) = handle.select(
        &mut request,
        0,
        Attempt {
            number: 1,
            failed: &[],
        },
    ) {
        assert!(index < BACKENDS, "backend {index} of {BACKENDS}");
    }
    let _ = handle.edit_response(&mut request, 0, 200, 0, &mut response);
    handle.end_request();
    for (name, value) in request.fields.iter().chain(response.iter()) {
        assert!(
            !name.is_empty()
                && !name
                    .iter()
                    .chain(value)
                    .any(|b| matches!(b, b'\r' | b'\n' | 0)),
            "{name:?}"
        );
    }
}
