//! Faults on demand, for the tests of this repository. Release builds don't contain them.

/// Panics or hangs here if a test requests it: `WAYPOST_TEST_FAULT` is a list of `NAME=panic:FILE`,
/// `NAME=hang:FILE` and `NAME=pause:FILE`, separated by `;`. The fault happens once, when the file
/// exists, which it removes. A pause ends when `FILE.end` exists, which it removes as well: another
/// thread that comes by could take the file itself.
#[cfg(debug_assertions)]
#[allow(clippy::panic, reason = "its purpose, and only in builds for tests")]
pub fn point(name: &str) {
    use std::sync::LazyLock;

    static WANTED: LazyLock<Vec<(String, String, String)>> = LazyLock::new(|| {
        let text = std::env::var("WAYPOST_TEST_FAULT").unwrap_or_default();
        let parse = |part: &str| {
            let (name, rest) = part.split_once('=')?;
            let (kind, file) = rest.split_once(':')?;
            Some((name.to_owned(), kind.to_owned(), file.to_owned()))
        };
        text.split(';').filter_map(parse).collect()
    });

    for (_, kind, file) in WANTED.iter().filter(|(wanted, ..)| wanted == name) {
        if std::fs::remove_file(file).is_err() {
            continue;
        }
        match kind.as_str() {
            "hang" => loop {
                std::thread::park();
            },
            "pause" => {
                while std::fs::remove_file(format!("{file}.end")).is_err() {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
            }
            _ => panic!("a test wants {name} to panic"),
        }
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &str) {}
