//! The command line as written, and what is refused of it.

use super::*;
use crate::config::Config;

fn parse(args: &[&str]) -> Cli {
    Cli::try_parse_from(std::iter::once(&"waypost").chain(args)).unwrap()
}

fn settings(args: &[&str]) -> Settings {
    match parse(args).command {
        Command::Run(settings) => settings,
        Command::Check(check) => check.settings,
        other => panic!("{other:?}"),
    }
}

fn no_environment(_: &str) -> Option<OsString> {
    None
}

#[test]
fn the_commands_are_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_help_with_examples() {
    let mut path = Vec::new();
    let mut seen = 0;
    assert_help(&Cli::command(), &mut path, &mut seen);
    assert!(seen >= 12, "{seen}");
}

/// Checks all commands below this one.
fn assert_help(command: &clap::Command, path: &mut Vec<String>, seen: &mut usize) {
    for command in command.get_subcommands() {
        path.push(command.get_name().to_owned());
        let args = ["waypost"]
            .into_iter()
            .chain(path.iter().map(String::as_str))
            .chain(["--help"]);
        let help = Cli::try_parse_from(args).unwrap_err().to_string();
        assert!(
            help.contains("Examples:") && help.contains(&format!("waypost {}", path.join(" "))),
            "{help}"
        );
        *seen += 1;
        assert_help(command, path, seen);
        path.pop();
    }
}

