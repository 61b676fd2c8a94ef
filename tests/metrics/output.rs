//! From a snapshot to text.

use std::collections::BTreeSet;

use pintle::{
    metrics::open_metrics,
    stats::{CallStats, HandlerStats, PluginStats, Stats, TenantCallStats, TenantStats, Times, UsageStats},
};

use crate::checker::{Family, check};

/// What tenants can be called that mean harm.
const NASTY: [&str; 12] = [
    "acme",
    "others",
    "system",
    "tenant",
    "\"} 1\npintle_host_info{x=\"",
    "back\\slash",
    "ends with \\",
    "new\nline",
    "carriage\r\nreturn\0",
    "# EOF",
    "ünï\u{202e}code 🦀",
    " ",
];

/// A snapshot with something in every family.
pub(crate) fn full() -> Stats {
    let mut times = Times::default();
    (times.count, times.sum_ns) = (3, 12_000_000_150);
    times.buckets = (0..18).map(|at| u64::from([0, 1, 17].contains(&at))).collect();
    let mut stats = Stats::default();
    stats.host.version = "0.1.0";
    stats.host.abi = "1.0".into();
    (stats.host.started_ms, stats.host.uptime_ms) = (1_700_000_000_123, 250);
    (stats.durable.written, stats.durable.replayed) = (9, 2);
    (stats.cache.backend, stats.cache.capacity, stats.cache.used) = ("sqlite", 1 << 30, 1 << 20);
    stats.cache.down = Some(Default::default());
    for (at, id) in ["first", "second"].into_iter().enumerate() {
        let mut plugin = PluginStats::default();
        (plugin.id, plugin.version, plugin.state) = (id.into(), "1.2.3".into(), ["enabled", "failed"][at]);
        plugin.generation = [Some(u64::MAX), None][at];
        plugin.lane.stuck_ms = 1_500;
        plugin.storage = Some(UsageStats::default());
        plugin.files = Some(UsageStats::default());
        plugin.database = Some(UsageStats::default());
        plugin.suspensions = 2;
        (plugin.cache.evicted, plugin.cache.hits, plugin.cache.misses) = (3, 20, 10);
        plugin.events.dropped.too_late = 5;
        let mut calls = CallStats::default();
        (calls.calls, calls.failed, calls.bytes, calls.times) = (200, 1, 4_096, times.clone());
        plugin.calls.insert("cache", calls);
        let mut handlers = HandlerStats::default();
        (handlers.handled, handlers.failed, handlers.busy_ms, handlers.times) =
            (130, 2, 86_400_001, times.clone());
        handlers.slow = Some(7);
        plugin.handlers.insert("event", handlers);
        for tenant in NASTY.into_iter().map(Some).chain([Some(""), None]) {
            let mut counted = TenantStats::default();
            counted.tenant = tenant.map(Into::into);
            let mut calls = TenantCallStats::default();
            calls.calls = tenant.map_or(1_000, |name| name.len() as u64);
            counted.calls.insert("cache", calls);
            (counted.cache_hits, counted.cache_misses) = (5, 6);
            plugin.tenants.push(counted);
        }
        stats.plugins.push(plugin);
    }
    stats
}

fn value(family: &Family, labels: &[(&str, &str)]) -> Vec<f64> {
    let fits = |name: &str, value: &str, of: &std::collections::BTreeMap<String, String>| {
        of.get(name).is_some_and(|label| label == value)
    };
    let found = family
        .samples
        .iter()
        .filter(|sample| labels.iter().all(|(name, value)| fits(name, value, &sample.labels)));
    found.map(|sample| sample.value).collect()
}

#[test]
fn the_text_is_strict_open_metrics_whatever_there_is_to_tell() {
    for stats in [Stats::default(), full()] {
        let text = open_metrics(&stats);
        if let Err(problem) = check(&text) {
            panic!("{problem}:\n{text}");
        }
    }
    let families =
        |stats| check(&open_metrics(stats)).map(|families| families.into_keys().collect::<Vec<_>>());
    assert_eq!(families(&Stats::default()), families(&full()), "every family is always there");
}

