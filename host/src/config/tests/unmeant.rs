//! Signs and keys that stand there as they are, and were hardly meant so.

use super::*;

const POOL: &str = "[pools.a]\nbackends = \"b\"\n[[routes]]\npool = \"a\"\n";

/// The text has exactly one warning, at this key, with these words.
#[track_caller]
fn warns(text: &str, key: &str, words: &str) {
    let warnings = load(text).warnings;
    let [warning] = warnings.as_slice() else {
        panic!("{text}: {warnings:#?}");
    };
    let at = format!("`{key}`: ");
    assert!(
        warning.contains(&at) && warning.contains(words),
        "{warning}"
    );
}

#[track_caller]
fn is_well(text: &str) {
    assert_eq!(load(text).warnings, [""; 0], "{text}");
}

fn field(value: &str) -> String {
    format!("{POOL}request-headers = {{ set = {{ x-a = '{value}' }} }}")
}

#[test]
fn a_variable_of_nginx_is_answered_with_the_fact_that_is_meant() {
    for (value, words) in [
        ("$remote_addr", "write {client}"),
        ("by $http_user_agent!", "write {header.user-agent}"),
        ("$host", "write {host}"),
        ("$http_host", "write {authority}"),
        ("$request_uri", "write {path}?{query}"),
        ("$ssl_client_s_dn", "write {certificate-subject}"),
        ("a$proxy_add_x_forwarded_for", "nothing here is a variable"),
        ("${host}", "sends a `$` before {host}; remove"),
    ] {
        warns(&field(value), "routes.request-headers.set.x-a", words);
    }
    for value in [
        "US$ 5",
        "$5",
        "$1",
        "$",
        "a$$",
        "$Id$",
        "cost: 3$",
        "${",
        "$-",
        "$tenant",
        "p4$word$x",
    ] {
        is_well(&field(value));
    }
    let by_group = field("$1").replace("pool =", "path = { regex = '^/(.*)' }\npool =");
    warns(&by_group, "routes.request-headers.set.x-a", "write {1}");
}

#[test]
fn redirects_rewrites_and_fixed_responses_have_no_variables_either() {
    let redirect = |to: &str| format!("[[routes]]\nredirect = \"{to}\"");
    for (to, words) in [
        ("/new$request_uri", "write {path}"),
        ("https://a.test/$uri", "write {path}"),
        ("https://{host}/?from=$host", "write {host}"),
        (
            "https://a.test{path}$is_args$args",
            "the query follows by itself",
        ),
    ] {
        warns(&redirect(to), "routes.redirect", words);
    }
    let by_group = format!("{}\npath = {{ regex = '^/(.*)' }}", redirect("/$1"));
    warns(&by_group, "routes.redirect", "write {1}");
    for to in ["https://a.test/$1", "/$lang", "/a$b"] {
        is_well(&redirect(to));
    }
    is_well(&redirect("https://a.test{path}?price=5$"));
    for (to, words) in [
        (
            "https://a.test$request_uri",
            "has $request_uri, and nothing here is a variable; write {path}",
        ),
        (
            "https://$host/x",
            "has $host, and nothing here is a variable; write {host}",
        ),
        ("$scheme://a.test/", "write {scheme}"),
    ] {
        assert_error(&redirect(to), 2, "routes.redirect", words);
    }
    let table = "[[routes]]\nredirect = { to = \"https://a.test/$uri\", status = 301 }";
    warns(table, "routes.redirect.to", "write {path}");
    for (to, words) in [
        ("/v2$request_uri", "write {path}"),
        ("/v2/$host", "nothing here"),
        ("/a?b=$query_string", "the query follows"),
        ("/a/$2", "write {2}"),
    ] {
        let text = format!("{POOL}host = \"h\"\nrewrite = \"{to}\"");
        warns(&text, "routes.rewrite", words);
    }
    for (response, key, words) in [
        (
            "body = \"you: $remote_addr\"",
            "body",
            "`response-headers` may have facts about them, as {client}",
        ),
        (
            "body = \"on {host}\"",
            "body",
            "has {host}, which is sent as it stands: a body is the same",
        ),
        (
            "headers = { x-a = \"{request-id}\" }",
            "headers.x-a",
            "write the field in the route's `response-headers`",
        ),
        (
            "headers = { x-a = \"$host\" }",
            "headers.x-a",
            "facts about requests, as {host}",
        ),
    ] {
        let text = format!("[[routes]]\nrespond = {{ {response} }}");
        warns(&text, &format!("routes.respond.{key}"), words);
    }
    for response in [
        "body = \"a{color:red} $x ${y} {} $(document)\"",
        "body = \"{\\\"host\\\":1,\\\"$ref\\\":2}\"",
        "headers = { x-a = \"{{host}} 5$ {a}\" }",
    ] {
        is_well(&format!("[[routes]]\nrespond = {{ {response} }}"));
    }
}

