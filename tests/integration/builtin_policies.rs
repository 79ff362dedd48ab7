//! The policies that come with the binary, with the settings that their authors document.

use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, get, refusing_address, response};

#[test]
fn header_router_follows_a_field_and_edits_in_and_out() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.both]\nbackends = [{{ address = \"{}\", labels = {{ name = \"blue\" }} }}, \"{}\"]\n\
             [[routes]]\npool = \"both\"\npolicies = [\"tenants\"]\n\
             [policies.tenants]\nbuiltin = \"header-router\"\ndeadline = \"1s\"\n\
             [policies.tenants.settings]\nheader = \"X-Tenant\"\n\
             routes = {{ one = \"blue\", two = \"{}\" }}\n\
             request = {{ remove = [\"x-secret\"], set = {{ x-seen = \"yes\" }} }}\n\
             response = {{ set = {{ x-served = \"waypost\" }} }}\n",
            a.address(),
            b.address(),
            b.address()
        ))
        .start();
    for _ in 0..5 {
        for (tenant, backend) in [("one", "a"), ("two", "b")] {
            let request = Request::new("GET", "/")
                .host("a.test")
                .field("X-Tenant", tenant)
                .field("X-Secret", "1");
            let answer = proxy.ask(request.bytes());
            assert_eq!(answer.text(), backend, "{tenant}");
            assert_eq!(answer.value("x-served").as_deref(), Some("waypost"));
        }
    }
    let request = a.received().remove(0);
    assert_eq!(request.value("x-seen").as_deref(), Some("yes"));
    assert!(!request.head.has("x-secret"));
    // A tenant that nobody named is left to the host.
    assert_eq!(
        proxy
            .ask(
                Request::new("GET", "/")
                    .host("a.test")
                    .field("X-Tenant", "three")
                    .bytes()
            )
            .status,
        200
    );
    assert_eq!(proxy.get("a.test", "/").status, 200);
}

#[test]
fn settings_that_a_built_in_policy_does_not_know_are_refused() {
    let scratch = crate::fixtures::Scratch::new();
    scratch.write(
        "waypost.toml",
        "[hosts]\n\"*\" = [\"127.0.0.1:1\"]\n[policies.tenants]\nbuiltin = \"header-router\"\nsettings = { hedder = \"x\" }\n\
         [[routes]]\nhost = \"a.test\"\npool = \"p\"\npolicies = [\"tenants\"]\n[pools.p]\nbackends = [\"127.0.0.1:1\"]\n",
    );
    let exit = crate::fixtures::waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!((exit.stdout + &exit.stderr).contains("hedder"));
}

/// A backend that is slow with `/slow` until the gate opens.
fn sluggish(gate: &Gate) -> TestUpstream {
    let opened = gate.clone();
    TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if request.target() == "/slow" {
                opened.wait();
            }
            connection.send(response("200 OK", &[], "ok"));
        }
    })
}

#[test]
fn least_loaded_avoids_the_backend_that_is_busy() {
    let gate = Gate::new();
    let backends = [sluggish(&gate), sluggish(&gate)];
    let proxy = TestProxy::builder()
        .pool_for_all(
            &[backends[0].address(), backends[1].address()],
            &["least-loaded"],
        )
        .start();
    // Two choices among two backends see both, so each request should find the one with fewer in
    // flight. Once in 64 choices the first of the two is taken unseen, and is the wrong one half of
    // the time: of 60, 0.5 on average, and more than 7 once in 10^7 runs. A random choice is wrong
    // about 25 times.
    let counts = || [backends[0].received().len(), backends[1].received().len()];
    let mut busy: Vec<_> = (0..60).map(|_| proxy.client()).collect();
    let mut wrong = 0;
    for (n, client) in busy.iter_mut().enumerate() {
        let before = counts();
        client.send(get("a.test", "/slow"));
        let after = crate::fixtures::eventually("the request has arrived", || {
            Some(counts()).filter(|counts| counts[0] + counts[1] > n)
        });
        let chosen = usize::from(after[1] > before[1]);
        wrong += usize::from(before[chosen] > before[1 - chosen]);
    }
    assert!(
        wrong <= 7,
        "{wrong} of 60 went to the busier one: {:?} in all",
        counts()
    );
    gate.open();
    busy.iter_mut()
        .for_each(|c| assert_eq!(c.response().text(), "ok"));
}

#[test]
fn random_chooses_all_backends_about_equally_and_no_ejected_one() {
    let backends: Vec<TestUpstream> = (0..4)
        .map(|n| TestUpstream::named(&n.to_string()))
        .collect();
    let (_held, dead) = refusing_address();
    let mut addresses: Vec<_> = backends.iter().map(TestUpstream::address).collect();
    addresses.push(dead);
    let proxy = TestProxy::builder().host("*", &addresses).start();
    let mut client = proxy.client();
    for _ in 0..1_000 {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
    for backend in &backends {
        // 250 expected, standard deviation 14: ten of them on each side.
        let n = backend.received().len();
        assert!((110..=390).contains(&n), "{n}");
    }
}

#[test]
fn what_an_answer_holds_is_given_back() {
    let backend = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .pool_for_all(&[backend.address()], &["limit"])
        .tables("[policies.limit]\nbuiltin = \"rate-limit\"\ndeadline = \"1s\"\nsettings = { rate = 1, burst = 1 }")
        .start();
    let mut client = proxy.client();
    let mut refuse = |times: usize| {
        (0..times)
            .filter(|_| client.ask(get("a.test", "/")).status == 429)
            .count()
    };
    refuse(200);
    let before = proxy.stat("/policies/limit/memory/now_bytes");
    // Each refusal has fields and a body, which the policy's instance allocates.
    assert!(refuse(5_000) > 4_000);
    assert_eq!(proxy.stat("/policies/limit/memory/now_bytes"), before);
}
