use super::*;

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("waypost-state-dir-{}-{name}", std::process::id()))
}

fn kept(component: &[u8]) -> Kept {
    Kept {
        component: component.into(),
        generation: 3,
        last_generation: 5,
        source: "PUT".to_owned(),
        configured: Some("sha256:00".to_owned()),
    }
}

#[test]
fn the_latest_write_is_read_and_the_one_before_is_gone() {
    let path = folder("read");
    let dir = StateDir::open(&path, None).unwrap();
    assert!(dir.read("a.b").unwrap().is_none());
    dir.write("a.b", &kept(b"one")).unwrap();
    dir.write("a.b", &kept(b"two")).unwrap();
    let read = dir.read("a.b").unwrap().unwrap();
    assert_eq!(
        (&*read.component, read.fingerprint()),
        (&b"two"[..], kept(b"two").fingerprint())
    );
    assert_eq!(
        fs::read_dir(dir.folder("a.b")).unwrap().count(),
        2,
        "`active.json` and one component"
    );
    assert!(dir.read("other").unwrap().is_none());
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn damage_is_distinguished_from_passing_errors() {
    let path = folder("damage");
    let dir = StateDir::open(&path, None).unwrap();
    let error = |dir: &StateDir| dir.read("p").unwrap_err().kind();
    dir.write("p", &kept(b"one")).unwrap();
    let component = dir.folder("p").join(file_name(&digest(b"one")));
    fs::write(&component, b"two").unwrap();
    assert_eq!(error(&dir), ErrorKind::InvalidData);
    fs::write(dir.folder("p").join(ACTIVE), b"{").unwrap();
    assert_eq!(error(&dir), ErrorKind::InvalidData);
    let newer = r#"{"version":2,"generation":1,"last_generation":1,
        "digest":"","source":"","configured":null}"#;
    fs::write(dir.folder("p").join(ACTIVE), newer).unwrap();
    assert_eq!(error(&dir), ErrorKind::Unsupported);
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_policys_name_stays_inside_the_folder() {
    let path = folder("names");
    let dir = StateDir::open(&path, None).unwrap();
    assert_eq!(dir.folder("../a"), path.join("%2e%2e%2fa"));
    assert_eq!(dir.folder("."), path.join("%2e"));
    assert_eq!(dir.folder(".lock"), path.join("%2elock"));
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_missing_component_and_impossible_numbers_are_damage() {
    let path = folder("missing");
    let dir = StateDir::open(&path, None).unwrap();
    dir.write("p", &kept(b"one")).unwrap();
    let record = dir.folder("p").join(ACTIVE);
    let component = dir.folder("p").join(file_name(&digest(b"one")));
    let text = fs::read_to_string(&record).unwrap();
    for (generation, last) in [
        (3, u64::MAX),
        (u64::MAX, u64::MAX),
        (0, 5),
        (6, 5),
        (1, LARGEST_GENERATION + 1),
    ] {
        let text = text.replace(
            "\"generation\": 3",
            &format!("\"generation\": {generation}"),
        );
        let text = text.replace(
            "\"last_generation\": 5",
            &format!("\"last_generation\": {last}"),
        );
        fs::write(&record, text).unwrap();
        let error = dir.read("p").unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::InvalidData,
            "{generation} of {last}: {error}"
        );
    }
    let largest = text.replace(
        "\"last_generation\": 5",
        &format!("\"last_generation\": {LARGEST_GENERATION}"),
    );
    fs::write(&record, largest).unwrap();
    assert_eq!(
        dir.read("p").unwrap().unwrap().last_generation,
        LARGEST_GENERATION
    );
    // As large as a record may be, and a byte more.
    let bound = usize::try_from(LARGEST_ACTIVE).unwrap();
    fs::write(&record, format!("{text}{}", " ".repeat(bound - text.len()))).unwrap();
    assert!(dir.read("p").unwrap().is_some());
    fs::write(
        &record,
        format!("{text}{}", " ".repeat(bound - text.len() + 1)),
    )
    .unwrap();
    assert_eq!(dir.read("p").unwrap_err().kind(), ErrorKind::InvalidData);
    fs::write(&record, &text).unwrap();
    assert!(dir.read("p").unwrap().is_some());
    fs::remove_file(&component).unwrap();
    assert_eq!(dir.read("p").unwrap_err().kind(), ErrorKind::InvalidData);
    fs::create_dir(&component).unwrap();
    assert_eq!(
        dir.read("p").unwrap_err().kind(),
        ErrorKind::InvalidData,
        "a folder in its place"
    );
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn what_others_can_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let path = folder("mode");
    let dir = StateDir::open(&path, None).unwrap();
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    dir.write("p", &kept(b"one")).unwrap();
    let inside = dir.folder("p");
    for file in [
        inside.join(ACTIVE),
        inside.join(file_name(&digest(b"one"))),
        inside.clone(),
    ] {
        set(&file, 0o722);
        assert_eq!(
            dir.read("p").unwrap_err().kind(),
            ErrorKind::InvalidData,
            "{}",
            file.display()
        );
        set(&file, 0o700);
        assert!(dir.read("p").unwrap().is_some());
    }
    drop(dir);
    set(&path, 0o770);
    let error = StateDir::open(&path, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("chmod"), "{error}");
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn one_process_uses_the_folder_at_a_time() {
    let path = folder("lock");
    let dir = StateDir::open(&path, None).unwrap();
    let error = StateDir::open(&path, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
    drop(dir);
    drop(StateDir::open(&path, None).unwrap());
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn links_are_neither_followed_nor_written_through() {
    let path = folder("links");
    let dir = StateDir::open(&path, None).unwrap();
    dir.write("p", &kept(b"one")).unwrap();
    let victim = path.join("victim");
    fs::write(&victim, b"mine").unwrap();
    let inside = dir.folder("p");
    for name in [
        format!("{ACTIVE}{}", files::UNFINISHED),
        format!("{}{}", file_name(&digest(b"two")), files::UNFINISHED),
    ] {
        std::os::unix::fs::symlink(&victim, inside.join(name)).unwrap();
    }
    fs::remove_file(inside.join(ACTIVE)).unwrap();
    std::os::unix::fs::symlink(&victim, inside.join(ACTIVE)).unwrap();
    dir.write("p", &kept(b"two")).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_eq!(&*dir.read("p").unwrap().unwrap().component, b"two");
    assert_eq!(
        fs::read_dir(&inside).unwrap().count(),
        2,
        "the links are gone"
    );
    drop(dir);
    fs::remove_file(path.join(LOCK)).unwrap();
    std::os::unix::fs::symlink(path.join("elsewhere"), path.join(LOCK)).unwrap();
    assert!(
        StateDir::open(&path, None).is_err(),
        "the lock file must not be a link"
    );
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn created_files_are_private_and_a_file_in_a_folders_place_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let path = folder("made");
    let dir = StateDir::open(&path, None).unwrap();
    dir.write("p", &kept(b"one")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let inside = dir.folder("p");
    assert_eq!(
        (mode(&path), mode(&inside), mode(&inside.join(ACTIVE))),
        (0o700, 0o700, 0o600)
    );
    fs::write(dir.folder("file"), b"x").unwrap();
    let error = dir.read("file").unwrap_err();
    assert!(
        error.kind() == ErrorKind::InvalidData && error.to_string().contains("is not a directory"),
        "{error}"
    );
    assert_eq!(
        StateDir::examine(&dir.folder("file")).unwrap_err().kind(),
        ErrorKind::NotADirectory
    );
    assert!(
        StateDir::examine(&path.join("none")).is_ok(),
        "it will be made"
    );
    // A name that is too long for the file system is an error, not "nothing was kept".
    assert!(dir.read(&"x".repeat(300)).is_err());
    fs::remove_dir_all(path).unwrap();
}
