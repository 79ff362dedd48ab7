//! Files, environment and flags together.

use super::*;

#[test]
fn environment_beats_file_and_flags_beat_both() {
    let file = "listen = \"127.0.0.1:1\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:2\"\n\
        token = \"of-the-file-of-the-file\"\n[hosts]\n\"a\" = \"file\"\n\"b\" = \"file\"\n\"c\" = \"file\"";
    let variables = [
        ("WAYPOST_LISTEN", "127.0.0.1:11, [::1]:11"),
        ("WAYPOST_ADMIN_LISTEN", "0.0.0.0:12"),
        ("WAYPOST_ADMIN_TOKEN", "of-the-environment"),
        ("WAYPOST_WORKERS", "2"),
        (
            "WAYPOST_HOSTS",
            "B=environment,second:81; C.=environment;*=environment;",
        ),
    ];
    let config = load_with(file, &variables, Overrides::default()).unwrap();
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.workers, 2);
    let admin = Admin {
        listen: "0.0.0.0:12".parse().unwrap(),
        token: Some("of-the-environment".to_owned()),
    };
    assert_eq!(config.admin, Some(admin));
    assert_eq!(addresses(&config, "a"), ["file:80"]);
    assert_eq!(addresses(&config, "b"), ["environment:80", "second:81"]);
    assert_eq!(addresses(&config, "c"), ["environment:80"]);

    let flags = Overrides {
        listen: vec!["127.0.0.1:21".to_owned()],
        admin_listen: Some("off".to_owned()),
        workers: Some("3".to_owned()),
        hosts: vec!["c=flag".to_owned(), "d=flag".to_owned()],
        ..Overrides::default()
    };
    let config = load_with(file, &variables, flags).unwrap();
    assert_eq!(listening(&config), ["127.0.0.1:21"]);
    assert_eq!((config.workers, config.admin.is_none()), (3, true));
    assert_eq!(addresses(&config, "b"), ["environment:80", "second:81"]);
    assert_eq!(addresses(&config, "c"), ["flag:80"]);
    assert_eq!(addresses(&config, "d"), ["flag:80"]);
}

#[test]
fn a_host_of_the_environment_replaces_a_route_of_the_file_with_a_warning() {
    let file = "[pools.p]\nbackends = \"file\"\n[[routes]]\nhost = [\"a\", \"b\"]\npool = \"p\"";
    let config = load_with(
        file,
        &[("WAYPOST_HOSTS", "a=environment")],
        Overrides::default(),
    )
    .unwrap();
    assert_eq!(addresses(&config, "a"), ["environment:80"]);
    assert_eq!(addresses(&config, "b"), ["file:80"]);
    assert!(
        config.warnings[0].contains("WAYPOST_HOSTS"),
        "{:?}",
        config.warnings
    );
}

#[test]
fn empty_variables_count_as_not_set() {
    let names = [
        "WAYPOST_LISTEN",
        "WAYPOST_ADMIN_LISTEN",
        "WAYPOST_ADMIN_TOKEN",
        "WAYPOST_WORKERS",
        "WAYPOST_HOSTS",
    ];
    let config = load_with(
        "workers = 7",
        &names.map(|n| (n, " ")),
        Overrides::default(),
    )
    .unwrap();
    assert_eq!((config.workers, config.routes.len()), (7, 0));
}

#[test]
fn errors_in_overrides_name_the_variable_or_the_flag() {
    let cases = [
        ("WAYPOST_LISTEN", "8080", "0.0.0.0:8080"),
        ("WAYPOST_ADMIN_LISTEN", "0.0.0.0:1", "WAYPOST_ADMIN_TOKEN"),
        ("WAYPOST_ADMIN_TOKEN", "a b", "not a token"),
        ("WAYPOST_WORKERS", "many", "1 to 1024"),
        ("WAYPOST_HOSTS", "www.example.com", "NAME=ADDRESS"),
        ("WAYPOST_HOSTS", "www.example.com=", "no backend"),
        (
            "WAYPOST_HOSTS",
            "www.example.com=http://a",
            "only the address",
        ),
        ("WAYPOST_HOSTS", "a b=c", "not a host"),
        ("WAYPOST_HOSTS", "a=b;A=c", "a route already"),
    ];
    for (name, value, words) in cases {
        let found = load_with("", &[(name, value)], Overrides::default())
            .unwrap_err()
            .to_string();
        assert!(
            found.starts_with(&format!("environment variable {name}: ")) && found.contains(words),
            "{found}"
        );
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    let flags = Overrides {
        workers: Some("-1".to_owned()),
        ..Overrides::default()
    };
    let found = load_with("", &[], flags).unwrap_err().to_string();
    assert!(found.starts_with("option --workers: "), "{found}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let found = Overrides::from_environment(|name| {
        (name == "WAYPOST_HOSTS").then(|| OsString::from_vec(vec![0xff]))
    });
    assert!(
        found
            .err()
            .unwrap()
            .to_string()
            .starts_with("environment variable WAYPOST_HOSTS: is not UTF-8")
    );
}

#[test]
fn a_file_that_can_not_be_read_is_an_error_that_names_it() {
    let load = |path: &Path| {
        let file = FileSource::Path(path.to_owned());
        Config::load(Sources {
            file: Some(file),
            ..Sources::default()
        })
        .unwrap_err()
        .to_string()
    };
    let folder = std::env::temp_dir().join(format!("waypost-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(
        load(&folder),
        format!("{}: is a directory; name the file in it", folder.display())
    );
    assert!(load(&folder.join("none.toml")).contains("there is no such file"));
    let binary = folder.join("binary.toml");
    std::fs::write(&binary, b"workers = 1\n# \xff\n").unwrap();
    assert!(
        load(&binary).contains("is not UTF-8 on line 2"),
        "{}",
        load(&binary)
    );
    let endless = folder.join("endless.toml");
    std::fs::write(&endless, vec![b'#'; (4 << 20) + 1]).unwrap();
    assert!(
        load(&endless).contains("is larger than"),
        "{}",
        load(&endless)
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn nesting_without_end_is_an_error() {
    for text in [
        "a.".repeat(100_000) + "a = 1",
        "a = ".to_owned() + &"[".repeat(100_000),
        "a = ".to_owned() + &"{a=".repeat(100_000),
    ] {
        let found = Config::from_toml(&text, Path::new(""))
            .unwrap_err()
            .to_string();
        assert!(
            found.contains("line 1") && found.contains("nested too deeply"),
            "{found:.300}"
        );
    }
}
