//! Sockets that a supervisor has opened (`LISTEN_FDS`).

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixtures::{
    BINARY, Client, Exit, Request, Running, Scratch, TestUpstream, command_of, eventually, get,
};

/// A command that starts the binary with these sockets as a supervisor does: by a shell, which
/// gives them their numbers.
fn activated(folder: &Scratch, first: OwnedFd, second: OwnedFd) -> Command {
    let mut command = command_of("/bin/sh");
    command
        .arg("-c")
        .arg(format!(
            "exec 3<&0 4<&1 0</dev/null 1>&2; export LISTEN_FDS=${{FDS:-2}} LISTEN_PID=$$; \
             exec {BINARY} run --config waypost.toml"
        ))
        .env("LISTEN_FDNAMES", "web:second")
        .current_dir(folder.path())
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second));
    command
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn configure(folder: &Scratch, listeners: &str, admin: &str, upstream: &TestUpstream) {
    let text = format!(
        "workers = 2\n{listeners}\n[admin]\nlisten = \"{admin}\"\n[access-log]\n\
         requests = \"none\"\n[hosts]\n\"*\" = \"{}\"\n[policies.range]\nbuiltin = \"range\"\n\
         deadline = \"2s\"\n[policies.random]\nbuiltin = \"random\"\ndeadline = \"2s\"\n",
        upstream.address()
    );
    folder.write("waypost.toml", text);
}

#[test]
fn passed_sockets_are_used_and_go_over_at_an_upgrade() {
    let upstream = TestUpstream::named("a");
    let (folder, (web, address), (admin, admin_address)) = (Scratch::new(), listener(), listener());
    let listen = format!("listen = \"{address}\"");
    configure(&folder, &listen, &admin_address.to_string(), &upstream);
    // It waits in the queue until the process serves.
    let mut early = Client::connect(address);
    early.send(get("a.test", "/"));
    let mut running = Running::start(&mut activated(&folder, web.into(), admin.into()));
    assert_eq!(early.response().text(), "a");
    let many: Vec<Client> = (0..10).map(|_| Client::connect(address)).collect();
    for mut client in many {
        assert_eq!(client.ask(get("a.test", "/")).text(), "a");
    }
    eventually("it is ready", || {
        let mut client = Client::connect(admin_address);
        (client.ask(get("localhost", "/readyz")).status == 200).then_some(())
    });
    // An idle connection would hold the end of the former process for as long as it may.
    drop(early);
    let mut client = Client::connect(admin_address);
    let upgrade = Request::new("POST", "/upgrade").host("localhost");
    let answer = client.ask(upgrade.body(b"").bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let _ended = Killed(answer["pid"].as_u64().unwrap());
    drop(client);
    assert_eq!(running.exit_code(), 0);
    assert_eq!(Client::connect(address).ask(get("a.test", "/")).text(), "a");
}

/// The file of the path stays the supervisor's, through all who have the socket after the first.
#[test]
fn a_passed_path_goes_over_at_each_upgrade() {
    let upstream = TestUpstream::named("a");
    let (folder, (admin, admin_address)) = (Scratch::new(), listener());
    let path = folder.path().join("s");
    let socket = UnixListener::bind(&path).unwrap();
    let listeners = format!("[[listeners]]\naddress = \"unix:{}\"", path.display());
    let admin_text = format!("{admin_address}\"\n{listeners}\n# \"");
    configure(&folder, "", &admin_text, &upstream);
    let mut running = Running::start(&mut activated(&folder, socket.into(), admin.into()));
    let ask = || {
        let mut client = Client::over(UnixStream::connect(&path).unwrap());
        assert_eq!(client.ask(get("a.test", "/")).text(), "a");
    };
    let upgrade = || {
        eventually("it is ready", || {
            let mut client = Client::connect(admin_address);
            (client.ask(get("localhost", "/readyz")).status == 200).then_some(())
        });
        let mut client = Client::connect(admin_address);
        let upgrade = Request::new("POST", "/upgrade").host("localhost");
        let answer = client.ask(upgrade.body(b"").bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        Killed(answer["pid"].as_u64().unwrap())
    };
    ask();
    let _second = upgrade();
    assert_eq!(running.exit_code(), 0);
    ask();
    let _third = upgrade();
    ask();
    assert!(path.exists());
}

/// A process that is ended with its test.
struct Killed(u64);

impl Drop for Killed {
    fn drop(&mut self) {
        let pid = self.0.to_string();
        let _ = Command::new("kill").args(["-KILL", &pid]).status();
    }
}

#[test]
fn a_passed_path_stays_when_the_process_ends() {
    let upstream = TestUpstream::named("a");
    let (folder, (web, address)) = (Scratch::new(), listener());
    let path = folder.path().join("s");
    let socket = UnixListener::bind(&path).unwrap();
    let listeners = format!(
        "[[listeners]]\naddress = \"{address}\"\n[[listeners]]\naddress = \"unix:{}\"",
        path.display()
    );
    configure(&folder, "", &format!("off\"\n{listeners}\n# \""), &upstream);
    let running = Running::start(&mut activated(&folder, web.into(), socket.into()));
    let mut client = Client::over(UnixStream::connect(&path).unwrap());
    assert_eq!(client.ask(get("a.test", "/")).text(), "a");
    running.wait_for("listening");
    running.signal("TERM");
    assert_eq!(running.end().code, Some(0));
    assert!(path.exists(), "it is the supervisor's");
}

#[test]
fn a_socket_that_no_listener_is_for_and_one_that_does_not_listen_refuse_the_start() {
    let upstream = TestUpstream::named("a");
    let (folder, (web, address)) = (Scratch::new(), listener());
    let listen = format!("listen = \"{address}\"");
    configure(&folder, &listen, "off", &upstream);
    let start = |second: OwnedFd| -> Exit {
        let first = web.try_clone().unwrap();
        Running::start(&mut activated(&folder, first.into(), second)).end()
    };
    let (other, elsewhere) = listener();
    let refused = start(other.into());
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let named = format!("{elsewhere} (FileDescriptorName=second)");
    assert!(refused.stderr.contains(&named), "{}", refused.stderr);
    let refused = start(TcpStream::connect(address).unwrap().into());
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let named = "descriptor 4 (FileDescriptorName=second) of LISTEN_FDS does not listen";
    assert!(refused.stderr.contains(named), "{}", refused.stderr);
    let [first, second] = [listener(), listener()].map(|(listener, _)| listener.into());
    let mut too_many = activated(&folder, first, second);
    too_many
        .env("FDS", "900")
        .env("LISTEN_FDNAMES", "web\u{1b}[2J:second");
    let refused = Running::start(&mut too_many).end();
    let named = "LISTEN_FDS is 900, so descriptors 3 to 902 are sockets, and ";
    assert!(refused.stderr.contains(named), "{}", refused.stderr);
    let (first, (second, _)) = (web.try_clone().unwrap(), listener());
    let mut steering = activated(&folder, first.into(), second.into());
    steering.env("LISTEN_FDNAMES", "web:b\u{1b}[2J");
    let refused = Running::start(&mut steering).end();
    let named = "FileDescriptorName=b\\u{1b}[2J";
    assert!(refused.stderr.contains(named), "{}", refused.stderr);
    let refused = start(std::fs::File::open("/dev/null").unwrap().into());
    assert!(
        refused.stderr.contains("is no stream socket"),
        "{}",
        refused.stderr
    );
}
