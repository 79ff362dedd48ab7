use super::*;

fn refusal(bytes: &[u8]) -> Refusal {
    TestEngine::new().load(&spec(bytes)).unwrap_err()
}

macro_rules! guest {
    ($name:literal) => {
        include_bytes!(concat!(
            "../../../../tests/guests/",
            $name,
            "/",
            $name,
            ".wasm"
        ))
    };
}

#[test]
fn each_kind_of_wrong_bytes_has_its_own_sentence() {
    assert_eq!(refusal(guest!("core-module")), Refusal::CoreModule);
    assert_eq!(refusal(b"\n  (component)"), Refusal::Text);
    assert_eq!(refusal(b";; a comment\n(module)"), Refusal::Text);
    assert!(matches!(refusal(b""), Refusal::Corrupt(_)));
    assert!(matches!(refusal(b"<html>"), Refusal::Corrupt(_)));
    assert!(matches!(
        refusal(b"\0asm\x0d\0\x01\0\xff\xff\xff\xff\xff\xff"),
        Refusal::Corrupt(_)
    ));
    assert!(matches!(
        refusal(&PROBE[..PROBE.len() / 2]),
        Refusal::Corrupt(_)
    ));
    for feature in [
        "(type (sub (func)))",
        "(memory 1 1 shared)",
        "(memory i64 1)",
        "(tag)",
    ] {
        let refused = refusal(&wat(&format!("(component (core module {feature}))")));
        assert!(
            matches!(&refused, Refusal::Feature(_)),
            "{feature}: {refused}"
        );
        assert!(
            refused
                .to_string()
                .contains("build it without that feature"),
            "{refused}"
        );
    }
    assert!(matches!(
        refusal(&vec![0; 65 << 20]),
        Refusal::TooLarge { .. }
    ));
    let mut flipped = PROBE.to_vec();
    // The kind of the first section; elsewhere a byte may be data, which is as good as any other.
    flipped[8] ^= 0xff;
    assert!(!refusal(&flipped).to_string().contains('\n'));
}

#[test]
fn other_versions_are_refused_naming_both() {
    for (bytes, theirs) in [
        (
            &guest!("other-version")[..],
            "waypost:policy/selection@0.2.0",
        ),
        (
            &guest!("other-import-version")[..],
            "waypost:policy/random@0.2.0",
        ),
    ] {
        let message = refusal(bytes).to_string();
        assert!(
            message.contains(theirs) && message.contains("waypost:policy@0.1.0"),
            "{message}"
        );
    }
}

#[test]
fn unknown_imports_and_wrong_types_are_named() {
    assert!(
        matches!(refusal(guest!("wants-vault")), Refusal::NotOffered(name) if name == "tests:wants-vault/vault")
    );
    assert!(matches!(refusal(guest!("no-hooks")), Refusal::NoHook(_)));
    assert!(
        matches!(refusal(guest!("wrong-types")), Refusal::HookType { hook, .. } if hook == "selection.select")
    );
    let missing =
        wat(r#"(component (instance $i) (export "waypost:policy/selection@0.1.0" (instance $i)))"#);
    assert!(
        matches!(refusal(&missing), Refusal::HookType { hook, .. } if hook == "selection.select")
    );
    let http = wat(r#"(component (import "wasi:http/types@0.2.0" (instance)))"#);
    assert!(matches!(refusal(&http), Refusal::NotOffered(name) if name == "wasi:http/types@0.2.0"));
    let mismatch = wat(
        r#"(component (import "waypost:policy/random@0.1.0" (instance (export "more" (func)))))"#,
    );
    let message = refusal(&mismatch).to_string();
    assert!(message.contains("more"), "{message}");
}

#[test]
fn the_operator_reads_which_policy_and_where_from() {
    let test = TestEngine::new();
    let error = test
        .engine
        .load(&spec(b"x"), &[], 0, &test.stats, 1)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("policy `p` (test): "), "{error}");
}

#[test]
fn settings_are_configured_or_refused() {
    let test = TestEngine::new();
    let refused = test
        .load(&probe(json!({"on_configure": "error:no\nsuch key"})))
        .unwrap_err();
    assert_eq!(refused, Refusal::Configure("no\u{fffd}such key".to_owned()));
    let settings = json!({"request": ["settings"]});
    let mut handle = test.handle(&probe(settings.clone()));
    let mut head = request(&[]);
    handle.edit_request(&mut head, 0).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(field(&head, "x-probe-settings")).unwrap(),
        settings
    );
    let random = builtin("random").unwrap();
    let unwanted = PolicySpec {
        settings: json!({"a": 1}),
        ..spec(random)
    };
    assert_eq!(test.load(&unwanted).unwrap_err(), Refusal::SettingsUnwanted);
    assert!(
        test.load(&PolicySpec {
            settings: json!({}),
            ..spec(random)
        })
        .is_ok()
    );
}

