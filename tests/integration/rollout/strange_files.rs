//! Paths that lead to something else than a file of a sensible size: nothing waits for them,
//! nothing reads them in.

use std::path::Path;

use super::state_dir::{fifo, link, sparse};
use crate::fixtures::{Request, Scratch, TestProxy, TestUpstream, command, eventually, guest, run};

/// Puts something strange at this path.
type Strange = fn(&Path);
const STRANGE: [(&str, Strange); 5] = [
    ("a FIFO", fifo),
    ("a folder", |path| std::fs::create_dir(path).unwrap()),
    ("a device", |path| link("/dev/zero", path)),
    ("a sparse file", sparse),
    ("a link to a FIFO", |path| {
        let to = path.with_extension("fifo");
        fifo(&to);
        link(to.to_str().unwrap(), path);
    }),
];

#[test]
fn a_component_that_became_something_strange_holds_up_no_other() {
    let upstream = TestUpstream::named("served");
    let proxy = TestProxy::builder()
        .file("strange.wasm", guest("pick-first"))
        .file("other.wasm", guest("pick-first"))
        .pool_for_all(&[upstream.address()], &["strange", "other"])
        .tables("[policies.strange]\ncomponent = \"strange.wasm\"\n[policies.other]\ncomponent = \"other.wasm\"")
        .start();
    let path = proxy.scratch.path().join("strange.wasm");
    let mut other = ["pick-last", "probe"].into_iter().cycle();
    let before = proxy.peak_resident_kib();
    for (what, strange) in STRANGE {
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir(&path);
        strange(&path);
        proxy
            .stderr
            .find(|line| {
                line.contains("strange.wasm has changed and can't be read")
                    .then_some(())
            })
            .unwrap();
        let component = guest(other.next().unwrap());
        let digest = waypost::policy::digest(&component);
        proxy.scratch.replace("other.wasm", component);
        eventually(what, || {
            (proxy.policy("other")["digest"] == digest).then_some(())
        });
        assert_eq!(proxy.policy("strange")["generation"], 1, "{what}");
        assert_eq!(proxy.get("a.test", "/").text(), "served", "{what}");
        // Loading the other one takes some memory as well.
        assert!(
            proxy.peak_resident_kib() < before + 256 * 1024,
            "{what}: {} KiB",
            proxy.peak_resident_kib()
        );
    }
    let _ = std::fs::remove_file(&path);
    proxy.scratch.replace("strange.wasm", guest("pick-last"));
    eventually("a file again", || {
        (proxy.policy("strange")["generation"] == 2).then_some(())
    });
    assert_eq!(proxy.admin(Request::new("GET", "/readyz")).status, 200);
}

#[test]
fn no_command_reads_a_special_file() {
    for (what, strange) in STRANGE {
        let scratch = Scratch::new();
        strange(&scratch.path().join("strange"));
        scratch.write("good.wasm", guest("pick-first"));
        let head = "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[pools.a]\nbackends = [\"127.0.0.1:1\"]\n";
        let text = format!(
            "{head}[[routes]]\npool = \"a\"\npolicies = [\"p\"]\n[policies.p]\ncomponent = \"strange\"\n"
        );
        scratch.write("strange.toml", text);
        let commands: &[&[&str]] = &[
            &["run", "--config", "strange"],
            &["check", "--config", "strange"],
            &["run", "--config", "strange.toml"],
            &["check", "--config", "strange.toml"],
            &["policy", "inspect", "strange"],
            &["policy", "bench", "strange"],
            &["policy", "bench", "good.wasm", "--scenarios", "strange"],
            &["policy", "bench", "good.wasm", "--settings", "@strange"],
            &["policy", "test", "strange", "strange"],
            &["policy", "test", "good.wasm", "strange"],
            &["policy", "pack", "strange", "-o", "packed.wasm"],
            &["policy", "replay", "good.wasm", "strange"],
            &["policy", "deploy", "p", "strange", "--admin", "127.0.0.1:1"],
            &[
                "policy",
                "status",
                "--admin",
                "127.0.0.1:1",
                "--token-file",
                "strange",
            ],
        ];
        for arguments in commands {
            let exit = run(command().args(*arguments).current_dir(scratch.path()));
            let said = format!("{}{}", exit.stdout, exit.stderr);
            assert!(
                exit.code.is_some_and(|code| code > 0),
                "{what}, {arguments:?}: {exit:?}"
            );
            assert!(
                said.contains("strange") && !said.contains("panicked"),
                "{what}, {arguments:?}: {said}"
            );
        }
    }
}
