//! Policies that choose by who asks.

use super::Kitchen;

#[test]
fn sticky_cookie_brings_a_client_back() {
    let kitchen = Kitchen::new("sticky-cookie", "max-age = 60", &["{}", "{}", "{}"]);
    for _ in 0..5 {
        let first = kitchen.ask("/", &[]);
        let set = first.value("set-cookie").unwrap();
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Max-Age=60");
        for _ in 0..5 {
            let again = kitchen.ask("/", &[("Cookie", &format!("theme=dark; {cookie}"))]);
            assert_eq!(
                (again.text(), again.value("set-cookie")),
                (first.text(), None)
            );
        }
    }
    assert_eq!((kitchen.counted("kept"), kitchen.counted("lost")), (25, 0));
}

#[test]
fn canary_by_header_serves_only_clients_that_ask() {
    let settings = "header = \"x-canary\"\nlabel = \"track\"\nvalue = \"canary\"";
    let kitchen = Kitchen::new(
        "canary-by-header",
        settings,
        &["{}", "{ track = \"canary\" }"],
    );
    let answer = kitchen.ask("/", &[("X-Canary", "always")]);
    assert_eq!(
        (answer.text().as_str(), answer.value("x-version").as_deref()),
        ("1", Some("canary"))
    );
    let answer = kitchen.ask("/", &[]);
    assert_eq!(
        (answer.text().as_str(), answer.value("x-version").as_deref()),
        ("0", Some("stable"))
    );
    assert_eq!(
        (kitchen.counted("canary"), kitchen.counted("stable")),
        (1, 1)
    );
}

#[test]
fn blue_green_by_time_follows_the_clock() {
    let labels = ["{ color = \"blue\" }", "{ color = \"green\" }"];
    for (at, serves) in [("2020-01-01T00:00:00Z", "1"), ("2099-01-01T00:00:00Z", "0")] {
        let settings = format!("from = \"blue\"\nto = \"green\"\nat = \"{at}\"\nover = 60");
        assert_eq!(
            Kitchen::new("blue-green-by-time", &settings, &labels).served("/", &[]),
            serves
        );
    }
}

#[test]
fn geographic_follows_the_clients_network() {
    let settings =
        "default = \"us\"\nnetworks = { \"127.0.1.0/24\" = \"eu\", \"127.0.1.128/25\" = \"asia\" }";
    let labels = [
        "{ region = \"us\" }",
        "{ region = \"eu\" }",
        "{ region = \"asia\" }",
    ];
    let kitchen = Kitchen::new("geographic", settings, &labels);
    for (client, region) in [("127.0.0.1", "0"), ("127.0.1.1", "1"), ("127.0.1.200", "2")] {
        assert_eq!(
            kitchen.ask_from(client, "/", &[]).text(),
            region,
            "{client}"
        );
    }
}

#[test]
fn ab_cookie_assigns_and_keeps() {
    let settings = "cookie = \"exp\"\nvariants = { new = 1, old = 1 }";
    let labels = ["{ variant = \"new\" }", "{ variant = \"old\" }"];
    let kitchen = Kitchen::new("ab-cookie", settings, &labels);
    for _ in 0..5 {
        let first = kitchen.ask("/", &[("X-Variant", "new")]);
        let set = first.value("set-cookie").unwrap();
        let variant = if first.text() == "0" { "new" } else { "old" };
        assert_eq!(
            set,
            format!("exp={variant}; Path=/; Max-Age=2592000; SameSite=Lax")
        );
        let again = kitchen.ask("/", &[("Cookie", &format!("exp={variant}"))]);
        assert_eq!(
            (again.text(), again.value("set-cookie")),
            (first.text(), None)
        );
    }
    assert_eq!(kitchen.counted("drawn"), 5);
}

#[test]
fn maintenance_page_is_for_all_but_the_maintainers() {
    let settings = "retry-after = 60\npage = \"<p>later\"\nallow = [\"127.0.1.0/24\"]\nexcept = [\"/health\"]\n\
                    bypass = { field = \"x-maintenance\", value = \"let me in\" }";
    let kitchen = Kitchen::new("maintenance-page", settings, &["{}"]);
    let page = kitchen.ask("/", &[]);
    assert_eq!((page.status, page.text().as_str()), (503, "<p>later"));
    assert_eq!(page.value("retry-after").as_deref(), Some("60"));
    assert_eq!(
        page.value("content-type").as_deref(),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(kitchen.ask("/", &[("X-Maintenance", "please")]).status, 503);
    assert_eq!(
        kitchen.ask("/", &[("X-Maintenance", "let me in")]).status,
        200
    );
    assert_eq!(kitchen.ask_from("127.0.1.7", "/", &[]).status, 200);
    for (path, status) in [
        ("/health", 200),
        ("/health/live", 200),
        ("/healthy", 503),
        ("/health/%2e%2e/admin", 503),
    ] {
        assert_eq!(kitchen.ask(path, &[]).status, status, "{path}");
    }
}