#[test]
fn a_failure_while_setting_up_refuses_the_policy_and_names_the_step() {
    let test = TestEngine::new();
    let failure = |settings| test.load(&probe(settings)).unwrap_err().to_string();
    let message = failure(json!({"on_configure": "trap"}));
    assert!(
        message.contains("configure") && message.contains("unreachable"),
        "{message}"
    );
    let message = failure(json!({"on_topology": "recurse"}));
    assert!(
        message.contains("backends-changed") && message.contains("recurse"),
        "{message}"
    );
    let message = failure(json!({"on_configure": "loop"}));
    assert!(
        message.contains("did not finish configure within 2 s"),
        "{message}"
    );
    let message = failure(json!({"on_topology": "loop"}));
    assert!(
        message.contains("did not finish backends-changed"),
        "{message}"
    );
}

#[test]
fn a_start_function_that_never_ends_is_refused() {
    let bytes = editing_guest("", "", "(func $s (loop $l (br $l))) (start $s)", "");
    assert!(
        matches!(refusal(&bytes), Refusal::SetupDeadline { step, .. } if step == "instantiation")
    );
    let bytes = editing_guest("", "", "(func $s unreachable) (start $s)", "");
    assert!(matches!(refusal(&bytes), Refusal::Setup { step, .. } if step == "instantiation"));
}

#[test]
fn memory_beyond_the_limit_is_refused_with_the_number_needed() {
    let test = TestEngine::new();
    let small = PolicySpec {
        memory: 128 << 10,
        ..probe(Value::Null)
    };
    let refusal = test.load(&small).unwrap_err();
    assert!(
        matches!(refusal, Refusal::Memory { needed, limit } if needed > limit && limit == 128 << 10),
        "{refusal}"
    );
    let greedy = probe(json!({"on_configure": "allocate=64"}));
    assert!(matches!(
        test.load(&greedy).unwrap_err(),
        Refusal::Memory { .. }
    ));
}

#[test]
fn generations_give_their_places_back() {
    let test = TestEngine::with_room_for(9);
    let guest = spec(&editing_guest("", "", "", ""));
    for _ in 0..50 {
        let mut handle = test.handle(&guest);
        assert!(matches!(
            handle.edit_request(&mut request(&[]), 0),
            Ok(Edited::Done)
        ));
    }
    let held: Vec<_> = (0..3).map(|_| test.load(&guest).unwrap()).collect();
    assert!(matches!(test.load(&guest).unwrap_err(), Refusal::Full(_)));
    drop(held);
    assert!(test.load(&guest).is_ok());
    assert_eq!(test.shard().memory.value(), 0);
}

#[test]
fn a_generation_describes_itself_and_outlives_its_engine() {
    let test = TestEngine::new();
    let generation = test
        .load(&probe(probe_actions("select", &["loop"])))
        .unwrap();
    assert_eq!(
        (generation.name(), generation.number(), generation.size()),
        ("p", 1, PROBE.len())
    );
    assert!(generation.digest().starts_with("sha256:") && generation.digest().len() == 71);
    assert_eq!(generation.hooks().names().count(), 6);
    let generation = test
        .load(&impatient(probe(probe_actions("select", &["loop"]))))
        .unwrap();
    let mut handle = test.adopt(generation);
    drop(test);
    let fault = handle
        .select(&mut request(&[]), 0, first_attempt())
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Deadline);
}

#[test]
fn each_built_in_loads_and_unknown_names_are_none() {
    let test = TestEngine::new();
    for name in builtin_names() {
        let settings = match name {
            "header-router" => json!({"header": "x-to"}),
            "rate-limit" => json!({"rate": 5}),
            _ => Value::Null,
        };
        let loaded = test.load(&PolicySpec {
            settings,
            ..spec(builtin(name).unwrap())
        });
        assert!(loaded.is_ok(), "{name}: {loaded:?}");
    }
    assert!(builtin("no-such-policy").is_none());
}
