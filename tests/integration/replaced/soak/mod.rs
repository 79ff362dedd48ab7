//! The long run: changes of all kinds under traffic of all kinds. `bench/soak` runs the same tests
//! with other numbers, for as long as it takes.

mod held;
mod traffic;

use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use held::Held;
use traffic::Traffic;

use super::Replaceable;
use crate::fixtures::tls::{Authority, session};
use crate::fixtures::usage::resident_kib_of;
use crate::fixtures::{
    BINARY, NameServer, Request, StreamBackend, TestProxy, TestUpstream, eventually,
};
use crate::names::{asking, listeners_on_one_port, status};

/// How often each thing happens; the environment may say more.
struct Counts {
    reloads: usize,
    /// By DNS and by the admin API in turn.
    backends: usize,
    certificates: usize,
    upgrades: usize,
    /// Reloads that come one after the other, with `pause` between them.
    spaced: usize,
    pause: Duration,
    websockets: usize,
}

impl Counts {
    fn of_environment() -> Self {
        Self {
            reloads: of_environment("RELOADS", 80),
            backends: of_environment("BACKENDS", 24),
            certificates: of_environment("CERTIFICATES", 3),
            upgrades: of_environment("UPGRADES", 6),
            spaced: of_environment("SPACED", 136),
            pause: Duration::from_millis(of_environment("PAUSE", 0) as u64),
            websockets: of_environment("WEBSOCKETS", 100),
        }
    }
}

fn of_environment(name: &str, default: usize) -> usize {
    let written = std::env::var(format!("WAYPOST_SOAK_{name}"));
    written.map_or(default, |number| number.parse().unwrap())
}

fn binary() -> PathBuf {
    std::env::var_os("WAYPOST_SOAK_BINARY").map_or_else(|| BINARY.into(), PathBuf::from)
}

/// Five per cent, and what one request more or less under way makes of a small process.
fn is_back(now: u64, before: u64) -> bool {
    now <= before + before / 20 + 1_024
}

/// A proxy with all that changes and all that is asked.
struct Soak {
    service: Replaceable,
    server: NameServer,
    authority: Authority,
    /// The backends of pool `m`, all on one port.
    port: u16,
    _backends: (Vec<TestUpstream>, TestUpstream, StreamBackend),
}

impl Soak {
    fn start() -> Self {
        let server = NameServer::start();
        server.addresses("m.test", &["127.0.0.2"]);
        server.ttl(0);
        let (port, listeners) = listeners_on_one_port([2, 3, 4]);
        let mirrors = listeners.map(traffic::mirror_on).into();
        let (websocket, calls) = (held::websockets(), held::calls());
        let authority = Authority::new();
        let tables = format!(
            "[pools.m]\nbackends = [\"m.test:{port}\"]\n\
             [[routes]]\nhost = \"*\"\npool = \"m\"\npolicies = []\n\
             [pools.x]\nbackends = [\"127.0.0.2:{port}\"]\n\
             [[routes]]\nhost = \"x.test\"\npool = \"x\"\npolicies = [\"random\"]\n\
             [pools.ws]\nbackends = [\"{}\"]\n\
             [[routes]]\nhost = \"a.test\"\npool = \"ws\"\npolicies = []\nupgrade = [\"websocket\"]\n\
             [pools.calls]\nbackends = [\"{}\"]\nprotocol = \"h2c\"\n\
             [[routes]]\nhost = \"calls.test\"\npool = \"calls\"\npolicies = []\n\
             [timeouts]\ndrain = \"60m\"\ndrain-idle = \"500ms\"\nupgrade = \"5m\"\n\
             response = \"60m\"\nbody-read = \"60m\"\n\
             [[listeners]]\naddress = \"127.0.0.2:0\"\nprotocols = [\"http/1.1\", \"h2c\"]\n",
            websocket.address(),
            calls.address()
        );
        let builder = asking(&server)
            .workers(2)
            .listener("[listeners.tls]\ncertificates = [\"edge.pem\"]")
            .access_log("requests = \"none\"")
            .file("edge.pem", authority.issue(&["edge.test"]).both())
            .tables(&tables);
        let service = Replaceable::start_by(builder, &binary());
        Self {
            service,
            server,
            authority,
            port,
            _backends: (mirrors, websocket, calls),
        }
    }

    fn proxy(&self) -> &TestProxy {
        &self.service.proxy
    }