#[test]
fn flags_that_can_not_be_combined_are_refused() {
    for (flags, hint) in [
        ("--percent 5", "--mode canary"),
        ("--by client", "--mode canary"),
        ("--watch", "--mode canary"),
        ("--promote-after 1m", "--mode canary"),
        ("--mode shadow --by request", "sampled"),
        ("--mode shadow --promote-after 1m", "--mode canary"),
    ] {
        let args = ["policy", "deploy", "mine", "mine.wasm"]
            .into_iter()
            .chain(flags.split(' '));
        let slip = parse(&args.collect::<Vec<_>>())
            .slip()
            .unwrap_or_else(|| panic!("{flags}"));
        assert!(slip.to_string().contains(hint), "{flags}: {slip}");
        assert!(slip.to_string().contains("waypost policy deploy"), "{slip}");
        assert_eq!(slip.exit_code(), 2);
    }
    let good = "policy deploy mine mine.wasm --mode canary --percent 5 --by request \
        --promote-after 1m --admin a:1";
    assert!(parse(&good.split(' ').collect::<Vec<_>>()).slip().is_none());
    for wrong in [
        "policy deploy mine mine.wasm --mode canary",
        "policy deploy mine mine.wasm --mode canary --percent 5 --watch --no-watch",
        "policy deploy mine mine.wasm --mode canary --percent 5 --promote-after 1m --no-watch",
        "policy deploy mine mine.wasm --mode canary --percent 500",
        "policy deploy mine",
        "policy canary mine",
        "policy promote",
        "policy",
        "policy status --token secret",
        "policy status --admin https://a",
        "policy inspect mine.wasm --admin a:1",
        "policy test mine.wasm s.toml --token-file t",
        "policy --admin a:1 bench mine.wasm",
    ] {
        assert!(
            Cli::try_parse_from(["waypost"].into_iter().chain(wrong.split(' '))).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn json_is_one_flag_and_the_format_of_the_log_another() {
    for offline in [
        "policy inspect mine.wasm --json",
        "policy --json bench mine.wasm",
        "policy replay mine.wasm log --json",
        "policy inspect mine.wasm --format json",
    ] {
        let Command::Policy(policy) = parse(&offline.split(' ').collect::<Vec<_>>()).command else {
            panic!("{offline}");
        };
        let Task::Offline(task) = policy.task else {
            panic!("{offline}");
        };
        assert!(policy.json || task.format() == Format::Json, "{offline}");
    }
    let cli = parse(&["run", "--log-format", "json"]);
    assert_eq!(cli.form_of_log(|_| None).unwrap(), Format::Json);
    let cli = parse(&["run"]);
    assert_eq!(cli.form_of_log(|_| None).unwrap(), Format::Text);
    let set = |value: &'static str| {
        move |name: &str| (name == "WAYPOST_LOG_FORMAT").then(|| OsString::from(value))
    };
    assert_eq!(cli.form_of_log(set("JSON")).unwrap(), Format::Json);
    let error = cli.form_of_log(set("xml")).unwrap_err().to_string();
    assert!(
        error.contains("WAYPOST_LOG_FORMAT: \"xml\"") && error.contains("text or json"),
        "{error}"
    );
}

#[cfg(feature = "demo")]
#[test]
fn demo_has_its_documented_defaults() {
    let expected = Demo {
        listen: "127.0.0.1:8080".parse().unwrap(),
        admin_listen: "127.0.0.1:9090".parse().unwrap(),
        tls_self_signed: None,
        origins: 3,
    };
    assert_eq!(parse(&["demo"]).command, Command::Demo(expected.clone()));
    for (flag, address) in [
        ("--tls-self-signed", "127.0.0.1:8443"),
        ("--tls-self-signed=[::1]:9443", "[::1]:9443"),
    ] {
        let with_tls = Demo {
            tls_self_signed: Some(address.parse().unwrap()),
            ..expected.clone()
        };
        assert_eq!(parse(&["demo", flag]).command, Command::Demo(with_tls));
    }
}

#[cfg(feature = "demo")]
#[test]
fn origin_needs_an_address_and_takes_a_folder() {
    let origin = parse(&["origin", "--listen", "localhost:8001", "--dir", "public"]).command;
    let expected = Origin {
        listen: "127.0.0.1:8001".parse().unwrap(),
        dir: Some(PathBuf::from("public")),
        name: None,
    };
    assert_eq!(origin, Command::Origin(expected));
    assert!(Cli::try_parse_from(["waypost", "origin"]).is_err());
    let error = Cli::try_parse_from(["waypost", "origin", "--listen", "8001"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("127.0.0.1:8001"), "{error}");
}

#[test]
fn flags_beat_environment_beats_defaults() {
    let environment = |name: &str| match name {
        "WAYPOST_LISTEN" => Some(OsString::from("127.0.0.1:1001")),
        "WAYPOST_WORKERS" => Some(OsString::from("3")),
        _ => None,
    };
    let args = [
        "run",
        "--listen",
        "127.0.0.1:2001",
        "--listen",
        "[::1]:2001",
        "--host",
        "a.example=10.0.0.1",
    ];
    let config = Config::load(settings(&args).sources(environment).unwrap()).unwrap();
    let addresses = config.listeners.iter().map(|l| l.address.to_string());
    assert_eq!(
        addresses.collect::<Vec<_>>(),
        ["127.0.0.1:2001", "[::1]:2001"]
    );
    assert_eq!(config.workers, 3);
    assert_eq!(
        config.admin.unwrap().listen,
        "127.0.0.1:9090".parse().unwrap()
    );
    assert_eq!(config.pools[0].backends[0].address, "10.0.0.1:80");
}

#[test]
fn the_file_of_the_flag_beats_that_of_the_environment() {
    let environment =
        |name: &str| (name == "WAYPOST_CONFIG").then(|| OsString::from("environment.toml"));
    let path = |args: &[&str]| match settings(args).sources(environment).unwrap().file {
        Some(FileSource::Path(path)) => path,
        _ => panic!("no path"),
    };
    assert_eq!(path(&["check"]), PathBuf::from("environment.toml"));
    assert_eq!(
        path(&["check", "--config", "flag.toml"]),
        PathBuf::from("flag.toml")
    );
    assert!(
        settings(&["check"])
            .sources(no_environment)
            .unwrap()
            .file
            .is_none()
    );
}

#[test]
fn a_wrong_log_filter_names_where_it_was_set() {
    let wrong = |name: &str| (name == "WAYPOST_LOG").then(|| OsString::from("waypost=loud"));
    let error = parse(&["run"]).log_filter(wrong).unwrap_err().to_string();
    assert!(
        error.starts_with("environment variable WAYPOST_LOG: \"waypost=loud\""),
        "{error}"
    );
    let error = parse(&["run", "--log", "x=y=z"])
        .log_filter(wrong)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("option --log"), "{error}");
    assert_eq!(
        parse(&["--log", "debug", "run"])
            .log_filter(wrong)
            .unwrap()
            .to_string(),
        "hickory=error,h2=error,debug"
    );
    let named = parse(&["--log", "debug,h2=trace", "run"]).log_filter(no_environment);
    assert_eq!(named.unwrap().to_string(), "hickory=error,h2=trace,debug");
    assert_eq!(
        parse(&["run"])
            .log_filter(no_environment)
            .unwrap()
            .to_string(),
        "hickory=error,h2=error,info"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let sources = settings(&["run", "--config", "no/such/waypost.toml"])
        .sources(no_environment)
        .unwrap();
    let error = Config::load(sources).unwrap_err().to_string();
    assert!(
        error.starts_with("no/such/waypost.toml: there is no such file"),
        "{error}"
    );
}

/// A list of commands in `--help` has one line for each.
#[test]
fn each_command_says_in_one_sentence_what_it_does() {
    fn look_at(command: &clap::Command) {
        let about = command.get_about().map(ToString::to_string);
        let about = about.unwrap_or_default();
        let name = command.get_name();
        assert!(
            !about.is_empty() && !about.contains(". "),
            "{name}: {about}"
        );
        assert!(about.chars().count() <= 110, "{name}: {about}");
        command.get_subcommands().for_each(look_at);
    }
    look_at(&Cli::command());
}
