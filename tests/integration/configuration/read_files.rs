//! Files that a start or a later order reads, or opens to write to: `waypost check` looks at them,
//! and says what `waypost run` does.

use crate::fixtures::{Authority, Scratch, waypost};

const ORDERED: &str = "tls = { acme = [\"edge.test\"] }";

/// Both refuse a listener with this line and these tables, with these words.
#[track_caller]
fn both_say(scratch: &Scratch, (address, listener): (&str, &str), tables: &str, words: &str) {
    scratch.write(
        "waypost.toml",
        format!(
            "state-dir = \"state\"\nworkers = 1\n[admin]\nlisten = \"off\"\n[hosts]\n\
             \"*\" = \"127.0.0.1:9\"\n{tables}\n[[listeners]]\naddress = \"{address}\"\n{listener}\n"
        ),
    );
    for command in ["check", "run"] {
        let exit = waypost([command, "--config", "waypost.toml"], scratch.path());
        assert_eq!(exit.code, Some(1), "{command}: {exit:?}");
        let said = exit.stdout + &exit.stderr;
        assert!(said.contains(words), "{command}: no {words:?} in {said}");
    }
}

#[test]
fn the_files_of_an_authority_are_looked_at_before_an_order() {
    let scratch = Scratch::new();
    scratch.write("empty.pem", "");
    scratch.write("good.pem", Authority::new().pem);
    scratch.write("bad.key", "not base64!");
    for (acme, words) in [
        ("ca = \"none.pem\"", "`acme.ca`: "),
        ("ca = \"empty.pem\"", "empty.pem has no certificate"),
        (
            "ca = \"good.pem\"\nexternal-account = { key-id = \"1\", key-file = \"none.key\" }",
            "none.key can't be read",
        ),
        (
            "external-account = { key-id = \"1\", key-file = \"bad.key\" }",
            "bad.key is not base64",
        ),
        (
            "external-account = { key-id = \"1\", key-file = \"empty.pem\" }",
            "empty.pem is empty",
        ),
    ] {
        let tables = format!("[acme]\nterms-agreed = true\n{acme}");
        both_say(&scratch, ("127.0.0.1:0", ORDERED), &tables, words);
    }
}

#[test]
fn a_place_for_a_unix_socket_is_looked_at() {
    let scratch = Scratch::new();
    scratch.write("file", "");
    let hint = "does its folder exist, and may the user that runs waypost write to it?";
    for (address, words) in [
        ("unix:none/socket", hint),
        ("unix:file/socket", hint),
        ("unix:file", "there is a file that is no socket"),
    ] {
        both_say(&scratch, (address, ""), "", words);
    }
    let free = "[hosts]\n\"*\" = \"127.0.0.1:9\"\n[[listeners]]\naddress = \"unix:socket\"\n";
    scratch.write("waypost.toml", free);
    let _busy = std::os::unix::net::UnixListener::bind(scratch.path().join("socket")).unwrap();
    let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(
        check.code,
        Some(0),
        "the proxy that is to be replaced: {check:?}"
    );
}

#[test]
fn files_that_can_not_be_written_are_found() {
    let scratch = Scratch::new();
    let listener = ("127.0.0.1:0", "");
    for (tables, words) in [
        (
            "[access-log]\npath = \"none/access.log\"\nrequests = \"all\"",
            "none/access.log can't be opened",
        ),
        (
            "[record]\nfile = \"none/requests.jsonl\"\nsample = 1.0",
            "`record.file` ",
        ),
    ] {
        both_say(&scratch, listener, tables, words);
    }
    let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert!(check.stdout.contains("none/requests.jsonl"), "{check:?}");
}
