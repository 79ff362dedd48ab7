//! Series of `/metrics`: only of what has happened, and of the process.

use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, refusing_address};

#[test]
fn backends_that_stand_by_cost_two_series_each() {
    let all: Vec<_> = (0..4_000_u16)
        .map(|n| std::net::SocketAddr::from(([127, 7, (n / 250) as u8, (n % 250) as u8 + 1], 9)))
        .collect();
    let proxy = TestProxy::builder().pool_for_all(&all, &[]).start();
    let text = proxy.admin(Request::new("GET", "/metrics")).text();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!((8_000..8_600).contains(&series), "{series} series");
    let state = "waypost_backend_state{backend=\"127.7.0.1:9\",state=\"unproven\"} 1";
    assert!(text.lines().any(|line| line == state), "{text:.2000}");
}

#[test]
fn requests_are_counted_by_the_route_and_the_pool_that_took_them() {
    let upstream = TestUpstream::named("a");
    let (_held, dead) = refusing_address();
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .host("dead.test", &[dead])
        .start();
    for (host, status) in [("a.test", 200), ("a.test", 200), ("dead.test", 502)] {
        assert_eq!(proxy.get(host, "/").status, status);
    }
    let lines = [
        "waypost_pool_requests_total{pool=\"a.test\",status=\"2xx\"} 2",
        "waypost_pool_requests_total{pool=\"dead.test\",status=\"5xx\"} 1",
        "waypost_route_requests_total{route=\"a.test/\"} 2",
        "waypost_route_requests_total{route=\"dead.test/\"} 1",
        "waypost_route_errors_total{route=\"dead.test/\"} 1",
    ];
    let text = eventually("all are counted", || {
        let text = proxy.admin(Request::new("GET", "/metrics")).text();
        let has = |line: &&str| text.lines().any(|l| l == *line);
        lines.iter().all(has).then_some(text)
    });
    let counted = text.matches("\nwaypost_pool_requests_total{").count();
    assert_eq!(counted, 2, "a class that never occurred has no series");
    assert!(!text.contains("waypost_route_errors_total{route=\"a.test/\"}"));
    let stats = proxy.stats();
    assert_eq!(stats["pools"]["a.test"]["requests"]["2xx"], 2, "{stats:#}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_is_measured_under_the_names_that_all_programs_have() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let text = proxy.admin(Request::new("GET", "/metrics")).text();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name}: {text}"));
        value.trim().parse().unwrap()
    };
    assert!(value("process_cpu_seconds_total ") > 0.0);
    let resident = value("process_resident_memory_bytes ");
    assert!(resident > 1e6 && value("process_virtual_memory_bytes ") > resident);
    let open = value("process_open_fds ");
    assert!(open >= 3.0 && open <= value("process_max_fds "));
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let started = value("process_start_time_seconds ");
    // The kernel's clocks may differ by seconds.
    assert!((started - now.as_secs_f64()).abs() < 3_600.0, "{started}");
}
