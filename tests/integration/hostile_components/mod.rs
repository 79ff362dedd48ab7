//! Components that are made to end, freeze or fill whatever reads them: by every way that leads in,
//! the process lives, others are answered, and a sentence says which limit.

mod makers;

use std::path::Path;
use std::process::Stdio;
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

/// Processes that compile for this one, those that have ended and wait to be reaped left out.
#[cfg(target_os = "linux")]
fn compiling_for(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes
        .filter_map(|p| p.file_name().into_string().ok())
        .filter(|n| n.parse::<u32>().is_ok());
    let of_parent = |number: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, is_child) = (
            fields.next(),
            fields.next() == Some(parent.to_string().as_str()),
        );
        is_child && state != Some("Z") && is_compiling(number)
    };
    numbers.filter(of_parent).collect()
}

#[cfg(target_os = "linux")]
fn is_compiling(number: &str) -> bool {
    let words = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).contains("compile-component")
}

#[test]
#[cfg(target_os = "linux")]
fn what_compiles_ends_with_a_proxy_that_is_killed() {
    let upstream = TestUpstream::named("there");
    let mut proxy = started(&upstream);
    let mut wire = Client::connect(proxy.admin_address());
    let slow = makers::locals_through_loops(1_000, 300);
    wire.send(
        Request::new("PUT", "/policies/slow")
            .host("localhost")
            .body(&slow)
            .bytes(),
    );
    let compiling = eventually("it is being compiled", || {
        let found = compiling_for(proxy.process_id());
        (found.len() == 1).then_some(found)
    });
    proxy.signal("KILL");
    eventually("the proxy has ended", || proxy.has_ended().then_some(()));
    // By itself it would go on for 50 s of the processor.
    eventually("what compiled for it has ended as well", || {
        (!is_compiling(&compiling[0])).then_some(())
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_compiling_process_that_others_end_is_a_refusal_and_the_next_one_compiles() {
    use rustix::process::{Pid, Signal, kill_process};
    let upstream = TestUpstream::named("there");
    let proxy = started(&upstream);
    for signal in [Signal::KILL, Signal::TERM] {
        let mut wire = Client::connect(proxy.admin_address());
        let slow = makers::locals_through_loops(1_000, 300);
        wire.send(
            Request::new("PUT", "/policies/slow")
                .host("localhost")
                .body(&slow)
                .bytes(),
        );
        let compiling = eventually("it is being compiled", || {
            compiling_for(proxy.process_id()).pop()
        });
        kill_process(Pid::from_raw(compiling.parse().unwrap()).unwrap(), signal).unwrap();
        let answer = wire.response_to("PUT");
        let number = signal.as_raw();
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(
            answer
                .text()
                .contains(&format!("killed by signal {number}"))
                && answer.text().contains("deploy")
        );
        assert!(matches!(
            proxy.put_policy("mine", &guest("pick-last")).status,
            200..=204
        ));
    }
}

/// Whatever it is that has no descriptor any more: the order, the answer, a pipe, the program.
#[test]
#[cfg(target_os = "linux")]
fn without_descriptors_nothing_is_compiled_and_with_some_it_is_again() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let upstream = TestUpstream::named("there");
    let proxy = started(&upstream);
    let limit = |most: Option<u64>| {
        let process = Pid::from_raw(proxy.process_id().cast_signed());
        prlimit(
            process,
            Resource::Nofile,
            Rlimit {
                current: most,
                maximum: Some(1024),
            },
        )
        .unwrap();
    };
    let mut wire = Client::connect(proxy.admin_address());
    let mut put = |component: &[u8]| {
        wire.ask(
            Request::new("PUT", "/policies/mine")
                .host("localhost")
                .body(component)
                .bytes(),
        )
    };
    // With a section of its own, so that it was not compiled before.
    let another = |n: u64| [&guest("pick-last")[..], &[0, 3, 1, b'n', n as u8]].concat();
    assert!(matches!(put(&another(0)).status, 200..=204));
    let is_open = |fd: &u64| Path::new(&format!("/proc/{}/fd/{fd}", proxy.process_id())).exists();
    let free = (0..).find(|fd| !is_open(fd)).unwrap();
    let mut refused = 0;
    for more in 0..12 {
        limit(Some(free + more));
        let answer = put(&another(1 + more));
        if !matches!(answer.status, 200..=204) {
            refused += 1;
            assert!(
                answer.text().contains("`ulimit -n`"),
                "{more}: {} {}",
                answer.status,
                answer.text()
            );
        }
        limit(Some(1024));
        assert!(
            matches!(put(&another(100 + more)).status, 200..=204),
            "{more}"
        );
    }
    assert!(refused > 1, "else this test has shown nothing");
    assert_eq!(proxy.get("mine.test", "/").status, 200);
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

#[test]
#[cfg(target_os = "linux")]
fn the_process_that_compiles_has_given_up_its_rights() {
    let mut child = command();
    // It waits for its order.
    child
        .args(["compile-component", &(256u64 << 20).to_string(), "5"])
        .stdin(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let about =
        |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let field = |text: &str, name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line[name.len().min(line.len())..]
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    eventually("it has entered its sandbox", || {
        let status = about("status");
        let entered = (
            field(&status, "NoNewPrivs:"),
            field(&status, "Seccomp:"),
            field(&status, "Seccomp_filters:"),
        );
        (entered.0 == "1" && entered.1 == "2" && entered.2 == "2").then_some(())
    });
    let limits = about("limits");
    for (name, value) in [
        ("Max data size", (256u64 << 20).to_string()),
        ("Max cpu time", "5".to_owned()),
        ("Max core file size", "0".to_owned()),
        ("Max open files", "3".to_owned()),
    ] {
        assert_eq!(field(&limits, name), value, "{limits}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_process_that_compiles_is_not_for_people() {
    let exit = run(command().arg("compile-component"));
    assert_eq!(exit.code, Some(2));
    assert!(
        exit.stderr.contains("is what waypost calls itself with"),
        "{exit:?}"
    );
}
