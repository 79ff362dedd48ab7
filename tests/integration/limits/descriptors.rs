//! Few file descriptors, or none that are free.

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{limited, with_limits};
use crate::fixtures::{Client, Request, TestUpstream, eventually, get, launch};

#[test]
fn running_out_of_file_descriptors_passes_by() {
    let upstream = TestUpstream::named("a");
    let mut proxy = limited(&upstream, "");
    // Less than it had when it shared them out.
    let few = Rlimit {
        current: Some(64),
        maximum: Some(64),
    };
    prlimit(
        Some(Pid::from_raw(proxy.process_id().cast_signed()).unwrap()),
        Resource::Nofile,
        few,
    )
    .unwrap();
    let mut held: Vec<Client> = (0..100).map(|_| proxy.client()).collect();
    let noticed = proxy
        .stderr
        .find(|l| l.contains("connections can't be accepted").then_some(()));
    assert!(
        noticed.is_some(),
        "the operator is told:\n{}",
        proxy.stderr.text()
    );
    assert!(!proxy.has_ended());
    // Those that have a place are served as soon as there are descriptors for the backend again.
    held.drain(..90);
    eventually("there is room again", || {
        let mut client = proxy.client();
        client.send_what_is_taken(get("a.test", "/"));
        client
            .try_response_to("GET")
            .is_ok_and(|r| r.status == 200)
            .then_some(())
    });
}

/// Those that have a place are served, those that have none read why, and who watches the process
/// gets an answer.
#[test]
fn few_file_descriptors_are_shared_out_and_the_admin_listener_goes_on() {
    let (command, scratch, _upstream) = with_limits("ulimit -n 128", "127.0.0.1:0");
    let proxy = launch(command, true, scratch);
    let lowered = proxy.stderr.find(|line| {
        line.contains("`limits.connections` is")
            .then(|| line.to_owned())
    });
    assert!(
        lowered.is_some_and(|line| line.contains("from 20000") && line.contains("`ulimit -n`"))
    );
    let mut clients: Vec<Client> = (0..150).map(|_| proxy.client()).collect();
    let mut answers = Vec::new();
    for client in &mut clients {
        client.send_what_is_taken(get("a.test", "/"));
        answers.push(client.try_response_to("GET").map(|answer| answer.status));
    }
    let of = |status| {
        answers
            .iter()
            .filter(|answer| matches!(answer, Ok(s) if *s == status))
            .count()
    };
    // Of one address fewer still: 429.
    assert!(
        of(200) >= 10 && of(200) + of(429) + of(503) == 150,
        "{answers:?}"
    );
    // Those that say nothing to the admin listener have its share and no other.
    let silent: Vec<Client> = (0..100)
        .map(|_| Client::connect(proxy.admin_address()))
        .collect();
    for _ in 0..20 {
        assert_eq!(proxy.admin(Request::new("GET", "/healthz")).status, 200);
    }
    let served = answers
        .iter()
        .position(|answer| matches!(answer, Ok(200)))
        .unwrap();
    assert_eq!(
        clients[served].ask(get("a.test", "/")).status,
        200,
        "and its backend's connection is not among them"
    );
    drop((clients, silent));
    eventually("there is room again", || {
        (proxy.get("a.test", "/").status == 200).then_some(())
    });
}

#[test]
fn too_few_file_descriptors_are_a_sentence_at_the_start() {
    for few in [40, 64] {
        let (mut command, _scratch, _upstream) =
            with_limits(&format!("ulimit -n {few}"), "127.0.0.1:0");
        let exit = crate::fixtures::run(&mut command);
        assert_eq!(exit.code, Some(1), "{exit:?}");
        assert!(
            exit.stderr.contains(&format!("{few} files")) && exit.stderr.contains("`ulimit -n`"),
            "{exit:?}"
        );
    }
}
