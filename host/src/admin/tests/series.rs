use super::pages::exposition;
use super::*;

#[test]
fn requests_are_counted_by_pool_up_to_a_number_of_pools() {
    let stats = Stats::new(2);
    for n in 0..1_002 {
        let shards = stats.pool(&format!("p{n:04}"));
        shards[0].requests.count(200);
        shards[1].requests.count(502);
    }
    let view = StatsView {
        stats: &stats,
        policies: &[],
        certificates: &[],
        names: &[],
        reload: &status_of_reloads(),
        pools: &[],
    };
    let (_, text) = metrics_page(&view, true, None);
    let (_, samples) = exposition(&String::from_utf8(text).unwrap());
    let all = samples.keys().filter(|s| s.starts_with("waypost_pool_"));
    assert_eq!(all.count(), 2_002, "and nothing of queues");
    let of = |pool, status| {
        let labels = format!("pool=\"{pool}\",status=\"{status}\"");
        samples[&format!("waypost_pool_requests_total{{{labels}}}")]
    };
    assert_eq!((of("p0000", "2xx"), of("p0999", "5xx")), (1.0, 1.0));
    assert_eq!((of("other", "2xx"), of("other", "5xx")), (2.0, 2.0));
}
