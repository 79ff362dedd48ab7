//! Calls of the store while two generations are compared.

use super::super::*;
use super::told;

#[test]
fn counting_down_is_recorded_and_replayed() {
    let text = r#"[{"call":{"decrement":["n",3,0]},"told":{"count":-1}},{"call":{"counter":"n"},"told":{"count":-1}},{"call":{"counter":"m"},"told":{"count":null}}]"#;
    let recorded: Vec<super::super::Told> = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&recorded).unwrap(), text);
    let t = told(100, 1 << 20);
    let mut calls = Calls::recorded(recorded);
    let mut ask = |call: Call| calls.rehearse(call, &t.store);
    let (n, m) = (|| "n".to_owned(), || "m".to_owned());
    assert_eq!(
        ask(Call::Decrement(n(), 5, 0)),
        Answer::Count(Some(-3)),
        "from 2, where it stood"
    );
    assert_eq!(t.store.counter("n"), Some(-3));
    assert_eq!(ask(Call::Counter(n())), Answer::Count(Some(-1)));
    assert_eq!(ask(Call::Counter(m())), Answer::Count(None));
    // Not recorded any more: the separate store answers.
    assert_eq!(
        ask(Call::Decrement(n(), u64::MAX, 0)),
        Answer::Count(Some(i64::MIN))
    );
    assert_eq!(ask(Call::Counter(m())), Answer::Count(None));
}

#[test]
fn a_shadow_gets_a_compare_and_set_answer_for_its_expected_value() {
    let t = told(100, 1 << 20);
    let cas = |expected: Option<&str>, value: &str| {
        Call::CompareAndSet(
            "a".to_owned(),
            expected.map(|e| e.as_bytes().to_vec()),
            value.into(),
            0,
        )
    };
    t.set("a", "now", 0);
    // The active generation did not make this call: the store answers what would be, and stays as
    // it is.
    let mut calls = Calls::default();
    for (expected, told) in [
        (Some("now"), true),
        (Some("then"), false),
        (None, false),
        (Some("no"), false),
    ] {
        assert_eq!(
            calls.replay(&cas(expected, "new"), &t.store),
            Answer::Flag(told),
            "{expected:?}"
        );
    }
    assert_eq!(t.get("a").as_deref(), Some("now"));
    assert_eq!(
        calls.replay(
            &Call::CompareAndSet("b".to_owned(), None, vec![], 0),
            &t.store
        ),
        Answer::Flag(true)
    );
    assert_eq!(t.get("b"), None);
    // The active generation has made this call: its answer is only for a call that expects the same
    // value.
    assert_eq!(
        calls.run(cas(Some("now"), "new"), &t.store),
        Answer::Flag(true)
    );
    assert_eq!(t.get("a").as_deref(), Some("new"));
    assert_eq!(
        calls.replay(&cas(Some("then"), "new"), &t.store),
        Answer::Flag(false)
    );
    assert_eq!(
        calls.replay(&cas(None, "new"), &t.store),
        Answer::Flag(false)
    );
    assert_eq!(
        calls.replay(&cas(Some("now"), "abc"), &t.store),
        Answer::Flag(true),
        "it is told what the other was"
    );
    assert_eq!(
        calls.replay(&cas(Some("now"), "abc"), &t.store),
        Answer::Flag(false),
        "once; now it is another value"
    );
    assert_eq!(
        calls.run(cas(Some("now"), "x"), &t.store),
        Answer::Flag(false)
    );
    assert_eq!(
        calls.replay(&cas(Some("new"), "x"), &t.store),
        Answer::Flag(true),
        "another expectation than the kept one"
    );
    assert_eq!(
        t.get("a").as_deref(),
        Some("new"),
        "a shadow has changed nothing"
    );
}

#[test]
fn a_comparison_keeps_values_that_fit_the_store_and_none_larger() {
    let t = told(100, 1 << 20);
    let (key, long) = ("k".repeat(MAX_KEY), "k".repeat(MAX_KEY + 1));
    let (value, large) = (vec![b'v'; MAX_VALUE], vec![b'v'; MAX_VALUE + 1]);
    let fitting = [
        Call::Get(key.clone()),
        Call::Set(key.clone(), value.clone(), 0),
        Call::CompareAndSet(key.clone(), Some(value.clone()), value.clone(), 0),
    ];
    let beyond = [
        Call::Get(long.clone()),
        Call::Set(long, value.clone(), 0),
        Call::Set(key.clone(), large.clone(), 0),
        Call::CompareAndSet(key.clone(), Some(large.clone()), value.clone(), 0),
        Call::CompareAndSet(key, Some(value), large, 0),
    ];
    for (calls, kept) in [(fitting.to_vec(), 1), (beyond.to_vec(), 0)] {
        for call in calls {
            let mut tape = Calls::default();
            tape.run(call, &t.store);
            assert_eq!(tape.kept().len(), kept, "{:?}", tape.kept());
        }
    }
}
