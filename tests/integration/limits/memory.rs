//! Little address space at the start.

use super::with_limits;
use crate::fixtures::launch;

/// The process that compiles takes from itself what it does not need, and can't raise what is less
/// already.
#[test]
fn limits_that_are_lower_than_those_of_the_compiler_hold_no_start() {
    for limits in [
        "ulimit -s 4096",
        "ulimit -f 400000",
        "ulimit -d 3000000",
        "ulimit -t 200",
        "ulimit -c 0",
    ] {
        let (command, scratch, _upstream) = with_limits(limits, "off");
        let proxy = launch(command, false, scratch);
        assert_eq!(proxy.get("a.test", "/").text(), "a", "{limits}");
    }
}

#[test]
fn too_little_address_space_is_a_sentence_that_names_the_limit() {
    let (mut command, _scratch, _upstream) = with_limits("ulimit -v 6000000", "off");
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("4 GiB of addresses") && said.contains("`ulimit -v`"),
        "{said}"
    );
}

#[test]
fn little_address_space_makes_the_pool_smaller_or_does_without_it() {
    for (gib, pool) in [(100, true), (16, false)] {
        let (command, scratch, _upstream) =
            with_limits(&format!("ulimit -v {}", gib * 1024 * 1024), "off");
        let proxy = launch(command, false, scratch);
        assert_eq!(proxy.get("a.test", "/").text(), "a", "{gib} GiB");
        assert_eq!(
            proxy
                .stderr
                .text()
                .contains("the pool of policy instances can't be reserved"),
            !pool,
            "{gib} GiB"
        );
    }
}
