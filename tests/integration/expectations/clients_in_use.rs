//! Clients that people use, as they are installed here.

use super::CONTINUE;
use crate::fixtures::{TestProxy, TestUpstream, response};

fn file_of(len: usize) -> (crate::fixtures::Scratch, std::path::PathBuf) {
    let scratch = crate::fixtures::Scratch::new();
    let path = scratch.path().join("upload");
    std::fs::write(&path, vec![b'x'; len]).unwrap();
    (scratch, path)
}

/// `curl -T` waits for a second, and `http.client` not at all.
#[test]
fn clients_in_use_get_the_backends_answer() {
    const LEN: usize = 3 << 20;
    let (_scratch, path) = file_of(LEN);
    let upstream = TestUpstream::start(|connection| {
        while let Some(head) = connection.head() {
            if head.target() == "/no" {
                connection.send(response("403 Forbidden", &[], "not you"));
                return;
            }
            connection.send(CONTINUE);
            let Some(request) = connection.body() else {
                return;
            };
            connection.send(response("200 OK", &[], request.body.len().to_string()));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let url = |path: &str| format!("http://{}{path}", proxy.address());
    let python = "import http.client, sys\n\
        c = http.client.HTTPConnection(sys.argv[1], timeout=60)\n\
        body = open(sys.argv[3], 'rb').read()\n\
        c.request('PUT', sys.argv[2], body, {'Expect': '100-continue'})\n\
        r = c.getresponse()\n\
        print(r.read().decode() + ' %03d' % r.status, end='')\n";
    for (target, said) in [
        ("/yes", format!("{LEN} 200")),
        ("/no", "not you 403".to_owned()),
    ] {
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "-sS",
            "--expect100-timeout",
            "30",
            "--max-time",
            "60",
            "-H",
            "Expect: 100-continue",
            "-w",
            " %{http_code}",
        ]);
        curl.arg("-T").arg(&path).arg(url(target));
        let mut http_client = std::process::Command::new("python3");
        http_client
            .args(["-c", python, &proxy.address().to_string(), target])
            .arg(&path);
        for mut command in [curl, http_client] {
            let output = command.output().unwrap();
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                said,
                "{command:?}: {output:?}"
            );
        }
    }
    assert_eq!(upstream.complete().len(), 2, "what is refused is not sent");
    assert!(upstream.received().iter().all(|r| r.head.has("expect")));
}
