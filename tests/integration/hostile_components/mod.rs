//! Components that are made to end, freeze or fill whatever reads them: by every way that leads in,
//! the process lives, others are answered, and a sentence says which limit.

mod compiling_process;
mod makers;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::fixtures::{
    Client, Exit, Request, Scratch, TestProxy, TestUpstream, command, eventually, get, guest, run,
};

/// What the proxy may have more of in memory when all is over, in KiB.
const LEFT: u64 = 64 * 1024;

/// `mine` decides for `mine.test`; `bystander.test` has no policy of a file.
fn started(upstream: &TestUpstream) -> TestProxy {
    let address = upstream.address();
    let builder = TestProxy::builder()
        .file("mine.wasm", guest("pick-first"))
        .host("bystander.test", &[address]);
    let builder = builder.tables(&format!(
        "[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"\ncompile-time = \"2s\"\n\
         [policies.slow]\nbuiltin = \"random\"\ndeadline = \"1s\"\ncompile-time = \"50s\"\n\
         [pools.mine]\nbackends = [{{ address = \"{address}\" }}]\n\
         [[routes]]\nhost = \"mine.test\"\npool = \"mine\"\npolicies = [\"mine\", \"slow\"]\n"
    ));
    builder.start()
}

/// Asks for as long as `work` takes; each answer must be a good one. Tells how many there were.
fn beside_a_bystander(proxy: &TestProxy, work: impl FnOnce()) -> usize {
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = proxy.client();
            while !over.load(Ordering::Relaxed) {
                assert_eq!(client.ask(get("bystander.test", "/")).status, 200);
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
        // So that the bystander ends also if this does not go well.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
    });
    answers.into_inner()
}

#[test]
fn a_running_proxy_refuses_them_by_their_limit_and_serves_on() {
    let upstream = TestUpstream::named("there");
    let proxy = started(&upstream);
    assert_eq!(proxy.get("mine.test", "/").status, 200);
    let before = proxy.resident_kib();
    let answers = beside_a_bystander(&proxy, || {
        for (what, bytes, words) in makers::all() {
            for query in ["", "?mode=shadow"] {
                let request = Request::new("PUT", &format!("/policies/mine{query}")).body(&bytes);
                let answer = proxy.admin(request);
                assert!(
                    (400..500).contains(&answer.status),
                    "{what}{query}: {}",
                    answer.text()
                );
                assert!(
                    answer.text().contains(words),
                    "{what}{query}: {}",
                    answer.text()
                );
            }
        }
        let endless = proxy.put_policy("mine", &makers::locals_through_loops(1_000, 300));
        assert!(
            endless.text().contains("took more than 2 s")
                && endless.text().contains("compile-time"),
            "{}",
            endless.text()
        );
    });
    assert!(answers > 0);
    assert_eq!(proxy.get("mine.test", "/").status, 200);
    let after = proxy.resident_kib();
    assert!(
        after <= before + LEFT,
        "{before} KiB before, {after} KiB after"
    );
}

#[test]
fn the_watcher_of_files_refuses_them_and_goes_on_watching() {
    let upstream = TestUpstream::named("there");
    let proxy = started(&upstream);
    for (what, bytes, words) in makers::all().into_iter().step_by(3) {
        proxy.scratch.replace("mine.wasm", &bytes);
        let found = proxy
            .stderr
            .find(|line| (line.contains("was refused") && line.contains(words)).then_some(()));
        assert!(found.is_some(), "{what}: {}", proxy.stderr.text());
    }
    proxy.scratch.replace("mine.wasm", guest("pick-last"));
    eventually("the next good file is taken", || {
        (proxy.policy("mine")["generation"].as_u64() > Some(1)
            && proxy.policy("mine")["state"] == "active")
            .then_some(())
    });
}

