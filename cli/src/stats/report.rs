//! All that a host counts, once: for people on a terminal, and with the same words elsewhere.

use pintle::stats::Times;
use serde_json::Value;

use super::{dropped, sum};
use crate::{
    print::{Style, count, duration, printable, size, state, suspension, table, text},
    screen::Look,
};

/// How wide the names are.
const WIDTH: usize = 10;

/// The report. Of a host that was made for the question there is only what is stored.
pub(super) fn of(stats: &Value, made: bool, style: Style) -> String {
    let mut out = String::new();
    if !made {
        of_host(stats, style, &mut out);
    }
    for plugin in stats["plugins"].as_array().into_iter().flatten() {
        if !out.is_empty() {
            out.push('\n');
        }
        of_plugin(plugin, style, &mut out);
    }
    out
}

fn of_host(stats: &Value, style: Style, out: &mut String) {
    let mut line = |name: &str, value: String| {
        let name = Look::Dim.paint(&format!("{name:WIDTH$}"), style.colours);
        out.push_str(&format!("{name}{}\n", printable(&value)));
    };
    let host = &stats["host"];
    line(
        "host",
        format!(
            "Pintle {} (ABI {}), process {}, up {}",
            text(host, "version"),
            text(host, "abi"),
            count(host, "pid"),
            duration(count(host, "uptime_ms")),
        ),
    );
    line("data", host["data"].as_str().unwrap_or("none").to_owned());
    line(
        "has",
        format!(
            "{} tenants, {} jobs, {} subscriptions, {} libraries kept",
            count(host, "tenants"),
            count(host, "jobs"),
            count(host, "subscriptions"),
            count(host, "libraries_kept"),
        ),
    );
    let workers = &stats["workers"];
    line(
        "workers",
        format!(
            "{}: {} idle, {} waiting, {} stuck; {} libraries to be closed",
            count(workers, "workers"),
            count(workers, "idle"),
            count(workers, "waiting"),
            count(workers, "stuck"),
            count(workers, "retired"),
        ),
    );
    line("events", events(&stats["events"]));
    line("durable", durable(&stats["durable"]));
    let log = &stats["log"];
    line(
        "log",
        format!(
            "{} records, {} lost, {} failed writes",
            count(log, "taken"),
            count(log, "lost"),
            count(log, "write_errors"),
        ),
    );
    let ledger = &stats["ledger"];
    let cache = &stats["cache"];
    let down = if cache["down"].is_object() { ", down" } else { "" };
    line(
        "cache",
        format!(
            "{}{down}: {} of {}, {} guaranteed to each plugin",
            text(cache, "backend"),
            size(count(cache, "used") as f64),
            size(count(cache, "capacity") as f64),
            size(count(cache, "guaranteed") as f64),
        ),
    );
    line(
        "ledger",
        format!(
            "{} writes in {} commits (at most {} in one), {} failed, {} run again, {} checkpoints, {} pages in its log",
            count(ledger, "writes"),
            count(ledger, "commits"),
            count(ledger, "largest_group"),
            count(ledger, "failed"),
            count(ledger, "run_again"),
            count(ledger, "checkpoints"),
            count(ledger, "log_pages"),
        ),
    );
}