    /// Twice the same, with another pool, route and limit.
    fn reload(&self, at: usize) {
        let (from, to) = match at % 2 {
            0 => ("x", "y"),
            _ => ("y", "x"),
        };
        let name = "waypost.toml";
        let text = std::fs::read_to_string(self.proxy().scratch.path().join(name)).unwrap();
        let text = text
            .replace(&format!("[pools.{from}]"), &format!("[pools.{to}]"))
            .replace(&format!("pool = \"{from}\""), &format!("pool = \"{to}\""));
        self.proxy().scratch.replace(name, text);
        let answer = self
            .proxy()
            .admin(Request::new("POST", "/reload").body(b""));
        // The watcher of the file may have been there first.
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn change_backends(&self, at: usize) {
        if at.is_multiple_of(2) {
            let all = [
                &["127.0.0.3"][..],
                &["127.0.0.2", "127.0.0.3"],
                &["127.0.0.2"],
            ];
            let next = all[at / 2 % all.len()];
            self.server.addresses("m.test", next);
            eventually("the answer is followed", || {
                (status(self.proxy(), "m.test")["records"] == serde_json::json!(next)).then_some(())
            });
        } else {
            let list = match at % 4 {
                1 => format!("[\"127.0.0.4:{}\"]", self.port),
                _ => "[]".to_owned(),
            };
            let put = Request::new("PUT", "/pools/m/backends").body(list);
            let answer = self.proxy().admin(put);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }

    fn change_certificate(&self) {
        let next = self.authority.issue(&["edge.test"]);
        next.replace(&self.proxy().scratch.path().join("edge.pem"));
        eventually("the new certificate is presented", || {
            let config = std::sync::Arc::new(self.authority.client(&["http/1.1"]));
            let session = session(self.proxy().addresses()[1], &config, "edge.test").unwrap();
            (session.conn.peer_certificates().unwrap()[0] == next.der()).then_some(())
        });
    }

    fn resident(&self) -> u64 {
        resident_kib_of(self.service.pid())
    }
}

#[test]
fn reloads_backends_certificates_and_upgrades_lose_no_request_and_leave_no_memory_behind() {
    let (counts, mut soak) = (Counts::of_environment(), Soak::start());
    let traffic = Traffic::default();
    let mut held = Held::open(soak.proxy(), 4, 4);
    std::thread::scope(|scope| {
        let _stops = traffic.begin(scope, soak.proxy(), &soak.authority);
        let began = Instant::now();
        // A quarter of each warms up: what a process keeps for later is there then.
        changes(&soak, &counts, 0..4);
        traffic.goes_on(400);
        let before = soak.resident();
        changes(&soak, &counts, 4..16);
        held.are_open();
        traffic.goes_on(400);
        let mut now = 0;
        eventually("as much memory is held as before", || {
            now = soak.resident();
            is_back(now, before).then_some(())
        });
        println!(
            "soak: {} reloads, {} changes of backends, {} certificates in {:.0?}: {} requests, none \
             lost; memory {before} KiB, then {now}",
            counts.reloads,
            counts.backends,
            counts.certificates,
            began.elapsed(),
            traffic.served()
        );
        upgrades(&mut soak, &counts, &traffic, &mut held);
    });
    drop(held);
    assert_eq!(
        soak.service.proxy.exit_code(),
        0,
        "nothing holds the first any more"
    );
    assert_eq!(soak.proxy().get("m.test", "/last").text(), "/last");
}

/// The part of all changes from the first to the last sixteenth, all kinds at once.
fn changes(soak: &Soak, counts: &Counts, part: std::ops::Range<usize>) {
    let of = |count: usize| count * part.start / 16..count * part.end / 16;
    let ready = Barrier::new(3);
    std::thread::scope(|scope| {
        let each = |count: usize, change: &(dyn Fn(usize) + Sync)| {
            ready.wait();
            of(count).for_each(change);
        };
        scope.spawn(move || each(counts.reloads, &|at| soak.reload(at)));
        scope.spawn(move || each(counts.backends, &|at| soak.change_backends(at)));
        scope.spawn(move || each(counts.certificates, &|_| soak.change_certificate()));
    });
}

fn upgrades(soak: &mut Soak, counts: &Counts, traffic: &Traffic, held: &mut Held) {
    let began = Instant::now();
    let mut second = 0;
    for at in 0..counts.upgrades {
        soak.service.upgrade();
        traffic.goes_on(200);
        held.are_open();
        if at == 0 {
            second = soak.resident();
        }
    }
    let mut now = 0;
    eventually("the last process has as much memory as the second", || {
        now = soak.resident();
        is_back(now, second).then_some(())
    });
    // Only the first, with what is held open, and the last are left.
    let former = soak.service.processes.clone();
    for former in &former[1..counts.upgrades] {
        soak.service.wait_for_end(*former);
    }
    println!(
        "soak: {} upgrades in {:.0?}: {} requests in all, none lost; memory of the second process \
         {second} KiB, of the last {now}",
        counts.upgrades,
        began.elapsed(),
        traffic.served()
    );
}

#[test]
fn reloads_one_after_the_other_cut_no_websocket() {
    let (counts, soak) = (Counts::of_environment(), Soak::start());
    let mut held = Held::open(soak.proxy(), counts.websockets, 2);
    let began = Instant::now();
    let before = soak.resident();
    for at in 0..counts.spaced {
        soak.reload(at);
        std::thread::sleep(counts.pause);
        if at.is_multiple_of(17) {
            held.are_open();
        }
    }
    held.are_open();
    let succeeded = soak.proxy().stat("/reload/succeeded");
    assert!(succeeded >= counts.spaced as u64, "{succeeded}");
    println!(
        "soak: {} reloads in {:.0?} with {} WebSockets: none cut; memory {before} KiB, then {}",
        counts.spaced,
        began.elapsed(),
        counts.websockets,
        soak.resident()
    );
}