#[test]
fn a_fact_that_is_written_wrongly_is_shown_as_it_is_written() {
    for (value, words) in [
        ("{{host}}", "sends the name \"host\" and not the fact"),
        ("a {{ header.x-b }}", "write {header.x-b}"),
        ("{ host }", "write {host}, without spaces"),
        ("{header.x-b", "write {header.x-b}, with a brace at its end"),
        ("for={client;host={host}", "write {client}, with"),
    ] {
        warns(&field(value), "routes.request-headers.set.x-a", words);
    }
    for value in [
        "{{host}",
        "{host}",
        "{\"host\":1}",
        "{host: 1}",
        "{ a }",
        "{{ a }}",
        "{a",
        "{}",
        "{header.}}",
    ] {
        let text = field(value);
        if Config::from_toml(&text, Path::new("/")).is_ok() {
            is_well(&text);
        }
    }
    let group = "path = { regex = '^/(?<host>[a-z]+)' }";
    let text = field("{host}").replace("pool =", &format!("{group}\npool ="));
    warns(
        &text,
        "routes.request-headers.set.x-a",
        "write {1} for the group",
    );
    is_well(&text.replace("{host}", "{1}"));
    let text = format!("[[routes]]\n{group}\nredirect = \"https://a.test/{{host}}\"");
    warns(&text, "routes.redirect", "write {1} for the group");
    let text = format!("{POOL}{group}\nrewrite = \"/{{host}}\"");
    is_well(&text);
    let text = format!("{POOL}{group}\nrewrite = \"/{{path}}\"").replace("<host>", "<path>");
    warns(&text, "routes.rewrite", "write {1} for the group");
}

#[test]
fn a_field_that_is_there_twice_is_said_where_the_second_is() {
    for change in ["set", "add"] {
        let text = format!("{POOL}response-headers.{change} = {{ X-A = \"1\", x-a = \"2\" }}");
        warns(
            &text,
            &format!("routes.response-headers.{change}.x-a"),
            "write one key, with a list of values",
        );
    }
    is_well(&format!(
        "{POOL}response-headers.set = {{ x-a = [\"1\", \"2\"], x-b = \"1\" }}"
    ));
}

#[test]
fn facts_about_tls_need_a_listener_that_knows_them() {
    let tls = |more: &str| {
        format!(
            "[[listeners]]\naddress = \"0.0.0.0:443\"\ntls = {{ certificates = \"a.pem\"{more} }}\n"
        )
    };
    let [sni, subject] = ["{sni}", "{certificate-subject}"].map(field);
    warns(&sni, "routes", "no listener has `tls`");
    warns(&subject, "routes", "no listener has `tls.client-ca`");
    is_well(&(tls("") + &sni));
    warns(&(tls("") + &subject), "routes", "`tls.client-ca`");
    is_well(&(tls(", client-ca = \"c.pem\"") + &subject));
}

#[test]
fn a_forward_proxy_for_everybody_is_said_to_be_one() {
    let proxy = |listen: &str, more: &str| format!("[forward]\nlisten = {listen}\n{more}");
    let open = "is an open proxy";
    warns(&proxy("\"0.0.0.0:3128\"", ""), "forward.listen", open);
    warns(
        &proxy("\"10.0.0.1:3128\"", "tunnels = 9"),
        "forward.listen",
        open,
    );
    let wide = "allow = [{ network = \"10.0.0.0/8\" }, { host = \"*\", ports = [1] }]";
    warns(&proxy("\"[::]:3128\"", wide), "forward.listen", open);
    for (listen, more) in [
        ("[\"127.0.0.1:3128\", \"[::1]:3128\"]", ""),
        ("{ address = \"unix:/run/a\" }", ""),
        ("\"0.0.0.0:3128\"", "authentication = { file = \"users\" }"),
        ("\"0.0.0.0:3128\"", "allow = { host = \"*.a.test\" }"),
        ("\"0.0.0.0:3128\"", "allow = { network = \"10.0.0.0/8\" }"),
        (
            "{ address = \"0.0.0.0:3128\", tls = { certificates = \"a.pem\", client-ca = \"c.pem\" } }",
            "",
        ),
    ] {
        is_well(&proxy(listen, more));
    }
}

#[test]
fn a_forward_proxy_on_the_port_of_routes_is_said_to_share_it() {
    let both = |own: &str, proxy: &str| {
        format!("listen = \"{own}\"\n{POOL}[forward]\nlisten = \"{proxy}\"")
    };
    for (own, proxy) in [
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("[::]:8080", "127.0.0.1:8080"),
    ] {
        warns(
            &both(own, proxy),
            "forward.listen",
            &format!("shares its port with {own}"),
        );
    }
    for (own, proxy) in [
        ("10.0.0.1:8080", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8081"),
        ("0.0.0.0:0", "127.0.0.1:0"),
        ("0.0.0.0:8080", "[::1]:8080"),
    ] {
        is_well(&both(own, proxy));
    }
}