fn of_plugin(plugin: &Value, style: Style, out: &mut String) {
    let head = format!("{} {} {}", text(plugin, "id"), text(plugin, "version"), state(plugin));
    out.push_str(&Look::Bold.paint(printable(&head).trim_end(), style.colours));
    out.push('\n');
    let mut line = |name: &str, value: String| {
        let name = Look::Dim.paint(&format!("{name:WIDTH$}"), style.colours);
        out.push_str(&format!("  {name}{}\n", printable(&value)));
    };
    let kept = |of: &Value| format!("{} items, {}", count(of, "items"), size(count(of, "bytes") as f64));
    if let Some(why) = suspension(plugin) {
        line("suspended", why);
    }
    if plugin["lane"].is_object() {
        let generation = plugin["generation"].as_u64().map_or("none".into(), |it| it.to_string());
        line(
            "loaded",
            format!(
                "generation {generation}, {} in all; {} registrations",
                count(plugin, "generations"),
                count(plugin, "registrations"),
            ),
        );
        let lane = &plugin["lane"];
        let stuck = if lane["stuck"] == true { "stuck now, " } else { "" };
        line(
            "lane",
            format!(
                "{} waiting, {} of {} running, {stuck}{} times stuck for {}",
                count(lane, "waiting"),
                count(lane, "running"),
                count(lane, "concurrency"),
                count(lane, "times_stuck"),
                duration(count(lane, "stuck_ms")),
            ),
        );
        line("events", events(&plugin["events"]));
        let cache = &plugin["cache"];
        line(
            "cache",
            format!(
                "{}; {} hits, {} misses, {} evicted",
                kept(cache),
                count(cache, "hits"),
                count(cache, "misses"),
                count(cache, "evicted"),
            ),
        );
    }
    line("storage", kept(&plugin["storage"]));
    if count(&plugin["database"], "bytes") > 0 {
        line("databases", kept(&plugin["database"]).replacen(" items", "", 1));
    }
    let all = |of: &Value| of.as_object().cloned().unwrap_or_default();
    let calls: Vec<_> = all(&plugin["calls"])
        .iter()
        .map(|(service, calls)| {
            vec![
                service.clone(),
                count(calls, "calls").to_string(),
                count(calls, "failed").to_string(),
                size(count(calls, "bytes") as f64),
                bound(&calls["times"], 0.5),
                bound(&calls["times"], 0.99),
            ]
        })
        .collect();
    let handlers: Vec<_> = all(&plugin["handlers"])
        .iter()
        .map(|(kind, handlers)| {
            vec![
                kind.clone(),
                count(handlers, "handled").to_string(),
                count(handlers, "failed").to_string(),
                duration(count(handlers, "busy_ms")),
                bound(&handlers["times"], 0.5),
                bound(&handlers["times"], 0.99),
            ]
        })
        .collect();
    let tenants: Vec<_> = plugin["tenants"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tenant| {
            vec![
                match tenant["tenant"].as_str() {
                    None => "(others)".to_owned(),
                    Some("") => "(system)".to_owned(),
                    Some(name) => name.to_owned(),
                },
                sum(&tenant["calls"], "calls").to_string(),
                sum(&tenant["calls"], "failed").to_string(),
                size(sum(&tenant["calls"], "bytes") as f64),
                count(tenant, "handled").to_string(),
                count(tenant, "failed").to_string(),
                duration(count(tenant, "busy_ms")),
            ]
        })
        .collect();
    // Within a report tables are for people wherever it goes: `--json` is for programs.
    let aligned = Style { terminal: true, ..style };
    for (heads, rows) in [
        (&["CALLS TO", "CALLS", "ERRORS", "BYTES", "MEDIAN", "P99"][..], calls),
        (&["HANDLED", "CALLS", "FAILURES", "BUSY", "MEDIAN", "P99"], handlers),
        (&["TENANT", "CALLS", "ERRORS", "BYTES", "HANDLED", "FAILURES", "BUSY"], tenants),
    ] {
        if !rows.is_empty() {
            table(heads, &rows, aligned).lines().for_each(|row| out.push_str(&format!("  {row}\n")));
        }
    }
}

/// What became of events, in one line.
pub(crate) fn events(events: &Value) -> String {
    let unheard = count(events, "unheard");
    let unheard = if unheard > 0 { format!(" ({unheard} unheard)") } else { String::new() };
    let reasons = reasons(&events["dropped"]);
    format!(
        "{} published{unheard}, {} delivered, {} failed, {} waiting, {} running, {} dropped{reasons}",
        count(events, "emitted"),
        count(events, "delivered"),
        count(events, "failed"),
        count(events, "waiting"),
        count(events, "running"),
        dropped(events),
    )
}

/// What became of durable events, in one line.
pub(crate) fn durable(durable: &Value) -> String {
    format!(
        "{} written, {} duplicates, {} delivered ({} again), {} acknowledged, {} to be retried, {} dead letters, {} replayed",
        count(durable, "written"),
        count(durable, "duplicates"),
        count(durable, "delivered"),
        count(durable, "redelivered"),
        count(durable, "acknowledged"),
        count(durable, "retried"),
        count(durable, "dead"),
        count(durable, "replayed"),
    )
}

/// What was lost for which reason; empty if nothing was.
pub(crate) fn reasons(drops: &Value) -> String {
    let reasons = drops.as_object().into_iter().flatten();
    let reasons: Vec<_> = reasons
        .filter_map(|(reason, count)| Some((reason, count.as_u64().filter(|count| *count > 0)?)))
        .map(|(reason, count)| format!("{count} {}", reason.replace('_', " ")))
        .collect();
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) }
}

/// What this part of the calls took at most, as far as their buckets tell.
fn bound(times: &Value, part: f64) -> String {
    let buckets = times["buckets"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let timed = count(times, "count");
    if timed == 0 {
        return String::new();
    }
    let mut known = Times::default();
    (known.count, known.sum_ns, known.buckets) = (timed, count(times, "sum_ns"), buckets);
    let last = Times::BOUNDS_NS.last().copied().unwrap_or_default();
    match known.at_most_ns(part) {
        Some(ns) => format!("<={}", brief(ns)),
        None => format!(">{}", brief(last)),
    }
}

fn brief(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bounds_are_told_in_the_unit_that_fits() {
        for (ns, expected) in
            [(100, "100 ns"), (3_000, "3 us"), (300_000_000, "300 ms"), (10_000_000_000, "10 s")]
        {
            assert_eq!(brief(ns), expected);
        }
    }

    #[test]
    fn a_bound_is_that_of_the_bucket_in_which_the_part_ends() {
        let mut buckets = vec![0_u64; 18];
        (buckets[2], buckets[8]) = (98, 2);
        let times = json!({ "count": 100, "sum_ns": 1, "buckets": buckets });
        assert_eq!((bound(&times, 0.5), bound(&times, 0.99)), ("<=1 us".into(), "<=1 ms".into()));
        let mut endless = vec![0_u64; 18];
        endless[17] = 1;
        assert_eq!(bound(&json!({ "count": 1, "sum_ns": 1, "buckets": endless }), 0.5), ">10 s");
        assert_eq!(bound(&json!({}), 0.5), "");
    }
}
