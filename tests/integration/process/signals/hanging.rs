//! Signals to a process of which a part hangs.

use super::SURVIVED;
use crate::fixtures::service::{Service, ask, one_backend, stat};
use crate::fixtures::{Running, Scratch, TestUpstream, command, eventually};

/// A start that hangs for good, as in a file or a name server that does not answer.
#[cfg(debug_assertions)]
fn hanging_start(arguments: &[&str]) -> Running {
    let scratch = Scratch::new();
    let hang = scratch.write("hang", "");
    scratch.write(
        "waypost.toml",
        "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n[hosts]\n\"*\" = \"127.0.0.1:1\"\n",
    );
    let mut command = command();
    command.args(arguments).current_dir(scratch.path());
    command.env(
        "WAYPOST_TEST_FAULT",
        format!("start=hang:{}", hang.display()),
    );
    let running = Running::start(&mut command);
    eventually("it hangs", || (!hang.exists()).then_some(()));
    running
}

#[cfg(debug_assertions)]
#[test]
fn a_start_that_hangs_is_ended_by_one_signal_with_0_and_a_sentence() {
    let run = ["run", "--config", "waypost.toml"];
    let demo = [
        "demo",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    for (arguments, signal) in [
        (&run[..], "TERM"),
        (&run, "INT"),
        (&run, "QUIT"),
        (&demo, "INT"),
    ] {
        let running = hanging_start(arguments);
        for survived in SURVIVED {
            running.signal(survived);
        }
        running.wait_for("SIGUSR1: no log is open yet");
        running.signal(signal);
        let exit = running.end();
        assert_eq!(exit.code, Some(0), "SIG{signal}: {}", exit.stderr);
        assert!(
            exit.stderr
                .contains(&format!("SIG{signal} during the start: stopped")),
            "{}",
            exit.stderr
        );
    }
}

#[cfg(debug_assertions)]
#[test]
fn the_second_signal_ends_the_process_whatever_hangs() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let upstream = TestUpstream::named("a");
        let scratch = Scratch::new();
        let hang = scratch.path().join("hang");
        let log = std::fs::File::create(scratch.path().join("stderr")).unwrap();
        let mut service = Service::start(&one_backend(&upstream), scratch, |command| {
            command
                .env(
                    "WAYPOST_TEST_FAULT",
                    format!("control=hang:{}", hang.display()),
                )
                .stderr(log);
        });
        service.ready();
        std::fs::write(&hang, "").unwrap();
        service.signal("USR1");
        eventually("the control side hangs", || (!hang.exists()).then_some(()));
        service.signal(signal);
        let log = service.scratch.path().join("stderr");
        eventually("the first is seen", || {
            std::fs::read_to_string(&log)
                .unwrap()
                .contains("finishing requests in flight")
                .then_some(())
        });
        service.signal(signal);
        assert_eq!(service.exit_code(), code, "SIG{signal}");
    }
}

/// It is seen while it hangs, and seen to go on.
#[cfg(debug_assertions)]
#[test]
fn a_worker_that_hangs_is_named_by_readyz_until_it_goes_on() {
    let upstream = TestUpstream::named("a");
    let scratch = Scratch::new();
    let pause = scratch.path().join("pause");
    let log = std::fs::File::create(scratch.path().join("stderr")).unwrap();
    let config = format!("workers = 2\n{}", one_backend(&upstream));
    let mut service = Service::start(&config, scratch, |command| {
        command
            .env(
                "WAYPOST_TEST_FAULT",
                format!("sweep=pause:{}", pause.display()),
            )
            .stderr(log);
    });
    let (_, admin) = service.ready();
    assert_eq!(
        (
            stat(admin, "/workers/0/hanging_seconds"),
            stat(admin, "/workers/1/hanging_seconds")
        ),
        (0, 0)
    );
    std::fs::write(&pause, "").unwrap();
    eventually("a worker pauses", || (!pause.exists()).then_some(()));
    let ready = eventually("it is seen", || {
        Some(ask(admin, "/readyz")).filter(|ready| ready.status == 503)
    });
    assert!(
        ready
            .text()
            .contains("these workers hang, and their clients get no answer: "),
        "{}",
        ready.text()
    );
    let hanging = (0..2)
        .filter(|n| stat(admin, &format!("/workers/{n}/hanging_seconds")) > 0)
        .count();
    assert_eq!(hanging, 1);
    let metrics = ask(admin, "/metrics").text();
    assert!(
        metrics
            .lines()
            .any(|line| line == "waypost_workers_hanging 1"),
        "{metrics}"
    );
    assert_eq!(ask(admin, "/healthz").status, 200);
    std::fs::write(pause.with_extension("end"), "").unwrap();
    eventually("it goes on", || {
        (ask(admin, "/readyz").status == 200).then_some(())
    });
    let log = service.scratch.path().join("stderr");
    eventually("the log says so", || {
        let log = std::fs::read_to_string(&log).unwrap();
        let count = |text: &str| log.matches(text).count();
        ((count("the worker hangs"), count("the worker continues")) == (1, 1)).then_some(())
    });
    service.signal("TERM");
    assert_eq!(service.exit_code(), 0);
}

#[cfg(debug_assertions)]
#[test]
fn a_worker_that_hangs_does_not_hold_the_stop() {
    let upstream = TestUpstream::named("a");
    let scratch = Scratch::new();
    let hang = scratch.path().join("hang");
    let log = std::fs::File::create(scratch.path().join("stderr")).unwrap();
    let config = format!("{}\n[timeouts]\ndrain = \"100ms\"", one_backend(&upstream));
    let mut service = Service::start(&config, scratch, |command| {
        command
            .env(
                "WAYPOST_TEST_FAULT",
                format!("sweep=hang:{}", hang.display()),
            )
            .stderr(log);
    });
    service.ready();
    std::fs::write(&hang, "").unwrap();
    eventually("a worker hangs", || (!hang.exists()).then_some(()));
    service.signal("TERM");
    assert_eq!(service.exit_code(), 1);
    let log = std::fs::read_to_string(service.scratch.path().join("stderr")).unwrap();
    assert!(
        log.contains("error: these workers have not ended in time: "),
        "{log}"
    );
}
