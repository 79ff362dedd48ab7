//! Logins to the page, and its news.

use super::dashboard::{BROWSER, between, csrf};
use super::*;

#[tokio::test]
async fn a_browser_logs_in_by_the_token_and_out_again() {
    let admin = TestAdmin::start(Some("s3cret")).await;
    let answer = admin.ask("GET", "/", BROWSER, b"").await;
    assert_eq!(answer.status, 303);
    assert!(answer.head.contains("location: /page/login"), "{answer:?}");
    assert_eq!(admin.get("/").await.status, 401, "no browser");
    assert_eq!(admin.get("/page/events").await.status, 401);
    let form = admin.ask("GET", "/page/login", BROWSER, b"").await;
    assert_eq!(form.status, 200);
    assert!(form.body.contains("type=\"password\""), "{form:?}");
    assert!(!form.body.contains("127.0.0.1:81"), "{form:?}");
    let wrong = admin.submit("/page/login", "", "token=secret").await;
    assert_eq!(wrong.status, 403);
    assert!(!wrong.head.contains("set-cookie"), "{wrong:?}");
    let foreign = "origin: https://evil.test\r\n";
    assert_eq!(
        admin
            .submit("/page/login", foreign, "token=s3cret")
            .await
            .status,
        403
    );

    let mut cookie = admin.log_in().await;
    let page = admin.ask("GET", "/", &cookie, b"").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Log out"), "{page:?}");
    let token = csrf(&page.body).to_owned();
    for path in ["/stats", "/policies", "/config"] {
        assert_eq!(
            admin.ask("GET", path, &cookie, b"").await.status,
            200,
            "{path}"
        );
    }
    let late = admin
        .submit("/page/act", BROWSER, &format!("csrf={token}&do=drain"))
        .await;
    assert_eq!(late.status, 403, "as after the end of the login");
    assert!(
        late.body.contains("nothing was changed; log in again"),
        "{late:?}"
    );
    // A cookie comes by itself, so it alone may change nothing.
    let none = format!("{cookie}content-length: 0\r\n");
    for path in [
        "/reload",
        "/explain",
        "/pools/web/backends/a/drain",
        "/policies/spread/promote",
    ] {
        assert_eq!(
            admin.ask("POST", path, &none, b"").await.status,
            401,
            "{path}"
        );
    }
    assert_eq!(
        admin
            .submit("/page/act", &cookie, "do=drain&pool=web")
            .await
            .status,
        403
    );
    let drain = format!("csrf={token}&do=drain&pool=web&address=a");
    assert_eq!(admin.submit("/page/act", &cookie, &drain).await.status, 303);
    assert_eq!(
        admin.submit("/page/act", "", &drain).await.status,
        401,
        "no session"
    );
    let out = admin
        .submit("/page/logout", &cookie, &format!("csrf={token}"))
        .await;
    assert_eq!(out.status, 303);
    assert!(out.head.contains("max-age=0"), "{out:?}");
    cookie.push_str(BROWSER);
    assert_eq!(admin.ask("GET", "/", &cookie, b"").await.status, 303);
    assert_eq!(admin.ask("GET", "/stats", &cookie, b"").await.status, 401);
}

#[tokio::test]
async fn wrong_tokens_in_the_form_are_looked_at_ten_times_a_minute() {
    let admin = TestAdmin::start(Some("s3cret")).await;
    for _ in 0..10 {
        assert_eq!(
            admin.submit("/page/login", "", "token=guess").await.status,
            403
        );
    }
    let refused = admin.submit("/page/login", "", "token=s3cret").await;
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after: 60"), "{refused:?}");
    let bearer = "authorization: Bearer s3cret\r\n";
    assert_eq!(
        admin.ask("GET", "/stats", bearer, b"").await.status,
        200,
        "scripts go on"
    );
}

#[tokio::test]
async fn news_come_until_the_listener_stops() {
    let admin = TestAdmin::start(None).await;
    let mut stream = admin.news("").await;
    let first = news(&mut stream).await;
    assert!(
        first["pools"].as_str().unwrap().contains("127.0.0.1:81"),
        "{first}"
    );
    for section in ["overview", "policies", "deployments", "routes"] {
        assert!(first.get(section).is_some(), "{section}: {first}");
    }
    admin.control.policies.lock().unwrap()[0].generation = 77;
    let mut later = news(&mut stream).await;
    while later.get("deployments").is_none() {
        assert!(
            later.get("routes").is_none(),
            "nothing has changed there: {later}"
        );
        later = news(&mut stream).await;
    }
    assert!(
        later["deployments"]
            .as_str()
            .unwrap()
            .contains("Generation 77"),
        "{later}"
    );
    admin.stop.send(()).unwrap();
    admin.task.await.unwrap().unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.ends_with("0\r\n\r\n"),
        "the answer is complete: {rest:?}"
    );
}

#[tokio::test]
async fn news_end_with_the_login_and_are_for_a_limited_number_of_pages() {
    let admin = TestAdmin::start(Some("s3cret")).await;
    let cookie = admin.log_in().await;
    let page = admin.ask("GET", "/", &cookie, b"").await.body;
    let mut stream = admin.news(&cookie).await;
    news(&mut stream).await;
    let out = format!("csrf={}", csrf(&page));
    assert_eq!(
        admin.submit("/page/logout", &cookie, &out).await.status,
        303
    );
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");

    let bearer = "authorization: Bearer s3cret\r\n";
    let mut open = Vec::new();
    for _ in 0..crate::admin::live::WATCHERS {
        open.push(admin.news(bearer).await);
    }
    let refused = admin.ask("GET", "/page/events", bearer, b"").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    drop(open.pop());
    // The proxy sees that a browser has left when it sends the next news.
    while admin.events_status(bearer).await != 200 {}
}

impl TestAdmin {
    /// The field of the cookie that a login brings.
    async fn log_in(&self) -> String {
        let form = "token=s3cret";
        let request = format!(
            "POST /page/login HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-length: {}\r\norigin: http://{}\r\n\r\n{form}",
            self.address,
            form.len(),
            self.address
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let set = between(&answer, "set-cookie: ", "\r\n");
        for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
            assert!(set.contains(part), "{set}");
        }
        assert!(!set.contains("Secure"), "it came without TLS: {set}");
        format!("cookie: {}\r\n", set.split(';').next().unwrap())
    }

    /// The stream of news after its head.
    async fn news(&self, lines: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /page/events HTTP/1.1\r\nhost: {}\r\n{lines}\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        stream
    }

    async fn events_status(&self, lines: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /page/events HTTP/1.1\r\nhost: {}\r\n{lines}\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let line = until(&mut stream, "\r\n").await;
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// The next message.
async fn news(stream: &mut TcpStream) -> serde_json::Value {
    let piece = until(stream, "\n\n\r\n").await;
    let data = between(&piece, "event: page\ndata: ", "\n");
    serde_json::from_str(data).unwrap()
}

/// Everything up to and with this.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}
