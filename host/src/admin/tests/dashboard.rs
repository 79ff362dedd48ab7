//! The page for people.

use super::*;

pub(super) const BROWSER: &str = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

pub(super) fn route() -> RouteStatus {
    RouteStatus {
        host: "<b>.test".to_owned(),
        path: "/a [GET]".to_owned(),
        pools: vec![("web".to_owned(), 75.0), ("other".to_owned(), 25.0)],
        mirror: Some("copy".to_owned()),
        policies: vec!["spread".to_owned()],
        ..RouteStatus::default()
    }
}

/// The first text between these.
pub(super) fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, from) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before}: {text}"));
    from.split_once(after).unwrap().0
}

pub(super) fn csrf(page: &str) -> &str {
    between(page, "name=\"csrf\" value=\"", "\"")
}

impl TestAdmin {
    /// A form as a browser sends it.
    pub(super) async fn submit(&self, path: &str, lines: &str, form: &str) -> Answer {
        let lines = format!(
            "{lines}content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
            form.len()
        );
        self.ask("POST", path, &lines, form.as_bytes()).await
    }
}

#[tokio::test]
async fn the_page_shows_what_runs_and_no_markup_of_others() {
    let admin = TestAdmin::start(None).await;
    let answer = admin.ask("GET", "/", BROWSER, b"").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: text/html"),
        "{answer:?}"
    );
    let page = &answer.body;
    for part in [
        "&lt;b&gt;.test",
        "/a [GET]",
        "web 75.0 %, other 25.0 %; copies to copy",
        "zone=&lt;a&gt;",
        "3 failures &lt;in&gt; a row",
        "Pool web: &lt;broken&gt;",
        "The last reload was refused: line 7 is &lt;wrong&gt;",
        "built-in &lt;random&gt;",
        "<h3>my policy</h3>",
        "<caption>Endpoints of pool web</caption>",
        "<html lang=\"en\">",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for markup in ["<b>", "<a>", "<in>", "<broken>", "<wrong>", "<random>"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(
        !page.contains(" style="),
        "no attribute that the policy would refuse"
    );
    let head = admin.ask("HEAD", "/", "", b"").await;
    assert_eq!((head.status, &*head.body), (200, ""));
}

#[tokio::test]
async fn a_backend_that_fails_is_never_shown_as_healthy() {
    let admin = TestAdmin::start(None).await;
    let page = admin.get("/").await.body;
    let row = |address: &str| between(&page, &format!("row\">{address} "), "</tr>").to_owned();
    // Its state is `healthy`: it was not ejected yet.
    let failing = row("127.0.0.1:81");
    assert!(failing.contains("class=\"state bad\""), "{failing}");
    assert!(failing.contains("the last 2 attempts failed"), "{failing}");
    assert!(row("127.0.0.1:82").contains("ejected"));
    assert!(row("127.0.0.1:83").contains("draining"));
    assert!(page.contains("no endpoint that works"), "{page}");
    assert!(
        page.contains("Pool web has no endpoint that works."),
        "{page}"
    );
    assert!(!page.contains("> healthy<"), "{page}");
}

#[tokio::test]
async fn only_the_pages_own_style_and_script_may_run() {
    let admin = TestAdmin::start(None).await;
    let answer = admin.get("/").await;
    let may = between(&answer.head, "content-security-policy: ", "\r\n");
    for part in [
        "default-src 'none'",
        "style-src 'sha256-",
        "script-src 'sha256-",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(may.contains(part), "{part}: {may}");
    }
    assert!(!may.contains("unsafe"), "{may}");
    assert!(answer.head.contains("cache-control: no-store"));
    for elsewhere in [
        "http://",
        "https://",
        "@import",
        "url(",
        " onclick",
        "javascript:",
    ] {
        assert!(!answer.body.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn a_filter_leaves_out_the_rest_and_is_kept_by_what_follows() {
    let admin = TestAdmin::start(None).await;
    let page = admin.get("/?find=EJECTED").await.body;
    assert!(
        page.contains("127.0.0.1:82") && !page.contains("127.0.0.1:81"),
        "{page}"
    );
    assert!(page.contains("No policies match the filter."), "{page}");
    let labelled = admin.get("/?find=zone%3D%3Ca").await.body;
    assert!(labelled.contains("value=\"zone=&lt;a\""), "{labelled}");
    assert!(labelled.contains("127.0.0.1:81"), "{labelled}");
    let form = format!(
        "csrf={}&do=drain&pool=web&address=a&find=b+c",
        csrf(&labelled)
    );
    let done = admin.submit("/page/act", "", &form).await;
    assert!(
        done.head.contains("location: /?find=b%20c&result="),
        "{done:?}"
    );
}

#[tokio::test]
async fn the_buttons_change_what_they_say_and_the_page_shows_the_result() {
    let admin = TestAdmin::start(None).await;
    let trial = OnTrial {
        mode: "canary",
        generation: 8,
        digest: "cd".to_owned(),
        percent: 5.0,
        requests: 0,
        failed: 0,
        faults: 0,
        compared: 0,
        agreed: 0,
    };
    admin.control.policies.lock().unwrap()[0].on_trial = Some(trial);
    let page = admin.get("/").await.body;
    for button in ["Promote", "Withdraw", "Roll back", "Drain", "Take back"] {
        assert!(
            page.contains(&format!(">{button}</button>")),
            "{button}: {page}"
        );
    }
    let csrf = csrf(&page);
    let result = async |form: &str| {
        let answer = admin
            .submit("/page/act", "", &format!("csrf={csrf}&{form}"))
            .await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let to = between(&answer.head, "location: ", "\r\n").to_owned();
        // Header names and values were made lower-case, and identifiers have both.
        assert!(to.starts_with("/?result="), "{to}");
        to
    };
    result("do=promote&policy=spread&generation=8&mode=canary").await;
    result("do=withdraw&policy=spread&generation=8&mode=canary").await;
    result("do=withdraw&policy=spread&generation=7&mode=canary").await;
    result("do=rollback&policy=my+policy&generation=7").await;
    result("do=promote&policy=spread&generation=").await;
    result("do=drain&pool=web&address=%5B::1%5D:80").await;
    result("do=up&pool=web&address=127.0.0.1:83").await;
    result("do=explode&pool=web").await;
    assert_eq!(
        *admin.control.asked.lock().unwrap(),
        [
            "spread: Promote { generation: Some(8) }",
            "spread: EndCanary",
            "my policy: RollBack { generation: Some(7) }",
            "web: Say(\"[::1]:80\", Drain)",
            "web: Say(\"127.0.0.1:83\", Up)",
        ]
    );
}

#[tokio::test]
async fn a_form_of_another_page_changes_nothing() {
    let admin = TestAdmin::start(None).await;
    let page = admin.get("/").await.body;
    let drain = "do=drain&pool=web&address=a";
    let right = format!("csrf={}&{drain}", csrf(&page));
    for (lines, form) in [
        ("", drain.to_owned()),
        ("", format!("csrf=&{drain}")),
        ("", format!("csrf=wrong&{drain}")),
        ("origin: http://evil.test\r\n", right.clone()),
        ("origin: null\r\n", right.clone()),
        ("sec-fetch-site: cross-site\r\n", right.clone()),
        ("sec-fetch-site: same-site\r\n", right.clone()),
        ("host: rebound.test\r\n", right.clone()),
    ] {
        let answer = admin.submit("/page/act", lines, &form).await;
        assert_eq!(answer.status, 403, "{lines}{form}");
    }
    let old_tab = format!("csrf=old&{drain}");
    let answer = admin.submit("/page/act", BROWSER, &old_tab).await;
    assert_eq!(answer.status, 403);
    let parts = ["changed nothing", "<h1>Waypost"];
    assert!(
        parts.iter().all(|part| answer.body.contains(part)),
        "{answer:?}"
    );
    let rebound = admin.ask("GET", "/", "host: rebound.test\r\n", b"").await;
    assert_eq!(rebound.status, 403);
    let large = format!("{right}&x={}", "x".repeat(9_000));
    assert_eq!(admin.submit("/page/act", "", &large).await.status, 413);
    assert_eq!(admin.ask("GET", "/page/act", "", b"").await.status, 405);
    assert!(admin.control.asked.lock().unwrap().is_empty());
    let own = format!(
        "origin: http://{}\r\nsec-fetch-site: same-origin\r\n",
        admin.address
    );
    assert_eq!(admin.submit("/page/act", &own, &right).await.status, 303);
    assert_eq!(admin.control.asked.lock().unwrap().len(), 1);
}
