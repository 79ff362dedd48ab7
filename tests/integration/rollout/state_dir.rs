//! What a restart comes back with, whatever happened to the folder that it was kept in.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{said, start};
use crate::fixtures::{Request, Response, Scratch, TestProxy, TestUpstream, guest, waypost};

/// A folder for state, and backends `first` and `last`.
struct Kept {
    state: Scratch,
    backends: [TestUpstream; 2],
}

impl Kept {
    fn new() -> Self {
        Self {
            state: Scratch::new(),
            backends: [TestUpstream::named("first"), TestUpstream::named("last")],
        }
    }

    fn folder(&self) -> PathBuf {
        self.state.path().join("state")
    }

    fn keys(&self) -> String {
        format!("state-dir = {:?}", self.folder().display().to_string())
    }

    /// With `pick-first` in the configuration.
    #[track_caller]
    fn start(&self) -> TestProxy {
        start(&self.backends, 1, "", &self.keys(), "pick-first")
    }

    fn record(&self) -> PathBuf {
        self.folder().join("mine/active.json")
    }

    fn component(&self) -> PathBuf {
        let files = std::fs::read_dir(self.folder().join("mine"))
            .unwrap()
            .flatten()
            .map(|f| f.path());
        let mut components: Vec<_> = files
            .filter(|f| f.extension().is_some_and(|e| e == "wasm"))
            .collect();
        assert_eq!(components.len(), 1, "{components:?}");
        components.remove(0)
    }
}

fn put(proxy: &TestProxy, name: &str) -> Response {
    proxy.admin(Request::new("PUT", "/policies/mine").body(guest(name)))
}

fn decides(proxy: &TestProxy) -> String {
    proxy
        .get("a.test", "/")
        .value("x-policy")
        .unwrap_or_default()
}

#[test]
fn after_two_deployments_and_a_rollback_a_restart_restores_the_previous_one() {
    let kept = Kept::new();
    let proxy = kept.start();
    let former = said(put(&proxy, "pick-last"));
    said(put(&proxy, "probe"));
    said(proxy.admin(Request::new("POST", "/policies/mine/rollback")));
    assert_eq!(decides(&proxy), "last");
    drop(proxy);
    let proxy = kept.start();
    assert_eq!(decides(&proxy), "last");
    let now = proxy.policy("mine");
    assert_eq!(
        (&now["generation"], &now["digest"]),
        (&former["generation"], &former["digest"])
    );
    assert_eq!(said(put(&proxy, "probe"))["generation"], 4, "numbers go on");
}

#[test]
fn damage_is_said_and_the_configurations_component_decides() {
    let kept = Kept::new();
    let proxy = kept.start();
    said(put(&proxy, "pick-last"));
    drop(proxy);
    let (record, component) = (
        std::fs::read_to_string(kept.record()).unwrap(),
        kept.component(),
    );
    let bytes = std::fs::read(&component).unwrap();
    let outside = kept.state.write("outside", b"mine");
    type Harm<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let number = |from: &str, to: u64| record.replace(from, &from.replace('2', &to.to_string()));
    let harms: Vec<Harm<'_>> = vec![
        (
            "the component is gone",
            Box::new(|| std::fs::remove_file(&component).unwrap()),
        ),
        (
            "the component is a folder",
            Box::new(|| replace(&component, |path| std::fs::create_dir(path).unwrap())),
        ),
        (
            "the component is a FIFO",
            Box::new(|| replace(&component, fifo)),
        ),
        (
            "the component is a device",
            Box::new(|| replace(&component, |path| link("/dev/zero", path))),
        ),
        ("the component is sparse", Box::new(|| sparse(&component))),
        (
            "the record is a FIFO",
            Box::new(|| replace(&kept.record(), fifo)),
        ),
        ("the record is sparse", Box::new(|| sparse(&kept.record()))),
        (
            "others may write to it",
            Box::new(|| mode(&component, 0o666)),
        ),
        (
            "the last number",
            Box::new(|| {
                std::fs::write(kept.record(), number("\"last_generation\": 2", u64::MAX)).unwrap()
            }),
        ),
    ];
    for (what, harm) in harms {
        for path in [kept.record(), component.clone()] {
            let _ = std::fs::remove_dir(&path);
            let _ = std::fs::remove_file(&path);
        }
        std::fs::write(kept.record(), &record).unwrap();
        std::fs::write(&component, &bytes).unwrap();
        harm();
        let proxy = kept.start();
        assert_eq!(decides(&proxy), "first", "{what}");
        assert!(
            proxy
                .stderr
                .text()
                .contains("promoted before the restart can't be read"),
            "{what}"
        );
        let ready = proxy.admin(Request::new("GET", "/readyz"));
        assert_eq!(ready.status, 200, "{what}");
        assert!(
            ready.text().contains("mine") && ready.text().contains("state-dir"),
            "{what}: {}",
            ready.text()
        );
        assert!(
            proxy.peak_resident_kib() < 1 << 20,
            "{what}: {} KiB",
            proxy.peak_resident_kib()
        );
        said(put(&proxy, "pick-last"));
        assert!(
            !proxy
                .admin(Request::new("GET", "/readyz"))
                .text()
                .contains("notes"),
            "{what}"
        );
        drop(proxy);
        if what.contains("folder") {
            assert_eq!(decides(&kept.start()), "last", "{what}: kept again");
        }
    }
    assert_eq!(std::fs::read(outside).unwrap(), b"mine");
}

