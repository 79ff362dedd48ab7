//! The proxy's own log as JSON, for those who collect lines.

use serde_json::Value;

use crate::fixtures::{Scratch, TestProxy, TestUpstream, guest, waypost};

fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

#[test]
fn every_line_is_an_object_and_those_of_a_policy_name_it_and_its_hook() {
    let backend = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .environment("WAYPOST_LOG_FORMAT", "json")
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[policies.mine]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"\n\
             settings = {{ on_configure = \"log=at the set-up\", request = [\"log=a \\\"b\\\"\"] }}\n\
             [pools.all]\nbackends = [\"{}\"]\n\
             [[routes]]\npool = \"all\"\npolicies = [\"mine\"]\n",
            backend.address()
        ))
        .start();
    assert_eq!(proxy.get("a.test", "/").status, 200);
    let line = |part: &str| {
        let found = proxy
            .stderr
            .find(|line| line.contains(part).then(|| line.to_owned()));
        object(&found.unwrap_or_else(|| panic!("no {part}: {}", proxy.stderr.text())))
    };
    let of_hook = line("a \\\"b\\\"");
    assert_eq!(of_hook["message"], "a \"b\"", "{of_hook}");
    assert_eq!(
        (&of_hook["level"], &of_hook["target"]),
        (&"info".into(), &"policy".into())
    );
    assert_eq!(
        (&of_hook["policy"], &of_hook["hook"]),
        (&"mine".into(), &"request-headers".into())
    );
    let of_set_up = line("at the set-up");
    assert_eq!(
        (&of_set_up["policy"], of_set_up.get("hook")),
        (&"mine".into(), None)
    );
    let listening = line("\"listening\"");
    assert_eq!(
        listening["addr"],
        proxy.address().to_string(),
        "{listening}"
    );
    for line in proxy.stderr.text().lines() {
        let object = object(line);
        let time = object["time"].as_str().unwrap_or_default();
        assert!(humantime::parse_rfc3339(time).is_ok(), "{line}");
        for key in ["level", "target", "message"] {
            assert!(
                object[key].as_str().is_some_and(|text| !text.is_empty()),
                "{line}"
            );
        }
    }
}

#[test]
fn the_error_that_ends_a_command_is_an_object_too() {
    let scratch = Scratch::new();
    let config = scratch.write("waypost.toml", "workers = 1\nnonsense = 2\nlisten = 3\n");
    let config = config.to_str().unwrap();
    let arguments = ["run", "--log-format", "json", "--config", config];
    let ended = waypost(arguments, scratch.path());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let lines: Vec<Value> = ended.stderr.lines().map(object).collect();
    assert!(
        lines.len() >= 2,
        "a line for each mistake: {}",
        ended.stderr
    );
    for line in &lines {
        assert_eq!(line["level"], "error", "{line}");
    }
    let text = ended.stderr;
    assert!(
        text.contains("nonsense") && text.contains("listen"),
        "{text}"
    );
}
