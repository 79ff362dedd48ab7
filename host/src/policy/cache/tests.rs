use std::os::unix::fs::PermissionsExt;

use super::*;

const EMPTY: &str = "(component)";
const FACTS: Facts = Facts {
    wasi: false,
    core_instances: 3,
    beside_memory: 4096,
};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("waypost-cache-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn stored(cache: &Cache, engine: &Engine, digest: &str) -> PathBuf {
    let component = Component::new(engine, wat::parse_str(EMPTY).unwrap()).unwrap();
    let artefact = Artefact::Bytes(component.serialize().unwrap());
    cache.keep(engine, digest, FACTS, &artefact).unwrap();
    cache.path(engine, digest)
}

/// The component that a load would use.
fn load(cache: &Cache, engine: &Engine, digest: &str) -> Option<Component> {
    let (facts, code) = cache.find(engine, digest)?;
    assert_eq!(facts, FACTS);
    code.map(engine).ok()
}

#[test]
fn what_was_stored_is_found_by_its_digest_and_its_engine() {
    let folder = folder("found");
    let (cache, engine) = (Cache::open(&folder).unwrap(), Engine::default());
    assert!(load(&cache, &engine, "sha256:aa").is_none());
    let path = stored(&cache, &engine, "sha256:aa");
    assert_eq!(
        fs::metadata(&path).unwrap().mode() & 0o777,
        0o600,
        "whatever the umask is"
    );
    assert!(load(&cache, &engine, "sha256:aa").is_some());
    assert!(load(&cache, &engine, "sha256:ab").is_none());
    let mut config = wasmtime::Config::new();
    config.consume_fuel(true);
    assert!(
        load(&cache, &Engine::new(&config).unwrap(), "sha256:aa").is_none(),
        "another engine"
    );
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_damaged_artefact_is_not_run() {
    let folder = folder("damaged");
    let (cache, engine) = (Cache::open(&folder).unwrap(), Engine::default());
    let path = stored(&cache, &engine, "sha256:aa");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 1], &[]] {
        fs::write(&path, damaged).unwrap();
        assert!(load(&cache, &engine, "sha256:aa").is_none());
    }
    fs::write(&path, &whole).unwrap();
    assert!(load(&cache, &engine, "sha256:aa").is_some());
    let beside = path.with_extension(CHECKSUM);
    let told = fs::read_to_string(&beside).unwrap();
    fs::write(&beside, told.replace("4096", "0")).unwrap();
    assert!(
        cache.find(&engine, "sha256:aa").is_none(),
        "what is known of it is damaged"
    );
    fs::remove_file(beside).unwrap();
    assert!(load(&cache, &engine, "sha256:aa").is_none());
    fs::remove_dir_all(folder).unwrap();
}

/// Gives a file to another user, as far as this one may: root does, and another's path leads to
/// a file of root's.
fn give_away(path: &Path) {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(65_534), None).unwrap();
    } else {
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path).unwrap();
    }
    assert_ne!(
        fs::metadata(path).unwrap().uid(),
        rustix::process::geteuid().as_raw()
    );
}

#[test]
fn a_special_file_is_not_waited_for_and_links_are_not_followed() {
    let folder = folder("pipes");
    let (cache, engine) = (Cache::open(&folder).unwrap(), Engine::default());
    for kind in [ARTEFACT, CHECKSUM] {
        let path = stored(&cache, &engine, "sha256:aa");
        let replaced = path.with_extension(kind);
        fs::remove_file(&replaced).unwrap();
        let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &replaced, fifo, mode, 0).unwrap();
        let refused = cache.verified(&path).unwrap_err().to_string();
        assert!(refused.contains("not a regular file"), "{kind}: {refused}");
        assert!(load(&cache, &engine, "sha256:aa").is_none(), "{kind}");
        fs::remove_file(replaced).unwrap();
    }
    let path = stored(&cache, &engine, "sha256:aa");
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(64 << 30)
        .unwrap();
    assert!(
        cache
            .verified(&path)
            .unwrap_err()
            .to_string()
            .contains("length"),
        "it is not read first"
    );
    let link = folder.with_extension("link");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    let refused = Cache::open(&link).unwrap_err().to_string();
    assert!(refused.contains("it is a symbolic link"), "{refused}");
    fs::remove_file(link).unwrap();
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_belongs_to_another_user_is_not_run() {
    let folder = folder("owner");
    let (cache, engine) = (Cache::open(&folder).unwrap(), Engine::default());
    for kind in [ARTEFACT, CHECKSUM] {
        let path = stored(&cache, &engine, "sha256:aa");
        assert!(load(&cache, &engine, "sha256:aa").is_some(), "{kind}");
        give_away(&path.with_extension(kind));
        assert_eq!(
            cache.verified(&path).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied,
            "{kind}"
        );
        assert!(load(&cache, &engine, "sha256:aa").is_none(), "{kind}");
    }
    // `/etc` is root's; root is given one of another user's.
    let other = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&folder, Some(65_534), None).unwrap();
        folder.clone()
    } else {
        PathBuf::from("/etc")
    };
    assert_eq!(
        Cache::open(&other).unwrap_err().kind(),
        io::ErrorKind::PermissionDenied
    );
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let folder = folder("shared");
    let (cache, engine) = (Cache::open(&folder).unwrap(), Engine::default());
    let path = stored(&cache, &engine, "sha256:aa");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(load(&cache, &engine, "sha256:aa").is_none());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(
        load(&cache, &engine, "sha256:aa").is_none(),
        "changed after it was opened"
    );
    let error = Cache::open(&folder).unwrap_err().to_string();
    assert!(error.contains("chmod go-w"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_was_not_used_for_the_longest_time_makes_room() {
    let folder = folder("room");
    let engine = Engine::default();
    let mut cache = Cache::open(&folder).unwrap();
    let first = stored(&cache, &engine, "sha256:aa");
    let second = stored(&cache, &engine, "sha256:ab");
    let size = fs::metadata(&first).unwrap().len();
    let age = |path: &Path, seconds| {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        File::open(path).unwrap().set_modified(then).unwrap();
    };
    let unfinished = folder.join(format!("1-1.{UNFINISHED}"));
    fs::write(&unfinished, b"x").unwrap();
    age(&first, 50);
    age(&second, 100);
    age(&unfinished, 2 * 3600);
    cache.limit = 2 * size;
    let third = stored(&cache, &engine, "sha256:ac");
    assert_eq!(
        [&first, &second, &third, &unfinished].map(|p| p.exists()),
        [true, false, true, false]
    );
    assert!(!second.with_extension(CHECKSUM).exists());
    fs::remove_dir_all(folder).unwrap();
}
