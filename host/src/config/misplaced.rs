//! Keys of the file itself that stand below a line with brackets, and so in a section.

const OF_THE_FILE: [(&str, &str); 5] = [
    (
        "workers",
        "it is a key of the file itself: write `workers` above the first line with brackets",
    ),
    (
        "listen",
        "it is a key of the file itself: write `listen` above the first line with brackets",
    ),
    (
        "state-dir",
        "it is a key of the file itself: write `state-dir` above the first line with brackets",
    ),
    (
        "cache-dir",
        "it is a key of the file itself: write `cache-dir` above the first line with brackets",
    ),
    (
        "pid-file",
        "it is a key of the file itself: write `pid-file` above the first line with brackets",
    ),
];

/// Where to write such a key, if it is one.
pub(super) fn advice(key: &str) -> Option<&'static str> {
    let mut all = OF_THE_FILE.iter();
    all.find(|(own, _)| *own == key).map(|(_, advice)| *advice)
}
