//! Results for people, JUnit and scripts.

use super::super::{policy, refused, well, with_scenarios};
use crate::fixtures::repository;

#[test]
fn a_filter_leaves_scenarios_out() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = \"one\"\n[[scenario]]\nname = \"two\"\nexpect.backend = \"none\"\n",
    );
    let text = well(
        scratch.path(),
        &["test", "builtin:random", "scenarios.toml", "--filter", "on"],
    );
    assert!(text.contains("1 passed, 0 failed, 1 left out"), "{text}");
    let sentence = refused(
        scratch.path(),
        &[
            "test",
            "builtin:random",
            "scenarios.toml",
            "--filter",
            "three",
        ],
        2,
    );
    assert!(
        sentence.contains("none of the 2 scenarios has \"three\" in its name"),
        "{sentence}"
    );
}

#[test]
fn junit_reports_the_same() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = \"good & true\"\n[[scenario]]\nname = \"<bad>\"\nexpect.backend = \"none\"\n",
    );
    let exit = policy(
        scratch.path(),
        &[
            "test",
            "builtin:random",
            "scenarios.toml",
            "--junit",
            "out.xml",
        ],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let xml = std::fs::read_to_string(scratch.path().join("out.xml")).unwrap();
    for part in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"2\" failures=\"1\">",
        "<testsuite name=\"scenarios.toml\" tests=\"2\" failures=\"1\"",
        "name=\"good &amp; true\" file=\"scenarios.toml\" line=\"1\"",
        "name=\"&lt;bad&gt;\" file=\"scenarios.toml\" line=\"3\"",
        "<failure message=\"backend: expected none, actual backend",
        "</testsuites>\n",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    assert_eq!(
        xml.matches("<testcase ").count(),
        xml.matches("/>\n").count() + xml.matches("</testcase>").count()
    );
    let words = [
        "test",
        "builtin:random",
        "scenarios.toml",
        "--junit",
        "no/such/out.xml",
    ];
    assert!(refused(scratch.path(), &words, 2).contains("can't write no/such/out.xml"));
}

#[test]
fn no_results_of_an_earlier_run_are_left_where_nothing_could_be_played() {
    let scratch = with_scenarios("[[scenario]]\nname = \"a\"\n");
    let core = repository()
        .join("tests/guests/core-module/core-module.wasm")
        .display()
        .to_string();
    for (words, code, told) in [
        (
            ["test", &core, "scenarios.toml", "scenarios.toml"],
            1,
            "policy `core-module` (",
        ),
        (
            ["test", "gone.wasm", "scenarios.toml", "scenarios.toml"],
            2,
            "can't read gone.wasm",
        ),
        (
            ["test", "builtin:random", "scenarios.toml", "gone.toml"],
            2,
            "can't read gone.toml",
        ),
    ] {
        scratch.write("out.xml", "of yesterday");
        let sentence = refused(
            scratch.path(),
            &[&words[..], &["--junit", "out.xml"][..]].concat(),
            code,
        );
        assert!(sentence.contains(told), "{sentence}");
        let xml = std::fs::read_to_string(scratch.path().join("out.xml")).unwrap();
        assert!(
            xml.contains("<testsuites tests=\"2\" failures=\"0\" errors=\"2\">"),
            "{xml}"
        );
        assert_eq!(xml.matches("<error message=\"").count(), 2, "{xml}");
        assert!(
            xml.contains(&format!("<testsuite name=\"{}\" tests=\"1\"", words[3]))
                && xml.contains(told),
            "{xml}"
        );
    }
}

#[test]
fn json_reports_the_same_to_scripts() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = \"good\"\n[[scenario]]\nname = \"bad\"\n[[scenario.step]]\nrepeat = 2\nexpect.backend = \"none\"\n\
         [[scenario]]\nname = \"left out\"\n",
    );
    let exit = policy(
        scratch.path(),
        &[
            "test",
            "builtin:random",
            "scenarios.toml",
            "--filter",
            "d",
            "--json",
        ],
    );
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(1), ""), "{exit:?}");
    let told: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert_eq!(
        [&told["passed"], &told["failed"], &told["left_out"]],
        [1, 1, 1],
        "{told:#}"
    );
    let [good, bad] = told["scenarios"].as_array().unwrap().as_slice() else {
        panic!("{told:#}")
    };
    assert_eq!(
        (&good["name"], &good["passed"], &good["line"]),
        (&"good".into(), &true.into(), &1.into())
    );
    assert!(
        good["failures"].as_array().unwrap().is_empty() && bad["passed"] == false,
        "{told:#}"
    );
    let failure = &bad["failures"][0];
    assert_eq!(
        (&failure["step"], &failure["run"], &failure["line"]),
        (&"step 1".into(), &1.into(), &5.into())
    );
    assert_eq!(
        (
            &failure["differences"][0]["what"],
            &failure["differences"][0]["expected"]
        ),
        (&"backend".into(), &"none".into())
    );
}