#[test]
fn every_tenant_is_told_by_his_own_name_whatever_it_is() {
    let families = check(&open_metrics(&full())).expect("it is right");
    let calls = &families["pintle_plugin_tenant_calls"];
    let told: BTreeSet<(&str, &str, u64)> = calls
        .samples
        .iter()
        .filter(|sample| sample.labels["plugin"] == "first")
        .map(|sample| (&*sample.labels["scope"], &*sample.labels["tenant"], sample.value as u64))
        .collect();
    let named = NASTY.map(|name| ("tenant", name, name.len() as u64));
    let expected = named.into_iter().chain([("system", "", 0), ("others", "", 1_000)]).collect();
    assert_eq!(told, expected);
}

#[test]
fn numbers_are_those_of_the_snapshot_in_seconds_and_bytes() {
    let families = check(&open_metrics(&full())).expect("it is right");
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [f64]);
    let cases: [Case<'_>; 21] = [
        ("pintle_host", &[("version", "0.1.0"), ("abi", "1.0"), ("pid", "0")], &[1.0]),
        ("pintle_start_time_seconds", &[], &[1_700_000_000.123]),
        ("pintle_uptime_seconds", &[], &[0.25]),
        ("pintle_durable_events_written", &[], &[9.0]),
        ("pintle_durable_events_replayed", &[], &[2.0]),
        ("pintle_plugin", &[("plugin", "first"), ("version", "1.2.3")], &[1.0]),
        ("pintle_plugin_state", &[("plugin", "first"), ("state", "enabled")], &[1.0]),
        ("pintle_plugin_state", &[("plugin", "second")], &[0.0, 1.0, 0.0, 0.0]),
        ("pintle_plugin_generation", &[], &[u64::MAX as f64]),
        ("pintle_plugin_lane_stuck_seconds", &[("plugin", "first")], &[1.5]),
        ("pintle_plugin_events_dropped", &[("plugin", "first"), ("reason", "too_late")], &[5.0]),
        ("pintle_cache", &[("backend", "sqlite")], &[1.0]),
        ("pintle_cache_backend_up", &[], &[0.0]),
        ("pintle_cache_capacity_bytes", &[], &[1_073_741_824.0]),
        ("pintle_plugin_cache_evicted", &[("plugin", "first")], &[3.0]),
        ("pintle_plugin_cache_hits", &[("plugin", "second")], &[20.0]),
        ("pintle_plugin_tenant_cache_misses", &[("plugin", "first"), ("tenant", "acme")], &[6.0]),
        ("pintle_plugin_calls", &[("plugin", "first"), ("service", "cache")], &[200.0]),
        ("pintle_plugin_call_bytes", &[("plugin", "first"), ("service", "cache")], &[4_096.0]),
        ("pintle_plugin_handlers_failed", &[("plugin", "second"), ("kind", "event")], &[2.0]),
        ("pintle_plugin_handler_busy_seconds", &[("plugin", "first"), ("kind", "event")], &[86_400.001]),
    ];
    for (name, labels, expected) in cases {
        assert_eq!(value(&families[name], labels), expected, "{name} {labels:?}");
    }
    for name in ["pintle_plugin_call_sampled_seconds", "pintle_plugin_handler_sampled_seconds"] {
        let of = |suffix: &str, le: Option<&str>| {
            let mut samples =
                families[name].samples.iter().filter(|sample| sample.labels["plugin"] == "first");
            let found = samples.find(|sample| {
                sample.name.ends_with(suffix) && sample.labels.get("le").map(String::as_str) == le
            });
            found.map(|sample| sample.value)
        };
        let told = [
            of("_sum", None),
            of("_count", None),
            of("_bucket", Some("1e-7")),
            of("_bucket", Some("10.0")),
            of("_bucket", Some("+Inf")),
        ];
        assert_eq!(told, [12.00000015, 3.0, 1.0, 2.0, 3.0].map(Some), "{name}");
    }
}