#[test]
fn a_folder_is_one_process_es_and_not_open_to_others() {
    let kept = Kept::new();
    let proxy = kept.start();
    let scratch = Scratch::new();
    scratch.write(
        "waypost.toml",
        format!(
            "{}\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n",
            kept.keys()
        ),
    );
    let run = || waypost(["run", "--config", "waypost.toml"], scratch.path());
    let exit = run();
    assert!(exit.code.is_some_and(|code| code > 0), "{exit:?}");
    assert!(
        exit.stderr.contains("state-dir") && exit.stderr.contains("another waypost process"),
        "{exit:?}"
    );
    drop(proxy);
    mode(&kept.folder(), 0o777);
    let exit = run();
    assert!(
        exit.code.is_some_and(|code| code > 0) && exit.stderr.contains("others may write"),
        "{exit:?}"
    );
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert!(
        exit.code == Some(1) && exit.stdout.contains("others may write"),
        "{exit:?}"
    );
}

#[test]
fn uploads_and_changed_files_at_once_leave_a_record_that_a_restart_can_use() {
    let kept = Kept::new();
    let names = ["pick-last", "probe", "pick-first"];
    for round in 0..3 {
        let proxy = kept.start();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..6 {
                    proxy
                        .scratch
                        .replace("mine.wasm", guest(names[(turn + round) % 3]));
                    // Not waiting for anything: to be between two looks of the proxy, now and then.
                    std::thread::sleep(std::time::Duration::from_millis(180));
                }
            });
            for turn in 0..12 {
                let answer = put(&proxy, names[turn % 3]);
                assert!(matches!(answer.status, 200 | 409), "{}", answer.text());
            }
        });
        said(put(&proxy, "pick-last"));
        drop(proxy);
        let record: serde_json::Value =
            serde_json::from_slice(&std::fs::read(kept.record()).unwrap()).unwrap();
        let digest = record["digest"].as_str().unwrap().replace(':', "");
        assert_eq!(
            kept.component().file_stem().unwrap().to_str().unwrap(),
            digest,
            "{record:#}"
        );
    }
    drop(kept.start());
}

fn replace(path: &Path, by: impl Fn(&Path)) {
    std::fs::remove_file(path).unwrap();
    by(path);
}

pub(super) fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}

pub(super) fn link(to: &str, path: &Path) {
    std::os::unix::fs::symlink(to, path).unwrap();
}

/// Three gigabytes of nothing.
pub(super) fn sparse(path: &Path) {
    std::fs::File::create(path)
        .unwrap()
        .set_len(3 << 30)
        .unwrap();
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
