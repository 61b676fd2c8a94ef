//! Accounts: every call is counted once, for as many tenants as there may be.

use super::*;
use crate::boundary::thread::Counts;

/// A handler that makes so many calls to the cache.
fn handle(metrics: &PluginMetrics, tenants: &Tenants, name: &str, calls: u64) {
    let tenant = tenants.named(name);
    let handling = metrics.begin(HandlerKind::Event, &tenant, tenants);
    for _ in 0..calls {
        Counts::here().call(handling.account(), Service::Cache);
    }
    handling.end((!calls.is_multiple_of(2)).then_some(ErrorKind::Conflict));
}

/// Tenant, calls, handled, failed.
fn told(metrics: &PluginMetrics) -> Vec<(Option<String>, u64, u64, u64)> {
    let calls = |stats: &TenantStats| stats.calls.get("cache").map_or(0, |cache| cache.calls);
    let all = metrics.tenants().into_iter();
    all.map(|stats| (stats.tenant.clone(), calls(&stats), stats.handled, stats.failed)).collect()
}

fn named(name: &str, calls: u64, handled: u64, failed: u64) -> (Option<String>, u64, u64, u64) {
    (Some(name.into()), calls, handled, failed)
}

#[test]
fn everywhere_12_calls_are_counted_for_each_tenant_on_its_own() {
    let (metrics, tenants) = (PluginMetrics::new(10), Tenants::new());
    for (tenant, calls) in [("", 1), ("b", 2), ("a", 3), ("b", 4)] {
        handle(&metrics, &tenants, tenant, calls);
    }
    assert_eq!(told(&metrics), [named("", 1, 1, 1), named("a", 3, 1, 1), named("b", 6, 2, 0)]);
    assert_eq!((metrics.tally().total().calls, metrics.handled()), (10, (4, 2)));
}

#[test]
fn tenants_that_nobody_uses_any_more_make_room_and_nothing_is_lost_of_them() {
    let (metrics, tenants) = (PluginMetrics::with_quiet(2, Duration::ZERO), Tenants::new());
    let _held = tenants.named("held");
    for (tenant, calls) in [("held", 1), ("over", 2), ("next", 4), ("last", 8)] {
        handle(&metrics, &tenants, tenant, calls);
    }
    assert_eq!(told(&metrics), [named("held", 1, 1, 1), named("last", 8, 1, 0), (None, 6, 2, 0)]);
    let before = metrics.tally();
    handle(&metrics, &tenants, "over", 16);
    assert_eq!(metrics.tally().total().calls - before.total().calls, 16, "a tenant that comes again");
}

#[test]
fn a_tenant_makes_room_only_when_it_has_been_quiet_for_a_while() {
    let (metrics, tenants) = (PluginMetrics::new(1), Tenants::new());
    for _ in 0..3 {
        handle(&metrics, &tenants, "first", 1);
        handle(&metrics, &tenants, "second", 1);
    }
    assert_eq!(told(&metrics), [named("first", 3, 3, 3), (None, 3, 3, 3)]);
    let later = Moment::now().since_start().as_millis() as u64 + QUIET.as_millis() as u64;
    let third = tenants.named("third");
    drop(metrics.behalf(&third, &tenants, later - 60_000));
    assert_eq!(told(&metrics)[0].0.as_deref(), Some("first"), "a minute too early");
    drop(metrics.behalf(&third, &tenants, later));
    handle(&metrics, &tenants, "third", 1);
    assert_eq!(told(&metrics), [named("third", 1, 1, 1), (None, 6, 6, 6)]);
}

#[test]
fn a_tenant_whose_handler_runs_keeps_its_account() {
    let (metrics, tenants) = (PluginMetrics::with_quiet(1, Duration::ZERO), Tenants::new());
    let tenant = tenants.named("first");
    let running = metrics.begin(HandlerKind::Event, &tenant, &tenants);
    handle(&metrics, &tenants, "second", 3);
    Counts::here().call(running.account(), Service::Cache);
    running.end(None);
    assert_eq!(told(&metrics), [named("first", 1, 1, 0), (None, 3, 1, 1)]);
}

#[test]
fn without_room_for_any_tenant_all_are_counted_together() {
    let (metrics, tenants) = (PluginMetrics::new(0), Tenants::new());
    for tenant in ["a", "b", ""] {
        handle(&metrics, &tenants, tenant, 2);
    }
    assert_eq!(told(&metrics), [named("", 2, 1, 0), (None, 4, 2, 0)]);
}

#[test]
fn an_account_that_another_had_before_begins_at_nothing_and_what_was_counted_is_kept_at_the_end() {
    let tenants = Tenants::new();
    // Others take accounts too while this runs: of so many, some come back.
    for round in 0..50 {
        let metrics = PluginMetrics::new(1);
        assert_eq!(metrics.tally(), Tally::default(), "round {round}");
        handle(&metrics, &tenants, "", 5);
        metrics.close();
        assert_eq!(told(&metrics), [named("", 5, 1, 1)]);
    }
}

#[test]
fn one_handler_in_64_is_timed_and_all_are_counted() {
    let (metrics, tenants) = (PluginMetrics::new(0), Tenants::new());
    for _ in 0..129 {
        handle(&metrics, &tenants, "", 0);
    }
    let (kind, stats) = metrics.handlers().next().expect("one kind was run");
    assert_eq!((kind, stats.handled, stats.times.count), ("event", 129, 3));
}

#[test]
fn times_go_into_the_bucket_of_the_first_bound_that_they_do_not_exceed() {
    for (ns, bucket) in [(0, 0), (100, 0), (101, 1), (300, 1), (10_000_000_000, 16), (10_000_000_001, 17)] {
        let histogram = Histogram::default();
        histogram.note(ns);
        let times = histogram.times();
        assert_eq!(times.buckets.iter().position(|count| *count == 1), Some(bucket), "{ns}");
        assert_eq!((times.count, times.sum_ns), (1, ns));
    }
}
