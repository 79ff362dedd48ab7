//! Listeners, in the short and in the long form.

use super::*;

#[test]
fn the_long_form_means_what_it_says() {
    let config = load(
        r#"
        [[listeners]]
        address = "0.0.0.0:8443"
        tls = { certificates = ["edge.pem", { certificate = "b.pem", key = "/b.key", ocsp = "b.der" }] }
        [[listeners]]
        address = "[::]:8443"
        protocols = "http/1.1"
        proxy-protocol = { trusted = ["10.0.0.0/8", "unix:"] }
        [[listeners.tls.certificates]]
        certificate = "c.pem"
        [listeners.tls]
        client-ca = "ca.pem"
        client-certificate = "optional"
        min-version = "1.3"
        [[listeners]]
        address = "unix:run/waypost.sock"
        mode = "0600"
        protocols = ["h2c"]
        [[listeners]]
        address = "localhost:80"
        redirect-to-https = true
        [[listeners]]
        address = "127.0.0.1:81"
        redirect-to-https = 8443
        [[listeners]]
        address = "127.0.0.1:82"
        redirect-to-https = false
        protocols = ["h2c", "http/1.1"]
        "#,
    );
    let all = &config.listeners;
    assert_eq!(
        listening(&config),
        [
            "0.0.0.0:8443",
            "[::]:8443",
            "unix:/etc/waypost/run/waypost.sock",
            "127.0.0.1:80",
            "127.0.0.1:81",
            "127.0.0.1:82"
        ]
    );
    let files = |certificate: &str, key: &str, ocsp: Option<&str>| CertificateFiles {
        certificate: certificate.into(),
        key: key.into(),
        ocsp: ocsp.map(PathBuf::from),
    };
    let edge = files("/etc/waypost/edge.pem", "/etc/waypost/edge.pem", None);
    let second = files("/etc/waypost/b.pem", "/b.key", Some("/etc/waypost/b.der"));
    let tls = ListenerTls {
        certificates: Certificates::Files(vec![edge, second]),
        acme: Vec::new(),
        clients: None,
        min_version: TlsVersion::Tls12,
    };
    assert_eq!(all[0].tls.as_ref(), Some(&tls));
    let protocols = |http1, h2| Protocols { http1, h2 };
    assert_eq!(all[0].protocols, protocols(true, true));
    let second = all[1].tls.clone().unwrap();
    assert_eq!(second.min_version, TlsVersion::Tls13);
    let clients = second.clients.unwrap();
    assert_eq!(
        (clients.ca, clients.required),
        ("/etc/waypost/ca.pem".into(), false)
    );
    assert_eq!(all[1].protocols, protocols(true, false));
    let peers = all[1].proxy_protocol.clone().unwrap();
    assert_eq!((peers.networks.len(), peers.unix), (1, true));
    let v6_only = |listener: &Listener| match listener.address {
        ListenAddress::Tcp { only_v6, .. } => only_v6,
        ListenAddress::Unix { mode, .. } => panic!("{mode:o}"),
    };
    assert_eq!((v6_only(&all[0]), v6_only(&all[1])), (false, true));
    assert!(matches!(
        all[2].address,
        ListenAddress::Unix { mode: 0o600, .. }
    ));
    assert_eq!(all[2].protocols, protocols(false, true));
    let ports: Vec<_> = all.iter().map(|l| l.redirect_to_https).collect();
    assert_eq!(ports, [None, None, None, Some(443), Some(8443), None]);
    assert_eq!(all[5].protocols, protocols(true, true));
}

#[test]
fn the_short_form_gives_plain_listeners_with_every_default() {
    let config = load("listen = [\"[::]:80\", \"127.0.0.1:81\"]");
    for listener in &config.listeners {
        assert_eq!(*listener, Listener::plain(listener.tcp().unwrap()));
    }
}

