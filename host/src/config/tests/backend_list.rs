//! Lists of backends as JSON.

use super::*;

fn pool(settings: &str) -> Pool {
    let text = format!(
        "[pools.x]\nbackends = [\"{}10.0.0.1\"]\n{settings}\n[[routes]]\nhost = \"*\"\n\
         pool = \"x\"\npolicies = []\n",
        if settings.contains("\"h2\"") {
            "https://"
        } else {
            ""
        }
    );
    load(&text).pools.remove(0)
}

fn mistakes(text: &str) -> String {
    let read = parse_backends("b.json", text, &pool(""));
    read.unwrap_err().to_string()
}

#[test]
fn a_list_is_read_alone_or_in_an_object_and_written_so_that_it_is_read_again() {
    for settings in ["", "tls = true"] {
        let pool = pool(settings);
        let text = r#"["10.0.0.1", {"address": "https://A.test", "weight": 0,
            "labels": {"zone": "a", "b": "c"}}, "[::1]:81", "b.test"]"#;
        let (backends, warnings) = parse_backends("b.json", text, &pool).unwrap();
        let addresses: Vec<&str> = backends.iter().map(|b| b.address.as_str()).collect();
        let port = if pool.tls.is_some() { 443 } else { 80 };
        let first = format!("10.0.0.1:{port}");
        let last = format!("b.test:{port}");
        assert_eq!(addresses, [&*first, "a.test:443", "[::1]:81", &*last]);
        assert_eq!((backends[1].weight, backends[1].labels.len()), (0, 2));
        assert!(backends[1].tls.is_some() && warnings.is_empty());
        let object = format!("{{\"backends\": {text}}}");
        assert_eq!(
            parse_backends("b.json", &object, &pool).unwrap().0,
            backends
        );
        let written = write_backends(&backends, &pool).to_string();
        assert_eq!(
            parse_backends("b.json", &written, &pool).unwrap().0,
            backends
        );
    }
    assert!(
        parse_backends("b.json", "[]", &pool(""))
            .unwrap()
            .0
            .is_empty()
    );
}

#[test]
fn mistakes_have_a_place_and_say_what_to_do() {
    for (text, expected) in [
        ("[\"a:0\"]", "b.json, /0: \"a:0\" has no valid port"),
        ("[1]", "b.json, /0: is an integer"),
        ("[{\"weight\": 1}]", "b.json, /0: has no `address`"),
        (
            "[{\"address\": \"a\", \"weight\": 70000}]",
            "b.json, /0/weight: 70000 is out",
        ),
        (
            "{\"backends\": [{\"address\": \"a\", \"wieght\": 1}]}",
            "did you mean `weight`?",
        ),
        ("{}", "b.json: has no `backends`"),
        ("{\"backend\": []}", "did you mean `backends`?"),
        ("{\"backends\": \"a\"}", "b.json, /backends: is a string"),
        ("7", "b.json: is an integer"),
        ("", "b.json, line 1, column 0: is empty"),
        ("[\"a\"", "b.json, line 1, column 4: not JSON"),
    ] {
        let mistakes = mistakes(text);
        assert!(mistakes.contains(expected), "{text}: {mistakes}");
    }
    let many = format!("[{}\"a\"]", "\"a\",".repeat(MAX_BACKENDS));
    assert!(mistakes(&many).contains("has 10001 backends; write 10000 at most"));
    let h2 = pool("protocol = \"h2\"");
    let plain = parse_backends("b.json", "[\"a\"]", &h2)
        .unwrap_err()
        .to_string();
    assert!(plain.contains("a:80 is reached without"), "{plain}");
}

#[test]
fn one_backend_is_a_list() {
    assert_eq!(list_of_one("a", "").unwrap(), r#"[{"address":"a"}]"#);
    let weighted = list_of_one("a", "{\"weight\": 2}").unwrap();
    assert_eq!(weighted, r#"[{"address":"a","weight":2}]"#);
    assert!(list_of_one("a", "[]").unwrap_err().contains("no object"));
    assert!(
        list_of_one("a", "{\"address\": \"b\"}")
            .unwrap_err()
            .contains("already")
    );
}
