use super::*;

/// A guest of `edit-request` that imports WASI and does `body`.
fn wasi_guest(body: &str) -> Vec<u8> {
    editing_guest(
        r#"(import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
           (alias export $error "error" (type $error-type))
           (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type $p (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $p))))
                (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))))
           (alias export $poll "pollable" (type $pollable))
           (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (alias outer 1 $pollable (type $outer))
                (export "pollable" (type $p (eq $outer)))
                (export "now" (func (result u64)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
           (import "wasi:io/streams@0.2.0" (instance $streams
                (alias outer 1 $error-type (type $e))
                (export "error" (type $error (eq $e)))
                (export "output-stream" (type $out (sub resource)))
                (type $se (variant (case "last-operation-failed" (own $error)) (case "closed")))
                (export "stream-error" (type $stream-error (eq $se)))
                (export "[method]output-stream.blocking-write-and-flush"
                    (func (param "self" (borrow $out)) (param "contents" (list u8))
                        (result (result (error $stream-error)))))))
           (alias export $streams "output-stream" (type $out))
           (import "wasi:cli/stdout@0.2.0" (instance $stdout
                (alias outer 1 $out (type $o))
                (export "output-stream" (type $os (eq $o)))
                (export "get-stdout" (func (result (own $os))))))
           (import "wasi:cli/stderr@0.2.0" (instance $stderr
                (alias outer 1 $out (type $o))
                (export "output-stream" (type $os (eq $o)))
                (export "get-stderr" (func (result (own $os))))))
           (import "wasi:sockets/network@0.2.0" (instance $network
                (type $ec (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
                    "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
                    "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused"
                    "connection-reset" "connection-aborted" "datagram-too-large" "name-unresolvable"
                    "temporary-resolver-failure" "permanent-resolver-failure"))
                (export "error-code" (type (eq $ec)))
                (type $af (enum "ipv4" "ipv6"))
                (export "ip-address-family" (type (eq $af)))))
           (alias export $network "error-code" (type $ec))
           (alias export $network "ip-address-family" (type $af))
           (import "wasi:sockets/udp@0.2.0" (instance $udp (export "udp-socket" (type (sub resource)))))
           (alias export $udp "udp-socket" (type $udp-socket))
           (import "wasi:sockets/udp-create-socket@0.2.0" (instance $create
                (alias outer 1 $ec (type $e)) (export "error-code" (type $ec (eq $e)))
                (alias outer 1 $af (type $a)) (export "ip-address-family" (type $af (eq $a)))
                (alias outer 1 $udp-socket (type $s)) (export "udp-socket" (type $s2 (eq $s)))
                (export "create-udp-socket"
                    (func (param "address-family" $af) (result (result (own $s2) (error $ec)))))))
           (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))"#,
        r#"(core func $block (canon lower (func $poll "[method]pollable.block")))
           (core func $ready (canon lower (func $poll "[method]pollable.ready")))
           (core func $now (canon lower (func $clock "now")))
           (core func $subscribe (canon lower (func $clock "subscribe-duration")))
           (core func $get-stdout (canon lower (func $stdout "get-stdout")))
           (core func $get-stderr (canon lower (func $stderr "get-stderr")))
           (core func $print (canon lower
                (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
           (core func $udp (canon lower (func $create "create-udp-socket") (memory $mem)))
           (core func $exit (canon lower (func $exit "exit")))
           (core func $drop-out (canon resource.drop $out))
           (core instance $host
                (export "block" (func $block)) (export "ready" (func $ready)) (export "now" (func $now))
                (export "subscribe" (func $subscribe)) (export "get-stdout" (func $get-stdout))
                (export "get-stderr" (func $get-stderr))
                (export "print" (func $print)) (export "udp" (func $udp)) (export "exit" (func $exit))
                (export "drop-out" (func $drop-out)))"#,
        r#"(import "host" "block" (func $block (param i32)))
           (import "host" "ready" (func $ready (param i32) (result i32)))
           (import "host" "now" (func $now (result i64)))
           (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
           (import "host" "get-stdout" (func $get-stdout (result i32)))
           (import "host" "get-stderr" (func $get-stderr (result i32)))
           (import "host" "print" (func $print (param i32 i32 i32 i32)))
           (import "host" "udp" (func $udp (param i32 i32)))
           (import "host" "exit" (func $exit (param i32)))
           (import "host" "drop-out" (func $drop-out (param i32)))
           (data (i32.const 0) "one line\nsecond ")"#,
        body,
    )
}

/// As on a worker: inside a current-thread runtime.
fn on_a_worker(body: &str) -> (TestEngine, Result<Edited, Fault>) {
    let test = TestEngine::new();
    let mut handle = test.handle(&spec(&wasi_guest(body)));
    assert!(handle.generation().uses_wasi());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answer = runtime.block_on(async { handle.edit_request(&mut request(&[]), 0) });
    (test, answer)
}

#[test]
fn clocks_and_standard_output_work_on_a_worker() {
    let body = "(drop (call $now))
        (call $print (call $get-stdout) (i32.const 0) (i32.const 16) (i32.const 2048))
        (if (i32.load8_u (i32.const 2048)) (then unreachable))
        (call $drop-out (call $get-stdout))
        (call $block (call $subscribe (i64.const 0)))
        (if (call $ready (call $subscribe (i64.const 3600000000000))) (then unreachable))";
    let log = logged(|| {
        let (_, answer) = on_a_worker(body);
        assert!(matches!(answer, Ok(Edited::Done)), "{answer:?}");
    });
    assert!(
        log.contains("one line policy=\"p\"") && !log.contains("second"),
        "{log}"
    );
}

/// As a traceback of Python comes, before the trap that ends the call.
#[test]
fn what_was_printed_on_standard_error_stands_beside_the_fault() {
    let print = |stream: &str| {
        format!(
            "(call $print (call $get-{stream}) (i32.const 0) (i32.const 9) (i32.const 2048))
             unreachable"
        )
    };
    let fault = on_a_worker(&print("stderr")).1.unwrap_err();
    assert!(
        fault.message.ends_with("; it wrote: one line"),
        "{}",
        fault.message
    );
    let fault = on_a_worker(&print("stdout")).1.unwrap_err();
    assert!(!fault.message.contains("it wrote"), "{}", fault.message);
}

#[test]
fn waiting_is_a_trap_and_never_waits() {
    for nanoseconds in ["3600000000000", "-1"] {
        let (test, answer) = on_a_worker(&format!(
            "(call $block (call $subscribe (i64.const {nanoseconds})))"
        ));
        let fault = answer.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Trap);
        assert!(fault.message.contains("can't wait"), "{}", fault.message);
        assert_eq!(test.shard().traps.value(), 1);
    }
}

#[test]
fn sockets_are_denied_without_a_panic() {
    let body = "(call $udp (i32.const 0) (i32.const 2048))
        (if (i32.ne (i32.load8_u (i32.const 2048)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 2052)) (i32.const 1)) (then unreachable))";
    let (_, answer) = on_a_worker(body);
    assert!(matches!(answer, Ok(Edited::Done)), "{answer:?}");
}

#[test]
fn exit_ends_the_instance_and_not_the_process() {
    let fault = on_a_worker("(call $exit (i32.const 0))").1.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap);
}

#[test]
fn handles_are_bounded() {
    let body = "(loop $more (drop (call $subscribe (i64.const 0))) (br $more))";
    let fault = on_a_worker(body).1.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap);
}

#[test]
fn a_fresh_instance_for_each_request_is_refused() {
    let test = TestEngine::new();
    let refused = test
        .load(&PolicySpec {
            isolation: Isolation::Request,
            ..spec(&wasi_guest(""))
        })
        .unwrap_err();
    assert_eq!(refused, Refusal::SlowIsolation);
}