#[test]
fn one_that_takes_long_to_compile_holds_no_other_up() {
    let upstream = TestUpstream::named("there");
    let proxy = started(&upstream);
    let slow = makers::locals_through_loops(1_000, 300);
    let generation = |name: &str| {
        proxy.policy(name)["generations"][0]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // Not waited for: its time is longer than this test.
    let mut wire = Client::connect(proxy.admin_address());
    wire.send(
        Request::new("PUT", "/policies/slow")
            .host("localhost")
            .body(&slow)
            .bytes(),
    );
    eventually("it is being loaded", || {
        (generation("slow") == "loading").then_some(())
    });
    for guest_name in ["pick-last", "pick-first"] {
        let answer = proxy.put_policy("mine", &guest(guest_name));
        assert!(matches!(answer.status, 200..=204), "{}", answer.text());
    }
    assert_eq!(proxy.admin(Request::new("GET", "/readyz")).status, 200);
    assert_eq!(proxy.get("mine.test", "/").status, 200);
    assert_eq!(
        generation("slow"),
        "loading",
        "else this test has shown nothing"
    );
}

/// Two policies of the same bytes at that, which are compiled once.
#[test]
fn one_that_takes_long_to_compile_holds_no_start_up() {
    let upstream = TestUpstream::named("there");
    let address = upstream.address();
    let policy = |name: &str| {
        format!(
            "[policies.{name}]\ncomponent = \"slow.wasm\"\ncompile-time = \"60s\"\n\
             [[routes]]\nhost = \"{name}.test\"\npool = \"all\"\npolicies = [\"{name}\"]\n"
        )
    };
    let pool = format!("[pools.all]\nbackends = [{{ address = \"{address}\" }}]\n");
    let proxy = TestProxy::builder()
        .file("slow.wasm", makers::locals_through_loops(1_000, 300))
        .host("bystander.test", &[address])
        .tables(&[policy("slow"), policy("twin"), pool].concat())
        .start();
    assert_eq!(proxy.get("bystander.test", "/").status, 200);
    proxy.get("slow.test", "/").assert_refusal(503);
    let ready = proxy.admin(Request::new("GET", "/readyz"));
    assert!(
        ready.status == 503 && ready.text().contains("still being loaded: slow, twin"),
        "{}",
        ready.text()
    );
    let warned = proxy.stderr.find(|line| {
        line.contains("the start does not wait")
            .then(|| line.to_owned())
    });
    assert!(warned.is_some_and(|line| line.contains("slow, twin")));
    assert_eq!(
        proxy.policy("slow")["generations"][0]["state"],
        "loading",
        "else this test has shown nothing"
    );
}

#[test]
fn a_start_with_one_ends_in_a_sentence() {
    let scratch = Scratch::new();
    for (what, bytes, words) in makers::all().into_iter().step_by(4) {
        scratch.write("mine.wasm", &bytes);
        scratch.write("waypost.toml", CONFIG);
        for task in ["run", "check"] {
            let exit = run(command()
                .args([task, "--config", "waypost.toml"])
                .current_dir(scratch.path()));
            let told = format!("{}{}", exit.stdout, exit.stderr);
            assert_eq!(exit.code, Some(1), "{what}, {task}: {told}");
            assert!(told.contains(words), "{what}, {task}: {told}");
        }
    }
}

const CONFIG: &str = r#"
listen = "127.0.0.1:0"
[admin]
listen = "off"
[policies.mine]
component = "mine.wasm"
compile-time = "2s"
compile-memory = "256MiB"
[pools.all]
backends = [{ address = "127.0.0.1:1" }]
[[routes]]
host = "*"
pool = "all"
policies = ["mine"]
"#;

#[test]
fn check_names_the_limits_of_the_configuration() {
    let scratch = Scratch::new();
    for (memory, words) in [("2GiB", "more than 2 s"), ("128MiB", "more than 128 MiB")] {
        scratch.write("waypost.toml", CONFIG.replace("256MiB", memory));
        scratch.write("mine.wasm", makers::locals_through_loops(1_000, 300));
        let exit = run(command()
            .args(["check", "--config", "waypost.toml"])
            .current_dir(scratch.path()));
        assert!(
            exit.code == Some(1) && exit.stdout.contains(words),
            "{words}: {exit:?}"
        );
    }
}

#[test]
fn the_offline_tools_end_in_a_sentence() {
    let scratch = Scratch::new();
    scratch.write("scenarios.toml", "[[scenario]]\nname = \"one\"\n");
    for (what, bytes, words) in makers::all() {
        scratch.write("a.wasm", &bytes);
        for words_of_command in [
            &["inspect", "a.wasm"][..],
            &["test", "a.wasm", "scenarios.toml"],
            &["bench", "a.wasm"],
        ] {
            let exit = policy(scratch.path(), words_of_command);
            let told = format!("{}{}", exit.stdout, exit.stderr);
            assert_eq!(exit.code, Some(1), "{what}, {words_of_command:?}: {told}");
            assert!(told.contains(words), "{what}, {words_of_command:?}: {told}");
        }
        let exit = policy(scratch.path(), &["pack", "a.wasm", "-o", "b.wasm"]);
        assert_eq!(
            (exit.code, exit.stderr.lines().count()),
            (Some(1), 1),
            "{what}: {exit:?}"
        );
    }
}

fn policy(folder: &Path, words: &[&str]) -> Exit {
    run(command().arg("policy").args(words).current_dir(folder))
}