#[test]
fn wrong_listeners_are_errors_that_say_what_to_write() {
    let long = "a".repeat(120);
    let cases = [
        ("listeners = []", 1, "listeners", "at least one"),
        (
            "[listeners]\naddress = \"a\"",
            1,
            "listeners",
            "two pairs of brackets",
        ),
        (
            "[[listeners]]\nprotocols = \"h2c\"",
            1,
            "listeners",
            "no `address`",
        ),
        (
            "[[listeners]]\naddress = \"8443\"",
            2,
            "listeners.address",
            "0.0.0.0:8443",
        ),
        (
            "[[listeners]]\naddress = \"unix:\"",
            2,
            "listeners.address",
            "run/waypost.sock",
        ),
        (
            &format!("[[listeners]]\naddress = \"unix:{long}\""),
            2,
            "listeners.address",
            "write a shorter one",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nmode = \"0660\"",
            3,
            "listeners.mode",
            "Unix sockets only",
        ),
        (
            "[[listeners]]\naddress = \"unix:s\"\nmode = \"rw\"",
            3,
            "listeners.mode",
            "octal digits",
        ),
        (
            "[[listeners]]\naddress = \"unix:s\"\nmode = \"1777\"",
            3,
            "listeners.mode",
            "octal digits",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nprotocols = []",
            3,
            "listeners.protocols",
            "\"h2c\" or both",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nprotocols = [\"h2\"]",
            3,
            "listeners.protocols",
            "write \"h2c\"",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nprotocols = [\"h2c\", \"h2c\"]",
            3,
            "listeners.protocols",
            "twice",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nprotocols = [\"h3\"]",
            3,
            "listeners.protocols",
            "not a protocol",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nprotocols = [\"h2c\"]\n\
             tls = { certificates = [\"a\"] }",
            3,
            "listeners.protocols",
            "write \"h2\"",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nredirect-to-https = true\n\
             tls = { certificates = [\"a\"] }",
            3,
            "listeners.redirect-to-https",
            "HTTPS already",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nredirect-to-https = 0",
            3,
            "listeners.redirect-to-https",
            "1 to 65535",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:80\"\nredirect-to-https = 80",
            3,
            "listeners.redirect-to-https",
            "this listener's own",
        ),
        (
            "[[listeners]]\naddress = \"[::]:443\"\nredirect-to-https = true",
            3,
            "listeners.redirect-to-https",
            "redirects to port 443",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nproxy-protocol.trusted = \"unix:\"",
            3,
            "listeners.proxy-protocol",
            "this listener has an address",
        ),
        (
            "[[listeners]]\naddress = \"unix:s\"\nproxy-protocol.trusted = \"10.0.0.0/8\"",
            3,
            "listeners.proxy-protocol",
            "trusted = [\"unix:\"]",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\n\
             [[listeners]]\naddress = \"[::ffff:127.0.0.1]:1\"",
            4,
            "listeners.address",
            "listed twice",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nproxy-protocol = {}",
            3,
            "listeners.proxy-protocol",
            "trusts no peer",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nproxy-protocol = { trusted = [\"me\"] }",
            3,
            "listeners.proxy-protocol.trusted",
            "not a network",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\ntls = {}",
            3,
            "listeners.tls",
            "no `certificates`",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\ntls = { certificates = [] }",
            3,
            "listeners.tls.certificates",
            "is empty",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\ntls = { certificates = [\"a\", \"a\"] }",
            3,
            "listeners.tls.certificates",
            "twice",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\ntls = { certificates = [{ key = \"a\" }] }",
            3,
            "listeners.tls.certificates",
            "no `certificate`",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\n\
             tls = { certificates = \"a\", client-certificate = \"required\" }",
            3,
            "listeners.tls.client-certificate",
            "`client-ca`",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\n\
             tls = { certificates = \"a\", client-ca = \"b\", client-certificate = \"no\" }",
            3,
            "listeners.tls.client-certificate",
            "\"optional\"",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\n\
             tls = { certificates = \"a\", min-version = \"1.1\" }",
            3,
            "listeners.tls.min-version",
            "\"1.3\"",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"127.0.0.1:1\"",
            4,
            "listeners.address",
            "listed twice",
        ),
        (
            "[[listeners]]\naddress = \"unix:a\"\n[[listeners]]\naddress = \"unix:./a\"",
            4,
            "listeners.address",
            "listed twice",
        ),
        (
            "listen = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"127.0.0.1:2\"",
            1,
            "listen",
            "beside `[[listeners]]`",
        ),
        ("listen = \"unix:a\"", 1, "listen", "`[[listeners]]`"),
        (
            "[admin]\nlisten = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"0.0.0.0:1\"",
            2,
            "admin.listen",
            "where clients connect",
        ),
        (
            "[[listeners]]\nadress = \"127.0.0.1:1\"\naddress = \"127.0.0.1:1\"",
            2,
            "listeners.adress",
            "did you mean `address`",
        ),
        (
            "[limits]\ntls-handshakes = -1",
            2,
            "limits.tls-handshakes",
            "out of range",
        ),
    ];
    for (text, line, key, words) in cases {
        assert_error(text, line, key, words);
    }
}

#[test]
fn an_admin_listener_may_have_the_port_of_the_other_family() {
    let admin = "[admin]\nlisten = \"127.0.0.1:1\"\n";
    load(&format!("{admin}[[listeners]]\naddress = \"[::]:1\""));
    let both = format!("listen = \"[::]:1\"\n{admin}");
    assert_error(&both, 3, "admin.listen", "where clients connect");
}

#[test]
fn a_flag_replaces_the_listeners_of_the_file_and_warns() {
    let flags = Overrides {
        listen: vec!["127.0.0.1:7".to_owned()],
        tls_self_signed: Some("localhost:8443".to_owned()),
        ..Overrides::default()
    };
    let file = "[[listeners]]\naddress = \"127.0.0.1:1\"\n[hosts]\na = \"b\"";
    let config = load_with(file, &[], flags.clone()).unwrap();
    assert_eq!(listening(&config), ["127.0.0.1:7", "127.0.0.1:8443"]);
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("is replaced by option --listen"));
    let tls = config.listeners[1].tls.as_ref().unwrap();
    assert_eq!(tls.certificates, Certificates::SelfSigned);
    let only_tls = Overrides {
        listen: Vec::new(),
        ..flags
    };
    let config = load_with(file, &[], only_tls).unwrap();
    assert_eq!(listening(&config), ["127.0.0.1:1", "127.0.0.1:8443"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn the_examples_of_the_page_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/listeners.md");
    let page = std::fs::read_to_string(page).unwrap();
    let examples: Vec<_> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|after| after.split("```").next())
        .collect();
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        assert!(!load(example).listeners.is_empty(), "{example}");
    }
}
