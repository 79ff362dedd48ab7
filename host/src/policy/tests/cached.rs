//! Components from the cache, and engines for offline use.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const FIRST: &[u8] = include_bytes!("../../../../tests/guests/pick-first/pick-first.wasm");
const LAST: &[u8] = include_bytes!("../../../../tests/guests/pick-last/pick-last.wasm");

fn engine(cache: &Path) -> TestEngine {
    TestEngine::with(EngineOptions {
        instances: Some(32),
        cache: Some(cache.to_owned()),
        ..EngineOptions::default()
    })
}

fn selects(test: &TestEngine, component: &[u8]) -> Selected {
    test.handle(&spec(component))
        .select(&mut request(&[]), 0, first_attempt())
        .unwrap()
}

/// What belongs to a component, by its file's extension.
fn kept(cache: &Path, component: &[u8], extension: &str) -> PathBuf {
    let digest = digest(component).replace("sha256:", "");
    let matches = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&digest) && name.ends_with(extension)
    };
    fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(matches)
        .unwrap()
}

#[test]
fn the_next_engine_runs_what_was_compiled_for_the_last() {
    let cache = std::env::temp_dir().join(format!("waypost-cached-{}", std::process::id()));
    let _ = fs::remove_dir_all(&cache);
    let test = engine(&cache);
    assert_eq!(
        [selects(&test, FIRST), selects(&test, LAST)],
        [Selected::Backend(0), Selected::Backend(2)]
    );

    // A different component in the cache shows whether an engine really uses the cache.
    for extension in ["compiled", "checksum"] {
        fs::copy(
            kept(&cache, LAST, extension),
            kept(&cache, FIRST, extension),
        )
        .unwrap();
    }
    assert_eq!(selects(&engine(&cache), FIRST), Selected::Backend(2));
    // A damaged artefact is compiled again and replaced.
    fs::write(kept(&cache, FIRST, "compiled"), b"damaged").unwrap();
    assert_eq!(selects(&engine(&cache), FIRST), Selected::Backend(0));
    assert_eq!(selects(&engine(&cache), FIRST), Selected::Backend(0));
    assert!(fs::metadata(kept(&cache, FIRST, "compiled")).unwrap().len() > 1000);
    fs::remove_dir_all(cache).unwrap();
}

#[test]
fn a_refused_component_is_not_kept() {
    let cache = std::env::temp_dir().join(format!("waypost-uncached-{}", std::process::id()));
    let refused = include_bytes!("../../../../tests/guests/no-hooks/no-hooks.wasm");
    engine(&cache).load(&spec(refused)).unwrap_err();
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    fs::remove_dir_all(cache).unwrap();
}

#[test]
fn a_folder_that_is_none_is_named() {
    let file = std::env::temp_dir().join(format!("waypost-no-cache-{}", std::process::id()));
    fs::write(&file, b"").unwrap();
    let options = EngineOptions {
        workers: 1,
        cache: Some(file.clone()),
        ..EngineOptions::default()
    };
    let error = Engine::new(options).err().unwrap().to_string();
    assert!(
        error.starts_with(&format!("`cache-dir` {}", file.display())),
        "{error}"
    );
    fs::remove_file(file).unwrap();
}

#[test]
fn instructions_are_counted_and_are_the_same_each_time() {
    let test = TestEngine::with(EngineOptions {
        instances: Some(32),
        fuel: true,
        ..EngineOptions::default()
    });
    let mut handle = test.handle(&spec(FIRST));
    let mut counted = Vec::new();
    for _ in 0..3 {
        handle
            .select(&mut request(&[]), 0, first_attempt())
            .unwrap();
        counted.push(handle.fuel().unwrap());
    }
    assert!(
        counted[0] > 0 && counted.iter().all(|n| *n == counted[0]),
        "{counted:?}"
    );
    assert_eq!(TestEngine::new().handle(&spec(FIRST)).fuel(), None);
}

#[test]
fn a_script_decides_draws_and_time() {
    let random = builtin("random").unwrap();
    let test = TestEngine::new();
    let mut handle = test.handle(&PolicySpec {
        component: random.into(),
        ..spec(b"")
    });
    // Weights 1, 2 and 3: six points; backend 1 is not healthy.
    for (draw, backend) in [(0, 0), (3, 2), (5, 2)] {
        let script = Script {
            draws: vec![draw],
            ..Script::default()
        };
        handle.insert_tape(Box::new(Tape::scripted(script)));
        let selected = handle
            .select(&mut request(&[]), 0, first_attempt())
            .unwrap();
        assert_eq!(selected, Selected::Backend(backend));
        let tape = handle.eject_tape().unwrap();
        assert_eq!((tape.draws_left(), tape.complaint()), (0, None));
    }
    handle.insert_tape(Box::new(Tape::scripted(Script {
        draws: vec![6],
        ..Script::default()
    })));
    handle
        .select(&mut request(&[]), 0, first_attempt())
        .unwrap();
    assert!(
        handle
            .eject_tape()
            .unwrap()
            .complaint()
            .unwrap()
            .contains("draw 6 is not below 6")
    );
}
