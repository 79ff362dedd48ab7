//! `[rollout]`, `state-dir` and `cache-dir`.

use super::*;

#[test]
fn the_rollout_section_is_read_key_by_key() {
    let hex = "0123456789abcdef".repeat(4);
    let config = load(&format!(
        "state-dir = \"state\"\n[rollout]\nmax-faults = 1\nfailure-margin = 2.5\n\
            min-requests = 1000\nlatency-margin = 100\n\
         [policies.random]\ndigest = \"sha256:{}\"\n[policies.range]",
        hex.to_uppercase()
    ));
    assert_eq!(
        config.state_dir,
        Some(PathBuf::from("/etc/waypost/state")),
        "relative to the file"
    );
    assert_eq!(
        config.rollout,
        Rollout {
            max_faults: 1,
            failure_margin: 0.025,
            min_requests: 1000,
            latency_margin: 1.0
        }
    );
    assert_eq!(
        config.policies[0].digest,
        Some(format!("sha256:{hex}")),
        "in lower case, as digests are shown"
    );
    assert_eq!(config.policies[1].digest, None);
    let whole = load("state-dir = \"/var/lib/waypost\"\n[rollout]\nfailure-margin = 0");
    assert_eq!(whole.state_dir, Some(PathBuf::from("/var/lib/waypost")));
    assert_eq!(
        whole.cache_dir,
        Some(PathBuf::from("/var/lib/waypost/.compiled"))
    );
    assert_eq!(
        load("cache-dir = \"cache\"").cache_dir,
        Some(PathBuf::from("/etc/waypost/cache"))
    );
    assert_eq!(load("").cache_dir, None);
    assert_eq!(
        whole.rollout,
        Rollout {
            failure_margin: 0.0,
            ..Rollout::default()
        }
    );
}

#[test]
fn wrong_values_of_the_rollout_section_are_errors() {
    let digest = |written: &str| format!("[policies.random]\ndigest = {written}");
    let too_short = format!("\"sha256:{}\"", "a".repeat(63));
    let no_hex = format!("\"sha256:{}g\"", "a".repeat(63));
    let no_prefix = format!("\"{}\"", "a".repeat(64));
    for written in [&*too_short, &*no_hex, &*no_prefix, "\"\"", "\"md5:0\""] {
        assert_error(
            &digest(written),
            2,
            "policies.random.digest",
            "64 hexadecimal digits",
        );
    }
    assert_error(&digest("1"), 2, "policies.random.digest", "write a string");
    for (text, line, key, words) in [
        ("state-dir = \"\"", 1, "state-dir", "is not a path"),
        ("cache-dir = \"\"", 1, "cache-dir", "is not a path"),
        ("state-dir = true", 1, "state-dir", "write a string"),
        (
            "[rollout]\nmax-faults = 0",
            2,
            "rollout.max-faults",
            "write 1 to 1000000",
        ),
        (
            "[rollout]\nmax-faults = 1.5",
            2,
            "rollout.max-faults",
            "write an integer",
        ),
        (
            "[rollout]\nmin-requests = 0",
            2,
            "rollout.min-requests",
            "write 1 to 1000000",
        ),
        (
            "[rollout]\nfailure-margin = -1",
            2,
            "rollout.failure-margin",
            "write 0 to 100",
        ),
        (
            "[rollout]\nfailure-margin = 100.5",
            2,
            "rollout.failure-margin",
            "write 0 to 100",
        ),
        (
            "[rollout]\nfailure-margin = nan",
            2,
            "rollout.failure-margin",
            "write a number",
        ),
        (
            "[rollout]\nfailure-margin = \"5%\"",
            2,
            "rollout.failure-margin",
            "write a number",
        ),
        (
            "[rollout]\nlatency-margin = -1",
            2,
            "rollout.latency-margin",
            "write 0 to 1000000",
        ),
        (
            "[rollout]\nmax_faults = 1",
            2,
            "rollout.max_faults",
            "did you mean `max-faults`?",
        ),
        ("rollout = 5", 1, "rollout", "write a table"),
    ] {
        assert_error(text, line, key, words);
    }
}
