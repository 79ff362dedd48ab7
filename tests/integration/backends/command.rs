//! `waypost backends`.

use super::{answers, backends, endpoints, last_of};
use crate::fixtures::{Exit, TestProxy, TestUpstream, command, run};

#[track_caller]
fn ask(proxy: &TestProxy, words: &str, code: i32) -> Exit {
    let mut command = command();
    command
        .arg("backends")
        .args(words.split_whitespace())
        .current_dir(proxy.scratch.path())
        .env("WAYPOST_ADMIN_LISTEN", proxy.admin_address().to_string());
    let exit = run(&mut command);
    assert_eq!(exit.code, Some(code), "{words}: {exit:?}");
    exit
}

#[test]
fn a_command_that_names_several_backends_changes_all_or_none() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let proxy = last_of(&format!("backends = {}", backends(&[&one, &two]))).start();
    let (first, second) = (one.address(), two.address());
    let before = endpoints(&proxy);
    for words in [
        format!("down x {first} 10.0.0.9:1"),
        "add x 10.0.0.8:1 10.0.0.9:99999".to_owned(),
        format!("remove x {first} {second}"),
    ] {
        ask(&proxy, &words, 1);
        assert_eq!(endpoints(&proxy), before, "{words}");
    }
    ask(&proxy, &format!("set-weight x {second} 0"), 0);
    assert_eq!(answers(&proxy), "one");
    ask(&proxy, &format!("up x {first} {second}"), 0);
    assert_eq!(
        endpoints(&proxy),
        [
            format!("{first} configuration healthy"),
            format!("{second} configuration unproven"),
        ],
        "a weight of 0 drains, and `up` ends that"
    );
}

#[test]
fn each_command_does_what_its_name_says() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let proxy = last_of(&format!("backends = {}", backends(&[&one]))).start();
    let said = |words: &str| ask(&proxy, words, 0).stdout;
    let all = said("");
    assert_eq!(all, said("list"));
    assert!(
        all.starts_with("POOL  BACKENDS  HEALTHY  FILE\nx "),
        "{all}"
    );
    let (first, second) = (one.address(), two.address());
    let added = said(&format!("add x {second} --weight 4 --label zone=b"));
    assert!(added.starts_with("pool x: 2 backends\n"), "{added}");
    assert_eq!(answers(&proxy), "two");
    said(&format!("drain x {second}"));
    assert_eq!(answers(&proxy), "one");
    said(&format!("up x {second}"));
    said(&format!("set-weight x {second} 9"));
    let list = said("list x");
    let row = list
        .lines()
        .find(|line| line.contains(&second.to_string()))
        .unwrap();
    assert!(row.split_whitespace().eq([
        &*second.to_string(),
        "api",
        "9",
        "healthy",
        "1",
        "0",
        "0"
    ]));
    let json: serde_json::Value = serde_json::from_str(&said("list x --json")).unwrap();
    assert_eq!(json["endpoints"][1]["labels"]["zone"], "b");
    said(&format!("down x {first} {second}"));
    proxy.get("a.test", "/").assert_refusal(503);
    said(&format!("up x {first} {second}"));
    said(&format!("set-weight x {second} configured"));
    said(&format!("remove x {second}"));
    assert_eq!(
        endpoints(&proxy),
        [format!("{first} configuration healthy")]
    );

    let refused = |words: &str| ask(&proxy, words, 1).stderr;
    let unknown = refused("drain x 10.0.0.9");
    assert!(unknown.contains(&format!("it has {first}")), "{unknown}");
    assert!(refused("list y").contains("there are x"));
    assert!(refused(&format!("remove x {first}")).contains("has not added"));
    assert!(refused("add x a:0").contains("no valid port"));
    let mistake = ask(&proxy, "set-weight x a 70000", 2).stderr;
    assert!(mistake.contains("0 to 65535"), "{mistake}");
}
