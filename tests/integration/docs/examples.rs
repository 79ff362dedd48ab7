//! Every example of a configuration in `docs/` is one that the proxy takes.

use rcgen::generate_simple_self_signed;

use crate::fixtures::{Authority, Scratch, guest, repository, waypost};

/// Pages with configurations, and what their examples leave out because the page is about
/// something else. Where nothing is left out, an example can be copied as it is.
const PAGES: [(&str, &str); 21] = [
    ("docs/access-log.md", ""),
    ("docs/acme.md", ""),
    ("docs/discovery.md", ""),
    ("docs/forward.md", ""),
    ("docs/from-nginx.md", ""),
    ("docs/grpc.md", ""),
    ("docs/http2.md", ROUTE),
    ("docs/listeners.md", ROUTE),
    ("docs/names.md", ROUTE),
    ("docs/operating.md", ""),
    ("docs/passthrough.md", ""),
    ("docs/recording.md", ROUTE),
    ("docs/retries.md", ""),
    ("docs/routes.md", ""),
    ("docs/side-by-side.md", POOLS),
    ("docs/tls.md", ROUTE),
    ("docs/tracing.md", ROUTE),
    ("docs/upgrade.md", ROUTE),
    ("docs/health.md", ROUTE),
    ("docs/upstreams.md", ROUTE),
    ("docs/websocket.md", ROUTE),
];
const POOLS: &str =
    "[pools.app]\nbackends = \"127.0.0.1:9\"\n[pools.beta]\nbackends = \"127.0.0.1:10\"\n";
const ROUTE: &str = "[hosts]\n\"*\" = \"127.0.0.1:9\"\n";
/// Their blocks are settings of policies, or scenarios; other tests read those.
const OTHERS: [&str; 3] = ["docs/cookbook.md", "docs/deploying.md", "docs/scenarios.md"];
/// Names that lead nowhere, and authorities that this machine may not have.
const ELSEWHERE: [(&str, &str); 9] = [
    ("app:9001", "127.0.0.1:9"),
    ("beta:9002", "127.0.0.1:10"),
    ("# THE BLOCK", "[[routes]]\npool = \"app\""),
    ("app-1:80", "127.0.0.1:9"),
    ("app-2:80", "127.0.0.1:10"),
    ("web.internal:8080", "127.0.0.1:9"),
    ("app.internal:8443", "127.0.0.1:9"),
    ("srv+https://_https._tcp.api.internal", "127.0.0.1:9"),
    (
        "[\"https://api.example.com\"]",
        "[\"https://127.0.0.1\"]\ntls = { ca = \"ca.pem\" }",
    ),
];

/// Warnings about what the rest of a file would have, and about the hooks of what stands for a
/// policy of the reader's own.
const OF_PARTS: [&str; 5] = [
    "no certificate has been issued",
    "no hosts and no routes",
    "no route leads to this pool",
    "no route names this policy",
    "of policy \"mine\"",
];

fn page(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap()
}

/// The blocks of a page, with the lines that they begin at.
fn blocks(page: &str) -> Vec<(usize, &str)> {
    let begins = page.match_indices("```toml\n");
    begins
        .map(|(at, mark)| {
            let block = &page[at + mark.len()..];
            let line = page[..at].lines().count() + 2;
            (line, block.split("```").next().unwrap())
        })
        .filter(|(_, block)| !block.contains("[[scenario]]"))
        .collect()
}

/// A folder with every file that the examples name.
fn folder() -> Scratch {
    let folder = Scratch::new();
    let certified = generate_simple_self_signed(["example.org".to_owned()]).unwrap();
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    for name in ["edge", "wild", "example", "a", "b", "proxy"] {
        folder.write(&format!("{name}.pem"), certificate.clone() + &key);
        folder.write(&format!("{name}.key"), &key);
    }
    folder.write(
        "users",
        "ann:$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA\n",
    );
    let authority = Authority::new().pem;
    for name in ["clients.pem", "clients-ca.pem", "ca.pem"] {
        folder.write(name, &authority);
    }
    for name in ["wild.der", "a.ocsp"] {
        folder.write(name, [0x30, 5, 0x0a, 1, 0, 5, 0]);
    }
    folder.write("backends.json", "[\"127.0.0.1:9\"]");
    folder.write("mine.wasm", guest("pathfinder"));
    std::fs::create_dir(folder.path().join("run")).unwrap();
    folder
}

#[test]
fn an_example_of_a_configuration_is_one_that_is_accepted() {
    let folder = folder();
    let here = format!("{}/", folder.path().display());
    for (name, left_out) in PAGES {
        for (line, block) in blocks(&page(name)) {
            // One block of a page may be the frame of the others.
            let is_whole = left_out.lines().any(|line| block.contains(line));
            let left_out = if is_whole { "" } else { left_out };
            let mut text = format!("{block}\n{left_out}");
            if !text.contains("cache-dir") && !text.contains("state-dir") {
                text.insert_str(0, &Scratch::compiled());
            }
            for (written, found) in ELSEWHERE {
                text = text.replace(written, found);
            }
            for place in ["/etc/waypost/", "/var/lib/waypost"] {
                text = text.replace(place, &here);
            }
            folder.write("waypost.toml", text);
            let exit = waypost(["check", "--config", "waypost.toml"], folder.path());
            assert_eq!(exit.code, Some(0), "{name}, line {line}: {exit:?}");
            let warnings = exit.stdout.lines().filter(|l| l.starts_with("warning: "));
            let of_example = |l: &&str| !OF_PARTS.iter().any(|part| l.contains(part));
            let warnings: Vec<_> = warnings.filter(of_example).collect();
            assert_eq!(warnings, [""; 0], "{name}, line {line}");
        }
    }
}

#[test]
fn a_page_with_an_example_of_a_configuration_is_among_those_that_are_checked() {
    let known = PAGES.map(|(name, _)| name).into_iter().chain(OTHERS);
    let known: Vec<&str> = known.collect();
    for entry in std::fs::read_dir(repository().join("docs")).unwrap() {
        let name = format!("docs/{}", entry.unwrap().file_name().to_string_lossy());
        if name.ends_with(".md") && page(&name).contains("```toml\n") {
            assert!(known.contains(&name.as_str()), "{name} is in no list here");
        }
    }
}
