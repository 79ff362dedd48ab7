//! Keys that can't be meant are refused, each with its name and line.

use crate::fixtures::{Scratch, command, guest, run};

fn check(text: &str) -> crate::fixtures::Exit {
    let scratch = Scratch::new();
    scratch.write("finder.wasm", guest("pathfinder"));
    let sections = "[pools.a]\nbackends = \"127.0.0.1:1\"\n\
                    [policies.finder]\ncomponent = \"finder.wasm\"\n";
    scratch.write("waypost.toml", format!("{text}\n{sections}"));
    let mut command = command();
    run(command
        .args(["check", "--config", "waypost.toml"])
        .current_dir(scratch.path()))
}

#[test]
fn mistakes_are_named_with_key_and_line() {
    let route = "[[routes]]\npool = \"a\"\npolicies = [\"finder\"]\n";
    let forward = "[forward]\nlisten = \"127.0.0.1:0\"\n";
    for (text, place) in [
        (format!("{route}policies-may-edit = [\"body\"]"), "line 4"),
        (format!("{route}policies-may-edit = []"), "line 4"),
        (
            format!("{route}policies-may-edit = [\"path\", \"path\"]"),
            "line 4",
        ),
        (
            "[[routes]]\nredirect = \"/\"\npolicies-may-edit = \"path\"".to_owned(),
            "`policies-may-edit`",
        ),
        (format!("{forward}policies = []"), "line 3"),
        (format!("{forward}policies = [\"none\"]"), "line 3"),
        (format!("{forward}policies = [\"random\"]"), "line 3"),
        (format!("{forward}pools = [\"a\"]"), "line 3"),
        (
            format!("{forward}policies = [\"finder\"]\npools = [\"b\"]"),
            "line 4",
        ),
        (
            format!("{forward}policies = [\"finder\"]\npools = [\"a\", \"a\"]"),
            "line 4",
        ),
        (
            format!(
                "{forward}policies = [\"finder\"]\npools = [\"t\"]\n\
                 [pools.t]\nbackends = \"https://127.0.0.1:1\""
            ),
            "line 4",
        ),
    ] {
        let checked = check(&text);
        let said = format!("{}{}", checked.stdout, checked.stderr);
        assert!(
            checked.code != Some(0) && said.contains(place),
            "{text}\n{said}"
        );
    }
}

#[test]
fn a_right_that_nobody_can_use_is_a_warning() {
    let checked = check("[[routes]]\npool = \"a\"\npolicies-may-edit = \"path\"");
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert_eq!(checked.code, Some(0), "{said}");
    assert!(
        said.contains("policies-may-edit") && said.contains("no effect"),
        "{said}"
    );
    let forward = "[forward]\nlisten = \"127.0.0.1:0\"\npolicies = [\"finder\"]\npools = [\"a\"]";
    let checked = check(forward);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(!said.contains("no route names this policy"), "{said}");
    assert!(!said.contains("no route leads to this pool"), "{said}");
    assert_eq!(checked.code, Some(0), "{said}");
}

#[test]
fn policies_without_the_hook_that_is_meant_are_named() {
    let scratch = Scratch::new();
    scratch.write("hearer.wasm", guest("hearer"));
    scratch.write(
        "waypost.toml",
        "[forward]\nlisten = \"127.0.0.1:0\"\npolicies = [\"hearer\"]\n\
         [[routes]]\npool = \"a\"\npolicies = [\"hearer\"]\npolicies-may-edit = \"path\"\n\
         [pools.a]\nbackends = \"127.0.0.1:1\"\n\
         [policies.hearer]\ncomponent = \"hearer.wasm\"\n",
    );
    let mut command = command();
    let arguments = ["check", "--config", "waypost.toml"];
    let checked = run(command.args(arguments).current_dir(scratch.path()));
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for said in [
        "does not export the hook `destination`",
        "exports `request-target`",
    ] {
        assert!(checked.stdout.contains(said), "{said}: {checked:?}");
    }
}
