use super::super::sampling::lineup;
use super::*;
use crate::config::Config;
use crate::stats::Stats;

#[test]
fn requests_take_no_more_memory_than_there_is_for_them() {
    let queued = Arc::new(AtomicUsize::new(0));
    let hold = || Held {
        queued: Arc::clone(&queued),
        bytes: 0,
    };
    let mut one = hold();
    assert!(one.grow(REQUEST_BYTES) && !one.grow(1));
    let mut others: Vec<Held> = (0..100).map(|_| hold()).collect();
    let fit = others
        .iter_mut()
        .filter_map(|held| held.grow(REQUEST_BYTES).then_some(()))
        .count();
    assert_eq!(fit, WAITING_BYTES / REQUEST_BYTES - 1);
    drop(one);
    others.truncate(50);
    assert_eq!(queued.load(Relaxed), fit * REQUEST_BYTES);
    drop(others);
    assert_eq!(queued.load(Relaxed), 0);
}

#[test]
fn a_request_that_no_file_can_hold_costs_nothing_but_itself() {
    let folder = std::env::temp_dir().join(format!("waypost-writer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.jsonl");
    let config = Config::from_toml(
        "[record]\nfile = \"a\"\n[hosts]\n\"*\" = \"127.0.0.1:1\"",
        &folder,
    )
    .unwrap();
    let record = config.record.clone().unwrap();
    let lineup = lineup(&record, &config);
    let mut writer = Writer {
        file: RecordFile::open(&path, 4_000).unwrap(),
        redactor: Redactor::new(&record),
        lineups: HashSet::new(),
        stats: Arc::clone(Stats::new(1).recording()),
        warned: None,
        path: path.display().to_string(),
    };
    let request = |path: String| {
        let request = serde_json::json!({
            "lineup": 0, "time": 1, "worker": 0, "method": "GET", "scheme": "http",
            "host": "a", "path": path,
            "client": "192.0.2.7", "pool": 0, "fields": [], "calls": [], "status": 200,
        });
        Box::new(serde_json::from_value::<Request>(request).unwrap())
    };
    writer.write(&lineup, request("/kept".to_owned()));
    for _ in 0..2 {
        writer.write(&lineup, request("/".repeat(4_000)));
    }
    writer.flush();
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written.contains("\"/kept\"") && written.len() < 4_000,
        "{written}"
    );
    assert_eq!(
        (writer.stats.recorded.value(), writer.stats.dropped.value()),
        (1, 2)
    );
    assert!(!folder.join("a.jsonl.1").exists(), "it was not rotated");
    // A request that fits into a new file starts one.
    let around = heading(&lineup).len()
        + serialised(&Line::Request(request(String::new())))
            .unwrap()
            .len();
    writer.write(&lineup, request("/".repeat(4_000 - around)));
    writer.flush();
    assert!(
        std::fs::read_to_string(folder.join("a.jsonl.1"))
            .unwrap()
            .contains("\"/kept\"")
    );
    assert_eq!(
        (writer.stats.recorded.value(), writer.stats.dropped.value()),
        (2, 2)
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
