//! The file of a recording.

use super::super::{lines, requests, stop};
use super::{ALL, probed};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually};

#[test]
fn the_file_is_rotated_once_and_both_parts_can_be_read() {
    let backend = TestUpstream::named("served");
    let mut proxy = probed(&[ALL, "max-bytes = \"1MiB\""].concat(), &[&backend]);
    let mut client = proxy.client();
    let long = "x".repeat(12_000);
    for _ in 0..300 {
        client.ask(
            Request::new("GET", "/")
                .host("a.test")
                .field("X-Long", &long)
                .bytes(),
        );
    }
    drop(client);
    eventually("all is recorded", || {
        (proxy.stat("/recording/recorded") == 300).then_some(())
    });
    let bytes = proxy.stat("/recording/bytes");
    assert!(bytes > 3 << 20, "{bytes}");
    assert_eq!(
        (
            proxy.stat("/recording/dropped"),
            proxy.stat("/recording/errors")
        ),
        (0, 0)
    );
    stop(&mut proxy);
    for name in ["requests.jsonl", "requests.jsonl.1"] {
        let path = proxy.scratch.path().join(name);
        let found = std::fs::metadata(&path).unwrap();
        assert!(found.len() <= 1 << 20, "{name}: {}", found.len());
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777,
            0o600,
            "{name}"
        );
        assert!(
            lines(&proxy.scratch, name)[0].get("lineup").is_some(),
            "{name} begins with who decides"
        );
    }
}

#[test]
fn what_was_written_is_on_disk_within_moments() {
    let backend = TestUpstream::named("served");
    let proxy = probed(ALL, &[&backend]);
    proxy.get("a.test", "/");
    // It is counted when it is in the file.
    eventually("it is counted", || {
        let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
        metrics
            .contains("waypost_requests_recorded_total 1")
            .then_some(())
    });
    assert_eq!(requests(&proxy.scratch, "requests.jsonl").len(), 1);
}

#[test]
fn a_recording_of_an_earlier_run_is_rotated_and_a_special_file_is_refused() {
    let backend = TestUpstream::named("served");
    let start = || {
        TestProxy::builder()
            .host("*", &[backend.address()])
            .file("requests.jsonl", "old\n")
            .tables(ALL)
            .start()
    };
    let mut proxy = start();
    stop(&mut proxy);
    assert_eq!(
        std::fs::read_to_string(proxy.scratch.path().join("requests.jsonl.1")).unwrap(),
        "old\n"
    );

    let scratch = crate::fixtures::Scratch::new();
    std::fs::create_dir(scratch.path().join("requests.jsonl")).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n[hosts]\n\"*\" = \"{}\"\n{ALL}",
        backend.address()
    );
    scratch.write("waypost.toml", config);
    let exit = crate::fixtures::waypost(["run", "--config", "waypost.toml"], scratch.path());
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(
        exit.stderr.contains("record.file") && exit.stderr.contains("is a directory"),
        "{exit:?}"
    );
}
