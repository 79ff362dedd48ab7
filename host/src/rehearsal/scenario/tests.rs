use std::collections::BTreeSet;

use super::*;

fn file(text: &str) -> ScenarioFile {
    parse("t.toml", text).unwrap()
}

#[test]
fn clients_of_a_network_take_turns() {
    let network = |text: &str| text.parse::<IpNet>().unwrap();
    assert_eq!(nth(network("192.0.2.7/32"), 5).to_string(), "192.0.2.7");
    assert_eq!(nth(network("10.1.2.0/30"), 6).to_string(), "10.1.2.2");
    assert_eq!(nth(network("10.1.2.3/30"), 0).to_string(), "10.1.2.0");
    assert_eq!(
        nth(network("0.0.0.0/0"), u32::MAX).to_string(),
        "255.255.255.255"
    );
    assert_eq!(
        nth(network("2001:db8::/32"), 65_536).to_string(),
        "2001:db8::1:0"
    );
    let all: BTreeSet<_> = (0..1000).map(|n| nth(network("10.0.0.0/8"), n)).collect();
    assert_eq!(all.len(), 1000);
}

#[test]
fn a_step_begins_with_what_stands_beside_it() {
    let file = file(
        "[[scenario]]\nname = \"s\"\nseed = 7\ntime = { monotonic = \"1s\", unix = 5_000 }\nrequest = { client = \"10.0.0.1\", headers = { a = \"b\" } }\n\
         [[scenario.step]]\ntime = \"2s\"\nrequest = \"PUT http://Other.test:8080/x?y\"\n[[scenario.step]]\nname = \"second\"\nseed = 9\n",
    );
    let [first, second] = file.scenarios[0].steps.as_slice() else {
        panic!("{file:?}")
    };
    assert_eq!(
        (first.name.as_str(), first.seed, first.monotonic, first.unix),
        ("step 1", 7, 3_000_000_000, 7_000)
    );
    assert_eq!(
        (
            second.name.as_str(),
            second.seed,
            second.monotonic,
            second.unix
        ),
        ("second", 9, 1_000_000_000, 5_000)
    );
    let head = first.question(0).head;
    assert_eq!(
        (
            head.method.as_str(),
            head.host.as_str(),
            head.authority.as_str()
        ),
        ("PUT", "other.test", "Other.test:8080")
    );
    assert_eq!(
        (head.path(), head.query(), head.client.to_string().as_str()),
        ("/x", Some("y"), "10.0.0.1")
    );
    assert_eq!(head.fields.first("a"), Some(&b"b"[..]));
    assert_eq!(
        (second.head.path(), second.head.host.as_str()),
        ("/", "example.com")
    );
}

#[test]
fn attempts_follow_from_what_failed() {
    let step = |text: &str| {
        file(&format!("[[scenario]]\nname = \"s\"\n{text}\n"))
            .scenarios
            .remove(0)
            .steps
            .remove(0)
    };
    assert_eq!(step("").attempt, 1);
    assert_eq!(step("failed = [0, \"10.0.0.2:80\"]").attempt, 3);
    assert_eq!(step("failed = 1\nattempt = 5").attempt, 5);
}

#[test]
fn the_example_of_every_key_is_one() {
    let text = include_str!("../../../../examples/scenarios.toml");
    let file = parse("examples/scenarios.toml", text).unwrap();
    assert!(file.scenarios.len() >= 5);
}

#[test]
fn a_request_comes_by_the_connection_that_it_says() {
    let file = file(
        r#"
[[scenario]]
name = "s"
request = { host = "edge.test", protocol = "HTTP/2", tls = true }
[[scenario.step]]
[[scenario.step]]
request = { tls = { version = "TLSv1.2", cipher-suite = "A", server-name = "", application-protocol = "" } }
[[scenario.step]]
request = { tls = false }
[[scenario.step]]
request = { protocol = "HTTP/1.0", tls = true, scheme = "http" }
[[scenario.step]]
request = { client-certificate = { subject = "CN=a", names = "IP:::1", serial-number = "0a", expires = 7 } }
[[scenario.step]]
request = { tls = false, client-certificate = { names = ["DNS:a.test", "URI:a:b"] } }
[[scenario.step]]
request = { tls = false, client-certificate = false }
"#,
    );
    let shown = |step: &Step| {
        let head = step.question(0).head;
        let tls = head.tls.map(|tls| {
            let client = tls.client.as_ref().map(|own| {
                let names: Vec<String> = own.names.iter().map(ToString::to_string).collect();
                (own.subject.to_string(), names, own.serial_number.to_vec())
            });
            let texts =
                [&tls.server_name, &tls.protocol].map(|text| text.as_deref().map(String::from));
            (
                tls.version.as_str(),
                tls.cipher_suite.to_string(),
                texts,
                client,
            )
        });
        format!("{} {} {tls:?}", head.version.as_str(), head.scheme)
    };
    let shown: Vec<String> = file.scenarios[0].steps.iter().map(shown).collect();
    let usual = |protocol: &str, client: &str| {
        format!(
            "Some((\"TLSv1.3\", \"TLS_AES_128_GCM_SHA256\", [Some(\"edge.test\"), \
             Some(\"{protocol}\")], {client}))"
        )
    };
    assert_eq!(
        shown,
        [
            format!("HTTP/2 https {}", usual("h2", "None")),
            "HTTP/2 https Some((\"TLSv1.2\", \"A\", [None, None], None))".to_owned(),
            "HTTP/2 http None".to_owned(),
            format!("HTTP/1.0 http {}", usual("http/1.1", "None")),
            format!(
                "HTTP/2 https {}",
                usual("h2", "Some((\"CN=a\", [\"IP:::1\"], [10]))")
            ),
            format!(
                "HTTP/2 https {}",
                usual("h2", "Some((\"\", [\"DNS:a.test\", \"URI:a:b\"], [1]))")
            ),
            "HTTP/2 http None".to_owned(),
        ]
    );
}

#[test]
fn mistakes_in_a_connection_say_what_to_write() {
    let wrong = |request: &str| {
        let text = format!("[[scenario]]\nname = \"s\"\nrequest = {{ {request} }}\n");
        parse("t.toml", &text).unwrap_err().to_string()
    };
    for (request, reason) in [
        (
            "protocol = \"h2\"",
            "is not a version of HTTP; write \"HTTP/1.0\"",
        ),
        (
            "tls = { version = \"1.3\" }",
            "write \"TLSv1.2\" or \"TLSv1.3\"",
        ),
        ("tls = { client-certificate = {} }", "client-certificate"),
        ("client-certificate = true", "is a table of `subject`"),
        (
            "client-certificate = { names = \"a.test\" }",
            "write its kind in front",
        ),
        (
            "client-certificate = { fingerprint = \"00\" }",
            "write 64 hexadecimal digits",
        ),
        (
            "client-certificate = { serial-number = \"0\" }",
            "write two digits for each byte",
        ),
    ] {
        let said = wrong(request);
        assert!(said.contains(reason), "{request}: {said}");
    }
}
