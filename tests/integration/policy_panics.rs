//! A policy in Rust that panics: the message with the author's file and line is where the fault is
//! reported, and nothing of it can pretend to be another line.

use crate::fixtures::{Request, Scratch, TestProxy, TestUpstream, command, repository, run};

const COMPONENT: &str = "guest-policies/panicking/panicking.wasm";
const SOURCE: &str = "guest-policies/panicking/src/lib.rs";

/// Where the line with this comment is, as a panic names it.
#[track_caller]
fn place(comment: &str) -> String {
    let source = std::fs::read_to_string(repository().join(SOURCE)).unwrap();
    let ends = |line: &str| line.ends_with(&format!("// {comment}"));
    let line = source.lines().position(ends).unwrap() + 1;
    format!("panicked at panicking/src/lib.rs:{line}: ")
}

struct Panicking {
    proxy: TestProxy,
    _backend: TestUpstream,
}

impl Panicking {
    fn start() -> Self {
        let backend = TestUpstream::named("served");
        let proxy = TestProxy::builder()
            .file(
                "panicking.wasm",
                std::fs::read(repository().join(COMPONENT)).unwrap(),
            )
            .pool_for_all(&[backend.address()], &["panicking"])
            .tables(
                "[policies.panicking]\ncomponent = \"panicking.wasm\"\ndeadline = \"2s\"\n\
                 on-failure = 503\n",
            )
            .start();
        Self {
            proxy,
            _backend: backend,
        }
    }

    /// The line of the log about the fault of a request that has the policy do this.
    #[track_caller]
    fn fault(&self, action: &str) -> String {
        let request = Request::new("GET", "/no/number").host("a.test");
        let answer = self.proxy.ask(request.field("X-Panic", action).bytes());
        answer.assert_refusal(503);
        let fault = |line: &str| line.contains("; it wrote: ").then(|| line.to_owned());
        self.proxy.stderr.find(fault).expect("the fault is logged")
    }
}

#[test]
fn a_panic_is_logged_with_its_message_and_the_authors_line() {
    for (action, message) in [
        (
            "index",
            "index out of bounds: the len is 1 but the index is 7",
        ),
        (
            "unwrap",
            "called `Result::unwrap()` on an `Err` value: ParseIntError { kind: InvalidDigit }",
        ),
        ("other", "other"),
    ] {
        let line = Panicking::start().fault(action);
        assert!(
            line.contains(&format!("; it wrote: {}{message}", place(action))),
            "{line}"
        );
        // Of the stack only what the author has written.
        for glue in ["std::", "core::", "__rust", "exports::", "<wasm function"] {
            assert!(!line.contains(glue), "{glue} in {line}");
        }
    }
    let line = Panicking::start().fault("index");
    assert!(line.contains("weight_of"), "{line}");
}

#[test]
fn the_message_of_a_panic_is_one_printable_line_of_bounded_length() {
    let line = Panicking::start().fault("hostile");
    let message = format!("{}a\u{fffd}\u{fffd}[2Jbccc", place("hostile"));
    assert!(line.contains(&message), "{line}");
    assert!(line.len() < 2_000, "{} bytes", line.len());
}

/// `policy test` of these scenarios, of which each fails: standard output.
#[track_caller]
fn failing(scenarios: &str) -> String {
    let scratch = Scratch::new();
    scratch.write("scenarios.toml", scenarios);
    let exit = run(command()
        .args(["policy", "test"])
        .arg(repository().join(COMPONENT))
        .arg("scenarios.toml")
        .current_dir(scratch.path()));
    assert_eq!(exit.code, Some(1), "{exit:?}");
    exit.stdout
}

#[test]
fn a_panic_while_a_policy_is_configured_is_why_it_is_refused() {
    let text = failing("[[scenario]]\nname = \"refused\"\nsettings = { a = 1 }\n");
    let message = format!("{}these settings: {{\"a\":1}}", place("configure"));
    assert!(text.contains("it failed in configure: "), "{text}");
    assert!(text.contains(&format!("; it wrote: {message}")), "{text}");
}

#[test]
fn a_scenario_that_fails_shows_what_the_policy_wrote() {
    let text = failing("[[scenario]]\nname = \"a\"\nrequest.headers = { x-panic = \"other\" }\n");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let wrote = format!("error     {}other", place("other"));
    let at = lines.iter().position(|line| *line == "the policy wrote");
    assert_eq!(at.map(|at| lines[at + 1]), Some(wrote.as_str()), "{text}");
    assert!(
        text.contains(&format!("; it wrote: {}other", place("other"))),
        "{text}"
    );
}
